"""The objective: named loss terms, each a function of the features of one picture, weighted and summed.

    total = α·content + β·style + τ·TV + γ·temporal (one a reference) + δ·drift + overflow

`objective`, the figure in logs and tools, is α·content + β·style alone: the quantity that
neural-style and artistic-videos minimise, in their units (activations of 0-255 BGR input).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

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
from vidstyle.settings import VGG_LAYERS, Settings
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
_HARDLY_A_SAY = 0.05
"""Share of the gradient up to which the slope of a layer that is held to first order may be out of date: it never is by all of itself."""


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
    """One weighted loss of one layer. Terms of the same name are parts of the same loss."""

    name: str
    weight: float
    layer: str
    """What it looks at: a layer of the network, or "input", the picture itself."""
    loss: Callable[[torch.Tensor], torch.Tensor]
    """Of the layer's activations, or of the picture."""


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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The objective at one picture, where it was computed: nothing of it has been waited for."""

    names: tuple[str, ...]
    values: torch.Tensor
    """The weighted terms, (terms,), in the order of their names."""
    gradient: torch.Tensor
    """That of their sum, of the picture's shape."""

    @property
    def report(self) -> LossReport:
        """The terms as numbers: waits for them, and takes them off the device in one transfer."""
        return LossReport(dict(zip(self.names, self.values.tolist(), strict=True)))


@dataclass(slots=True)
class _Slope:
    """How the deepest layer's losses change around one picture, to first order."""

    at: torch.Tensor
    """Activations of the layer that is looked at next before it, (1, C, H, W)."""
    values: Mapping[str, torch.Tensor]
    """Name -> the weighted losses there."""
    gradients: Mapping[str, torch.Tensor]
    """Name -> their gradient for those activations."""
    uses: int = 0

    def values_at(self, activations: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: value + (self.gradients[name] * (activations - self.at)).sum() for name, value in self.values.items()}


class Objective:
    """The sum of terms as a function of a picture, with its gradient.

    The deepest layer is expensive and may hardly have a say: by default relu5_1 takes a fifth of the time, for 0.3 % of the
    objective and 1.5 % of its gradient. With `hold` its losses are worked out every so many evaluations, and to first order between
    them, as functions of the activations of the next deepest layer that is looked at, as long as their slope is less than a
    twentieth of the whole gradient there.
    """

    def __init__(self, network: VGG19, terms: Iterable[Term], wraps: bool = False, hold: int = 1) -> None:
        """
        Args:
            network: whose layers the terms look at.
            terms: those with a weight of 0 are left out.
            wraps: lays the picture side by side with itself; see `VGG19.forward`.
            hold: evaluations that one look at the deepest layer serves; from 2 on the host waits for every evaluation.
        """
        self._network = network
        self._terms = tuple(term for term in terms if term.weight > 0)
        self._layers = [name for name in VGG_LAYERS if any(term.layer == name for term in self._terms)]
        self._wraps = wraps
        self._hold = hold
        self._slope: _Slope | None = None

    def terms(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each weighted loss at `image`, (1, 3, H, W) RGB around [0, 1], as scalars that carry their graph; none is held.

        The losses look at the picture as it would be saved, clamped; what was cut off is a term of its own.
        """
        features = self._network(image.clamp(0, 1), self._layers, self._wraps)
        return {**_sums(self._terms, features), "overflow": OVERFLOW_WEIGHT * overflow_loss(image)}

    def __call__(self, image: torch.Tensor) -> Evaluation:
        """The terms at `image` and the gradient of their sum."""
        variable = image.detach().requires_grad_()
        if self._hold > 1 and len(self._layers) > 1:
            values, gradient = self._evaluated(variable, self._layers[-2], self._layers[-1])
        else:
            values = self.terms(variable)
            (gradient,) = torch.autograd.grad(sum_of(values.values()), variable)
        return Evaluation(tuple(values), torch.stack([value.detach() for value in values.values()]), gradient)

    def _evaluated(self, image: torch.Tensor, before: str, deepest: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Terms and gradient, the deepest layer held to first order around where it was looked at last."""
        features = self._network(image.clamp(0, 1), self._layers[:-1], self._wraps)
        values = _sums((term for term in self._terms if term.layer != deepest), features)
        values["overflow"] = OVERFLOW_WEIGHT * overflow_loss(image)
        if self._slope is None:
            self._slope = self._slope_at(features[before].detach(), before, deepest)
        slope = self._slope
        for name, value in slope.values_at(features[before]).items():
            values[name] = values[name] + value if name in values else value
        gradient, there = torch.autograd.grad(sum_of(values.values()), (image, features[before]))
        slope.uses += 1
        steep = torch.stack(list(slope.gradients.values())).sum(dim=0).norm() > _HARDLY_A_SAY * there.norm()
        if slope.uses >= self._hold or bool(steep):
            self._slope = None
        return values, gradient

    def _slope_at(self, activations: torch.Tensor, before: str, deepest: str) -> _Slope:
        variable = activations.requires_grad_()
        features = self._network.deeper(variable, before, [deepest], self._wraps)
        values = _sums((term for term in self._terms if term.layer == deepest), features)
        gradients = {name: torch.autograd.grad(value, variable, retain_graph=True)[0] for name, value in values.items()}
        return _Slope(activations.detach(), {name: value.detach() for name, value in values.items()}, gradients)


def _sums(terms: Iterable[Term], features: Features) -> dict[str, torch.Tensor]:
    """Name -> what the terms of that name come to, weights included."""
    values: dict[str, torch.Tensor] = {}
    for term in terms:
        value = term.weight * term.loss(features[term.layer])
        values[term.name] = values[term.name] + value if term.name in values else value
    return values


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
    if content is not None and settings.content.weight > 0:
        for layer in settings.content.layers:
            terms.append(Term("content", settings.content.weight, layer, partial(content_loss, target=content[layer])))
    losses = _style_losses(settings)
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

    def value(activations: torch.Tensor, region: Region) -> torch.Tensor:
        target: torch.Tensor = getattr(region.targets, name)[layer]
        return region.area * loss.distance(loss.statistics(activations, region.at(activations)), target)

    return [Term(name, weight, layer, partial(value, region=region)) for region in regions]


def sum_of(values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of scalars, on their own device."""
    return torch.stack(list(values)).sum()
