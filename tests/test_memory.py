"""What fits in which memory, in which way it is worked on then, and what a job makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.clips import make_clip
from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from vidstyle import memory, pipeline
from vidstyle.errors import WorkspaceError
from vidstyle.memory import WHOLE, Way, allowed_memory, estimate_memory, least_memory, longest_side_within, way_within
from vidstyle.pipeline import JobOptions, stylize, workspace_path
from vidstyle.settings import Settings, bytes_of
from vidstyle.strips import Fold
from vidstyle.workspace import Workspace

SCENE = Scene(size=(32, 48))
STRIPS = Way(Fold(6, 300), 3, half=True)


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_png(tmp_path / "style.png", procedural_picture(40, 40, seed=3)[:, :, ::-1])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", [SCENE.frame(t) for t in range(4)], codec="ffv1")


def in_the_way(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "way_within", lambda *asked: way)


def read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path)))


@pytest.mark.parametrize(
    ("text", "amount"),
    [("4GB", 4e9), ("512 MiB", 512 * 2**20), ("2.5g", 2.5e9), ("1000", 1000), ("100 b", 100), ("1TiB", 2**40), ("3k", 3000)],
)
def test_amounts_of_memory(text: str, amount: float) -> None:
    assert bytes_of(text) == amount


@pytest.mark.parametrize("text", ["", "GB", "-4GB", "4 XB", "4GBB", "1e9", "4,5GB", "nan"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of memory; write 4GB"):
        bytes_of(text)


def test_the_less_there_is_the_slower_the_way() -> None:
    """Everything at once where it fits; then strips, then a short memory of L-BFGS; each fits, and needs less than the one before."""
    given = Settings()
    ways: list[Way | None] = []
    allowed = 10**12
    while not ways or ways[-1] is not None:
        ways.append(way_within(3000, 4000, given, allowed))
        allowed = 0 if ways[-1] is None else estimate_memory(3000, 4000, given, ways[-1]) - 1
    said = [way.words for way in ways if way is not None]
    assert said[0] == WHOLE.words == ""
    kinds = (
        "activations worked out again",
        "strip by strip",
        "remembers 10 steps in half precision",
        "remembers 3 steps in half precision",
    )
    places = [next(number for number, words in enumerate(said) if kind in words) for kind in kinds]
    assert places == sorted(places)
    needed = [estimate_memory(3000, 4000, given, way) for way in ways if way is not None]
    assert needed == sorted(needed, reverse=True)


@pytest.mark.parametrize(
    ("changed", "bytes_a_pixel"),
    [
        ({"style": {"loss": "histogram"}}, 3400),
        ({"style": {"histogram_weight": 1.0}}, 3000),
        ({"content": {"layers": ["relu1_1", "relu2_1", "relu4_2"]}}, 420),
    ],
)
def test_layers_that_a_loss_wants_as_a_whole_are_counted(changed: dict[str, Any], bytes_a_pixel: float) -> None:
    way = Way(Fold(6, 65536), 3, half=True)
    more = estimate_memory(2000, 3000, Settings.from_mapping(changed), way) - estimate_memory(2000, 3000, Settings(), way)
    assert more / 6e6 == pytest.approx(bytes_a_pixel, rel=0.02)
    assert way_within(4248, 5664, Settings.from_mapping(changed), 8_000_000_000, film=False) is None


def test_one_picture_needs_less_than_a_film() -> None:
    assert estimate_memory(600, 800, Settings(), WHOLE, film=False) < estimate_memory(600, 800, Settings())


def test_the_longest_side_is_the_longest() -> None:
    allowed = round(3e9)
    side = longest_side_within(3000, 4000, Settings(), allowed)
    assert least_memory(round(side * 3 / 4), side, Settings()) <= allowed < least_memory(round((side + 2) * 3 / 4), side + 2, Settings())


def test_the_flag_says_what_is_allowed_and_otherwise_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda device: 10_000_000_000)
    assert allowed_memory(settings(run={"memory": "3GB"})) == 3_000_000_000
    assert allowed_memory(settings()) == 9_000_000_000
    monkeypatch.setattr(memory, "available_memory", lambda device: None)
    assert way_within(10_000, 10_000, settings(), allowed_memory(settings())) == WHOLE


@pytest.mark.parametrize("way", [WHOLE, Way(Fold(3, 1 << 20)), STRIPS], ids=lambda way: way.words or "whole")
def test_a_way_is_kept_as_text(way: Way) -> None:
    assert Way.read(way.text) == way


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"fold": {"whole_from": 2}}', '{"fold": {}, "other": 1}'])
def test_what_is_no_way(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # json's own words too
        Way.read(text)


def test_the_command_picks_the_way_and_says_so(style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_png(tmp_path / "photo.png", procedural_picture(64, 96, seed=2))
    needs = []

    class Told(Recorder):
        def start(self, total: int | None, done: float, needs_: str) -> None:
            needs.append(needs_)

    chosen = settings(optimize={"first_iterations": 8})
    given = chosen.model_copy(update={"run": chosen.run.model_copy(update={"memory": str(least_memory(64, 96, chosen, film=False))})})
    stylize(source, [style], tmp_path / "strips.png", given, JobOptions(), Told())
    stylize(source, [style], tmp_path / "whole.png", chosen, JobOptions(), Told())
    assert "strip by strip, L-BFGS remembers 3 steps in half precision" in needs[0]
    assert "strip" not in needs[1]
    off = np.abs(read(tmp_path / "strips.png").astype(int) - read(tmp_path / "whole.png"))
    assert 0 < off.mean() < 6, "a shorter memory goes another way to a like picture"


def test_more_allowed_than_there_is_is_told(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_png(tmp_path / "photo.png", procedural_picture(32, 48, seed=2))
    chosen = settings(run={"memory": "3GB"})
    needed = estimate_memory(32, 48, chosen, WHOLE, film=False)
    for number, free in enumerate((needed, needed - 1)):
        monkeypatch.setattr(memory, "available_memory", lambda device, free=free: free)
        caplog.clear()
        stylize(source, [style], tmp_path / f"out{number}.png", chosen)
        assert ("which --memory allows, but only" in caplog.text) == (free < needed)


@pytest.mark.parametrize("way", [Way(Fold(3, 300)), Way(Fold(6, 300))], ids=["recomputed", "strips"])
def test_strips_change_hardly_anything(way: Way, style: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film: a first frame, frames that follow, what is carried. A rounding in the first frame grows fivefold from frame to frame, as it
    does between other numbers of threads (tests/test_strips.py holds the objective itself to 1e-10)."""
    chosen = settings(optimize={"first_iterations": 3, "iterations": 3})
    stylize(clip, [style], tmp_path / "whole", chosen)
    in_the_way(way, monkeypatch)
    stylize(clip, [style], tmp_path / "strips", chosen)
    for one, most in zip(sorted((tmp_path / "whole").glob("*.png")), (0.005, 0.05, 0.2, 0.4), strict=True):
        off = np.abs(read(one).astype(int) - read(tmp_path / "strips" / one.name))
        assert off.max() <= 3
        assert off.mean() < most


def test_a_job_goes_on_in_the_way_it_began(
    style: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = settings(optimize={"first_iterations": 3, "iterations": 3})
    in_the_way(STRIPS, monkeypatch)
    stylize(clip, [style], tmp_path / "whole", chosen)
    with pytest.raises(Interrupted):
        stylize(clip, [style], tmp_path / "out", chosen, progress=Recorder(stop_after=2))
    in_the_way(WHOLE, monkeypatch)
    stylize(clip, [style], tmp_path / "out", chosen, JobOptions(keep_workspace=True))
    for one in sorted((tmp_path / "whole").glob("*.png")):
        assert one.read_bytes() == (tmp_path / "out" / one.name).read_bytes()
    with Workspace.open(workspace_path(tmp_path / "out"), {}, fresh=True, manner="x") as workspace:
        assert workspace.manner == "x"
    assert "less memory" not in caplog.text


@pytest.mark.parametrize("manner", ['{"fold": 7}', 100_000 * "["], ids=["other values", "too deep"])
def test_a_way_that_cannot_be_read_is_told(manner: str, style: Path, clip: Path, tmp_path: Path) -> None:
    chosen = settings(optimize={"first_iterations": 3, "iterations": 3})
    with pytest.raises(Interrupted):
        stylize(clip, [style], tmp_path / "out", chosen, progress=Recorder(stop_after=1))
    job = workspace_path(tmp_path / "out") / "job.json"
    job.write_text(json.dumps({**json.loads(job.read_text()), "manner": manner}))
    with pytest.raises(WorkspaceError, match=r"job\.json: damaged; run again with --fresh"):
        stylize(clip, [style], tmp_path / "out", chosen)
    stylize(clip, [style], tmp_path / "out", chosen, JobOptions(fresh=True))


def test_a_job_whose_way_does_not_fit_any_more_goes_on_in_another(
    style: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = settings(optimize={"first_iterations": 3, "iterations": 3})
    with pytest.raises(Interrupted):
        stylize(clip, [style], tmp_path / "out", chosen, progress=Recorder(stop_after=2))
    monkeypatch.setattr(memory, "available_memory", lambda device: least_memory(32, 48, chosen) / 0.9)
    result = stylize(clip, [style], tmp_path / "out", chosen)
    assert result.frames == 4
    assert "there is less memory than when this job began" in caplog.text
