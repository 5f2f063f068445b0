"""What a preview picks, paints and promises."""

import os
import types
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.clips import make_clip, moving
from tests.faults.kills import scenes
from vidstyle import cli, preview
from vidstyle.cli.progress import doing
from vidstyle.errors import UsageError
from vidstyle.frames import Frame, MediaInfo
from vidstyle.pipeline import Silent, estimate_disk, stylize, workspace_path
from vidstyle.preview import Preview, Variant, _of_shots, _Shot, _Walk
from vidstyle.settings import Settings
from vidstyle.sheet import Row
from vidstyle.stylizer import Painted, Stylizer, pyramid

QUICK = {"optimize": {"first_iterations": 2, "iterations": 2}}
SMALL = Settings.from_mapping(QUICK)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip of three shots of 4 frames each, 64×48, and a style, in the current directory."""
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "clip.mkv", scenes(3, 4), codec="ffv1", pix_fmt="bgr0", matrix=0)
    cv2.imwrite("style.png", np.random.default_rng(7).integers(0, 255, (48, 48, 3), dtype=np.uint8))
    return tmp_path


def shot(first: int, length: int) -> _Shot:
    found = _Shot()
    for number in range(length):
        found.offer(first + number, None)  # type: ignore[arg-type]  # a number stands for the frame
    return found


def picked(lengths: list[int], count: int) -> list[tuple[int, int | None]]:
    firsts = np.cumsum([0, *lengths])
    walk = _Walk([shot(int(first), length) for first, length in zip(firsts, lengths, strict=False)])
    return [(one.frame, one.shot) for one in _of_shots(walk, count)]  # type: ignore[misc]


def test_every_shot_has_a_frame_and_the_longer_ones_have_more():
    assert [number for _, number in picked([10, 40, 10], 6)] == [0, 1, 1, 1, 1, 2]


def test_of_more_shots_than_there_is_room_for_every_so_many_is_shown():
    assert picked([10] * 12, 6) == [(number * 20 + 15, 2 * number + 1) for number in range(6)]


def test_a_frame_comes_from_the_middle_of_its_part():
    assert picked([9], 1) == [(4, 0)]
    assert picked([9], 3) == [(1, 0), (4, 0), (7, 0)]


def test_no_frame_is_shown_twice():
    assert picked([2], 6) == [(0, 0), (1, 0)]


def test_a_long_shot_keeps_few_frames_evenly_spread():
    found = shot(0, 10_000)
    assert len(found.kept) <= 12
    steps = np.diff([frame for frame, _ in found.kept])
    assert (steps == steps[0]).all()
    assert found.kept[-1][0] > 8000


class TestSheet:
    def test_every_shot_is_on_it_with_the_source_above_the_painting(self, job: Path) -> None:
        made = preview.preview(job / "clip.mkv", [job / "style.png"], job / "sheet.png", [Variant("balanced", SMALL)])
        assert [frame.index for frame in made.frames] == [1, 3, 5, 7, 9, 11]
        sheet = cv2.cvtColor(cv2.imread("sheet.png"), cv2.COLOR_BGR2RGB)
        for frame in made.frames:
            height, width = frame.rgb.shape[:2]
            found = cv2.matchTemplate(sheet, frame.rgb, cv2.TM_SQDIFF)
            _, _, (x, y), _ = cv2.minMaxLoc(found)
            np.testing.assert_array_equal(sheet[y : y + height, x : x + width], frame.rgb)
        assert round(made.estimates[0].shots) == 3
        assert made.estimates[0].frames == 12
        assert not workspace_path(job / "sheet.png").exists()

    def test_ways_to_paint_stand_below_each_other(self, job: Path) -> None:
        ways = [
            Variant("a", SMALL),
            Variant("half", Settings.from_mapping({"color": {"strength": 0.5}, "optimize": {"first_iterations": 2}})),
        ]
        both = preview.preview(job / "clip.mkv", [job / "style.png"], job / "both.png", ways)
        preview.preview(job / "clip.mkv", [job / "style.png"], job / "one.png", ways[:1])
        assert len(both.estimates) == 2
        assert cv2.imread("both.png").shape[0] > cv2.imread("one.png").shape[0] + 48
        assert any("--strength 0.5" in line for line in both.said)

    def test_masks_go_with_their_frames(self, job: Path) -> None:
        mask = np.zeros((48, 64), np.uint8)
        mask[:, :32] = 255
        cv2.imwrite("mask.png", mask)
        settings = Settings.from_mapping({"mask": {"paths": ["mask.png"]}, "optimize": {"first_iterations": 2}})
        made = preview.preview(job / "clip.mkv", [job / "style.png"], job / "sheet.png", [Variant("a", settings)])
        sheet = cv2.cvtColor(cv2.imread("sheet.png"), cv2.COLOR_BGR2RGB)
        half = made.frames[0].rgb[:, 32:]
        found = cv2.matchTemplate(sheet, half, cv2.TM_SQDIFF)
        assert (found < 1000).sum() >= 2  # in the source's row, and unpainted below it

    def test_a_film_too_long_to_walk_is_sampled(self, job: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(preview, "_SEARCHING", -1.0)
        make_clip(tmp_path / "long.mp4", 200)
        made = preview.preview(job / "long.mp4", [job / "style.png"], job / "sheet.png", [Variant("a", SMALL)])
        times = [float(frame.seconds) for frame in made.frames]
        assert len(times) == 6
        assert times == sorted(times)
        assert times[-1] > 6
        assert any("looked for in the first" in line for line in made.said)

    def test_a_picture_has_one_column(self, job: Path) -> None:
        cv2.imwrite("photo.png", moving(3))
        made = preview.preview(job / "photo.png", [job / "style.png"], job / "sheet.png", [Variant("a", SMALL)])
        assert len(made.frames) == 1
        assert made.estimates[0].shots == 1

    def test_strokes_are_finer_only_at_a_larger_size(self, job: Path) -> None:
        make_clip(job / "large.mkv", 2, size=(256, 192))
        for clip, said in (
            ("clip.mkv", "Painted (64×48), with few steps, each frame by itself."),
            ("large.mkv", "at 256×192 strokes are finer."),
        ):
            made = preview.preview(job / clip, [job / "style.png"], job / f"{clip}.png", [Variant("a", SMALL)])
            assert any(line.endswith(said) for line in made.said)

    def test_it_does_not_replace_a_file_by_itself(self, job: Path) -> None:
        (job / "sheet.png").write_bytes(b"precious")
        with pytest.raises(UsageError, match="exists already"):
            preview.preview(job / "clip.mkv", [job / "style.png"], job / "sheet.png", [Variant("a", SMALL)])
        assert (job / "sheet.png").read_bytes() == b"precious"

    def test_what_repaints_nothing_is_painted_once(self, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Strengths and colours are only what is done to a finished painting."""
        strengths = [Variant(f"{share:g}", Settings.layered([{"color": {"strength": share}}, QUICK])) for share in (0, 0.5, 1)]
        calls = counted(monkeypatch)
        made = preview.preview(job / "clip.mkv", [job / "style.png"], job / "sheet.png", strengths)
        assert len(calls) == 2 + 6  # the two by which it is measured how long a step takes
        assert made.said[1].startswith("0.5: would take as much as 0. Set: ")
        top, *below = (row.pictures for row in self.rows)
        assert np.abs(top[0].astype(int) - below[0][0]).max() <= 1  # strength 0
        assert np.abs(below[2][0].astype(int) - below[0][0]).mean() > 1.8 * np.abs(below[1][0].astype(int) - below[0][0]).mean()

    @pytest.fixture(autouse=True)
    def keep_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn = preview.contact_sheet

        def kept(title: str, lines: list[str], rows: list[Row], *others: object) -> np.ndarray:
            self.rows = rows
            return drawn(title, lines, rows, *others)  # type: ignore[arg-type]

        monkeypatch.setattr(preview, "contact_sheet", kept)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps of every painting to come."""
    calls, first = [], Stylizer.first

    def painted(stylizer: Stylizer, *others: object) -> Painted:
        calls.append(stylizer.settings.optimize.first_iterations)
        return first(stylizer, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Stylizer, "first", painted)
    return calls


class TestClock:
    """A painter on a clock of its own: the first pictures at one pace, later ones, beside other work, at another."""

    @pytest.fixture
    def painter(self, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
        painter = types.SimpleNamespace(now=0.0, a_step=0.05, slower_after=3, slower=1.0, steps=[])

        def first(stylizer: Stylizer, frame: Frame, on_step: object, guidance: object) -> types.SimpleNamespace:
            painter.steps.append(stylizer.settings.optimize.first_iterations)
            slower = painter.slower if len(painter.steps) > painter.slower_after else 1
            painter.now += painter.steps[-1] * painter.a_step * slower
            return types.SimpleNamespace(picture=frame.rgb)

        monkeypatch.setattr(Stylizer, "first", first)
        monkeypatch.setattr(preview, "time", types.SimpleNamespace(monotonic=lambda: painter.now))
        return painter

    def made(self, job: Path, told: list[str]) -> Preview:
        return preview.preview(job / "clip.mkv", [job / "style.png"], job / "sheet.png", [Variant("a", Settings())], False, told.append)

    def test_alone_every_picture_gets_its_share(self, job: Path, painter: types.SimpleNamespace) -> None:
        told: list[str] = []
        made = self.made(job, told)
        assert painter.steps[2:] == [60] * 6
        assert told[-6:] == [f"picture {number} of 6" for number in range(1, 7)]
        assert len(made.frames) == 6

    def test_beside_other_work_later_pictures_get_fewer_steps(self, job: Path, painter: types.SimpleNamespace) -> None:
        painter.slower = 4
        made = self.made(job, [])
        assert painter.steps[-1] < painter.steps[2]
        assert painter.now < 45
        assert made.seconds == painter.now
        pace = painter.now / sum(painter.steps)
        assert made.estimates[0].seconds[1] == pytest.approx(1.4 * pace * (3 * 150 + 9 * 36 * 64 * 48 / first_cost()), rel=0.1)

    def test_what_there_is_no_time_for_is_left_out_and_told(self, job: Path, painter: types.SimpleNamespace) -> None:
        painter.slower = 15
        made = self.made(job, [])
        assert 2 <= len(made.frames) < 6
        assert painter.now < 60
        assert f"Of 6 frames {6 - len(made.frames)} had to be left out: the machine is busy, or slow." in made.said
        assert [frame.index for frame in made.frames] == sorted(frame.index for frame in made.frames)


def first_cost() -> float:
    return sum(height * width for height, width in pyramid((48, 64)))


class TestCommand:
    def run(self, *flags: str) -> int:
        return cli.main(["clip.mkv", "style.png", "--preview", *flags])

    def test_it_writes_a_sheet_and_says_what_the_job_would_take(self, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--first-iterations", "2") == 0
        said = capsys.readouterr()
        assert "clip.preview.png: 6 frames" in said.out
        assert "12 frames in about 3 shots of 64×48 would take" in said.err
        assert "GB of memory" in said.err
        assert sorted(path.name for path in job.iterdir()) == ["clip.mkv", "clip.preview.png", "style.png"]

    def test_it_says_which_picture_it_paints(self, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--first-iterations", "2") == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if " picture " in line]
        assert lines == [f"vidstyle: picture {number} of 6" for number in range(1, 7)]

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")
    def test_on_a_terminal_it_says_so_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen, terminal = os.openpty()
        with os.fdopen(terminal, "w") as stream:
            monkeypatch.setattr("sys.stderr", stream)
            monkeypatch.setenv("TERM", "xterm")
            with doing(quiet=False) as told:
                told("picture 3 of 6")
            stream.flush()
            shown = os.read(screen, 4096).decode()
        os.close(screen)
        assert "\rvidstyle: picture 3 of 6 [00:00]" in shown
        assert "\n" not in shown

    @pytest.mark.parametrize(
        ("output", "sheet"), [("painted.mp4", "painted.preview.png"), ("look.jpg", "look.jpg"), ("out", "out.preview.png")]
    )
    def test_the_sheet_lies_where_the_output_would(self, job: Path, output: str, sheet: str) -> None:
        assert self.run("-o", output, "--first-iterations", "2", "-q") == 0
        assert (job / sheet).is_file()

    def test_a_sheet_of_its_own_name_is_replaced(self, job: Path) -> None:
        """One looks, turns something and looks again."""
        assert self.run("--first-iterations", "2", "-q") == 0
        before = (job / "clip.preview.png").read_bytes()
        assert self.run("--first-iterations", "3", "-q") == 0
        assert (job / "clip.preview.png").read_bytes() != before
        assert self.run("--first-iterations", "3", "-q", "-o", "look.png") == 0
        assert self.run("--first-iterations", "3", "-q", "-o", "look.png") == 2

    def test_presets_and_strengths_make_rows(self, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--preset", "draft,grain", "--strength", "0.5,1", "--first-iterations", "2") == 0
        said = capsys.readouterr().err
        for label in ("draft, strength 0.5", "draft, strength 1", "grain, strength 0.5", "grain, strength 1"):
            assert f"vidstyle: {label}: " in said

    @pytest.mark.parametrize(
        ("flags", "what"),
        [
            (["--preset", "draft,nonsense"], "nonsense"),
            (["--strength", "0.5,2"], "--strength"),
            (["--batch"], "--batch"),
            (["--preset", "draft,fine,grain", "--strength", "0.2,0.5,1"], "too many"),
        ],
    )
    def test_what_is_wrong_is_told_before_anything_is_painted(
        self, job: Path, flags: list[str], what: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(*flags) == 2
        assert what in capsys.readouterr().err
        assert not list(job.glob("*.preview.png"))

    def test_several_strengths_are_for_previews_only(self, job: Path) -> None:
        assert cli.main(["clip.mkv", "style.png", "-o", "out.mp4", "--strength", "0.5,1"]) == 2


def test_where_parts_of_a_shot_meet_is_in_the_estimate() -> None:
    """Twelve frames in three parts: each of the two joints is three frames more, on the disk and to paint, and each part begins afresh."""
    info = MediaInfo(Path("clip.mkv"), "video", 64, 48, Fraction(25), Fraction(1, 25), frames=12)
    plain, parted = (preview._estimate(info, 1.0, Settings.from_mapping({"temporal": {"divide": divide}}), 1e-9) for divide in (None, 4))
    assert parted.disk == estimate_disk(48, 64, 12 + 2 * 3, Settings())
    assert plain.disk == estimate_disk(48, 64, 12, Settings())
    assert parted.shots == plain.shots == 1
    first, follows = preview._first_cost((48, 64)) * Settings().optimize.first_iterations, 48 * 64 * Settings().optimize.iterations
    overhead = preview._MOST_OVERHEAD
    assert parted.seconds[1] == pytest.approx(1e-9 * overhead * (3 * first + (9 + 6) * follows))


def test_the_estimate_of_disk_is_what_a_job_takes(job: Path) -> None:
    """The film itself is not counted; while the carried state is written there are two of it, and none once the last frame is done."""
    settings = Settings.from_mapping({"optimize": {"first_iterations": 14, "iterations": 14, "least_gain": 0}})
    taken = []

    class Watching(Silent):
        def step(self, fraction: float, objective: float) -> None:
            taken.append(sum(path.stat().st_size for path in workspace_path(Path("out.mkv")).rglob("*") if path.is_file()))

    stylize("clip.mkv", ["style.png"], "out.mkv", settings, progress=Watching())
    assert 0.5 < max(taken) / estimate_disk(48, 64, 12, settings) <= 1
