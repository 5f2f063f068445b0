"""What happens before there is a command, the seconds in which libraries are loaded, and after it.

A library whose import is interrupted half-way raises whatever it makes of that, or goes on without a part of itself. So Ctrl-C does
not wait for it: nothing has begun that could be lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["ENDING", "INTERRUPTED", "ended", "hearing", "interrupted", "loading", "patient_threads"]

INTERRUPTED = 130
"""Exit code after a signal of `ENDING`."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a job to end: Ctrl-C, `kill`, and a terminal that is closed, of a connection that breaks off too."""

Handler = Callable[[int, FrameType | None], object]


def patient_threads() -> None:
    """Has threads of OpenMP sleep while they wait for each other, instead of counting, unless the environment says how they wait.

    Threads that count hold the cores that those they wait for need, where anything else runs on the machine: work on small
    tensors then takes many times as long. Goes for libraries that are loaded afterwards.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


@contextmanager
def hearing(handler: Handler) -> Iterator[None]:
    """Has the signals of `ENDING` go to `handler` while the block runs; in the main thread, that is, which alone can set them.

    Where the shell has one ignored, as it does Ctrl-C behind `&` in a script, and `nohup` SIGHUP, it is.
    """
    before = _heard_by(handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def ended(code: int) -> None:
    """From here on the signals of `ENDING` end the process at once with `code`, that of its command, which is done."""
    _heard_by(lambda number, frame: os._exit(code))


def _heard_by(handler: Handler) -> dict[signal.Signals, Any]:
    """Sets the handler; what there was before."""
    before = {}
    with suppress(ValueError):  # not the main thread
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    return before


@contextmanager
def loading(advice: str = "") -> Iterator[None]:
    """While the block imports, the signals of `ENDING` end the process at once, with a word and `advice`."""

    def end(number: int, frame: FrameType | None) -> None:
        try:
            os.write(2, f"{interrupted(advice, os.isatty(2))}\n".encode())
        finally:
            os._exit(INTERRUPTED)

    with hearing(end):
        yield


def interrupted(advice: str, on_terminal: bool) -> str:
    """What is said of an interruption, with what to do; on a terminal below the ^C."""
    return f"{chr(10) if on_terminal else ''}vidstyle: interrupted{advice}"
