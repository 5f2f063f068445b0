"""Films in units: what the plan says, and that the frames are those of one process, whoever painted them and however often killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.clips import make_clip
from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from vidstyle.errors import MediaError, UsageError, WorkspaceError
from vidstyle.flow import warping_error
from vidstyle.media import decode, open_source
from vidstyle.pipeline import JobOptions, UnitPainter, join, plan_units, stylize, workspace_path
from vidstyle.settings import RunSettings, Settings, Shard
from vidstyle.shards import ShardOfBatch, join_all, paint_shard
from vidstyle.units import Plan, UnitFrames, share_of
from vidstyle.workspace import Workspace

SCENE = Scene(size=(32, 48))
OTHER = Scene(size=(32, 48), picture=procedural_picture(64, 96, seed=11)[:, :, ::-1].copy(), disc_radius=0)
KEPT = JobOptions(keep_workspace=True)
LOSSLESS: dict[str, Any] = {"codec": "ffv1", "pix_fmt": "bgr0", "matrix": 0}


THIRD = Scene(size=(32, 48), picture=(255 - procedural_picture(64, 96, seed=20))[::-1].copy(), disc_radius=0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of three shots, a style, and what one process leaves of them."""
    directory = tmp_path_factory.mktemp("inputs")
    write_png(directory / "style.png", procedural_picture(40, 40, seed=3)[:, :, ::-1])
    make_clip(directory / "clip.mkv", three_shots(), **LOSSLESS)
    log = JobOptions(keep_workspace=True, log_json=directory / "local.jsonl")
    stylize(directory / "clip.mkv", [directory / "style.png"], directory / "local.mkv", settings(), log)
    return directory


def three_shots() -> list[np.ndarray]:
    return [SCENE.frame(t) for t in range(4)] + [OTHER.frame(t) for t in range(3)] + [THIRD.frame(t) for t in range(3)]


@pytest.fixture
def style(inputs: Path) -> Path:
    return inputs / "style.png"


@pytest.fixture
def clip(inputs: Path) -> Path:
    return inputs / "clip.mkv"


@pytest.fixture
def local(inputs: Path) -> Path:
    return inputs / "local.mkv"


def left(output: Path) -> tuple[list[bytes | None], list[dict[str, Any]]]:
    """The paintings in a workspace that was kept, to the byte, and their records but for the time they took."""
    directory = workspace_path(output)
    fingerprint = json.loads((directory / "job.json").read_text())["fingerprint"]
    with Workspace.open(directory, fingerprint) as workspace:
        records = [{**record, "seconds": 0} for record in workspace.records()]
        files = [directory / "frames" / f"{number:06d}.tif" for number in range(workspace.done)]
        assert workspace.done > 0
        return [path.read_bytes() if path.exists() else None for path in files], records


def shown(output: Path) -> list[bytes | None]:
    """Of the paintings in a workspace that was kept, the last of each frame, to the byte."""
    files, records = left(output)
    return list({record["index"]: file for file, record in zip(files, records, strict=True)}.values())


def damage(path: Path, at: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(bytes(content))


def sharded(clip: Path, style: Path | None, output: Path, chosen: Settings, shards: int = 2) -> None:
    styles = None if style is None else [style]
    for number in range(1, shards + 1):
        paint_shard(clip, styles, output, Shard(number, shards), chosen)
    join(output, KEPT)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"temporal": {"passes": 2}},
        {"temporal": {"framewise": True}},
        {"run": {"start": "2f", "end": "9f"}},
        {"run": {"start": "0.1", "end": "0.36"}},
        {"run": {"fps": 18}},
        {"style": {"recolor": True}},
        {"temporal": {"loop": True}},
    ],
    ids=["plain", "passes", "framewise", "frames", "seconds", "fps", "recolor", "loop"],
)
def test_shards_leave_what_one_process_leaves(sections: dict[str, Any], clip: Path, style: Path, tmp_path: Path) -> None:
    chosen = settings(**sections)
    stylize(clip, [style], tmp_path / "local.mkv", chosen, KEPT)
    sharded(clip, style, tmp_path / "shards.mkv", chosen)
    assert left(tmp_path / "shards.mkv") == left(tmp_path / "local.mkv")
    assert not (workspace_path(tmp_path / "shards.mkv") / "units").exists()
    with open_source(tmp_path / "local.mkv", RunSettings()) as one, open_source(tmp_path / "shards.mkv", RunSettings()) as other:
        for a, b in zip(one.frames(), other.frames(), strict=True):
            assert (a.pts, a.rgb.tobytes()) == (b.pts, b.rgb.tobytes())


def test_a_directory_of_frames_is_shared_as_a_film_is(style: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, picture in enumerate(three_shots()):
        write_png(tmp_path / "in" / f"f{number}.png", picture)
    stylize(tmp_path / "in", [style], tmp_path / "local", settings(), KEPT)
    sharded(tmp_path / "in", style, tmp_path / "shards", settings())
    assert left(tmp_path / "shards") == left(tmp_path / "local")
    written = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert written == sorted(path.name for path in (tmp_path / "shards").iterdir())
    assert all((tmp_path / "local" / name).read_bytes() == (tmp_path / "shards" / name).read_bytes() for name in written)


def test_a_picture_is_one_unit(style: Path, tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo.png", SCENE.frame(0))
    stylize(photo, [style], tmp_path / "local.png", settings())
    result = paint_shard(photo, [style], tmp_path / "shards.png", Shard(2, 2), settings())
    assert (result.own, result.missing) == (0, 1)
    paint_shard(photo, [style], tmp_path / "shards.png", Shard(1, 2), settings())
    join(tmp_path / "shards.png")
    assert (tmp_path / "local.png").read_bytes() == (tmp_path / "shards.png").read_bytes()


def test_a_schedule_goes_by_the_time_of_the_film(clip: Path, style: Path, tmp_path: Path) -> None:
    """One style takes over across two cuts, and the one after begins inside the last shot."""
    others = [write_png(tmp_path / f"{name}.png", procedural_picture(40, 40, seed=seed)) for name, seed in (("b", 5), ("c", 6))]
    text = f"0s: {style}, 0.1s: {others[0]}, 9f: {others[1]}"
    chosen = settings(style={"schedule": text, "fade": 0.2})
    stylize(clip, None, tmp_path / "local.mkv", chosen, KEPT)
    sharded(clip, None, tmp_path / "shards.mkv", chosen, 3)
    assert left(tmp_path / "shards.mkv") == left(tmp_path / "local.mkv")
    plain = settings(style={"schedule": f"0s: {style}", "fade": 0.2})
    stylize(clip, None, tmp_path / "plain.mkv", plain, KEPT)
    assert left(tmp_path / "plain.mkv")[0] != left(tmp_path / "local.mkv")[0]


@pytest.mark.parametrize("mask", ["film", "follows", "still"])
def test_masks_are_those_of_the_same_frames(mask: str, clip: Path, style: Path, tmp_path: Path) -> None:
    moving = [np.where(np.arange(48)[None, :, None] < 10 + 3 * t, 255, 0).astype(np.uint8).repeat(32, 0).repeat(3, 2) for t in range(10)]
    path = make_clip(tmp_path / "mask.mkv", moving, **LOSSLESS) if mask == "film" else write_png(tmp_path / "mask.png", moving[4])
    chosen = settings(mask={"paths": [str(path)], "follow": mask == "follows"})
    stylize(clip, [style], tmp_path / "local.mkv", chosen, KEPT)
    sharded(clip, style, tmp_path / "shards.mkv", chosen, 3)
    assert left(tmp_path / "shards.mkv") == left(tmp_path / "local.mkv")


def coded(path: Path, **options: Any) -> Path:
    return make_clip(path, three_shots(), rate=Fraction(1), options={"g": "3", "keyint": "3", "bf": "2", **options})


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "open.mp4", "clip.avi", "clip.ts"])
def test_a_unit_begins_with_a_seek_only_if_that_gives_its_very_frames(
    name: str, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the container; and where the codec refreshes its pictures bit by bit, so that there is no frame to begin with."""
    monkeypatch.setattr(decode, "_SEEK_FROM", 0.0)
    film = coded(tmp_path / name, **({"x264-params": "open-gop=1"} if name == "open.mp4" else {}))
    with open_source(film, RunSettings()) as medium:
        frames = list(medium.frames())
        plan = plan_units(film, [style], tmp_path / "out.mkv", settings(), JobOptions())
        assert [unit.first for unit in plan.units] == [0, 4, 7]
        for unit in plan.units:
            found = list(UnitFrames(medium, unit).frames())
            wanted = frames[unit.first : unit.end]
            assert [(f.index, f.pts, f.rgb.tobytes()) for f in found] == [(f.index, f.pts, f.rgb.tobytes()) for f in wanted]


def test_a_seek_that_leads_elsewhere_is_not_believed(clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_units(clip, [style], tmp_path / "out.mkv", settings(), JobOptions())
    with open_source(clip, RunSettings()) as medium:
        frames = list(medium.frames())
        walk, asked = medium.frames, []

        def odd(first: int = 0, pts: int | None = None) -> Any:
            asked.append(pts)
            for frame in walk(first):
                yield frame if pts is None else replace(frame, rgb=frame.rgb ^ 1)

        monkeypatch.setattr(medium, "frames", odd)
        unit = plan.units[1]
        found = list(UnitFrames(medium, unit).frames())
        assert asked == [unit.pts, None, None]
        assert [f.rgb.tobytes() for f in found] == [f.rgb.tobytes() for f in frames[unit.first : unit.end]]
        monkeypatch.setattr(medium, "frames", lambda first=0, pts=None: (replace(f, rgb=f.rgb ^ 1) for f in walk(first)))
        with pytest.raises(MediaError, match=r"unit 2 \(frames 5–7\): other frames than when the job was planned; run again with --fresh"):
            UnitFrames(medium, unit)


def test_shots_fall_to_whoever_has_least_to_do() -> None:
    costs = [5.0, 9.0, 1.0, 4.0, 3.0, 2.0]
    shares = [share_of([(cost, cost) for cost in costs], number, 3) for number in (1, 2, 3)]
    assert shares == [[9.0], [5.0, 2.0, 1.0], [4.0, 3.0]]
    assert share_of([(1.0, "a")], 2, 3) == []


def test_the_plan_says_what_each_unit_costs(clip: Path, style: Path, tmp_path: Path) -> None:
    plan = plan_units(clip, [style], tmp_path / "out.mkv", settings(), JobOptions())
    assert [(unit.first, unit.count, unit.pts) for unit in plan.units] == [(0, 4, 0), (4, 3, 160), (7, 3, 280)]
    pixels = 32 * 48
    assert [unit.cost for unit in plan.units] == [pixels * (4 + 2 * (unit.count - 1)) for unit in plan.units]
    assert [unit.number for unit in plan.longest_first] == [0, 1, 2]
    again = plan_units(clip, [style], tmp_path / "out.mkv", settings(), JobOptions())
    assert again == Plan.read(workspace_path(tmp_path / "out.mkv"))
    first = (plan.directory / "plan.json").read_bytes()
    (plan.directory / "plan.json").unlink()
    plan_units(clip, [style], tmp_path / "out.mkv", settings(), JobOptions())
    assert (plan.directory / "plan.json").read_bytes() == first


# --- faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", [1, 2])
def test_a_unit_that_was_killed_is_gone_on_with(passes: int, clip: Path, style: Path, tmp_path: Path) -> None:
    chosen = settings(temporal={"passes": passes})
    stylize(clip, [style], tmp_path / "local.mkv", chosen, KEPT)
    for stop_after in (2, 1, 3):
        with pytest.raises(Interrupted):
            paint_shard(clip, [style], tmp_path / "shards.mkv", Shard(1, 1), chosen, progress=Recorder(stop_after))
    recorder = Recorder()
    paint_shard(clip, [style], tmp_path / "shards.mkv", Shard(1, 1), chosen, progress=recorder)
    assert recorder.total == 10
    assert recorder.done >= 4 / passes
    join(tmp_path / "shards.mkv", KEPT)
    assert left(tmp_path / "shards.mkv") == left(tmp_path / "local.mkv")


def test_what_one_process_has_begun_is_not_painted_again(clip: Path, local: Path, style: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        stylize(clip, [style], tmp_path / "shards.mkv", settings(), progress=Recorder(6))
    recorder = Recorder()
    paint_shard(clip, [style], tmp_path / "shards.mkv", Shard(1, 1), settings(), progress=recorder)
    assert recorder.done == 6
    assert [report.index for report in recorder.reports] == list(range(6, 10))
    join(tmp_path / "shards.mkv", KEPT)
    assert left(tmp_path / "shards.mkv") == left(local)


def test_a_shard_of_another_job_leaves_what_others_have_painted(
    clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "shards.mkv"
    paint_shard(clip, [style], output, Shard(1, 2), settings())
    with pytest.raises(UsageError, match=r"shards of it were planned with another job \(the settings changed\); give the same, .*delete "):
        paint_shard(clip, [style], output, Shard(2, 2), settings(style={"weight": 50.0}))
    assert not caplog.records
    paint_shard(clip, [style], output, Shard(2, 2), settings(color={"strength": 0.5}))
    assert "--strength: --join goes by what the shard that came first was told" in caplog.text
    stylize(clip, [style], output, settings(color={"strength": 0.5}), KEPT)
    stylize(clip, [style], tmp_path / "local.mkv", settings(color={"strength": 0.5}), KEPT)
    assert left(output) == left(tmp_path / "local.mkv")


def test_one_process_goes_on_where_shards_were(clip: Path, local: Path, style: Path, tmp_path: Path) -> None:
    paint_shard(clip, [style], tmp_path / "shards.mkv", Shard(2, 2), settings())
    recorder = Recorder()
    log = JobOptions(keep_workspace=True, log_json=tmp_path / "shards.jsonl")
    result = stylize(clip, [style], tmp_path / "shards.mkv", settings(), log, recorder)
    assert (result.frames, recorder.total, recorder.done + len(recorder.reports)) == (10, 10, 10)
    assert recorder.done > 0
    assert left(tmp_path / "shards.mkv") == left(local)
    logs = [
        [json.loads(line) for line in path.read_text().splitlines()] for path in (local.with_suffix(".jsonl"), tmp_path / "shards.jsonl")
    ]
    assert [line["index"] for line in logs[0]] == [line["index"] for line in logs[1]]


def test_joining_waits_for_all_units(clip: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    with pytest.raises(UsageError, match=r"--join .*out.mkv: there is no plan of shards in .*; paint with --shard I/N -o .*out.mkv first"):
        join(output)
    paint_shard(clip, [style], output, Shard(1, 2), settings())
    with pytest.raises(
        WorkspaceError, match=r"units not painted yet: 2 of 3: unit 2 \(frames 5–7\), unit 3 \(frames 8–10\); run the command"
    ):
        join(output)
    assert not output.exists()


@pytest.mark.parametrize("place", ["take", "remove_units", "write"])
def test_joining_that_was_killed_is_gone_on_with(
    place: str, clip: Path, local: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mkv"
    paint_shard(clip, [style], output, Shard(1, 1), settings())
    owner: Any = Plan if place == "write" else Workspace
    real: Callable[..., Any] = getattr(owner, place)
    calls = []

    def killed(*arguments: Any, **named: Any) -> None:
        calls.append(place)
        if place != "take" or len(calls) > 1:
            raise Interrupted
        real(*arguments, **named)

    monkeypatch.setattr(owner, place, killed)
    with pytest.raises(Interrupted):
        join(output, KEPT)
    monkeypatch.undo()
    join(output, KEPT)
    assert left(output) == left(local)
    assert not (workspace_path(output) / "units").exists()


def raises(*arguments: Any) -> None:
    raise Interrupted


@pytest.mark.parametrize("kept", [0, 2, 4, 8])
def test_joining_that_was_torn_off_in_a_unit_is_gone_on_with(
    kept: int, clip: Path, local: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill may leave some of a unit's lines in the journal."""
    output = tmp_path / "out.mkv"
    paint_shard(clip, [style], output, Shard(1, 1), settings())
    monkeypatch.setattr(Plan, "write", raises)
    with pytest.raises(Interrupted):
        join(output, KEPT)
    monkeypatch.undo()
    journal = workspace_path(output) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 10
    journal.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
    join(output, KEPT)
    assert left(output) == left(local)


@pytest.mark.parametrize("what", ["frame", "journal", "note", "job"])
def test_a_damaged_unit_is_painted_again(
    what: str, clip: Path, local: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out.mkv"
    paint_shard(clip, [style], output, Shard(1, 1), settings())
    unit = workspace_path(output) / "units" / "000001"
    damaged = {
        "frame": unit / "frames" / "000001.tif",
        "journal": unit / "journal.jsonl",
        "note": unit / "made.json",
        "job": unit / "job.json",
    }
    damage(damaged[what], -9 if what == "note" else None)
    with pytest.raises(WorkspaceError, match=r"units not painted yet: 1 of 3: unit 2 \(frames 5–7\)"):
        join(output, KEPT)
    paint_shard(clip, [style], output, Shard(1, 1), settings())
    join(output, KEPT)
    assert left(output) == left(local)


def test_what_was_damaged_after_the_joining_is_painted_again(
    clip: Path, local: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out.mkv"
    sharded(clip, style, output, settings())
    frame = workspace_path(output) / "frames" / "000005.tif"
    frame.write_bytes(frame.read_bytes()[:-1])
    output.unlink()
    stylize(clip, [style], output, settings(), KEPT)
    assert left(output) == left(local)


def test_a_unit_that_another_process_paints_is_left_to_it(
    clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out.mkv"
    plan = plan_units(clip, [style], output, settings(), JobOptions())
    with Workspace.open(plan.place(plan.units[1]), plan.fingerprint_of(plan.units[1]), manner=plan.manner):
        result = paint_shard(clip, [style], output, Shard(1, 1), settings())
        assert result.in_use == ["unit 2 (frames 5–7)"]
        assert "another vidstyle is at work on unit 2 (frames 5–7), which is left to it" in caplog.text
        assert (result.painted, result.missing) == (2, 1)
        with pytest.raises(WorkspaceError, match="another vidstyle is at work here"):
            stylize(clip, [style], output, settings(), JobOptions(fresh=True))
    assert (result.painted, result.own) == (2, 3)
    assert paint_shard(clip, [style], output, Shard(1, 1), settings()).missing == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: None,
        lambda plan: [],
        lambda plan: {**plan, "units": []},
        lambda plan: {**plan, "units": [{**plan["units"][0], "count": -1}]},
        lambda plan: {**plan, "units": [{**plan["units"][0], "first": "../../x"}]},
        lambda plan: {**plan, "units": [{**plan["units"][0], "joins": True}, *plan["units"][1:]]},
        lambda plan: {**plan, "units": [*plan["units"], {**plan["units"][-1], "joins": True, "number": len(plan["units"])}]},
        lambda plan: {**plan, "units": plan["units"][1:]},
        lambda plan: {**plan, "units": [[]] * 3},
        lambda plan: {**plan, "time_base": "1/0"},
        lambda plan: {**plan, "joined": "all"},
        lambda plan: {**plan, "job": {**plan["job"], "settings": {"run": {"size": -4}}}},
        lambda plan: {**plan, "job": {**plan["job"], "styles": 3}},
        lambda plan: {**plan, "job": {**plan["job"], "kind": "music"}},
    ],
)
def test_a_plan_that_is_none_is_made_anew(change: Callable[[Any], Any], clip: Path, style: Path, tmp_path: Path) -> None:
    """What is sealed may be wrong all the same: a later version of vidstyle writes others."""
    from vidstyle.workspace import read_plan, write_plan

    plan = plan_units(clip, [style], tmp_path / "out.mkv", settings(), JobOptions())
    write_plan(plan.directory, change(read_plan(plan.directory)))
    assert Plan.read(plan.directory) is None
    with pytest.raises(UsageError, match="there is no plan"):
        join(tmp_path / "out.mkv")
    assert plan_units(clip, [style], tmp_path / "out.mkv", settings(), JobOptions()).units == plan.units


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, '{"checksum": 0, "plan": {}}', "\0\xff", "7"])
def test_what_is_no_plan_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    assert Plan.read(tmp_path) is None


def test_other_settings_plan_anew(clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "out.mkv"
    paint_shard(clip, [style], output, Shard(1, 1), settings())
    plan = plan_units(clip, [style], output, settings(run={"size": 40}), JobOptions())  # as one driver has it, who knows of no others
    assert "the settings changed since that run" in caplog.text
    assert len(plan.missing()) == 3
    assert not list((workspace_path(output) / "units").glob("*"))


def test_a_workspace_goes_with_its_units(clip: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    paint_shard(clip, [style], output, Shard(1, 1), settings())
    join(output)
    assert not workspace_path(output).exists()


def test_the_job_is_found_from_another_directory(clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where the disk with all of it is mounted elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    for path in (clip, style):
        shutil.copy(path, tmp_path / "disk")
    paint_shard(f"disk/{clip.name}", [f"disk/{style.name}"], "disk/out.mkv", Shard(1, 1), settings())
    (tmp_path / "disk").rename(tmp_path / "mounted")
    monkeypatch.chdir(tmp_path / "mounted")
    result = join("out.mkv")
    assert (result.output, result.frames) == (Path("out.mkv"), 10)
    assert (tmp_path / "mounted" / "out.mkv").exists()


def test_a_batch_is_shared_unit_by_unit(clip: Path, style: Path, tmp_path: Path) -> None:
    from vidstyle.batch import stylize_batch

    (tmp_path / "clips").mkdir()
    shutil.copy(clip, tmp_path / "clips")
    write_png(tmp_path / "clips" / "photo.png", SCENE.frame(0))
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"nothing")
    stylize_batch(tmp_path / "clips", [style], tmp_path / "local", settings(), KEPT)
    shares = []
    for number in (1, 2):
        painter = ShardOfBatch(Shard(number, 2))
        result = stylize_batch(tmp_path / "clips", [style], tmp_path / "shards", settings(), painter=painter)
        assert [path.name for path, _ in result.failed] == ["broken.mp4"]
        shares.append((painter.result.own, painter.result.units))
    assert shares == [(2, 4), (2, 4)]
    joined = join_all(tmp_path / "shards", KEPT)
    assert [result.output.name for result in joined] == ["clip.mkv", "photo.png"]
    for name in ("clip.mkv", "photo.png"):
        assert left(tmp_path / "shards" / name) == left(tmp_path / "local" / name)


# --- shots in parts ----------------------------------------------------------------------------------

LONG = Scene(size=(48, 64), pan=(1.0, -0.4), disc_step=(1.2, 0.6))


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("shot") / "shot.mkv", [LONG.frame(t) for t in range(12)], **LOSSLESS)


def test_a_divided_shot_is_the_same_whoever_paints_it(shot: Path, style: Path, tmp_path: Path) -> None:
    """In one process, in two that begin at the same time or one after the other; and killed at any frame."""
    chosen = settings(temporal={"divide": 5})
    stylize(shot, [style], tmp_path / "local.mkv", chosen, KEPT)
    plan = plan_units(shot, [style], tmp_path / "backward.mkv", chosen, JobOptions())
    expected = [(0, 4, False), (4, 4, False), (4, 3, True), (8, 4, False), (8, 3, True)]
    assert [(unit.first, unit.count, unit.joins) for unit in plan.units] == expected
    paintings, records = left(tmp_path / "local.mkv")
    assert [record["index"] for record in records] == [0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 8, 9, 10, 11, 8, 9, 10]
    assert [record["passed"] for record in records] == [1] * 8 + [2] * 3 + [1] * 4 + [2] * 3
    assert [record["index"] for record in records if record["shot_start"]] == [0, 4, 8]
    assert sum(record["share"] for record in records) == 12
    for number in (3, 1, 2):  # so that what lies between the last two is painted by the second
        paint_shard(shot, [style], tmp_path / "backward.mkv", Shard(number, 3), chosen)
    join(tmp_path / "backward.mkv", KEPT)
    assert left(tmp_path / "backward.mkv") == (paintings, records)
    for stop_after in (3, 6, 2, 3):
        with pytest.raises(Interrupted):
            stylize(shot, [style], tmp_path / "killed.mkv", chosen, KEPT, Recorder(stop_after))
    stylize(shot, [style], tmp_path / "killed.mkv", chosen, KEPT)
    assert left(tmp_path / "killed.mkv") == (paintings, records)
    stylize(shot, [style], tmp_path / "whole.mkv", settings(), KEPT)
    assert left(tmp_path / "whole.mkv")[0][:4] == paintings[:4]
    assert left(tmp_path / "whole.mkv")[0][4:] != shown(tmp_path / "local.mkv")[4:]


@pytest.mark.parametrize("sections", [{"temporal": {"divide": 4, "passes": 2}}, {"temporal": {"divide": 4}, "run": {"end": "7f"}}])
def test_a_divided_shot_is_joined_as_it_was_painted(sections: dict[str, Any], shot: Path, style: Path, tmp_path: Path) -> None:
    """With further passes, and an odd number of frames."""
    chosen = settings(**sections)
    stylize(shot, [style], tmp_path / "local.mkv", chosen, KEPT)
    sharded(shot, style, tmp_path / "shards.mkv", chosen, 3)
    assert left(tmp_path / "shards.mkv") == left(tmp_path / "local.mkv")
    assert (tmp_path / "shards.mkv").read_bytes() == (tmp_path / "local.mkv").read_bytes()


def test_what_is_damaged_where_parts_meet_is_painted_again(shot: Path, style: Path, tmp_path: Path) -> None:
    """A part's own frame that the joint is made from, before that is; and any of the job's, when all is joined."""
    chosen = settings(temporal={"divide": 6})
    stylize(shot, [style], tmp_path / "local.mkv", chosen, KEPT)
    output = tmp_path / "out.mkv"
    plan = plan_units(shot, [style], output, chosen, JobOptions())
    with UnitPainter.of(plan) as painter:
        for unit in plan.units[:2]:
            painter.paint(unit, Recorder())
        damage(plan.place(plan.units[0]) / "frames" / "000005.tif")
        damage(plan.place(plan.units[1]) / "frames" / "000001.tif")
        painter.paint(plan.units[2], Recorder())
    assert plan.missing() == []
    join(output, KEPT)
    assert left(output) == left(tmp_path / "local.mkv")
    for number in (13, 7, 2):
        damage(workspace_path(output) / "frames" / f"{number:06d}.tif")
        stylize(shot, [style], output, chosen, JobOptions(overwrite=True, keep_workspace=True))
        assert left(output) == left(tmp_path / "local.mkv")


def test_whoever_paints_where_parts_meet_paints_what_is_missing_of_them(shot: Path, style: Path, tmp_path: Path) -> None:
    chosen = settings(temporal={"divide": 6})
    stylize(shot, [style], tmp_path / "local.mkv", chosen, KEPT)
    plan = plan_units(shot, [style], tmp_path / "out.mkv", chosen, JobOptions())
    with UnitPainter.of(plan) as painter:
        painter.paint(plan.units[2], Recorder())
    assert plan.missing() == []
    join(tmp_path / "out.mkv", KEPT)
    assert left(tmp_path / "out.mkv") == left(tmp_path / "local.mkv")


def test_a_joint_shows_little_more_than_what_lies_inside(style: Path, tmp_path: Path) -> None:
    """Warping error along the exact flow: over the frames that pass from one part into the next, and behind them, beside all others.

    Here they are eight; the more they are the less it is (docs/cluster.md).
    """
    clip = make_clip(tmp_path / "long.mkv", [LONG.frame(t) for t in range(32)], **LOSSLESS)

    def errors(files: list[bytes | None]) -> list[float]:
        pictures = [cv2.imdecode(np.frombuffer(file or b"", np.uint8), cv2.IMREAD_UNCHANGED)[:, :, ::-1].copy() for file in files]
        seen = [LONG.visible(t, t - 1).astype(np.float32) for t in range(1, len(pictures))]
        return [warping_error(pictures[t], pictures[t - 1], LONG.flow(t, t - 1), seen[t - 1]) for t in range(1, len(pictures))]

    chosen = Settings.layered([{"optimize": {"iterations": 6, "first_iterations": 20}, "temporal": {"divide": 16}}])
    stylize(clip, [style], tmp_path / "flows.mkv", chosen, KEPT)
    alone = []
    for name, span in (("one", {"start": "0f", "end": "16f"}), ("two", {"start": "16f", "end": "32f"})):
        stylize(clip, [style], tmp_path / f"{name}.mkv", chosen.model_copy(update={"run": RunSettings(**span)}), KEPT)
        alone += shown(tmp_path / f"{name}.mkv")
    inside = np.mean(np.delete(errors(alone), 15))
    assert errors(alone)[15] > 5 * inside
    flows = errors(shown(tmp_path / "flows.mkv"))
    assert np.mean(flows[15:24]) < 1.5 * inside
    assert max(flows[15:24]) < 2 * inside


def test_what_cannot_be_divided_is_told(shot: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mask = write_png(tmp_path / "mask.png", np.full((48, 64, 3), 255, np.uint8))
    follows = settings(temporal={"divide": 5}, mask={"paths": [str(mask)], "follow": True})
    with pytest.raises(UsageError, match="--divide and --mask-follow contradict each other"):
        stylize(shot, [style], tmp_path / "out.mkv", follows)
    for other in ("framewise", "loop"):
        plan = plan_units(shot, [style], tmp_path / f"{other}.mkv", settings(temporal={"divide": 5, other: True}), JobOptions())
        assert f"--divide does nothing with --{other}" in caplog.text
        assert len(plan.units) == 1
