"""What is shown while a job runs."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from vidstyle.cli.terminal import say
from vidstyle.progress import Outlook, ProgressBar
from vidstyle.words import duration

if TYPE_CHECKING:
    from vidstyle.pipeline import FrameReport

__all__ = ["Shown", "doing", "progress_of"]


def _say_what_begins(total: int | None, done: float, needs: str, of: str) -> None:
    say(f"vidstyle: {of}{needs}")
    if done >= 1:
        which, verb = ("frame 1", "is") if int(done) == 1 else (f"frames 1–{int(done)}", "are")
        say(f"vidstyle: {which}{'' if total is None else f' of {total}'} {verb} done, going on")


class _Bar(ProgressBar):
    """Progress on a terminal, taken away at the end."""

    ENDS_WITH_THE_LAST = False
    _of = ""

    def job(self, name: str) -> None:
        """Which job of a batch begins."""
        self._of = f"{name}: "

    def start(self, total: int | None, done: float, needs: str) -> None:
        """A job begins; `done` of its `total` frames lie in the workspace already."""
        self.close()
        _say_what_begins(total, done, needs, self._of)
        super().start(total, done, needs)

    def _made(self, total: int | None, done: float) -> tqdm[Any]:
        return tqdm(total=total, initial=done, file=sys.stderr, leave=False, bar_format=self.FORMAT, **_width())


class _Lines:
    """Progress into a file or pipe: a plain line at the first frame, once the time that is left is known, and every half minute."""

    EVERY = 30.0
    _of = ""

    def job(self, name: str) -> None:
        """Which job of a batch begins."""
        self._of = f"{name}: "

    def __init__(self) -> None:
        self._total: int | None = None
        self._done = self._said = 0.0
        self._foretold: float | None = None
        self._outlook = Outlook()

    def start(self, total: int | None, done: float, needs: str) -> None:
        """A job begins; `done` of its `total` frames lie in the workspace already."""
        _say_what_begins(total, done, needs, self._of)
        self._total, self._done, self._said, self._foretold = total, done, float("-inf"), None
        self._outlook = Outlook()

    def step(self, fraction: float, objective: float) -> None:
        """Parts of a frame are not worth a line."""

    def frame(self, report: FrameReport) -> None:
        """A painting is finished."""
        self._done += report.share
        self._outlook.frame(report)
        now = time.monotonic()
        to_do = max(self._total - self._done, 0) if self._total else 0
        last = self._total is not None and to_do < 1e-6
        seconds = self._outlook.seconds_for(to_do)
        is_news = seconds is not None and self._foretold is None
        if not last and now - self._said < self.EVERY and not is_news:
            return
        self._said, self._foretold = now, seconds
        left = "" if last or seconds is None or not to_do else f", about {duration(seconds, exactly=False)} left"
        say(f"vidstyle: {self._of}frame {round(self._done, 1):g} of {self._total or '?'}, loss {report.objective:.4g}{left}")

    def close(self) -> None:
        """Nothing to take away."""


class _Silent:
    """No progress: `-q`."""

    def start(self, total: int | None, done: float, needs: str) -> None:
        """Shows nothing."""

    def step(self, fraction: float, objective: float) -> None:
        """Shows nothing."""

    def frame(self, report: FrameReport) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing to take away."""


Shown = _Bar | _Lines | _Silent


def progress_of(quiet: bool) -> Shown:
    """What fits the terminal, or file, that stderr is."""
    if quiet:
        return _Silent()
    return _Bar() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else _Lines()


@contextlib.contextmanager
def doing(quiet: bool) -> Iterator[Callable[[str], object]]:
    """What is to be called with what is being done: on a terminal one line, which is taken away at the end, elsewhere a line each."""
    if quiet:
        yield lambda what: None
    elif isinstance(progress_of(quiet), _Bar):
        with tqdm(file=sys.stderr, leave=False, bar_format="vidstyle: {desc} [{elapsed}]", **_width()) as line:
            yield line.set_description_str
    else:
        yield lambda what: say(f"vidstyle: {what}")


def _width() -> dict[str, Any]:
    return {"dynamic_ncols": True} if _has_size(sys.stderr) else {"ncols": 80, "nrows": 24}


def _has_size(terminal: TextIO) -> bool:
    """Whether the terminal tells its size; under `script` and in some containers it is 0×0, where tqdm shows nothing."""
    try:
        return all(os.get_terminal_size(terminal.fileno()))
    except (OSError, ValueError):
        return False
