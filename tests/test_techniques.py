"""The techniques of the gallery as whole jobs: what each is for is there in the result."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.clips import make_clip
from tests.jobs import QUICK, Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from vidstyle.errors import UsageError
from vidstyle.evaluate import content_and_style_of
from vidstyle.media import open_source, read_style
from vidstyle.pipeline import JobOptions, stylize, workspace_path
from vidstyle.settings import RunSettings, Settings
from vidstyle.stylizer import Stylizer

SCENE = Scene(size=(32, 48))


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_png(tmp_path / "style.png", procedural_picture(40, 40, seed=3)[:, :, ::-1])


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_png(tmp_path / "other.png", 255 - procedural_picture(40, 40, seed=8))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", [SCENE.frame(t) for t in range(4)], codec="ffv1", pix_fmt="bgr0")


def pictures(path: Path) -> npt.NDArray[np.int64]:
    with open_source(path, RunSettings()) as medium:
        return np.stack([frame.rgb for frame in medium.frames()]).astype(np.int64)


class TestStrength:
    def test_content_is_given_up_and_style_gained_at_every_step(self, tmp_path: Path, style: Path) -> None:
        photo = write_png(tmp_path / "photo.png", procedural_picture(60, 80, seed=2))
        judge = Stylizer(Settings(), [read_style(style)], (60, 80))
        source = read_style(photo)
        losses = []
        painted_at = {"optimize": {"first_iterations": 40}}
        stylize(photo, style, tmp_path / "full.png", settings(**painted_at), JobOptions(keep_workspace=True))
        for step in range(11):
            chosen = settings(**painted_at, color={"strength": step / 10})
            # The strength acts on the output alone: every step but the first takes the painting from the workspace.
            stylize(photo, style, tmp_path / "full.png", chosen, JobOptions(keep_workspace=True, overwrite=True))
            picture = read_style(tmp_path / "full.png")
            losses.append(content_and_style_of(judge.network, picture, source, judge.targets(judge.size)))
            if step == 0:
                np.testing.assert_array_equal(picture, source)
        content, painted = np.array(losses).T
        assert content[0] == 0
        assert (np.diff(content) > 0).all()
        assert (np.diff(painted) < 0).all()

    def test_none_of_it_is_the_source_of_a_film(self, clip: Path, style: Path, tmp_path: Path) -> None:
        stylize(clip, style, tmp_path / "out", settings(color={"strength": 0}))
        np.testing.assert_array_equal(pictures(tmp_path / "out"), pictures(clip))


class TestMasks:
    def test_what_no_mask_covers_is_the_source(self, clip: Path, style: Path, tmp_path: Path) -> None:
        mask = np.zeros((32, 48), np.uint8)
        mask[:, 24:] = 255
        path = str(write_png(tmp_path / "mask.png", mask))
        for blend in ("alpha", "poisson"):
            stylize(clip, style, tmp_path / blend, settings(mask={"paths": [path], "blend": blend}))
            painted, source = pictures(tmp_path / blend), pictures(clip)
            assert np.abs(painted - source)[:, :, :24].max() <= (0 if blend == "alpha" else 1)
            assert np.abs(painted - source)[:, :, 26:].mean() > 2

    def test_poisson_blending_flickers_no_more_than_what_it_blends(self, style: Path, tmp_path: Path) -> None:
        """A still scene, whose painting hardly changes from frame to frame: neither does the blend."""
        still = Scene(size=(32, 48), pan=(0, 0), zoom=1, turn=0, disc_radius=0)
        clip = make_clip(tmp_path / "still.mkv", [still.frame(0)] * 4, codec="ffv1", pix_fmt="bgr0")
        mask = np.zeros((32, 48), np.uint8)
        mask[6:26, 10:38] = 255
        path = str(write_png(tmp_path / "mask.png", mask))
        change = {}
        for blend in ("alpha", "poisson"):
            chosen = settings(mask={"paths": [path], "blend": blend}, optimize={"iterations": 4, "first_iterations": 60})
            stylize(clip, style, tmp_path / blend, chosen)
            change[blend] = np.abs(np.diff(pictures(tmp_path / blend), axis=0)).mean()
        assert change["poisson"] < 1.5 * change["alpha"] + 0.2

    def test_a_mask_that_has_changed_is_another_job(
        self, clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        mask = np.full((32, 48), 255, np.uint8)
        path = write_png(tmp_path / "mask.png", mask)
        chosen = settings(mask={"paths": [str(path)]})
        with pytest.raises(Interrupted):
            stylize(clip, style, tmp_path / "out", chosen, progress=Recorder(stop_after=2))
        mask[:16] = 0
        write_png(path, mask)
        stylize(clip, style, tmp_path / "out", chosen)
        assert "settings" in caplog.text


@pytest.mark.parametrize("what", ["schedule", "follow", "loop", "framewise", "recolor", "adam"])
def test_going_on_gives_the_same_bytes(clip: Path, style: Path, other: Path, tmp_path: Path, what: str) -> None:
    mask = write_png(tmp_path / "disc.png", SCENE.on_disc(0).astype(np.uint8) * 255)
    sections: dict[str, dict[str, object]] = {
        "schedule": {"style": {"schedule": f"0s: {style}, 0.04s: {other}", "fade": 0.1}},
        "follow": {"mask": {"paths": [str(mask)], "follow": True}},
        "loop": {"temporal": {"loop": True}},
        "framewise": {"temporal": {"framewise": True}},
        "recolor": {"style": {"recolor": True}},
        "adam": {"optimize": {**QUICK, "optimizer": "adam"}},
    }
    chosen = settings(**sections[what])
    styles = None if what == "schedule" else style
    stylize(clip, styles, tmp_path / "whole", chosen)
    with pytest.raises(Interrupted):
        stylize(clip, styles, tmp_path / "resumed", chosen, progress=Recorder(stop_after=2))
    assert workspace_path(tmp_path / "resumed").is_dir()
    stylize(clip, styles, tmp_path / "resumed", chosen)
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()


def test_a_schedule_paints_each_part_in_its_style(tmp_path: Path) -> None:
    red, blue = (write_png(tmp_path / f"{name}.png", noisy(color)) for name, color in (("red", (200, 40, 40)), ("blue", (40, 40, 200))))
    clip = make_clip(tmp_path / "clip.mkv", [SCENE.frame(t) for t in range(14)], codec="ffv1", pix_fmt="bgr0")
    chosen = settings(
        style={"schedule": f"0s: {red}, 5f: {blue}", "fade": 0.1}, optimize={"iterations": 12, "first_iterations": 40},
    )  # fmt: skip
    stylize(clip, None, tmp_path / "out", chosen)
    warm = (pictures(tmp_path / "out")[..., 0] - pictures(tmp_path / "out")[..., 2]).mean(axis=(1, 2))
    assert warm[4] > 20
    assert warm[13] < -20
    with pytest.raises(UsageError, match="--style-schedule names the styles of the job"):
        stylize(clip, red, tmp_path / "again", chosen)


def noisy(color: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-30, 30, (40, 40, 1))
    return np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)


def test_a_loop_ends_where_it_begins(style: Path, tmp_path: Path) -> None:
    """A still scene whose look goes on settling: without the loop the last frame is far from the first, with it, on its way back."""
    still = Scene(size=(32, 48), pan=(0, 0), zoom=1, turn=0, disc_radius=0)
    clip = make_clip(tmp_path / "still.mkv", [still.frame(0)] * 10, codec="ffv1", pix_fmt="bgr0")
    jumps, largest = {}, {}
    for loop in (False, True):
        temporal = {"loop": loop, "drift_weight": 0, "repaint_still": True}
        stylize(clip, style, tmp_path / f"out{loop}", settings(temporal=temporal, optimize={"iterations": 6, "first_iterations": 60}))
        frames = pictures(tmp_path / f"out{loop}")
        jumps[loop] = np.abs(frames[0] - frames[-1]).mean()
        largest[loop] = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).max()
    assert jumps[True] < 0.3 * jumps[False]
    assert jumps[True] < 1.5 * largest[True]


def test_a_loop_of_what_stands_still_stands_still(style: Path, tmp_path: Path) -> None:
    still = Scene(size=(32, 48), pan=(0, 0), zoom=1, turn=0, disc_radius=0)
    clip = make_clip(tmp_path / "still.mkv", [still.frame(0)] * 6, codec="ffv1", pix_fmt="bgr0")
    stylize(clip, style, tmp_path / "out", settings(temporal={"loop": True}))
    assert not np.diff(pictures(tmp_path / "out"), axis=0).any()


def test_an_end_unlike_the_beginning_cannot_flow_into_it(style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scenes = [SCENE.frame(0), SCENE.frame(1), 255 - procedural_picture(32, 48, seed=6), 255 - procedural_picture(32, 48, seed=6)]
    clip = make_clip(tmp_path / "cut.mkv", scenes, codec="ffv1", pix_fmt="bgr0")
    stylize(clip, style, tmp_path / "out", settings(temporal={"loop": True}))
    assert "the end of the film does not look like its beginning" in caplog.text


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"temporal": {"loop": True, "framewise": True}}, "--loop does nothing with --framewise"),
        ({"mask": {"feather": 3}}, "--mask-feather does nothing without --mask"),
        ({"style": {"histogram_layers": ["relu2_1"]}}, "--histogram-layers does nothing without --histogram-weight"),
        ({"optimize": {"optimizer": "adam", "least_gain": 0.1}}, "--least-gain does nothing with --optimizer adam"),
        ({"style": {"fade": 3}}, "--style-fade does nothing without --style-schedule"),
        ({"style": {"detail_layers": ["relu1_1"]}}, "--detail-layers does nothing without --detail-style"),
        ({"optimize": {"averaging": 0.5}}, "--averaging does nothing without --optimizer adam"),
        ({"temporal": {"smoothing": 0.1}}, "--smoothing does nothing without --framewise"),
    ],
)
def test_settings_without_effect_are_said(
    sections: dict[str, dict[str, object]], said: str, clip: Path, style: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stylize(clip, style, tmp_path / "out", settings(**sections))
    assert said in caplog.text


def test_a_loop_that_ends_in_another_style_is_said(
    clip: Path, style: Path, other: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stylize(clip, [], tmp_path / "out", settings(style={"schedule": f"0s: {style}, 2f: {other}"}, temporal={"loop": True}))
    assert "end the schedule with the first style" in caplog.text


def test_a_texture_of_a_film_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a texture is made of a picture"):
        stylize(clip, [], tmp_path / "out.mp4", settings(content={"weight": 0}))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_what_is_left_of_a_picture_keeps_its_sixteen_bits(name: str, style: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 65536, (32, 48, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / name), picture)
    stylize(tmp_path / name, style, tmp_path / f"same_{name}", settings(color={"strength": 0}))
    same = cv2.imread(str(tmp_path / f"same_{name}"), cv2.IMREAD_UNCHANGED)
    assert same is not None
    assert same.dtype == np.uint16
    assert np.abs(same.astype(int) - picture).max() <= 1
