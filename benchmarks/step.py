"""What a step of the optimiser costs on a CPU, and what each lever takes off it, at one size.

    python -m benchmarks.step [--size 320] [--rounds 7]
    python -m benchmarks.step --sizes 128 256 448 640 810 1080

A step is one look at the objective and its gradient, at the first frame of a clip, painted for a while. The step as it is, and with
one lever left out at a time, take turns, so that a machine that is not ours alone is as slow for each; the figure is the median of the
ratios of a round. `--profile` adds where the time goes. With `--sizes` (of the longer side) the step as it is stands against itself at
other sizes, kept in `step_sizes.json`.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import describe_machine, save
from benchmarks.quality import CLIPS, STYLE, frames_of
from vidstyle.device import keep_freed_memory
from vidstyle.losses import STYLE_LOSSES, StyleLoss, gram_loss
from vidstyle.media import read_style
from vidstyle.objective import Objective
from vidstyle.optimize import lbfgs
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer
from vidstyle.targets import content_targets
from vidstyle.terms import Region, build_terms

PAINTED = 40
"""Steps before, so that the deepest layer has as little of a say as in a film."""
HOLD = 10
"""Evaluations that one look at the deepest layer serves."""


def direct() -> AbstractContextManager[Any]:
    return mock.patch("vidstyle.vgg.pays", return_value=False)


def return_freed_memory() -> AbstractContextManager[Any]:
    for parameter in (-3, -1):
        ctypes.CDLL(None).mallopt(parameter, 128 * 1024)  # the C library's defaults
    return nullcontext()


def channels_first(features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """`gram` as it was: the activations brought from the network's layout into one channel after the other."""
    _, channels, height, width = features.shape
    flat = features.reshape(channels, height * width)
    return flat @ flat.T / (channels * height * width)


def copying_relu() -> AbstractContextManager[Any]:
    return mock.patch("vidstyle.vgg.functional.relu_", torch.nn.functional.relu)


def nothing_of_it() -> AbstractContextManager[Any]:
    stack = ExitStack()
    for lever in (direct, return_freed_memory, channels_first_gram, copying_relu):
        stack.enter_context(lever())
    return stack


def channels_first_gram() -> AbstractContextManager[Any]:
    return mock.patch.dict(STYLE_LOSSES, {"gram": StyleLoss(channels_first, gram_loss)})


LEVERS: dict[str, tuple[int, Callable[[], AbstractContextManager[Any]]]] = {
    "nothing": (HOLD, nullcontext),
    "Winograd's method on wide layers": (HOLD, direct),
    "holding the deepest layer": (1, nullcontext),
    "keeping freed memory": (HOLD, return_freed_memory),
    "Gram matrices in the network's layout": (HOLD, channels_first_gram),
    "the ReLU in place of what it is given": (HOLD, copying_relu),
    "any of it": (1, nothing_of_it),
}
"""What is left out → for how many evaluations the deepest layer is held, and how the rest is left out."""


class Step:
    """The step at one size: a picture that has been painted for a while, and what it is to become."""

    def __init__(self, clip: Path, size: int) -> None:
        frame = frames_of(clip, size)[0]
        self.size = frame.rgb.shape[0], frame.rgb.shape[1]
        settings = Settings.from_mapping({"run": {"device": "cpu"}})
        stylizer = Stylizer(settings, [read_style(STYLE)], self.size)
        source = to_tensor(frame.rgb, stylizer.device)
        self._network, self._settings = stylizer.network, settings
        self._content, self._region = content_targets(stylizer.network, source, settings), Region(stylizer.targets(self.size))
        self._image = lbfgs(self._objective(1), source, PAINTED).image

    def _objective(self, hold: int) -> Objective:
        return Objective(self._network, build_terms(self._settings, self._content, [self._region]), hold=hold)

    def seconds(self, what: str = "nothing") -> float:
        """Of one evaluation, on the mean over as many as one look at the deepest layer serves."""
        hold, left_out = LEVERS[what]
        with left_out():
            objective = self._objective(hold)
            began = time.perf_counter()
            for _ in range(HOLD):
                objective(self._image)
            taken = time.perf_counter() - began
        keep_freed_memory()
        return taken / HOLD

    def profile(self) -> str:
        """Where its time goes, as a table."""
        objective = self._objective(HOLD)
        objective(self._image)
        with profile(activities=[ProfilerActivity.CPU]) as found:
            objective(self._image)
        return found.key_averages().table(sort_by="self_cpu_time_total", row_limit=20)


def levers(step: Step, size: int, rounds: int) -> list[dict[str, Any]]:
    """What the step takes with one lever left out at a time."""
    for what in LEVERS:
        step.seconds(what)
    taken: dict[str, list[float]] = {what: [] for what in LEVERS}
    for _ in range(rounds):
        for what, times in taken.items():
            times.append(step.seconds(what))
    everything = np.array(taken["nothing"])
    rows = []
    for what, times in taken.items():
        ratio = float(np.median(np.array(times) / everything))
        rows.append({"without": what, "seconds": round(float(np.median(times)), 3), "ratio": round(ratio, 3), "size": size})
        print(f"{what:40}{rows[-1]['seconds']:8.3f} s{ratio:8.2f}", flush=True)
    return rows


def sizes(clip: Path, longest: list[int], rounds: int) -> list[dict[str, Any]]:
    """What the step takes at several sizes."""
    rows = []
    for size in longest:
        step = Step(clip, size)
        height, width = step.size
        step.seconds()
        seconds = float(np.median([step.seconds() for _ in range(rounds)]))
        rows.append(
            {"width": width, "height": height, "seconds": round(seconds, 4), "us_a_pixel": round(1e6 * seconds / (width * height), 2)}
        )
        print(f"{width}×{height}: {seconds:.3f} s, {rows[-1]['us_a_pixel']:.2f} µs a pixel", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--sizes", type=int, nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(json.dumps(describe_machine()))
    if options.sizes:
        print(f"written: {save('step_sizes', sizes(options.clip, options.sizes, options.rounds)).name}")
        return
    step = Step(options.clip, options.size)
    print(f"written: {save('step', levers(step, options.size, options.rounds)).name}")
    if options.profile:
        print(step.profile())


if __name__ == "__main__":
    main()
