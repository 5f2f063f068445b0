"""Estimators that only opencv-contrib has: DeepFlow and TV-L1, for a judge that is another than the one optimised against."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from vidstyle.errors import UsageError
from vidstyle.flow.base import Picture, field_from_hwc, to_gray
from vidstyle.frames import FlowField

__all__ = ["DeepFlow", "DualTVL1"]

_SMALLEST_SIDE = 32
"""Shorter sides are padded with their border: these methods build pyramids that small pictures do not fill."""


class _Contrib:
    """What makes the two alike: found in `cv2.optflow`, called with two grey pictures of some size."""

    _factory: str
    _flag: str

    def __init__(self) -> None:
        module: Any = getattr(cv2, "optflow", None)
        if module is None:
            raise UsageError(
                f"--flow {self._flag} needs opencv-contrib: pip uninstall opencv-python, then "
                "pip install opencv-contrib-python; or use --flow dis"
            )
        self._make = getattr(module, self._factory)

    def __call__(self, current: Picture, reference: Picture, initial: FlowField | None = None) -> FlowField:
        """See `FlowEstimator`; `initial` is not used."""
        a, b = to_gray(current, reference, initial)
        height, width = a.shape
        borders = (0, max(_SMALLEST_SIDE - height, 0), 0, max(_SMALLEST_SIDE - width, 0), cv2.BORDER_REPLICATE)
        a, b = (np.asarray(cv2.copyMakeBorder(picture, *borders), dtype=np.uint8) for picture in (a, b))
        # A fresh object a call: they keep buffers of the size they saw last.
        flow = np.asarray(self._make().calc(a, b, None), dtype=np.float32)
        return field_from_hwc(flow[:height, :width])


class DeepFlow(_Contrib):
    """Weinzaepfel et al. 2013 without its matching step, as OpenCV has it."""

    _factory, _flag = "createOptFlow_DeepFlow", "deepflow"


class DualTVL1(_Contrib):
    """Zach, Pock & Bischof 2007: total variation and robust L1 data term, as OpenCV has it."""

    _factory, _flag = "DualTVL1OpticalFlow_create", "tvl1"
