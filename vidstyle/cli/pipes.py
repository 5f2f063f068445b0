"""`-` as INPUT and OUTPUT: a film that comes in by a pipe and goes on by one, as those of FFmpeg do.

A job reads its input several times, and writes a film's beginning when its end is known. So both lie in a temporary directory meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vidstyle.cli.terminal import Ending, say
from vidstyle.errors import MediaError, UsageError

__all__ = ["check_pipes", "piped"]

_BLOCK = 1 << 20
_INPUT, _OUTPUT = "stdin", "out.mkv"
"""Names in the temporary directory; that of the output says that it is Matroska, which can be read from a pipe."""


def check_pipes(comes: bool, goes: bool) -> None:
    """Whether there is something to read from (`comes`) and write to (`goes`).

    Raises:
        UsageError: it is the terminal, or closed.
    """
    if comes and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("INPUT -: nothing is piped in; write ffmpeg … -f matroska - | vidstyle - …, or name a file")
    if goes:
        if sys.__stdout__ is None:
            raise UsageError("-o -: the standard output is closed; pipe it on, or name a file")
        if os.isatty(1):
            raise UsageError("-o -: is the terminal, which cannot show a film; pipe it on (| ffplay -), or name a file")


@contextlib.contextmanager
def piped(source: Path | None, output: Path | None, ending: Ending, quiet: bool) -> Iterator[tuple[Path, Path]]:
    """The files of a job, of which one at least is piped: INPUT is read first, OUTPUT is sent when the block ends without an exception.

    Whatever is printed within goes to stderr, if the film goes to stdout.

    Args:
        source: INPUT, None where it is piped.
        output: OUTPUT, None where it is piped.
        ending: gets the temporary directory to remove, and what is true of an interruption.
        quiet: do not say where the directory is.

    Raises:
        MediaError: nothing comes, or what comes cannot be kept; the reader of the film goes away.
    """
    with contextlib.ExitStack() as stack:
        descriptor = stack.enter_context(_stdout_alone()) if output is None else None
        directory = ending.temporary = Path(tempfile.mkdtemp(prefix="vidstyle-"))
        if source is None:
            source = directory / _INPUT
            if not quiet:
                say(f"vidstyle: INPUT is kept in {source} while the job needs it (TMPDIR chooses the place)")
            _spool(source)
            ending.after_interrupt += ", with the same film piped in"
        if descriptor is None:
            assert output is not None
            yield source, output
            return
        ending.after_interrupt = "; nothing is kept of a job with -o -"
        film = directory / _OUTPUT
        yield source, film
        # A night's work is not thrown away because somebody closes the player.
        ending.temporary, ending.after_interrupt = None, f"; the film is kept: {film}"
        (directory / _INPUT).unlink(missing_ok=True)
        try:
            _send(film, descriptor)
        except OSError as error:
            why = "its reader has gone away" if isinstance(error, BrokenPipeError) else error.strerror or str(error)
            raise MediaError(f"-o -: the film cannot be sent to its end ({why}); all of it is kept: {film}") from None
        shutil.rmtree(directory, ignore_errors=True)


def _spool(path: Path) -> None:
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, _BLOCK)
            size = file.tell()
    except OSError as error:
        raise MediaError(
            f"INPUT -: cannot be kept in {path}: {error.strerror or error}; set TMPDIR to a directory with room for it"
        ) from None
    if not size:
        raise MediaError("INPUT -: nothing came through the pipe; see what the command before it says")


def _send(film: Path, descriptor: int) -> None:
    with film.open("rb") as file:
        while block := memoryview(file.read(_BLOCK)):
            while block:
                block = block[os.write(descriptor, block) :]


@contextlib.contextmanager
def _stdout_alone() -> Iterator[int]:
    """A descriptor of stdout for the film alone: what is printed meanwhile, by whatever library, goes to stderr."""
    own = os.dup(1)
    try:
        sys.stdout.flush()
        try:
            os.dup2(2, 1)
        except OSError:  # there is no stderr
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield own
    finally:
        os.dup2(own, 1)
        os.close(own)
