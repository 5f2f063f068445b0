"""One job end to end: decode → shots → flow → optimise → workspace → encode.

Everything is an iterator, so a clip of any length runs in the memory of a few frames. What is
finished lies in the workspace beside the output; the output itself appears in one step at the end.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import count, pairwise
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from vidstyle import __version__
from vidstyle.blending import MASK_BLENDS, composite
from vidstyle.color import PRESERVE_COLOR
from vidstyle.device import matrix_units, resolve_devices, spare_threads
from vidstyle.errors import MediaError, NotEnoughMemory, UsageError, WorkspaceError
from vidstyle.files import is_url
from vidstyle.flow import ESTIMATORS, FLOW_SUFFIXES, Flows, make_flows, warping_error
from vidstyle.frames import Frame, MediaInfo, MediaKind
from vidstyle.guidance import Guidance, Guide
from vidstyle.joblog import begun_log, check_log, not_written
from vidstyle.made import OUTPUT, Made
from vidstyle.media import check_apart, check_output, is_media_name, kind_of, open_sink, open_source, output_kind, read_style
from vidstyle.media.base import Source
from vidstyle.memory import WHOLE, Way, allowed_memory, estimate_memory, free_memory, least_memory, longest_side_within, way_within
from vidstyle.motion import Motion
from vidstyle.notebook import Painting, html_of
from vidstyle.numbered import FrameNames
from vidstyle.objective import LossReport
from vidstyle.passes import KeptShot, sweep
from vidstyle.pixels import from_tensor, to_tensor
from vidstyle.plan import Part, ahead, plan
from vidstyle.settings import RunSettings, Settings, schedule_entries
from vidstyle.stillness import Held
from vidstyle.stylizer import Closing, OnStep, Painted, Stylizer, check_size, pyramid
from vidstyle.units import JobFiles, Plan, Unit, UnitFrames, finish, finished, join_units, planned_units, scatter
from vidstyle.words import duration, frames, legible
from vidstyle.workspace import State, Workspace, WritingBehind, fingerprint_file, planning, remove_remains

__all__ = [
    "Beside",
    "FrameReport",
    "JobOptions",
    "JobResult",
    "Look",
    "OnImage",
    "Progress",
    "Silent",
    "UnitPainter",
    "divides",
    "estimate_disk",
    "flows_of",
    "inputs_of",
    "join",
    "make_stylizer",
    "not_all_painted",
    "paint_alone",
    "plan_units",
    "shown",
    "styles_of",
    "stylize",
    "stylize_image",
    "workspace_path",
]

logger = logging.getLogger(__name__)

PathLike = str | Path


class Beside(Protocol):
    """What is made of a result before its workspace goes, such as a comparison: a job that is killed there goes on with it."""

    def check(self, made: Made) -> None:
        """Refuses, before the work, what cannot be made; `made` says what an earlier run of the job has put in its place.

        Raises:
            UsageError: something else stands in the way.
        """
        ...

    def make(self, result: JobResult, made: Made, workspace: Workspace) -> None:
        """Makes what is not made yet, each within `made.noting`; the result is in its place."""
        ...


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is run; nothing here changes a stylised frame."""

    overwrite: bool = False
    """Replace the output if it exists."""
    fresh: bool = False
    """Start anew even where a workspace could be gone on with."""
    keep_workspace: bool = False
    """Leave the workspace when the job is done."""
    log_json: Path | None = None
    """File that gets one line of JSON a frame: the output's path and the `FrameReport`."""
    append_log: bool = False
    """Add to that file instead of starting it anew; what it says of this output goes."""
    beside: Beside | None = None
    """What else is made of the result."""
    called: str | None = None
    """What the output is called in the log, where it is made in one place and goes to another."""


@dataclass(frozen=True, slots=True)
class FrameReport:
    """How one frame was made."""

    index: int
    pts: int
    time_base: str
    name: str
    shot_start: bool
    objective: float
    """α·content + β·style, in the units of neural-style and artistic-videos."""
    terms: Mapping[str, float]
    """Every term of the loss, weights included."""
    steps: int
    seconds: float
    """From the painting before to this one, with what is stored and written in between: together, the time that all paintings took."""
    reliable: float
    """Share of the pixels whose flow to the frame before is trusted; 1 for the first frame of a shot. In further passes, to the
    frame that the pass has come from."""
    passed: int = 1
    """In which pass over its shot this was made; the last one is what is written to the output."""
    share: float = 1.0
    """What this painting is of the work that its frame takes in all passes."""
    warping_source: float | None = None
    """Warping error of the source towards the frame that this one was held to (`vidstyle.flow.warping_error`); None where there is none,
    or it was not looked at."""
    warping_result: float | None = None
    """The same of the paintings, as they are stored."""

    @property
    def when(self) -> Fraction:
        """Seconds at which the frame is shown, exactly."""
        return self.pts * Fraction(self.time_base)


class Progress(Protocol):
    """What a job tells while it runs."""

    def start(self, total: int | None, done: float, needs: str) -> None:
        """The job has `total` frames (an estimate, or None), of which `done` were finished before, in parts after each pass.

        `needs` says in words how large they are and what memory they take.
        """
        ...

    def step(self, fraction: float, objective: float) -> None:
        """A step is done; the painting in work has come to `fraction` of its frame's work, its loss being `objective`."""
        ...

    def frame(self, report: FrameReport) -> None:
        """A painting is finished, which is `report.share` of its frame's work; it is on disk once the next one is told of."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """A look at a painting in work."""

    frame: int
    """Index of its frame in the job."""
    step: int
    """How many steps were made on the frame, over all sizes; in further passes it begins anew."""
    image: Painting
    """(H, W, 3) uint8 RGB, before colours and strength of the output; smaller while a first frame is painted coarse."""
    report: LossReport
    """The terms of the loss of just this picture."""


OnImage = Callable[[Look], object]


class _Told:
    """Hands on what every step says: to the progress, and now and then to somebody who wants to look."""

    def __init__(self, progress: Progress, passes: int, on_image: OnImage | None, every: int) -> None:
        if every < 1:
            raise UsageError(f"every: {every} is no number of steps; give 1 or more")
        self._progress, self._passes, self._on_image, self._every = progress, passes, on_image, every

    def of(self, frame: int) -> OnStep:
        """For the steps of the painting of a frame."""
        steps = count(1)

        def on_step(fraction: float, report: LossReport, picture: Callable[[], npt.NDArray[np.uint8]]) -> None:
            self._progress.step(fraction / self._passes, report.objective)
            step = next(steps)
            if self._on_image is not None and step % self._every == 0:
                self._on_image(Look(frame, step, picture().view(Painting), report))

        return on_step


class Silent:
    """A `Progress` that tells nobody."""

    def start(self, total: int | None, done: float, needs: str) -> None:
        """See `Progress`."""

    def step(self, fraction: float, objective: float) -> None:
        """See `Progress`."""

    def frame(self, report: FrameReport) -> None:
        """See `Progress`."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a finished job has made."""

    output: Path
    frames: int
    seconds: float
    steadiness: float | None = None
    """The paintings' warping error over the source's, along the flow that they were made with; None where nothing moved on."""
    number: int = 1
    """Of the first frame, where the output is a sequence (`painted.%04d.png`)."""
    was_there: bool = False
    """Whether an earlier run of the same job had put it in its place already."""

    @property
    def span(self) -> RunSettings:
        """Which part of what stands at `output` this is: all, but of a sequence, beside whose frames others may lie."""
        last = self.number + self.frames - 1
        return RunSettings() if FrameNames.of(self.output) is None else RunSettings(frames=f"{self.number}-{last}")

    def _repr_html_(self) -> str:
        """What a notebook shows: the film or picture itself where it is small and browsers know its kind, else some frames of it."""
        return html_of(self.output, f"{self.output}: {frames(self.frames)} in {duration(self.seconds)}", self.span)


def stylize(
    source: PathLike,
    styles: PathLike | Sequence[PathLike] | None,
    output: PathLike,
    settings: Settings | None = None,
    options: JobOptions | None = None,
    progress: Progress | None = None,
    on_image: OnImage | None = None,
    every: int = 10,
) -> JobResult:
    """Paints a video, an image or a directory of frames in the manner of the style pictures.

    Frames that an earlier, interrupted run with the same input and settings has finished are taken from its
    workspace, `OUTPUT.vidstyle/`; the result is the same to the byte.

    Args:
        source: a video, an image, a directory of frames, or a sequence of them (`shot.%04d.png`).
        styles: one style picture or several, blended by `settings.style.blend` or laid out by `settings.mask`; none where the style's
            weight is 0, where the content's is and the source itself is the style, or where `settings.style.schedule` names them.
        output: the same; its name says which. One with a slash at its end is a directory of frames (a `Path` cannot have one).
        settings: everything a user can turn; the defaults if left out.
        options: how the job is run.
        progress: is told about every step and frame, as `ProgressBar` is.
        on_image: is called with a `Look` at the painting in work; what it raises ends the job, which can then be gone on with.
        every: how many steps go by from one look to the next. A GPU waits for each.

    Raises:
        UsageError: paths or settings are wrong; nothing was started.
        MediaError: an input cannot be read or the output cannot be written.
        WeightsError: the network's weights cannot be loaded.
        WorkspaceError: the workspace is in use or cannot be written.
        NumericalError: a loss was not finite, twice.
    """
    for path in (source, output):
        if isinstance(path, str) and is_url(path):
            raise UsageError(f"{path}: the command takes names of a store, this function those of files; fetch it first")
    settings, options, progress = settings or Settings(), options or JobOptions(), progress or Silent()
    kind = output_kind(output)  # before a path forgets the slash at its end
    source, output = Path(source), Path(output)
    style_paths = styles_of(source, styles, settings)
    if output.name in ("", ".."):
        raise UsageError(f"{output}: name a file, or a directory of its own, to write")
    check_apart({"OUTPUT": output, "--log-json": options.log_json}, inputs_of(source, style_paths, settings))
    if options.log_json is not None:
        check_log(options.log_json)
    return _run(_Job(source, style_paths, output, kind, settings, options), progress, on_image, every)


def _run(job: _Job, progress: Progress, on_image: OnImage | None, every: int) -> JobResult:
    """Does a job whose paths are known to be apart."""
    began = time.monotonic()
    with ExitStack() as stack:
        workspace, made, result = _painted(job, progress, on_image, every, stack)
        result = replace(result, seconds=time.monotonic() - began)
        if job.options.beside is not None:
            job.options.beside.make(result, made, workspace)
        if not job.options.keep_workspace:
            workspace.remove()
    return result


@dataclass(frozen=True, slots=True)
class _Job:
    """What `stylize` was asked for."""

    source: Path
    styles: Sequence[Path]
    output: Path
    kind: MediaKind
    settings: Settings
    options: JobOptions
    joins_only: bool = False
    """Whether units that are not painted are none of its business."""


def _painted(job: _Job, progress: Progress, on_image: OnImage | None, every: int, held: ExitStack) -> tuple[Workspace, Made, JobResult]:
    """Puts the result in its place; the workspace stays open, in `held`. What painting takes of the memory is free when this returns."""
    source, output, settings, options = job.source, job.output, job.settings, job.options
    flows = flows_of(settings)
    with ExitStack() as stack:
        medium, way = _opened(job, stack)
        directory = workspace_path(output)
        if output.exists():
            remove_remains(directory)
        made = None if options.fresh else Made.read(directory)
        _check_outputs(job, medium.info, made)  # once more below, but a slip of the pen is told before a long input is read
        _tell_what_does_nothing(settings, medium.info.kind, job.styles)
        _tell_of_too_little(medium.info, settings, way)
        # For the whole job: RAFT computes in a thread ahead, and would round or not by whether a step happened to be under way.
        stack.enter_context(matrix_units(settings.run.precision, resolve_devices(settings.run.devices)[0]))
        guide = stack.enter_context(Guide(settings, len(job.styles), medium.info, flows))
        stylizer = None if made is not None and made.holds(OUTPUT) else make_stylizer(settings, job.styles, medium.info, way)
        fingerprint = _fingerprint(source, job.styles, settings)
        name = _name_of(job, fingerprint)
        if made is not None and made.job != name:
            made = None
            _check_outputs(job, medium.info, made)

        def still_vouched_for(done: int) -> None:
            nonlocal made
            if made is not None and (made != Made.read(directory) or made.paintings != done):
                made = None  # it went meanwhile, or frames are damaged: what stands there is nobody's that this job could vouch for
                _check_outputs(job, medium.info, made)

        # A command that is refused drops no frame.
        workspace = held.enter_context(Workspace.open(directory, fingerprint, options.fresh, way.text, still_vouched_for))
        held.callback(_remove_empty, workspace)
        there = made is not None and made.holds(OUTPUT)
        units = None if there else Plan.read(directory, fingerprint)
        if units is None and not there and divides(settings, medium.info):
            units = _make_plan(job, medium, workspace, fingerprint)
        told_of = options.called or str(output)
        log = None if options.log_json is None else stack.enter_context(begun_log(options.log_json, output, options.append_log))
        if units is None:
            for report in _reports(workspace):
                _write_line(log, told_of, report)
        if made is None or not there:
            stylizer = stylizer or make_stylizer(settings, job.styles, medium.info, way)
            told = _Told(progress, _passes(settings, medium.info), on_image, every)
            if units is None:
                stylizer.work_in(_gone_on_with(workspace, way, medium.info, settings))
                done = sum(report.share for report in _reports(workspace))
                progress.start(medium.info.frames, done, _in_words(medium.info, settings, stylizer.way))
                with WritingBehind(workspace) as kept:
                    for report in _paint(medium, flows, stylizer, guide, kept, told):
                        _write_line(log, told_of, report)
                        progress.frame(report)
                workspace.end_here()
            else:
                painter = UnitPainter(units, medium, flows, stylizer, way)
                _paint_through_units(painter, workspace, progress, told, job.joins_only)
                for report in _reports(workspace):
                    _write_line(log, told_of, report)
            made = made or Made(directory.parent.resolve(), name, workspace.done)
            with Guide(settings, len(job.styles), medium.info, flows) as again, made.noting(OUTPUT, workspace):
                _encode(medium, again, workspace, source, output, job.kind, settings, options.overwrite)
        result = JobResult(output, len(_latest(workspace)), 0.0, _steadiness(workspace), medium.info.number, there)
    return workspace, made, result


def _opened(job: _Job, stack: ExitStack) -> tuple[Source, Way]:
    """The input of a job, and how its frames are worked on in the memory there is.

    Raises:
        UsageError, MediaError: it cannot be painted, or not as that output.
    """
    medium = stack.enter_context(open_source(job.source, job.settings.run, film=job.kind == "video"))
    if job.kind == "image" and medium.info.kind != "image":
        raise UsageError(f"{job.output}: a picture cannot hold a film; name a video (.mp4) or a directory as output")
    check_size(job.settings, (medium.info.height, medium.info.width))
    if job.settings.mask.follow and divides(job.settings, medium.info):
        raise UsageError(
            "--divide and --mask-follow contradict each other: the masks move along with what is in one part; leave one of them out"
        )
    return medium, _way_of(medium.info, job.settings)


def _passes(settings: Settings, info: MediaInfo) -> int:
    """How often a shot is gone over."""
    return 1 if settings.temporal.framewise or info.kind == "image" else settings.temporal.passes


def _check_outputs(job: _Job, info: MediaInfo, made: Made | None) -> None:
    """Finds out whether everything can be written; what this very job has put in its place is not in the way.

    Raises:
        UsageError: see `check_output` and `Beside.check`.
    """
    made = made or Made(Path(), "")
    overwrite = job.options.overwrite or made.holds(OUTPUT)
    check_output(job.output, job.kind, job.settings.encode, overwrite, info)
    if job.options.beside is not None:
        job.options.beside.check(made)


def _name_of(job: _Job, fingerprint: Mapping[str, str]) -> str:
    """What stands for a job with all that its output depends on: what the frames do, and how they are shown and written."""
    values = {**fingerprint, "kind": job.kind, "settings": _without_names(job.settings).model_dump(mode="json")}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def estimate_disk(height: int, width: int, frames: int, settings: Settings) -> int:
    """Bytes that a workspace takes at most: its frames, twice in further passes, and the carried state, twice while it is written.

    The state is the optimiser's pairs, and the frame that they belong to, with where it has not settled.
    """
    pairs = settings.optimize.carried if settings.optimize.optimizer == "lbfgs" else 1
    again = 2 if settings.temporal.passes > 1 else 1
    return height * width * (6 * frames * again + 2 * (24 * pairs + 16))


def stylize_image(
    source: PathLike,
    styles: PathLike | Sequence[PathLike] | None = None,
    settings: Settings | None = None,
    on_image: OnImage | None = None,
    every: int = 10,
) -> Painting:
    """Paints one picture and returns it, (H, W, 3) uint8 RGB, without writing anything. A notebook shows it.

    Arguments are those of `stylize`.

    Raises:
        UsageError: `source` is no picture, or the settings are wrong.
        MediaError: a picture cannot be read.
        WeightsError: the network's weights cannot be loaded.
        NumericalError: the loss was not finite, twice.
    """
    settings, source = settings or Settings(), Path(source)
    if kind_of(source) != "image":
        raise UsageError(f"{source}: is no picture; use vidstyle.stylize for videos and directories of frames")
    style_paths = styles_of(source, styles, settings)
    with open_source(source, settings.run) as medium:
        way = _way_of(medium.info, settings)
        with Guide(settings, len(style_paths), medium.info, flows_of(settings)) as guide:
            stylizer = make_stylizer(settings, style_paths, medium.info, way)
            frame = next(medium.frames())
            on_step = _Told(Silent(), 1, on_image, every).of(0)
            return paint_alone(stylizer, frame, guide.at(frame, shot_start=True), on_step).view(Painting)


def paint_alone(stylizer: Stylizer, frame: Frame, guidance: Guidance, on_step: OnStep | None = None) -> npt.NDArray[np.uint8]:
    """One frame, owing nothing to any other, as the output would show it: (H, W, 3) uint8 RGB.

    Raises:
        NumericalError: the loss was not finite, twice.
    """
    return shown(stylizer.first(frame, on_step, guidance).picture, frame, stylizer.settings, guidance)


def shown(painted: npt.NDArray[np.uint16], frame: Frame, settings: Settings, guidance: Guidance) -> npt.NDArray[np.uint8]:
    """A painting of `frame` as the output would show it, with the colours and the strength of `settings`: (H, W, 3) uint8 RGB."""
    picture = from_tensor(_finished(to_tensor(painted), to_tensor(frame.rgb), settings, guidance))
    return picture.astype(np.uint8, copy=False)


def workspace_path(output: Path) -> Path:
    """Where the job that makes `output` keeps its frames: one place for every name of an output, so that no two jobs work on one.

    It lies beside what a link leads to; `p.####.png` and `p.%04d.png` have the same.
    """
    names = FrameNames.of(output)
    place = Path(str(names)) if names is not None else output.resolve() if output.is_symlink() else output
    return place.with_name(f"{place.name}.vidstyle")


def _paint(
    medium: Source,
    flows: Flows,
    stylizer: Stylizer,
    guide: Guide,
    workspace: WritingBehind,
    told: _Told,
    unit: Unit | None = None,
) -> Iterator[FrameReport]:
    """Paints and stores every frame that the workspace does not hold yet, shot by shot, each in all passes before the next.

    Of a `unit`, `medium` and `guide` have its frames alone.
    """
    temporal, passes = stylizer.settings.temporal, _passes(stylizer.settings, medium.info)
    first = 0 if unit is None else unit.first
    part = None if unit is None or unit.cuts else Part(first, unit.count)

    def looked_at(frame: Frame) -> bool:
        """Whether its warping error is asked for: on a GPU, whose host has more to do, now and then."""
        return stylizer.device.type == "cpu" or frame.index % _SEEN_EVERY == 1

    at = _Places()
    painted_before = []
    for number, report in enumerate(_reports(workspace)):
        at.add(report.passed, report.index, number)
        if report.passed == 1:
            painted_before.append(report.shot_start)

    def stored(passed: int, index: int) -> npt.NDArray[np.uint16]:
        return workspace.frame(at.number(passed, index))

    def newest(index: int) -> npt.NDArray[np.uint16]:
        """What the last pass over the frame's shot has made of it; earlier ones may be gone."""
        return stored(at.last_pass(index), index)

    def commit(painted: Painted, report: FrameReport, held: Held | None = None) -> FrameReport:
        at.add(report.passed, report.index, workspace.done)
        afresh = report.shot_start and report.passed == 1
        report = replace(report, share=(1.0 if unit is None else unit.weight_of(report.index)) / passes)
        state: State = {**painted.state, **({} if held is None else held.state)}
        workspace.append(workspace.done, painted.picture, asdict(report), state, afresh)
        return report

    def later_passes(shot: KeptShot, ends_film: bool = False) -> Iterator[FrameReport]:
        """Goes over the frames of a shot again, from its end, from its beginning, and so on."""
        comes_round = temporal.loop and ends_film
        if len(shot) < 2 or (comes_round and shot.indices[0] > 0):  # it goes towards a frame of another shot, which is done
            return
        for passed in range(2, passes + 1):
            done = sum((passed, index) in at for index in shot.indices)
            began = time.monotonic()
            for beside in ahead(sweep(shot, flows, passed % 2 == 0, comes_round, done), not stylizer.way.half):
                own = stored(passed - 1, beside.frame.index)
                neighbour = None
                if beside.behind is not None:  # of this pass, but where a loop has come round
                    neighbour = stored(passed if (passed, beside.behind.source.index) in at else passed - 1, beside.behind.source.index)
                painted = stylizer.again(beside, own, neighbour, workspace.state(), told.of(beside.frame.index))
                errors = None
                if beside.behind is not None and neighbour is not None and looked_at(beside.frame):
                    errors = _warping_errors(beside.frame, beside.behind, painted.picture, neighbour)
                seconds, began = time.monotonic() - began, time.monotonic()
                yield commit(painted, _frame_report(beside.frame, painted, beside.shot_start, seconds, errors, passed))
            workspace.drop(at.number(passed - 1, index) for index in shot.indices)

    if passes > 1:  # of the shot that is not finished all is wanted again
        del painted_before[max((index for index, start in enumerate(painted_before) if start), default=0) :]
    began = time.monotonic()
    with KeptShot(workspace.directory) as shot:
        threads = spare_threads(stylizer.device)
        steps = plan(medium, flows, guide, temporal, painted_before, Held.of(workspace.state()), threads, part)
        for step in ahead(steps, not stylizer.way.half):
            frame, guidance = step.frame, step.guidance
            if step.shot_start:
                passed = time.monotonic()
                yield from later_passes(shot)
                began += time.monotonic() - passed  # each of its paintings has had its own
                shot.clear()
            if passes > 1 and frame.index - first >= len(painted_before):
                shot.append(frame, guidance, stylizer.rest(step.motions[0], guidance) if step.motions else None)
            if (1, frame.index) in at:
                if step.shot_start:
                    stylizer.begin_shot(frame)
                began = time.monotonic()
                continue
            errors = None
            if step.shot_start:
                painted = stylizer.first(frame, told.of(frame.index), guidance)
            elif temporal.framewise:
                painted = stylizer.smoothed(frame, step.motions[0], stored(1, frame.index - 1), told.of(frame.index), guidance)
            else:
                closing = None
                if step.towards_first is not None:
                    towards, share = step.towards_first
                    closing = Closing(towards, newest(0), share)
                painted = stylizer.follow(
                    frame,
                    step.motions,
                    {motion.distance: stored(1, frame.index - motion.distance) for motion in step.motions},
                    workspace.state(),
                    told.of(frame.index),
                    guidance,
                    closing,
                    step.answers,
                )
            if not step.shot_start and looked_at(frame):
                errors = _warping_errors(frame, step.motions[0], painted.picture, stored(1, frame.index - 1))
            seconds, began = time.monotonic() - began, time.monotonic()
            yield commit(painted, _frame_report(frame, painted, step.shot_start, seconds, errors), step.held)
        yield from later_passes(shot, ends_film=True)


@dataclass(frozen=True, slots=True)
class _Finished:
    """What was made of the frames of a unit that is painted."""

    workspace: Workspace
    numbers: Mapping[int, int]
    """Index of a frame -> of its last painting."""

    def __getitem__(self, index: int) -> npt.NDArray[np.uint16]:
        return self.workspace.frame(self.numbers[index])


def _paint_joint(
    medium: UnitFrames,
    flows: Flows,
    stylizer: Stylizer,
    guide: Guide,
    workspace: WritingBehind,
    told: _Told,
    unit: Unit,
    before: _Finished,
    behind: _Finished,
) -> Iterator[FrameReport]:
    """Paints where one part of a shot, `before`, meets the next, `behind`, as far as the workspace does not hold it yet.

    Each frame begins as the one before it, moved along the flow, mixed with what the part behind has made of it; of that there is more from
    frame to frame. It is then painted on, held to the mixture, which by itself would be blurred.
    """
    began = time.monotonic()
    for earlier, frame in pairwise(medium.frames()):
        guidance, number = guide.at(frame, shot_start=False), frame.index - unit.first
        if number < workspace.done:
            continue
        motion = Motion.found(frame, earlier, flows) if flows.knows(frame, earlier) else None
        neighbour = workspace.frame(number - 1) if number else before[earlier.index]
        share = 1 - unit.left_at(frame.index) / (unit.left_at(earlier.index) if number else 1.0)
        painted = stylizer.joined(frame, motion, neighbour, behind[frame.index], share, told.of(frame.index), guidance)
        errors = None if motion is None else _warping_errors(frame, motion, painted.picture, neighbour)
        seconds, began = time.monotonic() - began, time.monotonic()
        passed = stylizer.settings.temporal.passes + 1
        report = replace(_frame_report(frame, painted, False, seconds, errors, passed), share=unit.weight_of(frame.index))
        workspace.append(number, painted.picture, asdict(report), {}, afresh=not number)
        yield report


class UnitPainter:
    """Paints units of one job, for which network and styles are loaded once."""

    def __init__(self, plan: Plan, medium: Source, flows: Flows, stylizer: Stylizer, way: Way) -> None:
        """`way` is how frames are worked on in the memory that there is here."""
        self.plan = plan
        self._medium, self._flows, self._stylizer, self._way = medium, flows, stylizer, way

    @classmethod
    @contextmanager
    def of(cls, plan: Plan) -> Iterator[Self]:
        """With all that the plan names opened and loaded; it is closed with the block.

        Raises:
            UsageError, MediaError, WeightsError: it cannot be.
        """
        job = plan.job
        with ExitStack() as stack:
            medium = stack.enter_context(open_source(job.source, job.settings.run, film=job.kind == "video"))
            way = _way_of(medium.info, job.settings)
            _tell_of_too_little(medium.info, job.settings, way)
            stack.enter_context(matrix_units(job.settings.run.precision, resolve_devices(job.settings.run.devices)[0]))
            yield cls(plan, medium, flows_of(job.settings), make_stylizer(job.settings, job.styles, medium.info, way), way)

    @property
    def needs(self) -> str:
        """In words, what the frames need."""
        return _in_words(self._medium.info, self.plan.job.settings, self._way)

    def done(self, units: Sequence[Unit]) -> float:
        """How many frames of the units are painted, in parts after each pass, as far as can be told without looking at them."""
        passes = _passes(self.plan.job.settings, self._medium.info)
        return sum(unit.frames(Workspace.count(self.plan.place(unit)) / (1 if unit.joins else passes)) for unit in units)

    def paint(self, unit: Unit, progress: Progress, told: _Told | None = None) -> None:
        """Paints what is missing of a unit, into its own workspace; where parts of a shot meet that of the parts too.

        Raises:
            WorkspaceError: another process is at work there (`WorkspaceInUse`), or the disk is full.
            MediaError: the input cannot be read any more, or is another one than when the plan was made.
            NumericalError: a loss was not finite twice.
        """
        plan, settings = self.plan, self.plan.job.settings
        told = told or _Told(progress, _passes(settings, self._medium.info), None, 1)
        parts = [self._finished(one, unit) or self._painted_now(one, unit, progress, told) for one in plan.beside(unit)]
        with Workspace.open(plan.place(unit), plan.fingerprint_of(unit), manner=plan.manner) as workspace:
            if plan.is_done(unit) and finished(plan, unit, workspace):
                return
            self._stylizer.work_in(_gone_on_with(workspace, self._way, self._medium.info, settings))
            source = self._medium if unit.cuts else UnitFrames(self._medium, unit)
            with self._guide(unit) as guide, WritingBehind(workspace) as kept:
                if isinstance(source, UnitFrames) and unit.joins:
                    reports = _paint_joint(source, self._flows, self._stylizer, guide, kept, told, unit, *parts)
                else:
                    reports = _paint(source, self._flows, self._stylizer, guide, kept, told, unit)
                for report in reports:
                    progress.frame(report)
            finish(plan, unit, workspace)

    def _painted_now(self, one: Unit, wanted: Unit, progress: Progress, told: _Told) -> _Finished:
        self.paint(one, progress, told)
        found = self._finished(one, wanted)
        if found is None:
            raise WorkspaceError(f"{self.plan.place(one)}: damaged while the job ran; run the same command again to make its frames anew")
        return found

    def _finished(self, one: Unit, wanted: Unit) -> _Finished | None:
        """What was made of one unit, where that is painted, and the frames of it that are `wanted` for another are not damaged.

        It is not locked: nobody writes what is finished, and several may look at it.
        """
        workspace = Workspace.look_into(self.plan.place(one), self.plan.fingerprint_of(one))
        if workspace is None or not self.plan.is_done(one):
            return None
        try:
            numbers = _last_paintings(workspace)
        except WorkspaceError:
            return None
        asked = range(max(one.first, wanted.first - 1), min(one.end, wanted.end))
        if not all(index in numbers and workspace.is_intact(numbers[index]) for index in asked):
            return None
        return _Finished(workspace, numbers)

    def _guide(self, unit: Unit) -> Guide:
        settings = self.plan.job.settings
        return Guide(settings, len(self.plan.job.styles), self._medium.info, self._flows, unit.first, unit.schedule)


def _paint_through_units(painter: UnitPainter, workspace: Workspace, progress: Progress, told: _Told, joins_only: bool) -> None:
    """Paints the units that are missing one after the other, and joins them all.

    Raises:
        WorkspaceError: some are missing and it is to join only, or other processes are at work on them.
    """
    plan = painter.plan
    if plan.joined is not None and plan.joined != workspace.done:  # damaged since then
        plan = painter.plan = replace(plan, joined=None)
        scatter(plan, workspace)
        plan.write()
    progress.start(plan.frames, plan.frames if plan.joined is not None else painter.done(plan.units), painter.needs)
    for last in (False, True):
        missing = plan.missing()
        if missing and joins_only:
            raise not_all_painted(plan, missing)
        for unit in missing:
            painter.paint(unit, progress, told)
        plan, missing = join_units(plan, workspace)
        if not missing:
            _tell_of_joints(plan, workspace)
            return
        if last or joins_only:
            raise not_all_painted(plan, missing)


def _tell_of_joints(plan: Plan, workspace: Workspace) -> None:
    """Compares the warping errors of the frames where parts of a shot meet with those of both parts; tells of what may be seen."""
    if not any(unit.joins for unit in plan.units):
        return
    last = {report.index: report for report in _reports(workspace)}

    def error(indices: Iterable[int]) -> float | None:
        """Of the paintings, over that of the source."""
        seen = [report for index in indices if (report := last[index]).warping_source is not None]
        own = sum(report.warping_source or 0.0 for report in seen)
        return sum(report.warping_result or 0.0 for report in seen) / own if own else None

    for unit in plan.units:
        if unit.joins:
            here = error(range(unit.first, unit.end))
            around = error(
                index for part in plan.beside(unit) for index in range(part.first, part.end) if not unit.first <= index < unit.end
            )
            if here is not None and around is not None:
                level = logging.WARNING if here > _LOUD * around else logging.INFO
                logger.log(level, "%s: %s: warping error %.2f of the source's, %.2f around", plan.job.source, unit.words, here, around)


_LOUD = 1.5
"""Warping error where parts of a shot meet, over that around, from which on it is told: the shot is looked at there."""


def not_all_painted(plan: Plan, missing: Sequence[Unit]) -> WorkspaceError:
    """What is to be said of units that are missing."""
    more = f", … ({len(missing) - _NAMED} more)" if len(missing) > _NAMED else ""
    named = ", ".join(unit.words for unit in missing[:_NAMED])
    return WorkspaceError(
        f"{plan.directory}: units not painted yet: {len(missing)} of {len(plan.units)}: {named}{more}; "
        "run the command of the shards again, which paints what is missing, or the same command without --shard"
    )


_NAMED = 5
"""Units that a message names."""


def divides(settings: Settings, info: MediaInfo) -> bool:
    """Whether shots are painted in parts where they are long enough (`--divide`)."""
    temporal = settings.temporal
    return temporal.divide is not None and info.kind != "image" and not temporal.framewise and not temporal.loop


def _make_plan(job: _Job, medium: Source, workspace: Workspace, fingerprint: Mapping[str, str]) -> Plan:
    """The plan of a job, written into its workspace, which is open; what is painted there is handed to the units.

    Raises:
        MediaError: there is no frame.
        WorkspaceError: the disk is full, or a process is at work in a unit.
    """
    settings, info = job.settings, medium.info
    temporal, pixels = settings.temporal, info.height * info.width
    first = settings.optimize.first_iterations * sum(height * width for height, width in pyramid((info.height, info.width)))
    follows = first if temporal.framewise else settings.optimize.iterations * _passes(settings, info) * pixels
    whole = info.kind == "image" or (temporal.loop and not temporal.framewise)
    divide = temporal.divide if divides(settings, info) else None
    units = planned_units(medium, settings, len(job.styles), lambda count: float(first + (count - 1) * follows), whole, divide)
    if not units:
        raise MediaError(f"{job.source}: holds no frame")
    files = JobFiles.of(job.source, job.styles, job.kind, settings)
    plan = Plan(workspace.directory.absolute(), fingerprint, workspace.manner, files, medium.info.time_base, units)
    scatter(plan, workspace)
    plan.write()
    return plan


def plan_units(
    source: PathLike,
    styles: PathLike | Sequence[PathLike] | None,
    output: PathLike,
    settings: Settings,
    options: JobOptions,
    replaces: bool = True,
) -> Plan:
    """The plan by which several processes share a job; made, and written into its workspace, unless another one has done so.

    Arguments are those of `stylize`, and whether the plan of another job there, with all that is painted of it, is replaced.

    Raises:
        UsageError: see `stylize`; or there is the plan of another job, which is not to be replaced.
        MediaError, WeightsError, WorkspaceError: see `stylize`.
    """
    kind = output_kind(output)
    source, output = Path(source), Path(output)
    job = _Job(source, styles_of(source, styles, settings), output, kind, settings, options)
    check_apart({"OUTPUT": output, "--log-json": options.log_json}, inputs_of(source, job.styles, settings))
    with ExitStack() as stack:
        medium, way = _opened(job, stack)
        directory = workspace_path(output)
        if output.exists():
            remove_remains(directory)
        _check_outputs(job, medium.info, None if options.fresh else Made.read(directory))
        _tell_what_does_nothing(settings, medium.info.kind, job.styles)
        stack.enter_context(Guide(settings, len(job.styles), medium.info, flows_of(settings)))  # refuses what does not fit
        fingerprint = _fingerprint(source, job.styles, settings)
        with planning(directory):
            plan = None if options.fresh else Plan.read(directory, fingerprint)
            if plan is None:
                if not replaces and (other := Plan.read(directory)) is not None:
                    raise UsageError(_of_other_settings(output, other, fingerprint))
                with Workspace.open(directory, fingerprint, options.fresh, way.text) as workspace:
                    plan = _make_plan(job, medium, workspace, fingerprint)
    return plan


def _of_other_settings(output: Path, plan: Plan, fingerprint: Mapping[str, str]) -> str:
    differs = " and ".join(name for name in fingerprint if plan.fingerprint.get(name) != fingerprint[name])
    return (
        f"{output}: shards of it were planned with another job ({differs} changed); give the same, choose another output, "
        f"or delete {plan.directory} with what they have painted, and start all shards anew"
    )


def join(output: PathLike, options: JobOptions | None = None, progress: Progress | None = None) -> JobResult:
    """Puts together and writes what the shards of a job have painted; what the job was is read from its plan.

    Raises:
        UsageError: there is no plan, or the output cannot be written.
        WorkspaceError: not all is painted yet.
        MediaError: the input cannot be read any more, or the output not be written.
    """
    directory = workspace_path(Path(output))
    plan = Plan.read(directory)
    if plan is None:
        raise UsageError(f"--join {output}: there is no plan of shards in {directory}; paint with --shard I/N -o {output} first")
    job = plan.job
    return _run(
        _Job(job.source, job.styles, Path(output), job.kind, job.settings, options or JobOptions(), True), progress or Silent(), None, 1
    )


class _Places:
    """Where each painting stands in the workspace, by pass and frame: eight bytes for each, since there may be a night's."""

    def __init__(self) -> None:
        self._numbers: dict[int, array[int]] = {}

    def add(self, passed: int, index: int, number: int) -> None:
        numbers = self._numbers.setdefault(passed, array("q"))
        numbers.extend([_NOWHERE] * (index + 1 - len(numbers)))
        numbers[index] = number

    def number(self, passed: int, index: int) -> int:
        return self._numbers[passed][index]

    def last_pass(self, index: int) -> int:
        """The last pass that has painted the frame."""
        return max(passed for passed in self._numbers if (passed, index) in self)

    def __contains__(self, painting: tuple[int, int]) -> bool:
        passed, index = painting
        numbers = self._numbers.get(passed, ())
        return index < len(numbers) and numbers[index] != _NOWHERE


_NOWHERE = -1


def _frame_report(
    frame: Frame, painted: Painted, shot_start: bool, seconds: float, errors: tuple[float, float] | None, passed: int = 1
) -> FrameReport:
    return FrameReport(
        index=frame.index,
        pts=frame.pts,
        time_base=str(frame.time_base),
        name=frame.name,
        shot_start=shot_start,
        objective=painted.report.objective,
        terms=dict(painted.report.terms),
        steps=painted.steps,
        seconds=round(seconds, 3),
        reliable=painted.reliable,
        passed=passed,
        warping_source=None if errors is None else errors[0],
        warping_result=None if errors is None else errors[1],
    )


def _warping_errors(
    frame: Frame, motion: Motion, painted: npt.NDArray[np.uint16], before: npt.NDArray[np.uint16]
) -> tuple[float, float] | None:
    """Of the source and of the paintings, from `frame` to the one that `motion` leads to; None where the flow is trusted nowhere."""
    if not motion.trust.any():
        return None
    pairs = ((frame.rgb, motion.source.rgb), (painted, before))
    own, result = (warping_error(current, earlier, motion.flow, motion.trust) for current, earlier in pairs)
    return own, result


def _steadiness(workspace: Workspace) -> float | None:
    """See `JobResult.steadiness`."""
    errors = {report.index: (report.warping_source or 0.0, report.warping_result or 0.0) for report in _reports(workspace)}
    own, result = (math.fsum(column) for column in zip(*errors.values(), strict=True))
    return result / own if own > _NO_ERROR else None


_SEEN_EVERY = 10
"""Frames for one whose warping error is asked for on a GPU."""
_NO_ERROR = 1e-9
"""Sum of the warping errors of a source that stands still."""


def _latest(workspace: Workspace) -> list[int]:
    """For every frame, where its last painting stands in the workspace."""
    return list(_last_paintings(workspace).values())


def _last_paintings(workspace: Workspace) -> dict[int, int]:
    """Index of a frame -> where its last painting stands in the workspace."""
    return {report.index: number for number, report in enumerate(_reports(workspace))}


def _encode(
    medium: Source, guide: Guide, workspace: Workspace, source: Path, output: Path, kind: MediaKind, settings: Settings, overwrite: bool
) -> None:
    """Writes the workspace's frames to the output; the source is walked along only where it shows through."""
    if not workspace.done:
        raise MediaError(f"{source}: holds no frame")
    shows = settings.color.preserve != "off" or settings.color.strength < 1 or guide.leaves_source
    sources = medium.frames() if shows else None
    with open_sink(output, medium.info, settings.encode, source, settings.run, overwrite, kind) as sink:
        for number in _latest(workspace):
            report, picture = _report(workspace, workspace.record(number)), workspace.frame(number)
            if sources is not None:
                frame = next(sources)
                guidance = guide.at(frame, report.shot_start)
                finished = _finished(to_tensor(picture), to_tensor(frame.finest), settings, guidance)
                picture = from_tensor(finished, bits=16).astype(np.uint16, copy=False)
            sink.write(picture, report.pts, Fraction(report.time_base), report.name)


def _finished(painted: torch.Tensor, original: torch.Tensor, settings: Settings, guidance: Guidance) -> torch.Tensor:
    """What is shown of a painted picture, (1, 3, H, W): its colours, where it is painted at all, and how much of it."""
    preserve = PRESERVE_COLOR.get(settings.color.preserve)
    if preserve is not None:
        painted = preserve(painted, original)
    coverage = guidance.coverage
    if coverage is not None and float(coverage.min()) < 1:
        painted = MASK_BLENDS[settings.mask.blend](painted, original, torch.from_numpy(coverage)[None, None])
    return painted if settings.color.strength == 1 else composite(painted, original, torch.tensor(settings.color.strength))


def flows_of(settings: Settings) -> Flows:
    """The estimator of motion that the settings name, with as much kept of what it has found as the threads that look ahead ask for.

    Raises:
        UsageError: there is no such estimator, or it cannot be had.
    """
    weights = settings.flow.weights
    device = resolve_devices(settings.run.devices)[0]
    return make_flows(settings.flow.estimator, None if weights is None else Path(weights), str(device), 1 + spare_threads(device))


def make_stylizer(settings: Settings, styles: Sequence[Path], info: MediaInfo, way: Way = WHOLE) -> Stylizer:
    """Reads the styles and loads the network; everything that can fail before the work begins. `way`: see `Stylizer`.

    Raises:
        UsageError: see `Stylizer`, or a picture that settings name cannot be used.
        MediaError: a picture cannot be read.
        WeightsError: the network's weights cannot be loaded.
    """
    pictures = [read_style(path) for path in styles]
    init, fine = settings.optimize.init, settings.style.detail
    initial = None if init in ("content", "noise", "style") else read_style(Path(init), "--init")
    detail = None if fine is None else read_style(Path(fine), "--detail-style")
    return Stylizer(settings, pictures, (info.height, info.width), initial, detail, way)


def _way_of(info: MediaInfo, settings: Settings) -> Way:
    """How the frames are worked on in the memory there is, or in as much as --memory allows.

    Raises:
        NotEnoughMemory: they do not fit in any way.
    """
    size, film, allowed = (info.height, info.width), info.kind != "image", allowed_memory(settings)
    way = way_within(*size, settings, allowed, film)
    if way is not None or allowed is None:
        return way or WHOLE
    fits = longest_side_within(*size, settings, allowed, film)
    given = settings.run.memory is not None
    whose = "are allowed by --memory" if given else "are free"
    advice = f"--size {fits} would fit" if fits >= 32 else f"no size would fit, {'allow more' if given else 'free some memory'}"
    raise NotEnoughMemory(
        f"{info.path}: frames of {info.width}×{info.height} need about {least_memory(*size, settings, film) / 1e9:.1f} GB of memory, "
        f"{allowed / 1e9:.1f} GB {whose}; {advice}"
    )


def _tell_of_too_little(info: MediaInfo, settings: Settings, way: Way) -> None:
    """Warns where --memory allows more than there is."""
    free, needed = free_memory(settings), _needed(info, settings, way)
    if settings.run.memory is not None and free is not None and needed > free:
        logger.warning(
            "%s: its frames need about %.1f GB, which --memory allows, but only %.1f GB are free: the system may end this; allow less",
            info.path, needed / 1e9, free / 1e9,
        )  # fmt: skip


def _gone_on_with(workspace: Workspace, chosen: Way, info: MediaInfo, settings: Settings) -> Way:
    """The way that the workspace was begun with, so that nothing changes on the way; the chosen one where that does not fit any more."""
    try:
        begun = Way.read(workspace.manner)
    except ValueError:
        raise WorkspaceError(f"{workspace.directory / 'job.json'}: damaged; run again with --fresh to begin anew") from None
    allowed = allowed_memory(settings)
    if begun == chosen or allowed is None or _needed(info, settings, begun) <= allowed:
        return begun
    if workspace.done:
        logger.warning(
            "there is less memory than when this job began: frames from here on may differ from those of one go%s",
            ", since L-BFGS remembers less"
            if (chosen.pairs(settings), chosen.half) != (begun.pairs(settings), begun.half)
            else " by a rounding",
        )
    return chosen


def _needed(info: MediaInfo, settings: Settings, way: Way) -> int:
    return estimate_memory(info.height, info.width, settings, way, info.kind != "image")


def _in_words(info: MediaInfo, settings: Settings, way: Way) -> str:
    """What the frames need."""
    needed = f"{info.width}×{info.height} pixels, about {_needed(info, settings, way) / 1e9:.1f} GB of memory"
    return f"{needed} ({way.words})" if way.words else needed


def _is_read(path: Path) -> bool:
    """Whether a file in a directory of frames, masks or flow is one of them; what else lies there does not matter."""
    return is_media_name(path) or path.suffix.lower() in FLOW_SUFFIXES


def _content(path: Path, run: RunSettings) -> str:
    """SHA-256 of what is read of a file, a directory or a sequence."""
    names = FrameNames.of(path)
    if names is None:
        return fingerprint_file(path, _is_read)
    return fingerprint_file(names.directory, lambda entry: names.holds(entry.name, run.frame_range))


def inputs_of(source: Path, styles: Sequence[Path], settings: Settings) -> list[Path]:
    """Every file and directory that a job reads: the source first, the styles, and what the settings name."""
    named = (settings.run.weights, settings.optimize.init, settings.style.detail or "", settings.flow.weights or "")
    files = [Path(name) for name in named if Path(name).is_file()] + [Path(name) for name in settings.mask.paths or ()]
    if settings.flow.estimator not in ESTIMATORS:
        files.append(Path(settings.flow.estimator))
    return [source, *styles, *files]


def _without_names(settings: Settings) -> Settings:
    """The settings with one word for every file or directory that they name: what lies there counts, not how it was written (`./m.png`)."""

    def word(name: str | None) -> str | None:
        return _A_FILE if name is not None and Path(name).is_file() else name

    run, style, mask, flow, optimize = settings.run, settings.style, settings.mask, settings.flow, settings.optimize
    moments = None if style.schedule is None else str([moment for moment, _ in schedule_entries(style.schedule)])
    estimator = flow.estimator if flow.estimator in ESTIMATORS else _A_FILE
    return settings.model_copy(
        update={
            "run": run.model_copy(update={"weights": word(run.weights), "memory": None}),
            "style": style.model_copy(update={"detail": word(style.detail), "schedule": moments}),
            "mask": mask.model_copy(update={"paths": mask.paths and (_A_FILE,) * len(mask.paths)}),
            "flow": flow.model_copy(update={"estimator": estimator, "weights": word(flow.weights)}),
            "optimize": optimize.model_copy(update={"init": word(optimize.init)}),
        }
    )


_A_FILE = "a file"


def _fingerprint(source: Path, styles: Sequence[Path], settings: Settings) -> dict[str, str]:
    """What the frames depend on; a change of any of it makes a workspace worthless."""
    others = inputs_of(source, styles, settings)[1 + len(styles) :]
    return {
        "the input": _content(source, settings.run),
        "the style": hashlib.sha256("".join(fingerprint_file(path) for path in styles).encode()).hexdigest(),
        "the settings": hashlib.sha256(
            "".join([_without_names(settings).fingerprint(), *(_content(path, settings.run) for path in others)]).encode()
        ).hexdigest(),
        "the version of vidstyle": __version__,
    }


def _reports(workspace: Workspace | WritingBehind) -> Iterator[FrameReport]:
    """Of every painting, in the order they were made."""
    return (_report(workspace, record) for record in workspace.records())


def _report(workspace: Workspace | WritingBehind, record: Mapping[str, Any]) -> FrameReport:
    try:
        return FrameReport(**record)
    except TypeError:
        raise WorkspaceError(f"{workspace.directory}: its journal was written by another program; give --fresh to begin anew") from None


def _write_line(log: BinaryIO | None, output: str, report: FrameReport) -> None:
    if log is not None:
        try:
            values = {"output": legible(output), **asdict(report), "name": legible(report.name)}
            log.write(json.dumps(values).encode() + b"\n")
        except OSError as error:
            raise not_written(log.name, error) from None


def _remove_empty(workspace: Workspace) -> None:
    """A job that failed before its first frame leaves nothing to go on with."""
    if not workspace.done and not (workspace.directory / "plan.json").exists() and workspace.directory.exists():
        with suppress(WorkspaceError):  # what the job failed of is worth more words
            workspace.remove(keep_link=True)


def styles_of(source: Path, styles: PathLike | Sequence[PathLike] | None, settings: Settings) -> list[Path]:
    """The style pictures of a job; the source itself for a texture, none for a reconstruction.

    Raises:
        UsageError: there are too many or too few.
    """
    paths = [Path(styles)] if isinstance(styles, str | Path) else [Path(style) for style in styles or ()]
    if settings.style.schedule is not None:
        if paths:
            raise UsageError(f"--style-schedule names the styles of the job; leave out {paths[0]}, or the schedule")
        return [Path(picture) for _, picture in schedule_entries(settings.style.schedule)]
    if paths or not settings.style_layers:
        return paths
    if settings.content.weight > 0:
        raise UsageError("no style picture given; name at least one")
    if kind_of(source) != "image":
        raise UsageError(f"{source}: a texture is made of a picture; give one as INPUT")
    return [source]


def _tell_what_does_nothing(settings: Settings, kind: MediaKind, styles: Sequence[Path]) -> None:
    """Warns of settings that have no effect in this job."""
    mask, style, temporal, default = settings.mask, settings.style, settings.temporal, Settings()
    film = kind != "image"
    idle = [
        ("--loop", "with a picture as INPUT", temporal.loop and not film),
        ("--loop", "with --framewise", temporal.loop and temporal.framewise and film),
        ("--divide", "with a picture as INPUT", temporal.divide is not None and not film),
        ("--divide", "with --framewise", temporal.divide is not None and temporal.framewise and film),
        ("--divide", "with --loop", temporal.divide is not None and temporal.loop and film),
        ("--passes", "with --framewise", temporal.passes != default.temporal.passes and temporal.framewise and film),
        ("--mask-follow", "with a picture as INPUT", mask.follow and not film),
        *((f"--mask-{name}", "without --mask", mask.paths is None and getattr(mask, name) != getattr(default.mask, name))
          for name in ("feather", "follow", "blend")),
        ("--mask-feather", "with --mask-blend poisson, which has a hard edge", mask.feather > 0 and mask.blend == "poisson"),
        ("--style-blend", "with --style-schedule", style.blend is not None and style.schedule is not None),
        ("--style-schedule", "but name its first style with a picture as INPUT",
         style.schedule is not None and len(styles) > 1 and not film),
        ("--histogram-layers", "without --histogram-weight",
         style.histogram_weight == 0 and style.histogram_layers != default.style.histogram_layers),
        ("--style-fade", "without --style-schedule", style.schedule is None and style.fade != default.style.fade),
        ("--detail-layers", "without --detail-style", style.detail is None and style.detail_layers != default.style.detail_layers),
        ("--smoothing", "without --framewise", not temporal.framewise and temporal.smoothing != default.temporal.smoothing),
        ("--least-gain", "with --optimizer adam",
         settings.optimize.least_gain != default.optimize.least_gain and settings.optimize.optimizer == "adam"),
        ("--precision tf32", "without a CUDA device",
         settings.run.precision == "tf32" and resolve_devices(settings.run.devices)[0].type != "cuda"),
        ("--averaging", "without --optimizer adam", settings.optimize.averaging > 0 and settings.optimize.optimizer != "adam"),
    ]  # fmt: skip
    for flag, when, does_nothing in idle:
        if does_nothing:
            logger.warning("%s does nothing %s", flag, when)
    if temporal.loop and style.schedule is not None and styles[-1] != styles[0]:
        logger.warning(
            "--loop: the film ends in %s and begins in %s, so that it jumps; end the schedule with the first style", styles[-1], styles[0]
        )
    if settings.flow.estimator not in ESTIMATORS and any((settings.run.start, settings.run.end, settings.run.frames, settings.run.fps)):
        counted = "its files are counted from the first frame of this job (--start, --end, --frames, --fps)"
        logger.warning("--flow %s: %s", settings.flow.estimator, counted)
