"""Bilinear look-up in numpy, for fields and masks.

Not `cv2.remap`: it rounds positions to 1/32 pixel, which is the size of the flow's own error.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vidstyle.frames import FlowField

__all__ = ["end_points", "inside", "sample"]

_TOLERANCE = 0.01
"""Pixels by which a vector may overshoot the border: noise of an estimator at the border of a still picture."""


def end_points(flow: FlowField) -> npt.NDArray[np.float64]:
    """(2, H, W): where each pixel's vector ends, (x, y) in pixels."""
    height, width = flow.size
    points = flow.data.astype(np.float64)
    points[0] += np.arange(width)
    points[1] += np.arange(height)[:, None]
    return points


def inside(points: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(H, W): which of the (2, H, W) points lie between the centres of a (height, width) picture's outermost pixels."""
    height, width = size
    x, y = points
    low, high = -_TOLERANCE, _TOLERANCE - 1
    return np.asarray((x >= low) & (x <= width + high) & (y >= low) & (y <= height + high))


def sample(values: npt.NDArray[np.float32], points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Values (C, H, W) at the points (2, h, w), bilinear, the border repeated outwards; (C, h, w) float32."""
    _, height, width = values.shape
    x, y = np.clip(points[0], 0, width - 1), np.clip(points[1], 0, height - 1)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    wx, wy = (x - left).astype(np.float32), (y - top).astype(np.float32)
    upper = values[:, top, left] * (1 - wx) + values[:, top, right] * wx
    lower = values[:, bottom, left] * (1 - wx) + values[:, bottom, right] * wx
    return np.asarray(upper * (1 - wy) + lower * wy, dtype=np.float32)
