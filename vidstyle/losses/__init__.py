"""Loss terms: the formulas as pure functions, and the table of style losses."""

from __future__ import annotations

from vidstyle.losses.distributions import (
    check_searched,
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
from vidstyle.losses.functional import (
    area_means,
    content_loss,
    drift_loss,
    gatys_style_loss,
    gram,
    gram_loss,
    overflow_loss,
    temporal_loss,
    total_variation,
)
from vidstyle.losses.style import STYLE_LOSSES, StyleLoss, Sums

__all__ = [
    "STYLE_LOSSES",
    "StyleLoss",
    "Sums",
    "area_means",
    "check_searched",
    "content_loss",
    "covariance",
    "covariance_loss",
    "drift_loss",
    "gatys_style_loss",
    "gram",
    "gram_loss",
    "histogram_loss",
    "moments",
    "moments_loss",
    "overflow_loss",
    "patch_loss",
    "patches",
    "sorted_activations",
    "temporal_loss",
    "total_variation",
    "wasserstein_loss",
    "wasserstein_target",
]
