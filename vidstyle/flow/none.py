"""No motion at all: `--flow none`, for still cameras and for comparison."""

from __future__ import annotations

import numpy as np

from vidstyle.flow.base import Picture, to_gray
from vidstyle.frames import FlowField

__all__ = ["NoFlow"]


class NoFlow:
    """Zero everywhere."""

    def __call__(self, current: Picture, reference: Picture, initial: FlowField | None = None) -> FlowField:
        """See `FlowEstimator`; `initial` is ignored."""
        a, _ = to_gray(current, reference, initial)
        return FlowField(np.zeros((2, *a.shape), np.float32))
