"""The objective of pictures whose activations do not fit into memory: strip by strip, with the same outcome.

Style statistics and content are sums over positions, so they can be gathered from strips of rows, and their gradient flows back
through the strips as it would through the whole. The network is gone through in stages of a block or two: what one stage hands to the
next is kept as a whole, what lies inside is worked out anew when it is needed. First come the statistics, then the gradient, from the
last stage to the first.

On the way there a strip goes through a stage as far as the rows down to its last one lead, deeper layers a few rows less far, and leaves
the last rows of each layer to the next strip, so that none is worked out twice. On the way back, from the last strip to the first, each
leaves the gradient of the rows above it. What lies in a stage behind the last layer that a loss looks at, by default more than half of
the work, is not worked out again: `Passed` is kept of it. (Keeping little and working out the rest again: Chen et al. 2016, arXiv
1604.06174.)

Nothing is approximated, so there is no seam. Max pooling and ReLU choose by rounding where activations are the same but for it, so a
strip is made of whole tiles of Winograd's, where they lie in the whole picture, which round as they do there.

Stages from a chosen block on may be gone through as a whole, which is faster where there is room: deeper layers are smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import itemgetter

import torch
from torch.nn import functional

from vidstyle.losses import overflow_loss
from vidstyle.objective import HARDLY_A_SAY, OVERFLOW_WEIGHT, Evaluation, Objective
from vidstyle.pixels import in_range, savable
from vidstyle.rectangle import Rectangle
from vidstyle.settings import VGG_LAYERS
from vidstyle.spread import Spread
from vidstyle.terms import LayerLoss, Term
from vidstyle.vgg import VGG19, begins_block, check_side, goes_by_tiles
from vidstyle.way_back import Passed
from vidstyle.winograd import TILE, Sides

__all__ = ["PLAIN", "Fold", "Gathered", "StripwiseObjective", "look_at", "objective_of"]

_STAGES = ((1, 2), (3,), (4,), (5,))
"""Blocks that are worked out together. What block 1 hands on is the largest of all, and to do without it costs a few rows."""
_LIGHTER = {1: 1, 3: 2, 4: 4, 5: 8}
"""How many times the picture's pixels a strip may have, for the same memory, by the first block of the stage."""

Visit = Callable[[str, torch.Tensor, Rectangle], None]
"""Is given a layer, the activations of some of its rows, (1, C, rows, W), and which they are; each row comes once.

The first are on the picture's device, others may be on another one.
"""

Rows = tuple[int, int]
"""From, to; the latter is not included."""


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
class _Piece:
    """Which rows one strip works out; "from, to" everywhere, the latter not included, beyond the edges of a picture that wraps."""

    rows: tuple[Rows, ...]
    """Of each layer of the stage: they begin where those of the piece above end, and there may be none of the deeper ones."""
    owns: tuple[Rows, ...]
    """Those of them that no other run works out too; none where the latter is not above the former."""
    hands_on: Rows
    """Of what is handed to the next stage, and no other run hands on."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """Some blocks of the network on a picture of one size."""

    names: tuple[str, ...]
    heights: tuple[int, ...]
    """Of each layer, and of what it is handed."""
    grids: tuple[int, ...]
    """Of each layer: with rows that so much divides its tiles and its pooling's windows begin."""
    wraps: bool
    hands_on: bool
    """Whether there is a next stage."""
    looked_at: int
    """How many layers there are up to the last one that is looked at."""
    runs: tuple[tuple[_Piece, ...], ...]
    """Each is worked out from its first piece to its last, and back; all have as many."""

    def pools(self, number: int) -> bool:
        """Whether what a layer makes is pooled."""
        return self.hands_on if number + 1 == len(self.names) else begins_block(self.names[number + 1])

    def sees(self, number: int, rows: Rows) -> Rows:
        """Which rows of what it is handed a layer looks at for some of its own."""
        return self._inside(number, (rows[0] - 1, rows[1] + 1))

    def _inside(self, number: int, rows: Rows) -> Rows:
        return rows if self.wraps else (max(rows[0], 0), min(rows[1], self.heights[number]))

    def on_grid(self, number: int, rows: Rows) -> Rows:
        """The least that has these, as tiles and windows."""
        grid = self.grids[number]
        return self._inside(number, (rows[0] // grid * grid, -(-rows[1] // grid) * grid))

    def above(self, rows: Sequence[Rows], layers: int) -> list[Rows]:
        """Which rows of the first so many `layers` lead to some of each, where nothing is known of those above, but all further down."""
        found: list[Rows] = []
        begins: int | None = None
        for number in reversed(range(layers)):
            first, last = rows[number]
            if begins is not None:
                first = min(first, self.on_grid(number, (begins, last))[0])
            found.insert(0, (first, last))
            if first < last:
                begins = self.sees(number, (first, last))[0] * (2 if number and self.pools(number - 1) else 1)
        return found


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was worked out of a layer that is looked at."""

    number: int
    features: torch.Tensor
    """(1, C, rows, W), of all rows of a piece."""
    owns: Rectangle
    """Those that its losses are asked about."""
    offset: int
    """Where these begin."""

    @property
    def owned(self) -> torch.Tensor:
        """The activations there."""
        return self.features[:, :, self.offset : self.offset + self.owns.bottom - self.owns.top]


@dataclass(slots=True)
class _There:
    """What comes of one piece on its way through a stage."""

    looked: list[_Looked] = field(default_factory=list)
    passed: dict[int, Passed] = field(default_factory=dict)
    """Of each layer, from the one on of which it was wanted."""
    on: torch.Tensor | None = None
    """The rows that the piece hands on."""


@dataclass(slots=True)
class _Back:
    """What comes of one piece on its way back through a stage."""

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
class _Coming:
    """What a run's pieces further down have found for what a layer is handed of those above."""

    begins: int = 0
    """The row with which the gradient begins that is taken next."""
    _left: dict[int, torch.Tensor] = field(default_factory=dict)
    """By layer, (1, C, rows, W): the last rows above the piece that was there last."""

    def take(self, number: int, gradient: torch.Tensor | None, rows: Rows) -> torch.Tensor | None:
        """The gradient for some `rows` of what a layer is handed, from that for those that it looks at for a piece; keeps the rest."""
        left = self._left.pop(number, None)
        if left is None and gradient is None:
            return None
        first, last = rows
        begins = min(first, *([last - left.shape[2]] if left is not None else []), *([self.begins] if gradient is not None else []))
        if gradient is None:
            assert left is not None
            found, starts = left, last - left.shape[2]
        else:
            found, starts = gradient, self.begins
        beside = starts - begins, last - starts - found.shape[2]
        if any(beside):
            found = functional.pad(found, (0, 0, *beside))
        if left is not None and gradient is not None:
            found[:, :, -left.shape[2] :] += left
        if begins < first:
            self._left[number] = found[:, :, : first - begins].clone(memory_format=torch.channels_last)
        return found[:, :, first - begins :] if first < last else None


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
    behind: list[dict[_Piece, dict[int, Passed]]]
    """Of each stage and piece: what the way back needs of each layer behind the last one that is looked at."""


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
                found.append(self._stage(names, names[-1] != self._names[-1], height, width, max(pixels // width, 1)))
        return found

    def _stage(self, names: tuple[str, ...], hands_on: bool, height: int, width: int, rows: int) -> _Stage:
        """`rows` are those of the picture in a strip."""
        halvings = [int(name[4]) - 1 for name in names]
        heights = tuple(height >> count for count in halvings)
        looked_at = max((number for number, name in enumerate(names, start=1) if name in self._layers), default=0)
        stage = _Stage(names, heights, (1,) * len(names), self.wraps, hands_on, looked_at, ())
        tiled = [
            not self.wraps and goes_by_tiles(name, rows_of_layer, width >> count)
            for name, rows_of_layer, count in zip(names, heights, halvings, strict=True)
        ]
        stage = replace(stage, grids=tuple(TILE if by_tiles else 1 + stage.pools(number) for number, by_tiles in enumerate(tiled)))
        deepest = halvings[-1] + hands_on
        units = height >> deepest
        count = min(self._fold.shares, units)
        edges = [units * number // count for number in range(count + 1)]
        owned, made = [], []
        for first, last in pairwise(edges):
            owns = []
            for halved, rows_of_layer in zip(halvings, heights, strict=True):
                down = deepest - halved
                owns.append((first << down, rows_of_layer if last == units else last << down))
            owned.append((owns, (first, last)))
            made.append(self._made(stage, owns))
        pieces = -(-units // (max(rows >> deepest, 1) * count))
        pieces = max(min(pieces, *((last - first) // stage.grids[0] for (first, last), *_ in made)), 1)
        runs = [self._run(stage, rows_of_layers, *owns, pieces) for rows_of_layers, owns in zip(made, owned, strict=True)]
        return replace(stage, runs=tuple(runs))

    def _made(self, stage: _Stage, owns: Sequence[Rows]) -> list[Rows]:
        """Which rows of each layer lead to those that a run owns: it reaches into its neighbours as far as the convolutions see."""
        found: list[Rows] = []
        rows = owns[-1]
        for number in reversed(range(len(stage.names))):
            rows = stage.on_grid(number, (min(rows[0], owns[number][0]), max(rows[1], owns[number][1])))
            found.insert(0, rows)
            rows = stage.sees(number, rows)
            if number and stage.pools(number - 1):
                rows = 2 * rows[0], 2 * rows[1]
        return found

    def _run(self, stage: _Stage, made: Sequence[Rows], owns: Sequence[Rows], hands_on: Rows, pieces: int) -> tuple[_Piece, ...]:
        """A run cut into so many pieces: each goes through the layers as far as what has been worked out by then leads."""
        found = []
        begins = [first for first, _ in made]
        for count in range(1, pieces + 1):
            ends: list[int] = []
            for number, ((first, last), grid) in enumerate(zip(made, stage.grids, strict=True)):
                if number == 0:
                    there = first + (last - first) * count // pieces
                elif ends[-1] == made[number - 1][1]:
                    there = last
                else:
                    there = (ends[-1] // 2 if stage.pools(number - 1) else ends[-1]) - 1
                ends.append(last if there >= last else max(there // grid * grid, first))
            rows = tuple(zip(begins, ends, strict=True))
            own = tuple((max(a, first), min(b, last)) for (a, b), (first, last) in zip(rows, owns, strict=True))
            first, last = rows[-1]
            found.append(_Piece(rows, own, (max(first // 2, hands_on[0]), min(last // 2, hands_on[1]))))
            begins = ends
        return tuple(found)

    def rows_of(self, stage: _Stage, rows: Rows, handed: torch.Tensor) -> torch.Tensor:
        """What the first layer looks at for some of its rows, of what the stage is handed."""
        first, last = stage.sees(0, rows)
        if first >= 0 and last <= handed.shape[-2]:
            return handed[:, :, first:last]
        return handed[:, :, torch.arange(first, last, device=handed.device) % stage.heights[0]]

    def through(
        self,
        network: VGG19,
        stage: _Stage,
        piece: _Piece,
        x: torch.Tensor,
        rows: Sequence[Rows],
        passed_from: int,
        carried: dict[int, torch.Tensor] | None = None,
    ) -> _There:
        """A piece's way through the first layers of a stage.

        Args:
            network: which computes.
            stage: of it.
            piece: what is remembered.
            x: what is looked at of what the stage is handed.
            rows: of each layer, as many as are gone through, what is worked out: the piece's own, and what leads to them.
            passed_from: the layer from which on `Passed` is remembered.
            carried: of each layer the last rows of what it is handed, which the piece above has left; changed to what this one leaves.
        """
        there = _There()
        given, begins, largest = x.dtype, stage.sees(0, rows[0])[0], network.pooling == "max"
        for number, (first, last) in enumerate(rows):
            if carried is not None and (before := carried.pop(number, None)) is not None:
                x = torch.cat([before, x], dim=2)
                begins -= before.shape[2]
                if there.looked and there.looked[-1].number == number - 1 and not stage.pools(number - 1) and x.dtype == given:
                    there.looked[-1] = replace(there.looked[-1], features=x[:, :, before.shape[2] :])  # so that it stands there once
            if carried is not None and number:
                left = x[:, :, max(last - 1 - begins, 0) :]
                carried[number] = left.clone(memory_format=torch.channels_last)
            if first == last:
                break
            top, bottom = stage.sees(number, (first, last))
            whole = stage.heights[number], x.shape[-1]
            x = network.layer(
                stage.names[number], x[:, :, top - begins : bottom - begins], self.wraps, _beyond((first, last), (top, bottom)), whole
            )
            begins = first
            own = x[:, :, piece.rows[number][0] - first :]
            if stage.names[number] in self._layers:
                owns = Rectangle.rows(*piece.owns[number], *whole)
                there.looked.append(_Looked(number, own.to(given), owns, owns.top - piece.rows[number][0]))
            pooled = network.pooled(x) if stage.pools(number) else None
            own_pooled = None if pooled is None else pooled[:, :, (piece.rows[number][0] - first) // 2 :]
            if number >= passed_from:
                looked_at = stage.names[number] in self._layers
                there.passed[number] = Passed.of(own, own_pooled, largest=largest, looked_at=looked_at)
            if pooled is not None and own_pooled is not None:
                x, begins = pooled, begins // 2
                if number + 1 == len(stage.names):
                    begun = piece.rows[number][0] // 2
                    there.on = own_pooled[:, :, piece.hands_on[0] - begun : piece.hands_on[1] - begun]
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
    ) -> tuple[torch.Tensor | None, dict[_Piece, dict[int, Passed]]]:
        """What a stage makes of what it is handed, and what its way back needs."""
        passed_from = stage.looked_at if comes_back else len(stage.names)

        @torch.no_grad()
        def work(network: VGG19, part: tuple[_Piece, dict[int, torch.Tensor]]) -> _There:
            piece, carried = part
            x = self.rows_of(stage, piece.rows[0], handed).to(network.device)
            there = self.through(network, stage, piece, x.clamp(0, 1) if first else x, piece.rows, passed_from, carried)
            there.passed = {number: passed.packed(handed.device) for number, passed in there.passed.items()}
            return there

        parts: torch.Tensor | None = None
        behind = {}
        carried: list[dict[int, torch.Tensor]] = [{} for _ in stage.runs]
        for pieces in zip(*stage.runs, strict=True):
            for piece, there in zip(pieces, self.spread.each(work, list(zip(pieces, carried, strict=True))), strict=True):
                for looked in there.looked:
                    if looked.owns.positions:
                        visit(stage.names[looked.number], looked.owned, looked.owns)
                behind[piece] = there.passed
                if there.on is not None and piece.hands_on[0] < piece.hands_on[1]:
                    if parts is None:
                        shape = (1, there.on.shape[1], stage.heights[-1] // 2, there.on.shape[3])
                        parts = torch.empty(shape, dtype=there.on.dtype, device=handed.device, memory_format=torch.channels_last)
                    parts[:, :, slice(*piece.hands_on)] = there.on
        return parts, behind


def _beyond(rows: Rows, sees: Rows) -> Sides:
    """How much a layer looks at above and below some of its rows."""
    return 0, 0, rows[0] - sees[0], sees[1] - rows[1]


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
        self._parts: dict[str, list[list[tuple[int, torch.Tensor]]]] = {layer: [[] for _ in of_layer] for layer, of_layer in losses.items()}
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
                parts[0] = 0, parts[0][1] + part
            else:
                parts.append((rows.top, part.clone() if part is features else part))  # a view would keep all of the strip

    def of(self, layer: str) -> Iterator[tuple[LayerLoss, torch.Tensor]]:
        """Each loss of the layer with what it has gathered, which is handed over."""
        for loss, parts in zip(self._losses[layer], self._parts[layer], strict=True):
            in_order = [part for _, part in sorted(parts, key=itemgetter(0))]
            parts.clear()
            yield loss, in_order[0] if len(in_order) == 1 else torch.cat(in_order, dim=-2)


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
        kept: Mapping[_Piece, Mapping[int, Passed]],
        behind: torch.Tensor | None,
        *,
        first: bool,
        slopes: Mapping[str, Sequence[torch.Tensor]],
        centres: Mapping[str, torch.Tensor],
        watched: _Watched | None,
    ) -> torch.Tensor:
        """The gradient for what a stage is handed, from that for what it hands on, `behind`, and the slopes of its own terms.

        `kept` is what was kept of the way there, by piece. Each run goes back from its last piece to its first, and leaves each what it
        has found for its rows.
        """
        walk = self._walk

        @torch.no_grad()
        def work(network: VGG19, part: tuple[_Piece, _Coming]) -> _Back:
            piece, coming = part
            device, back, looked, passed = network.device, _Back(), [], dict(kept[piece])
            again = stage.above(piece.rows, stage.looked_at)
            if again:
                x = walk.rows_of(stage, again[0], handed).to(device)
                there = walk.through(network, stage, piece, x.clamp(0, 1) if first else x, again, 0)
                looked, passed = there.looked, passed | there.passed
            gradient = None if behind is None or not stage.hands_on else self._handed_back(piece, behind, device)
            for number in reversed(range(len(stage.names))):
                name, rows = stage.names[number], piece.rows[number]
                if number + 1 < len(stage.names):
                    down = 1 + stage.pools(number)
                    gradient = coming.take(number + 1, gradient, (rows[0] // down, rows[1] // down))
                if rows[0] == rows[1]:
                    gradient = None
                    continue
                if gradient is not None and passed[number].pooled_shape is not None:
                    gradient = passed[number].unpooled(gradient)
                if looked and looked[-1].number == number:
                    at = looked.pop()
                    own = self._own(name, at.owned, at.owns, slopes[name], centres[name].to(device)) if at.owns.positions else None
                    if watched is not None and watched.layer == name:
                        back.own = None if own is None else own.square().sum().to(handed.device)
                        if gradient is not None:
                            back.at_watched, back.watched_from = gradient.to(handed.device, copy=True), rows[0]
                            back.along = (gradient * at.features).sum().to(handed.device)
                    if own is not None:
                        if gradient is None:
                            gradient = own.new_zeros(passed[number].shape).contiguous(memory_format=torch.channels_last)
                        gradient[:, :, at.offset : at.offset + own.shape[-2]] += own
                if gradient is not None:
                    sees, whole = stage.sees(number, rows), (stage.heights[number], gradient.shape[-1])
                    gradient = network.back(name, passed[number].rectify_(gradient), walk.wraps, _beyond(rows, sees), whole)
                    coming.begins = sees[0]
            if gradient is not None and first:
                gradient *= in_range(walk.rows_of(stage, piece.rows[0], handed).to(device))
            back.gradient = None if gradient is None else gradient.to(handed)
            return back

        total = torch.zeros_like(handed)
        coming = [_Coming() for _ in stage.runs]
        for pieces in zip(*map(reversed, stage.runs), strict=True):
            for piece, back in zip(pieces, walk.spread.each(work, list(zip(pieces, coming, strict=True))), strict=True):
                if back.gradient is not None:
                    _add_rows(total, stage.sees(0, piece.rows[0])[0], back.gradient)
                if watched is not None and watched.layer in stage.names:
                    watched.add(back, stage.heights[stage.names.index(watched.layer)])
        return total

    def _handed_back(self, piece: _Piece, behind: torch.Tensor, device: torch.device) -> torch.Tensor | None:
        """The gradient for what a piece pools of its last layer: it is asked for what it hands on only."""
        first, last = (row // 2 for row in piece.rows[-1])
        begins, ends = piece.hands_on
        if begins >= ends:
            return None
        owned = behind[:, :, begins:ends].to(device)
        return owned if (begins, ends) == (first, last) else functional.pad(owned, (0, 0, begins - first, last - ends))

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
