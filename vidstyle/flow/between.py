"""Flow between frames of a film: estimated, or out of a directory of files."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np

from vidstyle.errors import MediaError, UsageError
from vidstyle.flow.base import FlowEstimator
from vidstyle.flow.files import read_flow, resized_flow
from vidstyle.frames import FlowField, Frame

__all__ = ["EstimatedFlows", "FlowFiles", "Flows"]


class Flows(Protocol):
    """Where the pixels of one frame of a film lie in another."""

    def knows(self, current: Frame, reference: Frame) -> bool:
        """Whether there is a field for these two, both ways."""
        ...

    def __call__(self, current: Frame, reference: Frame) -> FlowField:
        """Flow at `current` into `reference`, of the frames' size.

        Raises:
            MediaError: the field is missing or damaged.
        """
        ...


class EstimatedFlows:
    """What an estimator finds in the pictures of one film.

    The fields between neighbouring frames are kept for a while: masks that follow the film ask for them once more. Several threads
    may ask, and each works out its own.

    Args:
        estimator: finds the fields.
        kept: pairs of neighbours whose fields are kept, the last ones that were asked for.
    """

    def __init__(self, estimator: FlowEstimator, kept: int = 1) -> None:
        self._estimator = estimator
        self._kept = 2 * kept  # both ways
        self._latest: dict[tuple[int, int], Future[FlowField]] = {}
        self._turn = Lock()

    def knows(self, current: Frame, reference: Frame) -> bool:
        """Always."""
        return True

    def __call__(self, current: Frame, reference: Frame) -> FlowField:
        """See `Flows`."""
        if abs(current.index - reference.index) != 1:
            return self._estimator(current.rgb, reference.rgb)
        pair = (current.index, reference.index)
        with self._turn:
            known = self._latest.get(pair)
            field: Future[FlowField] = known or Future()
            if known is None:
                self._latest[pair] = field
                while len(self._latest) > self._kept:
                    del self._latest[next(iter(self._latest))]
        if known is None:
            try:
                field.set_result(self._estimator(current.rgb, reference.rgb))
            except BaseException as error:
                field.set_exception(error)
        return field.result()


class FlowFiles:
    """Fields in a directory, named as artistic-videos names them, frames counted from 1.

    `backward_3_2.flo` lies at the third frame and points into the second, `forward_2_3.flo` the other way. A field of another size than
    the frames' is scaled. Frames are those of the job, after `--start`, `--end` and `--fps`.
    Older frames are referred to where there are files for them; those of neighbours are needed.

    Raises:
        UsageError: there is no such file in the directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not any(directory.glob("backward_*_*.flo")):
            raise UsageError(
                f"--flow {directory}: holds no backward_2_1.flo and the like (at frame 2, into frame 1; frames counted from 1)"
            )

    def knows(self, current: Frame, reference: Frame) -> bool:
        """Whether both files are there; those of neighbouring frames are missed when they are read."""
        there = self._path(current, reference).exists() and self._path(reference, current).exists()
        return there or abs(current.index - reference.index) == 1

    def __call__(self, current: Frame, reference: Frame) -> FlowField:
        """See `Flows`."""
        path = self._path(current, reference)
        if not path.exists():
            raise MediaError(f"{path}: missing; frame {current.index + 1} needs its flow into frame {reference.index + 1}, both ways")
        field, known = read_flow(path)
        if not known.all():  # a vector out of the picture is trusted nowhere
            field = FlowField(np.where(known, field.data, np.float32(4 * max(field.size))).astype(np.float32))
        return resized_flow(field, (current.rgb.shape[0], current.rgb.shape[1]))

    def _path(self, current: Frame, reference: Frame) -> Path:
        direction = "backward" if current.index > reference.index else "forward"
        return self._directory / f"{direction}_{current.index + 1}_{reference.index + 1}.flo"
