"""The command: flags from the settings model, progress, and what it ends with.

Only this package prints, parses and exits.

torch is imported when a job really starts, so that help, version and usage errors answer at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import logging
import os
import re
import sys
import tempfile
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from pydantic import ValidationError
from tyro.constructors import PrimitiveConstructorSpec

from vidstyle import __version__
from vidstyle.cli.completion import Flag, script
from vidstyle.cli.pipes import check_pipes, piped
from vidstyle.cli.progress import Shown, doing, progress_of
from vidstyle.cli.terminal import Ending, exit_code, logging_to_terminal, say
from vidstyle.errors import BatchError, UsageError
from vidstyle.files import is_url
from vidstyle.numbered import FrameNames
from vidstyle.settings import (
    Comparison,
    FlagInfo,
    Settings,
    Shard,
    describe_validation_error,
    file_values,
    flag_table,
    preset_descriptions,
    preset_names,
    preset_values,
)
from vidstyle.starting import loading
from vidstyle.words import duration, frames

if TYPE_CHECKING:
    from vidstyle.cluster import Workers
    from vidstyle.made import Made
    from vidstyle.pipeline import JobOptions, JobResult
    from vidstyle.workspace import Workspace

__all__ = ["main", "parse"]

HELP = """\
Turns film into painting: neural style transfer by optimisation, steady over time, with the sound kept.

examples:
  vidstyle clip.mp4 style.jpg -o out.mp4
  vidstyle clip.mp4 style.jpg -o quick.mp4 --preset draft --size 320
  vidstyle clip.mp4 style.jpg --preview --preset draft,balanced,broad-strokes
  vidstyle photo.jpg style.jpg -o painting.png
  vidstyle frames/ one.jpg two.jpg -o out.mkv --style-blend 0.3 0.7
  vidstyle shot.%04d.exr style.jpg -o painted.%04d.exr
  vidstyle clips/ style.jpg -o painted/ --batch
  ffmpeg -i clip.mp4 -f matroska - | vidstyle - style.jpg -o - | ffplay -

Later settings win: defaults, then --preset, then --config, then flags."""
COMMON = (
    *("--style-weight", "--style-scale", "--style-blend", "--content-weight", "--mask", "--passes", "--iterations", "--first-iterations"),
    *("--preserve-color", "--strength", "--codec", "--crf", "--size", "--start", "--end", "--device"),
)
"""Settings in the short help; the others are in that of `--help-all`."""


def _flag(text: str, *aliases: str, name: str | None = None, metavar: str | None = None) -> object:
    """How tyro shows a flag that belongs to the job and not to the settings; unset needs no hint."""
    return tyro.conf.arg(help=text, aliases=aliases or None, name=name, metavar=metavar, help_behavior_hint="")


def _left_out(metavar: str) -> PrimitiveConstructorSpec[list[str] | None]:
    """A name that may be left out. The parser takes whatever follows; `_command` refuses what is too much."""
    return PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar=metavar,
        instance_from_str=list,
        is_instance=lambda value: value is None or isinstance(value, list),
        str_from_instance=lambda value: value or [],
    )


_PAGE, _ADDRESS = _left_out("[FILE]"), _left_out("[ADDRESS]")


def _choice(flag: str, choices: tuple[str, ...]) -> PrimitiveConstructorSpec[Any]:
    """One of a few words, refused in this program's own."""

    def chosen(words: list[str]) -> str:
        if words[0] not in choices:
            raise UsageError(f"{flag} {words[0]}: there are {', '.join(choices)}")
        return words[0]

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="|".join(choices),
        instance_from_str=chosen,
        is_instance=lambda value: value is None or value in choices,
        str_from_instance=lambda value: [value],
    )


_Shell = Literal["bash", "zsh", "fish"]


@dataclasses.dataclass
class _Arguments:
    """The command line without the settings; `_arguments_type` adds those, a field a section.

    INPUT, STYLE and OUTPUT are optional for the parser, because `--version` needs none of them
    and because their absence is then reported in this program's own words.
    """

    source: Annotated[
        tyro.conf.Positional[str | None],
        _flag(
            "video, image, directory of frames, numbered frames (shot.%04d.exr, shot.####.png), or - for stdin; of a store too: s3://bucket/clip.mp4",
            metavar="INPUT",
        ),
    ] = None
    styles: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        _flag("one or more pictures whose look is taken; none for --preset texture and reconstruction", metavar="STYLE [STYLE ...]"),
    ] = ()
    output: Annotated[
        str | None,
        _flag("what to write, of the same kinds, by its name; - is Matroska to stdout", "-o", metavar="OUTPUT"),
    ] = None
    preset: Annotated[str | None, _flag(f"{', '.join(preset_names())}, or a TOML file", metavar="NAME|FILE")] = None
    config: Annotated[str | None, _flag("TOML file of settings, over the preset's", metavar="FILE")] = None
    encoder_option: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        _flag("private option of the encoder, such as preset=slow; can be given several times", metavar="KEY=VALUE"),
    ] = ()
    preview: Annotated[
        bool,
        _flag(
            "paint some frames onto one contact sheet, and say what the job would take; for several presets, as draft,fine, or strengths"
        ),
    ] = False
    compare: Annotated[
        Comparison | None,
        _choice("--compare", typing.get_args(Comparison)),
        _flag(
            "write source and result in one film too, beside OUTPUT",
            metavar="side|wipe|stack",
        ),
    ] = None
    share: Annotated[
        str | None,
        _flag("write the first seconds, small, as an animated .gif or .webp too (with --compare, of that)", metavar="FILE"),
    ] = None
    report: Annotated[
        list[str] | None,
        _PAGE,
        _flag("write a page about the result (default: OUTPUT.html)", metavar="[FILE]"),
    ] = None
    batch: Annotated[bool, _flag("INPUT is a directory of clips, images and frame directories; OUTPUT a directory")] = False
    overwrite: Annotated[bool, _flag("replace OUTPUT if it exists", "-y")] = False
    fresh: Annotated[bool, _flag("ignore what an interrupted run of this job has left")] = False
    keep_workspace: Annotated[bool, _flag("keep the finished frames in OUTPUT.vidstyle")] = False
    log_json: Annotated[str | None, _flag("write one line of JSON a frame", metavar="FILE")] = None
    ray: Annotated[
        list[str] | None,
        _ADDRESS,
        _flag("paint shots and clips side by side on a Ray cluster (default: one on this machine)", metavar="[ADDRESS]"),
    ] = None
    workers: Annotated[str | None, _flag("how many of --ray paint at a time (default: one a GPU, else one for two cores)", metavar="N")] = (
        None
    )
    gpus_per_worker: Annotated[str | None, _flag("GPUs that each of them takes, or a part of one, as 0.5", metavar="X")] = None
    shard: Annotated[str | None, _flag("paint the part that falls to process I of N, which need not know of each other", metavar="I/N")] = (
        None
    )
    join: Annotated[str | None, _flag("put together what all shards of OUTPUT have painted", metavar="OUTPUT")] = None
    quiet: Annotated[bool, _flag("only errors", "-q")] = False
    verbose: Annotated[bool, _flag("tell more, with a traceback for errors", "-v")] = False
    list_presets: Annotated[bool, _flag("show what every preset is for, and exit")] = False
    completion: Annotated[
        _Shell | None,
        _choice("--completion", typing.get_args(_Shell)),
        _flag("print what completes the flags in that shell, and exit", metavar="bash|zsh|fish"),
    ] = None
    version: Annotated[bool, _flag("show the version and exit")] = False


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A checked command line."""

    source: Path
    styles: list[Path]
    output: Path
    into_frames: bool
    """Whether OUTPUT has a slash at its end: a directory of frames, whatever ending its name has."""
    settings: Settings
    batch: bool
    overwrite: bool
    fresh: bool
    keep_workspace: bool
    log_json: Path | None
    preview: dict[str, Settings]
    """What it is called -> the settings of each way that is to be seen beforehand; empty where the job itself is wanted."""
    compare: Comparison | None = None
    share: Path | None = None
    report: Path | None = None
    settings_files: tuple[Path, ...] = ()
    """What `--config` and `--preset` name, where they are files."""
    comes_piped: bool = False
    """INPUT is `-`."""
    goes_piped: bool = False
    """OUTPUT is `-`."""
    far: tuple[str, tuple[str, ...], str] | None = None
    """INPUT, STYLE and OUTPUT as they were typed, where one of them names something of a store."""
    called: str | None = None
    """OUTPUT's name in the store, while a file of this disk stands for it."""
    deliver: Callable[[], object] = lambda: None
    """Puts up what was made, where OUTPUT names something of a store."""
    shard: Shard | None = None
    """Which of several processes this is."""
    joins: bool = False
    """Whether all is painted, and only to be put together."""
    ray: str | None = None
    """Address of a Ray cluster; empty for one on this machine."""
    workers: int | None = None
    gpus_per_worker: float | None = None

    @property
    def named(self) -> Path | str:
        """OUTPUT as it was given: a path forgets the slash at its end."""
        return f"{self.output}/" if self.into_frames else self.output


# --- from argv to settings -------------------------------------------------------------------------


def parse(argv: Sequence[str]) -> Command:
    """Reads a command line (without the program's name) into paths and checked settings.

    Raises:
        UsageError: a flag is unknown, a value is outside its limits, a preset or file is missing.
        SystemExit: help was asked for and has been printed.
    """
    return _command(_tokens(argv))


def _tokens(argv: Sequence[str]) -> _Arguments:
    """The flags as they were typed; values of settings are still text."""
    complaint = io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # tyro prints the help itself, on terminals of few letters too
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False
    is_short = "--help-all" not in argv and not {"-h", "--help"}.isdisjoint(argv)
    argv = ["--help" if word == "--help-all" else word for word in argv]
    further = f"\n\nvidstyle --help-all shows {len(flag_table()) - len(COMMON)} further settings." if is_short else ""
    try:
        with contextlib.redirect_stderr(complaint):
            arguments, unknown = tyro.cli(
                _arguments_type(COMMON if is_short else None),
                prog="vidstyle",
                description=f"{HELP}{further}",
                args=argv,
                return_unknown_args=True,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(f"{_one_line(complaint.getvalue())}; see vidstyle --help") from None
    if unknown:
        raise UsageError(_unknown(unknown))
    return arguments


def _arguments_type(in_help: Collection[str] | None = None) -> type[_Arguments]:
    """`_Arguments` with a nested group of flags for every section of the settings; the help has those `in_help`, by default all."""
    sections: dict[str, list[Any]] = {}
    for row in flag_table():
        several = typing.get_origin(_without_none(row.annotation)) is tuple
        spec: PrimitiveConstructorSpec[Any] = PrimitiveConstructorSpec(
            nargs="*" if several else 1,
            metavar=_metavar(row),
            # Text stays text: the model is the one place that converts and checks values.
            instance_from_str=list if several else lambda words: words[0],
            is_instance=lambda value: True,
            str_from_instance=lambda value: [str(value)],
        )
        shown = " ".join(map(str, row.default)) if isinstance(row.default, tuple) else row.default
        hint = "" if row.default is None else f"(default: {shown})"
        flag = tyro.conf.arg(name=row.flag.removeprefix("--"), help=row.text, help_behavior_hint=hint)
        hidden = (tyro.conf.Suppress,) if in_help is not None and row.flag not in in_help else ()
        if row.annotation is bool:  # given or not; a preset that has it on is not turned off here
            switch = tyro.conf.arg(name=row.flag.removeprefix("--"), help=row.text)
            sections.setdefault(row.section, []).append((row.key, Annotated[bool, switch, *hidden], dataclasses.field(default=False)))
            continue
        sections.setdefault(row.section, []).append((row.key, Annotated[Any, spec, flag, *hidden], dataclasses.field(default=None)))
    groups = []
    for section, flags in sections.items():
        group = dataclasses.make_dataclass(section, flags)
        model = Settings.model_fields[section].annotation
        group.__doc__ = model.__doc__
        groups.append((section, group, dataclasses.field(default_factory=group)))
    return dataclasses.make_dataclass("Arguments", groups, bases=(_Arguments,))


def _without_none(annotation: Any) -> Any:
    """`X | None` → `X`."""
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    return parts[0] if len(parts) == 1 and type(None) in typing.get_args(annotation) else annotation


def _metavar(row: FlagInfo) -> str:
    """What stands for a value in the help, by its type."""
    kind = _without_none(row.annotation)
    if typing.get_origin(kind) is Literal:
        return "|".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        word = _word(typing.get_args(kind)[0])
        return f"{word} [{word} ...]"
    return _word(kind)


def _word(kind: Any) -> str:
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _one_line(box: str) -> str:
    """The sentence inside the box that tyro draws round its complaints."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip(" │|") for line in plain.splitlines() if line.strip(" │|") and not re.match(r"^[\s│|]*[╭╰─+\-]{2}", line)]
    said = " ".join(line for line in lines if not line.startswith(("For full helptext", "Traceback")))
    said = re.sub(r"Missing value for argument '(?:-./)?(--[^']+)'\. Expected 1 values", r"\1: a value must follow", said)
    return said.rstrip(". ") or "the command line cannot be read"


def _flags_to_complete() -> list[Flag]:
    """Every flag as a shell sees it: those of the job, then the settings'."""
    flags = [Flag(("-h", "--help"), "show the help and exit"), Flag(("--help-all",), "the same with every setting")]
    hints = typing.get_type_hints(_Arguments, include_extras=True)
    for field in dataclasses.fields(_Arguments)[2:]:
        kind, *notes = typing.get_args(hints[field.name])
        told = next(note for note in notes if hasattr(note, "aliases"))
        choices = tuple(preset_names()) if field.name == "preset" else _choices(kind)
        names = (*(told.aliases or ()), f"--{field.name.replace('_', '-')}")
        flags.append(
            Flag(
                names,
                told.help,
                kind is not bool,
                not {_PAGE, _ADDRESS}.isdisjoint(note for note in notes if isinstance(note, PrimitiveConstructorSpec)),
                choices,
                field.name == "preset",
            )
        )
    return [*flags, *(Flag((row.flag,), row.text, row.annotation is not bool, choices=_choices(row.annotation)) for row in flag_table())]


def _choices(annotation: Any) -> tuple[str, ...]:
    """The words that a value may be; none where it may be others too."""
    kind = _without_none(annotation)
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _unknown(words: list[str]) -> str:
    """The message for words that no flag or position took."""
    for word in words:
        if word.startswith("-") and len(word) > 1:
            given = word.split("=")[0]
            known = [row.flag for row in flag_table()]
            known += ["--" + field.name.replace("_", "-") for field in dataclasses.fields(_Arguments)[2:]]
            near = difflib.get_close_matches(given, known, n=1)
            return f"there is no flag {given}" + (f"; did you mean {near[0]}?" if near else "; see vidstyle --help")
    return f"{words[0]}: not expected here; give INPUT and all STYLE pictures side by side, before the flags; see vidstyle --help"


def _command(arguments: _Arguments) -> Command:
    _check_shared(arguments)
    if not arguments.preview:
        for flag, text in (("--preset", arguments.preset), ("--strength", vars(arguments)["color"].strength)):
            if text is not None and "," in text and not Path(text).is_file():
                raise UsageError(f"{flag} {text}: several go with --preview, which shows them side by side; add it, or give one")
    ways = _ways(arguments) if arguments.preview else {}
    settings = next(iter(ways.values())) if ways else _settings(arguments)
    needs_style = bool(settings.style_layers) and settings.content.weight > 0 and settings.style.schedule is None
    output = arguments.output
    if arguments.preview:
        if arguments.batch:
            raise UsageError("--preview looks at one clip, and --batch names many; give one of them as INPUT, without --batch")
        output = _sheet_name(arguments.output, arguments.source)
    for flag, asked in (("--compare", arguments.compare), ("--share", arguments.share), ("--report", arguments.report)):
        if asked is not None and (arguments.batch or arguments.preview):
            raise UsageError(f"{flag} shows what a job has made of one input; leave out {'--batch' if arguments.batch else '--preview'}")
    comes_piped, goes_piped = arguments.source == "-", arguments.output == "-"
    if comes_piped or goes_piped:
        _check_piped(arguments)
    far = _check_far(arguments, output)
    given = {"INPUT": arguments.source, "STYLE": arguments.styles or not needs_style, "-o OUTPUT": output or arguments.preview}
    missing = [name for name, value in given.items() if not value]
    if missing:
        shape = f"vidstyle INPUT STYLE [STYLE ...] {'--preview' if arguments.preview else '-o OUTPUT'}"
        raise UsageError(f"{' and '.join(missing)} missing{_taken(arguments)}: {shape}; see vidstyle --help")
    if arguments.report is not None and len(arguments.report) > 1:
        raise UsageError(f"--report takes one FILE and was given {' '.join(arguments.report)}; put INPUT and STYLE before it")
    return Command(
        source=Path(arguments.source or ""),
        styles=[Path(style) for style in arguments.styles],
        output=Path(output or ""),
        into_frames=(output or "").endswith("/"),
        settings=settings,
        batch=arguments.batch,
        overwrite=arguments.overwrite,
        fresh=arguments.fresh,
        keep_workspace=arguments.keep_workspace,
        log_json=Path(arguments.log_json) if arguments.log_json else None,
        preview=ways,
        compare=arguments.compare,
        share=Path(arguments.share) if arguments.share else None,
        report=_page_name(arguments.report, Path(output or "")),
        settings_files=tuple(Path(name) for name in (arguments.config, arguments.preset) if name and Path(name).is_file()),
        comes_piped=comes_piped,
        goes_piped=goes_piped,
        shard=None if arguments.shard is None else Shard.parse(arguments.shard),
        ray=None if arguments.ray is None else "".join(arguments.ray),
        workers=None if arguments.workers is None else int(arguments.workers),
        gpus_per_worker=None if arguments.gpus_per_worker is None else float(arguments.gpus_per_worker),
        far=(arguments.source or "", arguments.styles, output or "") if far else None,
    )


def _check_shared(arguments: _Arguments) -> None:
    """Refuses what does not go with several processes or machines."""
    piped = "-" if "-" in (arguments.source, arguments.output) else None
    if arguments.shard is not None:
        Shard.parse(arguments.shard)
        others = {
            "--ray": arguments.ray, "--preview": arguments.preview or None, "--compare": arguments.compare, "--share": arguments.share,
            "--report": arguments.report, "--log-json": arguments.log_json, "- as INPUT or OUTPUT": piped,
        }  # fmt: skip
        for flag, asked in others.items():
            if asked is not None:
                raise UsageError(f"--shard paints a part of the frames and writes no output, and {flag} wants one; leave one of them out")
        if arguments.fresh:
            raise UsageError(
                "--fresh with --shard would throw away what other shards have painted; delete OUTPUT.vidstyle, then start them all"
            )
    if arguments.ray is not None:
        if len(arguments.ray) > 1 or any(not _RAY.fullmatch(word) for word in arguments.ray):
            raise UsageError(
                f"--ray {' '.join(arguments.ray)}: give the address of a Ray cluster, as auto, head:6379 or ray://head:10001, or none; "
                "put INPUT and STYLE before it"
            )
        if piped is not None or arguments.preview:
            raise UsageError(
                f"--ray works on files that all machines see, and not with {'-' if piped else '--preview'}; leave one of them out"
            )
    for flag, text, pattern in (
        ("--workers", arguments.workers, r"[1-9][0-9]{0,4}"),
        ("--gpus-per-worker", arguments.gpus_per_worker, _AMOUNT),
    ):
        if text is not None and arguments.ray is None:
            raise UsageError(f"{flag} goes with --ray; add it, or leave {flag} out")
        if text is not None and not re.fullmatch(pattern, text):
            raise UsageError(f"{flag} {text}: give a number, such as 2")


_RAY = re.compile(r"auto|local|(ray://)?[A-Za-z0-9._\[\]:-]*:[0-9]{1,5}")
"""Addresses of a Ray cluster."""
_AMOUNT = r"[0-9]{1,3}(\.[0-9]{1,3})?"


def _join_command(arguments: _Arguments) -> Command:
    """The command whose output `--join` is to make, as its plan says."""
    output = arguments.join or ""
    if is_url(output):
        raise UsageError(f"--join {output}: what shards have painted lies on a disk that all machines see, not in a store; name it there")
    given = [arguments.source, *arguments.styles, *(f"-o {one}" for one in (arguments.output,) if one)]
    typed = _flag_values(arguments)
    flags = [row.flag for row in flag_table() if row.key in typed.get(row.section, {})]
    others = {"--shard": arguments.shard, "--ray": arguments.ray, "--batch": arguments.batch or None, "--preset": arguments.preset,
              "--config": arguments.config, "--preview": arguments.preview or None, "--fresh": arguments.fresh or None}  # fmt: skip
    words = [word for word in [*given, *flags, *(flag for flag, asked in others.items() if asked is not None)] if word]
    if words or not output:
        raise UsageError(f"--join OUTPUT takes all it needs to know from the shards' plan; leave out {' '.join(words) or 'the empty name'}")
    return Command(
        source=Path(),
        styles=[],
        output=Path(output),
        into_frames=output.endswith("/"),
        settings=Settings(),
        batch=False,
        overwrite=arguments.overwrite,
        fresh=False,
        keep_workspace=arguments.keep_workspace,
        log_json=Path(arguments.log_json) if arguments.log_json else None,
        preview={},
        compare=arguments.compare,
        share=Path(arguments.share) if arguments.share else None,
        report=_page_name(arguments.report, Path(output)),
        joins=True,
    )


def _taken(arguments: _Arguments) -> str:
    """Which flag may have taken the words that are missing, because it takes several and stands before them."""
    several = {row.flag: value for row in flag_table() if isinstance(value := getattr(getattr(arguments, row.section), row.key), list)}
    for flag, words in {"--report": arguments.report, "--ray": arguments.ray, **several}.items():
        if words:
            return f" ({flag} took {' '.join(words)}: put it last)"
    return ""


def _page_name(words: list[str] | None, output: Path) -> Path | None:
    """Where the report goes; None where none is asked for."""
    return None if words is None else Path(words[0]) if words else _page_of(output)


def _page_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.html")


def _check_piped(arguments: _Arguments) -> None:
    """Refuses flags that go with files alone."""
    if arguments.batch:
        raise UsageError("--batch works on directories, and - is a single film; name a directory, or leave --batch out")
    if arguments.output != "-":
        return
    if arguments.preview:
        raise UsageError("--preview writes a contact sheet and no film; leave -o - out, or name the sheet with -o")
    beside = {"--compare": arguments.compare, "--share": arguments.share, "--report": arguments.report}
    for flag, asked in {**beside, "--keep-workspace": arguments.keep_workspace or None}.items():
        if asked is not None:
            raise UsageError(f"{flag}: leaves something beside OUTPUT, and - is no place for it; name a file with -o")


def _check_far(arguments: _Arguments, output: str | None) -> bool:
    """Whether something of a store is named; refuses it where only files can be."""
    typed = [(row.flag, getattr(getattr(arguments, row.section), row.key)) for row in flag_table()]
    own = {"--preset": arguments.preset, "--config": arguments.config, "--log-json": arguments.log_json, "--share": arguments.share,
           "--report": arguments.report}  # fmt: skip
    for flag, value in (*typed, *own.items()):
        for word in value if isinstance(value, list | tuple) else [value]:
            if isinstance(word, str) and "://" in word:
                raise UsageError(f"{flag} {word}: names a file of this disk; of a store INPUT, STYLE and OUTPUT may be")
    far = any(is_url(word) for word in (arguments.source, *arguments.styles, arguments.output))
    if far and arguments.batch:
        raise UsageError("--batch takes directories of this disk; give what a store holds one by one, without --batch")
    for flag, asked in (("--ray", arguments.ray), ("--shard", arguments.shard)):  # of which the machines need a disk that all see
        if far and asked is not None:
            raise UsageError(f"{flag} takes names of a disk that all machines see, and not of a store; copy what the store holds there")
    if arguments.preview and is_url(output):
        raise UsageError(f"-o {output}: --preview writes its sheet to this disk; name a .png here")
    return far


def _sheet_name(output: str | None, source: str | None) -> str | None:
    """Where a contact sheet goes: to OUTPUT if that is a picture, else beside it; into the current directory where none is named."""
    if output is not None:
        path = Path(output)
        sequence = FrameNames.of(path)
        if sequence is not None:
            return str(path.with_name(f"{sequence.stem}{_SHEET_ENDING}"))
        return output if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp") else str(path.with_name(f"{path.stem}{_SHEET_ENDING}"))
    if source is None:
        return None
    if source == "-":
        return f"stdin{_SHEET_ENDING}"
    sequence = FrameNames.of(Path(source))
    return f"{Path(source).stem if sequence is None else sequence.stem}{_SHEET_ENDING}"


def _ways(arguments: _Arguments) -> dict[str, Settings]:
    """What it is called -> settings, for every preset and every strength that is named, each with each."""
    strengths = vars(arguments)["color"].strength
    presets = (
        _listed("--preset", arguments.preset)
        if arguments.preset is not None and not Path(arguments.preset).is_file()
        else [arguments.preset]
    )
    ways = {}
    for preset in presets:
        for strength in [None] if strengths is None else _listed("--strength", strengths):
            color = dataclasses.replace(vars(arguments)["color"], strength=strength)
            name = preset or "balanced"
            label = name if strengths is None else f"strength {strength}" if len(presets) == 1 else f"{name}, strength {strength}"
            ways[label] = _settings(dataclasses.replace(arguments, **{"preset": preset, "color": color}))
    if len(ways) > _MOST_WAYS:
        raise UsageError(f"--preview: {len(ways)} ways to paint are too many for one sheet; name {_MOST_WAYS} at most")
    return ways


_MOST_WAYS = 6
_SHEET_ENDING = ".preview.png"


def _listed(flag: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"{flag} {text}: nothing stands beside one of the commas; write a,b")
    return parts


def _settings(arguments: _Arguments) -> Settings:
    """Defaults < preset < file < flags; each layer is checked by itself, so that an error names its origin."""
    layers: list[dict[str, Any]] = []
    if arguments.preset is not None:
        layers.append(preset_values(arguments.preset))
        Settings.from_mapping(layers[-1], f"--preset {arguments.preset}")
    if arguments.config is not None:
        layers.append(file_values(Path(arguments.config)))
        Settings.from_mapping(layers[-1], f"--config {arguments.config}")
    layers.append(_flag_values(arguments))
    return Settings.layered(layers)


def _flag_values(arguments: _Arguments) -> dict[str, Any]:
    """The settings that were typed, nested as a settings file nests them."""
    values: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for row in flag_table():
        typed = getattr(getattr(arguments, row.section), row.key)
        if typed is None or typed is False:
            continue
        if typed == []:
            raise UsageError(f"{row.flag}: at least one value must follow; see vidstyle --help")
        values.setdefault(row.section, {})[row.key] = typed
        flags[f"{row.section}.{row.key}"] = row.flag
    if arguments.encoder_option:
        pairs = [option.partition("=") for option in arguments.encoder_option]
        for key, sign, _ in pairs:
            if not (key and sign):
                raise UsageError(f"--encoder-option {key or '='}: write KEY=VALUE, such as preset=slow")
        values.setdefault("encode", {})["options"] = {key: value for key, _, value in pairs}
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        setting = ".".join(where.split(".")[:2])
        said = describe_validation_error(error).removeprefix(where).removeprefix(": ")
        raise UsageError(f"{flags.get(setting, setting)}: {said}") from None
    return values


# --- the command -----------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command (`argv` without the program's name; default: the process's own) and returns its exit code."""
    return exit_code(lambda ending: _main(sys.argv[1:] if argv is None else argv, ending))


def _main(argv: Sequence[str], ending: Ending) -> int:
    ending.after_interrupt = "; run the same command to go on"
    arguments = _tokens(argv)
    ending.verbose = arguments.verbose
    if arguments.fresh:
        ending.after_interrupt = "; run the same command without --fresh to go on"
    if arguments.batch and arguments.overwrite:
        # Without -y older results of what was not reached yet would be left, so there is no command that makes just the rest.
        ending.after_interrupt += "; because of -y that paints what is done once more: move it out of INPUT first"
    if arguments.version:
        say(f"vidstyle {__version__}", sys.stdout)
        return 0
    if arguments.list_presets:
        names = preset_descriptions()
        for name, text in names.items():
            say(f"{name:{max(map(len, names))}}  {text}", sys.stdout)
        return 0
    if arguments.completion is not None:
        say(script(arguments.completion, _flags_to_complete()), sys.stdout, several=True)
        return 0
    if arguments.quiet and arguments.verbose:
        raise UsageError("-q and -v contradict each other; give one of them")
    level = logging.ERROR if arguments.quiet else logging.DEBUG if arguments.verbose else logging.WARNING
    with logging_to_terminal(level):
        if arguments.join is not None:
            return _join(_join_command(arguments), arguments.quiet, ending)
        return _run(_command(arguments), arguments.quiet, ending)


def _run(command: Command, quiet: bool, ending: Ending) -> int:
    if command.far is not None:
        return _run_far(command, quiet, ending)
    after_interrupt = ending.after_interrupt
    with loading(after_interrupt):
        from vidstyle.media import check_apart, check_style, kind_of, output_kind, silence_codecs

    silence_codecs()
    written = {"OUTPUT": None if command.batch else command.output, "--log-json": command.log_json, "--share": command.share,
               "--report": command.report}  # fmt: skip
    check_apart(written, command.settings_files)
    # The job looks again. Here a slip of the pen is told before torch is imported, which takes seconds.
    if not command.comes_piped:
        kind_of(command.source)
    for style in command.styles:
        check_style(style)
    if not (command.batch or command.goes_piped):
        output_kind(command.named)
    if command.comes_piped or command.goes_piped:
        return _run_piped(command, quiet, ending)
    return _run_on_files(command, quiet, ending)


def _run_far(command: Command, quiet: bool, ending: Ending) -> int:
    """The same on files that stand for those of a store."""
    assert command.far is not None
    with loading(ending.after_interrupt):
        from vidstyle.cli.stores import Asked, standing_for
        from vidstyle.compare import comparison_path

    source, styles, output = command.far

    def beside(path: Path) -> list[Path]:
        named: Path | str = f"{path}/" if command.into_frames else path
        compared = [] if command.compare is None else [comparison_path(named, command.compare)]
        return compared + ([_page_of(path)] if command.report == _page_of(command.output) else [])

    def tell(what: str) -> None:
        if not quiet:
            say(f"vidstyle: {what}")

    asked = Asked(source, styles, output, command.settings.run.frame_range, beside, command.overwrite)
    with standing_for(asked, tell) as local:
        changed: dict[str, Any] = {
            "source": local.source or command.source,
            "styles": [here or typed for here, typed in zip(local.styles, command.styles, strict=True)],
        }
        if local.output is not None:
            changed |= {"output": local.output, "called": output.rstrip("/"), "deliver": local.deliver}
            if command.report == _page_of(command.output):
                changed["report"] = _page_of(local.output)
        return _run(dataclasses.replace(command, far=None, **changed), quiet, ending)


def _run_piped(command: Command, quiet: bool, ending: Ending) -> int:
    """The same on files that stand for `-`."""
    check_pipes(command.comes_piped, command.goes_piped)
    with loading(ending.after_interrupt):  # an interruption of it would leave the files behind
        import vidstyle.compare
        import vidstyle.pipeline
        from vidstyle.media import kind_of

        if command.preview:
            import vidstyle.preview  # noqa: F401
    source, output = None if command.comes_piped else command.source, None if command.goes_piped else command.output
    with piped(source, output, ending, quiet) as (source, output):
        kind_of(source)
        return _run_on_files(dataclasses.replace(command, source=source, output=output), quiet, ending)


def _run_on_files(command: Command, quiet: bool, ending: Ending) -> int:
    after_interrupt = ending.after_interrupt
    if command.preview:
        return _preview(command, quiet, after_interrupt)
    with loading(after_interrupt):
        from vidstyle.pipeline import JobOptions

    options = JobOptions(overwrite=command.overwrite, fresh=command.fresh, keep_workspace=command.keep_workspace, log_json=command.log_json,
                         called=command.called)  # fmt: skip
    progress = progress_of(quiet)
    try:
        if command.shard is not None:
            return _run_shard(command, options, progress, quiet)
        with contextlib.ExitStack() as stack:
            workers = None
            if command.ray is not None:
                from vidstyle.cluster import ray_workers

                workers = stack.enter_context(ray_workers(command.ray, command.workers, command.gpus_per_worker))
            if command.batch:
                return _run_batch(command, options, progress, quiet, workers)
            return _run_job(command, options, progress, quiet, ending, workers)
    finally:
        progress.close()


def _preview(command: Command, quiet: bool, after_interrupt: str) -> int:
    with loading(after_interrupt):
        from vidstyle.preview import Variant, preview

    variants = [Variant(label, settings) for label, settings in command.preview.items()]
    own = command.output.name.endswith(_SHEET_ENDING)  # a name that nobody else gives
    with doing(quiet) as told:
        made = preview(command.source, command.styles, command.output, variants, command.overwrite or own, told)
    if not quiet:
        for said in made.said:
            say(f"vidstyle: {said}")
        say(f"vidstyle: {made.sheet}: {frames(len(made.frames))} in {duration(made.seconds)}", sys.stdout)
    return 0


def _run_job(command: Command, options: JobOptions, progress: Shown, quiet: bool, ending: Ending, workers: Workers | None = None) -> int:
    from vidstyle.compare import comparison_path
    from vidstyle.media import check_apart
    from vidstyle.pipeline import inputs_of, styles_of, stylize

    comparison = None if command.compare is None else comparison_path(command.named, command.compare)
    styles = styles_of(command.source, command.styles, command.settings)
    read = inputs_of(command.source, styles, command.settings)
    written = {"OUTPUT": command.output, "--log-json": command.log_json, "the comparison": comparison, "--share": command.share,
               "--report": command.report}  # fmt: skip
    check_apart(written, read)
    if command.report is not None:
        if options.log_json is not None and options.log_json.exists() and not options.log_json.is_file():
            raise UsageError(f"--log-json {options.log_json}: --report reads it again, and it is no ordinary file; name one")
        if options.log_json is None:  # the curves of its page come from there
            scratch = Path(tempfile.mkdtemp(prefix="vidstyle-", dir=ending.temporary))
            ending.temporary = ending.temporary or scratch
            options = dataclasses.replace(options, log_json=scratch / "log.jsonl")
    beside = _Beside(command, styles, comparison, options, progress, quiet, ending)
    options = dataclasses.replace(options, beside=beside)
    if command.joins:
        from vidstyle.pipeline import join

        join(command.output, options, progress)
    elif workers is not None:
        from vidstyle.cluster import stylize_on_ray

        stylize_on_ray(command.source, command.styles, command.named, workers, command.settings, options, progress)
    else:
        stylize(command.source, command.styles, command.named, command.settings, options, progress)
    return 0


def _join(command: Command, quiet: bool, ending: Ending) -> int:
    """Puts together what shards have painted, of a job or of a batch."""
    with loading(ending.after_interrupt):
        from vidstyle.media import silence_codecs
        from vidstyle.pipeline import JobOptions
        from vidstyle.shards import join_all, planned_job

    silence_codecs()
    options = JobOptions(overwrite=command.overwrite, keep_workspace=command.keep_workspace, log_json=command.log_json)
    progress = progress_of(quiet)
    job = planned_job(command.output)
    try:
        if job is not None:
            command = dataclasses.replace(command, source=job.source, styles=list(job.styles), settings=job.settings)
            return _run_job(command, options, progress, quiet, ending)
        for flag, asked in (("--compare", command.compare), ("--share", command.share), ("--report", command.report)):
            if asked is not None:
                raise UsageError(f"{flag} shows what a job has made of one input, and {command.output} is a batch, or was not planned")
        results = join_all(command.output, options, progress)
        progress.close()
        if not quiet:
            for result in results:
                say(f"vidstyle: {result.output}: {frames(result.frames)} in {duration(result.seconds)}", sys.stdout)
        return 0
    finally:
        progress.close()


def _run_shard(command: Command, options: JobOptions, progress: Shown, quiet: bool) -> int:
    """Paints a part of a job, or of a batch."""
    from vidstyle.batch import stylize_batch
    from vidstyle.shards import ShardOfBatch, paint_shard

    shard, failed = command.shard, 0
    assert shard is not None
    if command.batch:
        painter = ShardOfBatch(shard)
        batch = stylize_batch(command.source, command.styles, command.output, command.settings, options, progress, painter)
        result, failed = painter.result, len(batch.failed)
        result.seconds = batch.seconds
    else:
        result = paint_shard(command.source, command.styles, command.named, shard, command.settings, options, progress)
    progress.close()
    if not quiet:
        own = f"units painted: {result.painted} of {result.own} ({frames(result.frames)}) in {duration(result.seconds)}"
        then = (
            f"left in all: {result.missing} of {result.units}" if result.missing else f"vidstyle --join {command.output} makes the output"
        )
        say(f"vidstyle: shard {shard.number}/{shard.of} of {command.output}: {own}; {then}", sys.stdout)
    return 1 if result.failed or failed else 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Beside:
    """What the command makes of a result, and says of it, before the workspace goes."""

    command: Command
    styles: list[Path]
    comparison: Path | None
    options: JobOptions
    progress: Shown
    quiet: bool
    ending: Ending

    def check(self, made: Made) -> None:
        """Refuses what cannot be written; see `vidstyle.pipeline.Beside`."""
        from vidstyle.compare import check_share
        from vidstyle.media import check_output, output_kind

        for what, path in self._wanted().items():
            overwrite = self.options.overwrite or made.holds(what)
            if path == self.comparison:
                check_output(path, output_kind(path), self.command.settings.encode, overwrite)
            elif path == self.command.share:
                check_share(path, overwrite)
            else:
                from vidstyle.report import check_report

                check_report(path, overwrite)

    def make(self, result: JobResult, made: Made, workspace: Workspace) -> None:
        """Makes what is missing; see `vidstyle.pipeline.Beside`."""
        self.progress.close()
        if not self.quiet:
            steady = _steadiness(result.steadiness, self.command.settings, len(self.styles))
            where = "-" if self.command.goes_piped else result.output
            when = " were made before" if result.was_there else f" in {duration(result.seconds)}"
            say(f"vidstyle: {where}: {frames(result.frames)}{when}{steady}", sys.stdout)
        wanted, advice = self._wanted(), self.ending.after_interrupt
        if wanted and self.command.called is None:
            self.ending.after_interrupt = f"; {result.output} is done, what shows it is not{advice}"
        for what, path in wanted.items():
            if not made.holds(what):
                with made.noting(what, workspace):
                    self._make(path, result)
        self.command.deliver()
        if not self.command.goes_piped:  # what goes meanwhile is the workspace
            self.ending.after_interrupt = f"; {result.output} is done"
        if not self.quiet:
            for path in wanted.values():
                say(f"vidstyle: {path}", sys.stdout)

    def _wanted(self) -> dict[str, Path]:
        """What it is, in all that the job does not tell of it -> where it goes."""
        command = self.command
        places = {
            f"comparison {command.compare}": self.comparison,
            f"share {command.compare} {command.share}": command.share,
            f"report {command.report}": command.report,
        }
        return {what: path for what, path in places.items() if path is not None}

    def _make(self, path: Path, result: JobResult) -> None:
        from vidstyle.compare import compare, share
        from vidstyle.report import Subject, write_report

        command, overwrite = self.command, self.options.overwrite
        if path == self.comparison and command.compare is not None:
            compare(command.source, result.output, path, command.compare, command.settings, overwrite)
        elif path == command.share:
            share(command.source, result.output, path, command.compare, command.settings, overwrite)
        else:
            subject = Subject(
                source=command.source,
                result=result.output,
                styles=self.styles,
                span=command.settings.run,
                painted=result.span,
                settings=command.settings,
                log=self.options.log_json,
                called=command.called,
                seconds=None if result.was_there else result.seconds,
            )
            write_report(subject, path, overwrite=overwrite)


def _steadiness(ratio: float | None, settings: Settings, styles: int) -> str:
    """How steady the paintings are, and of what: they are judged as they come, whatever of the source is put back into them."""
    if ratio is None:
        return ""
    masked = settings.mask.paths is not None and len(settings.mask.paths) == styles
    after = {"--strength": settings.color.strength < 1, "--preserve-color": settings.color.preserve != "off", "--mask": masked}
    flags = " and ".join(flag for flag, changes in after.items() if changes)
    return f"; warping error{f' of the painting, before {flags},' if flags else ''} {ratio:.2f} times the source's"


def _run_batch(command: Command, options: JobOptions, progress: Shown, quiet: bool, workers: Workers | None) -> int:
    from vidstyle.batch import stylize_batch

    # What fails is logged as an error where it fails, and so has been shown.
    if workers is None:
        result = stylize_batch(command.source, command.styles, command.output, command.settings, options, progress)
    else:
        from vidstyle.cluster import BatchOnRay

        painter = BatchOnRay(workers)
        result = stylize_batch(command.source, command.styles, command.output, command.settings, options, progress, painter)
    progress.close()
    if not quiet:
        kind = f" [V{BatchError.number}]" if result.failed else ""
        counted = f"{len(result.done)} done, {len(result.failed)} failed"
        say(f"vidstyle: {command.output}: {counted} in {duration(result.seconds)}{kind}", sys.stdout)
    return 1 if result.failed else 0
