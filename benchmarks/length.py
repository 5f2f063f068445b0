"""What length costs: seconds a frame, memory and open files of a long job, from its beginning to its end.

    python -m benchmarks.length [--frames 2000] [--size 64] [-- VIDSTYLE FLAGS]

A photograph under a camera that goes to and fro without end, painted by the command as one shot. Seconds are the median of each
hundred frames by the job's own log; resident memory and open files are asked of the process twice a second. The slope of the memory is
that of a straight line through what was seen after the first fifth, over the frames that were painted meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import describe_machine, memory_mib, save
from benchmarks.quality import STYLE, own_and_flags, stylise
from vidstyle.media import read_style
from vidstyle.pixels import resized

PHOTO = STYLE.parent / "photo.jpg"
HUNDRED = 100
SETTLED = 0.2
"""Share of the job after which memory is to grow no more."""
EVERY = 0.5
"""Seconds between two looks at the process."""


def film(directory: Path, size: int, frames: int) -> Path:
    """Frames of size × ¾ size, the camera a pixel and a half further in each, to one side and back."""
    directory.mkdir()
    height = size * 3 // 4
    picture = resized(read_style(PHOTO), (height, 3 * size))
    way = 2 * size
    for number in range(frames):
        shift = way - abs(way - 1.5 * number % (2 * way))
        seen = cv2.warpAffine(picture, np.array([[1, 0, -shift], [0, 1, 0]]), (size, height), flags=cv2.INTER_CUBIC)
        cv2.imwrite(str(directory / f"{number:06}.png"), seen[:, :, ::-1])
    return directory


def measure(frames: int, size: int, flags: list[str]) -> dict[str, Any]:
    seen: list[tuple[float, float, int]] = []

    def look(process: int) -> None:
        now = time.monotonic()
        if not seen or now - seen[-1][0] > EVERY:
            with contextlib.suppress(OSError):  # it has just ended
                seen.append((now, memory_mib(process, "VmRSS"), len(os.listdir(f"/proc/{process}/fd"))))

    with tempfile.TemporaryDirectory() as scratch:
        job = stylise(film(Path(scratch) / "film", size, frames), STYLE, size, Path(scratch) / "painted", flags, look)
        ended = time.monotonic()
    seconds = [line["seconds"] for line in job["lines"]]
    begun = ended - np.cumsum(seconds[::-1])[::-1]  # the log says how long each frame took, and the job ends with the last of them
    settled = [(np.searchsorted(begun, at), memory, files) for at, memory, files in seen[int(len(seen) * SETTLED) : -4]]
    painted, memory, files = (np.array(column) for column in zip(*settled, strict=True))
    hundreds = [round(float(np.median(seconds[start : start + HUNDRED])), 4) for start in range(1, frames, HUNDRED)]
    return {
        "size": size, "frames": frames, "flags": flags, "seconds_a_frame": hundreds,
        "last_over_first": round(hundreds[-1] / hundreds[0], 3), "peak_mib": round(job["peak_mib"]),
        "slope_bytes_a_frame": round(float(np.polyfit(painted, memory, 1)[0]) * 2**20),
        "open_files": [int(files.min()), int(files.max())],
    }  # fmt: skip


def main() -> None:
    arguments, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args(arguments)
    print(json.dumps(describe_machine()))
    row = measure(options.frames, options.size, flags)
    print(json.dumps(row))
    print("written:", save("length", [row], "size", "frames", "flags").name)


if __name__ == "__main__":
    main()
