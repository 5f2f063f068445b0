"""The spectrum along the flow on changes whose energy is known."""

from __future__ import annotations

import numpy as np
import pytest

from vidstyle.evaluate import BANDS, FlickerMeter
from vidstyle.frames import FlowField

STILL = FlowField(np.zeros((2, 40, 56), np.float32))


def field(dx: float) -> FlowField:
    return FlowField(np.stack([np.full((40, 56), dx), np.zeros((40, 56))]).astype(np.float32))


def measured(values: list[float], rate: float = 24, shot: int = 10_000) -> tuple[float, list[float]]:
    """Of a film of grey frames: the energy above 3 Hz and by band."""
    meter = FlickerMeter(rate, films=1)
    for number, value in enumerate(values):
        step = None if number % shot == 0 else STILL
        meter.add([np.full((1, 40, 56), value)], step, step)
    found = meter.result()
    assert found is not None
    return found[0][0], found[1][0]


@pytest.mark.parametrize(("hertz", "band"), [(2, 1), (4, 2), (8, 3), (12, 4)])
def test_a_wave_lies_in_its_band_with_its_mean_square(hertz: float, band: int) -> None:
    time = np.arange(48) / 24
    wave = 100 + 5 * np.cos(2 * np.pi * hertz * time)
    above, bands = measured(wave.tolist())
    energy = 5**2 / (1 if hertz == 12 else 2)  # at half the frame rate every frame is a crest or a trough
    assert bands[band] == pytest.approx(energy, rel=0.02)
    assert above == pytest.approx(energy if hertz > 3 else 0, abs=0.3)
    assert len(bands) == len(BANDS)


def test_a_wave_at_the_limit_counts_as_its_band_does() -> None:
    above, bands = measured((100 + 5 * np.cos(2 * np.pi * 3 * np.arange(48) / 24)).tolist())
    assert above == pytest.approx(sum(bands[2:]))
    assert above > 10


@pytest.mark.parametrize("rate", [24000 / 1001, 30000 / 1001])
def test_television_rates_have_the_bands_of_whole_ones(rate: float) -> None:
    """The third of their frequencies is 2.997 Hz."""
    per_window = round(rate)
    wave = (100 + 5 * np.cos(2 * np.pi * 3 * np.arange(2 * per_window) / per_window)).tolist()
    above, bands = measured(wave, rate)
    whole_above, whole_bands = measured(wave, per_window)
    assert above == pytest.approx(whole_above)
    assert bands == pytest.approx(whole_bands)
    assert above > 10


def test_colours_that_change_at_equal_brightness_are_flicker() -> None:
    meter = FlickerMeter(24, films=1)
    for number in range(24):
        red, blue = (140, 60) if number % 2 else (140 - 0.114 * 50 / 0.299, 110)
        picture = np.stack([np.full((40, 56), value) for value in (red, 100.0, blue)])
        meter.add([picture], STILL if number else None, STILL if number else None)
    found = meter.result()
    assert found is not None
    assert found[0][0] == pytest.approx((25**2 + (0.114 * 25 / 0.299) ** 2) / 3, rel=0.1)


def test_a_slow_fade_is_no_flicker() -> None:
    above, bands = measured(np.linspace(50, 150, 48).tolist())
    assert above == pytest.approx(0, abs=1e-9)
    assert sum(bands) == pytest.approx(0, abs=1e-9)


def test_noise_spreads_over_all_frequencies() -> None:
    rng = np.random.default_rng(0)
    meter = FlickerMeter(24, films=2)
    for number in range(240):
        noise = 100 + 6 * rng.standard_normal((3, 40, 56))
        meter.add([np.full((3, 40, 56), 100.0), noise], None if number == 0 else STILL, None if number == 0 else STILL)
    found = meter.result()
    assert found is not None
    still, noisy = found[0]
    assert still == 0
    # Of the frequencies of a window 0.5 to 12 Hz, those from 3 Hz on; the trend takes two of 24 degrees of freedom.
    assert noisy == pytest.approx(36 * 19 / 24, rel=0.05)


def test_points_go_along_with_the_picture() -> None:
    ramp = np.tile(np.linspace(0, 200, 56), (1, 40, 1))

    def film(points_move: bool) -> float:
        meter = FlickerMeter(24, films=1)
        for number in range(24):
            shift = number % 2  # to and fro by a pixel
            step = field(1.0 if shift else -1.0) if number else None
            if not points_move and number:
                step = STILL
            back = None if step is None else FlowField(-step.data)
            meter.add([np.roll(ramp, shift, axis=2)], step, back)
        found = meter.result()
        assert found is not None
        return found[0][0]

    assert film(points_move=True) < 0.05 * film(points_move=False)


def test_nothing_is_followed_across_a_cut() -> None:
    steps = [50.0] * 12 + [150.0] * 12
    assert measured(steps, shot=12)[0] == pytest.approx(0, abs=1e-9)
    assert measured(steps)[0] > 10


def test_too_slow_or_too_short_a_film_has_no_figure() -> None:
    meter = FlickerMeter(6, films=1)
    for number in range(20):
        meter.add([np.full((1, 40, 56), 50.0)], STILL if number else None, STILL if number else None)
    assert meter.result() is None
    meter = FlickerMeter(24, films=1)
    meter.add([np.full((1, 40, 56), 50.0)], None, None)
    assert meter.result() is None
