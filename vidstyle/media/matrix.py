"""Which colour matrix and range a picture was coded with, and which one it is written with.

The one place that calls swscale. Everything inside vidstyle is RGB, full range; every crossing names its
matrix and range, because swscale's own guess is BT.601 whatever the tags and the size say.
"""

from __future__ import annotations

from functools import cache

import av
import numpy as np
import numpy.typing as npt
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from vidstyle.errors import MediaError
from vidstyle.frames import ColorTags
from vidstyle.media.base import Picture
from vidstyle.media.tonemap import HDR_TRANSFERS, tone_mapped

__all__ = ["FULL", "LIMITED", "SDR", "from_rgb", "is_rgb", "matrix_of", "to_rgb", "written_tags"]

LIMITED, FULL = 1, 2
RGB, BT709, UNSPECIFIED = 0, 1, 2

# FFmpeg's colorspace tags -> swscale's matrices. BT.2020 with constant luminance (10) is not linear; its
# ordinary matrix is the nearest that swscale has.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}

# Bicubic, full chroma both ways, accurate rounding, the same bits on every processor. Without them a round
# trip is off by 2.05/255 on average instead of 0.4. Numbers, because PyAV 17 has no names for them.
_FLAGS = 0x4 | 0x2000 | 0x4000 | 0x40000 | 0x80000

_SD_HEIGHT = 576

SDR = ColorTags(BT709, LIMITED, BT709, BT709)
"""What tone mapped film is tagged as."""


def is_rgb(format_name: str) -> bool:
    """Whether a pixel format holds RGB (or palette) values and so has no matrix."""
    return bool(VideoFormat(format_name).is_rgb) or format_name == "pal8"


def matrix_of(tags: ColorTags, height: int, name: str) -> tuple[int, int]:
    """(matrix, range) that the frames of a stream are coded with, for `to_rgb`.

    Untagged streams are taken for BT.601 up to 576 lines and BT.709 above, limited range, as players do.

    Args:
        tags: what the stream says of itself.
        height: lines of the coded picture.
        name: of the file, for the error.

    Raises:
        MediaError: the stream is tagged with a matrix that swscale has not (YCgCo, ICtCp, …).
    """
    color_range = FULL if tags.color_range == FULL else LIMITED
    if tags.colorspace in (RGB, UNSPECIFIED):
        return (5 if height <= _SD_HEIGHT else 1), color_range
    if tags.colorspace not in _MATRICES:
        raise MediaError(f"{name}: its colour matrix (FFmpeg's colorspace {tags.colorspace}) is not supported; convert it to BT.709 first")
    return _MATRICES[tags.colorspace], color_range


def to_rgb(
    frame: VideoFrame, width: int, height: int, matrix: int, color_range: int, transfer: int, primaries: int
) -> npt.NDArray[np.uint8]:
    """A decoded frame as (height, width, 3) uint8 RGB, full range, scaled where the size asks for it; HDR is tone mapped.

    `transfer` and `primaries` are FFmpeg's numbers for the frame's.
    """
    hdr = transfer in HDR_TRANSFERS
    if frame.format.name.startswith("yuvj"):
        color_range = FULL
    white = _white(frame, (width, height), color_range)
    rgb = frame.reformat(
        width=width, height=height, format="rgb48le" if hdr or white else "rgb24", interpolation=_FLAGS,
        src_colorspace=matrix, src_color_range=color_range, dst_colorspace=matrix, dst_color_range=FULL,
    ).to_ndarray()  # fmt: skip
    if hdr:
        return tone_mapped(_levels(white or _WHITE, 65535)[rgb], transfer, primaries)
    return np.asarray(_levels(white, 255)[rgb] if white else rgb, np.uint8)


_WHITE = 255 << 8


def _white(frame: VideoFrame, size: tuple[int, int], color_range: int) -> int:
    """What swscale makes of white in 16 bits where that is not `_WHITE`; 0 where it is.

    It takes full range of ten bits for that of eight with two digits more: 1023 for 255.75. Only RGB that keeps its size is right.
    """
    bits = max(part.bits for part in frame.format.components)
    rgb = is_rgb(frame.format.name)
    if bits <= 8 or bits > 16 or not (rgb or color_range == FULL or len(frame.format.components) < 3):
        return 0
    return 65535 if rgb and size == (frame.width, frame.height) else ((1 << bits) - 1) << (16 - bits)


@cache
def _levels(white: int, top: int) -> npt.NDArray[np.uint16]:
    """For every 16-bit value the one that makes `white` the largest, `top`."""
    return np.minimum((np.arange(65536) * top + white // 2) // white, top).astype(np.uint16 if top > 255 else np.uint8)


def from_rgb(picture: Picture, pix_fmt: str, tags: ColorTags) -> VideoFrame:
    """A picture, (H, W, 3) uint8 or uint16 RGB full range, as a frame of `pix_fmt` coded as `tags` say."""
    if is_rgb(pix_fmt):
        return _rounded(picture, VideoFormat(pix_fmt).components[0].bits).reformat(format=pix_fmt, interpolation=_FLAGS)
    if picture.dtype == np.uint16:
        # On the way to YUV swscale takes 16-bit white for 65280 (255 << 8): unscaled, everything comes out 0.5/255 too light.
        scaled = (picture.astype(np.uint32) * 65280 + 32767) // 65535
        frame = VideoFrame.from_ndarray(scaled.astype(np.uint16), format="rgb48le")
    else:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture, dtype=np.uint8), format="rgb24")
    matrix = _MATRICES[tags.colorspace]
    frame = frame.reformat(
        format=pix_fmt, interpolation=_FLAGS,
        src_colorspace=matrix, src_color_range=FULL, dst_colorspace=matrix, dst_color_range=tags.color_range,
    )  # fmt: skip
    frame.colorspace, frame.color_range = tags.colorspace, tags.color_range
    frame.pict_type = av.video.frame.PictureType.NONE
    return frame


def _rounded(picture: Picture, bits: int) -> VideoFrame:
    """A picture as RGB of which swscale makes that of so many bits by cutting off alone: its white is theirs."""
    if bits <= 8:
        if picture.dtype == np.uint16:
            picture = ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return VideoFrame.from_ndarray(np.ascontiguousarray(picture, dtype=np.uint8), format="rgb24")
    deep = picture.astype(np.uint32) * (257 if picture.dtype == np.uint8 else 1)
    if bits < 16:
        deep = (deep * np.uint32((1 << bits) - 1) + np.uint32(32767)) // np.uint32(65535) << np.uint32(16 - bits)
    return VideoFrame.from_ndarray(deep.astype(np.uint16), format="rgb48le")


def written_tags(source: ColorTags, pix_fmt: str) -> ColorTags:
    """The tags of an output made from a source with the tags `source`.

    The source's matrix, primaries and transfer are kept where it names them, else all is BT.709. The range is
    always limited: the picture is the same, every player shows it, and swscale's full-range chroma is biased.
    """
    if is_rgb(pix_fmt):
        return ColorTags(RGB, FULL, source.color_primaries, source.color_trc)
    if source.colorspace not in _MATRICES:
        named = source.colorspace == RGB and source.color_primaries != UNSPECIFIED
        return ColorTags(BT709, LIMITED, *((source.color_primaries, source.color_trc) if named else (BT709, BT709)))
    colorspace = 9 if source.colorspace == 10 else source.colorspace
    return ColorTags(colorspace, LIMITED, source.color_primaries, source.color_trc)
