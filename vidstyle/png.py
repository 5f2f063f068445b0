"""PNG files put in order before libpng sees them: what it minds it writes to stderr by itself, past everything that could keep it quiet.

So what it would mind is found here first. W3C, Portable Network Graphics (PNG) Specification (third edition), sections 5, 7 to 9 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

__all__ = ["SIGNATURE", "DamagedPng", "in_order"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_KEYS = {0: 1, 2: 3}
"""How many values stand for transparent where one colour does, by the type of colour."""
_PALETTE = 3
_MOST = 1_000_000
"""The widest and highest that libpng reads."""
_LAST_FILTER = 4
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass over an interlaced picture: its first column and row, and how far apart they are."""
_BLOCK = 1 << 20


class DamagedPng(ValueError):
    """What is wrong, to go on with after "the PNG picture"."""


def in_order(data: bytes) -> bytes:
    """The picture with what its pixels are made of and nothing else, such that libpng has nothing to say of it.

    Text, profiles and the like are left out; an end of the pixels that is not as it should be is mended.

    Raises:
        DamagedPng: it cannot be decoded whole.
    """
    parts: dict[bytes, list[memoryview]] = {b"IHDR": [], b"PLTE": [], b"tRNS": [], b"IDAT": []}
    for kind, content in _chunks(memoryview(data)):
        # What lies behind the pixels comes too late to say how they are meant.
        if kind in parts and (kind == b"IDAT" or not parts[kind]) and (kind in (b"IDAT", b"IHDR") or not parts[b"IDAT"]):
            parts[kind].append(content)
    header = b"".join(parts[b"IHDR"])
    if len(header) != 13:
        raise DamagedPng("is damaged (its header)")
    width, height, depth, colour, packing, filtering, interlacing = struct.unpack(">IIBBBBB", header)
    known = depth in _DEPTHS.get(colour, ()) and (packing, filtering) == (0, 0) and interlacing in (0, 1)
    if not (known and 0 < width <= _MOST and 0 < height <= _MOST):
        raise DamagedPng("is damaged (its header)")
    palette, transparent = b"".join(parts[b"PLTE"]), b"".join(parts[b"tRNS"])
    ordered = [_chunk(b"IHDR", header)]
    if colour == _PALETTE:
        if not palette or len(palette) % 3:
            raise DamagedPng("is damaged (its palette)")
        entries = 1 << depth
        ordered.append(_chunk(b"PLTE", palette[: 3 * entries].ljust(3 * entries, b"\0")))
        if transparent:
            ordered.append(_chunk(b"tRNS", transparent[:entries]))
    elif len(transparent) == 2 * _KEYS.get(colour, 0) > 0:
        values = struct.unpack(f">{_KEYS[colour]}H", transparent)
        ordered.append(_chunk(b"tRNS", struct.pack(f">{_KEYS[colour]}H", *(value & ((1 << depth) - 1) for value in values))))
    rows = list(_rows(width, height, depth * _CHANNELS[colour], interlaced=interlacing == 1))
    pixels: list[bytes | memoryview] = [content for content in parts[b"IDAT"] if content]
    if not _checked(pixels, rows):
        whole = _Inflated(pixels).read(sum(count * size for count, size in rows))
        pixels = [zlib.compress(whole, 1)]
    return b"".join([SIGNATURE, *ordered, *(_chunk(b"IDAT", content) for content in pixels), _chunk(b"IEND", b"")])


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of every chunk up to the end, the checksums of those that matter verified."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        kind, end = bytes(data[place + 4 : place + 8]), place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            break
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise DamagedPng("is damaged (wrong checksum)")
            yield kind, data[place + 8 : end - 4]
        if kind == b"IEND":
            return
        place = end
    raise DamagedPng("is incomplete")


def _chunk(kind: bytes, content: bytes | memoryview) -> bytes:
    return b"".join([len(content).to_bytes(4, "big"), kind, content, zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big")])


def _rows(width: int, height: int, bits: int, interlaced: bool) -> Iterator[tuple[int, int]]:
    """How many rows and bytes in each, that of the filter among them, the pixels have, pass by pass."""
    for column, row, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, count = -(-(width - column) // across), -(-(height - row) // down)
        if columns > 0 and count > 0:
            yield count, 1 + -(-columns * bits // 8)


def _checked(packed: Iterable[bytes | memoryview], passes: Iterable[tuple[int, int]]) -> bool:
    """Whether the packed pixels end where they should, all of them being there.

    Raises:
        DamagedPng: they are not there, or cannot be unpacked.
    """
    pixels = _Inflated(packed)
    try:
        for count, size in passes:
            at_once = max(_BLOCK // size, 1)
            for first in range(0, count, at_once):
                wanted = min(at_once, count - first) * size
                block = pixels.read(wanted)
                if len(block) < wanted:
                    raise DamagedPng("is incomplete")
                if max(block[::size]) > _LAST_FILTER:
                    raise DamagedPng("is damaged")
        return not pixels.read(1) and pixels.ended
    except zlib.error:
        raise DamagedPng("is damaged") from None


class _Inflated:
    """Packed pixels, read as they are unpacked."""

    def __init__(self, packed: Iterable[bytes | memoryview]) -> None:
        self._packed = iter(packed)
        self._rest: bytes | memoryview = b""
        self._inflate = zlib.decompressobj(wbits=0)  # libpng goes by the header's window too

    @property
    def ended(self) -> bool:
        """Whether they came to their own end, and nothing follows it."""
        return self._inflate.eof and not self._inflate.unused_data and next(self._packed, None) is None

    def read(self, size: int) -> bytes:
        """So many bytes; fewer where there are no more."""
        blocks: list[bytes] = []
        while size > 0 and not self._inflate.eof:
            given = self._rest or next(self._packed, b"")
            block = self._inflate.decompress(given, size)
            self._rest = self._inflate.unconsumed_tail
            if not given and not block:
                break
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)
