"""What is measured on single pictures: sharpness, structure, colour, the objective under one judge."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vidstyle.objective import Objective
from vidstyle.pixels import LUMA, to_tensor
from vidstyle.settings import Settings
from vidstyle.targets import content_targets
from vidstyle.terms import Region, StyleTargets, build_terms
from vidstyle.vgg import VGG19

__all__ = ["chroma", "content_and_style_of", "luma", "objective_of", "saturation", "sharpness", "structure"]

Picture = npt.NDArray[np.uint8]
_LUMA = np.array(LUMA)


def sharpness(picture: Picture) -> float:
    """Variance of the Laplacian (four neighbours) of the luma (BT.601), on 0-255 values."""
    grey = luma(picture)
    if min(grey.shape) < 3:
        return 0.0  # no pixel has four neighbours
    return float((grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]).var())


def structure(result: Picture, source: Picture) -> float:
    """Mean of SSIM's structure term on the luma, in [-1, 1]: are edges where they were, whatever colour and contrast.

        s = (σ_xy + C) / √((σ_x² + C) (σ_y² + C)),   C = (0.03 · 255)² / 2

    Wang et al. 2004, with their window: Gaussian, 11 × 11, σ = 1.5. They have the constant beside the product, σ_x σ_y + C, by which a
    result that is flat everywhere would be perfect.
    """
    x, y = luma(result), luma(source)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = (_windowed(x * x) - mean_x**2).clip(0)
    variance_y = (_windowed(y * y) - mean_y**2).clip(0)
    covariance = _windowed(x * y) - mean_x * mean_y
    small = (0.03 * 255) ** 2 / 2
    return float(((covariance + small) / np.sqrt((variance_x + small) * (variance_y + small))).mean())


def _windowed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT), dtype=np.float64)


def luma(picture: Picture) -> npt.NDArray[np.float64]:
    """(H, W), 0-255, BT.601."""
    return np.asarray(picture.astype(np.float64) @ _LUMA)


def chroma(picture: Picture) -> tuple[float, float]:
    """Means of Cb and Cr (BT.601, full range), 0-255 with 128 for grey."""
    mean = picture.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    red, _, blue = 128 + 0.5 * (mean - mean @ _LUMA) / (1 - _LUMA)
    return float(blue), float(red)


def saturation(picture: Picture) -> float:
    """Mean over the pixels of (max − min) / max of R, G and B, in [0, 1]; black counts 0."""
    largest = picture.max(axis=2).astype(np.float64)
    return float(((largest - picture.min(axis=2)) / np.maximum(largest, 1)).mean())


def content_and_style_of(network: VGG19, picture: Picture, source: Picture, targets: StyleTargets | None) -> tuple[float, float | None]:
    """5·content and 100·style of a saved picture: the one judge, whatever settings it was made with.

    Args:
        network: VGG-19 with the original weights and max pooling.
        picture: (H, W, 3) uint8 RGB, what is judged.
        source: the same, what it was made from.
        targets: Gram matrices of the style at the frame's size, as `style_targets` gives them with default settings; None
            where no style is known.
    """
    settings = Settings()
    content = content_targets(network, to_tensor(source, network.device), settings)
    regions = [] if targets is None else [Region(targets)]
    with torch.no_grad():
        terms = Objective(network, build_terms(settings, content, regions)).terms(to_tensor(picture, network.device))
    return float(terms["content"]), float(terms["style"]) if targets is not None else None


def objective_of(network: VGG19, picture: Picture, source: Picture, targets: StyleTargets) -> float:
    """The sum of `content_and_style_of`: the quantity that neural-style and artistic-videos minimise."""
    content, style = content_and_style_of(network, picture, source, targets)
    assert style is not None
    return content + style
