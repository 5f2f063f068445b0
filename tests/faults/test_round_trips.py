"""Whatever a film is: its frames, times and sound come out of a job as they went in. The style is switched off, the output lossless."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clips import make_clip, moving, read_packets, read_times
from tests.jobs import write_png
from vidstyle import stylize
from vidstyle.frames import Frame
from vidstyle.media import open_sink, open_source
from vidstyle.settings import EncodeSettings, RunSettings, Settings

MATRICES = {"BT.709": 1, "BT.601": 6, "BT.2020": 9}

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

    def make(self, directory: Path) -> Path:
        return make_clip(
            directory / f"in{self.suffix}",
            [moving(number, *self.size) for number in range(len(self.pts))],
            pts=list(self.pts),
            time_base=1 / self.rate,
            rate=self.rate,
            codec=self.codec,
            pix_fmt=self.pix_fmt,
            options={"bf": str(self.b_frames), "crf": "5"} if self.codec == "libx264" else None,
            matrix=self.matrix,
            color_range=self.color_range,
            rotation=self.rotation,
            audio=self.audio,
            subtitles=[(0.0, 0.1, "one"), (0.1, 0.2, "two")] if self.subtitles else None,
            cover=self.cover,
            # As it stands, an edit list cuts off what MP4 shows before 0; Matroska's times would be moved.
            container_options={"avoid_negative_ts": "disabled"} if self.pts[0] < 0 else None,
        )

    @property
    def shown(self) -> int:
        """Frames that a player shows."""
        return sum(pts >= 0 for pts in self.pts) if self.suffix in (".mp4", ".mov") else len(self.pts)


@st.composite
def films(draw: st.DrawFn) -> Film:
    suffix = draw(st.sampled_from([".mp4", ".mkv", ".mov", ".ts"]))
    codec, pix_fmt = draw(
        st.sampled_from([("libx264", "yuv420p"), ("libx264", "yuv420p10le"), ("libx264", "yuv444p"), ("ffv1", "yuv422p")])
    )
    if codec == "ffv1":
        suffix = ".mkv"
    odd = 1 if pix_fmt == "yuv444p" else 2
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 7]), min_size=6 if suffix == ".ts" else 0, max_size=9))  # FFmpeg knows no shorter TS
    first = draw(st.sampled_from([0, 0, 3, -3])) if suffix != ".mkv" and sum(gaps) > 3 else 0
    return Film(
        suffix=suffix,
        size=(draw(st.integers(16, 40)) * 2 // odd * odd + odd % 2, draw(st.integers(16, 40)) * 2 // odd * odd + odd % 2),
        pts=tuple(np.cumsum([first, *gaps]).tolist()),
        rate=draw(st.sampled_from([Fraction(25), Fraction(24000, 1001), Fraction(60)])),
        codec=codec,
        pix_fmt=pix_fmt,
        matrix=MATRICES[draw(st.sampled_from(sorted(MATRICES)))],
        color_range=draw(st.sampled_from([1, 2])),
        b_frames=draw(st.sampled_from([0, 2])),
        rotation=draw(st.sampled_from([0, 0, 90, 180])) if suffix in (".mp4", ".mov") else 0,
        audio=draw(st.sampled_from(TRACKS[suffix])),
        subtitles=draw(st.booleans()) if suffix != ".ts" else False,
        cover=draw(st.booleans()) if suffix == ".mp4" else False,
    )


def frames_of(path: Path) -> list[Frame]:
    with open_source(path, RunSettings()) as medium:
        return list(medium.frames())


def through(source: Path, output: Path) -> tuple[list[Frame], list[Frame]]:
    """The frames that were read, and those that are read of what was written."""
    run = RunSettings()
    with open_source(source, run) as medium:
        frames = list(medium.frames())
        with open_sink(output, medium.info, EncodeSettings(codec="ffv1"), source, run) as sink:
            for frame in frames:
                sink.write(frame.rgb, frame.pts, frame.time_base)
    with open_source(output, run) as medium:
        return frames, list(medium.frames())


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(films())
def test_frames_times_and_sound_come_back(film: Film) -> None:
    with TemporaryDirectory() as scratch:
        source = film.make(Path(scratch))
        output = Path(scratch) / "out.mkv"
        before, after = through(source, output)
        assert len(before) == len(after) == film.shown
        assert [frame.seconds for frame in before] == read_times(source)
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one.rgb, other.rgb)
        made = moving(len(film.pts) - film.shown, *film.size)
        seen = np.rot90(before[0].rgb, -film.rotation // 90).astype(int)  # as it was coded, before the player turns it
        assert np.abs(seen - made).mean() < 3, "BT.601 for BT.709 (4), another range, another rotation"
        start = after[0].seconds - before[0].seconds  # Matroska counts milliseconds, and begins where its first packet does
        assert all(abs(b.seconds - a.seconds - start) <= Fraction(1, 1000) for a, b in zip(before, after, strict=True))
        for number in range(len(film.audio)):
            there, here = (read_packets(path, "audio", number) for path in (source, output))
            assert [data for _, data in there] == [data for _, data in here]
            assert all(abs(b - a - start) <= Fraction(1, 1000) for (a, _), (b, _) in zip(there, here, strict=True))
        if film.subtitles:
            with av.open(str(output)) as container:
                assert len(container.streams.subtitles) == 1


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(MATRICES)), st.sampled_from([1, 2]), st.sampled_from(["yuv420p", "yuv444p", "yuv420p10le"]))
def test_a_grey_ramp_has_no_colour_and_no_other_grey(matrix: str, color_range: int, pix_fmt: str) -> None:
    ramp = np.repeat(np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], 64, axis=0), 3, axis=2)
    with TemporaryDirectory() as scratch:
        coded = {"codec": "ffv1", "pix_fmt": pix_fmt, "matrix": MATRICES[matrix], "color_range": color_range}
        source = make_clip(Path(scratch) / "in.mkv", [np.ascontiguousarray(ramp)], **coded)
        before, after = through(source, Path(scratch) / "out.mkv")
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
    off = {"color": {"strength": 0}, "optimize": {"iterations": 1, "first_iterations": 1}, "encode": {"codec": "ffv1", "pix_fmt": "bgr0"}}
    stylize(clip, style, tmp_path / "out.mkv", Settings.from_mapping(off))
    before, after = ([frame.rgb for frame in frames_of(path)] for path in (clip, tmp_path / "out.mkv"))
    assert len(before) == len(after) == 3
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [data for _, data in read_packets(clip, "audio")] == [data for _, data in read_packets(tmp_path / "out.mkv", "audio")]
