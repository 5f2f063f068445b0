"""Where a film stands still: what is there needs no new painting, and gets none.

Held by a loss alone, the painting of a still scene goes on settling, a little every frame, and has darkened by the hundredth. So
the optimiser is given no freedom there at all (`vidstyle.stylizer`).

Convention: flow points from the current frame into the earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.frames import FlowField

__all__ = ["SETTLING", "Held", "stillness"]

_NEAR = 5
"""Side in pixels of the squares over which a change of the source is told from noise."""
_AREA = 33
"""Side in pixels of the areas over which flow and light are averaged."""
_WIDER = 0.03
"""What an area of twice the side counts."""
_OF_SLOPE = 0.1
"""Change beyond noise, as a share of the gradient in a pixel, that is still taken for none: codecs are less exact where more is to be
seen, and all at once at every keyframe."""
_NOISE = 4.0
"""Mean absolute change in levels of 255, at the calmest third of a frame, that is taken for noise at most."""
_LIGHT = 0.5
"""Change of an area's mean, in levels of 255, up to which light counts as the same from one frame to the next."""
_LIGHT_FRAMES, _MOTION_FRAMES = 3, 5
"""Frames over which change of light and motion may add up, however far back the earlier frame is."""
_OTHER = 16.0
"""Mean absolute difference, in levels of 255, from which something altogether else is there: another thing, a flash."""
SETTLING = 12
"""Frames for which what has become something else is painted on before it may rest."""
_MOTION = 0.05
"""Motion of an area, in pixels, up to which it counts as still from one frame to the next."""


def stillness(current: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8], flow: FlowField, distance: int) -> npt.NDArray[np.float32]:
    """How surely two frames show the same in the same place, (H, W) in [0, 1].

    Three tests, each 1 up to a limit and falling to 0 at twice as much: around the pixel the frames differ by no more than noise; over
    an area the light is the same; over an area nothing has moved. Flow is averaged with the square of the gradient, less that of
    noise, as its weight: only where there is something to see does it say anything. What moves or changes less than that over one
    frame is found out by the comparison with older ones.

    Args:
        current: (H, W, 3) uint8 RGB.
        earlier: the same place `distance` frames before.
        flow: at `current`, into `earlier`.
        distance: frames between them.
    """
    near, slope = _near(current, earlier), _mean(_squared_slope(current), _NEAR)
    alike = _alike(current, earlier, near, slope, _LIGHT * min(distance, _LIGHT_FRAMES))
    seen = np.maximum(slope - _noise(near) ** 2, 0) + 2e-5
    weight = _widely(seen)
    drift = np.hypot(*(_widely(seen * part) / weight for part in flow.data))
    return np.asarray(alike * _up_to(drift, _MOTION * min(distance, _MOTION_FRAMES)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Held:
    """What the painting of each pixel was made from, however long ago.

    Two frames that differ by too little to tell say nothing of how far light and camera have crept in a thousand. So what stands
    still is also compared with the source as it was when the pixel was last painted.
    """

    source: npt.NDArray[np.float32]
    """(H, W, 3) RGB, 0-255."""
    unsettled: npt.NDArray[np.float32]
    """(H, W): frames for which the pixel is still to be painted on, because something altogether else was there."""

    @classmethod
    def first(cls, rgb: npt.NDArray[np.uint8]) -> Held:
        """After the first frame of a shot, which has settled."""
        return cls(rgb.astype(np.float32), np.zeros(rgb.shape[:2], np.float32))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Held | None:
        """What `state` has made of it, as it comes back from disk; None if nothing was."""
        return cls(state["held_source"], state["held_unsettled"]) if "held_source" in state else None

    @property
    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """For the workspace."""
        return {"held_source": self.source, "held_unsettled": self.unsettled}

    def agreement(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """How surely a frame, (H, W, 3), shows what each pixel's painting was made from, (H, W) in [0, 1]; 0 where it has yet to settle."""
        near, slope = _near(rgb, self.source), _mean(_squared_slope(rgb), _NEAR)
        return np.where(self.unsettled == 0, _alike(rgb, self.source, near, slope, _LIGHT * _LIGHT_FRAMES), np.float32(0))

    def after(self, rgb: npt.NDArray[np.uint8], rest: npt.NDArray[np.float32]) -> Held:
        """After a frame, (H, W, 3), in which each pixel has kept `rest`, (H, W) in [0, 1], of its painting."""
        other = _near(rgb, self.source) > _OTHER
        source = self.source + (1 - rest)[:, :, None] * (rgb - self.source)
        return Held(source, np.where(other, np.float32(SETTLING), np.maximum(self.unsettled - 1, 0)))


def _alike(
    current: npt.NDArray[np.uint8], earlier: npt.NDArray[Any], near: npt.NDArray[np.float32], slope: npt.NDArray[np.float32], light: float
) -> npt.NDArray[np.float32]:
    """How surely two pictures differ by no more than noise and `light` levels on the mean over an area, (H, W) in [0, 1].

    `near` is their difference around each pixel, `slope` the mean square of the current one's gradient there.
    """
    shift = np.abs(_mean(np.subtract(current, earlier, dtype=np.float32), _AREA)).mean(axis=2)
    limit = np.float32(1 + 1.5 * _noise(near)) + np.float32(_OF_SLOPE) * np.sqrt(slope)
    return _up_to(near / limit, 1) * _up_to(shift, light)


def _squared_slope(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(H, W): square of the luma's gradient, in levels of 255 a pixel."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray((cv2.Sobel(grey, -1, 1, 0) ** 2 + cv2.Sobel(grey, -1, 0, 1) ** 2) / 64, dtype=np.float32)


def _near(current: npt.NDArray[np.uint8], earlier: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(H, W): mean absolute difference around each pixel, in levels of 255."""
    return _mean(np.abs(np.subtract(current, earlier, dtype=np.float32)).mean(axis=2), _NEAR)


def _noise(near: npt.NDArray[np.float32]) -> float:
    return min(float(np.percentile(near, 33)), _NOISE)


def _widely(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean over an area, and, counting far less, over ever larger ones: they speak where the small one has nothing to say."""
    side, share, total = _AREA, 1.0, np.zeros_like(values)
    while share == 1 or side < 2 * max(values.shape):
        total += share * _mean(values, min(side, 2 * min(values.shape) - 1))
        side, share = 2 * side, share * _WIDER
    return total


def _mean(values: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Over squares of `side` pixels around each pixel."""
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _up_to(values: npt.NDArray[np.float32], limit: float) -> npt.NDArray[np.float32]:
    """1 up to the limit, 0 from twice the limit on, straight between."""
    return np.asarray((2 - values / limit).clip(0, 1), dtype=np.float32)
