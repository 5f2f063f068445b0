"""How far a job is, as a bar, and how long the rest will take."""

from __future__ import annotations

import statistics
from collections import deque
from typing import TYPE_CHECKING, Any

from vidstyle.words import duration

if TYPE_CHECKING:
    from tqdm import tqdm

    from vidstyle.pipeline import FrameReport

__all__ = ["Outlook", "ProgressBar"]


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


class ProgressBar:
    """Progress as a bar: `vidstyle.stylize(..., progress=vidstyle.ProgressBar())`.

    In a notebook it is a widget, in a terminal a line that is rewritten (`tqdm.auto`). Part-done frames count by their share. It ends with
    the last frame, or by `close`.
    """

    FORMAT = "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt} frames [{elapsed}{postfix}]"
    ROOM_FOR_ALL = 80
    """Columns of a terminal below which the loss is left out, so that there is a bar."""
    ENDS_WITH_THE_LAST = True

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._done = 0.0
        self._outlook = Outlook()

    def start(self, total: int | None, done: float, needs: str) -> None:
        """A job begins; `done` of its `total` frames lie in the workspace already."""
        self.close()
        self._done, self._outlook = done, Outlook()
        self._bar = self._made(total, done)

    def step(self, fraction: float, objective: float) -> None:
        """So much of a frame (0 to 1) is done of the painting in work."""
        self._show(self._done + min(max(fraction, 0.0), 1.0), objective)

    def frame(self, report: FrameReport) -> None:
        """A painting is finished."""
        self._done += report.share
        self._outlook.frame(report)
        self._show(self._done, report.objective)
        if self.ENDS_WITH_THE_LAST and self._bar is not None and self._bar.total and self._done > self._bar.total - 1e-6:
            self.close()

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _made(self, total: int | None, done: float) -> tqdm[Any]:
        from tqdm.auto import tqdm  # which looks whether this is a notebook when it is imported

        return tqdm(total=total, initial=done, bar_format=self.FORMAT)

    def _show(self, reached: float, objective: float) -> None:
        if self._bar is None:
            return
        left = None if self._bar.total is None else self._outlook.seconds_for(max(self._bar.total - reached, 0))
        words = [] if left is None else [f"about {duration(left, exactly=False)} left"]
        if (self._bar.format_dict["ncols"] or self.ROOM_FOR_ALL) >= self.ROOM_FOR_ALL:
            words.append(f"loss {objective:.4g}")
        self._bar.set_postfix_str(", ".join(words), refresh=False)
        self._bar.update(max(reached - self._bar.n, 0))
