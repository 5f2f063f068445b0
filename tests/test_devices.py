"""Several devices: the strips are dealt over them and worked out side by side, and what comes of it is the same to the bit."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.clips import make_clip
from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from tests.test_strips import assert_same, picture, settings_of, terms_of
from vidstyle import memory, pipeline, stylizer
from vidstyle import spread as spread_module
from vidstyle.cli import main
from vidstyle.device import resolve_devices
from vidstyle.losses import STYLE_LOSSES
from vidstyle.memory import WHOLE, Way, allowed_memory, estimate_memory, way_within
from vidstyle.objective import Evaluation, Objective
from vidstyle.pipeline import stylize
from vidstyle.settings import RunSettings, Settings
from vidstyle.spread import Spread
from vidstyle.strips import Fold, StripwiseObjective, _Walk
from vidstyle.targets import content_targets, style_statistics
from vidstyle.vgg import VGG19, load_vgg19

SIZE = (64, 48)
LONG = 30.0
"""Seconds after which a test gives up waiting for a thread that never comes."""


@pytest.fixture(scope="module")
def network() -> VGG19:
    return load_vgg19()


def copies(network: VGG19, count: int) -> list[VGG19]:
    return [network, *(copy.deepcopy(network) for _ in range(count - 1))]


def evaluated(
    network: VGG19, settings: Settings, fold: Fold, devices: int, size: tuple[int, int] = SIZE, *, masked: bool = False
) -> Evaluation:
    terms = terms_of(network, settings, size, masked=masked)
    spread = Spread(copies(network, devices))
    objective = StripwiseObjective(network, terms, fold, settings.run.tileable, spread=spread)
    return objective(1.2 * picture(2, size).float() - 0.1)


def assert_equal(one: Evaluation, other: Evaluation) -> None:
    assert one.names == other.names
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.gradient, other.gradient)


# --- the evaluation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize("fold", [Fold(6, 4000, 2), Fold(6, 500, 3), Fold(4, 900, 2), Fold(3, 300)], ids=str)
def test_the_same_to_the_bit(network: VGG19, fold: Fold, devices: int) -> None:
    """Also where some device has one strip fewer, or none at all."""
    alone, together = (evaluated(network, settings_of(), fold, count) for count in (1, devices))
    assert_equal(alone, together)


@pytest.mark.parametrize("masked", [False, True], ids=["everywhere", "masked"])
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_every_style_loss(network: VGG19, name: str, masked: bool) -> None:
    chosen = settings_of(loss=name, histogram_weight=1.0)
    alone, together = (evaluated(network, chosen, Fold(6, 900, 2), count, masked=masked) for count in (1, 2))
    assert_equal(alone, together)


@pytest.mark.parametrize("size", [(17, 60), (61, 33), (37, 51)], ids=str)
def test_odd_sizes(network: VGG19, size: tuple[int, int]) -> None:
    """Where a strip has a single position, on some processors oneDNN rounds otherwise each time it is asked; so there are two."""
    alone, together = (evaluated(network, settings_of(), Fold(6, 1 << 20, 3), count, size) for count in (1, 3))
    assert_equal(alone, together)


def test_a_picture_that_goes_on_in_itself(network: VGG19) -> None:
    alone, together = (evaluated(network, settings_of(tileable=True), Fold(6, 900, 2), count) for count in (1, 2))
    assert_equal(alone, together)


def test_strips_for_every_device_change_nothing_but_the_rounding(network: VGG19) -> None:
    exact = copy.deepcopy(network).double()
    terms = terms_of(exact, settings_of(), SIZE)
    for shares in (2, 3, 7):
        found = StripwiseObjective(exact, terms, Fold(6, 1 << 20, shares), spread=Spread(copies(exact, shares)))
        assert_same(Objective(exact, terms), found, picture(2, SIZE), 1e-10)


def test_targets_too(network: VGG19) -> None:
    source, spread = picture(1, SIZE).float(), Spread(copies(network, 2))
    for name in ("gram", "covariance", "patches"):
        chosen, fold = settings_of(loss=name, histogram_weight=1.0), Fold(6, 900, 2)
        alone, together = (style_statistics(network, source, chosen, fold, one) for one in (None, spread))
        for term in ("style", "histogram"):
            for layer, statistic in getattr(alone, term).items():
                assert torch.equal(getattr(together, term)[layer], statistic)
    alone, together = (content_targets(network, source, Settings(), fold, one) for one in (None, spread))
    assert all(torch.equal(together[layer], features) for layer, features in alone.items())


# --- who does what -------------------------------------------------------------------------------------


def hooked(network: VGG19, before: Callable[[str], object]) -> VGG19:
    """The network, which calls `before` with the layer's name whenever it works out a layer."""
    plain = network.layer

    def layer(name: str, *rest: Any) -> torch.Tensor:
        before(name)
        return plain(name, *rest)

    network.layer = layer  # type: ignore[method-assign]
    return network


def spread_of(network: VGG19, *before: Callable[[str], object]) -> Spread:
    return Spread([hooked(copy.deepcopy(network), one) for one in before])


def objective_of(network: VGG19, spread: Spread, fold: Fold) -> StripwiseObjective:
    return StripwiseObjective(network, terms_of(network, settings_of(), SIZE), fold, spread=spread)


def test_every_stage_is_dealt_out_in_equal_shares(network: VGG19) -> None:
    calls: list[list[tuple[str, str]]] = [[], []]
    names = [lambda name, own=own: own.append((name, threading.current_thread().name)) for own in calls]
    objective_of(network, spread_of(network, *names), Fold(6, 1 << 20, 2))(picture(2, SIZE).float())
    first, second = ([name for name, _ in own] for own in calls)
    assert first == second
    assert {"relu1_1", "relu3_4", "relu4_2", "relu5_1"} <= set(first)
    assert first.count("relu5_1") == 2, "forwards and backwards"
    assert {thread for _, thread in calls[0]} == {threading.current_thread().name}
    assert len({thread for _, thread in calls[1]} - {threading.current_thread().name}) == 1


def test_the_devices_work_side_by_side(network: VGG19) -> None:
    """Neither gets past the first layer of a strip before the other one has come to it: one after the other they would never meet."""
    both, met = threading.Barrier(2, timeout=LONG), []

    def meet(name: str) -> None:
        if name in ("relu1_1", "relu3_1", "relu4_1", "relu5_1"):
            met.append(both.wait())

    objective_of(network, spread_of(network, meet, meet), Fold(6, 900, 2))(picture(2, SIZE).float())
    assert met.count(0) == met.count(1) >= 8, "four stages or more, forwards and backwards"


@pytest.mark.parametrize("slow", [0, 1], ids=["the caller", "a thread"])
def test_it_does_not_matter_who_is_first(network: VGG19, slow: int) -> None:
    waits = [lambda name, own=number: time.sleep(0.005 * (own == slow)) for number in range(2)]
    fold, image = Fold(6, 900, 2), 1.2 * picture(2, SIZE).float() - 0.1
    assert_equal(evaluated(network, settings_of(), fold, 1), objective_of(network, spread_of(network, *waits), fold)(image))


@pytest.mark.parametrize("failing", [0, 1], ids=["the caller's", "a thread's"])
@pytest.mark.parametrize("layer", ["relu1_2", "relu5_1"])
def test_what_a_device_fails_of_is_told(network: VGG19, layer: str, failing: int) -> None:
    troubled = True

    def fail(name: str) -> None:
        if troubled and name == layer:
            raise RuntimeError("out of memory on the device")

    spread = spread_of(network, *(fail if number == failing else (lambda name: None) for number in range(2)))
    objective, image = objective_of(network, spread, Fold(6, 900, 2)), 1.2 * picture(2, SIZE).float() - 0.1
    with pytest.raises(RuntimeError, match="out of memory on the device"):
        objective(image)
    troubled = False
    assert_equal(evaluated(network, settings_of(), Fold(6, 900, 2), 1), objective(image))


def test_an_interruption_does_not_wait_for_a_device(network: VGG19) -> None:
    """It comes while the caller waits for the other device, which is in the middle of a strip."""
    stuck, waiting, begun = threading.Event(), threading.Event(), []

    def own(name: str) -> None:
        if name == "relu2_1":
            waiting.set()

    def interrupt(name: str) -> None:
        begun.append(name)
        if len(begun) == 1:
            waiting.wait(LONG)
            time.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            stuck.wait(LONG)

    objective = objective_of(network, spread_of(network, own, interrupt), Fold(6, 300, 2))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for what it runs in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            objective(picture(2, SIZE).float())
        assert begun == ["relu1_1"], "nothing else was begun"
        assert not stuck.is_set()
    finally:
        stuck.set()
        signal.signal(signal.SIGINT, before)


def test_threads_end_with_what_they_worked_for(network: VGG19) -> None:
    spread = Spread([network] * 3)
    done = list(spread.each(lambda network, part: (part, threading.current_thread()), range(7)))
    assert [part for part, _ in done] == list(range(7))
    threads = {thread for _, thread in done}
    assert len(threads) == 3
    assert all(thread.is_alive() for thread in threads)
    del spread
    for thread in threads - {threading.current_thread()}:
        thread.join(LONG)
        assert not thread.is_alive()


# --- tensors that lie on two devices -------------------------------------------------------------------


class InTurn:
    """Does at once what a thread is given."""

    def __init__(self, threads: int) -> None:
        pass

    def submit(self, work: Callable[..., Any], *given: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given))
        return done


@pytest.mark.parametrize("tileable", [False, True], ids=["plain", "tileable"])
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_no_operation_meets_tensors_of_two_devices(network: VGG19, name: str, tileable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices whose tensors have a shape and no numbers stand in for GPUs: there, too, an operation on tensors of two devices fails.

    They bear one thread only.
    """
    monkeypatch.setattr(spread_module, "ThreadPoolExecutor", InTurn)
    chosen, fold = settings_of(loss=name, tileable=tileable), Fold(6, 900, 2)
    masked = name not in ("histogram", "patches")  # which take as many positions as a mask has: nobody knows without numbers
    terms = terms_of(network, chosen, SIZE, masked=masked)
    elsewhere = copy.deepcopy(network).to("meta")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        image, here = mode.from_tensor(picture(2, SIZE).float()), mode.from_tensor(picture(3, SIZE).float())
        with pytest.raises(RuntimeError, match="same device"):
            here + here.to("meta")
        spread = Spread([network, elsewhere])
        found = StripwiseObjective(network, terms, fold, tileable, spread=spread)(image)
        statistics, content = style_statistics(network, here, chosen, fold, spread), content_targets(network, here, chosen, fold, spread)
        made = [found.values, found.gradient, *statistics.style.values(), *content.values()]
        assert {tensor.device for tensor in made} == {torch.device("cpu")}


# --- whole jobs ----------------------------------------------------------------------------------------

TWO = {"device": "cpu,cpu"}


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_png(tmp_path / "style.png", procedural_picture(40, 40, seed=3))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    scene = Scene(size=(32, 48))
    return make_clip(tmp_path / "clip.mkv", [scene.frame(t) for t in range(3)], codec="ffv1")


def frames_of(directory: Path) -> list[bytes]:
    frames = [path.read_bytes() for path in sorted(directory.glob("*.png"))]
    assert len(frames) == 3
    return frames


def test_the_command_paints_the_same_on_two_devices(
    style: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one device does by the same fold, to the bit; and it says that the work is spread."""
    dealt: list[int] = []

    class Counted(Spread):
        def __init__(self, networks: list[VGG19]) -> None:
            dealt.append(len(networks))
            assert len({id(network.get_buffer("relu1_1_weight")) for network in networks}) == len(networks), "each has its own network"
            super().__init__(networks)

    monkeypatch.setattr(stylizer, "Spread", Counted)
    few = ["--iterations", "2", "--first-iterations", "3"]
    assert main([str(clip), str(style), "-o", f"{tmp_path / 'two'}/", "--device", "cpu,cpu", *few]) == 0
    assert "strip by strip, spread over 2 devices" in capsys.readouterr().err
    way = way_within(32, 48, settings(run=TWO), None)
    monkeypatch.setattr(pipeline, "way_within", lambda *asked: way)
    assert main([str(clip), str(style), "-o", f"{tmp_path / 'one'}/", "--device", "cpu", *few]) == 0
    assert dealt == [2, 1]
    assert frames_of(tmp_path / "one") == frames_of(tmp_path / "two")


def test_a_job_on_two_devices_goes_on(style: Path, clip: Path, tmp_path: Path) -> None:
    chosen = settings(run=TWO)
    stylize(clip, [style], tmp_path / "whole", chosen)
    with pytest.raises(Interrupted):
        stylize(clip, [style], tmp_path / "out", chosen, progress=Recorder(stop_after=2))
    stylize(clip, [style], tmp_path / "out", chosen)
    assert frames_of(tmp_path / "whole") == frames_of(tmp_path / "out")


def test_a_picture_is_spread_although_memory_would_allow_all_of_it() -> None:
    for devices, size in ((2, (64, 96)), (3, (1080, 1920)), (4, (4000, 6000))):
        chosen = settings(run={"device": ",".join(["cpu"] * devices)})
        for allowed in (None, 10**15, memory.least_memory(*size, chosen)):
            way = way_within(*size, chosen, allowed)
            assert way is not None
            stages = _Walk(Spread([]), Settings().layers, False, way.fold).stages(*size)
            assert [stage.names[0] for stage in stages] == ["relu1_1", "relu3_1", "relu4_1", "relu5_1"]
            for stage in stages:
                assert len(stage.runs) == min(devices, size[0] >> 4), "each device has one"
                assert len({len(pieces) for pieces in stage.runs}) == 1, "of as many pieces"
                shares = [pieces[-1].owns[-1][1] - pieces[0].owns[-1][0] for pieces in stage.runs]
                assert max(shares) <= 2 * min(shares)
        assert way.fold.shares == devices
        assert Way.read(way.text) == way
        assert f", spread over {devices} devices" in way.words
    assert way_within(64, 96, settings(run={"device": "cpu"}), 10**15) == WHOLE


def test_where_strips_are_counted() -> None:
    """Two networks in one memory have two strips; on two GPUs that of the first has one."""
    way, size = Way(Fold(6, 1 << 20, 2)), (2000, 3000)
    one, two, gpus = (estimate_memory(*size, settings(run={"device": device}), way) for device in ("cpu", "cpu,cpu", "cuda:0,cuda:1"))
    assert one == gpus
    assert 2.8e9 < two - one < 4e9


def test_the_device_with_least_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(memory, "available_memory", lambda device: (2 - device.index) * 10**10)
    assert allowed_memory(settings(run={"device": "cuda:0,cuda:1"})) == 9 * 10**9


# --- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:0,cuda:9", "--device cuda:9: this machine has 2 CUDA devices; use auto or cpu"),
        ("cuda:0,mps", "--device cuda:0,mps: only CUDA devices share the work; name those alone, as cuda:0,cuda:1, or one device"),
        ("cpu,cuda:0", "--device cpu,cuda:0: only CUDA devices share the work; name those alone, as cuda:0,cuda:1, or one device"),
        ("mps, mps", "--device mps,mps: only CUDA devices share the work; name those alone, as cuda:0,cuda:1, or one device"),
        ("auto,cpu", "--device auto,cpu: auto chooses one device; give it alone, or name every device, as cuda:0,cuda:1"),
        ("cuda:0,", "--device cuda:0,: a comma stands beside no device; name several as cuda:0,cuda:1"),
        (",", "--device ,: a comma stands beside no device; name several as cuda:0,cuda:1"),
        ("cuda:1,cuda:0,cuda:1", "--device cuda:1,cuda:0,cuda:1: cuda:1 is named more than once; name every device once"),
        ("cuda,cuda:0", "--device cuda,cuda:0: cuda:0 is named more than once; name every device once"),
        ("cuda:0,cuda:x", "--device cuda:x: not a device; use auto, cpu, cuda, cuda:0 or mps"),
    ],
)
def test_devices_that_do_not_go_together(
    device: str, message: str, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert main([str(style), str(style), "-o", str(tmp_path / "out.png"), "--device", device]) == 2
    assert capsys.readouterr().err == f"vidstyle: error: {message} [V10]\n"
    assert not (tmp_path / "out.png").exists()


def test_devices_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def devices(text: str) -> list[str]:
        return [str(device) for device in resolve_devices(RunSettings(device=text).devices)]

    assert devices("cuda,cuda:1") == ["cuda:0", "cuda:1"]
    assert devices(" cuda:1 , cuda:0 ") == ["cuda:1", "cuda:0"]
    assert devices("cpu,cpu,cpu") == ["cpu"] * 3
    assert devices("cuda") == ["cuda"]
