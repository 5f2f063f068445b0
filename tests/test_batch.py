"""A directory of everything: one failure does not stop the rest, and a second run goes on."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

import cv2
import pytest

from tests.clips import make_clip
from tests.jobs import Recorder
from tests.scenes import Scene, procedural_picture
from vidstyle.batch import plan_batch, stylize_batch
from vidstyle.errors import UsageError
from vidstyle.pipeline import JobOptions
from vidstyle.settings import Settings

SCENE = Scene(size=(32, 48))
QUICK = Settings.from_mapping({"optimize": {"iterations": 1, "first_iterations": 2}})


@pytest.fixture
def style(tmp_path: Path) -> Path:
    path = tmp_path / "style.png"
    cv2.imwrite(str(path), procedural_picture(40, 40, seed=3))
    return path


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "shots").mkdir(parents=True)
    make_clip(folder / "clip.mp4", [SCENE.frame(t) for t in range(2)])
    make_clip(folder / "old.avi", [SCENE.frame(t) for t in range(2)], codec="mpeg4")
    cv2.imwrite(str(folder / "photo.png"), SCENE.frame(0))
    cv2.imwrite(str(folder / "shots" / "f1.png"), SCENE.frame(0))
    (folder / "broken.mp4").write_text("no film")
    (folder / "notes.txt").write_text("not media")
    return folder


def test_one_failure_does_not_stop_the_rest(everything: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "out"
    with caplog.at_level(logging.WARNING, "vidstyle"):
        result = stylize_batch(everything, [style], output, QUICK)
    assert sorted(path.name for path in result.done) == ["clip.mp4", "old.mp4", "photo.png", "shots"]
    assert all(path.exists() for path in result.done)
    assert [path.name for path, _ in result.failed] == ["broken.mp4"]
    assert not (output / "broken.mp4").exists()
    assert "left out" in caplog.text  # the notes


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize("bad", ["loop.png", f"{'n' * 251}.png", f"{'n' * 252}.ts"], ids=["loop", "long", "longer result"])
def test_an_input_that_no_result_can_come_of_fails_alone(bad: str, logged: bool, style: Path, tmp_path: Path) -> None:
    folder, log = tmp_path / "in", tmp_path / "log.jsonl"
    folder.mkdir()
    for name in ("a.png", "z.png"):
        cv2.imwrite(str(folder / name), SCENE.frame(0))
    if bad.startswith("loop"):
        (folder / bad).symlink_to(bad)
    elif bad.endswith(".ts"):
        make_clip(tmp_path / "clip.mp4", [SCENE.frame(t) for t in range(2)], codec="mpeg4").rename(folder / bad)
    else:
        (folder / bad).write_bytes((folder / "a.png").read_bytes())
    result = stylize_batch(folder, [style], tmp_path / "out", QUICK, JobOptions(log_json=log if logged else None))
    assert [path.name for path in result.done] == ["a.png", "z.png"]
    ((path, error),) = result.failed
    assert path == folder / bad
    assert isinstance(error, UsageError)
    assert not logged or len(log.read_text().splitlines()) == 2


def test_a_failure_has_its_number(everything: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = stylize_batch(everything, [style], tmp_path / "out", QUICK)
    ((_, error),) = result.failed
    assert f"{error} [V{error.number}]" in caplog.messages
    assert result.seconds > 0


def test_progress_is_told_whose_job_begins(style: Path, tmp_path: Path) -> None:
    told = []

    class Listener(Recorder):
        def job(self, name: str) -> None:
            told.append(name)

    stylize_batch(two_pictures(tmp_path), [style], tmp_path / "out", QUICK, progress=Listener())
    assert told == ["a.png (1 of 2)", "b.png (2 of 2)"]


def numbered_shots(directory: Path) -> Path:
    """Two shots, frames 1001 to 1003 each."""
    for shot in ("sh010", "sh020"):
        (directory / "shots" / shot).mkdir(parents=True)
        for number in range(1001, 1004):
            cv2.imwrite(str(directory / "shots" / shot / f"{shot}.{number}.png"), SCENE.frame(number - 1001))
    return directory / "shots"


FRAMES = Settings.layered([{"optimize": {"iterations": 1, "first_iterations": 2}, "run": {"frames": "1002-1003"}}])


def test_a_range_of_frames_goes_by_the_numbers_in_every_directory(style: Path, tmp_path: Path) -> None:
    result = stylize_batch(numbered_shots(tmp_path), [style], tmp_path / "out", FRAMES)
    assert not result.failed
    for shot in ("sh010", "sh020"):
        assert sorted(path.name for path in (tmp_path / "out" / shot).iterdir()) == [f"{shot}.1002.png", f"{shot}.1003.png"]


def test_a_range_of_frames_of_what_has_no_numbers_is_refused_before_the_work(style: Path, tmp_path: Path) -> None:
    shots = numbered_shots(tmp_path)
    cv2.imwrite(str(shots / "sh020" / "other.png"), SCENE.frame(0))
    with pytest.raises(UsageError, match=r"--frames 1002-1003: .*sh020 is no directory of pictures numbered alike"):
        stylize_batch(shots, [style], tmp_path / "out", FRAMES)
    assert not list((tmp_path / "out").iterdir())


def test_numbered_pictures_beside_each_other_are_told_apart_from_a_film(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.1001.png", "a.1002.png", "b.png", "c.1.png", "c.7.png", "clip1.mp4", "clip2.mp4"):
        (tmp_path / name).touch()
    plan_batch(tmp_path)
    (said,) = caplog.messages
    assert "2 files numbered like the frames of a film are painted one by one" in said
    assert str(tmp_path / "a.%04d.png") in said


def test_what_is_there_already_is_left(everything: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = stylize_batch(everything, [style], output, QUICK)
    times = {path: path.stat().st_mtime_ns for path in first.done}
    second = stylize_batch(everything, [style], output, QUICK)
    assert second.done == first.done
    assert {path: path.stat().st_mtime_ns for path in second.done} == times


def test_a_workspace_beside_what_is_there_is_kept_and_told(style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A job may have been killed between its output's appearance and the end, or when it was to make that anew."""
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    cv2.imwrite(str(source / "a.png"), SCENE.frame(0))
    stylize_batch(source, [style], output, QUICK, JobOptions(keep_workspace=True))
    frames = sorted((output / "a.png.vidstyle" / "frames").iterdir())
    stylize_batch(source, [style], output, QUICK)
    assert sorted((output / "a.png.vidstyle" / "frames").iterdir()) == frames != []
    assert "a.png.vidstyle holds frames" in caplog.text


def test_results_inside_the_input_are_not_painted_again(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "photo.png"), SCENE.frame(0))
    for _ in range(2):
        result = stylize_batch(folder, [style], folder / "out", QUICK)
        assert [path.name for path in result.done] == ["photo.png"]
        assert not result.failed


def test_who_keeps_its_name_comes_before_who_changes_it(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "a.avi", 1, codec="mpeg4")
    make_clip(folder / "a.mp4", 1)
    result = stylize_batch(folder, [style], tmp_path / "out", QUICK)
    assert [path.name for path in result.done] == ["a.mp4"]
    assert [path.name for path, _ in result.failed] == ["a.avi"]


def test_two_inputs_for_one_output(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "a.m4v", 1, codec="mpeg4", format="mp4")
    make_clip(folder / "a.mp4", 1)
    result = stylize_batch(folder, [style], tmp_path / "out", QUICK)
    names = {path.name for path in result.done}
    assert len(names) == len(result.done)
    assert len(result.done) + len(result.failed) == 2


def test_nonsense_is_refused(style: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no video"):
        plan_batch(tmp_path / "empty")
    with pytest.raises(UsageError, match="--batch"):
        stylize_batch(style, [style], tmp_path / "out", QUICK)
    with pytest.raises(UsageError, match="input too"):
        stylize_batch(tmp_path, [style], tmp_path, QUICK)
    with pytest.raises(UsageError, match="directory"):
        stylize_batch(tmp_path, [style], style, QUICK)


def test_the_log_holds_every_job(everything: Path, style: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('from before\n{"output": "other.mkv"}\n')
    result = stylize_batch(everything, [style], tmp_path / "out", QUICK, JobOptions(log_json=log))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 2 + 2 + 1 + 1
    assert {line["output"] for line in lines} == {str(path) for path in result.done}


def two_pictures(directory: Path) -> Path:
    source = directory / "in"
    source.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(source / name), SCENE.frame(0))
    return source


def test_the_log_keeps_what_it_says_of_results_that_are_left(style: Path, tmp_path: Path) -> None:
    source, log = two_pictures(tmp_path), tmp_path / "log.jsonl"
    options = JobOptions(log_json=log)
    stylize_batch(source, [style], tmp_path / "out", QUICK, options)
    (tmp_path / "out" / "b.png").unlink()
    log.write_bytes(log.read_bytes() + log.read_bytes().splitlines()[-1][:40])  # killed in the middle of a line
    stylize_batch(source, [style], tmp_path / "out", QUICK, options)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [Path(line["output"]).name for line in lines] == ["a.png", "b.png"]


def test_a_log_that_is_a_link_stays_one(style: Path, tmp_path: Path) -> None:
    source, log = two_pictures(tmp_path), tmp_path / "log"
    log.symlink_to("target.jsonl")
    (tmp_path / "target.jsonl").write_text("from before\n")
    stylize_batch(source, [style], tmp_path / "out", QUICK, JobOptions(log_json=log))
    assert log.is_symlink()
    assert len((tmp_path / "target.jsonl").read_text().splitlines()) == 2


def test_a_log_that_is_a_pipe_brings_the_lines_of_every_job(style: Path, tmp_path: Path) -> None:
    source, pipe = two_pictures(tmp_path), tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(pipe.read_text().splitlines()), daemon=True)
    reader.start()
    stylize_batch(source, [style], tmp_path / "out", QUICK, JobOptions(log_json=pipe))
    reader.join(10)
    assert pipe.is_fifo()
    assert [Path(json.loads(line)["output"]).name for line in heard] == ["a.png", "b.png"]


def test_a_log_in_the_workspace_of_a_job_to_come_is_refused(style: Path, tmp_path: Path) -> None:
    source = two_pictures(tmp_path)
    journal = tmp_path / "out" / "b.png.vidstyle" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("precious\n")
    with pytest.raises(UsageError, match=r"is kept in b\.png\.vidstyle"):
        stylize_batch(source, [style], tmp_path / "out", QUICK, JobOptions(log_json=journal))
    assert journal.read_text() == "precious\n"
