"""Makes the pictures of the README from sample_media, with the program itself.

    python docs/make_figures.py

`docs/images/strip.jpg`: above, a frame of the source, the style and the result; below, three consecutive
frames, each painted by itself and as the film that vidstyle makes of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle import Settings, stylize, stylize_image
from vidstyle.media import open_source, read_style
from vidstyle.pipeline import JobOptions, workspace_path
from vidstyle.settings import RunSettings

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_media"
FRAMES = (12, 13, 14)
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


def main() -> None:
    """Writes the pictures."""
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


if __name__ == "__main__":
    main()
