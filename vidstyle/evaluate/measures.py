"""How steady and how sharp a result is, against its source; and its objective under one judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vidstyle.flow import FlowEstimator, consistency, warp
from vidstyle.frames import FlowField
from vidstyle.objective import Objective, Region, StyleTargets, build_terms, content_targets
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
from vidstyle.vgg import VGG19

__all__ = ["Steadiness", "content_and_style_of", "objective_of", "sharpness", "steadiness", "warping_error"]

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Warping errors at one gap, the source's own as the floor."""

    gap: int
    """Frames between the two that are compared."""
    source: float
    """Warping error of the source itself, mean over pairs, on values in [0, 1]."""
    result: float
    ratio: float
    """Result over source."""
    norm: float
    """`ratio` over the ratio of the sharpnesses: an error of the flow costs in proportion to the picture's gradients."""
    reliable: float
    """Share of the pixels that were compared."""


def warping_error(current: Picture, reference: Picture, flow: FlowField, trust: npt.NDArray[np.float32]) -> float:
    """Σ M (current − warped reference)² / ΣM, mean over RGB in [0, 1] (Lai et al. 2018).

    Args:
        current: (H, W, 3) uint8 RGB.
        reference: the same, at an earlier moment.
        flow: from `current` into `reference`, estimated on the *source*.
        trust: (H, W) in [0, 1], M.
    """
    moved = warp(to_tensor(reference), flow, mode="bilinear")
    error = (to_tensor(current) - moved).square().mean(dim=1)[0].double().numpy()
    return float((error * trust).sum() / max(float(trust.sum()), 1.0))


def sharpness(picture: Picture) -> float:
    """Variance of the Laplacian (four neighbours) of the luma (BT.601), on 0-255 values."""
    luma = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    inner = luma[1:-1, 1:-1]
    return float((luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner).var())


def steadiness(source: Sequence[Picture], result: Sequence[Picture], gap: int, estimator: FlowEstimator) -> Steadiness:
    """Warping error of `result` and of `source` at one gap, over every pair of a run of frames without a cut.

    Pixels that fail the forward-backward or the motion-boundary test, or come from outside, are not compared.

    Raises:
        ValueError: the clips differ in length or size, or have no pair that far apart.
    """
    if len(source) != len(result) or any(a.shape != b.shape for a, b in zip(source, result, strict=True)):
        raise ValueError(f"source and result differ: {len(source)} and {len(result)} frames, {source[0].shape} and {result[0].shape}")
    if len(source) <= gap:
        raise ValueError(f"{len(source)} frames have no pair {gap} apart")
    errors = []
    for now in range(gap, len(source)):
        flow = estimator(source[now], source[now - gap])
        trust = consistency(flow, estimator(source[now - gap], source[now])).reliable
        own = warping_error(source[now], source[now - gap], flow, trust)
        errors.append((own, warping_error(result[now], result[now - gap], flow, trust), float(trust.mean())))
    own, painted, reliable = (float(value) for value in np.mean(errors, axis=0))
    sharper = float(np.mean([sharpness(frame) for frame in result])) / float(np.mean([sharpness(frame) for frame in source]))
    return Steadiness(gap, own, painted, painted / own, painted / own / sharper, reliable)


def content_and_style_of(network: VGG19, picture: Picture, source: Picture, targets: StyleTargets) -> tuple[float, float]:
    """5·content and 100·style of a saved picture: the one judge, whatever settings it was made with.

    Args:
        network: VGG-19 with the original weights and max pooling.
        picture: (H, W, 3) uint8 RGB, what is judged.
        source: the same, what it was made from.
        targets: Gram matrices of the style at the frame's size, as `style_targets` gives them with default settings.
    """
    settings = Settings()
    layers = (*settings.content.layers, *settings.style.layers)
    content = content_targets(network, to_tensor(source), settings)
    with torch.no_grad():
        terms = Objective(network, build_terms(settings, content, [Region(targets)]), layers).terms(to_tensor(picture))
    return float(terms["content"]), float(terms["style"])


def objective_of(network: VGG19, picture: Picture, source: Picture, targets: StyleTargets) -> float:
    """The sum of `content_and_style_of`: the quantity that neural-style and artistic-videos minimise."""
    return sum(content_and_style_of(network, picture, source, targets))
