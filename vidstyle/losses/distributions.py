"""Style losses beyond the Gram matrix: other ways to say that two layers' activations are distributed alike.

Convention: features are (1, C, H, W); what is kept of a style is one tensor a layer, and each loss is a scalar
whose gradient flows into the picture's side alone. Where only a region counts, `weights` are (1, 1, H, W) in [0, 1],
not 0 everywhere; statistics that cannot count a position by half take those that weigh at least half of the most.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from vidstyle.errors import UsageError

__all__ = [
    "check_searched",
    "covariance",
    "covariance_loss",
    "covariance_of",
    "covariance_sums",
    "histogram_loss",
    "moments",
    "moments_loss",
    "moments_of",
    "moments_sums",
    "patch_loss",
    "patches",
    "sorted_activations",
    "wasserstein_loss",
    "wasserstein_target",
]

_EPSILON = 1e-4
"""Added to the diagonal of a covariance, relative to its mean variance: its root has no slope where a channel is constant."""
_ROOT_STEPS = 22
"""Newton-Schulz steps: small eigenvalues grow by half a step, and those of 1e-7 of the norm have settled."""
_PATCH = 3
_MOST_PATCHES = 1 << 14
"""Positions a layer may have: the search takes time in proportion to their square."""
_CHUNK = 2048
"""Patches whose likeness to all of the style's is worked out at a time; bounds the memory of the search."""


def moments(features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """(1, C, H, W) -> (2, C): mean and standard deviation of each channel (AdaIN: Huang & Belongie 2017, arXiv 1703.06868)."""
    centre, total = _middle(features, weights)
    return moments_of(moments_sums(features, weights, centre), total, centre)


def moments_sums(features: torch.Tensor, weights: torch.Tensor | None, centre: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) -> (2, C): the sums of f − c and of its square over the positions, each times its weight.

    Sums of parts add up to that of the whole. `centre`, (C,), may be anything near the mean, which keeps the digits.
    """
    centred, shares = _centred(features, weights, centre)
    return torch.stack([centred @ shares, centred.square() @ shares])


def moments_of(sums: torch.Tensor, total: float | torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation out of `moments_sums` over the whole layer, whose weights sum to `total`."""
    off, square = sums / total
    variance = (square - off.square()).clamp_min(0)
    return torch.stack([centre + off, (variance + 1e-8).sqrt()])


def moments_loss(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over the channels of (Δμ)² + (Δσ)²."""
    return (statistics - target).square().sum(dim=0).mean()


def covariance(features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """(1, C, H, W) -> (C, C + 1): the covariance of the channels, and their means as the last column."""
    centre, total = _middle(features, weights)
    return covariance_of(covariance_sums(features, weights, centre), total, centre)


def covariance_sums(features: torch.Tensor, weights: torch.Tensor | None, centre: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) -> (C, C + 1): the sums of (f − c)(f − c)ᵀ, and of f − c as the last column, each position times its weight.

    Sums of parts add up to that of the whole. `centre`, (C,), may be anything near the mean, which keeps the digits.
    """
    centred, shares = _centred(features, weights, centre)
    return torch.cat([(centred * shares) @ centred.T, (centred @ shares)[:, None]], dim=1)


def covariance_of(sums: torch.Tensor, total: float | torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Covariance and means out of `covariance_sums` over the whole layer, whose weights sum to `total`."""
    squares, off = sums[:, :-1] / total, sums[:, -1:] / total
    return torch.cat([squares - off @ off.T, centre[:, None] + off], dim=1)


def _middle(features: torch.Tensor, weights: torch.Tensor | None) -> tuple[torch.Tensor, float | torch.Tensor]:
    """The mean of each channel, (C,), by itself, and what the weights sum to."""
    with torch.no_grad():
        flat = features.flatten(2)[0]
        if weights is None:
            return flat.mean(dim=1), float(flat.shape[1])
        total = weights.sum()
        return flat @ (weights.flatten() / total), total


def _centred(features: torch.Tensor, weights: torch.Tensor | None, centre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(C, H·W) activations less the centre, and each position's weight, (H·W,)."""
    flat = features.flatten(2)[0] - centre[:, None]
    return flat, flat.new_ones(flat.shape[1]) if weights is None else weights.flatten()


def _chosen(weights: torch.Tensor) -> torch.Tensor:
    """Which positions, (H·W,), weigh at least half of the most."""
    flat = weights.flatten()
    return flat >= 0.5 * flat.max()


def covariance_loss(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of two covariances divided by C, as the Gram matrix is; the means do not count.

    Sun & Saenko 2016 (Deep CORAL, arXiv 1607.01719) divide by 4C² instead.
    """
    channels = target.shape[0]
    return ((statistics[:, :channels] - target[:, :channels]) / channels).square().mean()


def wasserstein_target(statistics: torch.Tensor) -> torch.Tensor:
    """(C, C + 1) as `covariance` gives it, with the covariance replaced by its square root."""
    root = _regular(statistics[:, :-1])
    values, vectors = torch.linalg.eigh(root)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return torch.cat([root, statistics[:, -1:]], dim=1)


def wasserstein_loss(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared 2-Wasserstein distance of two normal distributions, divided by the number of channels.

        |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₂^½ Σ₁ Σ₂^½)^½

    Args:
        statistics: of the picture, (C, C + 1), as `covariance` gives it.
        target: of the style, (C, C + 1), as `wasserstein_target` makes it.
    """
    mean, root = target[:, -1], target[:, :-1]
    own = _regular(statistics[:, :-1])
    shared = _TraceOfRoot.apply(root @ own @ root)
    distance: torch.Tensor = (statistics[:, -1] - mean).square().sum() + own.trace() + root.square().sum() - 2 * shared
    return distance / len(mean)


def _regular(covariances: torch.Tensor) -> torch.Tensor:
    """With a little on the diagonal, so that it has a root with a slope."""
    channels = len(covariances)
    spread = covariances.diagonal().mean() * _EPSILON + 1e-12
    return covariances + spread * torch.eye(channels, dtype=covariances.dtype, device=covariances.device)


class _TraceOfRoot(torch.autograd.Function):
    """tr A^½ of a symmetric positive matrix by the coupled Newton-Schulz iteration; its derivative is A^-½ / 2.

    Higham, Functions of Matrices (2008), section 6.3. Matrix products only, so it runs where an eigenvalue
    decomposition would not, and the inverse root that the derivative needs falls out beside the root.
    """

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor) -> torch.Tensor:
        norm = matrix.square().sum().sqrt()
        identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        root, inverse = matrix / norm, identity
        for _ in range(_ROOT_STEPS):
            update = 1.5 * identity - 0.5 * inverse @ root
            root, inverse = root @ update, update @ inverse
        ctx.save_for_backward(inverse / norm.sqrt())
        return root.trace() * norm.sqrt()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (inverse,) = ctx.saved_tensors
        gradient: torch.Tensor = gradients[0] * 0.25 * (inverse + inverse.T)  # symmetric but for rounding
        return gradient


def sorted_activations(features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """(1, C, H, W) -> (C, positions): each channel's activations in rising order, which is its histogram to the last value."""
    flat = features.flatten(2)[0]
    return (flat if weights is None else flat[:, _chosen(weights)]).sort(dim=1).values


def histogram_loss(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of the activations and what matching them to the style's histogram makes of them.

    Risser, Wilmot & Barnes 2017 (arXiv 1701.08893), with exact ranks instead of 256 bins. Both sides are
    in rising order, (C, n) and (C, m); a style of another size is read at as many quantiles as the picture has positions.
    """
    count = statistics.shape[1]
    if target.shape[1] != count:
        target = functional.interpolate(target[None], size=count, mode="linear", align_corners=count > 1)[0]
    return (statistics - target).square().mean()


def check_searched(height: int, width: int) -> None:
    """Whether a layer of so many positions can be searched for patches.

    Raises:
        UsageError: it has too many.
    """
    if height * width > _MOST_PATCHES:
        raise UsageError(
            f"--style-loss patches: a layer of {width}×{height} positions takes too long to search; "
            "give deeper ones (--style-layers relu3_1 relu4_1), or a smaller --size"
        )


def patches(features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """(1, C, H, W) -> (positions, 9·C): every 3×3 neighbourhood, or those whose middle lies in the region.

    Raises:
        UsageError: the layer has too many positions to search.
    """
    check_searched(features.shape[-2], features.shape[-1])
    if min(features.shape[-2:]) < _PATCH:
        features = functional.pad(features, (1, 1, 1, 1), mode="replicate")
        weights = None if weights is None else functional.pad(weights, (1, 1, 1, 1), mode="replicate")
    found = functional.unfold(features, _PATCH)[0].T
    if weights is None:
        return found
    middles = weights[..., 1:-1, 1:-1]
    if not middles.any():  # a region along the border: the neighbourhoods that reach into it
        middles = functional.max_pool2d(weights, _PATCH, stride=1)
    return found[_chosen(middles)]


def patch_loss(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of each patch and the most alike of the style's, by normalised cross-correlation.

    Li & Wand 2016 (Markov random fields, arXiv 1601.04589). Both sides as `patches` gives them.
    """
    with torch.no_grad():
        directions = functional.normalize(target, dim=1).T
        nearest = torch.cat([(chunk @ directions).argmax(dim=1) for chunk in torch.split(statistics, _CHUNK)])
    return (statistics - target[nearest]).square().mean()
