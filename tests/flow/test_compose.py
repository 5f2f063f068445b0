from __future__ import annotations

import numpy as np
import pytest

from tests.scenes import Scene
from vidstyle.flow import chain, compose, make_estimator, reliable
from vidstyle.frames import FlowField


def test_shifts_add_up() -> None:
    near = FlowField(np.full((2, 12, 14), 1.5, np.float32))
    far = FlowField(np.full((2, 12, 14), -0.5, np.float32))
    np.testing.assert_array_equal(compose(near, far).data, 1.0)


def test_an_affine_far_field_is_read_exactly_between_the_pixels() -> None:
    y, x = np.mgrid[:20, :30].astype(np.float32)
    far = FlowField(np.stack([0.02 * x + 0.01 * y, 0.03 * y - 0.01 * x]))
    near = FlowField(np.stack([np.full_like(x, 0.37), np.full_like(x, -0.81)]))
    expected = np.stack([0.37 + 0.02 * (x + 0.37) + 0.01 * (y - 0.81), -0.81 + 0.03 * (y - 0.81) - 0.01 * (x + 0.37)])
    np.testing.assert_allclose(compose(near, far).data[:, 1:, :-1], expected[:, 1:, :-1], atol=1e-5)


def test_ten_exact_steps_give_the_exact_far_flow() -> None:
    scene = Scene(size=(90, 160))
    total, trust = scene.flow(1, 0), scene.visible(1, 0).astype(np.float32)
    for t in range(2, 11):
        near = scene.flow(t, t - 1)
        trust = chain(near, scene.visible(t, t - 1).astype(np.float32), trust)
        total = compose(near, total)
    error = np.hypot(*(total.data - scene.flow(10, 0).data))
    sure = (trust == 1) & scene.visible(10, 0)
    assert sure.mean() > 0.6
    assert np.median(error[sure]) < 1e-3
    assert (error[sure] > 0.5).mean() < 0.01


def test_ten_estimated_steps_stay_near_the_truth() -> None:
    scene = Scene(size=(90, 160))
    estimate = make_estimator("farneback")
    frames = [scene.frame(t) for t in range(11)]
    total, trust = FlowField(np.zeros((2, 90, 160), np.float32)), np.ones((90, 160), np.float32)
    for t in range(1, 11):
        near = estimate(frames[t], frames[t - 1])
        trust = chain(near, reliable(near, estimate(frames[t - 1], frames[t])), trust)
        total = compose(near, total)
    error = np.hypot(*(total.data - scene.flow(10, 0).data))
    assert (trust == 1).mean() > 0.4
    assert np.median(error[trust == 1]) < 0.4


def test_the_chain_breaks_where_any_link_does() -> None:
    near = FlowField(np.zeros((2, 6, 8), np.float32))
    near.data[0] = 2
    near_mask, far_mask = np.ones((6, 8), np.float32), np.ones((6, 8), np.float32)
    near_mask[1, 1] = 0
    far_mask[4, 5] = 0
    expected = np.ones((6, 8), np.float32)
    expected[1, 1] = 0
    expected[4, 3] = 0
    expected[:, 6:] = 0  # ends outside
    np.testing.assert_array_equal(chain(near, near_mask, far_mask), expected)


def test_a_half_read_hole_is_not_whole() -> None:
    near = FlowField(np.zeros((2, 1, 8), np.float32))
    near.data[0] = 0.5
    far_mask = np.ones((1, 8), np.float32)
    far_mask[0, 4] = 0
    np.testing.assert_allclose(chain(near, np.ones((1, 8), np.float32), far_mask)[0], [1, 1, 1, 0.5, 0.5, 1, 1, 0])


def test_two_sizes_are_refused() -> None:
    small, large = FlowField(np.zeros((2, 4, 4), np.float32)), FlowField(np.zeros((2, 4, 5), np.float32))
    with pytest.raises(ValueError, match="one size"):
        compose(small, large)
    with pytest.raises(ValueError, match="masks"):
        chain(small, np.ones((4, 4), np.float32), np.ones((4, 5), np.float32))
