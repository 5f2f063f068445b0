"""Pictures, styles, weights and numbers at their worst: a painting, or one clear line. NaN and code in weights: tests/test_vgg.py."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clips import make_clip, moving
from tests.faults.fuzz import damaged
from tests.jobs import settings, write_png
from vidstyle import stylize, stylize_image
from vidstyle.errors import NumericalError, UsageError, VidstyleError
from vidstyle.media import open_source
from vidstyle.pipeline import JobOptions
from vidstyle.settings import RunSettings
from vidstyle.vgg import load_vgg19

SIZE = (40, 56)


def flat(*color: int) -> np.ndarray:
    return np.full((*SIZE, 3), color, np.uint8)


def one_dot() -> np.ndarray:
    picture = flat(0, 0, 0)
    picture[20, 28] = 255
    return picture


def chequered() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)


PICTURES = {
    "black": flat(0, 0, 0),
    "white": flat(255, 255, 255),
    "grey": flat(128, 128, 128),
    "red": flat(255, 0, 0),
    "one dot": one_dot(),
    "chequered": chequered(),
    "noise": np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8),
}


@pytest.mark.parametrize("style", ["black", "grey", "red", "noise"])
@pytest.mark.parametrize("content", PICTURES)
def test_any_picture_in_any_style(content: str, style: str, tmp_path: Path) -> None:
    source, look = (write_png(tmp_path / f"{name}.png", PICTURES[name]) for name in {"content": content, "style": style}.values())
    if content == style:
        look = source
    painted = stylize_image(source, [look], settings(optimize={"first_iterations": 12}))
    assert painted.shape == (*SIZE, 3)
    if content == style and content != "noise":
        assert np.abs(painted.astype(int) - PICTURES[content]).mean() < 8


@pytest.mark.parametrize("loss", ["gram", "gatys", "moments", "covariance", "wasserstein", "histogram", "patches"])
@pytest.mark.parametrize("style", ["black", "red"])
def test_every_style_loss_takes_a_style_of_one_colour(loss: str, style: str, tmp_path: Path) -> None:
    source, look = write_png(tmp_path / "source.png", moving(0, 56, 40)), write_png(tmp_path / "style.png", PICTURES[style])
    chosen = settings(style={"loss": loss}, optimize={"first_iterations": 12})
    assert stylize_image(source, look, chosen).shape == (*SIZE, 3)


@pytest.mark.parametrize("name", ["black", "white", "one dot"])
def test_a_film_that_shows_nothing(name: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", [PICTURES[name]] * 4, codec="ffv1", pix_fmt="bgr0", matrix=0)
    style = write_png(tmp_path / "style.png", PICTURES["noise"])
    stylize(clip, style, tmp_path / "out.mkv", settings(), JobOptions())
    with open_source(tmp_path / "out.mkv", RunSettings()) as film:
        assert len(list(film.frames())) == 4


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (1, 1), (7, 200)])
def test_frames_that_are_too_small_are_refused_in_a_line(size: tuple[int, int], tmp_path: Path) -> None:
    source = write_png(tmp_path / "thin.png", np.full((*size, 3), 90, np.uint8))
    style = write_png(tmp_path / "style.png", PICTURES["noise"])
    with pytest.raises(UsageError, match=f"frames of {size[1]}×{size[0]} are too small"):
        stylize_image(source, style, settings())


@pytest.mark.parametrize(
    "weights",
    [{"style": {"weight": 1e30}}, {"content": {"weight": 1e30}}, {"style": {"weight": 1e-30}, "content": {"weight": 1e-30}},
     {"optimize": {"tv_weight": 1e30}}],
)  # fmt: skip
def test_absurd_weights_give_a_painting_or_a_line(weights: dict[str, dict[str, object]], tmp_path: Path) -> None:
    """Of one kind of error, which tells what to do."""
    source, style = write_png(tmp_path / "source.png", moving(0, 56, 40)), write_png(tmp_path / "style.png", PICTURES["noise"])
    with contextlib.suppress(NumericalError):
        assert stylize_image(source, style, settings(**weights)).shape == (*SIZE, 3)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """Small files, so that damage hits what describes the numbers as often as the numbers."""
    path = tmp_path / "weights.pth"
    torch.save({f"features.{number}.weight": torch.ones(2, 2) for number in (0, 2, 5)}, path)
    whole = path.read_bytes()
    for number in range(300):
        path.write_bytes(damaged(whole, random.Random(number)))
        with pytest.raises(VidstyleError):
            load_vgg19(str(path))
