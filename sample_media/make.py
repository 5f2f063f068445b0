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


def main() -> None:
    """Reads the folder of originals from the command line and makes every file anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=Path, help="folder that holds the originals")
    originals = parser.parse_args().originals
    here = Path(__file__).resolve().parent

    frames, rate = read(find(originals, "drone_city_3.0s_320x180.mp4"), first=12, count=18)
    write(here / "clip.mp4", frames, rate, "Over the city (18 frames)", with_sound=True)
    frames, rate = read(find(originals, "city_timelapse_cut_3.0s_640x360.mp4"), first=18, count=24)
    write(here / "cut.mp4", frames, rate, "Two towers (one cut, at frame 12)", with_sound=False)

    shutil.copyfile(find(originals, "vangogh_starry_night_1889_cropped.jpg"), here / "style.jpg")
    photo = cv2.imread(str(find(originals, "chelsea.png")))
    assert photo is not None
    height, width = photo.shape[:2]
    photo = cv2.resize(photo, (320, round(height * 320 / width)), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(here / "photo.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 92])


if __name__ == "__main__":
    main()
