"""What a job would look like, before its night's work: some frames of every shot, painted small, on one contact sheet.

The frames are painted by themselves, with fewer steps and at a size at which all of them take about half a minute, so that the
sheet shows the look and where it changes from shot to shot, not how the film holds together. The clock is looked at after every
frame: on a machine that other work slows down later frames get fewer steps, and the last ones are left out. Strokes keep their size in
pixels, more or less, and so are smaller beside the things in the picture when the film is painted at its full size.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import Frame, MediaInfo
from vidstyle.guidance import Guidance, Guide
from vidstyle.media import check_apart, check_output, open_source, output_kind, read_style, write_picture
from vidstyle.memory import allowed_memory, estimate_memory, least_memory, way_within
from vidstyle.pipeline import divides, estimate_disk, flows_of, inputs_of, make_stylizer, shown, styles_of
from vidstyle.settings import Position, Settings, flag_table
from vidstyle.sheet import Row, contact_sheet
from vidstyle.shots import split_shots
from vidstyle.stylizer import Stylizer, pyramid
from vidstyle.units import divided
from vidstyle.words import duration, gigabytes

__all__ = ["Estimate", "Preview", "Variant", "preview"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

_SIZE = 192
"""Longest side of the pictures on the sheet, in pixels."""
_PAINTING = 32.0
"""Seconds that painting is to take."""
_PAINTING_AT_MOST = 50.0
"""Seconds after which no picture is begun that would end later still; before, the steps get fewer."""
_SEARCHING = 12.0
"""Seconds that looking for shots may take; what is left of the film is sampled at even distances."""
_COLUMNS = 6
_MOST_PICTURES = 12
_LEAST_STEPS, _MOST_STEPS = 12, 60
"""Steps a picture: with fewer the style has hardly taken, with more it hardly changes at this size."""
_TRIED = 2
"""Steps by which a step's time is measured before the first picture; from then on the pictures themselves tell."""
_FEWEST_STEPS_FIRST = 0.7
"""Share of `--first-iterations` that a first frame takes at least until it has settled: a guess on the safe side."""
_FEWEST_STEPS = 0.25
"""Share of `--iterations` that a calm film's frames take until they gain less than `--least-gain` (docs/performance.md)."""
_MOST_OVERHEAD = 1.4
"""What motion, storage and encoding may add to the steps: a guess on the safe side."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to paint, and what it is called on the sheet."""

    label: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the whole job would take."""

    frames: int | None
    """None where the container does not tell."""
    shots: float
    seconds: tuple[float, float]
    """Between which the time will lie on this machine, for all frames, or for one where their number is not known."""
    memory: int
    """Bytes at the peak."""
    disk: int
    """Bytes of the workspace."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What was made."""

    sheet: Path
    frames: tuple[Frame, ...]
    """The frames that are on it, small."""
    estimates: tuple[Estimate, ...]
    """One a variant."""
    said: tuple[str, ...]
    """The same in words."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Picked:
    """A frame for the sheet."""

    frame: Frame
    guidance: Guidance
    shot: int | None = None
    """Which one it is of, from 0; None where the shots before were not counted."""


@dataclass(slots=True)
class _Shot:
    """A shot, as far as it was walked: how long it is, and some of its frames, evenly spread."""

    length: int = 0
    kept: list[tuple[Frame, Guidance]] = field(default_factory=list)
    _stride: int = 1

    def offer(self, frame: Frame, guidance: Guidance) -> None:
        if self.length % self._stride == 0:
            self.kept.append((frame, guidance))
        self.length += 1
        if len(self.kept) > 2 * _COLUMNS:
            self.kept, self._stride = self.kept[::2], 2 * self._stride

    def evenly(self, count: int) -> list[tuple[Frame, Guidance]]:
        """So many of its frames, or as many as there are, each from the middle of its part."""
        count = min(count, len(self.kept))
        return [self.kept[len(self.kept) * (2 * number + 1) // (2 * count)] for number in range(count)]


@dataclass(slots=True)
class _Walk:
    """What was found on the way through the film, in the time that there was."""

    shots: list[_Shot] = field(default_factory=list)
    seconds: Fraction = Fraction(0)
    """How far it went."""
    share: float = 1.0
    """The same, of the whole."""


@dataclass(slots=True)
class _Alike:
    """Variants that differ in nothing but what is done to a finished painting, and so are painted as one."""

    variants: dict[int, Variant]
    """By their row."""
    settings: Settings
    """Of the small pictures."""
    stylizer: Stylizer
    seconds: float = 0.0
    """That its paintings have taken."""
    worked: float = 0.0
    """Pixels that their steps have looked at."""

    @property
    def pace(self) -> float:
        """Seconds that a pixel takes in a step, on this machine, beside whatever else it does."""
        return self.seconds / self.worked

    def cost(self, steps: float) -> float:
        """Pixels that so many steps of a frame look at."""
        return min(steps, self.settings.optimize.first_iterations) * _first_cost(self.stylizer.size)

    def paint(self, picked: _Picked, steps: int) -> dict[int, Picture]:
        """A frame as every variant shows it, by their row."""
        steps = min(steps, self.settings.optimize.first_iterations)
        began = time.monotonic()
        self.stylizer.settings = _in_steps(self.settings, steps)
        painted = self.stylizer.first(picked.frame, None, picked.guidance).picture
        self.seconds += time.monotonic() - began
        self.worked += self.cost(steps)
        return {row: shown(painted, picked.frame, variant.settings, picked.guidance) for row, variant in self.variants.items()}


def preview(
    source: Path,
    styles: Sequence[Path],
    sheet: Path,
    variants: Sequence[Variant],
    overwrite: bool = False,
    told: Callable[[str], object] = lambda what: None,
) -> Preview:
    """Paints some frames small, one row a variant under the source's, and says what the whole job would take.

    Args:
        source: a video, an image, or a directory of frames.
        styles: as for `vidstyle.stylize`.
        sheet: the picture to write.
        variants: ways to paint that differ in how, not in which part of the source is painted.
        overwrite: replace what stands at `sheet`.
        told: is called with what is being done, such as "picture 3 of 6".

    Raises:
        UsageError: paths or settings are wrong.
        MediaError: an input cannot be read, or the sheet cannot be written.
        WeightsError: the network's weights cannot be loaded.
        NumericalError: a loss was not finite, twice.
    """
    began = time.monotonic()
    settings = variants[0].settings
    if output_kind(sheet) != "image":
        raise UsageError(f"{sheet}: a contact sheet is a picture; give a name that ends in .png")
    check_output(sheet, "image", settings.encode, overwrite)
    paths = styles_of(source, styles, settings)
    check_apart({"the contact sheet": sheet}, inputs_of(source, paths, settings))
    with open_source(source, settings.run) as medium:
        info = medium.info
    run = settings.run.model_copy(update={"size": min(_SIZE, max(info.width, info.height))})
    small = settings.model_copy(update={"run": run})
    told("looking for shots")
    walk = _walk(source, small, len(paths))
    if not walk.shots:
        raise MediaError(f"{source}: holds no frame")
    alike: dict[str, dict[int, Variant]] = {}
    for row, variant in enumerate(variants):
        alike.setdefault(variant.settings.fingerprint(), {})[row] = variant
    columns = max(min(_COLUMNS, _MOST_PICTURES // len(alike)), 2)
    walked = max(round(columns * walk.share), 1)
    picked = [*_of_shots(walk, walked), *_of_the_rest(walk, columns - walked, source, info, small, len(paths))]
    height, width = picked[0].frame.rgb.shape[:2]
    told("reading the network")
    ways: list[_Alike] = []
    for several in alike.values():
        own = next(iter(several.values())).settings.model_copy(update={"run": run})
        ways.append(_Alike(several, own, make_stylizer(own, paths, replace(info, width=width, height=height))))
        ways[-1].stylizer.network = ways[0].stylizer.network  # most of the memory, and all run alike
    painted = _paint(ways, picked, told)
    left_out, picked = len(picked) - len(painted), [picked[number] for number in sorted(painted)]
    rows = [Row("the source", [one.frame.rgb for one in picked])]
    rows += [Row(variant.label, [painted[number][row] for number in sorted(painted)]) for row, variant in enumerate(variants)]
    of_row = {row: way for way in ways for row in way.variants}
    estimates = [_estimate(info, len(walk.shots) / walk.share, variant.settings, of_row[row].pace) for row, variant in enumerate(variants)]
    lines = [_said(variant, estimates[row], info, next(iter(of_row[row].variants.values()))) for row, variant in enumerate(variants)]
    title = f"{source.name} in the manner of {', '.join(path.name for path in paths) or 'itself'}"
    finer = f"; at {info.width}×{info.height} strokes are finer" if info.width > width else ""
    lines.append(f"Painted{' small' if finer else ''} ({width}×{height}), with few steps, each frame by itself{finer}.")
    if left_out:
        lines.append(f"Of {len(picked) + left_out} frames {left_out} had to be left out: the machine is busy, or slow.")
    if walk.share < 1:
        lines.append(f"Shots were looked for in the first {walk.share:.0%} of the film.")
    page = contact_sheet(title, lines, rows, [_head(one, info) for one in picked], [read_style(path) for path in paths])
    write_picture(sheet, page, overwrite)
    return Preview(sheet, tuple(one.frame for one in picked), tuple(estimates), tuple(lines), time.monotonic() - began)


def _walk(source: Path, settings: Settings, styles: int) -> _Walk:
    """Goes through the film from its beginning, with the masks and the schedule, until there is no time left."""
    walk, until = _Walk(), time.monotonic() + _SEARCHING
    with open_source(source, settings.run) as medium, Guide(settings, styles, medium.info, flows_of(settings)) as guide:
        opening = None
        for shot in split_shots(medium.frames()):
            walk.shots.append(_Shot())
            for number, frame in enumerate(shot.frames):
                opening = frame.seconds if opening is None else opening
                walk.shots[-1].offer(frame, guide.at(frame, number == 0))
                if time.monotonic() > until:
                    walk.seconds = frame.seconds - opening
                    if medium.info.frames:
                        walk.share = min((frame.index + 1) / medium.info.frames, 1.0)
                    return walk
    return walk


def _of_shots(walk: _Walk, count: int) -> list[_Picked]:
    """So many frames of what was walked: of every shot one while there are so many, of longer ones more."""
    if len(walk.shots) >= count:
        chosen = [(len(walk.shots) * (2 * number + 1) // (2 * count), 1) for number in range(count)]
    else:
        each = [1] * len(walk.shots)
        for _ in range(count - len(each)):  # the next one to the shot whose frames stand for most
            each[max(range(len(each)), key=lambda at: walk.shots[at].length / each[at])] += 1
        chosen = list(enumerate(each))
    return [_Picked(*one, shot) for shot, several in chosen for one in walk.shots[shot].evenly(several)]


def _of_the_rest(walk: _Walk, count: int, source: Path, info: MediaInfo, settings: Settings, styles: int) -> list[_Picked]:
    """Frames of what there was no time to walk, at even distances; none where its length is not known, or a schedule counts on it."""
    if count < 1 or info.kind != "video" or info.frames is None or settings.style.schedule is not None:
        return []
    start = Position.parse(settings.run.start) if settings.run.start else Position(seconds=0.0)
    opening = start.seconds if start.seconds is not None else float((start.frames or 0) / info.rate)
    length, reached = float(info.frames / info.rate), float(walk.seconds)
    found = []
    for number in range(count):
        at = opening + reached + (length - reached) * (2 * number + 1) / (2 * count)
        here = settings.model_copy(update={"run": settings.run.model_copy(update={"start": f"{at:.3f}", "end": None})})
        with open_source(source, here.run) as medium, Guide(here, styles, medium.info, flows_of(here)) as guide:
            frame = next(medium.frames(), None)
            if frame is not None:
                found.append(_Picked(frame, guide.at(frame, True)))
    return found


def _in_steps(settings: Settings, steps: int) -> Settings:
    return settings.model_copy(update={"optimize": settings.optimize.model_copy(update={"first_iterations": steps, "tolerance": 0.0})})


def _first_cost(size: tuple[int, int]) -> float:
    """Pixels that a step on a frame painted by itself looks at, on all sizes from coarse to fine."""
    return float(sum(height * width for height, width in pyramid(size)))


def _paint(ways: Sequence[_Alike], picked: Sequence[_Picked], told: Callable[[str], object]) -> dict[int, dict[int, Picture]]:
    """Number of a frame -> row -> picture, of as many frames as there is time for, each of them in every way.

    What a frame gets of the time that is left goes by how long the ones before have taken.
    """
    began = time.monotonic()
    told("preparing the styles")
    for way in ways:
        way.paint(picked[0], 1)  # prepares the style and the filters
        way.seconds = way.worked = 0.0
        way.paint(picked[0], _TRIED)
    painted: dict[int, dict[int, Picture]] = {}
    for number in sorted(range(len(picked)), key=lambda number: number % 2):  # what may be left out is spread over the film
        taken = time.monotonic() - began
        if painted and taken + sum(way.pace * way.cost(_LEAST_STEPS) for way in ways) > _PAINTING_AT_MOST:
            break
        share = (_PAINTING - taken) / (len(picked) - len(painted))
        steps = min(max(round(share / sum(way.pace * way.cost(1) for way in ways)), _LEAST_STEPS), _MOST_STEPS)
        told_before = len(painted) * len(ways)
        painted[number] = {}
        for nth, way in enumerate(ways, start=1):
            told(f"picture {told_before + nth} of {len(picked) * len(ways)}")
            painted[number] |= way.paint(picked[number], steps)
    return painted


def _estimate(info: MediaInfo, shots: float, settings: Settings, pace: float) -> Estimate:
    size, optimize = (info.height, info.width), settings.optimize
    frames = info.frames or 1
    first = pace * _first_cost(size) * optimize.first_iterations
    shots = frames if settings.temporal.framewise else min(max(shots, 1), frames)
    parts, overlap = divided(round(frames / shots), settings.temporal.divide if divides(settings, info) else None)
    afresh, again = min(shots * parts, frames), shots * (parts - 1) * overlap
    following = pace * info.height * info.width * optimize.iterations * (settings.temporal.passes * (frames - afresh) + again)
    stops_early = optimize.least_gain > 0 and optimize.optimizer == "lbfgs"
    seconds = (
        afresh * first * (_FEWEST_STEPS_FIRST if optimize.tolerance > 0 else 1) + following * (_FEWEST_STEPS if stops_early else 1),
        (afresh * first + following) * (_MOST_OVERHEAD if frames > 1 else 1),
    )
    disk = estimate_disk(info.height, info.width, frames + math.ceil(again), settings)
    film = info.kind != "image"
    way = way_within(info.height, info.width, settings, allowed_memory(settings), film)
    if way is None:  # the job will be refused; this is what it would need at least
        memory = least_memory(info.height, info.width, settings, film)
    else:
        memory = estimate_memory(info.height, info.width, settings, way, film)
    return Estimate(info.frames, shots, seconds, memory, disk)


def _said(variant: Variant, estimate: Estimate, info: MediaInfo, like: Variant) -> str:
    """What a variant is, and what all of it would take, or that it is the same as that of another one, which is painted alike."""
    default = Settings()
    given = [
        f"{row.flag} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for row in flag_table()
        if (value := getattr(getattr(variant.settings, row.section), row.key)) != getattr(getattr(default, row.section), row.key)
    ]
    chosen = f". Set: {', '.join(given)}" if given else ""
    if variant is not like:
        return f"{variant.label}: would take as much as {like.label}{chosen}"
    least, most = (duration(seconds, exactly=False) for seconds in estimate.seconds)
    of = "the picture" if info.kind == "image" else "a frame" if estimate.frames is None else f"{estimate.frames} frames"
    if info.kind != "image":
        of += f" in about {round(estimate.shots)} shots" if estimate.shots >= 1.5 else " in one shot"
    return (
        f"{variant.label}: {of} of {info.width}×{info.height} would take {least} to {most}, "
        f"{gigabytes(estimate.memory)} of memory and {gigabytes(estimate.disk)} of disk{chosen}"
    )


def _head(picked: _Picked, info: MediaInfo) -> str:
    if info.kind == "image":
        return ""
    return f"{float(picked.frame.seconds):.2f} s" + (f", shot {picked.shot + 1}" if picked.shot is not None else "")
