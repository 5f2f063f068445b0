"""A crop by itself, the rest held and counted in: the same value and the same gradient as of the whole, and film that is painted so."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from tests.test_strips import picture, settings_of, terms_of
from vidstyle import stylizer as stylizer_module
from vidstyle.flow import consistency
from vidstyle.frames import Frame
from vidstyle.losses import STYLE_LOSSES
from vidstyle.motion import Motion, at_rest
from vidstyle.objective import Objective
from vidstyle.optimize import OPTIMIZERS
from vidstyle.pipeline import stylize
from vidstyle.rectangle import Rectangle
from vidstyle.region import CropObjective, pays, share_of_work
from vidstyle.settings import Settings
from vidstyle.strips import PLAIN, Fold
from vidstyle.stylizer import Painted, Stylizer
from vidstyle.terms import Term
from vidstyle.vgg import VGG19, load_vgg19

SIZE = (93, 107)
"""So large that a small crop does not reach everything, even in the deepest layer."""
CROPS = {
    "corner": (0, 13, 0, 9),
    "other corner": (82, 93, 96, 107),
    "odd last row": (92, 93, 5, 6),
    "edge": (31, 48, 100, 107),
    "middle": (40, 47, 51, 58),
    "odd": (33, 38, 17, 36),
    "one column": (0, 93, 50, 51),
    "all": (0, 93, 0, 107),
}


def crop_of(name: str, size: tuple[int, int] = SIZE) -> Rectangle:
    return Rectangle(*CROPS[name], *size)


@pytest.fixture(scope="module")
def networks() -> dict[str, VGG19]:
    return {pooling: copy.deepcopy(load_vgg19(pooling=pooling)).double() for pooling in ("max", "avg")}  # type: ignore[arg-type]


def assert_same(
    network: VGG19, terms: list[Term], crop: Rectangle, within: float, *, fold: Fold = PLAIN, held: torch.Tensor | None = None
) -> None:
    """At a picture that differs from the one that is held, in the crop alone: some of it cannot be saved."""
    held = 1.2 * picture(2, (crop.height, crop.width)) - 0.1 if held is None else held
    image = held.clone()
    image[crop.index] = (1.2 * picture(3, (crop.height, crop.width)) - 0.1).to(held.dtype)[crop.index]
    expected = Objective(network, terms)(image)
    found = CropObjective(network, terms, held, crop, fold)(image[crop.index])
    assert found.names == expected.names
    torch.testing.assert_close(found.values, expected.values, rtol=within, atol=within * float(expected.values.sum()))
    whole = expected.gradient[crop.index]
    assert found.gradient.shape == whole.shape
    assert float((found.gradient - whole).norm() / whole.norm()) < within


@pytest.mark.parametrize("masked", [False, True], ids=["everywhere", "masked"])
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_every_style_loss(networks: dict[str, VGG19], name: str, masked: bool) -> None:
    settings = settings_of(loss=name, layers=("relu2_1", "relu3_1"), histogram_weight=1.0, histogram_layers=("relu3_1",))
    terms = terms_of(networks["max"], settings, SIZE, masked=masked)
    for crop in ("corner", "middle"):
        assert_same(networks["max"], terms, crop_of(crop), 1e-10)


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_any_crop(networks: dict[str, VGG19], pooling: str) -> None:
    terms = terms_of(networks[pooling], settings_of(), SIZE)
    for crop in CROPS:
        assert_same(networks[pooling], terms, crop_of(crop), 1e-10)


@pytest.mark.parametrize("fold", [Fold(3, 700), Fold(5, 3000), Fold(6, 1500)], ids=str)
def test_however_the_rest_is_gone_through(networks: dict[str, VGG19], fold: Fold) -> None:
    settings = settings_of(loss="covariance", histogram_weight=1.0, layers=("relu2_1", "relu4_1"))
    terms = terms_of(networks["max"], settings, SIZE, masked=True)
    assert_same(networks["max"], terms, crop_of("odd"), 1e-10, fold=fold)


@pytest.mark.parametrize("layers", [("relu1_1",), ("relu1_2", "relu3_4"), ("relu2_2", "relu5_4")], ids=str)
def test_any_layers(networks: dict[str, VGG19], layers: tuple[str, ...]) -> None:
    terms = terms_of(networks["max"], settings_of(layers=layers, content_layers=layers[-1:]), SIZE)
    assert_same(networks["max"], terms, crop_of("odd"), 1e-10)


@pytest.mark.parametrize("size", [(16, 16), (17, 130), (111, 33)], ids=str)
def test_any_size(networks: dict[str, VGG19], size: tuple[int, int]) -> None:
    terms = terms_of(networks["max"], settings_of(), size)
    assert_same(networks["max"], terms, Rectangle(size[0] - 4, size[0], size[1] - 5, size[1], *size), 1e-10)


def test_in_single_precision() -> None:
    network = load_vgg19()
    terms = terms_of(network, settings_of(), (128, 144))
    assert_same(network, terms, Rectangle(20, 61, 30, 77, 128, 144), 1e-5, held=picture(2, (128, 144)).float())


@pytest.mark.parametrize("kind", ["flat", "letterboxed", "noise"])
def test_where_activations_are_the_same_but_for_rounding(kind: str) -> None:
    """As in strips: max pooling and ReLU choose between them, so a crop has to round as the whole does."""
    size = 160, 192
    crop, network = Rectangle(50, 122, 37, 125, *size), load_vgg19()
    held = torch.full((1, 3, *size), 0.4) if kind == "flat" else picture(2, size).float()
    if kind == "noise":
        held = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    if kind == "letterboxed":
        held[:, :, :64] = held[:, :, -64:] = 0
    terms = terms_of(network, settings_of(), size)
    expected, found = Objective(network, terms)(held), CropObjective(network, terms, held, crop)(held[crop.index])
    whole = expected.gradient[crop.index]
    assert float((found.gradient - whole).norm() / whole.norm()) < 1e-5


def test_what_is_held_is_held(networks: dict[str, VGG19]) -> None:
    """The deepest layer, to first order around where it was looked at last."""
    network, crop = networks["max"], crop_of("middle")
    terms = terms_of(network, settings_of(), SIZE)
    held = picture(2, SIZE)
    plain, part = Objective(network, terms, hold=4), CropObjective(network, terms, held, crop, hold=4)
    for seed in range(6):
        image = held.clone()
        image[crop.index] += 0.002 * picture(20 + seed, SIZE)[crop.index]
        expected, found = plain(image), part(image[crop.index])
        torch.testing.assert_close(found.values, expected.values, rtol=1e-10, atol=0)
        torch.testing.assert_close(found.gradient, expected.gradient[crop.index], rtol=1e-9, atol=1e-10 * float(found.gradient.abs().max()))


class TestRectangle:
    def test_pieces_around_a_rectangle_and_it_make_the_whole(self) -> None:
        for name in CROPS:
            counted = np.zeros(SIZE, int)
            for piece in [crop_of(name), *Rectangle.rows(20, 90, *SIZE).without(crop_of(name))]:
                counted[piece.index] += 1
            inside = np.zeros(SIZE, bool)
            inside[crop_of(name).index] = True
            rows = np.zeros(SIZE, bool)
            rows[20:90] = True
            np.testing.assert_array_equal(counted, (inside | rows).astype(int))

    def test_around_what_is_true_of_a_mask(self) -> None:
        mask = np.zeros(SIZE, bool)
        assert Rectangle.bounding(mask) is None
        mask[4, 90] = mask[70, 3] = True
        assert Rectangle.bounding(mask) == Rectangle(4, 71, 3, 91, *SIZE)

    def test_poolings_leave_an_odd_row_out(self) -> None:
        assert Rectangle(91, 93, 0, 3, *SIZE).halved() == Rectangle(45, 46, 0, 2, 46, 53)
        assert Rectangle(45, 46, 0, 2, 46, 53).doubled(*SIZE) == Rectangle(90, 92, 0, 4, *SIZE)


def test_the_share_of_the_work_rises_from_that_of_a_pixel_to_all_of_it() -> None:
    layers = Settings().layers
    shares = [share_of_work(Rectangle(100, 100 + side, 200, 200 + side, 360, 640), layers) for side in (1, 30, 100, 200)]
    assert shares == sorted(shares)
    assert 0.01 < shares[0] < 0.05
    assert share_of_work(Rectangle.whole(360, 640), layers) == 1
    assert not pays(Rectangle.whole(360, 640), layers, PLAIN)
    assert pays(Rectangle(100, 130, 200, 230, 360, 640), layers, Fold(3))
    assert not pays(Rectangle(100, 200, 200, 300, 360, 640), layers, Fold(6))


FILM = Scene(size=(112, 160), pan=(0, 0), zoom=1, turn=0, disc_radius=0.09, disc_start=(0.1, 0.15))
"""The camera stands, a small disc flies."""
STYLE = procedural_picture(60, 70, seed=3)[:, :, ::-1].copy()


def frame(t: int) -> Frame:
    return Frame(t, t, Fraction(1, 24), FILM.frame(t))


class Seen:
    """Stands for `CropObjective` and keeps which crops it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.crops: list[Rectangle] = []
        monkeypatch.setattr(stylizer_module, "CropObjective", self)

    def __call__(self, network: VGG19, terms: list[Term], held: torch.Tensor, crop: Rectangle, *rest: Any) -> CropObjective:
        self.crops.append(crop)
        return CropObjective(network, terms, held, crop, *rest)


class TestFilm:
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_the_painting_is_that_of_the_whole(self, monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
        """What L-BFGS carries is told of the crop alone to both ways; then they take the same steps, but for rounding.

        A pixel at the end of the range, or an activation at zero, lets a gradient through on one side of it only: where rounding decides,
        paths part by some 1e-4, and by more with every step. So there are few.
        """
        stylizer = Stylizer(
            Settings.from_mapping({"optimize": {"iterations": 3, "first_iterations": 6, "optimizer": optimizer}}), [STYLE], FILM.size
        )
        first = stylizer.first(frame(0))
        flow, back = FILM.flow(1, 0), FILM.flow(0, 1)
        known = at_rest([Motion.between(frame(1), frame(0), flow, consistency(flow, back))])
        rest = stylizer.rest(known[0])
        assert rest is not None
        crop = Rectangle.bounding(rest < 1)
        assert crop is not None
        there = torch.zeros(FILM.size)
        there[crop.index] = 1
        state = {name: value * there for name, value in first.state.items()}
        seen = Seen(monkeypatch)
        part = stylizer.follow(frame(1), known, {1: first.picture}, state)
        assert seen.crops == [crop]
        monkeypatch.setattr(stylizer_module, "pays", lambda *asked: False)
        whole = stylizer.follow(frame(1), known, {1: first.picture}, state)
        assert len(seen.crops) == 1
        self.assert_alike(part, whole)
        outside = there.numpy() == 0
        np.testing.assert_array_equal(part.picture[outside], first.picture[outside])
        assert {name: value.shape for name, value in part.state.items()} == {name: value.shape for name, value in whole.state.items()}
        for value in part.state.values():
            assert not value[..., torch.from_numpy(outside)].any()
            assert value[crop.index].any()

    def assert_alike(self, part: Painted, whole: Painted) -> None:
        assert part.steps == whole.steps
        assert part.report.terms == pytest.approx(whole.report.terms, rel=1e-3)
        off = np.abs(part.picture.astype(float) - whole.picture) / 257
        assert off.max() < 0.5, "grey levels: rounding, grown by the steps"
        assert off.mean() < 0.01

    def test_a_job_that_goes_on_ends_with_the_same_bytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        film = tmp_path / "film"
        film.mkdir()
        for t in range(4):
            write_png(film / f"{t}.png", FILM.frame(t))
        style = write_png(tmp_path / "style.png", STYLE)
        seen = Seen(monkeypatch)
        stylize(film, [style], tmp_path / "whole", settings())
        crops = list(seen.crops)
        assert len(crops) == 3, "every frame but the first"
        assert all(crop.positions < 0.5 * FILM.size[0] * FILM.size[1] for crop in crops)
        with pytest.raises(Interrupted):
            stylize(film, [style], tmp_path / "resumed", settings(), progress=Recorder(2))
        stylize(film, [style], tmp_path / "resumed", settings())
        assert seen.crops[-2:] == crops[-2:]
        for t in range(4):
            whole, resumed = (cv2.imread(str(tmp_path / name / f"{t}.png")) for name in ("whole", "resumed"))
            np.testing.assert_array_equal(whole, resumed)

    def test_where_all_stands_or_nearly_all_moves_it_goes_as_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stylizer = Stylizer(Settings.from_mapping({"optimize": {"iterations": 1, "first_iterations": 2}}), [STYLE], FILM.size)
        first = stylizer.first(frame(0))
        flow, back = FILM.flow(1, 0), FILM.flow(0, 1)
        moving = at_rest([Motion.between(frame(1), frame(0), flow, consistency(flow, back))])[0]
        everywhere = moving.still.copy()
        everywhere[0, 0] = everywhere[-1, -1] = 0.5
        seen = Seen(monkeypatch)
        for still in (np.ones_like(everywhere), everywhere):
            stylizer.follow(frame(1), [replace(moving, still=still)], {1: first.picture}, first.state)
        assert not seen.crops
