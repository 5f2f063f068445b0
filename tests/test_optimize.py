"""Both optimisers on functions whose minimum is known, and what happens when a loss is not finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from vidstyle.errors import NumericalError
from vidstyle.objective import Evaluation
from vidstyle.optimize import OPTIMIZERS, adam, lbfgs

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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reports_the_picture_that_is_returned_and_every_step(name: str) -> None:
    function, _ = quadratic()
    seen: list[float] = []
    result = OPTIMIZERS[name](function, START, 15, on_step=lambda step, report: seen.append(report.total))
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
