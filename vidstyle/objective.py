"""The objective: named loss terms, each a function of the features of one picture, weighted and summed.

    total = α·content + β·style + τ·TV + γ·temporal (one a reference) + δ·drift + overflow

`objective`, the figure in logs and tools, is α·content + β·style alone: the quantity that
neural-style and artistic-videos minimise, in their units (activations of 0-255 BGR input).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch.nn import functional

from vidstyle.losses import (
    STYLE_LOSSES,
    StyleLoss,
    content_loss,
    drift_loss,
    overflow_loss,
    temporal_loss,
    total_variation,
)
from vidstyle.settings import Settings
from vidstyle.vgg import VGG19, Features

__all__ = [
    "OVERFLOW_WEIGHT",
    "LossReport",
    "Objective",
    "Reference",
    "Region",
    "StyleTargets",
    "Term",
    "blended",
    "build_terms",
    "content_targets",
    "style_statistics",
    "style_targets",
]

OVERFLOW_WEIGHT = 1e3
"""Weight of the excess over the range that can be saved. The losses see the clamped picture, because the
free optimum leaves the range at one value in a hundred, and clipping it afterwards costs 18 % of the objective."""


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

    def at(self, features: torch.Tensor) -> torch.Tensor | None:
        """The mask at the positions of a layer, (1, 1, h, w): the mean over what a position stands for."""
        if self.mask is None:
            return None
        return functional.adaptive_avg_pool2d(self.mask, (features.shape[-2], features.shape[-1])).to(features.dtype)


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


@dataclass(frozen=True, slots=True)
class Term:
    """One weighted loss."""

    name: str
    weight: float
    loss: Callable[[Features], torch.Tensor]


@dataclass(frozen=True, slots=True)
class LossReport:
    """Every term of the objective at one picture, weights included."""

    terms: Mapping[str, float]

    @property
    def total(self) -> float:
        """What the optimiser minimises."""
        return sum(self.terms.values())

    @property
    def objective(self) -> float:
        """α·content + β·style, in the units of neural-style and artistic-videos."""
        return self.terms.get("content", 0.0) + self.terms.get("style", 0.0)


class Objective:
    """The sum of terms as a function of a picture, with its gradient."""

    def __init__(self, network: VGG19, terms: Iterable[Term], layers: Collection[str], wraps: bool = False) -> None:
        """`wraps` lays the picture side by side with itself; see `VGG19.forward`."""
        self._network = network
        self._terms = tuple(term for term in terms if term.weight > 0)
        self._layers = tuple(layers)
        self._wraps = wraps

    def terms(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each weighted term at `image`, (1, 3, H, W) RGB around [0, 1], as scalars that carry their graph.

        The losses look at the picture as it would be saved, clamped; what was cut off is a term of its own.
        """
        features = self._network(image.clamp(0, 1), self._layers, self._wraps)
        values = {term.name: term.weight * term.loss(features) for term in self._terms}
        values["overflow"] = OVERFLOW_WEIGHT * overflow_loss(image)
        return values

    def __call__(self, image: torch.Tensor) -> tuple[LossReport, torch.Tensor]:
        """The terms at `image` and the gradient of their sum, of `image`'s shape."""
        variable = image.detach().requires_grad_()
        values = self.terms(variable)
        total = torch.stack(list(values.values())).sum()
        (gradient,) = torch.autograd.grad(total, variable)
        numbers = torch.stack([value.detach() for value in values.values()]).tolist()  # one transfer, not one a term
        return LossReport(dict(zip(values, numbers, strict=True))), gradient


def content_targets(network: VGG19, source: torch.Tensor, settings: Settings) -> Features:
    """What the content loss keeps of the source, (1, 3, H, W) RGB in [0, 1]; the picture alone where its weight is 0."""
    layers = settings.content.layers if settings.content.weight > 0 else ()
    with torch.no_grad():
        return {name: values.clone() for name, values in network(source, layers, settings.run.tileable).items()}


def style_statistics(network: VGG19, picture: torch.Tensor, settings: Settings) -> StyleTargets:
    """What the settings' losses look at in one style picture, (1, 3, H, W) RGB in [0, 1]; not yet blended."""
    with torch.no_grad():
        features = network(picture, settings.style_layers)
        found = {
            term: {layer: loss.statistics(features[layer]) for layer in layers} for term, (loss, layers) in _style_losses(settings).items()
        }
    return StyleTargets(**found)


def blended(settings: Settings, styles: Sequence[tuple[float, StyleTargets]]) -> StyleTargets:
    """One target of several styles, each with its weight; the weights sum to 1."""
    targets = {}
    for term, (loss, layers) in _style_losses(settings).items():
        targets[term] = {layer: loss.prepare(loss.blend([(share, getattr(one, term)[layer]) for share, one in styles])) for layer in layers}
    return StyleTargets(**targets)


def style_targets(network: VGG19, pictures: Iterable[tuple[float, torch.Tensor]], settings: Settings) -> StyleTargets:
    """The target of style pictures, (1, 3, H, W) RGB in [0, 1] each with its blend weight; the weights sum to 1."""
    return blended(settings, [(share, style_statistics(network, picture, settings)) for share, picture in pictures])


def _style_losses(settings: Settings) -> dict[str, tuple[StyleLoss, tuple[str, ...]]]:
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
    if content is not None:
        kept = content
        terms.append(
            Term(
                "content",
                settings.content.weight,
                lambda features: sum_of(content_loss(features[layer], kept[layer]) for layer in settings.content.layers),
            )
        )
    losses = _style_losses(settings)
    style, layers = losses["style"]
    if layers and regions:
        weights = settings.style.layer_weights or (1.0,) * len(layers)
        share = 1 / sum(weights) if style.averages_layers else 1.0
        of_layer = dict(zip(layers, weights, strict=True))
        terms.append(Term("style", settings.style.weight * style.unit * share, _style_term("style", style, of_layer, regions)))
    histogram, layers = losses["histogram"]
    if layers and regions:
        weight = settings.style.histogram_weight * histogram.unit
        terms.append(Term("histogram", weight, _style_term("histogram", histogram, dict.fromkeys(layers, 1.0), regions)))
    terms.append(Term("tv", settings.optimize.tv_weight, lambda features: total_variation(features["input"], settings.run.tileable)))
    for number, reference in enumerate(references, start=1):
        terms.append(
            Term(
                f"temporal_{number}",
                settings.temporal.weight,
                lambda features, at=reference: temporal_loss(features["input"], at.warped, at.trust),  # type: ignore[misc]
            )
        )
    if expected is not None:
        terms.append(
            Term("drift", settings.temporal.drift_weight, lambda features: drift_loss(features["input"], expected.warped, expected.trust))
        )
    return terms


def _style_term(term: str, loss: StyleLoss, weights: Mapping[str, float], regions: Sequence[Region]) -> Callable[[Features], torch.Tensor]:
    """The sum over regions and layers of one style loss."""

    def value(features: Features) -> torch.Tensor:
        distances = []
        for region in regions:
            targets: Mapping[str, torch.Tensor] = getattr(region.targets, term)
            for layer, weight in weights.items():
                own = loss.statistics(features[layer], region.at(features[layer]))
                distances.append(region.area * weight * loss.distance(own, targets[layer]))
        return sum_of(distances)

    return value


def sum_of(values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of scalars, on their own device."""
    return torch.stack(list(values)).sum()
