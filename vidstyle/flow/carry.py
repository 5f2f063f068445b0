"""Masks carried along a film: drawn on one frame, read on later ones."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.flow.compose import compose
from vidstyle.flow.consistency import consistency
from vidstyle.flow.sampling import end_points, sample
from vidstyle.frames import FlowField

__all__ = ["carried", "read_along"]

_BAND = 4
"""Pixels on either side of a mask's edge that are looked at again where the two sides move apart."""
_REACH = 12
"""Pixels around one in doubt in which a pixel like it is looked for."""
_APART = 0.5
"""Difference of motion, in pixels a frame, within that reach from which the sides of an edge move apart."""
_RETURNS = 0.3
"""Pixels by which the way there and back may miss; the tests of `consistency` allow 0.7 and more, which lets trails grow."""
_DISTANCE, _MOTION, _MOST_MOTION = 2.0, 30.0, 2.0
"""What a pixel of distance, and one of difference in motion (up to the third), weigh against grey levels summed over R, G and B."""


def carried(
    masks: npt.NDArray[np.float32], far: FlowField | None, step: FlowField, back: FlowField, rgb: npt.NDArray[np.uint8]
) -> FlowField:
    """The flow from the current frame into that of the masks, one step further.

    The steps are put together and the masks read once, so that their edges stay as sharp as they were. What is in doubt (just uncovered,
    or near an edge whose sides move apart) is taken to belong with the pixel nearby that looks and moves most like it, and points
    where that one does: else each step would leave a little of the mask behind a figure, a trail in the end.

    Args:
        masks: (masks, H, W) in [0, 1], at their own frame.
        far: from the frame before into the masks'; None where that is it.
        step: from the current frame into the one before.
        back: the way back.
        rgb: the current frame, (H, W, 3) uint8.
    """
    flow = step if far is None else compose(step, far)
    tests = consistency(step, back)
    holds = ~tests.missing & (np.hypot(*(step.data + sample(back.data, end_points(step)))) < _RETURNS)
    doubt = ~holds | tests.boundary | (_near_edges(read_along(masks, flow)) & _moves_apart(step))
    return _adopted(flow, step, rgb, doubt, holds)


def read_along(masks: npt.NDArray[np.float32], flow: FlowField) -> npt.NDArray[np.float32]:
    """Masks, (masks, H, W), as the current frame sees them; `flow` points into theirs. Outside its border a mask is repeated."""
    x, y = end_points(flow)
    read = [
        cv2.remap(mask, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for mask in masks
    ]
    return np.stack(read).astype(np.float32)


def _near_edges(masks: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(H, W): within the band around any mask's edge."""
    window = np.ones((2 * _BAND + 1, 2 * _BAND + 1), np.uint8)
    near = [cv2.morphologyEx((mask > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, window) > 0 for mask in masks]
    return np.asarray(np.any(near, axis=0))


def _moves_apart(step: FlowField) -> npt.NDArray[np.bool_]:
    """(H, W): motions within reach differ."""
    window = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    spread = [cv2.morphologyEx(part, cv2.MORPH_GRADIENT, window) for part in step.data]
    return np.asarray(np.hypot(*spread) > _APART)


def _adopted(
    flow: FlowField, step: FlowField, rgb: npt.NDArray[np.uint8], doubt: npt.NDArray[np.bool_], holds: npt.NDArray[np.bool_]
) -> FlowField:
    """`flow` with the vectors in doubt led where that of the most similar pixel leads.

    A pixel's own motion counts where it holds.
    """
    height, width = flow.size
    rows, columns = np.nonzero(doubt)
    color = np.asarray(cv2.blur(rgb.astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE))
    own, motion = color[rows, columns], step.data[:, rows, columns]
    weight = _MOTION * holds[rows, columns]
    best = np.full(len(rows), np.inf, np.float32)
    ends = flow.data.copy()
    for dy in range(-_REACH, _REACH + 1):
        for dx in range(-_REACH, _REACH + 1):
            y, x = (rows + dy).clip(0, height - 1), (columns + dx).clip(0, width - 1)
            unlike = np.abs(color[y, x] - own).sum(axis=1) + _DISTANCE * float(np.hypot(dy, dx))
            unlike += weight * np.minimum(np.hypot(*(step.data[:, y, x] - motion)), _MOST_MOTION)
            better = ~doubt[y, x] & (unlike < best)
            best[better] = unlike[better]
            at, of = (rows[better], columns[better]), (y[better], x[better])
            ends[0][at] = flow.data[0][of] + (of[1] - at[1])
            ends[1][at] = flow.data[1][of] + (of[0] - at[0])
    return FlowField(ends)
