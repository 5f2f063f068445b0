"""`vidstyle-eval SOURCE RESULT`: anyone's result against its source, as a table and as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vidstyle import __version__
from vidstyle.cli.terminal import Ending, exit_code, logging_to_terminal, say
from vidstyle.errors import MediaError, UsageError
from vidstyle.frames import Frame, MediaInfo

__all__ = ["main"]

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
    parser.add_argument("source", metavar="SOURCE", type=Path, help="video or directory of frames")
    parser.add_argument("result", metavar="RESULT", type=Path, help="what was made of it, by whatever program")
    parser.add_argument("--style", metavar="STYLE", type=Path, nargs="+", default=[], help="its style pictures, for the style loss")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything, with the curves over the frames")
    parser.add_argument(
        "--flow", default="dis", help="how the judge sees motion: dis (default), farneback, farneback-raw, raft, raft-small, deepflow, tvl1"
    )
    parser.add_argument("--flow-weights", metavar="FILE", type=Path, help="weights of raft or raft-small (default: a download)")
    parser.add_argument("--gaps", metavar="N", type=_gap, nargs="+", default=[1, 10], help="frames between those compared (default: 1 10)")
    parser.add_argument("--ground-truth", metavar="DIR", type=Path, help="true flow, .flo or KITTI's PNG: a field a frame, into the next")
    parser.add_argument("--occlusions", metavar="DIR", type=Path, help="pictures, white where the next frame hides what is there")
    parser.add_argument("--start", metavar="TIME", help="moment of SOURCE at which RESULT begins: seconds, [HH:]MM:SS.mmm, or 48f")
    parser.add_argument("--end", metavar="TIME", help="moment of SOURCE to stop before")
    parser.add_argument("--judge-every", metavar="N", type=_gap, default=1, help="content and style loss of one frame in N (default: 1)")
    parser.add_argument("--no-losses", action="store_true", help="leave content and style loss out, which take most of the time")
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
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        raise UsageError(f"--json {arguments.json}: its directory does not exist; make it first")
    with logging_to_terminal(logging.ERROR if arguments.quiet else logging.WARNING):
        report = _evaluated(arguments)
    if arguments.json:
        text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
        beside = arguments.json.with_name(f"{arguments.json.name}.part")
        try:
            if arguments.json.exists() and not arguments.json.is_file():  # a pipe or a device is written to, never replaced
                with arguments.json.open("w", encoding="utf-8") as stream:
                    stream.write(text + "\n")
            else:
                beside.write_text(text + "\n", encoding="utf-8")
                beside.replace(arguments.json)
        except OSError as error:
            raise MediaError(f"--json {arguments.json}: cannot be written: {error.strerror or error}") from None
    if not arguments.quiet:
        for line in _table(report):
            say(line, sys.stdout)
    return 0


def _evaluated(arguments: argparse.Namespace) -> dict[str, Any]:
    from vidstyle.flow import make_estimator
    from vidstyle.media import check_style, kind_of, open_source, silence_codecs
    from vidstyle.settings import RunSettings, Settings

    silence_codecs()
    for path in (arguments.source, arguments.result):
        kind_of(path)
    for path in arguments.style:
        check_style(path)
    estimator = make_estimator(arguments.flow, arguments.flow_weights)

    from vidstyle.evaluate import FlowDirectory, NetworkJudge, evaluate
    from vidstyle.media import read_style

    truth = FlowDirectory(arguments.ground_truth, arguments.occlusions) if arguments.ground_truth else None
    part = Settings.from_mapping(
        {"run": {name: value for name in ("start", "end") if (value := getattr(arguments, name))}}, "--start, --end"
    ).run
    with contextlib.ExitStack() as stack:
        result = stack.enter_context(open_source(arguments.result, RunSettings()))
        size = result.info.height, result.info.width
        source = stack.enter_context(open_source(arguments.source, part.model_copy(update={"size": max(size)})))
        _check_shape(arguments, source.info, result.info)
        judge = None if arguments.no_losses else NetworkJudge([read_style(path) for path in arguments.style], size)
        rate = float(source.info.rate)
        with tqdm(total=result.info.frames, unit="frame", leave=False, disable=arguments.quiet or not sys.stderr.isatty()) as bar:
            found = evaluate(
                _sized(source.frames(), size, bar), result.frames(), rate, estimator,
                gaps=arguments.gaps, judge=judge, judged_every=arguments.judge_every, truth=truth,
            )  # fmt: skip
    if not found.summary["compared"]:
        raise MediaError(f"{arguments.source} and {arguments.result}: no frame to compare")
    return {
        "vidstyle": __version__, "source": str(arguments.source), "result": str(arguments.result),
        "styles": [str(path) for path in arguments.style],
        "width": size[1], "height": size[0], "rate": rate, "flow": arguments.flow,
        "normalisation": "VGG-19 of the Oxford group, activations of the 0-255 BGR input, mean subtracted: 5·MSE of relu4_2 and "
        "100·Σ MSE of Gram/(C·H·W) over relu1_1 … relu5_1; pictures in [0, 1] for the warping errors",
        **found.to_json(),
    }  # fmt: skip


def _check_shape(arguments: argparse.Namespace, source: MediaInfo, result: MediaInfo) -> None:
    """Two pixels may differ by rounding, or where a codec wanted even sides; more is another picture."""
    if abs(source.width - result.width) > 2 or abs(source.height - result.height) > 2:
        raise UsageError(
            f"{arguments.result}: frames of {result.width}×{result.height} have another shape than those of {arguments.source}, "
            f"which would be {source.width}×{source.height} at that size"
        )


def _sized(frames: Iterator[Frame], size: tuple[int, int], bar: Any) -> Iterator[Frame]:
    """The source's frames at the size of the result's."""
    from vidstyle.pixels import resized

    for frame in frames:
        bar.update()
        yield Frame(frame.index, frame.pts, frame.time_base, resized(frame.rgb, size), frame.name)


def _table(report: dict[str, Any]) -> Iterator[str]:
    """The report, as lines for people."""
    yield f"{report['result']} against {report['source']}: {report['compared']} frames of {report['width']}×{report['height']}"
    yield f"{len(report['shots'])} shot{'s' * (len(report['shots']) != 1)}, motion by {report['flow']}"
    yield ""
    yield f"{'':24}{'source':>12}{'result':>12}{'ratio':>9}{'norm':>9}{'e_stab':>9}{'reliable':>10}"
    for gap in sorted(int(name[3:]) for name in report if name.startswith("gap") and name[3:].isdigit()):
        row = report[f"gap{gap}"]
        yield (
            f"{f'warping error, gap {gap}':24}{_figure(row['source'], 12, 6)}{_figure(row['result'], 12, 6)}{_figure(row['ratio'], 9, 3)}"
            f"{_figure(row['norm'], 9, 3)}{_figure(row['e_stab'], 9, 4)}{_figure(row['reliable'], 10, 3)}"
        )
    if "true_flow" in report:
        row = report["true_flow"]
        yield f"{'  with the true flow':24}{_figure(row['source'], 12, 6)}{_figure(row['result'], 12, 6)}{_figure(row['ratio'], 9, 3)}"
    row = report["sharpness"]
    yield f"{'sharpness':24}{_figure(row['source'], 12, 1)}{_figure(row['result'], 12, 1)}{_figure(row['ratio'], 9, 3)}"
    if flicker := report["flicker"]:
        label = f"flicker above {flicker['above_hz']:g} Hz"
        ratio = flicker["result"] / flicker["source"] if flicker["source"] else None
        yield f"{label:24}{_figure(flicker['source'], 12, 3)}{_figure(flicker['result'], 12, 3)}{_figure(ratio, 9, 3)}"
    for name in ("luma", "saturation"):
        for shot, row in zip(report["shots"], report[f"{name}_drift"], strict=True):
            label = f"{name} drift" + (f", {shot[0]}-{shot[1] - 1}" if len(report["shots"]) > 1 else "")
            yield f"{label:24}{_percent(row['source'])}{_percent(row['result'])}"
    yield f"{'structure (SSIM)':24}{'':12}{_figure(report['structure'], 12, 3)}"
    for name in ("content", "style"):
        if report[name] is not None:
            yield f"{f'{name} loss':24}{'':12}{report[name]:12.4g}"
    if report["worst_pairs"]:
        worst = ", ".join(f"{pair['frame'] - 1}-{pair['frame']}" for pair in report["worst_pairs"][:5])
        yield f"least steady: frames {worst}"


def _figure(value: float | None, width: int, digits: int) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def _percent(value: float | None) -> str:
    return f"{'–':>12}" if value is None else f"{value:>+11.2%} "
