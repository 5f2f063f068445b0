"""A directory of clips, images and frame directories, one job each; a failure never stops the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from vidstyle.errors import UsageError, VidstyleError
from vidstyle.joblog import check_log, drop_lines, same_output
from vidstyle.media import check_apart, check_link, is_media_name, output_name
from vidstyle.media.stills import READABLE
from vidstyle.numbered import FrameNames
from vidstyle.pipeline import JobOptions, PathLike, Progress, inputs_of, stylize, workspace_path
from vidstyle.settings import Settings
from vidstyle.workspace import remove_remains

__all__ = ["BatchJob", "BatchPainter", "BatchResult", "noting", "plan_batch", "stylize_batch"]

logger = logging.getLogger(__name__)

Styles = PathLike | Sequence[PathLike] | None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of every job of a batch."""

    done: list[Path] = field(default_factory=list)
    """Outputs that were made, or were there already."""
    failed: list[tuple[Path, VidstyleError]] = field(default_factory=list)
    """Inputs that failed, and why."""
    seconds: float = 0.0


def stylize_batch(
    source: PathLike,
    styles: PathLike | Sequence[PathLike] | None,
    output: PathLike,
    settings: Settings | None = None,
    options: JobOptions | None = None,
    progress: Progress | None = None,
    painter: BatchPainter | None = None,
) -> BatchResult:
    """Paints everything in a directory into another one; what fails is reported at the end, the rest is done.

    Results that are there already are left as they are (unless `options.overwrite`), so a batch that was
    interrupted goes on where it was.

    Args:
        source: directory of videos, pictures and directories of frames. Where `settings.run.frames` names numbers they must all be such
            directories, of numbered files.
        styles: as for `stylize`.
        output: directory for the results; made if missing.
        settings: as for `stylize`.
        options: as for `stylize`; `log_json` gets the lines of every job, one after the other, and keeps those about results that are left.
        progress: as for `stylize`; `start` is called once a job. If it has a method `job`, that is called before with the job's name.
        painter: how the jobs are painted; one after the other, in this process, if left out.

    Raises:
        UsageError: `source` is no directory or holds nothing to paint, or `output` or the log cannot be used.
        MediaError: the log cannot be read or written.
    """
    began = time.monotonic()
    options = options or JobOptions()
    source, output = Path(source), Path(output)
    check_link(output)
    jobs = plan_batch(source, leave_out=output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; --batch writes into a directory, give another name")
    if output.resolve() == source.resolve():
        raise UsageError(f"{output}: is the input too; --batch writes into a directory of its own")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{output}: cannot be made: {error.strerror or error}; choose another directory") from None
    read = {job: job if settings is None or settings.run.frames is None else _numbered(job, settings.run.frames) for job in jobs}
    pictures = [Path(style) for style in ([styles] if isinstance(styles, str | Path) else styles or ())]
    there = [job for job in jobs if _leads_somewhere(job)]  # the others are told when their turn has come
    check_apart({"--log-json": options.log_json}, [*there, *inputs_of(source, pictures, settings or Settings())])
    with ExitStack() as stack:
        if options.log_json is not None:
            _begin_log(options.log_json, [target for job in jobs if (target := _target(job, output)) is not None], stack)
            options = replace(options, append_log=True)
        result = BatchResult()
        to_paint = _to_paint(read, output, options.overwrite, result)
        (painter or _one_after_the_other)(to_paint, styles, settings or Settings(), options, progress, result)
    return replace(result, seconds=time.monotonic() - began)


def _numbered(job: Path, wanted: str) -> Path:
    """The sequence that a directory's files are, by its name.

    Raises:
        UsageError: it is no such directory.
    """
    found = FrameNames.sequences(job, _picture_names(job)) if job.is_dir() else {}
    if len(found) != 1 or len(next(iter(found.values()))) < len(_picture_names(job)):
        raise UsageError(
            f"--frames {wanted}: goes by the numbers in file names, and {job} is no directory of pictures numbered alike; "
            "use --start and --end, or give the inputs one by one, such as shot.%04d.png"
        )
    return Path(str(*found))


def _picture_names(directory: Path) -> list[str]:
    """Names of the files in a directory that are pictures by their name."""
    return [entry.name for entry in directory.iterdir() if entry.suffix.lower() in READABLE and not entry.name.startswith(".")]


def _leads_somewhere(path: Path) -> bool:
    with suppress(UsageError):
        check_link(path)
        return True
    return False


def _target(job: Path, output: Path) -> Path | None:
    """What is made of an input; None where that fails, which is told when its turn has come."""
    with suppress(VidstyleError):
        target = output / output_name(job)
        check_apart({"OUTPUT": target}, [])
        return target
    return None


def _begin_log(log: Path, targets: Sequence[Path], stack: ExitStack) -> None:
    """Leaves in the log of a batch what an earlier run of it has written about `targets`."""
    check_log(log)
    for target in targets:
        check_apart({"OUTPUT": target, "--log-json": log}, [])
    own = {same_output(target) for target in targets}
    drop_lines(log, lambda about: about not in own)
    if log.exists() and not log.is_file():
        try:  # the reader of a pipe goes when nobody has it open any more, and is to stay from job to job
            stack.enter_context(log.open("ab", buffering=0))
        except OSError as error:
            raise UsageError(f"--log-json {log}: cannot be written: {error.strerror or error}; give another file") from None


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One input of a batch that is to be painted."""

    given: Path
    source: Path
    """As `stylize` takes it."""
    target: Path
    output: Path | str
    """The same as `stylize` takes it: with a slash, for the name of a directory may have a dot in it."""
    name: str
    """For the progress."""


def _to_paint(jobs: Mapping[Path, Path], output: Path, overwrite: bool, result: BatchResult) -> Iterator[BatchJob]:
    """What stands for every job that is to be painted; the others go into `result`."""
    own = {job.name for job in jobs}
    taken: set[str] = set()
    for number, (job, read) in enumerate(jobs.items(), start=1):
        with noting(job, result):
            name = output_name(job)
            if name in taken or (name != job.name and name in own):  # who keeps its name comes before who changes it
                raise UsageError(f"{job}: another input of the batch makes {output / name} too; rename one of them")
            taken.add(name)
            target = output / name
            check_link(target)
            if target.exists() and not overwrite:
                beside = workspace_path(target)
                remove_remains(beside)
                more = (
                    f"; {beside} holds frames of it, or of a later one: delete it, or give -y to go on with them" if beside.is_dir() else ""
                )
                logger.warning("%s: exists already and is left as it is; give -y to make it anew%s", target, more)
                result.done.append(target)
                continue
            yield BatchJob(job, read, target, f"{target}/" if job.is_dir() else target, f"{job.name} ({number} of {len(jobs)})")


@contextmanager
def noting(job: Path, result: BatchResult) -> Iterator[None]:
    """A failure of a job is told, and does not stop the others."""
    try:
        yield
    except VidstyleError as error:
        logger.error("%s [V%d]", error, error.number)
        result.failed.append((job, error))


class BatchPainter(Protocol):
    """How the jobs of a batch are painted."""

    def __call__(
        self,
        jobs: Iterable[BatchJob],
        styles: Styles,
        settings: Settings,
        options: JobOptions,
        progress: Progress | None,
        result: BatchResult,
    ) -> object:
        """Paints them, and notes in `result` what became of each."""
        ...


def _one_after_the_other(
    jobs: Iterable[BatchJob], styles: Styles, settings: Settings, options: JobOptions, progress: Progress | None, result: BatchResult
) -> None:
    for job in jobs:
        with noting(job.given, result):
            if (names_job := getattr(progress, "job", None)) is not None:
                names_job(job.name)
            stylize(job.source, styles, job.output, settings, options, progress)
            result.done.append(job.target)


def plan_batch(directory: Path, leave_out: Path | None = None) -> list[Path]:
    """The inputs in a directory: videos, pictures, and directories of frames, sorted by name; hidden ones are left out.

    So is `leave_out`, where the results go: a second run is not to paint what the first one has painted.

    Raises:
        UsageError: there is no such directory, or nothing to paint in it.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: --batch takes a directory of clips, images and frame directories")
    entries = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    if leave_out is not None:
        entries = [path for path in entries if not (leave_out.exists() and path.exists() and path.samefile(leave_out))]
    jobs = [path for path in entries if is_media_name(path) or (path.is_dir() and path.suffix != ".vidstyle")]
    if not jobs:
        raise UsageError(f"{directory}: holds no video, picture or directory of frames")
    if len(jobs) < len(entries):
        logger.warning(
            "%s: left out, neither video nor picture: %s",
            directory,
            ", ".join(sorted({path.name for path in entries} - {path.name for path in jobs})),
        )
    for names, numbers in FrameNames.sequences(directory, [job.name for job in jobs if job.suffix.lower() in READABLE]).items():
        if any(after - before == 1 for before, after in pairwise(numbers)):
            logger.warning(
                "%s: %d files numbered like the frames of a film are painted one by one; for a film give %s as INPUT, without --batch",
                directory, len(numbers), names,
            )  # fmt: skip
    return jobs
