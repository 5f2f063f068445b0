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
    histogram_loss,
    moments,
    moments_loss,
    patch_loss,
    patches,
    sorted_activations,
    wasserstein_loss,
    wasserstein_target,
)
from vidstyle.losses.functional import gatys_style_loss, gram, gram_loss

__all__ = ["STYLE_LOSSES", "StyleLoss"]

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
class StyleLoss:
    """How much of a style a layer shows."""

    statistics: Statistics
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """(of the picture, of the style) -> scalar."""
    unit: float = 1.0
    """Brings the loss to the strength of `gram`, so that one --style-weight serves them all; measured by
    `python -m benchmarks.style_losses --units`. Gatys' formula stays as the paper has it, 10⁴ times as strong."""
    averages_layers: bool = False
    """Whether the layers' losses are averaged (Gatys: w_l = 1/|L|) or summed (neural-style)."""
    blend: Callable[[Shares], torch.Tensor] = weighted_mean
    """Makes one target of several styles."""
    prepare: Callable[[torch.Tensor], torch.Tensor] = lambda statistic: statistic
    """What is worked out of the blended target once, and not at every step."""


STYLE_LOSSES: dict[str, StyleLoss] = {
    "gram": StyleLoss(gram, gram_loss),
    "gatys": StyleLoss(gram, gatys_style_loss, averages_layers=True),
    "moments": StyleLoss(moments, moments_loss),
    "covariance": StyleLoss(covariance, covariance_loss, unit=16.0),
    "wasserstein": StyleLoss(covariance, wasserstein_loss, prepare=wasserstein_target),
    "histogram": StyleLoss(sorted_activations, histogram_loss, blend=mean_quantiles),
    "patches": StyleLoss(patches, patch_loss, blend=all_together),
}
