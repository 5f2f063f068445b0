"""How fast the colour of what is seen changes, along its way through the film."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vidstyle.flow import consistency
from vidstyle.flow.sampling import sample
from vidstyle.frames import FlowField

__all__ = ["BANDS", "FLICKER_FROM", "FlickerMeter"]

BANDS = (0.0, 1.0, 3.0, 6.0, 12.0)
"""Lower ends of the bands of frequency, in Hz; the last one goes up to half the frame rate."""
FLICKER_FROM = 3.0
"""Hz from which a change counts as flicker."""
_SPACING = 8
"""Pixels between the points that are followed."""
_NEARLY = 1.005
"""A window of 24 frames at 24000/1001 a second has 2.997 Hz where one at 24 has 3: that counts as 3."""
_FEWEST = 8
"""Frames that a window needs."""


class FlickerMeter:
    """Follows points of the source along the flow, and takes the spectrum of what source and result show at them.

    A grid of points is set out, followed for about a second, each as long as the flow can be trusted, and set out again. Of every
    point that lasts the window each channel is read (bilinear) in both films, its linear trend taken off, and the energy of
    its changes summed by frequency: the mean square over the channels, in levels of 255, that the changes of a band contribute (Parseval).

    Args:
        rate: frames a second.
        films: how many films are read at the points.
    """

    def __init__(self, rate: float, films: int = 2) -> None:
        self._rate = rate
        self._window = max(round(rate), _FEWEST)
        self._energy = np.zeros((films, len(BANDS)))
        self._above = np.zeros(films)
        self._weight = 0
        self._begin_window()

    def _begin_window(self) -> None:
        self._points: npt.NDArray[np.float64] | None = None
        self._values: list[list[npt.NDArray[np.float32]]] = []

    def add(self, pictures: Sequence[npt.NDArray[Any]], onward: FlowField | None, back: FlowField | None) -> None:
        """The next frame.

        Args:
            pictures: (channels, H, W), 0-255, of every film.
            onward: flow at the frame before, into this one; None at the beginning of a shot.
            back: flow at this frame, into the one before.
        """
        height, width = pictures[0].shape[1:]
        if onward is None or back is None:
            self._end_window()  # nothing goes on across a cut
        elif self._points is not None:
            trusted = consistency(onward, back).reliable
            rounded = self._points.round().astype(int)
            kept = trusted[rounded[1], rounded[0]] > 0
            moved = self._points + sample(onward.data, self._points[:, None])[:, 0]
            kept &= (moved[0] >= 0) & (moved[0] <= width - 1) & (moved[1] >= 0) & (moved[1] <= height - 1)
            self._points = moved[:, kept]
            self._values = [[at[:, kept] for at in film] for film in self._values]
        if self._points is None:
            y, x = np.mgrid[_SPACING // 2 : height : _SPACING, _SPACING // 2 : width : _SPACING]
            self._points = np.stack([x.ravel(), y.ravel()]).astype(np.float64)
            self._values = [[] for _ in pictures]
        for film, picture in zip(self._values, pictures, strict=True):
            film.append(sample(picture.astype(np.float32), self._points[:, None])[:, 0])
        if len(self._values[0]) >= self._window:
            self._end_window()

    def _end_window(self) -> None:
        count = len(self._values[0]) if self._values else 0
        points = self._points.shape[1] if self._points is not None else 0
        if count >= _FEWEST and points:
            frequencies = np.fft.rfftfreq(count, 1 / self._rate) * _NEARLY
            band = np.searchsorted(BANDS, frequencies, side="right") - 1
            for number, film in enumerate(self._values):
                power = _power(np.stack(film).astype(np.float64).reshape(count, -1))
                self._energy[number] += points * np.bincount(band, power, len(BANDS))
                self._above[number] += points * power[frequencies >= FLICKER_FROM].sum()
            self._weight += points
        self._begin_window()

    def result(self) -> tuple[list[float], list[list[float]]] | None:
        """Of every film the energy from 3 Hz on, and in each of `BANDS`, in levels squared; None where nothing lasted."""
        self._end_window()
        if not self._weight or self._rate / 2 <= FLICKER_FROM:
            return None
        return (self._above / self._weight).tolist(), (self._energy / self._weight).tolist()


def _power(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(frames, values) -> (frequencies,): mean square that each frequency contributes, over the values, without their linear trends."""
    count = len(values)
    time = np.arange(count) - (count - 1) / 2
    flat = values - values.mean(axis=0)
    flat = flat - time[:, None] * (time @ flat) / (time @ time)
    power = np.square(np.abs(np.fft.rfft(flat, axis=0))).mean(axis=1) / count**2
    power[1 : (count + 1) // 2] *= 2  # the other half of the spectrum
    return np.asarray(power)
