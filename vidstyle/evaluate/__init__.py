"""Measures of a result against its source."""

from __future__ import annotations

from vidstyle.evaluate.measures import Steadiness, objective_of, sharpness, steadiness, warping_error

__all__ = ["Steadiness", "objective_of", "sharpness", "steadiness", "warping_error"]
