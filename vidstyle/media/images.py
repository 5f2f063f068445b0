"""A single picture as a source of one frame, and as an output that holds one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from vidstyle.errors import MediaError
from vidstyle.files import about_to_place, sync_directory
from vidstyle.frames import Frame, MediaInfo
from vidstyle.media.base import Picture, even_size, exact_rate, longest_side_size
from vidstyle.media.stills import CLIPPED, encode, frame_of, holds_profile, holds_transparency, original_of, read_header, read_still
from vidstyle.settings import TILE, RunSettings

__all__ = ["DEFAULT_RATE", "ImageSink", "ImageSource", "partial_of", "write_whole"]

logger = logging.getLogger(__name__)

DEFAULT_RATE = 24.0
"""Frames a second of what has no rate of its own, where `--fps` does not say."""


class ImageSource:
    """A picture file as a source of one frame, at time 0. `--start` and `--end` mean nothing to it."""

    def __init__(self, path: Path, run: RunSettings, film: bool = False) -> None:
        """Reads the header; a picture that becomes a `film` gets an even size, as a film would.

        Raises:
            MediaError: the file is missing, empty, damaged, or no picture.
        """
        header = read_header(path)
        if header is None:
            read_still(path)  # says what is wrong with it
            raise MediaError(f"{path}: not a picture that can be read")
        if header.pages:
            logger.warning("%s: holds several pages; only the first is used", path)
        if header.warning:
            logger.warning("%s: %s", path, header.warning)
        width, height = (even_size if film else longest_side_size)(header.width, header.height, run.size)
        if run.tileable:
            width, height = (max(round(side / TILE), 1) * TILE for side in (width, height))
        rate = exact_rate(run.fps or DEFAULT_RATE)
        self.info = MediaInfo(path, "image", width, height, rate, 1 / rate, frames=1, duration=1 / rate)
        self._film = film
        self._clips = False

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """The picture, of the size in `info`; nothing where `first` is past it."""
        if first == 0:
            still = read_still(self.info.path)
            if self._film and still.alpha is not None:
                self._film = False  # told once
                logger.warning("%s: its transparency is left out, a video has none", self.info.path)
            if still.clipped and not self._clips:
                self._clips = True
                logger.warning("%s: %s", self.info.path, CLIPPED)
            yield frame_of(0, still, self.info, self.info.path.name)

    def close(self) -> None:
        """Nothing is held open between frames."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class ImageSink:
    """A picture file, written in one step when the block ends.

    It takes over what the source's picture file has and the format holds: transparency, 16 bits a channel.
    """

    def __init__(self, path: Path, info: MediaInfo | None) -> None:
        """`info` is the source's, None for a picture that was made of none; nothing is written yet."""
        self._path = path
        self._info = info
        self._data: bytes | None = None

    def write(self, picture: Picture, pts: int, time_base: Fraction, name: str = "") -> None:
        """Takes the one frame; `pts` and `time_base` say nothing here.

        Raises:
            MediaError: a second frame, or a picture that the format cannot hold.
        """
        if self._data is not None:
            raise MediaError(f"{self._path}: a picture holds one frame; name a video or a directory as the output")
        path = None if self._info is None else original_of(self._info, name)
        original = read_still(path) if path is not None else None
        if original is not None and original.alpha is not None and not holds_transparency(self._path.suffix):
            logger.warning("%s: a %s picture has no transparency, that of %s is left out; write .png to keep it",
                           self._path, self._path.suffix, path)  # fmt: skip
        if original is not None and original.profile is not None and not holds_profile(self._path.suffix):
            logger.warning("%s: a %s picture has no colour profile, that of %s is left out; write .png to keep it",
                           self._path, self._path.suffix, path)  # fmt: skip
        self._data = encode(picture, self._path, original)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            return
        if self._data is None:
            raise MediaError(f"{self._path}: there was no frame to write")
        write_whole(self._path, self._data)


def partial_of(path: Path) -> Path:
    """Where a picture, or any other file that is written whole, is kept until it is: beside the file that a link leads to."""
    path = path.resolve()
    return path.with_name(f".{path.name}.partial")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file in one step: what stood there before is there until the new one is on disk. A link stays one.

    Raises:
        MediaError: it cannot be written.
    """
    partial = partial_of(path)
    try:
        partial.unlink(missing_ok=True)  # it may be a link, to an input even
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        about_to_place(partial, path.resolve())
        partial.replace(path.resolve())
        sync_directory(partial.parent)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        raise MediaError(f"{path}: cannot be written: {problem.strerror or problem}") from None
