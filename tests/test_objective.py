"""The objective: its units, its gradient, the temporal term, and that what is saved is what is judged."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import vidstyle.optimize
from vidstyle.losses import STYLE_LOSSES, content_loss, gram
from vidstyle.objective import Evaluation, Objective
from vidstyle.optimize import _LATE, OPTIMIZERS, _Transfer
from vidstyle.settings import Settings
from vidstyle.targets import style_targets
from vidstyle.terms import Reference, Region, StyleTargets, build_terms
from vidstyle.vgg import VGG19, load_vgg19

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")


def picture(seed: int, size: tuple[int, int] = (36, 44)) -> torch.Tensor:
    return torch.nn.functional.interpolate(
        torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(seed)), size=size, mode="bilinear", align_corners=True
    )


@pytest.fixture(scope="module")
def network() -> VGG19:
    return load_vgg19()


@pytest.fixture(scope="module")
def targets(network: VGG19) -> StyleTargets:
    return style_targets(network, [(1.0, picture(5))], Settings())


def objective(network: VGG19, targets: StyleTargets, *references: Reference, settings: Settings | None = None) -> Objective:
    settings = settings or Settings()
    with torch.no_grad():
        image = picture(1).to(network.get_buffer("relu1_1_weight"))
        content = {name: value.clone() for name, value in network(image, settings.content.layers).items()}
    return Objective(network, build_terms(settings, content, [Region(targets)], references))


def test_defaults_are_the_objective_of_neural_style(network: VGG19, targets: StyleTargets) -> None:
    """5·MSE(relu4_2) + 100·Σ MSE(G/(C·H·W)) on activations of 0-255 BGR input."""
    report = objective(network, targets)(picture(2)).report
    ours, content, style = (network(picture(seed), LAYERS) for seed in (2, 1, 5))
    expected_content = 5 * content_loss(ours["relu4_2"], content["relu4_2"])
    expected_style = 100 * sum((gram(ours[layer]) - gram(style[layer])).square().mean() for layer in LAYERS if layer.endswith("_1"))
    assert report.terms["content"] == pytest.approx(float(expected_content), rel=1e-4)
    assert report.terms["style"] == pytest.approx(float(expected_style), rel=1e-4)
    assert report.objective == pytest.approx(report.terms["content"] + report.terms["style"])


def test_gradient_is_that_of_the_sum(network: VGG19, targets: StyleTargets) -> None:
    # Along the gradient itself, in float64: the directional derivative is the gradient's squared length.
    function = objective(copy.deepcopy(network).double(), StyleTargets({name: value.double() for name, value in targets.style.items()}))
    x = picture(2).double()
    gradient = function(x).gradient
    direction = gradient / gradient.norm()
    step = 1e-5
    change = (function(x + step * direction).report.total - function(x - step * direction).report.total) / (2 * step)
    assert change == pytest.approx(float(gradient.norm()), rel=1e-3)


class TestHold:
    """The deepest layer held to first order."""

    def held(self, network: VGG19, targets: StyleTargets, settings: Settings | None = None, hold: int = 5) -> tuple[Objective, Objective]:
        settings = settings or Settings()
        content = network(picture(1), settings.content.layers)
        terms = build_terms(settings, content, [Region(targets)])
        return Objective(network, terms, hold=hold), Objective(network, terms)

    def looks(self, network: VGG19, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        seen: list[str] = []
        deeper = VGG19.deeper

        def counted(self: VGG19, activations: torch.Tensor, layer: str, layers: list[str], wraps: bool = False) -> dict[str, torch.Tensor]:
            seen.extend(layers)
            return deeper(self, activations, layer, layers, wraps)

        monkeypatch.setattr(VGG19, "deeper", counted)
        return seen

    def test_where_it_has_just_been_looked_at_nothing_differs(self, network: VGG19, targets: StyleTargets) -> None:
        held, exact = self.held(network, targets)
        ours, all_of_it = held(picture(2)), exact(picture(2))
        assert ours.report.terms == pytest.approx(all_of_it.report.terms, rel=1e-5)
        assert float((ours.gradient - all_of_it.gradient).norm()) < 1e-3 * float(all_of_it.gradient.norm())

    def test_near_by_it_is_right_to_first_order(self, network: VGG19, targets: StyleTargets) -> None:
        held, exact = self.held(network, targets)
        held(picture(2))
        near = picture(2) + 0.01 * (picture(3) - picture(2))
        ours, all_of_it = held(near).report, exact(near).report
        moved = abs(all_of_it.terms["style"] - exact(picture(2)).report.terms["style"])
        assert abs(ours.terms["style"] - all_of_it.terms["style"]) < 0.02 * moved

    def test_it_is_looked_at_again_after_so_many_steps(
        self, network: VGG19, targets: StyleTargets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = Settings.from_mapping({"style": {"layer_weights": [1, 1, 1, 1, 0.01]}})
        looks = self.looks(network, monkeypatch)
        held, _ = self.held(network, targets, settings)
        for _ in range(11):
            held(picture(2))
        assert looks == ["relu5_1"] * 3

    def test_a_layer_that_matters_is_looked_at_every_time(self, network: VGG19, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = Settings.from_mapping({"style": {"layer_weights": [1, 1, 1, 1, 1000]}})
        looks = self.looks(network, monkeypatch)
        held, _ = self.held(network, style_targets(network, [(1.0, picture(5))], settings), settings)
        for _ in range(4):
            held(picture(2))
        assert len(looks) == 4

    def test_two_losses_of_the_deepest_layer_keep_their_names(self, network: VGG19) -> None:
        settings = Settings.from_mapping({"style": {"histogram_weight": 1, "histogram_layers": ["relu5_1"]}})
        held, exact = self.held(network, style_targets(network, [(1.0, picture(5))], settings), settings)
        assert held(picture(2)).report.terms == pytest.approx(exact(picture(2)).report.terms, rel=1e-5)


def test_temporal_term_pulls_where_trusted_and_only_there(network: VGG19, targets: StyleTargets) -> None:
    x = picture(2)
    trust = torch.zeros(1, 1, 36, 44)
    trust[..., 10:20, 10:30] = 1
    without = objective(network, targets)(x).gradient
    pulled = objective(network, targets, Reference(picture(3), trust))(x).gradient
    difference = (pulled - without).abs().sum(dim=1, keepdim=True)
    assert (difference[trust > 0] > 1e-3 * float(without.abs().mean())).float().mean() > 0.99
    # Outside the mask nothing is added: what is left is the rounding of another order of summation.
    assert float(difference[trust == 0].max()) <= 1e-4 * float(without.abs().max())


def test_no_temporal_term_without_references(network: VGG19, targets: StyleTargets) -> None:
    report = objective(network, targets)(picture(2)).report
    assert not [name for name in report.terms if name.startswith("temporal")]


def test_the_clamped_picture_is_judged(network: VGG19, targets: StyleTargets) -> None:
    """Values beyond the range change nothing but the overflow term, which pulls them back."""
    function = objective(network, targets)
    inside = picture(2).clamp(0, 1)
    inside[..., :8, :8] = 1.0
    beyond = inside.clone()
    beyond[..., :8, :8] = 1.1
    a, out = function(inside).report, function(beyond)
    b = out.report
    assert b.objective == pytest.approx(a.objective)
    assert a.terms["overflow"] == 0
    assert b.terms["overflow"] > 0
    assert (out.gradient[..., :8, :8] > 0).all()


def test_blended_styles_have_blended_statistics(network: VGG19) -> None:
    settings = Settings()
    one, two = (style_targets(network, [(1.0, picture(seed))], settings) for seed in (5, 6))
    both = style_targets(network, [(0.25, picture(5)), (0.75, picture(6))], settings)
    for layer in settings.style.layers:
        torch.testing.assert_close(both.style[layer], 0.25 * one.style[layer] + 0.75 * two.style[layer])


def test_a_weight_of_zero_leaves_its_term_out(network: VGG19, targets: StyleTargets) -> None:
    settings = Settings.from_mapping({"optimize": {"tv_weight": 0}})
    assert "tv" not in objective(network, targets, settings=settings)(picture(2)).report.terms


def test_gatys_style_loss_averages_the_layers(network: VGG19) -> None:
    settings = Settings.from_mapping({"style": {"loss": "gatys"}})
    targets = style_targets(network, [(1.0, picture(5))], settings)
    report = objective(network, targets, settings=settings)(picture(2)).report
    features = network(picture(2), LAYERS)
    expected = 100 / 5 * sum((gram(features[layer]) - target).square().sum() / 4 for layer, target in targets.style.items())
    assert report.terms["style"] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_every_style_loss_is_zero_at_the_style_and_pulls_elsewhere(network: VGG19, name: str) -> None:
    settings = Settings.from_mapping({"style": {"loss": name}, "content": {"weight": 0}, "optimize": {"tv_weight": 0}})
    targets = style_targets(network, [(1.0, picture(5))], settings)
    function = objective(network, targets, settings=settings)
    there, elsewhere = function(picture(5)).report.terms["style"], function(picture(2))
    # The root of the Wasserstein distance rounds in single precision, on each kind of processor to another few thousandths.
    assert there < (1e-2 if name == "wasserstein" else 2e-3) * elsewhere.report.terms["style"]
    assert float(elsewhere.gradient.abs().max()) > 0


def test_the_histogram_loss_joins_any_other(network: VGG19) -> None:
    settings = Settings.from_mapping({"style": {"histogram_weight": 3, "histogram_layers": ["relu1_1", "relu3_1"]}})
    targets = style_targets(network, [(1.0, picture(5))], settings)
    terms = objective(network, targets, settings=settings)(picture(2)).report.terms
    features, style = network(picture(2), LAYERS), network(picture(5), LAYERS)
    expected = sum(
        (features[n].flatten(2).sort().values - style[n].flatten(2).sort().values).square().mean() for n in ("relu1_1", "relu3_1")
    )
    assert terms["histogram"] == pytest.approx(3 * STYLE_LOSSES["histogram"].unit * float(expected), rel=1e-4)
    assert terms["style"] > 0


def test_layer_weights_count_where_they_stand(network: VGG19, targets: StyleTargets) -> None:
    def style(*weights: float) -> float:
        settings = Settings.from_mapping({"style": {"layer_weights": weights}})
        return objective(network, targets, settings=settings)(picture(2)).report.terms["style"]

    alone = [style(*(float(i == j) for j in range(5))) for i in range(5)]
    assert style(1, 2, 0, 0.5, 3) == pytest.approx(alone[0] + 2 * alone[1] + 0.5 * alone[3] + 3 * alone[4], rel=1e-5)


def test_styles_of_other_sizes_can_be_blended_under_every_loss(network: VGG19) -> None:
    for name in STYLE_LOSSES:
        settings = Settings.from_mapping({"style": {"loss": name}})
        targets = style_targets(network, [(0.5, picture(5)), (0.5, picture(6)[..., :30, :])], settings)
        assert objective(network, targets, settings=settings)(picture(2)).report.terms["style"] > 0


def test_a_reference_checks_its_shapes() -> None:
    with pytest.raises(ValueError, match="trust"):
        Reference(picture(1), torch.ones(1, 3, 36, 44))


@pytest.mark.parametrize("wraps", [True, False])
def test_a_tileable_picture_has_no_place_where_it_is_cut(network: VGG19, targets: StyleTargets, wraps: bool) -> None:
    """Moved round, the picture has the same loss and the gradient moves round with it: no seam can be preferred."""
    settings = Settings.from_mapping({"content": {"weight": 0}, "run": {"tileable": wraps}})
    function = Objective(network, build_terms(settings, None, [Region(targets)]), wraps)
    x = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(4))
    before, after = function(x), function(x.roll((16, 32), (2, 3)))
    assert (after.report.total == pytest.approx(before.report.total, rel=1e-4)) == wraps
    error = (after.gradient - before.gradient.roll((16, 32), (2, 3))).norm() / before.gradient.norm()
    assert (float(error) < 1e-3) == wraps


class NobodyWaits(TorchDispatchMode):
    """Raises where the host asks a device for a number: each time a GPU would have nothing to do meanwhile.

    Losses alone are read, by `_Transfer`, and not before `_LATE` evaluations have followed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.evaluations = 0
        self._reading = False
        self._patches = ExitStack()

    def __enter__(self) -> NobodyWaits:
        # Of a tensor that is on the CPU these are not operations, so that nothing is dispatched.
        for name in ("tolist", "cpu", "numpy", "item", "to"):
            self._patches.enter_context(mock.patch.object(torch.Tensor, name, self._refused(name)))
        self._patches.enter_context(mock.patch.object(_Transfer, "__init__", self._begun()))
        self._patches.enter_context(mock.patch.object(_Transfer, "values", self._read()))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patches.close()

    def _refused(self, name: str) -> Callable[..., Any]:
        method = getattr(torch.Tensor, name)

        def call(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            places = (str(one) for one in (*args, *kwargs.values()) if isinstance(one, str | torch.device))
            if not self._reading and (name != "to" or any(place.startswith("cpu") for place in places)):
                raise AssertionError(f"the host waits for the device: {name}")
            return method(tensor, *args, **kwargs)

        return call

    def _begun(self) -> Callable[..., None]:
        method = _Transfer.__init__

        def call(transfer: _Transfer, values: torch.Tensor) -> None:
            method(transfer, values)
            self._born[transfer] = self.evaluations

        self._born: dict[_Transfer, int] = {}
        return call

    def _read(self) -> Callable[..., list[float]]:
        method = _Transfer.values

        def call(transfer: _Transfer) -> list[float]:
            if self.evaluations < self._born[transfer] + _LATE:
                raise AssertionError(f"the host waits for the device: a loss is read {self.evaluations - self._born[transfer]} steps late")
            self._reading = True
            try:
                return method(transfer)
            finally:
                self._reading = False

        return call

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        if name == "aten::index.Tensor" or "index_put" in name:
            waits = any(one is not None and one.dtype == torch.bool for one in args[1])  # by a mask: as many as are true
        elif name == "aten::repeat_interleave.Tensor":
            waits = (kwargs or {}).get("output_size") is None
        else:
            waits = not self._WAITS.isdisjoint(func.tags) or name == "aten::_linalg_check_errors"
        if waits and not self._reading:
            raise AssertionError(f"the host waits for the device: {name}")
        return func(*args, **(kwargs or {}))

    _WAITS = frozenset((torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape))


def write_where(x: torch.Tensor) -> None:
    x[x > 0] = x.clone()


class TestWaiting:
    """No step may make the host wait for a GPU. Shown on a CPU, by the operations that would."""

    @pytest.fixture(autouse=True)
    def losses_are_read_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vidstyle.optimize, "_lateness", lambda like: _LATE)

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Two on a busy machine wait for each other at every one of many small products, for fifty times as long."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    @pytest.mark.parametrize(
        "question",
        [
            float,
            bool,
            torch.nonzero,
            lambda x: x[x > 0],
            write_where,
            lambda x: x.item(),
            lambda x: x.tolist(),
            lambda x: x.cpu(),
            lambda x: x.to("cpu"),
            lambda x: x.to(device=torch.device("cpu"), dtype=torch.float64),
            lambda x: x.numpy(),
            lambda x: torch.allclose(x, x),
            lambda x: torch.repeat_interleave(x, x.long()),
            lambda x: torch.linalg.inv(x[None]),
        ],
    )
    def test_waiting_is_noticed(self, question: Callable[[torch.Tensor], object]) -> None:
        with pytest.raises(AssertionError, match="waits"), NobodyWaits():
            question(torch.ones(1) * 2)

    @pytest.mark.parametrize("late", [0, _LATE - 1])
    def test_a_loss_that_is_read_too_early_is_noticed(self, late: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vidstyle.optimize, "_lateness", lambda like: late)
        watched = NobodyWaits()

        def evaluated(x: torch.Tensor) -> Evaluation:
            watched.evaluations += 1
            return Evaluation(("content",), x.square().sum()[None], 2 * x)

        with pytest.raises(AssertionError, match=f"waits for the device: a loss is read {late} steps late"), watched:
            OPTIMIZERS["lbfgs"](evaluated, picture(2), 8)

    @pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
    @pytest.mark.parametrize("loss", sorted(STYLE_LOSSES))
    def test_no_step_waits(self, network: VGG19, optimizer: str, loss: str) -> None:
        picks = loss in ("histogram", "patches")  # with a mask they take so many positions, which the host has to know
        # Two layers, since every layer is asked in the same way, and those of many channels take long.
        settings = Settings.from_mapping({"style": {"loss": loss, "layers": ["relu1_1", "relu2_1"]}, "optimize": {"tv_weight": 1e-3}})
        mask = (picture(7)[:, :1] > 0.5).float()
        content = {name: values.detach().clone() for name, values in network(picture(1), settings.content.layers).items()}
        held_to = Reference(picture(3), mask)
        targets = [style_targets(network, [(1.0, picture(seed))], settings) for seed in (5, 6)]
        regions = [Region(targets[0])] if picks else [Region(targets[0], mask), Region(targets[1], 1 - mask)]
        function = Objective(network, build_terms(settings, content, regions, [held_to], held_to))
        pairs = [(picture(8) * 1e-3, picture(8) * 1e-2)] if optimizer == "lbfgs" else ()

        class Enough(Exception):
            pass

        watched = NobodyWaits()

        def evaluated(x: torch.Tensor) -> Evaluation:
            watched.evaluations += 1
            if watched.evaluations > 5:  # what comes after the last step may wait
                raise Enough
            return function(x)

        with pytest.raises(Enough), watched:
            OPTIMIZERS[optimizer](evaluated, picture(2), 8, tolerance=1e-9, window=1, pairs=pairs)
