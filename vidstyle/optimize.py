"""L-BFGS and Adam on a picture: steps, stopping, what a bad step leads to, and a trace.

Both return the best picture that was *evaluated*, so the loss that is reported is that of the picture
that is kept, and a last step that overshoots costs nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from vidstyle.errors import NumericalError
from vidstyle.objective import LossReport

__all__ = ["OPTIMIZERS", "STOP_WINDOW", "CurvaturePair", "ObjectiveFunction", "Result", "adam", "lbfgs"]

ObjectiveFunction = Callable[[torch.Tensor], tuple[LossReport, torch.Tensor]]
CurvaturePair = tuple[torch.Tensor, torch.Tensor]
"""(s, y): a step, and the change of the gradient along it; shaped like the picture. What an optimiser hands on: Adam makes it (m/√v, √v),
its running mean of the gradient over the root of that of the square, and that root, so that of both the first is like a step
and the second like a gradient."""

STOP_WINDOW = 50
"""Steps over which the loss must have fallen, unless another window is given (artistic-videos compares with the loss 50 iterations ago)."""
_FIRST_STEP = 1.0 / 255
"""Root-mean-square length of a step that nothing is known about: a grey level. neural-style's first
step, 1/‖g‖₁, is many thousand times shorter, and the curvature measured along it mostly rounding."""
_LONGEST_STEP = 32.0 / 255
"""Root-mean-square length of the longest step: without a line search a wrong curvature may ask for any."""
_SAFER = 0.1
"""Factor on the steps after a loss that was not finite."""
_RATE = 0.02
"""Adam's first step on [0, 1]."""
_KNOWN = 1000
"""Steps after which Adam's running means need no correction: what it is given to begin with counts in full."""
_EXPLODED = 10.0
"""A loss this many times the best one is treated as one that is not finite."""


@dataclass(frozen=True, slots=True)
class Result:
    """The best picture met, what it costs, and how it was found."""

    image: torch.Tensor
    report: LossReport
    steps: int
    """Evaluations of objective and gradient."""
    trace: tuple[float, ...]
    """Total loss at every evaluation."""
    pairs: tuple[CurvaturePair, ...] = field(default=(), repr=False)
    """What the optimiser has learned, oldest first; to be carried to the next frame or size."""


def lbfgs(
    objective: ObjectiveFunction,
    image: torch.Tensor,
    iterations: int,
    *,
    tolerance: float = 0.0,
    window: int = STOP_WINDOW,
    pairs: Sequence[CurvaturePair] = (),
    history: int = 20,
    averaging: float = 0.0,
    on_step: Callable[[int, LossReport], None] | None = None,
) -> Result:
    """Limited-memory BFGS without a line search (Nocedal 1980), as the field uses it: one evaluation a step, step length 1.

    Args:
        objective: picture -> (terms, gradient).
        image: (1, 3, H, W) RGB around [0, 1], where to start.
        iterations: evaluations at most.
        tolerance: stop when the least loss so far is not lower by this share than `window` steps before; 0 never.
        window: see there.
        pairs: curvature known beforehand, oldest first; pairs without positive curvature are dropped.
        history: how many pairs are remembered.
        averaging: of no use to it, since its steps do not jitter.
        on_step: called after every evaluation with its number, from 1, and the terms.

    Raises:
        NumericalError: the loss was not finite twice.
    """
    memory: deque[CurvaturePair] = deque((pair for pair in pairs if _is_curved(pair)), maxlen=history)
    watch = _Watch(tolerance, window, on_step)
    x = image.detach().clone()
    caution = 1.0
    previous: tuple[torch.Tensor, torch.Tensor] | None = None
    for step in range(1, iterations + 1):
        report, gradient = objective(x)
        if not watch.accepts(report, x):
            x, caution = watch.retreat(), caution * _SAFER
            memory.clear()
            previous = None
            continue
        if previous is not None:
            pair = (x - previous[0], gradient - previous[1])
            if _is_curved(pair):
                memory.append(pair)
        previous = (x, gradient)
        if step == iterations or watch.is_settled():
            break
        x = x + caution * _limited(_direction(gradient, memory))
    return watch.result(tuple(memory))


def adam(
    objective: ObjectiveFunction,
    image: torch.Tensor,
    iterations: int,
    *,
    tolerance: float = 0.0,
    window: int = STOP_WINDOW,
    pairs: Sequence[CurvaturePair] = (),
    history: int = 0,
    averaging: float = 0.0,
    on_step: Callable[[int, LossReport], None] | None = None,
) -> Result:
    """Adam (Kingma & Ba 2015) with β = (0.9, 0.99), clamped to [0, 1] after each step, its rate falling from 0.02 to a tenth of it.

    Arguments and errors are those of `lbfgs`, but that of `pairs` only the last counts, `history` not at all, and that
    the last evaluation is of the running mean of all pictures with `averaging` as the share of the past (0: none).
    """
    watch = _Watch(tolerance, window, on_step)
    x = image.detach().clone().clamp_(0, 1)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    caution, since = 1.0, 0
    if pairs:
        direction, root = pairs[-1]
        first, second, since = direction * root, root.square(), _KNOWN
    mean, counted = torch.zeros_like(x), 0.0
    last = iterations - 1 if averaging and iterations > 1 else iterations
    for step in range(1, last + 1):
        report, gradient = objective(x)
        if not watch.accepts(report, x):
            x, caution, since = watch.retreat(), caution * _SAFER, 0
            first, second = torch.zeros_like(x), torch.zeros_like(x)
            continue
        mean, counted = torch.lerp(x, mean, averaging), averaging * counted + 1 - averaging
        since += 1
        first.lerp_(gradient, 1 - 0.9)
        second.lerp_(gradient.square(), 1 - 0.99)
        if step == last or watch.is_settled():
            break
        update = (first / (1 - 0.9**since)) / ((second / (1 - 0.99**since)).sqrt() + 1e-12 * gradient.abs().amax())
        x = (x - caution * _RATE * 0.1 ** (step / iterations) * update.nan_to_num(0.0)).clamp_(0, 1)
    if last < iterations and counted:
        average = mean / counted
        watch.takes(objective(average)[0], average)
    if not since:
        return watch.result(())
    root = (second / (1 - 0.99**since)).sqrt()
    direction = (first / (1 - 0.9**since) / root).nan_to_num(0.0, 0.0, 0.0)
    return watch.result(((direction, root),))


OPTIMIZERS = {"lbfgs": lbfgs, "adam": adam}


class _Watch:
    """Sees every evaluation: keeps the best, notices what is not finite, tells when nothing moves any more."""

    def __init__(self, tolerance: float, window: int, on_step: Callable[[int, LossReport], None] | None) -> None:
        self._tolerance, self._window = tolerance, window
        self._on_step = on_step
        self._trace: list[float] = []
        self._best: tuple[torch.Tensor, LossReport] | None = None
        self._failures = 0

    def accepts(self, report: LossReport, x: torch.Tensor) -> bool:
        """Notes one evaluation; False if it was not finite or has exploded.

        Raises:
            NumericalError: this was the second not finite loss, or there is nothing to go back to.
        """
        self._trace.append(report.total)
        finite = math.isfinite(report.total)
        if not finite:
            self._failures += 1
            if self._failures > 1 or self._best is None:
                terms = ", ".join(f"{name} {value:g}" for name, value in report.terms.items())
                raise NumericalError(f"the loss is not finite ({terms}), and was not from a safer step either; lower the weights")
        exploded = finite and self._best is not None and report.total > _EXPLODED * max(self._best[1].total, 1e-30)
        if finite and (self._best is None or report.total < self._best[1].total):
            self._best = (x, report)
        if self._on_step is not None:
            self._on_step(len(self._trace), report)
        return finite and not exploded

    def takes(self, report: LossReport, x: torch.Tensor) -> None:
        """One last evaluation that is the result whatever came before, if it is finite."""
        self._best = None if math.isfinite(report.total) else self._best
        self.accepts(report, x)

    def retreat(self) -> torch.Tensor:
        """The best picture so far, to go on from."""
        assert self._best is not None
        return self._best[0].clone()

    def is_settled(self) -> bool:
        """Whether no loss of the last steps, as many as the window has, is lower by the tolerance than those before."""
        if self._tolerance <= 0 or len(self._trace) <= self._window:
            return False
        before, now = min(self._trace[: -self._window]), min(self._trace)
        return before - now <= self._tolerance * abs(before)

    def result(self, pairs: tuple[CurvaturePair, ...]) -> Result:
        """What was found."""
        assert self._best is not None
        image, report = self._best
        return Result(image.clamp(0, 1), report, len(self._trace), tuple(self._trace), pairs)


def _is_curved(pair: CurvaturePair) -> bool:
    """Whether the pair keeps the inverse Hessian positive definite."""
    s, y = pair
    sy, ss, yy = (float((a * b).sum()) for a, b in ((s, y), (s, s), (y, y)))
    return sy > 1e-6 * math.sqrt(ss * yy)


def _direction(gradient: torch.Tensor, memory: Iterable[CurvaturePair]) -> torch.Tensor:
    """−H·g by the two-loop recursion (Nocedal & Wright, algorithm 7.4); a grey level down the slope where nothing is known."""
    known = list(memory)
    if not known:
        length = gradient.square().mean().sqrt()
        return gradient * (-_FIRST_STEP / length) if float(length) > 0 else torch.zeros_like(gradient)
    q = gradient.clone()
    alphas = []
    for s, y in reversed(known):
        rho = 1 / (s * y).sum()
        alpha = rho * (s * q).sum()
        q -= alpha * y
        alphas.append((alpha, rho))
    s, y = known[-1]
    q *= (s * y).sum() / (y * y).sum()
    for (s, y), (alpha, rho) in zip(known, reversed(alphas), strict=True):
        q += (alpha - rho * (y * q).sum()) * s
    return -q


def _limited(step: torch.Tensor) -> torch.Tensor:
    """`step`, shortened to the longest that is believed."""
    length = float(step.square().mean().sqrt())
    return step * (_LONGEST_STEP / length) if length > _LONGEST_STEP else step
