"""What a painting is held to: the source's activations, and the statistics of style pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vidstyle.losses import StyleLoss
from vidstyle.rectangle import Rectangle
from vidstyle.settings import Settings
from vidstyle.spread import Spread
from vidstyle.strips import PLAIN, Fold, Gathered, look_at
from vidstyle.terms import LayerLoss, StyleTargets, blended, style_losses
from vidstyle.vgg import VGG19, Features

__all__ = ["content_targets", "style_statistics", "style_targets"]


def content_targets(network: VGG19, source: torch.Tensor, settings: Settings, fold: Fold = PLAIN, spread: Spread | None = None) -> Features:
    """What the content loss keeps of the source, (1, 3, H, W) RGB in [0, 1]; nothing where its weight is 0. `spread`: see `look_at`."""
    kept: Features = {}

    def keep(layer: str, features: torch.Tensor, where: Rectangle) -> None:
        if layer not in kept:
            kept[layer] = torch.empty(
                (1, features.shape[1], where.height, where.width),
                dtype=features.dtype, device=features.device, memory_format=torch.channels_last,
            )  # fmt: skip
        kept[layer][where.index] = features

    layers = settings.content.layers if settings.content.weight > 0 else ()
    look_at(network, source, layers, fold, keep, settings.run.tileable, spread)
    return kept


def style_statistics(
    network: VGG19, picture: torch.Tensor, settings: Settings, fold: Fold = PLAIN, spread: Spread | None = None
) -> StyleTargets:
    """What the settings' losses look at in one style picture, (1, 3, H, W) RGB in [0, 1]; not yet blended. `spread`: see `look_at`."""
    wanted = {term: {layer: _StatisticOf(loss) for layer in layers} for term, (loss, layers) in style_losses(settings).items()}
    at: dict[str, list[LayerLoss]] = {}
    for statistics in wanted.values():
        for layer, statistic in statistics.items():
            at.setdefault(layer, []).append(statistic)
    gathered = Gathered(at)
    look_at(network, picture, tuple(at), fold, gathered.visit, spread=spread)
    made: dict[LayerLoss, torch.Tensor] = {}
    with torch.no_grad():
        for layer in at:
            for one, sums in gathered.of(layer):
                made[one] = one.finish(sums, *gathered.sizes[layer], gathered.centres[layer])
    return StyleTargets(**{term: {layer: made[statistic] for layer, statistic in of.items()} for term, of in wanted.items()})


def style_targets(network: VGG19, pictures: Iterable[tuple[float, torch.Tensor]], settings: Settings) -> StyleTargets:
    """The target of style pictures, (1, 3, H, W) RGB in [0, 1] each with its blend weight; the weights sum to 1."""
    return blended(settings, [(share, style_statistics(network, picture, settings)) for share, picture in pictures])


@dataclass(frozen=True, slots=True, eq=False)
class _StatisticOf(LayerLoss):
    """Not a loss: the statistic that one is of, of a whole picture."""

    loss: StyleLoss

    @property
    def adds(self) -> bool:  # type: ignore[override]
        return self.loss.sums is not None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        return self.loss.statistics(features)

    def gather(self, features: torch.Tensor, where: Rectangle, centre: torch.Tensor) -> torch.Tensor:
        return features if self.loss.sums is None else self.loss.sums.gather(features, None, centre)

    def finish(self, gathered: torch.Tensor, height: int, width: int, centre: torch.Tensor) -> torch.Tensor:
        return self(gathered) if self.loss.sums is None else self.loss.sums.finish(gathered, float(height * width), centre)
