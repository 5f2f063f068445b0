"""What the commands share: lines on the terminal, and what an error ends with.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted. An error is one line
on stderr; a traceback comes with `-v` or for a bug.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TextIO

from tqdm import tqdm

from vidstyle.errors import VidstyleError
from vidstyle.starting import ENDING, INTERRUPTED, hearing, interrupted
from vidstyle.words import legible

__all__ = ["SHOWN_AS", "Ending", "exit_code", "logging_to_terminal", "say"]

SHOWN_AS: dict[str, str] = {}
"""Directories of this disk that stand for others, of a store: by these every line on the terminal tells of them."""


@dataclass(slots=True)
class Ending:
    """How an end before time is told; the command sets it as soon as it has read its flags."""

    verbose: bool = False
    """A traceback with every error."""
    interrupted: bool = False
    """Whether a signal that asks for the end has come."""
    after_interrupt: str = ""
    """What to do after Ctrl-C, such as "; run the same command to go on"."""
    temporary: Path | None = None
    """Directory that goes whatever comes."""

    def clear(self) -> None:
        """Removes the temporary directory, if there is one."""
        for _ in range(2):  # another thread may just have written there
            if self.temporary is not None:
                shutil.rmtree(self.temporary, ignore_errors=True)


def exit_code(run: Callable[[Ending], int]) -> int:
    """Runs a command and returns its exit code; what goes wrong has been told in one line."""
    ending, over = Ending(), False

    def heard(number: int, frame: FrameType | None) -> None:
        if not over:  # what a command has ended with stands
            ending.interrupted = True
            raise KeyboardInterrupt

    with hearing(heard):
        try:
            with _not_kept_waiting(ending):
                code = run(ending)
            over = True
            return code
        except BaseException as error:
            over = True
            # What is cleaned up while an interruption is on its way out may fail of it, and raise something else.
            if ending.interrupted or isinstance(error, KeyboardInterrupt):
                say(_interrupted(ending), several=True)
                return INTERRUPTED
            return _told(error, ending)
        finally:
            ending.clear()
            SHOWN_AS.clear()


def _told(error: BaseException, ending: Ending) -> int:
    """The exit code for an error, which is told; called where it is being handled."""
    match error:
        case SystemExit():
            return 1 if error.code else 0  # 0: help has been printed
        case VidstyleError():
            return _fail(_line(error), error.exit_code, ending.verbose, error.number)
        case BrokenPipeError():
            # The reader of the help (`| head`) has gone: nothing to complain about, nor to flush at the end.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        case ImportError():  # torch's libraries are large; where memory is limited they cannot be mapped
            return _fail(f"a library cannot be loaded ({_line(error)}); free some memory, or install vidstyle anew", 1, ending.verbose)
        case MemoryError():
            return _fail("not enough memory; give a smaller --size", 1, ending.verbose)
        case OSError():
            return _fail(_line(error), 1, ending.verbose)
        case Exception():
            return _fail(f"this is a bug in vidstyle, please report it: {type(error).__name__}: {_line(error)}", 1, True)
    raise error


@contextlib.contextmanager
def _not_kept_waiting(ending: Ending) -> Iterator[None]:
    """Ends the process a moment after a signal that asks for it, should the block not have ended by itself.

    Python hears a signal between two of its own instructions, and a step on a large picture is seconds of one call. A workspace
    may be left at any moment: what is lost is at most the frame in work, and what of the one before was not yet on disk.
    """
    ended = threading.Event()
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    try:
        before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    except ValueError:  # not the main thread, which signals do not reach
        os.close(ear)
        os.close(mouth)
        yield
        return

    def listen() -> None:
        while (heard := os.read(ear, 1)) != _GOODBYE:
            if heard[0] in ENDING and not ended.wait(_PATIENCE):
                with contextlib.suppress(OSError, ValueError):  # past tqdm and Python's buffers, whose locks another thread may hold
                    os.write(sys.stderr.fileno(), f"{_interrupted(ending)}\n".encode())
                ending.clear()
                os._exit(INTERRUPTED)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        with contextlib.suppress(BlockingIOError):  # full of signals: it has heard enough
            os.write(mouth, _GOODBYE)
        listener.join()
        os.close(ear)
        os.close(mouth)


_GOODBYE = b"\0"
"""No signal has this number."""
_PATIENCE = 1.5
"""Seconds that a job has to end by itself once it was asked to."""


def _interrupted(ending: Ending) -> str:
    return interrupted(ending.after_interrupt, sys.stderr.isatty())


def _fail(message: str, code: int, with_traceback: bool, number: int = VidstyleError.number) -> int:
    if with_traceback:
        say(traceback.format_exc().rstrip(), several=True)
    say(f"vidstyle: error: {message} [V{number}]")
    return code


def say(text: str, stream: TextIO | None = None, several: bool = False) -> None:
    """One line (or `several`) to stderr or `stream`, above a running progress bar.

    A reader that has gone away, or a full disk, stops nothing.
    Nor does a name in no known encoding, or a terminal that knows only ASCII; what would steer the terminal, or begin another line, is
    shown as a number.
    """
    stream = stream or sys.stderr
    for place, shown in SHOWN_AS.items():
        text = text.replace(place, shown)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = _STEERING.sub(lambda found: found[0] if found[0] == "\n" and several else ascii(found[0])[1:-1], text)
    text = legible(text).encode(encoding, "backslashreplace").decode(encoding)
    try:
        with tqdm.external_write_mode(file=stream):
            print(text, file=stream, flush=True)
    except OSError:
        # Python flushes the standard streams once more when it ends; that must not fail either.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


_STEERING = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that terminals obey, among them those that turn the direction of writing; but for tabs."""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


class _OneLineHandler(logging.Handler):
    """Shows a record as `vidstyle: warning: …`."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"vidstyle: {record.levelname.lower()}: {' '.join(record.getMessage().split())}")


@contextlib.contextmanager
def logging_to_terminal(level: int) -> Iterator[None]:
    """Warnings and more, from `level` on, as lines on stderr while the block runs.

    So is what bears `even_quiet`, whatever the level: what nobody who wants few words would want to miss.
    """
    logger, handler = logging.getLogger("vidstyle"), _OneLineHandler()
    handler.addFilter(lambda record: record.levelno >= level or getattr(record, "even_quiet", False))
    before = logger.level, logger.propagate
    logger.setLevel(min(level, logging.WARNING))
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
