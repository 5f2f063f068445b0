"""The benchmarks can be started; what they measure is not tested here."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import machine

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
    assert json.loads(machine.save("x", [{"clip": "c"}]).read_text())["figures"] == [{"clip": "c"}]
