"""Owns the network and the style: paints the first frame of a shot, and frames that follow one.

The first frame is worked out coarse to fine until its look has settled. Every later one starts from the
frame before, moved along the flow, with the temporal loss where the flow can be trusted (Ruder,
Dosovitskiy & Brox 2016, arXiv 1604.08610). Beyond the paper:

- the start is the moved frame *everywhere*; the mask acts in the loss alone. Only what it does not show is
  taken from an older frame (`answering`), or filled if none shows it (`fill_new`), and starts a little softer (`calmed`);
- brightness and colour are held against creeping (`drift_target`);
- L-BFGS' curvature is moved along the flow too, and goes on where it was;
- a later frame reads the stored 16-bit values of the one before, so that a job that was killed and goes
  on is the same to the byte as one that was not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from vidstyle.color import preserve_linear
from vidstyle.device import keep_freed_memory, matrix_units, network_format, resolve_devices
from vidstyle.errors import NumericalError, UsageError
from vidstyle.flow import fade_detail, warp
from vidstyle.frames import FlowField, Frame
from vidstyle.guidance import Guidance, blend_shares
from vidstyle.losses import check_searched
from vidstyle.memory import WHOLE, Way
from vidstyle.motion import Motion, answering, calmed, drift_target, fill_new, with_older
from vidstyle.objective import Evaluation, LossReport
from vidstyle.optimize import HANDED_ON, OPTIMIZERS, STOP_WINDOW, CurvaturePair, ObjectiveFunction, Result
from vidstyle.passes import Beside
from vidstyle.pixels import from_tensor, resized, to_plane, to_tensor
from vidstyle.recording import Recorder, graphs
from vidstyle.rectangle import Rectangle
from vidstyle.region import CropObjective, Surroundings, pays
from vidstyle.settings import TILE, Settings
from vidstyle.spread import Spread
from vidstyle.strips import PLAIN, Fold, objective_of
from vidstyle.targets import content_targets, style_statistics
from vidstyle.terms import Reference, Region, StyleTargets, blended, build_terms
from vidstyle.vgg import VGG19, Features, load_vgg19, minimum_side
from vidstyle.workspace import State

__all__ = ["Closing", "OnStep", "Painted", "Stylizer", "check_size", "enlarge", "enlarged_pair", "pyramid"]

Picture = npt.NDArray[np.uint8]
OnStep = Callable[[float, LossReport, Callable[[], Picture]], None]
"""Called after every step with the share of the frame's steps that are done, the terms, and what gives the picture that they are of,
(H, W, 3) uint8 RGB, if it is called at once: only then it is fetched from a GPU. A first frame is smaller while it is painted coarse."""

_COARSEST_SIDE = 160
"""Longest side of the coarsest picture: strokes grow large there, and the network still sees the whole layout."""
_SCALE_STEP = math.sqrt(2)
_CARRIED_UP = 5
"""L-BFGS' pairs that go along to the next size. All 20 mislead it: with them the first frame of a clip ended 7 % worse than with none."""
_GAIN_OVER = 4
"""Steps over which a frame that follows has to gain something. A first step that overshoots is made good by the next."""
_HOLD = 10
"""Steps that one look at the deepest layer serves on a CPU, where it hardly has a say; see `Objective`. A GPU would have to wait for it."""
_CHANGING = 0.1
"""Share of the temporal weight while another style takes over."""
_CLOSING = 10.0
"""Weight of the pull towards the beginning of a loop over that of the frame before: with 1 the look went on settling the other way."""
_JOINED = 8.0
"""Weight with which a frame where two parts of a shot meet is held to both of them, over that of the frame before elsewhere."""
_DETAIL = -1
"""Number of the picture that fine detail is taken from, where the styles count from 0."""
_MOST_TARGETS = 64
"""Targets that are kept: a cross-fade has another one every frame."""
_AT_ONCE = 16
"""Times that a picture is smaller than the frame from which on it is worked on at once in any case: it then needs less memory."""
_SMALLEST_REGION = 1e-4
"""Share of the picture under which a region is left out."""


@dataclass(frozen=True, slots=True)
class Painted:
    """One stylised frame and what the next one needs of it."""

    picture: npt.NDArray[np.uint16]
    """(H, W, 3) RGB, 16 bits a channel."""
    report: LossReport
    steps: int
    reliable: float
    """Share of the pixels that the flow to the frame before is trusted at; 1 for a first frame."""
    state: Mapping[str, torch.Tensor] = field(repr=False)
    """What the optimiser has learned: "s" and "y", (pairs, 3, H, W) each, where it was learned; empty where nothing is carried."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The frame that the end of a loop is on the way to, as it is seen from the current one."""

    motion: Motion
    painted: npt.NDArray[np.uint16]
    """The frame, stylised, (H, W, 3) RGB."""
    share: float
    """How far this frame goes towards it, in (0, 1)."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to become of one frame, at one size."""

    frame: Frame
    size: tuple[int, int]
    """(height, width)."""
    content: Features
    """What is kept of the source at that size."""
    guidance: Guidance
    references: Sequence[Reference] = ()
    expected: Reference | None = None
    rest: npt.NDArray[np.float32] | None = None
    """How much of where it starts every pixel keeps whatever the losses say, (H, W) in [0, 1]; None: nothing."""
    changing: bool = False
    """Whether the painting is to become another one, somewhere."""


class _Beginning:
    """Where an optimiser begins, and what it knows of other pictures; given away, so that nobody holds it while steps are made."""

    def __init__(self, image: torch.Tensor, pairs: Sequence[CurvaturePair] = ()) -> None:
        self.image = image
        self._pairs = pairs

    def give_image(self) -> torch.Tensor:
        image = self.image
        del self.image
        return image

    def give_pairs(self) -> Sequence[CurvaturePair]:
        pairs, self._pairs = self._pairs, ()
        return pairs


def check_size(settings: Settings, size: tuple[int, int], advice: str = "use a larger --size, or fewer --style-layers") -> None:
    """Whether there is something to paint on frames of `size` (height, width), and they are large enough for it.

    Args:
        settings: what the layers follow from.
        size: (height, width) of the frames.
        advice: what to do about frames that are too small.

    Raises:
        UsageError: no layer is asked for, or the frames are too small for the deepest, or too large to be searched for patches.
    """
    layers = settings.layers
    if not layers:
        raise UsageError("--content-weight and --style-weight are both 0, which leaves nothing to paint")
    height, width = size
    if min(size) < minimum_side(layers):
        raise UsageError(f"frames of {width}×{height} are too small: the network needs {minimum_side(layers)} pixels a side; {advice}")
    if settings.style.loss == "patches" and settings.style.weight > 0:
        for layer in settings.style.layers:
            halvings = int(layer[4]) - 1
            check_searched(height >> halvings, width >> halvings)
    if settings.run.tileable and (height % TILE or width % TILE):
        raise UsageError(
            f"--tileable: frames of {width}×{height} are no multiples of {TILE}; only a single picture is brought to such a size"
        )


class Stylizer:
    """The network, the style at every size that is needed, and the settings; one for a whole job.

    Args:
        settings: everything a user can turn.
        styles: the style pictures, (H, W, 3) uint8 RGB each; none where no loss looks at a style.
        size: (height, width) of the frames.
        initial: a picture to start every shot from, (H, W, 3) uint8 RGB, where `settings.optimize.init` names a file.
        detail: the style picture that `settings.style.detail_layers` look at, (H, W, 3) uint8 RGB.
        way: how frames are worked on in the memory there is.

    Raises:
        UsageError: the frames are too small for the network, or settings do not fit the styles or each other.
        WeightsError: the network's weights cannot be loaded.
    """

    def __init__(
        self,
        settings: Settings,
        styles: Sequence[Picture],
        size: tuple[int, int],
        initial: Picture | None = None,
        detail: Picture | None = None,
        way: Way = WHOLE,
    ) -> None:
        check_size(settings, size)
        self.settings = settings
        self.size = size
        self.device, *others = resolve_devices(settings.run.devices)
        self.work_in(way)
        # The first Fourier transform of a process came out other by a rounding, one time in twenty, where another thread computed (MKL).
        fade_detail(torch.zeros(1, 3, 8, 8, device=self.device))
        self._layers = settings.layers
        self._styles = tuple(styles)
        if settings.optimize.init == "style" and not styles:
            raise UsageError("--init style: no style picture given; name one, or start from content or noise")
        self._default = Guidance(blend_shares(settings, len(styles)))
        _check_layer_weights(settings)
        self._initial = initial
        self._detail = detail
        if detail is not None and not set(settings.style.detail_layers) & set(settings.style_layers):
            raise UsageError(f"--detail-layers {' '.join(settings.style.detail_layers)}: none of them is a style layer; see --style-layers")
        self.network: VGG19 = load_vgg19(settings.run.weights, settings.run.pooling, self.device, network_format(settings.run.precision))
        # What is painted at once, small pictures and coarse ones, the first device does alone.
        self._spread = Spread([self.network, *(copy.deepcopy(self.network).to(device) for device in others[: way.fold.shares - 1])])
        self._recorder = Recorder(graphs(self.device)) if self.device.type == "cuda" and not others else None
        self._colors: Picture | None = None
        self._statistics: dict[tuple[tuple[int, int], int], list[StyleTargets]] = {}
        self._targets: dict[tuple[tuple[int, int], tuple[float, ...]], StyleTargets] = {}

    def work_in(self, way: Way) -> None:
        """Says how frames are worked on from here on."""
        self.way = way
        if self.device.type == "cpu" and (way.half or way.fold.whole_from == 1):
            keep_freed_memory(not way.half)

    def begin_shot(self, frame: Frame) -> None:
        """Says which frame a shot begins with; `first` does so itself. Only `--recolor-style` wants to know."""
        if self.settings.style.recolor:
            self._colors = frame.rgb
            self._statistics.clear()
            self._targets.clear()

    def first(self, frame: Frame, on_step: OnStep | None = None, guidance: Guidance | None = None) -> Painted:
        """Paints the first frame of a shot, coarse to fine, owing nothing to any other frame.

        Args:
            frame: the source frame.
            on_step: see `OnStep`.
            guidance: which styles go where; by default all blended, everywhere.

        Raises:
            NumericalError: the loss was not finite twice; the message names the frame.
        """
        self.begin_shot(frame)
        tileable = self.settings.run.tileable
        sizes = pyramid(self.size, TILE if tileable else 1)
        count = self.settings.optimize.first_iterations
        cost = [height * width for height, width in sizes]
        stop = self.settings.optimize.tolerance, STOP_WINDOW
        total = 0
        result: Result | None = None
        for level, size in enumerate(sizes):
            content = to_tensor(resized(frame.rgb, size), self.device)
            work = _Work(frame, size, self._kept(content), guidance or self._default)
            if result is None:
                beginning = _Beginning(self._start(content, size))
            else:
                pairs = _Made([partial(enlarged_pair, pair, size, tileable) for pair in result.pairs[-_CARRIED_UP:]])
                beginning = _Beginning(enlarge(result.image, size, tileable), pairs)
                del pairs
            del content, result
            done, share = sum(cost[:level]) / sum(cost), cost[level] / sum(cost)
            result = self._optimise(work, beginning, count, _part(on_step, done, share / count), stop)
            total += result.steps
        assert result is not None
        return self._painted(result, total, 1.0)

    def follow(
        self,
        frame: Frame,
        motions: Sequence[Motion],
        painted: Mapping[int, npt.NDArray[np.uint16]],
        state: State,
        on_step: OnStep | None = None,
        guidance: Guidance | None = None,
        closing: Closing | None = None,
        answers: Sequence[npt.NDArray[np.float32]] = (),
    ) -> Painted:
        """Paints a frame that follows others in its shot.

        Where `painted` and `state` are not held by the caller their memory is given back before the first step.

        Args:
            frame: the source frame.
            motions: to earlier frames of the shot, the frame before first.
            painted: distance -> stored stylised frame, (H, W, 3) uint16 RGB, for every motion.
            state: what the frame before left (`Painted.state`), or what of it comes back from disk.
            on_step: see `OnStep`.
            guidance: which styles go where; by default all blended, everywhere.
            closing: the frame that this one is on the way to, near the end of a loop.
            answers: how far each of the earlier frames answers for each pixel; worked out here if left out.

        Raises:
            NumericalError: the loss was not finite twice; the message names the frame.
        """
        reliable = float(motions[0].trust.mean())
        work, beginning = self._following(frame, motions, painted, state, guidance or self._default, closing, answers)
        del painted, state
        return self._painted_from(work, beginning, on_step, reliable)

    def _following(
        self,
        frame: Frame,
        motions: Sequence[Motion],
        painted: Mapping[int, npt.NDArray[np.uint16]],
        state: State,
        guidance: Guidance,
        closing: Closing | None,
        answers: Sequence[npt.NDArray[np.float32]],
    ) -> tuple[_Work, _Beginning]:
        """What is to become of a frame that follows others, and where it begins; the arguments are those of `follow`."""
        nearest = motions[0]
        source = to_tensor(frame.rgb, self.device)
        stored = {motion.distance: fade_detail(to_tensor(painted[motion.distance], self.device)) for motion in motions}
        moved = {motion.distance: self._moved(motion, painted[motion.distance], stored[motion.distance]) for motion in motions}
        start = fill_new(moved[nearest.distance], nearest, stored[nearest.distance], source)
        weights, earlier = answers or answering(motions), [moved[motion.distance] for motion in motions]
        references = [Reference(picture, to_plane(weight, self.device)) for picture, weight in zip(earlier, weights, strict=True)]
        start = calmed(with_older(start, earlier, weights), weights)
        expected = drift_target(moved[nearest.distance], nearest)
        rest = self.rest(nearest, guidance)
        if rest is not None:
            start = torch.lerp(start, moved[nearest.distance], to_plane(rest, self.device))
        changing = self._changing(nearest, guidance)
        if changing is not None:
            references = [Reference(one.warped, one.trust * (1 + (_CHANGING - 1) * changing)) for one in references]
            expected = Reference(expected.warped, expected.trust * (1 - changing))
        if closing is not None:
            goal = self._moved(closing.motion, closing.painted, fade_detail(to_tensor(closing.painted, self.device)))
            pull = closing.share * to_plane(closing.motion.trust, self.device)
            references = [Reference(one.warped, one.trust * (1 - pull)) for one in references]
            references.append(Reference(goal, _CLOSING * pull))
            start = torch.lerp(start, goal, pull)
        held_to = expected if closing is None else None
        work = _Work(frame, self.size, self._kept(source), guidance, references, held_to, rest, changing is not None)
        return work, _Beginning(start, self._pairs(state, nearest.flow))

    def _moved(self, motion: Motion, painted: npt.NDArray[np.uint16], stored: torch.Tensor) -> torch.Tensor:
        """An earlier frame's painting, `stored` with its finest detail faded, where its pixels are now; where it stands still as it was."""
        moved = warp(stored, motion.flow).clamp(0, 1)
        if not self.settings.temporal.holds_still:
            return moved
        return torch.lerp(moved, to_tensor(painted, self.device), to_plane(motion.still, self.device))

    def rest(self, nearest: Motion, guidance: Guidance | None = None) -> npt.NDArray[np.float32] | None:
        """How much of the painting before every pixel keeps whatever the losses say, (H, W) in [0, 1]; None where no pixel has to."""
        if not self.settings.temporal.holds_still:
            return None
        rest = (guidance or self._default).resting(nearest.still)
        return rest if rest.any() else None

    def _changing(self, nearest: Motion, guidance: Guidance) -> torch.Tensor | None:
        """Where the painting is to become another one, (1, 1, H, W), 1 or 0; None: nowhere.

        Of a mask that moves only what it leaves or takes from a source that stands still: with what moves goes its style.
        """
        if guidance.changing:
            where = np.ones(self.size, np.float32)
        elif guidance.moving is not None:
            where = (guidance.moving & ~nearest.flow.data.any(axis=0)).astype(np.float32)
        else:
            return None
        return to_plane(where, self.device)

    def again(
        self,
        beside: Beside,
        own: npt.NDArray[np.uint16],
        neighbour: npt.NDArray[np.uint16] | None,
        state: State,
        on_step: OnStep | None = None,
    ) -> Painted:
        """Paints a frame once more that an earlier pass has painted, brought together with the neighbour behind it.

        Args:
            beside: the frame and the way to that neighbour.
            own: what the pass before has made of the frame, (H, W, 3) uint16 RGB.
            neighbour: what this pass has made of the one behind, (H, W, 3) uint16 RGB; None at the beginning of the pass.
            state: what the frame behind left; at the beginning of the pass, what this one did.
            on_step: see `OnStep`.

        Raises:
            NumericalError: the loss was not finite twice; the message names the frame.
        """
        source, start = to_tensor(beside.frame.rgb, self.device), to_tensor(own, self.device)
        references, reliable = [], 1.0
        if beside.behind is None or neighbour is None:
            pairs = self._pairs(state)
        else:
            moved = warp(fade_detail(to_tensor(neighbour, self.device)), beside.behind.flow).clamp(0, 1)
            trust = to_plane(beside.behind.trust, self.device)
            start = torch.lerp(start, moved, (1 - to_plane(beside.rest, self.device)) * trust / 2)
            references = [Reference(moved, (_CHANGING if beside.guidance.changing else 1.0) * trust)]
            pairs = self._pairs(state, beside.behind.flow)
            reliable = float(beside.behind.trust.mean())
        work = _Work(beside.frame, self.size, self._kept(source), beside.guidance, references, None, beside.rest, beside.guidance.changing)
        beginning = _Beginning(start, pairs)
        del own, neighbour, state, source, start, pairs, references
        return self._painted_from(work, beginning, on_step, reliable)

    def joined(
        self,
        frame: Frame,
        motion: Motion | None,
        before: npt.NDArray[np.uint16],
        behind: npt.NDArray[np.uint16],
        share: float,
        on_step: OnStep | None = None,
        guidance: Guidance | None = None,
    ) -> Painted:
        """Paints a frame where one part of a shot passes into another that was painted by itself; it is held to both.

        Args:
            frame: the source frame.
            motion: to the frame before; None where there is no flow to it.
            before: what was made of the frame before, (H, W, 3) uint16 RGB.
            behind: what the part that follows has made of this frame, the same.
            share: how much of that one this frame takes on, in (0, 1]; what the frame before does not show is all taken from it.
            on_step: see `OnStep`.
            guidance: which styles go where; by default all blended, everywhere.

        Raises:
            NumericalError: the loss was not finite twice; the message names the frame.
        """
        guidance = guidance or self._default
        start = to_tensor(behind, self.device)
        if motion is not None:
            moved = self._moved(motion, before, fade_detail(to_tensor(before, self.device)))
            new = to_plane(motion.new.astype(np.float32), self.device)
            start = torch.lerp(moved, start, share + (1 - share) * new)
            del moved, new
        weight = _JOINED * (_CHANGING if guidance.changing else 1.0)
        references = [Reference(start, torch.full_like(start[:, :1], weight))]
        work = _Work(frame, self.size, self._kept(to_tensor(frame.rgb, self.device)), guidance, references, changing=guidance.changing)
        reliable = 0.0 if motion is None else float(motion.trust.mean())
        return self._painted_from(work, _Beginning(start, []), on_step, reliable)

    def _painted_from(self, work: _Work, beginning: _Beginning, on_step: OnStep | None, reliable: float) -> Painted:
        """The frame painted on from its beginning; where nothing may change, one evaluation says what the picture costs."""
        fixed = work.rest is not None and bool((work.rest == 1).all())
        optimize = self.settings.optimize
        iterations = 1 if fixed else optimize.iterations
        gain = optimize.least_gain if optimize.optimizer == "lbfgs" else 0.0  # Adam's loss may rise before it falls
        stop = _GAIN_OVER * gain, _GAIN_OVER
        result = self._optimise(work, beginning, iterations, _part(on_step, 0.0, 1 / iterations), stop)
        return self._painted(result, result.steps, reliable)

    def smoothed(
        self,
        frame: Frame,
        motion: Motion,
        painted: npt.NDArray[np.uint16],
        on_step: OnStep | None = None,
        guidance: Guidance | None = None,
    ) -> Painted:
        """Paints a frame by itself, then mixes in the frame before, moved along the flow, where that is trusted.

        The simple way to steady film that is painted frame by frame (`--framewise`): a running mean along the flow. It
        trades flicker for blur, which the real method (`follow`) does not have to.

        Args:
            frame: the source frame.
            motion: to the frame before.
            painted: that frame's result, (H, W, 3) uint16 RGB.
            on_step: see `OnStep`.
            guidance: which styles go where; by default all blended, everywhere.

        Raises:
            NumericalError: the loss was not finite twice; the message names the frame.
        """
        alone = self.first(frame, on_step, guidance)
        before = warp(to_tensor(painted, self.device), motion.flow).clamp(0, 1)
        share = self.settings.temporal.smoothing * to_plane(motion.trust, self.device)
        picture = from_tensor(torch.lerp(to_tensor(alone.picture, self.device), before, share), bits=16)
        return Painted(picture.astype(np.uint16, copy=False), alone.report, alone.steps, float(motion.trust.mean()), {})

    def targets(self, size: tuple[int, int], shares: tuple[float, ...] | None = None) -> StyleTargets:
        """What frames of `size` (height, width) are to agree with.

        The styles are blended by `shares`, which sum to 1; by default, as the settings say.
        """
        shares = self._default.shares if shares is None else shares
        if (size, shares) not in self._targets:
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            styles = []
            for number, share in enumerate(shares):
                if share > 0:
                    scales = self._statistics_of(size, number)
                    styles += [(share / len(scales), one) for one in scales]
            blend = blended(self.settings, styles)
            if self._detail is not None:
                fine = blended(self.settings, [(1.0, one) for one in self._statistics_of(size, _DETAIL)])
                blend = StyleTargets(self._with_detail(blend.style, fine.style), self._with_detail(blend.histogram, fine.histogram))
            self._targets[size, shares] = blend
        return self._targets[size, shares]

    def _with_detail(self, blend: Mapping[str, torch.Tensor], fine: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {layer: (fine if layer in self.settings.style.detail_layers else blend)[layer] for layer in blend}

    def _statistics_of(self, size: tuple[int, int], number: int) -> list[StyleTargets]:
        """Statistics of one style picture at every scale: resized to the frame's area × scale² (artistic-videos)."""
        if (size, number) not in self._statistics:
            picture = self._detail if number == _DETAIL else self._styles[number]
            assert picture is not None
            if self._colors is not None:
                picture = from_tensor(preserve_linear(to_tensor(picture), to_tensor(self._colors))).astype(np.uint8, copy=False)
            scales = self.settings.style.scale if number != _DETAIL else (min(self.settings.style.scale),)
            height, width = picture.shape[:2]
            shortest = minimum_side(self._layers)
            found = []
            for scale in scales:
                factor = scale * math.sqrt(size[0] * size[1] / (height * width))
                new = max(round(height * factor), shortest), max(round(width * factor), shortest)
                at_size = to_tensor(resized(picture, new), self.device)
                found.append(style_statistics(self.network, at_size, self.settings, self.way.fold, self._spread))
            self._statistics[size, number] = found
        return self._statistics[size, number]

    def _regions(self, size: tuple[int, int], guidance: Guidance) -> list[Region]:
        """The styles and where they go, on a frame of `size`."""
        if guidance.masks is None:
            return [Region(self.targets(size, guidance.shares))]
        regions = []
        for number, mask in enumerate(guidance.masks):
            values = functional.adaptive_avg_pool2d(to_plane(mask, self.device), size)
            if float(values.mean()) > _SMALLEST_REGION:
                alone = tuple(float(other == number) for other in range(len(self._styles)))
                regions.append(Region(self.targets(size, alone), values))
        return regions

    def _start(self, content: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Where a shot starts from."""
        if self.settings.optimize.init == "content":
            return content
        if self.settings.optimize.init == "noise":
            generator = torch.Generator().manual_seed(self.settings.run.seed)
            return torch.rand(1, 3, *size, generator=generator).to(self.device)
        if self.settings.optimize.init == "style":
            return to_tensor(resized(self._styles[0], size), self.device)
        assert self._initial is not None
        return to_tensor(resized(self._initial, size), self.device)

    def _optimise(
        self,
        work: _Work,
        beginning: _Beginning,
        iterations: int,
        on_step: _OnStepOf | None,
        stop: tuple[float, int],
    ) -> Result:
        """`stop` is the tolerance, and the window over which it is meant."""
        with matrix_units(self.settings.run.precision, self.device):
            fold = self._fold(work.size)
            terms = build_terms(self.settings, work.content, self._regions(work.size, work.guidance), work.references, work.expected)
            hold = _HOLD if self.device.type == "cpu" else 1
            optimize, part = self.settings.optimize, self._part(work, fold)
            objective: ObjectiveFunction
            if part is not None:
                objective = CropObjective(self.network, terms, beginning.image, part, fold, hold)
            else:
                objective = objective_of(self.network, terms, fold, self.settings.run.tileable, hold, self._spread)
                if self._recorder is not None and fold.whole_from == 1:
                    objective = self._recorder(objective, tuple(term.name for term in terms))
            within, placed = objective, None
            if work.rest is not None:
                within, begin, placed = _restrained(objective, beginning.image, 1 - to_plane(work.rest, self.device), part)
                pairs = beginning.give_pairs()
                if part is not None:
                    pairs = [(s[part.index].contiguous(), y[part.index].contiguous()) for s, y in pairs]
                beginning = _Beginning(begin, pairs)
                del begin, pairs

            def seen(step: int, report: LossReport, x: torch.Tensor) -> None:
                if on_step is not None:
                    on_step(step, report, lambda: _picture(x if placed is None else placed(x)))

            try:
                result = OPTIMIZERS[optimize.optimizer](
                    within,
                    beginning.give_image(),
                    iterations,
                    tolerance=stop[0],
                    window=stop[1],
                    pairs=beginning.give_pairs(),
                    history=self.way.pairs(self.settings),
                    averaging=optimize.averaging,
                    handed_on=1.0 if work.changing else HANDED_ON,  # halved, another style would take half as long again
                    half=self.way.half,
                    on_step=seen,
                )
            except NumericalError as error:
                raise NumericalError(f"frame {work.frame.index}: {error}") from None
        if placed is None:
            return result
        learned = result.pairs
        if part is not None:
            carried = self.way.carried(self.settings)
            last = learned[-carried:] if carried else ()  # the others would only take room: they are the size of the picture from here on
            learned = tuple((functional.pad(s, part.sides), functional.pad(y, part.sides)) for s, y in last)
        return replace(result, image=placed(result.image), pairs=learned)

    def _part(self, work: _Work, fold: Fold) -> Rectangle | None:
        """What of the picture can change, where that is something, and to look at it alone takes less time; None: look at all of it."""
        if work.rest is None or self._recorder is not None or self.settings.run.tileable:
            return None
        part = Rectangle.bounding(work.rest < 1)
        return part if part is not None and pays(part, self._layers, fold) else None

    def _kept(self, source: torch.Tensor) -> Features:
        """What the content loss keeps of the source, (1, 3, H, W)."""
        with matrix_units(self.settings.run.precision, self.device):
            return content_targets(self.network, source, self.settings, self._fold((source.shape[-2], source.shape[-1])), self._spread)

    def _fold(self, size: tuple[int, int]) -> Fold:
        """How the network is gone through for a picture of `size`: at once where it is so small that nothing is gained."""
        plain = self.way.fold.whole_from == 1 or size[0] * size[1] <= min(self.way.fold.pixels, self.size[0] * self.size[1] // _AT_ONCE)
        return PLAIN if plain else self.way.fold

    def _painted(self, result: Result, steps: int, reliable: float) -> Painted:
        carried = self.way.carried(self.settings)
        kept = result.pairs[-carried:] if carried else ()
        state = {}
        if kept:
            state = {"s": torch.cat([s for s, _ in kept]), "y": torch.cat([y for _, y in kept])}
        picture = from_tensor(result.image, bits=16)
        return Painted(picture.astype(np.uint16, copy=False), result.report, steps, reliable, state)

    def _pairs(self, state: State, flow: FlowField | None = None) -> Sequence[CurvaturePair]:
        """What was learned of another frame, with `flow`, which leads to it, where its pixels are now."""
        if "s" not in state:
            return []
        s, y = (torch.as_tensor(state[name], device=self.device) for name in ("s", "y"))
        if flow is not None and self.way.half:
            return _Made([partial(_moved_pair, s[number : number + 1], y[number : number + 1], flow) for number in range(len(s))])
        if flow is not None:
            s, y = _moved_pair(s, y, flow)
        return [(s[number : number + 1], y[number : number + 1]) for number in range(len(s))]


class _Made(Sequence[CurvaturePair]):
    """Pairs that are made when they are asked for: together they may be larger than all else."""

    def __init__(self, makers: Sequence[Callable[[], CurvaturePair]]) -> None:
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, number: Any) -> Any:
        return [make() for make in self._makers[number]] if isinstance(number, slice) else self._makers[number]()


def _moved_pair(s: torch.Tensor, y: torch.Tensor, flow: FlowField) -> CurvaturePair:
    """Pictures of one pair or of several, (pairs, 3, H, W) each, where their pixels are now."""
    return warp(s, flow, "bilinear"), warp(y, flow, "bilinear")


def pyramid(size: tuple[int, int], multiple: int = 1) -> list[tuple[int, int]]:
    """Sizes (height, width) from coarse to `size`, √2 apart, the coarsest with its longest side just over 160 pixels.

    The smaller ones have sides that are multiples of `multiple`.
    """
    levels = max(math.floor(math.log(max(size) / _COARSEST_SIDE, _SCALE_STEP) + 1e-9), 0)
    sizes = []
    for level in range(levels, -1, -1):
        factor = _SCALE_STEP**-level
        smaller = tuple(max(round(side * factor / multiple), 1) * multiple for side in size) if level else size
        if min(smaller) >= min(_SHORTEST_COARSE_SIDE, *size):
            sizes.append((smaller[0], smaller[1]))
    return sizes


_SHORTEST_COARSE_SIDE = 32
"""Very long or tall pictures have no level whose short side is under this: the deepest layer would see two pixels."""


def enlarge(image: torch.Tensor, size: tuple[int, int], wraps: bool = False) -> torch.Tensor:
    """(1, 3, H, W) to (1, 3, *size), bicubic, clamped to [0, 1]; with `wraps` each edge goes on in the opposite one."""
    return _spread(image, size, wraps).clamp(0, 1)


def _spread(image: torch.Tensor, size: tuple[int, int], wraps: bool) -> torch.Tensor:
    if not wraps:
        return functional.interpolate(image, size=size, mode="bicubic", align_corners=False)
    height, width = image.shape[2:]
    nine = functional.interpolate(
        functional.pad(image, (width, width, height, height), mode="circular"),
        size=(3 * size[0], 3 * size[1]), mode="bicubic", align_corners=False,
    )  # fmt: skip
    return nine[:, :, size[0] : 2 * size[0], size[1] : 2 * size[1]]


def enlarged_pair(pair: CurvaturePair, size: tuple[int, int], wraps: bool = False) -> CurvaturePair:
    """What an optimiser knows of a smaller picture, for one of `size`.

    A step keeps its values. Losses are means, so that a gradient falls as the number of pixels grows.
    """
    share = pair[0].shape[-2] * pair[0].shape[-1] / (size[0] * size[1])
    return _spread(pair[0], size, wraps), share * _spread(pair[1], size, wraps)


def _restrained(
    objective: ObjectiveFunction, start: torch.Tensor, freedom: torch.Tensor, part: Rectangle | None
) -> tuple[ObjectiveFunction, torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """The objective as a function of z, where z starts, and the picture start + freedom · (z − start) that z stands for.

    Where the freedom is 0 there is no gradient, and the optimiser need not know of it. If there is none outside a `part`, z and what the
    objective is a function of are that part alone.
    """
    begin = start
    if part is not None:
        begin, freedom = start[part.index].contiguous(), freedom[part.index]

    def moved(z: torch.Tensor) -> torch.Tensor:
        return begin + freedom * (z - begin)

    def within(z: torch.Tensor) -> Evaluation:
        evaluation = objective(moved(z))
        return replace(evaluation, gradient=freedom * evaluation.gradient)

    if part is None:
        return within, begin, moved
    surroundings = Surroundings(start, part)
    return within, begin, lambda z: surroundings.around(moved(z))


def _check_layer_weights(settings: Settings) -> None:
    weights, layers = settings.style.layer_weights, settings.style.layers
    if weights is not None and (len(weights) != len(layers) or sum(weights) <= 0):
        raise UsageError(
            f"--style-layer-weights names {len(weights)} weights for {len(layers)} style layers ({' '.join(layers)}); "
            "give one a layer, not all of them 0"
        )


def _picture(image: torch.Tensor) -> Picture:
    return from_tensor(image).astype(np.uint8, copy=False)


_OnStepOf = Callable[[int, LossReport, Callable[[], Picture]], None]
"""`OnStep` of one run of the optimiser, with the number of the step in it."""


def _part(on_step: OnStep | None, done: float, share: float) -> _OnStepOf | None:
    """`on_step` seen from one run of the optimiser, whose every step is `share` of the frame's work."""
    if on_step is None:
        return None
    return lambda step, report, picture: on_step(done + share * step, report, picture)
