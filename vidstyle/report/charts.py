"""Curves over the frames as the page draws them: lines of a stretched SVG, its labels in HTML, so that they keep their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Line", "chart"]

WIDTH, HEIGHT = 1000, 100
"""The box that the lines are drawn in; the page stretches it."""
_MOST_POINTS = 1000
_DECADES = 6
"""A logarithmic axis shows no more of them: a term near 0 would press all others together. What lies below is said, not drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: a value a frame, NaN where there is none."""

    label: str
    values: npt.NDArray[np.float64]


def chart(title: str, lines: Sequence[Line], cuts: Sequence[int], *, unit: str = "", logarithmic: bool = False) -> dict[str, Any] | None:
    """What the template needs to draw some curves in one plot; None where there is nothing to draw.

    Args:
        title: above the plot.
        lines: of equal length; those without any value are left out.
        cuts: frames at which a shot begins.
        unit: of the values.
        logarithmic: values that are not above 0 are left out then.
    """
    lines = [Line(line.label, np.where(line.values > 0, line.values, np.nan) if logarithmic else line.values) for line in lines]
    lines = [line for line in lines if np.isfinite(line.values).any()]
    if not lines:
        return None
    count = len(lines[0].values)
    low, high = (float(found([found(line.values) for line in lines])) for found in (np.nanmin, np.nanmax))
    drawn = [line.values for line in lines]
    if logarithmic:
        high = math.ceil(math.log10(high) + 1e-9)
        low = max(min(math.floor(math.log10(low)), high - 1), high - _DECADES)
        ticks = [(float(power), f"{10.0**power:g}") for power in range(low, high + 1)]
        drawn = [np.log10(np.where(values < 10.0**low, np.nan, values)) for values in drawn]
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        ticks = [(value, f"{value:g}") for value in _round_values(low, high)]
        low, high = min(low, ticks[0][0]), max(high, ticks[-1][0])
    return {
        "title": title,
        "unit": unit,
        "count": count,
        "ticks": [(round(100 * (high - value) / (high - low), 2), text) for value, text in ticks],
        "cuts": [round(100 * cut / count, 3) for cut in cuts if cut],
        "lines": [
            {
                "label": line.label,
                "path": _path((high - values) / (high - low)),
                "said": _in_words(line.values) + _below(line.values, values),
            }
            for line, values in zip(lines, drawn, strict=True)
        ],
    }


def _round_values(low: float, high: float) -> list[float]:
    """Three to six round numbers from `low`, or below it, to `high` or above it."""
    span = high - low or 1.0
    step = 10.0 ** math.floor(math.log10(span / 2))
    step *= next(factor for factor in (1, 2, 5) if span / (factor * step) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _path(depths: npt.NDArray[np.float64]) -> str:
    """The `d` of an SVG path through values that are 0 at the top and 1 at the bottom, broken where there is none."""
    count = len(depths)
    places = (np.arange(count) + 0.5) * WIDTH / count
    if count > _MOST_POINTS:  # the highest and the lowest of each part: an outlier stays to be seen
        parts = [part for part in np.array_split(np.arange(count), _MOST_POINTS // 2) if np.isfinite(depths[part]).any()]
        kept = sorted({int(part[found(depths[part])]) for part in parts for found in (np.nanargmin, np.nanargmax)})
        places, depths = places[kept], depths[kept]
    words, pen_up = [], True
    for x, depth in zip(places, depths, strict=True):
        if not math.isfinite(depth):
            pen_up = True
            continue
        y = min(max(depth, -0.05), 1.05) * HEIGHT
        words.append(f"{'M' if pen_up else 'L'}{x:.1f} {y:.2f}")
        if pen_up:
            words.append("h0.01")  # a value between two gaps is a dot
        pen_up = False
    return "".join(words)


def _below(values: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]) -> str:
    """Whether something is not drawn because it lies below the axis."""
    if not (np.isnan(drawn) & np.isfinite(values)).any():
        return ""
    return ", partly below the axis" if np.isfinite(drawn).any() else ", below the axis"


def _in_words(values: npt.NDArray[np.float64]) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.min():.3g} to {finite.max():.3g}, median {np.median(finite):.3g}"
