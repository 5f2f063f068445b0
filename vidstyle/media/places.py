"""What a job writes must not take the place of what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vidstyle.errors import UsageError
from vidstyle.media.stills import READABLE

__all__ = ["check_apart"]


def check_apart(written: Mapping[str, Path | None], read: Iterable[Path]) -> None:
    """Whether nothing that is written takes the place of what is read, or of another thing that is written.

    Args:
        written: what it is called in a message ("OUTPUT", "--log-json") -> file or directory; None where there is none.
        read: files and directories; those that are missing count too.

    Raises:
        UsageError: two of them are one, a directory that is replaced holds what is read, or a picture would come to lie among those
            of a directory that is read.
    """
    places = [(name, path, path.resolve()) for name, path in written.items() if path is not None]
    inputs = [(path, path.resolve()) for path in read]
    for number, (name, path, place) in enumerate(places):
        for other, earlier, taken in places[:number]:
            if place == taken or _one(path, earlier):
                raise UsageError(f"{name} {path}: is {other} too; give another name")
        for own, source in inputs:
            if place == source or _one(path, own):
                raise UsageError(f"{name} {path}: is an input of this job too; give another name")
            if path.is_dir() and place in source.parents:
                raise UsageError(f"{name} {path}: holds an input of this job, {own}, and would be replaced; give another name")
            if source.is_dir() and place.parent == source and place.suffix.lower() in READABLE:
                raise UsageError(f"{name} {path}: would lie among the pictures of {own}; give another directory")


def _one(path: Path, other: Path) -> bool:
    """Whether two names, which may be links, stand for one file."""
    return path.exists() and other.exists() and path.samefile(other)
