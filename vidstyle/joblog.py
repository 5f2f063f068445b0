"""The file of `--log-json`: a line of JSON for every frame of a job, or of all jobs of a batch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from vidstyle.errors import MediaError, UsageError
from vidstyle.files import lack_of_room
from vidstyle.media import write_whole
from vidstyle.words import legible

__all__ = ["begun_log", "check_log", "drop_lines", "not_written", "same_output"]


def check_log(path: Path) -> None:
    """Whether a log can be made at `path`, as far as can be told without making it.

    Raises:
        UsageError: its directory is missing, or it is a directory itself.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--log-json {path}: there is no directory {path.absolute().parent}")
    if path.is_dir():
        raise UsageError(f"--log-json {path}: is a directory; name the file to write")


def begun_log(path: Path, output: Path, append: bool) -> BinaryIO:
    """The log, opened for the lines about `output`: those before go, or, to `append`, those of other outputs stay.

    Every line goes behind what is there at that moment: two jobs that are given one file do not write over each other's lines.

    Raises:
        MediaError: it cannot be read or written.
    """
    if append:
        drop_lines(path, same_output(output).__eq__)
    anew = 0 if append else os.O_TRUNC
    try:
        return open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags | anew, 0o666))
    except OSError as error:
        raise not_written(path, error) from None


def not_written(path: Path | str, error: OSError) -> MediaError:
    """What to raise where a log cannot be written."""
    lack = lack_of_room(error)
    told = f"cannot be written: {error.strerror or error}; give another file" if lack is None else f"{lack} and run the same command again"
    return MediaError(f"--log-json {path}: {told}")


def drop_lines(path: Path, drops: Callable[[str | None], bool]) -> None:
    """Takes lines out of a log, by the output that they are about; None stands for what is no whole line of a log.

    What is no plain file, a pipe or a device, is left alone, and a link stays one. Where no line goes nothing is written: another job
    may be adding to the file.

    Raises:
        MediaError: it cannot be read or written.
    """
    path = path.resolve()
    if not path.is_file():
        return
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise MediaError(f"--log-json {path}: cannot be read: {error.strerror or error}; give another file") from None
    kept = [line for line in lines if not drops(_output(line))]
    if len(kept) < len(lines):
        write_whole(path, b"".join(kept))


def same_output(path: Path | str) -> str:
    """The name of an output by which lines about it are known, from whatever directory they were written, and as lines have it."""
    return legible(os.path.abspath(path))


def _output(line: bytes) -> str | None:
    try:
        output = json.loads(line)["output"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return same_output(output) if isinstance(output, str) and line.endswith(b"\n") else None
