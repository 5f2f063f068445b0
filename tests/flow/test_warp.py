from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scenes import Scene
from vidstyle.flow import fade_detail, warp
from vidstyle.frames import FlowField
from vidstyle.pixels import to_tensor


def random_image(height: int, width: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(3))


def constant(dx: float, dy: float, size: tuple[int, int]) -> FlowField:
    return FlowField(np.broadcast_to(np.array([dx, dy], np.float32)[:, None, None], (2, *size)).copy())


def cubic_reference(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Cubic convolution with a = −0.75, the border repeated, a pixel at a time in float64."""

    def weight(distance: float) -> float:
        d, a = abs(distance), -0.75
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    height, width = image.shape[1:]
    out = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            px = min(max(x + float(flow[0, y, x]), 0), width - 1)
            py = min(max(y + float(flow[1, y, x]), 0), height - 1)
            for j in range(int(py) - 1, int(py) + 3):
                for i in range(int(px) - 1, int(px) + 3):
                    tap = image[:, min(max(j, 0), height - 1), min(max(i, 0), width - 1)]
                    out[:, y, x] += weight(px - i) * weight(py - j) * tap
    return out


@pytest.mark.parametrize("size", [(36, 48), (1, 9), (9, 1), (1, 1), (270, 480)])
@pytest.mark.parametrize("mode", ["sinc", "bicubic", "bilinear"])
def test_zero_flow_is_the_identity(size: tuple[int, int], mode: str) -> None:
    image = random_image(*size)
    torch.testing.assert_close(warp(image, constant(0, 0, size), mode), image, atol=1e-6, rtol=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["sinc", "bicubic", "bilinear"])
def test_whole_pixels_shift_exactly(mode: str) -> None:
    image = random_image(20, 30, channels=5)
    out = warp(image, constant(3, -2, (20, 30)), mode)  # type: ignore[arg-type]
    torch.testing.assert_close(out[:, :, 2:, :-3], image[:, :, :-2, 3:], atol=1e-6, rtol=0)
    # beyond the border the picture is repeated
    torch.testing.assert_close(out[:, :, 2:, -3:], image[:, :, :-2, -1:].expand(-1, -1, -1, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["sinc", "bicubic", "bilinear"])
def test_pictures_move_together_as_they_do_alone(mode: str) -> None:
    images = torch.rand(3, 2, 20, 30, generator=torch.Generator().manual_seed(4))
    field = FlowField(np.random.default_rng(5).normal(0, 3, (2, 20, 30)).astype(np.float32))
    alone = torch.cat([warp(image[None], field, mode) for image in images])  # type: ignore[arg-type]
    torch.testing.assert_close(warp(images, field, mode), alone, atol=1e-7, rtol=0)  # type: ignore[arg-type]


def test_against_a_slow_reference_in_float64() -> None:
    rng = np.random.default_rng(5)
    flow = rng.normal(0, 3, (2, 14, 17)).astype(np.float32)
    image = random_image(14, 17)
    expected = cubic_reference(image[0].double().numpy(), flow)
    np.testing.assert_allclose(warp(image, FlowField(flow), "bicubic")[0].numpy(), expected, atol=1e-6)


def waves(height: int, width: int, dx: float, dy: float) -> torch.Tensor:
    """Fine strokes, up to 0.8 of the highest frequency there is, as they look moved by (dx, dy)."""
    y, x = torch.meshgrid(torch.arange(height) + dy, torch.arange(width) + dx, indexing="ij")
    parts = [torch.cos(np.pi * (fx * x + fy * y) + phase) for fx, fy, phase in [(0.8, 0.1, 0), (0.2, 0.75, 1), (0.5, 0.5, 2)]]
    return (0.5 + 0.15 * sum(parts))[None, None].float()


def test_fine_strokes_survive_a_move_of_half_a_pixel() -> None:
    size = (64, 80)
    image, flow, wanted = waves(*size, 0, 0), constant(0.5, -0.5, size), waves(*size, 0.5, -0.5)
    inner = (..., slice(16, -16), slice(16, -16))  # the mirrored border is no wave
    error = {mode: float((warp(image, flow, mode) - wanted)[inner].square().mean().sqrt()) for mode in ("sinc", "bicubic")}  # type: ignore[arg-type]
    assert error["sinc"] < 0.02
    assert error["sinc"] < 0.25 * error["bicubic"]


def test_only_the_finest_detail_is_faded() -> None:
    y, x = np.mgrid[:48, :64]
    for fx, fy, kept in [(0.0, 0.0, 1.0), (0.4, 0.2, 1.0), (0.5, 0.0, 0.9), (0.5, 0.5, 0.81), (0.45, 0.0, 0.95)]:
        wave = torch.from_numpy(np.cos(2 * np.pi * (fx * x + fy * y))).expand(1, 3, 48, 64)
        inner = (..., slice(16, -16), slice(16, -16))  # the mirrored border is no wave
        torch.testing.assert_close(fade_detail(wave)[inner], kept * wave[inner], atol=0.005, rtol=0.01)


@pytest.mark.parametrize(("frequency", "kept"), [(0.05, 1.0), (0.15, 0.975), (0.25, 0.95), (0.35, 0.95)])
@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (0.6, 0.8)])
def test_colour_is_faded_in_fine_detail_and_grey_is_not(frequency: float, kept: float, direction: tuple[float, float]) -> None:
    y, x = np.mgrid[:96, :128]
    wave = torch.from_numpy(np.cos(2 * np.pi * frequency * (direction[0] * x + direction[1] * y)))
    inner = (..., slice(24, -24), slice(24, -24))
    for opponent in ((0.114, 0.0, -0.299), (0.587, -0.299, 0.0)):
        picture = torch.tensor(opponent, dtype=torch.float64)[None, :, None, None] * wave / max(opponent)  # no luma
        torch.testing.assert_close(fade_detail(picture)[inner], kept * picture[inner], atol=0.005, rtol=0.005)
    grey = wave.expand(1, 3, *wave.shape)
    torch.testing.assert_close(fade_detail(grey)[inner], grey[inner], atol=0.005, rtol=0.005)


@pytest.mark.parametrize("size", [(36, 48), (1, 9), (9, 1), (1, 1), (33, 47)])
def test_fading_keeps_size_type_and_mean(size: tuple[int, int]) -> None:
    image = random_image(*size)
    faded = fade_detail(image)
    assert faded.shape == image.shape
    assert faded.dtype == image.dtype
    assert abs(float(faded.mean() - image.mean())) < 0.01


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.floats(-20, 20), st.floats(-20, 20))
def test_a_flat_picture_stays_flat(height: int, width: int, dx: float, dy: float) -> None:
    image = torch.full((1, 3, height, width), 0.375)
    torch.testing.assert_close(warp(image, constant(dx, dy, (height, width))), image, atol=1e-6, rtol=0)


def test_the_exact_flow_of_a_scene_brings_the_frames_together() -> None:
    scene = Scene(size=(90, 160))
    current, reference = to_tensor(scene.frame(5)), to_tensor(scene.frame(3))
    seen = torch.from_numpy(scene.visible(5, 3))
    before = (current - reference).abs().mean(1)[0][seen].mean()
    after = (current - warp(reference, scene.flow(5, 3))).abs().mean(1)[0][seen].mean()
    assert after < 0.2 * before


def test_dtype_is_kept_and_gradients_flow() -> None:
    image = random_image(8, 9).double().requires_grad_()
    out = warp(image, constant(0.5, 0.25, (8, 9)))
    assert out.dtype == torch.float64
    out.sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        warp(random_image(8, 9), constant(0, 0, (9, 8)))
