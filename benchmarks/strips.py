"""Memory and time of the ways to work on a large picture: at once, its first blocks in strips, all of it in strips.

    python -m benchmarks.strips [job|step] [--sides 800 1200 …] [--ways whole recomputed strips half] [--strip 262144] [--steps 6]

`job`: each row is one picture of 4:3 painted by the command in a process of its own, in one way, with so many steps at every size of the
pyramid and a history of four pairs: its peak beside the estimate, and its seconds beside those of the first way of that size.

`step` (kept in strips_step.json): one look at the objective and its gradient by itself, on one core, each way in a process of its own,
since what the C library keeps of freed memory differs; the ways take turns. A round is as many steps as one look at the deepest layer
serves. Seconds are the processor's, the system's with them (fresh memory is cleared there), the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.machine import print_table, run_measured, save
from benchmarks.quality import STYLE
from benchmarks.scenes import photograph
from vidstyle.media import read_style
from vidstyle.memory import WHOLE, Way, estimate_memory
from vidstyle.optimize import lbfgs
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
from vidstyle.strips import Fold, objective_of
from vidstyle.stylizer import Stylizer
from vidstyle.targets import content_targets
from vidstyle.terms import Region, build_terms

HISTORY = 4
HOLD = 10
"""Evaluations that one look at the deepest layer serves."""
PAINTED = 10
"""Steps before, so that the deepest layer has as little of a say as later in a job."""
WAYS = {
    "whole": lambda pixels: WHOLE,
    "recomputed": lambda pixels: Way(Fold(3, pixels)),
    "strips": lambda pixels: Way(Fold(6, pixels)),
    "half": lambda pixels: Way(Fold(6, pixels), HISTORY, half=True),
}
PROGRAM = """
import sys
import vidstyle.pipeline
from vidstyle.cli import main
from vidstyle.memory import Way
way = Way.read(sys.argv[1])
vidstyle.pipeline.way_within = lambda *asked: way
sys.exit(main(sys.argv[2:]))
"""


def painted(side: int, way: Way, steps: int) -> tuple[float, float, Settings]:
    """Seconds and peak, in MiB, of one picture of side × ¾ side, and the settings it was made by."""
    flags = ["--first-iterations", str(steps), "--tolerance", "0", "--history", str(HISTORY), "--carried", "0"]
    settings = Settings.from_mapping({"optimize": {"history": HISTORY, "carried": 0}})
    small = np.random.default_rng(0).integers(0, 255, (side // 16, side // 12, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source.png"
        cv2.imwrite(str(source), cv2.resize(small, (side, side * 3 // 4), interpolation=cv2.INTER_CUBIC))
        command = [sys.executable, "-c", PROGRAM, way.text, str(source), str(STYLE), "-o", str(Path(scratch) / "painted.png"), "-q"]
        return *run_measured([*command, *flags]), settings


def serve(side: int, way: Way, pipe: Connection) -> None:
    """For every word through the pipe answers with the processor's seconds a step of one round."""
    torch.set_num_threads(1)
    height, width = side * 3 // 4, side
    settings = Settings.from_mapping({"run": {"device": "cpu"}, "optimize": {"history": HISTORY, "carried": 0}})
    stylizer = Stylizer(settings, [read_style(STYLE)], (height, width), way=way)
    source = to_tensor(photograph(height, width))
    terms = build_terms(settings, content_targets(stylizer.network, source, settings), [Region(stylizer.targets(stylizer.size))])
    objective = objective_of(stylizer.network, terms, way.fold, hold=HOLD)
    image = lbfgs(objective, source, PAINTED).image
    pipe.send(0.0)
    while pipe.recv():
        began = time.process_time()
        for _ in range(HOLD):
            objective(image)
        pipe.send((time.process_time() - began) / HOLD)


def measure_steps(side: int, names: Sequence[str], strip: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each way."""
    spawning = multiprocessing.get_context("spawn")
    pipes = []
    for name in names:
        here, there = spawning.Pipe()
        spawning.Process(target=serve, args=(side, WAYS[name](strip), there), daemon=True).start()
        here.recv()  # set up, one after the other: what a style takes at once is much
        pipes.append(here)
    taken: list[list[float]] = []
    for _ in range(rounds + 1):
        taken.append([])
        for pipe in pipes:
            pipe.send(True)
            taken[-1].append(pipe.recv())
    for pipe in pipes:
        pipe.send(False)
    times = np.array(taken[1:])
    ratios = np.median(times / times[:, :1], axis=0)
    return [
        {"way": name, "side": side, "megapixels": round(side * (side * 3 // 4) / 1e6, 2), "strip": strip, "rounds": rounds,
         "seconds": round(float(np.median(times[:, number])), 2), "ratio": round(float(ratios[number]), 3)}
        for number, name in enumerate(names)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["job", "step"], default="job")
    parser.add_argument("--sides", nargs="+", type=int, default=[800, 1200, 1600, 2400])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--strip", type=int, default=1 << 18, help="pixels of a strip")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.what == "step":
        for side in given.sides:
            found = measure_steps(side, given.ways, given.strip, given.rounds)
            save("strips_step", found, "way", "side", "strip")
            print_table(found)
        return
    rows: list[dict[str, Any]] = []
    for side in given.sides:
        first = None
        for name in given.ways:
            way = WAYS[name](given.strip)
            seconds, peak, settings = painted(side, way, given.steps)
            estimate = estimate_memory(side * 3 // 4, side, settings, way, film=False) / 2**20
            first = first or seconds
            rows.append(
                {
                    "way": name,
                    "side": side,
                    "megapixels": round(side * (side * 3 // 4) / 1e6, 2),
                    "strip": given.strip,
                    "steps": given.steps,
                    "peak_mib": round(peak),
                    "estimate_mib": round(estimate),
                    "ratio": round(estimate / peak, 3),
                    "seconds": round(seconds, 1),
                    "times_the_first": round(seconds / first, 3),
                }
            )
            print(rows[-1], flush=True)
            save("strips", rows, "way", "side", "strip", "steps")


if __name__ == "__main__":
    main()
