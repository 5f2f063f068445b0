"""The way back through some layers of the network, by hand: what it needs of the way there is less than autograd would keep.

Through a ReLU the gradient goes where the activation was above zero, and through the pooling behind it to the largest of four. That is
a bit, or half a byte, for what is a number of four bytes; where nothing looks at a layer's activations they need not be kept, nor worked
out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Passed"]

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column in a pooling's window, in the order in which `max_pool2d` looks for the first of the largest."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """Small whole numbers, several to a byte."""

    content: torch.Tensor
    """(bytes,) uint8."""
    shape: torch.Size
    """(1, C, H, W)."""
    bits: int
    """Of each number: 1, 2 or 4."""

    @classmethod
    def of(cls, values: torch.Tensor, bits: int) -> _Packed:
        """`values` are (1, C, H, W), bool or uint8, C a multiple of 8."""
        flat = values.permute(0, 2, 3, 1).reshape(-1, 8 // bits).view(torch.uint8)
        content = flat[:, 0].clone()
        for place in range(1, 8 // bits):
            content |= flat[:, place] << place * bits
        return cls(content, values.shape, bits)

    def values(self, device: torch.device) -> torch.Tensor:
        """The numbers, uint8."""
        _, channels, height, width = self.shape
        content = self.content.to(device)
        flat = torch.empty(len(content), 8 // self.bits, dtype=torch.uint8, device=device)
        for place in range(8 // self.bits):
            torch.bitwise_and(content >> place * self.bits, (1 << self.bits) - 1, out=flat[:, place])
        return flat.view(1, height, width, channels).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Passed:
    """What the way back through a layer's ReLU, and the pooling behind it if there is one, needs of the way there."""

    shape: torch.Size
    """Of the layer's activations, (1, C, H, W)."""
    signs: torch.Tensor | _Packed | None
    """Which activations are above zero, bool; None where `winners` say enough."""
    pooled_shape: torch.Size | None
    """Of what the pooling makes; None: there is none."""
    winners: torch.Tensor | _Packed | None
    """For each of these which corner of its window it is, counted from 1; 0 where it is zero. None for means."""

    @classmethod
    def of(cls, x: torch.Tensor, pooled: torch.Tensor | None, *, largest: bool, looked_at: bool) -> Passed:
        """
        Args:
            x: the activations, (1, C, H, W), none below zero.
            pooled: what is made of them, (1, C, h, w); None: they are not pooled.
            largest: whether it takes the largest of four, and not their mean.
            looked_at: whether a gradient comes to `x` from elsewhere too.
        """
        winners = None
        if pooled is not None and largest:
            height, width = pooled.shape[-2:]
            winners = torch.full_like(pooled, len(_CORNERS), dtype=torch.uint8)
            for number, corner in reversed(list(enumerate(_CORNERS[:-1], start=1))):
                winners.masked_fill_(_corner(x, corner, height, width) == pooled, number)
            winners.masked_fill_(pooled <= 0, 0)
        signs = x > 0 if winners is None or looked_at else None
        return cls(x.shape, signs, None if pooled is None else pooled.shape, winners)

    def packed(self, device: torch.device) -> Passed:
        """The same in less memory, kept there."""

        def less(values: torch.Tensor | _Packed | None, bits: int) -> _Packed | None:
            if not isinstance(values, torch.Tensor):
                return values
            packed = _Packed.of(values, bits)
            return _Packed(packed.content.to(device), packed.shape, packed.bits)

        return Passed(self.shape, less(self.signs, 1), self.pooled_shape, less(self.winners, 4))

    def unpooled(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient for the layer's activations from that for what is pooled of them; what was not above zero has none, or any."""
        assert self.pooled_shape is not None
        height, width = self.pooled_shape[-2:]
        found = torch.empty(self.shape, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last)
        found[:, :, 2 * height :] = 0
        found[:, :, :, 2 * width :] = 0
        winners = _unpacked(self.winners, gradient.device)
        for number, corner in enumerate(_CORNERS, start=1):
            place = _corner(found, corner, height, width)
            if winners is None:
                torch.mul(gradient, 0.25, out=place)
            else:
                torch.mul(gradient, winners == number, out=place)
        return found

    def rectify_(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient for what the ReLU is handed from that for what it gives, in its place."""
        signs = _unpacked(self.signs, gradient.device)
        return gradient if signs is None else gradient.mul_(signs)


def _corner(x: torch.Tensor, corner: tuple[int, int], height: int, width: int) -> torch.Tensor:
    """One activation of each of the windows, (1, C, height, width)."""
    row, column = corner
    return x[:, :, row : row + 2 * height - 1 : 2, column : column + 2 * width - 1 : 2]


def _unpacked(values: torch.Tensor | _Packed | None, device: torch.device) -> torch.Tensor | None:
    return values.values(device) if isinstance(values, _Packed) else values
