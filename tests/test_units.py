"""Films in units: what the plan says, and that the frames are those of a run in one process, whoever painted them and however often killed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import make_clip
from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from vidstyle import pipeline
from vidstyle.errors import MediaError, UsageError, VidstyleError, WorkspaceError
from vidstyle.media import decode, open_source
from vidstyle.pipeline import JobOptions, join, plan_units, stylize, workspace_path
from vidstyle.settings import RunSettings, Settings
from vidstyle.shards import Shard, ShardOfBatch, join_all, paint_shard
from vidstyle.units import Plan, UnitFrames, share_of
from vidstyle.workspace import Workspace

SCENE = Scene(size=(32, 48))
OTHER = Scene(size=(32, 48), picture=procedural_picture(64, 96, seed=11)[:, :, ::-1].copy(), disc_radius=0)
KEPT = JobOptions(keep_workspace=True)
LOSSLESS: dict[str, Any] = {"codec": "ffv1", "pix_fmt": "bgr0", "matrix": 0}


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_png(tmp_path / "style.png", procedural_picture(40, 40, seed=3)[:, :, ::-1])


def three_shots() -> list[np.ndarray]:
    return [SCENE.frame(t) for t in range(4)] + [OTHER.frame(t) for t in range(3)] + [SCENE.frame(t)[:, ::-1] for t in range(20, 25)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", three_shots(), **LOSSLESS)


def left(output: Path) -> tuple[list[bytes | None], list[dict[str, Any]]]:
    """The paintings in a workspace that was kept, to the byte, and their records but for the time they took."""
    directory = workspace_path(output)
    fingerprint = json.loads((directory / "job.json").read_text())["fingerprint"]
    with Workspace.open(directory, fingerprint) as workspace:
        records = [{**record, "seconds": 0} for record in workspace.records()]
        files = [directory / "frames" / f"{number:06d}.tif" for number in range(workspace.done)]
        assert workspace.done > 0
        return [path.read_bytes() if path.exists() else None for path in files], records


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
        {"run": {"start": "2f", "end": "10f"}},
        {"run": {"start": "0.1", "end": "0.4"}},
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
