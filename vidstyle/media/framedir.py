"""Pictures as the frames of a film, in and out: all of a directory, or a sequence of numbered ones."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from vidstyle.errors import MediaError, UsageError
from vidstyle.files import about_to_place, sync_directory
from vidstyle.frames import Frame, MediaInfo
from vidstyle.media.base import Picture, even_size, exact_rate
from vidstyle.media.images import DEFAULT_RATE
from vidstyle.media.stills import CLIPPED, READABLE, WRITABLE, encode, frame_of, original_of, read_header, read_still
from vidstyle.numbered import FrameNames
from vidstyle.settings import Position, RunSettings

__all__ = ["FrameDirectorySink", "FrameDirectorySource", "SequenceSink", "check_remains", "natural_order", "only_pictures"]

logger = logging.getLogger(__name__)


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Sort key by which `frame2` comes before `frame10`, whatever the case of the letters."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


class FrameDirectorySource:
    """The pictures of a directory in natural order, one a frame, where gaps in the numbers are no gaps in time; or those of a sequence
    (`shot.%04d.png`), which has no gaps.

    The rate is `--fps`, else 24. Nothing but headers is read before the frames are asked for.
    """

    def __init__(self, path: Path, run: RunSettings, film: bool = False) -> None:
        """Lists the directory and reads the header of every picture between `--start` and `--end`; `film` says that they become a video.

        Raises:
            UsageError: `--start` and `--end` leave no frame, or some of a sequence are missing.
            MediaError: there is no picture, one is unreadable, or they differ in size.
        """
        sequence = FrameNames.of(path)
        if sequence is None:
            names, number = _pictures(path), 1
        else:
            numbers = sequence.chosen(run.frame_range)
            names, number = [sequence.name(one) for one in numbers], numbers[0]
        rate = exact_rate(run.fps or DEFAULT_RATE)
        start = _frame_at(run.start, rate, 0)
        end = min(_frame_at(run.end, rate, len(names)), len(names))
        if start >= len(names):
            raise UsageError(
                f"--start {run.start}: {path} has only {len(names)} frames, {float(len(names) / rate):g} s at {float(rate):g} a second"
            )
        if end <= start:
            raise UsageError(f"--end {run.end}: not after the start, so no frame is left")
        self._names = names[start:end]
        self._film = film
        self._clips = False
        self._directory = path if sequence is None else sequence.directory
        width, height = _common_size(self._directory, self._names)
        width, height = even_size(width, height, run.size)
        count = len(self._names)
        self.info = MediaInfo(path, "frames", width, height, rate, 1 / rate, frames=count, duration=count / rate, number=number + start)

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """The pictures, decoded one at a time; `pts` is the index.

        Raises:
            MediaError: a picture is damaged.
        """
        for index in range(first, len(self._names)):
            name = self._names[index]
            still = read_still(self._directory / name)
            if self._film and still.alpha is not None:
                self._film = False  # told once
                logger.warning("%s: the transparency of its pictures is left out, a video has none", self.info.path)
            if still.clipped and not self._clips:
                self._clips = True
                logger.warning("%s: %s", self._directory / name, CLIPPED)
            yield frame_of(index, still, self.info, name)

    def close(self) -> None:
        """Nothing is held open between frames."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _pictures(path: Path) -> list[str]:
    """Names of the pictures in the directory, in natural order; what else there is is counted in one warning."""
    try:
        entries = list(path.iterdir())
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from None
    names = [entry.name for entry in entries if _is_picture(entry)]
    if not names:
        raise MediaError(f"{path}: no picture in this directory; frames are PNG, JPEG, WebP, TIFF, BMP or EXR files")
    others = sorted(entry.name for entry in entries if not _is_picture(entry))
    if others:
        logger.warning("%s: %d of %d entries are no pictures and are ignored (%s%s)",
                       path, len(others), len(entries), others[0], ", …" if len(others) > 1 else "")  # fmt: skip
    return sorted(names, key=natural_order)


def _is_picture(entry: Path) -> bool:
    # Other systems leave shadow files such as `._frame1.png` beside the pictures.
    return entry.suffix.lower() in READABLE and not entry.name.startswith(".") and entry.is_file()


def only_pictures(path: Path) -> bool:
    """Whether the directory holds nothing but pictures and what file managers leave behind."""
    return all(_is_picture(entry) or (_is_left_behind(entry.name.lower()) and entry.is_file()) for entry in path.iterdir())


def _is_left_behind(name: str) -> bool:
    return name.startswith("._") or name in (".ds_store", ".directory", "thumbs.db", "desktop.ini")


def _frame_at(text: str | None, rate: Fraction, default: int) -> int:
    """Index of the first frame that is not before the position."""
    if text is None:
        return default
    position = Position.parse(text)
    if position.frames is not None:
        return position.frames
    # The shortest decimal is what was typed; the float beside it may lie a hair behind the frame.
    return math.ceil(Fraction(position.seconds or 0.0).limit_denominator(1_000_000) * rate)


def _common_size(path: Path, names: list[str]) -> tuple[int, int]:
    """(width, height) that all pictures share, from their headers."""
    size: tuple[int, int] | None = None
    told: set[str] = set()
    for name in names:
        header = read_header(path / name)
        if header is None:
            read_still(path / name)  # says what is wrong with it
            raise MediaError(f"{path / name}: not a picture that can be read")
        if header.animated:
            raise MediaError(f"{path / name}: an animated picture among frames; take it out or give it as the input itself")
        if header.warning is not None and header.warning not in told:
            told.add(header.warning)
            logger.warning("%s: %s", path / name, header.warning)
        size = size or (header.width, header.height)
        if size != (header.width, header.height):
            raise MediaError(
                f"{path / name}: {header.width}×{header.height}, but {names[0]} is {size[0]}×{size[1]}; all frames need the same size"
            )
    assert size is not None
    return size


def _aside(path: Path) -> tuple[Path, Path]:
    """Directories beside the one that is written: for the frames until all are there, and for what stood in their place before.

    A link stays one: what it leads to is replaced.
    """
    path = path.resolve()
    return path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")


def check_remains(path: Path) -> None:
    """Whether what stands where a directory of frames is made, and where the one before it goes, is a killed job's: nothing but frames.

    Raises:
        UsageError: it is something else, which would be deleted, or it cannot be read.
    """
    for aside in _aside(path):
        try:
            foreign = aside.is_symlink() or (aside.exists() and not (aside.is_dir() and only_pictures(aside)))
        except OSError as error:
            raise UsageError(f"{aside}: cannot be read: {error.strerror or error}") from None
        if foreign:
            raise UsageError(f"{aside}: is needed to write {path}, but holds other things than frames; move it away, or give another name")


class FrameDirectorySink:
    """A directory of pictures, put in place in one step when the block ends.

    Frames that were files keep their names (with `.png` where their format cannot be written), others
    become `frame_000000.png` and so on. Transparency and 16 bits a channel are taken over from the
    source's pictures where the format holds them.
    """

    def __init__(self, path: Path, info: MediaInfo) -> None:
        """Makes the hidden directory beside `path` that the frames go into; `info` is the source's.

        Raises:
            MediaError: the directory cannot be made.
        """
        self._path = path.resolve()
        self._info = info
        self._partial, self._old = _aside(path)
        self._size: tuple[int, ...] | None = None
        self._written: set[str] = set()
        try:
            # What a killed run left behind: of the two renames at its end the first may have been its last act.
            if self._old.exists() and not self._path.exists():
                self._old.rename(self._path)
            shutil.rmtree(self._old, ignore_errors=True)
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir()
        except OSError as error:
            raise MediaError(f"{path}: cannot be written: {error.strerror or error}") from None

    def write(self, picture: Picture, pts: int, time_base: Fraction, name: str = "") -> None:
        """Writes the next frame; its place in the order is its time, `pts` and `time_base` are not kept.

        Raises:
            MediaError: the disk is full or unwritable, or the source's picture can no longer be read.
        """
        if self._size is not None and picture.shape != self._size:
            raise ValueError(f"all frames have the same size, got {picture.shape = } after {self._size}")
        self._size = picture.shape
        target = self._partial / self._free_name(name)
        self._written.add(target.name.casefold())
        path = original_of(self._info, name)
        data = encode(picture, target, read_still(path) if path is not None else None)
        try:
            with target.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MediaError(f"{self._path}: cannot be written: {error.strerror or error}") from None

    def _free_name(self, name: str) -> str:
        """The name to write under; two sources that differ in their format alone stay two files."""
        if not name:
            chosen = f"frame_{len(self._written):06d}.png"
        else:
            chosen = name if Path(name).suffix.lower() in WRITABLE else f"{Path(name).stem}.png"
            if chosen.casefold() in self._written:
                chosen = f"{name}.png"
        return chosen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                if not self._written:
                    raise MediaError(f"{self._path}: there was no frame to write")
                self._put_in_place()
        except OSError as problem:
            raise MediaError(f"{self._path}: cannot be written: {problem.strerror or problem}") from None
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _put_in_place(self) -> None:
        """Renames; an old directory steps aside first and is deleted last, so that there is always a whole one."""
        sync_directory(self._partial)
        about_to_place(self._partial, self._path)
        if not self._path.exists():
            self._partial.rename(self._path)
            sync_directory(self._path.parent)
            return
        self._path.rename(self._old)
        try:
            self._partial.rename(self._path)
        except OSError:
            self._old.rename(self._path)
            raise
        sync_directory(self._path.parent)
        shutil.rmtree(self._old)


class SequenceSink(FrameDirectorySink):
    """Numbered pictures (`shot.%04d.png`), put in place at the end, one after the other.

    They have the numbers of the source's frames where those are a sequence too, and are counted from 1 otherwise. What else lies in their
    directory stays, frames of other numbers too. A kill while they are put in place leaves some there, each of them whole; the workspace
    is there still, so that the same command with `-y` ends it.
    """

    def __init__(self, names: FrameNames, info: MediaInfo) -> None:
        """Makes the hidden directory beside them that the frames go into; `info` is the source's.

        Raises:
            MediaError: the directory cannot be made.
        """
        super().__init__(Path(str(names)), info)
        self._names = names

    def _free_name(self, name: str) -> str:
        return self._names.name(self._info.number + len(self._written))

    def _put_in_place(self) -> None:
        sync_directory(self._partial)
        about_to_place(self._partial, self._path.parent)
        for picture in sorted(self._partial.iterdir()):
            picture.replace(self._path.with_name(picture.name))
        sync_directory(self._path.parent)
