"""Numbered pictures by one name, as film people write it: `shot.%04d.exr`, or `shot.####.exr`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

from vidstyle.errors import MediaError, UsageError

__all__ = ["FrameNames", "FrameRange"]

_NUMBER = re.compile(r"%(?:0(?P<digits>[1-9][0-9]*))?d|(?P<marks>##+)")
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>[0-9]+)(?P<after>\.[^.]+)")
"""A file name with a number before its ending."""
_MOST_NAMED = 5
"""Gaps that a message names; the others are counted."""


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Numbers of frames, `first` and `last` included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `1001-1040`, or `1001` alone.

        Raises:
            ValueError: it is written otherwise, or ends before it begins.
        """
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", text)
        if match is None:
            raise ValueError(f"{text!r} is no range of frame numbers; write 1001-1040")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"{text!r} ends before it begins; write the smaller number first")
        return cls(first, last)


@dataclass(frozen=True, slots=True)
class FrameNames:
    """The names of a sequence of pictures in a directory.

    `%04d` stands for the number with four digits at least, as C and FFmpeg write it, `####` for the same, `%d` for the number as it is.
    """

    directory: Path
    before: str
    """What stands in front of the number."""
    digits: int
    """Of the number, at least."""
    after: str

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """The names that a path stands for; None where it names one file, as it does wherever a file or directory really has that name."""
        found = list(_NUMBER.finditer(path.name))
        if len(found) != 1 or path.exists():
            return None
        (number,) = found
        digits = len(number["marks"]) if number["marks"] else int(number["digits"] or 1)
        return cls(path.parent, path.name[: number.start()], digits, path.name[number.end() :])

    @classmethod
    def sequences(cls, directory: Path, files: Iterable[str]) -> dict[Self, list[int]]:
        """The sequences that file names of a directory belong to, and the numbers of each; other names are left out."""
        found: dict[tuple[str, str], list[str]] = {}
        for name in files:
            if (match := _NUMBERED.fullmatch(name)) is not None:
                found.setdefault((match["before"], match["after"]), []).append(match["number"])
        sequences = {}
        for (before, after), numbers in found.items():
            names = cls(directory, before, min(map(len, numbers)), after)
            if all(names.name(int(number)) == f"{before}{number}{after}" for number in numbers) and cls.of(Path(str(names))) == names:
                sequences[names] = sorted(map(int, numbers))
        return sequences

    @property
    def stem(self) -> str:
        """What all names have in common, as the name of something made of all of them: `shot` of `shot.%04d.exr`."""
        return self.before.rstrip(" ._-") or "frames"

    def name(self, number: int) -> str:
        """The file name of the frame with this number."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"

    def number(self, name: str) -> int | None:
        """The number of a frame by its file name; None where it is none of this sequence."""
        text = name[len(self.before) : len(name) - len(self.after)]
        number = int(text) if re.fullmatch(r"[0-9]+", text) else None
        return number if number is not None and self.name(number) == name else None

    def there(self) -> list[int]:
        """The numbers of the files that are there, in order.

        Raises:
            UsageError: there is no such directory.
            MediaError: it cannot be read.
        """
        try:
            names = [entry.name for entry in self.directory.iterdir() if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"{self}: there is no directory {self.directory}; check the name") from None
        except OSError as error:
            raise MediaError(f"{self.directory}: cannot be read: {error.strerror or error}") from None
        return sorted(number for name in names if (number := self.number(name)) is not None)

    def chosen(self, wanted: FrameRange | None) -> range:
        """The numbers that a job reads, without a gap: those `wanted`, or all that are there.

        Raises:
            UsageError: there is none, or some are missing.
            MediaError: the directory cannot be read.
        """
        there = self.there()
        if not there:
            raise UsageError(f"{self}: there is no file such as {self.name(1)}{self._hint() or '; check the name'}")
        first, last = (there[0], there[-1]) if wanted is None else (wanted.first, wanted.last)
        inside = [number for number in there if first <= number <= last]
        gaps = [(a + 1, b - 1) for a, b in pairwise([first - 1, *inside, last + 1]) if b - a > 1]
        if gaps:
            count = sum(b - a + 1 for a, b in gaps)
            named = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in gaps[:_MOST_NAMED])
            more = f" and {len(gaps) - _MOST_NAMED} further gaps" if len(gaps) > _MOST_NAMED else ""
            raise UsageError(
                f"{self}: of the frames {first} to {last} {count} {'is' if count == 1 else 'are'} missing: {named}{more}; add them, choose "
                f"--frames without them, or give the directory {self.directory} as INPUT, which takes its pictures as they come"
            )
        return range(first, last + 1)

    def holds(self, name: str, wanted: FrameRange | None) -> bool:
        """Whether a file of this name is a frame of the sequence, and one that is `wanted` (None: any)."""
        number = self.number(name)
        return number is not None and (wanted is None or wanted.first <= number <= wanted.last)

    def check_digits(self, last: int) -> None:
        """Whether there are digits enough for a sequence that ends with the frame `last`.

        Raises:
            UsageError: some names would be longer than others, and come in the wrong order in most programs.
        """
        if self.digits > 1 and last >= 10**self.digits:
            longer = FrameNames(self.directory, self.before, len(str(last)), self.after)
            raise UsageError(f"{self}: too few digits for frame {last}; write {longer}")

    def _hint(self) -> str:
        """What to say where there are such files, but with other digits."""
        shape = re.compile(f"{re.escape(self.before)}([0-9]+){re.escape(self.after)}")
        found = sorted(match[1] for entry in self.directory.iterdir() if (match := shape.fullmatch(entry.name)))
        if not found:
            return ""
        lengths = {len(number) for number in found}
        digits = lengths.pop() if len(lengths) == 1 else 1
        other = FrameNames(self.directory, self.before, digits, self.after)
        return f"; there is {self.before}{found[0]}{self.after}, for which write {other}"

    def __str__(self) -> str:
        return str(self.directory / f"{self.before}%{f'0{self.digits}' if self.digits > 1 else ''}d{self.after}")
