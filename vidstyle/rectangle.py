"""Rectangles of positions: which part of a picture, or of a layer of the network, is meant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["Rectangle"]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Some rows and columns of a layer, or of a picture, of `height` × `width` positions; "from, to", the latter not included."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def whole(cls, height: int, width: int) -> Self:
        """All of it."""
        return cls(0, height, 0, width, height, width)

    @classmethod
    def rows(cls, first: int, last: int, height: int, width: int) -> Self:
        """Some rows, from end to end."""
        return cls(first, last, 0, width, height, width)

    @classmethod
    def bounding(cls, mask: npt.NDArray[np.bool_]) -> Self | None:
        """The smallest one that has all that is true of a mask, (H, W); None where nothing is."""
        (rows,), (columns,) = np.nonzero(mask.any(axis=1)), np.nonzero(mask.any(axis=0))
        if not len(rows):
            return None
        return cls(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1, *mask.shape)

    @property
    def index(self) -> tuple[EllipsisType, slice, slice]:
        """For indexing what is of `height` × `width` positions."""
        return ..., slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """How much lies left, right, above and below of it, in the order that torch's `pad` has them; negative where it reaches beyond."""
        return self.left, self.width - self.right, self.top, self.height - self.bottom

    @property
    def positions(self) -> int:
        """How many; 0 where it is empty."""
        return max(self.bottom - self.top, 0) * max(self.right - self.left, 0)

    def within(self, other: Rectangle) -> Rectangle:
        """The same positions counted from `other`'s corner: for indexing what has only those of `other`, which has all of these."""
        top, left = other.top, other.left
        height, width = other.bottom - top, other.right - left
        return Rectangle(self.top - top, self.bottom - top, self.left - left, self.right - left, height, width)

    def overlap(self, other: Rectangle) -> Rectangle:
        """What both have; it may be empty."""
        return replace(
            self,
            top=max(self.top, other.top), bottom=min(self.bottom, other.bottom),
            left=max(self.left, other.left), right=min(self.right, other.right),
        )  # fmt: skip

    def without(self, other: Rectangle) -> list[Rectangle]:
        """What `other` has not, as rectangles: above it, below, left and right of it; those that are empty are left out."""
        both = self.overlap(other)
        if not both.positions:
            return [self] if self.positions else []
        around = (
            replace(self, bottom=both.top),
            replace(self, top=both.bottom),
            replace(both, left=self.left, right=both.left),
            replace(both, left=both.right, right=self.right),
        )
        return [one for one in around if one.positions]

    def grown(self, by: int) -> Rectangle:
        """By so many positions on every side, as far as there are any."""
        return replace(
            self,
            top=max(self.top - by, 0), bottom=min(self.bottom + by, self.height),
            left=max(self.left - by, 0), right=min(self.right + by, self.width),
        )  # fmt: skip

    def on_grid(self, side: int) -> Rectangle:
        """The least that has these and is made of squares of a grid, the first of which has the corner; cut at the far edges."""
        return replace(
            self,
            top=self.top // side * side, bottom=min(-(-self.bottom // side) * side, self.height),
            left=self.left // side * side, right=min(-(-self.right // side) * side, self.width),
        )  # fmt: skip

    def halved(self) -> Rectangle:
        """Which positions behind a 2×2 pooling look at any of these; an odd last row or column is looked at by none."""
        height, width = self.height // 2, self.width // 2
        bottom, right = min(-(-self.bottom // 2), height), min(-(-self.right // 2), width)
        return Rectangle(self.top // 2, bottom, self.left // 2, right, height, width)

    def doubled(self, height: int, width: int) -> Rectangle:
        """Which positions before a 2×2 pooling, of `height` × `width`, these look at."""
        return Rectangle(2 * self.top, 2 * self.bottom, 2 * self.left, 2 * self.right, height, width)
