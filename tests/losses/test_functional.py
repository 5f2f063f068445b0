"""Every formula against a slow one in float64, and its gradient against finite differences."""

from __future__ import annotations

import itertools

import pytest
import torch

from vidstyle.losses import (
    STYLE_LOSSES,
    area_means,
    content_loss,
    drift_loss,
    gatys_style_loss,
    gram,
    gram_loss,
    overflow_loss,
    temporal_loss,
    total_variation,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gram_is_the_mean_product_of_channels() -> None:
    f = random(1, 3, 4, 5)
    slow = torch.zeros(3, 3, dtype=torch.float64)
    for i, j, y, x in itertools.product(range(3), range(3), range(4), range(5)):
        slow[i, j] += f[0, i, y, x] * f[0, j, y, x] / (3 * 4 * 5)
    torch.testing.assert_close(gram(f), slow)


def test_gatys_loss_is_the_papers_for_equal_sizes() -> None:
    f, a = random(1, 3, 4, 5), random(1, 3, 4, 5, seed=1)
    n, m = 3, 20
    big_g, big_a = (t.reshape(3, 20) @ t.reshape(3, 20).T for t in (f, a))
    slow = sum(float((big_g[i, j] - big_a[i, j]) ** 2) for i in range(3) for j in range(3)) / (4 * n**2 * m**2)
    assert float(gatys_style_loss(gram(f), gram(a))) == pytest.approx(slow)


def test_gram_loss_is_the_mean_square() -> None:
    f, a = gram(random(1, 3, 4, 5)), gram(random(1, 3, 6, 5, seed=1))
    assert float(gram_loss(f, a)) == pytest.approx(sum(float((f[i, j] - a[i, j]) ** 2) for i in range(3) for j in range(3)) / 9)


def test_content_loss_is_the_mean_square() -> None:
    f, p = random(1, 2, 3, 4), random(1, 2, 3, 4, seed=1)
    slow = sum(float((f[0, c, y, x] - p[0, c, y, x]) ** 2) for c in range(2) for y in range(3) for x in range(4)) / 24
    assert float(content_loss(f, p)) == pytest.approx(slow)


def test_total_variation_against_loops() -> None:
    image = random(1, 3, 4, 5)
    slow = 0.0
    for c, y, x in itertools.product(range(3), range(4), range(5)):
        slow += float((image[0, c, y, x + 1] - image[0, c, y, x]) ** 2) if x < 4 else 0
        slow += float((image[0, c, y + 1, x] - image[0, c, y, x]) ** 2) if y < 3 else 0
    assert float(total_variation(image)) == pytest.approx(slow * 255**2 / image.numel())


def test_total_variation_that_wraps_is_the_same_wherever_the_picture_is_cut() -> None:
    image = random(1, 3, 4, 5)
    slow = sum(float((image - image.roll(1, axis)).square().sum()) for axis in (2, 3))
    assert float(total_variation(image, wraps=True)) == pytest.approx(slow * 255**2 / image.numel())
    assert float(total_variation(image.roll((1, 2), (2, 3)), wraps=True)) == pytest.approx(slow * 255**2 / image.numel())


def test_temporal_loss_counts_every_pixel_in_the_mean() -> None:
    image, warped = random(1, 3, 2, 2), random(1, 3, 2, 2, seed=1)
    trust = torch.tensor([[1.0, 0.0], [0.5, 0.0]], dtype=torch.float64)[None, None]
    slow = sum(
        float(trust[0, 0, y, x] * (image[0, c, y, x] - warped[0, c, y, x]) ** 2) for c in range(3) for y in range(2) for x in range(2)
    )
    assert float(temporal_loss(image, warped, trust)) == pytest.approx(slow / 12 * 255**2)


def test_temporal_gradient_is_there_where_trusted_and_nowhere_else() -> None:
    image, warped = random(1, 3, 6, 7).requires_grad_(), random(1, 3, 6, 7, seed=1)
    trust = (random(1, 1, 6, 7, seed=2) > 0).double()
    (gradient,) = torch.autograd.grad(temporal_loss(image, warped, trust), image)
    inside = trust.expand_as(gradient) > 0
    assert (gradient[inside] != 0).all()
    assert (gradient[~inside] == 0).all()


def test_area_means_against_loops() -> None:
    """Tent weights about the centres of 2×3 areas of a 32×50 picture."""
    values = random(1, 2, 32, 50)
    means = area_means(values)
    assert means.shape == (1, 2, 2, 3)
    for row, column in itertools.product(range(2), range(3)):
        total, weights = torch.zeros(2, dtype=torch.float64), 0.0
        for y, x in itertools.product(range(32), range(50)):
            down, across = (1 - abs(y - (16 * row + 7.5)) / 16, 1 - abs(x - (50 / 3 * (column + 0.5) - 0.5)) / (50 / 3))
            weight = max(down, 0) * max(across, 0)
            total, weights = total + weight * values[0, :, y, x], weights + weight
        torch.testing.assert_close(means[0, :, row, column], total / weights)


def test_area_means_of_a_picture_smaller_than_an_area() -> None:
    torch.testing.assert_close(area_means(torch.full((1, 3, 1, 5), 0.25)), torch.full((1, 3, 1, 1), 0.25))


def test_drift_is_what_a_whole_area_has_changed_and_no_stroke() -> None:
    expected = random(1, 3, 64, 80)
    calm = torch.ones(1, 1, 64, 80, dtype=torch.float64)
    assert float(drift_loss(expected + 2 / 255, expected, calm)) == pytest.approx(4)
    stripes = torch.arange(80, dtype=torch.float64).remainder(4).sub(1.5).sign().expand(1, 3, 64, 80)
    assert float(drift_loss(expected + 2 / 255 * stripes, expected, calm)) < 0.01
    assert float(drift_loss(expected + 2 / 255, expected, 0 * calm)) == 0


def test_overflow_is_zero_inside_the_range_and_grows_outside() -> None:
    assert float(overflow_loss(torch.rand(1, 3, 4, 4))) == 0
    assert float(overflow_loss(torch.full((1, 3, 2, 2), 1 + 2 / 255, dtype=torch.float64))) == pytest.approx(4)
    assert float(overflow_loss(torch.full((1, 3, 2, 2), -2 / 255, dtype=torch.float64))) == pytest.approx(4)


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_style_losses_gradcheck(name: str) -> None:
    loss, target = STYLE_LOSSES[name], random(1, 4, 5, 5, seed=3)
    features = random(1, 4, 3, 4).requires_grad_()
    wanted = loss.prepare(loss.blend([(1.0, loss.statistics(target))]))
    assert torch.autograd.gradcheck(lambda f: loss.distance(loss.statistics(f), wanted), features)
    weights = torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: loss.distance(loss.statistics(f, weights), wanted), features)


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_a_region_is_a_picture_of_its_own(name: str) -> None:
    """Weights of 0 and 1 give what the positions that count would give by themselves; equal ones, what all of them give."""
    loss, features = STYLE_LOSSES[name], random(1, 4, 5, 9)
    weights = torch.zeros(1, 1, 5, 9, dtype=torch.float64)
    weights[..., 2:7] = 1
    alone = features[..., 1:8] if name == "patches" else features[..., 2:7]  # a patch looks one position further
    torch.testing.assert_close(loss.statistics(features, weights), loss.statistics(alone))
    torch.testing.assert_close(loss.statistics(features, torch.full_like(weights, 0.3)), loss.statistics(features))


@pytest.mark.parametrize("name", ["gram", "moments", "covariance"])
def test_positions_that_count_by_half_do(name: str) -> None:
    """A position of weight 1/2 beside one of weight 1 is the one picture twice, the other once."""
    features = random(1, 3, 1, 2)
    weights = torch.tensor([1.0, 0.5], dtype=torch.float64).reshape(1, 1, 1, 2)
    repeated = torch.stack([features[..., 0], features[..., 0], features[..., 1]], dim=-1)
    statistics = STYLE_LOSSES[name].statistics
    torch.testing.assert_close(statistics(features, weights), statistics(repeated))


@pytest.mark.parametrize("name", [name for name in STYLE_LOSSES if name != "patches"])
def test_style_losses_ignore_where_things_are_and_how_large_the_style_is(name: str) -> None:
    """All but the loss on patches, which is about what stands next to what."""
    loss, features = STYLE_LOSSES[name], random(1, 4, 4, 6)
    target = loss.prepare(loss.statistics(features))
    scale = float(loss.distance(loss.statistics(2 * features), target))
    assert scale > 0.1
    assert float(loss.distance(loss.statistics(features.flip(-1)), target)) == pytest.approx(0, abs=1e-9 * scale)
    twice = torch.cat([features, features], dim=-1)
    # The quantiles of a small sample change a little when it is read at twice as many places.
    assert float(loss.distance(loss.statistics(twice), target)) == pytest.approx(0, abs=(1e-2 if name == "histogram" else 1e-9) * scale)


def test_pixel_losses_gradcheck() -> None:
    image, other = random(1, 3, 3, 4).requires_grad_(), random(1, 3, 3, 4, seed=1)
    trust = torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(total_variation, image, atol=1e-3)
    assert torch.autograd.gradcheck(lambda x: temporal_loss(x, other, trust), image, atol=1e-3)
    assert torch.autograd.gradcheck(lambda x: drift_loss(x, other, trust), image, atol=1e-3)
    assert torch.autograd.gradcheck(lambda x: content_loss(x, other), image)
    assert torch.autograd.gradcheck(lambda x: overflow_loss(x), image, atol=1e-3)
