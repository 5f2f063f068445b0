"""Whether a large picture or film keeps to the memory it is allowed: its peak beside the estimate that is told before the start.

    python -m benchmarks.large [--size 3840x2160] [--frames 3] [--memory 8GB] [--steps 2] [--keep DIRECTORY]

A film is some frames of `bbb_run_cut`, enlarged, each of which refers to all before; one frame is a picture, `china.jpg`, enlarged
and cropped. It is painted by the command, which chooses the way by `--memory` itself, with so many steps a frame (at every size of a first
one). They are few, and L-BFGS remembers four, so that these are there in the end: what is seen here is memory, not a finished painting. The
time of a step is the mean over all, those at coarse sizes counted by their pixels.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import cv2

from benchmarks.machine import run_measured, save
from benchmarks.quality import STYLE
from vidstyle.media import open_source
from vidstyle.memory import allowed_memory, estimate_memory, way_within
from vidstyle.settings import RunSettings, Settings
from vidstyle.stylizer import pyramid

HISTORY = 4
MEDIA = Path(__file__).resolve().parent / "media"


def sources(directory: Path, width: int, height: int, frames: int) -> Path:
    """The picture, or the directory of frames."""
    if frames == 1:
        photo = cv2.imread(str(MEDIA / "china.jpg"))
        scale = max(width / photo.shape[1], height / photo.shape[0])
        enlarged = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(directory / "source.png"), enlarged[:height, :width])
        return directory / "source.png"
    film = directory / "source"
    film.mkdir()
    with open_source(MEDIA / "bbb_run_cut.mp4", RunSettings(start="6f", end=f"{6 + frames}f")) as medium:
        for frame in medium.frames():
            enlarged = cv2.resize(frame.rgb, (width, height), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(film / f"{frame.index:04}.png"), cv2.cvtColor(enlarged, cv2.COLOR_RGB2BGR))
    return film


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--memory", default="8GB")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where what was painted is put")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    references = list(range(1, max(given.frames, 2)))
    optimize = {"history": HISTORY, "carried": HISTORY}
    settings = Settings.from_mapping({"temporal": {"references": references}, "run": {"memory": given.memory}, "optimize": optimize})
    way = way_within(height, width, settings, allowed_memory(settings), given.frames > 1)
    if way is None:
        sys.exit(f"{given.size} does not fit into {given.memory}")
    estimate = estimate_memory(height, width, settings, way, film=given.frames > 1) / 2**20
    with tempfile.TemporaryDirectory() as scratch:
        source = sources(Path(scratch), width, height, given.frames)
        output = Path(scratch) / ("painted.png" if given.frames == 1 else "painted/")
        steps = ["--first-iterations", str(given.steps), "--iterations", str(given.steps), "--tolerance", "0", "--least-gain", "0"]
        steps += ["--history", str(HISTORY), "--carried", str(HISTORY)]
        allowed = ["--memory", given.memory, "--references", *map(str, references), "--size", str(max(width, height))]
        where = str(output) if given.frames == 1 else f"{output}/"
        seconds, peak = run_measured([sys.executable, "-m", "vidstyle", str(source), str(STYLE), "-o", where, *steps, *allowed])
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
            for path in output.iterdir() if output.is_dir() else [output]:
                shutil.copy(path, given.keep)
    coarse = sum(one * other for one, other in pyramid((height, width))) / (height * width)
    row = {
        "size": given.size,
        "megapixels": round(width * height / 1e6, 2),
        "frames": given.frames,
        "memory": given.memory,
        "way": way.text,
        "steps": given.steps,
        "peak_mib": round(peak),
        "estimate_mib": round(estimate),
        "ratio": round(estimate / peak, 3),
        "seconds": round(seconds, 1),
        "seconds_a_step": round(seconds / (given.steps * (coarse + given.frames - 1)), 1),
    }
    print(row)
    save("large", [row], "size", "frames", "memory")


if __name__ == "__main__":
    main()
