"""What is worked out before a frame is painted, and that it is worked out ahead."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.scenes import Scene
from vidstyle.device import spare_threads
from vidstyle.errors import MediaError
from vidstyle.flow import make_flows
from vidstyle.flow.between import EstimatedFlows
from vidstyle.frames import FlowField, Frame
from vidstyle.guidance import Guide
from vidstyle.media import open_source
from vidstyle.motion import Motion
from vidstyle.plan import Step, _Earlier, ahead, plan, referred_to
from vidstyle.settings import Settings

SAMPLES = Path(__file__).parent.parent / "sample_media"
SCENE = Scene(size=(48, 64))


def frame(t: int) -> Frame:
    return Frame(t, t, Fraction(1, 24), SCENE.frame(t))


@pytest.mark.parametrize("large", [0, 10**9], ids=["packed", "as they are"])
def test_earlier_frames_are_kept_without_loss(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidstyle.plan._LARGE", large)
    earlier = _Earlier(3)
    for t in range(5):
        earlier.append(replace(frame(t), deep=frame(t).rgb.astype(np.uint16)))
    assert [one.index for one in earlier] == [2, 3, 4]
    for one in earlier:
        assert np.array_equal(one.rgb, frame(one.index).rgb)
        assert one.deep is None
    assert (earlier._kept[0][1] is None) == (large > 0)


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


class TestReferredTo:
    def test_the_frame_before_comes_first_whatever_the_references(self) -> None:
        found = referred_to(frame(6), [frame(t) for t in range(6)], EstimatedFlows(Counting()), (4, 2))
        assert [other.index for other in found] == [5, 4, 2]

    def test_frames_before_the_shot_are_not(self) -> None:
        found = referred_to(frame(6), [frame(4), frame(5)], EstimatedFlows(Counting()), (10, 2))
        assert [other.index for other in found] == [5, 4]


class TestManyFramesAhead:
    """Flow that is found in several threads is that of one."""

    def planned(self, threads: int, painted: Sequence[bool]) -> list[Step]:
        settings = Settings.from_mapping({"run": {"size": 64}, "temporal": {"references": [1, 3]}})
        flows = make_flows("farneback", kept=threads + 1)
        with open_source(SAMPLES / "cut.mp4", settings.run) as medium:
            return list(plan(medium, flows, Guide(settings, 1, medium.info, flows), settings.temporal, painted, None, threads))

    @pytest.mark.parametrize("painted", [[], [True] + 5 * [False], [True] + 13 * [False]])
    def test_says_the_same(self, painted: list[bool]) -> None:
        one, many = self.planned(0, painted), self.planned(3, painted)
        assert [step.frame.index for step in one] == list(range(24)) == [step.frame.index for step in many]
        assert [step.shot_start for step in one] == [step.shot_start for step in many]
        for alone, together in zip(one, many, strict=True):
            assert [motion.distance for motion in alone.motions] == [motion.distance for motion in together.motions]
            for a, b in zip(alone.motions, together.motions, strict=True):
                assert np.array_equal(a.flow.data, b.flow.data)
                assert np.array_equal(a.trust, b.trust)
                assert np.array_equal(a.still, b.still)

    def test_later_threads_compute_as_before(self) -> None:
        """torch keeps the number that any thread sets for all that are begun after it; how sums are rounded goes by that number."""

        def of_a_new_thread() -> int:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(torch.get_num_threads).result()

        own = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            self.planned(3, [])
            assert of_a_new_thread() == torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(own)

    @pytest.mark.parametrize("threads", [0, 3])
    def test_nothing_reaches_back_beyond_a_fresh_start(self, threads: int) -> None:
        class LostAtFive:
            def knows(self, current: Frame, reference: Frame) -> bool:
                return True

            def __call__(self, current: Frame, reference: Frame) -> FlowField:
                lost = {current.index, reference.index} == {4, 5}
                return FlowField(np.full((2, *current.rgb.shape[:2]), 1000.0 if lost else 0.0, np.float32))

        settings = Settings.from_mapping({"run": {"size": 64, "end": "10f"}, "temporal": {"references": [1, 2, 4]}})
        with open_source(SAMPLES / "clip.mp4", settings.run) as medium:
            flows = LostAtFive()
            steps = list(plan(medium, flows, Guide(settings, 1, medium.info, flows), settings.temporal, [], None, threads))
        assert [step.frame.index for step in steps if step.shot_start] == [0, 5]
        assert [[motion.source.index for motion in step.motions] for step in steps[4:]] == [[3, 2, 0], [], [5], [6, 5], [7, 6], [8, 7, 5]]

    def test_they_are_found_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Three frames wait for each other; one alone would wait for good."""
        together = threading.Barrier(3, timeout=20)
        found = Motion.found

        def waits(*arguments: Any) -> Motion:
            together.wait()
            return found(*arguments)

        monkeypatch.setattr(Motion, "found", waits)
        settings = Settings.from_mapping({"run": {"size": 64, "end": "10f"}, "temporal": {"references": [1]}})
        flows = make_flows("none", kept=4)
        with open_source(SAMPLES / "clip.mp4", settings.run) as medium:
            steps = plan(medium, flows, Guide(settings, 1, medium.info, flows), settings.temporal, [], None, 3)
            assert len(list(steps)) == 10

    def test_giving_up_drops_what_has_not_begun(self) -> None:
        before = threading.active_count()
        settings = Settings.from_mapping({"run": {"size": 64}})
        flows = make_flows("none", kept=4)
        with open_source(SAMPLES / "clip.mp4", settings.run) as medium:
            steps = plan(medium, flows, Guide(settings, 1, medium.info, flows), settings.temporal, [], None, 3)
            next(steps), next(steps)
            steps.close()
        assert threading.active_count() == before

    def test_an_error_comes_out_where_its_frame_would(self) -> None:
        class Broken:
            def knows(self, current: Frame, reference: Frame) -> bool:
                return True

            def __call__(self, current: Frame, reference: Frame) -> FlowField:
                if max(current.index, reference.index) == 5:
                    raise MediaError("no flow")
                return FlowField(np.zeros((2, *current.rgb.shape[:2]), np.float32))

        settings = Settings.from_mapping({"run": {"size": 64}})
        with open_source(SAMPLES / "clip.mp4", settings.run) as medium:
            flows = Broken()
            steps = plan(medium, flows, Guide(settings, 1, medium.info, flows), settings.temporal, [], None, 3)
            assert [next(steps).frame.index for _ in range(5)] == [0, 1, 2, 3, 4]
            with pytest.raises(MediaError, match="no flow"):
                next(steps)


def test_a_cpu_that_paints_finds_no_flow_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 12)
    assert spare_threads(torch.device("cpu")) == 0
    assert spare_threads(torch.device("cuda")) == 10
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert spare_threads(torch.device("cuda")) == 1


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
