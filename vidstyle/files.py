"""What the standard library lacks to keep files whole, and to tell their names from others."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

__all__ = ["about_to_place", "is_url", "lack_of_room", "noticing", "sync_directory"]

Notice = Callable[[Path, Path], object]
"""Is told of what is whole and on disk, and of the place it is about to get. Of frames both are the directory that they lie in."""

_notice: ContextVar[Notice | None] = ContextVar("notice", default=None)


def lack_of_room(error: OSError) -> str | None:
    """What there is too little of for a file, and what to do about it; None where the error is of something else."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space"
    if error.errno == errno.EFBIG:
        return "files as large as that are not allowed here; raise the limit (ulimit -f), or choose another disk,"
    return None


def is_url(text: str | None) -> bool:
    """Whether it names something of a store (`s3://bucket/film.mp4`) and not of this disk."""
    return text is not None and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def sync_directory(path: str | os.PathLike[str]) -> None:
    """A rename is only on disk once its directory is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def noticing(notice: Notice) -> Iterator[None]:
    """Has `notice` called with whatever the block puts in its place, just before: a kill in between must not leave what nobody knows of."""
    before = _notice.set(notice)
    try:
        yield
    finally:
        _notice.reset(before)


def about_to_place(unfinished: Path, place: Path) -> None:
    """To be called by whoever renames `unfinished` to `place`, or what lies in the one directory into the other."""
    notice = _notice.get()
    if notice is not None:
        notice(unfinished, place)
