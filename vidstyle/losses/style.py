"""The table of style losses: a statistic of a layer's activations, and how two of them are compared.

A new one is a pure function in this package and a row here; the flag, the help and the tests
read the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from vidstyle.losses.distributions import (
    covariance,
    covariance_loss,
    covariance_of,
    covariance_sums,
    histogram_loss,
    moments,
    moments_loss,
    moments_of,
    moments_sums,
    patch_loss,
    patches,
    sorted_activations,
    wasserstein_loss,
    wasserstein_target,
)
from vidstyle.losses.functional import gatys_style_loss, gram, gram_loss, gram_of, gram_sums

__all__ = ["STYLE_LOSSES", "StyleLoss", "Sums"]

Shares = Sequence[tuple[float, torch.Tensor]]
"""A style picture's weight in the blend, and its statistic; the weights sum to 1."""


def weighted_mean(styles: Shares) -> torch.Tensor:
    """Blends statistics that are means."""
    return torch.stack([share * statistic for share, statistic in styles]).sum(dim=0)


def mean_quantiles(styles: Shares) -> torch.Tensor:
    """Blends histograms by their quantiles, at as many as the largest style has positions."""
    count = max(statistic.shape[1] for _, statistic in styles)
    resized = [
        (share, torch.nn.functional.interpolate(statistic[None], size=count, mode="linear", align_corners=True)[0])
        for share, statistic in styles
    ]
    return weighted_mean(resized)


def all_together(styles: Shares) -> torch.Tensor:
    """Patches of all styles with a weight: each place of the picture chooses the style that fits it best."""
    return torch.cat([statistic for share, statistic in styles if share > 0])


class Statistics(Protocol):
    """What of a layer's activations is matched."""

    def __call__(self, features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """(1, C, H, W) activations -> one tensor, whatever their size; `weights`, (1, 1, H, W), say which positions count."""
        ...


@dataclass(frozen=True, slots=True)
class Sums:
    """A statistic made of sums over the positions, which can be gathered part by part: the same numbers, whatever the parts."""

    gather: Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor], torch.Tensor]
    """(1, C, H, W) activations of a part, the weights of its positions, a centre near the mean of the layer, (C,) -> the part's sums."""
    finish: Callable[[torch.Tensor, float | torch.Tensor, torch.Tensor], torch.Tensor]
    """(sums over all parts, what all weights sum to, the centre) -> the statistic."""


@dataclass(frozen=True, slots=True)
class StyleLoss:
    """How much of a style a layer shows."""

    statistics: Statistics
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """(of the picture, of the style) -> scalar."""
    sums: Sums | None = None
    """How the statistic is gathered part by part; None where it needs all positions at once."""
    unit: float = 1.0
    """Brings the loss to the strength of `gram`, so that one --style-weight serves them all; measured by
    `python -m benchmarks.style_losses --units`. Gatys' formula stays as the paper has it, 10⁴ times as strong."""
    averages_layers: bool = False
    """Whether the layers' losses are averaged (Gatys: w_l = 1/|L|) or summed (neural-style)."""
    blend: Callable[[Shares], torch.Tensor] = weighted_mean
    """Makes one target of several styles."""
    prepare: Callable[[torch.Tensor], torch.Tensor] = lambda statistic: statistic
    """What is worked out of the blended target once, and not at every step."""


_GRAM = Sums(lambda features, weights, centre: gram_sums(features, weights), lambda sums, total, centre: gram_of(sums, total))
_MOMENTS, _COVARIANCE = Sums(moments_sums, moments_of), Sums(covariance_sums, covariance_of)

STYLE_LOSSES: dict[str, StyleLoss] = {
    "gram": StyleLoss(gram, gram_loss, _GRAM),
    "gatys": StyleLoss(gram, gatys_style_loss, _GRAM, averages_layers=True),
    "moments": StyleLoss(moments, moments_loss, _MOMENTS),
    "covariance": StyleLoss(covariance, covariance_loss, _COVARIANCE, unit=16.0),
    "wasserstein": StyleLoss(covariance, wasserstein_loss, _COVARIANCE, prepare=wasserstein_target),
    "histogram": StyleLoss(sorted_activations, histogram_loss, blend=mean_quantiles),
    "patches": StyleLoss(patches, patch_loss, blend=all_together),
}
