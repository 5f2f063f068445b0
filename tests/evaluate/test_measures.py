"""The measures on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import vidstyle.stylizer
from tests.scenes import Scene
from vidstyle.evaluate import NetworkJudge, content_and_style_of, objective_of, saturation, sharpness, structure
from vidstyle.flow import warping_error
from vidstyle.frames import FlowField
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
from vidstyle.targets import style_targets
from vidstyle.vgg import load_vgg19

SCENE = Scene(size=(64, 96))
FRAMES = [SCENE.frame(t) for t in range(4)]


def test_a_still_film_has_no_error() -> None:
    still = FlowField(np.zeros((2, 64, 96), np.float32))
    assert warping_error(FRAMES[0], FRAMES[0], still, np.ones((64, 96), np.float32)) == pytest.approx(0, abs=1e-12)


def test_known_noise_gives_its_variance() -> None:
    rng = np.random.default_rng(0)
    grey = np.full((64, 96, 3), 128.0)
    a, b = ((grey + rng.normal(0, 10, grey.shape)).round().astype(np.uint8) for _ in range(2))
    still = FlowField(np.zeros((2, 64, 96), np.float32))
    error = warping_error(a, b, still, np.ones((64, 96), np.float32))
    assert error == pytest.approx(2 * (10 / 255) ** 2, rel=0.05)


def test_only_trusted_pixels_count() -> None:
    a, b = FRAMES[0], FRAMES[0].copy()
    b[:, :10] = 255 - b[:, :10]
    trust = np.ones((64, 96), np.float32)
    trust[:, :10] = 0
    still = FlowField(np.zeros((2, 64, 96), np.float32))
    assert warping_error(a, b, still, trust) == pytest.approx(0, abs=1e-12)


def test_sharpness_of_a_checkerboard_and_of_grey() -> None:
    board = (np.indices((10, 10)).sum(0) % 2 * 2 - 1)[..., None].repeat(3, 2)
    assert sharpness((128 + 10 * board).astype(np.uint8)) == pytest.approx((8 * 10) ** 2, rel=1e-6)
    assert sharpness(np.full((10, 10, 3), 99, np.uint8)) == pytest.approx(0, abs=1e-9)


def test_objective_of_the_style_picture_itself_is_all_content() -> None:
    network = load_vgg19()
    targets = style_targets(network, [(1.0, to_tensor(FRAMES[0]))], Settings())
    assert objective_of(network, FRAMES[0], FRAMES[0], targets) == pytest.approx(0, abs=1)
    assert objective_of(network, FRAMES[0], FRAMES[3], targets) > 1e4


def test_without_a_style_there_is_no_style_loss() -> None:
    content, style = content_and_style_of(load_vgg19(), FRAMES[3], FRAMES[0], None)
    assert content > 1e4
    assert style is None


def plain_structure(x: np.ndarray, y: np.ndarray) -> float:
    """The formula, window by window."""
    x, y = (picture.astype(np.float64) @ [0.299, 0.587, 0.114] for picture in (x, y))
    at = np.arange(-5, 6)
    window = np.exp(-(at**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    x, y = np.pad(x, 5, mode="symmetric"), np.pad(y, 5, mode="symmetric")
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            spread = [(window * (c - mean) ** 2).sum() + 7.65**2 / 2 for c, mean in ((a, mean_a), (b, mean_b))]
            values.append((covariance + 7.65**2 / 2) / np.sqrt(spread[0] * spread[1]))
    return float(np.mean(values))


class TestStructure:
    def test_against_the_plain_formula(self) -> None:
        a, b = FRAMES[0][:24, :30], FRAMES[3][:24, :30]
        assert structure(a, b) == pytest.approx(plain_structure(a, b), abs=1e-6)

    def test_brightness_and_contrast_are_no_structure(self) -> None:
        dimmer = (FRAMES[0] * 0.5 + 60).round().astype(np.uint8)
        assert structure(FRAMES[0], FRAMES[0]) == pytest.approx(1)
        assert structure(dimmer, FRAMES[0]) > 0.95
        assert structure(255 - FRAMES[0], FRAMES[0]) < 0

    def test_a_flat_result_has_none(self) -> None:
        assert structure(np.full_like(FRAMES[0], 120), FRAMES[0]) < 0.6
        assert structure(np.full_like(FRAMES[0], 120), np.full_like(FRAMES[0], 7)) == pytest.approx(1)


def test_saturation_of_known_colours() -> None:
    colors = [(255, 0, 0), (128, 128, 128), (200, 100, 150), (0, 0, 0)]
    assert saturation(np.array([colors], np.uint8)) == pytest.approx((1 + 0 + 0.5 + 0) / 4)


def test_pictures_are_judged_where_the_network_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the network is there by default. A device without memory stands in: nothing fails before numbers are asked for."""
    monkeypatch.setattr(vidstyle.stylizer, "resolve_devices", lambda names: (torch.device("meta"),))
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    judge = NetworkJudge([picture], (48, 64))
    with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta"):
        judge(picture, picture)
