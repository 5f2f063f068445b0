"""What a cluster would make of a 90-minute film: a simulation from measured costs, for 1 to 256 workers.

    python -m benchmarks.scaling [--measure] [--clip CLIP]

Units are shots, or parts of them (`--divide`), handed to the next free worker, the longest first, as `--ray` does. A unit costs a walk
over its frames, its first frame, and those that follow; before that comes one walk over the film, which finds the shots, and each worker's
start; behind it the joining and the encoding of all frames. `--measure` measures these walks, the start and the joining, here and now
(`scaling_parts.json`); without it the figures kept are taken. What frames cost comes from `speed.json` (balanced, 320 px, two cores, two
clips). No GPU was at hand: for GPUs a number of frames a second is *assumed*, a first frame is taken to cost as many following ones as on
the CPU, and walk and joining are those of one CPU core, at 1024×436 of a film at 1920×818. They are measured as the time of all cores, so
that other work on the machine hardly matters, and simulated as if done by one. Flow, which is found on the CPU beside a GPU, is left out.

Shot lengths are those of the first 90 minutes of "Forrest Gump" (1994): 666 shots, 8.1 s on the mean, 4.8 s at the median, the longest
168 s. From: C. O. Häusler and M. Hanke, An annotation of cuts, depicted locations, and temporal progression in the motion picture "Forrest
Gump", F1000Research 2016, 5:2273 (data under CC0); kept here is a table of quantiles. A film cut twice as fast has the same lengths halved,
and twice as many. `docs/make_figures.py scaling` draws what this writes.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import describe_machine, print_table, save, saved
from benchmarks.quality import CLIPS, STYLE
from vidstyle.media import open_sink, open_source
from vidstyle.settings import RunSettings, Settings
from vidstyle.shots import split_shots
from vidstyle.units import divided
from vidstyle.workspace import Workspace

RATE, MINUTES = 24, 90
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DIVIDES = (None, 240)
GPU_RATES = (1, 24)
"""Frames that follow, a second, of a GPU at 1024×436; the last is the aim of docs/performance.md. None of them was measured."""
FASTER_HOST = 8
"""Times as fast as on one core that walk and joining are assumed to be once, on a host of many."""
LITTLE = 1.1
"""Less speed-up than this for twice the workers is called the end of scaling."""
QUANTILES = {
    0.0: 0.56, 0.01: 0.8, 0.05: 1.2, 0.1: 1.44, 0.2: 1.96, 0.3: 2.72, 0.4: 3.56, 0.5: 4.77, 0.6: 6.0, 0.7: 8.06, 0.8: 10.92, 0.9: 17.77,
    0.95: 24.75, 0.975: 36.04, 0.99: 51.82, 0.995: 62.68, 1.0: 168.16,
}  # fmt: skip
"""Share of the shots → seconds that they last at most."""
SHOTS = 666


@dataclass(frozen=True)
class Painter:
    """What a worker is, in seconds."""

    name: str
    first: float
    """A shot's first frame."""
    following: float
    walk: float
    """Of a frame: decoding, looking for cuts, a checksum."""
    join: float
    """Of a frame: reading and checking it, encoding it."""
    start: float
    """Of a worker, before it paints."""

    def cost(self, unit: tuple[int, bool]) -> float:
        """Of (frames, whether it is where parts meet: then it has no first frame, and reads the frame before)."""
        count, joins = unit
        return (count + joins) * self.walk + self.following * count + (0.0 if joins else self.first - self.following)


def shots(faster: int = 1) -> list[int]:
    """Frames of each shot of a film of 90 minutes, cut so many times as fast."""
    number = SHOTS * faster
    at = np.linspace(0, 1, number)
    seconds = np.exp(np.interp(at, list(QUANTILES), np.log(list(QUANTILES.values())))) / faster
    frames = seconds * MINUTES * 60 / seconds.sum() * RATE  # the table leaves out half a per cent
    return [max(round(count), 1) for count in frames]


def units(lengths: Sequence[int], divide: int | None) -> list[tuple[int, bool]]:
    """(frames, whether it is where parts meet) of every unit: shots of more than `divide` frames are divided evenly (`vidstyle.units`)."""
    found = []
    for count in lengths:
        parts, overlap = divided(count, divide)
        bounds = [count * part // parts for part in range(parts + 1)]
        for begin, end in pairwise(bounds):
            found += [(end - begin, False), *([(overlap, True)] if begin and overlap else [])]
    return found


def makespan(parts: Sequence[tuple[int, bool]], costs: Sequence[float], workers: int) -> float:
    """Until the last worker is done, where whoever is free takes the longest that is left, but a joint not before the parts beside it."""
    behind: dict[int, list[int]] = {}
    waits = dict[int, int]()
    so_far = list[int]()
    for number, (_, joins) in enumerate(parts):
        if joins:
            for one in so_far[-2:]:
                behind.setdefault(one, []).append(number)
            waits[number] = 2
        else:
            so_far.append(number)
    ready = [(-costs[number], number) for number in range(len(parts)) if number not in waits]
    heapq.heapify(ready)
    now, running, free = 0.0, list[tuple[float, int]](), workers
    while ready or running:
        while ready and free:
            cost, number = heapq.heappop(ready)
            heapq.heappush(running, (now - cost, number))
            free -= 1
        now, done = heapq.heappop(running)
        free += 1
        for number in behind.get(done, ()):
            waits[number] -= 1
            if not waits[number]:
                heapq.heappush(ready, (-costs[number], number))
    return now


def simulate(painter: Painter, film: str, lengths: Sequence[int], divide: int | None) -> list[dict[str, Any]]:
    """A row a number of workers."""
    parts = units(lengths, divide)
    costs, frames = [painter.cost(unit) for unit in parts], sum(lengths)
    serial = frames * painter.walk + frames * painter.join
    rows, alone = [], 0.0
    for workers in WORKERS:
        painting = painter.start + makespan(parts, costs, workers)
        alone = alone or serial + painting
        rows.append({
            "film": film, "painter": painter.name, "divide": divide, "workers": workers, "units": len(parts),
            "hours": round((serial + painting) / 3600, 3), "speed_up": round(alone / (serial + painting), 2),
            "idle": round(1 - sum(costs) / (workers * (serial + painting)), 4),
            "idle_while_painting": round(1 - sum(costs) / (workers * painting), 4),
            "worker_hours": round(workers * painting / 3600, 2), "serial_hours": round(serial / 3600, 3),
            "longest_hours": round(max(costs) / 3600, 3),
        })  # fmt: skip
    return rows


def end_of_scaling(rows: Sequence[dict[str, Any]]) -> int | None:
    """The number of workers from which twice as many gain little; None where that is not reached."""
    return next((few["workers"] for few, many in pairwise(rows) if few["hours"] < LITTLE * many["hours"]), None)


# --- what is measured


def measure(clip: Path) -> dict[str, Any]:
    """Walks, joining and starts, on this machine."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        large = enlarged(clip, Path(scratch) / "large.mp4")
        for name, source, size in (("320", clip, 320), ("1024x436", large, 1024)):
            run = RunSettings(size=size)
            found[f"walk_{name}"] = min(walk(source, run) for _ in range(3))
            found[f"join_{name}"] = min(join(source, run, Path(scratch)) for _ in range(3))
    found["start_320"] = statistics.median(start() for _ in range(3))
    found["actor"] = actor()
    return {key: None if value is None else round(value, 5) for key, value in found.items()}


def enlarged(clip: Path, path: Path) -> Path:
    """The clip at 1920×818, as H.264 of usual quality."""
    with open_source(clip, RunSettings()) as medium:
        frames = list(medium.frames())
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"crf": "20"})
            stream.width, stream.height, stream.pix_fmt = 1920, 818, "yuv420p"
            for frame in frames:
                height = round(frame.rgb.shape[1] * 818 / 1920)
                top = (frame.rgb.shape[0] - height) // 2
                rgb = cv2.resize(frame.rgb[top : top + height], (1920, 818), interpolation=cv2.INTER_CUBIC)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
            container.mux(stream.encode())
    return path


def walk(clip: Path, run: RunSettings) -> float:
    """Core-seconds a frame of the walk that finds the shots."""
    began, count = time.process_time(), 0
    with open_source(clip, run) as medium:
        for shot in split_shots(medium.frames()):
            for frame in shot.frames:
                zlib.crc32(frame.rgb.tobytes())
                count += 1
    return (time.process_time() - began) / count


def join(clip: Path, run: RunSettings, scratch: Path) -> float:
    """Core-seconds a frame of checking the frames of a workspace, reading and encoding them."""
    with open_source(clip, run) as medium, tempfile.TemporaryDirectory(dir=scratch) as directory:
        place = Path(directory) / "out.mp4.vidstyle"
        with Workspace.open(place, {"the input": "1"}) as workspace:
            frames = list(medium.frames())
            for frame in frames:
                workspace.append(workspace.done, frame.rgb.astype(np.uint16) * 257, {}, {}, afresh=True)
        began = time.process_time()
        with (
            Workspace.open(place, {"the input": "1"}) as workspace,
            open_sink(Path(directory) / "out.mp4", medium.info, Settings().encode, clip, run) as sink,
        ):
            for number, frame in enumerate(frames):
                sink.write(workspace.frame(number), frame.pts, Fraction(frame.time_base))
        return (time.process_time() - began) / len(frames)


def start() -> float:
    """Seconds until a new process could paint its first frame: libraries, network, statistics of the style."""
    code = (
        "import sys; from pathlib import Path; from vidstyle.media import open_source; from vidstyle.pipeline import make_stylizer; "
        "from vidstyle.settings import RunSettings, Settings; m = open_source(Path(sys.argv[1]), RunSettings(size=320)); "
        "make_stylizer(Settings(), [Path(sys.argv[2])], m.info)"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(CLIPS[0]), str(STYLE)], check=True)
    return time.perf_counter() - began


def actor() -> float | None:
    """Seconds until a Ray actor answers on a cluster that runs; None without ray."""
    try:
        import ray
    except ImportError:
        return None

    class Nothing:
        def answer(self) -> int:
            return 1

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        taken = []
        for _ in range(3):
            began = time.perf_counter()
            ray.get(ray.remote(Nothing).options(num_cpus=1).remote().answer.remote())
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)
    finally:
        ray.shutdown()


def painters(parts: dict[str, Any]) -> list[Painter]:
    """Two CPU cores as they were measured, and GPUs as they are assumed."""
    rows = [row for row in saved("speed") if row["program"] == "vidstyle, balanced" and row["size"] == 320]
    first = statistics.mean(row["first_frame"] for row in rows)
    following = statistics.mean(row["seconds_a_frame"] for row in rows)
    begun = parts["start_320"] + (parts["actor"] or 0.0)
    cpu = Painter("two CPU cores, 320 px, measured", first, following, parts["walk_320"], parts["join_320"], begun)
    gpus = [
        Painter(
            f"GPU, 1024×436, assumed {rate}/s", first / following / rate, 1 / rate, parts["walk_1024x436"], parts["join_1024x436"], begun
        )
        for rate in GPU_RATES
    ]
    hosted = replace(gpus[-1], name=f"{gpus[-1].name}, walk and joining {FASTER_HOST} times as fast, assumed")
    return [cpu, *gpus, replace(hosted, walk=hosted.walk / FASTER_HOST, join=hosted.join / FASTER_HOST)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure walks, joining and starts anew")
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    options = parser.parse_args()
    print(json.dumps(describe_machine()))
    if options.measure:
        save("scaling_parts", [{"clip": options.clip.name, **measure(options.clip)}])
    parts = saved("scaling_parts")[0]
    print(json.dumps(parts))
    rows = []
    for film, faster in (("as cut", 1), ("cut twice as fast", 2)):
        lengths = shots(faster)
        for painter in painters(parts):
            print(f"{painter.name}: first frame {painter.first:.2f} s, following {painter.following:.3f} s")
            for divide in DIVIDES:
                own = simulate(painter, film, lengths, divide)
                rows += own
                print_table(own)
                print(f"twice as many gain less than a tenth from {end_of_scaling(own)} on")
    print(f"written: {save('scaling', rows)}")


if __name__ == "__main__":
    main()
