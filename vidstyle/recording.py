"""An objective whose work is recorded once on a GPU, and played again at every step (a CUDA graph).

A step is hundreds of small launches, for which a fast device would wait. Played from a recording they are one. What is recorded is
bound to the tensors it was recorded with, so that every frame has its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Protocol

import torch

from vidstyle.objective import Evaluation
from vidstyle.optimize import ObjectiveFunction

__all__ = ["Recorder", "Work", "graphs"]

logger = logging.getLogger(__name__)

_WORTH_IT = 1 << 20
"""Pixels up to which pictures are recorded: a guess, since a recording keeps all its memory and more work a launch gains less by it."""
_WARM = 2
"""Evaluations of every size and kind that are done as they come, so that libraries have chosen and loaded what they need."""
_TRIES = 3
"""Failures after which nothing is recorded any more in a job."""

Work = Callable[[], Evaluation]


class Record(Protocol):
    """Records work."""

    def __call__(self, work: Work, first: bool) -> tuple[Callable[[], None], Evaluation]:
        """How to do the work again, and where its outcome lies, anew each time; `first`: none of its size and kind was recorded before."""


class Recorder:
    """Makes objectives that play what they have recorded; one for all frames of a job."""

    def __init__(self, record: Record) -> None:
        """`record` is `graphs()` on a GPU."""
        self._record = record
        self._seen: dict[Hashable, int] = {}
        self._recorded: set[Hashable] = set()
        self._failures = 0
        self.recordings = 0
        """How many objectives were recorded so far."""

    def __call__(self, objective: ObjectiveFunction, kind: Hashable = None) -> ObjectiveFunction:
        """The same function; recorded where that pays, and can be done.

        The objective may not ask the device for anything while it works; one that does is never recorded. Those of one `kind` do the
        same work: what another kind does for the first time may have to be loaded, which cannot be recorded.
        """
        recording: tuple[torch.Tensor, Callable[[], None], Evaluation] | None = None
        refused = False

        def evaluate(image: torch.Tensor) -> Evaluation:
            nonlocal recording, refused
            which = image.shape, kind
            seen = self._seen.get(which, 0)
            if refused or self._failures >= _TRIES or image.shape[-2] * image.shape[-1] > _WORTH_IT or seen < _WARM:
                self._seen[which] = seen + 1
                return objective(image)
            if recording is None:
                place = image.clone()
                try:
                    recording = place, *self._record(lambda: objective(place), which not in self._recorded)
                except RuntimeError as error:
                    refused = True
                    self._failures += 1
                    if self._failures == 1:  # what failed at first: the end of a recording fails after it, and says less
                        logger.warning("steps are not recorded, and take longer: %s", error.__context__ or error)
                    return objective(image)
                self._recorded.add(which)
                self.recordings += 1
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

    def record(work: Work, first: bool) -> tuple[Callable[[], None], Evaluation]:
        nonlocal last
        if first:  # a recording has memory of its own, and would lie beside what the evaluations before have left in the cache
            torch.cuda.empty_cache()
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
