"""Whatever a film is: its frames, times and sound come out of a job as they went in. The style is switched off, the output lossless."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clips import FONT, make_clip, moving, read_cover, read_packets, read_times, with_attachment
from tests.jobs import write_png
from vidstyle import stylize
from vidstyle.frames import Frame
from vidstyle.media import open_sink, open_source
from vidstyle.settings import EncodeSettings, RunSettings, Settings

MATRICES = {"BT.709": 1, "BT.601": 6, "BT.2020": 9}
HDR = {"PQ": 16, "HLG": 18}
PICTURES = [
    ("libx264", "yuv420p", "SDR"),
    ("libx264", "yuv420p10le", "SDR"),
    ("libx264", "yuv444p", "SDR"),
    ("ffv1", "yuv422p", "SDR"),
    ("libx264", "yuv420p", "interlaced"),
    ("libx264", "yuv420p10le", "PQ"),
    ("libx264", "yuv420p10le", "HLG"),
]
OFF = Settings.from_mapping(
    {
        "color": {"strength": 0},
        "optimize": {"iterations": 1, "first_iterations": 1},
        "encode": {"codec": "ffv1", "pix_fmt": "bgr0"},
    }
)
"""A whole job without style, lossless."""

TRACKS: dict[str, list[tuple[str, ...]]] = {
    ".mp4": [(), ("aac",), ("libopus",), ("aac", "libopus")],
    ".mkv": [(), ("aac",), ("libopus",), ("ac3", "libopus")],
    ".mov": [(), ("aac",), ("ac3", "aac")],
    ".ts": [(), ("ac3",), ("ac3", "mp2")],  # AAC's packets have another head there
}
"""Sound that a container can hold."""


@dataclass(frozen=True)
class Film:
    """What `make_clip` is to make."""

    suffix: str
    size: tuple[int, int]
    pts: tuple[int, ...]
    rate: Fraction
    codec: str
    pix_fmt: str
    matrix: int
    color_range: int
    b_frames: int
    rotation: int
    audio: tuple[str, ...]
    subtitles: bool
    cover: bool
    interlaced: bool
    hdr: str | None
    attachment: bool

    def make(self, directory: Path) -> Path:
        options = {"bf": str(self.b_frames), "crf": "5"} if self.codec == "libx264" else {}
        if self.interlaced:
            options |= {"flags": "+ildct+ilme", "x264-params": "interlaced=1"}
        path = make_clip(
            directory / f"plain{self.suffix}",
            [moving(number, *self.size) for number in range(len(self.pts))],
            pts=list(self.pts),
            time_base=1 / self.rate,
            rate=self.rate,
            codec=self.codec,
            pix_fmt=self.pix_fmt,
            options=options,
            matrix=self.matrix,
            color_range=self.color_range,
            transfer=HDR.get(self.hdr or ""),
            rotation=self.rotation,
            audio=self.audio,
            subtitles=[(0.0, 0.1, "one"), (0.1, 0.2, "two")] if self.subtitles else None,
            cover=self.cover,
            # As it stands, an edit list cuts off what MP4 shows before 0; Matroska's times would be moved.
            container_options={"avoid_negative_ts": "disabled"} if self.pts[0] < 0 else None,
        )
        return with_attachment(path, directory / "in.mkv") if self.attachment else path

    @property
    def shown(self) -> int:
        """Frames that a player shows."""
        return sum(pts >= 0 for pts in self.pts) if self.suffix in (".mp4", ".mov") else len(self.pts)


@st.composite
def films(draw: st.DrawFn) -> Film:
    suffix = draw(st.sampled_from([".mp4", ".mkv", ".mov", ".ts"]))
    codec, pix_fmt, kind = draw(st.sampled_from(PICTURES))
    if codec == "ffv1":
        suffix = ".mkv"
    tall, wide = (draw(st.integers(16, 40)) * 2 for _ in range(2))
    if pix_fmt == "yuv444p":
        tall, wide = tall + 1, wide + 1
    elif kind == "interlaced":
        tall = tall // 4 * 4
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 7]), min_size=6 if suffix == ".ts" else 0, max_size=9))  # FFmpeg knows no shorter TS
    first = draw(st.sampled_from([0, 0, 3, -3])) if suffix != ".mkv" and sum(gaps) > 3 else 0
    matrix = "BT.2020" if kind in HDR else draw(st.sampled_from(sorted(MATRICES)))
    return Film(
        suffix=suffix,
        size=(wide, tall),
        pts=tuple(np.cumsum([first, *gaps]).tolist()),
        rate=draw(st.sampled_from([Fraction(25), Fraction(24000, 1001), Fraction(60)])),
        codec=codec,
        pix_fmt=pix_fmt,
        matrix=MATRICES[matrix],
        color_range=draw(st.sampled_from([1, 2])),
        b_frames=draw(st.sampled_from([0, 2])),
        rotation=draw(st.sampled_from([0, 0, 90, 180])) if suffix in (".mp4", ".mov") else 0,
        audio=draw(st.sampled_from(TRACKS[suffix])),
        subtitles=draw(st.booleans()) if suffix != ".ts" else False,
        cover=draw(st.booleans()) if suffix == ".mp4" else False,
        interlaced=kind == "interlaced",
        hdr=kind if kind in HDR else None,
        attachment=draw(st.booleans()) if suffix == ".mkv" else False,
    )


def frames_of(path: Path) -> list[Frame]:
    with open_source(path, RunSettings()) as medium:
        return list(medium.frames())


def copied(source: Path, output: Path) -> None:
    """Read and written, frame by frame."""
    run = RunSettings()
    with open_source(source, run) as medium, open_sink(output, medium.info, EncodeSettings(codec="ffv1"), source, run) as sink:
        for frame in medium.frames():
            sink.write(frame.rgb, frame.pts, frame.time_base)


def painted(source: Path, output: Path) -> None:
    """A whole job."""
    stylize(source, write_png(output.with_name("style.png"), moving(40)), output, OFF)


@contextmanager
def words() -> Iterator[list[str]]:
    """What is said meanwhile."""
    said = list[str]()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener, logger = Listener(logging.WARNING), logging.getLogger("vidstyle")
    logger.addHandler(listener)
    yield said
    logger.removeHandler(listener)


def comes_back(film: Film, way: Callable[[Path, Path], None]) -> None:
    """Asserts that everything in a film comes back from a way of copying it."""
    with TemporaryDirectory() as scratch:
        source, output = film.make(Path(scratch)), Path(scratch) / "out.mkv"
        with words() as said:
            way(source, output)
        assert film.interlaced == any("interlaced" in line for line in said)
        assert bool(film.hdr) == any(f"HDR ({film.hdr}) is brought down to SDR" in line for line in said)
        before, after = frames_of(source), frames_of(output)
        assert len(before) == len(after) == film.shown
        assert [frame.seconds for frame in before] == read_times(source)
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one.rgb, other.rgb)
        made = moving(len(film.pts) - film.shown, *film.size)
        seen = np.rot90(before[0].rgb, -film.rotation // 90).astype(int)  # as it was coded, before the player turns it
        apart = np.median(np.abs(seen - made))  # 1.5 to 4 with another matrix, 5 with too wide a range
        assert apart > 10 if film.hdr else apart <= 1
        start = after[0].seconds - before[0].seconds  # Matroska counts milliseconds, and begins where its first packet does
        assert all(abs(b.seconds - a.seconds - start) <= Fraction(1, 1000) for a, b in zip(before, after, strict=True))
        for number in range(len(film.audio)):
            there, here = (read_packets(path, "audio", number) for path in (source, output))
            assert [data for _, data in there] == [data for _, data in here]
            assert all(abs(b - a - start) <= Fraction(1, 1000) for (a, _), (b, _) in zip(there, here, strict=True))
        with av.open(str(output)) as container:
            assert len(container.streams.subtitles) == film.subtitles
            assert [stream.data for stream in container.streams if stream.type == "attachment"] == [FONT] * film.attachment
            covers = [bool(stream.disposition & av.stream.Disposition.attached_pic) for stream in container.streams.video]
            assert covers == [False] + [True] * film.cover
        if film.cover:
            assert read_cover(source) == read_cover(output)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(films())
def test_frames_times_and_sound_come_back(film: Film) -> None:
    comes_back(film, copied)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(films())
def test_frames_times_and_sound_come_back_from_a_whole_job(film: Film) -> None:
    """All through it, by --strength 0 alone."""
    comes_back(film, painted)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(MATRICES)), st.sampled_from([1, 2]), st.sampled_from(["yuv420p", "yuv444p", "yuv420p10le"]))
def test_a_grey_ramp_has_no_colour_and_no_other_grey(matrix: str, color_range: int, pix_fmt: str) -> None:
    ramp = np.repeat(np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], 64, axis=0), 3, axis=2)
    with TemporaryDirectory() as scratch:
        coded = {"codec": "ffv1", "pix_fmt": pix_fmt, "matrix": MATRICES[matrix], "color_range": color_range}
        source = make_clip(Path(scratch) / "in.mkv", [np.ascontiguousarray(ramp)], **coded)
        copied(source, output := Path(scratch) / "out.mkv")
        before, after = frames_of(source), frames_of(output)
    for frames in (before, after):
        picture = frames[0].rgb.astype(int)
        assert np.ptp(picture, axis=2).max() <= 1
        assert abs((picture - ramp).mean()) <= 0.5
        assert np.abs(picture - ramp).max() <= 2


def test_a_film_whose_style_is_switched_off_comes_back(tmp_path: Path) -> None:
    """All through a job, by --strength 0 alone: 10 bits in, a lossless film out."""
    ramp = [np.ascontiguousarray(np.roll(moving(number, 64, 48), number, axis=0)) for number in range(3)]
    clip = make_clip(tmp_path / "in.mkv", ramp, codec="ffv1", pix_fmt="yuv444p10le", audio="libopus")
    style = write_png(tmp_path / "style.png", moving(40, 64, 48))
    stylize(clip, style, tmp_path / "out.mkv", OFF)
    before, after = ([frame.rgb for frame in frames_of(path)] for path in (clip, tmp_path / "out.mkv"))
    assert len(before) == len(after) == 3
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [data for _, data in read_packets(clip, "audio")] == [data for _, data in read_packets(tmp_path / "out.mkv", "audio")]
