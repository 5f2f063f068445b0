"""Sequences of numbered pictures as a source and as an output."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clips import make_clip, moving
from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import MediaInfo
from vidstyle.media import check_apart, check_output, kind_of, open_sink, open_source, output_kind
from vidstyle.media.stills import read_still
from vidstyle.settings import EncodeSettings, RunSettings

TICK = Fraction(1, 24)


def fill(directory: Path, numbers: range, pattern: str = "shot.{:04}.png") -> Path:
    """One `moving` picture a number."""
    directory.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(moving(number)).save(directory / pattern.format(number))
    return directory


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def copy(source: Path, target: Path, run: RunSettings | None = None, overwrite: bool = False) -> None:
    run = run or RunSettings()
    with open_source(source, run) as reader:
        check_output(target, output_kind(target), EncodeSettings(), overwrite, reader.info)
        with open_sink(target, reader.info, EncodeSettings(), source, run, overwrite) as sink:
            for frame in reader.frames():
                sink.write(frame.finest, frame.pts, frame.time_base, frame.name)


class TestSource:
    def test_only_the_files_of_the_sequence_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        fill(tmp_path / "in", range(8, 12), "shot.{}.png")
        fill(tmp_path / "in", range(3), "other.{}.png")
        path = tmp_path / "in" / "shot.%d.png"
        assert kind_of(path) == "frames"
        with open_source(path, RunSettings()) as source:
            frames = list(source.frames())
        assert [frame.name for frame in frames] == ["shot.8.png", "shot.9.png", "shot.10.png", "shot.11.png"]
        assert [frame.pts for frame in frames] == [0, 1, 2, 3]
        assert source.info == MediaInfo(path, "frames", 64, 48, Fraction(24), TICK, 4, Fraction(1, 6), number=8)
        assert all(np.array_equal(frame.rgb, moving(8 + frame.index)) for frame in frames)

    def test_a_range_and_a_span_within_it(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "in", range(1001, 1011)) / "shot.####.png"
        with open_source(path, RunSettings(frames="1003-1008", start="1f", end="3f", fps=12)) as source:
            assert [frame.name for frame in source.frames()] == ["shot.1004.png", "shot.1005.png"]
        assert source.info.number == 1004

    def test_a_gap_is_an_error_and_a_range_beside_it_is_none(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", range(1001, 1007))
        (directory / "shot.1004.png").unlink()
        with pytest.raises(UsageError, match="1004"):
            open_source(directory / "shot.%04d.png", RunSettings())
        assert open_source(directory / "shot.%04d.png", RunSettings(frames="1005-1006")).info.frames == 2
        assert open_source(directory, RunSettings()).info.frames == 5

    def test_sizes_must_agree(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", range(3))
        Image.new("RGB", (8, 8)).save(directory / "shot.0002.png")
        with pytest.raises(MediaError, match=r"shot\.0002\.png: 8×8, but shot\.0000\.png is 64×48"):
            open_source(directory / "shot.%04d.png", RunSettings())

    def test_frames_without_a_sequence(self, tmp_path: Path) -> None:
        directory = fill(tmp_path / "in", range(3))
        for path in (directory, directory / "shot.0001.png", make_clip(tmp_path / "clip.mp4", 3)):
            with pytest.raises(UsageError, match="--frames 1-2: goes by the numbers"):
                open_source(path, RunSettings(frames="1-2"))

    def test_a_sequence_is_one_of_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="a sequence is one of pictures"):
            kind_of(tmp_path / "take.%04d.mp4")


class TestSink:
    @pytest.mark.parametrize("ending", ["png", "tif", "exr", "jpg"])
    def test_numbers_are_kept_and_formats_changed(self, tmp_path: Path, ending: str) -> None:
        path = fill(tmp_path / "in", range(98, 102)) / "shot.%04d.png"
        (tmp_path / "out").mkdir()
        copy(path, tmp_path / "out" / f"painted_%03d.{ending}", RunSettings(start="1f"))
        assert sorted(content(tmp_path / "out")) == [f"painted_{number:03}.{ending}" for number in range(99, 102)]
        written = read_still(tmp_path / "out" / f"painted_100.{ending}").rgb.astype(float) / (257 if ending == "exr" else 1)
        assert np.abs(written - moving(100)).mean() < 3

    def test_sixteen_bits_and_transparency_go_along(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        deep = np.random.default_rng(0).integers(0, 65536, (8, 8, 4), dtype=np.uint16)
        import cv2

        cv2.imwrite(str(tmp_path / "in" / "a.7.png"), deep)
        copy(tmp_path / "in" / "a.%d.png", tmp_path / "b.##.png")
        still = read_still(tmp_path / "b.07.png")
        assert np.array_equal(still.rgb, deep[..., 2::-1])
        assert np.array_equal(still.alpha, deep[..., 3])

    def test_films_pictures_and_directories_are_counted_from_one(self, tmp_path: Path) -> None:
        copy(make_clip(tmp_path / "clip.mp4", 3), tmp_path / "f.%04d.png")
        copy(fill(tmp_path / "in", range(5, 7)), tmp_path / "d.%d.png")
        copy(tmp_path / "in" / "shot.0005.png", tmp_path / "p.%d.png")
        names = {path.name for path in tmp_path.iterdir() if path.suffix == ".png"}
        assert names == {"f.0001.png", "f.0002.png", "f.0003.png", "d.1.png", "d.2.png", "p.1.png"}

    def test_too_few_digits_are_told_beforehand(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "in", range(98, 102)) / "shot.%04d.png"
        with pytest.raises(UsageError, match=r"too few digits for frame 101; write .*o\.%03d\.png"):
            copy(path, tmp_path / "o.%02d.png")
        assert [entry.name for entry in tmp_path.iterdir()] == ["in"]

    def test_frames_that_are_there_are_kept_unless_told_and_others_always(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "in", range(1, 11)) / "shot.%04d.png"
        out = tmp_path / "out"
        out.mkdir()
        copy(path, out / "p.%04d.png", RunSettings(frames="1-6"))
        (out / "notes.txt").write_text("mine")
        before = content(out)
        with pytest.raises(UsageError, match=r"p\.0005\.png and 1 more of .*: there already; give -y"):
            copy(path, out / "p.%04d.png", RunSettings(frames="5-8", size=32))
        assert content(out) == before
        copy(path, out / "p.%04d.png", RunSettings(frames="7-8"))
        assert {**content(out), **before} == content(out)
        copy(path, out / "p.%04d.png", RunSettings(frames="5-6", size=32), overwrite=True)
        changed = {name for name, data in before.items() if content(out)[name] != data}
        assert changed == {"p.0005.png", "p.0006.png"}
        assert sorted(content(out)) == sorted({*before, "p.0007.png", "p.0008.png"})

    def test_a_film_may_be_longer_than_it_says(self, tmp_path: Path) -> None:
        (tmp_path / "f.0050.png").touch()
        with pytest.raises(UsageError, match=r"f\.0050\.png: there already"):
            copy(make_clip(tmp_path / "clip.mp4", 3), tmp_path / "f.%04d.png")

    def test_a_failure_leaves_what_was_there(self, tmp_path: Path) -> None:
        fill(tmp_path, range(2))
        before = content(tmp_path)

        def fail() -> None:
            with open_source(tmp_path / "shot.%04d.png", RunSettings()) as source:
                info = source.info
            with open_sink(tmp_path / "shot.%04d.png", info, EncodeSettings(), None, RunSettings(), True) as sink:
                sink.write(moving(9), 0, TICK, "shot.0000.png")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert content(tmp_path) == before


class TestApart:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("in/shot.%04d.png", "in/shot.%04d.png"),
            ("in/shot.####.png", "in/shot.%04d.png"),
            ("in/sho%d.png", "in/sho1.png"),
            ("in/shot.%04d.png", "in/shot.0001.png"),
            ("in/x.%04d.png", "in"),
            ("link/shot.%04d.png", "in/shot.0000.png"),
            ("in/pointer.%d.png", "in/pointer.1.png"),
            ("in/shot.0009.png", "in/shot.%04d.png"),
            ("in/shot.0001.png", "in/shot.%04d.png"),
        ],
    )
    def test_no_frame_takes_the_place_of_an_input(self, tmp_path: Path, written: str, read: str) -> None:
        fill(tmp_path / "in", range(3))
        (tmp_path / "link").symlink_to("in")
        (tmp_path / "in" / "sho1.png").touch()
        (tmp_path / "in" / "pointer.1.png").symlink_to(tmp_path / "style.png")
        with pytest.raises(UsageError, match=r"OUTPUT .*(input of this job|would be one of the frames|would lie among)"):
            check_apart({"OUTPUT": tmp_path / written}, [tmp_path / read])

    def test_nor_that_of_another_output(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--log-json .*: is OUTPUT too"):
            check_apart({"OUTPUT": tmp_path / "p.%04d.png", "--log-json": tmp_path / "p.0001.png"}, [])

    def test_what_is_apart_is_let_through(self, tmp_path: Path) -> None:
        fill(tmp_path / "in", range(3))
        read = [tmp_path / "in" / "shot.%04d.png", tmp_path / "style.png", tmp_path / "gone" / "m.%d.png"]
        check_apart({"OUTPUT": tmp_path / "in" / "painted.%04d.png"}, read)
        check_apart({"OUTPUT": tmp_path / "shot.%04d.png", "--log-json": tmp_path / "in" / "log.jsonl"}, read)
        check_apart({"OUTPUT": tmp_path / "in" / "out.mp4"}, read)
