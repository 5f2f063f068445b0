"""A film in memory, to be put into a page."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

__all__ = ["WebM"]

_TICK = Fraction(1, 1000)
_QUALITY = {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6", "g": "12", "row-mt": "1"}
"""Of VP9, which every browser plays; a key frame every half second or so, so that one can go to any frame at once."""


class WebM:
    """Pictures without sound."""

    def __init__(self, size: tuple[int, int], rate: Fraction) -> None:
        """`size` is (height, width), both even; `rate` is what VP9 reckons with, times are given with the pictures."""
        self._buffer = io.BytesIO()
        self._container = av.open(self._buffer, "w", format="webm")
        self._stream = self._container.add_stream("libvpx-vp9", rate=rate.limit_denominator(1000), options=dict(_QUALITY))
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = _TICK
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1  # BT.709, which is what it is made in
        self._next = 0
        self.times = list[float]()
        """Seconds of every picture so far."""

    def add(self, picture: npt.NDArray[np.uint8], seconds: Fraction) -> None:
        """Takes the picture of one moment, (H, W, 3) RGB."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
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
