"""Farnebäck's polynomial expansion, as OpenCV has it: the field of `--flow farneback-raw`."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.flow.base import Picture, field_from_hwc, field_to_hwc, to_gray
from vidstyle.frames import FlowField

__all__ = ["Farneback", "farneback"]


class Farneback:
    """Dense flow by polynomial expansion; gives none where the picture has no texture (see `Refined`)."""

    def __call__(self, current: Picture, reference: Picture, initial: FlowField | None = None) -> FlowField:
        """See `FlowEstimator`; works at any size, `initial` is where the iteration starts."""
        a, b = to_gray(current, reference, initial)
        return field_from_hwc(farneback(a, b, initial))


def farneback(current: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8], initial: FlowField | None) -> npt.NDArray[np.float32]:
    """Flow of two (H, W) uint8 pictures as OpenCV's (H, W, 2)."""
    start = np.zeros((*current.shape, 2), np.float32) if initial is None else field_to_hwc(initial)
    flow = cv2.calcOpticalFlowFarneback(
        current, reference, start,
        pyr_scale=0.5, levels=5, winsize=25, iterations=3, poly_n=7, poly_sigma=1.5,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return np.asarray(flow, dtype=np.float32)
