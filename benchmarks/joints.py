"""Whether a shot that was painted in parts (`--divide`) shows where they meet.

    python -m benchmarks.joints [CLIP ...] [--style STYLE] [--divide 48] [--size 320] [--frames 74] [-- VIDSTYLE FLAGS]

Each clip is painted once in parts and once as a whole, by the command. Then, along the flow of the source (`--flow dis`, where it can be
trusted), the warping error from every frame to the one before, over the source's own: the mean over the frames that pass from one part into
the next, with the one behind them, the loudest of them, the mean over all others, and the ratio of the means, which is 1 where nobody can
tell. In the film that was painted as a whole the same places are looked at, for comparison: a joint may lie where more moves than
elsewhere. So is sharpness, the mean difference of neighbouring pixels on 0-255 values, since a mixture of two paintings would be soft.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import run_measured, save
from vidstyle.flow import consistency, make_flows, warping_error
from vidstyle.media import open_source
from vidstyle.pipeline import workspace_path
from vidstyle.settings import RunSettings
from vidstyle.shots import split_shots
from vidstyle.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
CLIPS = [ROOT / "benchmarks" / "media" / "drone_city.mp4", ROOT / "sample_media" / "clip.mp4"]


Seen = tuple[float, float]
"""Warping errors of the source and of the paintings from a frame to the one before."""


def seen(clip: Path, output: Path, run: RunSettings) -> tuple[list[Seen | None], list[float], list[bool]]:
    """Of every frame the errors, None at cuts, the sharpness, and whether parts meet there."""
    job = json.loads((workspace_path(output) / "job.json").read_text())
    found: list[Seen | None] = []
    sharpness = []
    flows = make_flows("dis")
    with open_source(clip, run) as medium, Workspace.open(workspace_path(output), job["fingerprint"], manner=job["manner"]) as kept:
        last = {record["index"]: (number, record["passed"]) for number, record in enumerate(kept.records())}
        for shot in split_shots(medium.frames()):
            before = None
            for frame in shot.frames:
                own = kept.frame(last[frame.index][0])
                sharpness.append(float(sum(np.abs(np.diff(own / 257.0, axis=axis)).mean() for axis in (0, 1))))
                if before is None:
                    found.append(None)
                else:
                    flow, back = flows(frame, before), flows(before, frame)
                    trust = consistency(flow, back).reliable.astype(np.float32)
                    pair = own, kept.frame(last[before.index][0])
                    found.append((warping_error(frame.rgb, before.rgb, flow, trust), warping_error(*pair, flow, trust)))
                before = frame
    first_pass = min(passed for _, passed in last.values())
    return found, sharpness, [passed > first_pass for _, passed in last.values()]


def measure(clip: Path, style: Path, divide: int, size: int, frames: int, flags: list[str], directory: Path) -> dict[str, Any]:
    run = RunSettings(size=size, end=f"{frames}f")
    common = [str(clip), str(style), "--size", str(size), "--end", f"{frames}f", "--keep-workspace", "-q", "-y", *flags]
    found = {}
    for name, more in (("whole", []), ("parts", ["--divide", str(divide)])):
        output = directory / f"{clip.stem}-{name}.mkv"
        run_measured([sys.executable, "-m", "vidstyle", *common, "-o", str(output), *more])
        found[name] = seen(clip, output, run)
    again = found["parts"][2]
    joints = [place for place in range(1, len(again)) if again[place] or again[place - 1]]
    inside = [place for place, pair in enumerate(found["parts"][0]) if place not in joints and pair is not None]
    row: dict[str, Any] = {"clip": clip.name, "divide": divide, "size": size, "flags": flags, "joints": joints}
    for name, (errors, sharpness, _) in found.items():
        # Sums over sums: a frame that the source shows twice has hardly an error of its own, and a ratio that is nothing but large.
        (own, result), (own_inside, result_inside) = (np.array([errors[place] for place in where]).T for where in (joints, inside))
        row[name] = {
            "joints": float(result.sum() / own.sum()),
            "loudest": float(result.max() / own.mean()),
            "inside": float(result_inside.sum() / own_inside.sum()),
            "joints/inside": float(result.sum() / own.sum() / (result_inside.sum() / own_inside.sum())),
            "sharpness": float(np.mean([sharpness[place] for place in joints]) / np.mean([sharpness[place] for place in inside])),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=CLIPS)
    parser.add_argument("--style", type=Path, default=ROOT / "sample_media" / "style.jpg")
    parser.add_argument("--divide", type=int, default=48)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=74)
    options, unknown = parser.parse_known_args()
    flags = [flag for flag in unknown if flag != "--"]
    with tempfile.TemporaryDirectory() as scratch:
        rows = [measure(clip, options.style, options.divide, options.size, options.frames, flags, Path(scratch)) for clip in options.clips]
    for row in rows:
        print(f"{row['clip']}: joints at {row['joints']}")
        for name in ("whole", "parts"):
            print(f"  {name:6}", *(f"{what} {value:.2f}" for what, value in row[name].items()), sep="  ")
    save("joints", rows, "clip", "divide", "size", "flags")


if __name__ == "__main__":
    main()
