"""Where the commands begin: `vidstyle`, which is `python -m vidstyle` too, and `vidstyle-eval`."""

from __future__ import annotations

import contextlib
import os
import sys

from vidstyle.starting import INTERRUPTED, ended, loading, patient_threads

__all__ = ["evaluate", "main"]


def main() -> int:
    """The command `vidstyle`; returns its exit code."""
    _fill_streams()
    patient_threads()
    with loading():
        from vidstyle.cli import main as command

        code = command()
    return _ended(code)


def evaluate() -> int:
    """The command `vidstyle-eval`; returns its exit code."""
    _fill_streams()
    patient_threads()
    with loading():
        from vidstyle.cli.evaluate import main as command

        code = command()
    return _ended(code)


def _fill_streams() -> None:
    """Has standard streams that the shell has closed (`>&-`) lead nowhere; `sys.__stdout__` still tells, by being None.

    Libraries ask them whether they are a terminal, and print by their numbers, which the next file that is opened would get.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    nowhere = os.fdopen(descriptor, "w")
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere


def _ended(code: int) -> int:
    """The exit code, if there is no hurry: Python would wait for threads that look at the motion of frames to come."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    ended(code)
    if code == INTERRUPTED:
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
