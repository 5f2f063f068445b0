"""Jobs and batches on many machines, by Ray: each unit of a film (`vidstyle.units`) goes to a worker that has time.

A worker is an actor that has network and styles loaded. What it is told is where the plan lies and which unit to paint; frames go to the
unit's workspace, on a disk that all machines see, and never through Ray. So whatever dies, a worker, a machine or this process, what is
on disk is gone on with, and a lock keeps two workers from painting one unit.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from vidstyle import __version__
from vidstyle.batch import BatchJob, BatchResult, noting
from vidstyle.errors import UsageError, VidstyleError, WorkspaceError
from vidstyle.made import Made
from vidstyle.pipeline import (
    Beside,
    FrameReport,
    JobOptions,
    JobResult,
    PathLike,
    Progress,
    UnitPainter,
    plan_units,
    stylize,
    workspace_path,
)
from vidstyle.settings import Settings
from vidstyle.starting import ENDING
from vidstyle.units import Plan, Unit
from vidstyle.workspace import Workspace, WorkspaceInUse, driving

__all__ = ["BatchOnRay", "Workers", "ray_workers", "stylize_on_ray"]

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Times that a unit is tried before it is given up."""
_LISTEN = 0.2
"""Seconds from one look at what the workers have done to the next."""
_REACHED = 10.0
"""Seconds in which a cluster has to answer."""
_CORES_PER_WORKER = 2
"""Where there is no GPU."""
_PATIENCE = 20.0
"""Seconds without a worker that has room, until that is told."""
_FREED = 10.0
"""Seconds in which the lock of a worker that has died is let go of, on whatever disk."""


@dataclass(slots=True)
class _Task:
    """A unit to paint."""

    output: Path
    plan: Plan
    unit: Unit
    tried: int = 0
    done_before: float = 0.0
    """Frames of it that were painted when it was last handed out."""
    not_before: float = 0.0

    @property
    def words(self) -> str:
        return f"{self.output}: {self.unit.words}"


@dataclass(frozen=True, slots=True)
class Workers:
    """Who paints: a Ray cluster that this process is connected to, and how many workers there are to be on it."""

    count: int
    gpus: float
    """Of each worker."""
    cores: float
    """Of each worker."""
    there: bool = True
    """Whether the cluster has room for all of them; otherwise it is expected to add machines."""

    @property
    def threads(self) -> int:
        """That each computes with: as many as it has cores, or as OMP_NUM_THREADS says. Their number decides how sums are rounded.

        0: as many as its share of the machine has that it comes to.
        """
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        return int(wanted) if wanted.isdecimal() and int(wanted) else max(round(self.cores), 1) if self.there else 0

    @property
    def needs(self) -> str:
        """What each of them takes, in words."""
        return f"{self.cores:g} cores" + (f" and {self.gpus:g} GPUs" if self.gpus else "")


@contextlib.contextmanager
def ray_workers(address: str, count: int | None = None, gpus: float | None = None) -> Iterator[Workers]:
    """Connects to the Ray cluster at an address, or, where that is empty, starts one on this machine for as long as the block lasts.

    Args:
        address: as `ray.init` takes it (`auto`, `head:6379`, `ray://head:10001`).
        count: of workers; by default one a GPU, or one for two cores where there is none.
        gpus: that each of them takes; by default one if there is any. A cluster that was there before is believed to add machines that
            have them.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster, or a cluster started here has not what the workers want.
    """
    try:
        for name in ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_USAGE_STATS_ENABLED"):  # a warning, and word sent to Ray's makers
            os.environ.setdefault(name, "0")
        import ray
    except ImportError:
        raise UsageError("--ray needs Ray, which is not installed: pip install 'vidstyle[cluster]'") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": None}
    if address in ("", "local"):
        place: dict[str, Any] = {"address": "local", "num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False}
    else:
        place = {"address": address}
    try:
        _check_reachable(address)
        with _signals_kept():
            ray.init(**{**quiet, **place})
    except Exception as error:  # of a dozen kinds
        said = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"--ray {address}: no Ray cluster answers there ({said[:200]}); check the address, or give none; "
            "where the cluster wants a token, set RAY_AUTH_MODE=token, see docs/cluster.md"
        ) from None
    try:
        _hush()
        nodes = [_Node.of(node["Resources"]) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        cards = sum(node.gpus for node in nodes)
        each = (1.0 if cards else 0.0) if gpus is None else gpus
        if each > max((node.gpus for node in nodes), default=0):
            if address in ("", "local"):
                raise UsageError(f"--gpus-per-worker {each:g}: this machine has {cards:g} GPUs in all; give fewer, or leave it out")
            if count is None:
                raise UsageError(
                    f"--gpus-per-worker {each:g}: no machine of the cluster has so many yet; say how many --workers it is to make room for"
                )
        if count is None:
            count = max(sum(node.room(each) for node in nodes), 1)
        cores = cores_of_each(nodes, count, each)
        yield Workers(count, each, cores or 1.0, there=cores is not None)
    finally:
        with _no_longer_interrupted():
            ray.shutdown()


@dataclass(frozen=True, slots=True)
class _Node:
    """A machine of the cluster."""

    cores: float
    gpus: float

    @classmethod
    def of(cls, resources: Mapping[str, float]) -> Self:
        """As Ray tells of it."""
        return cls(resources.get("CPU", 0.0), resources.get("GPU", 0.0))

    def room(self, gpus: float) -> int:
        """For how many workers that take so many GPUs each, by default."""
        return int(self.gpus / gpus + _ROUNDING) if gpus else math.ceil(self.cores / _CORES_PER_WORKER)


def cores_of_each(nodes: Sequence[_Node], count: int, gpus: float) -> float | None:
    """The most cores that each of so many workers can take for all to have room, none on two machines; None where all have not.

    Of more than one Ray wants whole ones.
    """
    most = [min(node.room(gpus), count) if gpus else count for node in nodes]
    shares = {node.cores / workers for node, those in zip(nodes, most, strict=True) for workers in range(1, those + 1) if node.cores}
    for share in sorted({float(int(share)) if share > 1 else math.floor(share * _FINEST) / _FINEST for share in shares}, reverse=True):
        if share and sum(min(int(node.cores / share + _ROUNDING), those) for node, those in zip(nodes, most, strict=True)) >= count:
            return share
    return None


_ROUNDING = 1e-9
_FINEST = 10_000
"""Parts of a core that Ray counts."""


def _check_reachable(address: str) -> None:
    """Whether somebody listens there, where the address names a place: Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if sign:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED).close()


def _hush() -> None:
    """Has what Ray says of machines that are lost go to the log; it would print it among the lines of this program, twenty at a time."""
    import ray._private.worker as inside

    def told(data: dict[str, Any], ignore_prefix: bool) -> None:
        logger.debug("Ray: %s", " ".join(data.get("lines", ())))

    if hasattr(inside, "print_to_stdstream"):
        inside.print_to_stdstream = told


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray has ideas of its own about what a signal does to a process that is connected to it."""
    try:
        before = {number: signal.getsignal(number) for number in ENDING}
        yield
    finally:
        with contextlib.suppress(ValueError):  # not the main thread
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _no_longer_interrupted() -> Iterator[None]:
    """What ends a cluster may itself be interrupted; a second try ends it for good."""
    try:
        yield
    except KeyboardInterrupt:
        import ray

        ray.shutdown()
        raise


def stylize_on_ray(
    source: PathLike,
    styles: PathLike | Sequence[PathLike] | None,
    output: PathLike,
    workers: Workers,
    settings: Settings | None = None,
    options: JobOptions | None = None,
    progress: Progress | None = None,
) -> JobResult:
    """Paints a job with the workers, then writes the output here; the other arguments are those of `vidstyle.stylize`.

    Raises:
        WorkspaceError: some units failed; the others are painted, and the same call tries those once more.
        UsageError, MediaError, WeightsError, WorkspaceError, NumericalError: see `vidstyle.stylize`.
    """
    settings, options = settings or Settings(), options or JobOptions()
    with driving(workspace_path(Path(output))):
        plan = plan_units(source, styles, output, settings, options)
        began = time.monotonic()
        failed = _Painting(workers, progress).paint([_Task(Path(output), plan, unit) for unit in plan.missing()], plan.frames)
        if failed:
            raise _given_up(failed)
        seconds = time.monotonic() - began
        beside = None if options.beside is None else _Later(options.beside, seconds)
        result = stylize(source, styles, output, settings, replace(options, fresh=False, beside=beside))
    return replace(result, seconds=result.seconds + seconds)


@dataclass(frozen=True, slots=True)
class _Later:
    """What is made beside a result, which took longer than this process has worked on it."""

    beside: Beside
    seconds: float

    def check(self, made: Made) -> None:
        """See `vidstyle.pipeline.Beside`."""
        self.beside.check(made)

    def make(self, result: JobResult, made: Made, workspace: Workspace) -> None:
        """See `vidstyle.pipeline.Beside`."""
        self.beside.make(replace(result, seconds=result.seconds + self.seconds), made, workspace)


class BatchOnRay:
    """Paints a batch with the workers, all units of all inputs in one queue; to be given to `vidstyle.batch.stylize_batch`."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers

    def __call__(
        self,
        jobs: Iterable[BatchJob],
        styles: PathLike | Sequence[PathLike] | None,
        settings: Settings,
        options: JobOptions,
        progress: Progress | None,
        result: BatchResult,
    ) -> None:
        """See `vidstyle.batch.BatchPainter`."""
        plans: list[tuple[BatchJob, Plan]] = []
        with contextlib.ExitStack() as stack:
            for job in jobs:
                with noting(job.given, result):
                    stack.enter_context(driving(workspace_path(job.target)))
                    plans.append((job, plan_units(job.source, styles, job.output, settings, options)))
            tasks = [_Task(job.target, plan, unit) for job, plan in plans for unit in plan.missing()]
            failed = _Painting(self.workers, progress).paint(tasks, sum(plan.frames for _, plan in plans))
            for job, plan in plans:
                with noting(job.given, result):
                    own = [(task, error) for task, error in failed if task.plan.directory == plan.directory]
                    if own:
                        raise _given_up(own)
                    stylize(job.source, styles, job.output, settings, replace(options, fresh=False))
                    result.done.append(job.target)


def _given_up(failed: Sequence[tuple[_Task, str]]) -> WorkspaceError:
    """What is to be said of units that failed; each has been told by itself."""
    named = ", ".join(task.unit.words for task, _ in failed[:5])
    return WorkspaceError(
        f"{failed[0][0].output}: units that failed {ATTEMPTS} times: {len(failed)} ({named}), the last of them: {failed[-1][1]}; "
        "the others are painted: run the same command again, which tries these once more"
    )


@dataclass(slots=True)
class _Worker:
    """An actor, and what it is at."""

    actor: Any
    task: _Task | None = None
    ready: bool = False
    """Whether it has started; before that nothing is given to it, for the cluster may have no room for it."""


class _Painting:
    """Hands units out, longest first, to workers that may die."""

    def __init__(self, workers: Workers, progress: Progress | None) -> None:
        self._workers, self._progress = workers, progress
        self._running: dict[Any, _Worker] = {}
        self._waiting: deque[_Task] = deque()
        self._failed: list[tuple[_Task, str]] = []
        self._not_started = 0
        self._waits_since: float | None = time.monotonic()
        """When the last try to start workers began, as long as none has and that was not told."""
        self._reports: Any = None

    def paint(self, tasks: Sequence[_Task], frames: int) -> list[tuple[_Task, str]]:
        """Paints the units; those that were given up, and why.

        Raises:
            WorkspaceError: no worker can be started.
        """
        import ray

        if not tasks:
            return []
        self._waiting.extend(sorted(tasks, key=lambda task: -task.unit.cost))
        count = min(self._workers.count, len(tasks))
        if self._progress is not None:
            done = frames - sum(task.unit.frames() for task in tasks) + sum(_painted(task) for task in tasks)
            self._progress.start(frames, done, f"units to paint: {len(tasks)}, workers: {count}")
        self._reports = _Reports.remote_actor()
        workers = []
        try:
            for _ in range(count):
                workers.append(_Worker(None))
                self._start(workers[-1])
            while self._waiting or any(worker.task for worker in workers):
                self._hand_out(workers)
                ready: list[Any] = []
                if self._running:
                    ready, _ = ray.wait(list(self._running), timeout=_LISTEN)
                else:  # a unit waits until another process lets go of it
                    time.sleep(_LISTEN)
                self._tell()
                self._tell_of_no_room(workers)
                for reference in ready:
                    self._heard(reference, self._running.pop(reference))
            return self._failed
        finally:
            for actor in (*(worker.actor for worker in workers), self._reports):
                with contextlib.suppress(Exception):  # it may be dead already
                    ray.kill(actor)

    def _start(self, worker: _Worker) -> None:
        import ray

        kind = ray.remote(_Actor).options(num_cpus=self._workers.cores, num_gpus=self._workers.gpus or None, max_restarts=0)
        worker.actor, worker.ready = kind.remote(self._reports, self._workers.threads, self._workers.gpus), False
        self._running[worker.actor.ready.remote()] = worker

    def _hand_out(self, workers: Sequence[_Worker]) -> None:
        now = time.monotonic()
        for worker in workers:
            if not worker.ready or worker.task is not None:
                continue
            task = next((task for task in self._waiting if task.not_before <= now and not self._waits(task, workers)), None)
            if task is not None:
                self._waiting.remove(task)
                worker.task = task
                task.tried += 1
                task.done_before = _painted(task)
                self._running[worker.actor.paint.remote(str(task.plan.directory), task.unit.number)] = worker

    def _waits(self, task: _Task, workers: Sequence[_Worker]) -> bool:
        """Whether units that have to be painted before it are not."""
        beside = task.plan.beside(task.unit)
        going_on = [*self._waiting, *(worker.task for worker in workers if worker.task is not None)] if beside else []
        return any(other.unit in beside and other.plan.directory == task.plan.directory for other in going_on)

    def _tell_of_no_room(self, workers: Sequence[_Worker]) -> None:
        """Says, once, that there is no worker yet, and what each wants: a cluster may have no machine for it, and never get one."""
        if self._waits_since is None or any(worker.ready for worker in workers):
            self._waits_since = None
        elif time.monotonic() - self._waits_since > _PATIENCE:
            self._waits_since = None
            logger.warning(
                "--ray: no worker has started yet; each wants %s on one machine. It is waited for one that has them free; "
                "Ctrl-C ends that, and fewer --workers or --gpus-per-worker may have room at once",
                self._workers.needs,
            )

    def _give_up(self, task: _Task, said: str) -> None:
        """Lets go of a unit, and of those that cannot be painted without it."""
        self._failed.append((task, said))
        for other in [one for one in self._waiting if one.plan.directory == task.plan.directory and task.unit in one.plan.beside(one.unit)]:
            self._waiting.remove(other)
            self._failed.append((other, f"{task.unit.words} was given up"))

    def _heard(self, reference: Any, worker: _Worker) -> None:
        """What comes of a worker: it has started, has painted a unit or failed to, or has died."""
        import ray

        task, worker.task = worker.task, None
        said, in_use = None, False
        try:
            said, in_use = ray.get(reference)
            worker.ready, self._not_started = True, 0
        except ray.exceptions.RayError as error:
            memory = isinstance(error, ray.exceptions.OutOfMemoryError)
            said = "its worker ran out of memory" if memory else f"its worker has died ({_first_line(error)})"
            with contextlib.suppress(Exception):
                ray.kill(worker.actor)
            self._not_started += task is None
            if self._not_started > ATTEMPTS * self._workers.count:
                raise WorkspaceError(
                    f"--ray: no worker can be started: {_first_line(error)}; look at the machines, then run again"
                    + (", with fewer --workers or a smaller --size" if memory else "")
                ) from None
            self._start(worker)
            if task is not None and _painted(task) > task.done_before:
                task.tried = 0  # machines that are taken away, one after the other, still bring it to its end
        if task is None or said is None:
            return
        if in_use:  # a worker that has died just now, or somebody else, has its workspace: only from the second time on that counts
            task.tried -= task.not_before == 0
            task.not_before = time.monotonic() + _FREED / ATTEMPTS
        if task.tried < ATTEMPTS:
            logger.warning("%s: %s; it is tried again", task.words, said)
            self._waiting.append(task)
        else:
            logger.error("%s: %s; given up after %d attempts, the others go on", task.words, said, ATTEMPTS)
            self._give_up(task, said)

    def _tell(self) -> None:
        """Hands on to the progress what the workers have told."""
        import ray

        try:
            told = ray.get(self._reports.taken.remote(), timeout=10)
        except ray.exceptions.RayError:
            return  # what is painted is seen on the disk
        if self._progress is not None:
            for report in told:
                self._progress.frame(FrameReport(**report))


def _threads_here(gpus: float) -> int:
    """Of a worker, its share of the cores of the machine that it runs on, by its GPUs."""
    import ray

    name = ray.get_runtime_context().get_node_id()
    here = next(_Node.of(node["Resources"]) for node in ray.nodes() if node["NodeID"] == name)  # type: ignore[no-untyped-call]
    return max(int(here.cores / max(here.room(gpus), 1)), 1)


def _painted(task: _Task) -> float:
    """Of a unit, in frames of the film."""
    passes = 1 if task.unit.joins else task.plan.job.settings.temporal.passes
    return task.unit.frames(Workspace.count(task.plan.place(task.unit)) / passes)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".:") if lines else type(error).__name__


class _Reports:
    """Collects what workers tell, and hands it out; small, so that it may lie with the driver."""

    def __init__(self) -> None:
        self._told: list[dict[str, Any]] = []

    def tell(self, report: dict[str, Any]) -> None:
        """A frame is painted."""
        self._told.append(report)

    def taken(self) -> list[dict[str, Any]]:
        """What was told since the last time."""
        told, self._told = self._told, []
        return told

    @classmethod
    def remote_actor(cls) -> Any:
        """One of its own, on the driver's machine."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        return ray.remote(cls).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()


class _Actor:
    """Paints units; network, styles and film are opened once a job."""

    def __init__(self, reports: Any, threads: int, gpus: float = 0.0) -> None:
        import torch

        from vidstyle.media import silence_codecs

        silence_codecs()
        torch.set_num_threads(threads or _threads_here(gpus))
        self._reports = reports
        self._stack = contextlib.ExitStack()
        self._painter: UnitPainter | None = None
        logging.getLogger("vidstyle").setLevel(logging.ERROR)  # the driver has told it

    def ready(self) -> tuple[None, bool]:
        """That it has started."""
        return None, False

    def paint(self, directory: str, number: int) -> tuple[str | None, bool]:
        """Paints a unit of the plan in a workspace; what went wrong, if anything, and whether another process was at work on it."""
        try:
            plan = Plan.read(Path(directory))
            if plan is None:
                return f"{directory}: its plan cannot be read here; all machines have to see that disk", False
            if plan.fingerprint.get("the version of vidstyle") != __version__:
                return f"vidstyle {__version__} is installed here, and the job was planned by another version; install the same", False
            if self._painter is None or self._painter.plan != plan:
                self._stack.close()
                self._painter = None
                self._painter = self._stack.enter_context(UnitPainter.of(plan))
            self._painter.paint(plan.units[number], self)
            return None, False
        except WorkspaceInUse as error:
            return str(error), True
        except VidstyleError as error:
            return f"{error} [V{error.number}]", False
        except MemoryError:
            return "not enough memory; give a smaller --size, or fewer --workers", False
        except Exception as error:
            logger.exception("unit %d", number)
            return f"{type(error).__name__}: {' '.join(str(error).split())}", False

    def start(self, total: int | None, done: float, needs: str) -> None:
        """See `Progress`."""

    def step(self, fraction: float, objective: float) -> None:
        """See `Progress`."""

    def frame(self, report: FrameReport) -> None:
        """See `Progress`."""
        self._reports.tell.remote(asdict(report))
