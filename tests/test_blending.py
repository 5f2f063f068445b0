"""The painting and its source put together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.scenes import procedural_picture
from vidstyle.blending import composite, poisson
from vidstyle.pixels import to_tensor

SOURCE = to_tensor(procedural_picture(40, 56))
PAINTED = to_tensor(procedural_picture(40, 56, seed=4))
MASK = torch.zeros(1, 1, 40, 56)
MASK[..., 10:30, 12:40] = 1


def test_strength_is_the_share_of_the_painting() -> None:
    np.testing.assert_array_equal(composite(PAINTED, SOURCE, torch.tensor(0.0)).numpy(), SOURCE.numpy())
    torch.testing.assert_close(composite(PAINTED, SOURCE, torch.tensor(0.25)), 0.75 * SOURCE + 0.25 * PAINTED)


@pytest.mark.parametrize("edge", [0, 10])
def test_poisson_keeps_the_source_outside_and_its_colours_at_the_rim(edge: int) -> None:
    mask = torch.zeros(1, 1, 40, 56)
    mask[..., edge:30, edge:40] = 1
    shifted = (SOURCE * 0.5 + 0.4).clamp(0, 1)
    blended = poisson(shifted, SOURCE, mask)
    outside = (mask == 0).expand_as(SOURCE)
    assert float((blended - SOURCE)[outside].abs().max()) <= 1 / 255
    # Halved contrast and another brightness: the blend takes the contrast, not the brightness.
    inside = (mask > 0).expand_as(SOURCE)
    assert abs(float((blended - SOURCE)[inside].mean())) < 0.25 * abs(float((shifted - SOURCE)[inside].mean()))


def test_poisson_of_the_source_itself_is_the_source() -> None:
    assert float((poisson(SOURCE, SOURCE, MASK) - SOURCE).abs().max()) <= 2 / 255


def test_poisson_lays_the_painting_where_it_belongs() -> None:
    """A mask of odd size off the middle: the gradients inside are those of the painting at the same place."""
    mask = torch.zeros(1, 1, 40, 56)
    mask[..., 7:30, 5:32] = 1
    blended = poisson(PAINTED, SOURCE, mask)
    inside = (slice(None), slice(None), slice(9, 28), slice(7, 30))
    ours, theirs = (picture[inside].diff(dim=-1).flatten() for picture in (blended, PAINTED))
    assert float(torch.corrcoef(torch.stack([ours, theirs]))[0, 1]) > 0.8
    beside = PAINTED[inside[0], inside[1], inside[2], slice(8, 31)].diff(dim=-1).flatten()
    assert float(torch.corrcoef(torch.stack([ours, beside]))[0, 1]) < 0.2


def test_nothing_to_blend_is_the_source() -> None:
    np.testing.assert_array_equal(poisson(PAINTED, SOURCE, 0 * MASK).numpy(), SOURCE.numpy())


def ragged() -> torch.Tensor:
    """A region that is not its own bounding box."""
    y, x = torch.meshgrid(torch.arange(40), torch.arange(56), indexing="ij")
    return ((x - 28) ** 2 / 400 + (y - 20) ** 2 / 180 < 1).float()[None, None]


def test_poisson_leaves_every_pixel_outside_as_it_is() -> None:
    mask = ragged()
    blended = poisson(PAINTED, SOURCE, mask)
    outside = (mask == 0).expand_as(SOURCE)
    np.testing.assert_array_equal(blended[outside].numpy(), SOURCE[outside].numpy())
    assert float((blended - SOURCE)[~outside].abs().mean()) > 0.02


def test_poisson_has_no_step_at_the_rim() -> None:
    """A painting that is the source in another brightness comes back as the source, up to the rim."""
    mask = ragged()
    blended = poisson((0.7 * SOURCE + 0.2).clamp(0, 1), 0.7 * SOURCE, mask)
    inner = torch.nn.functional.max_pool2d(1 - mask, 3, stride=1, padding=1)
    rim = ((inner > 0) & (mask > 0)).expand_as(SOURCE)
    assert float((blended - 0.7 * SOURCE)[rim].abs().mean()) < 4 / 255


def test_poisson_keeps_more_than_eight_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    fine = (PAINTED + torch.rand(PAINTED.shape, generator=generator) / 255).clamp(0, 1)
    inside = (ragged() > 0).expand_as(SOURCE)
    levels = poisson(fine, SOURCE, ragged())[inside].double() * 255
    assert float((levels - levels.round()).abs().mean()) > 0.1


def solved(painted: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pérez, Gangnet & Blake's equation, pixel by pixel in float64: the painting's Laplacian inside, the source at the rim."""
    inside = mask[0, 0].numpy() > 0
    height, width = inside.shape
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    values, guide = source[0].double().numpy().copy(), painted[0].double().numpy()
    matrix, right = np.zeros((inside.sum(), inside.sum())), np.zeros((inside.sum(), 3))
    for y, x in zip(*np.nonzero(inside), strict=True):
        row = number[y, x]
        for v, u in ((y, x + 1), (y + 1, x), (y, x - 1), (y - 1, x)):
            if 0 <= v < height and 0 <= u < width:
                matrix[row, row] += 1
                right[row] += guide[:, y, x] - guide[:, v, u]
                if inside[v, u]:
                    matrix[row, number[v, u]] -= 1
                else:
                    right[row] += values[:, v, u]
    values[:, inside] = np.linalg.solve(matrix, right).T
    return torch.from_numpy(values)[None]


@pytest.mark.parametrize("mask", [MASK, ragged()], ids=["box", "ellipse"])
@pytest.mark.parametrize("painted", [SOURCE * 0.5 + 0.4, PAINTED * torch.tensor([0.6, 0.8, 1.0]).view(1, 3, 1, 1)], ids=["light", "tint"])
def test_poisson_against_its_equation(painted: torch.Tensor, mask: torch.Tensor) -> None:
    """OpenCV's 8 bits and bounding box cost accuracy; what is left is a small part of what the blending does."""
    painted = painted.clamp(0, 1)
    exact, blended = solved(painted, SOURCE, mask), poisson(painted, SOURCE, mask).double()
    inside = (mask > 0).expand_as(SOURCE)
    ours, wanted = ((picture - painted.double())[inside] for picture in (blended, exact))
    assert float((ours - wanted).abs().mean()) < 0.3 * float(wanted.abs().mean())
    assert float(torch.corrcoef(torch.stack([ours, wanted]))[0, 1]) > 0.9
