"""The table of style losses: a statistic of a layer's activations, and how two of them are compared.

A new one is a pure function in `functional.py` and a row here; the flag, the help and the tests
read the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from vidstyle.losses.functional import gatys_style_loss, gram, gram_loss

__all__ = ["STYLE_LOSSES", "StyleLoss"]


@dataclass(frozen=True, slots=True)
class StyleLoss:
    """How much of a style a layer shows."""

    statistics: Callable[[torch.Tensor], torch.Tensor]
    """(1, C, H, W) activations -> what is matched; means over positions, so that sizes need not agree."""
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """(of the picture, of the style) -> scalar."""
    averages_layers: bool
    """Whether the layers' losses are averaged (Gatys: w_l = 1/|L|) or summed (neural-style)."""


STYLE_LOSSES: dict[str, StyleLoss] = {
    "gram": StyleLoss(gram, gram_loss, averages_layers=False),
    "gatys": StyleLoss(gram, gatys_style_loss, averages_layers=True),
}
