"""What happens before there is a command: the seconds in which libraries are loaded.

A library whose import is interrupted half-way raises whatever it makes of that, or goes on without a part of itself. So Ctrl-C does
not wait for it: nothing has begun that could be lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["INTERRUPTED", "loading"]

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM."""


@contextmanager
def loading(advice: str = "") -> Iterator[None]:
    """While the block imports, Ctrl-C and SIGTERM end the process at once, with a word and `advice`; in the main thread, that is.

    Where the shell has them ignored, as it does Ctrl-C behind `&` in a script, they are.
    """

    def end(number: int, frame: FrameType | None) -> None:
        try:
            os.write(2, f"{chr(10) if os.isatty(2) else ''}vidstyle: interrupted{advice}\n".encode())
        finally:
            os._exit(INTERRUPTED)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            before[number] = signal.signal(number, end)
        except ValueError:  # not the main thread
            break
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
