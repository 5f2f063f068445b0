"""Both optimisers on functions whose minimum is known, and what happens when a loss is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vidstyle.errors import NumericalError
from vidstyle.objective import Evaluation
from vidstyle.optimize import HANDED_ON_IN_HALF, OPTIMIZERS, CurvaturePair, _by_vectors, _Curvature, _CurvatureInHalf, adam, lbfgs

Function = Callable[[torch.Tensor], Evaluation]


def evaluation(name: str, value: float, gradient: torch.Tensor) -> Evaluation:
    return Evaluation((name,), torch.tensor([value], dtype=torch.float64), gradient)


def quadratic(condition: float = 100.0, scale: float = 1.0) -> tuple[Function, torch.Tensor]:
    """A bowl of the given condition number round a picture inside [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    target = 0.2 + 0.6 * torch.rand(1, 3, 8, 8, generator=generator)
    curvature = scale * condition ** torch.rand(1, 3, 8, 8, generator=generator)

    def function(x: torch.Tensor) -> Evaluation:
        difference = x - target
        return evaluation("bowl", float((curvature * difference.square()).sum() / 2), curvature * difference)

    return function, target


START = torch.full((1, 3, 8, 8), 0.5)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_lbfgs_finds_the_minimum_whatever_the_units(scale: float) -> None:
    function, target = quadratic(scale=scale)
    result = lbfgs(function, START, 100)
    assert float((result.image - target).abs().max()) < 1e-3
    assert result.report.total == min(result.trace)


def test_adam_finds_the_minimum() -> None:
    function, target = quadratic()
    result = adam(function, START, 300)
    assert float((result.image - target).abs().max()) < 5e-3


def test_lbfgs_beats_adam_at_equal_steps() -> None:
    function, _ = quadratic()
    assert lbfgs(function, START, 30).report.total < adam(function, START, 30).report.total


def test_carried_curvature_saves_steps() -> None:
    function, _ = quadratic(condition=1000)
    learned = lbfgs(function, START, 40, history=40).pairs
    moved = START + 0.05
    assert lbfgs(function, moved, 8, pairs=learned, history=40).report.total < 0.1 * lbfgs(function, moved, 8).report.total


def test_the_first_step_by_carried_curvature_is_half_of_what_it_asks_for() -> None:
    function, target = quadratic(condition=1)
    s = torch.linspace(-1, 1, START.numel()).view_as(START)
    result = lbfgs(function, target + 0.02, 2, pairs=[(s, s / 2)])
    assert float((result.image - target).abs().max()) < 1e-6


def test_pairs_without_positive_curvature_are_dropped() -> None:
    function, target = quadratic()
    wrong = [(torch.ones_like(START), -torch.ones_like(START)), (torch.zeros_like(START), torch.zeros_like(START))]
    result = lbfgs(function, START, 60, pairs=wrong)
    assert float((result.image - target).abs().max()) < 1e-2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_stops_when_the_loss_has_settled(name: str) -> None:
    function, _ = quadratic(condition=2)
    assert OPTIMIZERS[name](function, START, 500, tolerance=0.5).steps < 500
    assert OPTIMIZERS[name](function, START, 70, tolerance=0.0).steps == 70


def test_a_short_window_stops_soon_but_not_for_one_step_that_overshoots() -> None:
    function, _ = quadratic(condition=2)
    settled = lbfgs(function, START, 500, tolerance=1e-3, window=4)
    assert settled.steps < 30
    assert settled.report.total < 0.01 * settled.trace[0]
    losses = iter([10.0, 14.0, 13.0, 9.0, 8.9, 8.89, 8.889, 8.8889, 8.8888, 8.8888, 8.8888])

    def told(x: torch.Tensor) -> Evaluation:
        return evaluation("bowl", next(losses), torch.ones_like(x))

    assert lbfgs(told, START, 11, tolerance=0.004, window=4).steps == 9


def test_what_steps_that_overshot_have_lost_is_made_good() -> None:
    """Four steps above the first loss are no sign that nothing is left to gain."""
    losses = iter([10.0, 14.0, 13.0, 12.0, 11.0, 10.05, 9.0, 8.0, 7.5, 7.4, 7.399, 7.398, 7.398, 7.398, 7.398])

    def told(x: torch.Tensor) -> Evaluation:
        return evaluation("bowl", next(losses), torch.ones_like(x))

    settled = lbfgs(told, START, 15, tolerance=0.002, window=4)
    assert settled.steps == 14
    assert settled.report.total == pytest.approx(7.398)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reports_the_picture_that_is_returned_and_every_step(name: str) -> None:
    function, _ = quadratic()
    seen: list[float] = []
    result = OPTIMIZERS[name](function, START, 15, on_step=lambda step, report, image: seen.append(report.total))
    assert function(result.image).report.total == pytest.approx(result.report.total, rel=1e-5)
    assert tuple(seen) == result.trace
    assert len(seen) == result.steps == 15


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("when", [3, 12])
def test_one_loss_that_is_not_finite_is_survived(name: str, when: int) -> None:
    function, _ = quadratic()
    calls = 0

    def flaky(x: torch.Tensor) -> Evaluation:
        nonlocal calls
        calls += 1
        found = function(x)
        return evaluation("bowl", float("nan"), found.gradient * float("nan")) if calls == when else found

    result = OPTIMIZERS[name](flaky, START, 40)
    assert torch.isfinite(result.image).all()
    assert result.report.total < function(START).report.total


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_second_loss_that_is_not_finite_is_an_error(name: str, bad: float) -> None:
    function, _ = quadratic()
    calls = 0

    def broken(x: torch.Tensor) -> Evaluation:
        nonlocal calls
        calls += 1
        found = function(x)
        return evaluation("bowl", bad, found.gradient) if calls > 2 else found

    with pytest.raises(NumericalError, match="bowl"):
        OPTIMIZERS[name](broken, START, 10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_flat_function_leaves_the_picture_alone(name: str) -> None:
    def flat(x: torch.Tensor) -> Evaluation:
        return evaluation("flat", 1.0, torch.zeros_like(x))

    torch.testing.assert_close(OPTIMIZERS[name](flat, START, 5).image, START)


def test_the_mean_of_adams_pictures_is_better_than_the_last() -> None:
    """Where the gradient is noisy."""
    clean, target = quadratic(condition=4)
    reached = {}
    for averaging in (0.0, 0.98):
        generator = torch.Generator().manual_seed(1)

        def noisy(x: torch.Tensor, source: torch.Generator = generator) -> Evaluation:
            found = clean(x)
            return replace(found, gradient=found.gradient + 0.2 * torch.randn(x.shape, generator=source))

        reached[averaging] = float((adam(noisy, START, 200, averaging=averaging).image - target).square().mean())
    assert reached[0.98] < 0.7 * reached[0.0]


def test_averaging_costs_no_further_step() -> None:
    function, _ = quadratic()
    assert adam(function, START, 20, averaging=0.9).steps == 20
    assert adam(function, START, 1, averaging=0.9).steps == 1


def test_adam_goes_on_with_what_it_has_learned() -> None:
    """Handed on, its running means make the next step the one that it would have made."""
    function, _ = quadratic()
    learned = adam(function, START, 200)
    ((direction, root),) = learned.pairs
    assert direction.shape == root.shape == START.shape
    gradient = function(learned.image).gradient
    assert float((direction * root - gradient).abs().mean()) < 0.5 * float(root.mean())
    moved = START + 0.01
    assert adam(function, moved, 6, pairs=learned.pairs).trace[1] != adam(function, moved, 6).trace[1]


def test_the_running_mean_is_the_result_even_where_the_last_picture_was_better() -> None:
    function, _ = quadratic()
    last, mean = (adam(function, START, 30, averaging=share) for share in (0.0, 0.95))
    assert mean.report.total > last.report.total


def two_loops(gradient: torch.Tensor, pairs: Sequence[CurvaturePair]) -> torch.Tensor:
    """−H·g as Nocedal & Wright write it (algorithm 7.4), in float64."""
    q = gradient.double()
    known = [(s.double(), y.double()) for s, y in pairs]
    alphas = []
    for s, y in reversed(known):
        alphas.append(float((s * q).sum() / (s * y).sum()))
        q = q - alphas[-1] * y
    s, y = known[-1]
    q = q * float((s * y).sum() / (y * y).sum())
    for (s, y), alpha in zip(known, reversed(alphas), strict=True):
        q = q + (alpha - float((y * q).sum() / (s * y).sum())) * s
    return -q


@pytest.mark.parametrize("number", [1, 4, 9])
@pytest.mark.parametrize("recalled", [True, False])
def test_the_direction_is_that_of_the_two_loops(number: int, recalled: bool) -> None:
    """Also when the ring has gone round, and when a pair without positive curvature has come between."""
    function, _ = quadratic()
    generator = torch.Generator().manual_seed(3)
    pairs = []
    for _ in range(number):
        s = torch.randn(START.shape, generator=generator)
        pairs.append((s, function(START + s).gradient - function(START).gradient))
    curvature = _Curvature(START, 6)
    if recalled:
        curvature.recall(pairs)
    else:
        for s, y in pairs:
            curvature.learn(s, -y, torch.tensor(True))
            curvature.learn(s, y, torch.tensor(False))
            curvature.learn(s, y, torch.tensor(True))
    gradient = torch.randn(START.shape, generator=generator)
    torch.testing.assert_close(curvature.direction(gradient).double(), two_loops(gradient, pairs[-6:]), rtol=1e-4, atol=1e-4)
    for (s, y), (known_s, known_y) in zip(pairs[-6:], curvature.pairs(), strict=True):
        assert torch.equal(s, known_s)
        assert torch.equal(y, known_y)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_half_the_memory_for_what_is_kept_leads_nearly_the_same_way(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the units: a gradient of a large picture is far under what half precision can hold."""
    monkeypatch.setattr("vidstyle.optimize._CHUNK", 50)
    function, _ = quadratic(condition=1000, scale=scale)
    exact, half = lbfgs(function, START, 30, history=8), lbfgs(function, START, 30, history=8, half=True)
    assert half.report.total < 1.5 * exact.report.total < 0.01 * exact.trace[0]
    assert half.report.total != exact.report.total
    assert len(half.pairs) == HANDED_ON_IN_HALF
    for (s, y), (exact_s, exact_y) in zip(_remembered(function, half=True), _remembered(function, half=False)[-3:], strict=True):
        torch.testing.assert_close(s, exact_s, rtol=1e-3, atol=float(exact_s.abs().max()) * 1e-3)
        torch.testing.assert_close(y, exact_y, rtol=1e-3, atol=float(exact_y.abs().max()) * 1e-3)


def _remembered(function: Function, *, half: bool) -> tuple[CurvaturePair, ...]:
    """Pairs of known steps."""
    kept = (_CurvatureInHalf if half else _Curvature)(START, 5)
    steps = [0.01 * torch.randn(START.shape, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    kept.recall([(step, function(START + step).gradient - function(START).gradient) for step in steps])
    return kept.pairs()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_losses_that_are_read_late_lead_the_same_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: the same steps, the end noticed two steps later, and no step after a loss that was not finite is lost."""
    function, _ = quadratic(condition=2)

    def flaky(calls: Iterator[int]) -> Function:
        def called(x: torch.Tensor) -> Evaluation:
            found = function(x)
            return evaluation("bowl", float("nan"), found.gradient * float("nan")) if next(calls) == 4 else found

        return called

    at_once, survived = (OPTIMIZERS[name](one, START, 20) for one in (function, flaky(count())))
    settled = OPTIMIZERS[name](function, START, 500, tolerance=0.5, window=5)
    monkeypatch.setattr("vidstyle.optimize._lateness", lambda like: 2)
    late = OPTIMIZERS[name](function, START, 20)
    assert late.trace == at_once.trace
    assert torch.equal(late.image, at_once.image)
    again = OPTIMIZERS[name](flaky(count()), START, 20)
    assert torch.equal(again.image, survived.image)
    assert settled.steps < OPTIMIZERS[name](function, START, 500, tolerance=0.5, window=5).steps <= settled.steps + 2
    with pytest.raises(NumericalError):
        OPTIMIZERS[name](lambda x: evaluation("bowl", float("nan"), x), START, 20)


def test_what_a_gpu_recalls_is_made_without_products_of_matrices() -> None:
    """It may round those, and a pair that is recalled would have another curvature than when it was learned."""

    class NoMatrices(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert func.name() not in ("aten::mm", "aten::bmm", "aten::addmm")
            return func(*args, **(kwargs or {}))

    a, b = (torch.randn(count, 50, generator=torch.Generator().manual_seed(count)) for count in (3, 5))
    with NoMatrices():
        found = _by_vectors(a, b)
    torch.testing.assert_close(found, a @ b.T)
