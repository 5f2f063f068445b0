"""Every style loss on the same picture: seconds a step, and what the others think of its result.

    python -m benchmarks.style_losses [--size 256] [--steps 150] [--units]

Each loss paints `sample_media/photo.jpg` in the manner of `sample_media/style.jpg`. The judge is one for all: content and Gram loss of
the saved picture in the field's units. `--units` only prints the strength of each loss's gradient, relative to `gram`, at the
photograph: the inverse of the `unit` in the table of losses.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import torch

from benchmarks.machine import describe_machine, save
from vidstyle.evaluate import content_and_style_of
from vidstyle.frames import Frame
from vidstyle.losses import STYLE_LOSSES
from vidstyle.media import open_source, read_style
from vidstyle.objective import Objective
from vidstyle.pixels import from_tensor, to_tensor
from vidstyle.settings import RunSettings, Settings
from vidstyle.stylizer import Stylizer
from vidstyle.terms import Region, build_terms

ROOT = Path(__file__).resolve().parent.parent
PHOTO, STYLE = ROOT / "sample_media" / "photo.jpg", ROOT / "sample_media" / "style.jpg"
LAYERS_OF_PATCHES = ("relu3_1", "relu4_1")
"""Where patches are looked for (Li & Wand 2016): the shallow layers have too many."""


def settings_for(loss: str, steps: int) -> Settings:
    style: dict[str, Any] = {"loss": loss}
    if loss == "patches":
        style["layers"] = LAYERS_OF_PATCHES
    return Settings.from_mapping({"style": style, "optimize": {"first_iterations": steps}})


def strength(frame: Frame, loss: str) -> float:
    """Root mean square of the style term's gradient at the photograph."""
    settings = settings_for(loss, 1)
    painter = Stylizer(settings, [read_style(STYLE)], frame.rgb.shape[:2])
    terms = [term for term in build_terms(settings, None, [Region(painter.targets(painter.size))]) if term.name == "style"]
    gradient = Objective(painter.network, terms)(to_tensor(frame.rgb, painter.network.device)).gradient
    return float(gradient.square().mean().sqrt())


def paint(frame: Frame, loss: str, steps: int, pictures: Path | None) -> dict[str, Any]:
    painter = Stylizer(settings_for(loss, steps), [read_style(STYLE)], frame.rgb.shape[:2])
    judge = Stylizer(Settings(), [read_style(STYLE)], frame.rgb.shape[:2])
    painter.targets(painter.size)
    began = time.monotonic()
    painted = painter.first(frame)
    seconds = time.monotonic() - began
    picture = from_tensor(to_tensor(painted.picture)).astype("uint8", copy=False)
    if pictures is not None:
        cv2.imwrite(str(pictures / f"{loss}.png"), picture[:, :, ::-1])
    content, style = content_and_style_of(judge.network, picture, frame.rgb, judge.targets(judge.size))
    assert style is not None
    return {
        "loss": loss, "seconds": round(seconds, 1), "steps": painted.steps, "ms_a_step": round(1000 * seconds / painted.steps),
        "content": round(content), "style_gram": round(style), "objective": round(content + style),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=150, help="steps at each size, coarse to fine")
    parser.add_argument("--units", action="store_true", help="print the strengths of the gradients, and no more")
    parser.add_argument("--pictures", type=Path, help="directory for the results")
    options = parser.parse_args()
    with open_source(PHOTO, RunSettings(size=options.size)) as medium:
        frame = next(medium.frames())
    if options.units:
        torch.set_num_threads(1)
        of_gram = strength(frame, "gram")
        for loss in STYLE_LOSSES:
            print(f"{loss:12} {strength(frame, loss) / of_gram:.3e}")
        return
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    print(json.dumps(describe_machine()))
    print(f"{'loss':12} {'ms a step':>9} {'content':>11} {'style (Gram)':>13} {'objective':>11}")
    rows = []
    for loss in STYLE_LOSSES:
        rows.append(row := paint(frame, loss, options.steps, options.pictures))
        print(f"{loss:12} {row['ms_a_step']:9} {row['content']:11.3e} {row['style_gram']:13.3e} {row['objective']:11.3e}", flush=True)
    print(f"\nwritten: {save('style_losses', rows).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
