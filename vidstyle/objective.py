"""The objective: named loss terms, each a function of the features of one picture, weighted and summed.

    total = α·content + β·style + τ·TV + γ·temporal (one a reference) + δ·drift + overflow

`objective`, the figure in logs and tools, is α·content + β·style alone: the quantity that
neural-style and artistic-videos minimise, in their units (activations of 0-255 BGR input).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import torch

from vidstyle.losses import (
    STYLE_LOSSES,
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
    "StyleTargets",
    "Term",
    "build_terms",
    "content_targets",
    "style_targets",
]

OVERFLOW_WEIGHT = 1e3
"""Weight of the excess over the range that can be saved. The losses see the clamped picture, because the
free optimum leaves the range at one value in a hundred, and clipping it afterwards costs 18 % of the objective."""


@dataclass(frozen=True, slots=True)
class StyleTargets:
    """What the picture is to agree with, styles already blended: layer name -> one tensor, as the style losses make it."""

    style: Mapping[str, torch.Tensor]
    """Of the chosen style loss."""
    histogram: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Of the histogram loss that joins it; empty without."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier stylised frame, moved to where its pixels are now.

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


def style_targets(network: VGG19, pictures: Iterable[tuple[float, torch.Tensor]], settings: Settings) -> StyleTargets:
    """Statistics of the style pictures, (1, 3, H, W) RGB in [0, 1] each with its blend weight; the weights sum to 1."""
    style = settings.style
    wanted = {"style": (STYLE_LOSSES[style.loss], style.layers if style.weight > 0 else ())}
    wanted["histogram"] = (STYLE_LOSSES["histogram"], style.histogram_layers if style.histogram_weight > 0 else ())
    shares: dict[tuple[str, str], list[tuple[float, torch.Tensor]]] = {}
    with torch.no_grad():
        for share, picture in pictures:
            features = network(picture, settings.style_layers)
            for term, (loss, layers) in wanted.items():
                for layer in layers:
                    shares.setdefault((term, layer), []).append((share, loss.statistics(features[layer])))
        targets: dict[str, dict[str, torch.Tensor]] = {"style": {}, "histogram": {}}
        for (term, layer), several in shares.items():
            loss = wanted[term][0]
            targets[term][layer] = loss.prepare(loss.blend(several))
    return StyleTargets(**targets)


def build_terms(
    settings: Settings,
    content: Features | None,
    targets: StyleTargets,
    references: Iterable[Reference] = (),
    expected: Reference | None = None,
) -> list[Term]:
    """The terms of one frame: content and style, total variation, one temporal term a reference, and the drift from what is expected."""
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
    style = STYLE_LOSSES[settings.style.loss]
    weights = settings.style.layer_weights or (1.0,) * len(settings.style.layers)
    of_layer = dict(zip(settings.style.layers, weights, strict=True))
    share = 1 / sum(weights) if style.averages_layers else 1.0
    if targets.style:
        terms.append(
            Term(
                "style",
                settings.style.weight * style.unit * share,
                lambda features: sum_of(
                    of_layer[layer] * style.distance(style.statistics(features[layer]), target) for layer, target in targets.style.items()
                ),
            )
        )
    if targets.histogram:
        histogram = STYLE_LOSSES["histogram"]
        terms.append(
            Term(
                "histogram",
                settings.style.histogram_weight * histogram.unit,
                lambda features: sum_of(
                    histogram.distance(histogram.statistics(features[layer]), target) for layer, target in targets.histogram.items()
                ),
            )
        )
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


def sum_of(values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of scalars, on their own device."""
    return torch.stack(list(values)).sum()
