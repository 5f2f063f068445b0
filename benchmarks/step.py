"""What a step of the optimiser costs on a CPU, and what each lever takes off it, at one size.

    python -m benchmarks.step [--size 320] [--rounds 7]

A step is one look at the objective and its gradient, at the first frame of a clip, painted for a while. The step as it is, and with
one lever left out at a time, take turns, so that a machine that is not ours alone is as slow for each; the figure is the median of the
ratios of a round. `--profile` adds where the time goes.
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
from vidstyle.objective import Objective, Region, build_terms, content_targets
from vidstyle.optimize import lbfgs
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer

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


def nothing_of_it() -> AbstractContextManager[Any]:
    stack = ExitStack()
    for lever in (direct, return_freed_memory, channels_first_gram):
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
    "any of it": (1, nothing_of_it),
}
"""What is left out → for how many evaluations the deepest layer is held, and how the rest is left out."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(json.dumps(describe_machine()))
    source = to_tensor(frames_of(options.clip, options.size)[0].rgb)
    settings = Settings()
    stylizer = Stylizer(settings, [read_style(STYLE)], (source.shape[2], source.shape[3]))
    content, region = content_targets(stylizer.network, source, settings), Region(stylizer.targets(stylizer.size))
    image = lbfgs(Objective(stylizer.network, build_terms(settings, content, [region])), source, PAINTED).image

    def seconds(what: str) -> float:
        """Of one evaluation, on the mean over as many as one look at the deepest layer serves."""
        hold, left_out = LEVERS[what]
        with left_out():
            objective = Objective(stylizer.network, build_terms(settings, content, [region]), hold=hold)
            began = time.perf_counter()
            for _ in range(HOLD):
                objective(image)
            taken = time.perf_counter() - began
        keep_freed_memory()
        return taken / HOLD

    for what in LEVERS:
        seconds(what)
    taken: dict[str, list[float]] = {what: [] for what in LEVERS}
    for _ in range(options.rounds):
        for what, times in taken.items():
            times.append(seconds(what))
    everything = np.array(taken["nothing"])
    rows = []
    for what, times in taken.items():
        ratio = float(np.median(np.array(times) / everything))
        rows.append({"without": what, "seconds": round(float(np.median(times)), 3), "ratio": round(ratio, 3), "size": options.size})
        print(f"{what:40}{rows[-1]['seconds']:8.3f} s{ratio:8.2f}", flush=True)
    print(f"written: {save('step', rows)}")
    if options.profile:
        objective = Objective(stylizer.network, build_terms(settings, content, [region]), hold=HOLD)
        objective(image)
        with profile(activities=[ProfilerActivity.CPU]) as found:
            objective(image)
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


if __name__ == "__main__":
    main()
