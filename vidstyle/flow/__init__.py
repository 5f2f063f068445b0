"""Optical flow on the source frames, and what it takes to use it: estimators, trust, warping.

A new estimator is a file with a class that keeps the `FlowEstimator` protocol, and a row in `ESTIMATORS`;
the conformance tests pick it up from there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from vidstyle.errors import UsageError
from vidstyle.flow.base import FlowEstimator
from vidstyle.flow.carry import carried, read_along
from vidstyle.flow.compose import chain, compose
from vidstyle.flow.consistency import Consistency, consistency, reliable, stretched
from vidstyle.flow.contrib import DeepFlow, DualTVL1
from vidstyle.flow.dis import DenseInverseSearch
from vidstyle.flow.farneback import Farneback
from vidstyle.flow.files import FLOW_SUFFIXES, read_flow, write_flow
from vidstyle.flow.none import NoFlow
from vidstyle.flow.refined import Refined
from vidstyle.flow.warp import fade_finest, warp

__all__ = [
    "ESTIMATORS",
    "FLOW_SUFFIXES",
    "Consistency",
    "FlowEstimator",
    "carried",
    "chain",
    "compose",
    "consistency",
    "fade_finest",
    "make_estimator",
    "read_along",
    "read_flow",
    "reliable",
    "stretched",
    "warp",
    "write_flow",
]

ESTIMATORS: dict[str, Callable[[], FlowEstimator]] = {
    "farneback": Refined,
    "farneback-raw": Farneback,
    "dis": DenseInverseSearch,
    "deepflow": DeepFlow,
    "tvl1": DualTVL1,
    "none": NoFlow,
}
"""Value of `--flow` → what makes the estimator."""


def make_estimator(name: str) -> FlowEstimator:
    """The estimator of that name.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    if name not in ESTIMATORS:
        near = difflib.get_close_matches(name, ESTIMATORS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(ESTIMATORS)}"
        raise UsageError(f"--flow {name}: there is no such estimator; {hint}")
    return ESTIMATORS[name]()
