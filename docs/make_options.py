"""Writes the tables of docs/options.md: every setting out of the settings model, flags of the job, presets, errors.

    python docs/make_options.py

The words before the tables are kept. `tests/test_options.py` tells when it is due.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vidstyle import errors
from vidstyle.cli import _Arguments  # what tyro makes flags of; nobody but this page and the command needs it
from vidstyle.settings import Settings, preset_descriptions, preset_values

PAGE = Path(__file__).parent / "options.md"
MARK = "<!-- what follows is written by docs/make_options.py -->\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def values(schema: Mapping[str, Any]) -> str:
    """What a setting may be, in words, from its JSON schema."""
    if "anyOf" in schema:  # something or nothing
        return values(next(one for one in schema["anyOf"] if one.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"several: {values(schema['items'])}" if "items" in schema else "several"
    word = {"number": "number", "integer": "whole number", "boolean": "on or off", "object": "names and values"}.get(str(kind), "text")
    return f"{word}{_limits(schema)}"


def _limits(schema: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{sign} {_number(schema[key])}" for key, sign in signs.items() if key in schema]
    return f" {', '.join(said)}" if said else ""


def _number(value: float) -> str:
    return "2⁶³" if value == 2**63 else f"{value:g}"


def shown(value: Any) -> str:
    """A default or a preset's value, as it is typed."""
    if value is None or value == {}:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    parts = value if isinstance(value, list | tuple) else [value]
    return f"`{' '.join(f'{part:g}' if isinstance(part, float) else str(part) for part in parts)}`"


def sections() -> Iterator[str]:
    """A heading and a table for every section of the settings model."""
    schema = Settings.model_json_schema()
    for section, info in Settings.model_fields.items():
        model: Any = info.annotation
        properties = schema["$defs"][model.__name__]["properties"]
        rows = []
        for key, field in model.model_fields.items():
            extra = field.json_schema_extra
            later = "" if extra.get("picture", True) else " – *repaints nothing*"
            default = field.get_default(call_default_factory=True)
            flag = f"`{extra['flag']}`" if "flag" in extra else "`--encoder-option`"
            rows.append([flag, words(field.description) + later, shown(default), values(properties[key]), f"`{key}`"])
        yield f"## `[{section}]` {model.__doc__.rstrip('.')}\n\n" + table(("flag", "what it is", "default", "values", "key"), rows)


def words(text: str) -> str:
    """What the help says, flags set as code."""
    return re.sub(r"(?<![\w-])--[a-z-]*[a-z]", r"`\g<0>`", text)


def job_flags() -> str:
    """Flags that belong to the job: what is read and written, and what is told of it."""
    rows = []
    hints = typing.get_type_hints(_Arguments, include_extras=True)
    for field in dataclasses.fields(_Arguments):
        config = next(note for note in _notes(hints[field.name]) if hasattr(note, "help"))
        metavar = f" {config.metavar}".replace("|", " or ") if config.metavar else ""  # a bar would end the cell
        name = str(config.metavar) if field.name in ("source", "styles") else f"--{field.name.replace('_', '-')}{metavar}"
        rows.append([", ".join(f"`{one}`" for one in (name, *(config.aliases or ()))), words(config.help)])
    return "## The job\n\n" + table(("flag", "what it is"), rows)


def _notes(annotation: Any) -> Iterator[Any]:
    """What `Annotated` says beside a type, at every depth."""
    yield from getattr(annotation, "__metadata__", ())
    for inner in typing.get_args(annotation):
        yield from _notes(inner)


def presets() -> str:
    """Every preset, what it is for and what it sets."""
    rows = []
    for name, text in preset_descriptions().items():
        chosen = [f"`{section}.{key}` {shown(value)}" for section, keys in preset_values(name).items() for key, value in keys.items()]
        rows.append([f"`{name}`", text, "; ".join(chosen) or "nothing"])
    return "## Presets\n\n" + table(("preset", "what it is for", "what it sets"), rows)


def error_numbers() -> str:
    """Every kind of error, its number and its exit code; the root of all, which is never raised itself, lends its own to all others."""
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "VidstyleError"]
    root = errors.VidstyleError
    others = "What the system or a library says (a disk, memory), or a bug in vidstyle."
    rows = [[f"`[V{root.number}]`", str(root.exit_code), "whatever was raised", others]]
    rows += [
        [f"`[V{kind.number}]`", str(kind.exit_code), f"`{kind.__name__}`", str(kind.__doc__)]
        for kind in sorted(kinds, key=lambda kind: kind.number)
    ]
    begin = "0 is done, 1 failed, 2 wrong usage or settings, 130 interrupted. An error is one line and ends in the number of its kind.\n\n"
    return "## Exit codes and errors\n\n" + begin + table(("number", "exit code", "in Python", "what it means"), rows)


def page() -> str:
    """The whole page: the words that stand there, and the tables anew."""
    by_hand = PAGE.read_text(encoding="utf-8").split(MARK)[0]
    return by_hand + MARK + "\n" + "\n".join([*sections(), job_flags(), presets(), error_numbers()])


def main() -> None:
    """Rewrites the tables, and keeps the words before them."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
