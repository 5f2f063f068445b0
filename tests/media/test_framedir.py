from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.clips import make_clip, moving
from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import MediaInfo
from vidstyle.media import framedir, open_sink, open_source
from vidstyle.media.framedir import FrameDirectorySink, FrameDirectorySource, natural_order
from vidstyle.media.stills import read_still
from vidstyle.settings import EncodeSettings, RunSettings

TICK = Fraction(1, 24)


def fill(directory: Path, names: list[str]) -> Path:
    """One `moving` picture a name, in the order given."""
    directory.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(moving(index)).save(directory / name)
    return directory


def numbered(count: int) -> list[str]:
    return [f"f{index}.png" for index in range(count)]


def names_of(directory: Path) -> list[str]:
    return sorted((entry.name for entry in directory.iterdir()), key=natural_order)


def video_info(path: Path) -> MediaInfo:
    return MediaInfo(path, "video", 64, 48, Fraction(24), TICK)


def write(directory: Path, info: MediaInfo, count: int = 2, names: list[str] | None = None) -> None:
    with FrameDirectorySink(directory, info) as sink:
        for index in range(count):
            sink.write(moving(index), index, TICK, names[index] if names else "")


def write_widths(sink: FrameDirectorySink, *widths: int) -> None:
    for width in widths:
        sink.write(moving(0, width), 0, TICK)


def write_and_fail(sink: FrameDirectorySink) -> None:
    sink.write(moving(0), 0, TICK)
    raise KeyError


class TestNaturalOrder:
    @given(st.lists(st.integers(0, 10**6), unique=True))
    def test_numbers_count_as_numbers(self, numbers: list[int]) -> None:
        names = [f"Frame{number}.png" for number in sorted(numbers)]
        shuffled = random.Random(1).sample(names, len(names))
        assert sorted(shuffled, key=natural_order) == names

    @given(st.lists(st.text(max_size=8)))
    def test_any_name_has_its_place(self, names: list[str]) -> None:
        assert sorted(sorted(names), key=natural_order) == sorted(reversed(names), key=natural_order)

    def test_several_numbers(self) -> None:
        names = ["a1_2.png", "a1_10.png", "a02_1.png", "A3.png", "a10.png"]
        assert sorted(reversed(names), key=natural_order) == names


class TestSource:
    def test_natural_order_gaps_and_mixed_formats(self, tmp_path: Path) -> None:
        names = ["frame2.png", "frame10.bmp", "frame11.PNG", "frame40.tif"]
        with FrameDirectorySource(fill(tmp_path / "in", names), RunSettings()) as source:
            frames = list(source.frames())
        assert [frame.name for frame in frames] == names
        assert [(frame.index, frame.pts, frame.time_base) for frame in frames] == [(index, index, TICK) for index in range(4)]
        for index, frame in enumerate(frames):
            assert np.array_equal(frame.rgb, moving(index))
        assert source.info == MediaInfo(tmp_path / "in", "frames", 64, 48, Fraction(24), TICK, 4, Fraction(1, 6))

    def test_walks_again_and_from_the_middle(self, tmp_path: Path) -> None:
        source = FrameDirectorySource(fill(tmp_path / "in", numbered(5)), RunSettings())
        assert [frame.index for frame in source.frames()] == [0, 1, 2, 3, 4]
        assert [(frame.index, frame.name) for frame in source.frames(3)] == [(3, "f3.png"), (4, "f4.png")]

    def test_holds_one_picture_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = FrameDirectorySource(fill(tmp_path / "in", numbered(4)), RunSettings())
        read: list[str] = []
        monkeypatch.setattr(framedir, "read_still", lambda path: read.append(path.name) or read_still(path))
        walk = source.frames()
        next(walk)
        next(walk)
        assert read == ["f0.png", "f1.png"]

    def test_size(self, tmp_path: Path) -> None:
        source = FrameDirectorySource(fill(tmp_path / "in", numbered(2)), RunSettings(size=32))
        assert (source.info.width, source.info.height) == (32, 24)
        assert {frame.rgb.shape for frame in source.frames()} == {(24, 32, 3)}

    @pytest.mark.parametrize(
        ("start", "end", "fps", "expected"),
        [
            ("2f", None, None, range(2, 10)),
            (None, "3f", None, range(3)),
            ("0.5", "0.9", 10.0, range(5, 9)),
            ("0.31", None, 10.0, range(4, 10)),
            ("00:00.5", "99", 10.0, range(5, 10)),
            ("0.7", "100f", 10.0, range(7, 10)),
        ],
    )
    def test_spans(self, tmp_path: Path, start: str | None, end: str | None, fps: float | None, expected: range) -> None:
        source = FrameDirectorySource(fill(tmp_path / "in", numbered(10)), RunSettings(start=start, end=end, fps=fps))
        frames = list(source.frames())
        assert [frame.name for frame in frames] == [f"f{index}.png" for index in expected]
        assert [frame.pts for frame in frames] == list(range(len(expected)))
        assert source.info.frames == len(expected)

    def test_rates_are_those_that_were_meant(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", numbered(1))
        for fps, rate in ((23.976, Fraction(24000, 1001)), (29.97, Fraction(30000, 1001)), (25.0, Fraction(25)), (12.5, Fraction(25, 2))):
            assert FrameDirectorySource(directory, RunSettings(fps=fps)).info.rate == rate

    @pytest.mark.parametrize(("start", "end"), [("10f", None), ("9", None), ("5f", "5f"), ("5f", "2f"), (None, "0")])
    def test_a_span_without_frames_is_a_usage_error(self, tmp_path: Path, start: str | None, end: str | None) -> None:
        with pytest.raises(UsageError, match=r"--(start|end)"):
            FrameDirectorySource(fill(tmp_path / "in", numbered(10)), RunSettings(start=start, end=end))

    def test_what_is_no_picture_is_counted_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        directory = fill(tmp_path / "in", numbered(2))
        for name in ("Thumbs.db", "notes.txt", "._f0.png"):
            (directory / name).write_bytes(b"x")
        (directory / "deeper.png").mkdir()
        source = FrameDirectorySource(directory, RunSettings())
        assert len(list(source.frames())) == 2
        (record,) = caplog.records
        assert "4 of 6 entries" in record.getMessage()

    def test_pictures_alone_give_no_warning(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        list(FrameDirectorySource(fill(tmp_path / "in", numbered(2)), RunSettings()).frames())
        assert not caplog.records

    def test_the_first_that_differs_in_size_is_named(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", numbered(4))
        for name in ("f2.png", "f3.png"):
            Image.new("RGB", (48, 64)).save(directory / name)
        with pytest.raises(MediaError, match=r"f2\.png: 48×64, but f0\.png is 64×48"):
            FrameDirectorySource(directory, RunSettings())

    def test_sizes_are_compared_upright(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", numbered(1))
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(np.rot90(moving(1)).copy()).save(directory / "f1.png", exif=exif)
        frames = list(FrameDirectorySource(directory, RunSettings()).frames())
        assert np.array_equal(frames[1].rgb, moving(1))

    @pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n, or so it says", b"hello"])
    def test_an_unreadable_header_is_told_at_once(self, tmp_path: Path, content: bytes) -> None:
        directory = fill(tmp_path / "in", numbered(3))
        (directory / "f1.png").write_bytes(content)
        with pytest.raises(MediaError, match=r"f1\.png"):
            FrameDirectorySource(directory, RunSettings())

    def test_damaged_pixels_are_told_when_they_come(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", numbered(3))
        data = (directory / "f1.png").read_bytes()
        (directory / "f1.png").write_bytes(data[:-40])
        walk = FrameDirectorySource(directory, RunSettings()).frames()
        assert next(walk).name == "f0.png"
        with pytest.raises(MediaError, match=r"f1\.png"):
            next(walk)

    def test_an_animation_among_the_frames(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", numbered(1))
        Image.fromarray(moving(0)).save(directory / "f1.gif", save_all=True, append_images=[Image.fromarray(moving(1))])
        with pytest.raises(MediaError, match=r"f1\.gif: .*animated"):
            FrameDirectorySource(directory, RunSettings())

    @pytest.mark.parametrize("others", [[], ["notes.txt"]])
    def test_no_picture_at_all(self, tmp_path: Path, others: list[str]) -> None:
        for name in others:
            (tmp_path / name).write_text("x")
        with pytest.raises(MediaError, match=r"no picture in this directory.*BMP or EXR"):
            FrameDirectorySource(tmp_path, RunSettings())


class TestSink:
    def test_numbers_for_what_has_no_name(self, tmp_path: Path) -> None:
        write(tmp_path / "out", video_info(tmp_path / "clip.mp4"), 3)
        assert names_of(tmp_path) == ["out"]
        assert names_of(tmp_path / "out") == ["frame_000000.png", "frame_000001.png", "frame_000002.png"]
        assert np.array_equal(read_still(tmp_path / "out" / "frame_000002.png").rgb, moving(2))

    def test_names_are_kept_and_endings_where_they_can_be_written(self, tmp_path: Path) -> None:
        names = ["a 1.png", "b2.JPG", "c.ppm", "d.gif", "d.png"]
        info = FrameDirectorySource(fill(tmp_path / "in", names), RunSettings()).info
        write(tmp_path / "out", info, 5, names)
        assert names_of(tmp_path / "out") == sorted(["a 1.png", "b2.JPG", "c.png", "d.png", "d.png.png"], key=natural_order)

    def test_transparency_and_depth_come_from_the_frame_of_the_same_name(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", numbered(2))
        image = Image.fromarray(moving(1))
        image.putalpha(77)
        image.save(directory / "f1.png")
        info = FrameDirectorySource(directory, RunSettings()).info
        write(tmp_path / "out", info, 2, numbered(2))
        plain, transparent = (read_still(tmp_path / "out" / name).alpha for name in numbered(2))
        assert plain is None
        assert transparent is not None
        assert (transparent == 77).all()

    def test_an_older_directory_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        fill(tmp_path / "out", ["old.png"])
        write(tmp_path / "out", video_info(tmp_path / "clip.mp4"), 1)
        assert names_of(tmp_path / "out") == ["frame_000000.png"]
        assert names_of(tmp_path) == ["out"]

    def test_a_failure_leaves_what_was_there(self, tmp_path: Path) -> None:
        fill(tmp_path / "out", ["old.png"])
        with pytest.raises(KeyError), FrameDirectorySink(tmp_path / "out", video_info(tmp_path)) as sink:
            write_and_fail(sink)
        assert names_of(tmp_path) == ["out"]
        assert names_of(tmp_path / "out") == ["old.png"]

    def test_a_failing_rename_puts_the_old_one_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(tmp_path / "out", ["old.png"])
        rename = Path.rename

        def refuse(path: Path, target: Path) -> Path:
            if path.name.endswith(".partial"):
                raise OSError(28, "No space left on device")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(MediaError, match="No space left"):
            write(tmp_path / "out", video_info(tmp_path), 1)
        assert names_of(tmp_path) == ["out"]
        assert names_of(tmp_path / "out") == ["old.png"]

    def test_what_a_killed_run_left_does_no_harm(self, tmp_path: Path) -> None:
        fill(tmp_path / ".out.partial", ["stale.png"])
        write(tmp_path / "out", video_info(tmp_path), 1)
        assert names_of(tmp_path / "out") == ["frame_000000.png"]

    def test_a_kill_between_the_two_renames_at_its_end_loses_no_directory(self, tmp_path: Path) -> None:
        source = fill(tmp_path / "source", numbered(2))
        write(tmp_path / "out", video_info(source))
        (tmp_path / "out").rename(tmp_path / ".out.old")  # the first of them; then it was killed
        with pytest.raises(MediaError), FrameDirectorySink(tmp_path / "out", video_info(source)):
            assert len(names_of(tmp_path / "out")) == 2
        assert len(names_of(tmp_path / "out")) == 2
        write(tmp_path / "out", video_info(source))
        assert not (tmp_path / ".out.old").exists()

    @pytest.mark.parametrize("name", [".git/HEAD", ".env", "notes.txt"])
    def test_a_directory_with_other_things_is_not_replaced(self, tmp_path: Path, name: str) -> None:
        fill(tmp_path / "out", numbered(2))
        assert framedir.only_pictures(tmp_path / "out")
        for left_behind in ("._0001.png", ".DS_Store", "Thumbs.db"):
            (tmp_path / "out" / left_behind).write_bytes(b"x")
        assert framedir.only_pictures(tmp_path / "out")
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"precious")
        assert not framedir.only_pictures(tmp_path / "out")

    def test_no_frame_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match="no frame"):
            write(tmp_path / "out", video_info(tmp_path), 0)
        assert names_of(tmp_path) == []

    def test_sizes_must_agree(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="same size"), FrameDirectorySink(tmp_path / "out", video_info(tmp_path)) as sink:
            write_widths(sink, 64, 32)

    def test_no_place_to_write(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match="cannot be written"):
            FrameDirectorySink(tmp_path / "gone" / "out", video_info(tmp_path))


class TestBetweenKinds:
    """Frames become a film and a film becomes frames, times and all."""

    def copy(self, source: Path, target: Path, run: RunSettings) -> None:
        with open_source(source, run) as reader, open_sink(target, reader.info, EncodeSettings(), source, run) as sink:
            for frame in reader.frames():
                sink.write(frame.rgb, frame.pts, frame.time_base, frame.name)

    @pytest.mark.parametrize(("fps", "ending"), [(None, "mp4"), (12.5, "mkv"), (29.97, "mov")])
    def test_frames_to_video(self, tmp_path: Path, fps: float | None, ending: str) -> None:
        run = RunSettings(fps=fps, start="1f")
        self.copy(fill(tmp_path / "in", numbered(7)), tmp_path / f"o.{ending}", run)
        rate = FrameDirectorySource(tmp_path / "in", run).info.rate
        with open_source(tmp_path / f"o.{ending}", RunSettings()) as source:
            frames = list(source.frames())
        assert len(frames) == 6
        tolerance = Fraction(1, 1000) if ending == "mkv" else Fraction(0)
        for index, frame in enumerate(frames):
            assert abs(frame.seconds - index / rate) <= tolerance
            assert np.abs(frame.rgb.astype(float) - moving(index + 1)).mean() < 4

    def test_video_to_frames(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "clip.mp4", 6)
        self.copy(tmp_path / "clip.mp4", tmp_path / "out", RunSettings(start="2f"))
        assert names_of(tmp_path / "out") == [f"frame_{index:06d}.png" for index in range(4)]
        with open_source(tmp_path / "clip.mp4", RunSettings(start="2f")) as source:
            for frame in source.frames():
                assert np.array_equal(read_still(tmp_path / "out" / f"frame_{frame.index:06d}.png").rgb, frame.rgb)

    def test_picture_to_video_and_to_frames(self, tmp_path: Path) -> None:
        Image.fromarray(moving(0)).save(tmp_path / "photo.png")
        self.copy(tmp_path / "photo.png", tmp_path / "o.mp4", RunSettings())
        with open_source(tmp_path / "o.mp4", RunSettings()) as source:
            assert len(list(source.frames())) == 1
        self.copy(tmp_path / "photo.png", tmp_path / "out", RunSettings())
        assert names_of(tmp_path / "out") == ["photo.png"]
