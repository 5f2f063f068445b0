"""What a film has beside its picture: sound, subtitles, chapters, attachments, tags, copied untouched.

The source is walked a second time, in step with the picture that is being written, so nothing is held in memory.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Self

import av
from av.container import OutputContainer
from av.stream import Disposition, Stream
from av.subtitles.codeccontext import SubtitleCodecContext

from vidstyle.errors import MediaError
from vidstyle.media.decode import known_packets, open_container, picture_stream
from vidstyle.media.joints import on_one_clock
from vidstyle.settings import RunSettings

__all__ = ["Carrier", "Span"]

logger = logging.getLogger(__name__)

# Facts about the old file, not about the work: the new container writes its own, or none.
_STALE_TAGS = frozenset({
    "major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "duration", "rotate", "bps", "number_of_frames",
    "number_of_bytes", "source_id",
})  # fmt: skip

# Written in another way, or by the muxer itself.
_REWRITTEN_TAGS = frozenset({"creation_time", "timecode", "handler_name", "language"})

# FFmpeg writes QuickTime's languages by these names only, and drops others without a word.
_QUICKTIME_LANGUAGES = {"deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "swe": "sve"}

# Text subtitles are the one thing that is rewritten: each container has its own wrapping of the same words.
_TEXT_SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_SUBTITLE_TICK = Fraction(1, 1000)
_REORDERED = 64
# Codec of a cover picture → the ending and media type by which Matroska's readers know it.
_COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "gif": ("gif", "image/gif"), "tiff": ("tiff", "image/tiff")}
# The encoder of mov_text writes its sample description from this; players take their own style.
_SUBTITLE_HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\n[Events]\n"


@dataclass(frozen=True, slots=True)
class Span:
    """Whether the film was cut at its start or end: what is copied is then cut to the frames written."""

    cut_start: bool = False
    cut_end: bool = False

    @classmethod
    def of(cls, run: RunSettings) -> Self:
        """The span that `--start` and `--end` leave."""
        return cls(run.start is not None, run.end is not None)


class Carrier:
    """Copies everything but the picture from a source into an open output, in time order.

    Convention: times given and kept are seconds on the source's clock; `origin` is taken off what is written.

    Raises:
        UsageError, MediaError: the source cannot be opened.
    """

    def __init__(self, source: Path, output: OutputContainer, target: Path, origin: Fraction, span: Span) -> None:
        self._source, self._output, self._target = source, output, target
        self._origin, self._span = origin, span
        self._container = open_container(source)
        self._picture = picture_stream(self._container, source)
        self._targets: dict[int, Stream] = {}
        self._rewrapped: dict[int, str] = {}
        self._announced: list[tuple[Stream, int]] = []
        self._packets = on_one_clock(known_packets(self._container), self._container)
        self._pending: av.Packet[Stream] | None = None
        self._ended = False
        self._refused = 0
        self._undressed = False
        self._durations: dict[Fraction, Fraction] = {}

    def close(self) -> None:
        """Lets go of the source."""
        self._container.close()

    def add_streams(self, picture: Stream, end: Fraction | None) -> None:
        """Announces everything in the output, before its first packet; what it cannot hold is named in one warning.

        Args:
            picture: the output's picture stream, already added.
            end: where the film will end, for the chapters; None for the source's own end.
        """
        self._output.metadata.update(_lasting_tags(self._container.metadata))
        picture.metadata.update(self._stream_tags(self._picture))
        picture.disposition = self._picture.disposition
        self._announced.append((self._picture, picture.index))
        chapters = self._container.chapters()
        dropped, attached = [], 0
        for stream in self._container.streams:
            if stream.index == self._picture.index or (stream.type == "data" and chapters and stream.codec_context is None):
                continue  # MP4 and MOV keep their chapters in a data stream too
            added = self._add(stream)
            if added is None:
                dropped.append(_describe(stream))
                continue
            tags = self._stream_tags(stream)
            if self._output.format.name == "mov" and "language" in tags:
                tags["language"] = _QUICKTIME_LANGUAGES.get(tags["language"], tags["language"])
            added.metadata.update(tags)
            if added.type == "attachment":  # written with the header
                attached += 1
                continue
            added.disposition = stream.disposition
            self._announced.append((stream, added.index - attached))  # as it is counted when read: attachments come last
            self._targets[stream.index] = added
        if chapters:
            self._add_chapters(end)
        if dropped:
            logger.warning("%s: cannot hold %s of %s; left out", self._target, ", ".join(dropped), self._source.name)

    def copy_until(self, moment: Fraction) -> None:
        """Writes every packet that begins before `moment`."""
        while not self._ended:
            packet = self._next()
            if packet is None:
                self._ended = True
                return
            time = _begin(packet)
            if time is not None and time >= moment:
                self._pending = packet
                return
            self._write(packet)

    def finish(self, end: Fraction) -> None:
        """Writes what is left: up to `end` if the film was cut there, else all of it."""
        if self._span.cut_end:
            self.copy_until(end)
        else:
            while not self._ended:
                packet = self._next()
                self._ended = packet is None
                if packet is not None:
                    self._write(packet)
        if self._undressed:
            logger.warning("%s: cannot hold the styling of the subtitles of %s; their words are kept", self._target, self._source.name)
        if self._refused:
            logger.warning(
                "%s: %d packets of sound or subtitles of %s have broken times; left out", self._target, self._refused, self._source
            )

    def picture_duration(self, begin: Fraction) -> Fraction | None:
        """How long the source shows the frame that begins at `begin`, if the walk has met it."""
        return self._durations.get(begin)

    def compare(self, written: Path) -> None:
        """Names in one warning the tags, titles and dispositions that the finished file does not have."""
        lost = []
        try:
            result = open_container(written)
        except MediaError:  # what cannot be read back says nothing about tags
            return
        with result:
            kept = {key.casefold() for key in result.metadata}
            tags = [key for key in _lasting_tags(self._container.metadata) if key.casefold() not in kept | _REWRITTEN_TAGS]
            if tags:
                lost.append(f"the tags {', '.join(sorted(tags))}" if len(tags) > 1 else f"the tag {tags[0]}")
            for stream, index in self._announced:
                if index >= len(result.streams):
                    continue
                there = result.streams[index]
                if "title" in self._stream_tags(stream) and not {"title", "name"} & {key.casefold() for key in there.metadata}:
                    lost.append(f"the title of {_describe(stream)}")
                lost += [
                    f"the disposition {flag.name} of {_describe(stream)}"
                    for flag in stream.disposition & ~there.disposition
                    if flag != Disposition.default
                ]
        if lost:
            logger.warning("%s: cannot hold %s of %s; left out", self._target, ", ".join(lost), self._source.name)

    # ----------------------------------------------------------------------------------------------------

    def _stream_tags(self, stream: Stream) -> dict[str, str]:
        """What a stream says about itself. MP4 and MOV call the title a name when they are read, and a title when written."""
        tags = _lasting_tags(stream.metadata)
        if "name" in tags and "title" not in tags and "mp4" in self._container.format.name:
            tags["title"] = tags.pop("name")
        return tags

    def _add(self, stream: Stream) -> Stream | None:
        kind = self._output.format.name.split(",")[0]
        if kind == "gif" or (stream.type == "video" and not stream.disposition & Disposition.attached_pic):
            return None
        if stream.type == "attachment" and kind != "matroska":
            return None
        if kind == "matroska" and stream.type == "video":
            return self._attach(stream)
        if kind == "mov" and stream.type == "video":  # FFmpeg's MOV takes a cover picture and leaves it out
            return None
        if stream.type != "attachment" and (stream.type == "data" or stream.codec_context is None):
            return None
        if _fits(stream, self._output.format.name):
            return (
                self._output.add_stream_from_template(stream, opaque=True)
                if stream.codec_context
                else self._output.add_stream_from_template(stream)
            )
        if stream.type == "subtitle" and kind in _TEXT_SUBTITLES and stream.codec_context.name in _UNWRAP:
            added = self._output.add_stream(_TEXT_SUBTITLES[kind])
            assert isinstance(added.codec_context, SubtitleCodecContext)
            added.codec_context.subtitle_header = _SUBTITLE_HEADER
            added.time_base = _SUBTITLE_TICK
            self._rewrapped[stream.index] = stream.codec_context.name
            return added
        return None

    def _attach(self, cover: Stream) -> Stream | None:
        """A cover picture as the attachment that it is in Matroska: as a stream it would be a second film."""
        kind = _COVERS.get(cover.codec_context.name if cover.codec_context is not None else "")
        with open_container(self._source) as container:
            packets = islice(known_packets(container), _REORDERED)  # FFmpeg gives covers before all else
            data = next((bytes(packet) for packet in packets if packet.stream_index == cover.index), None)
        if kind is None or not data:
            return None
        ending, mimetype = kind
        return self._output.add_attachment(
            cover.metadata.get("filename", f"cover.{ending}"), cover.metadata.get("mimetype", mimetype), data
        )

    def _add_chapters(self, end: Fraction | None) -> None:
        kept = []
        for chapter in self._container.chapters():
            tick = chapter["time_base"] or Fraction(1, 1000)
            first = (
                max(chapter["start"] * tick - self._origin, Fraction(0)) if self._span.cut_start else chapter["start"] * tick - self._origin
            )
            last = chapter["end"] * tick - self._origin
            if self._span.cut_end and end is not None:
                last = min(last, end - self._origin)
            if last > first:
                kept.append({**chapter, "start": round(first / tick), "end": round(last / tick), "time_base": tick})
        if self._output.format.name.split(",")[0] != "gif":
            self._output.set_chapters(kept)  # type: ignore[arg-type]
        elif kept:
            logger.warning("%s: cannot hold the chapters of %s; left out", self._target, self._source.name)

    def _next(self) -> av.Packet[Stream] | None:
        """The next packet to copy, or None at the end; on the way it notes how long the source shows its frames."""
        if self._pending is not None:
            packet, self._pending = self._pending, None
            return packet
        try:
            for packet in self._packets:
                if packet.size and packet.stream_index == self._picture.index:
                    self._note_duration(packet)
                elif packet.size and packet.stream_index in self._targets:
                    return packet
        except av.FFmpegError as error:
            logger.warning("%s: its other streams cannot be read to the end (%s); what is there is kept", self._source, error.strerror)
        return None

    def _note_duration(self, packet: av.Packet[Stream]) -> None:
        if packet.pts is None or not packet.duration:
            return
        self._durations[packet.pts * packet.time_base] = packet.duration * packet.time_base
        # Only the last frame's is asked for, and packets come out of order by a few frames at most.
        if len(self._durations) > _REORDERED:
            del self._durations[min(self._durations)]

    def _write(self, packet: av.Packet[Stream]) -> None:
        index = packet.stream_index
        if self._span.cut_start and not self._cut_to_start(packet):
            return
        shift = round(self._origin / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        target = self._targets[index]
        if index in self._rewrapped:
            words = _UNWRAP[self._rewrapped[index]](bytes(packet))
            plain = _MARKUP[target.codec_context.name].sub(b"", words)
            self._undressed |= plain != words
            packet = _rewrap(packet, plain, target)
        elif packet.stream.codec_context is not None and packet.stream.codec_context.name == "mov_text" and bytes(packet) == b"\0\0":
            return  # what fills a gap between two subtitles; the muxer writes its own
        packet.stream = target
        try:
            self._output.mux(packet)
        except av.FFmpegError as error:
            if error.errno != errno.EINVAL:
                raise
            self._refused += 1

    def _cut_to_start(self, packet: av.Packet[Stream]) -> bool:
        """Whether the packet lies behind the start; a subtitle that reaches over it is shortened."""
        begin = _begin(packet)
        if begin is None or begin >= self._origin:
            return True
        kind = packet.stream.type
        if kind == "video":  # a cover picture has no time
            packet.pts = packet.dts = round(self._origin / packet.time_base)
            return True
        over = begin + (packet.duration or 0) * packet.time_base - self._origin
        if kind == "subtitle" and over > 0:
            packet.pts = packet.dts = round(self._origin / packet.time_base)
            packet.duration = round(over / packet.time_base)
            return True
        return False


def _fits(stream: Stream, format_name: str) -> bool:
    """Whether a container takes a stream as it is: asked by writing a header into memory."""
    trial = av.open(io.BytesIO(), "w", format=format_name.split(",")[0])
    try:
        trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with contextlib.suppress(av.FFmpegError):
            trial.close()
    return True


def _lasting_tags(tags: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in tags.items()
        if not (
            key.lower().split("-")[0] in _STALE_TAGS
            or key.startswith("_STATISTICS")
            or (key.lower() == "software" and value.startswith("Lavf"))
        )
    }


def _describe(stream: Stream) -> str:
    """`audio stream 2 (aac, fra)`."""
    codec = stream.codec_context.name if stream.codec_context is not None else None
    details = ", ".join(part for part in (codec, stream.metadata.get("language"), stream.metadata.get("filename")) if part)
    return f"{stream.type} stream {stream.index}" + (f" ({details})" if details else "")


def _begin(packet: av.Packet[Stream]) -> Fraction | None:
    time = packet.pts if packet.pts is not None else packet.dts
    return None if time is None else time * packet.time_base


def _rewrap(packet: av.Packet[Stream], words: bytes, target: Stream) -> av.Packet[Stream]:
    """The words of a text subtitle in the wrapping of the target's codec."""
    name = target.codec_context.name
    new: av.Packet[Stream] = av.Packet(len(words).to_bytes(2, "big") + words if name == "mov_text" else words)
    new.time_base, new.pts, new.dts, new.duration = packet.time_base, packet.pts, packet.pts, packet.duration
    new.is_keyframe = True
    return new


_OVERRIDE = rb"\{\\[^{}]*\}"  # ASS: {\i1}
_MARKUP = {
    "mov_text": re.compile(rb"</?[A-Za-z][^<>]*>|" + _OVERRIDE),
    "subrip": re.compile(rb"</?(?![biu]>)[A-Za-z][^<>]*>|" + _OVERRIDE),
    "webvtt": re.compile(rb"</?(?![biu]>)[A-Za-z][^<>]*>|" + _OVERRIDE),
}
"""Codec of rewrapped subtitles → the styling among the words that players would show as words."""


def _plain(data: bytes) -> bytes:
    return data


def _from_mov_text(data: bytes) -> bytes:
    return data[2 : 2 + int.from_bytes(data[:2], "big")]


def _from_ass(data: bytes) -> bytes:
    """The text of `ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text`, line breaks resolved."""
    return data.split(b",", 8)[-1].replace(b"\\N", b"\n").replace(b"\\n", b"\n")


_UNWRAP = {
    "subrip": _plain,
    "srt": _plain,
    "text": _plain,
    "webvtt": _plain,
    "mov_text": _from_mov_text,
    "ass": _from_ass,
    "ssa": _from_ass,
}
