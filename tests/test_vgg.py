"""The network: decoding, normalisation, one unit for every kind of weights, and what is wrong with a file."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from vidstyle import vgg
from vidstyle.errors import UsageError, WeightsError
from vidstyle.flow import make_estimator
from vidstyle.settings import VGG_LAYERS
from vidstyle.vgg import ACTIVATION_RMS, activation_rms, calibration_picture, load_vgg19, minimum_side, multiplications


@pytest.fixture(scope="module")
def network() -> vgg.VGG19:
    return load_vgg19()


def raw_weights() -> dict[str, torch.Tensor]:
    """The Oxford convolutions as they are on disk, decoded by hand."""
    content = torch.load(vgg._embedded_path(), weights_only=True)
    return {
        f"{name}.{part}": content[f"block{name[4]}_conv{name[6]}_W_table"][content[f"block{name[4]}_conv{name[6]}_W_q"].long()]
        if part == "weight"
        else content[f"block{name[4]}_conv{name[6]}_b"]
        for name in VGG_LAYERS
        for part in ("weight", "bias")
    }


def as_state_dict(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        f"features.{index}.{part}": weights[f"{name}.{part}"]
        for name, index in vgg._STATE_DICT_INDEX.items()
        for part in ("weight", "bias")
    }


def to_torchvision(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same function of the picture, written as a network that wants ImageNet-normalised RGB."""
    first = weights["relu1_1.weight"].flip(1) * 255
    std, mean = torch.tensor(vgg._IMAGENET_STD), torch.tensor(vgg._IMAGENET_MEAN)
    caffe_mean = torch.tensor(vgg._CAFFE_MEAN_BGR[::-1]) / 255
    bias = weights["relu1_1.bias"] + (first.sum((2, 3)) * (mean - caffe_mean)).sum(1)
    return as_state_dict({**weights, "relu1_1.weight": first * std[None, :, None, None], "relu1_1.bias": bias})


def test_wide_layers_are_the_same_however_they_are_convolved(network: vgg.VGG19, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = calibration_picture(96)
    ours = network(picture, VGG_LAYERS)
    assert network._filters, "no layer of this picture was convolved by Winograd's method"
    monkeypatch.setattr("vidstyle.vgg.pays", lambda *_: False)
    for name, direct in network(picture, VGG_LAYERS).items():
        assert float((ours[name] - direct).abs().max()) <= 2e-5 * float(direct.abs().max()), name


def test_the_memory_of_the_filters_is_told_beforehand() -> None:
    network = load_vgg19()
    network(calibration_picture(136), VGG_LAYERS)
    assert sum(filters.nbytes for filters in network._filters.values()) == vgg.filter_bytes(136, 136, VGG_LAYERS) > 0
    assert vgg.filter_bytes(16, 16, VGG_LAYERS) == 0
    assert 0 < vgg.filter_bytes(136, 136, ("relu3_1",)) < vgg.filter_bytes(136, 136, ("relu4_2",))


def test_going_on_from_a_layer_is_the_same_as_going_through(network: vgg.VGG19) -> None:
    all_at_once = network(calibration_picture(64), ("relu3_1", "relu4_2", "relu5_1"))
    in_parts = network.deeper(all_at_once["relu3_1"], "relu3_1", ("relu4_2", "relu5_1"))
    assert set(in_parts) == {"relu4_2", "relu5_1"}
    for name, values in in_parts.items():
        torch.testing.assert_close(values, all_at_once[name])


def test_first_layers_are_those_of_the_original_network(network: vgg.VGG19) -> None:
    weights = raw_weights()
    image = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    bgr = image.flip(1) * 255 - torch.tensor(vgg._CAFFE_MEAN_BGR)[None, :, None, None]
    padded = functional.pad(bgr, (1, 1, 1, 1), mode="replicate")
    relu1_1 = functional.relu(functional.conv2d(padded, weights["relu1_1.weight"], weights["relu1_1.bias"]))
    relu1_2 = functional.relu(functional.conv2d(relu1_1, weights["relu1_2.weight"], weights["relu1_2.bias"], padding=1))
    relu2_1 = functional.relu(
        functional.conv2d(functional.max_pool2d(relu1_2, 2), weights["relu2_1.weight"], weights["relu2_1.bias"], padding=1)
    )
    features = network(image, ("relu1_1", "relu2_1"))
    assert features["input"] is image
    torch.testing.assert_close(features["relu1_1"], relu1_1, rtol=1e-4, atol=2e-2)
    torch.testing.assert_close(features["relu2_1"], relu2_1, rtol=1e-4, atol=2e-1)


def test_decodes_in_under_a_second_of_processor_time() -> None:
    before = time.process_time()
    load_vgg19()
    assert time.process_time() - before < 2 * torch.get_num_threads()  # a second each of the threads, with room for a busy machine


def test_calibration_figures_are_those_of_the_embedded_weights(network: vgg.VGG19) -> None:
    assert activation_rms(network) == pytest.approx(ACTIVATION_RMS, rel=1e-3)


def test_the_same_network_as_torchvision_writes_it_gives_the_same_activations(network: vgg.VGG19, tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    torch.save(to_torchvision(raw_weights()), path)
    image = calibration_picture(48)
    ours, theirs = network(image, VGG_LAYERS), load_vgg19(str(path))(image, VGG_LAYERS)
    for name in VGG_LAYERS:
        torch.testing.assert_close(theirs[name], ours[name], rtol=2e-3, atol=2e-3 * float(ours[name].max()))


def test_weights_of_another_strength_are_brought_to_the_same_units(network: vgg.VGG19, tmp_path: Path) -> None:
    weights = raw_weights()
    weights["relu3_1.weight"], weights["relu3_1.bias"] = weights["relu3_1.weight"] * 0.01, weights["relu3_1.bias"] * 0.01
    path = tmp_path / "weak.pth"
    torch.save(to_torchvision(weights), path)
    assert activation_rms(load_vgg19(str(path))) == pytest.approx(ACTIVATION_RMS, rel=1e-3)


def test_torchvision_weights_are_read_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision.models", reason="torchvision does not fit this torch", exc_type=(ImportError, RuntimeError))
    # What a finished download leaves: the file that torchvision would fetch, made here from the Oxford weights.
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    torch.save(to_torchvision(raw_weights()), checkpoints / "vgg19-dcbb9e9d.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    network = load_vgg19("torchvision")
    assert activation_rms(network) == pytest.approx(ACTIVATION_RMS, rel=1e-3)


def test_average_pooling_is_another_network(network: vgg.VGG19) -> None:
    image = calibration_picture(32)
    average = load_vgg19(pooling="avg")(image, ("relu1_2", "relu2_1"))
    highest = network(image, ("relu1_2", "relu2_1"))
    torch.testing.assert_close(average["relu1_2"], highest["relu1_2"])
    assert average["relu2_1"].mean() < highest["relu2_1"].mean()


def test_a_flat_picture_has_no_frame_round_it(network: vgg.VGG19) -> None:
    activations = network(torch.full((1, 3, 16, 16), 0.8), ("relu1_1",))["relu1_1"]
    torch.testing.assert_close(activations, activations[..., 8:9, 8:9].expand_as(activations), rtol=1e-4, atol=1e-2)


def test_a_picture_that_wraps_has_no_edge(network: vgg.VGG19) -> None:
    """Moved round by a whole number of the deepest layer's positions, every layer's activations move round with it."""
    picture = calibration_picture(64)[..., :48]
    with torch.no_grad():
        before = network(picture, VGG_LAYERS[:13], wraps=True)
        after = network(picture.roll((16, 32), (2, 3)), VGG_LAYERS[:13], wraps=True)
        plain = network(picture.roll((16, 32), (2, 3)), VGG_LAYERS[:13])
    for name in ("relu1_1", "relu3_2", "relu5_1"):
        step = 1 << (int(name[4]) - 1)
        moved = before[name].roll((16 // step, 32 // step), (2, 3))
        torch.testing.assert_close(after[name], moved, rtol=1e-3, atol=1e-3 * float(moved.abs().max()))
        assert not torch.allclose(plain[name], moved, rtol=1e-2, atol=1e-2 * float(moved.abs().max()))


@pytest.mark.parametrize("size", [(5, 7), (1, 4)])
def test_the_border_that_a_gpu_gets_is_the_same(size: tuple[int, int]) -> None:
    """A GPU would add up the gradient of torch's own in any order."""
    x = torch.rand(1, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    ours, theirs = vgg.bordered(x), functional.pad(x, (1, 1, 1, 1), mode="replicate")
    assert torch.equal(ours, theirs)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    weight = torch.rand_like(ours)
    torch.testing.assert_close(*(torch.autograd.grad(one, x, weight)[0] for one in (ours, theirs)))


@pytest.mark.parametrize(("layer", "side"), [("relu1_1", 1), ("relu2_1", 2), ("relu5_1", 16)])
def test_minimum_side(network: vgg.VGG19, layer: str, side: int) -> None:
    assert minimum_side([layer]) == side
    assert network(torch.rand(1, 3, side, side), (layer,))[layer].shape[-2:] == (1, 1)
    if side > 1:
        with pytest.raises(UsageError, match="too small"):
            network(torch.rand(1, 3, side - 1, side), (layer,))


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            load_vgg19(str(tmp_path / "none.pth"))

    @pytest.mark.parametrize("content", [b"not weights at all", b"junk", b"\x80", b"\x80\x02.", b"cos\n", b"PK\x03\x04", bytes(range(256))])
    def test_junk(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "junk.pth"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="no weights"):
            load_vgg19(str(path))

    def test_code_in_the_pickle_is_not_run(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

        path = tmp_path / "trap.pth"
        torch.save(Trap(), path)
        with pytest.raises(WeightsError):
            load_vgg19(str(path))
        assert not (tmp_path / "ran").exists()

    def test_another_network(self, tmp_path: Path) -> None:
        path = tmp_path / "other.pth"
        torch.save({"conv1.weight": torch.zeros(3)}, path)
        with pytest.raises(WeightsError, match=r"features\.0\.weight"):
            load_vgg19(str(path))

    def test_another_shape(self, tmp_path: Path) -> None:
        weights = as_state_dict(raw_weights())
        weights["features.5.weight"] = weights["features.5.weight"][:, :3]
        path = tmp_path / "other.pth"
        torch.save(weights, path)
        with pytest.raises(WeightsError, match="relu2_1"):
            load_vgg19(str(path))

    @pytest.mark.parametrize("what", ["absurd", "text", "sparse", "whole numbers", "only a shape"])
    def test_no_weights_of_a_network(self, tmp_path: Path, what: str) -> None:
        weights: dict[str, Any] = dict(as_state_dict(raw_weights()))
        name = "features.5.weight"
        weights[name] = {
            "absurd": weights[name] * 1e30,
            "text": "weights",
            "sparse": weights[name].to_sparse(),
            "whole numbers": weights[name].int(),
            "only a shape": weights[name].to("meta"),
        }[what]
        path = tmp_path / "other.pth"
        torch.save(weights, path)
        with pytest.raises(WeightsError, match=r"relu2_[12]"):
            load_vgg19(str(path))

    @pytest.mark.parametrize(
        "load", [load_vgg19, lambda path: make_estimator("raft-small", Path(path))], ids=["--weights", "--flow-weights"]
    )
    def test_nothing_but_the_error_is_said_of_a_whole_program(self, load: Callable[[str], object], tmp_path: Path) -> None:
        path = tmp_path / "program.pt"
        with warnings.catch_warnings(action="ignore"):  # torch would have programs exported another way now
            torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
        with warnings.catch_warnings(record=True, action="always") as said, pytest.raises(WeightsError):
            load(str(path))
        assert said == []

    def test_nan(self, tmp_path: Path) -> None:
        weights = as_state_dict(raw_weights())
        weights["features.5.bias"] = torch.full_like(weights["features.5.bias"], float("nan"))
        path = tmp_path / "nan.pth"
        torch.save(weights, path)
        with pytest.raises(WeightsError, match="relu2_1"):
            load_vgg19(str(path))

    def test_a_codebook_of_nothing(self, tmp_path: Path) -> None:
        content = torch.load(vgg._embedded_path(), weights_only=True)
        content["block1_conv1_W_table"] = content["block1_conv1_W_table"].to("meta")
        path = tmp_path / "other.pth"
        torch.save(content, path)
        with pytest.raises(WeightsError, match="damaged or of another network"):
            load_vgg19(str(path))

    def test_damaged_codebook(self, tmp_path: Path) -> None:
        content = torch.load(vgg._embedded_path(), weights_only=True)
        content["block1_conv1_W_table"][0] += 1
        path = tmp_path / vgg._EMBEDDED_FILE
        torch.save(content, path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() != vgg._EMBEDDED_SHA256
        with pytest.raises(WeightsError, match="damaged"):
            load_vgg19(str(path))


def test_bfloat16_rounds_and_changes_nothing_else() -> None:
    """Activations come out as they went in, and the gradient points where the exact one does."""
    coarse, exact = load_vgg19(kept_in=torch.bfloat16), load_vgg19()
    found = {}
    for network in (coarse, exact):
        image = calibration_picture(48).requires_grad_()
        features = network(image, ("relu1_1", "relu2_1", "relu4_2"))
        assert {values.dtype for values in features.values()} == {torch.float32}
        found[network] = features, torch.autograd.grad(features["relu4_2"].square().mean(), image)[0].flatten()
    (ours, ours_gradient), (all_of_it, expected) = found[coarse], found[exact]
    torch.testing.assert_close(ours["relu1_1"], all_of_it["relu1_1"])
    error = float((ours["relu4_2"] - all_of_it["relu4_2"]).detach().norm() / all_of_it["relu4_2"].detach().norm())
    assert 1e-4 < error < 0.02
    assert float(functional.cosine_similarity(ours_gradient, expected, dim=0)) > 0.999


def test_the_work_is_that_of_every_convolution() -> None:
    assert multiplications(7, 5, ["relu1_1"]) == 9 * 3 * 64 * 7 * 5
    assert multiplications(7, 5, ["relu2_1", "input"]) == 9 * (3 * 64 + 64 * 64) * 7 * 5 + 9 * 64 * 128 * 3 * 2
    assert multiplications(7, 5, []) == 0
