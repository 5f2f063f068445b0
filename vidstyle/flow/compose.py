"""From flow between neighbours to flow between frames far apart, without warping a picture twice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vidstyle.flow.sampling import end_points, inside, sample
from vidstyle.frames import FlowField

__all__ = ["chain", "compose"]


def compose(near: FlowField, far: FlowField) -> FlowField:
    """`near` (t → k) followed by `far` (k → a): the flow t → a.

    `far` is read bilinearly where `near` ends; where that is outside its picture, at the nearest border pixel.

    Raises:
        ValueError: the fields differ in size.
    """
    if near.size != far.size:
        raise ValueError(f"both fields must have one size, got {near.size = } {far.size = }")
    return FlowField(near.data + sample(far.data, end_points(near)))


def chain(near: FlowField, near_mask: npt.NDArray[np.float32], far_mask: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How far the composed flow of `compose` can be trusted.

    Args:
        near: t → k.
        near_mask: (H, W) float32 in [0, 1] at t, trust in `near`.
        far_mask: (H, W) float32 in [0, 1] at k, trust in the flow k → a.

    Returns:
        (H, W) float32 at t: the product of both, `far_mask` read bilinearly where `near` ends and 0 outside.
        It is 1 only where every pixel that was read is trusted, so `chain(...) == 1` is the careful choice.
    """
    if near_mask.shape != near.size or far_mask.shape != near.size:
        raise ValueError(f"masks must have the field's size, got {near_mask.shape = } {far_mask.shape = } {near.size = }")
    points = end_points(near)
    return np.asarray(near_mask * sample(far_mask[None], points)[0] * inside(points, near.size), dtype=np.float32)
