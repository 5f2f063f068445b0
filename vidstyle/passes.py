"""Going over a shot again, to and fro: what is kept of it for that, and what each frame is set beside.

A frame that was painted forward in time knows nothing of what comes. In a further pass it begins half way between what the pass before has
left and the neighbour that this pass has painted already, and is held to that neighbour (the multi-pass algorithm of Ruder, Dosovitskiy &
Brox 2016, section 3.4). The first pass goes forward, the second backward, and so on.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vidstyle.errors import WorkspaceError
from vidstyle.files import lack_of_room
from vidstyle.flow import Flows
from vidstyle.frames import Frame
from vidstyle.guidance import Guidance
from vidstyle.motion import CLOSES, Motion

__all__ = ["Beside", "KeptShot", "sweep"]


@dataclass(frozen=True, slots=True)
class Beside:
    """One frame of a shot that is gone over again, and the neighbour that this pass has painted just before.

    `behind` leads to that one; None at the beginning of the pass, but in a loop, where it is the other end. `rest` is how surely the
    first pass found the frame standing still beside either of its neighbours, (H, W) in [0, 1].
    """

    frame: Frame
    guidance: Guidance
    shot_start: bool
    rest: npt.NDArray[np.float32]
    behind: Motion | None


class KeptShot:
    """The frames of one shot and what guides them, in a nameless file that is gone when the process is; a context manager."""

    def __init__(self, directory: Path) -> None:
        """Nothing is written before the first frame; the file then lies in `directory`."""
        self._directory = directory
        self._file: Any = None
        self._places: list[tuple[int, int]] = []
        self._frames: list[tuple[int, int, Fraction, str, tuple[float, ...], bool]] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def indices(self) -> list[int]:
        """Which frames of the film they are, in order."""
        return [index for index, *_ in self._frames]

    def append(self, frame: Frame, guidance: Guidance, rest: npt.NDArray[np.float32] | None) -> None:
        """Takes the next frame; `rest` says where its painting is that of the frame before, (H, W) in [0, 1]; None: nowhere.

        Raises:
            WorkspaceError: the disk is full.
        """
        arrays: dict[str, npt.NDArray[Any]] = {"rgb": frame.rgb}
        arrays["rest"] = np.zeros(frame.rgb.shape[:2], np.float32) if rest is None else rest
        if guidance.masks is not None:
            arrays["masks"] = guidance.masks
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        try:
            self._file = self._file or tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115  # `close` does it
            begin = self._file.seek(0, io.SEEK_END)
            self._file.write(packed.getbuffer())
            self._file.flush()
        except OSError as error:
            what = lack_of_room(error) or f"cannot be written: {error.strerror or error}; check the path and its permissions"
            raise WorkspaceError(f"{self._directory}: {what} and run the same command again") from None
        self._places.append((begin, packed.tell()))
        self._frames.append((frame.index, frame.pts, frame.time_base, frame.name, guidance.shares, guidance.changing))

    def __getitem__(self, position: int) -> tuple[Frame, Guidance, npt.NDArray[np.float32]]:
        begin, length = self._places[position]
        self._file.seek(begin)
        with np.load(io.BytesIO(self._file.read(length)), allow_pickle=False) as found:
            arrays = dict(found)
        index, pts, time_base, name, shares, changing = self._frames[position]
        guidance = Guidance(shares, arrays.get("masks"), changing)
        return Frame(index, pts, time_base, arrays["rgb"], name), guidance, arrays["rest"]

    def clear(self) -> None:
        """Forgets the frames."""
        self._places, self._frames = [], []
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def sweep(shot: KeptShot, flows: Flows, backward: bool, loop: bool = False, done: int = 0) -> Generator[Beside]:
    """The frames of a shot once more, from its end if `backward`, without the first `done` of them.

    In a `loop` the ends are neighbours too, if the flow finds the one in the other.
    """
    count = len(shot)
    order = list(reversed(range(count))) if backward else list(range(count))
    for place, position in enumerate(order):
        if place < done:
            continue
        frame, guidance, rest = shot[position]
        if position + 1 < count:
            rest = np.maximum(rest, shot[position + 1][2])
        behind = None
        if place or loop:
            neighbour, *_ = shot[order[place - 1]]
            if place or flows.knows(frame, neighbour):
                behind = Motion.found(frame, neighbour, flows)
                if not place and float(behind.trust.mean()) < CLOSES:
                    behind = None
        yield Beside(frame, guidance, position == 0, rest, behind)
