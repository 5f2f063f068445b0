"""What comes out of the same job again: the same bytes; and with another number of threads.

    python -m benchmarks.same [--clip CLIP] [--size 160] [--frames 24] [-- VIDSTYLE FLAGS]

The command paints the beginning of a clip twice with the threads that torch takes by itself, and once with each other number up to the
cores there are. Sums in another order are rounded otherwise, and an optimisation makes more of it from step to step and from frame to
frame. The figures are of the saved 8-bit frames, in levels of 255, and the objective of the last frame over that of the first job.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.machine import describe_machine, save
from benchmarks.quality import CLIPS, STYLE, frames_of, own_and_flags, stylise


def painted(clip: Path, size: int, flags: list[str], threads: int) -> tuple[np.ndarray[Any, np.dtype[np.int16]], float]:
    """The frames, (N, H, W, 3) RGB, and the objective of the last one."""
    with tempfile.TemporaryDirectory() as scratch, mock.patch.dict(os.environ, {"OMP_NUM_THREADS": str(threads)}):
        output = Path(scratch) / "painted"
        job = stylise(clip, STYLE, size, output, flags)
        return np.stack([frame.rgb for frame in frames_of(output, None)]).astype(np.int16), job["lines"][-1]["objective"]


def measure(clip: Path, size: int, flags: list[str]) -> list[dict[str, Any]]:
    own = torch.get_num_threads()
    first, objective = painted(clip, size, flags, own)
    rows = []
    for threads in [own, *(other for other in range(1, (os.cpu_count() or 1) + 1) if other != own)]:
        again, other = painted(clip, size, flags, threads)
        apart = np.abs(again - first)
        rows.append(
            {"clip": clip.stem, "size": size, "frames": len(first), "threads": own, "again_with": threads,
             "same_frames": int((apart.reshape(len(first), -1).max(axis=1) == 0).sum()),
             "mean": [round(float(apart[number].mean()), 3) for number in (0, len(first) // 2, -1)],
             "most": int(apart.max()), "objective": round(other / objective, 5)}
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    arguments, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args(arguments)
    print(json.dumps(describe_machine()))
    print("written:", save("same", measure(options.clip, options.size, ["--end", f"{options.frames}f", *flags])).name)


if __name__ == "__main__":
    main()
