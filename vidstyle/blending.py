"""Putting the painting and its source together, on the output only."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vidstyle.pixels import from_tensor, to_tensor

__all__ = ["MASK_BLENDS", "composite", "poisson"]

_BORDER = 2
"""Pixels by which pictures are continued, so that the region's rim lies inside them where it runs along the edge."""


def composite(painted: torch.Tensor, source: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """`coverage` of the painting, the rest of the source: (1, 3, H, W) RGB in [0, 1] each, and (1, 1, H, W) or a number in [0, 1]."""
    return torch.lerp(source, painted, coverage)


def poisson(painted: torch.Tensor, source: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """The painting's gradients inside the region, its rim in the colours of the source (Pérez, Gangnet & Blake 2003).

    OpenCV's `seamlessClone`, which works at 8 bits a channel. The region is where `coverage` is a half or more; what is
    outside it stays as it is in the source.

    Args:
        painted: (1, 3, H, W) RGB in [0, 1].
        source: the same.
        coverage: (1, 1, H, W) in [0, 1].
    """
    mask = np.asarray((coverage[0, 0] >= 0.5).cpu().numpy(), dtype=np.uint8) * 255
    if not mask.any():
        return source
    ours, theirs = (_continued(from_tensor(picture).astype(np.uint8, copy=False)) for picture in (painted, source))
    mask = _continued(mask)
    # OpenCV lays the middle of the region's bounding box on this point.
    x, y, width, height = cv2.boundingRect(mask)
    cloned = cv2.seamlessClone(ours, theirs, mask, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
    inner = np.ascontiguousarray(cloned[_BORDER:-_BORDER, _BORDER:-_BORDER], dtype=np.uint8)
    return to_tensor(inner, painted.device).to(painted.dtype)


def _continued(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.copyMakeBorder(picture, _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_REPLICATE), dtype=np.uint8)


MASK_BLENDS = {"alpha": composite, "poisson": poisson}
"""Value of `--mask-blend` → (painted, source, coverage) -> output."""
