"""Flow that is known: directories as Sintel and KITTI have them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.errors import MediaError, UsageError
from vidstyle.flow import FLOW_SUFFIXES, read_flow
from vidstyle.frames import FlowField
from vidstyle.media import natural_order
from vidstyle.png import SIGNATURE, DamagedPng, in_order

__all__ = ["FlowDirectory"]


class FlowDirectory:
    """A field a frame, each at its frame and into the next one, in the natural order of the file names.

    Args:
        fields: directory of .flo files or KITTI's PNG.
        occlusions: directory of pictures, one a field, not black where the next frame does not show what is there (Sintel).

    Raises:
        UsageError: a directory is missing or empty, its numbers have gaps or are of pairs, or the two differ in number.
    """

    def __init__(self, fields: Path, occlusions: Path | None = None) -> None:
        self._fields = _files(fields, FLOW_SUFFIXES, "flow fields (.flo, .png)")
        _check_numbers(fields, self._fields)
        self._occlusions = None if occlusions is None else _files(occlusions, (".png",), "pictures (.png)")
        if self._occlusions is not None and len(self._occlusions) != len(self._fields):
            raise UsageError(f"{occlusions}: {len(self._occlusions)} pictures for {len(self._fields)} flow fields in {fields}")

    def __len__(self) -> int:
        return len(self._fields)

    def __call__(self, index: int) -> tuple[FlowField, npt.NDArray[np.bool_]] | None:
        """At frame `index`, into the next one, and where it is known and not occluded; None behind the last field.

        Raises:
            MediaError: a file is damaged, or a mask has another size than its field.
        """
        if index >= len(self._fields):
            return None
        field, known = read_flow(self._fields[index])
        if self._occlusions is not None:
            path = self._occlusions[index]
            hidden = _grey(path)
            if hidden is None or hidden.shape != known.shape:
                raise MediaError(f"{path}: no picture of {field.size[1]}×{field.size[0]}, the size of {self._fields[index].name}")
            known &= hidden == 0
        return field, known


def _grey(path: Path) -> npt.NDArray[np.uint8] | None:
    """A picture as one of greys; None where it is none.

    Raises:
        MediaError: it cannot be read, or is damaged.
    """
    try:
        data = path.read_bytes()
        data = in_order(data) if data.startswith(SIGNATURE) else data
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DamagedPng as error:
        raise MediaError(f"{path}: the PNG picture {error}; save it anew") from None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    return None if picture is None else np.asarray(picture, dtype=np.uint8)


def _check_numbers(directory: Path, files: list[Path]) -> None:
    """Fields belong to frames by their place in the order, so a missing one would shift all after it."""
    numbers = [[int(digits) for digits in re.findall(r"[0-9]+", path.stem)] for path in files]
    if len({len(found) for found in numbers}) != 1:
        return
    varying = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    if len(varying) > 1:
        raise UsageError(
            f"{directory}: {files[0].name} and {files[1].name} differ in more than one number; fields into the next frame are wanted, "
            "one a frame. Fields both ways, named as artistic-videos names them, go with --flow"
        )
    for column in varying:
        for (number, path), (following, after) in pairwise(zip(column, files, strict=True)):
            if following != number + 1:
                raise UsageError(f"{directory}: between {path.name} and {after.name} fields are missing; every frame needs one")


def _files(directory: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    if not directory.is_dir():
        raise UsageError(f"{directory}: there is no such directory")
    found = sorted((path for path in directory.iterdir() if path.suffix.lower() in suffixes), key=lambda path: natural_order(path.name))
    if not found:
        raise UsageError(f"{directory}: no {what} in it")
    return found
