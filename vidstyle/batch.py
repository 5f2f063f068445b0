"""A directory of clips, images and frame directories, one job each; a failure never stops the rest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidstyle.errors import UsageError, VidstyleError
from vidstyle.joblog import check_log, drop_lines, same_output
from vidstyle.media import check_apart, check_link, is_media_name, output_name
from vidstyle.pipeline import JobOptions, PathLike, Progress, inputs_of, stylize, workspace_path
from vidstyle.settings import Settings
from vidstyle.workspace import remove_remains

__all__ = ["BatchResult", "plan_batch", "stylize_batch"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of every job of a batch."""

    done: list[Path] = field(default_factory=list)
    """Outputs that were made, or were there already."""
    failed: list[tuple[Path, VidstyleError]] = field(default_factory=list)
    """Inputs that failed, and why."""


def stylize_batch(
    source: PathLike,
    styles: PathLike | Sequence[PathLike] | None,
    output: PathLike,
    settings: Settings | None = None,
    options: JobOptions | None = None,
    progress: Progress | None = None,
) -> BatchResult:
    """Paints everything in a directory into another one; what fails is reported at the end, the rest is done.

    Results that are there already are left as they are (unless `options.overwrite`), so a batch that was
    interrupted goes on where it was.

    Args:
        source: directory of videos, pictures and directories of frames.
        styles: as for `stylize`.
        output: directory for the results; made if missing.
        settings: as for `stylize`.
        options: as for `stylize`; `log_json` gets the lines of every job, one after the other, and keeps those about results that are left.
        progress: as for `stylize`; `start` is called once a job.

    Raises:
        UsageError: `source` is no directory or holds nothing to paint, or `output` or the log cannot be used.
        MediaError: the log cannot be read or written.
    """
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
    pictures = [Path(style) for style in ([styles] if isinstance(styles, str | Path) else styles or ())]
    check_apart({"--log-json": options.log_json}, [*jobs, *inputs_of(source, pictures, settings or Settings())])
    with ExitStack() as stack:
        if options.log_json is not None:
            _begin_log(options.log_json, [target for job in jobs if (target := _target(job, output)) is not None], stack)
            options = replace(options, append_log=True)
        return _paint_all(jobs, styles, output, settings, options, progress)


def _target(job: Path, output: Path) -> Path | None:
    """What is made of an input; None where that fails, which is told when its turn has come."""
    with suppress(VidstyleError):
        return output / output_name(job)
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


def _paint_all(
    jobs: Sequence[Path],
    styles: PathLike | Sequence[PathLike] | None,
    output: Path,
    settings: Settings | None,
    options: JobOptions,
    progress: Progress | None,
) -> BatchResult:
    result = BatchResult()
    own = {job.name for job in jobs}
    taken: set[str] = set()
    for job in jobs:
        try:
            name = output_name(job)
            if name in taken or (name != job.name and name in own):  # who keeps its name comes before who changes it
                raise UsageError(f"{job}: another input of the batch makes {output / name} too; rename one of them")
            taken.add(name)
            target = output / name
            if target.exists() and not options.overwrite:
                beside = workspace_path(target)
                remove_remains(beside)
                more = (
                    f"; {beside} holds frames of it, or of a later one: delete it, or give -y to go on with them" if beside.is_dir() else ""
                )
                logger.warning("%s: exists already and is left as it is; give -y to make it anew%s", target, more)
            else:
                # A slash, for the name of a directory may have a dot in it.
                stylize(job, styles, f"{target}/" if job.is_dir() else target, settings, options, progress)
            result.done.append(target)
        except VidstyleError as error:
            logger.error("%s", error)
            result.failed.append((job, error))
    return result


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
    return jobs
