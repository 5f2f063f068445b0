"""Reading and writing of videos, images and directories of frames. The only place that imports `av`."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import MediaInfo, MediaKind
from vidstyle.media import video
from vidstyle.media.base import Sink, Source, check_link, check_place, check_unfinished
from vidstyle.media.framedir import FrameDirectorySink, FrameDirectorySource, SequenceSink, check_remains, natural_order, only_pictures
from vidstyle.media.images import ImageSink, ImageSource, partial_of, write_whole
from vidstyle.media.places import check_apart
from vidstyle.media.stills import COMMON, READABLE, WRITABLE, Header, animation, read_header, read_still, to_8_bit
from vidstyle.media.webm import WebM
from vidstyle.numbered import FrameNames
from vidstyle.settings import EncodeSettings, RunSettings

__all__ = [
    "Sink",
    "Source",
    "WebM",
    "check_apart",
    "check_link",
    "check_output",
    "check_style",
    "is_media_name",
    "kind_of",
    "natural_order",
    "open_sink",
    "open_source",
    "output_kind",
    "output_name",
    "read_style",
    "silence_codecs",
    "write_animation",
    "write_picture",
    "write_whole",
]

logger = logging.getLogger(__name__)

# Pictures by their name that nothing here decodes, so that they are refused as pictures and not as videos.
_UNREADABLE_PICTURES = frozenset({".heic", ".heif", ".psd", ".svg", ".hdr", ".jxl"})

_FURTHER_VIDEOS = frozenset({".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".ogv", ".3gp", ".mxf"})


def kind_of(path: Path) -> MediaKind:
    """What an input is, by its content: a picture is one whatever its name, an animated GIF or PNG is a video.

    What is no picture is taken for a video unless its name says otherwise, so that it is refused in fitting words.

    The name of a sequence (`shot.%04d.png`) stands for frames.

    Raises:
        UsageError: there is nothing at `path`, or no ordinary file.
        MediaError: it cannot be opened, or is an animation that cannot be decoded (WebP, AVIF).
    """
    check_link(path)
    sequence = FrameNames.of(path)
    if sequence is not None:
        if path.suffix.lower() not in READABLE:
            raise UsageError(f"{path}: a sequence is one of pictures, such as {sequence.stem}.%04d.png; give a film by its own name")
        return "frames"
    if not path.exists():
        raise UsageError(f"{path}: no such file or directory; check the name")
    if path.is_dir():
        return "frames"
    if not path.is_file():
        raise UsageError(f"{path}: not an ordinary file; save the input to one first")
    header = read_header(path)
    if header is None:
        return "image" if path.suffix.lower() in READABLE - {".gif"} | _UNREADABLE_PICTURES else "video"
    if not header.animated:
        return "image"
    if header.format in ("WEBP", "AVIF"):
        raise MediaError(f"{path}: animated {header.format} cannot be decoded; convert it to MP4, GIF or a directory of frames")
    return "video"


def silence_codecs() -> None:
    """Keeps codecs from writing to stderr by themselves; what matters of it comes back as an error or a warning."""
    av.logging.set_libav_level(av.logging.FATAL)
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes past FFmpeg; errors only


def is_media_name(path: Path) -> bool:
    """Whether a file's name says that it is a video or a picture, readable or not."""
    return path.suffix.lower() in READABLE | _UNREADABLE_PICTURES | set(video.VIDEO_SUFFIXES) | _FURTHER_VIDEOS


def output_name(path: Path) -> str:
    """Name for the result of an input of a batch: its own, with another ending where its format is only read.

    Raises:
        UsageError: there is nothing at `path`.
        MediaError: it cannot be opened.
    """
    kind, suffix = kind_of(path), path.suffix.lower()
    if kind == "frames":
        return path.name
    writable: Collection[str] = WRITABLE if kind == "image" else video.VIDEO_SUFFIXES
    return path.name if suffix in writable else f"{path.stem}{'.png' if kind == 'image' else '.mp4'}"


def output_kind(path: Path | str) -> MediaKind:
    """What an output is to be, by its name: no ending, a slash at the end, an existing directory or a number to fill in mean frames.

    Raises:
        UsageError: an ending that no format has.
    """
    suffix = Path(path).suffix.lower()
    if str(path) == "-":
        raise UsageError("-: cannot write to the standard output; name a file or a directory")
    if str(path).endswith(("/", os.sep)) or not suffix or Path(path).is_dir():
        return "frames"
    if suffix in WRITABLE:
        return "image" if FrameNames.of(Path(path)) is None else "frames"
    if suffix in video.VIDEO_SUFFIXES:
        return "video"
    raise UsageError(
        f"{path}: cannot write {suffix} files; videos are {' '.join(video.VIDEO_SUFFIXES)}, pictures {' '.join(WRITABLE)}, "
        "and a name without an ending, or with a slash at its end, is a directory of frames"
    )


def open_source(path: Path, run: RunSettings, film: bool = False) -> Source:
    """Opens an input of any kind; `film` says that the output is a video.

    Raises:
        UsageError: there is nothing at `path`, or `--start` and `--end` leave nothing of it, or `--frames` has no numbers to go by.
        MediaError: it cannot be read.
    """
    kind = kind_of(path)
    if run.frames is not None and FrameNames.of(path) is None:
        raise UsageError(
            f"--frames {run.frames}: goes by the numbers of a sequence (shot.%04d.png), which {path} is not; use --start and --end"
        )
    if kind == "frames":
        return FrameDirectorySource(path, run, film)
    if kind == "image":
        return ImageSource(path, run, film)
    return video.VideoSource(path, run)


def check_output(path: Path, kind: MediaKind, encode: EncodeSettings, overwrite: bool, info: MediaInfo | None = None) -> None:
    """Finds out before any work whether an output can be written.

    Args:
        info: of the source, if known: its size may matter to the encoder of a video.

    Raises:
        UsageError: something stands there already (without `overwrite`), the directory is missing or cannot be
            written to, or the encoder's settings will not do.
    """
    _check_free(path, kind, overwrite, info)
    if kind == "video":
        video.check_output(path, encode, info)


def _check_free(path: Path, kind: MediaKind, overwrite: bool, info: MediaInfo | None = None) -> None:
    check_place(path)
    sequence = FrameNames.of(path)
    check_place(path.resolve())  # where a link leads: what lies there is replaced
    if kind == "frames":
        check_remains(path)
    if sequence is not None and kind == "frames":
        _check_numbers(sequence, overwrite, info)
        return
    if kind == "image":
        check_unfinished(partial_of(path), path)
    if not path.exists():
        return
    if kind != "frames":
        if path.is_dir():
            raise UsageError(f"{path}: is a directory; name the file to write")
        if not path.is_file():
            raise UsageError(f"{path}: is no ordinary file and cannot be replaced; give another name")
        if not overwrite:
            raise UsageError(f"{path}: exists already; give -y to overwrite it, or another name")
        return
    if not path.is_dir():
        raise UsageError(
            f"{path}: is a file, but a name without an ending, or with a slash at its end, is a directory of frames; give another name"
        )
    if os.path.ismount(path.resolve()):
        # Nothing can be renamed to it, and its frames would not be there all at once.
        raise UsageError(f"{path}: another disk is mounted there, so that it cannot be replaced; name a directory in it, {path / 'frames'}")
    try:
        empty, pictures = not any(path.iterdir()), only_pictures(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not pictures:
        # The directory is replaced as a whole, so a slip of the pen must not cost somebody's files.
        raise UsageError(f"{path}: holds other things than frames and is not replaced; give another name")
    if not (overwrite or empty):
        raise UsageError(f"{path}: exists already; give -y to replace the frames in it, or another name")


def _check_numbers(sequence: FrameNames, overwrite: bool, info: MediaInfo | None) -> None:
    """Whether a sequence can be written: its digits suffice, and no frame of it is there already."""
    first, last = (1, None) if info is None else (info.number, info.number + info.frames - 1 if info.frames else None)
    if last is not None:
        sequence.check_digits(last)
    counted = info is not None and info.kind != "video"  # of which the length is an estimate
    taken = [number for number in sequence.there() if first <= number and not (counted and last is not None and number > last)]
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more of {sequence}" if len(taken) > 1 else ""
        raise UsageError(
            f"{sequence.directory / sequence.name(taken[0])}{more}: there already; give -y to write over the frames of these numbers, or "
            "another name"
        )


def open_sink(
    path: Path, info: MediaInfo, encode: EncodeSettings, source: Path | None, run: RunSettings, overwrite: bool = False,
    kind: MediaKind | None = None,
) -> Sink:  # fmt: skip
    """Opens an output.

    Args:
        info: of the source.
        source: the input, from which a video takes over sound, subtitles and the rest, and a picture its transparency.
        run: which part of the source the frames are.
        kind: what it is to be; told by its name if left out (`output_kind`).

    Raises:
        UsageError: see `check_output`; what came to stand at `path` since then is not overwritten either.
        MediaError: the output cannot be written.
    """
    kind = kind or output_kind(path)
    _check_free(path, kind, overwrite, info)
    if kind == "frames":
        sequence = FrameNames.of(path)
        return FrameDirectorySink(path, info) if sequence is None else SequenceSink(sequence, info)
    if kind == "image":
        return ImageSink(path, info)
    return video.VideoSink(path, info, encode, source if info.kind == "video" else None, video.Span.of(run))


def write_picture(path: Path, picture: npt.NDArray[np.uint8], overwrite: bool = False) -> None:
    """Writes a picture that is no frame of anything, (H, W, 3) RGB, in one step.

    Raises:
        UsageError: see `check_output`.
        MediaError: it cannot be written.
    """
    _check_free(path, "image", overwrite)
    with ImageSink(path, None) as sink:
        sink.write(picture, 0, Fraction(1))


def write_animation(path: Path, pictures: Sequence[npt.NDArray[np.uint8]], rate: float, overwrite: bool = False) -> None:
    """Writes pictures, (H, W, 3) RGB of one size, as an animated GIF or WebP that is shown over and over.

    Raises:
        UsageError: see `check_output`.
        MediaError: it cannot be written.
    """
    _check_free(path, "image", overwrite)
    write_whole(path, animation(pictures, path.suffix.lower(), rate))


def check_style(path: Path, role: str = "STYLE") -> None:
    """Finds out from its header alone whether a file can be a style; `role` is what the message calls it.

    Raises:
        UsageError: there is nothing at `path`, or no still picture that can be decoded.
        MediaError: it cannot be opened.
    """
    _style_header(path, role)


def _style_header(path: Path, role: str) -> Header:
    advice = f"give a {COMMON} picture as {role}"
    check_link(path)
    if not path.exists():
        raise UsageError(f"{role} {path}: no such file; check the name")
    if not path.is_file():
        raise UsageError(f"{role} {path}: is {'a directory' if path.is_dir() else 'not an ordinary file'}; {advice}")
    header = read_header(path)
    if header is None:
        raise UsageError(f"{role} {path}: {'is no picture that can be read' if path.stat().st_size else 'the file is empty'}; {advice}")
    if header.animated:
        raise UsageError(f"{role} {path}: is an animation, not a still picture; {advice}")
    return header


def read_style(path: Path, role: str = "STYLE") -> npt.NDArray[np.uint8]:
    """A picture to take the style from: (H, W, 3) uint8 RGB, upright, at its own size.

    Raises:
        UsageError: see `check_style`.
        MediaError: the picture is damaged.
    """
    header = _style_header(path, role)
    if header.warning:
        logger.warning("%s %s: %s", role, path, header.warning)
    try:
        return to_8_bit(read_still(path).rgb)
    except MediaError as error:
        raise MediaError(f"{role} {error}") from None
