"""Disks that are full, read-only or gone, and workspaces that are damaged or of another job: whole jobs, by the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.kills import SCENARIOS, Reference, Scenario, ended, errors, left, started
from vidstyle import __version__

JOB = SCENARIOS["one shot"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference.of(JOB, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def run(directory: Path, scenario: Scenario = JOB, *more: str) -> tuple[int, str]:
    """Exit code of the command with more flags, and what it says."""
    code = ended(started(directory, replace(scenario, arguments=(*scenario.arguments, *more))), directory)
    return code, errors(directory)


def broken_off(directory: Path, frames: int) -> None:
    """Leaves a job that was killed after so many frames, or some more."""
    JOB.prepare(directory)
    job = started(directory, JOB)
    stored = directory / "out.mkv.vidstyle" / "frames"
    while not (stored.is_dir() and len(list(stored.glob("*.tif"))) > frames):
        assert job.is_alive()
        time.sleep(0.001)
    job.kill()
    job.join()


@pytest.mark.parametrize("room", [8_000, 600_000])
def test_a_full_disk_costs_nothing_once_there_is_room(room: int, disk: Path, reference: Reference) -> None:
    """Wherever it comes to an end: a frame takes 18 kB, what is carried on 0.9 MB, of which there are two for a moment."""
    JOB.prepare(disk)
    filler = disk / "filler"
    size = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - room
    filler.write_bytes(bytes(size))
    code, said = run(disk)
    assert code == 1
    assert "free some space" in said or "No space left" in said, said
    assert "Traceback" not in said
    assert not (disk / "out.mkv").exists()
    filler.unlink()
    assert run(disk) == (0, "")
    assert left(disk) == reference.left


def test_a_read_only_disk_is_told_before_any_work(disk: Path, tmp_path: Path) -> None:
    JOB.prepare(tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    arguments = tuple(str(disk / argument) if argument == "out.mkv" else argument for argument in JOB.arguments)
    code, said = run(tmp_path, Scenario(JOB.prepare, arguments))
    assert code == 2
    assert "cannot be written to" in said


def test_a_workspace_that_vanishes_is_told(tmp_path: Path, reference: Reference) -> None:
    JOB.prepare(tmp_path)
    job = started(tmp_path, JOB)
    workspace = tmp_path / "out.mkv.vidstyle"
    while not list(workspace.glob("frames/*.tif")):
        assert job.is_alive()
        time.sleep(0.001)
    workspace.rename(tmp_path / "elsewhere")
    code, said = ended(job, tmp_path), errors(tmp_path)
    assert code == 1
    assert "out.mkv.vidstyle" in said
    assert "Traceback" not in said
    shutil.rmtree(tmp_path / "elsewhere")
    shutil.rmtree(workspace, ignore_errors=True)
    assert run(tmp_path) == (0, "")
    assert left(tmp_path) == reference.left


@pytest.mark.parametrize("harm", ["byte", "state", "journal"])
def test_what_was_damaged_meanwhile_is_made_again(harm: str, tmp_path: Path, reference: Reference) -> None:
    broken_off(tmp_path, 3)
    workspace = tmp_path / "out.mkv.vidstyle"
    frame = workspace / "frames" / "000001.tif"
    match harm:
        case "byte":
            data = bytearray(frame.read_bytes())
            data[len(data) // 2] ^= 1
            frame.write_bytes(bytes(data))
        case "state":
            for path in (workspace / "state").iterdir():
                path.write_bytes(b"no state")
        case _:
            journal = workspace / "journal.jsonl"
            journal.write_bytes(journal.read_bytes()[:-7])
    code, said = run(tmp_path)
    assert code == 0
    assert "Traceback" not in said
    assert left(tmp_path) == reference.left


@pytest.mark.parametrize("other", ["version", "format"])
def test_frames_of_another_version_are_never_mixed_in(other: str, tmp_path: Path, reference: Reference) -> None:
    """What lies there was painted by another vidstyle, or is kept as another one keeps it."""
    broken_off(tmp_path, 3)
    job = tmp_path / "out.mkv.vidstyle" / "job.json"
    found = json.loads(job.read_bytes())
    if other == "version":
        assert found["fingerprint"]["the version of vidstyle"] == __version__
        found["fingerprint"]["the version of vidstyle"] = "0.0.1"
    else:
        found["format"] -= 1
    job.write_text(json.dumps(found))
    code, said = run(tmp_path, replace(JOB, arguments=tuple(argument for argument in JOB.arguments if argument != "-q")))
    assert code == 0
    assert f"the {other} of" in said
    assert "afresh" in said
    assert "going on" not in said
    assert left(tmp_path) == reference.left


@pytest.mark.parametrize("other", ["settings", "input"])
def test_frames_of_another_job_are_never_mixed_in(other: str, tmp_path: Path) -> None:
    """The same output, of something else: what lies there is cleared, with a word, where it is not wanted any more."""
    place, alone = tmp_path / "place", tmp_path / "alone"
    place.mkdir()
    alone.mkdir()
    more = ("--style-weight", "60") if other == "settings" else ()
    source = SCENARIOS["three shots"] if other == "input" else JOB
    broken_off(place, 2)
    for directory in (place, alone):
        source.prepare(directory)
    arguments = tuple(argument for argument in JOB.arguments if argument != "-q")
    job = Scenario(source.prepare, arguments)
    assert run(alone, job, *more)[0] == 0
    code, said = run(place, job, *more)
    assert code == 0
    assert other in said
    assert left(place) == left(alone)
