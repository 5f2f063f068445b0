"""OpenEXR pictures: linear light in, linear light out, by FFmpeg's codec, since OpenCV's wheels come without one.

A painting is made of sRGB values from black to white. What is read is brought to them, and back where it is written.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from vidstyle.errors import MediaError

__all__ = ["MAGIC", "decode", "describe", "encode"]

MAGIC: Final = b"\x76\x2f\x31\x01"
"""How the files begin."""

_HEAD = 1 << 20
"""Bytes of a file in which its header ends, or it is none."""
_NOT_PLAIN = 0x1A00
"""Bits of the version that say that a file is made of tiles, of deep pixels, or of several parts."""
_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Compression → rows of pixels that are packed together."""
_BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""Where red, green, blue and white lie, x and y each."""
_NEAR = 0.005
_PAINTED = ("R", "G", "B", "A", "Y")
_FOREIGN = "its primaries are others than those of BT.709 (ACES?), for which they are taken, here and in what is written; convert it first"
_A_HAIR = 1e-3
"""What half floats round to either side of black and white is not cut off."""
_OPAQUE = 65535


def describe(file: BinaryIO) -> tuple[int, int, str | None] | None:
    """Width, height, and a word of warning, of the picture whose file is open at its beginning; None where the header is damaged."""
    header = _header(file.read(_HEAD))
    if header is None:
        return None
    remarks = []
    primaries = header.get("chromaticities", b"")
    if len(primaries) == 32 and max(abs(a - b) for a, b in zip(struct.unpack("<8f", primaries), _BT709, strict=True)) > _NEAR:
        remarks.append(_FOREIGN)
    others = [name for name in _channels(header) if name not in _PAINTED]
    if others:
        remarks.append(f"its further channels are left out ({', '.join(others[:3])}{', …' if len(others) > 3 else ''})")
    return *_extent(header["displayWindow"]), "; ".join(remarks) or None


def decode(path: Path, data: bytes) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16] | None, bool]:
    """The picture in the bytes `data` of the file `path`, which the errors name.

    Linear light of BT.709's primaries becomes sRGB (IEC 61966-2-1). What is darker than black or brighter than white (1.0) is cut off.
    Colours, which EXR keeps multiplied by the transparency, are divided by it.

    Returns:
        (H, W, 3) RGB; (H, W) transparency, or None where there is none; and whether something was cut off.

    Raises:
        MediaError: the file is damaged or incomplete, or of a kind that FFmpeg cannot decode (deep pixels, subsampled colours).
    """
    header = _header(data)
    if header is None or _is_cut_short(data, header):
        raise MediaError(f"{path}: the EXR picture is damaged or incomplete; save it anew")
    width, height = _extent(header["displayWindow"])
    left, top = struct.unpack_from("<2i", header["displayWindow"])
    if left or top:  # FFmpeg takes the picture to begin at (0, 0)
        begins = b"displayWindow\0box2i\0\x10\0\0\0"
        data = data.replace(begins + header["displayWindow"][:8], begins + bytes(8), 1)
        if min(left, top) < 0:
            raise MediaError(f"{path}: the display window of the EXR picture begins before (0, 0); save it with one that does not")
    planes = [plane[top:, left:] for plane in _planes(path, data)]
    if any(plane.shape != (height, width) for plane in planes):
        raise MediaError(f"{path}: the EXR picture has not the size that it announces; save it anew")
    alpha = planes.pop() if len(planes) in (2, 4) else None
    rgb = np.dstack(planes * 3 if len(planes) == 1 else [planes[2], planes[0], planes[1]])  # FFmpeg's order is green, blue, red
    if alpha is not None:
        alpha = np.nan_to_num(alpha, nan=0.0).clip(0, 1)
        rgb = np.divide(rgb, alpha[..., None], where=alpha[..., None] > 0, out=rgb)
    clipped = not bool(((rgb >= -_A_HAIR) & (rgb <= 1 + _A_HAIR)).all())
    transparency = None if alpha is None else (alpha * _OPAQUE).round().astype(np.uint16)
    return _coded(np.nan_to_num(rgb, nan=0.0, posinf=1.0, neginf=0.0)), transparency, clipped


def encode(picture: npt.NDArray[np.uint16], alpha: npt.NDArray[np.uint16] | None) -> bytes:
    """A picture, (H, W, 3) RGB of sRGB, as an EXR of half floats: linear light, multiplied by the transparency, (H, W), if there is any."""
    linear = _linear()[picture]
    if alpha is not None:
        share = (alpha / np.float32(_OPAQUE))[..., None]
        linear = np.concatenate([linear * share, share], axis=-1)
    planes = [linear[..., channel] for channel in (1, 2, 0, 3)[: linear.shape[-1]]]  # FFmpeg's order
    height, width = picture.shape[:2]
    frame = VideoFrame(width, height, "gbrpf32le" if alpha is None else "gbrapf32le")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((height, plane.line_size // 4), np.float32)
        rows[:, :width] = values
        plane.update(rows.tobytes())
    context = _context("exr", "w")
    context.width, context.height, context.pix_fmt = width, height, frame.format.name
    context.time_base = Fraction(1, 25)  # which the codec asks for, and a picture has not
    context.options = {"format": "half", "compression": "zip16"}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def _context(name: str, mode: Any) -> VideoCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1  # what FFmpeg says of a file is then said in the thread that asks
    return context


def _planes(path: Path, data: bytes) -> list[npt.NDArray[np.float32]]:
    """The channels as FFmpeg has them, (H, W) each: green, blue, red, or grey alone, and transparency behind.

    It goes on over packed rows that are damaged, and only says so: what it says is what tells.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said:
            context = _context("exr", "r")
            frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    except av.FFmpegError as error:
        raise MediaError(f"{path}: the EXR picture cannot be decoded ({error.strerror}); save it as ordinary half or float RGB") from None
    finally:
        av.logging.set_level(level)
    if said or not frames:
        raise MediaError(f"{path}: the EXR picture is damaged; save it anew")
    frame = frames[0]
    kind: np.dtype[Any] = np.dtype(np.float16 if "f16" in frame.format.name else np.float32)
    if "f16" not in frame.format.name and "f32" not in frame.format.name:
        raise MediaError(f"{path}: the EXR picture has channels of whole numbers; save it as half or float")
    return [
        np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    ]


def _header(data: bytes) -> dict[str, bytes] | None:
    """Attribute → value, of the first part, with the bits of the version under "" and where the header ends under "\\0"."""
    if data[:4] != MAGIC:
        return None
    found, place = {"": data[4:8]}, 8
    while place < len(data) and data[place] != 0:
        name_end = data.find(b"\0", place)
        kind_end = data.find(b"\0", name_end + 1)
        if name_end < 0 or kind_end < 0 or kind_end + 5 > len(data):
            return None
        (length,) = struct.unpack_from("<i", data, kind_end + 1)
        if length < 0:
            return None
        found[data[place:name_end].decode("latin-1")] = data[kind_end + 5 : kind_end + 5 + length]
        place = kind_end + 5 + length
    found["\0"] = struct.pack("<q", place + 1)
    windows = (found.get(name, b"") for name in ("displayWindow", "dataWindow"))
    if place >= len(data) or any(len(window) != 16 or min(_extent(window)) < 1 for window in windows):
        return None
    return found


def _channels(header: dict[str, bytes]) -> list[str]:
    """Their names, each of which stands in front of 16 bytes on how it is stored."""
    listed, place, names = header.get("channels", b""), 0, []
    while (end := listed.find(b"\0", place)) > place:
        names.append(listed[place:end].decode("latin-1"))
        place = end + 17
    return names


def _extent(window: bytes) -> tuple[int, int]:
    """Width and height of a box, whose last pixels are inside."""
    left, top, right, bottom = struct.unpack("<4i", window)
    return right - left + 1, bottom - top + 1


def _is_cut_short(data: bytes, header: dict[str, bytes]) -> bool:
    """Whether packed rows lie behind the end of the file, or nowhere, which FFmpeg would leave black; only known of plain files."""
    rows = _LINES.get(int.from_bytes(header.get("compression", b""), "little"))
    if rows is None or int.from_bytes(header[""], "little") & _NOT_PLAIN:
        return False
    count = -(-_extent(header["dataWindow"])[1] // rows)
    (table,) = struct.unpack("<q", header["\0"])
    if table + 8 * count > len(data):
        return True
    for start in struct.unpack_from(f"<{count}q", data, table):
        if not 0 < start <= len(data) - 8 or start + 8 + int.from_bytes(data[start + 4 : start + 8], "little") > len(data):
            return True
    return False


def _coded(linear: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Linear light as sRGB, 16 bits."""
    linear = linear.clip(0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    return np.asarray((value * 65535).round(), np.uint16)


@cache
def _linear() -> npt.NDArray[np.float32]:
    """Linear light for every 16-bit value of sRGB."""
    value = np.arange(65536) / 65535
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
