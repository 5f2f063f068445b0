"""Makes docs/gallery.md and its pictures: what each setting does to a picture, with the command that made it.

    python docs/make_gallery.py [ROW ...]           pictures of the rows named; without names of all rows, and the page
    python docs/make_gallery.py --large DIRECTORY   pictures of the large ones, from what benchmarks.large has left there

The rows stand in docs/gallery.toml, and their commands are run as they stand. What they made is kept in `.gallery/`
and made again when its command has changed or `.gallery/` is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.evaluate import luma
from vidstyle.media import open_source, read_style
from vidstyle.pixels import resized
from vidstyle.settings import RunSettings

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".gallery"
IMAGES = ROOT / "docs" / "images" / "gallery"
GAP, BAND = 6, 24
CROP = 440
"""Pixels of a full-size crop each way; of a large picture as many columns as there are crops are shown, or two."""
BESIDE = 3
"""Lines on either side of a seam: single ones differ by the noise that a texture begins with."""

Picture = npt.NDArray[np.uint8]
Row = dict[str, Any]


def made(command: str) -> list[Picture]:
    """What the command makes, run if it has not been yet: one picture, or the frames of a film."""
    directory = KEPT / hashlib.sha256(command.encode()).hexdigest()[:16]
    words = shlex.split(command)
    if not directory.exists():
        scratch = directory.with_suffix(".tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        (scratch / "sample_media").symlink_to(ROOT / "sample_media")
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", *words, "-q"], cwd=scratch, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        (scratch / "sample_media").unlink()
        scratch.rename(directory)
        print(f"{time.monotonic() - began:6.1f} s  {command}", flush=True)
    output = directory / words[words.index("-o") + 1]
    return [read_style(path) for path in (sorted(output.iterdir()) if output.is_dir() else [output])]


def captioned(picture: Picture, text: str) -> Picture:
    """The picture under a line of text, on white."""
    size = 0.45
    while cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] > picture.shape[1] - 2:
        size *= 0.95
    band = np.full((BAND, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(band, text, (1, BAND - 8), cv2.FONT_HERSHEY_SIMPLEX, size, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([band, picture])


def sheet(pictures: list[tuple[str, Picture]], columns: int) -> Picture:
    """Pictures in a grid, each under its caption."""
    height, width = (max(picture.shape[axis] for _, picture in pictures) for axis in (0, 1))
    cells = []
    for caption, picture in pictures:
        room = ((0, height - picture.shape[0] + GAP), (0, width - picture.shape[1] + GAP), (0, 0))
        cells.append(np.pad(captioned(picture, caption), room, constant_values=255))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % min(columns, len(cells)))
    return np.vstack([np.hstack(cells[at : at + columns]) for at in range(0, len(cells), columns)])


def picture_of(row: Row, results: list[list[Picture]]) -> Picture:
    """The row's sheet; films as strips of the frames named."""
    shown = []
    for cell, pictures in zip(row["cells"], results, strict=True):
        times = cell.get("tiles", 1)
        strip = [np.pad(pictures[frame], ((0, 0), (0, GAP), (0, 0)), constant_values=255) for frame in cell.get("frames", ())]
        shown.append((cell["caption"], np.hstack(strip) if strip else np.tile(pictures[0], (times, times, 1))))
    height = max(picture.shape[0] for _, picture in shown)
    for front in reversed(row.get("before", [])):
        picture = read_style(ROOT / front["path"])
        shown.insert(0, (front["caption"], resized(picture, (height, round(picture.shape[1] * height / picture.shape[0])))))
    return sheet(shown, row["columns"])


def steps(pictures: list[Picture]) -> list[float]:
    """Mean change of the lightness from each frame to the next."""
    return [float(np.abs(luma(b) - luma(a)).mean()) for a, b in pairwise(pictures)]


def reconstructed(row: Row, results: list[list[Picture]]) -> str:
    """PSNR of the first frames against the photograph at their size."""
    photo = read_style(ROOT / "sample_media" / "photo.jpg")
    found = []
    for cell, (picture,) in zip(row["cells"], results, strict=True):
        error = np.square(picture.astype(float) - resized(photo, (picture.shape[0], picture.shape[1]))).mean()
        found.append(f"{10 * np.log10(255**2 / error):.1f} dB at {cell['caption']}")
    return f"PSNR against the photograph: {', '.join(found)}."


def seams(row: Row, results: list[list[Picture]]) -> str:
    """Steps of the lightness across the edge of a tile, beside those inside; over the cells that are shown as tiles."""
    found = []
    for cell, (picture, *_) in zip(row["cells"], results, strict=True):
        if "tiles" in cell:
            for axis, name in enumerate(("down", "across")):
                grey = np.moveaxis(luma(picture), axis, 0)
                ahead = np.mean([np.roll(grey, -shift, axis=0) for shift in range(BESIDE)], axis=0)
                steps = np.abs(ahead - np.roll(ahead, BESIDE, axis=0)).mean(axis=1)  # at each line: after it against before it
                inside = steps[BESIDE : 1 - BESIDE]
                found.append(f"{cell['caption']}, {name}: {steps[0]:.1f} (inside {inside.mean():.1f}, at most {inside.max():.1f})")
    return f"Step of the lightness over the edge, between means of {BESIDE} lines on either side. {'; '.join(found)}."


def flicker(row: Row, results: list[list[Picture]]) -> str:
    """Mean change from frame to frame of every film."""
    found = [f"{np.mean(steps(cell)):.1f} {row['cells'][index]['caption']}" for index, cell in enumerate(results)]
    return f"Mean change of the lightness from one frame to the next: {', '.join(found)}."


def closed(row: Row, results: list[list[Picture]]) -> str:
    """Change from the last frame to the first, beside that between the others."""
    found = []
    for cell, film in zip(row["cells"], results, strict=True):
        (last,) = steps([film[-1], film[0]])
        found.append(f"{last:.1f} {cell['caption']} (median between its other frames {np.median(steps(film)):.1f})")
    return f"Mean change of the lightness from the last frame to the first: {', '.join(found)}."


NOT_RUN = "<!-- not run: docs/make_gallery.py runs these, tests/test_gallery.py reads them -->"
"""What the check that runs the commands of the documentation is to do with a row's; running all takes an hour."""


def compared(row: Row, results: list[list[Picture]]) -> str:
    """The table of benchmarks/style_losses.py: another run than the pictures', at its own size."""
    measured = json.loads((ROOT / "benchmarks" / "results" / "style_losses.json").read_text(encoding="utf-8"))
    lines = [
        "What one judge says after as many steps of each (content and Gram loss in neural-style's units, in millions):",
        "",
    ]
    lines += ["| loss | ms a step | content | style | objective |", "|---|---|---|---|---|"]
    for one in measured["figures"]:
        judged = " | ".join(f"{one[name] / 1e6:.2f}" for name in ("content", "style_gram", "objective"))
        lines.append(f"| {one['loss']} | {one['ms_a_step']} | {judged} |")
    return "\n".join(
        [*lines, "", "`python -m benchmarks.style_losses --size 160 --steps 60`, kept in `benchmarks/results/style_losses.json`."]
    )


FIGURES: dict[str, Callable[[Row, list[list[Picture]]], str]] = {
    "losses": compared,
    "reconstruction": reconstructed,
    "texture": seams,
    "framewise": flicker,
    "loop": closed,
}
"""Rows about which something can be measured."""


def large_picture_of(row: Row, pictures: list[Picture]) -> Picture:
    """Frames of a large picture or film, reduced, each over its crops at full size."""
    columns = []
    for frame in row["shown"]:
        picture, across = pictures[frame], min(len(row["crops"]), 2)
        width = across * (CROP + GAP) - GAP
        whole = resized(picture, (round(width * picture.shape[0] / picture.shape[1]), width))
        parts = [(f"from {left}, {top}", picture[top : top + CROP, left : left + CROP]) for left, top in row["crops"]]
        caption = f"{picture.shape[1]} x {picture.shape[0]}" + (f", frame {frame}" if len(row["shown"]) > 1 else "")
        columns.append(
            np.vstack([np.pad(captioned(whole, caption), ((0, GAP), (0, GAP), (0, 0)), constant_values=255), sheet(parts, across)])
        )
    return np.hstack(columns)


def make_large(rows: list[Row], directory: Path) -> None:
    """The sheets of those whose painting is there."""
    for row in rows:
        painted = directory / row["painted"]
        if painted.exists():
            with open_source(painted, RunSettings()) as medium:
                pictures = [frame.rgb for frame in medium.frames()]
            cv2.imwrite(str(IMAGES / f"{row['name']}.jpg"), large_picture_of(row, pictures)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
            print(row["name"], flush=True)


def main(names: list[str]) -> None:
    """Makes the pictures of the rows named; without names of all rows, and the page."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    page = [
        "# Gallery",
        "",
        "One knob a row, with the commands that made its pictures, to be run in a clone of this repository. Most are small",
        "and painted in 60 steps, so that each takes a quarter of a minute on two cores; with the 150 of the default the colours",
        "settle further, as in the first row.",
        "`python docs/make_gallery.py` made this page. Credits of the media: [sample_media/CREDITS.md](../sample_media/CREDITS.md).",
    ]
    listed = tomllib.loads((ROOT / "docs" / "gallery.toml").read_text(encoding="utf-8"))
    rows = listed["row"]
    if names[:1] == ["--large"]:
        make_large(listed["large"], Path(names[1]))
        return
    if unknown := set(names) - {row["name"] for row in rows}:
        sys.exit(f"no such row: {', '.join(sorted(unknown))}")
    for row in rows:
        name = row["name"]
        if names and name not in names:
            continue
        results = [made(cell["command"]) for cell in row["cells"]]
        cv2.imwrite(str(IMAGES / f"{name}.jpg"), picture_of(row, results)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        figures = FIGURES[name](row, results) if name in FIGURES else ""
        print(f"{name}: {figures}", flush=True)
        page += ["", f"## {row['title']}", "", row["text"], "", f"![{row['title']}](images/gallery/{name}.jpg)", ""]
        page += [
            *([figures, ""] if figures else []),
            NOT_RUN,
            "```bash",
            *(cell["command"] for cell in row["cells"]),
            "```",
        ]
    for row in listed["large"]:
        page += ["", f"## {row['title']}", "", row["text"], "", f"![{row['title']}](images/gallery/{row['name']}.jpg)", ""]
        page += [NOT_RUN, "```bash", "python -m benchmarks.large_sources .", row["command"], "```"]
    if not names:
        (ROOT / "docs" / "gallery.md").write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
