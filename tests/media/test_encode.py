"""Videos out: times, colours, sizes, what is refused before the work, and that nothing is left half-written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.clips import make_clip, moving, quadrants, read_packets, read_pictures, read_times
from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import ColorTags, MediaInfo
from vidstyle.media.decode import VideoSource
from vidstyle.media.encode import VideoSink, check_output
from vidstyle.media.streams import Span
from vidstyle.settings import EncodeSettings, RunSettings

Picture = np.ndarray


def info_of(pictures: list[Picture], rate: Fraction | int = 25, tick: Fraction | None = None, tags: ColorTags | None = None) -> MediaInfo:
    height, width = pictures[0].shape[:2]
    return MediaInfo(Path("made.mp4"), "video", width, height, Fraction(rate), tick or 1 / Fraction(rate), tags=tags or ColorTags())


def write(
    path: Path, pictures: list[Picture], pts: list[int] | None = None, tick: Fraction | None = None, tags: ColorTags | None = None,
    **encode: object,
) -> Path:  # fmt: skip
    info = info_of(pictures, tick=tick, tags=tags)
    with VideoSink(path, info, EncodeSettings(**encode)) as sink:
        for picture, moment in zip(pictures, pts or range(len(pictures)), strict=True):
            sink.write(picture, moment, info.time_base)
    return path


def rewrite(source: Path, target: Path, **run: object) -> Path:
    settings = RunSettings(**run)
    with VideoSource(source, settings) as film, VideoSink(target, film.info, source=source, span=Span.of(settings)) as sink:
        for frame in film.frames():
            sink.write(frame.rgb, frame.pts, frame.time_base)
    return target


def off(picture: Picture, truth: Picture) -> float:
    return float(np.abs(picture.astype(int) - truth).mean())


FILM = [moving(i) for i in range(12)]


class TestFormats:
    @pytest.mark.parametrize(
        ("suffix", "codec", "pix_fmt"),
        [
            (".mp4", "h264", "yuv420p"),
            (".m4v", "h264", "yuv420p"),
            (".mkv", "h264", "yuv420p"),
            (".webm", "vp9", "yuv420p"),
            (".mov", "prores", "yuv422p10le"),
            (".gif", "gif", "bgra"),
            (".MP4", "h264", "yuv420p"),
        ],
    )
    def test_the_extension_decides(self, tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
        path = write(tmp_path / f"out{suffix}", FILM)
        assert read_times(path) == [Fraction(i, 25) for i in range(12)]
        assert all(off(picture, truth) < 5 for picture, truth in zip(read_pictures(path), FILM, strict=True))
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            assert (context.name, context.pix_fmt) == (codec, pix_fmt)

    def test_mp4_can_be_shown_while_it_loads(self, tmp_path: Path) -> None:
        data = write(tmp_path / "out.mp4", FILM).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")

    @pytest.mark.parametrize(
        ("name", "encode", "codec", "pix_fmt"),
        [
            ("a.mkv", {"codec": "ffv1"}, "ffv1", "bgr0"),
            ("a.mp4", {"codec": "libx265", "crf": 30}, "hevc", "yuv420p"),
            ("a.mp4", {"pix_fmt": "yuv444p10le"}, "h264", "yuv444p10le"),
            ("a.mov", {"codec": "h264"}, "h264", "yuv420p"),
            ("a.mkv", {"options": {"preset": "ultrafast", "g": "5"}}, "h264", "yuv420p"),
        ],
    )
    def test_codec_and_format_can_be_chosen(self, tmp_path: Path, name: str, encode: dict[str, object], codec: str, pix_fmt: str) -> None:
        path = write(tmp_path / name, FILM, **encode)
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            assert (context.name, context.pix_fmt) == (codec, pix_fmt)
        assert len(read_times(path)) == 12

    @pytest.mark.parametrize(("codec", "suffix"), [("mpeg4", ".mp4"), ("mpeg4", ".mkv"), ("mpeg2video", ".mkv"), ("mjpeg", ".mov")])
    def test_old_codecs_write_every_frame(self, tmp_path: Path, codec: str, suffix: str) -> None:
        source = make_clip(tmp_path / "in.mp4", 6)
        with VideoSource(source) as film:
            frames = list(film.frames())
            check_output(tmp_path / f"a{suffix}", EncodeSettings(codec=codec), film.info)
            with VideoSink(tmp_path / f"a{suffix}", film.info, EncodeSettings(codec=codec)) as sink:
                for frame in frames:
                    sink.write(frame.rgb, frame.pts, frame.time_base)
        times = [time for time, _ in read_packets(tmp_path / f"a{suffix}", "video")]
        assert len(times) == 6
        assert all(abs(time - frame.seconds) <= Fraction(1, 1000) for time, frame in zip(times, frames, strict=True))

    def test_a_codec_without_ticks_moves_frames_to_whole_ones_and_says_so(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        pictures = [moving(n) for n in range(4)]
        info = info_of(pictures, rate=25, tick=Fraction(1, 90000))
        with VideoSink(tmp_path / "a.mkv", info, EncodeSettings(codec="mpeg2video")) as sink:
            for pts, picture in zip((0, 3600, 3700, 12000), pictures, strict=True):
                sink.write(picture, pts, Fraction(1, 90000))
        assert [round(time * 25) for time, _ in read_packets(tmp_path / "a.mkv", "video")] == [0, 1, 2, 3]
        assert "counts in whole frames, 25 a second" in caplog.text

    def test_the_encoders_own_reason_is_told(self, tmp_path: Path) -> None:
        info = info_of([moving(0)], rate=7, tick=Fraction(1, 90000))
        with pytest.raises(UsageError, match=r"mpeg2video .*MPEG-1/2 does not support"):
            check_output(tmp_path / "a.mkv", EncodeSettings(codec="mpeg2video"), info)

    @pytest.mark.parametrize("frames", [1, 2])
    def test_very_short_hevc_films_can_be_written_every_time(self, tmp_path: Path, frames: int) -> None:
        """libx265 gave decoding times by chance, so that a fifth of them failed."""
        for number in range(15):
            path = write(tmp_path / f"{number}.mp4", FILM[:frames], codec="libx265")
            assert len(read_times(path)) == frames

    def test_hevc_is_named_as_apple_wants_it(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.mp4", FILM[:2], codec="libx265")
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"

    def test_lower_crf_is_larger(self, tmp_path: Path) -> None:
        noise = list(np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), dtype=np.uint8))
        sizes = [write(tmp_path / f"{crf}.mp4", noise, crf=crf).stat().st_size for crf in (10, 16, 40)]
        assert sizes[0] > sizes[1] > sizes[2]
        assert write(tmp_path / "default.mp4", noise).stat().st_size == sizes[1]

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".gif"])
    def test_the_same_work_gives_the_same_bytes(self, tmp_path: Path, suffix: str) -> None:
        first, second = (write(tmp_path / f"{i}{suffix}", FILM[:4]) for i in (1, 2))
        assert first.read_bytes() == second.read_bytes()

    def test_what_memory_held_before_does_not_matter(self, tmp_path: Path) -> None:
        """glibc fills fresh memory with a pattern: whatever reads it uninitialised gives other bytes."""
        script = "from tests.media.test_encode import FILM, write; from pathlib import Path; import sys; write(Path(sys.argv[1]), FILM[:4])"
        written = []
        for pattern in ("0", "85", "170"):
            path = tmp_path / f"{pattern}.mp4"
            command = [sys.executable, "-c", script, str(path)]
            root = Path(__file__).parents[2]
            subprocess.run(command, check=True, cwd=root, env={**os.environ, "MALLOC_PERTURB_": pattern, "PYTHONPATH": str(root)})
            written.append(path.read_bytes())
        assert written[0] == written[1] == written[2]


TIMES = (0, 3, 4, 10, 40, 41, 42, 100)


class TestTimes:
    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
    def test_variable_rate_survives(self, tmp_path: Path, suffix: str) -> None:
        tick = Fraction(1, 1000) if suffix in (".mkv", ".webm") else Fraction(1, 50) if suffix == ".gif" else Fraction(1001, 30000)
        path = write(tmp_path / f"out{suffix}", [moving(i) for i in range(8)], list(TIMES), tick)
        assert read_times(path) == [moment * tick for moment in TIMES]

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
    def test_the_last_frame_keeps_its_duration(self, tmp_path: Path, suffix: str) -> None:
        source = make_clip(tmp_path / "in.gif", FILM[:4], codec="gif", pix_fmt="rgb8", pts=[0, 10, 20, 30], time_base=Fraction(1, 100),
                           container_options={"final_delay": "150"})  # fmt: skip
        path = rewrite(source, tmp_path / f"out{suffix}")
        with av.open(str(path)) as container:
            assert container.duration == pytest.approx(1_800_000, abs=2000)

    def test_a_start_later_than_zero_stays(self, tmp_path: Path) -> None:
        path = write(tmp_path / "out.mp4", FILM[:3], [50, 51, 52])
        assert read_times(path) == [2, 2 + Fraction(1, 25), 2 + Fraction(2, 25)]

    def test_one_frame(self, tmp_path: Path) -> None:
        for suffix in (".mp4", ".mkv", ".webm", ".mov", ".gif"):
            assert read_times(write(tmp_path / f"one{suffix}", FILM[:1])) == [0]

    def test_a_gif_is_held_to_what_browsers_show(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = write(tmp_path / "out.gif", FILM, tick=Fraction(1, 100))
        assert read_times(path) == [Fraction(i, 50) for i in range(6)]
        assert "6 of 12 frames were left out" in caplog.text

    def test_backward_times_are_a_bug_of_the_caller(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="in order"):
            write(tmp_path / "out.mp4", FILM[:3], [0, 2, 1])
        assert not list(tmp_path.iterdir())


class TestColour:
    @pytest.mark.parametrize("depth", [np.uint8, np.uint16])
    @pytest.mark.parametrize(
        "tags", [ColorTags(), ColorTags(6, 1, 6, 6), ColorTags(9, 1, 9, 14), ColorTags(1, 2, 1, 1), ColorTags(0, 2, 2, 2)]
    )
    def test_patches_come_back_and_are_tagged(self, tmp_path: Path, tags: ColorTags, depth: type) -> None:
        picture = quadrants().astype(depth) * (257 if depth is np.uint16 else 1)
        path = write(tmp_path / "out.mkv", [picture], tags=tags, codec="ffv1", pix_fmt="yuv444p")
        with VideoSource(path) as source:
            assert off(next(source.frames()).rgb, quadrants()) < 0.9
            wanted = tags if tags.colorspace not in (0, 2) else ColorTags(1, 1, 1, 1)
            assert source.info.tags == ColorTags(wanted.colorspace, 1, wanted.color_primaries, wanted.color_trc)

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
    def test_everything_is_tagged(self, tmp_path: Path, suffix: str) -> None:
        with av.open(str(write(tmp_path / f"out{suffix}", FILM[:2]))) as container:
            context = container.streams.video[0].codec_context
            assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
            assert context.color_range == 1

    def test_mean_error_of_a_round_trip(self, tmp_path: Path) -> None:
        path = write(tmp_path / "out.mkv", [moving(0)], codec="ffv1", pix_fmt="yuv444p")
        with VideoSource(path) as source:
            assert off(next(source.frames()).rgb, moving(0)) < 0.45

    def test_sixteen_bits_reach_a_ten_bit_film(self, tmp_path: Path) -> None:
        ramp = np.linspace(20000, 24000, 64).astype(np.uint16)
        picture = np.broadcast_to(ramp[None, :, None], (48, 64, 3))
        levels = {}
        for depth in (8, 16):
            given = picture if depth == 16 else (picture // 257).astype(np.uint8)
            path = write(tmp_path / f"{depth}.mkv", [np.ascontiguousarray(given)], codec="ffv1", pix_fmt="yuv444p10le")
            with av.open(str(path)) as container:
                frame = next(container.decode(video=0))
                levels[depth] = np.unique(np.frombuffer(bytes(frame.planes[0]), "<u2")).size
        assert levels[16] > 2 * levels[8]

    def test_sixteen_bits_are_rounded_to_eight(self, tmp_path: Path) -> None:
        picture = np.full((8, 8, 3), 100 * 257 + 200, np.uint16)
        assert (read_pictures(write(tmp_path / "a.mkv", [picture], codec="ffv1"))[0] == 101).all()

    def test_sixteen_bits_are_no_lighter_than_eight(self, tmp_path: Path) -> None:
        sixteen, eight = (
            read_pictures(write(tmp_path / f"{i}.mkv", [given], codec="ffv1", pix_fmt="yuv444p"))[0].astype(float)
            for i, given in enumerate((moving(0).astype(np.uint16) * 257, moving(0)))
        )
        assert abs((sixteen - eight).mean()) < 0.1

    @pytest.mark.parametrize(
        ("codec", "pix_fmt", "options"),
        [
            *(("ffv1", f"gbrp{bits}le", {}) for bits in (9, 10, 12, 14, 16)),
            ("ffv1", "rgb48le", {}),
            ("png", "rgb48be", {}),
            ("libx265", "gbrp10le", {"x265-params": "lossless=1:log-level=none"}),
        ],
    )
    @pytest.mark.parametrize("depth", [np.uint8, np.uint16])
    def test_deep_rgb_has_its_white_and_every_level(
        self, tmp_path: Path, codec: str, pix_fmt: str, options: dict[str, str], depth: type
    ) -> None:
        picture = np.linspace(0, np.iinfo(depth).max, 64 * 64).round().astype(depth).reshape(64, 64, 1).repeat(3, axis=2)
        path = write(tmp_path / f"out.{'mov' if codec == 'png' else 'mkv'}", [picture], codec=codec, pix_fmt=pix_fmt, options=options)
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            bits = frame.format.components[0].bits
            for plane in frame.planes:
                levels = np.frombuffer(plane, ">u2" if frame.format.is_big_endian else "<u2")
                assert (levels.min(), levels.max()) == (0, 2**bits - 1)
        with VideoSource(path) as source:
            back = next(source.frames()).rgb.astype(float)
        if depth is np.uint8:
            np.testing.assert_array_equal(back, picture)
        else:  # half a level of 8 bits, and half one of what was coded
            assert np.abs(back - picture / 257).max() <= 0.5 + 0.5 * 255 / (2**bits - 1) + 1e-6


class TestSizes:
    @pytest.mark.parametrize("size", [(67, 45), (64, 45), (67, 48), (2, 2)])
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".gif"])
    def test_the_size_is_kept_to_the_pixel(self, tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
        path = write(tmp_path / f"out{suffix}", [quadrants(*size)] * 2)
        picture = read_pictures(path)[0]
        assert picture.shape == (size[1], size[0], 3)
        if min(size) > 2:
            assert off(picture, quadrants(*size)) < 5

    def test_what_players_may_not_show_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        check_output(tmp_path / "out.webm", EncodeSettings(), info_of([quadrants(67, 45)]))
        assert not caplog.records
        check_output(tmp_path / "out.mp4", EncodeSettings(), info_of([quadrants(67, 45)]))
        assert "67×45" in caplog.text
        assert "yuv444p" in caplog.text

    def test_a_chosen_format_is_not_changed(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="libx264 refuses yuv420p at 67×45"):
            write(tmp_path / "out.mp4", [quadrants(67, 45)], pix_fmt="yuv420p")

    def test_another_size_in_between_is_a_bug_of_the_caller(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="size of the first"):
            write(tmp_path / "out.mp4", [quadrants(64, 48), quadrants(64, 46)])


class TestRefusedBeforeTheWork:
    @pytest.mark.parametrize(
        ("name", "encode", "words"),
        [
            ("a.mp4", {"codec": "libx2644"}, "did you mean libx264"),
            ("a.mp4", {"codec": "aac"}, "is an audio encoder"),
            ("a.webm", {"codec": "libx264"}, r"\.webm cannot hold it"),
            ("a.gif", {"codec": "libx264"}, r"\.gif cannot hold it"),
            ("a.mp4", {"pix_fmt": "yuv42op"}, "--pix-fmt yuv42op"),
            ("a.webm", {"pix_fmt": "yuv42op"}, "no such pixel format"),
            ("a.mp4", {"pix_fmt": "rgb24"}, "libx264 cannot write it"),
            ("a.mp4", {"options": {"presett": "slow"}}, "did you mean 'preset'"),
            ("a.mp4", {"options": {"preset": "slowish"}}, "refuses"),
            ("a.mp4", {"options": {"x264-params": "foo=1"}}, "'foo': libx264 does not know it"),
            ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=error:foo=1"}}, "'foo': libx265"),
            ("a.mov", {"crf": 20}, "prores_ks has no such setting"),
            ("a.webm", {"crf": 99}, r"takes 0 \(best\) to 63"),
            ("a.mp4", {"crf": 900}, r"takes 0 \(best\) to 51"),
            ("a.avi", {}, "use one of .mp4"),
            ("missing/a.mp4", {}, "there is no directory"),
        ],
    )
    def test_check_output_names_it(self, tmp_path: Path, name: str, encode: dict[str, object], words: str) -> None:
        for attempt in (
            lambda: check_output(tmp_path / name, EncodeSettings(**encode)),
            lambda: VideoSink(tmp_path / name, info_of(FILM), EncodeSettings(**encode)),
        ):
            with pytest.raises(UsageError, match=words) as caught:
                attempt()
            assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())

    def test_encoders_do_not_speak_for_themselves(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(UsageError):
            check_output(tmp_path / "a.mp4", EncodeSettings(options={"preset": "slwo"}))
        check_output(tmp_path / "a.mp4", EncodeSettings(codec="libsvtav1"))
        assert capfd.readouterr() == ("", "")

    def test_a_good_output_passes_without_a_trace(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for suffix in (".mp4", ".mkv", ".webm", ".mov", ".gif"):
            check_output(tmp_path / f"out{suffix}", EncodeSettings(), info_of(FILM))
        assert not list(tmp_path.iterdir())
        assert capfd.readouterr() == ("", "")

    def test_a_directory_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "out.mp4").mkdir()
        with pytest.raises(UsageError, match="is a directory"):
            check_output(tmp_path / "out.mp4", EncodeSettings())

    def test_an_unwritable_directory(self, tmp_path: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        tmp_path.chmod(0o500)
        with pytest.raises(UsageError, match="cannot be written"):
            check_output(tmp_path / "out.mp4", EncodeSettings())


class TestAllOrNothing:
    def test_an_exception_leaves_nothing_and_the_old_file_untouched(self, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        path.write_bytes(b"older work")

        def interrupted() -> None:
            with VideoSink(path, info_of(FILM)) as sink:
                for i, picture in enumerate(FILM):
                    sink.write(picture, i, Fraction(1, 25))
                assert path.read_bytes() == b"older work"
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert [(child.name, child.read_bytes()) for child in tmp_path.iterdir()] == [("out.mp4", b"older work")]

    def test_the_new_file_replaces_the_old(self, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        path.write_bytes(b"older work")
        write(path, FILM)
        assert [child.name for child in tmp_path.iterdir()] == ["out.mp4"]
        assert len(read_times(path)) == 12

    def test_no_frame_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match="no frame"), VideoSink(tmp_path / "out.mp4", info_of(FILM)):
            pass
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
    def test_a_full_disk_is_said_in_words(self, tmp_path: Path, suffix: str) -> None:
        noise = list(np.random.default_rng(0).integers(0, 256, (6, 96, 128, 3), dtype=np.uint8))
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
        try:
            with pytest.raises(MediaError, match="cannot be written") as caught:
                write(tmp_path / f"out{suffix}", noise)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())

    def test_a_colon_in_the_name_is_no_protocol(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write(Path("pipe:out.mp4"), FILM[:2])
        assert (tmp_path / "pipe:out.mp4").stat().st_size > 0
