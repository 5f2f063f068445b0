"""The crossing between pictures and tensors loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidstyle.pixels import from_tensor, to_tensor


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
