"""The one judge of content and style: the original VGG-19, whatever a result was made with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vidstyle.evaluate.measures import content_and_style_of
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer, check_size

__all__ = ["NetworkJudge"]

Picture = npt.NDArray[np.uint8]


class NetworkJudge:
    """5·MSE of relu4_2 and 100·Σ MSE of Gram/(C·H·W) over relu1_1 … relu5_1, on activations of the 0-255 BGR input.

    That is neural-style's and artistic-videos' objective, with the styles at the frames' area, blended in equal parts.

    Args:
        styles: the style pictures, (H, W, 3) uint8 RGB; none leaves the style loss out.
        size: (height, width) of the frames.

    Raises:
        UsageError: the frames are too small for the network.
    """

    def __init__(self, styles: Sequence[Picture], size: tuple[int, int]) -> None:
        settings = Settings() if styles else Settings.from_mapping({"style": {"weight": 0}})
        check_size(settings, size, advice="use --no-losses")
        self._stylizer = Stylizer(settings, styles, size)
        self._targets = self._stylizer.targets(size) if styles else None

    def __call__(self, picture: Picture, source: Picture) -> tuple[float, float | None]:
        """(content, style) of `picture`, which was made from `source`; style is None without a style."""
        return content_and_style_of(self._stylizer.network, picture, source, self._targets)
