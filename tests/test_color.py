"""Colour control against what it promises."""

from __future__ import annotations

import numpy as np
import torch

from vidstyle.color import linear_color_match, match_colors, preserve_linear, preserve_luminance

WEIGHTS = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]


def picture(seed: int) -> torch.Tensor:
    mix = torch.tensor([[0.5, 0.2, 0.1], [0.1, 0.4, 0.3], [0.2, 0.1, 0.3]])
    noise = torch.rand(3, 400, generator=torch.Generator().manual_seed(seed))
    return (mix @ noise * (0.5 + 0.05 * seed) + 0.2).reshape(1, 3, 20, 20)


def test_linear_match_gives_mean_and_covariance() -> None:
    source, target = picture(1), picture(2)
    matrix, offset = linear_color_match(source, target)
    moved = matrix @ source.reshape(3, -1).double() + offset
    wanted = target.reshape(3, -1).double()
    torch.testing.assert_close(moved.mean(dim=1), wanted.mean(dim=1))
    torch.testing.assert_close(torch.cov(moved), torch.cov(wanted), rtol=1e-3, atol=1e-5)


def test_linear_match_of_a_picture_with_itself_changes_nothing() -> None:
    source = picture(1)
    torch.testing.assert_close(match_colors(source, *linear_color_match(source, source)), source, rtol=1e-4, atol=1e-5)


def test_flat_colours_do_not_break_the_match() -> None:
    flat = torch.full((1, 3, 8, 8), 0.3)
    assert torch.isfinite(match_colors(flat, *linear_color_match(flat, picture(1)))).all()
    torch.testing.assert_close(match_colors(picture(1), *linear_color_match(picture(1), flat)).mean(), torch.tensor(0.3), atol=1e-3, rtol=0)


def test_luminance_keeps_the_sources_chroma_and_the_paintings_lightness() -> None:
    painted, source = picture(1), picture(2)
    result = preserve_luminance(painted, source)
    assert float(result.min()) > 0
    assert float(result.max()) < 1  # nothing was clamped, so the identities below are exact
    torch.testing.assert_close((result * WEIGHTS).sum(1), (painted * WEIGHTS).sum(1))
    torch.testing.assert_close(result[:, 0] - result[:, 2], source[:, 0] - source[:, 2])


def test_linear_keeps_the_sources_statistics() -> None:
    painted, source = picture(1), picture(2)
    result = preserve_linear(painted, source)
    torch.testing.assert_close(result.mean(dim=(2, 3)), source.mean(dim=(2, 3)), atol=5e-3, rtol=0)


def root(matrix: np.ndarray) -> np.ndarray:
    """Square root by the iteration of Denman & Beavers, which shares nothing with an eigendecomposition."""
    y, z = matrix, np.eye(len(matrix))
    for _ in range(50):
        y, z = (y + np.linalg.inv(z)) / 2, (z + np.linalg.inv(y)) / 2
    return y


def test_linear_match_against_its_formula() -> None:
    source, target = (picture(seed)[0].reshape(3, -1).double().numpy() for seed in (1, 2))
    spread = [np.cov(values, bias=True) for values in (source, target)]
    wanted = root(spread[1]) @ np.linalg.inv(root(spread[0]))
    matrix, offset = linear_color_match(picture(1), picture(2))
    np.testing.assert_allclose(matrix.numpy(), wanted, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(offset.numpy()[:, 0], target.mean(axis=1) - wanted @ source.mean(axis=1), rtol=1e-8, atol=1e-10)


def test_luminance_against_yiq_pixel_by_pixel() -> None:
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    painted, source = (picture(seed).double() for seed in (1, 2))
    result = preserve_luminance(painted, source)[0].numpy()
    for y, x in np.ndindex(20, 20):
        lightness = to_yiq[0] @ painted[0, :, y, x].numpy()
        chroma = to_yiq[1:] @ source[0, :, y, x].numpy()
        np.testing.assert_allclose(result[:, y, x], np.linalg.solve(to_yiq, [lightness, *chroma]), atol=2e-4)
