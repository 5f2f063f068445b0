"""Whether a shot that was painted in parts (`--divide`) shows where they meet.

    python -m benchmarks.joints [CLIP ...] [--style STYLE] [--divide 24] [--size 320] [--frames 74] [-- VIDSTYLE FLAGS]

Each clip is painted once in parts and once as a whole, by the command. Then, along the flow of the source (`--flow dis`, where it can be
trusted), the warping error from every frame to the one before, over the source's own: the mean over the joints, the mean over the frames
inside, and their ratio, which is 1 where nobody can tell. In the film that was painted as a whole the same places are looked at, for
comparison: a joint may lie where more moves than elsewhere.
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


def errors(clip: Path, output: Path, run: RunSettings) -> list[tuple[float, float] | None]:
    """Warping errors of source and paintings from each frame to the one before; None at cuts."""
    job = json.loads((workspace_path(output) / "job.json").read_text())
    found: list[tuple[float, float] | None] = []
    flows = make_flows("dis")
    with open_source(clip, run) as medium, Workspace.open(workspace_path(output), job["fingerprint"], manner=job["manner"]) as kept:
        for shot in split_shots(medium.frames()):
            before = None
            for frame in shot.frames:
                if before is None:
                    found.append(None)
                else:
                    flow, back = flows(frame, before), flows(before, frame)
                    trust = consistency(flow, back).reliable.astype(np.float32)
                    pair = kept.frame(frame.index), kept.frame(before.index)
                    found.append((warping_error(frame.rgb, before.rgb, flow, trust), warping_error(*pair, flow, trust)))
                before = frame
    return found


def starts(output: Path) -> list[bool]:
    job = json.loads((workspace_path(output) / "job.json").read_text())
    with Workspace.open(workspace_path(output), job["fingerprint"], manner=job["manner"]) as kept:
        return [bool(record["shot_start"]) for record in kept.records()]


def ratio(found: list[tuple[float, float] | None], places: list[int]) -> float:
    """Mean error of the paintings over that of the source."""
    pairs = [pair for place in places if (pair := found[place]) is not None]
    return float(np.sum([result for _, result in pairs]) / np.sum([own for own, _ in pairs]))


def measure(clip: Path, style: Path, divide: int, size: int, frames: int, flags: list[str], directory: Path) -> dict[str, Any]:
    run = RunSettings(size=size, end=f"{frames}f")
    common = [str(clip), str(style), "--size", str(size), "--end", f"{frames}f", "--keep-workspace", "-q", "-y", *flags]
    found = {}
    for name, more in (("whole", []), ("parts", ["--divide", str(divide)])):
        output = directory / f"{clip.stem}-{name}.mkv"
        run_measured([sys.executable, "-m", "vidstyle", *common, "-o", str(output), *more])
        found[name] = errors(clip, output, run)
    parts = starts(directory / f"{clip.stem}-parts.mkv")
    joints = [place for place, start in enumerate(parts) if start and found["parts"][place] is not None]
    inside = [place for place, start in enumerate(parts) if not start]
    near = [place for place in inside if any(0 < joint - place <= 24 for joint in joints)]
    row: dict[str, Any] = {"clip": clip.name, "divide": divide, "size": size, "flags": flags, "joints": joints}
    for name, errors_ in found.items():
        row[name] = {what: ratio(errors_, where) for what, where in (("joints", joints), ("inside", inside), ("approach", near))}
        row[name]["joints/inside"] = row[name]["joints"] / row[name]["inside"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=CLIPS)
    parser.add_argument("--style", type=Path, default=ROOT / "sample_media" / "style.jpg")
    parser.add_argument("--divide", type=int, default=24)
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
