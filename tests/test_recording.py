"""What a GPU records and plays, with a recording that does the work again in its place."""

from collections.abc import Callable

import pytest
import torch

from vidstyle.objective import Evaluation
from vidstyle.optimize import lbfgs
from vidstyle.recording import Recorder, Work


def bowl(centre: float) -> Callable[[torch.Tensor], Evaluation]:
    """A paraboloid of every pixel's own steepness around `centre`."""

    def objective(image: torch.Tensor) -> Evaluation:
        steep = torch.linspace(1, 9, image.numel()).view_as(image)
        away = image - centre
        return Evaluation(("content",), (steep * away.square()).sum()[None], 2 * steep * away)

    return objective


class Recording:
    """As a CUDA graph has it: the outcome always lies in the same place."""

    def __init__(self) -> None:
        self.made, self.played = 0, 0
        self.firsts: list[bool] = []

    def __call__(self, work: Work, first: bool) -> tuple[Callable[[], None], Evaluation]:
        self.made += 1
        self.firsts.append(first)
        outcome = work()
        outcome.values.fill_(torch.nan)  # recording computes nothing
        outcome.gradient.fill_(torch.nan)

        def again() -> None:
            self.played += 1
            anew = work()
            outcome.values.copy_(anew.values)
            outcome.gradient.copy_(anew.gradient)

        return again, outcome


START = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(3))


def test_the_same_steps_are_made() -> None:
    plain = lbfgs(bowl(0.4), START, 12)
    recording = Recording()
    played = lbfgs(Recorder(recording)(bowl(0.4)), START, 12)
    assert played.trace == plain.trace
    assert torch.equal(played.image, plain.image)
    assert (recording.made, recording.played) == (1, 10)


def test_every_objective_has_its_own_recording() -> None:
    recording = Recording()
    recorder = Recorder(recording)
    for centre in (0.2, 0.7):
        assert torch.equal(lbfgs(recorder(bowl(centre)), START, 12).image, lbfgs(bowl(centre), START, 12).image)
    assert recording.made == 2
    assert recording.played == 10 + 12  # libraries are warm at the second


def test_what_was_given_out_stays_as_it_was() -> None:
    evaluate = Recorder(Recording())(bowl(0.5))
    for _ in range(2):
        evaluate(START)
    first = evaluate(START)
    kept = first.values.clone(), first.gradient.clone()
    evaluate(START + 0.1)
    assert torch.equal(first.values, kept[0])
    assert torch.equal(first.gradient, kept[1])


def test_large_pictures_are_not_recorded() -> None:
    recording = Recording()
    evaluate = Recorder(recording)(bowl(0.5))
    for _ in range(4):
        evaluate(torch.zeros(1, 3, 1024, 1025))
    assert recording.made == 0


def test_what_another_kind_does_is_done_as_it_comes_before_it_is_recorded() -> None:
    """A frame that follows has terms that the first one had not, whose work was never done."""
    recording = Recording()
    recorder = Recorder(recording)
    for kind in ("first", "follows", "follows", "first"):
        lbfgs(recorder(bowl(0.4), kind), START, 12)
    assert recording.played == 10 + 10 + 12 + 12
    assert recording.firsts == [True, True, False, False]
    assert recorder.recordings == 4


class Refuses:
    """Cannot record so many times."""

    def __init__(self, times: int) -> None:
        self.asked, self._times, self._recording = 0, times, Recording()

    def __call__(self, work: Work, first: bool) -> tuple[Callable[[], None], Evaluation]:
        self.asked += 1
        if self.asked <= self._times:
            raise RuntimeError("operation not permitted when stream is capturing")
        return self._recording(work, first)


@pytest.mark.parametrize(("times", "asked", "recordings"), [(1, 5, 4), (9, 3, 0)])
def test_what_cannot_be_recorded_is_done_as_it_comes(times: int, asked: int, recordings: int, caplog: pytest.LogCaptureFixture) -> None:
    """A frame that fails is not tried again, a job is given up after three, and it is said once."""
    refuses = Refuses(times)
    recorder = Recorder(refuses)
    for _ in range(5):
        assert torch.equal(lbfgs(recorder(bowl(0.4)), START, 12).image, lbfgs(bowl(0.4), START, 12).image)
    assert (refuses.asked, recorder.recordings) == (asked, recordings)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "operation not permitted" in caplog.text
