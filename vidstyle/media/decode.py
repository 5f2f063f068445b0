"""Videos in: frames streamed one by one, upright, square-pixelled, RGB, with their exact times."""

from __future__ import annotations

import logging
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import ColorTags, Frame, MediaInfo
from vidstyle.media.base import MOST_PIXELS, even_size, exact_rate
from vidstyle.media.joints import BROADCAST, on_one_clock
from vidstyle.media.matrix import SDR, UNSPECIFIED, matrix_of, to_rgb
from vidstyle.media.tonemap import HDR_TRANSFERS, hdr_word
from vidstyle.settings import Position, RunSettings

__all__ = ["VideoSource", "known_packets", "open_container", "picture_stream"]

logger = logging.getLogger(__name__)

# Earlier starts are reached sooner by decoding than a seek can go wrong.
_SEEK_FROM = 10.0
# A container that fails this often in a row without giving a packet has nothing more to give.
_READ_ATTEMPTS = 50
# Announced durations are a little off at times; only a start this far behind is refused without looking.
_CERTAIN = 1
# What FFmpeg calls that which lies beside a frame: of film that is mastered in PQ, and of Dolby Vision.
_HDR10 = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS")
_DOLBY = ("DOVI_METADATA", "DOVI_RPU_BUFFER")
_DOLBY_TAGS = {"dvh1", "dvhe", "dva1", "dvav", "dav1"}
_BT2020, _PQ = 9, 16
# Anamorphic film has pixels up to twice as wide as high.
_ODDEST_PIXEL = 10
_GUESSED_RATE = Fraction(25)
# Frames that are looked at before one is shown: whether its time, or one that is missing, is borne out by them.
_AHEAD = 3
# Shares of a frame that a gap between two frames is at least, and of all frames that have one at most: where there are more, the film has
# frames of any length; so it may where it has only a few.
_GAP, _GAPS, _FEW = 0.75, 0.02, 20
# One packet of these gives one frame, but for the two fields of interlaced ones. Others hide frames in packets of their own (VP8),
# or have packets that say "as before".
_FRAME_A_PACKET = {"h264", "hevc", "av1", "mpeg2video"}
_FIELD_PAIRS = {"h264", "mpeg2video"}
# Codecs whose frames do not say for certain whether they are interlaced, while the container may.
_FIELDS_UNSAID = {
    "ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "jpeg2000", "png", "cfhd", "mjpeg", "qtrle", "hevc", "vp8", "vp9", "av1",
}  # fmt: skip
# Kinds of units (NAL) of HEVC: pictures that need what comes before their random access point, such points, those of them that stand
# where films were joined, and the ends of films.
_LEADING, _ACCESS, _JOINED, _ENDS = {8, 9}, set(range(16, 24)), {16, 17, 18}, {36, 37}
# Those that are no pictures.
_NO_PICTURES = {"h264": set(range(6, 16)), "hevc": set(range(32, 41))}
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(slots=True)
class _Timed:
    """A decoded frame, and when and how long it is shown, in ticks of the stream."""

    frame: VideoFrame
    pts: int
    duration: int


@dataclass(slots=True)
class _Walk:
    """What one walk over a film has met so far; times in ticks of the stream."""

    awaited: set[int] = field(default_factory=set)
    """Times of packets that should give a frame and have not given it."""
    failed: set[int] = field(default_factory=set)
    """Times of packets at which the decoder failed; one that works ahead may mean an earlier packet."""
    matched: bool = True
    """Whether frames bear the times of their packets, one each and in order: only then does a time without a frame tell of a lost one."""
    ended: bool = False
    anew: bool = False
    """In HEVC: whether a film has ended, and whether what leads the newest random access point is dropped by right."""
    failures: int = 0
    damaged: int = 0
    torn: int = 0
    moved: int = 0
    leapt: int = 0
    frames: int = 0
    gaps: list[int] = field(default_factory=list)
    """Ends of frames behind which nothing is shown for most of a frame, though the container says how long each lasts."""
    joints: list[int] = field(default_factory=list)
    """Where films were laid end to end in a transport or program stream."""
    last: int | None = None
    reached: Fraction = Fraction(0)
    """Where the film or its sound ends so far, in seconds."""


class _Coding(NamedTuple):
    """How the colours of a frame are coded, as `to_rgb` takes it."""

    matrix: int
    color_range: int
    transfer: int
    primaries: int


@dataclass(frozen=True, slots=True)
class _Orientation:
    """One of the eight ways to hold a picture: transposed first, then mirrored."""

    transposed: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """Read from the display matrix, x' = a·x + c·y, y' = b·x + d·y; slanted ones go to the nearest."""
        data = cast(SideData | None, frame.side_data.get("DISPLAYMATRIX"))
        if data is None:
            return cls()
        a, b, c, d = (int(np.frombuffer(bytes(data), np.int32)[i]) for i in (0, 1, 3, 4))
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def apply(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if self.transposed:
            picture = picture.transpose(1, 0, 2)
        return np.ascontiguousarray(picture[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1])


def _is_beside(frame: VideoFrame, names: Iterable[str]) -> bool:
    """Whether data of one of these kinds come with a frame."""
    return any(frame.side_data.get(name) is not None for name in names)


class VideoSource:
    """A video file as a source of frames.

    Convention: frames come upright (rotation and mirroring of the display matrix applied), with square pixels
    (where the source's are not, the shorter extent of its pixel is stretched, so nothing is lost), in RGB full
    range. `pts * time_base` is the frame's time on the file's own clock, also with `--start`; where the file's
    times stand still or go back they are moved forward by a tick. With `--fps` the frames lie on an exact grid
    from the first frame on, each the latest one that had begun by then.

    With `--size` the shorter side is rounded to an even number where the longer is even, since 4:2:0 needs it.

    Example:
        >>> with VideoSource(Path("clip.mp4"), RunSettings(size=320, end="2")) as source:  # doctest: +SKIP
        ...     for frame in source.frames():
        ...         print(frame)

    Raises:
        UsageError: there is no such file, or `--start`/`--end` lie outside it.
        MediaError: the file cannot be read, holds no film, or no frame of it can be decoded.
    """

    def __init__(self, path: Path, run: RunSettings | None = None) -> None:
        self.path = path
        self._run = run or RunSettings()
        self._said: set[str] = set()
        self._changes: set[str] = set()
        self._mastered = False
        self._start = Position.parse(self._run.start) if self._run.start else Position()
        self._end = Position.parse(self._run.end) if self._run.end else None
        self._check_span()
        self._fps = None if self._run.fps is None else exact_rate(self._run.fps)
        with open_container(path) as container:
            self._probe(container)

    @property
    def info(self) -> MediaInfo:
        """What the job will see: size upright and after `--size`; frames and duration are those of the span used."""
        return self._info

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """The frames in order, from the one with index `first`; every call opens the file anew.

        With `pts`, the time of that frame, they come from a key frame before it, if there is one and it is far enough into the film to be
        worth it; else from the beginning, as always.

        Damage costs the frames it hits and is said in a warning; so is a file that ends too early.

        Raises:
            UsageError: `--start` and `--end` leave no frame.
            MediaError: the file can no longer be opened.
        """
        may_seek = self._fps is None and self._end_frames() is None and not self._joined
        if pts is not None and first and may_seek and (pts - self._first_pts) * self._tick > _SEEK_FROM:
            with open_container(self.path) as container:
                sought = self._from(container, pts)
                opening = next(sought, None)
                if opening is not None:
                    for index, item in enumerate(chain([opening], sought), start=first):
                        yield Frame(index, item.pts, self._tick, self._picture(item.frame, item.pts * self._tick))
                    return
        count = 0
        with open_container(self.path) as container:
            timed = self._within_span(container)
            for index, (frame, pts) in enumerate(self._on_grid(timed) if self._fps else ((item.frame, item.pts) for item in timed)):
                count += 1
                if index >= first:
                    yield Frame(index, pts, self._info.time_base, self._picture(frame, pts * self._info.time_base))
        if not count:
            raise self._empty_span()

    def close(self) -> None:
        """Nothing stays open between walks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # What the file is -----------------------------------------------------------------------------------

    def _probe(self, container: InputContainer) -> None:
        """Reads what cannot change: geometry, colours, times; decodes the first frame, which alone knows some."""
        stream = picture_stream(container, self.path)
        self._stream_index = stream.index
        self._check_size(stream.width, stream.height)
        if stream.time_base is None:
            raise MediaError(f"{self.path}: its picture has no time base; remux it first (ffmpeg -i IN -c copy OUT.mkv)")
        self._rate = _sane_rate(stream)
        self._tick = stream.time_base
        said = stream.codec_context.color_primaries, stream.codec_context.color_trc  # by the container, which some decoders forget
        if stream.codec_context.field_order > 1 and stream.codec_context.codec.canonical_name in _FIELDS_UNSAID:
            self._warn_of_fields()
        opening = next(self._decoded(container), None)
        if opening is None:
            raise MediaError(f"{self.path}: not one frame of it can be decoded; the file is damaged or its codec is unknown")
        frame = opening.frame
        self._first_pts = opening.pts
        own = int(frame.color_primaries), int(frame.color_trc)
        self._told = tuple(int(before) if now == UNSPECIFIED else UNSPECIFIED for now, before in zip(own, said, strict=True))
        tags = self._tags_of(frame)
        if tags.color_trc == UNSPECIFIED and (stream.codec_context.codec_tag.lower() in _DOLBY_TAGS or _is_beside(frame, _DOLBY)):
            raise MediaError(
                f"{self.path}: Dolby Vision without an ordinary picture in it (profile 5), whose colours only its own players can read; "
                "take a copy in HDR10 or SDR"
            )
        self._first = (
            frame.width,
            frame.height,
            _Coding(*matrix_of(tags, frame.height, str(self.path)), tags.color_trc, tags.color_primaries),
        )
        self._orientation = _Orientation.of(frame)
        aspect = stream.sample_aspect_ratio
        if aspect and not 1 / _ODDEST_PIXEL <= aspect <= _ODDEST_PIXEL:
            self._warn_once(f"{self.path}: says that its pixels are {float(aspect):.3g} times as wide as high, which is not believed")
            aspect = None
        upright = _square_pixels(frame.width, frame.height, aspect)
        self._check_size(*upright)
        if self._orientation.transposed:
            upright = upright[::-1]
        self._warn_of_content(frame, tags)
        width, height = even_size(*upright, self._run.size)
        duration = self._length_of_parts() or _duration(container, stream)
        frames = stream.frames or (None if duration is None else round(duration * self._rate))
        if duration is None and frames:
            duration = frames / self._rate
        chapters = container.chapters()  # which MP4 and MOV keep in a data stream too
        others = tuple(s.type for s in container.streams if s.index != stream.index and not (chapters and s.type == "data"))
        used, frames = self._estimate(duration, frames)
        self._info = MediaInfo(
            path=self.path, kind="video", width=width, height=height, rate=self._fps or self._rate,
            time_base=_common_tick(self._tick, 1 / self._fps) if self._fps else self._tick,
            frames=frames, duration=used, tags=SDR if tags.color_trc in HDR_TRANSFERS else tags, streams=others,
        )  # fmt: skip

    def _length_of_parts(self) -> Fraction | None:
        """Seconds of the picture where its clock begins anew, so that the container announces those of a part; None where it does not.

        All packets are read for it, which takes a small part of the time that decoding them takes.
        """
        begin = end = None
        joints = list[int]()
        with open_container(self.path) as container:
            if container.format.name in BROADCAST:
                for packet in on_one_clock(_packets(container), container, joints):
                    if packet.stream_index == self._stream_index and packet.pts is not None:
                        begin = packet.pts if begin is None else min(begin, packet.pts)
                        end = max(packet.pts + (packet.duration or 0), end or 0)
        self._joined = bool(joints)
        return (end - begin) * self._tick if joints and begin is not None and end is not None else None

    def _estimate(self, duration: Fraction | None, frames: int | None) -> tuple[Fraction | None, int | None]:
        """Seconds and frames of the span used, as far as the container tells."""
        if duration is None:
            return None, None
        start = self._seconds(self._start)
        end = duration if self._end is None else min(duration, self._seconds(self._end))
        if start >= duration + _CERTAIN:
            raise self._empty_span(duration)
        used = max(end - start, Fraction(0))
        if self._fps:
            return used, max(math.ceil(used * self._fps), 1)
        if self._start == Position() and self._end is None:
            return used, frames
        return used, max(math.ceil(used * self._rate), 1)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MOST_PIXELS:
            raise MediaError(f"{self.path}: frames of {width}×{height} are more pixels than a film should have; shrink it first")

    def _warn_of_content(self, frame: VideoFrame, tags: ColorTags) -> None:
        if tags.color_trc in HDR_TRANSFERS:
            self._warn_once(f"{self.path}: {hdr_word(tags.color_trc)}")
        if any(part.is_alpha for part in frame.format.components) and not _opaque(frame):
            self._warn_once(f"{self.path}: its transparency is left out; a directory of PNG frames keeps it")

    # Walking it -----------------------------------------------------------------------------------------

    def _decoded(self, container: InputContainer) -> Iterator[_Timed]:
        """Every frame, with strictly increasing times; the one before stands in for one that cannot be decoded."""
        stream = container.streams[self._stream_index]
        assert isinstance(stream, VideoStream)
        # Threads by frames would take good frames with a damaged one that is met while they are drained.
        stream.thread_type = "SLICE"
        walk = _Walk()
        step = max(round(1 / self._rate / self._tick), 1)
        # MP4 and MOV have no lengths beside the times, AVI no times.
        lengths, lasting = not {"mp4", "avi"} & set(container.format.name.split(",")), step
        sound: VideoFrame | None = None

        def stand_ins(until: float) -> Iterator[_Timed]:
            """For what was lost before a time, as long as there is something to show instead."""
            nonlocal lasting
            for moment in sorted(time for time in walk.awaited if time < until):
                walk.awaited.remove(moment)
                if sound is None or walk.last is None or moment <= walk.last or not (walk.matched or moment in walk.failed):
                    continue
                walk.damaged += 1
                walk.last, lasting = moment, step
                yield _Timed(sound, moment, step)

        for frame, following in _looking_ahead(self._read(container, stream, walk)):
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is None:
                pts = 0 if walk.last is None else walk.last + step
            elif walk.last is not None and _leaps(walk.last, pts, following):
                walk.leapt, pts = walk.leapt + 1, (walk.last + following[0]) // 2
            yield from stand_ins(min([pts, *following]))
            if walk.last is not None and pts <= walk.last:
                walk.moved, pts, walk.matched = walk.moved + 1, walk.last + 1, False
            if lengths and walk.last is not None and pts - walk.last - lasting > _GAP * step:
                walk.gaps.append(walk.last + lasting)
            walk.last, walk.frames = pts, walk.frames + 1
            lasting = duration = frame.duration or step
            walk.reached = max(walk.reached, (pts + duration) * self._tick)
            if not frame.is_corrupt or sound is None:
                sound = frame
            yield _Timed(sound, pts, duration)
        yield from stand_ins(math.inf)
        self._warn_of_walk(walk)
        if walk.last is not None and not walk.joints:  # the container announces the length of a part
            self._warn_if_truncated(container, stream, walk.reached)

    def _read(self, container: InputContainer, stream: VideoStream, walk: _Walk) -> Iterator[VideoFrame]:
        """What the decoder gives, in its order; notes the damage, and which packets have given no frame."""
        name = stream.codec_context.codec.canonical_name  # that of what decodes it may be another
        timeless = container.format.name == "avi"  # which knows when packets are read, not when they are shown
        key, delay = None, None
        expected = name in _FRAME_A_PACKET and not timeless
        for packet in chain(on_one_clock(_packets(container), container, walk.joints), [None]):  # None: what the decoder still holds
            if packet is not None and packet.stream.index != stream.index:
                walk.reached = max(walk.reached, _end_of(packet))
                continue
            if packet is not None and packet.is_keyframe and packet.dts is not None:
                key = packet.dts
            frames, failed = _decode(stream, packet)
            walk.failures += failed
            walk.torn += packet is not None and packet.is_corrupt and not failed
            moment = None if packet is None else packet.dts if timeless else packet.pts
            if timeless and moment is not None:
                moment -= delay or 0
            if packet is not None and moment is not None:
                if failed:
                    walk.failed.add(moment)
                if failed or (expected and not packet.is_discard and _gives_frame(stream, packet, walk)):
                    walk.awaited.add(moment)
            for frame in frames:
                if timeless:
                    # FFmpeg guesses from the order of decoding. The first frame out is the key frame, and each packet in gives one more.
                    if delay is None and key is not None and frame.dts is not None:
                        delay = frame.dts - key
                    frame.pts = None if frame.dts is None else frame.dts - (delay or 0)
                pts = frame.pts if frame.pts is not None else frame.dts
                if frame.interlaced_frame:
                    self._warn_of_fields()
                    walk.matched &= name not in _FIELD_PAIRS
                walk.matched &= pts in walk.awaited
                if pts is not None:
                    walk.awaited.discard(pts)
                walk.damaged += frame.is_corrupt
                yield frame

    def _warn_of_fields(self) -> None:
        self._warn_once(f"{self.path}: interlaced; its combs would be painted, deinterlace it first (ffmpeg -i IN -vf bwdif OUT)")

    def _warn_of_walk(self, walk: _Walk) -> None:
        if walk.joints:
            more = f" and {len(walk.joints) - 1} more times" if len(walk.joints) > 1 else ""
            self._warn_once(
                f"{self.path}: its clock begins anew at {float(walk.joints[0] * self._tick):.2f} s{more}, as where films are joined; "
                "what comes then is put behind what came before, with its sound"
            )
        if walk.moved:
            self._warn_once(f"{self.path}: {walk.moved} frames had times that stood still or went back; they were moved forward")
        if walk.leapt:
            self._warn_once(f"{self.path}: frames with times far ahead of those around them: {walk.leapt}; they were put between these")
        if walk.gaps and not walk.moved and len(walk.gaps) <= max(walk.frames * _GAPS, 1) and walk.frames >= _FEW:
            self._warn_once(
                f"{self.path}: its times leave gaps where nothing is shown: {len(walk.gaps)}, the first at "
                f"{float(walk.gaps[0] * self._tick):.2f} s; frames may be missing there, and the one before is shown for longer"
            )
        damaged = max(walk.damaged, walk.failures)  # a failure may have cost no frame, and a frame may be lost without one
        if damaged:
            self._warn_once(
                f"{self.path}: damaged frames: {damaged}; the one before was taken for each, if there was one; "
                "what the codec predicts from them may bear traces up to the next key frame"
            )
        if walk.torn:
            self._warn_once(f"{self.path}: incomplete packets: {walk.torn}; frames may be missing before them, or damaged")

    def _warn_if_truncated(self, container: InputContainer, stream: VideoStream, reached: Fraction) -> None:
        duration = _duration(container, stream)
        if duration is None:
            return
        missing = self._clock_start(container, stream) + duration - reached
        if missing > max(2 / self._rate, min(Fraction(1, 5), duration / 10)):  # durations of whole films are off by a frame or two
            self._warn_once(
                f"{self.path}: ends {float(missing):.2f} s early, at {float(reached):.2f} s; "
                "the file is truncated or damaged, what is there is used"
            )

    def _clock_start(self, container: InputContainer, stream: VideoStream) -> Fraction:
        if stream.duration is not None and stream.start_time is not None:
            return stream.start_time * self._tick
        return Fraction(container.start_time or 0, av.time_base)

    def _within_span(self, container: InputContainer) -> Iterator[_Timed]:
        """The frames between `--start` and `--end`, times relative to the file's first frame."""
        origin = self._first_pts * self._tick
        start = None if self._start.seconds is None else origin + _exact_seconds(self._start.seconds)
        end = None if self._end is None or self._end.seconds is None else origin + _exact_seconds(self._end.seconds)
        items = self._decoded(container)
        if start is not None and start - origin > _SEEK_FROM and self._end_frames() is None and not self._joined:
            items = self._sought(container, start)
        for position, item in enumerate(items):
            time = item.pts * self._tick
            if (end is not None and time >= end) or (self._end_frames() is not None and position >= (self._end_frames() or 0)):
                return
            if (start is None or time >= start) and position >= (self._start.frames or 0):
                yield item

    def _from(self, container: InputContainer, pts: int) -> Iterator[_Timed]:
        """The frames of the span from the one at exactly `pts` on; none where a seek does not lead there."""
        ends = None if self._end is None or self._end.seconds is None else self._first_pts * self._tick + _exact_seconds(self._end.seconds)
        met = False
        for item in self._sought(container, pts * self._tick):
            met = met or item.pts == pts
            if item.pts >= pts and (not met or (ends is not None and item.pts * self._tick >= ends)):
                return
            if met:
                yield item

    def _sought(self, container: InputContainer, start: Fraction) -> Iterator[_Timed]:
        """Frames from a key frame before `start` on, or from the beginning where the container cannot seek."""
        try:
            container.seek(math.floor(start / self._tick), stream=container.streams[self._stream_index], backward=True)
            items = self._decoded(container)
            opening = next(items, None)
        except av.FFmpegError:
            opening = None
        if opening is not None and opening.pts * self._tick <= start:
            yield opening
            yield from items
            return
        with open_container(self.path) as anew:
            yield from self._decoded(anew)

    def _on_grid(self, items: Iterator[_Timed]) -> Iterator[tuple[VideoFrame, int]]:
        """Frames at exact multiples of 1/fps after the first, each the latest that had begun by then."""
        assert self._fps is not None
        tick = self._info.time_base
        step = 1 / self._fps
        moment, shown = Fraction(0), None
        for item in items:
            begin = item.pts * self._tick
            if shown is None:
                moment = begin
            else:
                if begin - moment > _LONG_STILL:
                    self._warn_once(
                        f"{self.path}: shows one frame from {float(moment):.0f} s to {float(begin):.0f} s, "
                        "which --fps makes many frames of; leave it out to keep the film's own times"
                    )
                while moment < begin:
                    yield shown.frame, round(moment / tick)
                    moment += step
            shown = item
        if shown is not None:
            while moment < (shown.pts + shown.duration) * self._tick:
                yield shown.frame, round(moment / tick)
                moment += step

    def _picture(self, frame: VideoFrame, moment: Fraction) -> npt.NDArray[np.uint8]:
        """A frame as it is shown; one that is coded otherwise than the first is read by its own tags, and that is said."""
        width, height = self._info.width, self._info.height
        if self._orientation.transposed:
            width, height = height, width
        coding = self._coding_of(frame, moment)
        return self._orientation.apply(
            to_rgb(frame, width, height, coding.matrix, coding.color_range, coding.transfer, coding.primaries),
        )

    def _tags_of(self, frame: VideoFrame) -> ColorTags:
        """The frame's own, but for those that the container names and the decoder forgets."""
        primaries, transfer = (
            before if int(now) == UNSPECIFIED else int(now)
            for now, before in zip((frame.color_primaries, frame.color_trc), self._told, strict=True)
        )
        matrix = int(frame.colorspace)
        if transfer == UNSPECIFIED and not self._mastered:
            self._mastered = _is_beside(frame, _HDR10)
            if self._mastered:
                self._warn_once(f"{self.path}: names the screen it was mastered on, but not how its light is coded: taken for HDR10")
        if transfer == UNSPECIFIED and self._mastered:
            matrix, primaries = (_BT2020 if tag == UNSPECIFIED else tag for tag in (matrix, primaries))
            transfer = _PQ
        return ColorTags(matrix, int(frame.color_range), primaries, transfer)

    def _coding_of(self, frame: VideoFrame, moment: Fraction) -> _Coding:
        width, height, first = self._first
        tags = self._tags_of(frame)
        try:
            coding = _Coding(*matrix_of(tags, frame.height, str(self.path)), tags.color_trc, tags.color_primaries)
        except MediaError as error:
            coding = first
            self._warn_of_change("matrix", f"{error}; frames from {float(moment):.2f} s on are read as those before")
        if coding.transfer in HDR_TRANSFERS:
            self._warn_once(f"{self.path}: {hdr_word(coding.transfer)}")
        if (frame.width, frame.height) != (width, height):
            self._warn_of_change(
                "size",
                f"{self.path}: changes from {width}×{height} to {frame.width}×{frame.height} at {float(moment):.2f} s; "
                "what is of another size is stretched to the first one, so cut it there and paint the parts by themselves",
            )
        changed = [
            name
            for name, now, before in (
                ("matrix", coding.matrix, first.matrix),
                ("range", coding.color_range, first.color_range),
                ("transfer", HDR_TRANSFERS.get(coding.transfer), HDR_TRANSFERS.get(first.transfer)),
            )
            if now != before
        ]
        if changed:
            self._warn_of_change(
                "colour",
                f"{self.path}: the coding of its colours ({', '.join(changed)}) changes at {float(moment):.2f} s; "
                "every frame is read by its own tags",
            )
        return coding

    def _warn_of_change(self, kind: str, message: str) -> None:
        """The first of each kind is told."""
        if kind not in self._changes:
            self._changes.add(kind)
            self._warn_once(message)

    # Small helpers --------------------------------------------------------------------------------------

    def _seconds(self, position: Position) -> Fraction:
        if position.frames is not None:
            return position.frames / self._rate
        return _exact_seconds(position.seconds or 0.0)

    def _end_frames(self) -> int | None:
        return None if self._end is None else self._end.frames

    def _check_span(self) -> None:
        if self._end is None:
            return
        start, end = self._start, self._end
        if end.frames is not None and end.frames <= (start.frames or 0):
            raise self._empty_span()
        if end.seconds is not None and end.seconds <= (start.seconds or 0.0):
            raise self._empty_span()

    def _empty_span(self, duration: Fraction | None = None) -> UsageError:
        flags = " ".join(f"{flag} {value}" for flag, value in (("--start", self._run.start), ("--end", self._run.end)) if value)
        length = "" if duration is None else f", which lasts {float(duration):.2f} s"
        return UsageError(f"{flags} leaves no frame of {self.path}{length}; choose a span inside it")

    def _warn_once(self, message: str) -> None:
        """A source is walked more than once; its faults are told once."""
        if message not in self._said:
            self._said.add(message)
            logger.warning(message)


_LONG_STILL = Fraction(60)
"""Seconds for which one frame is shown that are worth a word where it is repeated."""

_LISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD")
"""How playlists begin (HLS, FFmpeg's concat, DASH, IMF), which would have FFmpeg open other files."""


def open_container(path: Path) -> InputContainer:
    """Opens a media file for reading, local files only.

    Raises:
        UsageError: there is no such file.
        MediaError: it is a directory, empty, unreadable, or no medium that FFmpeg knows.
    """
    try:
        if not path.exists():
            raise UsageError(f"{path}: no such file; check the path")
        if path.is_dir():
            raise MediaError(f"{path}: is a directory, not a video file")
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: is empty (0 bytes); give a video")
        with path.open("rb") as file:
            if file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_LISTS):
                raise MediaError(f"{path}: is a list of other files, not a film; give the film itself")
        # "file:" keeps a colon in a name from being read as a protocol; the whitelist keeps what the file names
        # beside itself from reaching the network. Tags in odd encodings pass through byte by byte.
        container = av.open(f"file:{path}", "r", options={"protocol_whitelist": "file"}, metadata_errors="surrogateescape")
    except PermissionError:
        raise MediaError(f"{path}: may not be read; check its permissions") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path}: is no video that can be read ({_reason(error)}); it is damaged, cut short or another kind of file"
        ) from None
    if container.format.name == "image2" and "%" in path.name:
        container.close()
        raise MediaError(f"{path}: FFmpeg takes its name for that of many pictures; give it one without a % sign")
    if container.format.name == "tty":
        container.close()
        raise MediaError(f"{path}: is a text, not a video")  # which FFmpeg would show as a terminal does
    return container


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream that is the film: not a cover picture, the default one if several, else the largest.

    Raises:
        MediaError: there is none, or its codec is unknown.
    """
    candidates = [stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic]
    if not candidates:
        kinds = sorted({str(stream.type) for stream in container.streams}) or ["nothing"]
        raise MediaError(f"{path}: holds no film, only {' and '.join(kinds)}; give a file with a picture")
    usable = [stream for stream in candidates if stream.codec_context is not None]
    if not usable:
        raise MediaError(f"{path}: the codec of its picture is unknown; convert it to H.264 first")
    return max(usable, key=lambda stream: (bool(stream.disposition & av.stream.Disposition.default), stream.width * stream.height))


def known_packets(container: InputContainer) -> Iterator[av.Packet[Stream]]:
    """Packets of all streams, but for those that begin only further in, which PyAV cannot name.

    Raises:
        av.FFmpegError: the container cannot be read further.
    """
    while True:
        try:
            yield from container.demux()
            return
        except IndexError:  # its packet is read and gone: the next call goes on behind it
            continue


def _packets(container: InputContainer) -> Iterator[av.Packet[Stream]]:
    """Packets of all streams, going on behind damage."""
    failures = 0
    while failures < _READ_ATTEMPTS:
        try:
            for packet in known_packets(container):
                failures = 0
                if packet.size:
                    yield packet
            break
        except av.error.EOFError:
            break
        except Exception:  # PyAV has others than FFmpeg's for what it does not understand
            failures += 1


def _decode(stream: VideoStream, packet: av.Packet[Stream] | None) -> tuple[list[VideoFrame], int]:
    """What a packet gives, and how many failures it cost; at the end (None) until the decoder is dry."""
    frames: list[VideoFrame] = []
    failures = 0
    while True:
        try:
            frames.extend(stream.decode(packet))
            return frames, failures
        except av.error.EOFError:
            return frames, failures
        except Exception:  # FFmpeg's, or PyAV's own about what it was given
            failures += 1
            if packet is not None or failures > _READ_ATTEMPTS:
                return frames, failures


def _looking_ahead(frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, list[int]]]:
    """Every frame, with the times of the few that follow it, in ticks."""
    queue: deque[VideoFrame] = deque()

    def first() -> tuple[VideoFrame, list[int]]:
        frame = queue.popleft()
        return frame, [other.pts for other in queue if other.pts is not None]

    for frame in frames:
        queue.append(frame)
        if len(queue) > _AHEAD:
            yield first()
    while queue:
        yield first()


def _leaps(last: int, pts: int, following: list[int]) -> bool:
    """Whether a time is ahead of the next two, which go on from the last one: then it is the wrong one, not they."""
    return len(following) > 1 and last + 1 < following[0] < following[1] < pts


def _gives_frame(stream: VideoStream, packet: av.Packet[Stream], walk: _Walk) -> bool:
    """Whether a whole packet should give a frame; of HEVC and H.264 some hold none, or one that is dropped by right."""
    name = stream.codec_context.name
    if name not in _NO_PICTURES:
        return True
    kinds = _units(stream, bytes(packet))
    if name == "hevc":
        if kinds & _ACCESS:
            walk.anew = walk.ended or bool(kinds & _JOINED)
        walk.ended = bool(kinds & _ENDS) or (walk.ended and kinds <= _NO_PICTURES[name])
        if walk.anew and kinds & _LEADING:
            return False
    return not kinds or not kinds <= _NO_PICTURES[name]


def _units(stream: VideoStream, data: bytes) -> set[int]:
    """Kinds of the units (NAL) in a packet of H.264 or HEVC, as far as they can be told."""
    name, head = stream.codec_context.name, stream.codec_context.extradata or b""
    if head[:1] == b"\1" and len(head) > 22:  # as in MP4 and Matroska, each unit behind its length
        width = (head[21 if name == "hevc" else 4] & 3) + 1
        firsts, at = [], 0
        while at + width < len(data):
            firsts.append(data[at + width])
            at += width + int.from_bytes(data[at : at + width], "big")
    else:
        firsts = [match[1][0] for match in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL)]
    return {first >> 1 & 63 if name == "hevc" else first & 31 for first in firsts}


def _end_of(packet: av.Packet[Stream]) -> Fraction:
    """When a packet of another stream ends, in seconds."""
    time = packet.pts if packet.pts is not None else packet.dts
    if time is None or packet.time_base is None:
        return Fraction(0)
    return (time + (packet.duration or 0)) * packet.time_base


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds of the picture as the container announces them: the stream's own, a Matroska tag, or the file's."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    tag = _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
    if tag:
        hours, minutes, seconds = tag.groups()
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    if container.duration:
        return Fraction(container.duration, av.time_base)
    return None


def _sane_rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return Fraction(rate)
    return _GUESSED_RATE


def _exact_seconds(seconds: float) -> Fraction:
    return Fraction(seconds).limit_denominator(1_000_000)


def _common_tick(a: Fraction, b: Fraction) -> Fraction:
    """The longest tick that both divide into: times of either are whole numbers of it."""
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _square_pixels(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size of the picture with square pixels, from its pixels' width over height; the stretched side is even where both were."""
    if not aspect or aspect == 1:
        return width, height
    step = 1 if width % 2 or height % 2 else 2
    return (round(width * aspect / step) * step, height) if aspect > 1 else (width, round(height / aspect / step) * step)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0].strip().rstrip(".") if text else type(error).__name__


def _opaque(frame: VideoFrame) -> bool:
    """Whether every pixel of a frame with an alpha channel is opaque; GIF is always decoded with one."""
    return bool((frame.reformat(format="rgba").to_ndarray()[..., 3] == 255).all())
