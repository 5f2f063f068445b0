"""Peak memory of a job against the estimate that is checked before it starts, and what a step costs at each size.

    python -m benchmarks.memory [SIZE ...]

Each size is a square picture, and a film of it under a moving camera, painted by the command with enough steps to fill the
history of L-BFGS, and enough frames to refer to; the process's peak stands beside `pipeline.estimate_memory`, and the seconds of a
step (with everything else that a frame takes) of the film's later frames beside the size.
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
from vidstyle.pipeline import estimate_memory
from vidstyle.settings import Settings

STEPS = 23
"""More than L-BFGS' history."""
REFERENCES = (1, 2, 3, 4)
FRAMES = 7
FLAGS = ["--first-iterations", str(STEPS), "--iterations", str(STEPS), "--tolerance", "0"]
FLAGS += ["--least-gain", "0", "--references", *map(str, REFERENCES)]
SETTINGS = Settings.from_mapping({"temporal": {"references": REFERENCES}})


def job(size: int, frames: int) -> dict[str, Any]:
    """What painting so many frames of size × size took: see `benchmarks.quality.stylise`."""
    ground = np.random.default_rng(0).integers(0, 255, (size + FRAMES, size + FRAMES, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        source.mkdir()
        for number in range(frames):
            cv2.imwrite(str(source / f"{number}.png"), ground[number : number + size, number : number + size])
        return stylise(source, STYLE, size, Path(scratch) / "painted", FLAGS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[128, 256, 512])
    rows = []
    for size in parser.parse_args().sizes:
        estimated = estimate_memory(size, size, SETTINGS) / 2**20
        for frames in (1, FRAMES):
            done = job(size, frames)
            measured = done["peak_mib"]
            steps = [line["seconds"] / line["steps"] for line in done["lines"][1:]]
            rows.append(
                {"size": size, "frames": frames, "peak_mib": round(measured), "estimate_mib": round(estimated),
                 "ratio": round(estimated / measured, 3), "seconds_a_step": round(float(np.median(steps)), 3) if steps else None}
            )  # fmt: skip
            print(
                f"{size}×{size}, frames {frames}: peak {measured:.0f} MiB, estimate {estimated:.0f} MiB, ratio {estimated / measured:.2f}"
                + (f", {np.median(steps):.2f} s a step" if steps else ""),
                flush=True,
            )
    print("written:", save("memory", rows).name)


if __name__ == "__main__":
    main()
