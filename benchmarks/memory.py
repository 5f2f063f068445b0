"""Peak memory of a job against the estimate that is checked before it starts.

    python -m benchmarks.memory [SIZE ...]

Each size is a square picture, and a film of it under a moving camera, painted by the command with enough steps to fill the
history of L-BFGS, and enough frames to refer to; the process's peak stands beside `pipeline.estimate_memory`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

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
FLAGS = ["--first-iterations", str(STEPS), "--iterations", str(STEPS), "--tolerance", "0", "--references", *map(str, REFERENCES)]
SETTINGS = Settings.from_mapping({"temporal": {"references": REFERENCES}})


def peak_mib(size: int, frames: int) -> float:
    """Peak resident memory, in MiB, of painting so many frames of size × size."""
    ground = np.random.default_rng(0).integers(0, 255, (size + FRAMES, size + FRAMES, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        source.mkdir()
        for number in range(frames):
            cv2.imwrite(str(source / f"{number}.png"), ground[number : number + size, number : number + size])
        return float(stylise(source, STYLE, size, Path(scratch) / "painted", FLAGS)["peak_mib"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[32, 256, 512])
    rows = []
    for size in parser.parse_args().sizes:
        estimated = estimate_memory(size, size, SETTINGS) / 2**20
        for frames in (1, FRAMES):
            measured = peak_mib(size, frames)
            rows.append(
                {"size": size, "frames": frames, "peak_mib": round(measured), "estimate_mib": round(estimated),
                 "ratio": round(estimated / measured, 3)}
            )  # fmt: skip
            print(
                f"{size}×{size}, frames {frames}: peak {measured:.0f} MiB, estimate {estimated:.0f} MiB, ratio {estimated / measured:.2f}",
                flush=True,
            )
    print("written:", save("memory", rows).name)


if __name__ == "__main__":
    main()
