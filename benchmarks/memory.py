"""Peak memory of a job against the estimate that is checked before it starts.

    python -m benchmarks.memory [SIZE ...]

Each size is a square picture, painted in a process of its own with enough steps at full size to fill the history of
L-BFGS; what is printed is the process's peak beside `pipeline.estimate_memory`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.machine import save
from vidstyle.pipeline import estimate_memory
from vidstyle.settings import Settings

STYLE = Path(__file__).parent.parent / "sample_media" / "style.jpg"
SETTINGS = Settings.from_mapping({"optimize": {"first_iterations": 23, "tolerance": 0}})


def peak_mb(size: int) -> float:
    """Peak resident memory, in MB, of painting a picture of size × size."""
    with tempfile.TemporaryDirectory() as scratch:
        photo = Path(scratch) / "photo.png"
        cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8))
        code = (
            "import resource, sys; from vidstyle import Settings, stylize_image; "
            f"stylize_image({str(photo)!r}, {str(STYLE)!r}, Settings.model_validate_json({SETTINGS.model_dump_json()!r})); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[32, 256, 512])
    rows = []
    for size in parser.parse_args().sizes:
        measured, estimated = peak_mb(size), estimate_memory(size, size, SETTINGS) / 2**20
        rows.append({"size": size, "peak_mb": round(measured), "estimate_mb": round(estimated), "ratio": round(estimated / measured, 3)})
        print(f"{size}×{size}: peak {measured:.0f} MB, estimate {estimated:.0f} MB, ratio {estimated / measured:.2f}", flush=True)
    print("written:", save("memory", rows).name)


if __name__ == "__main__":
    main()
