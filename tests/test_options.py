"""The page of settings says what the settings are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vidstyle.settings import flag_table

spec = importlib.util.spec_from_file_location("make_options", Path(__file__).resolve().parent.parent / "docs" / "make_options.py")
assert spec is not None
assert spec.loader is not None
options = importlib.util.module_from_spec(spec)
spec.loader.exec_module(options)


def test_the_page_is_what_the_settings_say() -> None:
    assert options.PAGE.read_text(encoding="utf-8") == options.page(), "run python docs/make_options.py"


def test_every_flag_is_on_it_with_its_default() -> None:
    rows = {row.split("|")[1].strip(): row for row in options.page().splitlines() if row.startswith("| `--")}
    for info in flag_table():
        assert f"| {options.shown(info.default)} |" in rows[f"`{info.flag}`"]


def test_no_cell_breaks_its_row() -> None:
    head = 0
    for line in options.page().splitlines():
        if line.startswith("|"):
            head = head or line.count("|")
            assert line.count("|") == head, line
        else:
            head = 0
