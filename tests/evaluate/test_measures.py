"""The measures on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenes import Scene
from vidstyle.evaluate import objective_of, sharpness, steadiness, warping_error
from vidstyle.flow import make_estimator
from vidstyle.frames import FlowField
from vidstyle.objective import style_targets
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
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


def test_the_source_against_itself_is_the_floor() -> None:
    measured = steadiness(FRAMES, FRAMES, 1, make_estimator("dis"))
    assert measured.ratio == pytest.approx(1)
    assert measured.norm == pytest.approx(1)
    assert 0.5 < measured.reliable <= 1


def test_flicker_is_seen() -> None:
    flickering = [np.clip(frame.astype(int) + (12 if t % 2 else -12), 0, 255).astype(np.uint8) for t, frame in enumerate(FRAMES)]
    assert steadiness(FRAMES, flickering, 1, make_estimator("dis")).ratio > 5
    assert steadiness(FRAMES, flickering, 2, make_estimator("dis")).ratio < 1.5


def test_clips_must_match() -> None:
    with pytest.raises(ValueError, match="differ"):
        steadiness(FRAMES, FRAMES[:2], 1, make_estimator("dis"))
    with pytest.raises(ValueError, match="no pair"):
        steadiness(FRAMES, FRAMES, 4, make_estimator("dis"))


def test_sharpness_of_a_checkerboard_and_of_grey() -> None:
    board = (np.indices((10, 10)).sum(0) % 2 * 2 - 1)[..., None].repeat(3, 2)
    assert sharpness((128 + 10 * board).astype(np.uint8)) == pytest.approx((8 * 10) ** 2, rel=1e-6)
    assert sharpness(np.full((10, 10, 3), 99, np.uint8)) == pytest.approx(0, abs=1e-9)


def test_objective_of_the_style_picture_itself_is_all_content() -> None:
    network = load_vgg19()
    targets = style_targets(network, [(1.0, to_tensor(FRAMES[0]))], Settings())
    assert objective_of(network, FRAMES[0], FRAMES[0], targets) == pytest.approx(0, abs=1)
    assert objective_of(network, FRAMES[0], FRAMES[3], targets) > 1e4
