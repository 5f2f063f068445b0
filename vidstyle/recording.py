"""An objective whose work is recorded once on a GPU, and played again at every step (a CUDA graph).

A step is hundreds of small launches, for which a fast device would wait. Played from a recording they are one. What is recorded is
bound to the tensors it was recorded with, so that every frame has its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from vidstyle.objective import Evaluation
from vidstyle.optimize import ObjectiveFunction

__all__ = ["Recorder", "Work", "graphs"]

logger = logging.getLogger(__name__)

_WORTH_IT = 1 << 20
"""Pixels up to which pictures are recorded: a guess, since a recording keeps all its memory and more work a launch gains less by it."""
_WARM = 2
"""Evaluations of every size that are done as they come, so that libraries have chosen and loaded what they need."""

Work = Callable[[], Evaluation]
Record = Callable[[Work], tuple[Callable[[], None], Evaluation]]
"""Work -> how to do it again, and where its outcome lies, anew each time."""


class Recorder:
    """Makes objectives that play what they have recorded; one for all frames of a job."""

    def __init__(self, record: Record) -> None:
        """`record` is `graphs()` on a GPU."""
        self._record = record
        self._seen: dict[torch.Size, int] = {}
        self._fails = False

    def __call__(self, objective: ObjectiveFunction) -> ObjectiveFunction:
        """The same function; recorded where that pays, and can be done.

        The objective may not ask the device for anything while it works; one that does is never recorded.
        """
        recording: tuple[torch.Tensor, Callable[[], None], Evaluation] | None = None

        def evaluate(image: torch.Tensor) -> Evaluation:
            nonlocal recording
            seen = self._seen.get(image.shape, 0)
            if self._fails or image.shape[-2] * image.shape[-1] > _WORTH_IT or seen < _WARM:
                self._seen[image.shape] = seen + 1
                return objective(image)
            if recording is None:
                place = image.clone()
                try:
                    recording = place, *self._record(lambda: objective(place))
                except RuntimeError as error:
                    logger.info("steps are not recorded: %s", error)
                    self._fails = True
                    return objective(image)
            picture, again, outcome = recording
            picture.copy_(image)
            again()
            return Evaluation(outcome.names, outcome.values.clone(), outcome.gradient.clone())

        return evaluate


def graphs(device: torch.device) -> Record:
    """Records on a CUDA device, without touching what other threads do there."""
    pool = torch.cuda.graph_pool_handle()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    last: torch.cuda.CUDAGraph | None = None  # kept until the next one is there, whose memory is then the same

    def record(work: Work) -> tuple[Callable[[], None], Evaluation]:
        nonlocal last
        graph = torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                outcome = work()
            finally:
                graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(stream)
        last = graph
        return graph.replay, outcome

    return record
