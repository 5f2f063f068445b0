"""One job, or a batch, painted by several processes that know nothing of each other, as the array jobs of a cluster's queue are.

Each paints the units that fall to it (`vidstyle.units`), and whoever comes last, or a person, has them joined.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidstyle.batch import BatchJob, BatchResult, noting
from vidstyle.errors import VidstyleError
from vidstyle.pipeline import JobOptions, JobResult, PathLike, Progress, Silent, UnitPainter, join, plan_units, workspace_path
from vidstyle.settings import Settings, Shard, flag_table
from vidstyle.units import JobFiles, Plan, Unit, share_of
from vidstyle.workspace import WorkspaceInUse

__all__ = ["ShardOfBatch", "ShardResult", "join_all", "paint_shard", "planned_job"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ShardResult:
    """What one process has done of a job or a batch."""

    own: int = 0
    """Units that fall to it."""
    painted: int = 0
    """Those of them that are painted now, or were before."""
    frames: int = 0
    """Their frames."""
    in_use: list[str] = field(default_factory=list)
    """Units that another process is at work on."""
    failed: list[tuple[str, VidstyleError]] = field(default_factory=list)
    """Units that failed, and why."""
    units: int = 0
    """Of all processes."""
    missing: int = 0
    """Those of them that are not painted yet."""
    seconds: float = 0.0


def paint_shard(
    source: PathLike,
    styles: PathLike | Sequence[PathLike] | None,
    output: PathLike,
    shard: Shard,
    settings: Settings | None = None,
    options: JobOptions | None = None,
    progress: Progress | None = None,
) -> ShardResult:
    """Paints the part of a job that falls to one of several processes; `join` makes the output when all is there.

    The other arguments are those of `vidstyle.stylize`. Each process may be killed and started again, on whatever machine.

    Raises:
        UsageError, MediaError, WeightsError, WorkspaceError: see `vidstyle.stylize`.
    """
    began = time.monotonic()
    plan = _planned(source, styles, output, settings or Settings(), options or JobOptions())
    result = _painted([(Path(output), plan)], shard, progress)
    result.seconds = time.monotonic() - began
    return result


def _planned(
    source: PathLike, styles: PathLike | Sequence[PathLike] | None, output: PathLike, settings: Settings, options: JobOptions
) -> Plan:
    """The plan that all shards have; what this one was told of the output, and the first one was not, is warned of."""
    plan = plan_units(source, styles, output, settings, options, replaces=False)
    first = plan.job.settings
    differing = [
        row.flag
        for row in flag_table()
        if row.section in ("color", "encode")
        and getattr(getattr(settings, row.section), row.key) != getattr(getattr(first, row.section), row.key)
    ]
    if differing:
        logger.warning(
            "%s: %s: --join goes by what the shard that came first was told, which is something else; to have it as said here, "
            "give this command once more without --shard when all is painted, instead of --join",
            output,
            " ".join(differing),
        )
    return plan


def _painted(plans: Sequence[tuple[Path, Plan]], shard: Shard, progress: Progress | None) -> ShardResult:
    """What falls to the shard of all the plans together; where parts of a shot meet to whoever has painted the later one of them."""
    every = [(unit.cost, (plan.directory, unit)) for _, plan in plans for unit in plan.units if not unit.joins]
    own = share_of(every, shard.number, shard.of)
    result = ShardResult(own=len(own), units=sum(len(plan.units) for _, plan in plans))
    for output, plan in plans:
        units = sorted((unit for directory, unit in own if directory == plan.directory), key=lambda unit: unit.number)
        if units and plan.missing():
            if (names_job := getattr(progress, "job", None)) is not None:
                names_job(f"shard {shard.number}/{shard.of} of {output}")
            _paint_own(output, plan, units, progress, result)
        painted = [unit for unit in units if plan.joined is not None or plan.is_done(unit)]
        result.painted += len(painted)
        result.frames += sum(unit.count for unit in painted if not unit.joins)
        result.missing += len(plan.missing())
    return result


def _paint_own(output: Path, plan: Plan, units: Sequence[Unit], progress: Progress | None, result: ShardResult) -> None:
    told = progress or Silent()
    with UnitPainter.of(plan) as painter:
        told.start(sum(unit.count for unit in units), painter.done(units), painter.needs)

        def paint(unit: Unit) -> None:
            try:
                painter.paint(unit, told)
            except WorkspaceInUse:
                logger.warning("%s: another vidstyle is at work on %s, which is left to it", output, unit.words)
                result.in_use.append(unit.words)
            except VidstyleError as error:
                logger.error("%s: %s: %s [V%d]", output, unit.words, error, error.number)
                result.failed.append((unit.words, error))

        for unit in units:
            paint(unit)
            for joint in plan.units:
                if unit in plan.beside(joint) and not plan.is_done(joint) and all(map(plan.is_done, plan.beside(joint))):
                    paint(joint)


class ShardOfBatch:
    """Paints what falls to one process of all the units of a batch; to be given to `stylize_batch`."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.result = ShardResult()

    def __call__(
        self,
        jobs: Iterable[BatchJob],
        styles: PathLike | Sequence[PathLike] | None,
        settings: Settings,
        options: JobOptions,
        progress: Progress | None,
        result: BatchResult,
    ) -> None:
        """See `vidstyle.batch.BatchPainter`; what is done of a batch are here the inputs that need painting no more."""
        plans = []
        for job in jobs:
            with noting(job.given, result):
                plans.append((job.target, _planned(job.source, styles, job.output, settings, options)))
        self.result = _painted(plans, self.shard, progress)
        result.done.extend(target for target, plan in plans if not plan.missing())


def planned_job(output: Path) -> JobFiles | None:
    """What the shards of an output were given; None where there is no plan for it."""
    plan = Plan.read(workspace_path(output))
    return None if plan is None else plan.job


def join_all(output: PathLike, options: JobOptions, progress: Progress | None = None) -> list[JobResult]:
    """Joins what shards have painted for an output, or, where that is the directory of a batch, for all that is in it.

    Raises:
        UsageError: there is no plan.
        WorkspaceError: not all is painted yet; what is whole was joined.
    """
    output = Path(output)
    if (workspace_path(output) / "plan.json").exists() or not output.is_dir():
        return [join(output, options, progress)]
    plans = sorted(output.glob("*.vidstyle/plan.json"))
    results, first = [], None
    for path in plans:
        target = path.parent.with_suffix("")
        try:
            if (names_job := getattr(progress, "job", None)) is not None:
                names_job(target.name)
            results.append(join(target, options, progress))
        except VidstyleError as error:
            if first is not None:
                logger.error("%s [V%d]", error, error.number)
            first = first or error
    if first is not None:
        raise first
    if not plans:
        join(output, options)  # says that there is none
    return results
