from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch

from tests.scenes import Scene, procedural_picture
from vidstyle.errors import UsageError, WeightsError
from vidstyle.flow import ESTIMATORS, FlowEstimator, make_estimator
from vidstyle.frames import FlowField

NETWORKS = ("raft", "raft-small")
MOVING = [name for name in ESTIMATORS if name not in ("none", *NETWORKS)]
"""Networks are not among them: their weights are not part of the installation, so that no test here knows whether they see motion."""


def shifted_pair(dx: float, dy: float, size: tuple[int, int] = (96, 128)) -> tuple[np.ndarray, np.ndarray]:
    """(current, reference) with current(x, y) = reference(x + dx, y + dy)."""
    height, width = size
    picture = cv2.GaussianBlur(procedural_picture(3 * height, 2 * width), (0, 0), 1)[height:]
    sampling = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    cut = []
    for x, y in ((dx, dy), (0, 0)):
        window = np.array([[1, 0, width / 2 + x], [0, 1, height / 2 + y]])
        cut.append(cv2.warpAffine(picture, window, (width, height), flags=sampling))
    return cut[0], cut[1]


def share_off(flow: FlowField, truth: FlowField, where: np.ndarray) -> float:
    """Share of the vectors more than a pixel off."""
    return float((np.hypot(*(flow.data - truth.data))[where] > 1).mean())


@functools.cache
def weights_of(name: str) -> Path:
    """A file with weights of the network's shape, at random but for its last layer, which sees no motion."""
    optical_flow = pytest.importorskip("torchvision.models.optical_flow", reason="torchvision does not fit the installed torch")
    torch.manual_seed(0)
    network = optical_flow.raft_large(weights=None) if name == "raft" else optical_flow.raft_small(weights=None)
    torch.nn.init.zeros_(network.update_block.flow_head.conv2.weight)
    torch.nn.init.zeros_(network.update_block.flow_head.conv2.bias)
    path = Path(tempfile.mkdtemp()) / f"{name}.pth"
    torch.save(network.state_dict(), path)
    return path


def made(name: str) -> FlowEstimator:
    if name in NETWORKS:
        return make_estimator(name, weights_of(name))
    if name in ("deepflow", "tvl1") and not hasattr(cv2, "optflow"):
        pytest.skip("opencv-contrib is not installed")
    return make_estimator(name)


@pytest.fixture(params=list(ESTIMATORS))
def estimator(request: pytest.FixtureRequest) -> FlowEstimator:
    return made(request.param)


class TestConformance:
    """What every estimator keeps, whatever its method."""

    @pytest.mark.parametrize("size", [(96, 128), (8, 8), (1, 1), (1, 40), (40, 1), (12, 40), (17, 300), (64, 65)])
    def test_shape_dtype_and_finite_values_at_any_size(self, estimator: FlowEstimator, size: tuple[int, int]) -> None:
        picture = procedural_picture(*size)
        flow = estimator(picture, np.roll(picture, 1, axis=1))
        assert flow.size == size
        assert flow.data.dtype == np.float32
        assert flow.data.flags.c_contiguous
        assert np.isfinite(flow.data).all()

    @pytest.mark.parametrize("value", [0, 255])
    def test_constant_pictures_do_not_move(self, estimator: FlowEstimator, value: int) -> None:
        picture = np.full((40, 56, 3), value, np.uint8)
        assert np.abs(estimator(picture, picture).data).max() < 1e-3

    def test_a_still_picture_does_not_move(self, estimator: FlowEstimator) -> None:
        picture = procedural_picture(96, 128)
        assert np.abs(estimator(picture, picture).data).max() < 0.1

    def test_same_bits_on_any_number_of_threads_and_after_other_work(self, estimator: FlowEstimator) -> None:
        current, reference = shifted_pair(2.3, -1.1)
        first = estimator(current, reference).data
        estimator(procedural_picture(50, 70), procedural_picture(50, 70, seed=1))
        threads = cv2.getNumThreads()
        try:
            for count in (1, 3):
                cv2.setNumThreads(count)
                np.testing.assert_array_equal(estimator(current, reference).data, first)
        finally:
            cv2.setNumThreads(threads)

    def test_pictures_and_initial_field_are_left_alone(self, estimator: FlowEstimator) -> None:
        current, reference = shifted_pair(2, 0)
        initial = FlowField(np.full((2, 96, 128), 0.5, np.float32))
        before = [current.copy(), reference.copy(), initial.data.copy()]
        estimator(current, reference, initial)
        for now, then in zip((current, reference, initial.data), before, strict=True):
            np.testing.assert_array_equal(now, then)

    def test_pictures_of_two_sizes_are_refused(self, estimator: FlowEstimator) -> None:
        with pytest.raises(ValueError, match="one size"):
            estimator(procedural_picture(40, 50), procedural_picture(40, 51))

    def test_an_initial_field_of_another_size_is_refused(self, estimator: FlowEstimator) -> None:
        picture = procedural_picture(40, 50)
        with pytest.raises(ValueError, match="initial"):
            estimator(picture, picture, FlowField(np.zeros((2, 40, 51), np.float32)))


@pytest.mark.parametrize("name", MOVING)
class TestMotion:
    """What every estimator but `none` finds."""

    @pytest.mark.parametrize("shift", [(3.0, 0.0), (-2.0, 1.0), (0.5, -0.25), (0.0, 4.0)])
    def test_sign_and_size_of_a_shift(self, name: str, shift: tuple[float, float]) -> None:
        current, reference = shifted_pair(*shift)
        inner = made(name)(current, reference).data[:, 12:-12, 12:-12]
        np.testing.assert_allclose(np.median(inner, axis=(1, 2)), shift, atol=0.1)

    def test_a_moving_disc_over_a_moving_camera(self, name: str) -> None:
        scene = Scene(size=(135, 240))
        flow = made(name)(scene.frame(2), scene.frame(1))
        limits = {"farneback": 0.02, "dis": 0.04, "farneback-raw": 0.4}
        assert share_off(flow, scene.flow(2, 1), scene.visible(2, 1)) < limits.get(name, 0.05)


def test_the_default_refines_what_raw_farneback_misses() -> None:
    scene = Scene(size=(135, 240))
    current, reference, truth, seen = scene.frame(3), scene.frame(2), scene.flow(3, 2), scene.visible(3, 2)
    raw = share_off(make_estimator("farneback-raw")(current, reference), truth, seen)
    refined = share_off(make_estimator("farneback")(current, reference), truth, seen)
    assert refined < raw / 5


def test_an_initial_field_reaches_where_the_search_alone_does_not() -> None:
    current, reference = shifted_pair(45.0, 0.0)
    truth = FlowField(np.full((2, 96, 128), 0, np.float32) + np.array([45, 0], np.float32)[:, None, None])
    seen = np.zeros((96, 128), bool)
    seen[12:-12, 12:-57] = True
    estimate = make_estimator("farneback")
    assert share_off(estimate(current, reference), truth, seen) > 0.5
    assert share_off(estimate(current, reference, truth), truth, seen) < 0.05


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean farneback"):
        make_estimator("farnback")
    with pytest.raises(UsageError, match="use farneback, "):
        make_estimator("??")


@pytest.mark.parametrize("name", ["deepflow", "tvl1"])
def test_what_only_contrib_has_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(UsageError, match=f"--flow {name} needs opencv-contrib.*pip install opencv-contrib-python"):
        make_estimator(name)


class TestNetworks:
    """Loading; what the weights see is not tested here, since none can be had."""

    def test_it_is_the_field_that_the_network_gives(self) -> None:
        optical_flow = pytest.importorskip("torchvision.models.optical_flow", reason="torchvision does not fit the installed torch")
        torch.manual_seed(1)
        network = optical_flow.raft_small(weights=None).eval()
        path = Path(tempfile.mkdtemp()) / "raft.pth"
        torch.save(network.state_dict(), path)
        current, reference = procedural_picture(128, 136), procedural_picture(128, 136, seed=1)
        pictures = [torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1 for picture in (current, reference)]
        with torch.no_grad():
            expected = network(*pictures)[-1][0].numpy()
        np.testing.assert_allclose(make_estimator("raft-small", path)(current, reference).data, expected, atol=1e-4)
        assert np.abs(expected).max() > 1e-3

    def test_another_networks_weights_are_told(self) -> None:
        with pytest.raises(WeightsError, match="not the weights of raft-small"):
            make_estimator("raft-small", weights_of("raft"))

    def test_junk_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "junk.pth").write_bytes(b"junk")
        with pytest.raises(WeightsError, match="no file of weights"):
            make_estimator("raft", tmp_path / "junk.pth")

    def test_a_missing_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            make_estimator("raft", tmp_path / "none.pth")

    def test_without_a_net_a_file_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_net(*arguments: object, **more: object) -> None:
            raise URLError("no route")

        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_net)
        with pytest.raises(WeightsError, match="give them as --flow-weights FILE"):
            make_estimator("raft-small")

    def test_weights_for_an_estimator_that_has_none(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="--flow dis has no weights"):
            make_estimator("dis", tmp_path / "a.pth")
