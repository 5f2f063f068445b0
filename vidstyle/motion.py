"""How a frame relates to earlier ones of its shot, and what of their paintings it starts from and is held to.

Convention: flow points from the current frame into the earlier one, so that a picture of the earlier frame
can be moved to the current one (`vidstyle.flow.warp`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from vidstyle.color import linear_color_match, match_colors
from vidstyle.flow import Consistency, Flows, consistency, stretched, warp
from vidstyle.flow.sampling import end_points, inside
from vidstyle.frames import FlowField, Frame
from vidstyle.losses import area_means
from vidstyle.pixels import blurred, near, to_plane, to_tensor
from vidstyle.stillness import stillness
from vidstyle.terms import Reference

__all__ = ["CLOSES", "Motion", "answering", "at_rest", "calmed", "drift_target", "fill_new", "inwards", "with_older"]

CLOSES = 0.25
"""Share of the pixels with a reliable flow into the first frame from which the end of a loop can go towards it."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How the current frame relates to an earlier one of its shot.

    `distance` is how many frames back that one is. `flow` points from the current frame into it.
    `source` is the earlier source frame, `trust` what the temporal loss believes (0 or 1), `shown` what the way there and back
    finds again, `new` what the earlier frame does not show at all, `still` how surely (0 to 1) it shows the same in the same
    place. `change` is the current source frame less the earlier one moved to it, (3, H, W) RGB on [0, 1]; None where nobody asks
    for it any more.
    """

    distance: int
    source: Frame
    flow: FlowField
    trust: npt.NDArray[np.float32]
    shown: npt.NDArray[np.bool_]
    new: npt.NDArray[np.bool_]
    still: npt.NDArray[np.float32]
    change: npt.NDArray[np.float32] | None = field(repr=False)
    difference: npt.NDArray[np.float32] = field(repr=False)
    """(H, W): how much the two source frames differ in colour around each pixel, on [0, 1]."""

    @classmethod
    def between(cls, frame: Frame, source: Frame, flow: FlowField, tests: Consistency) -> Motion:
        """The motion from `frame` back to `source`, given the flow and what its tests say.

        A pixel counts as new if its vector leaves the picture, or if the way back does not return *and* the
        colours disagree: in plain sky the flow is noise and fails every test, yet what it points at is as good as any.
        """
        change = (to_tensor(frame.rgb) - warp(to_tensor(source.rgb), flow, mode="bilinear"))[0].numpy()
        difference = _difference(change)
        new = tests.outside | (tests.disoccluded & (difference > _NEW_COLOR))
        shown = ~(tests.outside | tests.disoccluded)
        distance = frame.index - source.index
        still = stillness(frame.rgb, source.rgb, flow, max(abs(distance), 1))
        return cls(distance, source, flow, tests.reliable * ~stretched(flow), shown, new, still, change, difference)

    @classmethod
    def found(cls, frame: Frame, source: Frame, flows: Flows) -> Motion:
        """The motion from `frame` to `source`, by the flow both ways, since the way back tells what can be trusted."""
        flow = flows(frame, source)
        return cls.between(frame, source, flow, consistency(flow, flows(source, frame)))


def _difference(change: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(3, H, W) -> (H, W): mean of the absolute change of R, G, B over 3×3 pixels."""
    one = torch.from_numpy(np.abs(change).mean(axis=0))[None, None]
    return functional.avg_pool2d(functional.pad(one, (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0, 0].numpy()


def answering(motions: Sequence[Motion]) -> list[npt.NDArray[np.float32]]:
    """How far each of the earlier frames answers for each pixel, (H, W) in [0, 1] a motion; their sum is 1 at most.

    The frame before, `motions[0]`, answers for all it is trusted in (Ruder et al. 2016, eq. 9). For the rest, what
    something had covered or what lies beside a moving edge, the first older one does that shows it and
    whose source looks more like the current one than the frame before: what comes to light again is as it was painted.
    The colours speak in place of the motion-boundary test, which would leave a line unanswered behind everything that moves.

    Where an older frame's pixels meet those of the frame before and it shows these too, the two pass into each other: strokes
    that were cut off along a mask, pixel by pixel, stay for good, since no loss minds so fine a line.
    """
    weights = [(motions[0].trust > 0).astype(np.float32)]
    open_ = weights[0] == 0
    for motion in motions[1:]:
        alike = motion.shown & (motion.difference < np.minimum(motions[0].difference, _NEW_COLOR))
        mask = open_ & alike
        open_ = open_ & ~mask
        beside = motion.shown & (motion.difference < _NEW_COLOR) & ~open_
        weight = np.where(mask, np.float32(1), np.where(beside, near(mask, _SEAM), np.float32(0)))
        weights = [one * (1 - weight) for one in weights]
        weights.append(weight)
    return weights


def at_rest(motions: Sequence[Motion], agreement: npt.NDArray[np.float32] | None = None) -> list[Motion]:
    """The same motions, the first one knowing what the older ones say of its stillness.

    A pixel has been standing still if the frame before says so and every older one in which it is not hidden. Its vector is noise,
    which would have it moved to and fro and distrusted where it leaves the picture by a hair: it becomes 0, and is trusted. Pixels
    that are not quite sure go by a part of their vector. The frame before alone must not say so: a slow pan would be seen as none,
    frame after frame. And a pixel is `still`, to be left as it is, only if its painting was made from what is there now.

    Args:
        motions: from one frame, to the frame before first.
        agreement: how surely each pixel's painting was made from what is there now (`Held.agreement`), (H, W) in [0, 1]; None: all were.
    """
    nearest, *older = motions
    rest = nearest.still * (nearest.shown | (nearest.still == 1))
    for motion in older:
        hidden = ~motion.shown & inside(end_points(motion.flow), motion.flow.size)
        rest = rest * np.where(hidden, 1, motion.still)
    sure = rest == 1
    settled = replace(
        nearest,
        flow=FlowField((nearest.flow.data * (1 - rest)).astype(np.float32)),
        trust=np.where(sure, np.float32(1), nearest.trust),
        shown=nearest.shown | sure,
        new=nearest.new & ~sure,
        still=(rest if agreement is None else rest * agreement).astype(np.float32),
    )
    return [settled, *older]


def with_older(start: torch.Tensor, moved: Sequence[torch.Tensor], weights: Sequence[npt.NDArray[np.float32]]) -> torch.Tensor:
    """`start` with what older frames answer for in its place.

    Args:
        start: what the frame before and the fill make of it, (1, 3, H, W).
        moved: every earlier painting, moved along its flow; that of the frame before first, which `start` has already.
        weights: as `answering` gives them, in the same order.
    """
    shares = [to_plane(weight, start.device) for weight in weights[1:]]
    if not shares:
        return start
    older = torch.stack([share * picture for share, picture in zip(shares, moved[1:], strict=True)]).sum(dim=0)
    return start * (1 - torch.stack(shares).sum(dim=0)) + older


def calmed(start: torch.Tensor, weights: Sequence[npt.NDArray[np.float32]]) -> torch.Tensor:
    """The picture a frame starts from, (1, 3, H, W), slightly blurred where no earlier frame answers for it, by half where two share it.

    Beside a moving edge the flow is at its worst, and draws the finest detail together to specks and dotted lines, a light rim around
    whatever moves fast. No loss minds them, so that they would stay; strokes are painted anew in a few steps.

    Args:
        start: the picture, in [0, 1].
        weights: as `answering` gives them.
    """
    loose = 1 - np.maximum.reduce(list(weights))
    if not loose.any():
        return start
    share = blurred(functional.max_pool2d(to_plane(loose, start.device), 3, stride=1, padding=1), 1.0)
    return torch.lerp(start, blurred(start, _BLUR), share)


def drift_target(moved: torch.Tensor, motion: Motion) -> Reference:
    """What brightness and colour are held to: those of the frame before's painting, changed as the source has changed.

    Held only where the flow is trusted and the source itself is calm, about a fifth of a grey level a frame on the mean over an
    area: where light or view change, the painting is to find its own answer.

    Args:
        moved: the frame before's painting, moved along the flow, (1, 3, H, W) in [0, 1].
        motion: to the frame before.
    """
    assert motion.change is not None
    change = to_plane(motion.change, moved.device)
    trust = to_plane(motion.trust * (motion.difference < _NEW_COLOR), moved.device)
    slow = functional.interpolate(area_means(trust * change), change.shape[2:], mode="bilinear").abs().mean(dim=1, keepdim=True)
    return Reference(moved + change, trust * torch.exp(-((slow / _CALM) ** 2)))


_CALM = 0.2 / 255
"""Change of the source's area means a frame at which the drift is held by e⁻¹ of its weight only."""

_BLUR = 0.6
"""σ in pixels of the blur of what nothing is known about."""

_SEAM = 3.0
"""Pixels within which what is taken from one place passes into what is taken from another."""

_NEW_COLOR = 8 / 255
"""Mean difference of R, G, B over 3×3 pixels from which a pixel that fails the forward-backward test counts as new."""


def fill_new(moved: torch.Tensor, motion: Motion, painted: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Where a frame starts from: the painted frame before, moved along the flow; new pixels get colours and strokes.

    New pixels take the colours of what is really there (the source's, mapped to the painting's by a linear match of
    colour statistics between the frame before and its painting), and on them the *difference* between the painting and the
    mapped source of the frame before, moved along the flow, for what lies outside from half a picture further in. Colours alone
    leave flat patches that a dozen steps cannot paint over; pixels held from the border leave stripes, and strokes mirrored
    there repeat themselves with every frame of a pan.

    Args:
        moved: the frame before's painting, moved along the flow, (1, 3, H, W) in [0, 1].
        motion: to the frame before.
        painted: that frame's painting, (1, 3, H, W) in [0, 1].
        source: the current source frame, (1, 3, H, W) in [0, 1].
    """
    if not motion.new.any():
        return moved
    before = to_tensor(motion.source.rgb, source.device)
    matrix, offset = linear_color_match(before, painted)
    strokes = painted - match_colors(before, matrix, offset)
    fill = match_colors(source, matrix, offset) + warp(strokes, inwards(motion.flow))
    new = to_plane(near(motion.new, _SEAM), source.device)
    return torch.lerp(moved, fill.clamp(0, 1), new)


def inwards(flow: FlowField) -> FlowField:
    """The field with every end point outside the picture moved by half a picture, once or more, so that it lies inside.

    Neighbours keep together, from frame to frame too: what a pan brings in over many frames is one piece, as wide as half the picture.
    """
    ends = end_points(flow)
    grid = ends - flow.data
    for axis, length in enumerate(reversed(flow.size)):
        half = length / 2
        beyond = np.ceil(np.maximum(ends[axis] - (length - 1), 0) / half) - np.ceil(np.maximum(-ends[axis], 0) / half)
        ends[axis] = (ends[axis] - half * beyond).clip(0, length - 1)
    return FlowField((ends - grid).astype(np.float32))
