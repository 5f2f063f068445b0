"""Whole jobs on tiny media: kinds in and out, going on after a kill, the workspace, and what is refused before the work."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clips import make_clip
from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from vidstyle import memory, pipeline, plan, stylizer
from vidstyle.device import matrix_units
from vidstyle.errors import MediaError, NotEnoughMemory, UsageError, WorkspaceError
from vidstyle.flow import make_estimator, write_flow
from vidstyle.frames import Frame
from vidstyle.joblog import begun_log
from vidstyle.media import open_source
from vidstyle.memory import estimate_memory, least_memory
from vidstyle.pipeline import JobOptions, stylize, stylize_image, workspace_path
from vidstyle.settings import Precision, RunSettings, Settings
from vidstyle.workspace import Workspace

SCENE = Scene(size=(32, 48))
OTHER = Scene(size=(32, 48), picture=procedural_picture(64, 96, seed=11)[:, :, ::-1].copy(), disc_radius=0)


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_png(tmp_path / "style.png", procedural_picture(40, 40, seed=3)[:, :, ::-1])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", [SCENE.frame(t) for t in range(4)], audio="aac")


def frames_of(path: Path) -> list[Frame]:
    with open_source(path, RunSettings()) as medium:
        return list(medium.frames())


def test_a_reconstruction_needs_no_style_and_comes_back_to_the_pixels(tmp_path: Path) -> None:
    """Shallow layers keep the pixels; a deep one, the structure alone."""
    source = write_png(tmp_path / "photo.png", procedural_picture(36, 48, seed=2))
    wanted = frames_of(source)[0].rgb.astype(float)

    def psnr(layer: str, steps: int) -> float:
        made = Settings.preset("reconstruction").model_dump()
        made["content"]["layers"] = [layer]
        made["optimize"]["first_iterations"] = steps
        result = stylize_image(source, settings=Settings.from_mapping(made))
        return float(10 * np.log10(255**2 / ((result - wanted) ** 2).mean()))

    shallow, deep = psnr("relu1_1", 1000), psnr("relu4_1", 100)
    assert shallow > 30
    assert deep < 20


def test_a_texture_is_made_of_its_input_alone(tmp_path: Path) -> None:
    source = write_png(tmp_path / "stones.png", procedural_picture(64, 96, seed=2))
    made = Settings.preset("texture").model_dump()
    made["optimize"]["first_iterations"] = 10
    made["run"]["size"] = 120
    output = tmp_path / "texture.png"
    stylize(source, None, output, Settings.from_mapping(made))
    texture = frames_of(output)[0].rgb
    assert texture.shape == (80, 120, 3)
    assert stylize_image(source, source, Settings.from_mapping(made)).tobytes() == texture.tobytes()


def test_a_clip_becomes_a_clip_with_its_times_and_sound(clip: Path, style: Path, tmp_path: Path) -> None:
    output, recorder = tmp_path / "out.mp4", Recorder()
    result = stylize(clip, [style], output, settings(), JobOptions(log_json=tmp_path / "log.jsonl"), recorder)
    before, after = frames_of(clip), frames_of(output)
    assert (result.output, result.frames) == (output, 4)
    assert [frame.seconds for frame in after] == [frame.seconds for frame in before]
    assert all(
        a.rgb.shape == b.rgb.shape and np.abs(a.rgb.astype(int) - b.rgb.astype(int)).mean() > 2 for a, b in zip(after, before, strict=True)
    )
    with open_source(output, RunSettings()) as medium:
        assert medium.info.streams == ("audio",)
    assert not workspace_path(output).exists()
    assert (recorder.total, recorder.done) == (4, 0)
    assert max(recorder.fractions) <= 1
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert [line["shot_start"] for line in lines] == [True, False, False, False]
    for line in lines:
        assert line["objective"] == pytest.approx(line["terms"]["content"] + line["terms"]["style"])
        assert line["steps"] > 0
        assert line["seconds"] > 0
    assert "temporal_1" in lines[1]["terms"]
    assert 0 < lines[1]["reliable"] <= 1


def test_what_is_no_frame_does_not_change_the_input(style: Path, tmp_path: Path) -> None:
    """A log, or what a file manager leaves behind, among the frames: a night's work is gone on with."""
    (tmp_path / "frames").mkdir()
    for index in range(3):
        write_png(tmp_path / "frames" / f"{index}.png", SCENE.frame(index))
    log = JobOptions(log_json=tmp_path / "frames" / "log.jsonl")
    with pytest.raises(Interrupted):
        stylize(tmp_path / "frames", [style], tmp_path / "out", settings(), log, Recorder(2))
    (tmp_path / "frames" / "Thumbs.db").write_bytes(b"thumbs")
    recorder = Recorder()
    stylize(tmp_path / "frames", [style], tmp_path / "out", settings(), log, recorder)
    assert recorder.done == 2


@pytest.mark.parametrize("passes", [1, 2])
def test_a_job_knows_how_steady_it_is(clip: Path, style: Path, tmp_path: Path, passes: int) -> None:
    """Without flow everything is trusted where it is: the warping error is the mean square of the change."""
    chosen = settings(flow={"estimator": "none"}, temporal={"passes": passes, "references": [1]})
    result = stylize(clip, [style], tmp_path / "out", chosen, JobOptions(log_json=tmp_path / "log.jsonl", keep_workspace=True))
    last = {line["index"]: line for line in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())}

    def changes(frames: list[Frame]) -> list[float]:
        return [float(np.square((b.finest.astype(float) - a.finest) / np.iinfo(a.finest.dtype).max).mean()) for a, b in pairwise(frames)]

    source, painted = changes(frames_of(clip)), changes(frames_of(workspace_path(tmp_path / "out") / "frames"))
    of_pairs = [last[index] for index in range(4) if last[index]["warping_source"] is not None]
    assert len(of_pairs) == 3
    assert sorted(line["warping_source"] for line in of_pairs) == pytest.approx(sorted(source), rel=1e-3)
    assert sorted(line["warping_result"] for line in of_pairs) == pytest.approx(sorted(painted), rel=1e-3)
    assert result.steadiness == pytest.approx(sum(painted) / sum(source), rel=1e-3)


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_going_on_gives_the_same_bytes(clip: Path, style: Path, tmp_path: Path, stop_after: int) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    stylize(clip, [style], whole, settings())
    with pytest.raises(Interrupted):
        stylize(clip, [style], resumed, settings(), progress=Recorder(stop_after))
    assert not resumed.exists()
    assert workspace_path(resumed).is_dir()
    recorder = Recorder()
    log = tmp_path / "log.jsonl"
    stylize(clip, [style], resumed, settings(), JobOptions(log_json=log), recorder)
    assert recorder.done == stop_after
    assert len(recorder.reports) == 4 - stop_after
    assert len(log.read_text().splitlines()) == 4
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) == 4
    for name in names:
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_other_settings_start_afresh_and_say_so(clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "out"
    with pytest.raises(Interrupted):
        stylize(clip, [style], output, settings(), progress=Recorder(2))
    recorder = Recorder()
    with caplog.at_level(logging.WARNING, "vidstyle"):
        stylize(clip, [style], output, settings(style={"weight": 50.0}), progress=recorder)
    assert recorder.done == 0
    assert "the settings changed" in caplog.text


def test_files_that_settings_name_count_by_their_content(clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        write_png(tmp_path / f"{name}.png", procedural_picture(48, 64, seed=ord(name)))
    (tmp_path / "same.png").write_bytes((tmp_path / "a.png").read_bytes())

    def fingerprint(start: str, mask: str, schedule: str) -> dict[str, str]:
        chosen = settings(optimize={"init": start}, mask={"paths": [mask]}, style={"schedule": schedule})
        return pipeline._fingerprint(clip, pipeline.styles_of(clip, None, chosen), chosen)

    first = fingerprint("a.png", "b.png", "0s: b.png, 1s: c.png")
    assert fingerprint("./a.png", str(tmp_path / "b.png"), "0s: ./b.png, 1s: c.png") == first
    assert fingerprint("same.png", "b.png", "0s: b.png, 1s: c.png") == first
    for other in (
        ("c.png", "b.png", "0s: b.png, 1s: c.png"),
        ("content", "b.png", "0s: b.png, 1s: c.png"),
        ("a.png", "c.png", "0s: b.png, 1s: c.png"),
        ("a.png", "b.png", "0s: b.png, 2s: c.png"),
        ("a.png", "b.png", "0s: b.png, 1f: c.png"),
        ("a.png", "b.png", "0s: b.png, 1s: a.png"),
    ):
        assert fingerprint(*other) != first


def test_another_codec_or_colour_takes_the_frames_as_they_are(clip: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    stylize(clip, [style], output, settings(), JobOptions(keep_workspace=True))
    recorder = Recorder()
    again = settings(encode={"codec": "ffv1"}, color={"preserve": "luminance"})
    stylize(clip, [style], output, again, JobOptions(overwrite=True), recorder)
    assert recorder.done == 4
    assert not recorder.reports
    source, recolored = frames_of(clip)[0].rgb.astype(float), frames_of(output)[0].rgb.astype(float)
    inside = (recolored > 4).all(axis=2) & (recolored < 251).all(axis=2)  # where nothing was clamped
    difference = (recolored[..., 0] - recolored[..., 2]) - (source[..., 0] - source[..., 2])
    assert np.abs(difference[inside]).mean() < 3


def test_a_cut_starts_a_shot_that_owes_nothing_to_the_one_before(style: Path, tmp_path: Path) -> None:
    first, second = [SCENE.frame(t) for t in range(3)], [OTHER.frame(t) for t in range(3)]
    joined = make_clip(tmp_path / "joined.mkv", first + second, codec="ffv1", pix_fmt="bgr0")
    alone = make_clip(tmp_path / "alone.mkv", second, codec="ffv1", pix_fmt="bgr0")
    log = tmp_path / "log.jsonl"
    stylize(joined, [style], tmp_path / "a", settings(), JobOptions(log_json=log))
    stylize(alone, [style], tmp_path / "b", settings())
    starts = [json.loads(line)["shot_start"] for line in log.read_text().splitlines()]
    assert starts == [True, False, False, True, False, False]
    a, b = frames_of(tmp_path / "a"), frames_of(tmp_path / "b")
    for late, early in zip(a[3:], b, strict=True):
        np.testing.assert_array_equal(late.rgb, early.rgb)


def test_a_collapse_of_the_flow_starts_afresh(clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_COLLAPSE", 1.1)
    log = tmp_path / "log.jsonl"
    stylize(clip, [style], tmp_path / "out", settings(), JobOptions(log_json=log))
    assert all(json.loads(line)["shot_start"] for line in log.read_text().splitlines())


def test_an_image_becomes_an_image(style: Path, tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo.png", SCENE.frame(0))
    stylize(photo, style, tmp_path / "out.png", settings())
    image = stylize_image(photo, style, settings())
    assert image.shape == (32, 48, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(frames_of(tmp_path / "out.png")[0].rgb, image)


def test_frames_become_frames_with_their_names_and_a_video(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for number, name in enumerate(["a2.png", "a10.png", "a7.png"]):
        write_png(folder / name, SCENE.frame(number))
    stylize(folder, [style], tmp_path / "out", settings())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a10.png", "a2.png", "a7.png"]
    stylize(folder, [style], tmp_path / "out.mkv", settings(run={"fps": 12}))
    assert [frame.seconds for frame in frames_of(tmp_path / "out.mkv")] == pytest.approx([0, Fraction(1, 12), Fraction(2, 12)], abs=1e-3)


def test_two_styles_and_references(clip: Path, style: Path, tmp_path: Path) -> None:
    second = write_png(tmp_path / "second.png", procedural_picture(30, 50, seed=8))
    chosen = settings(style={"blend": [0.3, 0.7]}, temporal={"references": [1, 2]})
    log = tmp_path / "log.jsonl"
    stylize(clip, [style, second], tmp_path / "out", chosen, JobOptions(log_json=log))
    assert "temporal_2" in json.loads(log.read_text().splitlines()[2])["terms"]


class TestRefusedBeforeTheWork:
    def test_missing_input(self, style: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"none\.mp4"):
            stylize(tmp_path / "none.mp4", [style], tmp_path / "out.mp4")

    def test_missing_style(self, clip: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"none\.jpg"):
            stylize(clip, [tmp_path / "none.jpg"], tmp_path / "out.mp4")

    def test_no_style(self, clip: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="style"):
            stylize(clip, [], tmp_path / "out.mp4")

    def test_existing_output(self, clip: Path, style: Path, tmp_path: Path) -> None:
        (tmp_path / "out.mp4").write_bytes(b"precious")
        with pytest.raises(UsageError, match="-y"):
            stylize(clip, [style], tmp_path / "out.mp4", settings())
        assert (tmp_path / "out.mp4").read_bytes() == b"precious"

    def test_the_output_is_the_input(self, clip: Path, style: Path) -> None:
        with pytest.raises(UsageError, match="input"):
            stylize(clip, [style], clip, settings(), JobOptions(overwrite=True))

    def test_a_film_into_a_picture(self, clip: Path, style: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="film"):
            stylize(clip, [style], tmp_path / "out.png", settings())

    def test_unknown_codec_and_option(self, clip: Path, style: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="libx246"):
            stylize(clip, [style], tmp_path / "out.mp4", settings(encode={"codec": "libx246"}))
        with pytest.raises(UsageError, match="prest"):
            stylize(clip, [style], tmp_path / "out.mp4", settings(encode={"options": {"prest": "slow"}}))

    def test_no_style_where_one_is_needed(self, clip: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no style picture given"):
            stylize(clip, [], tmp_path / "out.mp4", settings())
        with pytest.raises(UsageError, match="nothing to paint"):
            stylize(clip, [], tmp_path / "out.mp4", settings(style={"weight": 0}, content={"weight": 0}))
        with pytest.raises(UsageError, match="--init style"):
            stylize(clip, [], tmp_path / "out.mp4", settings(style={"weight": 0}, optimize={"init": "style"}))

    def test_unknown_flow(self, clip: Path, style: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="farneback"):
            stylize(clip, [style], tmp_path / "out.mp4", settings(flow={"estimator": "farnebak"}))

    def test_too_small(self, clip: Path, style: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="too small"):
            stylize(clip, [style], tmp_path / "out.mp4", settings(run={"size": 16}))

    def test_not_enough_memory_names_a_size_that_fits(
        self, clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        free = least_memory(600, 900, settings())
        monkeypatch.setattr(memory, "available_memory", lambda device: free / 0.9)
        with pytest.raises(NotEnoughMemory, match=r"--size (\d+) would fit") as caught:
            stylize(clip, [style], tmp_path / "out.mp4", settings(run={"size": 4000}))
        size = int(str(caught.value).split("--size ")[1].split()[0])
        assert 890 <= size <= 901

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
    def test_a_film_stays_within_the_estimate(self, tmp_path: Path) -> None:
        """And takes most of it: on the first frames of a film that refers to earlier ones, with steps that fill L-BFGS' history."""
        steps = [f"--{which}iterations=23" for which in ("first-", "")]
        flags = ["--size", "160", "--end", "4f", *steps, "--least-gain", "0", "--references", "1", "2", "--log-json"]
        samples = Path(__file__).parent.parent / "sample_media"
        paths = [str(samples / "clip.mp4"), str(samples / "style.jpg"), "-o", str(tmp_path / "frames")]
        # The system's own figure for a child (ru_maxrss) begins with the memory of the process that starts it.
        program = (
            "import sys; from vidstyle.cli import main; code = main(sys.argv[1:]); print(open('/proc/self/status').read()); sys.exit(code)"
        )
        command = [sys.executable, "-c", program, *paths, *flags, str(tmp_path / "log")]
        job = subprocess.run(command, capture_output=True, text=True, check=False)
        assert job.returncode == 0, job.stderr
        peak = 1024 * int(job.stdout.split("VmHWM:")[1].split()[0])
        estimate = estimate_memory(90, 160, Settings.from_mapping({"temporal": {"references": [1, 2]}}))
        assert f"160×90 pixels, about {estimate / 1e9:.1f} GB of memory" in job.stderr
        assert 0.8 * estimate < peak < estimate

    def test_a_style_many_times_the_size_counts(self) -> None:
        plain, large = (estimate_memory(1000, 1000, settings(style={"scale": scale})) for scale in ([1.0], [0.5, 8.0]))
        assert large > 64e6 * 64 * 4 > plain, "the first layer of the style alone"
        assert estimate_memory(1000, 1000, settings(style={"scale": [0.5]})) == plain

    def test_a_damaged_style(self, clip: Path, tmp_path: Path) -> None:
        (tmp_path / "style.jpg").write_bytes(b"\xff\xd8 not a picture")
        with pytest.raises((MediaError, UsageError), match=r"style\.jpg"):
            stylize(clip, [tmp_path / "style.jpg"], tmp_path / "out.mp4", settings())

    def test_log_into_a_missing_directory(self, clip: Path, style: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="--log-json"):
            stylize(clip, [style], tmp_path / "out.mp4", settings(), JobOptions(log_json=tmp_path / "none" / "log.jsonl"))

    def test_stylize_image_wants_a_picture(self, clip: Path, style: Path) -> None:
        with pytest.raises(UsageError, match="no picture"):
            stylize_image(clip, style)

    def test_nothing_is_left_behind(self, clip: Path, style: Path, tmp_path: Path) -> None:
        before = sorted(tmp_path.iterdir())
        with pytest.raises(UsageError):
            stylize(clip, [style], tmp_path / "out.mp4", settings(run={"size": 16}))
        assert sorted(tmp_path.iterdir()) == before


def test_a_job_that_fails_before_its_first_frame_leaves_no_workspace(style: Path, tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo.png", SCENE.frame(0))
    photo.write_bytes(photo.read_bytes()[:-40])
    with pytest.raises(MediaError, match="incomplete"):
        stylize(photo, [style], tmp_path / "out.png", settings())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "style.png"]


def test_a_log_that_cannot_be_written_is_named(clip: Path, style: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(MediaError, match="--log-json /dev/full: the disk is full; free some space and run the same command again"):
        stylize(clip, [style], tmp_path / "out.mp4", settings(), JobOptions(log_json=Path("/dev/full")))
    with pytest.raises(MediaError, match=r"--log-json .*log: cannot be written: No such file or directory; give another file"):
        begun_log(tmp_path / "gone" / "log", tmp_path / "out.mp4", append=False)


def test_a_picture_becomes_a_film_of_even_size(style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo = write_png(tmp_path / "photo.png", procedural_picture(66, 100))
    stylize(photo, [style], tmp_path / "out.mp4", settings(run={"size": 64}))
    with open_source(tmp_path / "out.mp4", RunSettings()) as film:
        assert (film.info.width, film.info.height) == (64, 42)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_too_small_is_said_alone(clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UsageError, match="too small"):
        stylize(clip, [style], tmp_path / "out.mp4", settings(run={"size": 15}))
    assert not caplog.records


def test_a_tileable_picture_has_sides_of_whole_tiles(style: Path, tmp_path: Path) -> None:
    photo = write_png(tmp_path / "photo.png", procedural_picture(50, 70))
    stylize(photo, [style], tmp_path / "out.png", settings(run={"tileable": True}))
    assert frames_of(tmp_path / "out.png")[0].rgb.shape == (48, 64, 3)


class TestFlowFiles:
    """`--flow DIRECTORY`."""

    def flows(self, clip: Path, directory: Path) -> str:
        """What the default estimator finds between neighbours, written as files."""
        frames, estimate = frames_of(clip), make_estimator("farneback")
        directory.mkdir()
        for before, after in pairwise(frames):
            a, b = before.index + 1, after.index + 1
            write_flow(directory / f"backward_{b}_{a}.flo", estimate(after.rgb, before.rgb))
            write_flow(directory / f"forward_{a}_{b}.flo", estimate(before.rgb, after.rgb))
        return str(directory)

    def test_the_same_fields_from_files_give_the_same_film(self, clip: Path, style: Path, tmp_path: Path) -> None:
        directory = self.flows(clip, tmp_path / "flows")
        for name, flow in (("estimated", "farneback"), ("read", directory)):
            stylize(clip, [style], tmp_path / name, settings(flow={"estimator": flow}, temporal={"references": [1]}))
        for estimated, read in zip(frames_of(tmp_path / "estimated"), frames_of(tmp_path / "read"), strict=True):
            np.testing.assert_array_equal(read.rgb, estimated.rgb)

    def test_a_changed_field_is_another_job(self, clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        chosen = settings(flow={"estimator": self.flows(clip, tmp_path / "flows")})
        with pytest.raises(Interrupted):
            stylize(clip, [style], tmp_path / "out", chosen, progress=Recorder(stop_after=2))
        (tmp_path / "flows" / "backward_2_1.flo").write_bytes((tmp_path / "flows" / "backward_3_2.flo").read_bytes())
        with caplog.at_level(logging.WARNING, "vidstyle"):
            stylize(clip, [style], tmp_path / "out", chosen)
        assert "the settings" in caplog.text

    def test_a_missing_field_is_told(self, clip: Path, style: Path, tmp_path: Path) -> None:
        directory = self.flows(clip, tmp_path / "flows")
        (tmp_path / "flows" / "forward_2_3.flo").unlink()
        with pytest.raises(MediaError, match=r"forward_2_3\.flo: missing"):
            stylize(clip, [style], tmp_path / "out", settings(flow={"estimator": directory}))


def test_a_record_of_another_program_is_told(tmp_path: Path) -> None:
    with (
        Workspace.open(tmp_path / "out.mkv.vidstyle", {}) as workspace,
        pytest.raises(WorkspaceError, match=r"out\.mkv\.vidstyle: .*--fresh"),
    ):
        pipeline._report(workspace, {"index": 0})


class TestSequences:
    """Numbered pictures by one name, in and out."""

    @pytest.fixture
    def shot(self, tmp_path: Path) -> Path:
        (tmp_path / "in").mkdir()
        for number in range(1001, 1006):
            write_png(tmp_path / "in" / f"shot.{number}.png", SCENE.frame(number - 1001))
        return tmp_path / "in" / "shot.%04d.png"

    def test_a_range_is_painted_and_keeps_its_numbers(self, shot: Path, style: Path, tmp_path: Path) -> None:
        output = tmp_path / "painted.####.exr"
        result = stylize(shot, [style], output, settings(run={"frames": "1002-1004"}))
        assert (result.output, result.frames) == (output, 3)
        assert sorted(path.name for path in tmp_path.glob("painted*")) == [f"painted.{number}.exr" for number in (1002, 1003, 1004)]
        stylize(shot.parent, [style], tmp_path / "all", settings(run={"start": "1f", "end": "4f"}))
        for painted, other in zip(frames_of(output), frames_of(tmp_path / "all"), strict=True):
            assert np.abs(painted.rgb.astype(int) - other.rgb).max() <= 1

    def test_only_its_own_files_count_as_input(self, shot: Path, style: Path, tmp_path: Path) -> None:
        made = settings(run={"frames": "1001-1003"})
        output = tmp_path / "painted.%04d.png"
        with pytest.raises(Interrupted):
            stylize(shot, [style], output, made, progress=Recorder(2))
        assert workspace_path(output).is_dir()
        write_png(shot.parent / "shot.1004.png", SCENE.frame(9))
        write_png(shot.parent / "other.1001.png", SCENE.frame(9))
        recorder = Recorder()
        stylize(shot, [style], output, made, progress=recorder)
        assert recorder.done >= 1
        with pytest.raises(Interrupted):
            stylize(shot, [style], output, made, JobOptions(overwrite=True), Recorder(2))
        write_png(shot.parent / "shot.1002.png", SCENE.frame(9))
        recorder = Recorder()
        stylize(shot, [style], output, made, JobOptions(overwrite=True), recorder)
        assert recorder.done == 0

    def test_masks_go_by_the_same_numbers(self, shot: Path, style: Path, tmp_path: Path) -> None:
        for number in range(1001, 1006):
            mask = np.zeros((32, 48), np.uint8)
            mask[:, : 8 * (number - 1000)] = 255
            write_png(tmp_path / f"mask.{number}.png", mask)
        masked = {"run": {"frames": "1003-1004"}, "mask": {"paths": [str(tmp_path / "mask.####.png")]}}
        stylize(shot, [style], tmp_path / "out", settings(**masked))
        for number in (1003, 1004):
            before, after = (frames_of(place / f"shot.{number}.png")[0].rgb for place in (shot.parent, tmp_path / "out"))
            edge = 8 * (number - 1000)
            assert np.array_equal(before[:, edge:], after[:, edge:])
            assert not np.array_equal(before[:, :edge], after[:, :edge])


def test_a_gpus_rounding_is_set_for_the_whole_job(clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow that is found on it in a thread ahead would else be rounded, or not, by whether a step is under way."""
    seen = []

    def rounds() -> tuple[bool, str]:
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()

    @contextmanager
    def as_on_a_gpu(precision: Precision, device: torch.device) -> Iterator[None]:
        seen.append(rounds())
        with matrix_units(precision, torch.device("cuda")):
            yield

    for module in (pipeline, stylizer):
        monkeypatch.setattr(module, "matrix_units", as_on_a_gpu)
    before = rounds()
    stylize(clip, [style], tmp_path / "out.mp4", settings(run={"precision": "float32"}))
    assert seen[0] == before
    assert set(seen[1:]) == {(False, "highest")}
    assert rounds() == before
