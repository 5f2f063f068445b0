"""Measures of a result against its source."""

from __future__ import annotations

from vidstyle.evaluate.evaluation import Evaluation, Judge, TrueFlow, evaluate
from vidstyle.evaluate.flicker import BANDS, FLICKER_FROM, FlickerMeter
from vidstyle.evaluate.judge import NetworkJudge
from vidstyle.evaluate.measures import chroma, content_and_style_of, luma, objective_of, saturation, sharpness, structure
from vidstyle.evaluate.truth import FlowDirectory

__all__ = [
    "BANDS",
    "FLICKER_FROM",
    "Evaluation",
    "FlickerMeter",
    "FlowDirectory",
    "Judge",
    "NetworkJudge",
    "TrueFlow",
    "chroma",
    "content_and_style_of",
    "evaluate",
    "luma",
    "objective_of",
    "saturation",
    "sharpness",
    "structure",
]
