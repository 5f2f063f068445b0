"""A result against its source, frame by frame as both stream by: what `vidstyle-eval` reports."""

from __future__ import annotations

import heapq
import logging
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vidstyle.evaluate.flicker import BANDS, FLICKER_FROM, FlickerMeter
from vidstyle.evaluate.measures import chroma, luma, saturation, sharpness, structure
from vidstyle.flow import Flows, consistency, resized_where_known, warping_error
from vidstyle.flow.sampling import end_points, inside
from vidstyle.frames import FlowField, Frame
from vidstyle.shots import mark_cuts

__all__ = ["Evaluation", "Judge", "TrueFlow", "evaluate"]

logger = logging.getLogger(__name__)

_WORST = 10
_NOTHING = 1e-12
"""A warping error up to this is rounding."""


class Judge(Protocol):
    """Content and style loss of a picture; see `vidstyle.evaluate.NetworkJudge`."""

    def __call__(self, picture: npt.NDArray[np.uint8], source: npt.NDArray[np.uint8]) -> tuple[float, float | None]:
        """(content, style) of `picture`, which was made from `source`, in the field's units; style is None where no style is known."""
        ...


class TrueFlow(Protocol):
    """Flow that is known rather than estimated."""

    def __call__(self, index: int) -> tuple[FlowField, npt.NDArray[np.bool_]] | None:
        """At frame `index`, into the next one, and where it is known and not occluded; None where there is no such field."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    `frames` has a column for every quantity, a value a frame, NaN where there is none; `summary` is what the table shows.
    """

    summary: dict[str, Any]
    frames: dict[str, array[float]]

    def to_json(self) -> dict[str, Any]:
        """Everything, as numbers, lists and None."""
        return {
            **self.summary,
            "frames": {name: [None if value != value else value for value in column] for name, column in self.frames.items()},
        }


@dataclass(slots=True)
class _Seen:
    """What is kept of a frame while later ones are compared with it."""

    frame: Frame
    result: npt.NDArray[np.uint8]


def evaluate(
    source: Iterable[Frame],
    result: Iterable[Frame],
    rate: float,
    flows: Flows,
    *,
    gaps: Sequence[int] = (1, 10),
    judge: Judge | None = None,
    judged_every: int = 1,
    truth: TrueFlow | None = None,
) -> Evaluation:
    """Compares a result with its source, shot by shot (cuts are found in the source), pair by pair of frames.

    Frames are paired in their order; the rest of the longer film is left and said. Beside some numbers a
    frame, no more than the frames of the longest gap are held.

    Args:
        source: its frames.
        result: the stylised frames, of the same size.
        rate: frames a second.
        flows: between frames of the source; pairs that it knows nothing of are left out.
        gaps: frames between those that are compared; 1 is always among them.
        judge: content and style loss; None leaves them out.
        judged_every: one frame in so many is judged.
        truth: where given, the warping error at gap 1 under the true flow is reported too.

    Raises:
        ValueError: the pictures differ in size.
    """
    gaps = sorted({1, *gaps})
    columns = [
        "shot_start",
        *(f"{name}_{film}" for name in ("sharpness", "luma", "saturation", "cb", "cr") for film in ("source", "result")),
    ]
    columns += ["structure", "content", "style"]
    columns += [f"{name}_{gap}" for gap in gaps for name in ("warping_source", "warping_result", "reliable")]
    columns += ["true_source", "true_result", "true_reliable"] if truth is not None else []
    frames = {name: array("f") for name in columns}
    flicker = FlickerMeter(rate)
    seen: deque[_Seen] = deque(maxlen=max(gaps))
    worst: list[tuple[float, int, float, float]] = []

    for frame, picture, shot_start in _paired(source, result):
        if frame.rgb.shape != picture.shape:
            raise ValueError(f"frame {frame.index}: source and result differ in size: {frame.rgb.shape} and {picture.shape}")
        if shot_start:
            seen.clear()
        row = dict.fromkeys(columns, float("nan"))
        row["shot_start"] = float(shot_start)
        for name, rgb in (("source", frame.rgb), ("result", picture)):
            row[f"sharpness_{name}"] = sharpness(rgb)
            row[f"luma_{name}"] = float(luma(rgb).mean())
            row[f"saturation_{name}"] = saturation(rgb)
            row[f"cb_{name}"], row[f"cr_{name}"] = chroma(rgb)
        row["structure"] = structure(picture, frame.rgb)
        if judge is not None and len(frames["content"]) % judged_every == 0:
            content, style = judge(picture, frame.rgb)
            row["content"], row["style"] = content, float("nan") if style is None else style
        step: tuple[FlowField, FlowField] | None = None
        for gap in gaps:
            if len(seen) >= gap and flows.knows(frame, seen[-gap].frame):
                before = seen[-gap]
                flow, back = flows(frame, before.frame), flows(before.frame, frame)
                step = (flow, back) if gap == 1 else step
                trust = consistency(flow, back).reliable
                row[f"warping_source_{gap}"] = warping_error(frame.rgb, before.frame.rgb, flow, trust)
                row[f"warping_result_{gap}"] = warping_error(picture, before.result, flow, trust)
                row[f"reliable_{gap}"] = float(trust.mean())
        if row["warping_result_1"] == row["warping_result_1"]:
            own, painted = row["warping_source_1"], row["warping_result_1"]
            pair = (painted - own, frame.index, painted, own)  # what the source does too, as in a flash, is none of the painting's doing
            (heapq.heappush if len(worst) < _WORST else heapq.heappushpop)(worst, pair)
        if truth is not None and seen and (field := truth(seen[-1].frame.index)) is not None:
            flow, known = resized_where_known(*field, frame.rgb.shape[:2])
            trust = (known & inside(end_points(flow), flow.size)).astype(np.float32)
            row["true_source"] = warping_error(seen[-1].frame.rgb, frame.rgb, flow, trust)
            row["true_result"] = warping_error(seen[-1].result, picture, flow, trust)
            row["true_reliable"] = float(trust.mean())
        channels = [np.moveaxis(rgb, 2, 0) for rgb in (frame.rgb, picture)]
        flicker.add(channels, step[1] if step else None, step[0] if step else None)
        seen.append(_Seen(frame, picture))
        for name, value in row.items():
            frames[name].append(value)
    return Evaluation(_summary(frames, gaps, flicker, sorted(worst, reverse=True)), frames)


def _paired(source: Iterable[Frame], result: Iterable[Frame]) -> Iterator[tuple[Frame, npt.NDArray[np.uint8], bool]]:
    """Source frame, result, and whether a shot starts, until one of the films ends."""
    waiting: deque[npt.NDArray[np.uint8]] = deque()
    sources, results = iter(source), iter(result)

    def both() -> Iterator[Frame]:
        while (frame := next(sources, None)) is not None:
            painted = next(results, None)
            if painted is None:
                logger.warning("the result ends at frame %d, before the source; the rest is not compared", frame.index)
                return
            waiting.append(painted.rgb)
            yield frame
        if next(results, None) is not None:
            logger.warning("the source ends before the result, whose other frames are not compared")

    for frame, shot_start in mark_cuts(both()):
        yield frame, waiting.popleft(), shot_start


def _summary(
    frames: dict[str, array[float]], gaps: Sequence[int], flicker: FlickerMeter, worst: list[tuple[float, int, float, float]]
) -> dict[str, Any]:
    columns = {name: np.asarray(column, np.float64) for name, column in frames.items()}
    sharper = _over(_mean(columns["sharpness_result"]), _mean(columns["sharpness_source"]))
    starts = np.flatnonzero(columns["shot_start"] == 1)
    ends = [*(starts[1:] - 1), len(columns["shot_start"]) - 1] if len(starts) else []
    summary: dict[str, Any] = {
        "compared": len(columns["shot_start"]),
        "shots": [[int(start), int(end) + 1] for start, end in zip(starts, ends, strict=True)],
        "sharpness": {"source": _mean(columns["sharpness_source"]), "result": _mean(columns["sharpness_result"]), "ratio": sharper},
        "structure": _mean(columns["structure"]),
    }
    for gap in gaps:
        summary[f"gap{gap}"] = _steadiness(columns, (f"warping_source_{gap}", f"warping_result_{gap}", f"reliable_{gap}"), sharper)
    for name in ("luma", "saturation"):
        summary[f"{name}_drift"] = [
            {film: _drift(columns[f"{name}_{film}"][start : end + 1]) for film in ("source", "result")}
            for start, end in zip(starts, ends, strict=True)
        ]
    summary["color_drift"] = [
        {film: _color_drift(*(columns[f"{name}_{film}"][start : end + 1] for name in ("cb", "cr"))) for film in ("source", "result")}
        for start, end in zip(starts, ends, strict=True)
    ]
    for name in ("content", "style"):
        summary[name] = _mean(columns[name])
    if "true_source" in columns:
        summary["true_flow"] = _steadiness(columns, ("true_source", "true_result", "true_reliable"), sharper)
    measured = flicker.result()
    summary["flicker"] = measured and {
        "above_hz": FLICKER_FROM, "source": measured[0][0], "result": measured[0][1],
        "bands_from_hz": list(BANDS), "bands_source": measured[1][0], "bands_result": measured[1][1],
    }  # fmt: skip
    summary["worst_pairs"] = [{"frame": index, "result": painted, "source": own} for _, index, painted, own in worst]
    return summary


def _steadiness(columns: dict[str, npt.NDArray[np.float64]], names: tuple[str, str, str], sharper: float | None) -> dict[str, Any]:
    """The warping errors of pairs of frames, summed up.

    Args:
        columns: a value a frame, by name.
        names: of the source's errors, the result's, and the share that the flow is trusted in.
        sharper: the result's sharpness over the source's.
    """
    own, painted, reliable = (_mean(columns[name]) for name in names)
    still = own is not None and painted is not None and max(own, painted) <= _NOTHING
    ratio = 1.0 if still else _over(painted, own, _NOTHING)  # both stand still, the one as much as the other
    return {
        "source": own, "result": painted, "ratio": ratio, "norm": _over(ratio, sharper),
        "e_stab": None if painted is None else float(np.sqrt(painted)), "reliable": reliable,
        "pairs": int(np.isfinite(columns[names[1]]).sum()),
    }  # fmt: skip


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    """Over what was measured; None where nothing was."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _over(value: float | None, floor: float | None, nothing: float = 0.0) -> float | None:
    """value / floor; None where there is no such figure (a source that stands still has no floor: it is up to `nothing`)."""
    return None if value is None or floor is None or abs(floor) <= nothing else value / floor


def _drift(values: npt.NDArray[np.float64]) -> float | None:
    """Change from the first frame of a shot to its last, over the first."""
    return _over(float(values[-1] - values[0]), float(values[0]))


def _color_drift(blue: npt.NDArray[np.float64], red: npt.NDArray[np.float64]) -> float:
    """How far the mean colour moves from the first frame of a shot to its last in the plane of Cb and Cr, in levels of 255."""
    return float(np.hypot(blue[-1] - blue[0], red[-1] - red[0]))
