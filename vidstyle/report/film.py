"""The film inside the page: source above result in every picture, so that nothing has to keep them in step."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from vidstyle.pixels import resized

__all__ = ["LONGEST_SIDE", "StackedFilm", "shown_size", "stacked"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

LONGEST_SIDE = 640
"""Pixels of a shown picture at most."""
GAP = 16
"""Rows between the two, so that neither colours the other's edge."""
_TICK = Fraction(1, 1000)
_QUALITY = {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6", "g": "12", "row-mt": "1"}
"""Of VP9, which every browser plays; a key frame every half second or so, so that one can go to any frame at once."""


def shown_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) in which a picture of this size is shown: no larger than it is, with even sides."""
    factor = min(LONGEST_SIDE / max(height, width), 1.0)
    return max(2 * round(height * factor / 2), 2), max(2 * round(width * factor / 2), 2)


def stacked(source: Picture, result: Picture, size: tuple[int, int]) -> Picture:
    """Both at `size`, the source above, `GAP` black rows between them."""
    above, below = resized(source, size), resized(result, size)
    return np.vstack([above, np.zeros((GAP, size[1], 3), np.uint8), below])


class StackedFilm:
    """A WebM in memory."""

    def __init__(self, size: tuple[int, int], rate: Fraction) -> None:
        """`size` is (height, width) of each of the two pictures, `rate` what VP9 reckons with; times are given with the pictures."""
        self._buffer = io.BytesIO()
        self._size = size
        self._container = av.open(self._buffer, "w", format="webm")
        self._stream = self._container.add_stream("libvpx-vp9", rate=rate.limit_denominator(1000), options=dict(_QUALITY))
        self._stream.width, self._stream.height, self._stream.pix_fmt = size[1], 2 * size[0] + GAP, "yuv420p"
        context = self._stream.codec_context
        context.time_base = _TICK
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1  # BT.709, which is what it is made in
        self._next = 0
        self.times = list[float]()
        """Seconds of every picture so far."""

    def add(self, source: Picture, result: Picture, seconds: Fraction) -> None:
        """Takes the pictures of one moment."""
        frame = av.VideoFrame.from_ndarray(stacked(source, result, self._size), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts, frame.time_base = max(round(seconds / _TICK), self._next), _TICK
        self._next = frame.pts + 1
        self.times.append(float(frame.pts * _TICK))
        self._container.mux(self._stream.encode(frame))

    def finished(self) -> bytes:
        """The file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._buffer.getvalue()
