"""The values that flow through a job: frames, what a medium is, shots, flow fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["ColorTags", "FlowField", "Frame", "MediaInfo", "MediaKind", "Shot"]

MediaKind = Literal["video", "image", "frames"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture with its place in time.

    Convention: `rgb` is (H, W, 3) uint8, RGB, full range, upright (rotation and EXIF orientation
    are applied). The time of the frame is `pts * time_base` seconds, exactly.
    """

    index: int
    """Position in the job's input, from 0, without gaps."""
    pts: int
    time_base: Fraction
    rgb: npt.NDArray[np.uint8]
    name: str = ""
    """File name (without directory) where the frame is a file of its own, else empty."""
    deep: npt.NDArray[np.uint16] | None = field(default=None, repr=False)
    """The same picture with 16 bits a channel, where its file has them: what is left unpainted comes from it."""

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(f"a frame is (H, W, 3) uint8, got {self.rgb.shape = } {self.rgb.dtype = }")
        if self.index < 0:
            raise ValueError(f"a frame's index counts from 0, got {self.index = }")

    @property
    def finest(self) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """(H, W, 3) RGB, with all the bits that are known."""
        return self.rgb if self.deep is None else self.deep

    @property
    def seconds(self) -> Fraction:
        """When the frame is shown, in seconds, exactly."""
        return self.pts * self.time_base

    def __repr__(self) -> str:
        height, width = self.rgb.shape[:2]
        return f"Frame(index={self.index}, pts={self.pts}×{self.time_base}, {width}×{height})"


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Colour description of a video stream in FFmpeg's integers; 2 (or 0 for range) is "unspecified"."""

    colorspace: int = 2
    color_range: int = 0
    color_primaries: int = 2
    color_trc: int = 2


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What an input is, read without decoding it."""

    path: Path
    kind: MediaKind
    width: int
    """Upright width in pixels, after rotation and the requested working size."""
    height: int
    rate: Fraction
    """Nominal frames a second; a guess for variable-rate media, whose truth is in the pts."""
    time_base: Fraction
    frames: int | None = None
    """Number of frames that the job will see, if the container tells; an estimate, for progress only."""
    duration: Fraction | None = None
    """Seconds of the whole input, if known."""
    tags: ColorTags = field(default_factory=ColorTags)
    streams: tuple[str, ...] = ()
    """Kinds of the streams beside the picture ("audio", "subtitle", "attachment", …), to carry over."""
    number: int = 1
    """Of the first frame, by its file name where that is part of a sequence (`shot.%04d.png`); others are counted from 1."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a medium has at least one pixel, got {self.width = } {self.height = }")
        if self.rate <= 0 or self.time_base <= 0:
            raise ValueError(f"rate and time base are positive, got {self.rate = } {self.time_base = }")

    @property
    def directory(self) -> Path:
        """Where the files of the frames lie: a directory of frames itself, or what a sequence or a single file is in."""
        return self.path if self.path.is_dir() else self.path.parent


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of frames without a cut. `frames` is lazy and can be walked once."""

    index: int
    first: int
    """Index of the shot's first frame in the job."""
    frames: Iterator[Frame]


@dataclass(frozen=True, slots=True)
class FlowField:
    """Where each pixel of the current frame was (or will be) in a reference frame.

    Convention: `data` is (2, H, W) float32 in pixels, (dx, dy), at the current frame:
    current(x, y) ≈ reference(x + dx, y + dy).
    """

    data: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or self.data.shape[0] != 2 or self.data.dtype != np.float32:
            raise ValueError(f"a flow field is (2, H, W) float32, got {self.data.shape = } {self.data.dtype = }")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.data.shape[1]), int(self.data.shape[2])

    def __repr__(self) -> str:
        height, width = self.size
        longest = float(np.sqrt((self.data**2).sum(axis=0)).max()) if self.data.size else 0.0
        return f"FlowField({width}×{height}, longest vector {longest:.2f} px)"
