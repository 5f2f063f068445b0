from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.clips import moving
from vidstyle.errors import MediaError
from vidstyle.media import kind_of, open_sink, open_source, read_style
from vidstyle.media.images import ImageSource
from vidstyle.media.stills import Still, encode, read_header, read_still
from vidstyle.settings import EncodeSettings, RunSettings


def write_exr(
    path: Path,
    channels: dict[str, np.ndarray],
    display: tuple[int, int, int, int] | None = None,
    origin: tuple[int, int] = (0, 0),
    primaries: tuple[float, ...] | None = None,
) -> Path:
    """Writes (H, W) float16 or float32 channels, unpacked, by the format's own description, without vidstyle or FFmpeg.

    `origin` is (x, y) of the first pixel, `display` what is to be shown: left, top, right, bottom, with the last pixels inside.
    """
    height, width = next(iter(channels.values())).shape
    kinds = {np.dtype(np.float16): 1, np.dtype(np.float32): 2, np.dtype(np.uint32): 0}
    names = sorted(channels)

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value

    left, first = origin
    window = struct.pack("<4i", left, first, left + width - 1, first + height - 1)
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", kinds[channels[name].dtype], 0, 1, 1) for name in names) + b"\0"
    header = b"\x76\x2f\x31\x01" + struct.pack("<i", 2)
    header += attribute("channels", "chlist", listed) + attribute("compression", "compression", b"\0")
    header += attribute("dataWindow", "box2i", window)
    header += attribute("displayWindow", "box2i", window if display is None else struct.pack("<4i", *display))
    header += attribute("lineOrder", "lineOrder", b"\0") + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    if primaries is not None:
        header += attribute("chromaticities", "chromaticities", struct.pack("<8f", *primaries))
    header += attribute("screenWindowCenter", "v2f", bytes(8)) + attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + b"\0"
    rows = [b"".join(channels[name][y].tobytes() for name in names) for y in range(height)]
    each = 8 + len(rows[0])
    table = b"".join(struct.pack("<q", len(header) + 8 * height + each * y) for y in range(height))
    path.write_bytes(header + table + b"".join(struct.pack("<ii", y, len(row)) + row for y, row in enumerate(rows, first)))
    return path


def rgb(picture: np.ndarray, kind: type = np.float32) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(picture[..., place], dtype=kind) for place, name in enumerate("RGB")}


def srgb(linear: float) -> float:
    """IEC 61966-2-1, for one number."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_linear_light_is_read_as_srgb(tmp_path: Path, kind: type) -> None:
    values = [0.0, 0.001, 0.0031308, 0.01, 0.18, 0.5, 1.0]
    linear = np.zeros((2, len(values), 3), kind)
    linear[0, :, 0], linear[1, :, 2] = values, values
    path = write_exr(tmp_path / "a.exr", rgb(linear, kind))
    still = read_still(path)
    assert kind_of(path) == "image"
    assert (still.rgb.dtype, still.alpha, still.clipped) == (np.uint16, None, False)
    wanted = [65535 * srgb(float(kind(value))) for value in values]
    assert np.abs(still.rgb[0, :, 0] - wanted).max() <= 1
    assert np.array_equal(still.rgb[1, :, 2], still.rgb[0, :, 0])
    assert not still.rgb[..., 1].any()


def test_grey_and_light_that_is_no_colour(tmp_path: Path) -> None:
    grey = read_still(write_exr(tmp_path / "y.exr", {"Y": np.full((3, 4), 0.5, np.float32)}))
    assert {*grey.rgb.flatten().tolist()} == {round(65535 * srgb(0.5))}
    with pytest.raises(MediaError, match=r"n\.exr.*(whole numbers|cannot be decoded)"):
        read_still(write_exr(tmp_path / "n.exr", {name: np.ones((3, 4), np.uint32) for name in "RGB"}))


@pytest.mark.parametrize("value", [1.5, -0.2, np.inf, -np.inf, np.nan])
def test_what_is_beyond_black_and_white_is_cut_off_and_said_once(tmp_path: Path, value: float, caplog: pytest.LogCaptureFixture) -> None:
    linear = np.full((4, 5, 3), 0.25, np.float32)
    linear[1, 1] = value
    (tmp_path / "in").mkdir()
    for number in range(3):
        write_exr(tmp_path / "in" / f"s.{number}.exr", rgb(linear))
    with open_source(tmp_path / "in" / "s.%d.exr", RunSettings()) as source:
        frames = [*source.frames(), *source.frames()]
    assert frames[0].deep is not None
    assert (frames[0].deep[1, 1] == (65535 if value > 1 else 0)).all()
    assert frames[0].deep[0, 0, 0] == round(65535 * srgb(0.25))
    assert ["cut off" in record.getMessage() for record in caplog.records] == [True]
    assert len(list(ImageSource(tmp_path / "in" / "s.1.exr", RunSettings()).frames())) == 1
    assert len(caplog.records) == 2


def test_a_round_trip_keeps_what_half_floats_hold(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 65536, (37, 50, 3), dtype=np.uint16)
    picture[0], picture[1] = 0, 65535
    path = tmp_path / "a.exr"
    path.write_bytes(encode(picture, path))
    header, still = read_header(path), read_still(path)
    assert header is not None
    assert (header.format, header.width, header.height) == ("EXR", 50, 37)
    assert np.abs(still.rgb.astype(int) - picture).max() < 40  # of 65535: eleven bits of linear light
    assert (still.rgb[0] == 0).all()
    assert (still.rgb[1] == 65535).all()
    assert not still.clipped


def test_colours_are_kept_multiplied_by_the_transparency(tmp_path: Path) -> None:
    linear = np.full((2, 3, 3), 0.1, np.float32)
    alpha = np.float32([[1.0, 0.5, 0.2], [0.0, 1.0, 1.0]])
    linear[1, 0] = 0
    path = write_exr(tmp_path / "a.exr", {**rgb(linear), "A": alpha})
    still = read_still(path)
    assert still.alpha is not None
    assert np.array_equal(still.alpha, (alpha * 65535).round())
    for (y, x), value in {(0, 0): 0.1, (0, 1): 0.2, (0, 2): 0.5, (1, 0): 0.0}.items():
        assert abs(int(still.rgb[y, x, 1]) - 65535 * srgb(value)) <= 1
    path.write_bytes(encode(still.rgb, path, still))
    again = read_still(path)
    assert again.alpha is not None
    assert np.abs(again.alpha.astype(int) - still.alpha).max() < 40
    assert np.abs(again.rgb.astype(int) - still.rgb).max() < 60
    png = encode(still.rgb, tmp_path / "a.png", still)
    (tmp_path / "a.png").write_bytes(png)
    kept = read_still(tmp_path / "a.png")
    assert kept.alpha is not None
    assert np.array_equal(kept.alpha, still.alpha)
    assert np.array_equal(kept.rgb, still.rgb)


def test_a_transparency_that_hides_nothing_is_none(tmp_path: Path) -> None:
    assert read_still(write_exr(tmp_path / "a.exr", {**rgb(np.ones((2, 2, 3))), "A": np.ones((2, 2), np.float32)})).alpha is None


@pytest.mark.parametrize("origin", [(0, 0), (-2, -1), (3, 7)])
def test_what_lies_outside_the_display_window_is_left_out(tmp_path: Path, origin: tuple[int, int]) -> None:
    linear = np.zeros((6, 8, 3), np.float32)
    linear[1:5, 2:6] = 1
    x, y = origin
    path = write_exr(tmp_path / "a.exr", rgb(linear), (x + 2, y + 1, x + 5, y + 4), origin)
    header = read_header(path)
    assert header is not None
    assert (header.width, header.height) == (4, 4)
    assert read_still(path).rgb.shape == (4, 4, 3)
    assert (read_still(path).rgb == 65535).all()


@pytest.mark.parametrize(
    ("primaries", "told"),
    [
        ((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.329), False),
        ((0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767), True),
    ],
)
def test_other_primaries_are_told(tmp_path: Path, primaries: tuple[float, ...], told: bool, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2):
        write_exr(tmp_path / f"s.{number}.exr", rgb(np.full((4, 4, 3), 0.5)), primaries=primaries)
    with open_source(tmp_path / "s.%d.exr", RunSettings()) as source:
        list(source.frames())
    assert ["others than those of BT.709" in record.getMessage() for record in caplog.records] == [True] * told


def test_further_channels_are_named(tmp_path: Path) -> None:
    plain = np.full((4, 4, 3), 0.5)
    names = ("Z", "normal.X", "normal.Y", "normal.Z")
    path = write_exr(tmp_path / "a.exr", {**rgb(plain), **{name: np.ones((4, 4), np.float32) for name in names}})
    header = read_header(path)
    assert header is not None
    assert header.warning == "its further channels are left out (Z, normal.X, normal.Y, …)"
    assert np.array_equal(read_still(path).rgb, read_still(write_exr(tmp_path / "b.exr", rgb(plain))).rgb)
    header = read_header(write_exr(tmp_path / "c.exr", {**rgb(plain), "A": np.ones((4, 4), np.float32)}))
    assert header is not None
    assert header.warning is None


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
def test_a_file_that_is_cut_short_is_told(tmp_path: Path, share: float) -> None:
    whole = encode(moving(0).astype(np.uint16) * 257, Path("a.exr"))
    path = tmp_path / "a.exr"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MediaError, match=r"a\.exr"):
        read_still(path)


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    data = bytearray(encode(np.random.default_rng(0).integers(0, 65536, (48, 64, 3), dtype=np.uint16), Path("a.exr")))
    data[1000:1200] = b"Z" * 200  # within what is packed
    (tmp_path / "a.exr").write_bytes(bytes(data))
    with pytest.raises(MediaError, match=r"a\.exr: the EXR picture is damaged"):
        read_still(tmp_path / "a.exr")


@pytest.mark.parametrize("side", [1, 2, 17])
def test_odd_sizes(tmp_path: Path, side: int) -> None:
    picture = moving(1, side, 3).astype(np.uint16) * 257
    path = tmp_path / "a.exr"
    path.write_bytes(encode(picture, path))
    assert np.abs(read_still(path).rgb.astype(int) - picture).max() < 40


def test_eight_bits_become_linear_light_and_come_back(tmp_path: Path) -> None:
    picture, path = moving(2), tmp_path / "a.exr"
    path.write_bytes(encode(picture, path, Still(picture, None)))
    assert np.array_equal(read_style(path), picture)


def test_a_film_becomes_exr_frames(tmp_path: Path) -> None:
    write_exr(tmp_path / "s.0001.exr", rgb(np.full((4, 4, 3), 0.18)))
    with open_source(tmp_path / "s.0001.exr", RunSettings()) as source:
        info = source.info
    with open_sink(tmp_path / "out.####.exr", info, EncodeSettings(), None, RunSettings()) as sink:
        sink.write(np.full((4, 4, 3), 30000, np.uint16), 0, info.time_base)
    assert np.abs(read_still(tmp_path / "out.0001.exr").rgb.astype(int) - 30000).max() < 40
