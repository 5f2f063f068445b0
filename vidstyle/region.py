"""The objective as a function of a part of a picture, the rest of which is held: exactly that of the whole, for less work.

What a crop can change of a layer is a rectangle: the crop, halved where the network pools, a position larger on every side after each
convolution. Everything outside it is what it is at the picture that is held, and is worked out once: what the losses gather there,
and the rim around each rectangle that the next convolution sees. An evaluation works out the rectangles alone, each put into its
rim, and adds what they gather to what is known of the rest. Losses that need to see all positions at once have the rectangle
put into the layer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from vidstyle.losses import overflow_loss
from vidstyle.objective import OVERFLOW_WEIGHT, Objective
from vidstyle.pixels import savable
from vidstyle.rectangle import Rectangle
from vidstyle.settings import VGG_LAYERS
from vidstyle.strips import PLAIN, Fold, look_at
from vidstyle.terms import LayerLoss, Term
from vidstyle.vgg import CHANNELS, VGG19, Features, begins_block, goes_by_tiles
from vidstyle.winograd import TILE, Sides

__all__ = ["CropObjective", "Surroundings", "pays", "share_of_work"]

_PAYS = {1: 0.8, 3: 0.3, 4: 0.15, 5: 0.05, 6: 0.05}
"""Share of the work up to which a crop is worked on by itself, by the block from which on the fold has everything at once. Above the first
no less time would be taken; with the others the crop, which is worked on at once, would take more memory."""


class Surroundings:
    """What lies around a rectangle and stays as it is."""

    def __init__(self, place: torch.Tensor, inside: Rectangle) -> None:
        """
        Args:
            place: the rectangle and what is around it, (1, C, rows, columns); it is copied.
            inside: where in the place the rectangle lies. Of a rectangle that reaches beyond it, what does is left out.
        """
        self._rim = place.clone(memory_format=torch.preserve_format)
        self._rim[inside.overlap(Rectangle.whole(inside.height, inside.width)).index] = 0
        self._sides = inside.sides

    def around(self, x: torch.Tensor) -> torch.Tensor:
        """The place with `x`, (1, C, rows, columns), where the rectangle is."""
        return functional.pad(x, self._sides).add_(self._rim)


@dataclass(frozen=True, slots=True)
class _Window:
    """What a crop can change of one layer."""

    name: str
    before: Rectangle
    """What it can change of the layer before, or of the picture."""
    sees: Rectangle
    """What is looked at there, so that all that is changed here comes out right."""
    makes: Rectangle
    """What comes out of it here: whole tiles of Winograd's, so that they round as those of the whole do."""
    beyond: Sides
    """How much more than this is looked at, pooled where the layer begins a block."""
    changes: Rectangle


def _windows(crop: Rectangle, layers: Collection[str]) -> list[_Window]:
    """Of every layer up to the deepest of `layers`, one after the other."""
    last = max((VGG_LAYERS.index(name) for name in layers if name in VGG_LAYERS), default=-1)
    found, before = [], crop
    for name in VGG_LAYERS[: last + 1]:
        handed = before.halved() if begins_block(name) else before
        changes = handed.grown(1)
        makes = changes.on_grid(TILE) if goes_by_tiles(name, changes.height, changes.width) else changes
        looked_at = makes.grown(1)
        beyond = makes.within(looked_at).sides
        sees = looked_at.doubled(before.height, before.width) if begins_block(name) else looked_at
        found.append(_Window(name, before, sees, makes, beyond, changes))
        before = found[-1].changes
    return found


def share_of_work(crop: Rectangle, layers: Collection[str]) -> float:
    """What share of the multiplications of the network up to the deepest of `layers` an evaluation for the crop alone takes."""
    part = total = 0
    for window in _windows(crop, layers):
        block = int(window.name[4])
        inputs = 3 if window.name == "relu1_1" else CHANNELS[block - begins_block(window.name)]
        part += inputs * CHANNELS[block] * window.makes.positions
        total += inputs * CHANNELS[block] * window.makes.height * window.makes.width
    return part / total if total else 0.0


def pays(crop: Rectangle, layers: Collection[str], fold: Fold) -> bool:
    """Whether the objective of the crop alone takes less than that of the picture so folded, and no more memory."""
    return share_of_work(crop, layers) <= _PAYS[fold.whole_from]


class _OfPart:
    """A loss of a layer as a function of the rectangle that can change; the rest is gathered beforehand."""

    def __init__(self, loss: LayerLoss, part: Rectangle) -> None:
        self._loss, self._part = loss, part
        self._fixed: torch.Tensor | None = None
        self._whole: torch.Tensor | None = None
        self._surroundings: Surroundings | None = None
        self._centre = torch.zeros(())

    def look(self, features: torch.Tensor, where: Rectangle, centre: torch.Tensor) -> None:
        """Takes in a part of the layer at the picture that is held, (1, C, rows, columns); `centre` is the same for all of them."""
        self._centre = centre
        if self._loss.adds:
            for piece in where.without(self._part):
                gathered = self._loss.gather(features[piece.within(where).index], piece, centre)
                self._fixed = gathered if self._fixed is None else self._fixed + gathered
            return
        if self._whole is None:
            self._whole = features.new_empty(1, features.shape[1], where.height, where.width)
        self._whole[where.index] = features

    def ready(self) -> None:
        """Says that all parts were looked at."""
        if self._whole is not None:
            self._surroundings, self._whole = Surroundings(self._whole, self._part), None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar, of the whole layer with `features`, (1, C, rows, columns), where it can change."""
        if self._surroundings is not None:
            gathered = self._surroundings.around(features)
        else:
            gathered = self._loss.gather(features, self._part, self._centre)
            gathered = gathered if self._fixed is None else self._fixed + gathered
        return self._loss.finish(gathered, self._part.height, self._part.width, self._centre)


class CropObjective(Objective):
    """`Objective` as a function of a crop: the same values as for the whole picture, and the gradient for the crop.

    With `hold`, whether the deepest layer has hardly a say is asked of what the crop can change.
    """

    def __init__(self, network: VGG19, terms: Iterable[Term], picture: torch.Tensor, crop: Rectangle, fold: Fold = PLAIN, hold: int = 1):
        """Goes through the network once.

        Args:
            network: whose layers the terms look at.
            terms: those of the whole picture; those with a weight of 0 are left out.
            picture: what is held outside the crop, (1, 3, H, W) RGB around [0, 1].
            crop: a rectangle of the picture, not empty.
            fold: how the network is gone through for the picture; for the crop it is at once.
            hold: as `Objective` has it.

        Raises:
            UsageError: the picture is smaller than the deepest layer can see.
        """
        terms = [term for term in terms if term.weight > 0]
        self._windows = _windows(crop, {term.layer for term in terms})
        self._picture = Surroundings(picture, crop)
        self._rims: dict[str, Surroundings] = {}
        super().__init__(network, self._prepared(network, terms, picture, fold), hold=hold)

    def _prepared(self, network: VGG19, terms: Sequence[Term], picture: torch.Tensor, fold: Fold) -> list[Term]:
        """The terms as functions of what the crop can change; makes the rims too."""
        changes = {window.name: window.changes for window in self._windows}
        losses: dict[str, list[_OfPart]] = {name: [] for name in changes}
        found = []
        for term in terms:
            if isinstance(term.loss, LayerLoss):
                loss = _OfPart(term.loss, changes[term.layer])
                losses[term.layer].append(loss)
                term = replace(term, loss=loss)
            found.append(term)
        places: dict[str, torch.Tensor] = {}
        centres: dict[str, torch.Tensor] = {}
        following = dict(zip(["input", *changes], self._windows, strict=False))

        def look(layer: str, features: torch.Tensor, where: Rectangle) -> None:
            if losses.get(layer):
                centre = centres.setdefault(layer, features.mean(dim=(0, 2, 3)))
                for loss in losses[layer]:
                    loss.look(features, where, centre)
            if layer not in following:
                return
            sees = following[layer].sees
            if layer not in places:
                size = 1, features.shape[1], sees.bottom - sees.top, sees.right - sees.left
                places[layer] = torch.empty(size, dtype=features.dtype, device=features.device, memory_format=torch.channels_last)
            both = where.overlap(sees)
            if both.positions:
                places[layer][both.within(sees).index] = features[both.within(where).index]

        clamped = picture.detach().clamp(0, 1)
        look("input", clamped, Rectangle.whole(picture.shape[-2], picture.shape[-1]))
        look_at(network, clamped, list(changes), fold, look)
        for layer, place in places.items():
            window = following[layer]
            self._rims[window.name] = Surroundings(place, window.before.within(window.sees))
        for of_layer in losses.values():
            for loss in of_layer:
                loss.ready()
        return found

    def _features(self, variable: torch.Tensor, layers: Sequence[str]) -> Features:
        """Of the whole picture, under "input", and of what the crop can change of the layers."""
        x = savable(variable)
        return {"input": savable(self._picture.around(variable)), **self._through(x, self._windows, layers)}

    def _deeper(self, activations: torch.Tensor, before: str, deepest: str) -> Features:
        names = [window.name for window in self._windows]
        return self._through(activations, self._windows[names.index(before) + 1 :], [deepest])

    def _beyond(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"overflow": OVERFLOW_WEIGHT * overflow_loss(self._picture.around(image))}

    def _through(self, x: torch.Tensor, windows: Sequence[_Window], layers: Sequence[str]) -> Features:
        """What the crop can change of `layers`, behind `x`, the part of the layer before the first of the windows."""
        features: Features = {}
        given = x.dtype
        last = max((number for number, window in enumerate(windows) if window.name in layers), default=-1)
        for window in windows[: last + 1]:
            x = self._rims[window.name].around(x)
            if begins_block(window.name):
                x = self._network.pooled(x)
            x = self._network.layer(window.name, x, False, window.beyond, (window.makes.height, window.makes.width))
            if window.makes != window.changes:
                # cut by `pad`, whose gradient, unlike that of an index, stays in the layout that convolutions want: a third less time
                x = functional.pad(x, [-cut for cut in window.changes.within(window.makes).sides])
            if window.name in layers:
                features[window.name] = x.to(given)
        return features
