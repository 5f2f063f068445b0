"""Films whose motion is known exactly: what has just come to light, borders under a fast pan, and stillness.

    python -m benchmarks.scenes [disc|pan|still ...] [--size 320] [--frames 16] [--still-frames 300] [-- VIDSTYLE FLAGS]

`disc`: a disc flies over a photograph under a slow camera. `pan`: a camera that pans 7.7 pixels a frame. The content and style
losses *inside* the regions that a frame is the first to show, and in regions of the same shape elsewhere in the same frames
(moved sideways, where everything has been seen for a while; the median of seven), are set beside those of the same regions of
the same frames painted by themselves: the Gram matrix of a small region is further from a style's than that of a large one,
the more so at an edge, however it is painted. `still`: a photograph that does not move, alone, with a camera's noise, and coded;
mean change a frame, and what became of brightness and saturation.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import describe_machine, save
from benchmarks.quality import STYLE, Picture, frames_of, own_and_flags, per_frame_optimum, stylise
from tests.clips import make_clip
from tests.scenes import Scene
from vidstyle.evaluate import luma, saturation, sharpness
from vidstyle.flow import warping_error
from vidstyle.losses import STYLE_LOSSES
from vidstyle.media import read_style
from vidstyle.pixels import to_tensor
from vidstyle.settings import Settings
from vidstyle.stylizer import Stylizer
from vidstyle.terms import Region, StyleTargets
from vidstyle.vgg import Features

PHOTO = Path(__file__).parent / "media" / "china.jpg"
SEEN_FOR = 5
"""Frames after which what a frame shows counts as long seen."""
SHIFTS = range(1, 8)
"""Eighths of the width that a region is moved by, to compare it with."""
JUDGED_EVERY = 4
"""Every so many frames one is judged, and painted by itself."""
NOISE = 1.5
"""Standard deviation of a camera's noise, in levels of 255."""
STILL = ("still", "noisy", "coded")
CODED = {"crf": "23", "g": "12"}
"""How H.264 codes the noisy photograph: its usual quality, a keyframe every half second."""

Mask = npt.NDArray[np.bool_]


def photograph(height: int, width: int) -> Picture:
    picture = cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def scene(name: str, width: int) -> Scene:
    height = round(width * 0.6)
    unit = width / 320
    ground = photograph(height * 2, width * 2)
    if name == "disc":
        return Scene((height, width), ground, pan=(1.7 * unit, -0.6 * unit), disc_start=(0.2, 0.4), disc_step=(7 * unit, 2 * unit))
    return Scene((height, width), ground, pan=(7.7 * unit, 0.0), zoom=1.0, turn=0.0, disc_radius=0.0)


class Tally:
    """Content and style loss over the regions of many frames, as if they were one picture."""

    def __init__(self, targets: StyleTargets) -> None:
        self._targets = targets.style
        self._grams: dict[str, torch.Tensor] = {}
        self._areas: dict[str, float] = {}
        self._content: list[tuple[float, float]] = []

    def add(self, painted: Features, source: Features, mask: Mask) -> None:
        if not mask.any():
            return
        region = Region(StyleTargets({}), torch.from_numpy(mask.astype(np.float32))[None, None])
        for layer in self._targets:
            weights = region.at(painted[layer])
            assert weights is not None
            area = float(weights.sum())
            self._grams[layer] = self._grams.get(layer, torch.zeros(())) + area * STYLE_LOSSES["gram"].statistics(painted[layer], weights)
            self._areas[layer] = self._areas.get(layer, 0.0) + area
        (layer,) = Settings().content.layers
        weights = region.at(painted[layer])
        assert weights is not None
        error = (painted[layer] - source[layer]).square().mean(dim=1, keepdim=True)
        self._content.append((float((error * weights).sum()), float(weights.sum())))

    def __bool__(self) -> bool:
        return bool(self._content)

    @property
    def losses(self) -> dict[str, float]:
        settings = Settings()
        style = sum(
            float(STYLE_LOSSES["gram"].distance(gram / self._areas[layer], self._targets[layer])) for layer, gram in self._grams.items()
        )
        errors, areas = np.sum(self._content, axis=0)
        return {"content": settings.content.weight * errors / areas, "style": settings.style.weight * style}


def features_of(judge: Stylizer, picture: Picture) -> Features:
    with torch.no_grad():
        return {
            layer: values.clone() for layer, values in judge.network(to_tensor(picture, judge.network.device), Settings().layers).items()
        }


def shifted(mask: Mask, eighths: int, old: Mask) -> Mask:
    return np.roll(mask, eighths * mask.shape[1] // 8, axis=1) & old


def measure_scene(name: str, width: int, frames: int, flags: Sequence[str], keep: Path | None) -> dict[str, Any]:
    film = scene(name, width)
    source = [film.frame(t) for t in range(frames)]
    painted, seconds = stylised(name, source, flags, keep)
    judge = Stylizer(Settings(), [read_style(STYLE)], film.size)
    judged = range(SEEN_FOR, frames, JUDGED_EVERY)
    revealed = {t: ~film.visible(t, t - 1) for t in judged}
    old = {t: np.logical_and.reduce([film.visible(t, t - back) for back in range(1, SEEN_FOR + 1)]) for t in judged}
    alone = {t: per_frame_optimum(judge, source[t]) for t in judged}
    figures: dict[str, Any] = {"scene": name, "size": f"{width}×{film.size[0]}", "frames": frames, "flags": list(flags), "seconds": seconds}
    figures["new_share"] = round(float(np.mean([mask.mean() for mask in revealed.values()])), 4)
    rows = {}
    for what, pictures in (("film", painted), ("alone", alone)):
        inside, elsewhere = Tally(judge.targets(film.size)), {shift: Tally(judge.targets(film.size)) for shift in SHIFTS}
        for t in judged:
            ours, theirs = (features_of(judge, picture) for picture in (pictures[t], source[t]))
            inside.add(ours, theirs, revealed[t])
            for shift, tally in elsewhere.items():
                tally.add(ours, theirs, shifted(revealed[t], shift, old[t]))
        rows[what] = {
            term: {
                "inside": round(value),
                "elsewhere": round(float(np.median([tally.losses[term] for tally in elsewhere.values() if tally]))),
            }
            for term, value in inside.losses.items()
        }
    for term in ("content", "style"):
        over = {where: rows["film"][term][where] / rows["alone"][term][where] for where in ("inside", "elsewhere")}
        figures[term] = {
            **{what: rows[what][term] for what in rows},
            **{f"{where}_over_alone": round(share, 3) for where, share in over.items()},
            "inside_over_elsewhere": round(over["inside"] / over["elsewhere"], 3),
        }
    sharper = float(np.mean([sharpness(picture) for picture in painted]) / np.mean([sharpness(picture) for picture in source]))
    figures["sharpness_ratio"] = round(sharper, 3)
    for gap in (1, 10):
        errors = []
        for t in range(gap, frames):
            trust = film.visible(t, t - gap).astype(np.float32)
            flow = film.flow(t, t - gap)
            errors.append([warping_error(pictures[t], pictures[t - gap], flow, trust) for pictures in (source, painted)])
        own, result = np.mean(errors, axis=0)
        ratio = float(result / own)
        figures[f"true_gap{gap}"] = {
            "source": float(own), "result": float(result), "ratio": round(ratio, 2), "norm": round(ratio / sharper, 2),
        }  # fmt: skip
    return figures


def measure_still(name: str, width: int, frames: int, flags: Sequence[str], keep: Path | None) -> dict[str, Any]:
    noise = 0.0 if name == "still" else NOISE
    picture = photograph(2 * round(width * 0.3), width)  # H.264 wants even sides
    rng = np.random.default_rng(0)
    source = [
        np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).round().astype(np.uint8) if noise else picture for _ in range(frames)
    ]
    painted, seconds = stylised(name, source, flags, keep, coded=name == "coded")
    changes = [float(np.abs(b.astype(float) - a).mean()) for a, b in itertools.pairwise(painted)]
    figures: dict[str, Any] = {
        "scene": name, "size": f"{width}×{picture.shape[0]}", "frames": frames, "flags": list(flags), "seconds": seconds,
        "change_source": round(float(np.mean([np.abs(b.astype(float) - a).mean() for a, b in itertools.pairwise(source)])), 3),
        "change_mean": round(float(np.mean(changes)), 3), "change_first_ten": [round(change, 3) for change in changes[:10]],
        "change_last_ten": round(float(np.mean(changes[-10:])), 3),
        "change_first_to_last": round(float(np.abs(painted[-1].astype(float) - painted[0]).mean()), 2),
    }  # fmt: skip
    for measure, of in (("luma", lambda rgb: float(luma(rgb).mean())), ("saturation", saturation)):
        values = [of(rgb) for rgb in painted]
        figures[measure] = {"first": round(values[0], 3), "last": round(values[-1], 3), "drift": round(values[-1] / values[0] - 1, 4)}
    return figures


def stylised(
    name: str, source: Sequence[Picture], flags: Sequence[str], keep: Path | None, coded: bool = False
) -> tuple[list[Picture], float]:
    """What the command makes of the frames, and the seconds it took; if `coded`, of what H.264 leaves of them."""
    with tempfile.TemporaryDirectory() as scratch:
        frames = Path(scratch) / ("source.mp4" if coded else "source")
        if coded:
            make_clip(frames, list(source), options=CODED)
        else:
            frames.mkdir()
            for number, picture in enumerate(source):
                cv2.imwrite(str(frames / f"{number:04}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        output = Path(scratch) / "painted" if keep is None else keep / name
        job = stylise(frames, STYLE, max(source[0].shape), output, list(flags))
        return [frame.rgb for frame in frames_of(output, None)], round(job["seconds"], 1)


def measured(options: argparse.Namespace, flags: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in options.scenes:
        if name in STILL:
            for kind in STILL if name == "still" else (name,):
                yield measure_still(kind, options.still_size, options.still_frames, flags, options.keep)
        else:
            yield measure_scene(name, options.size, options.frames, flags, options.keep)


def main() -> None:
    arguments, flags = own_and_flags()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", default=["disc", "pan", "still"], help="of disc, pan, still (with noisy and coded)")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--still-size", type=int, default=128)
    parser.add_argument("--still-frames", type=int, default=300)
    parser.add_argument("--name", default="scenes", help="name of the JSON under benchmarks/results/")
    parser.add_argument("--keep", type=Path, help="directory that keeps the stylised frames")
    options = parser.parse_args(arguments)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    print(json.dumps(describe_machine()))
    rows = []
    for row in measured(options, flags):
        rows.append(row)
        print(json.dumps(row, ensure_ascii=False, indent=1), flush=True)
        path = save(options.name, rows, "scene", "flags")
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
