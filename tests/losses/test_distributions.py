"""Style losses beyond the Gram matrix, against slow ones in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidstyle.errors import UsageError
from vidstyle.losses import (
    STYLE_LOSSES,
    covariance,
    covariance_loss,
    histogram_loss,
    moments,
    moments_loss,
    patch_loss,
    patches,
    sorted_activations,
    wasserstein_loss,
)
from vidstyle.losses.distributions import wasserstein_target
from vidstyle.losses.style import mean_quantiles


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def test_moments_are_mean_and_deviation_of_each_channel() -> None:
    f, a = random(1, 3, 4, 5), random(1, 3, 6, 5, seed=1)
    slow = 0.0
    for channel in range(3):
        x, y = f[0, channel].numpy(), a[0, channel].numpy()
        slow += (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
    assert float(moments_loss(moments(f), moments(a))) == pytest.approx(slow / 3, rel=1e-6)


def test_covariance_against_numpy() -> None:
    f, a = random(1, 3, 4, 5), random(1, 3, 6, 5, seed=1)
    x, y = (np.cov(t[0].reshape(3, -1).numpy(), bias=True) for t in (f, a))
    np.testing.assert_allclose(covariance(f)[:, :3].numpy(), x)
    np.testing.assert_allclose(covariance(f)[:, 3].numpy(), f.mean(dim=(0, 2, 3)).numpy())
    assert float(covariance_loss(covariance(f), covariance(a))) == pytest.approx(float((((x - y) / 3) ** 2).mean()))
    brighter = covariance_loss(covariance(f + 2), covariance(f))
    assert float(brighter) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("channels", [1, 4, 16])
def test_wasserstein_against_eigenvalues(channels: int) -> None:
    f, a = random(1, channels, 8, 9), 0.5 + 2 * random(1, channels, 7, 9, seed=1)
    x, y = (t[0].reshape(channels, -1).numpy() for t in (f, a))
    sx, sy = (np.atleast_2d(np.cov(t, bias=True)) for t in (x, y))
    shared = root(root(sy) @ sx @ root(sy))
    slow = ((x.mean(1) - y.mean(1)) ** 2).sum() + np.trace(sx + sy - 2 * shared)
    assert float(wasserstein_loss(covariance(f), wasserstein_target(covariance(a)))) == pytest.approx(slow / channels, rel=1e-3)


def test_wasserstein_of_flat_channels_is_finite_and_has_a_slope() -> None:
    """Half the channels of a deep layer may be silent."""
    f = random(1, 6, 5, 5).clamp_min(0)
    f[:, 3:] = 0
    f = f.float().requires_grad_()
    loss = wasserstein_loss(covariance(f), wasserstein_target(covariance(random(1, 6, 5, 5, seed=2).float())))
    (gradient,) = torch.autograd.grad(loss, f)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0


def test_histogram_loss_is_the_distance_to_the_matched_activations() -> None:
    """The value of rank r is matched with the style's value of rank r."""
    f, a = random(1, 2, 3, 4), random(1, 2, 4, 3, seed=1)
    slow = 0.0
    for channel in range(2):
        values, style = f[0, channel].flatten().tolist(), sorted(a[0, channel].flatten().tolist())
        ranks = {place: rank for rank, place in enumerate(sorted(range(12), key=values.__getitem__))}
        slow += sum((values[place] - style[ranks[place]]) ** 2 for place in range(12))
    assert float(histogram_loss(sorted_activations(f), sorted_activations(a))) == pytest.approx(slow / 24)


def test_histograms_of_other_sizes_are_read_at_the_same_quantiles() -> None:
    f = torch.linspace(0, 1, 11, dtype=torch.float64)[None, None, None]
    a = torch.linspace(0, 1, 41, dtype=torch.float64)[None, None, None]
    assert float(histogram_loss(sorted_activations(f), sorted_activations(a))) == pytest.approx(0, abs=1e-20)
    blended = mean_quantiles([(0.25, sorted_activations(f)), (0.75, sorted_activations(1 + a))])
    np.testing.assert_allclose(blended[0].numpy(), np.linspace(0.75, 1.75, 41))


def test_patches_are_matched_with_the_most_alike() -> None:
    f, a = random(1, 2, 5, 4), random(1, 2, 4, 6, seed=1)

    def all_patches(t: torch.Tensor) -> list[np.ndarray]:
        picture = t[0].numpy()
        return [picture[:, y : y + 3, x : x + 3].ravel() for y in range(picture.shape[1] - 2) for x in range(picture.shape[2] - 2)]

    slow, style = [], all_patches(a)
    for patch in all_patches(f):
        likeness = [float(patch @ other) / float(np.linalg.norm(other)) for other in style]
        slow.append(((patch - style[int(np.argmax(likeness))]) ** 2).mean())
    assert float(patch_loss(patches(f), patches(a))) == pytest.approx(float(np.mean(slow)))
    assert float(patch_loss(patches(f), patches(f))) == 0


def test_patches_of_a_region_along_the_border_are_those_that_reach_into_it() -> None:
    f = random(1, 2, 8, 8)
    border = torch.zeros(1, 1, 8, 8)
    border[..., 0] = 1
    assert torch.equal(patches(f, border), patches(f).reshape(6, 6, -1)[:, 0])


def test_too_many_patches_are_refused() -> None:
    with pytest.raises(UsageError, match=r"200×100 positions .*--style-layers relu3_1 relu4_1"):
        patches(torch.zeros(1, 2, 100, 200))


def test_patches_know_their_neighbours() -> None:
    """A picture and its shuffled pixels have one histogram, and other patches."""
    f = random(1, 2, 8, 8)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    shuffled = f.reshape(1, 2, 64)[..., order].reshape(1, 2, 8, 8)
    assert float(histogram_loss(sorted_activations(shuffled), sorted_activations(f))) == 0
    assert float(patch_loss(patches(shuffled), patches(f))) > 0.1


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_every_loss_holds_at_one_position(name: str) -> None:
    """The deepest layer of a small picture has one."""
    loss = STYLE_LOSSES[name]
    features = random(1, 4, 1, 1).requires_grad_()
    value = loss.distance(loss.statistics(features), loss.prepare(loss.statistics(random(1, 4, 5, 5, seed=1))))
    (gradient,) = torch.autograd.grad(value, features)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
