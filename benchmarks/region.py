"""What it saves to work on the part of a frame that can change alone: a step by the part's area, and a whole job.

    python -m benchmarks.region [step|job ...] [--size 640] [--rounds 3] [--clip CLIP] [--job-size 320] [--frames 6] [-- VIDSTYLE FLAGS]

`step`: a crop in the middle of a frame of 16:9, of the same shape, with the terms of a frame that follows; its objective and the whole's
take turns, step by step, on one core. The ratio is the median of those of the rounds, each of as many steps as one look at the deepest
layer serves; `going_through` is what it takes to go through the network once for what is held, in steps of the whole.

`job`: a photograph, and a small disc that flies over it; or frames of a clip. The command paints it with crops and without, in processes
of their own. `a_frame` is the processor's time of the job, less that of one of the first frame alone, over the frames that follow, with all
that belongs to them; `levels` is what the two films differ by, on the mean and at most.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.machine import describe_machine, print_table, run_measured, save
from benchmarks.quality import STYLE, frames_in, frames_of, own_and_flags
from benchmarks.scenes import photograph
from tests.scenes import Scene
from vidstyle.device import keep_freed_memory
from vidstyle.evaluate import objective_of
from vidstyle.media import read_style
from vidstyle.objective import Objective
from vidstyle.optimize import lbfgs
from vidstyle.pixels import to_tensor
from vidstyle.rectangle import Rectangle
from vidstyle.region import CropObjective, share_of_work
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer
from vidstyle.targets import content_targets
from vidstyle.terms import Reference, Region, build_terms

AREAS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7)
HOLD = 10
"""Evaluations that one look at the deepest layer serves."""
PAINTED = 20
"""Steps before, so that the deepest layer has as little of a say as in a film."""
WAYS = {"crop": "pass", "whole": "vidstyle.stylizer.pays = lambda *asked: False"}
PROGRAM = "import sys\nimport vidstyle.stylizer\nfrom vidstyle.cli import main\n{way}\nsys.exit(main(sys.argv[1:]))\n"


def seconds(work: Callable[[], object]) -> float:
    """Of the processor's time: what other work takes on the machine does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began


def of_processor() -> float:
    """Seconds of the processor's time that all processes have taken that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def middle(area: float, height: int, width: int) -> Rectangle:
    """A crop of that share of the frame, of its shape, in its middle."""
    rows, columns = (max(round(side * area**0.5), 1) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    return Rectangle(top, top + rows, left, left + columns, height, width)


def measure_steps(size: int, rounds: int) -> list[dict[str, Any]]:
    """Of a picture of size × 9/16 size."""
    height, width = size * 9 // 16, size
    settings = Settings.from_mapping({"run": {"device": "cpu"}})
    stylizer = Stylizer(settings, [read_style(STYLE)], (height, width))
    source = to_tensor(photograph(height, width))
    content = content_targets(stylizer.network, source, settings)
    regions = [Region(stylizer.targets(stylizer.size))]
    image = lbfgs(Objective(stylizer.network, build_terms(settings, content, regions), hold=HOLD), source, PAINTED).image
    reference = Reference(image, torch.ones(1, 1, height, width))
    terms = build_terms(settings, content, regions, [reference] * len(settings.temporal.references), reference)
    whole = Objective(stylizer.network, terms, hold=HOLD)
    crops = [middle(area, height, width) for area in AREAS]
    parts: list[CropObjective] = []
    going = []

    def build(crop: Rectangle) -> None:
        parts.append(CropObjective(stylizer.network, terms, image, crop, hold=HOLD))

    for crop in crops:
        going.append(seconds(partial(build, crop)))
    works = [partial(whole, image), *(partial(part, image[crop.index].contiguous()) for part, crop in zip(parts, crops, strict=True))]
    for work in works:
        work()
    taken = [[[seconds(work) for work in works] for _ in range(HOLD)] for _ in range(rounds)]
    times = np.array(taken).mean(axis=1)
    ratios = np.median(times / times[:, :1], axis=0)
    a_step = float(np.median(times[:, 0]))
    rows = [{"what": "step", "size": f"{width}×{height}", "area": 1.0, "work": 1.0, "seconds": round(a_step, 3), "ratio": 1.0}]
    for number, crop in enumerate(crops):
        rows.append(
            {"what": "step", "size": f"{width}×{height}", "area": AREAS[number], "work": round(share_of_work(crop, settings.layers), 3),
             "seconds": round(float(np.median(times[:, number + 1])), 3), "ratio": round(float(ratios[number + 1]), 3),
             "going_through": round(float(np.median(going)) / a_step, 2)}
        )  # fmt: skip
    return rows


def film(directory: Path, size: int, frames: int, clip: Path | None, first: int) -> Path:
    """Frames of a clip from the given one on; without one, a photograph and a disc that moves two pixels a frame."""
    directory.mkdir()
    if clip is not None:
        for frame in frames_of(clip, size)[first : first + frames]:
            cv2.imwrite(str(directory / f"{frame.index:04}.png"), frame.rgb[:, :, ::-1])
        return directory
    height = size * 9 // 16
    scene = Scene((height, size), photograph(2 * height, 2 * size), (0, 0), 1.0, 0.0, 0.05, (0.4, 0.6), (2.0, 0.5))
    for number in range(frames):
        cv2.imwrite(str(directory / f"{number:04}.png"), scene.frame(number)[:, :, ::-1])
    return directory


def measure_job(options: argparse.Namespace, flags: Sequence[str]) -> list[dict[str, Any]]:
    size = options.job_size
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) if options.keep is None else options.keep
        clip = film(base / "film", size, options.frames, options.clip, options.first)
        begins = film(base / "begins", size, 1, options.clip, options.first)

        def paint(source: Path, way: str) -> tuple[float, Path]:
            """What the processor's time of a job was, and where its frames are."""
            output = base / f"{way}_{source.name}"
            command = [sys.executable, "-c", PROGRAM.format(way=WAYS[way]), str(source), str(STYLE), "-o", str(output)]
            before = of_processor()
            run_measured([*command, "--size", str(size), "--log-json", str(output.with_suffix(".jsonl")), "-q", *flags])
            return of_processor() - before, output

        source = frames_of(clip, None)
        judge = Stylizer(Settings(), [read_style(STYLE)], source[0].rgb.shape[:2])
        beginning, _ = paint(begins, "whole")
        rows, films = [], []
        for way in WAYS:
            took, output = paint(clip, way)
            following = frames_in(output.with_suffix(".jsonl"))[1:]
            films.append(np.array([one.rgb for one in frames_of(output, None)], dtype=float))
            objective = objective_of(judge.network, films[-1][-1].astype(np.uint8), source[-1].rgb, judge.targets(judge.size))
            rows.append(
                {"what": "job", "clip": options.clip.name if options.clip else "disc", "first": options.first,
                 "size": "{1}×{0}".format(*judge.size), "way": way, "frames": options.frames, "flags": list(flags),
                 "job": round(took, 1), "beginning": round(beginning, 1), "a_frame": round((took - beginning) / (options.frames - 1), 2),
                 "steps": round(float(np.mean([one["steps"] for one in following])), 1), "objective": round(objective)}
            )  # fmt: skip
    off = np.abs(films[0] - films[1])
    rows[0] |= {"ratio": round(rows[0]["a_frame"] / rows[1]["a_frame"], 3), "levels": [round(float(off.mean()), 3), float(off.max())]}
    return rows


def main() -> None:
    arguments, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["step", "job"], help="step, job")
    parser.add_argument("--size", type=int, default=640, help="longer side of the frame for steps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job-size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--clip", type=Path, help="in place of the photograph and its disc")
    parser.add_argument("--first", type=int, default=0, help="of the clip's frames that are painted")
    parser.add_argument("--keep", type=Path, help="empty directory that keeps the job's frames")
    options = parser.parse_args(arguments)
    print(json.dumps(describe_machine()))
    keep_freed_memory()
    threads = torch.get_num_threads()
    rows: list[dict[str, Any]] = []
    for what in options.what:
        if what == "step":
            torch.set_num_threads(1)  # threads that wait for each other take the processor's time too
            rows += measure_steps(options.size, options.rounds)
            torch.set_num_threads(threads)
        else:
            rows += measure_job(options, flags)
        print_table([row for row in rows if row["what"] == what])
        path = save("region", rows, "what", "clip", "first", "size", "area", "way", "frames", "flags")
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
