"""Winograd's convolutions: the same numbers as any other, forwards and back."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from vidstyle import winograd


def some(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 13), (3, 6), (1, 1), (4, 7)])
def test_it_is_a_convolution_with_zeros_beyond_the_border(height: int, width: int) -> None:
    x, weight = some(1, 5, height, width), some(7, 5, 3, 3)
    expected = functional.conv2d(x, weight, padding=1)
    found = winograd.convolve(x, winograd.filters_of(weight))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (6, 5)])
def test_its_gradient_is_that_of_a_convolution(height: int, width: int) -> None:
    x, weight = some(1, 3, height, width).requires_grad_(), some(4, 3, 3, 3)
    assert torch.autograd.gradcheck(lambda x: winograd.convolve(x, winograd.filters_of(weight)), x)
    gradient = some(1, 4, height, width)
    ours, theirs = (
        torch.autograd.grad(y, x, gradient)[0]
        for y in (winograd.convolve(x, winograd.filters_of(weight)), functional.conv2d(x, weight, padding=1))
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("way", ["forwards", "back"])
def test_in_single_precision_little_is_lost(way: str) -> None:
    """The bounds that `convolve` names; on a processor with AVX-512 4e-6 and 5e-7 of the largest are lost."""
    x, weight = some(1, 256, 20, 24, dtype=torch.float32).relu().requires_grad_(), some(256, 256, 3, 3, dtype=torch.float32)
    found = winograd.convolve(x, winograd.filters_of(weight))
    expected = functional.conv2d(exact := x.detach().double().requires_grad_(), weight.double(), padding=1)
    if way == "back":
        gradient = some(1, 256, 20, 24, dtype=torch.float32)
        (found,) = torch.autograd.grad(found, x, gradient)
        (expected,) = torch.autograd.grad(expected, exact, gradient.double())
    lost = ((found - expected).abs() / expected.abs().max()).detach()
    assert float(lost.max()) < 1e-5
    assert float(lost.square().mean().sqrt()) < 1e-6


def test_the_result_is_laid_out_as_the_network_wants_it_and_may_be_changed_in_place() -> None:
    x, filters = some(1, 3, 9, 10).requires_grad_(), winograd.filters_of(some(4, 3, 3, 3))
    y = winograd.convolve(x, filters)
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.add_(1).relu_().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.any())


def test_it_pays_on_wide_layers_of_some_size_only() -> None:
    assert winograd.pays(256, 512, 22, 40)
    assert not winograd.pays(64, 128, 90, 160)
    assert not winograd.pays(512, 512, 4, 6)
