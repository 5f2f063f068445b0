"""Strip by strip: the same value and the same gradient as at once, whatever is asked for and wherever the strips end."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from vidstyle.losses import STYLE_LOSSES
from vidstyle.objective import Objective
from vidstyle.rectangle import Rectangle
from vidstyle.settings import VGG_LAYERS, Settings
from vidstyle.strips import PLAIN, Fold, StripwiseObjective, look_at, objective_of
from vidstyle.targets import content_targets, style_statistics, style_targets
from vidstyle.terms import Reference, Region, Term, build_terms
from vidstyle.vgg import VGG19, load_vgg19

FOLDS = [Fold(whole_from, pixels) for whole_from in (3, 4, 5, 6) for pixels in (1, 700, 2500)]


def picture(seed: int, size: tuple[int, int] = (37, 51)) -> torch.Tensor:
    rough = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.interpolate(rough, size=size, mode="bilinear", align_corners=True)


_picture = picture


@pytest.fixture(scope="module")
def networks() -> dict[str, VGG19]:
    return {pooling: copy.deepcopy(load_vgg19(pooling=pooling)).double() for pooling in ("max", "avg")}  # type: ignore[arg-type]


def terms_of(network: VGG19, settings: Settings, size: tuple[int, int], *, masked: bool = False) -> list[Term]:
    """Every kind of term, in the network's own precision; with `masked`, two styles, each in its own part."""

    def picture(seed: int, size: tuple[int, int] = (40, 44)) -> torch.Tensor:
        return _picture(seed, size).to(network.get_buffer("relu1_1_weight").dtype)

    targets = [style_targets(network, [(1.0, picture(seed))], settings) for seed in (5, 6)]
    slope = torch.linspace(0, 1, size[1]).expand(1, 1, *size).to(picture(0).dtype).contiguous()
    regions = [Region(targets[0], slope), Region(targets[1], 1 - slope)] if masked else [Region(targets[0])]
    trust = (picture(7, size)[:, :1] > 0.5).to(slope.dtype)
    reference = Reference(picture(8, size), trust)
    return build_terms(settings, content_targets(network, picture(1, size), settings), regions, [reference], reference)


def assert_same(one: Objective, other: Objective | StripwiseObjective, image: torch.Tensor, within: float) -> None:
    expected, found = one(image), other(image)
    values = dict(zip(expected.names, expected.values.tolist(), strict=True))
    assert dict(zip(found.names, found.values.tolist(), strict=True)) == pytest.approx(
        values, rel=within, abs=within * sum(values.values())
    )
    off = (found.gradient - expected.gradient).norm() / expected.gradient.norm()
    assert float(off) < within


def settings_of(*, tileable: bool = False, content_layers: tuple[str, ...] = ("relu4_2",), **style: Any) -> Settings:
    parts = {"style": style, "content": {"layers": content_layers}, "optimize": {"tv_weight": 1.0}, "run": {"tileable": tileable}}
    return Settings.model_validate(parts)


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: f"{fold.whole_from}-{fold.pixels}")
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_any_height_of_strip(networks: dict[str, VGG19], pooling: str, fold: Fold) -> None:
    network, settings, image = networks[pooling], settings_of(), 1.2 * picture(2) - 0.1  # some of it cannot be saved
    terms = terms_of(network, settings, (37, 51))
    assert_same(Objective(network, terms), StripwiseObjective(network, terms, fold), image, 1e-10)


@pytest.mark.parametrize("value", [0.0, 1.0], ids=["black", "white"])
@pytest.mark.parametrize("fold", [PLAIN, Fold(3, 700), Fold(6, 700)], ids=["at once", "recomputed", "strips"])
def test_black_and_white_are_painted_too(networks: dict[str, VGG19], fold: Fold, value: float) -> None:
    """torch's clamp passes no gradient at its ends."""
    network, image = networks["max"], picture(2)
    image[:, :, 10:25, 10:40] = value
    terms = terms_of(network, settings_of(), (37, 51))
    gradient = objective_of(network, terms, fold)(image).gradient[:, :, 10:25, 10:40]
    assert float((gradient == 0).double().mean()) < 0.01
    assert_same(Objective(network, terms), objective_of(network, terms, Fold(6, 700)), image, 1e-10)


@pytest.mark.parametrize("masked", [False, True], ids=["everywhere", "masked"])
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_every_style_loss(networks: dict[str, VGG19], name: str, masked: bool) -> None:
    network, settings = networks["max"], settings_of(loss=name, histogram_weight=1.0)
    terms = terms_of(network, settings, (37, 51), masked=masked)
    for fold in (Fold(6, 700), Fold(4, 300)):
        assert_same(Objective(network, terms), StripwiseObjective(network, terms, fold), picture(2), 1e-10)


@pytest.mark.parametrize("size", [(16, 16), (17, 90), (90, 17), (33, 47), (64, 31), (65, 66)], ids=str)
def test_any_size(networks: dict[str, VGG19], size: tuple[int, int]) -> None:
    network, settings = networks["max"], settings_of()
    terms = terms_of(network, settings, size)
    for fold in (Fold(6, 1), Fold(6, 900), Fold(5, 400)):
        assert_same(Objective(network, terms), StripwiseObjective(network, terms, fold), picture(2, size), 1e-10)


@pytest.mark.parametrize(
    "layers", [("relu1_1",), ("relu1_2", "relu2_2"), ("relu2_1", "relu3_4"), ("relu1_1", "relu4_4"), ("relu5_4",)], ids=str
)
def test_any_layers(networks: dict[str, VGG19], layers: tuple[str, ...]) -> None:
    """A block's last layer too, and networks that end anywhere in a block."""
    network, settings = networks["max"], settings_of(layers=layers, content_layers=layers[-1:])
    terms = terms_of(network, settings, (37, 51))
    for fold in (Fold(6, 700), Fold(3, 700), Fold(5, 300)):
        assert_same(Objective(network, terms), StripwiseObjective(network, terms, fold), picture(2), 1e-10)


@pytest.mark.parametrize("pixels", [1, 900])
def test_a_picture_that_goes_on_in_itself(networks: dict[str, VGG19], pixels: int) -> None:
    network, settings = networks["max"], settings_of(tileable=True)
    terms = terms_of(network, settings, (48, 64))
    for whole_from in (3, 6):
        found = StripwiseObjective(network, terms, Fold(whole_from, pixels), wraps=True)
        assert_same(Objective(network, terms, wraps=True), found, picture(2, (48, 64)), 1e-10)


def test_in_single_precision() -> None:
    network, settings = load_vgg19(), settings_of()
    terms = terms_of(network, settings, (96, 128))
    image = picture(2, (96, 128)).float()
    assert_same(Objective(network, terms), StripwiseObjective(network, terms, Fold(6, 3000)), image, 1e-5)


@pytest.mark.parametrize("fold", [Fold(6, 3000), Fold(4, 2000), Fold(6, 3000, 2), Fold(6, 7000, 3)], ids=str)
@pytest.mark.parametrize("kind", ["flat", "letterboxed", "noise"])
def test_where_activations_are_the_same_but_for_rounding(kind: str, fold: Fold) -> None:
    """Max pooling and ReLU choose between them, so strips have to round as the whole does: Winograd's tiles lie where they lie there."""
    size = 160, 192
    image = torch.full((1, 3, *size), 0.4) if kind == "flat" else picture(2, size).float()
    if kind == "noise":
        image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    if kind == "letterboxed":
        image[:, :, :24] = image[:, :, -24:] = 0
    network, settings = load_vgg19(), settings_of(layers=VGG_LAYERS)
    terms = terms_of(network, settings, size)
    expected = network(image, VGG_LAYERS)

    def same(layer: str, features: torch.Tensor, rows: Rectangle) -> None:
        if int(layer[4]) < 5:  # so small a block 5 has no tiles
            assert torch.equal(features, expected[layer][rows.index])

    look_at(network, image, VGG_LAYERS, fold, same)
    assert_same(Objective(network, terms), StripwiseObjective(network, terms, fold), image, 1e-5)


@pytest.mark.parametrize("fold", [Fold(3, 700), Fold(6, 700), Fold(6, 10_000)], ids=["at the end", "in strips", "in one"])
@pytest.mark.parametrize("wraps", [False, True], ids=["ends", "wraps"])
def test_what_is_held_is_held(networks: dict[str, VGG19], fold: Fold, wraps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deepest layer, whether it and the one before are worked out at once or not."""
    network, settings, size = networks["max"], settings_of(tileable=wraps), (48, 64) if wraps else (37, 51)
    settings = settings.model_copy(update={"content": settings.content.model_copy(update={"weight": 50.0})})
    terms = terms_of(network, settings, size)
    plain, folded = Objective(network, terms, wraps, hold=4), StripwiseObjective(network, terms, fold, wraps, hold=4)
    called: list[str] = []
    layer = VGG19.layer
    monkeypatch.setattr(VGG19, "layer", lambda self, name, *rest: (called.append(name), layer(self, name, *rest))[1])
    looks = []
    for seed in range(6):
        image = picture(2, size) + 0.002 * picture(20 + seed, size)
        expected = plain(image)
        called.clear()
        found = folded(image)
        looks.append("relu5_1" in called)
        assert float((found.gradient - expected.gradient).norm() / expected.gradient.norm()) < 1e-10
        assert found.values.sum().item() == pytest.approx(expected.values.sum().item(), rel=1e-10)
    assert looks == [True, False, False, False, True, False]


def test_what_is_steep_is_not_held(networks: dict[str, VGG19]) -> None:
    network, settings = networks["max"], settings_of()
    terms = [replace(term, weight=1e4 * term.weight) if term.layer == "relu5_1" else term for term in terms_of(network, settings, (37, 51))]
    exact, folded = Objective(network, terms), StripwiseObjective(network, terms, Fold(6, 700), hold=4)
    for seed in range(3):
        assert_same(exact, folded, picture(2) + 0.2 * picture(20 + seed), 1e-10)


def test_targets_too(networks: dict[str, VGG19]) -> None:
    network, source = networks["max"], picture(1, (61, 83))
    for name in STYLE_LOSSES:
        settings = settings_of(loss=name, histogram_weight=1.0)
        plain, folded = (style_statistics(network, source, settings, fold) for fold in (PLAIN, Fold(6, 900)))
        for term in ("style", "histogram"):
            for layer, statistic in getattr(plain, term).items():
                torch.testing.assert_close(getattr(folded, term)[layer], statistic, rtol=1e-9, atol=1e-9)
    for fold in (Fold(6, 900), Fold(4, 900)):
        found = content_targets(network, source, Settings(), fold)
        for layer, features in content_targets(network, source, Settings()).items():
            torch.testing.assert_close(found[layer], features, rtol=1e-10, atol=1e-9)


def test_the_plain_way_is_the_plain_objective(networks: dict[str, VGG19]) -> None:
    terms = terms_of(networks["max"], settings_of(), (37, 51))
    assert isinstance(objective_of(networks["max"], terms), Objective)
    assert isinstance(objective_of(networks["max"], terms, Fold(6)), StripwiseObjective)
    with pytest.raises(ValueError, match="plain"):
        StripwiseObjective(networks["max"], terms, PLAIN)
    with pytest.raises(ValueError, match="stages"):
        Fold(2)
    with pytest.raises(ValueError, match="shares are one or more"):
        Fold(6, shares=0)
