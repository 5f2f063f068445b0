"""How steady, how well painted, how fast: whole jobs on clips, judged on what was saved.

    python -m benchmarks.quality [CLIP ...] [--style STYLE] [--size 320] [--optimum-frames 3] [-- VIDSTYLE FLAGS]

Each clip is stylised by the command, as its own process, into a directory of PNG frames. Then, shot by shot:
warping errors at gaps 1 and 10 against the source's own (judged with DIS, optimised with the settings' flow),
sharpness, drift of the luma, and the objective, the sharpness and the power of the colours of fine detail (above 0.15 cycles a pixel)
of the saved 8-bit frames beside those of a per-frame optimum: 100 L-BFGS steps from the content, saved the same way, on some frames
spread over the clip.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe_machine, run_measured, save
from vidstyle.evaluate import evaluate, luma, objective_of, sharpness
from vidstyle.flow import make_flows
from vidstyle.frames import Frame
from vidstyle.media import open_source, read_style
from vidstyle.objective import Objective
from vidstyle.optimize import lbfgs
from vidstyle.pixels import from_tensor, to_tensor
from vidstyle.settings import RunSettings, Settings
from vidstyle.stylizer import Stylizer
from vidstyle.targets import content_targets
from vidstyle.terms import Region, build_terms

HERE = Path(__file__).parent
CLIPS = [HERE / "media" / "drone_city.mp4", HERE / "media" / "bbb_run_cut.mp4"]
STYLE = HERE.parent / "sample_media" / "style.jpg"
GAPS = (1, 10)
OPTIMUM_STEPS = 100
FINE = 0.15

Picture = npt.NDArray[np.uint8]


def frames_of(path: Path, size: int | None) -> list[Frame]:
    with open_source(path, RunSettings(size=size)) as medium:
        return list(medium.frames())


def stylise(
    clip: Path, style: Path, size: int, output: Path, flags: list[str], look: Callable[[int], object] = lambda pid: None
) -> dict[str, Any]:
    """Runs the command; seconds, peak memory and the log of its frames. `look` see `run_measured`."""
    log = output.with_suffix(".jsonl")
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        str(clip),
        str(style),
        "-o",
        str(output),
        "--size",
        str(size),
        "--log-json",
        str(log),
        "-q",
    ]
    seconds, peak = run_measured([*command, *flags], look)
    return {"seconds": seconds, "peak_mib": peak, "lines": frames_in(log)}


def frames_in(log: Path) -> list[dict[str, Any]]:
    """One line a frame of a job's log: that of the first pass, with the seconds and the steps of all of them."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    frames = [line for line in lines if line["passed"] == 1]
    for line in frames:
        for key in ("seconds", "steps"):
            line[key] = sum(other[key] for other in lines if other["index"] == line["index"])
    return frames


def per_frame_optimum(judge: Stylizer, source: Picture) -> Picture:
    """What `OPTIMUM_STEPS` steps of L-BFGS from the content make of one frame, at full size, as it is saved."""
    settings, network = judge.settings, judge.network
    image = to_tensor(source, network.device)
    content = content_targets(network, image, settings)
    objective = Objective(network, build_terms(settings, content, [Region(judge.targets(judge.size))]))
    found = lbfgs(objective, image, OPTIMUM_STEPS, history=settings.optimize.history)
    return from_tensor(found.image).astype(np.uint8, copy=False)


def fine_colors(picture: Picture) -> float:
    """Power of what R, G and B differ by from luma, above `FINE` cycles a pixel."""
    spectrum = np.fft.fft2(picture - luma(picture)[..., None], axes=(0, 1))
    height, width = picture.shape[:2]
    fine = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) > FINE
    return float(np.square(np.abs(spectrum[fine])).sum())


def shots_of(lines: list[dict[str, Any]]) -> list[slice]:
    """The runs of frames between the starts of shots."""
    starts = [line["index"] for line in lines if line["shot_start"]]
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True)]


def measure(clip: Path, style: Path, size: int, optimum_frames: int, flags: list[str], keep: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "frames" if keep is None else keep / clip.stem
        job = stylise(clip, style, size, output, flags)
        painted = frames_of(output, None)
    film = frames_of(clip, size)
    measured = evaluate(film, painted, 24.0, make_flows("dis"), gaps=GAPS)
    source, result = ([frame.rgb for frame in frames] for frames in (film, painted))
    lines, shots = job["lines"], shots_of(job["lines"])
    judge = Stylizer(Settings(), [read_style(style)], source[0].shape[:2])
    figures: dict[str, Any] = {
        "clip": clip.name, "date": datetime.now(UTC).date().isoformat(),
        "size": f"{source[0].shape[1]}×{source[0].shape[0]}", "frames": len(source),
        "shots": [[shot.start, shot.stop] for shot in shots], "flags": flags,
        "seconds_total": round(job["seconds"], 1),
        "seconds_first_frames": [line["seconds"] for line in lines if line["shot_start"]],
        "seconds_a_frame_median": round(float(np.median([line["seconds"] for line in lines if not line["shot_start"]])), 2),
        "peak_memory_mib": round(job["peak_mib"]),
        "reliable_mean": round(float(np.mean([line["reliable"] for line in lines if not line["shot_start"]])), 3),
    }  # fmt: skip
    for gap in GAPS:
        figures[f"gap{gap}"] = {name: measured.summary[f"gap{gap}"][name] for name in ("source", "result", "ratio", "norm")}
    figures["sharpness_ratio"] = round(measured.summary["sharpness"]["ratio"], 3)
    for name, column in (("luma_first_last", "luma_result"), ("source_luma_first_last", "luma_source")):
        values = measured.frames[column]
        figures[name] = [[round(values[shot.start], 1), round(values[shot.stop - 1], 1)] for shot in shots]
    chosen = np.unique(np.linspace(0, len(source) - 1, optimum_frames).round().astype(int)).tolist() if optimum_frames else []
    targets = judge.targets(judge.size)
    pairs_of = []
    for index in chosen:
        saved = objective_of(judge.network, result[index], source[index], targets)
        alone = per_frame_optimum(judge, source[index])
        optimum = objective_of(judge.network, alone, source[index], targets)
        pairs_of.append(
            {"frame": index, "saved": round(saved), "optimum": round(optimum), "ratio": round(saved / optimum, 3),
             "sharpness": round(sharpness(result[index]) / sharpness(alone), 3),
             "fine_colors": round(fine_colors(result[index]) / fine_colors(alone), 2)}
        )  # fmt: skip
    figures["objective"] = pairs_of
    return figures


def own_and_flags() -> tuple[list[str], list[str]]:
    """The command line's arguments for the benchmark, and those behind `--` for vidstyle."""
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:end], arguments[end + 1 :]


def main() -> None:
    arguments, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=CLIPS)
    parser.add_argument("--style", type=Path, default=STYLE)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--optimum-frames", type=int, default=3, help="frames that are compared with a per-frame optimum (a minute each)")
    parser.add_argument("--name", default="quality", help="name of the JSON under benchmarks/results/")
    parser.add_argument("--keep", type=Path, help="directory that keeps the stylised frames")
    options = parser.parse_args(arguments)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    print(json.dumps(describe_machine()))
    figures = []
    for clip in options.clips:
        row = measure(clip, options.style, options.size, options.optimum_frames, flags, options.keep)
        figures.append(row)
        print(f"\n{row['clip']}, {row['size']}, {row['frames']} frames, shots {row['shots']}")
        for gap in GAPS:
            at = row[f"gap{gap}"]
            print(
                f"  gap {gap:2}: source {at['source']:.6f}  result {at['result']:.6f}  ratio {at['ratio']:.2f}  norm{gap} {at['norm']:.2f}"
            )
        print(f"  sharpness over the source's {row['sharpness_ratio']:.2f}, reliable {row['reliable_mean']:.2f}")
        print(f"  luma, first and last frame of each shot: {row['luma_first_last']} (source {row['source_luma_first_last']})")
        for pair in row["objective"]:
            print(
                f"  frame {pair['frame']:3}: objective {pair['saved']:.3e}, optimum {pair['optimum']:.3e}, "
                f"ratio {pair['ratio']:.3f}, sharpness over the optimum's {pair['sharpness']:.2f}, fine colours {pair['fine_colors']:.2f}"
            )
        print(
            f"  {row['seconds_total']:.0f} s in all, first frames {row['seconds_first_frames']} s, "
            f"then {row['seconds_a_frame_median']:.2f} s a frame (median), peak memory {row['peak_memory_mib']} MiB",
            flush=True,
        )
        path = save(options.name, figures, "clip", "size", "flags")
    print(f"\nwritten: {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
