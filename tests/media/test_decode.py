"""Videos in: frames, times, colours, damage. Every clip is made here."""

from __future__ import annotations

import itertools
import logging
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.clips import damage, destroy_packets, make_clip, moving, quadrants, read_times, truncate
from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import Frame
from vidstyle.media import open_sink
from vidstyle.media.decode import VideoSource
from vidstyle.media.joints import on_one_clock
from vidstyle.settings import EncodeSettings, RunSettings


def walk(path: Path, **run: object) -> list[Frame]:
    with VideoSource(path, RunSettings(**run)) as source:
        return list(source.frames())


def off(frame: Frame, truth: np.ndarray) -> float:
    """Mean distance in 8-bit steps."""
    return float(np.abs(frame.rgb.astype(int) - truth).mean())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames at 24 a second, 2.5 s."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 60, rate=24, options={"g": "12"})


class TestFrames:
    @pytest.mark.parametrize(
        ("name", "codec"),
        [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mov", "prores_ks"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")],
    )
    def test_every_container_gives_all_frames_in_order_with_their_times(self, tmp_path: Path, name: str, codec: str) -> None:
        # AVI cannot be tagged, and an untagged film of this size is BT.601.
        pix_fmt, matrix = "yuv422p10le" if codec == "prores_ks" else "yuv420p", 6 if codec == "mpeg4" else 1
        path = make_clip(tmp_path / name, 12, codec=codec, pix_fmt=pix_fmt, matrix=matrix)
        frames = walk(path)
        assert [frame.index for frame in frames] == list(range(12))
        assert [frame.seconds for frame in frames] == [Fraction(i, 25) for i in range(12)]
        assert all(off(frame, moving(frame.index)) < 5 for frame in frames)

    @pytest.mark.parametrize(
        ("codec", "options"),
        [
            ("libx264", {"bf": "0"}),
            ("libx264", {"bf": "2"}),
            ("libx264", {"bf": "8", "x264-params": "b-adapt=0:b-pyramid=2"}),
            ("mpeg4", {"bf": "2", "global_quality": "236", "flags": "+qscale"}),
        ],
    )
    def test_frames_of_an_avi_that_are_coded_out_of_order_keep_their_times(
        self, tmp_path: Path, codec: str, options: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """AVI says when packets are read, not when they are shown."""
        frames = walk(make_clip(tmp_path / "a.avi", 30, codec=codec, options=options, matrix=6 if codec == "mpeg4" else 1))
        assert [frame.seconds for frame in frames] == [Fraction(number, 25) for number in range(30)]
        assert all(off(frame, moving(number)) < 6 for number, frame in enumerate(frames))
        assert not caplog.messages

    def test_gif_keeps_each_frames_own_duration(self, tmp_path: Path) -> None:
        pictures = [np.full((20, 30, 3), value, np.uint8) for value in (0, 36, 73, 109)]
        path = make_clip(tmp_path / "a.gif", pictures, codec="gif", pix_fmt="rgb8", pts=[0, 10, 15, 50], time_base=Fraction(1, 100))
        frames = walk(path)
        assert [frame.seconds for frame in frames] == [Fraction(t, 100) for t in (0, 10, 15, 50)]
        assert [int(frame.rgb.mean()) // 10 for frame in frames] == [0, 3, 7, 10]

    def test_variable_rate_is_exact(self, tmp_path: Path) -> None:
        times = [0, 1, 5, 6, 20, 21, 22, 90]
        path = make_clip(tmp_path / "vfr.mp4", len(times), pts=times, time_base=Fraction(1, 90))
        assert [frame.seconds for frame in walk(path)] == [Fraction(t, 90) for t in times]

    def test_a_walk_can_be_repeated_and_resumed(self, clip: Path) -> None:
        with VideoSource(clip) as source:
            everything = list(source.frames())
            again = list(source.frames(first=40))
        assert [frame.index for frame in again] == list(range(40, 60))
        assert all(np.array_equal(a.rgb, b.rgb) and a.pts == b.pts for a, b in zip(everything[40:], again, strict=True))

    def test_a_single_frame_is_a_film(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "one.mp4", 1)
        assert len(walk(path)) == 1

    def test_info_is_what_the_walk_gives(self, clip: Path) -> None:
        with VideoSource(clip) as source:
            assert (source.info.width, source.info.height, source.info.rate) == (64, 48, 24)
            assert (source.info.frames, source.info.duration, source.info.kind) == (60, Fraction(5, 2), "video")

    def test_streams_beside_the_picture_are_listed(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "a.mp4", 5, audio="aac", audio_first=True, subtitles=[(0, 0.1, "hello")], chapters=[(0, 0.2, "One")])
        with VideoSource(path) as source:
            assert source.info.streams == ("audio", "subtitle")
            assert len(list(source.frames())) == 5

    def test_sound_longer_than_the_film_is_not_taken_for_truncation(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for name in ("a.mkv", "a.mp4"):
            assert len(walk(make_clip(tmp_path / name, 5, audio="aac", seconds=2.0))) == 5
        assert not caplog.records

    def test_times_that_stand_still_are_moved_forward(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        # Two frames within one of Matroska's milliseconds.
        path = make_clip(
            tmp_path / "dense.mkv", 6, pts=[0, 1, 2, 3, 4, 5], time_base=Fraction(1, 3000), rate=100, codec="mjpeg", pix_fmt="yuvj420p"
        )
        assert len(set(read_times(path))) < 6
        pts = [frame.pts for frame in walk(path)]
        assert all(a < b for a, b in itertools.pairwise(pts))
        assert "moved forward" in caplog.text


class TestGeometry:
    @pytest.mark.parametrize(
        ("rotation", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)], ids=["upright", "quarter left", "half", "quarter right"]
    )
    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
    def test_rotation_is_applied(self, tmp_path: Path, rotation: int, turns: int, suffix: str) -> None:
        path = make_clip(tmp_path / f"turned{suffix}", [quadrants(96, 48)] * 2, rotation=rotation)
        truth = np.rot90(quadrants(96, 48), turns)
        frame = walk(path)[0]
        assert frame.rgb.shape == truth.shape
        assert off(frame, truth) < 4

    @pytest.mark.parametrize("mirror", ["hflip", "vflip"])
    def test_mirroring_is_applied(self, tmp_path: Path, mirror: str) -> None:
        path = make_clip(tmp_path / "mirrored.mp4", [quadrants()] * 2, mirror=mirror)
        assert off(walk(path)[0], quadrants()[:, ::-1] if mirror == "hflip" else quadrants()[::-1]) < 4

    def test_rotated_and_resized(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "turned.mp4", [quadrants(96, 48)] * 2, rotation=90)
        with VideoSource(path, RunSettings(size=48)) as source:
            assert (source.info.width, source.info.height) == (24, 48)
            assert next(source.frames()).rgb.shape == (48, 24, 3)

    @pytest.mark.parametrize("size", [(67, 45), (3, 2), (1, 1), (33, 64)])
    def test_odd_sizes(self, tmp_path: Path, size: tuple[int, int]) -> None:
        path = make_clip(tmp_path / "odd.mkv", [moving(0, *size)] * 2, codec="ffv1", pix_fmt="bgr0")
        frame = walk(path)[0]
        assert frame.rgb.shape == (size[1], size[0], 3)
        assert off(frame, moving(0, *size)) == 0

    @pytest.mark.parametrize(
        ("size", "wanted"),
        [(32, (32, 18)), (64, (64, 36)), (128, (128, 72)), (50, (50, 28)), (33, (33, 19)), (2, (2, 2)), (1, (1, 1)), (None, (64, 36))],
    )
    def test_size_is_the_longest_side_and_the_other_is_even_with_it(
        self, tmp_path: Path, size: int | None, wanted: tuple[int, int]
    ) -> None:
        path = make_clip(tmp_path / "a.mp4", 1, size=(64, 36))
        with VideoSource(path, RunSettings(size=size)) as source:
            assert (source.info.width, source.info.height) == wanted
            assert next(source.frames()).rgb.shape == (wanted[1], wanted[0], 3)

    @pytest.mark.parametrize(("aspect", "wanted"), [(Fraction(4, 3), (86, 48)), (Fraction(3, 4), (64, 64))])
    def test_pixels_become_square_and_nothing_shrinks(self, tmp_path: Path, aspect: Fraction, wanted: tuple[int, int]) -> None:
        path = make_clip(tmp_path / "wide.mp4", 1, aspect=aspect)
        with VideoSource(path) as source:
            assert (source.info.width, source.info.height) == wanted


class TestColour:
    @pytest.mark.parametrize("matrix", [1, 6, 9], ids=["709", "601", "2020"])
    @pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
    @pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le"])
    def test_tagged_patches_come_back(self, tmp_path: Path, matrix: int, color_range: int, pix_fmt: str) -> None:
        path = make_clip(tmp_path / "a.mkv", [quadrants()], codec="ffv1", pix_fmt=pix_fmt, matrix=matrix, color_range=color_range)
        assert off(walk(path)[0], quadrants()) < 0.9

    @pytest.mark.parametrize(("matrix", "height"), [(6, 576), (1, 720)])
    def test_untagged_is_601_up_to_sd_and_709_above(self, tmp_path: Path, matrix: int, height: int) -> None:
        picture = quadrants(64, height)
        path = make_clip(tmp_path / "a.mkv", [picture], codec="ffv1", pix_fmt="yuv444p", matrix=matrix, tagged=False)
        assert off(walk(path)[0], picture) < 0.9

    @pytest.mark.parametrize("pix_fmt", ["yuv444p10le", "yuv444p12le", "gray10le", "gbrp10le", "gbrp12le", "gbrp16le"])
    @pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
    @pytest.mark.parametrize("size", [None, 40])
    def test_a_deep_ramp_of_greys_is_neither_lighter_nor_darker(
        self, tmp_path: Path, pix_fmt: str, color_range: int, size: int | None
    ) -> None:
        """swscale takes 1023 of full range for 255.75."""
        if color_range == 1 and not pix_fmt.startswith("yuv"):
            pytest.skip("RGB and greys are full")
        bits = int(pix_fmt.rstrip("le")[-2:])
        least, most = (0, 2**bits - 1) if color_range == 2 else (16 << bits - 8, 235 << bits - 8)
        ramp = np.linspace(least, most, 48).round().astype(np.uint16)
        with av.open(str(tmp_path / "a.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
            stream.codec_context.color_range = color_range
            frame = av.VideoFrame(64, 48, pix_fmt)
            for number, plane in enumerate(frame.planes):
                rows = np.full((48, plane.line_size // 2), 1 << bits - 1, np.uint16)
                if number == 0 or pix_fmt.startswith("g"):
                    rows[:] = ramp[:, None]  # the same along a line, so that a narrower picture has it too
                plane.update(rows)
            frame.color_range = color_range
            container.mux([*stream.encode(frame), *stream.encode(None)])
        picture = walk(tmp_path / "a.mkv", size=size)[0].rgb
        assert np.ptp(picture, axis=2).max() == 0
        if size is None:
            apart = picture[:, 0, 0] - (ramp.astype(float) - least) / (most - least) * 255
            assert np.abs(apart).max() <= 0.51
            assert abs(apart.mean()) < 0.05
        else:
            assert abs(picture.mean() - 127.5) < 0.3

    def test_a_wrong_matrix_would_show(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "a.mkv", [quadrants()], codec="ffv1", pix_fmt="yuv444p", matrix=1, tagged=False)
        assert off(walk(path)[0], quadrants()) > 3

    def test_ten_bits_in_420(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "a.mkv", [moving(0)], pix_fmt="yuv420p10le")
        assert off(walk(path)[0], moving(0)) < 2.5

    def test_pixels_of_an_absurd_shape_are_not_believed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("vidstyle.media.decode._ODDEST_PIXEL", 2)  # FFmpeg writes no odder ones than it believes itself
        path = make_clip(tmp_path / "wide.mp4", 1, aspect=Fraction(5, 2))
        assert walk(path)[0].rgb.shape == (48, 64, 3)
        assert "which is not believed" in caplog.text

    def test_a_film_of_absurd_size_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vidstyle.media.decode.MOST_PIXELS", 64 * 48)
        assert len(walk(make_clip(tmp_path / "fits.mkv", 1))) == 1
        with pytest.raises(MediaError, match="frames of 66×48 are more pixels than a film should have"):
            VideoSource(make_clip(tmp_path / "large.mkv", 1, size=(66, 48)))

    @pytest.mark.parametrize(("transfer", "word"), [(16, "PQ"), (18, "HLG")])
    def test_hdr_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture, transfer: int, word: str) -> None:
        path = make_clip(tmp_path / "hdr.mp4", 1, matrix=9, transfer=transfer)
        assert len(walk(path)) == 1
        assert f"HDR ({word})" in caplog.text

    def test_a_matrix_that_swscale_has_not_is_refused(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "odd.mkv", 1, matrix=8, codec="ffv1", pix_fmt="yuv444p")
        with pytest.raises(MediaError, match="colour matrix"):
            VideoSource(path)

    def test_hdr_that_only_the_container_names_is_seen(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """ProRes' decoder says that it knows of no transfer."""
        path = make_clip(tmp_path / "a.mov", 2, codec="prores_ks", pix_fmt="yuv422p10le", matrix=9, transfer=16)
        walk(path)
        assert "PQ" in caplog.text

    def test_hdr_that_names_its_screen_only_is_seen(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """As a remux leaves it that has lost what the stream says of its colours."""
        screen = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
        coded = {"codec": "libx265", "pix_fmt": "yuv420p10le", "matrix": 9}
        options = {"x265-params": f"log-level=none:lossless=1:master-display={screen}:max-cll=1000,400"}
        path = make_clip(tmp_path / "a.mp4", 3, options=options, tagged=False, **coded)
        frames = walk(path)
        assert "names the screen it was mastered on, but not how its light is coded: taken for HDR10" in caplog.text
        assert "HDR (PQ)" in caplog.text
        said = walk(make_clip(tmp_path / "said.mp4", 3, options={"x265-params": "log-level=none:lossless=1"}, transfer=16, **coded))
        for frame, other in zip(frames, said, strict=True):
            assert np.array_equal(frame.rgb, other.rgb)

    def test_dolby_vision_without_an_ordinary_picture_is_refused(self, tmp_path: Path) -> None:
        options = {"x265-params": "log-level=none"}
        path = make_clip(tmp_path / "a.mp4", 3, codec="libx265", pix_fmt="yuv420p10le", options=options, tagged=False)
        data = path.read_bytes()
        assert data.count(b"hev1") + data.count(b"hvc1") >= 1
        path.write_bytes(data.replace(b"hev1", b"dvhe").replace(b"hvc1", b"dvh1"))
        with pytest.raises(MediaError, match=r"Dolby Vision without an ordinary picture in it \(profile 5\)"):
            VideoSource(path)
        tagged = make_clip(tmp_path / "b.mp4", 3, codec="libx265", pix_fmt="yuv420p10le", options=options, matrix=9, transfer=16)
        tagged.write_bytes(tagged.read_bytes().replace(b"hev1", b"dvhe").replace(b"hvc1", b"dvh1"))
        assert len(walk(tagged)) == 3, "with HDR10 in it that picture is read"

    def test_interlaced_frames_further_on_are_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        plain = make_clip(tmp_path / "plain.ts", 3)
        combed = make_clip(tmp_path / "combed.ts", 6, options={"flags": "+ildct+ilme", "x264-params": "interlaced=1"})
        path = tmp_path / "both.ts"
        path.write_bytes(plain.read_bytes() + combed.read_bytes())
        walk(path)
        assert "interlaced" in caplog.text

    def test_interlaced_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = make_clip(tmp_path / "tv.mp4", 4, options={"flags": "+ildct+ilme", "x264-params": "interlaced=1"})
        walk(path)
        assert "interlaced" in caplog.text

    @pytest.mark.parametrize(
        ("suffix", "codec", "pix_fmt"),
        [
            (".mkv", "ffv1", "yuv420p"),
            (".mkv", "mjpeg", "yuvj420p"),
            (".mov", "mjpeg", "yuvj420p"),
            (".mov", "qtrle", "rgb24"),
            (".mkv", "libx265", "yuv420p"),
            (".mov", "libx265", "yuv420p"),
        ],
    )
    def test_interlaced_by_the_container_alone_is_said(
        self, tmp_path: Path, suffix: str, codec: str, pix_fmt: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        walk(make_clip(tmp_path / f"plain{suffix}", 4, codec=codec, pix_fmt=pix_fmt, options=quiet))
        assert caplog.text == ""
        walk(make_clip(tmp_path / f"tv{suffix}", 4, codec=codec, pix_fmt=pix_fmt, options={"field_order": "tt", **quiet}))
        assert f"tv{suffix}: interlaced" in caplog.text

    @pytest.mark.parametrize(
        ("first", "second", "word"),
        [
            ({"matrix": 1}, {"matrix": 6}, "(matrix)"),
            ({"color_range": 1}, {"color_range": 2}, "(range)"),
            ({"matrix": 9, "pix_fmt": "yuv420p10le"}, {"matrix": 9, "transfer": 16, "pix_fmt": "yuv420p10le"}, "(transfer)"),
            ({"matrix": 9, "transfer": 16, "pix_fmt": "yuv420p10le"}, {"matrix": 9, "pix_fmt": "yuv420p10le"}, "(transfer)"),
        ],
    )
    @pytest.mark.parametrize("codec", ["libx264", "libx265"])
    def test_colours_that_change_are_read_by_each_frames_tags_and_said_once(
        self, tmp_path: Path, codec: str, first: dict[str, object], second: dict[str, object], word: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Two films, one behind the other in a transport stream."""
        options = {"x265-params": "log-level=none:crf=5"} if codec == "libx265" else {}
        parts = [
            make_clip(tmp_path / f"{name}.ts", [quadrants()] * 4, codec=codec, options=options, **told)
            for name, told in (("first", first), ("second", second))
        ]
        alone = [walk(part)[-1].rgb for part in parts]
        path = tmp_path / "both.ts"
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        caplog.clear()
        frames = walk(path)
        assert len(frames) == 8
        assert off(frames[0], alone[0]) < 1
        assert off(frames[-1], alone[1]) < 1
        assert caplog.text.count("the coding of its colours") == 1
        assert word in caplog.text
        assert ("HDR (PQ)" in caplog.text) == ("transfer" in word)

    def test_a_size_that_changes_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        parts = [make_clip(tmp_path / f"{size[0]}.ts", 4, size=size) for size in ((64, 48), (48, 64))]
        path = tmp_path / "both.ts"
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        assert {frame.rgb.shape for frame in walk(path)} == {(48, 64, 3)}
        assert caplog.text.count("changes from 64×48 to 48×64 at ") == 1


class TestSpan:
    @pytest.mark.parametrize(
        ("start", "end", "indices"),
        [
            ("10f", "20f", range(10, 20)),
            ("0.5", "1", range(12, 24)),
            ("0.51", None, range(13, 60)),
            (None, "00:01", range(24)),
            ("1", "30f", range(24, 30)),
            ("59f", None, range(59, 60)),
            (None, "99", range(60)),
        ],
    )
    def test_frames_of_the_span_keep_their_times(self, clip: Path, start: str | None, end: str | None, indices: range) -> None:
        frames = walk(clip, start=start, end=end)
        assert [frame.seconds * 24 for frame in frames] == list(indices)
        assert [frame.index for frame in frames] == list(range(len(indices)))
        with VideoSource(clip, RunSettings(start=start, end=end)) as source:
            assert source.info.frames == pytest.approx(len(indices), abs=1)
            assert source.info.duration == pytest.approx(len(indices) / 24, abs=0.05)

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
    def test_a_late_start_is_sought_and_gives_the_same_frames(self, tmp_path: Path, suffix: str) -> None:
        path = make_clip(tmp_path / f"long{suffix}", 60, rate=4, size=(32, 32), codec="mpeg4" if suffix == ".avi" else "libx264")
        everything = walk(path)
        late = walk(path, start="11", end="12.5")
        assert [frame.pts for frame in late] == [frame.pts for frame in everything[44:50]]
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(late, everything[44:50], strict=True))

    @pytest.mark.parametrize(("start", "end"), [("60f", None), ("2.5", None), ("100", None), ("20f", "10f"), ("2", "1"), ("0.51", "0.52")])
    def test_an_empty_span_is_refused(self, clip: Path, start: str, end: str | None) -> None:
        with pytest.raises(UsageError, match="leaves no frame"):
            walk(clip, start=start, end=end)

    def test_a_start_far_behind_the_end_is_refused_before_the_work(self, clip: Path) -> None:
        with pytest.raises(UsageError, match=r"2\.50 s"):
            VideoSource(clip, RunSettings(start="01:00"))


class TestRate:
    def test_half_the_rate_takes_every_second_frame(self, clip: Path) -> None:
        frames = walk(clip, fps=12)
        assert [frame.seconds for frame in frames] == [Fraction(i, 12) for i in range(30)]
        assert all(off(frame, moving(2 * frame.index)) < 4 for frame in frames)

    def test_a_frame_that_is_shown_for_minutes_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = make_clip(tmp_path / "slides.mkv", 3, pts=[0, 25, 25 * 91])
        assert len(walk(path, fps=1)) == 92
        assert "shows one frame from 1 s to 91 s, which --fps makes many frames of" in caplog.text

    def test_twice_the_rate_shows_every_frame_twice(self, clip: Path) -> None:
        frames = walk(clip, fps=48)
        assert [frame.seconds for frame in frames] == [Fraction(i, 48) for i in range(120)]
        assert all(off(frame, moving(frame.index // 2)) < 4 for frame in frames)

    @pytest.mark.parametrize(("fps", "exact"), [(23.976, Fraction(24000, 1001)), (29.97, Fraction(30000, 1001)), (12.5, Fraction(25, 2))])
    def test_the_grid_is_exact(self, clip: Path, fps: float, exact: Fraction) -> None:
        with VideoSource(clip, RunSettings(fps=fps)) as source:
            assert source.info.rate == exact
            frames = list(source.frames())
        assert [frame.seconds for frame in frames] == [i / exact for i in range(len(frames))]
        assert 0 <= len(frames) / exact - Fraction(5, 2) < 1 / exact

    def test_variable_rate_on_a_grid_takes_the_latest_frame_that_had_begun(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "vfr.mp4", 4, pts=[0, 1, 5, 6], time_base=Fraction(1, 10))
        shown = [int(np.argmin([off(frame, moving(i)) for i in range(4)])) for frame in walk(path, fps=10)]
        assert shown[:7] == [0, 1, 1, 1, 1, 2, 3]

    def test_span_and_rate_together(self, clip: Path) -> None:
        frames = walk(clip, start="12f", end="36f", fps=8)
        assert [frame.seconds for frame in frames] == [Fraction(1, 2) + Fraction(i, 8) for i in range(8)]


class TestDamage:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_damage_in_the_middle_costs_little_and_is_said_once(
        self, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = damage(make_clip(tmp_path / f"a{suffix}", 60, size=(128, 96), options={"g": "12"}), 0.5, 300)
        with VideoSource(path) as source:
            first, second = list(source.frames()), list(source.frames())
        assert 50 <= len(first) <= 60
        assert [frame.pts for frame in first] == [frame.pts for frame in second]
        assert first[-1].seconds == Fraction(59, 25)
        assert caplog.text.count("damaged") == 1

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
    def test_a_truncated_file_is_said_and_used(self, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
        path = make_clip(
            tmp_path / f"a{suffix}", 60, size=(128, 96), codec="libvpx-vp9" if suffix == ".webm" else "libx264",
            container_options={"movflags": "+faststart"} if suffix == ".mp4" else None,
        )  # fmt: skip
        frames = walk(truncate(path, 0.6))
        assert 10 < len(frames) < 60
        assert "truncated" in caplog.text

    def test_of_a_short_film_a_tenth_is_missed(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert len(walk(truncate(make_clip(tmp_path / "a.mkv", 8), 0.9))) == 5
        assert "ends 0.12 s early" in caplog.text

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".avi", ".flv", ".mpg", ".ts"])
    @pytest.mark.parametrize("sound", [False, True])
    @pytest.mark.parametrize("count", [3, 8, 25])
    def test_a_short_film_that_is_whole_is_not_called_truncated(
        self, tmp_path: Path, suffix: str, sound: bool, count: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        codec = {".webm": "libvpx-vp9", ".mpg": "mpeg2video", ".avi": "mpeg4"}.get(suffix, "libx264")
        spoken = {".webm": "libopus", ".mkv": "libopus", ".mpg": "mp2", ".avi": "ac3"}.get(suffix, "aac")
        assert len(walk(make_clip(tmp_path / f"a{suffix}", count, codec=codec, audio=spoken if sound else None))) == count
        assert "early" not in caplog.text

    @pytest.mark.parametrize("last", [1, 3])
    def test_damage_at_the_end_costs_no_good_frame(self, tmp_path: Path, last: int, caplog: pytest.LogCaptureFixture) -> None:
        """Decoders that work ahead in threads would lose the frames that they are at."""
        path = make_clip(tmp_path / "a.mp4", 30, options={"bf": "0"})
        destroy_packets(path, path, range(30 - last, 30))
        frames = walk(path)
        assert [frame.pts for frame in frames] == [frame.pts for frame in walk(make_clip(tmp_path / "whole.mp4", 30, options={"bf": "0"}))]
        for frame in frames[-last:]:
            np.testing.assert_array_equal(frame.rgb, frames[-last - 1].rgb)
        assert f"damaged frames: {last}" in caplog.text

    @pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mkv"), ("mjpeg", ".avi"), ("libvpx-vp9", ".webm")])
    def test_the_frame_before_stands_in_for_a_damaged_one(
        self, tmp_path: Path, codec: str, suffix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its time is kept, so that the sound stays where it is."""
        whole = make_clip(tmp_path / f"whole{suffix}", 24, codec=codec, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p")
        path = destroy_packets(whole, tmp_path / f"a{suffix}", [11])
        frames = walk(path)
        assert [frame.pts for frame in frames] == [frame.pts for frame in walk(whole)]
        assert sum(np.array_equal(one.rgb, other.rgb) for one, other in itertools.pairwise(frames)) == 1
        assert "damaged frames: 1" in caplog.text

    @pytest.mark.parametrize(("suffix", "b_frames", "packet"), [(".mp4", 3, 15), (".mkv", 0, 12), (".mkv", 3, 12), (".mov", 0, 15)])
    def test_frames_that_the_decoder_leaves_out_without_an_error_are_stood_in_for(
        self, tmp_path: Path, suffix: str, b_frames: int, packet: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """HEVC's waits for the next key frame."""
        options = {"x265-params": f"log-level=none:keyint=12:bframes={b_frames}"}
        whole = make_clip(tmp_path / f"whole{suffix}", 24, codec="libx265", options=options)
        before = walk(whole)
        assert caplog.text == ""
        after = walk(destroy_packets(whole, tmp_path / f"a{suffix}", [packet]))
        assert [frame.pts for frame in after] == [frame.pts for frame in before]
        held = sum(np.array_equal(one.rgb, other.rgb) for one, other in itertools.pairwise(after))
        assert f"damaged frames: {held};" in caplog.text
        assert held == {(".mkv", 0): 12, (".mkv", 3): 1}.get((suffix, b_frames), 9)

    def test_a_failure_that_a_decoder_tells_late_is_one_lost_frame(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """AV1's works ahead: the packet at which it fails is not the damaged one."""
        whole = make_clip(tmp_path / "whole.mkv", 24, size=(128, 96), codec="libsvtav1", options={"preset": "12", "g": "12"})
        with av.open(str(whole)) as container:
            packet = bytes([packet for packet in container.demux(video=0) if packet.size][15])
        path = tmp_path / "a.mkv"
        path.write_bytes(whole.read_bytes().replace(packet, packet[: len(packet) // 2].ljust(len(packet), b"\0")))
        assert [frame.pts for frame in walk(path)] == [frame.pts for frame in walk(whole)]
        assert "damaged frames: 1;" in caplog.text

    @pytest.mark.parametrize(
        ("suffix", "codec", "options"),
        [
            (".mkv", "libx265", {"x265-params": "log-level=none:keyint=12:bframes=8:open-gop=1"}),
            (".ts", "libx265", {"x265-params": "log-level=none:keyint=12:bframes=4:open-gop=1:aud=1"}),
            (".ts", "libx264", {"x264-params": "keyint=12:bframes=8:open-gop=1:b-adapt=0:aud=1:slices=4"}),
            (".avi", "libx264", {"x264-params": "keyint=12:bframes=8:open-gop=1:b-adapt=0"}),
            (".mov", "libx264", {"x264-params": "keyint=12:intra-refresh=1"}),
            (".webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "20"}),
            (".webm", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "20"}),
            (".mp4", "libsvtav1", {"preset": "12", "g": "12"}),
            (".ts", "mpeg2video", {"bf": "2", "g": "12"}),
            (".avi", "mpeg4", {"bf": "2", "g": "12"}),
        ],
    )
    def test_no_frame_of_a_sound_film_is_taken_for_lost(
        self, tmp_path: Path, suffix: str, codec: str, options: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = make_clip(tmp_path / f"a{suffix}", 40, codec=codec, options=options, matrix=6)
        assert len(walk(path)) == 40
        assert "damaged" not in caplog.text

    @pytest.mark.parametrize("b_frames", [0, 3])
    def test_a_time_far_ahead_is_held_to_those_around_it(self, tmp_path: Path, b_frames: int, caplog: pytest.LogCaptureFixture) -> None:
        """One bit of a time in Matroska. The frames behind it keep theirs."""
        path = make_clip(tmp_path / "a.mkv", 100, options={"bf": str(b_frames)})
        times = [frame.pts for frame in walk(path)]
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            data = bytearray(path.read_bytes())
            at = data.index(bytes(packets[40])) - 3  # a time of 16 bits and a byte of flags stand before it
        assert data[at] & 0x20 == 0
        data[at] ^= 0x20  # 8.192 s
        path.write_bytes(data)
        assert max(abs(frame.pts - time) for frame, time in zip(walk(path), times, strict=True)) <= 1
        assert "frames with times far ahead of those around them: 1;" in caplog.text
        assert "moved forward" not in caplog.text
        assert "damaged" not in caplog.text

    @pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".ts", "libx264"), (".mkv", "ffv1"), (".webm", "libvpx-vp9")])
    def test_a_missing_packet_is_said_where_times_show_it(
        self, tmp_path: Path, suffix: str, codec: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        whole, path = make_clip(tmp_path / f"whole{suffix}", 30, codec=codec), tmp_path / f"a{suffix}"
        with av.open(str(whole)) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
            for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
                if number != 15:
                    packet.stream = stream
                    target.mux(packet)
        assert len(walk(whole)) == 30
        assert "gaps" not in caplog.text
        assert len(walk(path)) == 29
        assert "its times leave gaps where nothing is shown: 1, the first at" in caplog.text

    def test_frames_of_any_length_are_no_gaps(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        walk(make_clip(tmp_path / "a.mkv", 60, pts=[number + number // 7 * 3 for number in range(60)]))
        walk(make_clip(tmp_path / "a.mp4", 60, pts=[number + number // 50 * 3 for number in range(60)]))
        assert "gaps" not in caplog.text

    def test_a_stream_that_begins_further_in_is_passed_over(self, tmp_path: Path) -> None:
        """PyAV knows only those that were there when it was opened."""
        path = make_clip(tmp_path / "a.flv", 400, size=(32, 32), options={"g": "12"})  # longer than what opening it reads
        data = bytearray(path.read_bytes())
        at, tags = 13, []
        while at + 11 < len(data):  # the tags of FLV: kind, length of 3 bytes, time of 4, stream of 3, content, length again
            tags.append(at)
            at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
        data[[tag for tag in tags if data[tag] == 9][-5]] = 8  # sound
        path.write_bytes(data)
        assert len(walk(path)) >= 398
        with VideoSource(path) as source, open_sink(tmp_path / "out.mkv", source.info, EncodeSettings(), path, RunSettings()) as sink:
            for frame in source.frames():
                sink.write(frame.rgb, frame.pts, frame.time_base)

    def test_a_lost_packet_of_a_transport_stream_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (12, 96, 128, 3), dtype=np.uint8)
        path = make_clip(tmp_path / "a.ts", list(noise), size=(128, 96))
        assert (len(walk(path)), caplog.text) == (12, "")
        data = path.read_bytes()
        middle = len(data) // 2 // 188 * 188
        path.write_bytes(data[:middle] + data[middle + 188 :])
        assert len(walk(path)) in (11, 12)
        assert "incomplete packets: 1" in caplog.text

    @pytest.mark.parametrize(
        ("suffix", "first", "second"), [(".ts", 0, 0), (".ts", 0, 36000), (".ts", 36000, 5), (".ts", 50, 40), (".mpg", 0, 0)]
    )
    def test_films_laid_end_to_end_follow_one_another(
        self, tmp_path: Path, suffix: str, first: int, second: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        codec = "libx264" if suffix == ".ts" else "mpeg2video"
        parts = [
            make_clip(tmp_path / f"{at}{suffix}", 30, codec=codec, audio="mp2", container_options={"output_ts_offset": str(at)})
            for at in (first, second)
        ]
        path = tmp_path / f"both{suffix}"
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        with VideoSource(path) as source:
            times = [frame.seconds for frame in source.frames()]
            assert (source.info.frames, len(times)) == (round(source.info.duration * 25), 60)
        opening = read_times(parts[0])
        assert times[:30] == opening
        assert [b - a for a, b in itertools.pairwise(times[30:])] == [Fraction(1, 25)] * 29
        assert 0 <= times[30] - times[29] - Fraction(1, 25) <= Fraction(1, 25)  # the first part's sound ends a little later
        assert len([line for line in caplog.messages if "begins anew" in line]) == 1
        assert not any("early" in line or "went back" in line for line in caplog.messages)

    def test_a_late_start_lies_in_the_second_of_two_films_laid_end_to_end(self, tmp_path: Path) -> None:
        part = make_clip(tmp_path / "a.ts", 60, rate=4)
        (tmp_path / "both.ts").write_bytes(part.read_bytes() * 2)
        with VideoSource(tmp_path / "both.ts", RunSettings(start="20")) as source:
            frames = list(source.frames())
        assert len(frames) == 40
        np.testing.assert_array_equal(frames[0].rgb, walk(part)[20].rgb)

    def test_a_clock_that_overflows_goes_on(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = make_clip(tmp_path / "a.ts", 50, audio="mp2", container_options={"output_ts_offset": str(2**33 / 90_000 - 1)})
        with VideoSource(path) as source:
            times = [frame.seconds for frame in source.frames()]
        assert [b - a for a, b in itertools.pairwise(times)] == [Fraction(1, 25)] * 49
        assert not caplog.messages

    def test_one_wrong_time_is_no_new_clock(self, tmp_path: Path) -> None:
        with av.open(str(make_clip(tmp_path / "a.ts", 50, format="mpegts", container_options={"output_ts_offset": "100"}))) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            packets[20].pts = packets[20].dts = packets[20].dts - 50 * 90_000
            times = [packet.pts for packet in packets]
            assert [packet.pts for packet in on_one_clock(packets, container)] == times

    def test_transparency_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        walk(make_clip(tmp_path / "opaque.mkv", 2, codec="ffv1", pix_fmt="bgra"))
        assert caplog.text == ""
        pictures = [np.dstack([moving(index), np.full((48, 64), 90, np.uint8)]) for index in range(2)]
        with av.open(str(tmp_path / "glass.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "bgra"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba")))
            container.mux(stream.encode(None))
        walk(tmp_path / "glass.mkv")
        assert "glass.mkv: its transparency is left out" in caplog.text

    def test_a_whole_file_is_not_called_truncated(self, clip: Path, caplog: pytest.LogCaptureFixture) -> None:
        walk(clip)
        walk(clip, end="1")
        assert not caplog.records

    def test_a_file_without_its_index_is_refused(self, tmp_path: Path) -> None:
        path = truncate(make_clip(tmp_path / "a.mp4", 20), 0.6)
        with pytest.raises(MediaError, match=r"a\.mp4: is no video"):
            VideoSource(path)

    def test_all_frames_destroyed(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "a.mp4", 3, container_options={"movflags": "+faststart"})
        data = path.read_bytes()
        begin = data.index(b"mdat") + 4
        path.write_bytes(data[:begin] + b"\xff" * (len(data) - begin))
        with pytest.raises(MediaError, match="not one frame"):
            VideoSource(path)


class TestRefusals:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            VideoSource(tmp_path / "none.mp4")

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"", "is empty"), (b"These are only words.\n" * 40, "is no video"), (bytes(range(256)) * 40, "is no video")],
        ids=["empty", "text", "junk"],
    )
    def test_no_medium(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "clip.mp4"
        path.write_bytes(content)
        with pytest.raises(MediaError, match=words) as caught:
            VideoSource(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    def test_a_text_is_not_shown_as_a_terminal_would(self, tmp_path: Path) -> None:
        path = tmp_path / "words.txt"
        path.write_text("hello\n" * 100)
        with pytest.raises(MediaError, match="is a text"):
            VideoSource(path)

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match="is a directory"):
            VideoSource(tmp_path)

    def test_unreadable(self, clip: Path, tmp_path: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path = tmp_path / "secret.mp4"
        path.write_bytes(clip.read_bytes())
        path.chmod(0)
        with pytest.raises(MediaError, match="may not be read"):
            VideoSource(path)

    def test_sound_alone(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "song.mp4", [], audio="aac", seconds=0.5)
        with pytest.raises(MediaError, match="holds no film, only audio"):
            VideoSource(path)

    def test_a_cover_picture_is_no_film(self, tmp_path: Path) -> None:
        path = make_clip(tmp_path / "song.mp4", [], audio="aac", seconds=0.5, cover=True)
        with pytest.raises(MediaError, match="holds no film"):
            VideoSource(path)

    def test_the_film_is_chosen_beside_a_cover(self, tmp_path: Path) -> None:
        assert len(walk(make_clip(tmp_path / "film.mp4", 5, cover=True))) == 5

    def test_a_playlist_does_not_reach_out(self, tmp_path: Path) -> None:
        path = tmp_path / "list.mp4"
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n")
        with pytest.raises(MediaError):
            VideoSource(path)

    @pytest.mark.parametrize(
        "text", ["#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {}\n"]
    )
    def test_a_list_does_not_open_other_files(self, text: str, tmp_path: Path) -> None:
        make_clip(tmp_path / "private.ts", 4)
        path = tmp_path / "list.mp4"
        path.write_text(text.format("private.ts"))
        with pytest.raises(MediaError, match=r"list\.mp4: is a list of other files"):
            VideoSource(path)

    def test_a_name_that_is_a_pattern_opens_no_other_files(self, tmp_path: Path) -> None:
        for name in ("s000.pcx", "s001.pcx", "s%03d.pcx"):
            Image.fromarray(moving(3)).save(tmp_path / name)
        with pytest.raises(MediaError, match=r"s%03d\.pcx: .* without a % sign"):
            VideoSource(tmp_path / "s%03d.pcx")
        assert len(walk(tmp_path / "s001.pcx")) == 1

    def test_a_colon_in_the_name_is_no_protocol(self, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "http:clip.mp4").write_bytes(clip.read_bytes())
        monkeypatch.chdir(tmp_path)
        assert len(walk(Path("http:clip.mp4"), end="3f")) == 3


def test_a_clean_walk_logs_nothing(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="vidstyle"):
        walk(clip)
    assert not caplog.records
