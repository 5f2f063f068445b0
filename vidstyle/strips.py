"""The objective of pictures whose activations do not fit into memory: strip by strip, with the same outcome.

Style statistics and content are sums over positions, so they can be gathered from strips of rows, and their gradient flows back
through the strips as it would through the whole. The network is gone through in stages of a block or two: what one stage hands to the
next is kept as a whole, what lies inside is worked out anew when it is needed, in strips that reach as many rows into
their neighbours as the convolutions of the stage see. First come the statistics, then the gradient, from the last stage to the first.
Nothing is approximated, so there is no seam. Only where two activations are the same but for rounding does max pooling choose by it, and
Winograd's tiles, which begin with each strip, round otherwise than those of the whole. (Keeping little and working out the rest again:
Chen et al. 2016, arXiv 1604.06174.)
What lies in a stage behind the last layer that a loss looks at, by default more than half of the work, is not worked out again:
`Passed` is kept of it.

Stages from a chosen block on may be gone through as a whole, which is faster where there is room: deeper layers are smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from vidstyle.losses import overflow_loss
from vidstyle.objective import HARDLY_A_SAY, OVERFLOW_WEIGHT, Evaluation, Objective
from vidstyle.pixels import in_range, savable
from vidstyle.rectangle import Rectangle
from vidstyle.settings import VGG_LAYERS
from vidstyle.spread import Spread
from vidstyle.terms import LayerLoss, Term
from vidstyle.vgg import VGG19, begins_block, check_side
from vidstyle.way_back import Passed

__all__ = ["PLAIN", "Fold", "Gathered", "StripwiseObjective", "look_at", "objective_of"]

_STAGES = ((1, 2), (3,), (4,), (5,))
"""Blocks that are worked out together. What block 1 hands on is the largest of all, and to do without it costs a few rows."""
_LIGHTER = {1: 1, 3: 2, 4: 4, 5: 8}
"""How many times the picture's pixels a strip may have, for the same memory, by the first block of the stage."""

Visit = Callable[[str, torch.Tensor, Rectangle], None]
"""Is given a layer, the activations of some of its rows, (1, C, rows, W), and which they are; the rows come in order, each once.

The first are on the picture's device, others may be on another one.
"""

_Found = tuple[str, torch.Tensor, Rectangle]
"""What a `Visit` is given."""


@dataclass(frozen=True, slots=True)
class Fold:
    """How much of the network's work on a picture stands in memory at a time."""

    whole_from: int
    """The block from which on everything is worked out at once: 1 is the plain way, 3, 4 and 5 lie between, with 6 nothing is."""
    pixels: int = 1 << 20
    """Pixels of the picture in a strip, without what it reaches into its neighbours."""
    shares: int = 1
    """Devices that the strips are dealt over: every stage has as many strips for each, if it has so many rows."""

    def __post_init__(self) -> None:
        if self.whole_from not in (1, 3, 4, 5, 6) or self.pixels < 1 or self.shares < 1:
            raise ValueError(f"stages begin at block 1, 3, 4 and 5, strips have a pixel or more, shares are one or more: got {self}")


PLAIN = Fold(1)
"""Everything at once."""


@dataclass(frozen=True, slots=True)
class _Strip:
    """Which rows of each layer of a stage one strip works out; "from, to" everywhere, the latter not included."""

    sees: tuple[int, int]
    """Of what the stage is handed; beyond the edges of a picture that wraps."""
    owns: tuple[tuple[int, int], ...]
    """Of each layer, those that no other strip owns. At a cut the rows outside are wrong, one more with each layer, and never looked at."""
    hands_on: tuple[int, int]
    """Of what is handed to the next stage."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """Some blocks of the network on a picture of one size."""

    names: tuple[str, ...]
    heights: tuple[int, ...]
    """Of each layer."""
    hands_on: bool
    """Whether there is a next stage."""
    looked_at: int
    """How many layers there are up to the last one that is looked at."""
    strips: tuple[_Strip, ...]


@dataclass(slots=True)
class _There:
    """What comes of one strip on its way through a stage."""

    found: list[_Found] = field(default_factory=list)
    """The rows that the strip owns of every layer that is looked at."""
    offsets: list[int] = field(default_factory=list)
    """Where these begin in what was worked out of the layer."""
    passed: list[Passed] = field(default_factory=list)
    """Of each layer, from the one on of which it was wanted."""
    on: torch.Tensor | None = None
    """The rows that the strip hands on."""
    last: torch.Tensor | None = None
    """All that was worked out of the last layer."""


@dataclass(slots=True)
class _Back:
    """What comes of one strip on its way back through a stage."""

    gradient: torch.Tensor | None = None
    """For what it looks at of what the stage is handed."""
    at_watched: torch.Tensor | None = None
    """What comes to the layer that is watched from behind it."""
    watched_from: int = 0
    """The row of that layer with which this begins."""
    along: torch.Tensor | None = None
    """The product of this with the activations."""
    own: torch.Tensor | None = None
    """The sum of the squares of what its own losses add to it."""


@dataclass(slots=True)
class _Watched:
    """What comes to one layer from behind it, in all strips, and from its own losses."""

    layer: str
    gradient: torch.Tensor | None = None
    """What comes from behind it, (1, C, H, W)."""
    along: torch.Tensor = field(default_factory=lambda: torch.zeros(()))
    """The product of this with the activations."""
    own: torch.Tensor = field(default_factory=lambda: torch.zeros(()))
    """The sum of the squares of what its own losses have for it."""

    def add(self, back: _Back, height: int) -> None:
        """Adds a strip's share, of a layer so high."""
        if back.own is not None:
            self.own = back.own + self.own
        if back.at_watched is None or back.along is None:
            return
        if self.gradient is None:
            _, channels, _, width = back.at_watched.shape
            size = (1, channels, height, width)
            self.gradient = back.at_watched.new_zeros(size).contiguous(memory_format=torch.channels_last)
        _add_rows(self.gradient, back.watched_from, back.at_watched)
        self.along = back.along + self.along


@dataclass(frozen=True, slots=True)
class _FirstOrder(LayerLoss):
    """What depends on a layer, to first order around activations that it had once."""

    gradient: torch.Tensor
    """(1, C, H, W)."""
    rest: torch.Tensor
    """What it would be of activations of zero."""
    adds = True

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Of all of the layer."""
        return self.rest + (self.gradient * features).sum()

    def gather(self, features: torch.Tensor, where: Rectangle, centre: torch.Tensor) -> torch.Tensor:
        """What these activations add."""
        return (self.gradient[where.index].to(features.device) * features).sum()

    def finish(self, gathered: torch.Tensor, height: int, width: int, centre: torch.Tensor) -> torch.Tensor:
        """All that they have added, and the rest."""
        return self.rest + gathered


@dataclass(frozen=True, slots=True)
class _Gone:
    """What is kept of the way through all stages."""

    stages: list[_Stage]
    handed: list[torch.Tensor]
    """What each of them is handed, that of the whole end last if there is one."""
    behind: list[list[list[Passed]]]
    """Of each stage and strip: what the way back needs of each layer behind the last one that is looked at."""


class _Walk:
    """The network up to the deepest of some layers, gone through in strips up to the fold's block."""

    def __init__(self, spread: Spread, layers: Collection[str], wraps: bool, fold: Fold) -> None:
        self.spread, self.wraps, self._layers, self._fold = spread, wraps, layers, fold
        last = max((VGG_LAYERS.index(name) for name in layers if name in VGG_LAYERS), default=-1)
        self._names = VGG_LAYERS[: last + 1]

    @property
    def ends_whole(self) -> bool:
        """Whether the deepest layers are worked out at once."""
        return any(int(name[4]) >= self._fold.whole_from for name in self._names)

    def stages(self, height: int, width: int) -> list[_Stage]:
        """The stages that are gone through in strips, of a picture of this size."""
        if self._names:
            check_side(height, width, self._layers)
        found = []
        for blocks in _STAGES:
            names = tuple(name for name in self._names if int(name[4]) in blocks)
            if names and blocks[0] < self._fold.whole_from:
                pixels = self._fold.pixels * _LIGHTER[blocks[0]]
                found.append(self._stage(names, names[-1] != self._names[-1], height, max(pixels // width, 1)))
        return found

    def _stage(self, names: tuple[str, ...], hands_on: bool, height: int, rows: int) -> _Stage:
        """`rows` are those of the picture in a strip."""
        halvings = [int(name[4]) - 1 for name in names]
        heights = tuple(height >> count for count in halvings)
        deepest = halvings[-1] + hands_on
        units = height >> deepest
        count = -(-units // max(rows >> deepest, 1))
        count = min(-(-count // self._fold.shares) * self._fold.shares, units)
        edges = [units * number // count for number in range(count + 1)]
        strips = []
        for first, last in pairwise(edges):
            owns = []
            for halved, rows_of_layer in zip(halvings, heights, strict=True):
                down = deepest - halved
                owns.append((first << down, rows_of_layer if last == units else last << down))
            strips.append(self._strip(names, heights, owns, (first, last)))
        looked_at = max((number for number, name in enumerate(names, start=1) if name in self._layers), default=0)
        return _Stage(names, heights, hands_on, looked_at, tuple(strips))

    def _strip(self, names: Sequence[str], heights: Sequence[int], owns: list[tuple[int, int]], hands_on: tuple[int, int]) -> _Strip:
        first, last = owns[-1]
        even = 1
        for name, own in zip(reversed(names), reversed(owns), strict=True):
            first, last = min(first, own[0]) - 1, max(last, own[1]) + 1
            if begins_block(name) and name != names[0]:
                first, last, even = 2 * first, 2 * last, 2 * even
        first, last = first // even * even, -(-last // even) * even  # where the windows of the poolings begin
        return _Strip((first, last) if self.wraps else (max(first, 0), min(last, heights[0])), tuple(owns), hands_on)

    def rows_of(self, stage: _Stage, strip: _Strip, handed: torch.Tensor) -> torch.Tensor:
        """What the strip looks at of what the stage is handed."""
        first, last = strip.sees
        if first >= 0 and last <= handed.shape[-2]:
            return handed[:, :, first:last]
        return handed[:, :, self._around(stage, strip, handed.device)]

    def _around(self, stage: _Stage, strip: _Strip, device: torch.device) -> torch.Tensor:
        """The rows of a strip that reaches beyond the edge of a picture that wraps."""
        return torch.arange(*strip.sees, device=device) % stage.heights[0]

    def through(self, network: VGG19, stage: _Stage, strip: _Strip, x: torch.Tensor, layers: int, passed_from: int) -> _There:
        """The first so many `layers` of a stage, from what the strip looks at; `Passed` is remembered from the one `passed_from` on."""
        there = _There()
        given, begins, largest = x.dtype, strip.sees[0], network.pooling == "max"
        for number, (name, height, (first, last)) in enumerate(zip(stage.names[:layers], stage.heights, strip.owns, strict=False)):
            x = network.layer(name, x, self.wraps)
            if name in self._layers:
                there.offsets.append(first - begins)
                features = x[:, :, first - begins : last - begins].to(given)
                there.found.append((name, features, Rectangle.rows(first, last, height, x.shape[-1])))
            ends = number + 1 == len(stage.names)
            pooled, pooled_from = None, 2 * strip.hands_on[0] - begins if ends else 0
            if stage.hands_on if ends else begins_block(stage.names[number + 1]):
                pooled_to = 2 * strip.hands_on[1] - begins if ends else x.shape[-2]
                pooled = network.pooled(x[:, :, pooled_from:pooled_to])
            if number >= passed_from:
                there.passed.append(Passed.of(x, pooled, pooled_from, largest=largest, looked_at=name in self._layers))
            there.last = x
            if pooled is not None:
                x, begins = pooled, begins // 2
        there.on = x if stage.hands_on and layers == len(stage.names) else None
        return there

    def ahead(self, image: torch.Tensor, visit: Visit, comes_back: bool = False) -> _Gone:
        """Goes through the strips once; whether it `comes_back` later.

        `image` is (1, 3, H, W) RGB; what lies outside [0, 1] is looked at clamped.
        """
        gone = _Gone(self.stages(image.shape[-2], image.shape[-1]), [image], [])
        with torch.no_grad():
            for stage in gone.stages:
                parts, behind = self._ahead(stage, gone.handed[-1], len(gone.handed) == 1, visit, comes_back)
                gone.behind.append(behind)
                if parts is not None:
                    gone.handed.append(parts)
        return gone

    def _ahead(
        self, stage: _Stage, handed: torch.Tensor, first: bool, visit: Visit, comes_back: bool
    ) -> tuple[torch.Tensor | None, list[list[Passed]]]:
        """What a stage makes of what it is handed, and what its way back needs."""
        layers = len(stage.names)
        passed_from = stage.looked_at if comes_back else layers

        @torch.no_grad()
        def work(network: VGG19, strip: _Strip) -> _There:
            rows = self.rows_of(stage, strip, handed).to(network.device)
            there = self.through(network, stage, strip, rows.clamp(0, 1) if first else rows, layers, passed_from)
            there.passed, there.last = [passed.packed(handed.device) for passed in there.passed], None
            return there

        parts: torch.Tensor | None = None
        behind = []
        for strip, there in zip(stage.strips, self.spread.each(work, stage.strips), strict=True):
            for layer, features, owned in there.found:
                visit(layer, features, owned)
            behind.append(there.passed)
            if there.on is not None:
                if parts is None:
                    shape = (1, there.on.shape[1], stage.strips[-1].hands_on[1], there.on.shape[3])
                    parts = torch.empty(shape, dtype=there.on.dtype, device=handed.device, memory_format=torch.channels_last)
                parts[:, :, slice(*strip.hands_on)] = there.on
        return parts, behind


def _add_rows(total: torch.Tensor, first: int, rows: torch.Tensor) -> None:
    """Adds some rows, from the one numbered `first` on, to those of the whole; what lies beyond its edges goes on at the opposite ones."""
    height, last = total.shape[-2], first + rows.shape[-2]
    if first >= 0 and last <= height:
        total[:, :, first:last] += rows
    else:
        total.index_add_(2, torch.arange(first, last, device=total.device) % height, rows)


class Gathered:
    """What the losses of a network's layers have gathered so far."""

    def __init__(self, losses: Mapping[str, Sequence[LayerLoss]]) -> None:
        """`losses` are those of each layer."""
        self._losses = losses
        self._parts: dict[str, list[list[torch.Tensor]]] = {layer: [[] for _ in of_layer] for layer, of_layer in losses.items()}
        self.centres: dict[str, torch.Tensor] = {}
        """Of each layer, (C,): the mean of the rows that came first."""
        self.sizes: dict[str, tuple[int, int]] = {}
        """Of each layer, (height, width)."""

    def visit(self, layer: str, features: torch.Tensor, rows: Rectangle) -> None:
        """See `Visit`."""
        if layer not in self.centres:
            self.centres[layer] = features.mean(dim=(0, 2, 3))
        centre = self.centres[layer].to(features.device)
        self.sizes[layer] = rows.height, rows.width
        for loss, parts in zip(self._losses[layer], self._parts[layer], strict=True):
            part = loss.gather(features, rows, centre).to(self.centres[layer].device)
            if loss.adds and parts:
                parts[0] = parts[0] + part
            else:
                parts.append(part.clone() if part is features else part)  # a view would keep all of the strip

    def of(self, layer: str) -> Iterator[tuple[LayerLoss, torch.Tensor]]:
        """Each loss of the layer with what it has gathered, which is handed over."""
        for loss, parts in zip(self._losses[layer], self._parts[layer], strict=True):
            yield loss, parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)
            parts.clear()


@dataclass(frozen=True, slots=True)
class _Held:
    """The deepest layer's losses held to first order."""

    objective: StripwiseObjective
    steepness: torch.Tensor
    """The norm of their gradient at the layer before."""


class StripwiseObjective:
    """`Objective` in bounded memory: the same values and the same gradient, but for rounding."""

    def __init__(
        self, network: VGG19, terms: Iterable[Term], fold: Fold, wraps: bool = False, hold: int = 1, spread: Spread | None = None
    ) -> None:
        """
        Args:
            network: whose layers the terms look at.
            terms: those with a weight of 0 are left out.
            fold: how it is gone through.
            wraps: lays the picture side by side with itself; its sides are multiples of `minimum_side`.
            hold: as `Objective` has it, where the deepest layer is in another block than the one before it, or both are worked out at once.
            spread: works out the strips; the first of its networks is `network`. None: `network` does, one strip after the other.
        """
        if fold.whole_from == 1:
            raise ValueError("the plain way is `Objective`'s")
        self._terms = tuple(term for term in terms if term.weight > 0)
        of_network = [term for term in self._terms if term.layer != "input"]
        self._network, self._fold = network, fold
        self._walk = _Walk(spread or Spread([network]), {term.layer for term in of_network}, wraps, fold)
        behind = [term for term in of_network if int(term.layer[4]) >= fold.whole_from]
        self._end = Objective(network, behind, wraps, hold, fold.whole_from) if behind else None
        self._at: dict[str, list[Term]] = {}
        for term in of_network:
            if int(term.layer[4]) < fold.whole_from:
                self._at.setdefault(term.layer, []).append(term)
        *others, deepest = [name for name in VGG_LAYERS if name in self._at] or [""]
        self._hold, self._uses = hold, 0
        self._held: _Held | None = None
        self._deepest = deepest
        """The layer that is held; empty where none is."""
        if hold == 1 or self._end is not None or not others or others[-1][4] == deepest[4] or len({t.name for t in self._at[deepest]}) > 1:
            self._deepest = ""
        self._before = others[-1] if others else ""

    def __call__(self, image: torch.Tensor) -> Evaluation:
        """The terms at `image`, (1, 3, H, W) RGB around [0, 1], and the gradient of their sum."""
        if not self._deepest:
            return self._evaluated(image)[0]
        watched = _Watched(self._before)
        if self._held is None:
            evaluation, value = self._evaluated(image, watched)
            gradient = watched.gradient
            # The whole gradient there is at least what its own losses have, less this.
            if gradient is not None and gradient.norm() <= HARDLY_A_SAY * (watched.own**0.5 - gradient.norm()):
                self._held, self._uses = self._to_first_order(gradient, value - watched.along), 1
        else:
            held = self._held
            evaluation, _ = held.objective._evaluated(image, watched)
            self._uses += 1
            if self._uses >= self._hold or held.steepness > HARDLY_A_SAY * watched.own**0.5:
                self._held = None
        return evaluation

    def _to_first_order(self, gradient: torch.Tensor, rest: torch.Tensor) -> _Held:
        """The same with the deepest layer's losses to first order, as functions of the one before it."""
        term = Term(self._at[self._deepest][0].name, 1.0, self._before, _FirstOrder(gradient, rest))
        terms = [*(term for term in self._terms if term.layer != self._deepest), term]
        return _Held(StripwiseObjective(self._network, terms, self._fold, self._walk.wraps, spread=self._walk.spread), gradient.norm())

    def _evaluated(self, image: torch.Tensor, watched: _Watched | None = None) -> tuple[Evaluation, torch.Tensor]:
        """Terms and gradient, and the terms of the deepest layer; what comes to one layer is written down in `watched`."""
        image = image.detach()
        deepest = image.new_zeros(())
        values: dict[str, torch.Tensor] = {term.name: image.new_zeros(()) for term in self._terms}
        gathered = Gathered({layer: [term.loss for term in terms if isinstance(term.loss, LayerLoss)] for layer, terms in self._at.items()})
        gone = self._walk.ahead(image, gathered.visit, comes_back=True)
        handed = gone.handed
        slopes: dict[str, list[torch.Tensor]] = {}
        for layer, terms in self._at.items():
            slopes[layer] = []
            for term, (loss, sums) in zip(terms, gathered.of(layer), strict=True):
                variable = sums.requires_grad_()
                value = term.weight * loss.finish(variable, *gathered.sizes[layer], gathered.centres[layer])
                slopes[layer].append(torch.autograd.grad(value, variable)[0])
                values[term.name] = values[term.name] + value.detach()
                if layer == self._deepest:
                    deepest = deepest + value.detach()
        behind: torch.Tensor | None = None
        if self._end is not None:
            end = self._end(handed.pop())
            behind = end.gradient
            for name, part in zip(end.names, end.values, strict=True):
                values[name] = values[name] + part
        for stage in reversed(gone.stages):
            there = handed.pop()
            kept, first = gone.behind.pop(), not handed
            behind = self._back(stage, there, kept, behind, first=first, slopes=slopes, centres=gathered.centres, watched=watched)
        gradient = behind if behind is not None else torch.zeros_like(image)
        for name, part, slope in self._of_picture(image):
            values[name] = values.get(name, 0) + part
            gradient += slope
        return Evaluation(tuple(values), torch.stack(list(values.values())), gradient), deepest

    def _back(
        self,
        stage: _Stage,
        handed: torch.Tensor,
        kept: Sequence[Sequence[Passed]],
        behind: torch.Tensor | None,
        *,
        first: bool,
        slopes: Mapping[str, Sequence[torch.Tensor]],
        centres: Mapping[str, torch.Tensor],
        watched: _Watched | None,
    ) -> torch.Tensor:
        """The gradient for what a stage is handed, from that for what it hands on, `behind`, and the slopes of its own terms.

        `kept` is what was kept of the way there, by strip.
        """
        walk = self._walk

        @torch.no_grad()
        def work(network: VGG19, part: tuple[_Strip, Sequence[Passed]]) -> _Back:
            strip, passed_behind = part
            device, back = network.device, _Back()
            rows = walk.rows_of(stage, strip, handed).to(device)
            there = walk.through(network, stage, strip, rows.clamp(0, 1) if first else rows, stage.looked_at, 0)
            gradient = None if behind is None or not stage.hands_on else behind[:, :, slice(*strip.hands_on)].to(device)
            for name, passed in zip(reversed(stage.names), reversed([*there.passed, *passed_behind]), strict=True):
                if gradient is not None and passed.pooled_shape is not None:
                    gradient = passed.unpooled(gradient)
                if there.found and there.found[-1][0] == name:
                    _, features, owned = there.found.pop()
                    own = self._own(name, features, owned, slopes[name], centres[name].to(device))
                    offset = there.offsets.pop()
                    if watched is not None and watched.layer == name:
                        assert there.last is not None
                        back.own = own.square().sum().to(handed.device)
                        if gradient is not None:
                            back.at_watched, back.along = (
                                gradient.to(handed.device, copy=True),
                                (gradient * there.last).sum().to(handed.device),
                            )
                            back.watched_from = owned.top - offset
                    if gradient is None:
                        gradient = own.new_zeros(passed.shape).contiguous(memory_format=torch.channels_last)
                    gradient[:, :, offset : offset + own.shape[-2]] += own
                if gradient is not None:
                    gradient = network.back(name, passed.rectify_(gradient), walk.wraps)
            if gradient is not None and first:
                gradient *= in_range(rows)
            back.gradient = None if gradient is None else gradient.to(handed)
            return back

        total = torch.zeros_like(handed)
        parts = list(zip(stage.strips, kept, strict=True))
        for strip, back in zip(stage.strips, walk.spread.each(work, parts), strict=True):
            if back.gradient is not None:
                _add_rows(total, strip.sees[0], back.gradient)
            if watched is not None and watched.layer in stage.names:
                watched.add(back, stage.heights[stage.names.index(watched.layer)])
        return total

    def _own(
        self, layer: str, features: torch.Tensor, owned: Rectangle, slopes: Sequence[torch.Tensor], centre: torch.Tensor
    ) -> torch.Tensor:
        """The gradient for the activations of some rows of a layer, by the slopes of its own terms."""
        variable, outcomes, gradients = features.detach().requires_grad_(), [], []
        with torch.enable_grad():
            for term, slope in zip(self._at[layer], slopes, strict=True):
                assert isinstance(term.loss, LayerLoss)
                outcomes.append(term.loss.gather(variable, owned, centre))
                gradients.append((slope if term.loss.adds else slope[owned.index]).to(features.device))
        found: torch.Tensor = torch.autograd.grad(outcomes, variable, gradients)[0]
        return found

    def _of_picture(self, image: torch.Tensor) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Name, value and gradient of each term of the picture itself, one after the other, so that one graph stands at a time."""
        variable = image.requires_grad_()
        for term in self._terms:
            if term.layer == "input":
                value = term.weight * term.loss(savable(variable))
                yield term.name, value.detach(), torch.autograd.grad(value, variable)[0]
        value = OVERFLOW_WEIGHT * overflow_loss(variable)
        yield "overflow", value.detach(), torch.autograd.grad(value, variable)[0]
        image.requires_grad_(False)


def look_at(
    network: VGG19,
    image: torch.Tensor,
    layers: Collection[str],
    fold: Fold,
    visit: Visit,
    wraps: bool = False,
    spread: Spread | None = None,
) -> None:
    """Shows `visit` the activations of `layers` for `image`, (1, 3, H, W) RGB in [0, 1]: in strips, those of the end as a whole.

    Further arguments are those of `StripwiseObjective`.
    """
    walk = _Walk(spread or Spread([network]), layers, wraps, fold)
    with torch.no_grad():
        handed = walk.ahead(image, visit).handed
        if walk.ends_whole:
            behind = [name for name in layers if name in VGG_LAYERS and int(name[4]) >= fold.whole_from]
            features = network.entered(fold.whole_from, handed[-1], behind, wraps) if fold.whole_from > 1 else network(image, behind, wraps)
            for name in behind:
                visit(name, features[name], Rectangle.whole(features[name].shape[-2], features[name].shape[-1]))


def objective_of(
    network: VGG19, terms: Iterable[Term], fold: Fold = PLAIN, wraps: bool = False, hold: int = 1, spread: Spread | None = None
) -> Objective | StripwiseObjective:
    """The sum of terms as a function of a picture, folded so; the arguments are those of `StripwiseObjective`."""
    plain = fold.whole_from == 1
    return Objective(network, terms, wraps, hold) if plain else StripwiseObjective(network, terms, fold, wraps, hold, spread)
