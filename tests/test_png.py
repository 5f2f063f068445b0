"""What libpng is given: the same pixels as it would read itself, and nothing that it would complain about."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidstyle.errors import MediaError
from vidstyle.evaluate import FlowDirectory
from vidstyle.flow.files import read_flow, write_flow
from vidstyle.frames import FlowField
from vidstyle.media.stills import read_still
from vidstyle.png import SIGNATURE, DamagedPng, in_order

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = (
    [(0, depth) for depth in (1, 2, 4, 8, 16)] + [(3, depth) for depth in (1, 2, 4, 8)] + [(kind, n) for kind in (2, 4, 6) for n in (8, 16)]
)
PASSES = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
"""Of Adam7: first column, columns from one to the next, first row, rows; the specification, section 8.2."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(width: int, height: int, bits: int, interlaced: bool) -> bytes:
    """Random pixels, every row behind the number of a filter."""
    luck = np.random.default_rng(width * height * bits)
    found = []
    for left, across, top, down in PASSES if interlaced else [(0, 1, 0, 1)]:
        columns = len(range(left, width, across))
        for _ in range(top, height, down) if columns else ():
            found.append(bytes([int(luck.integers(5))]) + luck.bytes((columns * bits + 7) // 8))
    return b"".join(found)


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (40, 30), kind: int = 2, depth: int = 8, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, interlaced)
    return SIGNATURE + b"".join(chunk(*each) for each in [(b"IHDR", header), *chunks, (b"IEND", b"")])


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


PLAIN = rows(40, 30, 24, interlaced=False)
PACKED = zlib.compress(PLAIN)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (37, 23)])
@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("kind", "depth"), KINDS)
def test_a_whole_picture_stays_as_it_is(kind: int, depth: int, interlaced: int, size: tuple[int, int]) -> None:
    packed = zlib.compress(rows(*size, depth * CHANNELS[kind], interlaced == 1))
    palette = [(b"PLTE", bytes(range(3)) * (1 << depth))] if kind == 3 else []
    third = len(packed) // 3
    parts = [(b"IDAT", packed[:third]), (b"IDAT", packed[third:])]
    whole = png(*palette, *parts, size=size, kind=kind, depth=depth, interlaced=interlaced)
    assert in_order(whole) == whole
    assert in_order(png(*palette, (b"tEXt", b"a\0b"), *parts, size=size, kind=kind, depth=depth, interlaced=interlaced)) == whole


@pytest.mark.parametrize("packed", [zlib.compress(PLAIN + b"more"), PACKED + b"more", PACKED[:-3]], ids=["pixels", "bytes", "cut"])
def test_an_end_that_is_not_as_it_should_be_is_mended(packed: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert np.array_equal(decoded(in_order(png((b"IDAT", packed)))), decoded(png((b"IDAT", PACKED))))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("palette", [b"abc", b"abc" * 5])
def test_colours_that_a_palette_lacks_are_black(palette: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    data = png((b"PLTE", palette), (b"tRNS", b"\xff" * 9), (b"IDAT", zlib.compress(b"\0\x1b")), size=(4, 1), kind=3, depth=2)
    full = palette[:12].ljust(12, b"\0")
    expected = np.frombuffer(full, np.uint8).reshape(1, 4, 3)
    assert np.array_equal(decoded(in_order(data))[..., 2::-1], expected)
    assert capfd.readouterr() == ("", "")


DAMAGED = {
    "checksum of the pixels": png((b"IDAT", PACKED[:-4] + b"abcd")),
    "filter": png((b"IDAT", zlib.compress(b"\7" + PLAIN[1:]))),
    "later filter": png((b"IDAT", zlib.compress(PLAIN[:-121] + b"\5" + PLAIN[-120:]))),
    "half": png((b"IDAT", PACKED[: len(PACKED) // 2])),
    "too few rows": png((b"IDAT", zlib.compress(PLAIN[:-121]))),
    "no pixels": png(),
    "no palette": png((b"IDAT", PACKED), kind=3),
    "palette behind the pixels": png((b"IDAT", PACKED), (b"PLTE", b"abc"), kind=3),
    "noise": png((b"IDAT", bytes(range(200)))),
    "interlacing": png((b"IDAT", PACKED), interlaced=7),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_told_by_nobody_but_us(data: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.png: the PNG picture is (damaged|incomplete).*; save it anew"):
        read_still(path)
    with pytest.raises(MediaError, match=r"a\.png: the PNG picture is"):
        read_flow(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "header", [b"", struct.pack(">IIBBBBB", 9, 9, 5, 2, 0, 0, 0), struct.pack(">IIBBBBB", 2_000_000, 1, 8, 0, 0, 0, 0)]
)
def test_a_header_that_cannot_be_is_told(header: bytes) -> None:
    with pytest.raises(DamagedPng, match="header"):
        in_order(SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", PACKED) + chunk(b"IEND", b""))


def test_damage_in_what_is_occluded_is_told_by_nobody_but_us(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flow").mkdir()
    (tmp_path / "hidden").mkdir()
    write_flow(tmp_path / "flow" / "1.flo", FlowField(np.zeros((2, 30, 40), np.float32)))
    hidden = tmp_path / "hidden" / "1.png"
    assert cv2.imwrite(str(hidden), np.eye(30, 40, dtype=np.uint8))
    truth = FlowDirectory(tmp_path / "flow", tmp_path / "hidden")
    found = truth(0)
    assert found is not None
    assert np.array_equal(found[1], np.eye(30, 40) == 0)
    hidden.write_bytes(DAMAGED["checksum of the pixels"])
    with pytest.raises(MediaError, match=r"1\.png: the PNG picture is damaged"):
        truth(0)
    hidden.write_bytes(b"")
    with pytest.raises(MediaError, match=r"1\.png: no picture of 40×30"):
        truth(0)
    assert capfd.readouterr() == ("", "")
