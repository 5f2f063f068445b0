"""3×3 convolutions on the CPU by Winograd's method, with a quarter of the multiplications.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308: F(4×4, 3×3). A tile of 6×6 inputs and the 3×3
filter are each read as polynomials, evaluated at six points (0, ±1, 2, −½, ∞) along each axis and multiplied there, which for
all channels together is one matrix product a point; the 4×4 outputs are interpolated from the 36 products. Both changes of basis are
matrix products too, so that all of it runs at the speed of the machine's matrix product.

A filter turned round has at 1/p the value of the filter at p, over p². So the gradient for the input, a convolution with the filters
turned round and transposed, uses the same 36 matrices: its bases are those of the points 1/p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

__all__ = ["TILE", "Sides", "convolve", "filters_of", "gradient_back", "pays"]

TILE, _FILTER = 4, 3
"""Sides. How an output is rounded depends on where it lies in its tile and on what that looks at, and on nothing else."""

Sides = tuple[int, int, int, int]
"""Something left, right, above and below, in the order of torch's `pad`."""

_POINTS = (0.0, 1.0, -1.0, 2.0, -0.5, math.inf)
"""With 2 and ½, or 2 and −2, in place of 2 and −½ three times or twice as much is lost to rounding."""
_CHANNELS_IN, _CHANNELS_OUT, _TILES = 128, 256, 24
"""From which size on it is faster than oneDNN's direct convolution: by 1.7 to 2.1 on two AVX2 cores, where on fewer channels
it is at best as fast."""

_TILES_AT_ONCE = 128
"""Whose values and products stay in the processor's cache; fewer would have the filters read too often."""


def _powers(points: Sequence[float], count: int) -> torch.Tensor:
    """What takes `count` coefficients to the polynomial's values, (points, count), float64; at infinity that is the last coefficient."""
    rows = [[0.0] * (count - 1) + [1.0] if point == math.inf else [point**power for power in range(count)] for point in points]
    return torch.tensor(rows, dtype=torch.float64)


def _bases(points: Sequence[float], scales: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """What takes 6×6 inputs to the points, and 36 products back, (36, 36) and (16, 36); `scales`: of the filters at the points."""
    inputs = torch.linalg.inv(_powers(points, TILE + _FILTER - 1)).T.contiguous() / torch.tensor(scales, dtype=torch.float64)[:, None]
    outputs = _powers(points, TILE).T.contiguous()
    return torch.kron(inputs, inputs), torch.kron(outputs, outputs)


_FILTERS = torch.kron(_powers(_POINTS, _FILTER), _powers(_POINTS, _FILTER))
_INPUTS, _OUTPUTS = _bases(_POINTS, [1.0] * 6)
_TURNED_INPUTS, _TURNED_OUTPUTS = _bases(
    [1 / point if point else math.inf for point in _POINTS], [1.0 if point in (0, math.inf) else point**2 for point in _POINTS]
)


def pays(inputs: int, outputs: int, height: int, width: int) -> bool:
    """Whether a convolution of so many channels, over so many positions, is faster this way."""
    return inputs >= _CHANNELS_IN and outputs >= _CHANNELS_OUT and -(-height // TILE) * -(-width // TILE) >= _TILES


def filters_of(weight: torch.Tensor) -> torch.Tensor:
    """(out, in, 3, 3) -> (36, in, out): the filters' values at the points; worked out in float64, as it is done once."""
    out, inputs = weight.shape[:2]
    values = _FILTERS @ weight.double().permute(2, 3, 1, 0).reshape(9, -1)
    return values.view(36, inputs, out).to(weight.dtype)


def convolve(x: torch.Tensor, filters: torch.Tensor, beyond: Sides = (0, 0, 0, 0)) -> torch.Tensor:
    """Convolution with zeros beyond the border, (1, in, H, W) -> (1, out, H, W), in channels-last layout.

    In float32 it is within 1e-5 of the largest output, and 1e-6 of it in the root mean square. Differentiable by `x`, once.

    Args:
        x: on the CPU.
        filters: as `filters_of` makes them.
        beyond: 1 where the outermost positions of `x` are what lies beyond the border; the outputs are as many fewer.
    """
    result: torch.Tensor = _Convolution.apply(x, filters, beyond)
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, filters: torch.Tensor, beyond: Sides) -> torch.Tensor:
        ctx.filters, ctx.beyond = filters, beyond
        left, right, top, bottom = beyond
        return _by_tiles(x, filters, _INPUTS, _OUTPUTS, (-left, -right, -top, -bottom))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient_back(gradient, ctx.filters, ctx.beyond), None, None


def gradient_back(gradient: torch.Tensor, filters: torch.Tensor, beyond: Sides = (0, 0, 0, 0)) -> torch.Tensor:
    """The gradient for what `convolve` is given, (1, in, H, W), from that for what it makes of it, with the same `beyond`."""
    return _by_tiles(gradient, filters.transpose(1, 2), _TURNED_INPUTS, _TURNED_OUTPUTS, beyond)


def _by_tiles(x: torch.Tensor, filters: torch.Tensor, to_points: torch.Tensor, from_points: torch.Tensor, grows: Sides) -> torch.Tensor:
    """Some rows of tiles after the other, whose values and products, 36 for 16 outputs, then stay in the processor's cache.

    What comes out is so many positions larger on every side, `grows`, than what goes in; the first tile begins with it.
    """
    (left, right, top, bottom), inputs, outputs = grows, x.shape[1], filters.shape[2]
    height, width = x.shape[2] + top + bottom, x.shape[3] + left + right
    down, across = -(-height // TILE), -(-width // TILE)
    more = 1 + right + across * TILE - width, 1 + bottom + down * TILE - height
    padded = functional.pad(x, (1 + left, more[0], 1 + top, more[1])).permute(0, 2, 3, 1).contiguous()
    _, of_row, of_column, of_channel = padded.stride()
    picture = torch.empty((1, outputs, down * TILE, across * TILE), dtype=x.dtype, memory_format=torch.channels_last)
    rows = picture.permute(0, 2, 3, 1).view(down, TILE, across, TILE, outputs)
    to_points, from_points, step = to_points.to(x.dtype), from_points.to(x.dtype), min(max(_TILES_AT_ONCE // across, 1), down)
    made = step * across
    read, values = (x.new_empty(36 * made * inputs) for _ in range(2))  # once for all: fresh memory costs as much as the work on it
    products, found = x.new_empty(36 * made * outputs), x.new_empty(16 * made * outputs)
    for first in range(0, down, step):
        count = min(step, down - first)
        made = count * across
        tiles = padded.as_strided(
            (6, 6, count, across, inputs),
            (of_row, of_column, TILE * of_row, TILE * of_column, of_channel),
            padded.storage_offset() + first * TILE * of_row,
        )
        tiles_read, at_points = (buffer[: 36 * made * inputs].view(36, made, inputs) for buffer in (read, values))
        multiplied, outcome = (buffer[: n * made * outputs].view(n, made, outputs) for n, buffer in ((36, products), (16, found)))
        tiles_read.view(tiles.shape).copy_(tiles)
        torch.mm(to_points, tiles_read.view(36, -1), out=at_points.view(36, -1))
        torch.bmm(at_points, filters, out=multiplied)
        torch.mm(from_points, multiplied.view(36, -1), out=outcome.view(16, -1))
        rows[first : first + count].copy_(outcome.view(TILE, TILE, count, across, outputs).permute(2, 0, 3, 1, 4))
    return picture if picture.shape[2:] == (height, width) else picture[:, :, :height, :width].clone(memory_format=torch.channels_last)
