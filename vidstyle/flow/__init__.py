"""Optical flow on the source frames, and what it takes to use it: estimators, trust, warping.

A new estimator is a file with a class that keeps the `FlowEstimator` protocol, and a row in `ESTIMATORS`;
the conformance tests pick it up from there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vidstyle.errors import UsageError
from vidstyle.flow.base import FlowEstimator
from vidstyle.flow.between import EstimatedFlows, FlowFiles, Flows
from vidstyle.flow.carry import carried, read_along
from vidstyle.flow.compose import chain, compose
from vidstyle.flow.consistency import Consistency, consistency, reliable, stretched
from vidstyle.flow.contrib import DeepFlow, DualTVL1
from vidstyle.flow.dis import DenseInverseSearch
from vidstyle.flow.error import warping_error
from vidstyle.flow.farneback import Farneback
from vidstyle.flow.files import FLOW_SUFFIXES, read_flow, resized_where_known, write_flow
from vidstyle.flow.none import NoFlow
from vidstyle.flow.raft import Raft
from vidstyle.flow.refined import Refined
from vidstyle.flow.views import error_picture, flow_picture, trust_picture
from vidstyle.flow.warp import fade_detail, warp

__all__ = [
    "ESTIMATORS",
    "FLOW_SUFFIXES",
    "Consistency",
    "EstimatedFlows",
    "FlowEstimator",
    "FlowFiles",
    "Flows",
    "carried",
    "chain",
    "compose",
    "consistency",
    "error_picture",
    "fade_detail",
    "flow_picture",
    "make_estimator",
    "make_flows",
    "read_along",
    "read_flow",
    "reliable",
    "resized_where_known",
    "stretched",
    "trust_picture",
    "warp",
    "warping_error",
    "write_flow",
]

ESTIMATORS: dict[str, Callable[..., FlowEstimator]] = {
    "farneback": Refined,
    "farneback-raw": Farneback,
    "dis": DenseInverseSearch,
    "deepflow": DeepFlow,
    "tvl1": DualTVL1,
    "raft": Raft,
    "raft-small": partial(Raft, "small"),
    "none": NoFlow,
}
"""Value of `--flow` → what makes the estimator; those that are networks take the file of their `weights`."""


def make_estimator(name: str, weights: Path | None = None, device: str = "cpu") -> FlowEstimator:
    """The estimator of that name; `weights` is a file for those that are networks, which run on `device`.

    Raises:
        UsageError: there is none (the message names the nearest), it lacks a library, or has no weights to load.
        WeightsError: the weights cannot be had, or are another network's.
    """
    if name not in ESTIMATORS:
        near = difflib.get_close_matches(name, ESTIMATORS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(ESTIMATORS)}"
        raise UsageError(f"--flow {name}: there is no such estimator; {hint}")
    if name.startswith("raft"):
        return ESTIMATORS[name](weights=weights, device=device)
    if weights is not None:
        raise UsageError(f"--flow-weights {weights}: --flow {name} has no weights; use --flow raft or raft-small")
    return ESTIMATORS[name]()


def make_flows(name: str, weights: Path | None = None, device: str = "cpu", kept: int = 1) -> Flows:
    """The flow of a film: an estimator's, by its name, or that of a directory of .flo files.

    `device` is where networks run; `kept` see `EstimatedFlows`.

    Raises:
        UsageError, WeightsError: see `make_estimator` and `FlowFiles`.
    """
    if name not in ESTIMATORS and Path(name).is_dir():
        return FlowFiles(Path(name))
    return EstimatedFlows(make_estimator(name, weights, device), kept)
