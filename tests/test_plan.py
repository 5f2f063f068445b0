"""What is worked out before a frame is painted, and that it is worked out ahead."""

from __future__ import annotations

import threading
from collections.abc import Generator
from fractions import Fraction

import numpy as np
import pytest

from tests.scenes import Scene
from vidstyle.flow.between import EstimatedFlows
from vidstyle.frames import FlowField, Frame
from vidstyle.plan import ahead, motions

SCENE = Scene(size=(48, 64))


def frame(t: int) -> Frame:
    return Frame(t, t, Fraction(1, 24), SCENE.frame(t))


class Counting:
    """An estimator that says how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, current: np.ndarray, reference: np.ndarray) -> FlowField:
        self.asked += 1
        return FlowField(np.full((2, *current.shape[:2]), float(self.asked), np.float32))


class TestAhead:
    def test_the_next_item_is_worked_out_while_one_is_used(self) -> None:
        reached = [threading.Event() for _ in range(4)]

        def items() -> Generator[int]:
            for number, event in enumerate(reached):
                event.set()
                yield number

        for number in ahead(items()):
            assert number == 3 or reached[number + 1].wait(timeout=10), "the next item waits for this one to be done"
            assert number >= 2 or not reached[number + 2].is_set(), "more than one item ahead"

    def test_everything_comes_out_in_order(self) -> None:
        assert list(ahead(number for number in range(20))) == list(range(20))
        assert list(ahead(number for number in ())) == []

    def test_an_error_comes_where_its_item_would(self) -> None:
        def items() -> Generator[int]:
            yield 1
            raise ValueError("broken")

        walked = ahead(items())
        assert next(walked) == 1
        with pytest.raises(ValueError, match="broken"):
            next(walked)

    def test_giving_up_early_ends_the_thread_and_closes_the_items(self) -> None:
        ended = threading.Event()

        def items() -> Generator[int]:
            try:
                yield from range(100)
            finally:
                ended.set()

        before = threading.active_count()
        walked = ahead(items())
        next(walked)
        walked.close()  # type: ignore[attr-defined]  # it is a generator
        assert ended.is_set()
        assert threading.active_count() == before


class TestMotions:
    def test_the_frame_before_comes_first_whatever_the_references(self) -> None:
        found = motions(frame(6), [frame(t) for t in range(6)], EstimatedFlows(Counting()), (4, 2))
        assert [motion.distance for motion in found] == [1, 2, 4]
        assert [motion.source.index for motion in found] == [5, 4, 2]

    def test_frames_before_the_shot_are_not_referred_to(self) -> None:
        assert [motion.distance for motion in motions(frame(6), [frame(4), frame(5)], EstimatedFlows(Counting()), (10, 2))] == [1, 2]


def test_flow_between_neighbours_is_estimated_once() -> None:
    estimator = Counting()
    flows = EstimatedFlows(estimator)
    one, other = frame(3), frame(4)
    there, back = flows(other, one), flows(one, other)
    assert (flows(other, one), flows(one, other)) == (there, back)
    assert estimator.asked == 2
    flows(frame(5), other)
    flows(other, frame(5))
    assert estimator.asked == 4
    assert flows(other, one) is not there
