"""How steady two pictures are along the flow between them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vidstyle.flow.warp import warp
from vidstyle.frames import FlowField
from vidstyle.pixels import to_tensor

__all__ = ["warping_error"]

Picture = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def warping_error(current: Picture, reference: Picture, flow: FlowField, trust: npt.NDArray[np.float32]) -> float:
    """Σ M (current − warped reference)² / ΣM, mean over RGB in [0, 1] (Lai et al. 2018).

    Args:
        current: (H, W, 3) uint8 or uint16 RGB.
        reference: the same, at an earlier moment.
        flow: from `current` into `reference`, estimated on the *source*.
        trust: (H, W) in [0, 1], M. Where it is 0 everywhere nothing is known of the error, which is NaN then.
    """
    moved = warp(to_tensor(reference), flow, mode="bilinear")
    error = (to_tensor(current) - moved).square().mean(dim=1)[0].double().numpy()
    return float((error * trust).sum() / trust.sum()) if trust.any() else float("nan")
