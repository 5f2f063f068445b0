"""Into which units a film is divided where several processes paint it, and what has become of them.

A unit is a shot, since no reference crosses a cut, or a part of one (`--divide`). It is painted into a workspace of its own,
`OUTPUT.vidstyle/units/000012/`, with the film's own indices and times, so that its frames are those of a run in one process, to the byte.
When all are there they are joined: their files get a second name in the workspace of the job, which then is what that run would have left.

Parts of a shot know nothing of each other. Where two meet the first frames of the second one are painted once more, as a unit of its own
that waits for both (`Unit.joins`): from the end of the first part they pass over into what the second one is.

`OUTPUT.vidstyle/plan.json` says what the units are and what the job is, so that who finds it needs nothing else.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Self

from vidstyle.errors import MediaError, VidstyleError
from vidstyle.flow import ESTIMATORS
from vidstyle.frames import Frame, MediaKind
from vidstyle.guidance import Schedule
from vidstyle.media.base import Source
from vidstyle.settings import Position, Settings, schedule_entries
from vidstyle.shots import split_shots
from vidstyle.workspace import Workspace, read_plan, write_plan

__all__ = [
    "JobFiles",
    "Plan",
    "Unit",
    "UnitFrames",
    "divided",
    "finish",
    "finished",
    "join_units",
    "planned_units",
    "scatter",
    "share_of",
]

_FORMAT = 2
_OVERLAP, _OF_PART = 32, 0.75
"""Frames over which one part of a shot passes into the next, at most, and as a share of a short part. Over fewer it is louder."""
_EASE = 1.5
"""How they pass: what is left of the first part falls as this power of the frames that are left. In equal steps (1) the last ones are the
loudest, since each frame is sharpened again after it was mixed."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A run of frames that is painted by one process, with all that it has to know of the rest of the film."""

    number: int
    """From 0, in the order of the film."""
    first: int
    """Index of its first frame."""
    count: int
    pts: int
    """Of its first frame."""
    pictures: int
    """CRC-32 of its frames, by which it is known that they were decoded as in a walk over the whole film."""
    cost: float
    """Pixels times steps."""
    cuts: bool
    """Whether cuts are looked for inside: a film that is not divided."""
    joins: bool
    """Whether it paints where two parts of a shot meet; then it begins to read one frame earlier, and `pts` and `pictures` are of that."""
    overlap: int
    """How many of its first frames are painted twice: by the part of a shot that they begin, and where that meets the part before."""
    schedule: Mapping[str, Any] | None = None
    """The state of `--style-schedule` before its first frame."""

    @property
    def end(self) -> int:
        """Index of the frame after it."""
        return self.first + self.count

    def frames(self, painted: float | None = None) -> float:
        """Frames of the film that it stands for, or that `painted` of its paintings do, those painted twice being halves."""
        painted = self.count if painted is None else painted
        return painted - min(painted, self.overlap) / 2

    def weight_of(self, index: int) -> float:
        """Of one frame, so that all of a film are as many as it has."""
        return 0.5 if index < self.first + self.overlap else 1.0

    def left_at(self, index: int) -> float:
        """How much of the part before is left where parts meet, at one of its frames, in [0, 1)."""
        return float((1 - (index - self.first + 1) / (self.count + 1)) ** _EASE)

    @property
    def name(self) -> str:
        """Of its workspace."""
        return f"{self.number:06d}"

    @property
    def words(self) -> str:
        """For messages, as people count."""
        return f"unit {self.number + 1} (frames {self.first + 1}–{self.end}{', where parts meet' if self.joins else ''})"


@dataclass(frozen=True, slots=True)
class JobFiles:
    """What a job was given, with paths that hold whatever directory a process was started in."""

    source: Path
    styles: tuple[Path, ...]
    kind: MediaKind
    """Of the output."""
    settings: Settings

    @classmethod
    def of(cls, source: Path, styles: Sequence[Path], kind: MediaKind, settings: Settings) -> Self:
        """The same with absolute paths."""
        return cls(_absolute(source), tuple(map(_absolute, styles)), kind, _with_absolute_paths(settings))

    def values(self, directory: Path) -> dict[str, Any]:
        """For the plan that lies in `directory`: every path as it is, and as seen from there, should the disk be mounted elsewhere."""
        return {
            "source": _both(self.source, directory),
            "styles": [_both(path, directory) for path in self.styles],
            "kind": self.kind,
            "settings": self.settings.model_dump(mode="json"),
        }

    @classmethod
    def read(cls, values: Mapping[str, Any], directory: Path) -> Self:
        """What `values` has made of it.

        Raises:
            ValueError, TypeError, LookupError, UsageError: something else.
        """
        kind = values["kind"]
        if kind not in ("video", "image", "frames"):
            raise ValueError(f"no kind of output: {kind!r}")
        styles = tuple(_found(path, directory) for path in values["styles"])
        source, settings = _found(values["source"], directory), Settings.from_mapping(values["settings"])
        return cls(source, styles, kind, settings)


@dataclass(frozen=True, slots=True)
class Plan:
    """The units of a job."""

    directory: Path
    """The job's workspace."""
    fingerprint: Mapping[str, str]
    manner: str
    """In which way frames are worked on, as memory allowed where the plan was made; see `Workspace.open`."""
    job: JobFiles
    time_base: Fraction
    units: tuple[Unit, ...]
    joined: int | None = None
    """How many paintings the job's workspace holds, once all units were joined there."""

    @property
    def frames(self) -> int:
        """How many frames the film has."""
        return max(unit.end for unit in self.units)

    @property
    def longest_first(self) -> list[Unit]:
        """The units in the order in which they are best handed out."""
        return sorted(self.units, key=lambda unit: (-unit.cost, unit.number))

    def beside(self, unit: Unit) -> tuple[Unit, ...]:
        """The units that have to be painted before it: where parts of a shot meet the one before and the one that follows."""
        if not unit.joins:
            return ()
        before = next(one for one in reversed(self.units[: unit.number]) if one.end == unit.first and not one.joins)
        return before, self.units[unit.number - 1]

    def place(self, unit: Unit) -> Path:
        """Where the workspace of a unit lies."""
        return self.directory / "units" / unit.name

    def fingerprint_of(self, unit: Unit) -> dict[str, str]:
        """What its frames depend on."""
        about = json.dumps({**asdict(unit), "cost": None}, sort_keys=True)
        return {**self.fingerprint, "the unit": f"{zlib.crc32(about.encode()):08x}"}

    def is_done(self, unit: Unit) -> bool:
        """Whether all of a unit is painted, as far as its workspace says without a look at the frames."""
        note = Workspace.note(self.place(unit))
        return (
            isinstance(note, dict)
            and note.get("fingerprint") == self.fingerprint_of(unit)
            and (self.place(unit) / "journal.jsonl").is_file()
        )

    def missing(self) -> list[Unit]:
        """The units that are not painted yet."""
        return [] if self.joined is not None else [unit for unit in self.units if not self.is_done(unit)]

    def write(self) -> None:
        """Puts it into the job's workspace.

        Raises:
            WorkspaceError: the disk is full or cannot be written.
        """
        values = {
            "format": _FORMAT,
            "fingerprint": dict(self.fingerprint),
            "manner": self.manner,
            "job": self.job.values(self.directory),
            "time_base": str(self.time_base),
            "units": [asdict(unit) for unit in self.units],
            "joined": self.joined,
        }
        write_plan(self.directory, values)

    @classmethod
    def read(cls, directory: Path, fingerprint: Mapping[str, str] | None = None) -> Self | None:
        """The plan in a job's workspace; None where there is none, it is damaged, or of another `fingerprint`."""
        values = read_plan(directory)
        try:
            if values["format"] != _FORMAT or (fingerprint is not None and values["fingerprint"] != fingerprint):
                return None
            job, time_base = JobFiles.read(values["job"], directory), Fraction(values["time_base"])
            units = tuple(Unit(**unit) for unit in values["units"])
            _check(units, values["joined"])
            return cls(directory, dict(values["fingerprint"]), str(values["manner"]), job, time_base, units, values["joined"])
        except (ValueError, TypeError, LookupError, AttributeError, ZeroDivisionError, VidstyleError):
            return None


def planned_units(
    medium: Source, settings: Settings, styles: int, cost: Callable[[int], float], whole: bool, divide: int | None
) -> tuple[Unit, ...]:
    """The units of a film, which is walked from its beginning to its end; the same for whoever asks.

    Args:
        medium: the film.
        settings: everything a user can turn.
        styles: how many style pictures there are.
        cost: of a run of so many frames that begins afresh.
        whole: whether the film is one unit, with cuts in it.
        divide: frames above which a shot is divided; None: no shot is.
    """
    units = list[Unit]()
    schedule = None if settings.style.schedule is None else Schedule(settings, styles)
    for shot in [medium.frames()] if whole else (shot.frames for shot in split_shots(medium.frames())):
        first, moments, sums, states = -1, array("q"), array("L"), list[dict[str, Any] | None]()
        for frame in shot:
            first = frame.index if first < 0 else first
            moments.append(frame.pts)
            sums.append(_checksum(frame))
            if schedule is not None:
                states.append(schedule.state if not states or divide is not None else None)
                schedule.at(frame.seconds, frame.index)
        if not moments:
            continue
        count = len(moments)
        parts, overlap = divided(count, None if whole else divide)
        bounds = [count * part // parts for part in range(parts + 1)]
        for begin, part_end in pairwise(bounds):
            meets = begin > 0 and overlap > 0
            for joins, end in ((False, part_end), (True, begin + overlap)) if meets else ((False, part_end),):
                unit = Unit(
                    number=len(units),
                    first=first + begin,
                    count=end - begin,
                    pts=moments[begin - joins],
                    pictures=_summed(sums[begin - joins : end]),
                    cost=cost(end - begin + 1) - cost(1) if joins else cost(end - begin),
                    cuts=whole,
                    joins=joins,
                    overlap=overlap if meets else 0,
                    schedule=states[begin] if states else None,
                )
                units.append(unit)
    return tuple(units)


def divided(count: int, divide: int | None) -> tuple[int, int]:
    """Into how many parts a shot of so many frames falls (None: into one), and over how many frames each is met by the one before."""
    parts = 1 if divide is None else math.ceil(count / divide)
    return parts, min(_OVERLAP, int(_OF_PART * (count // parts))) if parts > 1 else 0


def _checksum(frame: Frame) -> int:
    about = f"{frame.index} {frame.pts} {frame.time_base} {frame.name}".encode(errors="surrogateescape")
    return zlib.crc32(frame.rgb.tobytes(), zlib.crc32(about))


def _summed(sums: Iterable[int]) -> int:
    return zlib.crc32(b"".join(one.to_bytes(4, "big") for one in sums))


class UnitFrames:
    """The frames of one unit as a source, with the indices, times and names that they have in the film.

    A film is sought in where that gives the very frames that were met on the way over the whole film; that is found out first, since
    a film that is damaged, or codes its frames in odd ways, may come out otherwise from the middle.
    """

    def __init__(self, medium: Source, unit: Unit) -> None:
        """Walks over the unit once.

        Raises:
            MediaError: its frames are not those that were planned.
        """
        self.info = medium.info
        self._medium, self._first, self._count = medium, unit.first - unit.joins, unit.count + unit.joins
        for pts in (unit.pts, None) if self._first else (None,):
            self._pts = pts
            sums = array("L", map(_checksum, self.frames()))
            if len(sums) == self._count and _summed(sums) == unit.pictures:
                return
        raise MediaError(f"{medium.info.path}: {unit.words}: other frames than when the job was planned; run again with --fresh")

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """All of them, in order; where parts meet the frame before them first."""
        return islice(self._medium.frames(self._first, self._pts), self._count)

    def close(self) -> None:
        """The film is somebody else's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def share_of(plan_units: Sequence[tuple[float, Any]], number: int, of: int) -> list[Any]:
    """What falls to process `number` (from 1) `of` so many: the longest goes first to whoever has least, and so on.

    Args:
        plan_units: what each costs, and what it is; the same in every process.
        number: of the process.
        of: how many there are.
    """
    loads = [(0.0, one) for one in range(1, of + 1)]
    own = []
    for cost, item in sorted(plan_units, key=lambda pair: -pair[0]):  # a stable order
        load, one = heapq.heappop(loads)
        heapq.heappush(loads, (load + cost, one))
        if one == number:
            own.append(item)
    return own


def scatter(plan: Plan, workspace: Workspace) -> None:
    """Hands what a run in one process has painted to the units that it belongs to, so that they go on from there.

    Raises:
        WorkspaceError: a process is at work in a unit, or the disk is full.
    """
    begins, passes = 0, plan.job.settings.temporal.passes
    records = [(int(record["index"]), int(record["passed"])) for record in workspace.records()]
    for unit in plan.units:
        end = begins
        while end < len(records) and unit.first <= records[end][0] < unit.end and (records[end][1] > passes) == unit.joins:
            end += 1
        if end == begins:
            return
        is_whole = end < len(records)  # the next unit was begun
        with Workspace.open(plan.place(unit), plan.fingerprint_of(unit), manner=plan.manner) as other:
            if other.done < end - begins:
                other.cut(0)
                other.take(workspace, range(begins, end), is_whole)
                if is_whole:
                    finish(plan, unit, other)
        begins = end


def finish(plan: Plan, unit: Unit, workspace: Workspace) -> None:
    """Notes that all of a unit is painted."""
    workspace.keep_note({"fingerprint": plan.fingerprint_of(unit), "paintings": workspace.done})


def finished(plan: Plan, unit: Unit, workspace: Workspace) -> bool:
    """Whether all of a unit is painted; its workspace has just been opened, so that what is damaged is gone from it."""
    return (Workspace.note(plan.place(unit)) or {}).get("paintings") == workspace.done


def join_units(plan: Plan, workspace: Workspace) -> tuple[Plan, list[Unit]]:
    """Puts the paintings of all units into the job's workspace, in the order of the film.

    Returns:
        The plan, which knows it now, and no unit; or the units that were found not to be whole, before which the joining has stopped.

    Raises:
        WorkspaceError: a process is at work in a unit, or the disk is full; what was joined stays.
    """
    if plan.joined is not None and plan.joined == workspace.done:
        workspace.remove_units()  # a kill may have left some
        return plan, []
    missing = plan.missing()
    if missing:
        return plan, missing
    done = 0
    for unit in plan.units:
        with Workspace.open(plan.place(unit), plan.fingerprint_of(unit), manner=plan.manner) as other:  # looks at every checksum
            if not finished(plan, unit, other):
                other.keep_note({})
                missing.append(unit)
            if missing:
                continue
            there = min(max(workspace.done - done, 0), other.done)
            if not all(workspace.holds(other, number, done + number) for number in range(there)):
                workspace.cut(done)  # painted otherwise by another process: all of a unit comes from one
                there = 0
            if there < other.done:
                workspace.take(other, range(there, other.done), ends=True)
            done += other.done
    if missing:
        return plan, missing
    workspace.cut(done)
    plan = replace(plan, joined=workspace.done)
    plan.write()
    workspace.remove_units()
    return plan, []


def _check(units: Sequence[Unit], joined: object) -> None:
    """Whether they are the units of a film.

    Raises:
        ValueError: they are not.
    """
    before, end = None, 0
    for number, unit in enumerate(units):
        numbers = (unit.number, unit.first, unit.count, unit.pts, unit.pictures, unit.overlap)
        if not all(type(one) is int for one in numbers) or unit.number != number or not 0 <= unit.overlap <= unit.count > 0:
            raise ValueError(f"no unit {number}")
        if not isinstance(unit.cost, int | float) or not isinstance(unit.cuts, bool) or not isinstance(unit.joins, bool):
            raise ValueError(f"no unit {number}")
        if unit.joins:
            behind = None if before is None or before.joins else (before.first, before.overlap, before.overlap)
            sound = unit.first > 0 and (unit.first, unit.overlap, unit.count) == behind
        else:
            sound = unit.first == end
        if not sound:
            raise ValueError(f"no unit {number}")
        before, end = unit, max(end, unit.end)
    if not units or not (joined is None or type(joined) is int):
        raise ValueError("no units")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _both(path: Path, directory: Path) -> list[str]:
    return [str(path), os.path.relpath(path, directory.absolute())]


def _found(names: Sequence[str], directory: Path) -> Path:
    """The path as it was, or, where there is nothing, as it was seen from the plan."""
    path, seen = Path(names[0]), Path(os.path.normpath(directory.absolute() / names[1]))
    return path if path.exists() or not seen.exists() else seen


def _with_absolute_paths(settings: Settings) -> Settings:
    """The settings with every file and directory that they name by a path that holds everywhere."""
    run, style, mask, flow, optimize = settings.run, settings.style, settings.mask, settings.flow, settings.optimize

    def one(name: str | None) -> str | None:
        is_path = name is not None and name not in _WORDS and name not in ESTIMATORS and Path(name).exists()
        return os.path.abspath(name) if is_path and name is not None else name

    def when(position: Position) -> str:
        return f"{position.frames}f" if position.frames is not None else f"{position.seconds!r}s"

    schedule = style.schedule
    if schedule is not None:
        schedule = ", ".join(f"{when(moment)}: {os.path.abspath(picture)}" for moment, picture in schedule_entries(schedule))
    return settings.model_copy(
        update={
            "run": run.model_copy(update={"weights": one(run.weights)}),
            "style": style.model_copy(update={"detail": one(style.detail), "schedule": schedule}),
            "mask": mask.model_copy(update={"paths": mask.paths and tuple(os.path.abspath(path) for path in mask.paths)}),
            "flow": flow.model_copy(update={"estimator": one(flow.estimator), "weights": one(flow.weights)}),
            "optimize": optimize.model_copy(update={"init": one(optimize.init)}),
        }
    )


_WORDS = {"embedded", "torchvision", "content", "noise", "style"}
"""Values of settings that stand for no file, whatever lies in the directory."""
