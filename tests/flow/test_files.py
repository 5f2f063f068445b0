"""Flow files against their formats' definitions."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidstyle.errors import MediaError
from vidstyle.flow import read_flow, write_flow
from vidstyle.frames import FlowField


def test_flo_comes_back_bit_by_bit(tmp_path: Path) -> None:
    field = FlowField(np.random.default_rng(0).normal(0, 9, (2, 5, 7)).astype(np.float32))
    write_flow(tmp_path / "a.flo", field)
    back, known = read_flow(tmp_path / "a.flo")
    np.testing.assert_array_equal(back.data, field.data)
    assert known.all()


def test_flo_by_the_definition(tmp_path: Path) -> None:
    vectors = [(1.5, -2.0), (0.0, 0.25), (1e10, 1e10), (4.0, 5.0), (6.0, 7.0), (8.0, 9.0)]
    path = tmp_path / "a.flo"
    path.write_bytes(struct.pack("<f", 202021.25) + struct.pack("<ii", 3, 2) + b"".join(struct.pack("<ff", *v) for v in vectors))
    field, known = read_flow(path)
    assert field.size == (2, 3)
    assert (field.data[0, 0, 0], field.data[1, 0, 0]) == (1.5, -2.0)
    assert (field.data[0, 1, 0], field.data[1, 1, 0]) == (4.0, 5.0)
    assert not known[0, 2]
    assert known.sum() == 5
    assert not field.data[:, 0, 2].any()


def test_kitti_by_the_definition(tmp_path: Path) -> None:
    rgb = np.zeros((2, 3, 3), np.uint16)
    rgb[..., 0] = 32768 + 64 * 3  # red: 3 pixels to the right
    rgb[..., 1] = 32768 - 32  # green: half a pixel up
    rgb[..., 2] = 1
    rgb[1, 2, 2] = 0
    cv2.imwrite(str(tmp_path / "a.png"), rgb[..., ::-1])
    field, known = read_flow(tmp_path / "a.png")
    assert (field.data[0, 0, 0], field.data[1, 0, 0]) == (3, -0.5)
    assert known.sum() == 5
    assert not field.data[:, 1, 2].any()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.flo", b"", "begins with PIEH"),
        ("a.flo", b"JUNKJUNKJUNKJUNK", "begins with PIEH"),
        ("a.flo", b"PIEH" + struct.pack("<ii", 4, 4) + b"\0" * 20, "damaged"),
        ("a.flo", b"PIEH" + struct.pack("<ii", -1, 4), "damaged"),
        ("a.flo", b"PIEH" + struct.pack("<ii", 1 << 20, 1 << 20), "damaged"),
        ("a.png", b"", "no flow field"),
        ("a.png", b"text", "no flow field"),
    ],
)
def test_what_is_no_field_is_told(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MediaError, match=said):
        read_flow(tmp_path / name)


def test_an_ordinary_picture_is_no_field(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(MediaError, match="16 bits"):
        read_flow(tmp_path / "a.png")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot read"):
        read_flow(tmp_path / "none.flo")
