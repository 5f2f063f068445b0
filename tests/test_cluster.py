"""Jobs on a real Ray cluster, whose workers, machines and driver die; the frames must be those of one process, to the byte."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.clips import make_clip
from tests.jobs import Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from tests.test_units import KEPT, LOSSLESS, left, three_shots
from vidstyle.batch import stylize_batch
from vidstyle.errors import UsageError, WorkspaceError
from vidstyle.pipeline import FrameReport, JobOptions, plan_units, stylize, workspace_path
from vidstyle.workspace import WorkspaceInUse, driving

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed (pip install 'vidstyle[cluster]')", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own are none of this project's
SETTINGS = settings()
FLAGS = ["--iterations", "2", "--first-iterations", "4", "--codec", "ffv1", "--keep-workspace"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For every process: how sums are rounded goes by their number."""
    before, threads = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines, as far as Ray can tell, of two cores each."""
    os.environ.update({"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("inputs")
    write_png(directory / "style.png", procedural_picture(40, 40, seed=3)[:, :, ::-1])
    make_clip(directory / "clip.mkv", three_shots(), **LOSSLESS)
    stylize(directory / "clip.mkv", [directory / "style.png"], directory / "local.mkv", SETTINGS, KEPT)
    return directory


def on(cluster: Any, count: int = 2) -> Any:
    from vidstyle.cluster import ray_workers

    return ray_workers(cluster.address, count)


def painted(inputs: Path, output: Path, workers: Any, progress: Any = None) -> None:
    from vidstyle.cluster import stylize_on_ray

    stylize_on_ray(inputs / "clip.mkv", [inputs / "style.png"], output, workers, SETTINGS, KEPT, progress)


def workers_of(cluster: Any) -> list[int]:
    """Process numbers of the workers that paint on this cluster and no other."""
    raylets = {process.process.pid for node in cluster.list_all_nodes() for process in node.all_processes.get("raylet", [])}
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "cmdline").read_bytes().startswith(b"ray::_Actor") and int(
                (path / "stat").read_text().rsplit(")")[1].split()[1]
            ) in raylets:
                found.append(int(path.name))
    return found


def test_workers_leave_what_one_process_leaves(cluster: Any, inputs: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    with on(cluster) as workers:
        painted(inputs, tmp_path / "out.mkv", workers, recorder)
    assert left(tmp_path / "out.mkv") == left(inputs / "local.mkv")
    assert (recorder.total, recorder.done) == (10, 0)
    assert sorted(report.index for report in recorder.reports) == list(range(10))


class Kills(Recorder):
    """Kills one of the workers after some of the frames; the first, or whichever `chance` takes."""

    def __init__(self, cluster: Any, after: Collection[int], chance: random.Random | None = None) -> None:
        super().__init__()
        self._cluster, self._after, self._chance, self.killed = cluster, after, chance, 0

    def frame(self, report: FrameReport) -> None:
        super().frame(report)
        there = workers_of(self._cluster) if len(self.reports) in self._after else []
        if there:
            os.kill(self._chance.choice(there) if self._chance else there[0], signal.SIGKILL)
            self.killed += 1


@pytest.mark.parametrize("seed", [0, 1])
def test_workers_that_are_killed_lose_nothing(
    seed: int, cluster: Any, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    recorder = Kills(cluster, chance.sample(range(1, 9), 3), chance)
    with on(cluster) as workers:
        painted(inputs, tmp_path / "out.mkv", workers, recorder)
    assert recorder.killed >= 1  # those that are killed in one breath may be the same
    assert "its worker has died" in caplog.text
    assert left(tmp_path / "out.mkv") == left(inputs / "local.mkv")


@pytest.mark.parametrize("paints", [True, False])
def test_deaths_do_not_count_as_long_as_something_is_painted_between(
    paints: bool, cluster: Any, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As machines die that are lent for less."""
    import ray

    from vidstyle import cluster as tested

    real, heard, counted = ray.get, itertools.count(1), itertools.count(1)

    def get(reference: Any, **named: Any) -> Any:
        value = real(reference, **named)
        if value == (None, False) and (number := next(heard)) % 2 == 0 and number <= 8:  # between them: that a new one has started
            raise ray.exceptions.RayActorError
        return value

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(tested, "_painted", lambda task: float(next(counted)) if paints else 0.0)
    scene = Scene(size=(48, 64), pan=(1.0, -0.4))
    clip, output = make_clip(tmp_path / "shot.mkv", [scene.frame(t) for t in range(3)], **LOSSLESS), tmp_path / "out.mkv"
    with on(cluster, 1) as workers:
        if paints:
            tested.stylize_on_ray(clip, [inputs / "style.png"], output, workers, SETTINGS)
        else:
            with pytest.raises(WorkspaceError, match="units that failed 3 times"):
                tested.stylize_on_ray(clip, [inputs / "style.png"], output, workers, SETTINGS)
    assert output.exists() == paints
    assert caplog.text.count("its worker has died") == 4 - (not paints)


class LosesNode(Recorder):
    """Takes a machine away after the first frame."""

    def __init__(self, cluster: Any, node: Any) -> None:
        super().__init__()
        self._cluster, self._node = cluster, node

    def frame(self, report: FrameReport) -> None:
        super().frame(report)
        if len(self.reports) == 1:
            self._cluster.remove_node(self._node, allow_graceful=False)


def test_a_machine_that_is_lost_loses_nothing(cluster: Any, inputs: Path, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=2)
    with on(cluster, 2) as workers:
        assert workers.cores == 2  # so that each machine has one of the two
        recorder = LosesNode(cluster, node)
        painted(inputs, tmp_path / "out.mkv", workers, recorder)
    assert left(tmp_path / "out.mkv") == left(inputs / "local.mkv")


def test_a_unit_that_fails_three_times_is_told_and_the_others_are_painted(
    cluster: Any, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out.mkv"
    plan = plan_units(inputs / "clip.mkv", [inputs / "style.png"], output, SETTINGS, KEPT)
    in_the_way = plan.place(plan.units[1])
    in_the_way.parent.mkdir()
    in_the_way.write_text("no directory")
    with on(cluster) as workers:
        with pytest.raises(WorkspaceError, match=r"units that failed 3 times: 1 \(unit 2 \(frames 5–7\)\).*run the same command again"):
            painted(inputs, output, workers)
        assert caplog.text.count("it is tried again") == 2
        assert "given up after 3 attempts, the others go on" in caplog.text
        assert [unit.number for unit in plan.missing()] == [1]
        assert not output.exists()
        in_the_way.unlink()
        recorder = Recorder()
        painted(inputs, output, workers, recorder)
    assert recorder.done == 7
    assert left(output) == left(inputs / "local.mkv")


def test_where_parts_meet_is_painted_when_both_are_there(
    cluster: Any, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also with a worker that is killed; with a part that fails goes what needs it."""
    from vidstyle.cluster import stylize_on_ray

    chosen = settings(temporal={"divide": 4})
    scene = Scene(size=(48, 64), pan=(1.0, -0.4))
    clip, style = make_clip(tmp_path / "shot.mkv", [scene.frame(t) for t in range(12)], **LOSSLESS), inputs / "style.png"
    stylize(clip, [style], tmp_path / "local.mkv", chosen, KEPT)
    output = tmp_path / "out.mkv"
    plan = plan_units(clip, [style], output, chosen, KEPT)
    assert [unit.joins for unit in plan.units] == [False, False, True, False, True]
    in_the_way = plan.place(plan.units[3])
    in_the_way.parent.mkdir()
    in_the_way.write_text("no directory")
    recorder = Kills(cluster, {1})
    with on(cluster) as workers:
        with pytest.raises(WorkspaceError, match=r"units that failed 3 times: 2 .*unit 4 \(frames 9–12\) was given up"):
            stylize_on_ray(clip, [style], output, workers, chosen, KEPT, recorder)
        assert [unit.number for unit in plan.missing()] == [3, 4]
        in_the_way.unlink()
        again = Recorder()
        stylize_on_ray(clip, [style], output, workers, chosen, KEPT, again)
    assert left(output) == left(tmp_path / "local.mkv")
    assert recorder.killed == 1
    assert again.done == 8
    assert sum(report.share for report in again.reports) == 4


def test_a_worker_without_memory_is_replaced(
    cluster: Any, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    from vidstyle.cluster import _Painting

    get, heard, of_unit, thrown = ray.get, _Painting._heard, [], []

    def hears(self: _Painting, reference: Any, worker: Any) -> None:
        of_unit.append(worker.task is not None)
        heard(self, reference, worker)

    def gets(reference: Any, **named: Any) -> Any:
        value = get(reference, **named)
        if isinstance(value, tuple) and of_unit[-1:] == [True] and not thrown:  # what a worker says of the first unit that is painted
            thrown.append(value)
            raise ray.exceptions.OutOfMemoryError("no memory left")
        return value

    monkeypatch.setattr(_Painting, "_heard", hears)
    monkeypatch.setattr(ray, "get", gets)
    with on(cluster) as workers:
        painted(inputs, tmp_path / "out.mkv", workers)
    assert caplog.text.count("its worker ran out of memory") == 1
    assert left(tmp_path / "out.mkv") == left(inputs / "local.mkv")


def test_a_batch_is_one_queue(cluster: Any, inputs: Path, tmp_path: Path) -> None:
    from vidstyle.cluster import BatchOnRay

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "clip.mkv").write_bytes((inputs / "clip.mkv").read_bytes())
    write_png(tmp_path / "clips" / "photo.png", np.full((32, 48, 3), 90, np.uint8))
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"nothing")
    recorder = Recorder()
    with on(cluster) as workers:
        result = stylize_batch(tmp_path / "clips", inputs / "style.png", tmp_path / "out", SETTINGS, KEPT, recorder, BatchOnRay(workers))
    assert [path.name for path, _ in result.failed] == ["broken.mp4"]
    assert [path.name for path in result.done] == ["clip.mkv", "photo.png"]
    assert recorder.total == 11
    assert left(tmp_path / "out" / "clip.mkv") == left(inputs / "local.mkv")


def command(inputs: Path, output: Path, *ray: str) -> subprocess.Popen[str]:
    arguments = [str(inputs / "clip.mkv"), str(inputs / "style.png"), "-o", str(output), *FLAGS, "--ray", *ray]
    return subprocess.Popen(
        [sys.executable, "-m", "vidstyle", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def until_frames(output: Path, count: int, job: subprocess.Popen[str]) -> None:
    """Waits until so many frames were painted, or the job has ended."""
    journals = workspace_path(output) / "units"
    while job.poll() is None and sum(path.read_bytes().count(b"\n") for path in journals.glob("*/journal.jsonl")) < count:
        time.sleep(0.01)


def test_a_driver_that_is_interrupted_or_killed_is_gone_on_with(cluster: Any, inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    with command(inputs, output, cluster.address) as job:
        until_frames(output, 1, job)
        job.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, said = job.communicate(timeout=60)
    assert job.returncode == 130, said
    assert said.endswith("vidstyle: interrupted; run the same command to go on\n")
    assert time.monotonic() - sent < 10
    with command(inputs, output, cluster.address) as job:
        until_frames(output, 4, job)
        job.kill()
    with command(inputs, output, cluster.address) as job:
        shown, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert "10 frames in" in shown
    assert left(output) == left(inputs / "local.mkv")


def test_without_an_address_ray_is_started_here(inputs: Path, tmp_path: Path) -> None:
    with command(inputs, tmp_path / "out.mkv", "--workers", "1") as job:
        shown, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert all(line.startswith("vidstyle: ") for line in said.splitlines()), said
    assert "units to paint: 3, workers: 1" in said
    assert "10 frames in" in shown
    assert left(tmp_path / "out.mkv") == left(inputs / "local.mkv")


def test_a_second_driver_of_one_output_is_refused(cluster: Any, inputs: Path, tmp_path: Path) -> None:
    with on(cluster) as workers, driving(workspace_path(tmp_path / "out.mkv")), pytest.raises(WorkspaceInUse, match="another vidstyle"):
        painted(inputs, tmp_path / "out.mkv", workers)


def test_gpus_that_this_machine_has_not_are_refused(inputs: Path, tmp_path: Path) -> None:
    with command(inputs, tmp_path / "out.mkv", "--workers", "1", "--gpus-per-worker", "99") as job:
        _, said = job.communicate(timeout=120)
    assert job.returncode == 2
    assert "--gpus-per-worker 99: this machine has " in said


def test_what_the_cluster_has_not_is_told(cluster: Any, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that it may add are waited for, and that is told."""
    from vidstyle import cluster as tested
    from vidstyle.cluster import ray_workers

    class Waited(Exception):
        pass

    class Tells(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "no worker has started yet" in record.getMessage():
                raise Waited(record.getMessage())

    with (
        pytest.raises(UsageError, match="--gpus-per-worker 3: no machine of the cluster has so many yet; say how many --workers"),
        ray_workers(cluster.address, None, 3),
    ):
        pass
    handler = Tells()
    monkeypatch.setattr(tested, "_PATIENCE", 0.5)
    tested.logger.addHandler(handler)
    try:
        with ray_workers(cluster.address, 1, 3) as workers:
            assert (workers.count, workers.gpus, workers.cores, workers.there) == (1, 3.0, 1.0, False)
            with pytest.raises(Waited, match="each wants 1 cores and 3 GPUs on one machine"):
                painted(inputs, tmp_path / "out.mkv", workers)
    finally:
        tested.logger.removeHandler(handler)
    with pytest.raises(UsageError, match=r"--ray 127\.0\.0\.1:1: no Ray cluster answers there"), ray_workers("127.0.0.1:1"):
        pass


@pytest.mark.parametrize(
    ("nodes", "count", "gpus", "each"),
    [
        ([(2, 0)], 1, 0, 2),
        ([(2, 0)], 2, 0, 1),
        ([(2, 0)], 3, 0, 0.6666),  # three of them are no more than two
        ([(5, 0)], 2, 0, 2),  # whole ones
        ([(2, 0), (2, 0)], 1, 0, 2),  # not four: no worker is on two machines
        ([(1, 0), (1, 0)], 2, 0, 1),
        ([(16, 0), (16, 1), (16, 1)], 2, 1, 16),  # the head, which has no GPU, counts for nothing
        ([(8, 2)], 4, 0.5, 2),
        ([(0, 0), (16, 0)], 4, 0, 4),
        ([(16, 0), (16, 1)], 2, 1, None),  # the second has yet to come
        ([(16, 0)], 16, 1, None),
    ],
)
def test_workers_take_what_their_machines_have(nodes: list[tuple[int, int]], count: int, gpus: float, each: float | None) -> None:
    from vidstyle.cluster import _Node, cores_of_each

    assert cores_of_each([_Node(*node) for node in nodes], count, gpus) == each


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from vidstyle.cluster import ray_workers

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"--ray needs Ray, which is not installed: pip install 'vidstyle\[cluster\]'"), ray_workers(""):
        pass


def test_a_plan_of_another_version_is_not_painted(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vidstyle import cluster

    plan = plan_units(inputs / "clip.mkv", [inputs / "style.png"], tmp_path / "out.mkv", SETTINGS, JobOptions())
    monkeypatch.setattr(cluster, "__version__", "9.9")
    # The actor is in this process here, whose log and threads are those of other tests too.
    monkeypatch.setattr(logging.getLogger("vidstyle"), "setLevel", lambda level: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    actor = cluster._Actor(None, 1)
    said, _ = actor.paint(str(plan.directory), 0)
    assert said == "vidstyle 9.9 is installed here, and the job was planned by another version; install the same"
    said, _ = actor.paint(str(tmp_path / "nowhere"), 0)
    assert said is not None
    assert "its plan cannot be read here; all machines have to see that disk" in said
