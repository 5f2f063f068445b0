"""Makes the pictures of the README and the docs, with the program itself and from what was measured.

    python docs/make_figures.py strip curve

`docs/images/strip.jpg`, from sample_media: above, a frame of the source, the style and the result; below, three consecutive
frames, each painted by itself and as the film that vidstyle makes of them. `docs/images/curve.svg`: steps a frame against objective and
steadiness, from `benchmarks/results/curve.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from vidstyle import Settings, stylize, stylize_image
from vidstyle.media import open_source, read_style
from vidstyle.pipeline import JobOptions, workspace_path
from vidstyle.settings import RunSettings

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_media"
FRAMES = (12, 13, 14)
MARKERS = {"balanced": "*", "draft": "s", "fine": "D"}
GAP = 6

Picture = npt.NDArray[np.uint8]


def beside(pictures: list[Picture], height: int) -> Picture:
    """Pictures in a row, scaled to one height, with white between them."""
    row: list[Picture] = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        row += [
            np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8),
            np.full((height, GAP, 3), 255, np.uint8),
        ]
    return np.hstack(row[:-1])


def labelled(picture: Picture, text: str) -> Picture:
    """The picture under a line of text."""
    band = np.full((26, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(band, text, (2, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([band, picture])


def curve() -> None:
    """What more steps a frame buy, a line a clip, and where the presets stand."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "curve.json").read_text())["figures"]
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 6.5), layout="constrained")
    for clip, color in zip(dict.fromkeys(row["clip"] for row in rows), ("tab:blue", "tab:orange", "tab:green"), strict=False):
        own = [row for row in rows if row["clip"] == clip]
        steps = sorted((row for row in own if row["way"].endswith("steps")), key=lambda row: row["steps_a_frame"])
        for axes, key in ((above, "objective"), (below, "norm1")):
            axes.plot([row["steps_a_frame"] for row in steps], [row[key] for row in steps], "o-", color=color, label=Path(clip).stem)
            for row in own:
                at = row["steps_a_frame"], row[key]
                if row["way"] in MARKERS:
                    axes.plot(*at, MARKERS[row["way"]], color=color, markersize=11, markeredgecolor="black")
                elif row["way"].startswith("gain"):
                    axes.plot(*at, "o", color="white", markeredgecolor=color)
                    axes.annotate(row["way"].split()[1], at, (3, -12), textcoords="offset points", fontsize=7)
    for way, marker in ((way, marker) for way, marker in MARKERS.items() if way in {row["way"] for row in rows}):
        above.plot([], [], marker, color="white", markersize=11, markeredgecolor="black", label=way)
    above.set_ylabel("objective over that of 100 steps alone")
    above.axhline(1.05, color="grey", linestyle=":")
    above.legend()
    below.set_ylabel("norm1")
    step = np.median([row["seconds_a_frame"] / row["steps_a_frame"] for row in rows if row["way"].endswith("steps")])
    above.set_xscale("log")
    below.set_xticks(ticks := [3, 5, 7, 10, 14, 20, 36, 77], [str(tick) for tick in ticks])
    below.minorticks_off()
    below.set_xlabel(f"steps a frame, of about {step:.2f} s at {rows[0]['size']} px on two cores; white dots: --least-gain")
    plt.rcParams["svg.hashsalt"] = "vidstyle"
    figure.savefig(ROOT / "docs" / "images" / "curve.svg", metadata={"Date": None})


def strip() -> None:
    """Source, style and result, and three frames painted alone and as a film."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "film"
        stylize(SAMPLES / "clip.mp4", SAMPLES / "style.jpg", output, options=JobOptions(keep_workspace=True))
        film = [read_style(path) for path in sorted(output.iterdir())]
        assert workspace_path(output).is_dir()
        with open_source(SAMPLES / "clip.mp4", RunSettings()) as medium:
            source = [frame.rgb for frame in medium.frames()]
        alone = []
        for number in FRAMES:
            path = Path(scratch) / f"{number}.png"
            cv2.imwrite(str(path), source[number][:, :, ::-1])
            alone.append(stylize_image(path, SAMPLES / "style.jpg", Settings()))
    top = beside([source[FRAMES[0]], read_style(SAMPLES / "style.jpg"), film[FRAMES[0]]], 216)
    width = top.shape[1]
    height = round((width - 2 * GAP) / 3 * source[0].shape[0] / source[0].shape[1])
    rows = [
        labelled(top, "source, style, result"),
        labelled(beside(alone, height), "three consecutive frames, each painted by itself"),
        labelled(beside([film[number] for number in FRAMES], height), "the same three as vidstyle makes them"),
    ]
    width = max(row.shape[1] for row in rows)  # the lower ones may be a pixel off
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    cv2.imwrite(str(images / "strip.jpg"), np.vstack(rows)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])


def main() -> None:
    """Writes the pictures that are named, all of them by default."""
    pictures = {"strip": strip, "curve": curve}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", choices=list(pictures), default=list(pictures))
    for name in parser.parse_args().pictures:
        pictures[name]()


if __name__ == "__main__":
    main()
