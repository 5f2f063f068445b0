"""What more steps a frame buy: seconds against objective and steadiness.

    python -m benchmarks.curve [CLIP ...] [--size 192] [--frames 14] [--ways "gain 0.001" draft]

The first frame of a clip is painted once; the following ones are painted in this process, each time from there, with so many
steps for every frame (`--iterations N --least-gain 0`), until they gain less than a share (`--least-gain`), as `balanced`, the default,
as `draft` (without its quicker first frame), and as `fine` (in three passes, and with a first frame of its own).
The objective is the mean of the last two saved frames, each over that of 100 L-BFGS steps for it alone; warping errors are judged with DIS.
`docs/make_figures.py curve` draws what it writes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine, save
from benchmarks.quality import CLIPS, STYLE, frames_in, frames_of, per_frame_optimum
from vidstyle.evaluate import evaluate, objective_of
from vidstyle.flow import make_flows
from vidstyle.frames import Frame
from vidstyle.guidance import Guide
from vidstyle.media import open_source, read_style
from vidstyle.pipeline import JobOptions, stylize
from vidstyle.plan import Step, plan
from vidstyle.settings import Settings, preset_values
from vidstyle.stylizer import Painted, Stylizer

STEPS = (3, 5, 7, 10, 14, 20, 36)
GAINS = (5e-4, 1e-3, 2e-3, 4e-3)
JUDGED = 2


def ways(run: dict[str, Any]) -> dict[str, Settings]:
    """Name → how the following frames are painted."""
    found = {f"{steps} steps": Settings.layered([run, {"optimize": {"iterations": steps, "least_gain": 0}}]) for steps in STEPS}
    found |= {f"gain {gain}": Settings.layered([run, {"optimize": {"least_gain": gain}}]) for gain in GAINS}
    return found | {name: Settings.layered([preset_values(name), run]) for name in ("balanced", "draft", "fine")}


def planned(clip: Path, settings: Settings) -> list[Step]:
    with open_source(clip, settings.run) as medium:
        flows = make_flows(settings.flow.estimator)
        return list(plan(medium, flows, Guide(settings, 1, medium.info, flows), settings.temporal, []))


def paint(stylizer: Stylizer, steps: Sequence[Step], first: Painted) -> tuple[list[Frame], list[float], list[int]]:
    """The frames as they are saved, and the seconds and the steps of each but the first."""
    painted, seconds, taken = [first], [], []
    for number, step in enumerate(steps[1:], start=1):
        began = time.perf_counter()
        earlier = {motion.distance: painted[number - motion.distance].picture for motion in step.motions}
        painted.append(stylizer.follow(step.frame, step.motions, earlier, painted[-1].state, guidance=step.guidance))
        seconds.append(time.perf_counter() - began)
        taken.append(painted[-1].steps)
    saved = [replace(step.frame, rgb=(one.picture / 257).round().astype(np.uint8)) for step, one in zip(steps, painted, strict=True)]
    return saved, seconds, taken


def paint_in_passes(clip: Path, settings: Settings) -> tuple[list[Frame], list[float], list[int]]:
    """The same of a whole job, each frame with all of its passes."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log.jsonl"
        stylize(clip, [STYLE], Path(scratch) / "frames", settings, JobOptions(log_json=log))
        following = frames_in(log)[1:]
        saved = frames_of(Path(scratch) / "frames", None)
    return saved, [line["seconds"] for line in following], [line["steps"] for line in following]


def measure(clip: Path, size: int, frames: int, chosen: Sequence[str]) -> list[dict[str, Any]]:
    run = {"run": {"size": size, "end": f"{frames}f"}}
    default = Settings.layered([run])
    plans = {default.flow.estimator: planned(clip, default)}
    source = [step.frame for step in plans[default.flow.estimator]]
    stylizer = Stylizer(default, [read_style(STYLE)], source[0].rgb.shape[:2])
    targets = stylizer.targets(stylizer.size)

    def cost(painted: Frame, at: int) -> float:
        return objective_of(stylizer.network, painted.rgb, source[at].rgb, targets)

    judged = range(frames - JUDGED, frames)
    optimum = {at: cost(replace(source[at], rgb=per_frame_optimum(stylizer, source[at].rgb)), at) for at in judged}
    first = stylizer.first(source[0])
    rows = []
    for name, settings in ways(run).items():
        if chosen and name not in chosen:
            continue
        if settings.temporal.passes > 1:
            painted, seconds, steps = paint_in_passes(clip, settings)
        else:
            if settings.flow.estimator not in plans:
                plans[settings.flow.estimator] = planned(clip, settings)
            stylizer.settings = settings
            painted, seconds, steps = paint(stylizer, plans[settings.flow.estimator], first)
        found = evaluate(source, painted, 24.0, make_flows("dis")).summary
        row = {
            "clip": clip.name, "size": size, "frames": frames, "way": name, "seconds_a_frame": round(float(np.median(seconds)), 2),
            "steps_a_frame": round(float(np.mean(steps)), 1),
            "objective": round(float(np.mean([cost(painted[at], at) / optimum[at] for at in judged])), 3),
            "norm1": round(found["gap1"]["norm"], 3), "norm10": round(found["gap10"]["norm"], 3),
        }  # fmt: skip
        rows.append(row)
        print(
            f"{clip.stem:16}{name:10}{row['seconds_a_frame']:7.2f} s{row['steps_a_frame']:7.1f} steps  objective {row['objective']:.3f}"
            f"  norm1 {row['norm1']:.3f}  norm10 {row['norm10']:.3f}",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=CLIPS)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--ways", nargs="+", default=[], metavar="WAY", choices=list(ways({})), help="these only: %(choices)s")
    options = parser.parse_args()
    print(json.dumps(describe_machine()))
    for clip in options.clips:
        rows = measure(clip, options.size, options.frames, options.ways)
        print(f"written: {save('curve', rows, 'clip', 'size', 'frames', 'way')}")


if __name__ == "__main__":
    main()
