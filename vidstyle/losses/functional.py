"""The formulas of the losses, as pure functions of tensors.

Convention: features are (1, C, H, W); pictures are (1, 3, H, W), RGB in [0, 1], and every loss on
pixels is measured on 0-255 values, the units in which the field quotes its weights.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = [
    "area_means",
    "content_loss",
    "drift_loss",
    "gatys_style_loss",
    "gram",
    "gram_loss",
    "gram_of",
    "gram_sums",
    "overflow_loss",
    "temporal_loss",
    "total_variation",
]

_AREA = 16
"""Pixels between the centres of the areas whose means the drift loss holds: strokes are smaller."""


def gram(features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """(1, C, H, W) -> (C, C): F Fᵀ / (C·H·W), the normalisation of neural-style and artistic-videos.

    Gatys et al. 2016 leave F Fᵀ as it is and divide in the loss: `gatys_style_loss`. With `weights`, (1, 1, H, W) in [0, 1], each
    position counts by its share in their sum: the guided Gram matrix of a region (Gatys et al. 2017, arXiv 1611.07865).
    """
    total = features.shape[-2] * features.shape[-1] if weights is None else weights.sum()
    return gram_of(gram_sums(features, weights), total)


def gram_sums(features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """(1, C, H, W) -> (C, C): the sum of f fᵀ over the positions, each times its weight; sums of parts add up to that of the whole."""
    _, channels, height, width = features.shape
    flat = features.permute(0, 2, 3, 1).reshape(height * width, channels)  # as the network lays them out: no copy, there and back
    return _products(flat, None if weights is None else weights.reshape(height * width, 1))


def gram_of(sums: torch.Tensor, total: float | torch.Tensor) -> torch.Tensor:
    """The Gram matrix out of `gram_sums` over the whole layer, whose weights sum to `total`."""
    return sums / (len(sums) * total)


def _products(flat: torch.Tensor, share: torch.Tensor | None) -> torch.Tensor:
    """(N, C) -> (C, C): the sum of f fᵀ over the positions, each times its share."""
    result: torch.Tensor = _Products.apply(flat, share)
    return result


class _Products(torch.autograd.Function):
    """Differentiable once, by one product, since both factors are the same; what torch derives are two."""

    @staticmethod
    def forward(ctx: Any, flat: torch.Tensor, share: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(flat, share)
        return (flat if share is None else flat * share).T @ flat

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        flat, share = ctx.saved_tensors
        return (flat if share is None else flat * share) @ (gradient + gradient.T), None


def gram_loss(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of two Gram matrices, (C, C) each; a scalar."""
    return (statistics - target).square().mean()


def gatys_style_loss(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """E_l = 1/(4 N² M²) Σ (G − A)² of Gatys et al. 2016 (eq. 4), from Gram matrices as `gram` gives them; a scalar.

    N is the number of channels, M that of positions, G = F Fᵀ = `gram`·N·M. Where the style picture has
    another number of positions than the frame, each Gram matrix is divided by its own, so that
    the size of the style picture does not count; for equal sizes this is the paper's formula.
    """
    return (statistics - target).square().sum() / 4


def content_loss(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of activations, (1, C, H, W) each; a scalar. (Gatys et al.: half the *sum*.)"""
    return (features - target).square().mean()


def total_variation(image: torch.Tensor, wraps: bool = False) -> torch.Tensor:
    """Sum of squared differences of neighbouring pixels on 0-255 values, divided by the number of values; a scalar.

    neural-style adds the gradient of the *sum*; a mean keeps the weight's meaning at every size. With `wraps` opposite edges
    are neighbours too.
    """
    if wraps:
        across, down = ((image - image.roll(1, axis)).square().sum() for axis in (-1, -2))
    else:
        across = (image[..., :, 1:] - image[..., :, :-1]).square().sum()
        down = (image[..., 1:, :] - image[..., :-1, :]).square().sum()
    return (across + down) * (255.0**2 / image.numel())


def temporal_loss(image: torch.Tensor, warped: torch.Tensor, trust: torch.Tensor) -> torch.Tensor:
    """Mean over *all* pixels and channels of trust·(image − warped)², on 0-255 values; a scalar.

    Ruder et al. 2016, eq. 7. `warped` (1, 3, H, W) is the stylised reference moved to the current
    frame, `trust` (1, 1, H, W) in [0, 1]. Dividing by the number of all pixels, not of the trusted ones,
    keeps a trusted pixel's pull the same however much of the picture is occluded.
    """
    return (trust * (image - warped).square()).mean() * 255.0**2


def area_means(values: torch.Tensor) -> torch.Tensor:
    """Means over overlapping areas about 16 pixels apart: (1, C, H, W) -> (1, C, about H/16, about W/16).

    Weights fall linearly from an area's centre to its neighbours', so that nothing shows where one ends.
    """
    rows, columns = (_tents(length, values) for length in values.shape[2:])
    return rows @ values @ columns.T


def _tents(length: int, like: torch.Tensor) -> torch.Tensor:
    """(areas, length) weights of the means along one axis; each row sums to 1."""
    count = max(round(length / _AREA), 1)
    centres = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * (length / count) - 0.5
    places = torch.arange(length, dtype=like.dtype, device=like.device)
    weights = (1 - (places - centres[:, None]).abs() * (count / length)).clamp_min(0)
    return weights / weights.sum(dim=1, keepdim=True)


def drift_loss(image: torch.Tensor, expected: torch.Tensor, calm: torch.Tensor) -> torch.Tensor:
    """Mean square of the area means of calm·(image − expected), on 0-255 values; a scalar.

    It holds brightness and colour, not strokes: along these few directions the other losses hardly curve, and a
    look that goes on settling creeps along them frame by frame. `expected` (1, 3, H, W) is where the
    source has been going, `calm` (1, 1, H, W) in [0, 1] where that is believed.
    """
    return area_means(calm * (image - expected)).square().mean() * 255.0**2


def overflow_loss(image: torch.Tensor) -> torch.Tensor:
    """Mean square of what lies outside the range that can be saved, on 0-255 values; a scalar."""
    return (image - image.clamp(0, 1)).square().mean() * 255.0**2
