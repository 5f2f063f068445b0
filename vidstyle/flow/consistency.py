"""Which vectors can be trusted: the forward-backward and motion-boundary tests of Ruder et al. (2016).

Three reasons for distrust are kept apart, since they ask for different cures: what lies outside the
reference or was hidden in it is not to be had there at all, whereas next to a motion boundary the
vector is only uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidstyle.flow.sampling import end_points, inside, sample
from vidstyle.frames import FlowField

__all__ = ["Consistency", "consistency", "reliable", "stretched"]

_STRETCHED = 0.93
"""Area in the reference, relative to the median, under which a place counts as stretched: less is noise of the flow."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """The three tests, each (H, W) bool at the current frame, true where the vector fails."""

    outside: npt.NDArray[np.bool_]
    """The vector ends outside the reference's picture."""
    disoccluded: npt.NDArray[np.bool_]
    """Inside, but the way back does not return: hidden in the reference (or the flow is wrong)."""
    boundary: npt.NDArray[np.bool_]
    """The field changes sharply here, whatever the other tests say."""

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """(H, W): the reference does not show what is here; another source has to fill it."""
        return self.outside | self.disoccluded

    @property
    def reliable(self) -> npt.NDArray[np.float32]:
        """(H, W) float32: 1 where all three tests pass, else 0."""
        return np.asarray(~(self.outside | self.disoccluded | self.boundary), dtype=np.float32)


def consistency(flow: FlowField, backward: FlowField) -> Consistency:
    """Puts `flow` to the three tests.

    Args:
        flow: at the current frame, into the reference: w.
        backward: at the reference, into the current frame; ŵ is its value where w ends.

    With u, v the components of w:
    disoccluded where |w + ŵ|² ≥ 0.01 (|w|² + |ŵ|²) + 0.5, boundary where |∇u|² + |∇v|² > 0.01 |w|² + 0.002.

    Raises:
        ValueError: the fields differ in size.
    """
    if flow.size != backward.size:
        raise ValueError(f"both fields must have one size, got {flow.size = } {backward.size = }")
    points = end_points(flow)
    outside = ~inside(points, flow.size)
    back = sample(backward.data, points)
    w2, back2 = _square(flow.data), _square(back)
    disoccluded = ~outside & (_square(flow.data + back) >= 0.01 * (w2 + back2) + 0.5)
    boundary = _gradient_square(flow.data) > 0.01 * w2 + 0.002
    return Consistency(outside, disoccluded, boundary)


def reliable(flow: FlowField, backward: FlowField) -> npt.NDArray[np.float32]:
    """(H, W) float32 mask: 1 where `flow` passes every test of `consistency`, else 0."""
    return consistency(flow, backward).reliable


def stretched(flow: FlowField) -> npt.NDArray[np.bool_]:
    """(H, W): where the flow magnifies the reference more than it does the frame as a whole.

    A smooth field draws what uncovers behind a moving thing out of the few pixels that were visible. One frame
    of it passes the other tests; in ten frames brush strokes are drawn out into streaks. The area that a pixel covers in the
    reference is the determinant of ∂(p + w)/∂p; its median stands for what the camera does.
    """
    if min(flow.size) < 2:  # one pixel has no slope
        return np.zeros(flow.size, np.bool_)
    (ux, uy), (vx, vy) = ((np.gradient(part, axis=1), np.gradient(part, axis=0)) for part in flow.data)
    area = (1 + ux) * (1 + vy) - uy * vx
    return np.asarray(area < _STRETCHED * np.median(area), np.bool_)


def _square(field: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray((field**2).sum(axis=0), dtype=np.float32)


def _gradient_square(field: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sum of the squared central differences, one-sided at the picture's border."""
    total = np.zeros(field.shape[1:], np.float32)
    for axis in (1, 2):
        if field.shape[axis] > 1:  # one pixel has no slope
            total += _square(np.gradient(field, axis=axis))
    return total
