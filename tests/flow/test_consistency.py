from __future__ import annotations

import numpy as np
import pytest

from tests.scenes import Scene
from vidstyle.flow import consistency, make_estimator, reliable, stretched
from vidstyle.frames import FlowField


def constant(dx: float, dy: float, size: tuple[int, int] = (20, 30)) -> FlowField:
    return FlowField(np.broadcast_to(np.array([dx, dy], np.float32)[:, None, None], (2, *size)).copy())


def test_a_pan_loses_exactly_the_strip_that_enters() -> None:
    tests = consistency(constant(2.5, -1), constant(-2.5, 1))
    expected = np.zeros((20, 30), bool)
    expected[:1] = True
    expected[:, 27:] = True  # x + 2.5 > 29
    np.testing.assert_array_equal(tests.outside, expected)
    assert not tests.disoccluded.any()
    assert not tests.boundary.any()
    np.testing.assert_array_equal(tests.reliable, ~expected)
    assert tests.reliable.dtype == np.float32


def test_noise_at_the_border_of_a_still_picture_is_not_outside() -> None:
    assert not consistency(constant(-0.005, 0.005), constant(0, 0)).outside.any()


def test_a_way_back_that_does_not_return_is_disoccluded() -> None:
    flow, backward = constant(0, 0), constant(0, 0)
    backward.data[0, 5:9, 6:12] = 0.8  # 0.64 ≥ 0.01·0.64 + 0.5
    tests = consistency(flow, backward)
    expected = np.zeros((20, 30), bool)
    expected[5:9, 6:12] = True
    np.testing.assert_array_equal(tests.disoccluded, expected)
    backward.data[0, 5:9, 6:12] = 0.7  # 0.49 < 0.01·0.49 + 0.5
    assert not consistency(flow, backward).disoccluded.any()


def test_the_way_back_is_read_where_the_vector_ends() -> None:
    backward = constant(-4, 0)
    backward.data[0, :, 10] = 5
    np.testing.assert_array_equal(np.flatnonzero(consistency(constant(4, 0), backward).disoccluded[3]), [6])


def test_a_jump_of_the_field_is_a_boundary_on_both_sides() -> None:
    flow = constant(0, 0)
    flow.data[0, :, 15:] = 1
    np.testing.assert_array_equal(np.flatnonzero(consistency(flow, constant(0, 0)).boundary[7]), [14, 15])


def test_a_boundary_is_not_missing() -> None:
    flow = constant(0, 0)
    flow.data[0, :, 15:] = 0.3
    tests = consistency(flow, constant(0, 0))
    assert tests.boundary.any()
    assert not tests.missing[:, :-1].any()


def test_exact_occlusion_of_a_scene() -> None:
    scene = Scene(size=(108, 192))
    tests = consistency(scene.flow(4, 2), scene.flow(2, 4))
    assert (tests.outside != scene.outside(4, 2)).mean() < 0.001  # vectors that end within 0.01 px of the border
    hidden = scene.disoccluded(4, 2) & ~scene.outside(4, 2)
    assert hidden.sum() > 50
    assert tests.disoccluded[hidden].mean() > 0.95
    assert (tests.disoccluded & ~hidden).mean() < 0.005  # bilinear reading across the disc's edge


def test_estimated_flow_finds_the_occlusion_and_keeps_the_rest() -> None:
    scene = Scene(size=(108, 192))
    estimate = make_estimator("farneback")
    first, second = scene.frame(2), scene.frame(4)
    tests = consistency(estimate(second, first), estimate(first, second))
    hidden = scene.disoccluded(4, 2) & ~scene.outside(4, 2)
    assert tests.reliable[hidden].mean() < 0.25
    assert tests.reliable[scene.visible(4, 2)].mean() > 0.9


def test_a_camera_that_zooms_stretches_nothing() -> None:
    y, x = np.mgrid[:40, :60].astype(np.float32)
    assert not stretched(FlowField(np.stack([-0.2 * (x - 30), -0.2 * (y - 20)]))).any()


@pytest.mark.parametrize(("slope", "expected"), [(-0.03, False), (-0.1, True), (-0.3, True), (0.3, False)])
def test_what_is_drawn_out_of_a_narrow_strip_is_stretched(slope: float, expected: bool) -> None:
    """Rows 20 to 30 come from `1 + slope` as many rows of the reference; everything else only moves."""
    v = slope * (np.arange(60, dtype=np.float32).clip(20, 30) - 20)
    flow = FlowField(np.stack([np.full((60, 50), 1.5, np.float32), np.repeat(v[:, None], 50, axis=1)]))
    found = stretched(flow)
    assert (found[21:30] == expected).all()
    assert not found[:19].any()
    assert not found[32:].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_pictures_one_pixel_wide(size: tuple[int, int]) -> None:
    np.testing.assert_array_equal(reliable(constant(0, 0, size), constant(0, 0, size)), np.ones(size, np.float32))
    np.testing.assert_array_equal(stretched(constant(0, 0, size)), np.zeros(size, np.bool_))


def test_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        consistency(constant(0, 0), constant(0, 0, (20, 31)))
