"""Memory and time of the ways to work on a large picture: at once, its first blocks in strips, all of it in strips.

    python -m benchmarks.strips [--sides 800 1200 …] [--ways whole recomputed strips half] [--steps 6]

Each row is one picture of 4:3 painted by the command in a process of its own, in one way, with so many steps at every size of the
pyramid and a history of four pairs: its peak beside the estimate, and its seconds beside those of the first way of that size.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import run_measured, save
from benchmarks.quality import STYLE
from vidstyle.memory import WHOLE, Way, estimate_memory
from vidstyle.settings import Settings
from vidstyle.strips import Fold

HISTORY = 4
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", type=int, default=[800, 1200, 1600, 2400])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--strip", type=int, default=1 << 18, help="pixels of a strip")
    parser.add_argument("--steps", type=int, default=6)
    given = parser.parse_args()
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
