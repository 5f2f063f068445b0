"""The objective: named loss terms, each a function of the features of one picture, weighted and summed.

    total = α·content + β·style + τ·TV + γ·temporal (one a reference) + δ·drift + overflow

`objective`, the figure in logs and tools, is α·content + β·style alone: the quantity that
neural-style and artistic-videos minimise, in their units (activations of 0-255 BGR input).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from vidstyle.losses import overflow_loss
from vidstyle.pixels import savable
from vidstyle.settings import VGG_LAYERS
from vidstyle.terms import Term
from vidstyle.vgg import VGG19, Features

__all__ = ["HARDLY_A_SAY", "OVERFLOW_WEIGHT", "Evaluation", "LossReport", "Objective", "sum_of"]

OVERFLOW_WEIGHT = 1e3
"""Weight of the excess over the range that can be saved. The losses see the clamped picture, because the
free optimum leaves the range at one value in a hundred, and clipping it afterwards costs 18 % of the objective."""
HARDLY_A_SAY = 0.05
"""Share of the gradient up to which the slope of a layer that is held to first order may be out of date: it never is by all of itself."""


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

    def __init__(self, network: VGG19, terms: Iterable[Term], wraps: bool = False, hold: int = 1, block: int = 1) -> None:
        """
        Args:
            network: whose layers the terms look at.
            terms: those with a weight of 0 are left out.
            wraps: lays the picture side by side with itself; see `VGG19.forward`.
            hold: evaluations that one look at the deepest layer serves; from 2 on the host waits for every evaluation.
            block: of the network, which what it is a function of is handed to; 1: the picture. The terms look at nothing before.
        """
        self._network = network
        self._terms = tuple(term for term in terms if term.weight > 0)
        self._layers = [name for name in VGG_LAYERS if any(term.layer == name for term in self._terms)]
        self._wraps = wraps
        self._hold = hold
        self._block = block
        self._slope: _Slope | None = None

    def terms(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each weighted loss at `image`, (1, 3, H, W) RGB around [0, 1], as scalars that carry their graph; none is held.

        The losses look at the picture as it would be saved, clamped; what was cut off is a term of its own.
        """
        return {**_sums(self._terms, self._features(image, self._layers)), **self._beyond(image)}

    def _features(self, variable: torch.Tensor, layers: Sequence[str]) -> Features:
        if self._block > 1:
            return self._network.entered(self._block, variable, layers, self._wraps)
        features: Features = self._network(savable(variable), layers, self._wraps)
        return features

    def _deeper(self, activations: torch.Tensor, before: str, deepest: str) -> Features:
        """Those of the deepest layer, from those of the one that is looked at next before it."""
        return self._network.deeper(activations, before, [deepest], self._wraps)

    def _beyond(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """The term of what cannot be saved, if this is a function of the picture."""
        return {} if self._block > 1 else {"overflow": OVERFLOW_WEIGHT * overflow_loss(image)}

    def __call__(self, image: torch.Tensor) -> Evaluation:
        """The terms at `image` and the gradient of their sum; of a block, at what it is handed, (1, C, H, W)."""
        variable = image.detach().requires_grad_()
        if self._hold > 1 and len(self._layers) > 1:
            values, gradient = self._evaluated(variable, self._layers[-2], self._layers[-1])
        else:
            values = self.terms(variable)
            (gradient,) = torch.autograd.grad(sum_of(values.values()), variable)
        return Evaluation(tuple(values), torch.stack([value.detach() for value in values.values()]), gradient)

    def _evaluated(self, image: torch.Tensor, before: str, deepest: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Terms and gradient, the deepest layer held to first order around where it was looked at last."""
        features = self._features(image, self._layers[:-1])
        values = _sums((term for term in self._terms if term.layer != deepest), features) | self._beyond(image)
        if self._slope is None:
            self._slope = self._slope_at(features[before].detach(), before, deepest)
        slope = self._slope
        for name, value in slope.values_at(features[before]).items():
            values[name] = values[name] + value if name in values else value
        gradient, there = torch.autograd.grad(sum_of(values.values()), (image, features[before]))
        slope.uses += 1
        steep = torch.stack(list(slope.gradients.values())).sum(dim=0).norm() > HARDLY_A_SAY * there.norm()
        if slope.uses >= self._hold or bool(steep):
            self._slope = None
        return values, gradient

    def _slope_at(self, activations: torch.Tensor, before: str, deepest: str) -> _Slope:
        variable = activations.requires_grad_()
        features = self._deeper(variable, before, deepest)
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


def sum_of(values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of scalars, on their own device."""
    return torch.stack(list(values)).sum()
