"""Dense inverse search (Kroeger et al. 2016), as OpenCV has it: the field of `--flow dis`."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.flow.base import Picture, field_from_hwc, field_to_hwc, to_gray
from vidstyle.frames import FlowField

__all__ = ["DenseInverseSearch", "dense_inverse_search"]

_SMALLEST_SIDE = 64
"""Shorter sides are padded: OpenCV refuses pictures under 12 pixels and crashes the process at some sizes
just above (12×40 for one), where its patches do not fit the pyramid it has chosen."""


class DenseInverseSearch:
    """OpenCV's DIS with its medium preset: fast, a little coarse at the edges of moving things."""

    def __call__(self, current: Picture, reference: Picture, initial: FlowField | None = None) -> FlowField:
        """See `FlowEstimator`; `initial` is one of the candidates of every patch."""
        a, b = to_gray(current, reference, initial)
        start = None if initial is None else field_to_hwc(initial)
        return field_from_hwc(dense_inverse_search(a, b, start))


def dense_inverse_search(
    current: npt.NDArray[np.uint8],
    reference: npt.NDArray[np.uint8],
    initial: npt.NDArray[np.float32] | None,
    *,
    finest_scale: int = 1,
    variational_iterations: int = 5,
    smoothness: float = 20.0,
    patch_size: int = 8,
    patch_stride: int = 3,
) -> npt.NDArray[np.float32]:
    """Flow of two (H, W) uint8 pictures as OpenCV's (H, W, 2).

    Sides under 64 pixels are worked at with their border repeated, then cropped.

    Args:
        current: where the flow lies.
        reference: where it points.
        initial: (H, W, 2) to start from, or None.
        finest_scale: level of the pyramid to stop at; 0 is full size.
        variational_iterations: fixed-point iterations of the variational step on every level.
        smoothness: weight of the smoothness term in that step (OpenCV's alpha).
        patch_size: side of the patches that are searched for, in pixels.
        patch_stride: distance between neighbouring patches.
    """
    height, width = current.shape
    top, left = max(_SMALLEST_SIDE - height, 0) // 2, max(_SMALLEST_SIDE - width, 0) // 2
    bottom, right = max(_SMALLEST_SIDE - height, 0) - top, max(_SMALLEST_SIDE - width, 0) - left
    borders = (top, bottom, left, right, cv2.BORDER_REPLICATE)
    a, b = cv2.copyMakeBorder(current, *borders), cv2.copyMakeBorder(reference, *borders)
    start = None if initial is None else cv2.copyMakeBorder(initial, *borders)
    # A fresh object a call: it keeps buffers of the size it saw last.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(finest_scale)
    search.setVariationalRefinementIterations(variational_iterations)
    search.setVariationalRefinementAlpha(smoothness)
    search.setPatchSize(patch_size)
    search.setPatchStride(patch_stride)
    flow = np.asarray(search.calc(a, b, start), dtype=np.float32)  # type: ignore[arg-type]  # None is "no start"
    return flow[top : top + height, left : left + width]
