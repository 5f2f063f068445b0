"""HDR to SDR: what a film coded as PQ or HLG looks like on an ordinary screen."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["HDR_TRANSFERS", "hdr_word", "tone_mapped"]

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""FFmpeg's transfer characteristics whose code values are no ordinary picture until they are tone mapped."""

_PEAK = 1000.0
"""Brightest light, in cd/m², that is told from brighter light: what most films are graded for, and HLG is defined at."""
_WHITE = 203.0
"""Light of a white sheet in HDR film (ITU-R BT.2408), which becomes the white of SDR."""
_BT2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_TO_BT709 = {
    1: np.eye(3, dtype=np.float32),
    12: np.array([[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]], np.float32),
}
"""Linear light from primaries, by FFmpeg's number, to those of BT.709: of Display P3, and of BT.2020 (ITU-R BT.2087), which all others
are taken for."""
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_GAMMA = 2.4
"""Of an SDR screen (ITU-R BT.1886)."""


def hdr_word(transfer: int) -> str:
    """What is said of film and pictures that are tone mapped, after their name."""
    return f"HDR ({HDR_TRANSFERS[transfer]}) is brought down to SDR, by the curve of ITU-R BT.2390; for another look convert it first"


def tone_mapped(rgb: npt.NDArray[np.uint16], transfer: int, primaries: int = 9) -> npt.NDArray[np.uint8]:
    """HDR code values, (H, W, 3) uint16 RGB full range, as (H, W, 3) uint8 RGB of BT.709.

    The brightest of R, G and B is brought down from 1000 to 203 cd/m² by the curve of ITU-R BT.2390 (§5.4.1), which leaves alone what
    is darker than about 90, and the other two in proportion, so that hues stay. Colours outside BT.709 are clipped.

    Args:
        rgb: the code values.
        transfer: a key of `HDR_TRANSFERS`.
        primaries: FFmpeg's number; 1 BT.709, 12 Display P3, 9 (and whatever else) BT.2020.
    """
    light = _light(transfer)[rgb]
    if HDR_TRANSFERS[transfer] == "HLG":  # the scene's light so far; the screen's is the system gamma of 1.2 away (ITU-R BT.2100)
        light *= _PEAK * (light @ _LUMINANCE)[..., None] ** np.float32(0.2)
    brightest = light.max(axis=-1, keepdims=True)
    curve = _curve()
    steps = _pq_of(brightest / 10000) * (len(curve) - 1)
    light *= curve[steps.round().astype(np.int32)] / np.maximum(brightest, np.float32(1e-6))
    linear = (light / _WHITE) @ _TO_BT709.get(primaries, _BT2020).T
    return np.asarray((linear.clip(0, 1) ** np.float32(1 / _GAMMA) * 255).round(), np.uint8)


@cache
def _light(transfer: int) -> npt.NDArray[np.float32]:
    """cd/m² for every 16-bit code value of PQ; for HLG the share of the scene's brightest light."""
    value = np.arange(65536) / 65535
    if HDR_TRANSFERS[transfer] == "PQ":
        return _light_of(value)
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # ARIB STD-B67
    return np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12).astype(np.float32)


@cache
def _curve() -> npt.NDArray[np.float32]:
    """The light on an SDR screen, in cd/m², for PQ values from 0 to 1: ITU-R BT.2390's curve, black being 0 on both sides."""
    top = float(_pq_of(np.float64(_PEAK / 10000)))
    most = float(_pq_of(np.float64(_WHITE / 10000))) / top
    value = np.linspace(0, 1, 1 << 14).clip(0, top) / top
    knee = 1.5 * most - 0.5
    part = (value - knee).clip(0) / (1 - knee)
    rolled = (2 * part**3 - 3 * part**2 + 1) * knee + (part**3 - 2 * part**2 + part) * (1 - knee) + (3 * part**2 - 2 * part**3) * most
    return _light_of(np.where(value < knee, value, rolled) * top)


def _light_of(value: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """cd/m² of PQ's values in [0, 1] (SMPTE ST 2084)."""
    root = value ** (1 / _M2)
    return np.asarray(10000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1), np.float32)


def _pq_of(light: npt.NDArray[np.floating] | np.floating) -> npt.NDArray[np.floating]:
    """PQ's value, in [0, 1], of light in shares of 10 000 cd/m² (the inverse of `_light_of`)."""
    power = np.asarray(light) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


_M1, _M2 = 2610 / 16384, 128 * 2523 / 4096
_C1, _C2, _C3 = 3424 / 4096, 32 * 2413 / 4096, 32 * 2392 / 4096
