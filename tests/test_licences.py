"""What vidstyle brings along, and that its licences are written down."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("make_licences", ROOT / "docs" / "make_licences.py")
assert spec is not None
assert spec.loader is not None
licences = importlib.util.module_from_spec(spec)
spec.loader.exec_module(licences)

FREE = re.compile(r"MIT|BSD|Apache|ISC|Zlib|PSF|MPL|BSL|0BSD|CC0|NVIDIA", re.IGNORECASE)
"""What a licence must name that lets a user use a package commercially; of NVIDIA's own see the page."""


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    lines = licences.PAGE.read_text().split(licences.MARK)[1].splitlines()
    return {name.strip(): licence.strip() for _, name, _, licence, _, _ in (line.split("|") for line in lines if line.startswith("| "))}


def test_every_dependency_is_on_the_page(rows: dict[str, str]) -> None:
    found = licences.by_extra()
    assert {"s3fs", "gcsfs", "ray"} <= {name for packages in found.values() for name in packages}
    missing = {name for packages in found.values() for name in packages} - set(rows)
    assert not missing, f"run python docs/make_licences.py; new: {missing}"


def test_building_takes_no_more_than_what_builds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert [re.split(r"[<>=~!]", wanted)[0] for wanted in project["build-system"]["requires"]] == ["hatchling"]


def test_every_licence_lets_a_user_use_vidstyle_commercially(rows: dict[str, str]) -> None:
    del rows["package"]
    assert len(rows) > 10
    for name, licence in rows.items():
        check(name, licence)


def test_what_builds_the_documentation_may_be_used_commercially_too() -> None:
    packages = licences.dependencies(extra="docs")
    assert "mkdocs-material" in packages
    for name, package in packages.items():
        check(name, licences.licence_of(package))


def check(name: str, licence: str) -> None:
    assert FREE.search(licence), f"{name}: {licence or 'no licence stated'}"
    assert not re.search(r"\bA?GPL|non-?commercial", licence, re.IGNORECASE), f"{name}: {licence}"
