"""The benchmarks can be started; what they measure is not tested here."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import gpu, machine, scaling, speed

MODULES = sorted(path.stem for path in Path(machine.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_can_be_imported(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert name == "machine" or callable(module.main)


def test_what_other_jobs_were_measured_on_stays_with_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    here = {"gpu": None, "revision": "one"}
    monkeypatch.setattr(machine, "describe_machine", lambda: here)
    machine.save("x", [{"clip": "a", "seconds": 1}, {"clip": "b", "seconds": 2}], "clip")
    there = {"gpu": "a large one", "revision": "two"}
    monkeypatch.setattr(machine, "describe_machine", lambda: there)
    path = machine.save("x", [{"clip": "b", "seconds": 3}], "clip")
    found = json.loads(path.read_text())
    assert found["machine"] == there
    assert found["figures"] == [{"clip": "a", "seconds": 1, "machine": here}, {"clip": "b", "seconds": 3}]
    path = machine.save("x", [{"clip": "b", "from": 40}], "clip", "from")
    assert [row.get("from") for row in json.loads(path.read_text())["figures"]] == [None, None, 40]
    assert json.loads(machine.save("x", [{"clip": "c"}]).read_text())["figures"] == [{"clip": "c"}]


def test_two_runs_on_a_gpu_are_told_apart(tmp_path: Path) -> None:
    for run, content in (("one", b"a"), ("two", b"a"), ("three", b"b")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "0000.png").write_bytes(content)
    assert gpu.same_bytes(tmp_path / "one", tmp_path / "two")
    assert not gpu.same_bytes(tmp_path / "one", tmp_path / "three")
    (tmp_path / "two" / "0001.png").touch()
    assert not gpu.same_bytes(tmp_path / "one", tmp_path / "two")


def test_if_flow_were_free_a_frame_takes_its_steps_and_their_recording() -> None:
    job = {"size": "4×3", "precision": "tf32", "steps_a_frame": 20.0}
    steps = [
        {"size": "4×3", "precision": "float32", "milliseconds": 9.0, "milliseconds_to_record": 9.0},
        {"size": "4×3", "precision": "tf32", "milliseconds": 2.0, "milliseconds_to_record": 10.0},
    ]
    assert gpu.if_flow_were_free(job, steps) == 20


def test_programs_that_are_not_here_are_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "OTHERS", {"json": "json==1", "no_such_program": "no-such-program==2"})
    monkeypatch.setattr(speed, "measure", lambda *arguments: pytest.fail("measures"))
    monkeypatch.setattr("sys.argv", ["speed"])
    with pytest.raises(SystemExit) as left:
        speed.main()
    assert left.value.code == 1
    assert capsys.readouterr() == ("", "not all of the other programs are here; pip install no-such-program==2\n")


def test_every_program_is_saved_as_soon_as_it_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(options: object, flags: object, scratch: object, keep: Callable[[speed.Row], speed.Row]) -> None:
        keep({"program": "one", "seconds_a_frame": 2})["times_pastiche"] = 3
        raise KeyboardInterrupt

    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    monkeypatch.setattr(speed, "OTHERS", {})
    monkeypatch.setattr(speed, "measure", measured)
    monkeypatch.setattr("sys.argv", ["speed", "--clip", "a.mp4"])
    with pytest.raises(KeyboardInterrupt):
        speed.main()
    assert [row["program"] for row in json.loads((tmp_path / "speed.json").read_text())["figures"]] == ["one"]


def test_a_film_on_many_workers_is_simulated_as_the_cluster_hands_it_out() -> None:
    shots = [(1, False)] * 5
    assert scaling.makespan(shots, [2, 3, 2, 3, 2], 1) == 12
    assert scaling.makespan(shots, [2, 3, 2, 3, 2], 2) == 7, "the longest first: 3 and 3, 2 and 2, then 2; six would be the best there is"
    assert scaling.makespan(shots, [2, 3, 2, 3, 2], 9) == 3
    assert scaling.makespan([(1, False), (1, False), (1, True), (1, False), (1, True)], [5, 2, 1, 3, 4], 9) == 7, (
        "what joins 2 and 3 begins at 3"
    )
    assert scaling.units([10, 25], None) == [(10, False), (25, False)]
    assert scaling.units([10, 25], 10) == [(10, False), (8, False), (8, False), (6, True), (9, False), (6, True)]
    painter = scaling.Painter("", first=10.0, following=1.0, walk=0.1, join=0.2, start=5.0)
    assert painter.cost((8, False)) == pytest.approx(0.8 + 10 + 7)
    assert painter.cost((4, True)) == pytest.approx(0.5 + 4), "the frame before is read too"
    one, two, *_ = scaling.simulate(painter, "a film", [100, 100], None)
    assert one["hours"] == round((200 * 0.3 + 5 + 2 * (10 + 10 + 99)) / 3600, 3)
    assert two["hours"] == round((200 * 0.3 + 5 + 10 + 10 + 99) / 3600, 3)
    assert two["idle"] == pytest.approx(1 - 238 / (2 * 184), abs=1e-4)
    assert scaling.end_of_scaling(scaling.simulate(painter, "a film", [100, 100], None)) == 2


def test_the_simulated_film_is_as_long_as_it_says() -> None:
    for faster in (1, 2):
        lengths = scaling.shots(faster)
        assert len(lengths) == 666 * faster
        assert sum(lengths) == pytest.approx(90 * 60 * 24, rel=0.002)
        assert max(lengths) / 24 * faster == pytest.approx(168, rel=0.05)
