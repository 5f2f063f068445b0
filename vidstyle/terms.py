"""What the objective is a sum of: the terms of one frame, each a loss of one layer's activations or of the picture.

A loss of a layer can be worked out from all of the activations at once, or gathered from rectangles of positions: what is gathered of parts
is added, and the loss is a function of the sum (`strips` and `region` use that). Losses that need to see all positions at once have the
parts put together instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch.nn import functional

from vidstyle.losses import STYLE_LOSSES, StyleLoss, content_loss, drift_loss, temporal_loss, total_variation
from vidstyle.rectangle import Rectangle
from vidstyle.settings import Settings
from vidstyle.vgg import Features

__all__ = [
    "ContentOf",
    "LayerLoss",
    "Reference",
    "Region",
    "StyleOf",
    "StyleTargets",
    "Term",
    "blended",
    "build_terms",
    "style_losses",
]


@dataclass(frozen=True, slots=True)
class StyleTargets:
    """What the picture is to agree with: layer name -> one tensor, as the style losses make it."""

    style: Mapping[str, torch.Tensor]
    """Of the chosen style loss."""
    histogram: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Of the histogram loss that joins it; empty without."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where a style goes.

    Convention: `mask` is (1, 1, H, W) in [0, 1] at the picture, not 0 everywhere, or None for the whole picture.
    """

    targets: StyleTargets
    mask: torch.Tensor | None = None

    @property
    def area(self) -> float | torch.Tensor:
        """Share of the picture: with it as the weight of the region's losses a style pulls at every pixel alike, however small its part."""
        return 1.0 if self.mask is None else self.mask.mean()

    def at(self, height: int, width: int, dtype: torch.dtype) -> torch.Tensor | None:
        """The mask at the positions of a layer, (1, 1, height, width): the mean over what a position stands for."""
        return None if self.mask is None else functional.adaptive_avg_pool2d(self.mask, (height, width)).to(dtype)


@dataclass(frozen=True, slots=True)
class Reference:
    """A stylised frame of another moment, moved to where its pixels are now.

    Convention: `warped` is (1, 3, H, W) RGB in [0, 1]; `trust` is (1, 1, H, W) in [0, 1], zero where the flow
    cannot be believed.
    """

    warped: torch.Tensor
    trust: torch.Tensor

    def __post_init__(self) -> None:
        if self.warped.shape[-2:] != self.trust.shape[-2:] or self.trust.shape[:2] != (1, 1):
            raise ValueError(f"the trust of a reference is (1, 1, H, W), got {self.trust.shape = } for {self.warped.shape = }")


class LayerLoss(ABC):
    """A loss of the activations of one layer."""

    adds: bool
    """Whether what is gathered of parts is added; otherwise it is the activations, which are put together."""

    @abstractmethod
    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar, of all of the layer, (1, C, H, W)."""

    @abstractmethod
    def gather(self, features: torch.Tensor, where: Rectangle, centre: torch.Tensor) -> torch.Tensor:
        """What a part of the layer, (1, C, rows, columns), contributes; `centre`, (C,), is near the layer's mean, always the same.

        Both are on one device, which need not be that of the targets, and what is gathered is there too.
        """

    @abstractmethod
    def finish(self, gathered: torch.Tensor, height: int, width: int, centre: torch.Tensor) -> torch.Tensor:
        """The loss out of what all parts of a layer of this size have contributed."""


@dataclass(frozen=True, slots=True)
class ContentOf(LayerLoss):
    """The content loss: activations held to those of the source, `target`, (1, C, H, W)."""

    target: torch.Tensor
    adds = True

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """The mean squared difference."""
        return content_loss(features, self.target)

    def gather(self, features: torch.Tensor, where: Rectangle, centre: torch.Tensor) -> torch.Tensor:
        """Their share of the mean."""
        return (features - self.target[where.index].to(features.device)).square().sum() / self.target.numel()

    def finish(self, gathered: torch.Tensor, height: int, width: int, centre: torch.Tensor) -> torch.Tensor:
        """The sum of the shares, which it is."""
        return gathered


@dataclass(frozen=True, slots=True)
class StyleOf(LayerLoss):
    """A style loss of one region: a statistic of the activations held to the style's, `target`."""

    loss: StyleLoss
    target: torch.Tensor
    region: Region

    @property
    def adds(self) -> bool:  # type: ignore[override]
        """Whether the statistic is made of sums."""
        return self.loss.sums is not None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """The distance of the statistic, times the region's share of the picture."""
        weights = self.region.at(features.shape[-2], features.shape[-1], features.dtype)
        return self.region.area * self.loss.distance(self.loss.statistics(features, weights), self.target)

    def gather(self, features: torch.Tensor, where: Rectangle, centre: torch.Tensor) -> torch.Tensor:
        """The statistic's sums; the activations themselves where it has none."""
        if self.loss.sums is None:
            return features
        weights = self.region.at(where.height, where.width, features.dtype)
        return self.loss.sums.gather(features, None if weights is None else weights[where.index].to(features.device), centre)

    def finish(self, gathered: torch.Tensor, height: int, width: int, centre: torch.Tensor) -> torch.Tensor:
        """The distance of the statistic that the sums make."""
        if self.loss.sums is None:
            return self(gathered)
        weights = self.region.at(height, width, gathered.dtype)
        total = float(height * width) if weights is None else weights.sum()
        return self.region.area * self.loss.distance(self.loss.sums.finish(gathered, total, centre), self.target)


@dataclass(frozen=True, slots=True)
class Term:
    """One weighted loss of one layer. Terms of the same name are parts of the same loss."""

    name: str
    weight: float
    layer: str
    """What it looks at: a layer of the network, or "input", the picture itself."""
    loss: LayerLoss | Callable[[torch.Tensor], torch.Tensor]
    """Of the layer's activations; or of the picture, and then any function."""


def blended(settings: Settings, styles: Sequence[tuple[float, StyleTargets]]) -> StyleTargets:
    """One target of several styles, each with its weight; the weights sum to 1."""
    targets = {}
    for term, (loss, layers) in style_losses(settings).items():
        targets[term] = {layer: loss.prepare(loss.blend([(share, getattr(one, term)[layer]) for share, one in styles])) for layer in layers}
    return StyleTargets(**targets)


def style_losses(settings: Settings) -> dict[str, tuple[StyleLoss, tuple[str, ...]]]:
    """Each term that looks at the style: its loss, and the layers it looks at."""
    style = settings.style
    return {
        "style": (STYLE_LOSSES[style.loss], style.layers if style.weight > 0 else ()),
        "histogram": (STYLE_LOSSES["histogram"], style.histogram_layers if style.histogram_weight > 0 else ()),
    }


def build_terms(
    settings: Settings,
    content: Features | None,
    regions: Sequence[Region],
    references: Iterable[Reference] = (),
    expected: Reference | None = None,
) -> list[Term]:
    """The terms of one frame.

    Args:
        settings: with the weights.
        content: what is kept of the source.
        regions: the styles, and where each of them goes.
        references: each a temporal term.
        expected: what brightness and colour are held to, a drift term.
    """
    terms = []
    if content is not None and settings.content.weight > 0:
        for layer in settings.content.layers:
            terms.append(Term("content", settings.content.weight, layer, ContentOf(content[layer])))
    losses = style_losses(settings)
    style, layers = losses["style"]
    weights = settings.style.layer_weights or (1.0,) * len(layers)
    share = 1 / sum(weights) if style.averages_layers else 1.0
    for layer, weight in zip(layers, weights, strict=True):
        terms += _style_terms("style", style, settings.style.weight * style.unit * share * weight, layer, regions)
    histogram, layers = losses["histogram"]
    for layer in layers:
        terms += _style_terms("histogram", histogram, settings.style.histogram_weight * histogram.unit, layer, regions)
    terms.append(Term("tv", settings.optimize.tv_weight, "input", partial(total_variation, wraps=settings.run.tileable)))
    for number, reference in enumerate(references, start=1):
        held_to = partial(temporal_loss, warped=reference.warped, trust=reference.trust)
        terms.append(Term(f"temporal_{number}", settings.temporal.weight, "input", held_to))
    if expected is not None:
        held_to = partial(drift_loss, expected=expected.warped, calm=expected.trust)
        terms.append(Term("drift", settings.temporal.drift_weight, "input", held_to))
    return terms


def _style_terms(name: str, loss: StyleLoss, weight: float, layer: str, regions: Sequence[Region]) -> list[Term]:
    """One style loss of one layer, for every region."""
    return [Term(name, weight, layer, StyleOf(loss, getattr(region.targets, name)[layer], region)) for region in regions]
