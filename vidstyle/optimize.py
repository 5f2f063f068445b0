"""L-BFGS and Adam on a picture: steps, stopping, what a bad step leads to, and a trace.

Both return the best picture that was *evaluated*, so the loss that is reported is that of the picture
that is kept, and a last step that overshoots costs nothing.

Whatever a step depends on stays on the device: decisions are made by masks, and the host only reads the losses, a few steps late
where it would have to wait for them. So a GPU always has work.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from vidstyle.errors import NumericalError
from vidstyle.objective import Evaluation, LossReport

__all__ = [
    "HANDED_ON",
    "HANDED_ON_IN_HALF",
    "OPTIMIZERS",
    "STOP_WINDOW",
    "CurvaturePair",
    "ObjectiveFunction",
    "Result",
    "Seen",
    "adam",
    "lbfgs",
]

ObjectiveFunction = Callable[[torch.Tensor], Evaluation]
CurvaturePair = tuple[torch.Tensor, torch.Tensor]
"""(s, y): a step, and the change of the gradient along it; shaped like the picture. What an optimiser hands on: Adam makes it (m/√v, √v),
its running mean of the gradient over the root of that of the square, and that root, so that of both the first is like a step
and the second like a gradient."""

Seen = Callable[[int, LossReport, torch.Tensor], None]
"""Is called for every evaluation with its number, from 1, its terms, and the picture they are of, which is on the device and not to be
changed. Where the device is a GPU that is some steps late, so that nobody has waited for it."""

HANDED_ON = 0.5
"""Share of the first step that curvature of another picture asks for: the whole of it raised the loss in every other frame of a
film, by up to a quarter."""
HANDED_ON_IN_HALF = 3
"""Pairs that are handed on where memory is short: each is two pictures in full precision."""
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
_CURVED = 1e-6
"""Cosine of the angle between a step and the change of the gradient along it from which the pair is believed."""
_CHUNK = 1 << 18
"""Numbers of each row that are brought back to full precision at a time."""
_LATE = 2
"""Steps that go by on a GPU before the host reads a loss: by then it is there, and nobody waits."""


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
    handed_on: float = HANDED_ON,
    half: bool = False,
    on_step: Seen | None = None,
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
        handed_on: share of the first step that is made by `pairs`.
        half: keep the pairs in half precision, and hand on none of them but the last `HANDED_ON_IN_HALF`.
        on_step: see `Seen`.

    Neither `image` nor `pairs` is held while steps are made: who hands them over without keeping them saves their memory.

    Raises:
        NumericalError: the loss was not finite twice.
    """
    x, hands_on = image.detach(), bool(pairs)
    watch = _Watch(x, tolerance, window, on_step)
    curvature = _CurvatureInHalf(x, history) if half else _Curvature(x, history)
    curvature.recall(pairs)
    del image, pairs
    caution = torch.ones((), dtype=x.dtype, device=x.device)
    previous: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    for step in range(1, iterations + 1):
        evaluation = objective(x)
        gradient = evaluation.gradient
        good = watch.sees(evaluation, x)
        if previous is not None:
            curvature.learn(x - previous[0], gradient - previous[1], good & previous[2])
        if step == iterations or watch.is_settled():
            break
        curvature.keep_if(good)
        previous = (x, gradient, good)
        caution = torch.where(good, caution, caution * _SAFER)
        stride = caution * handed_on if step == 1 and hands_on else caution
        x = torch.where(good, x + stride * _limited(curvature.direction(gradient)), watch.best)
    previous = None
    return watch.result(curvature.pairs())


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
    handed_on: float = HANDED_ON,
    half: bool = False,
    on_step: Seen | None = None,
) -> Result:
    """Adam (Kingma & Ba 2015) with β = (0.9, 0.99), clamped to [0, 1] after each step, its rate falling from 0.02 to a tenth of it.

    Arguments and errors are those of `lbfgs`, but that of `pairs` only the last counts, `history`, `handed_on` and `half` not at all, and
    that the last evaluation is of the running mean of all pictures with `averaging` as the share of the past (0: none).
    """
    x = image.detach().clone().clamp_(0, 1)
    del image
    watch = _Watch(x, tolerance, window, on_step)
    zero, one = (torch.tensor(value, dtype=x.dtype, device=x.device) for value in (0.0, 1.0))
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    caution, since, mean, counted = one, zero, torch.zeros_like(x), zero
    if pairs:
        direction, root = pairs[-1]
        first, second, since = direction * root, root.square(), one * _KNOWN
        del direction, root
    del pairs
    last = iterations - 1 if averaging and iterations > 1 else iterations
    for step in range(1, last + 1):
        evaluation = objective(x)
        gradient = evaluation.gradient
        good = watch.sees(evaluation, x)
        mean, counted = (
            torch.where(good, torch.lerp(x, mean, averaging), mean),
            torch.where(good, averaging * counted + 1 - averaging, counted),
        )
        first = torch.where(good, torch.lerp(first, gradient, 1 - 0.9), zero)
        second = torch.where(good, torch.lerp(second, gradient.square(), 1 - 0.99), zero)
        since = torch.where(good, since + 1, zero)
        if step == last or watch.is_settled():
            break
        caution = torch.where(good, caution, caution * _SAFER)
        update = (first / (1 - 0.9**since)) / ((second / (1 - 0.99**since)).sqrt() + 1e-12 * gradient.abs().amax())
        moved = (x - caution * _RATE * 0.1 ** (step / iterations) * update.nan_to_num(0.0)).clamp_(0, 1)
        x = torch.where(good, moved, watch.best)
    if last < iterations:
        average = torch.where(counted > 0, mean / counted, x)
        watch.sees(objective(average), average, whatever=True)
    if not bool(since > 0):
        return watch.result(())
    root = (second / (1 - 0.99**since)).sqrt()
    direction = (first / (1 - 0.9**since) / root).nan_to_num(0.0, 0.0, 0.0)
    return watch.result(((direction, root),))


OPTIMIZERS = {"lbfgs": lbfgs, "adam": adam}


class _Watch:
    """Sees every evaluation: keeps the best, notices what is not finite, tells when nothing moves any more.

    What the next step depends on stays on the device; the host reads a loss at once on a CPU, `_LATE` evaluations later elsewhere.
    """

    def __init__(self, start: torch.Tensor, tolerance: float, window: int, on_step: Seen | None) -> None:
        self._tolerance, self._window = tolerance, window
        self._on_step = on_step
        self._late = _lateness(start)
        self._coming: deque[tuple[_Transfer, torch.Tensor]] = deque()
        self._trace: list[float] = []
        self._failures = 0
        self.best = start
        """The best picture so far, to go on from."""
        self._least = torch.full((), math.inf, dtype=_exact(start), device=start.device)
        self._terms: torch.Tensor | None = None
        self._names: tuple[str, ...] = ()

    def sees(self, evaluation: Evaluation, x: torch.Tensor, whatever: bool = False) -> torch.Tensor:
        """Notes one evaluation; whether it was finite and has not exploded, as a scalar on the device.

        With `whatever` it is the result, if it is finite, whatever came before.

        Raises:
            NumericalError: a loss was not finite for the second time, or there was nothing to go back to.
        """
        total = evaluation.values.to(self._least.dtype).sum()
        finite = torch.isfinite(total)
        good = finite & ~(total > _EXPLODED * self._least.clamp_min(1e-30))
        better = finite if whatever else finite & (total < self._least)
        self._names = evaluation.names
        self._coming.append((_Transfer(evaluation.values), x))
        self._read(self._late)
        if self._late:
            self.best = torch.where(better, x, self.best)
        elif better:  # known without waiting, and another picture need not be made
            self.best = x
        self._least = torch.where(better, total, self._least)
        self._terms = evaluation.values if self._terms is None else torch.where(better, evaluation.values, self._terms)
        return good

    def is_settled(self) -> bool:
        """Whether the least loss of the last steps, as many as the window has, is that of the steps before, within the tolerance.

        One that is worse has not settled: the first step may have overshot, and what is lost must be made good first.
        """
        if self._tolerance <= 0 or len(self._trace) <= self._window:
            return False
        before, now = min(self._trace[: -self._window]), min(self._trace[-self._window :])
        return abs(before - now) <= self._tolerance * abs(before)

    def result(self, pairs: tuple[CurvaturePair, ...]) -> Result:
        """What was found."""
        self._read(0)
        assert self._terms is not None
        return Result(self.best.clamp(0, 1), self._report(self._terms.tolist()), len(self._trace), tuple(self._trace), pairs)

    def _read(self, late: int) -> None:
        """Takes over the losses that have come, but for the last `late` ones."""
        while len(self._coming) > late:
            transfer, x = self._coming.popleft()
            report = self._report(transfer.values())
            if not math.isfinite(report.total):
                self._failures += 1
                if self._failures > 1 or not self._trace:
                    terms = ", ".join(f"{name} {value:g}" for name, value in report.terms.items())
                    raise NumericalError(f"the loss is not finite ({terms}), and was not from a safer step either; lower the weights")
            self._trace.append(report.total)
            if self._on_step is not None:
                self._on_step(len(self._trace), report, x)

    def _report(self, values: list[float]) -> LossReport:
        return LossReport(dict(zip(self._names, values, strict=True)))


class _Transfer:
    """Numbers on their way from the device to the host, which goes on meanwhile."""

    def __init__(self, values: torch.Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(values.device))
        else:
            self._values = values

    def values(self) -> list[float]:
        """The numbers, waited for if need be."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers: list[float] = self._values.tolist()
        return numbers


class _Curvature:
    """The last pairs (s, y) of L-BFGS, and −H·g by their compact representation (Byrd, Nocedal & Schnabel 1994, eq. 3.1).

    It is the two-loop recursion in other words: every pair is read twice a step, whatever came of it, and what depends on what
    are matrices of `history` rows. The pairs lie in a ring; places that hold none are masked.
    """

    def __init__(self, like: torch.Tensor, history: int) -> None:
        self._shape, self._history = like.shape, history
        exact = _exact(like)
        self._store(2 * history, like)
        self._sy, self._yy = (torch.zeros(history, history, dtype=exact, device=like.device) for _ in range(2))
        self._known = torch.zeros(history, dtype=torch.bool, device=like.device)
        self._gamma = torch.ones((), dtype=exact, device=like.device)
        self._next = torch.zeros(1, dtype=torch.int64, device=like.device)
        self._places = torch.arange(history, device=like.device)

    def _store(self, rows: int, like: torch.Tensor) -> None:
        """Makes room for so many pictures: s above, y below."""
        self._kept = like.new_zeros(rows, like.numel())

    def _times(self, vector: torch.Tensor) -> torch.Tensor:
        """What is kept, times a vector of the picture's length: (rows,)."""
        return self._kept @ vector

    def _sum(self, factors: torch.Tensor) -> torch.Tensor:
        """The sum of what is kept, each row times its factor."""
        return self._kept.T @ factors

    def _put(self, place: torch.Tensor, new: torch.Tensor, good: torch.Tensor) -> None:
        """Replaces the row at `place`, (1,), if it is `good`."""
        self._kept.index_copy_(0, place, torch.where(good, new, self._kept.index_select(0, place)[0])[None])

    def _row(self, place: int) -> torch.Tensor:
        """One row, by itself."""
        return self._kept[place].clone()

    def recall(self, pairs: Sequence[CurvaturePair]) -> None:
        """Takes over pairs, oldest first; those without positive curvature are dropped."""
        pairs = pairs[-self._history :] if self._history else ()
        if not pairs:
            return
        exact, count = self._sy.dtype, len(pairs)
        s, y = (torch.cat([pair[half].reshape(1, -1) for pair in pairs]) for half in (0, 1))
        sy, yy, ss = (a.to(exact) for a in (_products(s, y), _products(y, y), s.square().sum(dim=1)))
        self._kept[:count], self._kept[self._history : self._history + count] = s, y
        self._sy[:count, :count], self._yy[:count, :count] = sy, yy
        self._known[:count] = sy.diagonal() > _CURVED * (ss * yy.diagonal()).sqrt()
        for place in range(count):
            self._gamma = torch.where(self._known[place], sy[place, place] / yy[place, place], self._gamma)
        self._next += count
        self._next %= self._history

    def learn(self, s: torch.Tensor, y: torch.Tensor, good: torch.Tensor) -> None:
        """Takes in one pair if it is `good` and keeps the inverse Hessian positive definite."""
        if not self._history:
            return
        s, y = s.flatten(), y.flatten()
        exact = self._sy.dtype
        sy, ss, yy = ((a @ b).to(exact) for a, b in ((s, y), (s, s), (y, y)))
        good = good & (sy > _CURVED * (ss * yy).sqrt())
        place, below = self._next, self._next + self._history
        for row, new in ((place, s), (below, y)):
            self._put(row, new, good)
        with_s, with_y = (self._times(new) for new in (s, y))
        here = good & (self._places == place)
        s_y, y_s, y_y = (one.to(exact) for one in (with_y[: self._history], with_s[self._history :], with_y[self._history :]))
        self._sy = torch.where(here[None], s_y[:, None], torch.where(here[:, None], y_s[None], self._sy))
        self._yy = torch.where(here[None], y_y[:, None], torch.where(here[:, None], y_y[None], self._yy))
        self._known = self._known | here
        self._gamma = torch.where(good, sy / yy, self._gamma)
        self._next = (self._next + good) % self._history

    def keep_if(self, good: torch.Tensor) -> None:
        """Forgets all of it unless `good`."""
        self._known = self._known & good

    def direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """−H·g, of the picture's shape; a grey level down the slope where nothing is known."""
        length = gradient.square().mean().sqrt()
        unknown = gradient * (-_FIRST_STEP / length).nan_to_num(0.0, 0.0, 0.0)
        if not self._history:
            return unknown
        g, exact = gradient.flatten(), self._sy.dtype
        order = (self._next + self._places) % self._history  # oldest first
        known = self._known[order]
        both = known[:, None] & known
        sy, yy = (torch.where(both, one[order][:, order], 0) for one in (self._sy, self._yy))
        curved = torch.where(known, sy.diagonal(), 1)
        r = torch.triu(sy, 1) + torch.diag(curved)
        products = self._times(g).to(exact)
        s_g, y_g = (torch.where(known, one[order], 0)[:, None] for one in (products[: self._history], products[self._history :]))
        a = torch.linalg.solve_triangular(r, s_g, upper=True)
        with_s = torch.linalg.solve_triangular(r.T, curved[:, None] * a + self._gamma * (yy @ a - y_g), upper=False)
        factors = torch.zeros(2 * self._history, dtype=exact, device=g.device)
        factors[order], factors[order + self._history] = (torch.where(known, one[:, 0], 0) for one in (with_s, -self._gamma * a))
        step = -(self._gamma.to(g.dtype) * g + self._sum(factors.to(g.dtype)))
        return torch.where(known.any(), step.view_as(gradient), unknown)

    def pairs(self) -> tuple[CurvaturePair, ...]:
        """What is known, oldest first."""
        return self._last(self._history)

    def _last(self, count: int) -> tuple[CurvaturePair, ...]:
        order = ((self._next + self._places) % max(self._history, 1)).tolist()
        known = self._known.tolist()
        rows = [row for row in order if known[row]][-count:] if count else []
        return tuple((self._row(row).view(self._shape), self._row(row + self._history).view(self._shape)) for row in rows)


class _CurvatureInHalf(_Curvature):
    """The same with every row in half precision, times a factor of its own that brings its largest number to 1."""

    def _store(self, rows: int, like: torch.Tensor) -> None:
        self._halves = torch.zeros(rows, like.numel(), dtype=torch.float16, device=like.device)
        self._factors = like.new_zeros(rows)

    def recall(self, pairs: Sequence[CurvaturePair]) -> None:
        """Takes over pairs one after the other, oldest first: they may be made when they are asked for."""
        for number in range(max(len(pairs) - self._history, 0), len(pairs)):
            s, y = pairs[number]
            self.learn(s, y, torch.ones((), dtype=torch.bool, device=s.device))

    def _times(self, vector: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(self._factors)
        for first in range(0, len(vector), _CHUNK):
            total += self._halves[:, first : first + _CHUNK].to(vector.dtype) @ vector[first : first + _CHUNK]
        return self._factors * total

    def _sum(self, factors: torch.Tensor) -> torch.Tensor:
        result = factors.new_empty(self._halves.shape[1])
        for first in range(0, len(result), _CHUNK):
            result[first : first + _CHUNK] = self._halves[:, first : first + _CHUNK].to(factors.dtype).T @ (self._factors * factors)
        return result

    def _put(self, place: torch.Tensor, new: torch.Tensor, good: torch.Tensor) -> None:
        largest = new.abs().amax().clamp_min(torch.finfo(new.dtype).tiny)
        rounded = (new / largest).half()
        self._halves.index_copy_(0, place, torch.where(good, rounded, self._halves.index_select(0, place)[0])[None])
        self._factors.index_copy_(0, place, torch.where(good, largest, self._factors[place]).reshape(1))

    def _row(self, place: int) -> torch.Tensor:
        return self._halves[place].to(self._factors.dtype) * self._factors[place]

    def pairs(self) -> tuple[CurvaturePair, ...]:
        return self._last(HANDED_ON_IN_HALF)


def _products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a·bᵀ; on a GPU a vector at a time, as `learn` has them, since its products of matrices may be rounded (`device.matrix_units`)."""
    return a @ b.T if a.device.type == "cpu" else _by_vectors(a, b)


def _by_vectors(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.stack([a @ row for row in b], dim=1)


def _limited(step: torch.Tensor) -> torch.Tensor:
    """`step`, shortened to the longest that is believed."""
    length = step.square().mean().sqrt()
    return step * (_LONGEST_STEP / length).clamp(max=1)


def _lateness(like: torch.Tensor) -> int:
    """Evaluations that go by before the host reads the loss of one."""
    return 0 if like.device.type == "cpu" else _LATE


def _exact(like: torch.Tensor) -> torch.dtype:
    """What sums of few numbers are kept in."""
    return torch.float32 if like.device.type == "mps" else torch.float64
