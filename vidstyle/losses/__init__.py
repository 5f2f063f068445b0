"""Loss terms: the formulas as pure functions, and the table of style losses."""

from __future__ import annotations

from vidstyle.losses.functional import (
    content_loss,
    gatys_style_loss,
    gram,
    gram_loss,
    overflow_loss,
    temporal_loss,
    total_variation,
)
from vidstyle.losses.style import STYLE_LOSSES, StyleLoss

__all__ = [
    "STYLE_LOSSES",
    "StyleLoss",
    "content_loss",
    "gatys_style_loss",
    "gram",
    "gram_loss",
    "overflow_loss",
    "temporal_loss",
    "total_variation",
]
