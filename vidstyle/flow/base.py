"""What every optical-flow estimator is, and the pictures they work on."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.frames import FlowField

__all__ = ["FlowEstimator", "Picture", "field_from_hwc", "field_to_hwc", "to_gray"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, RGB."""


class FlowEstimator(Protocol):
    """Finds where each pixel of one frame lies in another.

    Convention: pictures are (H, W, 3) uint8 RGB of one size, at least one pixel. The result lies at the
    current frame and points into the reference: current(x, y) ≈ reference(x + dx, y + dy), in pixels.
    The same input gives the same bits, whatever was estimated before and on however many threads.
    """

    def __call__(self, current: Picture, reference: Picture, initial: FlowField | None = None) -> FlowField:
        """Flow at `current` into `reference`.

        Args:
            current: the frame whose pixels are looked up.
            reference: the frame they are looked up in.
            initial: a field to start from, such as one composed over the frames between; an estimator
                that has no use for it ignores it.

        Raises:
            ValueError: the pictures (or the initial field) differ in size.
        """
        ...


def to_gray(current: Picture, reference: Picture, initial: FlowField | None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Luma of both pictures, (H, W) uint8, after a check that the sizes agree.

    Raises:
        ValueError: they do not, or a picture is not (H, W, 3).
    """
    if current.shape != reference.shape or current.ndim != 3 or current.shape[2] != 3:
        raise ValueError(f"flow needs two (H, W, 3) pictures of one size, got {current.shape = } {reference.shape = }")
    if initial is not None and initial.size != current.shape[:2]:
        raise ValueError(f"the initial field must have the pictures' size, got {initial.size = } {current.shape = }")
    gray = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8) for picture in (current, reference)]
    return gray[0], gray[1]


def field_from_hwc(flow: npt.NDArray[np.floating]) -> FlowField:
    """OpenCV's (H, W, 2) as a FlowField."""
    return FlowField(np.ascontiguousarray(flow.transpose(2, 0, 1), dtype=np.float32))


def field_to_hwc(field: FlowField) -> npt.NDArray[np.float32]:
    """A FlowField as a fresh (H, W, 2) float32 that OpenCV may write into."""
    return np.array(field.data.transpose(1, 2, 0), order="C")
