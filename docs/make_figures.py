"""Makes the pictures of the README and the docs, with the program itself and from what was measured.

    python docs/make_figures.py strip curve large steps trust start scaling

`docs/images/strip.jpg`, from sample_media: above, a frame of the source, the style and the result; below, three consecutive
frames, each painted by itself and as the film that vidstyle makes of them. `docs/images/curve.svg`: steps a frame against objective and
steadiness, from `benchmarks/results/curve.json`. `docs/images/large.svg`: memory and time of large pictures, from `strips.json`,
`strips_step.json` and `large.json` there. `docs/images/scaling.svg`: workers against time, from `scaling.json` there.

For docs/how-it-works.md: `steps.jpg`, a picture as its loss falls; `trust.jpg`, the motion between two frames and where it is
believed; `start.jpg`, what a frame starts from, and how much sooner it is done so.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from vidstyle import Settings, stylize, stylize_image
from vidstyle.flow import consistency, flow_picture, stretched
from vidstyle.frames import Frame, MediaInfo
from vidstyle.media import open_source, read_style
from vidstyle.motion import Motion, at_rest
from vidstyle.objective import LossReport
from vidstyle.pipeline import JobOptions, flows_of, make_stylizer, workspace_path
from vidstyle.pixels import resized
from vidstyle.settings import RunSettings

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_media"
FRAMES = (12, 13, 14)
MARKERS = {"balanced": "*", "draft": "s", "fine": "D"}
GAP = 6

Picture = npt.NDArray[np.uint8]


def beside(pictures: list[Picture], height: int) -> Picture:
    """Pictures in a row, scaled to one height, with white between them."""
    row: list[Picture] = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        row += [
            np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8),
            np.full((height, GAP, 3), 255, np.uint8),
        ]
    return np.hstack(row[:-1])


def labelled(picture: Picture, text: str) -> Picture:
    """The picture under a line of text."""
    band = np.full((26, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(band, text, (2, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([band, picture])


def curve() -> None:
    """What more steps a frame buy, a line a clip, and where the presets stand."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "curve.json").read_text())["figures"]
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 6.5), layout="constrained")
    for clip, color in zip(dict.fromkeys(row["clip"] for row in rows), ("tab:blue", "tab:orange", "tab:green"), strict=False):
        own = [row for row in rows if row["clip"] == clip]
        steps = sorted((row for row in own if row["way"].endswith("steps")), key=lambda row: row["steps_a_frame"])
        for axes, key in ((above, "objective"), (below, "norm1")):
            axes.plot([row["steps_a_frame"] for row in steps], [row[key] for row in steps], "o-", color=color, label=Path(clip).stem)
            for row in own:
                at = row["steps_a_frame"], row[key]
                if row["way"] in MARKERS:
                    axes.plot(*at, MARKERS[row["way"]], color=color, markersize=11, markeredgecolor="black")
                elif row["way"].startswith("gain"):
                    axes.plot(*at, "o", color="white", markeredgecolor=color)
                    axes.annotate(row["way"].split()[1], at, (3, -12), textcoords="offset points", fontsize=7)
    for way, marker in ((way, marker) for way, marker in MARKERS.items() if way in {row["way"] for row in rows}):
        above.plot([], [], marker, color="white", markersize=11, markeredgecolor="black", label=way)
    above.set_ylabel("objective over that of 100 steps alone")
    above.axhline(1.05, color="grey", linestyle=":")
    above.legend()
    below.set_ylabel("norm1")
    step = np.median([row["seconds_a_frame"] / row["steps_a_frame"] for row in rows if row["way"].endswith("steps")])
    above.set_xscale("log")
    below.set_xticks(ticks := [3, 5, 7, 10, 14, 20, 36, 77], [str(tick) for tick in ticks])
    below.minorticks_off()
    below.set_xlabel(f"steps a frame, of about {step:.2f} s at {rows[0]['size']} px on two cores; white dots: --least-gain")
    plt.rcParams["svg.hashsalt"] = "vidstyle"
    figure.savefig(ROOT / "docs" / "images" / "curve.svg", metadata={"Date": None})


def large() -> None:
    """Memory and time against megapixels, a line a way of working."""
    results = ROOT / "benchmarks" / "results"
    jobs, steps, largest = (json.loads((results / f"{name}.json").read_text())["figures"] for name in ("strips", "strips_step", "large"))
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 7), layout="constrained")
    names = ("at once", "activations worked out again", "strip by strip", "the same, L-BFGS' pairs in half precision")
    colors = ("tab:blue", "tab:orange", "tab:green", "tab:red")
    for way, name, color in zip(("whole", "recomputed", "strips", "half"), names, colors, strict=True):
        own = sorted((row for row in jobs if row["way"] == way), key=lambda row: row["megapixels"])
        sizes = [row["megapixels"] for row in own]
        above.plot(sizes, [row["peak_mib"] / 1024 for row in own], "o-", color=color, label=name)
        above.plot(sizes, [row["estimate_mib"] / 1024 for row in own], ":", color=color)
        own = sorted((row for row in steps if row["way"] == way), key=lambda row: row["megapixels"])
        below.plot([row["megapixels"] for row in own], [row["ratio"] for row in own], "o-", color=color)
    for marker, film in (("s", True), ("D", False)):
        own = [row for row in largest if (row["frames"] > 1) == film]
        above.plot([row["megapixels"] for row in own], [row["peak_mib"] / 1024 for row in own], marker, color="tab:red", mfc="none",
                   label="film in half precision, references" if film else "a picture in half precision (64: without pairs)")  # fmt: skip
    above.plot([], [], ":", color="grey", label="its estimate")
    above.set_ylabel("memory at the peak, GiB")
    above.legend(fontsize=8)
    below.set_ylabel("a step, over one at once")
    below.set_ylim(0.8, None)
    below.set_xlabel("megapixels")
    above.set_yscale("log")
    for axes, rows in ((above, [*jobs, *largest]), (below, steps)):
        axes.set_xscale("log")
        axes.grid(alpha=0.3)
        ticks = sorted({row["megapixels"] for row in rows})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    above.set_yticks(gibs := [1, 2, 4, 8, 16], [str(gib) for gib in gibs])
    plt.rcParams["svg.hashsalt"] = "vidstyle"
    figure.savefig(ROOT / "docs" / "images" / "large.svg", metadata={"Date": None})


def scaling() -> None:
    """What a 90-minute film takes on so many workers, by simulation, with shots whole and divided."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "scaling.json").read_text())["figures"]
    rows = [row for row in rows if row["film"] == "as cut"]
    painters = list(dict.fromkeys(row["painter"] for row in rows))
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7.5, 8), layout="constrained")
    for painter, color in zip(painters, ("tab:blue", "tab:green", "tab:orange", "tab:red"), strict=True):
        for divide, line in ((None, "-"), (240, "--")):
            own = [row for row in rows if row["painter"] == painter and row["divide"] == divide]
            workers = [row["workers"] for row in own]
            label = painter if divide is None else None
            above.plot(workers, [row["hours"] for row in own], f"o{line}", color=color, markersize=4, label=label)
            below.plot(workers, [row["idle"] * 100 for row in own], f"o{line}", color=color, markersize=4)
    above.plot([], [], "--", color="grey", label="each with shots divided at 240 frames")
    above.set_yscale("log")
    above.set_ylabel("hours for 90 minutes of film")
    above.legend(fontsize=8)
    below.set_ylabel("workers' time in which nothing is painted, %")
    below.set_ylim(0, 100)
    below.set_xscale("log", base=2)
    below.set_xticks(ticks := sorted({row["workers"] for row in rows}), [str(tick) for tick in ticks])
    below.set_xlabel("workers")
    plt.rcParams["svg.hashsalt"] = "vidstyle"
    figure.savefig(ROOT / "docs" / "images" / "scaling.svg", metadata={"Date": None})


def strip() -> None:
    """Source, style and result, and three frames painted alone and as a film."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "film"
        stylize(SAMPLES / "clip.mp4", SAMPLES / "style.jpg", output, options=JobOptions(keep_workspace=True))
        film = [read_style(path) for path in sorted(output.iterdir())]
        assert workspace_path(output).is_dir()
        with open_source(SAMPLES / "clip.mp4", RunSettings()) as medium:
            source = [frame.rgb for frame in medium.frames()]
        alone = []
        for number in FRAMES:
            path = Path(scratch) / f"{number}.png"
            cv2.imwrite(str(path), source[number][:, :, ::-1])
            alone.append(stylize_image(path, SAMPLES / "style.jpg", Settings()))
    top = beside([source[FRAMES[0]], read_style(SAMPLES / "style.jpg"), film[FRAMES[0]]], 216)
    width = top.shape[1]
    height = round((width - 2 * GAP) / 3 * source[0].shape[0] / source[0].shape[1])
    rows = [
        labelled(top, "source, style, result"),
        labelled(beside(alone, height), "three consecutive frames, each painted by itself"),
        labelled(beside([film[number] for number in FRAMES], height), "the same three as vidstyle makes them"),
    ]
    width = max(row.shape[1] for row in rows)  # the lower ones may be a pixel off
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    cv2.imwrite(str(images / "strip.jpg"), np.vstack(rows)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])


def frames_of(path: Path, run: RunSettings, first: int, count: int) -> tuple[list[Frame], MediaInfo]:
    """Some frames of a film or picture, from the one with index `first`, and what it is."""
    with open_source(path, run) as medium:
        return list(islice(medium.frames(first), count)), medium.info


def row(figure: Any, grid: Any, pictures: dict[str, Picture]) -> None:
    """Pictures side by side in a row of a figure's grid, each under its name."""
    shapes = [picture.shape[1] / picture.shape[0] for picture in pictures.values()]
    for place, (name, picture) in zip(grid.subgridspec(1, len(pictures), width_ratios=shapes), pictures.items(), strict=True):
        axes = figure.add_subplot(place)
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(name, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])


def pictures_above_axes(pictures: dict[str, np.ndarray], height: float) -> tuple[Any, Any]:
    """A figure of 8 inches by `height`, pictures in a row in its upper part, and the axes in its lower one."""
    figure = plt.figure(figsize=(8, height), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 1.6])
    row(figure, grid[0], pictures)
    return figure, figure.add_subplot(grid[1])


def saved(figure: Any, name: str) -> None:
    """Writes a figure with photographs in it, as a JPEG of a size for a page."""
    figure.savefig(ROOT / "docs" / "images" / name, dpi=150, pil_kwargs={"quality": 82, "optimize": True, "progressive": True})
    plt.close(figure)


def steps() -> None:
    """Source, style, and the painting after more and more steps; below, what is left of content and style loss."""
    shown = (5, 15, 40, 150)
    plain = {"run": {"size": 160}, "optimize": {"tolerance": 0.0}}
    (source,), info = frames_of(SAMPLES / "photo.jpg", RunSettings(size=160), 0, 1)
    curves: dict[str, list[float]] = {"content": [], "style": []}

    def note(_: float, report: LossReport) -> None:
        for name, curve in curves.items():
            curve.append(report.terms[name])

    style = read_style(SAMPLES / "style.jpg")
    pictures = {
        "source": source.rgb,
        "style": resized(style, (source.rgb.shape[0], style.shape[1] * source.rgb.shape[0] // style.shape[0])),
    }
    for count in shown:  # the same steps each time: a job is the same at every run
        settings = Settings.layered([plain, {"optimize": {"first_iterations": count}}])
        painted = make_stylizer(settings, [SAMPLES / "style.jpg"], info).first(source, note if count == shown[-1] else None)
        pictures[f"{count} steps"] = (painted.picture >> 8).astype(np.uint8)
    figure, axes = pictures_above_axes(pictures, 3.6)
    for name, curve in curves.items():
        axes.semilogy(range(1, len(curve) + 1), curve, label=f"{name} loss, weighted")
    for count in shown:
        axes.axvline(count, color="grey", linestyle=":", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(ticks := [1, *shown], [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="upper right")
    saved(figure, "steps.jpg")


REASONS = {
    "trusted": (245, 245, 245),
    "comes from outside": (70, 110, 200),
    "there and back disagree": (205, 60, 60),
    "beside an edge of motion": (240, 180, 60),
    "drawn out": (120, 80, 160),
}


def trust() -> None:
    """Two frames, the flow between them, where it is trusted and why not elsewhere, and what stands still."""
    (before, now), _ = frames_of(ROOT / "benchmarks" / "media" / "bbb_run_cut.mp4", RunSettings(size=320), 17, 2)
    flows = flows_of(Settings())
    flow, back = flows(now, before), flows(before, now)
    tests = consistency(flow, back)
    motion = Motion.between(now, before, flow, tests)
    mask = np.full((*flow.size, 3), REASONS["trusted"], np.uint8)
    for reason, where in zip(list(REASONS)[:0:-1], (stretched(flow), tests.boundary, tests.disoccluded, tests.outside), strict=True):
        mask[where] = REASONS[reason]  # the plainest reason last, over the others
    still = np.repeat((255 * motion.still).astype(np.uint8)[..., None], 3, axis=2)
    figure = plt.figure(figsize=(8, 3.6), layout="constrained")
    grid = figure.add_gridspec(2, 1)
    longest = float(np.hypot(*flow.data).max())
    row(figure, grid[0], {"the frame before": before.rgb, "the frame": now.rgb, "white: stands still": still})
    row(
        figure,
        grid[1],
        {
            f"flow, up to {longest:.0f} pixels long": flow_picture(flow, longest)[0],
            f"trust: {100 * float(motion.trust.mean()):.0f} % of the pixels": mask,
            "why not": reasons(flow.size),
        },
    )
    saved(figure, "trust.jpg")


def reasons(size: tuple[int, int]) -> Picture:
    """(H, W, 3): the colours of `REASONS` with their names, as large as a frame of `size`."""
    height, width = size
    picture = np.full((height, width, 3), 255, np.uint8)
    for number, (name, color) in enumerate(REASONS.items()):
        top = 8 + number * (height - 16) // len(REASONS)
        cv2.rectangle(picture, (8, top + 4), (28, top + 22), color, cv2.FILLED)
        cv2.rectangle(picture, (8, top + 4), (28, top + 22), (120, 120, 120), 1)
        cv2.putText(picture, name, (38, top + 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    return picture


def start() -> None:
    """What a frame starts from: the painting before, moved along the flow; and how its loss falls, beside a start from the source."""
    plain = {"run": {"size": 160, "fps": 6}, "optimize": {"least_gain": 0.0, "tolerance": 0.0}}
    settings = Settings.layered([plain])
    count = settings.optimize.iterations
    (before, now), info = frames_of(SAMPLES / "clip.mp4", settings.run, 0, 2)
    stylizer = make_stylizer(settings, [SAMPLES / "style.jpg"], info)
    first = stylizer.first(before)
    motions = at_rest([Motion.found(now, before, flows_of(settings))])
    curves: dict[str, list[float]] = {"from the painting before": [], "from the source": []}

    def noting(name: str) -> Any:
        return lambda _, report: curves[name].append(report.objective)

    def following(looks: int) -> Picture:
        stylizer.settings = Settings.layered([plain, {"optimize": {"iterations": looks, "first_iterations": looks}}])
        painted = stylizer.follow(now, motions, {1: first.picture}, first.state, noting("from the painting before") if looks > 1 else None)
        return (painted.picture >> 8).astype(np.uint8)

    pictures = {
        "painting before": (first.picture >> 8).astype(np.uint8),
        "the frame": now.rgb,
        "what it starts from": following(1),  # one look at the loss, and no step after it
        f"after {count} steps": following(count),
    }
    alone = stylizer.first(now, noting("from the source"))
    pictures[f"{count} from the source"] = (alone.picture >> 8).astype(np.uint8)
    figure, axes = pictures_above_axes(pictures, 3.4)
    for name, curve in curves.items():
        axes.semilogy(range(1, len(curve) + 1), [value / 1e6 for value in curve], label=name)
    axes.set_yticks(ticks := [3, 5, 10, 20, 50], [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("content + style loss, millions", fontsize=8)
    print({name: [round(value / 1e6, 3) for value in curve] for name, curve in curves.items()})
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8)
    saved(figure, "start.jpg")


def main() -> None:
    """Writes the pictures that are named, all of them by default."""
    pictures = {"strip": strip, "curve": curve, "large": large, "steps": steps, "trust": trust, "start": start, "scaling": scaling}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", choices=list(pictures), default=list(pictures))
    for name in parser.parse_args().pictures:
        pictures[name]()


if __name__ == "__main__":
    main()
