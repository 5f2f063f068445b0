"""Measures of a result against its source."""

from __future__ import annotations

from vidstyle.evaluate.measures import Steadiness, content_and_style_of, objective_of, sharpness, steadiness, warping_error

__all__ = ["Steadiness", "content_and_style_of", "objective_of", "sharpness", "steadiness", "warping_error"]
