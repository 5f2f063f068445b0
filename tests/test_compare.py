"""Source and result in one picture; what is shared."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.clips import make_clip, moving
from tests.jobs import write_png
from vidstyle import cli
from vidstyle.compare import compare, comparison_path, share
from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import Frame
from vidstyle.media import open_source
from vidstyle.settings import RunSettings, Settings
from vidstyle.workspace import Workspace

LOSSLESS = Settings.from_mapping({"encode": {"codec": "ffv1", "pix_fmt": "bgr0"}})


def frames_of(path: Path) -> list[Frame]:
    with open_source(path, RunSettings()) as medium:
        return list(medium.frames())


@pytest.fixture
def films(tmp_path: Path) -> tuple[Path, Path]:
    """A source of 60 frames, with sound, and its negative as the result."""
    pictures = [moving(number) for number in range(60)]
    negatives = [255 - picture for picture in pictures]
    source = make_clip(tmp_path / "clip.mkv", pictures, codec="ffv1", pix_fmt="bgr0", matrix=0, audio="libopus")
    result = make_clip(tmp_path / "out.mkv", negatives, codec="ffv1", pix_fmt="bgr0", matrix=0, audio="libopus")
    return source, result


@pytest.mark.parametrize(("mode", "shape"), [("side", (48, 132)), ("stack", (100, 64)), ("wipe", (48, 64))])
def test_a_comparison_has_both_at_their_times(films: tuple[Path, Path], tmp_path: Path, mode: str, shape: tuple[int, int]) -> None:
    source, result = films
    assert compare(source, result, tmp_path / "both.mkv", mode, LOSSLESS) == 60  # type: ignore[arg-type]
    before, after, both = frames_of(source), frames_of(result), frames_of(tmp_path / "both.mkv")
    assert [frame.seconds for frame in both] == [frame.seconds for frame in after]
    for one, other, frame in zip(before, after, both, strict=True):
        assert frame.rgb.shape == (*shape, 3)
        if mode == "side":
            np.testing.assert_array_equal(frame.rgb[:, :64], one.rgb)
            np.testing.assert_array_equal(frame.rgb[:, 68:], other.rgb)
        elif mode == "stack":
            np.testing.assert_array_equal(frame.rgb[:48], one.rgb)
            np.testing.assert_array_equal(frame.rgb[52:], other.rgb)
    with open_source(tmp_path / "both.mkv", RunSettings()) as medium:
        assert medium.info.streams == ("audio",)


def test_the_edge_of_a_wipe_goes_to_and_fro_with_the_source_on_its_left(films: tuple[Path, Path], tmp_path: Path) -> None:
    source, result = films
    compare(source, result, tmp_path / "both.mkv", "wipe", LOSSLESS)
    edges = []
    for one, other, frame in zip(frames_of(source), frames_of(result), frames_of(tmp_path / "both.mkv"), strict=True):
        from_source = (frame.rgb == one.rgb).all(axis=(0, 2))
        from_result = (frame.rgb == other.rgb).all(axis=(0, 2))
        assert not (from_source & from_result).any()
        edges.append(int(from_source.sum()))
        assert from_source[: edges[-1]].all()
        assert from_result[edges[-1] + 2 :].all()
    assert abs(edges[0] - 32) <= 2
    assert min(edges) < 3
    assert len(set(edges)) > 20


def test_what_does_not_belong_together_is_refused(films: tuple[Path, Path], tmp_path: Path) -> None:
    small = make_clip(tmp_path / "small.mkv", 4, size=(32, 24))
    with pytest.raises(UsageError, match="differ in size, 64×48 and 32×24"):
        compare(films[0], small, tmp_path / "both.mkv", "side", LOSSLESS)
    assert not (tmp_path / "both.mkv").exists()


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_what_is_shared_is_small_short_and_goes_on_for_ever(tmp_path: Path, suffix: str) -> None:
    pictures = [np.asarray(cv2.resize(moving(number), (640, 480)), np.uint8) for number in range(200)]
    source = make_clip(tmp_path / "clip.mkv", pictures, size=(640, 480))
    share(source, source, tmp_path / f"a{suffix}", "side", Settings())
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.size == (480, round(480 * 480 / 1284))
        assert image.n_frames == 72
        assert image.info["loop"] == 0
        image.load()
        assert 70 <= image.info["duration"] <= 90


def test_other_endings_are_not_shared(films: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.gif or a \.webp"):
        share(*films, tmp_path / "a.mp4", None, Settings())


class TestCommand:
    FLAGS = ("--iterations", "1", "--first-iterations", "2", "-q")

    @pytest.fixture
    def job(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        make_clip(tmp_path / "clip.mp4", 4, audio="aac")
        write_png(tmp_path / "style.png", moving(2))
        return tmp_path

    def test_a_job_writes_them_beside_its_output(self, job: Path) -> None:
        assert cli.main(["clip.mp4", "style.png", "-o", "out.mp4", "--compare", "stack", "--share", "look.gif", *self.FLAGS]) == 0
        assert frames_of(job / "out.stack.mp4")[0].rgb.shape == (100, 64, 3)
        with Image.open("look.gif") as image:
            assert image.size == (64, 100)

    ALL = ("clip.mp4", "style.png", "-o", "out.mp4", "--compare", "stack", "--share", "look.gif", "--report", *FLAGS)
    MADE = ("out.mp4", "out.stack.mp4", "look.gif", "out.mp4.html")

    @pytest.mark.parametrize("again", [(), ("-y",)])
    @pytest.mark.parametrize(("ends", "there"), [("compare.compare", 1), ("compare.share", 2), ("report.write_report", 3)])
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), MediaError("the disk is full")])
    def test_what_was_broken_off_after_the_film_is_gone_on_with(
        self, error: BaseException, ends: str, there: int, again: tuple[str, ...], job: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing is painted or made twice, and what this very job has made needs no -y."""

        def fails(*given: object, **named: object) -> None:
            raise error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"vidstyle.{ends}", fails)
            assert cli.main(self.ALL) == (130 if isinstance(error, KeyboardInterrupt) else 1)
        if isinstance(error, KeyboardInterrupt):
            assert "interrupted; out.mp4 is done, what shows it is not; run the same command to go on\n" in capsys.readouterr().err
        assert [(job / name).exists() for name in self.MADE] == [number < there for number in range(4)]
        times = [(job / name).stat().st_mtime_ns for name in self.MADE[:there]]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vidstyle.pipeline.make_stylizer", fails)
            assert cli.main([*self.ALL, *again]) == 0
        assert times == [(job / name).stat().st_mtime_ns for name in self.MADE[:there]]
        assert all((job / name).stat().st_size for name in self.MADE)
        assert not (job / "out.mp4.vidstyle").exists()
        assert "Seconds a frame" in (job / "out.mp4.html").read_text()  # out of the workspace

    @pytest.mark.parametrize("other", ["output", "comparison", "settings", "crf"])
    def test_what_another_has_put_there_since_is_not_replaced(
        self, other: str, job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(*given: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vidstyle.compare.share", interrupted)
            assert cli.main(self.ALL) == 130
        changed = {"settings": ("--style-weight", "3"), "crf": ("--crf", "40")}.get(other, ())
        for name in {"output": ["out.mp4"], "comparison": ["out.stack.mp4"]}.get(other, []):
            (job / name).write_bytes(b"precious")
        before = {name: (job / name).read_bytes() for name in self.MADE[:2]}
        capsys.readouterr()
        assert cli.main([*self.ALL, *changed]) == 2
        assert "exists already; give -y" in capsys.readouterr().err
        assert {name: (job / name).read_bytes() for name in self.MADE[:2]} == before
        assert (job / "out.mp4.vidstyle" / "frames" / "000003.tif").exists()  # for a command that is spelled right
        assert cli.main([*self.ALL, *changed, "-y"]) == 0
        assert len(frames_of(job / "out.mp4")) == len(frames_of(job / "out.stack.mp4")) == 4

    def test_no_carried_state_is_asked_for_once_all_is_painted(self, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([*self.ALL, "--keep-workspace"]) == 0
        shutil.rmtree(job / "out.mp4.vidstyle" / "state")
        (job / "out.stack.mp4").unlink()
        assert cli.main([*self.ALL, "--keep-workspace"]) == 0
        shutil.rmtree(job / "out.mp4.vidstyle" / "state")
        (job / "out.mp4").unlink()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vidstyle.stylizer.Stylizer.first", None)  # nothing is painted again
            assert cli.main(self.ALL) == 0
        assert "damaged" not in capsys.readouterr().err

    def test_damaged_frames_vouch_for_nothing(self, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([*self.ALL, "--keep-workspace"]) == 0
        (job / "out.mp4.vidstyle" / "frames" / "000002.tif").write_bytes(b"damage")
        assert cli.main(self.ALL) == 2
        assert "out.mp4: exists already; give -y" in capsys.readouterr().err
        assert len(list((job / "out.mp4.vidstyle" / "frames").iterdir())) == 4  # what is refused drops nothing
        assert cli.main([*self.ALL, "-y"]) == 0
        assert not (job / "out.mp4.vidstyle").exists()

    def test_while_the_workspace_goes_the_job_is_done(
        self, job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(workspace: Workspace) -> None:
            (workspace.directory / "journal.jsonl").unlink()
            raise KeyboardInterrupt

        monkeypatch.setattr(Workspace, "remove", interrupted)
        assert cli.main(["clip.mp4", "style.png", "-o", "out.mp4", *self.FLAGS]) == 130
        assert capsys.readouterr().err == "vidstyle: interrupted; out.mp4 is done\n"

    def test_of_a_picture_there_is_a_picture(self, job: Path) -> None:
        write_png(job / "photo.png", moving(1))
        assert cli.main(["photo.png", "style.png", "-o", "out.png", "--compare", "side", *self.FLAGS]) == 0
        assert frames_of(job / "out.side.png")[0].rgb.shape == (48, 132, 3)

    def test_frames_are_compared_as_a_film(self, job: Path) -> None:
        assert cli.main(["clip.mp4", "style.png", "-o", "out", "--compare", "wipe", *self.FLAGS]) == 0
        assert len(frames_of(job / "out.wipe.mp4")) == 4

    @pytest.mark.parametrize(("flags", "made"), [(["--compare", "side"], "out.side.mp4"), (["--share", "look.gif"], "look.gif")])
    def test_a_file_in_the_way_is_told_before_the_work(
        self, job: Path, flags: list[str], made: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (job / made).write_bytes(b"precious")
        assert cli.main(["clip.mp4", "style.png", "-o", "out.mp4", *flags, *self.FLAGS]) == 2
        assert "exists already" in capsys.readouterr().err
        assert (job / made).read_bytes() == b"precious"
        assert not (job / "out.mp4").exists()


def test_the_comparison_lies_beside_the_output() -> None:
    assert comparison_path(Path("a/out.mov"), "side") == Path("a/out.side.mp4")
    assert comparison_path(Path("out.jpg"), "wipe") == Path("out.wipe.png")
    assert comparison_path(Path("a/shot_%04d.exr"), "side") == Path("a/shot.side.mp4")


@pytest.mark.parametrize("source", ["s.%04d.png", "clip.mkv"])
def test_of_a_sequence_the_frames_with_the_sources_numbers_are_shown(tmp_path: Path, source: str) -> None:
    """Beside them may lie what other jobs have made."""
    make_clip(tmp_path / "clip.mkv", [moving(number) for number in range(3)], codec="ffv1", pix_fmt="bgr0", matrix=0)
    first = 5 if "%" in source else 1
    for number in range(3):
        write_png(tmp_path / f"s.{number + 5:04}.png", moving(number))
        write_png(tmp_path / f"p.{number + first}.png", 255 - moving(number))
    for number in (0, 8, 9, 12):
        write_png(tmp_path / f"p.{number}.png", moving(40))
    assert compare(tmp_path / source, tmp_path / "p.%d.png", tmp_path / "both.mkv", "side", LOSSLESS) == 3
    for number, frame in enumerate(frames_of(tmp_path / "both.mkv")):
        np.testing.assert_array_equal(frame.rgb[:, :64], moving(number))
        np.testing.assert_array_equal(frame.rgb[:, 68:], 255 - moving(number))
