"""The stylizer on a scene whose motion is known exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.scenes import Scene, procedural_picture
from vidstyle.errors import NumericalError, UsageError
from vidstyle.flow import Consistency, consistency, warp
from vidstyle.frames import FlowField, Frame
from vidstyle.objective import Objective
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
from vidstyle.stylizer import Motion, Stylizer, fill_new, mirrored, pyramid

SCENE = Scene(size=(48, 64))
STYLE = procedural_picture(60, 70, seed=3)[:, :, ::-1].copy()
QUICK = {"iterations": 4, "first_iterations": 12}


def frame(t: int) -> Frame:
    return Frame(t, t, Fraction(1, 24), SCENE.frame(t))


def motion(t: int, reference: int) -> Motion:
    flow, back = SCENE.flow(t, reference), SCENE.flow(reference, t)
    return Motion.between(frame(t), frame(reference), flow, consistency(flow, back))


def settings(**sections: dict[str, object]) -> Settings:
    return Settings.from_mapping({"optimize": QUICK, **sections})


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return Stylizer(settings(), [STYLE], SCENE.size)


def test_the_first_frame_lowers_the_loss_and_keeps_its_shape(stylizer: Stylizer) -> None:
    seen: list[float] = []
    painted = stylizer.first(frame(0), lambda fraction, report: seen.append(fraction))
    assert painted.picture.shape == (48, 64, 3)
    assert painted.picture.dtype == np.uint16
    assert painted.steps == 12
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)
    assert painted.reliable == 1
    assert set(painted.state) == {"s", "y"}
    target = stylizer.targets(SCENE.size).style
    assert set(target) == set(Settings().style.layers)
    source = stylizer.first(frame(0)).picture.astype(int) - SCENE.frame(0).astype(int) * 257
    assert np.abs(source).mean() > 257  # it is painted, not copied


def test_same_input_same_bytes(stylizer: Stylizer) -> None:
    first = stylizer.first(frame(0))
    again = Stylizer(settings(), [STYLE], SCENE.size).first(frame(0))
    np.testing.assert_array_equal(first.picture, again.picture)
    one, two = (stylizer.follow(frame(1), [motion(1, 0)], {1: first.picture}, first.state) for _ in range(2))
    np.testing.assert_array_equal(one.picture, two.picture)


def test_a_following_frame_stays_near_the_moved_one() -> None:
    """With the temporal term the picture moves with the scene; the same frame painted alone does not."""
    stylizer = Stylizer(settings(), [STYLE], SCENE.size)
    first = stylizer.first(frame(0))
    known = motion(1, 0)
    painted = stylizer.follow(frame(1), [known], {1: first.picture}, first.state)
    alone = stylizer.first(frame(1))
    moved = fill_new(warp(to_tensor(first.picture), known.flow).clamp(0, 1), known, to_tensor(first.picture), to_tensor(frame(1).rgb))

    def deviation(picture: np.ndarray) -> float:
        return float(((to_tensor(picture) - moved).square().mean(dim=1)[0].numpy() * known.trust).sum() / known.trust.sum())

    assert deviation(painted.picture) < 0.5 * deviation(alone.picture)
    assert 0.5 < painted.reliable <= 1
    assert "temporal_1" in painted.report.terms


def test_far_references_count_where_near_ones_do_not() -> None:
    stylizer = Stylizer(settings(temporal={"references": [1, 2]}), [STYLE], SCENE.size)
    pictures = {1: stylizer.first(frame(1)).picture, 2: stylizer.first(frame(0)).picture}
    painted = stylizer.follow(frame(2), [motion(2, 1), motion(2, 0)], pictures, {})
    assert {"temporal_1", "temporal_2"} <= set(painted.report.terms)


@pytest.mark.parametrize("init", ["noise", "style"])
def test_starts(init: str) -> None:
    started = Stylizer(settings(optimize={**QUICK, "init": init}), [STYLE], SCENE.size).first(frame(0))
    from_content = Stylizer(settings(), [STYLE], SCENE.size).first(frame(0))
    assert np.abs(started.picture.astype(int) - from_content.picture.astype(int)).mean() > 257


def test_start_from_a_picture() -> None:
    other = procedural_picture(20, 20, seed=9)
    started = Stylizer(settings(optimize={**QUICK, "init": "x.png", "first_iterations": 1}), [STYLE], SCENE.size, other).first(frame(0))
    resampled = torch.nn.functional.interpolate(to_tensor(other), size=SCENE.size, mode="bicubic").clamp(0, 1)
    assert float((to_tensor(started.picture) - resampled).abs().mean()) < 0.02


def test_adam_leaves_no_state_and_works() -> None:
    painted = Stylizer(settings(optimize={**QUICK, "optimizer": "adam"}), [STYLE], SCENE.size).first(frame(0))
    assert not painted.state


def test_a_style_of_the_frames_area_is_measured_whatever_its_size() -> None:
    """A style twice as large gives nearly the same statistics; a larger style scale gives others."""
    big = np.kron(STYLE, np.ones((2, 2, 1), np.uint8))
    size = (60, 70)
    one, two = (Stylizer(settings(), [style], size).targets(size).style for style in (STYLE, big))
    other = Stylizer(settings(style={"scale": 0.5}), [STYLE], size).targets(size).style
    for layer in one:
        torch.testing.assert_close(one[layer], two[layer])
        assert not torch.allclose(one[layer], other[layer], rtol=1e-2)


@pytest.mark.parametrize("weights", [(1.0,), (0.0,) * 5])
def test_layer_weights_must_fit_the_layers(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"--style-layer-weights .* 5 style layers"):
        Stylizer(settings(style={"layer_weights": weights}), [STYLE], SCENE.size)


def test_too_small_is_said_before_the_work() -> None:
    with pytest.raises(UsageError, match="too small"):
        Stylizer(settings(), [STYLE], (15, 64))


def test_blend_must_fit_the_styles() -> None:
    with pytest.raises(UsageError, match="--style-blend"):
        Stylizer(settings(style={"blend": [1.0]}), [STYLE, STYLE], SCENE.size)


def test_a_loss_that_is_not_finite_names_the_frame(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Objective.terms
    monkeypatch.setattr(Objective, "terms", lambda self, image: {**real(self, image), "content": image.sum() * float("nan")})
    with pytest.raises(NumericalError, match="frame 7"):
        stylizer.first(frame(7))


class TestNewPixels:
    def test_only_what_fails_the_test_and_looks_different_is_new(self) -> None:
        known = motion(3, 0)
        true = ~SCENE.visible(3, 0)
        assert known.new[true].mean() > 0.7
        assert known.new[~true].mean() < 0.05

    def test_plain_sky_is_not_new_whatever_its_flow(self) -> None:
        sky = np.full((32, 40, 3), 180, np.uint8)
        flow = FlowField(np.random.default_rng(0).normal(0, 2, (2, 32, 40)).astype(np.float32))
        failed = Consistency(*(np.full((32, 40), value) for value in (False, True, True)))
        a, b = (Frame(t, t, Fraction(1, 24), sky) for t in (1, 0))
        assert not Motion.between(a, b, flow, failed).new.any()

    def test_the_rest_is_the_moved_painting(self) -> None:
        known = motion(3, 0)
        painting = to_tensor(procedural_picture(48, 64, seed=4))
        start = fill_new(warp(painting, known.flow).clamp(0, 1), known, painting, to_tensor(frame(3).rgb))
        away = Motion(3, known.source, known.flow, known.trust, np.zeros_like(known.new))
        plain = fill_new(warp(painting, away.flow).clamp(0, 1), away, painting, to_tensor(frame(3).rgb))
        kept = torch.from_numpy(~known.new)[None, None].expand_as(start)
        torch.testing.assert_close(start[kept], plain[kept])
        assert float((start[~kept] - plain[~kept]).abs().mean()) > 0.01

    def test_new_pixels_have_strokes_and_the_right_colours(self) -> None:
        """A painting that is the source with a pattern on it: the fill is the *current* source with the pattern."""
        pattern = torch.from_numpy(np.indices((48, 64)).sum(0) % 2 * 0.1 - 0.05).float()[None, None]
        known = motion(3, 0)
        painting = (to_tensor(SCENE.frame(0)) * 0.8 + 0.1 + pattern).clamp(0, 1)
        start = fill_new(warp(painting, known.flow).clamp(0, 1), known, painting, to_tensor(frame(3).rgb))
        new = torch.from_numpy(known.new)
        wanted = to_tensor(frame(3).rgb) * 0.8 + 0.1
        error = (start - wanted)[0][:, new]
        assert float(error.mean().abs()) < 0.02
        assert float(error.std()) > 0.01

    def test_mirrored_ends_lie_inside(self) -> None:
        flow = FlowField(np.random.default_rng(0).uniform(-90, 90, (2, 20, 30)).astype(np.float32))
        ends = mirrored(flow).data + np.stack(np.meshgrid(np.arange(30), np.arange(20)))
        assert ends[0].min() >= -1e-3
        assert ends[0].max() <= 29 + 1e-3
        assert ends[1].min() >= -1e-3
        assert ends[1].max() <= 19 + 1e-3
        inside = FlowField(np.zeros((2, 20, 30), np.float32))
        np.testing.assert_allclose(mirrored(inside).data, 0, atol=1e-6)


class TestPyramid:
    @pytest.mark.parametrize(("size", "levels"), [((48, 64), 1), ((144, 256), 2), ((180, 320), 3), ((1080, 1920), 8), ((40, 2000), 1)])
    def test_levels(self, size: tuple[int, int], levels: int) -> None:
        sizes = pyramid(size)
        assert sizes[-1] == size
        assert sizes == sorted(sizes)
        assert len(sizes) == levels

    def test_steps_are_a_root_of_two(self) -> None:
        widths = [width for _, width in pyramid((1080, 1920))]
        assert np.allclose(np.divide(widths[1:], widths[:-1]), 2**0.5, atol=0.01)
