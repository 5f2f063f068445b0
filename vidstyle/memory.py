"""How large a picture may be: what a job needs in memory, and how it is worked on where that is short.

The ways lie in an order, each slower or coarser than the one before: everything at once; the first two blocks of the network in strips;
all of it in strips; then L-BFGS remembers fewer pairs, in half precision. Strips change nothing but the rounding; what L-BFGS
forgets costs it steps. Several devices take strips in any case, since those are what is dealt over them.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from dataclasses import asdict, dataclass
from typing import Any, Self

from vidstyle.device import available_memory, resolve_devices
from vidstyle.optimize import HANDED_ON_IN_HALF
from vidstyle.settings import VGG_LAYERS, Settings
from vidstyle.strips import PLAIN, Fold
from vidstyle.vgg import CHANNELS, filter_bytes

__all__ = ["WHOLE", "Way", "allowed_memory", "estimate_memory", "free_memory", "least_memory", "longest_side_within", "way_within"]

_RESIDENT = 950e6
"""Memory of a job of one pixel: the process, its libraries and the network; the filters of large pictures are counted apart."""
_A_PIXEL = {1: 3800.0, 3: 1500.0, 6: 330.0}
"""Further memory a pixel, float32, by the block from which on everything stands in memory: what is kept of the network, its gradients, and
the pictures; fitted to what benchmarks/ measured. In strips, at sizes up to two megapixels."""
_A_PIXEL_IN_HALF = 234.0
"""The same in strips, where what is freed goes back to the system at once."""
_GAPS, _GAPS_IN_HALF = {1: 0.0, 3: 0.0, 6: 460e6}, 60e6
"""What the C library keeps of what was freed and nothing fits into any more, at most."""
_A_GAP_PIXEL = 650.0
"""The same a pixel, of small pictures."""
_A_STRIP_PIXEL = 700.0
"""Memory a pixel of a strip."""
_A_NETWORK = 80e6
"""Memory of the network once more, without those filters."""
_A_STRIP_PIXEL_BESIDE = 2800.0
"""Memory a pixel of a strip that a further CPU device has in work, whose thread keeps gaps of its own as well; fitted to three trials."""
_A_PAIR = 24.0
"""Memory a pixel and curvature pair of L-BFGS: two pictures in float32."""
_A_FILM_PIXEL, _A_FILM_PIXEL_IN_HALF = 600.0, 46.0
"""More of it where frames follow others: where they start, and what they are held to. In half precision no frame is looked ahead to."""
_A_REFERENCE, _A_REFERENCE_IN_HALF = 100.0, 70.0
"""Memory a pixel and earlier frame that is looked up in: its painting, stored and moved; flow, masks and change, for two frames or one."""
_A_SOURCE = 3.0
"""Memory a pixel and source frame that is kept to be looked up in; large ones are packed."""
_OF_HISTOGRAMS, _OF_LARGEST_SORTED, _OF_CONTENT = 2.0, 9.5, 1.1
"""How many times what the activations take is kept of layers whose histogram is matched, and of the largest of them while it is sorted, and
of layers whose content is kept; fitted to pictures of 256×256, in strips."""
_USUAL_CONTENT = 32.0
"""Memory a pixel of the activations of relu4_2, which is in the figures above."""
_A_STYLE_PIXEL = {"gram": 800.0, "gatys": 800.0}
_A_STYLE_PIXEL_ELSE = 1300.0
"""Memory a pixel of a style picture at its largest scale, whose statistics are taken before the work begins, by --style-loss."""
_A_STYLE_PIXEL_IN_STRIPS = 120.0
"""The same where it is gone through in strips."""
_OF_FREE = 0.9
"""Share of the free memory that a job may take: others want some, and the estimate is one."""
_STRIPS = tuple(1 << power for power in range(22, 15, -1))
"""Pixels of a strip: the more, the less is worked out twice."""
_SHORT_HISTORIES = (10, 5, 3)
"""Pairs that L-BFGS remembers where nothing else helps."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a picture is worked on."""

    fold: Fold = PLAIN
    history: int | None = None
    """Pairs that L-BFGS remembers at most; None: as many as the settings say."""
    half: bool = False
    """Whether it keeps them in half precision."""

    def pairs(self, settings: Settings) -> int:
        """How many pairs L-BFGS remembers."""
        return settings.optimize.history if self.history is None else min(settings.optimize.history, self.history)

    def carried(self, settings: Settings) -> int:
        """How many of them go along to the next frame."""
        return min(settings.optimize.carried, HANDED_ON_IN_HALF) if self.half else settings.optimize.carried

    @property
    def text(self) -> str:
        """To be kept; `read` reads it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Self:
        """The way that was kept as `text`.

        Raises:
            ValueError: it is none.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(Fold(**values.pop("fold")), **values)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{text[:60]!r} is no way to work on a picture") from error

    @property
    def words(self) -> str:
        """In words, for the person who waits; empty for everything at once."""
        if self.fold.whole_from == 1:
            return ""
        said = "activations worked out again" if self.fold.whole_from == 3 else "strip by strip"
        if self.fold.shares > 1:
            said += f", spread over {self.fold.shares} devices"
        if self.half:
            said += f", L-BFGS remembers {self.history} steps in half precision"
        return said


WHOLE = Way()
"""Everything at once, and all that the settings want remembered."""


def estimate_memory(height: int, width: int, settings: Settings, way: Way = WHOLE, film: bool = True) -> int:
    """Bytes that a job on frames of this size needs at its peak, measured on CPUs (benchmarks/); `film` tells it from one picture.

    Of several GPUs they are those of the first, which has the picture and what L-BFGS remembers; the others have the network and a strip.
    """
    whole_from = way.fold.whole_from
    a_pixel, gaps = (_A_PIXEL_IN_HALF, _GAPS_IN_HALF) if way.half else (_A_PIXEL[whole_from], _GAPS[whole_from])
    if settings.optimize.optimizer == "lbfgs":
        remembered = 0.5 * way.pairs(settings) if way.half else way.pairs(settings)
        a_pixel += _A_PAIR * (remembered + (way.carried(settings) if film else 0))
    else:
        a_pixel += 2 * _A_PAIR
    a_pixel += _of_layers(settings)
    if film:
        references = settings.temporal.references
        own, a_reference = (_A_FILM_PIXEL_IN_HALF, _A_REFERENCE_IN_HALF) if way.half else (_A_FILM_PIXEL, _A_REFERENCE)
        a_pixel += own + a_reference * len(references) + _A_SOURCE * max(references)
    if settings.style_layers:
        of_style = _A_STYLE_PIXEL.get(settings.style.loss, _A_STYLE_PIXEL_ELSE) if whole_from == 1 else _A_STYLE_PIXEL_IN_STRIPS
        a_pixel = max(a_pixel, max(settings.style.scale) ** 2 * of_style)
    strip = 0 if whole_from == 1 else min(way.fold.pixels, math.ceil(height * width / way.fold.shares))
    gaps, filters = min(gaps, height * width * _A_GAP_PIXEL), filter_bytes(height, width, settings.layers)
    others = max(min(settings.run.devices.count("cpu"), way.fold.shares) - 1, 0)  # devices with a network and a strip in the same memory
    return round(
        _RESIDENT
        + filters
        + height * width * a_pixel
        + gaps
        + _A_STRIP_PIXEL * strip
        + others * (_A_NETWORK + filters + gaps + _A_STRIP_PIXEL_BESIDE * strip)
    )


def _of_layers(settings: Settings) -> float:
    """Memory a pixel of layers that a loss wants as a whole, strips or not."""

    def activations(layer: str) -> float:
        return 4 * CHANNELS[int(layer[4])] / 4 ** (int(layer[4]) - 1) if layer in VGG_LAYERS else 0.0

    style, content = settings.style, settings.content
    matched = [*(style.layers if style.loss == "histogram" and style.weight > 0 else ())]
    matched += style.histogram_layers if style.histogram_weight > 0 else ()
    sizes = [activations(layer) for layer in matched]
    beyond = max(sum(map(activations, content.layers)) - _USUAL_CONTENT, 0) if content.weight > 0 else 0
    return _OF_HISTOGRAMS * sum(sizes) + _OF_LARGEST_SORTED * max(sizes, default=0) + _OF_CONTENT * beyond


def free_memory(settings: Settings) -> int | None:
    """Bytes that are free for a job now, of several GPUs on the one that has least; None where nobody tells."""
    free = [amount for device in resolve_devices(settings.run.devices) if (amount := available_memory(device)) is not None]
    return min(free, default=None)


def allowed_memory(settings: Settings) -> int | None:
    """Bytes that a job may take: as many as --memory says, otherwise nine tenths of what is free; None where nobody tells."""
    if settings.run.memory_bytes is not None:
        return settings.run.memory_bytes
    free = free_memory(settings)
    return None if free is None else round(_OF_FREE * free)


def way_within(height: int, width: int, settings: Settings, allowed: int | None, film: bool = True) -> Way | None:
    """The fastest way to work on frames of this size in so many bytes; None: there is none. Any fits where none are told."""
    ways = _ways(height * width, len(settings.run.devices))
    return next((way for way in ways if allowed is None or estimate_memory(height, width, settings, way, film) <= allowed), None)


def least_memory(height: int, width: int, settings: Settings, film: bool = True) -> int:
    """Bytes that a job on frames of this size needs in the way that needs least."""
    return min(estimate_memory(height, width, settings, way, film) for way in _ways(height * width, len(settings.run.devices)))


def longest_side_within(height: int, width: int, settings: Settings, allowed: int, film: bool = True) -> int:
    """The longest side, at most that of these frames, of the largest frames of the same shape that can be worked on in so many bytes."""
    longest = max(height, width)

    def needed(side: int) -> int:
        return least_memory(round(height * side / longest), round(width * side / longest), settings, film)

    return bisect_right(range(longest + 1), allowed, key=needed) - 1


def _ways(pixels: int, devices: int) -> list[Way]:
    """Every way to work on so many pixels, the fastest first; with several devices all of the network is in strips, or one would wait."""
    strips = [count for count in _STRIPS if count < 2 * pixels] or [_STRIPS[-1]]
    plain = [WHOLE, *(Way(Fold(3, count)) for count in strips)] if devices == 1 else []
    ways = [*plain, *(Way(Fold(6, count, devices)) for count in strips)]
    return ways + [Way(Fold(6, count, devices), history, half=True) for history in _SHORT_HISTORIES for count in strips]
