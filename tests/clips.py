"""Clips that tests make for themselves, so that every property of theirs is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]

FONT = b"not really a font"
"""What is attached to a film."""


def moving(index: int, width: int = 64, height: int = 48) -> Rgb:
    """Frame `index` of a film: a smooth slope with a bright square moving right, (H, W, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = np.stack([40 + 150 * x / width, 60 + 120 * y / height, 200 - 100 * (x + y) / (width + height)], axis=-1)
    left, top, side = (4 * index) % max(width - 12, 1), height // 3, max(min(width, height) // 4, 2)
    picture[top : top + side, left : left + side] = (240, 220, 40)
    return picture.astype(np.uint8)


def quadrants(width: int = 64, height: int = 48) -> Rgb:
    """Red top left, green top right, blue bottom left, white bottom right: tells every orientation apart."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (220, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 200, 30)
    picture[height // 2 :, : width // 2] = (30, 30, 220)
    picture[height // 2 :, width // 2 :] = (230, 230, 230)
    return picture


def tone(samples: int = 1024, start: int = 0, rate: int = 48000) -> npt.NDArray[np.float32]:
    """(1, samples) float32 of a 440 Hz tone, from sample `start` on."""
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(start, start + samples) / rate)).astype(np.float32)[None]


def make_clip(
    path: Path,
    pictures: list[Rgb] | int = 12,
    *,
    size: tuple[int, int] = (64, 48),
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    matrix: int = 1,
    color_range: int = 1,
    tagged: bool = True,
    transfer: int | None = None,
    aspect: Fraction | None = None,
    rotation: int = 0,
    mirror: str | None = None,
    cover: bool = False,
    audio: str | Sequence[str] | None = None,
    audio_first: bool = False,
    seconds: float | None = None,
    subtitles: list[tuple[float, float, str]] | None = None,
    chapters: list[tuple[float, float, str]] | None = None,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Writes a film and returns its path.

    Args:
        pictures: the frames, (H, W, 3) uint8, or how many of `moving` at `size` (width, height).
        pts, time_base: exact times; counting in frames of `rate` when left out.
        matrix, color_range: FFmpeg's integers; how the colours are coded, and tagged if `tagged`.
        mirror: `hflip` or `vflip`, by the display matrix alone.
        cover: adds a cover picture; with no `pictures` at all there is no film.
        audio: codec of a mono tone (`aac`, `libopus`, …), `seconds` long (default: as long as the film); or of several.
        subtitles, chapters: (start, end, text) in seconds. Subtitles are SubRip in Matroska, else mov_text.
    """
    frames = [moving(i, *size) for i in range(pictures)] if isinstance(pictures, int) else pictures
    pts = list(range(len(frames))) if pts is None else pts
    time_base = time_base or 1 / Fraction(rate)
    container = av.open(str(path), "w", format=format, container_options=container_options or {})
    container.metadata.update(metadata or {})
    codecs = [audio] if isinstance(audio, str) else list(audio or ())
    sounds = [_add_tone(container, one) for one in codecs] if audio_first else []
    if frames:
        video = container.add_stream(
            codec, rate=Fraction(rate), options={"crf": "10", **(options or {})} if codec == "libx264" else options
        )
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        context = video.codec_context
        video.time_base = context.time_base = time_base
        if aspect:
            context.sample_aspect_ratio = aspect
        if tagged:
            context.colorspace, context.color_range = matrix, color_range
            context.color_primaries = context.color_trc = {1: 1, 9: 9}.get(matrix, 6)
        if transfer:
            context.color_trc = transfer
        if rotation or mirror:
            video.set_display_rotation(rotation, hflip=mirror == "hflip", vflip=mirror == "vflip")
    if not audio_first:
        sounds = [_add_tone(container, one) for one in codecs]
    words = _add_subtitles(container, path) if subtitles else None
    picture_of_cover = _add_cover(container) if cover else None
    if chapters:
        container.set_chapters([
            {"id": i, "start": int(a * 1000), "end": int(b * 1000), "time_base": Fraction(1, 1000), "metadata": {"title": title}}
            for i, (a, b, title) in enumerate(chapters, 1)
        ])  # fmt: skip
    packets = []
    for picture, moment in zip(frames, pts, strict=True):
        # 4 | 0x6000 | 0x40000: bicubic, full chroma, accurate rounding.
        frame = av.VideoFrame.from_ndarray(picture).reformat(
            format=pix_fmt, dst_colorspace={6: 5, 8: 1}.get(matrix, matrix), dst_color_range=color_range, interpolation=4 | 0x6000 | 0x40000
        )
        if not tagged:
            frame.colorspace, frame.color_range = 2, 0
        elif matrix == 8:
            frame.colorspace = matrix
        frame.pts, frame.time_base = moment, time_base
        packets += video.encode(frame)
    if frames:
        packets += video.encode(None)
    for sound in sounds:
        packets += _tone_packets(sound, seconds or float((pts[-1] + 1) * time_base))
    for start, end, text in subtitles or []:
        assert words is not None
        packets.append(_subtitle_packet(words, start, end, text, path))
    packets.sort(key=lambda p: float((p.dts if p.dts is not None else p.pts) * p.time_base))
    if picture_of_cover is not None:
        frame = av.VideoFrame.from_ndarray(quadrants(16, 16)).reformat(format="yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1, 90000)
        packets[:0] = picture_of_cover.encode(frame)
    for packet in packets:
        container.mux(packet)
    container.close()
    return path


def _add_tone(container: av.container.OutputContainer, codec: str) -> av.AudioStream:
    stream = container.add_stream(codec, rate=48000)
    stream.codec_context.layout = "mono"
    stream.metadata.update({"language": "fra", "title": "La voix"})
    return stream


def _add_cover(container: av.container.OutputContainer) -> av.VideoStream:
    stream = container.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
    stream.codec_context.time_base = Fraction(1, 90000)
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _tone_packets(stream: av.AudioStream, seconds: float) -> list[av.Packet]:
    packets = []
    stream.codec_context.open(strict=False)
    size = stream.codec_context.frame_size or 1024
    for start in range(0, int(seconds * 48000), size):
        format_name = stream.codec_context.format.name
        samples = tone(size, start)
        if format_name in ("s16", "s16p"):
            samples = (samples * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format=format_name, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _add_subtitles(container: av.container.OutputContainer, path: Path) -> av.stream.Stream:
    stream = container.add_stream("subrip" if path.suffix == ".mkv" else "mov_text")
    stream.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\n[Events]\n"
    stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "deu"
    return stream


def _subtitle_packet(stream: av.stream.Stream, start: float, end: float, text: str, path: Path) -> av.Packet:
    data = text.encode()
    packet = av.Packet(data if path.suffix == ".mkv" else len(data).to_bytes(2, "big") + data)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = int(start * 1000)
    packet.duration = int((end - start) * 1000)
    packet.is_keyframe = True
    return packet


def with_attachment(
    plain: Path, path: Path, name: str = "font.ttf", mimetype: str = "application/x-truetype-font", data: bytes = FONT
) -> Path:
    """Copies a film into a Matroska that has an attachment besides."""
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        target.add_attachment(name, mimetype, data)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    return path


def read_cover(path: Path) -> bytes:
    """The cover picture of a film, as it lies in the file."""
    with av.open(str(path)) as container:
        covers = [stream.index for stream in container.streams if stream.disposition & av.stream.Disposition.attached_pic]
        return next(bytes(packet) for packet in container.demux() if packet.stream_index in covers)


def truncate(path: Path, share: float) -> Path:
    """Cuts the file off after `share` of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damage(path: Path, start: float, length: int = 400) -> Path:
    """Overwrites `length` bytes at `start` (a share of the file) with noise."""
    data = bytearray(path.read_bytes())
    at = int(len(data) * start)
    data[at : at + length] = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()
    path.write_bytes(bytes(data))
    return path


def destroy_packets(path: Path, into: Path, numbers: Iterable[int]) -> Path:
    """Copies a film, some packets of whose picture, counted in the order of decoding, hold nothing that a decoder knows."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in (places[number] for number in numbers):
        data[position + _FRAMED : position + size] = bytes([0x5A]) * (size - _FRAMED)
    into.write_bytes(data)
    return into


_FRAMED = 8
"""Bytes at the beginning of a packet that some containers count among their own."""


def read_pictures(path: Path) -> list[Rgb]:
    """Every frame of a film as (H, W, 3) uint8, decoded without vidstyle; colours as tagged."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def read_times(path: Path) -> list[Fraction]:
    """The time of every frame in seconds, exactly."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def read_packets(path: Path, kind: str, number: int = 0) -> list[tuple[Fraction, bytes]]:
    """(time in seconds, payload) of every packet of a stream of a kind, which are counted from 0."""
    with av.open(str(path)) as container:
        stream = [stream for stream in container.streams if stream.type == kind][number]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]
