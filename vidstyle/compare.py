"""Source and result in one picture, frame by frame, and a short animation to show around."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidstyle.errors import UsageError
from vidstyle.frames import Frame, MediaInfo
from vidstyle.media import check_apart, check_output, open_sink, open_source, output_kind, write_animation, write_picture
from vidstyle.numbered import FrameNames
from vidstyle.pixels import resized
from vidstyle.settings import Comparison, RunSettings, Settings

__all__ = ["check_share", "compare", "comparison_path", "share"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

_GAP = 4
"""Pixels between the two; even, so that even sides stay so."""
_WIPE = 4.0
"""Seconds in which the edge of a wipe goes over the picture and back."""
_EDGE = 2
_SHARED_SIDE, _SHARED_SECONDS, _SHARED_RATE = 480, 6.0, 12.0
"""Longest side in pixels, length and frames a second of what is shared: some megabytes."""


def comparison_path(output: Path | str, mode: Comparison) -> Path:
    """Where the comparison goes: beside the output (see `output_kind`), a picture where that is one, else a film."""
    ending = ".png" if output_kind(output) == "image" else ".mp4"
    output = Path(output)
    sequence = FrameNames.of(output)
    return output.with_name(f"{output.stem if sequence is None else sequence.stem}.{mode}{ending}")


def compare(source: Path, result: Path, output: Path, mode: Comparison, settings: Settings, overwrite: bool = False) -> int:
    """Writes source and result as one film (or picture), with the source's sound.

    Args:
        source: what was painted.
        result: what `vidstyle.stylize` has made of it with `settings`.
        output: the film or picture to write.
        mode: `side` by side, one above the other (`stack`), or both in one picture, parted by an edge that goes to and fro (`wipe`;
            the source is on its left).
        settings: of the job; the encoder's count here too.
        overwrite: replace what stands at `output`.

    Returns:
        The number of frames.

    Raises:
        UsageError: the output cannot be written there, or source and result do not belong together.
        MediaError: one of them cannot be read, or the output cannot be written.
    """
    check_apart({"the comparison": output}, [source, result])
    check_output(output, output_kind(output), settings.encode, overwrite)
    count = 0
    with open_source(source, settings.run) as medium, open_source(result, _written(result, medium.info)) as painted:
        frames = _together(medium.frames(), painted.frames(), mode)
        first = next(frames, None)
        if first is None:
            raise UsageError(f"{result}: holds no frame")
        if output_kind(output) == "image":
            write_picture(output, first[1], overwrite)
            return 1
        height, width = first[1].shape[:2]
        info = replace(medium.info, width=width, height=height)
        with open_sink(output, info, settings.encode, source, settings.run, overwrite) as sink:
            for frame, picture in chain([first], frames):
                sink.write(picture, frame.pts, frame.time_base)
                count += 1
    return count


def share(source: Path, result: Path, output: Path, mode: Comparison | None, settings: Settings, overwrite: bool = False) -> None:
    """Writes the beginning of the result, or of the comparison, as an animated GIF or WebP that is small enough to send.

    Raises:
        UsageError: another ending, or the output cannot be written there.
        MediaError: an input cannot be read, or the output cannot be written.
    """
    check_apart({"--share": output}, [source, result])
    check_share(output, overwrite)
    with open_source(source, settings.run) as medium, open_source(result, _written(result, medium.info)) as painted:
        pairs = _together(medium.frames(), painted.frames(), mode)
        pictures = [_small(picture) for picture in _sampled(pairs)]
    write_animation(output, pictures, _SHARED_RATE, overwrite)


def _written(result: Path, source: MediaInfo) -> RunSettings:
    """Which part of a result to read: all of it, but of a sequence, beside which others may lie, what begins with the source's number."""
    names = FrameNames.of(result)
    if names is None:
        return RunSettings()
    there, last = set(names.there()), source.number
    while last + 1 in there:
        last += 1
    return RunSettings(frames=f"{source.number}-{last}")


def check_share(output: Path, overwrite: bool = False) -> None:
    """Whether something to share can be written there.

    Raises:
        UsageError: another ending than .gif or .webp, or it cannot be written there.
    """
    if output.suffix.lower() not in (".gif", ".webp"):
        raise UsageError(f"--share {output}: an animation to share is a .gif or a .webp; give such a name")
    check_output(output, "image", Settings().encode, overwrite)


def _together(source: Iterator[Frame], result: Iterator[Frame], mode: Comparison | None) -> Iterator[tuple[Frame, Picture]]:
    """The result's frames, and what is shown of each: by itself, or with the source's."""
    opening = None
    for before, after in zip(source, result, strict=False):
        if before.rgb.shape != after.rgb.shape:
            (height, width, _), (own_height, own_width, _) = before.rgb.shape, after.rgb.shape
            raise UsageError(
                f"source and result differ in size, {width}×{height} and {own_width}×{own_height}; give the settings it was made with"
            )
        opening = after.seconds if opening is None else opening
        yield after, after.rgb if mode is None else _placed(before.rgb, after.rgb, mode, float(after.seconds - opening))


def _placed(before: Picture, after: Picture, mode: Comparison, seconds: float) -> Picture:
    height, width = before.shape[:2]
    if mode == "side":
        return np.hstack([before, np.full((height, _GAP, 3), 255, np.uint8), after])
    if mode == "stack":
        return np.vstack([before, np.full((_GAP, width, 3), 255, np.uint8), after])
    edge = round(width * (0.5 + 0.5 * math.cos(2 * math.pi * (seconds / _WIPE + 0.25))))  # begins in the middle
    picture = np.hstack([before[:, :edge], after[:, edge:]])
    picture[:, max(edge - _EDGE // 2, 0) : edge + _EDGE // 2] = 255
    return picture


def _sampled(pairs: Iterator[tuple[Frame, Picture]]) -> Iterator[Picture]:
    """Pictures at the rate and up to the length of what is shared."""
    opening, taken = None, 0
    for frame, picture in pairs:
        opening = frame.seconds if opening is None else opening
        at = float(frame.seconds - opening)
        if at >= _SHARED_SECONDS:
            return
        if at * _SHARED_RATE >= taken - 1e-6:
            yield picture
            taken += 1


def _small(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    factor = min(_SHARED_SIDE / max(height, width), 1.0)
    return resized(picture, (max(round(height * factor), 1), max(round(width * factor), 1)))
