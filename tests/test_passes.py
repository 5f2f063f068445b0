"""Further passes over a shot: their order, what they bring, and that a job that was killed in one goes on to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.clips import make_clip
from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from vidstyle.flow import make_flows
from vidstyle.frames import FlowField, Frame
from vidstyle.guidance import Guidance
from vidstyle.media import open_source
from vidstyle.passes import KeptShot, sweep
from vidstyle.pipeline import JobOptions, stylize, workspace_path
from vidstyle.settings import RunSettings

SCENE = Scene(size=(32, 48))
OTHER = Scene(size=(32, 48), picture=procedural_picture(64, 96, seed=11)[:, :, ::-1].copy(), disc_radius=0)
FILM = [SCENE.frame(t) for t in range(3)] + [OTHER.frame(t) for t in range(2)]
ORDER = [(1, 0), (1, 1), (1, 2), (2, 2), (2, 1), (2, 0), (3, 0), (3, 1), (3, 2), (1, 3), (1, 4), (2, 4), (2, 3), (3, 3), (3, 4)]
"""Pass and frame of every painting of `FILM` in three passes."""


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_png(tmp_path / "style.png", procedural_picture(40, 40, seed=3)[:, :, ::-1])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", FILM, codec="ffv1", pix_fmt="bgr0")


def pictures(path: Path) -> list[np.ndarray]:
    with open_source(path, RunSettings()) as medium:
        return [frame.rgb for frame in medium.frames()]


class TestShot:
    def test_what_is_put_in_comes_out(self, tmp_path: Path) -> None:
        masks = np.random.default_rng(0).random((2, 32, 48)).astype(np.float32)
        rest = np.random.default_rng(1).random((32, 48)).astype(np.float32)
        with KeptShot(tmp_path) as shot:
            shot.append(Frame(7, 70, Fraction(1, 25), FILM[0], "a7.png"), Guidance((0.5, 0.5), masks), None)
            shot.append(Frame(8, 80, Fraction(1, 25), FILM[1]), Guidance((1.0, 0.0), changing=True), rest)
            assert len(shot) == 2
            assert shot.indices == [7, 8]
            assert not list(tmp_path.iterdir())  # its file has no name
            one, guidance, nowhere = shot[0]
            assert (one.index, one.seconds, one.name) == (7, Fraction(70, 25), "a7.png")
            np.testing.assert_array_equal(one.rgb, FILM[0])
            assert guidance.shares == (0.5, 0.5)
            np.testing.assert_array_equal(guidance.masks, masks)
            assert nowhere.max() == 0
            two, guidance, where = shot[1]
            np.testing.assert_array_equal(two.rgb, FILM[1])
            assert guidance.changing
            assert guidance.masks is None
            np.testing.assert_array_equal(where, rest)
            shot.clear()
            assert len(shot) == 0


class TestSweep:
    @pytest.fixture
    def shot(self, tmp_path: Path) -> Iterator[KeptShot]:
        with KeptShot(tmp_path) as shot:
            for t in range(4):
                rest = np.full((32, 48), 0.1 * t, np.float32)
                shot.append(Frame(t, t, Fraction(1, 24), SCENE.frame(t)), Guidance((1.0,)), rest)
            yield shot

    @pytest.mark.parametrize("backward", [False, True])
    def test_each_frame_has_the_neighbour_that_the_pass_has_come_from(self, shot: KeptShot, backward: bool) -> None:
        step = -1 if backward else 1
        seen = list(sweep(shot, make_flows("none"), backward))
        assert [beside.frame.index for beside in seen] == [0, 1, 2, 3][::step]
        for beside in seen:
            index = beside.frame.index
            behind = None if beside.behind is None else beside.behind.source.index
            assert behind == (index - step if 0 <= index - step < 4 else None)
            assert beside.shot_start == (index == 0)

    def test_a_frame_stands_still_where_one_of_its_neighbours_has_the_same_painting(self, shot: KeptShot) -> None:
        rests = [float(beside.rest.max()) for beside in sweep(shot, make_flows("none"), backward=False)]
        assert rests == pytest.approx([0.1, 0.2, 0.3, 0.3])

    def test_frames_that_are_done_are_left_out(self, shot: KeptShot) -> None:
        assert [beside.frame.index for beside in sweep(shot, make_flows("none"), backward=True, done=3)] == [0]

    def test_the_flow_leads_to_the_neighbour(self, shot: KeptShot) -> None:
        class Difference:
            def knows(self, current: Frame, reference: Frame) -> bool:
                return True

            def __call__(self, current: Frame, reference: Frame) -> FlowField:
                return FlowField(np.full((2, 32, 48), current.index - reference.index, np.float32))

        middle = list(sweep(shot, Difference(), backward=True))[1]
        assert middle.frame.index == 2
        assert middle.behind is not None
        assert middle.behind.flow.data.min() == middle.behind.flow.data.max() == -1


def test_passes_go_to_and_fro_shot_by_shot(clip: Path, style: Path, tmp_path: Path) -> None:
    log, recorder = tmp_path / "log.jsonl", Recorder()
    chosen = settings(temporal={"passes": 3})
    result = stylize(clip, [style], tmp_path / "out", chosen, JobOptions(log_json=log, keep_workspace=True), recorder)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["passed"], line["index"]) for line in lines] == ORDER
    assert [line["index"] for line in lines if line["shot_start"]] == [0, 0, 0, 3, 3, 3]
    assert (result.frames, recorder.total) == (5, 5)
    assert sum(line["share"] for line in lines) == pytest.approx(5)
    assert max(recorder.fractions) <= 0.34
    held = [line["index"] for line in lines if line["passed"] == 2 and "temporal_1" in line["terms"]]
    assert held == [1, 0, 3]  # but not where the pass begins
    stylize(clip, [style], tmp_path / "once", settings())
    for last, first in zip(pictures(tmp_path / "out"), pictures(tmp_path / "once"), strict=True):
        assert (last != first).mean() > 0.2


@pytest.mark.parametrize("stop_after", [2, 3, 4, 6, 8, 9, 10, 13, 15])
def test_going_on_in_any_pass_gives_the_same_bytes(clip: Path, style: Path, tmp_path: Path, stop_after: int) -> None:
    chosen = settings(temporal={"passes": 3})
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    stylize(clip, [style], whole, chosen)
    with pytest.raises(Interrupted):
        stylize(clip, [style], resumed, chosen, progress=Recorder(stop_after))
    recorder = Recorder()
    stylize(clip, [style], resumed, chosen, progress=recorder)
    assert recorder.done == pytest.approx(stop_after / 3)
    assert [(report.passed, report.index) for report in recorder.reports] == ORDER[stop_after:]
    for a, b in zip(pictures(whole), pictures(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not workspace_path(resumed).exists()


def test_a_second_pass_brings_neighbours_together(style: Path, tmp_path: Path) -> None:
    """A second pass leaves a lower objective, and frames that deviate less from each other."""
    clip = make_clip(tmp_path / "scene.mkv", [SCENE.frame(t) for t in range(5)], codec="ffv1", pix_fmt="bgr0")
    log = tmp_path / "log.jsonl"
    chosen = settings(temporal={"passes": 2}, optimize={"iterations": 8, "first_iterations": 20})
    stylize(clip, [style], tmp_path / "out", chosen, JobOptions(log_json=log))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    first, second = ([line for line in lines if line["passed"] == passed and line["index"] in (1, 2, 3)] for passed in (1, 2))
    assert np.mean([line["objective"] for line in second]) < np.mean([line["objective"] for line in first])
    assert np.mean([line["terms"]["temporal_1"] for line in second]) < np.mean([line["terms"]["temporal_1"] for line in first])


def test_what_stands_still_is_left_alone_in_every_pass(style: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "still.mkv", [FILM[0]] * 3, codec="ffv1", pix_fmt="bgr0")
    log = tmp_path / "log.jsonl"
    stylize(clip, [style], tmp_path / "out", settings(temporal={"passes": 2}), JobOptions(log_json=log))
    first, *others = pictures(tmp_path / "out")
    assert all((other == first).all() for other in others)
    assert [json.loads(line)["steps"] for line in log.read_text().splitlines()] == [4, 1, 1, 1, 1, 1]


class TestLoop:
    SWAY = Scene(size=(32, 48), pan=(0, 0), zoom=1, turn=0, disc_radius=0)

    def shot(self, directory: Path, last: np.ndarray) -> KeptShot:
        shot = KeptShot(directory)
        for t, picture in enumerate([self.SWAY.frame(0), self.SWAY.frame(0), last]):
            shot.append(Frame(t, t, Fraction(1, 24), picture), Guidance((1.0,)), None)
        return shot

    def test_its_ends_are_neighbours(self, tmp_path: Path) -> None:
        with self.shot(tmp_path, self.SWAY.frame(0)) as shot:
            ends = [next(sweep(shot, make_flows("none"), backward, loop=True)) for backward in (True, False)]
        behind = [end.behind.source.index for end in ends if end.behind is not None]
        assert [end.frame.index for end in ends] == [2, 0]
        assert behind == [0, 2]

    def test_unless_they_have_nothing_to_do_with_each_other(self, tmp_path: Path) -> None:
        class Lost:
            def knows(self, current: Frame, reference: Frame) -> bool:
                return True

            def __call__(self, current: Frame, reference: Frame) -> FlowField:
                return FlowField(np.full((2, 32, 48), 100, np.float32))

        with self.shot(tmp_path, OTHER.frame(0)) as shot:
            assert next(sweep(shot, Lost(), True, loop=True)).behind is None

    def test_its_end_can_lead_to_another_shot(self, style: Path, tmp_path: Path) -> None:
        """The first frame is by then as its last pass has left it; the pictures of the passes before are gone."""
        first, other = [self.SWAY.frame(0)] * 3, [OTHER.frame(t) for t in range(3)]
        clip = make_clip(tmp_path / "shots.mkv", first + other + first, codec="ffv1", pix_fmt="bgr0")
        log = tmp_path / "log.jsonl"
        stylize(clip, [style], tmp_path / "out", settings(temporal={"passes": 2, "loop": True}), JobOptions(log_json=log))
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(line["passed"], line["index"]) for line in lines[:6]] == [(1, 0), (1, 1), (1, 2), (2, 2), (2, 1), (2, 0)]
        assert [(line["passed"], line["index"]) for line in lines[6:12]] == [(1, 3), (1, 4), (1, 5), (2, 5), (2, 4), (2, 3)]
        (closing,) = [line for line in lines if line["index"] == 8]
        assert "temporal_2" in closing["terms"]
        begins = [line["terms"] for line in lines if (line["passed"], line["index"]) in ((2, 2), (2, 5))]
        assert all("temporal_1" not in terms for terms in begins)  # neither of these shots comes round to its own beginning

    def test_it_is_gone_over_again_and_goes_on_where_it_was(self, style: Path, tmp_path: Path) -> None:
        scene = Scene(size=(32, 48), pan=(0, 0), zoom=1, turn=0, disc_step=(1, 0))
        clip = make_clip(tmp_path / "loop.mkv", [scene.frame(t) for t in (0, 1, 2, 1)], codec="ffv1", pix_fmt="bgr0")
        chosen = settings(temporal={"passes": 3, "loop": True})
        log = tmp_path / "log.jsonl"
        stylize(clip, [style], tmp_path / "whole", chosen, JobOptions(log_json=log))
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert all("temporal_1" in line["terms"] for line in lines[4:])  # also where a pass begins
        for stop_after in (4, 5, 9):
            output = tmp_path / f"resumed{stop_after}"
            with pytest.raises(Interrupted):
                stylize(clip, [style], output, chosen, progress=Recorder(stop_after))
            stylize(clip, [style], output, chosen)
            for a, b in zip(pictures(tmp_path / "whole"), pictures(output), strict=True):
                np.testing.assert_array_equal(a, b)


def test_frames_keep_their_names(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for number, name in enumerate(["a2.png", "a7.png", "a10.png"]):
        write_png(folder / name, SCENE.frame(number))
    stylize(folder, [style], tmp_path / "out", settings(temporal={"passes": 2}))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a10.png", "a2.png", "a7.png"]


def test_a_picture_has_one_pass(style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And no word is lost about it: a preset may ask for more."""
    photo = write_png(tmp_path / "photo.png", FILM[0])
    recorder = Recorder()
    stylize(photo, [style], tmp_path / "out.png", settings(temporal={"passes": 2}), progress=recorder)
    assert [report.passed for report in recorder.reports] == [1]
    assert not caplog.records
