"""What can be said of the Dockerfile without Docker."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), lines joined, without remarks."""
    lines = [line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(words[0], " ".join(words[1].split())) for line in joined.splitlines() if (words := line.split(maxsplit=1))]


def of(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def copied() -> list[tuple[str, str]]:
    """(file or directory of the checkout, where it goes)."""
    return [(source, words[-1]) for words in map(str.split, of("COPY")) for source in words[:-1]]


def ignored(name: str) -> bool:
    """Whether .dockerignore keeps a file of the top level out: the last line that fits decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        if fnmatch.fnmatch(name, line.removeprefix("!")):
            verdict = not line.startswith("!")
    return verdict


def test_every_file_that_is_copied_exists_and_is_let_through() -> None:
    assert len(copied()) >= 4
    for source, _ in copied():
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    for secret in (".git", ".venv", "sample_media", "benchmarks", "out.mp4"):
        assert ignored(secret), secret


def test_the_base_can_be_chosen_and_has_a_python_that_is_new_enough() -> None:
    names = [name for name, _ in instructions()]
    assert names.index("ARG") < names.index("FROM")
    assert of("FROM") == ["${BASE}"]
    version = re.fullmatch(r"BASE=python:3\.(\d+)-slim", of("ARG")[0])
    assert version is not None
    assert int(version[1]) >= 11


def test_every_installation_keeps_to_the_constraints() -> None:
    installed = [part for line in of("RUN") for part in line.split("&&") if "pip install" in part]
    assert len(installed) == 2
    assert all("--constraint constraints.txt" in part for part in installed)
    assert any(source == "constraints.txt" for source, _ in copied())


@pytest.mark.parametrize(("extras", "installed"), [("", "."), ("s3", ".[s3]"), ("s3,gcs", ".[s3,gcs]")])
def test_extras_come_along_where_they_are_asked_for(extras: str, installed: str) -> None:
    assert 'EXTRAS=""' in of("ARG")
    (words,) = [part.split()[-1] for line in of("RUN") for part in line.split("&&") if "EXTRAS" in part]
    said = subprocess.run(["sh", "-c", f"echo {words}"], env={"EXTRAS": extras}, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == installed


def test_nobody_runs_it_as_root() -> None:
    names = [name for name, _ in instructions()]
    assert of("USER")[-1] not in ("root", "0")
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    assert of("ENTRYPOINT") == ['["vidstyle"]']


def test_what_is_copied_is_enough_to_build_from(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    for source, target in copied():
        place = tmp_path / target.removeprefix("./")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place / source)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "dist"]
    result = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"vidstyle/__main__.py", "vidstyle/media/exr.py", "vidstyle/configs/draft.toml"} <= names
    assert any("vidstyle" in name and name.endswith("entry_points.txt") for name in names)
