"""Videos out: encoder and container by the output's extension, exact times, everything beside the picture kept."""

from __future__ import annotations

import contextlib
import difflib
import io
import logging
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.container import OutputContainer
from av.container.core import Flags
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidstyle.errors import MediaError, UsageError
from vidstyle.files import about_to_place, sync_directory
from vidstyle.frames import ColorTags, MediaInfo
from vidstyle.media.base import Picture, check_place, check_unfinished
from vidstyle.media.decode import open_container
from vidstyle.media.matrix import from_rgb, written_tags
from vidstyle.media.streams import Carrier, Span
from vidstyle.settings import EncodeSettings

__all__ = ["VIDEO_SUFFIXES", "VideoSink", "check_output"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Container:
    format: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)


# faststart: playable while it loads. Delays between the streams are kept in ticks of the movie: 1 ms is too coarse.
_MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": "90000"}
_CONTAINERS = {
    ".mp4": _Container("mp4", "libx264", _MP4_OPTIONS),
    ".m4v": _Container("mp4", "libx264", _MP4_OPTIONS),
    ".mkv": _Container("matroska", "libx264"),
    ".webm": _Container("webm", "libvpx-vp9"),
    ".mov": _Container("mov", "prores_ks", _MP4_OPTIONS),
    ".gif": _Container("gif", "gif"),
}
VIDEO_SUFFIXES = tuple(_CONTAINERS)
"""Extensions, lower case with the dot, that `VideoSink` writes."""
_WORST_CRF = {"libx264": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63, "libaom-av1": 63}
"""Beyond it an encoder quietly takes its own limit."""

# Painted texture is hard to compress and is all there is to see, hence qualities above the codecs' own defaults.
_CODEC_OPTIONS: dict[str, dict[str, str]] = {
    # x264's macroblock tree reads uninitialised memory on processors with AVX-512, so the same frames gave other bytes
    # from run to run. Without it painted film comes out 4 % smaller at the same crf, ordinary film 13 % larger.
    "libx264": {"crf": "16", "preset": "slow", "mbtree": "0"},
    "libx265": {"crf": "18", "preset": "medium", "x265-params": "log-level=error"},
    "libvpx-vp9": {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "2", "row-mt": "1"},
    "libsvtav1": {"crf": "26", "preset": "6"},
    "prores_ks": {"profile": "hq", "vendor": "apl0"},
    "mpeg4": {"global_quality": "236", "flags": "+qscale"},  # a quantiser of 2, in FFmpeg's units of 1/118
}
_CODEC_FORMATS = {"prores_ks": "yuv422p10le", "ffv1": "bgr0", "libx264rgb": "rgb24", "png": "rgb24", "gif": "pal8", "mjpeg": "yuvj420p"}
# 4:2:0 cannot hold an odd size in every codec, 4:4:4 can.
_UNSUBSAMPLED = {"yuv420p": "yuv444p", "yuv422p10le": "yuv444p10le"}

_GIF_TICK = Fraction(1, 100)
# Browsers show a GIF frame of one tick for ten.
_GIF_SHORTEST = 2
_TRIAL_SIZE = (64, 64)
_NOTHING_TO_REORDER = 2
"""Frames up to which a film is coded in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class _Encoder:
    """An encoder that has been opened once with exactly this, and so will open again."""

    container: _Container
    codec: str
    pix_fmt: str
    options: dict[str, str]
    tags: ColorTags
    tick: Fraction
    """Seconds that its times are counted in: the source's, if it can."""

    def add_to(self, output: OutputContainer, width: int, height: int, rate: Fraction) -> VideoStream:
        stream = output.add_stream(self.codec, rate=rate, options=dict(self.options))
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, self.pix_fmt
        context.time_base = stream.time_base = self.tick
        context.colorspace, context.color_range = self.tags.colorspace, self.tags.color_range
        context.color_primaries, context.color_trc = self.tags.color_primaries, self.tags.color_trc
        if context.codec.canonical_name == "hevc" and self.container.format in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players know no other
        context.thread_type = "AUTO"
        return stream


def check_output(path: Path, encode: EncodeSettings, info: MediaInfo | None = None) -> None:
    """Finds out, before any work, whether `VideoSink` will be able to write `path`.

    Whether something already stands there is the caller's question.

    Args:
        info: of the source, if known: its size and time base may matter to the encoder.

    Raises:
        UsageError: the extension, codec, pixel format, an option, or the directory will not do.
    """
    _check_target(path)
    encoder = _choose_encoder(path, encode, info)
    if info is not None and encoder.pix_fmt in _UNSUBSAMPLED.values() and not encode.pix_fmt:
        logger.warning(
            "%s: %s cannot hold the odd %d×%d in 4:2:0; written as %s, which phones and some browsers do not show; an even --size helps",
            path, encoder.codec, info.width, info.height, encoder.pix_fmt,
        )  # fmt: skip


class VideoSink:
    """Writes a video beside its target and puts it in place when the `with` block ends well.

    Convention: pictures are RGB full range; they are coded in the source's colour matrix (BT.709 if it names none),
    limited range, and tagged so. Times are the source's; with a span cut at its start they begin at 0. Everything
    else of `source` (sound, subtitles, chapters, attachments, tags, dispositions) is copied untouched.

    The size is kept to the pixel: an odd one goes into 4:4:4 where the codec cannot hold it in 4:2:0 (H.264, H.265).

    Args:
        path: the target; its extension decides the container and the default codec.
        info: of the source.
        source: the file to take the other streams from, or None.
        span: whether the frames are only a part of the source (`Span.of(settings.run)`).

    Raises:
        UsageError: see `check_output`.
        MediaError: while writing: no space, a refusing encoder, no frame at all.
    """

    def __init__(
        self, path: Path, info: MediaInfo, encode: EncodeSettings | None = None, source: Path | None = None, span: Span | None = None
    ) -> None:
        self.path = path
        self._info, self._source, self._span = info, source, span or Span()
        _check_target(path)
        self._encoder = _choose_encoder(path, encode or EncodeSettings(), info)
        self._partial = _partial(path)
        self._output: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._carrier: Carrier | None = None
        self._palette: _Palette | None = None
        self._held: VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self._last_packet: av.Packet[VideoStream] | None = None
        self._reorder = 0
        self._origin = Fraction(0)
        self._tick = Fraction(0)
        self._size = (0, 0)
        self._count = 0
        self._dropped = 0

    def write(self, picture: Picture, pts: int, time_base: Fraction, name: str = "") -> None:
        """Takes the next frame; see `Sink.write`."""
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a picture is (H, W, 3) uint8 or uint16, got {picture.shape = } {picture.dtype = }")
        with self._words():
            if self._output is None:
                self._open(picture, pts * time_base, time_base)
            if picture.shape[:2] != self._size:
                raise ValueError(f"every frame has the size of the first, {self._size}, got {picture.shape[:2]}")
            moment = round((pts * time_base - self._origin) / self._tick)
            if self._held is not None and self._held.pts is not None:
                if self._encoder.codec == "gif" and moment - self._held.pts < _GIF_SHORTEST:
                    self._dropped += 1
                    return
                if self._tick != time_base:  # a coarser count
                    moment = max(moment, self._held.pts + 1)
                if moment <= self._held.pts:
                    raise ValueError(f"frames come in order, got {pts} after {self._held.pts} (ticks of {self._tick} s)")
                self._encode_held(moment - self._held.pts)
            frame = from_rgb(picture, "rgb24" if self._palette else self._encoder.pix_fmt, self._encoder.tags)
            frame.pts, frame.time_base = moment, self._tick
            self._held = frame
            self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._discard()
            return
        try:
            with self._words():
                self._finish()
        except BaseException:
            self._discard()
            raise

    # ----------------------------------------------------------------------------------------------------

    def _open(self, picture: Picture, begin: Fraction, time_base: Fraction) -> None:
        height, width = picture.shape[:2]
        self._size = (height, width)
        own = self._encoder.codec == "gif" or self._encoder.tick != self._info.time_base
        self._tick = self._encoder.tick if own else time_base
        container = self._encoder.container
        self._partial.unlink(missing_ok=True)  # it may be a link, to an input even
        self._output = output = av.open(
            f"file:{self._partial}", "w", format=container.format, container_options=container.options, metadata_errors="surrogateescape"
        )
        # Random identifiers and dates of the muxer would make two runs of the same job differ.
        output.flags = int(output.flags) | cast(int, Flags.bitexact.value)
        self._stream = replace(self._encoder, tick=self._tick).add_to(output, width, height, self._info.rate)
        self._origin = begin if self._span.cut_start else self._clock_zero()
        if self._encoder.codec == "gif" and self._encoder.pix_fmt == "pal8":
            self._palette = _Palette(width, height, self._tick)
        if self._source is not None:
            self._carrier = Carrier(self._source, output, self.path, self._origin, self._span)
            end = None if self._info.duration is None else begin + self._info.duration
            self._carrier.add_streams(self._stream, end)

    def _clock_zero(self) -> Fraction:
        """Where the source's clock begins: 0, except for broadcast formats, whose clocks begin anywhere."""
        if self._source is None:
            return Fraction(0)
        with open_container(self._source) as container:
            broadcast = container.format.name in ("mpegts", "mpeg")
            return Fraction(container.start_time or 0, av.time_base) if broadcast else Fraction(0)

    def _encode_held(self, duration: int) -> None:
        """Encodes the frame that waited for the next one, whose beginning is its end."""
        frame, self._held = self._held, None
        if frame is None or frame.pts is None or self._stream is None:
            return
        pts = frame.pts
        self._durations[pts] = duration
        if self._palette is not None:
            frame = self._palette.apply(frame)
            frame.pts, frame.time_base = pts, self._tick
        frame.duration = duration
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[av.Packet[VideoStream]]) -> None:
        """Hands packets on, one behind: what is the last packet has to be known."""
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            if self._last_packet is not None:
                self._mux_one(self._last_packet)
            elif packet.pts is not None and packet.dts is not None:
                self._reorder = packet.pts - packet.dts
            self._last_packet = packet

    def _mux_one(self, packet: av.Packet[VideoStream]) -> None:
        assert self._output is not None
        if self._carrier is not None and packet.dts is not None:
            self._carrier.copy_until(packet.dts * self._tick + self._origin)
        self._output.mux(packet)

    def _mux_last(self, end: int) -> None:
        """The last packet; in MP4 its duration decides where the film ends, and it need not be the last frame."""
        packet, self._last_packet = self._last_packet, None
        if packet is None:
            return
        if self._encoder.container.format in ("mp4", "mov") and packet.dts is not None:
            packet.duration = max(end - packet.dts - self._reorder, packet.duration or 1)
        self._mux_one(packet)

    def _finish(self) -> None:
        if self._output is None or self._stream is None or self._held is None or self._held.pts is None:
            raise MediaError(f"{self.path}: there was no frame to write")
        begin = self._held.pts * self._tick + self._origin
        if self._carrier is not None:
            self._carrier.copy_until(begin)
        duration = self._last_duration(begin)
        ticks = max(round(duration / self._tick), 1)
        end = self._held.pts + ticks
        self._encode_held(ticks)
        packets = self._stream.encode(None)
        if self._count <= _NOTHING_TO_REORDER:
            for packet in packets:  # libx265 leaves chance values in the decoding times of so short a film
                packet.dts = packet.pts
        self._mux(packets)
        self._mux_last(end)
        if self._carrier is not None:
            self._carrier.finish(begin + duration)
        self._output.close()
        if self._carrier is not None:
            self._carrier.compare(self._partial)
            self._carrier.close()
        if self._dropped:
            logger.warning(
                "%s: a GIF shows at most 50 frames a second; %d of %d frames were left out",
                self.path,
                self._dropped,
                self._count + self._dropped,
            )
        with self._partial.open("rb+") as file:
            os.fsync(file.fileno())
        about_to_place(self._partial, self.path.resolve())
        self._partial.replace(self.path.resolve())
        sync_directory(self._partial.parent)

    def _last_duration(self, begin: Fraction) -> Fraction:
        known = self._carrier.picture_duration(begin) if self._carrier is not None else None
        return known or 1 / self._info.rate

    def _discard(self) -> None:
        """Closes what is open and removes the partial file; only the first failure is worth telling."""
        if self._carrier is not None:
            self._carrier.close()
        if self._output is not None:
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()
        self._partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        """Turns what libraries raise while writing into one line."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or str(error)
            raise MediaError(f"{self.path}: cannot be written ({reason}); check the free space and the encoder's settings") from error


class _Palette:
    """256 colours chosen for each frame, with a dither that stays put from frame to frame."""

    def __init__(self, width: int, height: int, tick: Fraction) -> None:
        graph = Graph()
        source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24", width, height), time_base=tick)
        split, generate = graph.add("split"), graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use, sink = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4"), graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._graph = graph

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """One frame in, the same as pal8 out."""
        self._graph.vpush(frame)
        return self._graph.vpull()


def _check_target(path: Path) -> None:
    if path.suffix.lower() not in _CONTAINERS:
        raise UsageError(f"{path}: cannot write a video with this extension; use one of {' '.join(VIDEO_SUFFIXES)}")
    if path.is_dir():
        raise UsageError(f"{path}: is a directory; give the file to write")
    check_place(path)
    check_unfinished(_partial(path), path)


def _partial(path: Path) -> Path:
    """Where a film is written until it is whole: beside the file that a link leads to, which it replaces."""
    path = path.resolve()
    return path.with_name(f".{path.stem}.part{path.suffix}")


def _choose_encoder(path: Path, encode: EncodeSettings, info: MediaInfo | None) -> _Encoder:
    """The encoder for an output, tried by opening it once.

    Raises:
        UsageError: the codec, pixel format or an option will not do; the message says which.
    """
    container = _CONTAINERS[path.suffix.lower()]
    codec = _known_codec(encode.codec or container.codec)
    formats = [known.name for known in codec.video_formats or ()]
    pix_fmt = encode.pix_fmt or _CODEC_FORMATS.get(codec.name) or ("yuv420p" if "yuv420p" in formats or not formats else formats[0])
    try:
        av.VideoFormat(pix_fmt, 16, 16)
    except ValueError:
        raise UsageError(f"--pix-fmt {pix_fmt}: no such pixel format; yuv420p and yuv444p10le are usual ones") from None
    if formats and pix_fmt not in formats:
        raise UsageError(f"--pix-fmt {pix_fmt}: {codec.name} cannot write it; it has {' '.join(formats)}")
    options = {**_CODEC_OPTIONS.get(codec.name, {}), **encode.options}
    if encode.crf is not None:
        if encode.crf > _WORST_CRF.get(codec.name, math.inf):
            raise UsageError(f"--crf {encode.crf:g}: {codec.name} takes 0 (best) to {_WORST_CRF[codec.name]} (worst)")
        options["crf"] = f"{encode.crf:g}"
    source = info.tags if info is not None else ColorTags()
    width, height = (info.width, info.height) if info is not None else _TRIAL_SIZE
    candidates = [pix_fmt] if encode.pix_fmt else [pix_fmt, *filter(None, [_UNSUBSAMPLED.get(pix_fmt)])]
    if codec.name == "gif":
        ticks = [_GIF_TICK]
    elif info is None:
        ticks = [Fraction(1, 25)]
    else:  # some old codecs count in whole frames of a usual rate, or in ticks of a short list
        ticks = list(dict.fromkeys([info.time_base, 1 / info.rate]))
    refusal: _Refused | None = None
    for tick, candidate in ((tick, candidate) for tick in ticks for candidate in candidates):
        encoder = _Encoder(container, codec.name, candidate, options, written_tags(source, candidate), tick)
        try:
            left = _try(encoder, width, height, info)
        except _Refused as error:
            refusal = refusal or error
            continue
        if left:
            raise UsageError(_about_option(next(iter(left)), codec))
        if tick != ticks[0] and info is not None:
            logger.warning(
                "%s: %s counts in whole frames, %g a second; frames that are shown at other times are moved to them",
                path, codec.name, float(info.rate),
            )  # fmt: skip
        return encoder
    assert refusal is not None
    if refusal.by_container:
        raise UsageError(f"--codec {codec.name}: {path.suffix} cannot hold it; leave --codec out or write another kind of file")
    said = f" ({refusal})" if str(refusal) else ""
    if info is not None and encode.pix_fmt is None and _opens(container, codec.name, candidates, options, info, ticks):
        raise UsageError(f"{codec.name} cannot write {width}×{height} pixels{said}; give a smaller --size, or another --codec")
    chosen = " ".join(f"{key}={value}" for key, value in encode.options.items())
    used = chosen or "its usual options"
    raise UsageError(
        f"{codec.name} refuses {pix_fmt} at {width}×{height} with {used}{said}; change --codec, --encoder-option, --pix-fmt or --size"
    )


class _Refused(Exception):
    """An encoder or a container does not take what it was given; the text is FFmpeg's reason, if it gave one."""

    def __init__(self, reason: str, by_container: bool) -> None:
        super().__init__(reason)
        self.by_container = by_container


def _opens(container: _Container, codec: str, formats: list[str], options: dict[str, str], info: MediaInfo, ticks: list[Fraction]) -> bool:
    """Whether the encoder takes these settings at a size that every encoder takes."""
    for name, tick in ((name, tick) for name in formats for tick in ticks):
        try:
            _try(_Encoder(container, codec, name, options, written_tags(info.tags, name), tick), *_TRIAL_SIZE, info)
        except _Refused:
            continue
        return True
    return False


def _known_codec(name: str) -> av.Codec:
    try:
        codec = av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        near = difflib.get_close_matches(name, av.codecs_available, n=1, cutoff=0.75)
        raise UsageError(f"--codec {name}: no such encoder here" + (f"; did you mean {near[0]}?" if near else "; libx264 is one")) from None
    if codec.type != "video":
        raise UsageError(f"--codec {name}: is an {codec.type} encoder; a video encoder such as libx264 is needed")
    return codec


def _try(encoder: _Encoder, width: int, height: int, info: MediaInfo | None) -> dict[str, str]:
    """Opens the encoder and writes a header into memory; gives the options that nobody took.

    Raises:
        _Refused: it cannot be opened so.
        UsageError: a parameter of its own is unknown.
    """
    refusal: Exception | None = None
    left: dict[str, str] = {}
    output = av.open(io.BytesIO(), "w", format=encoder.container.format)
    with _heard() as said:
        try:
            stream = encoder.add_to(output, width, height, info.rate if info is not None else Fraction(25))
            output.start_encoding()
            left = dict(stream.codec_context.options)
        except (av.FFmpegError, ValueError, OverflowError) as error:
            refusal = error
        finally:
            with contextlib.suppress(av.FFmpegError):
                output.close()
    for _, line in said:
        if found := _UNKNOWN_PARAMETER.match(line):
            raise UsageError(f"encoder option {found[1]!r}: {encoder.codec} does not know it, or not this value; check --encoder-option")
    if refusal is not None:
        errors = [line.strip().rstrip(".") for level, line in said if level <= av.logging.ERROR and line.strip()]
        raise _Refused(errors[0] if errors else "", "format does not support" in str(refusal)) from refusal
    return left


_UNKNOWN_PARAMETER = re.compile(r"(?:Error parsing option|Unknown option:|Invalid value for)\s*'?([\w-]+)")
"""What encoders say of a parameter of their own (`x264-params` and the like) that they then leave out."""


@contextlib.contextmanager
def _heard() -> Iterator[list[tuple[int, str]]]:
    """Gathers what FFmpeg says meanwhile, with the level of each line, and keeps encoders from writing to stderr past it."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    said: list[tuple[int, str]] = []
    try:
        stderr = os.dup(2)
    except OSError:  # a program without a terminal may have none
        stderr = None
    try:
        if stderr is not None:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)
        with av.logging.Capture() as lines:
            yield said
        said += [(at, text) for at, _, text in lines]
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
        if stderr is not None:
            os.dup2(stderr, 2)
            os.close(stderr)


def _about_option(name: str, codec: av.Codec) -> str:
    if name == "crf":
        return f"--crf: {codec.name} has no such setting; leave it out"
    known = av.CodecContext.create(codec.name, "w").supported_options
    names = [option.name for option in (*known.private, *known.generic)]
    near = difflib.get_close_matches(name, names, n=1)
    return f"encoder option {name!r}: {codec.name} has none of that name" + (f"; did you mean {near[0]!r}?" if near else "")
