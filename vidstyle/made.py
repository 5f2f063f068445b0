"""What a job has put in its place, as its workspace notes it: by this the same command knows its own output again, and goes on behind it.

A thing is known by the names, sizes and times of its files, which a rename leaves as they are. They are noted once the thing is whole, just
before it gets its place, so that a kill at any moment leaves nothing there that is not noted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from vidstyle.files import noticing
from vidstyle.workspace import Workspace

__all__ = ["OUTPUT", "Made"]

OUTPUT = "OUTPUT"
"""What the result itself is called here."""


@dataclass(slots=True)
class Made:
    """What a job has put in its place."""

    beside: Path
    """The directory that the names are relative to, that of the workspace."""
    job: str
    """What stands for all that the job is made from and how it is written; another job's things are none of this one's."""
    paintings: int = 0
    """How many the workspace held when the result was written."""
    things: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """What it is called -> name of each of its files -> [size in bytes, time of the last change in ns]."""

    @classmethod
    def read(cls, workspace: Path) -> Self | None:
        """What the workspace in that directory has noted; None where that is nothing, or cannot be read."""
        values = Workspace.note(workspace)
        try:
            made = cls(workspace.parent.resolve(), values["job"], values["paintings"], values["things"])
            sound = all(isinstance(files, dict) for files in made.things.values())
        except (TypeError, LookupError, AttributeError):
            return None
        return made if sound else None

    def holds(self, what: str) -> bool:
        """Whether the thing is in its place, and the very one that was put there."""
        files = self.things.get(what, {})
        return bool(files) and all(_stamp(self.beside / name) == stamp for name, stamp in files.items())

    @contextmanager
    def noting(self, what: str, workspace: Workspace) -> Iterator[None]:
        """Whatever the block puts in its place is noted as the thing.

        Raises:
            WorkspaceError: the note cannot be written; then nothing is put in its place.
        """

        def notice(unfinished: Path, place: Path) -> None:
            inside = [path.name for path in unfinished.iterdir()] if unfinished.is_dir() else None
            pairs = [(unfinished, place)] if inside is None else [(unfinished / name, place / name) for name in inside]
            self.things[what] = {os.path.relpath(goes, self.beside): _stamp(file) or [] for file, goes in pairs}
            values: dict[str, Any] = {"job": self.job, "paintings": self.paintings, "things": self.things}
            workspace.keep_note(values)

        with noticing(notice):
            yield


def _stamp(path: Path) -> list[int] | None:
    """Size and time of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
