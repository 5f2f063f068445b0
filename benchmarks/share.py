"""Where a job's wall time goes: the network, and everything else.

    python -m benchmarks.share [--clip CLIP] [--size 320] [--from 1] [--frames 10] [--preset balanced]

Paints the beginning of a clip into a film in this process and counts, for ten frames from frame `--from` on (counted from 0), the
seconds that the painting thread spends in each part. From 40 on a frame has all the older ones that it refers to by default. What
runs in threads of its own, ahead (decoding, flow, masks) and behind (storing), costs what is waited for it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.machine import describe_machine, save
from benchmarks.quality import CLIPS, STYLE
from vidstyle import objective, optimize, pipeline, plan, stylizer, workspace
from vidstyle.pipeline import stylize
from vidstyle.settings import Settings, preset_values

PARTS: dict[str, tuple[Any, str]] = {
    "the network and the losses": (objective.Objective, "__call__"),
    "content targets": (stylizer, "content_targets"),
    "the optimiser's own arithmetic": (stylizer, "OPTIMIZERS"),
    "starts, references and the picture's crossings": (stylizer.Stylizer, "follow"),
    "handing the frame to the thread that stores it": (workspace.WritingBehind, "append"),
    "reading earlier frames": (workspace.WritingBehind, "frame"),
    "warping errors": (pipeline, "_warping_errors"),
    "writing the film": (pipeline, "_encode"),
}
"""What is counted → the function whose own time it is, without that of the others that it calls."""


class Clock:
    """Seconds of one thread in each part, those of parts inside it left out."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*arguments, **named)
            self._inside.append(0.0)
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                taken = time.perf_counter() - began
                self.seconds[name] += taken - self._inside.pop()
                if self._inside:
                    self._inside[-1] += taken

        return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first frame that counts")
    parser.add_argument("--frames", type=int, default=10, help="how many do")
    parser.add_argument("--preset", default="balanced")
    options = parser.parse_args()
    if options.first < 1:
        parser.error("the first frame of all is painted otherwise, and never counts: --from 1 or more")
    print(json.dumps(describe_machine()))
    clock = Clock()
    began = [0.0]

    class FromTheFirstThatCounts:
        def start(self, total: int | None, done: float, needs: str) -> None: ...

        def step(self, fraction: float, loss: float) -> None: ...

        def frame(self, report: Any) -> None:
            if report.index == options.first - 1 and report.passed == 1:
                clock.seconds.clear()
                began[0] = time.perf_counter()

    def waiting(steps: Any) -> Iterator[Any]:
        coming = plan.ahead(steps)
        following = clock.timed("waiting for decoding and flow", lambda: next(coming, None))
        while (step := following()) is not None:
            yield step

    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        for name, (owner, attribute) in PARTS.items():
            if attribute == "OPTIMIZERS":
                timed = {key: clock.timed(name, function) for key, function in optimize.OPTIMIZERS.items()}
                stack.enter_context(mock.patch.object(owner, attribute, timed))
            else:
                stack.enter_context(mock.patch.object(owner, attribute, method(clock, name, getattr(owner, attribute))))
        stack.enter_context(mock.patch.object(pipeline, "ahead", waiting))
        run = {"size": options.size, "end": f"{options.first + options.frames}f"}
        settings = Settings.layered([preset_values(options.preset), {"run": run}])
        stylize(options.clip, [STYLE], Path(scratch) / "out.mp4", settings, progress=FromTheFirstThatCounts())
        total = time.perf_counter() - began[0]
    clock.seconds["all the rest"] = total - sum(clock.seconds.values())
    job = {"clip": options.clip.name, "size": options.size, "frames": options.frames, "preset": options.preset}
    if options.first > 1:
        job["from"] = options.first
    rows = []
    for name, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        rows.append(job | {"part": name, "seconds": round(seconds, 3), "share": round(seconds / total, 4)})
        print(f"{name:50}{seconds:9.2f} s{seconds / total:8.1%}")
    print(f"{options.frames} frames in {total:.1f} s\nwritten: {save('share', rows, 'clip', 'size', 'from', 'preset')}")


def method(clock: Clock, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function, so that it is bound where it is a method."""
    timed = clock.timed(name, function)

    def call(*arguments: Any, **named: Any) -> Any:
        return timed(*arguments, **named)

    return call


if __name__ == "__main__":
    main()
