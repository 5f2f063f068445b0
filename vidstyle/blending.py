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
_SMOOTH, _REACH = 2.0, 6.0
"""Pixels over which the change of colour is smoothed, and over which what is missing at the rim is made up for."""


def composite(painted: torch.Tensor, source: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """`coverage` of the painting, the rest of the source: (1, 3, H, W) RGB in [0, 1] each, and (1, 1, H, W) or a number in [0, 1]."""
    return torch.lerp(source, painted, coverage)


def poisson(painted: torch.Tensor, source: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """The painting's gradients inside the region, its rim in the colours of the source (Pérez, Gangnet & Blake 2003).

    The region is where `coverage` is a half or more; outside it the source stays as it is, to the last bit. OpenCV's
    `seamlessClone` says how the painting's colours change. It works at 8 bits a channel and on the whole bounding box, so
    that it alters the source around the region as well: its change is smoothed and laid on the painting at full depth, and
    what it lacks at the rim is spread inwards.

    Args:
        painted: (1, 3, H, W) RGB in [0, 1].
        source: the same.
        coverage: (1, 1, H, W) in [0, 1].
    """
    inside = (coverage >= 0.5).cpu().float()
    mask = np.asarray(inside[0, 0].numpy() * 255, dtype=np.uint8)
    if not mask.any():
        return source
    ours, theirs = (_continued(from_tensor(picture).astype(np.uint8, copy=False)) for picture in (painted, source))
    mask = _continued(mask)
    # OpenCV lays the middle of the region's bounding box on this point.
    x, y, width, height = cv2.boundingRect(mask)
    cloned = cv2.seamlessClone(ours, theirs, mask, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
    clone = to_tensor(np.ascontiguousarray(cloned[_BORDER:-_BORDER, _BORDER:-_BORDER], dtype=np.uint8))
    change = _spread((clone - painted.cpu()) * inside, _SMOOTH) / _spread(inside, _SMOOTH).clamp_min(1e-6)
    # Along a straight rim half of the neighbourhood lies outside.
    missing = 2 * _spread((source.cpu() - clone) * (1 - inside), _REACH)
    blended = (painted.cpu() + change + missing).clamp(0, 1).to(painted)
    return torch.where(inside.to(painted.device) > 0, blended, source)


def _spread(values: torch.Tensor, sigma: float) -> torch.Tensor:
    """(1, C, H, W), blurred by a Gaussian."""
    planes = [cv2.GaussianBlur(plane.numpy(), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for plane in values[0].float()]
    return torch.from_numpy(np.stack(planes))[None]


def _continued(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.copyMakeBorder(picture, _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_REPLICATE), dtype=np.uint8)


MASK_BLENDS = {"alpha": composite, "poisson": poisson}
"""Value of `--mask-blend` → (painted, source, coverage) -> output."""
