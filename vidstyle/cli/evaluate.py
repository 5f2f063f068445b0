"""`vidstyle-eval SOURCE RESULT`: anyone's result against its source, as a table and as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from vidstyle import __version__
from vidstyle.cli.terminal import Ending, exit_code, logging_to_terminal, say
from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import Frame, MediaInfo
from vidstyle.starting import loading
from vidstyle.words import legible

__all__ = ["main"]

logger = logging.getLogger("vidstyle.cli.evaluate")  # `__name__` is another one under `python -m`

DESCRIPTION = """\
Measures how steady, how sharp and how well painted a result is, against its source.

examples:
  vidstyle-eval clip.mp4 out.mp4
  vidstyle-eval clip.mp4 out.mp4 --style style.jpg --json out.json
  vidstyle-eval frames/ painted/ --ground-truth flow/ --occlusions occlusions/"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{message}; see {self.prog} --help")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser("vidstyle-eval", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("source", metavar="SOURCE", type=Path, help="video, picture or directory of frames")
    parser.add_argument("result", metavar="RESULT", type=Path, help="what was made of it, by whatever program")
    parser.add_argument("--style", metavar="STYLE", type=Path, nargs="+", default=[], help="its style pictures, for the style loss")
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write everything, with the curves over the frames; - prints it instead of the table"
    )
    parser.add_argument(
        "--flow",
        default="dis",
        help="how the judge sees motion: dis (default), farneback, farneback-raw, raft, raft-small, deepflow, tvl1, none, or a directory "
        "of .flo files both ways (backward_2_1.flo: at frame 2, into frame 1)",
    )
    parser.add_argument("--flow-weights", metavar="FILE", type=Path, help="weights of raft or raft-small (default: a download)")
    parser.add_argument("--gaps", metavar="N", type=_gap, nargs="+", default=[1, 10], help="frames between those compared (default: 1 10)")
    parser.add_argument(
        "--ground-truth", metavar="DIR", type=Path, help="true flow, .flo or KITTI's PNG: a field a frame of RESULT, into the next"
    )
    parser.add_argument("--occlusions", metavar="DIR", type=Path, help="pictures, white where the next frame hides what is there")
    parser.add_argument("--start", metavar="TIME", help="moment of SOURCE at which RESULT begins: seconds, [HH:]MM:SS.mmm, or 48f")
    parser.add_argument("--end", metavar="TIME", help="moment of SOURCE to stop before")
    parser.add_argument("--fps", metavar="N", type=float, help="frames a second that RESULT was made at, if not those of SOURCE")
    parser.add_argument("--judge-every", metavar="N", type=_gap, default=1, help="content and style loss of one frame in N (default: 1)")
    parser.add_argument("--no-losses", action="store_true", help="leave content and style loss out, which take most of the time")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write a page with a player, the curves and the least steady frames")
    parser.add_argument("-y", "--overwrite", action="store_true", help="replace the report if it exists")
    parser.add_argument("-q", "--quiet", action="store_true", help="no table and no progress")
    parser.add_argument("-v", "--verbose", action="store_true", help="a traceback with errors")
    parser.add_argument("--version", action="version", version=f"vidstyle {__version__}")
    return parser.parse_args(list(argv))


def _gap(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of frames, 1 or more")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command (`argv` without the program's name; default: the process's own) and returns its exit code."""
    return exit_code(lambda ending: _main(sys.argv[1:] if argv is None else argv, ending))


def _main(argv: Sequence[str], ending: Ending) -> int:
    arguments = _arguments(argv)
    ending.verbose = arguments.verbose
    if arguments.occlusions and not arguments.ground_truth:
        raise UsageError("--occlusions go with --ground-truth; name the directory of the flow fields too")
    printed = arguments.json == Path("-")
    if printed and sys.__stdout__ is None:
        raise UsageError("--json -: the standard output is closed; name a file")
    if arguments.json and not printed:
        _check_json(arguments)
    with logging_to_terminal(logging.ERROR if arguments.quiet else logging.WARNING):
        report = _evaluated(arguments)
    if not arguments.quiet and not printed:
        for line in _table(report):
            say(line, sys.stdout)
    if printed:
        _dump(report, sys.stdout)
    elif arguments.json:
        _write(report, arguments.json.resolve())  # what a link leads to is written, the link stays
    return 0


def _check_json(arguments: argparse.Namespace) -> None:
    """Refuses a place for the JSON that is an input, or cannot be written to, before the work."""
    from vidstyle.media.base import check_link, check_place

    path: Path = arguments.json
    check_link(path)
    if path.is_dir():
        raise UsageError(f"--json {path}: is a directory; name the file to write")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--json {path}: its directory does not exist; make it first")
    inputs = (arguments.source, arguments.result, *arguments.style, arguments.ground_truth, arguments.occlusions, arguments.flow_weights)
    for other in (*inputs, Path(arguments.flow)):
        if other is None or not other.exists() or not path.exists():
            continue
        inside = other.is_dir() and path.suffix != ".json" and path.resolve().is_relative_to(other.resolve())
        if inside or path.samefile(other):
            raise UsageError(f"--json {path}: is an input; choose another file")
    if not path.exists() or path.is_file():
        check_place(path.resolve())


def _write(report: dict[str, Any], path: Path) -> None:
    """Writes the JSON in one step; a pipe or a device is written to, never replaced."""
    ordinary = path.is_file() or not path.exists()
    beside = path.with_name(f"{path.name}.{os.getpid()}.part") if ordinary else path
    try:
        with beside.open("x" if ordinary else "w", encoding="utf-8") as stream:
            _dump(report, stream)
        if ordinary:
            beside.replace(path)
    except BaseException as error:
        if ordinary:
            beside.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise MediaError(f"--json {path}: cannot be written: {error.strerror or error}") from None


def _dump(report: dict[str, Any], stream: TextIO) -> None:
    """Piece by piece: the text of an hour's curves is larger than they are."""
    json.dump(report, stream, indent=1, ensure_ascii=False, allow_nan=False)
    stream.write("\n")


def _evaluated(arguments: argparse.Namespace) -> dict[str, Any]:
    with loading():
        from vidstyle.flow import make_flows
        from vidstyle.media import check_style, kind_of, open_source, silence_codecs
        from vidstyle.settings import RunSettings, Settings

    silence_codecs()
    for path in (arguments.source, arguments.result):
        kind_of(path)
    for path in arguments.style:
        check_style(path)
    flows = make_flows(arguments.flow, arguments.flow_weights)

    with loading():
        from vidstyle.evaluate import FlowDirectory, NetworkJudge, evaluate
        from vidstyle.media import check_apart, read_style
        from vidstyle.report import Subject, check_report, write_report

    if arguments.report:
        written = {"--report": arguments.report, "--json": None if arguments.json == Path("-") else arguments.json}
        check_apart(written, [arguments.source, arguments.result, *arguments.style])
        check_report(arguments.report, arguments.overwrite)

    truth = FlowDirectory(arguments.ground_truth, arguments.occlusions) if arguments.ground_truth else None
    part = Settings.from_mapping(
        {"run": {name: value for name in ("start", "end", "fps") if (value := getattr(arguments, name)) is not None}},
        "--start, --end, --fps",
    ).run
    with contextlib.ExitStack() as stack:
        result = stack.enter_context(open_source(arguments.result, RunSettings()))
        size = result.info.height, result.info.width
        source = stack.enter_context(open_source(arguments.source, part))
        _check_films(arguments, source.info, result.info)
        judge = None if arguments.no_losses else NetworkJudge([read_style(path) for path in arguments.style], size)
        timed = result if source.info.kind != "video" and result.info.kind == "video" and arguments.fps is None else source
        rate = float(timed.info.rate)  # a directory of frames has one by default only
        with tqdm(total=result.info.frames, unit="frame", leave=False, disable=arguments.quiet or not sys.stderr.isatty()) as bar:
            found = evaluate(
                _sized(source.frames(), size, bar), result.frames(), rate, flows,
                gaps=arguments.gaps, judge=judge, judged_every=arguments.judge_every, truth=truth,
            )  # fmt: skip
    if not found.summary["compared"]:
        raise MediaError(f"{arguments.source} and {arguments.result}: no frame to compare")
    if truth is not None and len(truth) not in (found.summary["compared"] - 1, found.summary["compared"]):
        logger.warning(
            "--ground-truth %s: %d fields for %d frames; the first one is taken for the first frame that is compared",
            arguments.ground_truth, len(truth), found.summary["compared"],
        )  # fmt: skip
    if arguments.report:
        subject = Subject(arguments.source, arguments.result, arguments.style, part)
        write_report(subject, arguments.report, found=found, flows=flows, overwrite=arguments.overwrite)
    options = ("start", "end", "fps", "judge_every", "flow_weights", "ground_truth", "occlusions")
    return {
        "vidstyle": __version__, "source": legible(str(arguments.source)), "result": legible(str(arguments.result)),
        "styles": [legible(str(path)) for path in arguments.style],
        "width": size[1], "height": size[0], "rate": rate, "flow": legible(arguments.flow),
        "options": {name: value if value is None or isinstance(value, int | float) else legible(str(value))
                    for name in options for value in [getattr(arguments, name)]},
        "normalisation": "VGG-19 of the Oxford group (stored as 8-bit codebooks), activations of the 0-255 BGR input, "
        "mean subtracted: 5·MSE of relu4_2 and "
        "100·Σ MSE of Gram/(C·H·W) over relu1_1 … relu5_1; pictures in [0, 1] for the warping errors",
        **found.to_json(),
    }  # fmt: skip


def _check_films(arguments: argparse.Namespace, source: MediaInfo, result: MediaInfo) -> None:
    """Shapes must agree; two pixels may differ by rounding, or where a codec wanted even sides. Rates that differ are said."""
    from vidstyle.media.base import longest_side_size

    width, height = longest_side_size(source.width, source.height, max(result.width, result.height))
    if abs(width - result.width) > 2 or abs(height - result.height) > 2:
        raise UsageError(
            f"{arguments.result}: frames of {result.width}×{result.height} have another shape than those of {arguments.source}, "
            f"which would be {width}×{height} at that size"
        )
    if source.kind == result.kind == "video" and abs(source.rate / result.rate - 1) > 0.01:
        logger.warning(
            "%s has %.4g frames a second, %s %.4g; frames are paired in their order. If it was made at another rate, give --fps",
            arguments.result, float(result.rate), arguments.source, float(source.rate),
        )  # fmt: skip


def _sized(frames: Iterator[Frame], size: tuple[int, int], bar: Any) -> Iterator[Frame]:
    """The source's frames at the size of the result's."""
    from vidstyle.pixels import resized

    for frame in frames:
        bar.update()
        yield Frame(frame.index, frame.pts, frame.time_base, resized(frame.rgb, size), frame.name)


def _table(report: dict[str, Any]) -> Iterator[str]:
    """The report, as lines for people."""
    frames, shots = (
        f"{count} {name}{'s' * (count != 1)}" for count, name in ((report["compared"], "frame"), (len(report["shots"]), "shot"))
    )
    yield f"{report['result']} against {report['source']}: {frames} of {report['width']}×{report['height']}"
    yield f"{shots}, motion by {report['flow']}"
    yield ""
    yield f"{'':24}{'source':>12}{'result':>12}{'ratio':>9}{'norm':>9}{'e_stab':>9}{'reliable':>10}"
    rows = {f"warping error, gap {gap}": f"gap{gap}" for gap in sorted(int(name[3:]) for name in report if name.startswith("gap"))}
    for label, name in {**rows, "  with the true flow": "true_flow"}.items():
        if row := report.get(name):
            yield (
                f"{label:24}{_figure(row['source'], 12, 6)}{_figure(row['result'], 12, 6)}{_figure(row['ratio'], 9, 3)}"
                f"{_figure(row['norm'], 9, 3)}{_figure(row['e_stab'], 9, 4)}{_figure(row['reliable'], 10, 3)}"
            )
    row = report["sharpness"]
    yield f"{'sharpness':24}{_figure(row['source'], 12, 1)}{_figure(row['result'], 12, 1)}{_figure(row['ratio'], 9, 3)}"
    from vidstyle.evaluate import FLICKER_FROM  # it is loaded by now

    flicker = report["flicker"] or {"source": None, "result": None}  # no point could be followed for long enough
    ratio = flicker["result"] / flicker["source"] if flicker["source"] else None
    label = f"flicker from {FLICKER_FROM:g} Hz on"
    yield f"{label:24}{_figure(flicker['source'], 12, 3)}{_figure(flicker['result'], 12, 3)}{_figure(ratio, 9, 3)}"
    for name in ("luma", "saturation"):
        for shot, row in zip(report["shots"], report[f"{name}_drift"], strict=True):
            label = f"{name} drift" + (f", {shot[0]}-{shot[1] - 1}" if len(report["shots"]) > 1 else "")
            yield f"{label:24}{_percent(row['source'])}{_percent(row['result'])}"
    for shot, row in zip(report["shots"], report["color_drift"], strict=True):
        label = "colour drift, levels" + (f", {shot[0]}-{shot[1] - 1}" if len(report["shots"]) > 1 else "")
        yield f"{label:24}{_figure(row['source'], 12, 2)}{_figure(row['result'], 12, 2)}"
    yield f"{'structure (SSIM)':24}{'':12}{_figure(report['structure'], 12, 3)}"
    for name in ("content", "style"):
        if report[name] is not None:
            yield f"{f'{name} loss':24}{'':12}{report[name]:12.4g}"
    if report["worst_pairs"]:
        worst = ", ".join(f"{pair['frame'] - 1}-{pair['frame']}" for pair in report["worst_pairs"])
        yield f"least steady (result less source): frames {worst}"


def _figure(value: float | None, width: int, digits: int) -> str:
    if value is None:
        return f"{'–':>{width}}"
    text = f"{value:{width}.{digits}f}"
    return text if len(text) <= width and text.startswith(" ") else f"{value:>{width}.3g}"


def _percent(value: float | None) -> str:
    return f"{'–':>12}" if value is None else f"{value:>+11.2%} "


if __name__ == "__main__":
    sys.exit(main())
