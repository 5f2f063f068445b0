"""Two workers on two cores against one: the same film of four shots by this machine alone, by Ray and in shards.

    python -m benchmarks.workers [--size 320] [--frames 12] [--rounds 3] [-- VIDSTYLE FLAGS]

The shots are frames of `drone_city` and `bbb_run_cut`, each so many, of 16:9. Every way paints the film from nothing, by the command,
start and the writing of the output included; the ways take turns, and the ratio is the median over the rounds of what the first way took
over what this one did. A worker computes with as many threads as it has cores to itself: one where there are two, otherwise two; "one
worker, one thread" is what two of them are to be twice as fast as. The frames of ways with as many threads are compared.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from benchmarks.machine import print_table, save
from benchmarks.quality import CLIPS, STYLE, frames_of, own_and_flags

SHOTS = ((0, 0), (1, 0), (1, 36), (0, 40))
"""Clip and first frame of each; no two that follow one another are of one place."""
HEIGHT, WIDTH = 180, 320


@dataclass(frozen=True, slots=True)
class Way:
    """How the film is painted."""

    name: str
    threads: int
    """Of each process that paints."""
    run: Callable[[list[str], dict[str, str]], None]
    """Given the command and its environment."""


def alone(command: list[str], environment: dict[str, str]) -> None:
    """One process."""
    subprocess.run(command, env=environment, check=True)


def on_ray(count: int) -> Callable[[list[str], dict[str, str]], None]:
    """So many workers on a cluster of this machine's own."""

    def run(command: list[str], environment: dict[str, str]) -> None:
        subprocess.run([*command, "--workers", str(count), "--ray"], env=environment, check=True)

    return run


def shards(command: list[str], environment: dict[str, str]) -> None:
    """Two shards side by side, then joined."""
    halves = [subprocess.Popen([*command, "--shard", f"{number}/2"], env=environment) for number in (1, 2)]
    if any([half.wait() for half in halves]):  # both are waited for
        raise subprocess.SubprocessError("a shard failed")
    subprocess.run([*command[:3], "--join", command[command.index("-o") + 1], "-q"], env=environment, check=True)


WAYS = [
    Way("this machine alone, one thread", 1, alone),
    Way("this machine alone", 2, alone),
    Way("Ray, one worker, one thread", 1, on_ray(1)),
    Way("Ray, two workers", 1, on_ray(2)),
    Way("two shards, then joined", 1, shards),
]


def film(directory: Path, frames: int) -> Path:
    """The shots one after the other."""
    directory.mkdir()
    number = 0
    for clip, first in SHOTS:
        for frame in frames_of(CLIPS[clip], WIDTH)[first : first + frames]:
            cv2.imwrite(str(directory / f"{number:04}.png"), cv2.resize(frame.rgb, (WIDTH, HEIGHT))[:, :, ::-1])
            number += 1
    return directory


def main() -> None:
    own, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(own)
    taken: dict[str, list[float]] = {way.name: [] for way in WAYS}
    painted: dict[int, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        source, output = film(Path(scratch) / "film", given.frames), Path(scratch) / "painted"
        command = [sys.executable, "-m", "vidstyle", str(source), str(STYLE), "-o", f"{output}/", "--size", str(given.size), "-q", *flags]
        for _ in range(given.rounds):
            for way in WAYS:
                shutil.rmtree(output, ignore_errors=True)
                began = time.perf_counter()
                way.run(command, {**os.environ, "OMP_NUM_THREADS": str(way.threads)})
                taken[way.name].append(time.perf_counter() - began)
                frames = [path.read_bytes() for path in sorted(output.iterdir())]
                if painted.setdefault(way.threads, frames) != frames:
                    sys.exit(f"{way.name}: other frames than a way before it with as many threads")
    first = taken[WAYS[0].name]
    rows: list[dict[str, Any]] = [
        {
            "way": way.name,
            "threads": way.threads,
            "size": given.size,
            "shots": len(SHOTS),
            "frames": len(SHOTS) * given.frames,
            "flags": " ".join(flags),
            "seconds": round(statistics.median(taken[way.name]), 1),
            "times_as_fast": round(statistics.median(one / other for one, other in zip(first, taken[way.name], strict=True)), 2),
        }
        for way in WAYS
    ]
    save("workers", rows)
    print_table(rows)


if __name__ == "__main__":
    main()
