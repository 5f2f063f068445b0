from __future__ import annotations

import os
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
from vidstyle.media import check_output, kind_of, open_sink, open_source, output_kind, read_style
from vidstyle.media.base import exact_rate, longest_side_size
from vidstyle.settings import EncodeSettings, RunSettings

ENCODE = EncodeSettings()


def picture(path: Path, frames: int = 1, **options: object) -> Path:
    images = [Image.fromarray(moving(index)) for index in range(frames)]
    images[0].save(path, **({"save_all": True, "append_images": images[1:], "duration": 100} if frames > 1 else {}), **options)
    return path


class TestKindOf:
    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.gif", "a.ppm"])
    def test_pictures(self, tmp_path: Path, name: str) -> None:
        assert kind_of(picture(tmp_path / name)) == "image"

    @pytest.mark.parametrize(("name", "format"), [("a.gif", "GIF"), ("a.png", "PNG")])
    def test_animations_are_videos_that_can_be_read(self, tmp_path: Path, name: str, format: str) -> None:
        path = picture(tmp_path / name, 3, format=format)
        assert kind_of(path) == "video"
        with open_source(path, RunSettings()) as source:
            frames = list(source.frames())
        assert [frame.seconds - frames[0].seconds for frame in frames] == [0, Fraction(1, 10), Fraction(1, 5)]

    def test_an_animation_that_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match=r"a\.webp: animated WEBP .*convert"):
            kind_of(picture(tmp_path / "a.webp", 3))

    def test_content_counts_for_more_than_the_name(self, tmp_path: Path) -> None:
        assert kind_of(picture(tmp_path / "photo.mp4", format="PNG")) == "image"
        assert kind_of(make_clip(tmp_path / "clip.mp4", 2).rename(tmp_path / "clip.png.mp4")) == "video"

    def test_directories_are_frames(self, tmp_path: Path) -> None:
        assert kind_of(tmp_path) == "frames"

    @pytest.mark.parametrize(
        ("name", "kind"), [("a.mp4", "video"), ("a.jpg", "image"), ("a.heic", "image"), ("a.txt", "video"), ("a", "video")]
    )
    def test_junk_is_what_its_name_says(self, tmp_path: Path, name: str, kind: str) -> None:
        (tmp_path / name).write_text("hello")
        assert kind_of(tmp_path / name) == kind
        with pytest.raises(MediaError, match=name):
            open_source(tmp_path / name, RunSettings())

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"gone\.mp4: no such file"):
            kind_of(tmp_path / "gone.mp4")

    def test_pipes_are_refused_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.mp4")
        with pytest.raises(UsageError, match="ordinary file"):
            kind_of(tmp_path / "pipe.mp4")


class TestOutputKind:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("o.mp4", "video"), ("o.MKV", "video"), ("o.webm", "video"), ("o.mov", "video"), ("o.gif", "video"),
            ("o.png", "image"), ("o.JPG", "image"), ("o.tiff", "image"), ("o.webp", "image"), ("o.bmp", "image"),
            ("frames", "frames"), ("frames/", "frames"), ("frames.v2/", "frames"), (".hidden", "frames"),
        ],
    )  # fmt: skip
    def test_by_name(self, name: str, kind: str) -> None:
        assert output_kind(name) == kind

    def test_an_existing_directory_is_one_whatever_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "frames.mp4").mkdir()
        assert output_kind(tmp_path / "frames.mp4") == "frames"

    @pytest.mark.parametrize("name", ["o.xyz", "o.ppm", "o.txt"])
    def test_unknown_endings_list_the_known_ones(self, name: str) -> None:
        with pytest.raises(UsageError, match=r"\.mp4 .*\.png "):
            output_kind(name)


class TestCheckOutput:
    @pytest.mark.parametrize(("name", "kind"), [("o.mp4", "video"), ("o.png", "image")])
    def test_existing_files_need_y(self, tmp_path: Path, name: str, kind: str) -> None:
        check_output(tmp_path / name, kind, ENCODE, overwrite=False)
        (tmp_path / name).write_bytes(b"older")
        with pytest.raises(UsageError, match=rf"{name}: exists already; give -y"):
            check_output(tmp_path / name, kind, ENCODE, overwrite=False)
        check_output(tmp_path / name, kind, ENCODE, overwrite=True)
        assert (tmp_path / name).read_bytes() == b"older"

    def test_directories_of_frames(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        check_output(out, "frames", ENCODE, overwrite=False)
        out.mkdir()
        check_output(out, "frames", ENCODE, overwrite=False)
        picture(out / "a.png")
        (out / "Thumbs.db").touch()
        with pytest.raises(UsageError, match="give -y to replace"):
            check_output(out, "frames", ENCODE, overwrite=False)
        check_output(out, "frames", ENCODE, overwrite=True)

    @pytest.mark.parametrize("other", ["thesis.txt", "album/"])
    def test_a_directory_with_other_things_is_never_replaced(self, tmp_path: Path, other: str) -> None:
        out = tmp_path / "out"
        out.mkdir()
        picture(out / "a.png")
        (out / other).mkdir() if other.endswith("/") else (out / other).touch()
        with pytest.raises(UsageError, match="holds other things than frames"):
            check_output(out, "frames", ENCODE, overwrite=True)

    def test_a_file_where_a_directory_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "out").touch()
        with pytest.raises(UsageError, match="is a file"):
            check_output(tmp_path / "out", "frames", ENCODE, overwrite=True)

    @pytest.mark.parametrize(("name", "kind"), [("o.mp4", "video"), ("o.png", "image"), ("out", "frames")])
    def test_missing_directory(self, tmp_path: Path, name: str, kind: str) -> None:
        with pytest.raises(UsageError, match="no directory"):
            check_output(tmp_path / "gone" / name, kind, ENCODE, overwrite=False)

    def test_unwritable_directory(self) -> None:
        """Tests may run as root, who may write anywhere but here."""
        if not Path("/proc").is_dir():
            pytest.skip("there is no /proc here")
        with pytest.raises(UsageError, match="cannot be written to"):
            check_output(Path("/proc/o.png"), "image", ENCODE, overwrite=False)

    def test_the_directory_is_as_it_was(self, tmp_path: Path) -> None:
        check_output(tmp_path / "o.png", "image", ENCODE, overwrite=False)
        assert not list(tmp_path.iterdir())

    def test_standard_output(self) -> None:
        with pytest.raises(UsageError, match="standard output"):
            output_kind("-")

    def test_settings_of_a_video_are_checked(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="libx265x"):
            check_output(tmp_path / "o.mp4", "video", EncodeSettings(codec="libx265x"), overwrite=False)

    def test_what_appeared_in_the_meantime_is_not_overwritten(self, tmp_path: Path) -> None:
        info = MediaInfo(tmp_path / "in.png", "image", 64, 48, Fraction(24), Fraction(1, 24))
        (tmp_path / "o.png").touch()
        with pytest.raises(UsageError, match="exists already"):
            open_sink(tmp_path / "o.png", info, ENCODE, None, RunSettings())


class TestReadStyle:
    def test_a_picture_at_its_own_size(self, tmp_path: Path) -> None:
        style = read_style(picture(tmp_path / "s.png"))
        assert style.dtype == np.uint8
        assert np.array_equal(style, moving(0))

    @pytest.mark.parametrize("name", ["s.txt", "s.jpg", "s.mp4", "s"])
    @pytest.mark.parametrize(("content", "said"), [(b"hello", "is no picture that can be read"), (b"", "the file is empty")])
    def test_what_is_no_picture_is_wrong_usage_whatever_its_name(self, tmp_path: Path, name: str, content: bytes, said: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=rf"STYLE .*{name}: {said}; give a JPEG, .* picture as STYLE"):
            read_style(tmp_path / name)

    def test_a_video_is_no_style(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"STYLE .*clip\.mp4: is no picture"):
            read_style(make_clip(tmp_path / "clip.mp4", 2))

    def test_a_directory_is_no_style(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is a directory"):
            read_style(tmp_path)

    def test_an_animation_is_no_style(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--init .*s\.gif: is an animation"):
            read_style(picture(tmp_path / "s.gif", 3), "--init")

    def test_a_damaged_picture(self, tmp_path: Path) -> None:
        path = picture(tmp_path / "s.png")
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(MediaError, match=r"STYLE .*s\.png: .*incomplete"):
            read_style(path)

    def test_a_missing_one(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            read_style(tmp_path / "s.jpg")


class TestSizesAndRates:
    @given(st.integers(1, 10000), st.integers(1, 10000), st.integers(1, 4000))
    def test_longest_side(self, width: int, height: int, size: int) -> None:
        result = longest_side_size(width, height, size)
        assert max(result) == size
        assert min(result) >= 1
        assert abs(min(result) - min(width, height) * size / max(width, height)) <= 0.5 or min(result) == 1

    def test_no_size_is_the_size_it_has(self) -> None:
        assert longest_side_size(641, 359, None) == (641, 359)

    @given(st.floats(0.001, 1000))  # what --fps takes
    def test_exact_rate_is_near(self, fps: float) -> None:
        assert exact_rate(fps) > 0
        assert abs(float(exact_rate(fps)) - fps) < 0.0006

    def test_film_and_television(self) -> None:
        assert [exact_rate(fps) for fps in (23.976, 29.97, 59.94, 24, 30, 14.985)] == [
            Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), 24, 30, Fraction(15000, 1001),
        ]  # fmt: skip
