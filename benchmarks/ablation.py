"""What each part of the method buys: the same film with one part left out, or changed, at a time.

    python -m benchmarks.ablation [PART ...] [--clip CLIP] [--size 256] [--frames 24]

Every run paints the first frames of a clip in this process. What no flag turns off is replaced for the run by what it improved on.
Judged with DIS, as in benchmarks.quality; the objective is the mean of the last six frames over that of the whole method, which
is measured first unless the JSON has it for the same frames and defaults. What the JSON has of other parts stays, if it was measured so,
and what it has of other clips.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch

import vidstyle
from benchmarks.machine import describe_machine, save, saved
from benchmarks.quality import CLIPS, STYLE, frames_in, frames_of
from vidstyle.evaluate import NetworkJudge, evaluate
from vidstyle.flow import Consistency, make_flows, warp
from vidstyle.flow.refined import Refined
from vidstyle.frames import FlowField
from vidstyle.media import read_style
from vidstyle.pipeline import JobOptions, stylize
from vidstyle.settings import Settings, preset_values

JUDGED = 6
PRINTED = ("norm1", "norm10", "sharpness", "flicker", "objective", "steps_a_frame", "seconds_a_frame", "seconds")


def bicubic(image: Any, flow: Any, mode: str = "bicubic") -> Any:
    """`warp` as the paper's program has it."""
    return warp(image, flow, "bicubic" if mode == "sinc" else mode)  # type: ignore[arg-type]


def plain_fill(start: Any, known: Any, painted: Any, source: Any) -> Any:
    """New pixels stay as the flow has drawn them."""
    return start


def uncalmed(start: Any, weights: Any) -> Any:
    """Specks stay."""
    return start


def from_content(start: Any, known: Any, painted: Any, source: Any) -> Any:
    """The start that one thinks of first: the source wherever the flow is not trusted."""
    trust = torch.from_numpy(known.trust)[None, None]
    return torch.lerp(source, start, trust)


def from_source(start: Any, known: Any, painted: Any, source: Any) -> Any:
    """No start at all from the frame before."""
    return source


def not_stretched(flow: Any) -> Any:
    return np.zeros(flow.size, bool)


def softened(tests: Any) -> Any:
    """Trust that fades towards what is distrusted (σ 2 pixels)."""
    mask = reliable(tests)
    return mask * cv2.GaussianBlur(mask, (0, 0), 2)


refined, reliable = Refined.__call__, Consistency.reliable.fget  # as they are before a run replaces them


def at_half_size(estimator: Any, current: Any, reference: Any, initial: Any = None) -> Any:
    height, width = current.shape[:2]
    small = refined(
        estimator, *(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA) for picture in (current, reference))
    )
    grown = [cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in small.data]
    return FlowField(np.stack([grown[0] * width / (width // 2), grown[1] * height / (height // 2)]).astype(np.float32))


def with_median(estimator: Any, current: Any, reference: Any, initial: Any = None) -> Any:
    """Edges of motion sharpened by the median of 5×5 vectors, after which the tests are made."""
    return FlowField(np.stack([cv2.medianBlur(part, 5) for part in refined(estimator, current, reference, initial).data]))


def where_the_flow_failed(stylizer: Any, nearest: Any, guidance: Any = None) -> Any:
    """Every pixel whose flow is trusted keeps the painting of the frame before."""
    return np.maximum(nearest.trust, nearest.still)


REPAINTED: dict[str, Any] = {"temporal": {"repaint_still": True}}
ONE_REFERENCE: dict[str, Any] = {"temporal": {"references": [1]}}
FROM_SOURCE: dict[str, Any] = {"temporal": {"references": [1], "repaint_still": True}}
PARTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "all": ("the method", {}, {}),
    "start": ("no temporal loss, the start alone (--temporal-weight 0)", {"temporal": {"weight": 0, "drift_weight": 0}}, {}),
    "loss": (
        "no start, no older frames: the loss alone, from the source",
        FROM_SOURCE,
        {"vidstyle.stylizer.fill_new": from_source, "vidstyle.stylizer.calmed": uncalmed},
    ),
    **{f"steps-{n}": (f"{n} steps a frame (--iterations {n})", {"optimize": {"iterations": n}}, {}) for n in (7, 10, 14, 20)},
    "passes": ("three passes (--passes 3 --iterations 12)", {"temporal": {"passes": 3}, "optimize": {"iterations": 12}}, {}),
    "gain": ("steps that gain nothing are made too (--least-gain 0)", {"optimize": {"least_gain": 0}}, {}),
    "still": ("what stands still is painted on (--repaint-still)", REPAINTED, {}),
    "references": ("no older frames (--references 1)", ONE_REFERENCE, {}),
    "drift": ("no drift term (--drift-weight 0)", {"temporal": {"drift_weight": 0}}, {}),
    "curvature": ("no curvature carried (--carried 0)", {"optimize": {"carried": 0}}, {}),
    "raw-flow": ("Farnebäck unrefined (--flow farneback-raw)", {"flow": {"estimator": "farneback-raw"}}, {}),
    "half-flow": ("flow at half the size", {}, {"vidstyle.flow.refined.Refined.__call__": at_half_size}),
    "median-flow": ("flow with a median of 5×5 vectors", {}, {"vidstyle.flow.refined.Refined.__call__": with_median}),
    "soft-mask": (
        "trust that fades towards what is distrusted",
        {},
        {"vidstyle.flow.consistency.Consistency.reliable": property(softened)},
    ),
    "no-flow": ("no flow (--flow none)", {"flow": {"estimator": "none"}}, {}),
    "sinc": ("pictures moved bicubically", {}, {"vidstyle.stylizer.warp": bicubic}),
    "fade": ("the finest detail not faded", {}, {"vidstyle.flow.warp._FINEST_KEPT": 1.0}),
    "fade-color": ("the colours of fine detail not faded", {}, {"vidstyle.flow.warp._COLORED_KEPT": 1.0}),
    "fill": ("new pixels not filled", {}, {"vidstyle.stylizer.fill_new": plain_fill}),
    "content-fill": (
        "distrusted pixels start from the source, no older frames",
        ONE_REFERENCE,
        {"vidstyle.stylizer.fill_new": from_content, "vidstyle.stylizer.calmed": uncalmed},
    ),
    "calm": ("what nothing answers for not blurred", {}, {"vidstyle.stylizer.calmed": uncalmed}),
    "stretched": ("stretched flow trusted", {}, {"vidstyle.motion.stretched": not_stretched}),
    "settled": ("first frame not settled (--first-iterations 36)", {"optimize": {"first_iterations": 36}}, {}),
    "failed-only": ("steps only where the flow failed", {}, {"vidstyle.stylizer.Stylizer.rest": where_the_flow_failed}),
    "first-step": ("the whole of the first step that carried curvature asks for", {}, {"vidstyle.stylizer.HANDED_ON": 1.0}),
    "carried": ("20 carried pairs (--carried 20)", {"optimize": {"carried": 20}}, {}),
    "history": ("a history of 40 (--history 40)", {"optimize": {"history": 40}}, {}),
    "half-weight": ("half the temporal weight (--temporal-weight 2500)", {"temporal": {"weight": 2500.0}}, {}),
    "first-60": (
        "first frame as in draft (--first-iterations 60 --tolerance 1e-3)",
        {"optimize": {"first_iterations": 60, "tolerance": 1e-3}},
        {},
    ),
    "first-300": (
        "first frame as in fine (--first-iterations 300 --tolerance 1e-5)",
        {"optimize": {"first_iterations": 300, "tolerance": 1e-5}},
        {},
    ),
    "dis-flow": ("motion by DIS alone (--flow dis)", {"flow": {"estimator": "dis"}}, {}),
    "two-passes": ("two passes of ten steps (--passes 2 --iterations 10)", {"temporal": {"passes": 2}, "optimize": {"iterations": 10}}, {}),
    "adam": ("Adam (--optimizer adam)", {"optimize": {"optimizer": "adam"}}, {}),
    "hold": ("the deepest layer looked at in every step", {}, {"vidstyle.stylizer._HOLD": 1}),
    "winograd": ("without Winograd's method", {}, {"vidstyle.vgg.pays": lambda *layer: False}),
    "draft": ("--preset draft", preset_values("draft"), {}),
    "fine": ("--preset fine", preset_values("fine"), {}),
    "alone": ("every frame by itself (--framewise --smoothing 0)", {"temporal": {"framewise": True, "smoothing": 0}}, {}),
}
"""Name → what is left out, by settings, by replacement."""


@contextlib.contextmanager
def replaced(replacements: dict[str, Any]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name, value in replacements.items():
            stack.enter_context(mock.patch(name, value))
        yield


def measure(name: str, clip: Path, size: int, frames: int) -> dict[str, Any]:
    what, settings, replacements = PARTS[name]
    run = {"run": {"size": size, "end": f"{frames}f"}}
    with tempfile.TemporaryDirectory() as scratch, replaced(replacements):
        began, log = time.monotonic(), Path(scratch) / "log.jsonl"
        stylize(clip, [STYLE], Path(scratch) / "frames", Settings.layered([run, settings]), JobOptions(log_json=log))
        seconds = time.monotonic() - began
        painted = frames_of(Path(scratch) / "frames", None)
        following = frames_in(log)[1:]
    source = frames_of(clip, size)[:frames]
    judge = NetworkJudge([read_style(STYLE)], source[0].rgb.shape[:2])
    found = evaluate(source, painted, 24.0, make_flows("dis"))
    losses = [sum(part or 0 for part in judge(b.rgb, a.rgb)) for a, b in zip(source[-JUDGED:], painted[-JUDGED:], strict=True)]
    summary = found.summary
    return {
        "part": name, "left_out": what, "norm1": summary["gap1"]["norm"], "norm10": summary["gap10"]["norm"],
        "ratio1": summary["gap1"]["ratio"], "sharpness": summary["sharpness"]["ratio"],
        "flicker": summary["flicker"] and summary["flicker"]["result"] / summary["flicker"]["source"],
        "objective": float(np.mean(losses)), "seconds": round(seconds, 1),
        "steps_a_frame": float(np.mean([line["steps"] for line in following])),
        "seconds_a_frame": float(np.median([line["seconds"] for line in following])),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[part for part in PARTS if part != "all"], help=f"of {', '.join(PARTS)}")
    parser.add_argument("--clip", type=Path, default=CLIPS[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    print(json.dumps(describe_machine()))
    print(f"{'left out or changed':66}" + "".join(f"{name:>{len(name) + 3}}" for name in PRINTED))
    job: dict[str, Any] = {"clip": options.clip.name, "size": options.size, "frames": options.frames, "code": code()}
    rows = measured_before(job)
    for name in ["all", *options.parts] if "all" not in rows else options.parts:
        rows[name] = job | measure(name, options.clip, options.size, options.frames)
        relative = rows[name] | {"objective": rows[name]["objective"] / rows["all"]["objective"]}
        print(f"{relative['left_out']:66}" + "".join(f"{relative[name]:{len(name) + 3}.3f}" for name in PRINTED), flush=True)
        path = save("ablation", list(rows.values()), "clip", "size", "frames", "part", "code")
    print(f"\nwritten: {path}")


def code() -> str:
    """Checksum of the program's own files."""
    files = sorted(Path(vidstyle.__file__).parent.rglob("*.py"))
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in files)):08x}"


def measured_before(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Part → row of an earlier run on the same frames, with the same program."""
    return {row["part"]: row for row in saved("ablation") if job.items() <= row.items()}


if __name__ == "__main__":
    main()
