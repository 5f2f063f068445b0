"""Flow fields in files: Middlebury's .flo (also Sintel's and artistic-videos'), and KITTI's 16-bit PNG."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.errors import MediaError
from vidstyle.frames import FlowField
from vidstyle.png import SIGNATURE, DamagedPng, in_order

__all__ = ["FLOW_SUFFIXES", "read_flow", "resized_flow", "resized_where_known", "write_flow"]

FLOW_SUFFIXES = (".flo", ".png")
_MAGIC = b"PIEH"
_UNKNOWN = 1e9
"""Components beyond this mean that a vector is not known (Middlebury)."""
_MOST_PIXELS = 1 << 28
"""Sizes beyond this are damage."""


def read_flow(path: Path) -> tuple[FlowField, npt.NDArray[np.bool_]]:
    """A field and, (H, W), where it is known; unknown vectors are 0.

    .flo: "PIEH", width and height as 32-bit integers, then (dx, dy) as 32-bit floats row by row, all little-endian (Baker et al.
    2011). PNG: 16 bits a channel, red and green are 64·d + 2¹⁵, blue is whether the vector is known (Geiger et al. 2012, KITTI).

    Raises:
        MediaError: the file is missing, damaged, or no field.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: cannot read the flow field: {error.strerror or error}") from None
    if path.suffix.lower() == ".png":
        return _from_png(path, data)
    if data[:4] != _MAGIC or len(data) < 12:
        raise MediaError(f"{path}: no flow field: a .flo file begins with PIEH")
    width, height = struct.unpack("<ii", data[4:12])
    if width < 1 or height < 1 or width * height > _MOST_PIXELS or len(data) != 12 + 8 * width * height:
        raise MediaError(f"{path}: damaged: {len(data)} bytes for a field of {width}×{height}")
    values = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1)
    known = (np.abs(values) < _UNKNOWN).all(axis=0)
    return FlowField(np.ascontiguousarray(np.where(known, values, 0), dtype=np.float32)), known


def _from_png(path: Path, data: bytes) -> tuple[FlowField, npt.NDArray[np.bool_]]:
    try:
        picture = cv2.imdecode(np.frombuffer(in_order(data), np.uint8), cv2.IMREAD_UNCHANGED) if data.startswith(SIGNATURE) else None
    except DamagedPng as error:
        raise MediaError(f"{path}: the PNG picture {error}; save it anew") from None
    if picture is None or picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint16:
        raise MediaError(f"{path}: no flow field: KITTI's are PNG with three channels of 16 bits")
    blue, green, red = (picture[:, :, channel].astype(np.float32) for channel in range(3))
    known = blue > 0
    values = (np.stack([red, green]) - 32768) / 64
    return FlowField(np.where(known, values, np.float32(0)).astype(np.float32)), known


def resized_flow(field: FlowField, size: tuple[int, int]) -> FlowField:
    """The field for frames of another `size` (height, width): read bilinearly, its vectors scaled too."""
    if field.size == size:
        return field
    scale = size[1] / field.size[1], size[0] / field.size[0]
    scaled = [cv2.resize(field.data[axis], size[::-1], interpolation=cv2.INTER_LINEAR) * scale[axis] for axis in (0, 1)]
    return FlowField(np.stack(scaled).astype(np.float32))


def resized_where_known(field: FlowField, known: npt.NDArray[np.bool_], size: tuple[int, int]) -> tuple[FlowField, npt.NDArray[np.bool_]]:
    """A field and where it is known at another (height, width): known where the nearest vector is, read from known ones alone."""
    if field.size == size:
        return field, known
    rows, columns = ((np.arange(new) * 2 + 1) * old // (2 * new) for new, old in zip(size, known.shape, strict=True))
    share = cv2.resize(known.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    summed = resized_flow(FlowField((field.data * known).astype(np.float32)), size)
    return FlowField((summed.data / np.maximum(share, 1e-6)).astype(np.float32)), known[np.ix_(rows, columns)] & (share > 0)


def write_flow(path: Path, field: FlowField) -> None:
    """Writes a .flo file."""
    height, width = field.size
    path.write_bytes(_MAGIC + struct.pack("<ii", width, height) + field.data.transpose(1, 2, 0).astype("<f4").tobytes())
