"""The way back by hand: what autograd finds, with less kept of the way there."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from vidstyle.settings import VGG_LAYERS
from vidstyle.strips import Fold, StripwiseObjective
from vidstyle.terms import ContentOf, Term
from vidstyle.vgg import VGG19, load_vgg19
from vidstyle.way_back import Passed
from vidstyle.winograd import Sides


def rectified(seed: int, size: tuple[int, int]) -> torch.Tensor:
    """Activations of which many are zero, and many in one window the same."""
    values = torch.randint(-3, 4, (1, 16, *size), generator=torch.Generator().manual_seed(seed)).double()
    return values.relu().contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("packed", [False, True], ids=["as it is", "packed"])
@pytest.mark.parametrize("looked_at", [False, True], ids=["passed by", "looked at"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("size", [(8, 10), (9, 11), (12, 7), (2, 2), (3, 5)])
def test_relu_and_pooling(size: tuple[int, int], pooling: str, looked_at: bool, packed: bool) -> None:
    there = rectified(3, size)
    before = torch.where(there > 0, there, -1.0).requires_grad_()  # what the ReLU was handed
    x = before.relu()
    pool = torch.nn.functional.max_pool2d if pooling == "max" else torch.nn.functional.avg_pool2d
    pooled = pool(x, 2)
    slope = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    elsewhere = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64) if looked_at else torch.zeros_like(x)
    (expected,) = torch.autograd.grad((pooled * slope).sum() + (x * elsewhere).sum(), before)
    passed = Passed.of(x.detach(), pooled.detach(), largest=pooling == "max", looked_at=looked_at)
    if packed:
        passed = passed.packed(torch.device("cpu"))
    gradient = passed.unpooled(slope.contiguous(memory_format=torch.channels_last))
    gradient += elsewhere
    assert torch.equal(passed.rectify_(gradient), expected)


def test_a_layer_that_is_not_pooled() -> None:
    x = rectified(3, (5, 6))
    for passed in (kept := Passed.of(x, None, largest=True, looked_at=False), kept.packed(torch.device("cpu"))):
        assert torch.equal(passed.rectify_(torch.ones_like(x)), (x > 0).double())


def test_what_is_kept_is_a_bit_and_half_a_byte() -> None:
    x = rectified(3, (40, 40))
    pooled = torch.nn.functional.max_pool2d(x, 2)
    plain = Passed.of(x, None, largest=True, looked_at=False).packed(torch.device("cpu"))
    behind = Passed.of(x, pooled, largest=True, looked_at=False).packed(torch.device("cpu"))
    assert not isinstance(plain.signs, torch.Tensor | None)
    assert not isinstance(behind.winners, torch.Tensor | None)
    assert plain.signs.content.numel() * 8 == x.numel()
    assert behind.winners.content.numel() * 2 == pooled.numel()
    assert behind.signs is None


@pytest.mark.parametrize("wraps", [False, True], ids=["ends", "wraps"])
@pytest.mark.parametrize("name", VGG_LAYERS)
def test_back_through_a_convolution(name: str, wraps: bool) -> None:
    network = double_network()
    weight = network.get_buffer(f"{name}_weight")
    for size in ((1, 1), (1, 7), (6, 2), (24, 20)):  # the last one by Winograd's method where the layer is wide
        x = torch.randn(1, weight.shape[1], *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
        made = network._convolved(name, x, wraps)
        slope = torch.randn_like(made)
        (expected,) = torch.autograd.grad(made, x, slope)
        torch.testing.assert_close(network.back(name, slope, wraps), expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("beyond", [(0, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (1, 1, 1, 1), (1, 0, 0, 1)], ids=str)
@pytest.mark.parametrize("name", ["relu1_1", "relu2_2", "relu3_2"])
def test_a_part_of_a_layer(name: str, beyond: Sides) -> None:
    """What comes out of it, and goes back, is what all of it has there."""
    network = double_network()
    whole, (left, right, top, bottom) = (40, 36), beyond
    inputs = network.get_buffer(f"{name}_weight").shape[1]
    x = torch.randn(1, inputs, *whole, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    rows, columns = slice(8 if top else 0, 24 if bottom else 40), slice(4 if left else 0, 20 if right else 36)
    looks = slice(rows.start - top, rows.stop + bottom), slice(columns.start - left, columns.stop + right)
    part = x[:, :, looks[0], looks[1]]
    expected = network._convolved(name, x, False)[:, :, rows, columns]
    found = network._convolved(name, part, False, beyond, whole)
    assert torch.equal(found, expected)
    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    (back,) = torch.autograd.grad(expected, x, slope)
    off = 1e-9 * float(back.abs().max())
    torch.testing.assert_close(torch.autograd.grad(found, x, slope)[0], back, rtol=1e-9, atol=off)
    torch.testing.assert_close(network.back(name, slope, False, beyond, whole), back[:, :, looks[0], looks[1]], rtol=1e-9, atol=off)


_networks: list[VGG19] = []


def double_network() -> VGG19:
    if not _networks:
        _networks.append(load_vgg19().double())
    return _networks[0]


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_what_nothing_looks_at_is_not_worked_out_again(pooling: Literal["max", "avg"], monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_vgg19(pooling=pooling)
    called: list[str] = []
    layer = VGG19.layer

    def counted(self: VGG19, name: str, *rest: Any) -> torch.Tensor:
        called.append(name)
        return layer(self, name, *rest)

    monkeypatch.setattr(VGG19, "layer", counted)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    term = Term("content", 1.0, "relu4_1", ContentOf(torch.zeros(1, 512, 4, 4)))
    evaluation = StripwiseObjective(network, [term], Fold(6, 32 * 32))(image)
    assert float(evaluation.gradient.abs().max()) > 0
    again = [name for name in VGG_LAYERS if called.count(name) > 1]
    assert again == ["relu4_1"]
