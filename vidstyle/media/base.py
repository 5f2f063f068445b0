"""What every input and every output looks like to the rest of the program."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from vidstyle.errors import UsageError
from vidstyle.frames import Frame, MediaInfo

__all__ = [
    "MOST_PIXELS",
    "Picture",
    "Sink",
    "Source",
    "check_link",
    "check_place",
    "check_unfinished",
    "even_size",
    "exact_rate",
    "longest_side_size",
]

Picture = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(H, W, 3) RGB, full range, 8 or 16 bits a channel."""

MOST_PIXELS = 2 * 89_478_485
"""Of a frame; from there on Pillow takes a picture for a decompression bomb."""


class Source(Protocol):
    """An input: a video, an image, a directory of frames."""

    @property
    def info(self) -> MediaInfo:
        """What the job will see; the size is the upright one, after `--size`."""
        ...

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """The frames in order, from the one with index `first`, each of the size in `info`.

        Every call starts anew, so a source can be walked more than once. Where `pts`, the time of that frame, is given, a film may be
        sought in, which saves decoding what comes before; what comes then is to be checked, for a damaged film is not always the same
        from there.

        Raises:
            MediaError: the input is damaged where the walk has come to.
        """
        ...

    def close(self) -> None:
        """Lets go of what is open; harmless when called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Sink(Protocol):
    """An output that appears at its path in one step, when its `with` block ends without an exception.

    With an exception nothing is left behind and what stood at the path before is untouched.
    """

    def write(self, picture: Picture, pts: int, time_base: Fraction, name: str = "") -> None:
        """Takes the next frame, shown at `pts * time_base` seconds.

        Args:
            picture: (H, W, 3) RGB, full range, uint8 or uint16; the same size for every frame.
            pts: strictly increasing.
            time_base: seconds a tick; the same for every frame.
            name: file name of the frame where it has one of its own, else empty.

        Raises:
            MediaError: the output cannot be written.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def longest_side_size(width: int, height: int, size: int | None) -> tuple[int, int]:
    """(width, height) scaled so that the longer one is `size` pixels, the aspect kept, at least 1 pixel each.

    `None` leaves the size as it is.
    """
    if size is None:
        return width, height
    longest = max(width, height)
    # Halves round up, in integers, so that no float decides the size of a job.
    return max((2 * width * size + longest) // (2 * longest), 1), max((2 * height * size + longest) // (2 * longest), 1)


def check_link(path: Path) -> None:
    """Whether a path, which need not exist, leads somewhere.

    Raises:
        UsageError: it is a link that leads back to itself, or lies behind one, or no file can have such a name.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{path}: is a link that leads back to itself; remove it, or give another name") from None
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{path}: the name is too long for this disk; give a shorter one") from None


def check_place(path: Path) -> None:
    """Whether a file or directory can be made at `path`, apart from what may stand there already.

    Raises:
        UsageError: it is a link that leads back to itself, or its directory is missing or cannot be written to.
    """
    check_link(path)
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"{path}: there is no directory {parent}; make it first")
    try:  # what a directory allows is not all that counts: its disk may be read-only, or no disk
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise UsageError(f"{path}: the directory {parent} cannot be written to ({error.strerror or error}); choose another") from None


def check_unfinished(place: Path, path: Path) -> None:
    """Whether a file can be made at `place`, where what is unfinished of `path` is kept; a file or a link there is deleted.

    Raises:
        UsageError: a directory stands there.
    """
    if place.is_dir() and not place.is_symlink():
        raise UsageError(f"{place}: is needed to write {path}, but is a directory; move it away, or give another name")


def even_size(width: int, height: int, size: int | None) -> tuple[int, int]:
    """`longest_side_size` for films: sides are even where `size` is and changes anything, since 4:2:0 needs it."""
    scaled = longest_side_size(width, height, size)
    if size is None or size % 2 or max(width, height) == size:
        return scaled
    even = [max(2 * round(Fraction(side) * size / max(width, height) / 2), 2) for side in (width, height)]
    return even[0], even[1]


def exact_rate(fps: float) -> Fraction:
    """Frames a second as the fraction that was meant: 23.976 is 24000/1001, 12.5 is 25/2."""
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    if ntsc > 0 and abs(float(ntsc) - fps) < 0.0005:
        return ntsc
    return Fraction(fps).limit_denominator(100_000)
