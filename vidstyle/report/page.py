"""The page itself: one HTML file that needs nothing else, neither a network nor a file beside it."""

from __future__ import annotations

import base64
import io
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from vidstyle import __version__
from vidstyle.device import machine
from vidstyle.errors import UsageError
from vidstyle.evaluate import Evaluation, evaluate
from vidstyle.flow import Flows, consistency, error_picture, flow_picture, make_flows, trust_picture
from vidstyle.frames import Frame
from vidstyle.joblog import same_output
from vidstyle.media import WebM, check_apart, check_output, open_source, read_style, write_whole
from vidstyle.pixels import resized
from vidstyle.report.charts import Line, chart
from vidstyle.settings import RunSettings, Settings, flag_table
from vidstyle.words import duration, frames, legible

__all__ = ["Subject", "check_report", "write_report"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

_SHOWN_SECONDS = 30.0
"""Of a longer film the player shows the beginning, so that the page can still be sent."""
_SHOWN_SIDE = 640
"""Pixels of a picture in the player at most."""
_GAP = 16
"""Rows between source and result in the player's film, so that neither colours the other's edge."""
_SHOWN_PAIRS, _SHOWN_SHOTS = 5, 60
_VIEW, _THUMBNAIL = 480, 160
"""Longest sides of pictures that explain a pair, and of those in lists, in pixels."""
_TERMS = {
    "content": "content",
    "style": "style",
    "histogram": "histogram",
    "tv": "total variation",
    "drift": "drift",
    "overflow": "overflow",
}
_LIBRARIES = ("torch", "opencv-python", "av", "numpy")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a page is about."""

    source: Path
    result: Path
    """What was made of it, by whatever program."""
    styles: Sequence[Path] = ()
    span: RunSettings = field(default_factory=RunSettings)
    """Which part of the source the result begins and ends with, and at what rate."""
    painted: RunSettings = field(default_factory=RunSettings)
    """Which part of what stands at `result` it is: all, but of a sequence, beside whose frames others may lie."""
    settings: Settings | None = None
    """Of the job; None where it is not known."""
    log: Path | None = None
    """The job's lines of JSON (`vidstyle.pipeline.JobOptions.log_json`)."""
    called: str | None = None
    """What they call the result, where that is not its path."""
    seconds: float | None = None
    """That the job took."""


def check_report(page: Path, overwrite: bool = False) -> None:
    """Whether a page can be written there.

    Raises:
        UsageError: another ending than .html, or it cannot be written there.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {page}: a report is a page; give a name that ends in .html, or none")
    check_output(page, "image", Settings().encode, overwrite)


def write_report(
    subject: Subject, page: Path, *, found: Evaluation | None = None, flows: Flows | None = None, overwrite: bool = False
) -> None:
    """Writes the page about a result.

    Args:
        subject: what it is about.
        page: the HTML file.
        found: what `vidstyle.evaluate.evaluate` has found; evaluated here, without a judge, if left out.
        flows: motion between frames of the source, as in the evaluation; DIS if left out.
        overwrite: replace what stands at `page`.

    Raises:
        UsageError: the page cannot be written there, or source and result do not belong together.
        MediaError: a film or picture cannot be read, or the page cannot be written.
    """
    check_apart({"--report": page}, [subject.source, subject.result, *subject.styles])
    check_report(page, overwrite)
    flows = flows or make_flows("dis")
    if found is None:
        with _opened(subject) as (source, result, rate):
            found = evaluate(source, result, rate, flows)
    write_whole(page, legible(_rendered(_content(subject, found, _looked_through(subject, found), flows))).encode())


@contextmanager
def _opened(subject: Subject) -> Iterator[tuple[Iterator[Frame], Iterator[Frame], float]]:
    """The source's frames at the size of the result's, the result's, and frames a second."""
    with open_source(subject.source, subject.span) as source, open_source(subject.result, subject.painted) as result:
        timed = result if source.info.kind != "video" and result.info.kind == "video" else source
        size = result.info.height, result.info.width
        sized = (replace(frame, rgb=resized(frame.rgb, size), deep=None) for frame in source.frames())
        yield sized, result.frames(), float(timed.info.rate)


@dataclass(slots=True)
class _Seen:
    """What is kept of one walk through source and result."""

    size: tuple[int, int] = (0, 0)
    """(height, width) of the result's frames."""
    shown: tuple[int, int] = (0, 0)
    """The same in the player."""
    film: bytes = b""
    """The player's film, or its picture where there is one frame only."""
    times: list[float] = field(default_factory=list)
    frames: dict[int, tuple[Frame, Frame]] = field(default_factory=dict)
    """Position -> source and result, of those that are looked at closely."""


def _looked_through(subject: Subject, found: Evaluation) -> _Seen:
    """Walks through source and result once."""
    pairs = found.summary["worst_pairs"][:_SHOWN_PAIRS]
    wanted = {pair["frame"] - back for pair in pairs for back in (0, 1)} | {shot[0] for shot in found.summary["shots"][:_SHOWN_SHOTS]}
    seen, film, opening, last = _Seen(), None, Fraction(0), max(wanted, default=0)
    with _opened(subject) as (source, result, rate):
        for position, (before, after) in enumerate(zip(source, result, strict=False)):
            if film is None:
                seen.size = after.rgb.shape[0], after.rgb.shape[1]
                seen.shown, opening = _shown_size(*seen.size), after.seconds
                film = WebM((2 * seen.shown[0] + _GAP, seen.shown[1]), Fraction(rate))
                seen.film = _jpeg(_stacked(before.rgb, after.rgb, seen.shown))
            if is_shown := after.seconds - opening < _SHOWN_SECONDS:
                film.add(_stacked(before.rgb, after.rgb, seen.shown), after.seconds - opening)
            if position in wanted:
                seen.frames[position] = before, after
            if not is_shown and position >= last:
                break
    if film is None:
        raise UsageError(f"{subject.result}: holds no frame")
    seen.times = film.times
    if len(seen.times) > 1:
        seen.film = film.finished()
    return seen


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) in which a picture of this size is shown: no larger than it is, with even sides."""
    factor = min(_SHOWN_SIDE / max(height, width), 1.0)
    return max(2 * round(height * factor / 2), 2), max(2 * round(width * factor / 2), 2)


def _stacked(source: Picture, result: Picture, size: tuple[int, int]) -> Picture:
    """Both at `size`, the source above: the player's film has both in every picture, so that nothing has to keep them in step."""
    above, below = resized(source, size), resized(result, size)
    return np.vstack([above, np.zeros((_GAP, size[1], 3), np.uint8), below])


def _content(subject: Subject, found: Evaluation, seen: _Seen, flows: Flows) -> dict[str, Any]:
    """What the template shows."""
    columns = {name: np.asarray(column, np.float64) for name, column in found.frames.items()}
    lines = _lines(subject, len(columns["shot_start"]))
    if not lines["terms"]:  # no job has told any: those of the judge, if there was one
        lines["terms"] = {name: columns[name] for name in ("content", "style") if np.isfinite(columns[name]).any()}
    cuts = [shot[0] for shot in found.summary["shots"]]
    charts = [
        chart(
            "Warping error",
            [Line("painting", columns["warping_result_1"]), Line("source, the floor", columns["warping_source_1"])],
            cuts,
            logarithmic=True,
        ),
        chart("Losses", [Line(name, values) for name, values in lines["terms"].items()], cuts, logarithmic=True),
        chart("Seconds a frame", [Line("seconds", lines["seconds"])], cuts, unit="s"),
        chart("Steps a frame", [Line("steps", lines["steps"])], cuts),
        chart("Share of the picture whose flow is trusted", [Line("trusted", columns["reliable_1"])], cuts),
    ]
    several = len(columns["shot_start"]) > 1
    return {
        "source": subject.source.name,
        "result": subject.result.name,
        "styles": [_shown(read_style(path), _VIEW // 2, path.name) for path in subject.styles],
        "width": seen.shown[1],
        "height": seen.shown[0],
        "gap": _GAP,
        "film": _text(seen.film),
        "times": seen.times,
        "beyond": len(columns["shot_start"]) - len(seen.times),
        "figures": _figures(subject, found, seen.size),
        "charts": [one for one in charts if one is not None] if several else [],
        "terms": {} if several else {name: f"{values[0]:.4g}" for name, values in lines["terms"].items()},
        "pairs": [_pair(pair, seen, flows) for pair in found.summary["worst_pairs"][:_SHOWN_PAIRS]],
        "shots": [_shot(number, shot, columns, seen) for number, shot in enumerate(found.summary["shots"][:_SHOWN_SHOTS], start=1)],
        "more_shots": max(len(found.summary["shots"]) - _SHOWN_SHOTS, 0),
        "settings": [] if subject.settings is None else _settings(subject.settings),
        "made_with": _made_with(),
    }


def _lines(subject: Subject, count: int) -> dict[str, Any]:
    """What the job has told of every frame's last painting, by position; what all passes took together.

    What is not there, or is no file that can be read again, leaves NaN. Lines about other results, which another job has put there, are
    passed over.
    """
    log, own = subject.log, same_output(subject.called or subject.result)
    nothing = np.full(count, np.nan)
    found: dict[str, Any] = {"seconds": nothing.copy(), "steps": nothing.copy(), "terms": {}}
    if log is None or not log.is_file():
        return found
    with log.open(encoding="utf-8") as text:
        for line in map(json.loads, text):
            if (index := line["index"]) >= count or same_output(line.get("output", own)) != own:
                continue
            for name in ("seconds", "steps"):
                found[name][index] = np.nansum([found[name][index], line[name]])
            for term, value in line["terms"].items():
                name = _TERMS.get(term, term.replace("temporal_", "temporal, reference "))
                found["terms"].setdefault(name, nothing.copy())[index] = value
    return found


def _figures(subject: Subject, found: Evaluation, size: tuple[int, int]) -> list[tuple[str, str, str]]:
    """The figures at the top: what, how much, and what that means."""
    summary = found.summary
    gap, count = summary["gap1"], summary["compared"]
    shots = len(summary["shots"])
    rows = [("size", f"{size[1]}×{size[0]}", frames(count) + (f", {shots} shots" if shots > 1 else ""))]
    if gap["ratio"] is not None:
        # The command, whose settings these are, has told another figure.
        other = (
            "" if subject.settings is None else "; the command's last line goes by the flow it painted with, before colours and strength"
        )
        means = f"times the source's, from frame to frame along the judge's own flow; 1 is as steady{other}"
        rows.append(("warping error", f"{gap['ratio']:.2f}", means))
    if gap["norm"] is not None:
        rows.append(("norm", f"{gap['norm']:.2f}", "the same over how much sharper the painting is; lower is steadier"))
    sharper = summary["sharpness"]["ratio"]
    if sharper is not None:
        rows.append(("sharpness", f"{sharper:.2f}", "times the source's"))
    rows.append(("structure", f"{summary['structure']:.2f}", "SSIM with the source; 1 is the same"))
    if subject.seconds is not None:
        rows.append(("time", duration(subject.seconds), f"{subject.seconds / count:.2f} s a frame"))
    return rows


def _pair(pair: Mapping[str, Any], seen: _Seen, flows: Flows) -> dict[str, Any]:
    """Two frames between which the result moves otherwise than the source."""
    (earlier, painted_before), (frame, painted) = seen.frames[pair["frame"] - 1], seen.frames[pair["frame"]]
    flow, back = flows(frame, earlier), flows(earlier, frame)
    trust = consistency(flow, back)
    moved, longest = flow_picture(flow)
    said = f"frame {pair['frame']}"
    return {
        "frame": pair["frame"],
        "result": f"{pair['result']:.3g}",
        "source": f"{pair['source']:.3g}",
        "seen": seen.times[pair["frame"]] if pair["frame"] < len(seen.times) else None,
        "views": [
            _shown(frame.rgb, _VIEW, f"source, {said}"),
            _shown(painted_before.rgb, _VIEW, f"painting, frame {pair['frame'] - 1}"),
            _shown(painted.rgb, _VIEW, f"painting, {said}"),
            _shown(moved, _VIEW, f"flow back to the frame before: direction as colour, up to {longest:.1f} pixels"),
            _shown(trust_picture(trust), _VIEW, "trusted (white); hidden before (orange), edge of a motion (blue), outside (grey)"),
            _shown(error_picture(painted.rgb, painted_before.rgb, flow, trust.reliable), _VIEW, "where the painting does not follow"),
        ],
    }


def _shot(number: int, shot: Sequence[int], columns: Mapping[str, npt.NDArray[np.float64]], seen: _Seen) -> dict[str, Any]:
    first, end = shot
    frame, painted = seen.frames[first]
    inside = slice(first + 1, end)
    own, result = (np.nansum(columns[f"warping_{film}_1"][inside]) for film in ("source", "result"))
    return {
        "number": number,
        "frames": f"{first}–{end - 1}" if end - 1 > first else f"{first}",
        "at": f"{float(painted.seconds):.2f} s",
        "ratio": f"{result / own:.2f}" if own > 0 else "–",
        "pictures": [_shown(frame.rgb, _THUMBNAIL, f"source, frame {first}"), _shown(painted.rgb, _THUMBNAIL, f"painting, frame {first}")],
    }


def _settings(settings: Settings) -> list[dict[str, Any]]:
    """Every setting with a flag: those that were chosen first."""
    rows = []
    for row in flag_table():
        value = getattr(getattr(settings, row.section), row.key)
        said = (
            Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value
        )  # whose disk it was does not matter
        rows.append({"flag": row.flag, "value": _plain(said), "text": row.text, "chosen": value != row.default})
    return sorted(rows, key=lambda row: not row["chosen"])


def _plain(value: object) -> str:
    if value is None:
        return "–"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _made_with() -> dict[str, str]:
    found = machine()
    return {
        "vidstyle": __version__,
        **{name: version(name) for name in _LIBRARIES},
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{found['processor']}, {found['cores']} cores" + (f", {found['memory_gb']} GB" if found["memory_gb"] else ""),
        "GPU": found["gpu"] or "none",
    }


def _shown(picture: Picture, longest: int, caption: str) -> dict[str, Any]:
    """A picture in the page."""
    height, width = picture.shape[:2]
    factor = min(longest / max(height, width), 1.0)
    small = resized(picture, (max(round(height * factor), 1), max(round(width * factor), 1)))
    return {"data": _text(_jpeg(small)), "caption": caption, "width": small.shape[1], "height": small.shape[0]}


def _jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _rendered(content: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vidstyle", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("template.html").render(content)
