"""What a job writes must not take the place of what it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from vidstyle.errors import UsageError
from vidstyle.media.base import check_link
from vidstyle.media.stills import READABLE
from vidstyle.numbered import FrameNames

__all__ = ["check_apart"]


def check_apart(written: Mapping[str, Path | None], read: Iterable[Path]) -> None:
    """Whether nothing that is written takes the place of what is read, or of another thing that is written.

    Args:
        written: what it is called in a message ("OUTPUT", "--log-json") -> file or directory; None where there is none.
        read: files and directories; those that are missing count too. Here and there a sequence (`shot.%04d.png`) stands for its files.

    Raises:
        UsageError: one is a link that leads back to itself, two of them are one, a directory that is replaced holds what is read, a
            picture would come to lie among those of a directory that is read, one of them lies where vidstyle keeps what is
            unfinished of another, or a name is so long that there is no room for that.
    """
    read = list(read)
    for path in (*written.values(), *read):
        if path is not None:
            check_link(path)
    for path in written.values():
        if path is not None:
            _check_length(path)
    places = [(name, path, path.resolve()) for name, path in written.items() if path is not None]
    inputs = [(path, path.resolve(), _files(path)) for path in read]
    for number, (name, path, place) in enumerate(places):
        for other, earlier, taken in places[:number]:
            if place == taken or _one(path, earlier) or _is_frame(place, earlier) or _is_frame(taken, path):
                raise UsageError(f"{name} {path}: is {other} too; give another name")
            for file, unfinished, of in ((place, _unfinished(earlier), other), (taken, _unfinished(path), name)):
                if (own := _within(file, unfinished)) is not None:
                    both = f"{name} {path}, {other} {earlier}"
                    raise UsageError(f"{both}: what is unfinished of {of} is kept in {own.name}; give another name")
        for own, source, files in inputs:
            if place == source or _one(path, own) or place in files or any(_is_frame(file, path) for file in files):
                raise UsageError(f"{name} {path}: is an input of this job too; give another name")
            if path.is_dir() and place in source.parents:
                raise UsageError(f"{name} {path}: holds an input of this job, {own}, and would be replaced; give another name")
            for file in (source, *files):
                if (kept := _within(file, _unfinished(path))) is not None:
                    why = f"what is unfinished of it is kept in {kept.name}, where an input of this job lies, {own}"
                    raise UsageError(f"{name} {path}: {why}; give another name")
            if _is_frame(place, own):
                raise UsageError(f"{name} {path}: would be one of the frames {own}; give another name")
            if source.is_dir() and place.parent == source and place.suffix.lower() in READABLE:
                raise UsageError(f"{name} {path}: would lie among the pictures of {own}; give another directory")


def _files(path: Path) -> frozenset[Path]:
    """The files that a path names, by their own names and by what links lead to: of a sequence those that are there, else one."""
    names = FrameNames.of(path)
    if names is None:
        return frozenset({path.parent.resolve() / path.name, path.resolve()})
    if not names.directory.is_dir():
        return frozenset()
    directory = names.directory.resolve()
    own = [directory / names.name(number) for number in names.there()]
    return frozenset(own) | frozenset(file.resolve() for file in own)


def _unfinished(path: Path) -> list[Path]:
    """Where vidstyle keeps what is unfinished of an output: the workspace, and what becomes the output in the end, by all kinds of output.

    The names are those of `workspace_path` and of the sinks; those of a link are beside it, or beside what it leads to.
    """
    if path.name in ("", ".."):
        return []  # refused elsewhere
    names = {path.parent.resolve() / path.name, path.resolve()}
    if (sequence := FrameNames.of(path)) is not None:
        names.add(path.parent.resolve() / Path(str(sequence)).name)
    endings = "{0.name}.vidstyle", ".{0.name}.partial", ".{0.name}.old", ".{0.stem}.part{0.suffix}"
    return [name.with_name(ending.format(name)) for name in names if name.name for ending in endings]


def _check_length(path: Path) -> None:
    """Whether the names that are needed beside `path` while it is written are not too long for the disk."""
    for place in _unfinished(path):
        with suppress(OSError):  # a directory that is missing, or a disk that does not tell: said elsewhere
            over = len(os.fsencode(place.name)) - os.pathconf(place.parent, "PC_NAME_MAX")
            if over > 0:
                raise UsageError(
                    f"{path}: what is unfinished of it has a longer name, too long for this disk; shorten it by {over} letters"
                )


def _within(file: Path, places: Iterable[Path]) -> Path | None:
    """The place that a file is, or lies in; None where it is in none of them."""
    return next((place for place in places if place == file or place in file.parents), None)


def _is_frame(file: Path, path: Path) -> bool:
    """Whether a file, its directory resolved, bears one of the names that a sequence has."""
    names = FrameNames.of(path)
    return names is not None and file.parent == names.directory.resolve() and names.number(file.name) is not None


def _one(path: Path, other: Path) -> bool:
    """Whether two names, which may be links, stand for one file."""
    return path.exists() and other.exists() and path.samefile(other)
