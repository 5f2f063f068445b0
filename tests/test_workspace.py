from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

import vidstyle.workspace
from vidstyle.errors import MediaError, WorkspaceError
from vidstyle.workspace import Workspace, WritingBehind, fingerprint_file, remove_remains

JOB = {"input": "aa", "styles": "bb", "settings": "cc"}


def picture(index: int, size: tuple[int, int] = (9, 13)) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 65536, (*size, 3), dtype=np.uint16)


def state(index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1000 + index)
    return {
        "curvature": rng.standard_normal((2, 3, 4)).astype(np.float16),
        "anchor/flow": rng.standard_normal((2, 5)).astype(np.float32),
        "file": np.array([index, -1], np.int64),
        "steps": np.array(float(index)),
    }


def record(index: int) -> dict[str, Any]:
    return {"pts": 512 * index, "loss": {"style": 0.1 + index}}


def fill(workspace: Workspace, count: int, shots: tuple[int, ...] = (0,)) -> None:
    for index in range(workspace.done, count):
        workspace.append(index, picture(index), record(index), state(index), afresh=index in shots)


def check(workspace: Workspace, count: int) -> None:
    """The workspace holds exactly `count` frames with their records, and the state after the last."""
    assert workspace.done == count
    for index in range(count):
        np.testing.assert_array_equal(workspace.frame(index), picture(index))
        assert workspace.record(index)["pts"] == 512 * index
    if count:
        check_state(workspace, count - 1)
    else:
        assert workspace.state() == {}


def check_state(workspace: Workspace, index: int) -> None:
    found, expected = workspace.state(), state(index)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4.vidstyle"


class TestMemory:
    def test_what_is_appended_comes_back_at_once_and_after_reopening(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 0)
            fill(workspace, 3)
            check(workspace, 3)
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 3)
            assert workspace.record(2) == record(2)
            fill(workspace, 5)
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 5)

    def test_two_runs_leave_the_bytes_of_one(self, tmp_path: Path) -> None:
        with Workspace.open(tmp_path / "once", JOB) as workspace:
            fill(workspace, 4)
        for count in (1, 3, 4):
            with Workspace.open(tmp_path / "often", JOB) as workspace:
                fill(workspace, count)
        names = sorted(path.relative_to(tmp_path / "once") for path in (tmp_path / "once").rglob("*") if path.is_file())
        assert len(names) == 4 + 4  # frames; lock, job, journal, one state
        for name in names:
            assert (tmp_path / "often" / name).read_bytes() == (tmp_path / "once" / name).read_bytes(), name

    def test_frames_are_rgb_tiff_that_others_can_read(self, directory: Path) -> None:
        import cv2

        red = np.zeros((4, 5, 3), np.uint16)
        red[:, :, 0] = 65535
        with Workspace.open(directory, JOB) as workspace:
            workspace.append(0, red, {}, {})
        found = cv2.imread(str(directory / "frames" / "000000.tif"), cv2.IMREAD_UNCHANGED)
        assert found is not None
        assert found.dtype == np.uint16
        assert found[0, 0].tolist() == [0, 0, 65535]  # OpenCV reads BGR

    def test_only_the_newest_state_is_kept(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 4)
        assert [path.name for path in (directory / "state").iterdir()] == ["000003.npz"]

    def test_a_state_of_tensors_comes_back_as_arrays(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            tensors = {name: torch.from_numpy(array) for name, array in state(0).items()}
            workspace.append(0, picture(0), record(0), tensors)
            for name, array in workspace.state().items():
                np.testing.assert_array_equal(array, state(0)[name])
            assert workspace.state().keys() == tensors.keys()

    def test_a_frame_may_carry_nothing(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            workspace.append(0, picture(0), {}, state(0))
            workspace.append(1, picture(1), {}, {})
            assert workspace.state() == {}
        assert list((directory / "state").iterdir()) == []
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 2
            assert workspace.state() == {}

    def test_a_state_that_was_not_kept_is_gone_back_behind(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
            for index in (2, 3):
                workspace.append(index, picture(index), record(index), None)
        assert [path.name for path in (directory / "state").iterdir()] == ["000001.npz"]
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 2)
            fill(workspace, 4)
            check(workspace, 4)
        assert "damaged" not in caplog.text

    def test_a_state_can_be_kept_afterwards(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
            workspace.append(2, picture(2), record(2), None)
            workspace.keep_state(state(2))
            check(workspace, 3)
        assert [path.name for path in (directory / "state").iterdir()] == ["000002.npz"]
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 3)

    @pytest.mark.parametrize("kept", [True, False])
    def test_behind_the_last_frame_no_state_is_needed(self, directory: Path, kept: bool, caplog: pytest.LogCaptureFixture) -> None:
        with Workspace.open(directory, JOB) as workspace:
            workspace.end_here()  # there is no frame at all
            fill(workspace, 2)
            workspace.append(2, picture(2), record(2), state(2) if kept else None)
            for _ in range(2):
                workspace.end_here()
                assert workspace.state() == {}
        assert not list((directory / "state").glob("000002*"))
        shutil.rmtree(directory / "state")
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 3
            assert workspace.state() == {}
        assert "damaged" not in caplog.text

    def test_a_shot_may_begin_behind_a_state_that_was_not_kept(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 1)
            workspace.append(1, picture(1), record(1), None)
            workspace.append(2, picture(2), record(2), None, afresh=True)
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 2
            assert workspace.state() == {}
            fill(workspace, 3)
            check(workspace, 3)

    def test_records_read_the_same_now_and_later(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            workspace.append(0, picture(0), {"steps": (1, 2), "name": "täst", "loss": 0.1 + 0.2}, {})
            now = workspace.record(0)
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.record(0) == now == {"steps": [1, 2], "name": "täst", "loss": 0.1 + 0.2}

    def test_wrong_calls(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            with pytest.raises(ValueError, match="in order"):
                workspace.append(1, picture(1), {}, {})
            with pytest.raises(ValueError, match="uint16"):
                workspace.append(0, picture(0).astype(np.uint8), {}, {})  # type: ignore[arg-type]
            with pytest.raises(ValueError, match=r"[Oo]bject"):
                workspace.append(0, picture(0), {}, {"bad": np.array([None])})
            with pytest.raises(TypeError):
                workspace.append(0, picture(0), {"bad": object()}, {})
            with pytest.raises(IndexError, match="not among"):
                workspace.frame(0)
            fill(workspace, 1)
            check(workspace, 1)


class TestFingerprint:
    def test_the_same_job_goes_on_and_says_so(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 3)
        with caplog.at_level(logging.INFO), Workspace.open(directory, dict(reversed(JOB.items()))):
            pass
        assert [(entry.levelname, entry.message.split(": ")[1]) for entry in caplog.records] == [("INFO", "frames 1–3 are done, going on")]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"styles": "xx"}, "styles changed"),
            ({"input": "xx", "settings": "yy"}, "input and settings changed"),
            ({"version": "2"}, "version changed"),
        ],
    )
    def test_another_job_starts_afresh_and_says_why(
        self, directory: Path, caplog: pytest.LogCaptureFixture, change: dict[str, str], words: str
    ) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 3)
        with Workspace.open(directory, {**JOB, **change}) as workspace:
            check(workspace, 0)
        assert [entry.levelname for entry in caplog.records] == ["WARNING"]
        assert words in caplog.text
        assert list((directory / "frames").iterdir()) == []
        with Workspace.open(directory, JOB) as workspace:  # the old job is really gone
            check(workspace, 0)

    def test_fresh_empties_without_a_warning(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
        with Workspace.open(directory, JOB, fresh=True) as workspace:
            check(workspace, 0)
        assert caplog.records == []

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 99, "fingerprint": {}}'])
    def test_a_damaged_or_foreign_job_file_starts_afresh(self, directory: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
        (directory / "job.json").write_bytes(content)
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 0)
        assert "starts afresh" in caplog.text

    def test_of_files_and_directories(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"one")
        (tmp_path / "b.png").write_bytes(b"two")
        assert fingerprint_file(tmp_path / "a.png") == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
        whole = fingerprint_file(tmp_path)
        (tmp_path / ".hidden").write_bytes(b"x")
        (tmp_path / "folder").mkdir()
        assert fingerprint_file(tmp_path) == whole
        (tmp_path / "log.jsonl").write_bytes(b"x")
        assert fingerprint_file(tmp_path, lambda path: path.suffix == ".png") == whole != fingerprint_file(tmp_path)
        (tmp_path / "log.jsonl").unlink()
        (tmp_path / "b.png").rename(tmp_path / "c.png")
        renamed = fingerprint_file(tmp_path)
        (tmp_path / "c.png").write_bytes(b"2wo")
        assert len({whole, renamed, fingerprint_file(tmp_path)}) == 3

    def test_of_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match=r"gone\.mp4: cannot be read"):
            fingerprint_file(tmp_path / "gone.mp4")


class TestDamage:
    """Files changed behind the job's back."""

    @pytest.fixture
    def five(self, directory: Path) -> Path:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 5, shots=(0, 3))
        return directory

    @pytest.mark.parametrize(
        ("damaged", "done"),
        [(0, 0), (1, 0), (2, 0), (3, 3), (4, 3)],
    )
    def test_a_damaged_frame_goes_back_to_where_no_state_is_needed(self, five: Path, damaged: int, done: int) -> None:
        path = five / "frames" / f"00000{damaged}.tif"
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
        for _ in range(2):  # and stays there when opened again
            with Workspace.open(five, JOB) as workspace:
                assert workspace.done == done
                assert workspace.state() == {}
        with Workspace.open(five, JOB) as workspace:
            fill(workspace, 5, shots=(0, 3))
        with Workspace.open(five, JOB) as workspace:
            check(workspace, 5)

    @pytest.mark.parametrize("how", ["gone", "emptied", "a directory", "a pipe"])
    def test_a_lost_journal_is_told_even_quietly(self, five: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
        journal = five / "journal.jsonl"
        journal.unlink()
        {"gone": lambda: None, "emptied": journal.touch, "a directory": journal.mkdir, "a pipe": lambda: os.mkfifo(journal)}[how]()
        with Workspace.open(five, JOB) as workspace:
            check(workspace, 0)
            fill(workspace, 2)
        (said,) = caplog.records
        assert said.getMessage() == f"{journal}: was damaged or removed since that run, so the job starts afresh"
        assert said.even_quiet is True  # type: ignore[attr-defined]
        with Workspace.open(five, JOB) as workspace:
            check(workspace, 2)

    def test_a_journal_that_has_lost_its_end_is_told(self, five: Path, caplog: pytest.LogCaptureFixture) -> None:
        journal = five / "journal.jsonl"
        journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:3]))
        with Workspace.open(five, JOB) as workspace:
            assert workspace.done == 0  # of frame 3 no state is left
        assert [entry.message for entry in caplog.records] == [
            f"{journal}: has lost its end, behind frame 3",
            f"{five}: the carried state is damaged, going on from frame 1",
        ]

    def test_a_picture_whose_line_a_kill_has_cost_is_nothing_to_tell(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 1)
        (directory / "journal.jsonl").unlink()
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 0
        assert caplog.records == []

    @pytest.mark.parametrize(
        "name", ["frames/000004.tif", "frames/000009.tif", "state/000004.npz", "made.json", "job.json", "journal.jsonl"]
    )
    @pytest.mark.parametrize("how", ["a directory", "a pipe", "a link to nothing", "a link to itself"])
    def test_what_is_no_file_where_one_should_be_is_damage(self, five: Path, name: str, how: str) -> None:
        (five / name).unlink(missing_ok=True)
        match how:
            case "a directory":
                (five / name).mkdir()
            case "a pipe":
                os.mkfifo(five / name)
            case _:
                (five / name).symlink_to("nothing" if how == "a link to nothing" else five / name)
        assert Workspace.note(five) is None
        with Workspace.open(five, JOB) as workspace:
            assert workspace.done == {"job.json": 0, "journal.jsonl": 0, "frames/000009.tif": 5, "made.json": 5}.get(name, 3)
            workspace.keep_note({"a": 1})
            fill(workspace, 5, shots=(0, 3))
        assert not (five / "nothing").exists()
        with Workspace.open(five, JOB) as workspace:
            check(workspace, 5)
            workspace.remove()
        assert not five.exists()

    @pytest.mark.parametrize("name", ["frames/000009.tif", "made.json", "journal.jsonl", "made.json.part"])
    def test_what_lies_in_a_directory_with_a_files_name_is_somebodys(self, five: Path, name: str) -> None:
        (five / name).unlink(missing_ok=True)
        (five / name).mkdir()
        (five / name / "mine").write_text("mine")
        with pytest.raises(WorkspaceError, match=rf"{name}: cannot be used as workspace: Directory not empty"):
            Workspace.open(five, JOB)
        assert (five / name / "mine").read_text() == "mine"

    def test_a_missing_frame_is_damage_too(self, five: Path, caplog: pytest.LogCaptureFixture) -> None:
        (five / "frames" / "000003.tif").unlink()
        with Workspace.open(five, JOB) as workspace:
            assert workspace.done == 3
        assert "frame 4 is damaged, going on from frame 4" in caplog.text

    @pytest.mark.parametrize("how", ["changed", "truncated", "gone"])
    def test_a_damaged_state_goes_back_to_the_start_of_the_shot(self, five: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
        path = five / "state" / "000004.npz"
        content = path.read_bytes()
        path.unlink()
        if how == "changed":
            path.write_bytes(content[:-1] + b"\x07")
        elif how == "truncated":
            path.write_bytes(content[:-1])
        with Workspace.open(five, JOB) as workspace:
            assert workspace.done == 3
        assert "the carried state is damaged, going on from frame 4" in caplog.text

    @pytest.mark.parametrize("harm", ["frame", "state", "journal", "job"])
    def test_who_does_not_want_to_go_on_drops_nothing(self, five: Path, harm: str) -> None:
        harmed = {"frame": "frames/000003.tif", "state": "state/000004.npz", "journal": "journal.jsonl", "job": "job.json"}[harm]
        (five / harmed).write_bytes((five / harmed).read_bytes()[:-9])
        before = {path: path.read_bytes() for path in five.rglob("*") if path.is_file()}
        told = []

        def refused(done: int) -> None:
            told.append(done)
            raise MediaError("no")

        with pytest.raises(MediaError, match="no"):
            Workspace.open(five, JOB, going_on=refused)
        assert {path: path.read_bytes() for path in five.rglob("*") if path.is_file()} == before
        with Workspace.open(five, JOB) as workspace:
            assert told == [workspace.done]

    def test_without_shot_starts_it_goes_back_to_the_beginning(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 3, shots=())
        (directory / "state" / "000002.npz").unlink()
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 0)

    def test_a_journal_torn_anywhere_keeps_the_whole_lines(self, five: Path, tmp_path: Path) -> None:
        content = (five / "journal.jsonl").read_bytes()
        ends = [index for index, byte in enumerate(content) if byte == ord("\n")]
        cuts = range(ends[3] + 1, len(content))  # the fifth line; the fourth's state is gone, so frame 4 is made again
        for cut in [*cuts[::9], *cuts[-2:]]:
            copy = tmp_path / f"cut{cut}"
            shutil.copytree(five, copy)
            (copy / "journal.jsonl").write_bytes(content[:cut])
            with Workspace.open(copy, JOB) as workspace:
                assert workspace.done == 3
                fill(workspace, 5, shots=(0, 3))
            with Workspace.open(copy, JOB) as workspace:
                check(workspace, 5)

    def test_garbage_inside_the_journal(self, five: Path, caplog: pytest.LogCaptureFixture) -> None:
        lines = (five / "journal.jsonl").read_bytes().splitlines(keepends=True)
        for garbage in (b"\x00\xff\n", b"{}\n", b"3\n", lines[0], b'{"index":3,"frame":"x","state":null,"record":{}}\n'):
            (five / "journal.jsonl").write_bytes(b"".join([*lines[:3], garbage, lines[4]]))
            with Workspace.open(five, JOB) as workspace:
                assert workspace.done == 0  # frame 3 was made with the state of frame 2, which is gone
            assert "line 4 is damaged" in caplog.text
            caplog.clear()

    def test_damage_while_the_job_runs_is_told(self, five: Path) -> None:
        with Workspace.open(five, JOB) as workspace:
            (five / "frames" / "000001.tif").write_bytes(b"no picture")
            (five / "state" / "000004.npz").unlink()
            with pytest.raises(WorkspaceError, match=r"000001\.tif: damaged .* run the same command again"):
                workspace.frame(1)
            with pytest.raises(WorkspaceError, match=r"000004\.npz: damaged"):
                workspace.state()


def snapshots(run: Callable[[], None], directory: Path, into: Path) -> Iterator[tuple[Path, int]]:
    """Copies of the directory as a kill before any single line of workspace.py would leave it, with the frames done by then.

    What Python still holds in buffers is not in a copy, as it would not be on disk. Lines that find the directory
    as the line before did share a copy.
    """
    copies: list[Path] = []
    last: list[tuple[str, int, int]] = []

    def look() -> list[tuple[str, int, int]]:
        entries = ((path, path.stat()) for path in directory.rglob("*"))
        return sorted((str(path), status.st_size, status.st_mtime_ns) for path, status in entries)

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != vidstyle.workspace.__file__:
            return None
        nonlocal last
        if event == "line" and directory.exists() and (now := look()) != last:
            last = now
            copies.append(into / str(len(copies)))
            shutil.copytree(directory, copies[-1])
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    for copy in copies:
        journal = copy / "journal.jsonl"
        yield copy, journal.read_bytes().count(b"\n") if journal.exists() else 0


class TestKill:
    def test_at_any_line_of_an_append(self, directory: Path, tmp_path: Path) -> None:
        counts = []
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
            for copy, journal_lines in snapshots(lambda: fill(workspace, 4), directory, tmp_path / "copies"):
                with Workspace.open(copy, JOB) as again:
                    check(again, journal_lines)
                    counts.append(again.done)
                    fill(again, 4)
                    check(again, 4)
                files = {path.name for path in copy.rglob("*") if path.is_file()}
                assert files == {"lock", "job.json", "journal.jsonl", "000003.npz"} | {f"00000{i}.tif" for i in range(4)}
        assert set(counts) == {2, 3, 4}
        assert counts == sorted(counts)
        assert len(counts) >= 16  # three files a frame, each begun, filled and put in place; the old state removed

    def test_at_any_line_of_the_first_opening(self, directory: Path, tmp_path: Path) -> None:
        def run() -> None:
            with Workspace.open(directory, JOB) as workspace:
                fill(workspace, 1)

        for copy, journal_lines in snapshots(run, directory, tmp_path / "copies"):
            with Workspace.open(copy, JOB) as again:
                check(again, journal_lines)
                fill(again, 2)
                check(again, 2)

    @pytest.mark.parametrize("change", [{}, {"settings": "new"}], ids=["remove", "another job"])
    def test_at_any_line_of_clearing(self, directory: Path, tmp_path: Path, change: dict[str, str]) -> None:
        """Whatever is left serves neither as the old job with holes nor as the new one with old frames."""
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)

        def run() -> None:
            with Workspace.open(directory, {**JOB, **change}) as workspace:
                if not change:
                    workspace.remove()

        for number, (copy, _) in enumerate(snapshots(run, directory, tmp_path / "copies")):
            twin = tmp_path / f"twin{number}"
            shutil.copytree(copy, twin)
            with Workspace.open(copy, JOB) as again:
                check(again, again.done)
                assert again.done in (0, 2)
            with Workspace.open(twin, {**JOB, "settings": "new"}) as again:
                check(again, 0)

    def test_at_any_line_of_keeping_a_state_afterwards(self, directory: Path, tmp_path: Path) -> None:
        counts = []
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
            workspace.append(2, picture(2), record(2), None)
            for copy, _ in snapshots(lambda: workspace.keep_state(state(2)), directory, tmp_path / "copies"):
                with Workspace.open(copy, JOB) as again:
                    check(again, again.done)
                    counts.append(again.done)
                    fill(again, 4)
                    check(again, 4)
        assert set(counts) == {2, 3}
        assert counts == sorted(counts)

    def test_at_any_line_of_ending(self, directory: Path, tmp_path: Path) -> None:
        left = []
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 3)
            for copy, _ in snapshots(workspace.end_here, directory, tmp_path / "copies"):
                with Workspace.open(copy, JOB) as again:
                    assert again.done == 3
                    left.append(bool(again.state()))
                    assert bool(list((copy / "state").iterdir())) == left[-1]
        assert left[0]
        assert not left[-1]

    def test_at_any_line_of_dropping(self, directory: Path, tmp_path: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 4)
            for copy, _ in snapshots(lambda: workspace.drop([0, 2]), directory, tmp_path / "copies"):
                with Workspace.open(copy, JOB) as again:
                    assert again.done == 4
                    for index in (1, 3):
                        np.testing.assert_array_equal(again.frame(index), picture(index))
                    fill(again, 5)
                    again.drop([0, 2])
                assert {path.name for path in copy.rglob("*.tif")} == {"000001.tif", "000003.tif", "000004.tif"}

    def test_at_any_line_of_going_back_a_shot(self, directory: Path, tmp_path: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 4, shots=(0, 2))
        (directory / "state" / "000003.npz").unlink()

        def run() -> None:
            Workspace.open(directory, JOB).close()

        for copy, _ in snapshots(run, directory, tmp_path / "copies"):
            with Workspace.open(copy, JOB) as again:
                assert again.done == 2

    def test_for_real(self, directory: Path) -> None:
        """A process that dies with the lock held is no obstacle, and its frames are there."""
        script = (
            "import os, sys, pathlib, numpy\n"
            "from vidstyle.workspace import Workspace\n"
            f"workspace = Workspace.open(pathlib.Path(sys.argv[1]), {JOB!r})\n"
            "workspace.append(0, numpy.zeros((3, 4, 3), 'uint16'), {}, {})\n"
            "os.kill(os.getpid(), 9)\n"
        )
        ended = subprocess.run([sys.executable, "-c", script, str(directory)], check=False)
        assert ended.returncode == -9
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 1


class TestLong:
    def test_a_changed_digit_in_the_journal_is_damage(self, directory: Path) -> None:
        """It would be a film with other times, or a bug, or the loss of everything."""
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 3)
            workspace.drop([0])
        journal = directory / "journal.jsonl"
        whole = journal.read_bytes()
        for old, new in (
            (b'"pts":512', b'"pts":513'),
            (b'"pts":512', b'"pts":"a"'),
            (b'"index":1', b'"index":2'),
            (b'"dropped":[0]', b'"dropped":[1]'),
        ):
            assert old in whole
            journal.write_bytes(whole.replace(old, new))
            with Workspace.open(directory, JOB) as workspace:
                fill(workspace, 3)
                assert [found["pts"] for found in workspace.records()] == [0, 512, 1024]
            for path in (directory / "frames").iterdir():
                path.unlink()
            journal.unlink()
            with Workspace.open(directory, JOB) as workspace:
                fill(workspace, 3)
                workspace.drop([0])

    def test_what_is_said_of_earlier_frames_is_written_behind_them(self, directory: Path) -> None:
        """A journal that is written anew for every shot of a night's film would take longer than the film."""
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 6)
            before = (directory / "journal.jsonl").read_bytes()
            workspace.drop([0, 1])
            workspace.append(6, picture(6), record(6), None)
            workspace.keep_state(state(6))
            after = (directory / "journal.jsonl").read_bytes()
        assert after.startswith(before)
        assert len(after) - len(before) < 600
        with Workspace.open(directory, JOB) as workspace:
            assert [found["pts"] for found in workspace.records()] == [512 * index for index in range(7)]
            assert workspace.record(6) == record(6)
            check_state(workspace, 6)
            with pytest.raises(IndexError, match="was dropped"):
                workspace.frame(1)

    @pytest.mark.parametrize("damaged", [False, True])
    def test_what_was_dropped_for_frames_that_are_lost_is_made_anew(self, directory: Path, damaged: bool) -> None:
        """0 to 2 are a shot, 3 to 5 its second pass, 6 begins another shot."""
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 6)
            workspace.drop([0, 1, 2])
            workspace.append(6, picture(6), record(6), state(6), afresh=True)
        frame = directory / "frames" / "000004.tif"
        if damaged:
            frame.write_bytes(frame.read_bytes()[:-1] + b"x")
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == (0 if damaged else 7)
            fill(workspace, 7, shots=(0, 6))
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 7

    def test_a_frame_leaves_little_in_memory(self, directory: Path) -> None:
        """Its record stays on disk: there may be a night's frames."""
        long = {f"term {number}": 0.1 * number for number in range(40)}
        with Workspace.open(directory, JOB) as workspace:
            taken = []
            tracemalloc.start()
            for index in range(300):
                workspace.append(index, picture(0), {"index": index, "terms": long}, None)
                if index in (99, 299):
                    taken.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
        assert (taken[1] - taken[0]) / 200 < 500
        with Workspace.open(directory, JOB) as workspace:
            assert [record["index"] for record in workspace.records()] == list(range(workspace.done))

    @pytest.mark.parametrize("name", ["journal.jsonl", "job.json"])
    @pytest.mark.parametrize("text", ["[" * 100_000, '{"index":0.0,"frame":1,"state":null,"kept":true,"afresh":true,"record":{}}', "7"])
    def test_what_was_edited_by_hand_is_made_anew(self, name: str, text: str, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
        (directory / name).write_text(text + "\n")
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 0
        assert "damaged" in caplog.text

    def test_a_job_that_is_not_known_any_more_says_that_it_starts_afresh(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
        (directory / "job.json").unlink()
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 0
        assert "job.json was damaged or removed since that run, so the job starts afresh" in caplog.text

    @pytest.mark.parametrize("name", ["frames", "state"])
    def test_a_link_in_its_place_is_told_at_the_beginning(self, name: str, directory: Path, tmp_path: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
        (directory / name).rename(tmp_path / "elsewhere")
        (directory / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(WorkspaceError, match=f"{name}: is a link"):
            Workspace.open(directory, JOB)
        assert list((tmp_path / "elsewhere").iterdir())

    def test_records_from_the_middle_on(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 5, shots=(0, 3))
            assert list(workspace.records(3)) == [record(3), record(4)]
            assert list(workspace.records(5)) == []
            with pytest.raises(IndexError):
                list(workspace.records(6))
            with pytest.raises(IndexError):
                workspace.record(5)
            workspace.drop([1])
            assert list(workspace.records()) == [record(index) for index in range(5)]
            workspace.append(5, picture(5), record(5), state(5))
            assert workspace.record(5) == record(5)

    def test_a_journal_that_is_damaged_while_the_job_runs_is_told(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 3)
            journal = directory / "journal.jsonl"
            journal.write_bytes(b"x" + journal.read_bytes()[1:])
            with pytest.raises(WorkspaceError, match="damaged while the job ran"):
                workspace.record(0)
            assert workspace.record(2) == record(2)


class TestDrop:
    def test_the_picture_is_gone_and_the_record_stays(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 3)
            workspace.drop([1])
            fill(workspace, 4)
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 4
            assert workspace.record(1) == record(1)
            with pytest.raises(IndexError, match="frame 1 was dropped"):
                workspace.frame(1)
            np.testing.assert_array_equal(workspace.frame(2), picture(2))
            with pytest.raises(IndexError):
                workspace.drop([4])

    def test_damage_behind_it_goes_back_to_what_needs_nothing(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 4, shots=(0, 1))
            workspace.drop([1])
        (directory / "frames" / "000003.tif").write_bytes(b"no picture")
        with Workspace.open(directory, JOB) as workspace:
            assert workspace.done == 1


class TestDirectory:
    def test_a_second_process_is_refused(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 1)
            with pytest.raises(WorkspaceError, match="another vidstyle is at work here"):
                Workspace.open(directory, JOB)
            check(workspace, 1)
        Workspace.open(directory, JOB).close()

    def test_a_lock_is_let_go_when_opening_fails(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "thesis.txt").write_text("mine")
        with pytest.raises(WorkspaceError, match=r"thesis\.txt and is no workspace; move it away"):
            Workspace.open(directory, JOB)
        assert [path.name for path in directory.iterdir()] == ["thesis.txt"]
        (directory / "thesis.txt").unlink()
        Workspace.open(directory, JOB).close()

    def test_remove_leaves_nothing(self, directory: Path) -> None:
        workspace = Workspace.open(directory, JOB)
        fill(workspace, 3)
        workspace.remove()
        assert workspace.done == 0
        assert not directory.exists()

    def test_a_workspace_that_is_a_link_is_emptied_and_the_link_goes(self, directory: Path, tmp_path: Path) -> None:
        """As where it lies on a larger disk, which may be mounted there."""
        (tmp_path / "large").mkdir()
        directory.symlink_to(tmp_path / "large")
        remove_remains(directory)
        assert directory.is_symlink()  # for the job that begins now
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
        workspace = Workspace.open(directory, JOB)
        check(workspace, 2)
        workspace.remove()
        assert not directory.is_symlink()
        assert list((tmp_path / "large").iterdir()) == []

    def test_remains_of_a_removal_go(self, directory: Path, tmp_path: Path) -> None:
        """Wherever the removal was killed; and nothing else goes."""
        owner = Workspace.open(directory, JOB)
        fill(owner, 3)
        remove_remains(directory)
        check(owner, 3)
        for number, (copy, _) in enumerate(snapshots(owner.remove, directory, tmp_path / "copies")):
            whole = (copy / "journal.jsonl").exists()
            remove_remains(copy)
            assert copy.exists() == whole, number
        assert number > 3

    @pytest.mark.parametrize("name", ["notes.txt", "frames/mine.tif"])
    def test_what_is_no_workspace_does_not_go(self, name: str, directory: Path) -> None:
        (directory / "frames").mkdir(parents=True)
        (directory / name).write_text("mine")
        remove_remains(directory)
        assert (directory / name).read_text() == "mine"
        remove_remains(directory / "nowhere")

    def test_what_an_older_version_has_left_is_cleared(self, directory: Path) -> None:
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
        (directory / "frames" / "000001.tif").rename(directory / "frames" / "000001.png")
        job = directory / "job.json"
        job.write_text(job.read_text().replace('"format": 3', '"format": 2'))
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 0)
            assert list((directory / "frames").iterdir()) == []

    def test_remove_spares_what_is_not_its_own(self, directory: Path) -> None:
        workspace = Workspace.open(directory, JOB)
        fill(workspace, 2)
        (directory / "notes.txt").write_text("mine")
        (directory / "frames" / "mine.tif").write_text("mine")
        workspace.remove()
        assert sorted(path.name for path in directory.rglob("*") if path.is_file()) == ["mine.tif", "notes.txt"]

    def test_a_workspace_removed_by_another_is_made_again(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between opening the lock's file and locking it, its owner ends and removes everything."""
        owner = Workspace.open(directory, JOB)
        flock = vidstyle.workspace.fcntl.flock
        calls = []

        def late(descriptor: int, operation: int) -> None:
            if not calls:
                owner.remove()
            calls.append(descriptor)
            flock(descriptor, operation)

        monkeypatch.setattr(vidstyle.workspace.fcntl, "flock", late)
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 1)
            assert len(calls) == 2
            with pytest.raises(WorkspaceError, match="at work"):
                Workspace.open(directory, JOB)

    def test_a_file_in_its_place(self, directory: Path) -> None:
        directory.write_text("a file")
        with pytest.raises(WorkspaceError, match=r"out\.mp4\.vidstyle: cannot be used as workspace: File exists"):
            Workspace.open(directory, JOB)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_an_unwritable_place(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(WorkspaceError, match="Permission denied"):
                Workspace.open(tmp_path / "x.vidstyle", JOB)
        finally:
            tmp_path.chmod(0o700)

    def test_a_full_disk_says_so_and_spares_the_frames_before(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.fsync
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 2)
            for failing in range(1, 7):
                calls = 0

                def fsync(descriptor: int, failing: int = failing) -> None:
                    nonlocal calls
                    calls += 1
                    if calls == failing:
                        raise OSError(28, "No space left on device")
                    real(descriptor)

                monkeypatch.setattr(os, "fsync", fsync)
                with pytest.raises(WorkspaceError, match="the disk is full; free some space and run the same command again"):
                    fill(workspace, 3)
                monkeypatch.undo()
                check(workspace, 2)
            fill(workspace, 4)  # the same process may go on once there is room
        with Workspace.open(directory, JOB) as workspace:
            check(workspace, 4)
        lines = (directory / "journal.jsonl").read_text().splitlines()
        assert [json.loads(line[9:])["index"] for line in lines] == [0, 1, 2, 3]

    def test_a_limit_of_files_sizes_is_told_for_what_it_is(self, directory: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with Workspace.open(directory, JOB) as workspace:
            fill(workspace, 1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
            try:
                with pytest.raises(
                    WorkspaceError, match=r"as large as that .* raise the limit \(ulimit -f\), .* run the same command again"
                ):
                    fill(workspace, 2)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            check(workspace, 1)
            fill(workspace, 2)
            check(workspace, 2)


class TestWritingBehind:
    @staticmethod
    def append(behind: WritingBehind, index: int) -> None:
        behind.append(index, picture(index), record(index), state(index), afresh=index == 0)

    def test_what_is_read_is_what_was_appended_on_disk_or_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The disk is slow: the newest frame comes from memory while it is being written."""
        go_on = threading.Event()
        commit = vidstyle.workspace._commit

        def slow(path: Path, write: Callable[[Any], object]) -> int:
            assert go_on.wait(10)
            return commit(path, write)

        with Workspace.open(tmp_path / "job", JOB) as workspace:
            monkeypatch.setattr(vidstyle.workspace, "_commit", slow)
            with WritingBehind(workspace) as behind:
                assert behind.state() == {}
                self.append(behind, 0)
                assert (behind.done, workspace.done) == (1, 0)
                np.testing.assert_array_equal(behind.frame(0), picture(0))
                for name, values in state(0).items():
                    np.testing.assert_array_equal(behind.state()[name], values)
                go_on.set()
                for index in (1, 2):
                    self.append(behind, index)
                    assert behind.done == index + 1
                    for earlier in range(index + 1):
                        np.testing.assert_array_equal(behind.frame(earlier), picture(earlier))
            check(workspace, 3)

    def test_only_one_frame_waits(self, tmp_path: Path) -> None:
        with Workspace.open(tmp_path / "job", JOB) as workspace, WritingBehind(workspace) as behind:
            for index in range(4):
                self.append(behind, index)
                assert workspace.done >= index

    @staticmethod
    def slow_states(monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Makes writing a state slow; the names of those that are written."""
        commit, names = vidstyle.workspace._commit, []

        def slow(path: Path | str, write: Callable[[Any], object]) -> int:
            if str(path).endswith(".npz"):
                names.append(Path(path).name)
                time.sleep(0.05)
            return commit(path, write)

        monkeypatch.setattr(vidstyle.workspace, "_commit", slow)
        return names

    @pytest.mark.parametrize("error", [None, KeyboardInterrupt])
    def test_states_that_hold_up_are_kept_now_and_then_and_at_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
    ) -> None:
        states = self.slow_states(monkeypatch)
        with Workspace.open(tmp_path / "job", JOB) as workspace:
            with contextlib.suppress(KeyboardInterrupt), WritingBehind(workspace) as behind:
                for index in range(30):
                    self.append(behind, index)
                if error is not None:
                    raise error
            check(workspace, 30)
        assert states[0] == "000000.npz"
        assert states[-1] == "000029.npz"
        assert len(states) < 15

    def test_before_pictures_are_dropped_the_state_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slow_states(monkeypatch)
        with Workspace.open(tmp_path / "job", JOB) as workspace, WritingBehind(workspace) as behind:
            for index in range(4):
                self.append(behind, index)
            behind.drop([0, 1])
            assert (tmp_path / "job" / "state" / "000003.npz").exists()

    @pytest.mark.parametrize("last", [True, False])
    def test_what_could_not_be_written_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: bool) -> None:
        """By the next frame, or at the end; the frames before are unharmed."""

        def full(path: Path, write: Callable[[Any], object]) -> int:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        with Workspace.open(tmp_path / "job", JOB) as workspace:
            fill(workspace, 1)
            monkeypatch.setattr(vidstyle.workspace, "_commit", full)
            with pytest.raises(WorkspaceError, match="the disk is full"), WritingBehind(workspace) as behind:  # noqa: PT012
                self.append(behind, 1)
                if not last:
                    self.append(behind, 2)
            check(workspace, 1)

    def test_what_was_appended_is_kept_when_the_job_is_interrupted(self, tmp_path: Path) -> None:
        with Workspace.open(tmp_path / "job", JOB) as workspace:
            with contextlib.suppress(KeyboardInterrupt), WritingBehind(workspace) as behind:
                self.append(behind, 0)
                raise KeyboardInterrupt
            check(workspace, 1)
