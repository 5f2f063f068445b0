"""The memory of a job: every finished frame on disk, so that a job killed anywhere goes on where it was.

    OUTPUT.vidstyle/
        lock                one process at a time
        job.json            the fingerprint: what the frames were made from
        made.json           what was made of the frames and is in its place; see `vidstyle.made`
        journal.jsonl       a line a finished frame: checksums, and the record of how it was made; and, behind those that they
                            concern, lines that say that pictures were dropped, or that the last frame's state was kept after all
        frames/000012.tif   16 bits a channel, as they are: packed they took 13 % less room, and twenty times as long to write
        state/000012.npz    what frame 13 needs beside the pictures; only the newest is kept, and none once the last frame is done
        plan.json           into which units the film was divided, where several processes paint it; see `vidstyle.units`
        planning            held by the process that makes that plan
        units/000003/       the workspace of one unit, the same again

A frame exists once its journal line is on disk; state and picture are there before it, so a kill at any
moment leaves the last whole frame and, at most, files that the next opening sweeps away.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vidstyle.errors import MediaError, WorkspaceError
from vidstyle.files import lack_of_room, sync_directory

__all__ = [
    "Mirror",
    "State",
    "Workspace",
    "WorkspaceInUse",
    "WritingBehind",
    "driving",
    "fingerprint_file",
    "is_intact",
    "mirroring",
    "named_in_journal",
    "planning",
    "read_plan",
    "remove_remains",
    "write_plan",
]

State = Mapping[str, npt.NDArray[Any] | torch.Tensor]
"""What a frame leaves to the next one beside its picture, by name."""

StrPath = str | os.PathLike[str]

logger = logging.getLogger(__name__)

_FORMAT = 6
_CHUNK = 1 << 20
_OWN_FILES = re.compile(r"\d{6,}\.(tif|png|npz)(\.part)?")
"""Frames were packed as PNG once: such a workspace is cleared too."""
_SELDOM = 10.0
"""Times what it takes to write a frame with its state that go by until the next one, where painting had to wait for it."""
_FILES = tuple(f"{name}{ending}" for name in ("journal.jsonl", "job.json", "made.json") for ending in ("", ".part"))
"""Beside the lock. The journal comes first: without it the rest is only files to sweep."""
_SHARED = ("plan.json", "plan.json.part", "planning", "driving")
"""Where several processes work: the plan, and what is locked while it is made."""
_OWN_NAMES = {"lock", "frames", "state", "units", *_FILES, *_SHARED}
_UNIT = re.compile(r"\d{6,}")


Record = dict[str, Any]


class WorkspaceInUse(WorkspaceError):
    """Another process is at work in a workspace."""


def _sealed(values: Mapping[str, Any]) -> bytes:
    """A line of the journal: the CRC-32 of what follows, in eight digits, and the values."""
    text = json.dumps(values, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _opened(line: bytes) -> Any:
    """The values of a line.

    Raises:
        ValueError: it is damaged.
    """
    checksum, text = line[:8], line[9:].removesuffix(b"\n")
    if checksum != b"%08x" % zlib.crc32(text):
        raise ValueError("damaged")
    return json.loads(text)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the journal, but for the frame's record, which stays on disk: there may be a night's frames."""

    index: int
    frame: int | None
    """CRC-32 of the frame's file; None once the picture was dropped."""
    state: int | None
    """CRC-32 of the state's file; None where nothing is carried on, or it was not kept."""
    kept: bool
    """Whether all that the next frame needs was kept."""
    afresh: bool
    """Whether the frame could be made without any frame or state before it."""
    place: int
    """Where the line begins, in bytes."""

    def encode(self, record: Record) -> bytes:
        values = {
            "index": self.index,
            "frame": self.frame,
            "state": self.state,
            "kept": self.kept,
            "afresh": self.afresh,
            "record": record,
        }
        return _sealed(values)

    @classmethod
    def decode(cls, text: bytes, place: int) -> tuple[Self, Record] | None:
        """The line that begins at `place`, and its record; None where it is torn or no such line."""
        try:
            values = _opened(text)
            record = values.pop("record")
            line = cls(**values, place=place)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return None
        sound = isinstance(line.index, int) and isinstance(line.frame, int | None) and isinstance(line.state, int | None)
        sound = sound and isinstance(line.kept, bool) and isinstance(line.afresh, bool)
        return (line, record) if sound and isinstance(record, dict) else None


@dataclass(frozen=True, slots=True)
class _Amendment:
    """A line of the journal about frames before it."""

    dropped: tuple[int, ...] = ()
    """Frames whose pictures nothing will ask for any more."""
    state_of: int | None = None
    """The frame, the last one, whose carried state was kept after all, or is not needed: the next starts a shot, or there is none."""
    state: int | None = None
    """CRC-32 of that state's file, if there is one."""

    def encode(self) -> bytes:
        values = {"dropped": self.dropped, "state_of": self.state_of, "state": self.state}
        return _sealed(values)

    @classmethod
    def decode(cls, text: bytes) -> Self | None:
        """None where the line is torn or another one."""
        try:
            values = _opened(text)
            amendment = cls(tuple(values.pop("dropped")), **values)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return None
        numbers = [*amendment.dropped, amendment.state_of or 0, amendment.state or 0]
        return amendment if all(isinstance(number, int) and number >= 0 for number in numbers) else None

    def apply(self, lines: list[_Line]) -> bool:
        """Brings the lines before it up to date; whether it fits them."""
        if any(index >= len(lines) for index in self.dropped) or self.state_of not in (None, len(lines) - 1):
            return False
        for index in self.dropped:
            lines[index] = replace(lines[index], frame=None)
        if self.state_of is not None:
            lines[self.state_of] = replace(lines[self.state_of], state=self.state, kept=True)
        return True


class Mirror(Protocol):
    """Keeps a workspace a second time, elsewhere, so that another machine can go on with it. Names are those of files in the workspace."""

    def begin(self, directory: Path, fresh: bool) -> None:
        """Is called before the workspace is read: keeps others away, and brings the local files up to those kept (not if `fresh`)."""
        ...

    def match(self, directory: Path) -> None:
        """Brings what is kept up to the local files, once they are in order."""
        ...

    def keep(self, directory: Path, names: Iterable[str], place: int, line: bytes) -> None:
        """Keeps files, then the line of the journal that names them, which begins at byte `place`."""
        ...

    def forget(self, names: Iterable[str]) -> None:
        """What no line needs any more."""
        ...

    def remove(self) -> None:
        """Everything: the workspace goes."""
        ...

    def close(self) -> None:
        """Lets others in; harmless when called twice."""
        ...


_find_mirror: ContextVar[Callable[[Path], Mirror | None] | None] = ContextVar("find_mirror", default=None)


@contextmanager
def mirroring(find: Callable[[Path], Mirror | None]) -> Iterator[None]:
    """Every workspace that the block opens has the mirror that `find` gives for its directory, if any."""
    before = _find_mirror.set(find)
    try:
        yield
    finally:
        _find_mirror.reset(before)


class Workspace:
    """The frames, records and carried state of one job, in one directory, held by one process.

    Made by `open`; a context manager that lets go of the lock at its end.
    """

    def __init__(self, directory: Path, lock: int, mirror: Mirror | None = None) -> None:
        self.directory = directory
        self.manner = ""
        """In which way its first frames were made; see `open`."""
        self._lock: int | None = lock
        self._mirror = mirror
        self._lines: list[_Line] = []
        self._journal_size = 0
        self._state_of: int | None = None
        """The painting whose state lies on disk."""

    @classmethod
    def open(
        cls,
        directory: Path,
        fingerprint: Mapping[str, str],
        fresh: bool = False,
        manner: str = "",
        going_on: Callable[[int], object] = lambda done: None,
    ) -> Self:
        """Opens or makes the workspace of a job.

        Args:
            directory: where it lies; made (with its parents) if missing.
            fingerprint: what the frames depend on, by name ("input", "styles", "settings", …). If the
                workspace was made with another one, a warning says what differs and it starts empty.
            fresh: start empty in any case.
            manner: in which way the frames are to be made, where that changes no more than roundings; kept if the workspace starts empty.
            going_on: is called with the number of frames that are kept before any other is dropped; what it raises leaves them all there.

        Frames are checked against their checksums; the first damaged one and all after it are dropped, and
        so are those that cannot be followed because the carried state is gone, back to the last frame that was made `afresh`.

        Raises:
            WorkspaceError: another process holds it, it cannot be written, or the directory is something else.
        """
        with _explained(directory):
            directory.mkdir(parents=True, exist_ok=True)
            find = _find_mirror.get()
            workspace = cls(directory, _acquire(directory), None if find is None else find(directory))
        try:
            with _explained(directory):
                if workspace._mirror is not None:
                    workspace._mirror.begin(directory, fresh)
                workspace._prepare(dict(fingerprint), fresh, manner, going_on)
                if workspace._mirror is not None:
                    workspace._mirror.match(directory)
        except BaseException:
            workspace.close()
            raise
        return workspace

    @property
    def done(self) -> int:
        """Number of leading frames that are finished and intact."""
        return len(self._lines)

    def record(self, index: int) -> Record:
        """The record of a finished frame, as it was given to `append`.

        Raises:
            IndexError: the frame is not finished.
            WorkspaceError: the journal was damaged or removed since the workspace was opened.
        """
        self._line(index)
        return next(self.records(index))

    def records(self, first: int = 0) -> Iterator[Record]:
        """The records of the finished frames, in order, from that of frame `first` on.

        Raises:
            IndexError: there is no frame `first`, nor is it the next one.
            WorkspaceError: the journal was damaged or removed since the workspace was opened.
        """
        done = self.done
        if first == done:
            return
        journal = self.directory / "journal.jsonl"
        with _explained(journal), journal.open("rb") as file:
            file.seek(self._line(first).place)
            number = first
            while number < done:
                text = file.readline()
                found = _Line.decode(text, self._lines[number].place)
                if found is None and _Amendment.decode(text) is not None:
                    continue
                if found is None or found[0].index != number:
                    raise WorkspaceError(f"{journal}: damaged while the job ran; run the same command again, it goes back as far as needed")
                yield found[1]
                number += 1

    def frame(self, index: int) -> npt.NDArray[np.uint16]:
        """A finished frame, (H, W, 3) uint16, RGB, exactly as it was given to `append`.

        Raises:
            IndexError: the frame is not finished, or its picture was dropped.
            WorkspaceError: its file was damaged or removed since the workspace was opened.
        """
        if self._line(index).frame is None:
            raise IndexError(f"the picture of frame {index} was dropped")
        line, path = self._line(index), self._frame_path(index)
        with _explained(path), open(path, "rb") as file:
            content = file.read()
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if zlib.crc32(content) == line.frame else None
        if picture is None:
            raise WorkspaceError(f"{path}: damaged while the job ran; run the same command again to make the frame anew")
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint16)

    def is_intact(self, index: int) -> bool:
        """Whether the picture of a finished frame is there, and is what was written."""
        written = self._line(index).frame
        return written is not None and is_intact(self._frame_path(index), written)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What was carried on after the last finished frame, bit for bit; {} when nothing was.

        Raises:
            WorkspaceError: its file was damaged or removed since the workspace was opened.
        """
        if not self._lines or self._lines[-1].state is None:
            return {}
        path = self._state_path(self._lines[-1].index)
        with _explained(path):
            if not is_intact(path, self._lines[-1].state):
                raise WorkspaceError(f"{path}: damaged while the job ran; run the same command again, it goes back as far as needed")
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)

    def append(
        self,
        index: int,
        picture: npt.NDArray[np.uint16],
        record: Mapping[str, Any],
        state: State | None,
        afresh: bool = False,
    ) -> None:
        """Commits one frame: when this returns, it survives a kill.

        Args:
            index: the next frame, `done`.
            picture: (H, W, 3) uint16, RGB.
            record: JSON values to keep with the frame.
            state: arrays (no objects) and tensors that the next frame needs; they come back bit-identical from `state`, as arrays. None if
                they are not kept: a job that is killed then goes on from an earlier frame, the last one whose state was.
            afresh: whether the frame could be made without any frame or state before it.

        Raises:
            WorkspaceError: the disk is full or cannot be written; the frames before are unharmed.
        """
        if index != self.done:
            raise ValueError(f"frames are appended in order, got {index = } after {self.done} frames")
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint16:
            raise ValueError(f"a stored frame is (H, W, 3) uint16, got {picture.shape = } {picture.dtype = }")
        with _explained(self.directory):
            state_sum = self._write_state(index, state) if state else None
            frame_sum = _commit(self._frame_path(index), lambda file: file.write(_encode(picture)))
            line = _Line(index, frame_sum, state_sum, state is not None, afresh, self._journal_size)
            text = line.encode(dict(record))
            self._write_line(text)
        self._lines.append(line)
        if self._mirror is not None:
            kept = [_state_name(index)] if state_sum is not None else []
            self._mirror.keep(self.directory, [*kept, _frame_name(index)], line.place, text)
        if state is not None:
            self._forget_older_state()

    def take(self, other: Workspace, numbers: range, ends: bool) -> None:
        """Appends paintings of another workspace, which has just been opened, so that they are known to be intact.

        Their files are linked where the disk allows it and copied where not: the other workspace stays as it is, and a kill leaves all of
        them here or some, in order. What is there of them already, the same, is taken for granted.

        Args:
            other: where they come from.
            numbers: of the paintings there.
            ends: whether nothing that comes after them needs any of them, nor their state; otherwise the last one's state goes along.

        Raises:
            WorkspaceError: the disk is full or cannot be written.
        """
        begun = bytearray()
        lines = list[_Line]()
        with _explained(self.directory):
            for number, record in zip(numbers, other.records(numbers.start), strict=False):
                theirs, index = other._line(number), self.done + len(lines)
                is_last = number == numbers[-1]
                state = theirs.state if is_last and not ends else None
                if theirs.frame is not None:
                    _link(other._frame_path(number), self._frame_path(index))
                if state is not None:
                    _link(other._state_path(number), self._state_path(index))
                kept = is_last and (ends or theirs.kept)
                lines.append(_Line(index, theirs.frame, state, kept, theirs.afresh, self._journal_size + len(begun)))
                begun += lines[-1].encode(record)
            for name in ("frames", "state"):
                sync_directory(self.directory / name)
            self._write_line(bytes(begun))
        self._lines += lines
        if lines:
            self._forget_older_state()
        if self._mirror is not None:
            self._mirror.match(self.directory)

    def holds(self, other: Workspace, number: int, index: int) -> bool:
        """Whether painting `index` here is, as far as checksums tell, painting `number` of another workspace."""
        return self._line(index).frame == other._line(number).frame

    def cut(self, done: int) -> None:
        """Forgets all paintings but the first `done`; what comes next has to be made afresh.

        Raises:
            WorkspaceError: the disk is full or cannot be written.
        """
        if done == self.done:
            return
        journal = self.directory / "journal.jsonl"
        with _explained(self.directory):
            lines, end, _ = _read_journal(journal, self._line(done).place)
            amendment = _Amendment(state_of=done - 1) if done else None
            amended = b"" if amendment is None else amendment.encode()
            _commit(journal, lambda file: _copy_beginning(journal, end, file, amended))
            if amendment is not None:
                amendment.apply(lines)
            self._lines, self._journal_size, self._state_of = lines, end + len(amended), None
            self._sweep()
        if self._mirror is not None:
            self._mirror.match(self.directory)

    def remove_units(self) -> None:
        """Deletes the workspaces of units, whose paintings are all here.

        Raises:
            WorkspaceError: a process is at work in one of them.
        """
        units = self.directory / "units"
        if not units.is_dir():
            return
        with _explained(units):
            for path in sorted(units.iterdir()):
                if path.is_dir() and not path.is_symlink() and _UNIT.fullmatch(path.name):
                    Workspace(path, _acquire(path)).remove()
            if not any(units.iterdir()):
                units.rmdir()

    def keep_state(self, state: State) -> None:
        """Keeps what the next frame needs after all, where the last `append` did not.

        Raises:
            WorkspaceError: the disk is full or cannot be written; what was kept before is unharmed.
        """
        last = self._lines[-1]
        with _explained(self.directory):
            amendment = _Amendment(state_of=last.index, state=self._write_state(last.index, state) if state else None)
            self._amend(amendment, [_state_name(last.index)] if state else [])
        self._forget_older_state()

    def end_here(self) -> None:
        """Lets go of the last frame's carried state: no frame follows, and what nobody needs must not cost anything if it is damaged.

        Raises:
            WorkspaceError: the disk is full or cannot be written.
        """
        if not self._lines or (self._lines[-1].kept and self._lines[-1].state is None):
            return
        last = self._lines[-1].index
        with _explained(self.directory):
            self._amend(_Amendment(state_of=last))
            _remove(self._state_path(last))
            if self._mirror is not None:
                self._mirror.forget([_state_name(last)])
        self._state_of = None

    def drop(self, indices: Iterable[int]) -> None:
        """Deletes the pictures of finished frames that nothing will ask for any more; their records stay.

        Raises:
            IndexError: one of them is not finished.
            WorkspaceError: the disk is full or cannot be written.
        """
        wanted = sorted({self._line(index).index for index in indices})
        with _explained(self.directory):
            self._amend(_Amendment(dropped=tuple(wanted)))
            for index in wanted:
                _remove(self._frame_path(index))
        if self._mirror is not None:
            self._mirror.forget(map(_frame_name, wanted))

    @staticmethod
    def count(directory: Path) -> int:
        """How many paintings the workspace there has, as far as its journal says; another process may be at work in it."""
        return len(_read_journal(directory / "journal.jsonl")[0])

    @staticmethod
    def look_into(directory: Path, fingerprint: Mapping[str, str]) -> Workspace | None:
        """The workspace there, as it is now, to be read only: another process may be at work in it. None if there is none of that job."""
        found = _read_job(directory / "job.json")
        if found is None or found["fingerprint"] != fingerprint:
            return None
        workspace = Workspace(directory, -1)
        workspace._lock, workspace._lines = None, _read_journal(directory / "journal.jsonl")[0]
        return workspace

    @staticmethod
    def note(directory: Path) -> Any:
        """What `keep_note` has kept in the workspace there, which need not exist; None where that is nothing, or damaged."""
        return _read_json(directory / "made.json")

    def keep_note(self, values: Mapping[str, Any]) -> None:
        """Keeps JSON values until the workspace goes, or starts empty; those before are replaced.

        Raises:
            WorkspaceError: the disk is full or cannot be written; what was kept before is unharmed.
        """
        with _explained(self.directory):
            _commit(self.directory / "made.json", lambda file: file.write(json.dumps(values).encode()))

    def remove(self, keep_link: bool = False) -> None:
        """Deletes the workspace and lets go of it; files of others that lie in the directory stay.

        Where it is a link, what it leads to is emptied and stays, for the directory on the other disk is its owner's; the link goes,
        unless a further job is to find it (`keep_link`).
        """
        if self._mirror is not None:
            self._mirror.remove()
        with _explained(self.directory):
            self._clear()
            for name in ("driving", "planning", "lock"):
                (self.directory / name).unlink(missing_ok=True)
            if not any(self.directory.iterdir()):
                if not self.directory.is_symlink():
                    self.directory.rmdir()
                elif not keep_link:
                    self.directory.unlink()
        self._lines = []
        self.close()

    def close(self) -> None:
        """Lets go of the lock; what was committed stays."""
        if self._lock is not None:
            try:
                if self._mirror is not None:
                    self._mirror.close()
            finally:
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _prepare(self, fingerprint: dict[str, str], fresh: bool, manner: str, going_on: Callable[[int], object]) -> None:
        job = self.directory / "job.json"
        wanted = {"format": _FORMAT, "fingerprint": fingerprint, "manner": manner}
        for name in ("frames", "state", "units"):
            if (self.directory / name).is_symlink():  # cannot be removed as a directory when the job is done
                raise WorkspaceError(f"{self.directory / name}: is a link; put the directory itself there, or choose another output")
        found = _read_job(job)
        if found is None and not job.exists():
            foreign = sorted({path.name for path in self.directory.iterdir()} - _OWN_NAMES)
            if foreign:
                (self.directory / "lock").unlink(missing_ok=True)
                raise WorkspaceError(f"{self.directory}: holds {foreign[0]} and is no workspace; move it away or choose another output")
        for name in _FILES:
            path = self.directory / name
            if os.path.lexists(path) and not path.is_file():  # would be in the way when all is painted; a link may lead to nothing
                _remove(path)
        if found is not None and {**wanted, "manner": found.get("manner")} == found and isinstance(found["manner"], str) and not fresh:
            self.manner = found["manner"]
            self._lines = self._recover(going_on)
            self._state_of = self.done - 1 if self._lines and self._lines[-1].state is not None else None
            if self._lines:
                logger.info("%s: frames 1–%d are done, going on", self.directory, self.done)
        else:
            if not fresh and (job.exists() or (self.directory / "journal.jsonl").exists()):
                # Hours of work go: that is told even where only errors are asked for.
                logger.warning(
                    "%s: %s since that run, so the job starts afresh",
                    self.directory,
                    _difference(found, fingerprint),
                    extra={"even_quiet": any((self.directory / name).exists() for name in ("journal.jsonl", "units"))},
                )
            going_on(0)
            self._clear()
            self.manner = manner
            _commit(job, lambda file: file.write(json.dumps(wanted, indent=1).encode()))
        (self.directory / "frames").mkdir(exist_ok=True)
        (self.directory / "state").mkdir(exist_ok=True)
        self._sweep()

    def _recover(self, going_on: Callable[[int], object]) -> list[_Line]:
        """The lines of the frames that the job can go on from; the journal on disk ends with the last of them."""
        journal = self.directory / "journal.jsonl"
        lines, end, damaged = _read_journal(journal)
        if damaged:
            logger.warning("%s: line %d is damaged, what follows is made anew", journal, damaged)
        elif any(path.suffix == ".tif" and int(path.stem) > len(lines) for path in self._own_files()):
            # A kill leaves one picture without its line at most. Where all are lost, that is told even where only errors are asked for.
            all_lost = "was damaged or removed since that run, so the job starts afresh"
            said = f"has lost its end, behind frame {len(lines)}" if lines else all_lost
            logger.warning("%s: %s", journal, said, extra={"even_quiet": not lines})
        what, afresh_next = "", False
        # What is said of a frame further on is cut off with it: a picture that was dropped when that frame was there is missing then.
        while (sound := self._sound(lines, afresh_next))[1] < len(lines):
            intact, done = sound
            if not what and (intact < len(lines) or any(line.kept for line in lines[done:])):
                what = f"frame {intact + 1} is damaged" if intact < len(lines) else "the carried state is damaged"
            afresh_next = lines[done].afresh
            lines, end, _ = _read_journal(journal, lines[done].place)
        if what:
            logger.warning("%s: %s, going on from frame %d", self.directory, what, len(lines) + 1)
        going_on(len(lines))
        amended = b""
        if lines and not self._state_intact(lines[-1]):
            # The next frame starts a shot and needs no state; without this the next opening would go back a shot more.
            amendment = _Amendment(state_of=lines[-1].index)
            amended = amendment.encode()
            amendment.apply(lines)
        if amended or (journal.exists() and journal.stat().st_size > end):
            _commit(journal, lambda file: _copy_beginning(journal, end, file, amended))
        self._journal_size = end + len(amended)
        return lines

    def _sound(self, lines: list[_Line], afresh_next: bool) -> tuple[int, int]:
        """How many leading frames are intact, and after how many the job can go on; with `afresh_next` the next needs none of them."""
        intact = 0
        while intact < len(lines) and self._frame_intact(lines[intact]):
            intact += 1
        done = intact
        while done and not (lines[done].afresh if done < len(lines) else afresh_next) and not self._state_intact(lines[done - 1]):
            done -= 1
        return intact, done

    def _frame_intact(self, line: _Line) -> bool:
        return line.frame is None or is_intact(self._frame_path(line.index), line.frame)

    def _state_intact(self, line: _Line) -> bool:
        return line.kept and (line.state is None or is_intact(self._state_path(line.index), line.state))

    def _amend(self, amendment: _Amendment, files: Iterable[str] = ()) -> None:
        place, text = self._journal_size, amendment.encode()
        self._write_line(text)
        amendment.apply(self._lines)
        if self._mirror is not None:
            self._mirror.keep(self.directory, files, place, text)

    def _write_state(self, index: int, state: State) -> int:
        return _commit(self._state_path(index), lambda file: _write_arrays(file, state))

    def _forget_older_state(self) -> None:
        """The last frame's is the one that is needed."""
        last = self._lines[-1]
        if self._state_of is not None and self._state_of != last.index:
            with _explained(self.directory):
                _remove(self._state_path(self._state_of))
            if self._mirror is not None:
                self._mirror.forget([_state_name(self._state_of)])
        self._state_of = None if last.state is None else last.index

    def _write_line(self, text: bytes) -> None:
        # Cut back to the lines known to be whole first: a write that failed half-way may have left its beginning.
        path = self.directory / "journal.jsonl"
        with path.open("ab") as file:
            file.truncate(self._journal_size)
            written = file.write(text)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self.directory)
        self._journal_size += written

    def _sweep(self) -> None:
        """Removes what a kill left behind: unfinished files, frames without a line, states of the past."""
        for path in self._own_files():
            index = int(path.name.split(".")[0])
            finished_frame = path.suffix == ".tif" and index < self.done and self._lines[index].frame is not None
            current_state = path.suffix == ".npz" and index == self.done - 1 and self._lines[index].state is not None
            if not (finished_frame or current_state):
                _remove(path)
        for name in _FILES:
            if name.endswith(".part"):
                _remove(self.directory / name)

    def _clear(self) -> None:
        self.remove_units()  # first: what a kill leaves is still a workspace
        for name in (*_FILES, *_SHARED[:2]):
            _remove(self.directory / name)
        for path in self._own_files():
            _remove(path)
        for name in ("frames", "state"):
            folder = self.directory / name
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _own_files(self) -> list[Path]:
        """Frames and states, finished or not, and nothing that somebody else has put there."""
        return [path for name in ("frames", "state") for path in (self.directory / name).glob("*") if _OWN_FILES.fullmatch(path.name)]

    def _line(self, index: int) -> _Line:
        if not 0 <= index < self.done:
            raise IndexError(f"frame {index} is not among the {self.done} finished frames")
        return self._lines[index]

    # Text, not `Path`, which enters every name into a table of Python's: after some tens of thousands that grows by megabytes.
    def _frame_path(self, index: int) -> str:
        return f"{self.directory}/{_frame_name(index)}"

    def _state_path(self, index: int) -> str:
        return f"{self.directory}/{_state_name(index)}"


def _frame_name(index: int) -> str:
    return f"frames/{index:06d}.tif"


def _state_name(index: int) -> str:
    return f"state/{index:06d}.npz"


def named_in_journal(journal: bytes) -> dict[str, int]:
    """What a workspace with this journal has to hold: name of each file → its CRC-32. Of carried state, the newest that was kept."""
    lines = list[_Line]()
    for text in journal.splitlines(keepends=True):
        if (found := _Line.decode(text, 0)) is not None and found[0].index == len(lines):
            lines.append(found[0])
        elif (amendment := _Amendment.decode(text)) is None or not amendment.apply(lines):
            break
    named = {_frame_name(line.index): line.frame for line in lines if line.frame is not None}
    kept = next((line for line in reversed(lines) if line.kept), None)
    if kept is not None and kept.state is not None:
        named[_state_name(kept.index)] = kept.state
    return named


def remove_remains(directory: Path) -> None:
    """Removes what is left of a workspace whose removal was killed: one without a finished frame. It need not exist."""
    with suppress(WorkspaceError), _explained(directory):  # another job begins there, or it cannot be written
        there = {path.name for path in directory.iterdir()} if directory.is_dir() else {"no workspace"}
        if there <= _OWN_NAMES - {"journal.jsonl", "plan.json", "units"}:
            Workspace(directory, _acquire(directory)).remove(keep_link=True)


class WritingBehind:
    """A workspace whose newest frame is written in a thread of its own while the next one is made.

    One frame waits at most, and is read from memory until it is on disk; what is read is the same to the bit. A frame that was
    appended survives a kill once the next one has been, or at the end of the block.

    Where frames come faster than they are written with their state, which is ten times as large, that is kept now and then only: it
    takes a tenth of the time at most. What is not killed keeps it in any case.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[float] | None = None
        self._newest: tuple[int, npt.NDArray[np.uint16], State] | None = None
        self._keeps_state = True
        self._next_state = -math.inf

    @property
    def directory(self) -> Path:
        """See `Workspace`."""
        return self._workspace.directory

    def records(self, first: int = 0) -> Iterator[Record]:
        """See `Workspace.records`; without that of a frame that is still being written."""
        return self._workspace.records(first)

    @property
    def done(self) -> int:
        """Number of leading frames that are finished."""
        return self._workspace.done if self._newest is None else self._newest[0] + 1

    def append(
        self,
        index: int,
        picture: npt.NDArray[np.uint16],
        record: Mapping[str, Any],
        state: State,
        afresh: bool = False,
    ) -> None:
        """See `Workspace.append`, whose errors come with the next call. What is on a GPU stays there until it is written.

        Raises:
            WorkspaceError: the frame before could not be written.
        """
        held_up = self._writing is not None and not self._writing.done()
        taken = self._finish_writing()
        now = time.monotonic()
        if self._keeps_state and held_up:
            self._next_state = now + _SELDOM * taken
        self._keeps_state = not state or now >= self._next_state
        self._newest = index, picture, state
        kept = state if self._keeps_state else None
        self._writing = self._pool.submit(_timed, lambda: self._workspace.append(index, picture, record, kept, afresh))

    def frame(self, index: int) -> npt.NDArray[np.uint16]:
        """See `Workspace.frame`."""
        if self._newest is not None and self._newest[0] == index:
            return self._newest[1]
        return self._workspace.frame(index)

    def state(self) -> State:
        """See `Workspace.state`; of the newest frame, what was appended, where it was."""
        return self._workspace.state() if self._newest is None else self._newest[2]

    def drop(self, indices: Iterable[int]) -> None:
        """See `Workspace.drop`."""
        self.flush()
        self._keep_newest_state()  # a job must not have to go back to where what is dropped is asked for
        self._workspace.drop(indices)

    def flush(self) -> None:
        """Waits until everything is on disk.

        Raises:
            WorkspaceError: it could not be written.
        """
        self._finish_writing()

    def _finish_writing(self) -> float:
        """Waits until the newest frame is on disk; the seconds that writing it took."""
        writing, self._writing = self._writing, None
        return 0.0 if writing is None else writing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown()
        if error is None:
            self.flush()
            self._keep_newest_state()
        else:
            with suppress(WorkspaceError):  # the error that ends the block is the one to tell
                self._keep_newest_state()

    def _keep_newest_state(self) -> None:
        if self._newest is not None and not self._keeps_state and self._newest[0] == self._workspace.done - 1:
            self._workspace.keep_state(self._newest[2])
            self._keeps_state = True


def _timed(work: Callable[[], None]) -> float:
    """Does it; the seconds it took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def fingerprint_file(path: Path, counts: Callable[[Path], bool] = lambda path: True) -> str:
    """SHA-256 of a file's content; of a directory, of the names and contents of its files that `counts`, hidden ones and folders aside.

    Raises:
        MediaError: the path is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_dir():
            _feed(digest.update, path)
            return digest.hexdigest()
        for entry in sorted(path.iterdir()):
            if entry.is_file() and not entry.name.startswith(".") and counts(entry):
                digest.update(f"{entry.name}\0{fingerprint_file(entry)}\n".encode(errors="surrogateescape"))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}; check the path and its permissions") from error
    return digest.hexdigest()


def _remove(path: StrPath) -> None:
    """Deletes a file, or whatever else bears its name; a directory only if it is empty, for what lies in it is somebody's."""
    with suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)


def _feed(update: Callable[[bytes], object], path: StrPath) -> None:
    with open(path, "rb") as file:
        while block := file.read(_CHUNK):
            update(block)


@contextmanager
def _explained(path: StrPath) -> Iterator[None]:
    """Turns a system's error into one line that says what to do."""
    try:
        yield
    except OSError as error:
        if (lack := lack_of_room(error)) is not None:
            message = f"{lack} and run the same command again, finished frames are kept"
        else:
            message = f"cannot be used as workspace: {error.strerror or error}; check the path and its permissions"
        raise WorkspaceError(f"{error.filename or path}: {message}") from error


@contextmanager
def planning(directory: Path) -> Iterator[None]:
    """Whoever plans how several processes share a job does so in this block, one after the other; they wait for each other.

    Raises:
        WorkspaceError: the directory cannot be written.
    """
    with _explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = _acquire(directory, "planning", waits=True)
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def driving(directory: Path) -> Iterator[None]:
    """Whoever has others paint a job in this workspace, and makes the output of it, does so in this block.

    Raises:
        WorkspaceInUse: somebody else does.
        WorkspaceError: the directory cannot be written.
    """
    with _explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = _acquire(directory, "driving")
    try:
        yield
    finally:
        os.close(lock)


def read_plan(directory: Path) -> Any:
    """What `write_plan` has written in the workspace there, which need not exist; None where that is nothing, or damaged."""
    found = _read_json(directory / "plan.json")
    if not isinstance(found, dict) or found.get("checksum") != zlib.crc32(_plain(found.get("plan"))):
        return None
    return found["plan"]


def write_plan(directory: Path, values: Any) -> None:
    """Keeps JSON values beside the frames of a workspace until it goes.

    Raises:
        WorkspaceError: the disk is full or cannot be written; what was kept before is unharmed.
    """
    content = b'{"checksum": %d, "plan": %b}\n' % (zlib.crc32(_plain(values)), _plain(values))
    with _explained(directory):
        _commit(directory / "plan.json", lambda file: file.write(content))


def _plain(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True).encode()


def _link(path: str, place: str) -> None:
    """Has a file appear in a second place; on disks that know no links, a copy."""
    _remove(place)
    try:
        os.link(path, place)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        with open(path, "rb") as file:
            _commit(place, lambda copy: shutil.copyfileobj(file, copy, _CHUNK))


def _acquire(directory: Path, name: str = "lock", waits: bool = False) -> int:
    """The file descriptor of the directory's lock, held until it is closed or the process ends."""
    path = directory / name
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have removed its workspace, and this file with it, between the two calls.
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise WorkspaceInUse(f"{directory}: another vidstyle is at work here; wait for it or choose another output") from None
        except BaseException:
            os.close(descriptor)
            raise
        directory.mkdir(parents=True, exist_ok=True)


def _read_job(path: Path) -> dict[str, Any] | None:
    """What job.json holds; None where it is missing or damaged."""
    job = _read_json(path)
    return job if isinstance(job, dict) and isinstance(job.get("fingerprint"), dict) else None


def _read_json(path: Path) -> Any:
    """What a file holds; None where it is missing, damaged, or no file: a pipe would be waited for."""
    try:
        return json.loads(path.read_bytes()) if path.is_file() else None
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _difference(found: dict[str, Any] | None, fingerprint: dict[str, str]) -> str:
    if found is None:
        return "job.json was damaged or removed"
    if found.get("format") != _FORMAT:
        return "the format of workspaces changed"
    old = found["fingerprint"]
    names = [name for name in {**fingerprint, **old} if old.get(name) != fingerprint.get(name)] or ["job.json"]
    return f"{' and '.join(names)} changed"


def _read_journal(path: Path, until: int | None = None) -> tuple[list[_Line], int, int]:
    """The journal's leading lines that are whole and in order, up to the byte `until`.

    Returns:
        The frames' lines, as later ones amend them; where they end, in bytes; and the number of the line that is damaged, from 1, or 0
        (what follows the last newline was torn, which is nothing to tell).
    """
    lines, end = list[_Line](), 0
    if not path.is_file():
        return lines, end, 0
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if end == until or not text.endswith(b"\n"):
                break
            if (found := _Line.decode(text, end)) is not None and found[0].index == len(lines):
                lines.append(found[0])
            elif (amendment := _Amendment.decode(text)) is None or not amendment.apply(lines):
                return lines, end, number
            end += len(text)
    return lines, end, 0


def _copy_beginning(path: Path, size: int, to: BinaryIO, then: bytes) -> None:
    """Copies the first `size` bytes of a file, and `then` behind them."""
    with path.open("rb") as file:
        while size and (block := file.read(min(size, _CHUNK))):
            to.write(block)
            size -= len(block)
    to.write(then)


def is_intact(path: StrPath, checksum: int) -> bool:
    """Whether a file is there and has this CRC-32."""
    try:
        return os.path.isfile(path) and _checksum(path) == checksum
    except FileNotFoundError:
        return False


def _checksum(path: StrPath) -> int:
    checksum = 0

    def update(block: bytes) -> None:
        nonlocal checksum
        checksum = zlib.crc32(block, checksum)

    _feed(update, path)
    return checksum


def _commit(path: StrPath, write: Callable[[BinaryIO], object]) -> int:
    """Writes a file beside its place, puts it there once it is on disk, and returns its CRC-32."""
    part = f"{path}.part"
    with suppress(FileNotFoundError):
        os.unlink(part)  # what it may be a link to is not the workspace's
    with open(part, "xb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    checksum = _checksum(part)
    os.replace(part, path)
    sync_directory(os.path.dirname(path))
    return checksum


def _encode(picture: npt.NDArray[np.uint16]) -> bytes:
    _, encoded = cv2.imencode(
        ".tif", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_NONE]
    )
    return encoded.tobytes()


def _write_arrays(file: BinaryIO, arrays: State) -> None:
    """An .npz, written array by array straight to the file: the state may be larger than the memory left over."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                values = array.numpy(force=True) if isinstance(array, torch.Tensor) else np.asanyarray(array)
                np.lib.format.write_array(member, values, allow_pickle=False)
