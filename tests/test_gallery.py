"""The gallery's commands: that they can be read, that the page shows them, and that what they read is there.

Running them takes an hour; docs/make_gallery.py does, and fails where one fails.
"""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmarks import large_sources
from vidstyle import cli

DOCS = Path(__file__).parent.parent / "docs"
LISTED = tomllib.loads((DOCS / "gallery.toml").read_text(encoding="utf-8"))
ROWS, LARGE = LISTED["row"], LISTED["large"]
COMMANDS = [cell["command"] for row in ROWS for cell in row["cells"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood_and_finds_its_media(command: str) -> None:
    parsed = cli.parse(shlex.split(command)[1:])
    for path in (parsed.source, *parsed.styles, *map(Path, parsed.settings.mask.paths or ())):
        assert (DOCS.parent / path).exists()


@pytest.mark.parametrize("row", LARGE, ids=lambda row: row["name"])
def test_commands_of_large_pictures_are_understood(row: dict[str, Any]) -> None:
    parsed = cli.parse(shlex.split(row["command"])[1:])
    assert str(parsed.source) in large_sources.__doc__
    assert parsed.output.name == row["painted"]


def test_the_page_shows_every_row_and_command() -> None:
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for row in [*ROWS, *LARGE]:
        assert f"## {row['title']}" in page
        assert (DOCS / "images" / "gallery" / f"{row['name']}.jpg").is_file()
    for command in [*COMMANDS, *(row["command"] for row in LARGE)]:
        assert f"\n{command}\n" in page
