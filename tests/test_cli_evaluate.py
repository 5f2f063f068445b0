"""`vidstyle-eval` as a user calls it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
import pytest

from tests.clips import make_clip
from tests.scenes import Scene, procedural_picture
from vidstyle.cli.evaluate import main
from vidstyle.flow import make_estimator, write_flow
from vidstyle.frames import FlowField
from vidstyle.media import open_source
from vidstyle.pixels import resized
from vidstyle.settings import RunSettings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with clip.mp4, the same clip as frames in painted/, and style.jpg; the working directory."""
    make_clip(tmp_path / "clip.mp4", 14)
    (tmp_path / "painted").mkdir()
    with open_source(tmp_path / "clip.mp4", RunSettings()) as medium:
        for frame in medium.frames():
            cv2.imwrite(str(tmp_path / "painted" / f"{frame.index}.png"), frame.rgb[..., ::-1])
    cv2.imwrite(str(tmp_path / "style.jpg"), procedural_picture(64, 64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_and_a_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clip.mp4", "painted", "--style", "style.jpg", "--json", "report.json"]) == 0
    table = capsys.readouterr().out
    for word in ("14 frames of 64×48", "motion by dis", "warping error, gap 1", "gap 10", "flicker", "style loss", "least steady"):
        assert word in table
    report = json.loads(Path("report.json").read_text())
    assert report["gap1"]["ratio"] == pytest.approx(1)
    assert report["flow"] == "dis"
    assert "VGG-19" in report["normalisation"]
    assert report["content"] == pytest.approx(0, abs=1)
    assert report["style"] > 1000
    assert len(report["frames"]["style"]) == 14
    assert not list(place.glob("*.part"))


def test_a_report_that_cannot_be_written_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(report: object, stream: TextIO) -> None:
        stream.write("{")
        raise KeyboardInterrupt

    monkeypatch.setattr("vidstyle.cli.evaluate._dump", interrupted)
    assert main(["clip.mp4", "painted", "--no-losses", "--json", "report.json", "-q"]) == 130
    assert not list(place.glob("report*"))


def test_a_smaller_result_is_compared_at_its_size(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(place / "small.mp4", 14, size=(32, 24))
    assert main(["clip.mp4", "small.mp4", "--no-losses", "--gaps", "2"]) == 0
    assert "32×24" in (table := capsys.readouterr().out)
    assert "gap 2" in table
    assert "content loss" not in table


def test_a_part_begins_where_it_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(5):
        (place / "painted" / f"{index}.png").unlink()
    assert main(["clip.mp4", "painted", "--start", "5f", "--no-losses", "--json", "part.json"]) == 0
    report = json.loads(Path("part.json").read_text())
    assert report["compared"] == 9
    assert report["gap1"]["ratio"] == pytest.approx(1)
    assert capsys.readouterr().err == ""


def test_true_flow_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    scene = Scene(size=(64, 96), pan=(2, 0), zoom=1, turn=0, disc_radius=0)
    for name in ("film", "flow", "hidden"):
        Path(name).mkdir()
    for t in range(3):
        cv2.imwrite(f"film/{t}.png", scene.frame(t)[..., ::-1])
    for t in range(2):
        write_flow(Path(f"flow/{t}.flo"), scene.flow(t, t + 1))
        cv2.imwrite(f"hidden/{t}.png", np.zeros((64, 96), np.uint8))
    assert main(["film", "film", "--no-losses", "--ground-truth", "flow", "--occlusions", "hidden", "--json", "r.json"]) == 0
    assert json.loads(Path("r.json").read_text())["true_flow"]["result"] == pytest.approx(0, abs=1e-9)
    assert "with the true flow" in capsys.readouterr().out


def test_flow_from_files_is_taken(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_source(place / "clip.mp4", RunSettings()) as medium:
        film = [frame.rgb for frame in medium.frames()]
    dis = make_estimator("dis")
    Path("flow").mkdir()
    for number in range(1, 14):
        write_flow(Path(f"flow/backward_{number + 1}_{number}.flo"), dis(film[number], film[number - 1]))
        write_flow(Path(f"flow/forward_{number}_{number + 1}.flo"), dis(film[number - 1], film[number]))
    for flow in ("flow", "dis"):
        assert main(["clip.mp4", "painted", "--flow", flow, "--no-losses", "--json", f"{flow}.json"]) == 0
    files, estimated = (json.loads(Path(f"{flow}.json").read_text()) for flow in ("flow", "dis"))
    assert files["gap1"] == estimated["gap1"]
    assert (files["gap10"]["pairs"], estimated["gap10"]["pairs"]) == (0, 4)
    assert "motion by flow" in capsys.readouterr().out
    assert main(["clip.mp4", "painted", "--ground-truth", "flow", "--no-losses"]) == 2
    assert "go with --flow" in capsys.readouterr().err


def true_flow(count: int) -> None:
    Path("truth").mkdir()
    for index in range(count):
        write_flow(Path(f"truth/frame_{index + 1:04}.flo"), FlowField(np.zeros((2, 48, 64), np.float32)))


def test_fields_that_are_missing_or_too_few_are_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true_flow(10)
    assert main(["clip.mp4", "painted", "--ground-truth", "truth", "--no-losses"]) == 0
    assert "10 fields for 14 frames" in capsys.readouterr().err
    Path("truth/frame_0004.flo").unlink()
    assert main(["clip.mp4", "painted", "--ground-truth", "truth", "--no-losses"]) == 2
    assert "between frame_0003.flo and frame_0005.flo fields are missing" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["clip.mp4", "painted/0.png", "style.jpg"])
def test_an_input_is_never_written_over(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(name).read_bytes()
    words = ["clip.mp4", name if name.startswith("painted") else "painted", "--style", "style.jpg", "--json", name]
    assert main(words) == 2
    assert "is an input" in capsys.readouterr().err
    assert Path(name).read_bytes() == before


def test_nor_is_what_lies_in_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("painted/notes.json").write_text("{}")
    before = Path("painted/0.png").read_bytes()
    assert main(["clip.mp4", "painted", "--no-losses", "--json", "painted/0.png"]) == 2
    assert "is an input" in capsys.readouterr().err
    assert Path("painted/0.png").read_bytes() == before
    assert main(["clip.mp4", "painted", "--no-losses", "-q", "--json", "painted/notes.json"]) == 0


def test_a_link_is_followed_and_stays(place: Path) -> None:
    Path("real.json").write_text("{}")
    Path("link.json").symlink_to("real.json")
    assert main(["clip.mp4", "painted", "--no-losses", "-q", "--json", "link.json"]) == 0
    assert Path("link.json").is_symlink()
    assert json.loads(Path("real.json").read_text())["compared"] == 14


def test_json_to_a_link_that_leads_to_itself(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "loop.json").symlink_to("loop.json")
    assert main(["source.mkv", "result.mkv", "--json", "loop.json"]) == 2
    assert "loop.json: is a link that leads back to itself" in capsys.readouterr().err


def test_a_dash_prints_the_json_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clip.mp4", "painted", "--no-losses", "--json", "-", "--judge-every", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["options"]["judge_every"] == 3
    assert report["options"]["start"] is None
    assert not Path("-").exists()


def test_another_rate_is_said_and_can_be_given(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_source(place / "clip.mp4", RunSettings(fps=12)) as medium:
        half = [frame.rgb for frame in medium.frames()]
    make_clip(place / "half.mkv", half, rate=12, codec="ffv1", pix_fmt="bgr0")
    assert main(["clip.mp4", "half.mkv", "--no-losses"]) == 0
    assert "12 frames a second" in capsys.readouterr().err
    assert main(["clip.mp4", "half.mkv", "--no-losses", "--fps", "12", "--json", "half.json"]) == 0
    assert capsys.readouterr().err == ""
    report = json.loads(Path("half.json").read_text())
    assert report["gap1"]["ratio"] == pytest.approx(1)
    assert report["rate"] == 12


def test_a_source_in_frames_has_the_rate_of_its_result(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_source(place / "clip.mp4", RunSettings()) as medium:
        make_clip(place / "fast.mkv", [frame.rgb for frame in medium.frames()], rate=60, codec="ffv1", pix_fmt="bgr0")
    assert main(["painted", "fast.mkv", "--no-losses", "--json", "fast.json"]) == 0
    assert json.loads(Path("fast.json").read_text())["rate"] == 60
    assert capsys.readouterr().err == ""


def test_a_film_too_short_for_flicker_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(place / "short.mkv", 4)
    assert main(["short.mkv", "short.mkv", "--no-losses"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("flicker"))
    assert line.split()[-3:] == ["–"] * 3


def test_nobody_elses_file_is_touched_on_the_way(place: Path) -> None:
    Path("report.json.part").write_text("mine")
    assert main(["clip.mp4", "painted", "--no-losses", "-q", "--json", "report.json"]) == 0
    assert Path("report.json.part").read_text() == "mine"
    assert {path.name for path in place.glob("report*")} == {"report.json", "report.json.part"}


def test_too_small_for_the_losses_says_what_to_do(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(place / "tiny.mkv", 2, size=(16, 12))
    assert main(["clip.mp4", "tiny.mkv", "--style", "style.jpg"]) == 2
    assert "use --no-losses" in capsys.readouterr().err
    assert main(["clip.mp4", "tiny.mkv"]) == 0  # the content's layer needs 8 pixels
    assert main(["clip.mp4", "tiny.mkv", "--style", "style.jpg", "--no-losses"]) == 0


def test_warnings_are_the_programs_own_when_the_module_is_run(place: Path) -> None:
    make_clip(place / "short.mkv", 4)
    command = [sys.executable, "-m", "vidstyle.cli.evaluate", "clip.mp4", "short.mkv", "--no-losses"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "vidstyle: warning: the result ends" in told
    assert subprocess.run([*command, "-q"], capture_output=True, text=True, check=True).stderr == ""


def test_a_result_of_odd_height_is_compared_with_the_source_resized_once(place: Path) -> None:
    Path("odd").mkdir()
    with open_source(place / "clip.mp4", RunSettings()) as medium:
        for frame in medium.frames():
            cv2.imwrite(f"odd/{frame.index}.png", resized(frame.rgb, (23, 31))[..., ::-1])
    assert main(["clip.mp4", "odd", "--no-losses", "-q", "--json", "odd.json"]) == 0
    assert json.loads(Path("odd.json").read_text())["gap1"]["ratio"] == pytest.approx(1)


def test_the_module_runs_too(place: Path) -> None:
    told = subprocess.run([sys.executable, "-m", "vidstyle.cli.evaluate", "clip.mp4", "none"], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "none: no such file" in told.stderr


def test_figures_beyond_their_column_stay_apart() -> None:
    from vidstyle.cli.evaluate import _figure

    assert _figure(21.9411, 9, 3) == "   21.941"
    assert _figure(1.08e32, 9, 3) == " 1.08e+32"
    assert _figure(-123456.7, 9, 3) == "-1.23e+05"
    assert _figure(None, 9, 3) == "        –"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "SOURCE, RESULT"),
        (["clip.mp4"], 2, "RESULT"),
        (["none.mp4", "painted"], 2, "none.mp4: no such file"),
        (["clip.mp4", "painted", "--style", "none.jpg"], 2, "STYLE none.jpg: no such file"),
        (["clip.mp4", "painted", "--flow", "diss"], 2, "did you mean dis?"),
        (["clip.mp4", "painted", "--gaps", "0"], 2, "whole number"),
        (["clip.mp4", "painted", "--gap", "1"], 2, "unrecognized arguments"),
        (["clip.mp4", "painted", "--ground-truth", "nowhere"], 2, "nowhere: there is no such directory"),
        (["clip.mp4", "painted", "--ground-truth", "painted/"], 1, "no flow field"),
        (["clip.mp4", "painted", "--occlusions", "painted"], 2, "go with --ground-truth"),
        (["clip.mp4", "painted", "--json", "nowhere/a.json"], 2, "its directory does not exist"),
        (["clip.mp4", "painted", "--json", "painted"], 2, "is a directory"),
        (["clip.mp4", "style.jpg"], 2, "another shape"),
        (["clip.mp4", "painted", "--start", "soon"], 2, "--start"),
        (["clip.mp4", "painted", "--fps", "0"], 2, "--fps"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], code: int, said: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--no-losses"] if words else words) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert "Traceback" not in told


def test_quiet_says_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clip.mp4", "painted", "--no-losses", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_pipe_is_written_to_and_stays_one(place: Path) -> None:
    """What is no ordinary file must not be replaced by one: as root that would take a device away."""
    os.mkfifo("report")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("report").read_text()))
    reader.start()
    assert main(["clip.mp4", "painted", "--no-losses", "-q", "--json", "report"]) == 0
    reader.join(10)
    assert json.loads(read[0])["compared"] == 14
    assert stat.S_ISFIFO(os.stat("report").st_mode)
