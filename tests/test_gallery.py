"""The gallery's commands: that they can be read, that the page shows them, and that what they read is there.

Running them takes an hour; docs/make_gallery.py does, and fails where one fails.
"""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest

from vidstyle import cli

DOCS = Path(__file__).parent.parent / "docs"
ROWS = tomllib.loads((DOCS / "gallery.toml").read_text(encoding="utf-8"))["row"]
COMMANDS = [cell["command"] for row in ROWS for cell in row["cells"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood_and_finds_its_media(command: str) -> None:
    parsed = cli.parse(shlex.split(command)[1:])
    for path in (parsed.source, *parsed.styles, *map(Path, parsed.settings.mask.paths or ())):
        assert (DOCS.parent / path).exists()


def test_the_page_shows_every_row_and_command() -> None:
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for row in ROWS:
        assert f"## {row['title']}" in page
        assert (DOCS / "images" / "gallery" / f"{row['name']}.jpg").is_file()
    for command in COMMANDS:
        assert f"\n{command}\n" in page
