"""What is known of every frame before it is painted: its shot, how it relates to earlier frames, which styles go where.

None of it looks at a painting, so it is worked out ahead, in a thread of its own, while the frame before is painted; where frames are
painted faster than their flow is found, that of several frames at a time, in as many threads.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from vidstyle.flow import Flows
from vidstyle.frames import Frame, Shot
from vidstyle.guidance import Guidance, Guide
from vidstyle.media.base import Source
from vidstyle.motion import CLOSES, Motion, answering, at_rest
from vidstyle.pixels import pack, unpack
from vidstyle.settings import TemporalSettings
from vidstyle.shots import split_shots
from vidstyle.stillness import Held

__all__ = ["Part", "Step", "ahead", "plan", "referred_to"]

logger = logging.getLogger(__name__)

_COLLAPSE = 0.1
"""Share of pixels with a reliable flow under which a frame starts a new shot: there is nothing to hold on to."""
_LOOP = 24
"""Frames at the end of a loop, at most, that go towards the first one."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a film that is painted by itself; no cut is looked for in it."""

    first: int
    """Index of its first frame."""
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """One frame, and what its painting starts from and is held to."""

    frame: Frame
    motions: tuple[Motion, ...]
    """To earlier frames of the shot, the frame before first; none where the frame starts a shot, or was painted before."""
    guidance: Guidance
    shot_start: bool
    towards_first: tuple[Motion, float] | None = None
    """Near the end of a loop: the motion to the first frame, and how far this one goes towards it, in (0, 1)."""
    held: Held | None = None
    """What the paintings will have been made from after this frame; None where nothing is held still."""
    answers: tuple[npt.NDArray[np.float32], ...] = ()
    """How far each of the earlier frames answers for each pixel, as `vidstyle.motion.answering` has it."""


def plan(
    medium: Source,
    flows: Flows,
    guide: Guide,
    temporal: TemporalSettings,
    painted: Sequence[bool],
    held: Held | None = None,
    threads: int = 0,
    part: Part | None = None,
) -> Generator[Step]:
    """A step for every frame of a film, or of a `part` of it.

    The film is always decoded from its beginning, so that cuts are found, and masks move, as in a run without interruption.

    Args:
        medium: the film, or what gives the frames of the part alone.
        flows: between its frames.
        guide: which styles go where.
        temporal: which earlier frames are looked at, and whether the film is a loop.
        painted: for every frame that is painted already, whether it started a shot; its flow is not estimated again.
        held: what the last one of those has left, if it is gone on from.
        threads: that find the motions of as many frames ahead; with 0 they are found when they are asked for. What is found is the same.
        part: which part that is, without a cut in it; `painted` then begins with its first frame.
    """
    approach: _Approach | None = None
    if temporal.loop and not temporal.framewise:
        approach = _Approach(flows, sum(1 for _ in medium.frames()))  # a container's own count is an estimate
    distances = (1,) if temporal.framewise else temporal.references
    first = 0 if part is None else part.first
    unpainted = first + len(painted)
    for shot in split_shots(medium.frames()) if part is None else [Shot(0, first, medium.frames())]:
        began = 0
        for frame, found in _with_motions(shot.frames, flows, distances, unpainted, threads):
            known = [motion for motion in found if motion.source.index >= began]
            if frame.index < unpainted:
                shot_start = painted[frame.index - first]
            else:
                if known and float(known[0].trust.mean()) < _COLLAPSE:
                    logger.info("frame %d: the flow is reliable at %.0f %% only, starting afresh", frame.index, 100 * known[0].trust.mean())
                    known = []
                shot_start = not known
                if known and temporal.holds_still:
                    known = at_rest(known, None if held is None else held.agreement(frame.rgb))
            if shot_start:
                began = frame.index
            guidance = guide.at(frame, shot_start)
            if temporal.holds_still and frame.index >= unpainted:
                held = Held.first(frame.rgb) if shot_start or held is None else held.after(frame.rgb, guidance.resting(known[0].still))
            towards_first = approach.towards(frame) if approach is not None and known else None
            if approach is not None and approach.goal is None:
                approach.goal = frame
            answers = tuple(answering(known)) if known and frame.index >= unpainted else ()
            known = [*known[:1], *(replace(motion, change=None) for motion in known[1:])]  # of older ones nobody asks for it
            yield Step(frame, tuple(known), guidance, shot_start, towards_first, held, answers)


def referred_to(frame: Frame, earlier: Sequence[Frame], flows: Flows, references: Sequence[int]) -> list[Frame]:
    """The earlier frames of its shot that `frame` is set beside, the frame before first.

    Args:
        frame: the current frame.
        earlier: the frames of the shot before it, the last one latest.
        flows: between frames of the film; frames that it knows nothing of are not referred to.
        references: distances in frames; 1, which the start needs, is always among them.
    """
    near = [earlier[-distance] for distance in sorted({1, *references}) if distance <= len(earlier)]
    return [other for other in near if flows.knows(frame, other)]


def _with_motions(
    frames: Iterable[Frame], flows: Flows, references: Sequence[int], first: int, threads: int
) -> Generator[tuple[Frame, list[Motion]]]:
    """The frames of a shot in order, each with its motions to earlier ones of it, from the frame `first` of the film on."""
    earlier = _Earlier(max(references))
    coming: deque[tuple[Frame, list[Callable[[], Motion]]]] = deque()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) if threads else None
    own_threads = torch.get_num_threads()

    def begun(frame: Frame, other: Frame) -> Callable[[], Motion]:
        return partial(Motion.found, frame, other, flows) if pool is None else pool.submit(Motion.found, frame, other, flows).result

    def next_done() -> tuple[Frame, list[Motion]]:
        frame, found = coming.popleft()
        return frame, [motion() for motion in found]

    try:
        for frame in frames:
            others = referred_to(frame, earlier, flows, references) if frame.index >= first else []
            coming.append((frame, [begun(frame, other) for other in others]))
            earlier.append(frame)
            if len(coming) > threads:
                yield next_done()
        while coming:
            yield next_done()
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(own_threads)  # what the pool's threads have set holds for every thread that is begun from here on


class _Earlier(Sequence[Frame]):
    """The last so many frames of a shot; large ones packed without loss, as the oldest that is looked up may lie 40 frames back."""

    def __init__(self, count: int) -> None:
        self._kept: deque[tuple[Frame, npt.NDArray[np.uint8] | None]] = deque(maxlen=count)

    def append(self, frame: Frame) -> None:
        packed = pack(frame.rgb) if frame.rgb.size > _LARGE else None
        self._kept.append((replace(frame, rgb=frame.rgb if packed is None else _NOTHING, deep=None), packed))

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, position: Any) -> Any:
        frame, packed = self._kept[position]
        return frame if packed is None else replace(frame, rgb=unpack(packed))


_LARGE = 3 << 21
"""Numbers of a picture from which on it is packed: two megapixels. It takes a fifth of a second, and such a frame minutes."""
_NOTHING = np.zeros((0, 0, 3), np.uint8)


def ahead(items: Generator[Item], one: bool = True) -> Iterator[Item]:
    """The same items in the same order, the next of which is worked out in a thread of its own while the caller is busy with one.

    Where memory is short, not `one`: then only when it is asked for.
    """
    if not one:
        with closing(items):
            yield from items
        return
    end = object()
    with closing(items), ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # it is not `end`


class _Approach:
    """The last frames of a loop, which are to flow into its first one."""

    def __init__(self, flows: Flows, count: int) -> None:
        """`count` frames are shown before the first one is again."""
        self._flows, self._count = flows, count
        self._warned = False
        self.goal: Frame | None = None

    def towards(self, frame: Frame) -> tuple[Motion, float] | None:
        """How `frame` goes towards the goal; None where it is too far from the end to do so.

        Every frame goes on by one part of as many as there are frames left, so that the way is the same at each step. The last step is the
        one to the first frame.
        """
        left = self._count - frame.index
        if left > min(_LOOP, self._count // 2) or self.goal is None:
            return None
        closes = Motion.found(frame, self.goal, self._flows) if self._flows.knows(frame, self.goal) else None
        if closes is not None and float(closes.trust.mean()) >= CLOSES:
            return closes, 1 / (left + 1)
        if not self._warned:
            if closes is None:
                reason = f"--flow has no files between frame {frame.index + 1} and the first, so that the end cannot flow into it"
            else:
                reason = "the end of the film does not look like its beginning, so that it cannot flow into it"
            logger.warning("--loop: %s", reason)
        self._warned = True
        return None
