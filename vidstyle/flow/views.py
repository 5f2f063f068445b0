"""Pictures that explain a pair of frames: its flow, where that is trusted, and where the painting does not follow it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.flow.consistency import Consistency
from vidstyle.flow.warp import warp
from vidstyle.frames import FlowField
from vidstyle.pixels import to_tensor

__all__ = ["error_picture", "flow_picture", "trust_picture"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

OUTSIDE, DISOCCLUDED, BOUNDARY, TRUSTED = (120, 120, 120), (213, 94, 0), (0, 114, 178), (245, 245, 240)
"""Colours of the three tests that a vector can fail, told apart by colour-blind people too (Okabe & Ito), and of what passes all."""
_LARGE_ERROR = 0.1
"""Difference in [0, 1] that is shown as the largest."""


def flow_picture(flow: FlowField, longest: float | None = None) -> tuple[Picture, float]:
    """Direction as hue, length as saturation up to `longest` pixels, by default the longest vector but for one percent; and that length."""
    dx, dy = flow.data
    length, angle = np.hypot(dx, dy), np.degrees(np.arctan2(dy, dx)) % 360
    longest = max(float(np.percentile(length, 99)), 1e-3) if longest is None else longest
    saturation = np.clip(length / longest, 0, 1)
    hsv = np.stack([angle / 2, 255 * saturation, np.full_like(angle, 255)], axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8), longest


def trust_picture(found: Consistency) -> Picture:
    """Where the flow is trusted, and what it fails elsewhere."""
    picture = np.empty((*found.outside.shape, 3), np.uint8)
    picture[:] = TRUSTED
    for where, color in ((found.boundary, BOUNDARY), (found.disoccluded, DISOCCLUDED), (found.outside, OUTSIDE)):
        picture[where] = color
    return picture


def error_picture(current: Picture, before: Picture, flow: FlowField, trust: npt.NDArray[np.float32]) -> Picture:
    """How far `current` is from `before` moved along `flow`, dark to bright; black where the flow is not trusted."""
    moved = warp(to_tensor(before), flow, mode="bilinear")
    apart = (to_tensor(current) - moved).square().mean(dim=1)[0].sqrt().numpy() * trust
    levels = (255 * np.clip(apart / _LARGE_ERROR, 0, 1)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)
