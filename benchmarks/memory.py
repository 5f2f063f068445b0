"""Peak memory of a job against the estimate that is checked before it starts.

    python -m benchmarks.memory [SIZE ...]

Each size is a square picture, and a film of it under a moving camera, painted by the command with enough steps to fill the
history of L-BFGS, and enough frames to refer to; the process's peak stands beside `memory.estimate_memory`. Above 512 pixels a side
there is only a film, of three frames that refer to two.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import save
from benchmarks.quality import STYLE, stylise
from vidstyle.memory import estimate_memory
from vidstyle.settings import Settings

STEPS = 23
"""More than L-BFGS' history."""
FLAGS = ["--first-iterations", str(STEPS), "--iterations", str(STEPS), "--tolerance", "0", "--least-gain", "0"]
LARGE = 512
JOBS = {1: (1, 2, 3, 4), 7: (1, 2, 3, 4)}, {3: (1, 2)}
"""Frames and references of what is painted up to `LARGE`, and above."""


def job(size: int, frames: int, references: tuple[int, ...]) -> dict[str, Any]:
    """What painting so many frames of size × size took: see `benchmarks.quality.stylise`."""
    ground = np.random.default_rng(0).integers(0, 255, (size + frames, size + frames, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        source.mkdir()
        for number in range(frames):
            cv2.imwrite(str(source / f"{number}.png"), ground[number : number + size, number : number + size])
        return stylise(source, STYLE, size, Path(scratch) / "painted", [*FLAGS, "--references", *map(str, references)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[128, 256, 448, 640, 810])
    rows = []
    for size in parser.parse_args().sizes:
        for frames, references in JOBS[size > LARGE].items():
            estimated = estimate_memory(size, size, Settings.from_mapping({"temporal": {"references": references}})) / 2**20
            done = job(size, frames, references)
            measured = done["peak_mib"]
            rows.append(
                {"size": size, "frames": frames, "peak_mib": round(measured), "estimate_mib": round(estimated),
                 "ratio": round(estimated / measured, 3)}
            )  # fmt: skip
            path = save("memory", rows)
            print(
                f"{size}×{size}, frames {frames}: peak {measured:.0f} MiB, estimate {estimated:.0f} MiB, ratio {estimated / measured:.2f}",
                flush=True,
            )
    print("written:", path.name)


if __name__ == "__main__":
    main()
