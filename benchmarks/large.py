"""Whether a large picture or film keeps to the memory it is allowed: its peak beside the estimate that is told before the start.

    python -m benchmarks.large [--size 3840x2160] [--frames 3] [--memory 8GB] [--steps 2] [--keep DIRECTORY]
    python -m benchmarks.large --source FILE [--memory 8GB] [--steps 1] [--first-steps 4] [--keep DIRECTORY]

Of a `--source`, a picture or a film, all is painted, at its own size, with the program's own references and history. Without one, a
film is some frames of `bbb_run_cut`, enlarged, each of which refers to all before; one frame is a picture, `china.jpg`, enlarged and
cropped. It is painted by the command, which chooses the way by `--memory` itself, with so many steps a frame (at every size of a first
one, `--first-steps` there if given). They are few, and without a source L-BFGS remembers four, so that these are there in the end: what
is seen here is memory, not a finished painting. The time of a step is the mean over all, those at coarse sizes counted by their pixels.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

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
    parser.add_argument("--source", type=Path)
    parser.add_argument("--memory", default="8GB")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--first-steps", type=int)
    parser.add_argument("--keep", type=Path, help="where what was painted is put")
    given = parser.parse_args()
    first_steps = given.first_steps or given.steps
    flags = ["--first-iterations", str(first_steps), "--iterations", str(given.steps), "--tolerance", "0", "--least-gain", "0"]
    values: dict[str, Any] = {"run": {"memory": given.memory}}
    if given.source is not None:
        with open_source(given.source, RunSettings()) as medium:
            sizes = [frame.rgb.shape for frame in medium.frames()]
        (height, width, _), frames = sizes[0], len(sizes)
    else:
        (width, height), frames = map(int, given.size.split("x")), given.frames
        references = list(range(1, max(frames, 2)))
        values |= {"temporal": {"references": references}, "optimize": {"history": HISTORY, "carried": HISTORY}}
        flags += ["--history", str(HISTORY), "--carried", str(HISTORY), "--references", *map(str, references)]
    settings = Settings.from_mapping(values)
    way = way_within(height, width, settings, allowed_memory(settings), frames > 1)
    if way is None:
        sys.exit(f"{width}x{height} does not fit into {given.memory}")
    estimate = estimate_memory(height, width, settings, way, film=frames > 1) / 2**20
    with tempfile.TemporaryDirectory() as scratch:
        source = given.source or sources(Path(scratch), width, height, frames)
        output = Path(scratch) / ("painted.png" if frames == 1 else "painted.mp4" if source.is_file() else "painted")
        command = [sys.executable, "-m", "vidstyle", str(source), str(STYLE), "-o", str(output) if output.suffix else f"{output}/"]
        seconds, peak = run_measured([*command, *flags, "--memory", given.memory, "--size", str(max(width, height))])
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
            for path in output.iterdir() if output.is_dir() else [output]:
                shutil.copy(path, given.keep)
    coarse = sum(one * other for one, other in pyramid((height, width))) / (height * width)
    row = {
        "source": given.source.name if given.source is not None else "enlarged",
        "size": f"{width}x{height}",
        "megapixels": round(width * height / 1e6, 2),
        "frames": frames,
        "memory": given.memory,
        "way": way.text,
        "steps": given.steps,
        "first_steps": first_steps,
        "peak_mib": round(peak),
        "estimate_mib": round(estimate),
        "ratio": round(estimate / peak, 3),
        "seconds": round(seconds, 1),
        "seconds_a_step": round(seconds / (first_steps * coarse + given.steps * (frames - 1)), 1),
    }
    print(row)
    save("large", [row], "source", "size", "frames", "memory")


if __name__ == "__main__":
    main()
