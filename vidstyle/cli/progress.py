"""What is shown while a job runs."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from vidstyle.cli.terminal import say
from vidstyle.words import duration

if TYPE_CHECKING:
    from vidstyle.pipeline import FrameReport

__all__ = ["Outlook", "Shown", "progress_of"]


class Outlook:
    """How long the rest of a job will take.

    A shot's first frame takes many times as long as one that follows, so that a plain mean is wrong for a hundred frames. Each kind goes by
    the median of its last ones, and shots are taken to come as often as they have so far.
    """

    LAST = 30

    def __init__(self) -> None:
        self._first: deque[float] = deque(maxlen=self.LAST)
        self._following: deque[float] = deque(maxlen=self.LAST)
        self._paintings = self._shots = 0
        self._share = 1.0

    def frame(self, report: FrameReport) -> None:
        """A painting is finished."""
        starts = report.shot_start and report.passed == 1
        (self._first if starts else self._following).append(report.seconds)
        self._paintings += 1
        self._shots += starts
        self._share = report.share

    def seconds_for(self, frames: float) -> float | None:
        """For so many more; None as long as nothing is known."""
        if not self._following:
            return statistics.median(self._first) * frames if len(self._first) > 1 else None
        cuts = max(self._shots - 1, 0) / self._paintings  # the film's first frame is no cut
        first = statistics.median(self._first) if self._first else 0.0
        return frames / self._share * ((1 - cuts) * statistics.median(self._following) + cuts * first)


def _say_what_begins(total: int | None, done: float, needs: str) -> None:
    say(f"vidstyle: {needs}")
    if done >= 1:
        which, verb = ("frame 1", "is") if int(done) == 1 else (f"frames 1–{int(done)}", "are")
        say(f"vidstyle: {which}{'' if total is None else f' of {total}'} {verb} done, going on")


class _Bar:
    """Progress on a terminal: one line, rewritten, with part-done frames counted by their share."""

    FORMAT = "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt} frames [{elapsed}{postfix}]"

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._done = 0.0
        self._outlook = Outlook()

    def start(self, total: int | None, done: float, needs: str) -> None:
        """A job begins; `done` of its `total` frames lie in the workspace already."""
        self.close()
        _say_what_begins(total, done, needs)
        self._done, self._outlook = done, Outlook()
        width: dict[str, Any] = {"dynamic_ncols": True} if _has_size(sys.stderr) else {"ncols": 80, "nrows": 24}
        self._bar = tqdm(total=total, initial=done, file=sys.stderr, leave=False, bar_format=self.FORMAT, **width)

    def step(self, fraction: float, objective: float) -> None:
        """So much of a frame (0 to 1) is done of the painting in work."""
        self._show(self._done + min(max(fraction, 0.0), 1.0), objective)

    def frame(self, report: FrameReport) -> None:
        """A painting is finished."""
        self._done += report.share
        self._outlook.frame(report)
        self._show(self._done, report.objective)

    def close(self) -> None:
        """Takes the line away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, reached: float, objective: float) -> None:
        if self._bar is None:
            return
        left = None if self._bar.total is None else self._outlook.seconds_for(max(self._bar.total - reached, 0))
        about = "" if left is None else f"about {duration(left, exactly=False)} left, "
        self._bar.set_postfix_str(f"{about}loss {objective:.4g}", refresh=False)
        self._bar.update(max(reached - self._bar.n, 0))


class _Lines:
    """Progress into a file or pipe: a plain line at the first frame, once the time that is left is known, and every half minute."""

    EVERY = 30.0

    def __init__(self) -> None:
        self._total: int | None = None
        self._done = self._said = 0.0
        self._foretold: float | None = None
        self._outlook = Outlook()

    def start(self, total: int | None, done: float, needs: str) -> None:
        """A job begins; `done` of its `total` frames lie in the workspace already."""
        _say_what_begins(total, done, needs)
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
        say(f"vidstyle: frame {round(self._done, 1):g} of {self._total or '?'}, loss {report.objective:.4g}{left}")

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


def _has_size(terminal: TextIO) -> bool:
    """Whether the terminal tells its size; under `script` and in some containers it is 0×0, where tqdm shows nothing."""
    try:
        return all(os.get_terminal_size(terminal.fileno()))
    except (OSError, ValueError):
        return False
