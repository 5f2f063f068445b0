"""What a GPU makes of it: its matrix peak, a step at film sizes in each number format, whole jobs, and whether the CPU agrees.

    make bench-gpu        (python -m benchmarks.gpu [--device cuda] [--sizes 1024x436 1920x1080] [--frames 24])

A step is one of L-BFGS with all that belongs to it, the losses read late and never waited for. Its share of the peak is that of the
convolutions' multiplications alone, forwards and, for the picture, backwards; what a frame takes to record its steps is told apart. The
film is a photograph under a pan, so that it needs no media; frames are counted from the second half on. One job is done with `--flow dis`
too, and every job says how many frames a second there would be if the device did steps alone. The check paints the same few small
frames on the CPU, and twice on the device in every format: objective and steadiness of what is saved, and whether the two are the same
to the bit. `--device cpu` with small sizes shows that the benchmark runs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import numpy.typing as npt
import torch

import vidstyle.stylizer
from benchmarks.machine import describe_machine, save
from benchmarks.quality import STYLE, frames_in, frames_of
from vidstyle.device import matrix_units, resolve_device
from vidstyle.evaluate import evaluate, objective_of
from vidstyle.flow import make_flows
from vidstyle.frames import Frame
from vidstyle.media import read_style
from vidstyle.objective import Evaluation, Objective
from vidstyle.optimize import lbfgs
from vidstyle.pipeline import JobOptions, stylize
from vidstyle.pixels import resized, to_tensor
from vidstyle.recording import Record, Recorder, Work, graphs
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer
from vidstyle.targets import content_targets
from vidstyle.terms import Region, build_terms
from vidstyle.vgg import multiplications

FORMATS = ("float32", "tf32", "bfloat16")
STEPS = 40
WORSE = 1.02
"""Objective of the saved frames over the CPU's from which something is wrong."""
UNSTEADIER = 1.25
"""The same for their warping error over the source's; more, since a film of so few small frames has little to take the mean of."""
CHECK = (96, 72), 4
"""Width and height, and frames, of the film that the CPU paints too."""


def settings_of(device: str, precision: str, flow: str | None = None) -> Settings:
    chosen: dict[str, Any] = {"run": {"device": device, "precision": precision}}
    return Settings.from_mapping(chosen if flow is None else chosen | {"flow": {"estimator": flow}})


def waited(device: torch.device, work: Callable[[], Any]) -> float:
    """Seconds until the device has done all of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def peak(device: torch.device, precision: Any, side: int) -> float:
    """The matrix products the device manages, in 10¹² multiplications and additions a second: the median of ten."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    with matrix_units(precision, device):
        times = [waited(device, lambda: a @ b) for _ in range(12)][2:]
    return 2 * side**3 / float(np.median(times)) / 1e12


class Timed:
    """Makes recordings, and keeps the seconds that each took."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: list[float] = []
        self._device, self._record = device, graphs(device)

    def __call__(self, work: Work, first: bool) -> tuple[Callable[[], None], Evaluation]:
        made: list[tuple[Callable[[], None], Evaluation]] = []
        self.seconds.append(waited(self._device, lambda: made.append(self._record(work, first))))
        return made[0]


def step(device: torch.device, precision: str, size: tuple[int, int]) -> dict[str, Any]:
    """A step's seconds on a picture of `size` (width, height), played from a recording as in a job, and as it comes; and what it takes."""
    settings = settings_of(str(device), precision)
    width, height = size
    source = to_tensor(resized(read_style(STYLE), (height, width)), device)
    stylizer = Stylizer(settings, [read_style(STYLE)], (height, width))
    with matrix_units(settings.run.precision, device):
        content = content_targets(stylizer.network, source, settings)
        terms = build_terms(settings, content, [Region(stylizer.targets(stylizer.size))])
        start = source.flip(3)
        timed = Timed(device) if device.type == "cuda" else None
        recorder = None if timed is None else Recorder(timed)

        def seconds_a_step(recorder: Recorder | None) -> float:
            """Without what it takes to record them."""

            def work() -> float:
                objective = Objective(stylizer.network, terms)
                before = len(timed.seconds) if timed is not None else 0
                taken = waited(device, lambda: lbfgs(objective if recorder is None else recorder(objective), start, STEPS))
                return taken if timed is None else taken - sum(timed.seconds[before:])

            work()
            return float(np.median([work() / STEPS for _ in range(3)]))

        plain = seconds = seconds_a_step(None)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            seconds = seconds_a_step(recorder)
    work = 4 * multiplications(height, width, settings.layers)
    found: dict[str, Any] = {
        "size": f"{width}×{height}", "precision": precision, "milliseconds": round(1000 * seconds, 3),
        "milliseconds_not_recorded": round(1000 * plain, 3), "tflops": round(work / seconds / 1e12, 2),
        "recordings": 0 if recorder is None else recorder.recordings,
        # the first takes what is loaded for it too
        "milliseconds_to_record": round(1000 * float(np.median(timed.seconds[1:] or timed.seconds)), 3) if timed and timed.seconds else 0.0,
    }  # fmt: skip
    for name, asked in (("bytes_a_pixel", torch.cuda.max_memory_allocated), ("reserved_bytes_a_pixel", torch.cuda.max_memory_reserved)):
        found[name] = round(asked(device) / (width * height)) if device.type == "cuda" else None
    return found


def film(directory: Path, size: tuple[int, int], frames: int) -> Path:
    """Frames of a photograph under a pan of 2.5 and 0.5 pixels a frame."""
    width, height = size
    directory.mkdir()
    picture = resized(read_style(STYLE), (height + frames, width + 3 * frames))
    for number in range(frames):
        shift = np.array([[1, 0, -2.5 * number], [0, 1, -0.5 * number]])
        seen: npt.NDArray[np.uint8] = np.asarray(cv2.warpAffine(picture, shift, (width, height), flags=cv2.INTER_CUBIC), np.uint8)
        cv2.imwrite(str(directory / f"{number:04}.png"), seen[:, :, ::-1])
    return directory


def job(device: str, precision: str, frames: Path, output: Path, flow: str | None = None) -> dict[str, Any]:
    """A whole job by the settings' defaults but for the flow, whose frames are saved: seconds a frame, the mean over its second half."""
    log, settings = output.with_suffix(".jsonl"), settings_of(device, precision, flow)
    recorders: list[Recorder] = []

    def watched(record: Record) -> Recorder:
        recorders.append(Recorder(record))
        return recorders[-1]

    with mock.patch.object(vidstyle.stylizer, "Recorder", watched):
        stylize(frames, [STYLE], output, settings, JobOptions(log_json=log))
    lines = frames_in(log)
    later = lines[len(lines) // 2 :]  # flow that was found ahead while the first frame was painted is used up by then
    seconds, steps = ([line[name] for line in later] for name in ("seconds", "steps"))
    return {
        "precision": precision, "flow": settings.flow.estimator,
        "seconds_a_frame": round(float(np.mean(seconds)), 4), "steps_a_frame": float(np.mean(steps)),
        "recordings": sum(recorder.recordings for recorder in recorders), "frames": len(lines),
    }  # fmt: skip


def if_flow_were_free(job: dict[str, Any], steps: list[dict[str, Any]]) -> float:
    """Frames a second of a job whose frames took their steps and the recording of them, and nothing else."""
    one = next(row for row in steps if (row["size"], row["precision"]) == (job["size"], job["precision"]))
    return float(1000 / (one["milliseconds_to_record"] + job["steps_a_frame"] * one["milliseconds"]))


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two directories hold the same files."""
    names = [sorted(path.name for path in directory.iterdir()) for directory in (one, other)]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])


def steadiness(source: Sequence[Frame], painted: Sequence[Frame]) -> float:
    """Warping error over the source's, by DIS: norm1."""
    return float(evaluate(source, painted, 24.0, make_flows("dis"), gaps=(1,)).summary["gap1"]["norm"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", nargs="+", default=["1024x436", "1920x1080"])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--product", type=int, default=8192, help="side of the matrices whose product gives the peak")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.exit(
            1, "this machine has no CUDA device that torch can use; --device cpu --sizes 96x64 --frames 3 --product 512 is a trial run\n"
        )
    device = resolve_device(options.device)
    sizes = [(int(width), int(height)) for width, height in (text.split("x") for text in options.sizes)]
    print(json.dumps(describe_machine()))
    figures: dict[str, Any] = {"peaks": {}, "steps": [], "jobs": [], "check": []}
    for precision in options.formats:
        figures["peaks"][precision] = round(peak(device, precision, options.product), 2)
        print(f"{precision:10} matrix peak {figures['peaks'][precision]:8.1f} TFLOP/s", flush=True)
    for size in sizes:
        for precision in options.formats:
            row = step(device, precision, size)
            row["share_of_peak"] = round(row["tflops"] / figures["peaks"][precision], 3)
            figures["steps"].append(row)
            print(
                f"{row['size']:12}{precision:10}{row['milliseconds']:10.2f} ms a step ({row['milliseconds_not_recorded']:.2f} not recorded)"
                f"{row['tflops']:9.1f} TFLOP/s, "
                f"{row['share_of_peak']:.0%} of the peak, {row['bytes_a_pixel']} bytes a pixel ({row['reserved_bytes_a_pixel']} reserved), "
                f"{row['milliseconds_to_record']:.1f} ms to record" + ("" if row["recordings"] else "; NOT RECORDED"),
                flush=True,
            )
    save("gpu", [figures])  # what there is, should the rest take too long
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            frames = film(Path(scratch) / f"film{size[0]}", size, options.frames)
            formats = options.formats[-2:]
            for precision, flow in [*((one, None) for one in formats), (formats[0], "dis")]:
                output = Path(scratch) / f"{size[0]}{precision}{flow}"
                row = {"size": f"{size[0]}×{size[1]}", **job(options.device, precision, frames, output, flow)}
                row["frames_a_second_if_flow_were_free"] = round(if_flow_were_free(row, figures["steps"]), 3)
                figures["jobs"].append(row)
                print(
                    f"{row['size']:12}{precision:10}{row['flow']:12}{1 / row['seconds_a_frame']:8.2f} frames a second"
                    f" ({row['frames_a_second_if_flow_were_free']:.2f} if flow were free), {row['steps_a_frame']:.1f} steps each,"
                    f" {row['recordings']} recordings of {row['frames']} frames",
                    flush=True,
                )
                save("gpu", [figures])
        frames = film(Path(scratch) / "small", *CHECK)
        source = frames_of(frames, None)
        judge = Stylizer(Settings.from_mapping({"run": {"device": "cpu"}}), [read_style(STYLE)], source[0].rgb.shape[:2])

        def judged(output: Path) -> tuple[float, float]:
            """Objective, the mean over the frames, and norm1."""
            painted = frames_of(output, None)
            pairs = zip(painted, source, strict=True)
            losses = [objective_of(judge.network, a.rgb, b.rgb, judge.targets(judge.size)) for a, b in pairs]
            return float(np.mean(losses)), steadiness(source, painted)

        job("cpu", "float32", frames, Path(scratch) / "cpu")
        expected = judged(Path(scratch) / "cpu")
        for precision in options.formats:
            once, twice = (Path(scratch) / f"check-{precision}{time}" for time in (1, 2))
            recordings, _ = (job(options.device, precision, frames, output)["recordings"] for output in (once, twice))
            objective, norm1 = (ours / cpus for ours, cpus in zip(judged(once), expected, strict=True))
            row = {
                "precision": precision, "objective_over_the_cpus": round(objective, 4), "norm1_over_the_cpus": round(norm1, 3),
                "same_bytes": same_bytes(once, twice), "recordings": recordings,
            }  # fmt: skip
            figures["check"].append(row)
            print(
                f"{precision:10} objective of the saved frames over the CPU's {objective:.4f}, norm1 {norm1:.3f};"
                f" a second run {'gave the same bytes' if row['same_bytes'] else 'gave OTHER BYTES'}",
                flush=True,
            )
    print(f"written: {save('gpu', [figures])}")
    worse = [
        row["precision"]
        for row in figures["check"]
        if not (row["objective_over_the_cpus"] <= WORSE and row["norm1_over_the_cpus"] <= UNSTEADIER)
    ]
    if worse:
        parser.exit(1, f"painted worse than on the CPU: {', '.join(worse)}\n")


if __name__ == "__main__":
    main()
