"""The crossing between pictures and tensors loses nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from vidstyle.pixels import blurred, from_tensor, near, savable, to_plane, to_tensor


@pytest.mark.parametrize("bits", [8, 16])
def test_round_trip_is_exact(bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    picture = np.random.default_rng(0).integers(0, 2**bits, (5, 7, 3)).astype(dtype)
    tensor = to_tensor(picture)
    assert tensor.shape == (1, 3, 5, 7)
    assert tensor.dtype == torch.float32
    back = from_tensor(tensor, bits)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, picture)


def test_channels_and_range() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 1] = (255, 0, 51)
    tensor = to_tensor(picture)
    torch.testing.assert_close(tensor[0, :, 0, 1], torch.tensor([1.0, 0.0, 0.2]))


def test_values_outside_are_clamped() -> None:
    assert from_tensor(torch.full((1, 3, 1, 1), 1.5)).max() == 255
    assert from_tensor(torch.full((1, 3, 1, 1), -0.5)).max() == 0


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="shape"):
        to_tensor(np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="dtype"):
        to_tensor(np.zeros((2, 2, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        from_tensor(torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match="bits"):
        from_tensor(torch.zeros(1, 3, 2, 2), bits=10)


def test_a_blur_spreads_a_point_as_a_bell_and_keeps_its_sum() -> None:
    point = torch.zeros(1, 2, 21, 25)
    point[0, 1, 10, 12] = 1
    spread = blurred(point, 1.5)
    expected = cv2.GaussianBlur(point[0, 1].numpy(), (11, 11), 1.5)
    np.testing.assert_allclose(spread[0, 1].numpy(), expected, atol=1e-6)
    assert not spread[0, 0].any()
    torch.testing.assert_close(blurred(torch.full((1, 3, 4, 5), 0.3), 1.0), torch.full((1, 3, 4, 5), 0.3))


def test_near_falls_evenly_around_a_mask() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    found = near(mask, 2.0)
    assert found[4, 2:7].tolist() == [0, 0.5, 1, 0.5, 0]
    assert found[3, 3] == pytest.approx(1 - np.sqrt(2) / 2)
    assert not near(~mask & mask, 2.0).any()


def test_a_plane_keeps_its_values() -> None:
    values = np.random.default_rng(5).random((4, 7), dtype=np.float32)
    plane = to_plane(values)
    assert plane.shape == (1, 1, 4, 7)
    assert np.array_equal(plane[0, 0].numpy(), values)


def test_what_is_exactly_black_or_white_can_be_moved() -> None:
    image = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.1], requires_grad=True)
    seen = savable(image)
    assert seen.tolist() == [0, 0, 0.5, 1, 1]
    (gradient,) = torch.autograd.grad(seen, image, torch.full((5,), 3.0))
    assert gradient.tolist() == [0, 3, 3, 3, 0]
