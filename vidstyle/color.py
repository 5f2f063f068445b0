"""Colour control, on the output only: recolouring the frame that is warped forward would make target and optimum disagree.

Also the map from source colours to painted ones that fills what no earlier frame has shown.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from vidstyle.pixels import LUMA

__all__ = ["PRESERVE_COLOR", "linear_color_match", "match_colors", "preserve_linear", "preserve_luminance"]

_SMALLEST_VARIANCE = 1e-6


def linear_color_match(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(3, 3) A and (3, 1) b such that A·c + b gives the colours of `source` mean and covariance of `target`'s.

    Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer", with symmetric square roots:
    A = Σ_t^½ Σ_s^-½. Both pictures are (1, 3, H, W) RGB; what is worked out is returned in float64 on the CPU.
    """
    (mean_s, root_s), (mean_t, root_t) = (_mean_and_root(picture) for picture in (source, target))
    matrix = root_t @ torch.linalg.inv(root_s)
    return matrix, mean_t - matrix @ mean_s


def match_colors(image: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """A·c + b for every pixel of `image`, (1, 3, H, W), clamped to [0, 1]."""
    flat = _exact(image).reshape(3, -1)
    matched: torch.Tensor = (matrix.to(flat) @ flat + offset.to(flat)).clamp(0, 1).reshape(image.shape).to(image)
    return matched


def preserve_luminance(painted: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """The lightness of `painted` with the colours of `source`, (1, 3, H, W) RGB in [0, 1] each.

    The difference in lightness is added to all three channels, which leaves the chroma of YIQ as it was (Gatys et al. 2016, "Preserving
    Color").
    """
    weights = torch.tensor(LUMA, dtype=painted.dtype, device=painted.device)[None, :, None, None]
    return (source + ((painted - source) * weights).sum(dim=1, keepdim=True)).clamp(0, 1)


def preserve_linear(painted: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """`painted` with mean and covariance of its colours matched to those of `source`, (1, 3, H, W) RGB in [0, 1] each."""
    return match_colors(painted, *linear_color_match(painted, source))


PRESERVE_COLOR: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "luminance": preserve_luminance,
    "linear": preserve_linear,
}
"""Value of `--preserve-color` → (painted, source) -> output; `off` does nothing."""


def _mean_and_root(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean colour, (3, 1), and the root of the covariance, (3, 3); a flat colour gets a small variance, so that it can be inverted."""
    values = _exact(picture).reshape(3, -1)
    mean = values.mean(dim=1, keepdim=True)
    centred = values - mean
    covariance = (centred @ centred.T / centred.shape[1]).double().cpu()
    lengths, vectors = torch.linalg.eigh(covariance)
    return mean.double().cpu(), vectors @ torch.diag(lengths.clamp_min(_SMALLEST_VARIANCE).sqrt()) @ vectors.T


def _exact(picture: torch.Tensor) -> torch.Tensor:
    """In float64 where there is any."""
    return picture if picture.device.type == "mps" else picture.double()
