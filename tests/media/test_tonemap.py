"""HDR to SDR."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from vidstyle.media.decode import VideoSource
from vidstyle.media.tonemap import HDR_TRANSFERS, tone_mapped

PQ, HLG = 16, 18


def pq(nits: float) -> float:
    """SMPTE ST 2084, written out once more."""
    power = (nits / 10000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def grey(value: float) -> np.ndarray:
    return np.full((2, 3, 3), round(65535 * value), np.uint16)


@pytest.mark.parametrize("nits", [0.0, 1.0, 10.0, 50.0, 85.0])
def test_what_is_no_brighter_than_a_screen_shows_it_stays_as_bright(nits: float) -> None:
    expected = 255 * (nits / 203) ** (1 / 2.4)
    np.testing.assert_allclose(tone_mapped(grey(pq(nits)), PQ), expected, atol=1)


@pytest.mark.parametrize("nits", [1000.0, 4000.0, 10000.0])
def test_the_brightest_light_is_white(nits: float) -> None:
    np.testing.assert_array_equal(tone_mapped(grey(pq(nits)), PQ), 255)


@pytest.mark.parametrize("transfer", HDR_TRANSFERS)
def test_brighter_stays_brighter_and_grey_stays_grey(transfer: int) -> None:
    ramp = np.repeat(np.arange(0, 65536, 64, dtype=np.uint16)[None, :, None], 3, axis=2)
    mapped = tone_mapped(ramp, transfer).astype(int)
    assert (np.diff(mapped[0, :, 0]) >= 0).all()
    assert np.ptp(mapped, axis=2).max() <= 1  # the matrix has four digits
    assert mapped[0, 0, 0] == 0
    assert mapped[0, -1, 0] == 255


def test_the_white_sheet_of_hlg_is_that_of_pq() -> None:
    """ITU-R BT.2408: 75 % of HLG are 203 cd/m² on a screen of 1000, 58 % of PQ."""
    one, other = (int(tone_mapped(grey(value), transfer)[0, 0, 0]) for value, transfer in ((0.75, HLG), (pq(203), PQ)))
    assert abs(one - other) <= 1
    assert 190 < one < 240


@pytest.mark.parametrize(("primaries", "red"), [(9, (0.6274, 0.0691, 0.0164)), (12, (0.8225, 0.0332, 0.0171)), (1, (1.0, 0.0, 0.0))])
def test_a_colour_that_both_know_keeps_its_hue(primaries: int, red: tuple[float, ...]) -> None:
    """The red of BT.709 in the light of other primaries."""
    code = np.array([[[round(65535 * pq(60 * light)) for light in red]]], np.uint16)
    mapped = tone_mapped(code, PQ, primaries)[0, 0].astype(int)
    assert mapped[0] == pytest.approx(255 * (60 / 203) ** (1 / 2.4), abs=2)
    assert mapped[1:].max() <= 12  # four digits of a matrix, under a power of 1/2.4


def test_a_film_comes_in_as_sdr(tmp_path: Path) -> None:
    """Ten bits, limited range: black is 64, white 940."""
    levels = [0.0, pq(10), pq(85), 1.0]
    luma = np.repeat([round(64 + 876 * level) for level in levels], 16)[None].repeat(48, axis=0).astype(np.uint16)
    with av.open(str(tmp_path / "hdr.mkv"), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "lossless=1:log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = 9, 1, 9, PQ
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        for plane, values in zip(frame.planes, (luma, np.full((24, 32), 512, np.uint16), np.full((24, 32), 512, np.uint16)), strict=True):
            rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            rows[:, : plane.width] = values
            plane.update(rows)
        frame.pts = 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with VideoSource(tmp_path / "hdr.mkv") as source:
        assert (source.info.tags.colorspace, source.info.tags.color_primaries, source.info.tags.color_trc) == (1, 1, 1)
        picture = next(source.frames()).rgb
    expected = [0, 255 * (10 / 203) ** (1 / 2.4), 255 * (85 / 203) ** (1 / 2.4), 255]
    np.testing.assert_allclose(picture[24, 8::16, 1], expected, atol=1.5)
