"""Makes the files of this directory from the originals that CREDITS.md names.

    python sample_media/make.py ORIGINALS

ORIGINALS holds drone_city_3.0s_320x180.mp4, city_timelapse_cut_3.0s_640x360.mp4,
vangogh_starry_night_1889_cropped.jpg and chelsea.png, at any depth.
"""

from __future__ import annotations

import argparse
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation

SIZE = (256, 144)
SAMPLE_RATE = 48000
BT709 = 1
LIMITED = 1


def find(originals: Path, name: str) -> Path:
    """The file `name` somewhere below `originals`."""
    return next(path for path in sorted(originals.rglob(name)))


def read(path: Path, first: int, count: int) -> tuple[list[npt.NDArray[np.uint8]], Fraction]:
    """Frames `first` to `first + count` as (H, W, 3) RGB at SIZE, and the rate. The originals are untagged SD: BT.601."""
    frames: list[npt.NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        for index, frame in enumerate(container.decode(video=0)):
            if index >= first + count:
                break
            if index >= first:
                rgb = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU601, interpolation=Interpolation.LANCZOS)
                frames.append(cv2.resize(rgb.to_ndarray(), SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8))
    return frames, rate


def sound(seconds: float) -> npt.NDArray[np.float32]:
    """(2, N) soft wind under a slowly swelling fifth (A3 and E4), in [-1, 1]."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    random = np.random.default_rng(1889)
    frequency = np.fft.rfftfreq(time.size, 1 / SAMPLE_RATE)
    channels = []
    for side in (-1, 1):
        # Wind is noise without its highs; each ear hears its own.
        wind = np.fft.irfft(np.fft.rfft(random.standard_normal(time.size)) / (1 + (frequency / 350) ** 2), time.size)
        wind *= (0.06 + 0.02 * np.sin(2 * np.pi * time + side)) / wind.std()
        chord = sum(
            level * np.sin(2 * np.pi * (tone + 0.4 * side) * time) for tone, level in ((220, 0.12), (330, 0.09), (440, 0.03), (660, 0.02))
        )
        channels.append(wind + chord * np.sin(np.pi * time / seconds))
    fade = np.clip(np.minimum(time, seconds - time) / 0.05, 0, 1)
    return np.asarray(np.stack(channels) * fade, dtype=np.float32)


def write(path: Path, frames: list[npt.NDArray[np.uint8]], rate: Fraction, title: str, with_sound: bool) -> None:
    """H.264, BT.709, limited range; AAC stereo beside it where asked."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.metadata["title"] = title
        video = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryslow"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo", bit_rate=96000) if with_sound else None
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
            )
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(sound(float(len(frames) / rate)), format="fltp", layout="stereo")
            samples.sample_rate, samples.pts = SAMPLE_RATE, 0
            container.mux(audio.encode(samples))
            container.mux(audio.encode(None))


def glass(size: int = 480) -> npt.NDArray[np.uint8]:
    """(size, size, 3) RGB: panes of coloured glass between leads, nearest-point cells with cloudy light behind them."""
    random = np.random.default_rng(1906)
    count = 90
    points = random.uniform(0, size, (count, 2))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    distances = np.stack([np.hypot(x - left, y - top) for left, top in points])
    nearest = np.sort(distances, axis=0)
    pane, rim = distances.argmin(axis=0), nearest[1] - nearest[0]
    tints = [(196, 58, 44), (226, 138, 38), (244, 196, 72), (52, 118, 150), (30, 72, 112), (96, 148, 86), (214, 204, 176), (128, 40, 72)]
    colors = np.array(tints, float)[random.integers(0, len(tints), count)] * random.uniform(0.8, 1.15, (count, 1))
    light = 0.9 + 0.25 * np.clip(nearest[0] / 40, 0, 1)
    for share, softness in ((0.10, 6), (0.05, 1.2)):
        cloud = cv2.GaussianBlur(random.standard_normal((size, size)).astype(np.float32), (0, 0), softness)
        light = light + share * cloud / cloud.std()
    lead = np.clip((rim - 3.5) / 2, 0, 1)[..., None]
    picture = colors[pane] * light[..., None] * lead + np.array((26, 24, 28)) * (1 - lead)
    return np.clip(picture, 0, 255).astype(np.uint8)


def mask(size: tuple[int, int], outline: list[tuple[int, int]]) -> npt.NDArray[np.uint8]:
    """(H, W) of `size` = (width, height): white inside the outline, black outside, its edge softened by a pixel."""
    empty = np.zeros((size[1], size[0]), np.uint8)
    return np.asarray(cv2.GaussianBlur(cv2.fillPoly(empty, [np.array(outline)], (255,)), (3, 3), 0), dtype=np.uint8)


CAT = [(27, 0), (282, 0), (257, 47), (260, 100), (240, 142), (222, 185), (217, 213), (0, 213), (0, 95), (22, 75)]
"""Outline of the cat in `photo.jpg`, in pixels."""
TOWER = [(163, 36), (175, 34), (193, 36), (192, 106), (178, 118), (167, 118)]
"""Outline of the brown tower in the first frame of `clip.mp4`."""


def main() -> None:
    """Reads the folder of originals from the command line and makes every file anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=Path, help="folder that holds the originals")
    originals = parser.parse_args().originals
    here = Path(__file__).resolve().parent

    frames, rate = read(find(originals, "drone_city_3.0s_320x180.mp4"), first=12, count=18)
    write(here / "clip.mp4", frames, rate, "Over the city (18 frames)", with_sound=True)
    write(here / "sway.mp4", frames[:9] + frames[7:0:-1], rate, "Over the city, forth and back (16 frames)", with_sound=False)
    frames, rate = read(find(originals, "city_timelapse_cut_3.0s_640x360.mp4"), first=18, count=24)
    write(here / "cut.mp4", frames, rate, "Two towers (one cut, at frame 12)", with_sound=False)

    shutil.copyfile(find(originals, "vangogh_starry_night_1889_cropped.jpg"), here / "style.jpg")
    photo = cv2.imread(str(find(originals, "chelsea.png")))
    assert photo is not None
    height, width = photo.shape[:2]
    photo = cv2.resize(photo, (320, round(height * 320 / width)), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(here / "photo.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 92])
    cv2.imwrite(str(here / "glass.jpg"), glass()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    cv2.imwrite(str(here / "cat.png"), mask((photo.shape[1], photo.shape[0]), CAT))
    cv2.imwrite(str(here / "tower.png"), mask(SIZE, TOWER))


if __name__ == "__main__":
    main()
