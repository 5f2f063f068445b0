"""Picture files: what their headers say, how they are read and written.

Pillow reads headers (size, orientation and animation without decoding a pixel), OpenCV decodes and encodes, because it keeps
16 bits a channel. Pillow decodes where OpenCV would not do: JPEG, whose library complains on stderr there (as libpng does, which gets what
`vidstyle.png` has put in order). OpenEXR is FFmpeg's (`exr`).
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin

from vidstyle.errors import MediaError
from vidstyle.frames import Frame, MediaInfo
from vidstyle.media import exr
from vidstyle.media.base import MOST_PIXELS, Picture
from vidstyle.media.tonemap import HDR_TRANSFERS, hdr_word, tone_mapped
from vidstyle.png import DamagedPng, in_order

__all__ = [
    "CLIPPED",
    "COMMON",
    "READABLE",
    "WRITABLE",
    "Header",
    "Still",
    "animation",
    "encode",
    "fit",
    "frame_of",
    "holds_profile",
    "holds_transparency",
    "original_of",
    "read_header",
    "read_still",
    "to_8_bit",
]

READABLE: Final = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga", ".exr"}
)
"""File name endings, in lower case, of the pictures that can be read."""

WRITABLE: Final = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".exr")
"""File name endings, in lower case, of the pictures that can be written."""

CLIPPED: Final = "light brighter than white (1.0) or darker than black is cut off, here and later on; grade it down first to keep it"
"""What is said of the first picture that is `clipped`, after its name."""

Depth = TypeVar("Depth", bound=np.integer[Any])

_DEEP = frozenset({".png", ".tif", ".tiff"})
_TRANSPARENT = frozenset({".png", ".webp", ".tif", ".tiff", ".exr"})

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
_MOVING = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
_PROFILED = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_WIDTH_TAG, _HEIGHT_TAG, _PHOTOMETRIC_TAG, _ORIENTATION_TAG, _ALPHA_TAG, _PROFILE_TAG = 256, 257, 262, 274, 338, 34675
_TGA_FLAGS = 17  # byte of the header whose low bits count those of the transparency
_TIFF_SIZES = {3: 2, 7: 1}  # bytes a value of SHORT and UNDEFINED
_MODEL = slice(16, 20)  # of a profile: the colour model of its values
_AVIF_HEAD = 1 << 16
"""Bytes from the beginning of an AVIF that say how its values are meant; pixels come behind."""

_MOST_SCANNED = 5_000_000_000
"""Pixels that a JPEG may go over, all scans together: 28 times the largest picture; encoders write a dozen scans."""
_JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
"""What begins a segment; in between 255 is followed by 0, or by what restarts a scan."""

# What Pillow raises on headers that are damaged, or of something else altogether.
_HEADER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)


COMMON = "JPEG, PNG, WebP, TIFF, EXR, BMP or GIF"
"""For messages: what people have; more is read."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture file says of itself before a pixel is decoded."""

    format: str
    """Pillow's name of the format, such as PNG."""
    width: int
    """Upright, that is after the orientation is applied."""
    height: int
    orientation: int = 1
    """EXIF's orientation, 1 to 8, still to be applied to the decoded pixels; 1 is upright."""
    profile: bytes | None = None
    """ICC profile, of any colour model."""
    animated: bool = False
    """More than one picture, meant to be shown one after the other."""
    pages: bool = False
    """More than one picture, meant to lie side by side (TIFF)."""
    dark_is_large: bool = False
    """A grey TIFF whose white is 0."""
    remark: str | None = None
    """Of its format, what is to be said."""
    hdr: tuple[int, int] | None = None
    """FFmpeg's numbers for transfer characteristics and primaries where they are HDR, see `tone_mapped`."""

    @property
    def warning(self) -> str | None:
        """What is to be said of the picture before its pixels are used, after its name."""
        return self.remark if self.hdr is None else hdr_word(self.hdr[0])


@dataclass(frozen=True, slots=True)
class Still:
    """A decoded picture file, upright: (H, W, 3) RGB, and its (H, W) transparency of the same type if it has any.

    The colours are the stored ones, also where the picture is transparent: nothing is blended with a background.
    """

    rgb: Picture
    alpha: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None
    profile: bytes | None = None
    """ICC profile that says what the values of R, G and B mean; None where there is none, or one of another model (grey, CMYK)."""
    clipped: bool = False
    """Whether the file has light brighter than white, or darker than black, which is cut off."""


def read_header(path: Path) -> Header | None:
    """What the header of `path` says, or None where it is no picture.

    Raises:
        MediaError: the file cannot be opened, or says that it is absurdly large.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # Pillow warns of oddities in headers; what matters is whether the pixels can be decoded.
            warnings.simplefilter("ignore")
            if file.read(len(exr.MAGIC)) == exr.MAGIC:
                file.seek(0)
                if (found := exr.describe(file)) is None:
                    return None
                width, height, remark = found
                if width * height > MOST_PIXELS:
                    raise MediaError(f"{path}: more pixels than a picture should have; shrink it first")
                return Header("EXR", width, height, remark=remark)
            file.seek(0)
            Image.init()
            # A TGA has no mark of its own: anything could pass for one.
            formats = [*_FORMATS, "TGA"] if path.suffix.lower() == ".tga" else _FORMATS
            try:
                with Image.open(file, formats=[name for name in formats if name in Image.OPEN]) as image:
                    header = _describe(image)
                return replace(header, hdr=_hdr(header.format, file) or _hdr_of_profile(header.profile))
            except Image.DecompressionBombError:
                raise MediaError(f"{path}: more pixels than a picture should have; shrink it first") from None
            except _HEADER_ERRORS as error:
                if "MAX_TEXT_" in str(error):  # Pillow's limits of what is packed beside the pixels of a PNG
                    raise MediaError(f"{path}: its colour profile or a text in it is absurdly large; save it anew without") from None
                return None
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from None


def _describe(image: Image.Image) -> Header:
    # The base class's method: that of PNG decodes the whole picture to look for EXIF behind it.
    orientation = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Whether Pillow's own size is upright depends on its version; the tags are as stored.
        width, height = int(image.tag_v2[_WIDTH_TAG]), int(image.tag_v2[_HEIGHT_TAG])
    if orientation > 4:
        width, height = height, width
    kind = "JPEG" if image.format == "MPO" else image.format or ""  # telephones put a second picture behind the first
    if kind in ("TIFF", "JPEG"):
        # OpenCV turns a TIFF by itself, and `_by_pillow` whatever it reads.
        orientation = 1
    several = bool(getattr(image, "is_animated", False))
    profile = image.info.get("icc_profile")
    return Header(
        kind,
        width,
        height,
        orientation,
        profile if isinstance(profile, bytes) else None,
        animated=several and kind in _MOVING,
        pages=several and kind == "TIFF",
        dark_is_large=isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0,
    )


def _hdr(kind: str, file: BinaryIO) -> tuple[int, int] | None:
    """Transfer characteristics and primaries that a picture names in the beginning of its file, if they are HDR."""
    transfer = primaries = 0
    if kind == "PNG":
        place = 8
        while file.seek(place) and len(head := file.read(12)) == 12 and head[4:8] != b"IDAT":
            if head[4:8] == b"cICP":
                primaries, transfer = head[8], head[9]
            place += 12 + int.from_bytes(head[:4], "big")
    elif kind == "AVIF":
        file.seek(0)
        head = file.read(_AVIF_HEAD)
        if (place := head.find(b"colrnclx")) > 0:
            primaries, transfer = (int.from_bytes(head[place + at : place + at + 2], "big") for at in (8, 10))
    return (transfer, primaries) if transfer in HDR_TRANSFERS else None


def _hdr_of_profile(profile: bytes | None) -> tuple[int, int] | None:
    """The same of an ICC profile, which may have a `cicp` tag (ICC.1:2022, 9.2.17)."""
    if profile is None:
        return None
    for place in range(132, min(132 + 12 * int.from_bytes(profile[128:132], "big"), len(profile)), 12):
        name, at = profile[place : place + 4], int.from_bytes(profile[place + 4 : place + 8], "big")
        if name == b"cicp" and len(values := profile[at + 8 : at + 10]) == 2 and values[1] in HDR_TRANSFERS:
            return values[1], values[0]
    return None


def _whitest(kind: str, data: bytes) -> int | None:
    """The value that stands for white in a picture whose values OpenCV leaves as they are; None: the largest of their type."""
    if kind == "PPM" and data[:2] in (b"P2", b"P3", b"P5", b"P6"):
        words = _REMARK.sub(b" ", data[2:_PNM_HEAD]).split(maxsplit=3)
        white = int(words[2]) if len(words) > 2 and words[2].isdigit() else 0
        return None if white < 256 and data[:2] in (b"P2", b"P3") else white  # written as decimals OpenCV scales bytes, but no others
    if kind == "JPEG2000" and 0 <= (place := data.find(_J2K_SIZES)) < len(data) - 42:
        return int(2 ** ((data[place + 42] & 0x7F) + 1) - 1)
    if kind == "AVIF" and 0 <= (place := data.find(b"av1C")) < len(data) - 6:
        return {0: 255, 2: 1023, 3: 4095}.get(data[place + 6] >> 5 & 3)
    return None


_REMARK = re.compile(rb"#[^\n\r]*")
"""In the header of a PGM or PPM: width, height and white, with remarks between."""
_PNM_HEAD = 4096
_J2K_SIZES = b"\xff\x4f\xff\x51"
"""Beginning of a JPEG 2000 codestream, whose segment SIZ says the depth of every component."""


def read_still(path: Path) -> Still:
    """Decodes a picture file: any bit depth up to 16, grey, palette, CMYK, transparent; upright.

    Raises:
        MediaError: the file is missing, empty, damaged, no picture, or of a kind that cannot be read.
    """
    header = read_header(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not data:
        raise MediaError(f"{path}: the file is empty")
    if header is None:
        raise MediaError(f"{path}: not a picture that can be read; give a {COMMON}")
    if header.animated:
        raise MediaError(f"{path}: an animated picture where a still one is needed; give one of its frames")
    if header.format == "EXR":
        rgb, alpha, clipped = exr.decode(path, data)
        return replace(_shown(rgb, alpha), clipped=clipped)
    if header.format == "PNG":
        try:
            data = in_order(data)
        except DamagedPng as error:
            raise MediaError(f"{path}: the PNG picture {error}; save it anew") from None
    pixels: npt.NDArray[Any] | None  # the stubs say that there is always an array; a picture that cannot be decoded gives None
    try:
        with _quiet_opencv():
            if header.format in ("TGA", "JPEG"):
                pixels = _by_pillow(path, data, header.format)
            else:
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise MediaError(f"{path}: cannot be decoded: {error.err}") from None
    if pixels is None or pixels.size == 0:
        raise MediaError(f"{path}: the {header.format} picture is damaged or incomplete; save it anew")
    if header.format == "TIFF" and pixels.dtype == np.uint8:
        # OpenCV multiplies colours by the transparency, and drops that of grey.
        pixels = _by_pillow(path, data, "TIFF", pixels)
    if header.format == "PNG" and pixels.ndim == 2:
        pixels = _with_grey_key(data, pixels)
    if header.dark_is_large and pixels.dtype == np.uint16:
        pixels = np.iinfo(np.uint16).max - pixels  # which OpenCV does for bytes alone
    if header.format == "TGA" and not data[_TGA_FLAGS] & 0x0F:
        pixels = pixels[..., :3]  # a fourth byte that the file does not call transparency
    if pixels.dtype not in (np.uint8, np.uint16):
        raise MediaError(f"{path}: pixels of type {pixels.dtype}; save the picture with 8 or 16 bits a channel")
    white, largest = _whitest(header.format, data), np.iinfo(pixels.dtype).max
    if white is not None and 0 < white < largest:
        pixels = ((pixels.clip(0, white).astype(np.uint32) * largest + white // 2) // white).astype(pixels.dtype)
    still = _split(_upright(pixels, header.orientation))
    if header.hdr is not None:
        return Still(tone_mapped(_to_16_bit(still.rgb), *header.hdr), None if still.alpha is None else to_8_bit(still.alpha))
    profile = header.profile
    return replace(still, profile=profile) if profile is not None and profile[_MODEL] == b"RGB " else still


def _by_pillow(path: Path, data: bytes, kind: str, opaque: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
    """An 8-bit picture as BGR or BGRA by Pillow, upright; where it is not transparent `opaque`, if that is given.

    Raises:
        MediaError: Pillow cannot read it, or it is a JPEG of absurdly many scans.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=[kind])
            if opaque is not None and image.mode not in ("RGBA", "RGBa", "LA", "La"):
                return opaque
            if kind == "JPEG" and _scans(data) * image.width * image.height > _MOST_SCANNED:
                size = f"{image.width}×{image.height} pixels"
                raise MediaError(f"{path}: {_scans(data)} scans over {size}, far more than encoders write; save it anew")
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("L", "RGB", "CMYK"):
                return np.asarray(upright.convert("RGB"))[..., ::-1]
            return np.asarray(upright.convert("RGBA"))[..., [2, 1, 0, 3]]
    except _HEADER_ERRORS:
        raise MediaError(f"{path}: the {kind} picture is damaged or incomplete; save it anew") from None


def _scans(data: bytes) -> int:
    """How often a JPEG goes over its picture; a few bytes are enough to ask for one scan more of a progressive one."""
    scans, place = 0, 2
    while (marker := _JPEG_MARKER.search(data, place)) is not None and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return scans


def _with_grey_key(data: bytes, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A grey PNG, (H, W), with its transparency where one grey level stands for it (chunk tRNS), which OpenCV drops."""
    place = data.find(b"tRNS")
    if place < 0 or data.find(b"IDAT") < place:
        return pixels
    depth, largest = data[24], np.iinfo(pixels.dtype).max
    key = int.from_bytes(data[place + 4 : place + 6], "big") * (largest // ((1 << depth) - 1))
    return np.dstack([pixels, np.where(pixels == key, 0, largest).astype(pixels.dtype)])


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV writes to stderr what it also reports by its result; only the latter is wanted."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Applies EXIF's orientation: 5 to 8 are stored with rows and columns exchanged."""
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _split(pixels: npt.NDArray[Any]) -> Still:
    """OpenCV's grey, grey with alpha, BGR or BGRA as RGB and alpha; an alpha that hides nothing is none."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    alpha = np.ascontiguousarray(pixels[..., -1]) if channels in (2, 4) else None
    rgb = pixels[..., 2::-1] if channels >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    return _shown(np.ascontiguousarray(rgb), alpha)


def _shown(rgb: Picture, alpha: npt.NDArray[Any] | None) -> Still:
    """A picture whose transparency, if it hides nothing, is none."""
    return Still(rgb, None if alpha is None or int(alpha.min()) == np.iinfo(alpha.dtype).max else alpha)


def to_8_bit(picture: Picture) -> npt.NDArray[np.uint8]:
    """The picture with 8 bits a channel, rounded."""
    if picture.dtype == np.uint16:
        return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return picture.astype(np.uint8, copy=False)


def _to_16_bit(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    return np.asarray(values if values.dtype == np.uint16 else values.astype(np.uint16) * 257, np.uint16)


def fit(picture: npt.NDArray[Depth], width: int, height: int) -> npt.NDArray[Depth]:
    """Resizes (H, W) or (H, W, 3) to the given size: areas averaged when shrinking, bicubic when enlarging."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width <= picture.shape[1] and height <= picture.shape[0]
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized.astype(picture.dtype, copy=False)


def frame_of(index: int, still: Still, info: MediaInfo, name: str) -> Frame:
    """A still picture as frame `index` of a source, `index` ticks after its beginning, of the size in `info`."""
    rgb = fit(to_8_bit(still.rgb), info.width, info.height)
    deep = fit(still.rgb, info.width, info.height).astype(np.uint16, copy=False) if still.rgb.dtype == np.uint16 else None
    return Frame(index, index, info.time_base, rgb, name, deep)


def original_of(info: MediaInfo, name: str) -> Path | None:
    """The picture file that the frame `name` of a source came from, or None where there is none (a video)."""
    if info.kind == "image":
        return info.path
    return info.directory / name if info.kind == "frames" and name else None


def animation(pictures: Sequence[npt.NDArray[np.uint8]], suffix: str, rate: float) -> bytes:
    """Pictures, (H, W, 3) RGB of one size, as a GIF or WebP (`suffix`) of `rate` frames a second that begins again at its end."""
    first, *others = (Image.fromarray(picture) for picture in pictures)
    file = io.BytesIO()
    each = round(1000 / rate)
    if suffix == ".gif":
        first.save(file, "GIF", save_all=True, append_images=others, duration=each, loop=0, optimize=False)
    else:
        first.save(file, "WEBP", save_all=True, append_images=others, duration=each, loop=0, quality=80, method=4)
    return file.getvalue()


def encode(picture: Picture, path: Path, original: Still | None = None) -> bytes:
    """The bytes of the picture file `path`, of the format that its ending names.

    16 bits a channel where `picture` and `original` have them and the format holds them, 8 otherwise, but EXR in half floats;
    the transparency of `original`, resized, and its ICC profile, where the format holds them. JPEG and WebP at quality 95.

    Raises:
        MediaError: the format cannot hold the picture (too large for it).
    """
    suffix = path.suffix.lower()
    if suffix == ".exr":
        transparency = None if original is None or original.alpha is None else _to_16_bit(original.alpha)
        return exr.encode(_to_16_bit(picture), None if transparency is None else fit(transparency, picture.shape[1], picture.shape[0]))
    if not (suffix in _DEEP and original is not None and original.rgb.dtype == np.uint16):
        picture = to_8_bit(picture)
    pixels: npt.NDArray[Any] = picture[..., ::-1]
    if original is not None and original.alpha is not None and holds_transparency(suffix):
        alpha: npt.NDArray[Any] = to_8_bit(original.alpha) if picture.dtype == np.uint8 else original.alpha
        pixels = np.dstack([pixels, fit(alpha, picture.shape[1], picture.shape[0])])
    parameters: list[int] = []
    if suffix in (".jpg", ".jpeg"):
        # Painted colour has edges as sharp as its lightness: no chroma subsampling.
        parameters = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    elif suffix == ".webp":
        parameters = [cv2.IMWRITE_WEBP_QUALITY, 95]
    profile = None if original is None else original.profile
    with _quiet_opencv():
        if profile is not None and suffix in _PROFILED:
            chunk = np.frombuffer(profile, np.uint8)
            done, data = cv2.imencodeWithMetadata(suffix, np.ascontiguousarray(pixels), [cv2.IMAGE_METADATA_ICCP], [chunk], parameters)
        else:
            done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), parameters)
    if not done:
        raise MediaError(f"{path}: a {suffix} picture cannot be {picture.shape[1]}×{picture.shape[0]}; write .png or a smaller --size")
    encoded: bytes = data.tobytes()
    if suffix in (".tif", ".tiff"):
        tags = [(_ALPHA_TAG, 3, (2).to_bytes(2, "little"))] if pixels.shape[2] == 4 else []
        encoded = _with_tiff_tags(encoded, tags if profile is None else [*tags, (_PROFILE_TAG, 7, profile)])
    return encoded


def _with_tiff_tags(data: bytes, tags: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A TIFF with tags, (number, type, value), that OpenCV does not write: its directory, so much longer, goes to the end of the file.

    TIFF 6.0, section 2. The profile is tag 34675 of type UNDEFINED (ICC.1:2010, annex B.4); ExtraSamples is 338 of type SHORT, 2 where the
    colours are not multiplied by the transparency (section 18).
    """
    if not tags:
        return data
    assert data[:2] == b"II", "OpenCV writes the least significant byte first"
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    entries = [data[place + 2 + 12 * number : place + 14 + 12 * number] for number in range(count)]
    following = data[place + 2 + 12 * count : place + 6 + 12 * count]
    data += b"\0" * (len(data) % 2)
    for number, kind, value in tags:
        length = len(value) // _TIFF_SIZES[kind]
        if len(value) <= 4:
            entries.append(struct.pack("<HHI", number, kind, length) + value.ljust(4, b"\0"))
        else:
            entries.append(struct.pack("<HHII", number, kind, length, len(data)))
            data += value + b"\0" * (len(value) % 2)
    ordered: list[bytes] = sorted(entries, key=lambda entry: int.from_bytes(entry[:2], "little"))
    directory = struct.pack("<H", len(ordered)) + b"".join(ordered)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory + following


def holds_profile(suffix: str) -> bool:
    """Whether pictures with this file name ending can carry an ICC profile."""
    return suffix.lower() in _PROFILED | {".tif", ".tiff"}


def holds_transparency(suffix: str) -> bool:
    """Whether pictures with this file name ending can be transparent."""
    return suffix.lower() in _TRANSPARENT
