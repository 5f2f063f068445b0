"""Which styles go where: blends, schedules, and masks that are still, move, or follow the film."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.clips import make_clip
from tests.scenes import Scene
from vidstyle.errors import MediaError, UsageError
from vidstyle.flow import make_flows
from vidstyle.frames import Frame, MediaInfo
from vidstyle.guidance import Guidance, Guide, blend_shares, schedule_shares
from vidstyle.settings import Settings
from vidstyle.stillness import SETTLING

SIZE = (48, 64)
SCENE = Scene(size=SIZE)


def info(frames: int = 4, kind: str = "frames") -> MediaInfo:
    return MediaInfo(Path("x"), kind, SIZE[1], SIZE[0], Fraction(24), Fraction(1, 24), frames)  # type: ignore[arg-type]


def frame(t: int) -> Frame:
    return Frame(t, t, Fraction(1, 24), SCENE.frame(t))


def guide(styles: int, medium: MediaInfo | None = None, **sections: dict[str, object]) -> Guide:
    return Guide(Settings.from_mapping(sections), styles, medium or info(), make_flows("farneback"))


def write_mask(path: Path, mask: np.ndarray) -> str:
    assert cv2.imwrite(str(path), np.asarray(mask * 255, np.uint8))
    return str(path)


@pytest.fixture
def left(tmp_path: Path) -> str:
    mask = np.zeros((96, 128))
    mask[:, :64] = 1
    return write_mask(tmp_path / "left.png", mask)


def test_blend_weights_become_shares() -> None:
    assert blend_shares(Settings(), 4) == (0.25,) * 4
    assert blend_shares(Settings.from_mapping({"style": {"blend": [1, 3]}}), 2) == (0.25, 0.75)
    with pytest.raises(UsageError, match="too large to be summed"):
        blend_shares(Settings.from_mapping({"style": {"blend": [1e308, 1e308]}}), 2)


def test_a_schedule_fades_from_style_to_style() -> None:
    assert schedule_shares([Fraction(0)], 3, 1.0, Fraction(0)) == (1, 0, 0)
    assert schedule_shares([Fraction(0), Fraction(3)], 3, 1.0, Fraction(13, 4)) == (0.75, 0.25, 0)
    assert schedule_shares([Fraction(0), Fraction(3)], 3, 1.0, Fraction(5)) == (0, 1, 0)
    assert schedule_shares([Fraction(0), Fraction(3)], 3, 0.0, Fraction(3)) == (0, 1, 0)
    # The third begins while the second still fades in: it takes from both.
    assert schedule_shares([Fraction(0), Fraction(3), Fraction(4)], 3, 2.0, Fraction(9, 2)) == pytest.approx((0.1875, 0.5625, 0.25))


def test_the_guide_keeps_the_films_time() -> None:
    """Moments are those of the output, whose first frame may lie anywhere in the source."""
    with guide(2, style={"schedule": "0s: a, 2f: b", "fade": 2 / 24}) as shares:
        later = [Frame(t, 100 + t, Fraction(1, 24), SCENE.frame(0)) for t in range(6)]
        seen = [shares.at(one, shot_start=not one.index).shares[1] for one in later]
    assert seen == pytest.approx([0, 0, 0, 0.5, 1, 1])
    with guide(2, style={"schedule": "0s: a, 0.1s: b", "fade": 0}) as shares:
        assert [shares.at(one, shot_start=False).shares[1] for one in later] == [0, 0, 0, 1, 1, 1]


def test_a_still_mask_fits_every_frame_whatever_its_size(left: str) -> None:
    with guide(2, mask={"paths": [left]}) as masks:
        for t in range(3):
            found = masks.at(frame(t), shot_start=t == 0)
            assert found.masks is not None
            assert found.masks.shape == (2, *SIZE)
            np.testing.assert_allclose(found.masks.sum(axis=0), 1)
            assert found.masks[0, :, :31].min() == 1
            assert found.masks[1, :, 33:].min() == 1
        assert not masks.leaves_source


def test_one_mask_a_style_leaves_the_rest_to_the_source(left: str) -> None:
    with guide(1, mask={"paths": [left]}) as masks:
        coverage = masks.at(frame(0), shot_start=True).coverage
        assert masks.leaves_source
    assert coverage is not None
    assert coverage[:, :31].min() == 1
    assert coverage[:, 33:].max() == 0
    assert Guidance((1.0,)).coverage is None


def test_masks_that_overlap_share(left: str) -> None:
    with guide(2, mask={"paths": [left, left]}) as masks:
        found = masks.at(frame(0), shot_start=True).masks
    assert found is not None
    np.testing.assert_allclose(found[:, :, :31], 0.5)


def test_a_feathered_edge_is_as_wide_as_asked(left: str) -> None:
    with guide(1, mask={"paths": [left], "feather": 10}) as masks:
        found = masks.at(frame(0), shot_start=True).masks
    assert found is not None
    row = found[0, 24]
    wide = int((row > 0.1).sum() - (row > 0.9).sum())
    assert 8 <= wide <= 12


def test_a_film_of_masks_goes_along_frame_by_frame(tmp_path: Path) -> None:
    discs = [SCENE.on_disc(t) for t in range(4)]
    (tmp_path / "masks").mkdir()
    for t, disc in enumerate(discs):
        write_mask(tmp_path / "masks" / f"{t}.png", disc)
    film = make_clip(tmp_path / "masks.mp4", [np.repeat(disc[..., None], 3, axis=2).astype(np.uint8) * 255 for disc in discs])
    for path in (film, tmp_path / "masks"):
        with guide(1, mask={"paths": [str(path)]}) as masks:
            for t, disc in enumerate(discs):
                found = masks.at(frame(t), shot_start=t == 0).masks
                assert found is not None
                assert ((found[0] > 0.5) == disc).mean() > 0.99
            with pytest.raises(MediaError, match="ends after 4 frames"):
                masks.at(frame(4), shot_start=False)


def test_where_masks_change_stays_known_until_it_has_settled(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for t in range(20):
        mask = np.zeros(SIZE)
        mask[:, : 20 if t < 3 else 30] = 1
        write_mask(folder / f"{t:02}.png", mask)
    with guide(1, info(20), mask={"paths": [str(folder)]}) as masks:
        moving = [masks.at(frame(t), shot_start=t in (0, 18)).moving for t in range(20)]
    shares = [float(where.mean()) for where in moving if where is not None]
    assert shares == [0.0] * 3 + [pytest.approx(10 / 64)] * SETTLING + [0.0] * 5
    assert moving[3] is not None
    assert moving[3][:, 20:30].all()


def test_what_a_style_has_left_is_not_at_rest() -> None:
    still, moving = np.full((2, 2), 0.5, np.float32), np.array([[True, False], [False, False]])
    assert Guidance((1.0,)).resting(still) is still
    assert Guidance((1.0,), changing=True).resting(still).max() == 0
    np.testing.assert_array_equal(Guidance((1.0,), moving=moving).resting(still), [[0, 0.5], [0.5, 0.5]])


def test_a_mask_of_the_first_frame_is_carried_along(tmp_path: Path) -> None:
    """Twenty frames of a disc that flies over a moving picture: the mask stays on it, and its edge sharp."""
    scene = Scene(size=(108, 192), disc_step=(2.5, 1.0))
    path = write_mask(tmp_path / "disc.png", scene.on_disc(0))
    medium = MediaInfo(Path("x"), "video", 192, 108, Fraction(24), Fraction(1, 24), 20)
    with guide(1, medium, mask={"paths": [path], "follow": True}) as masks:
        for t in range(20):
            found = masks.at(Frame(t, t, Fraction(1, 24), scene.frame(t)), shot_start=t == 0).masks
    assert found is not None
    truth, mask = scene.on_disc(19), found[0] > 0.5
    assert (truth & mask).sum() / (truth | mask).sum() > 0.85
    assert ((found[0] > 0.1) & (found[0] < 0.9)).mean() < 0.03
    still = scene.on_disc(0)
    assert (truth & still).sum() / (truth | still).sum() < 0.2


def test_a_carried_mask_of_a_still_place_stays(tmp_path: Path) -> None:
    """Its edge follows no edge of the picture, and is not drawn to one."""
    scene = Scene(size=SIZE, pan=(0, 0), zoom=1, turn=0, disc_radius=0)
    half = np.zeros(SIZE)
    half[:, :32] = 1
    path = write_mask(tmp_path / "half.png", half)
    with guide(1, mask={"paths": [path], "follow": True}) as masks:
        for t in range(10):
            found = masks.at(Frame(t, t, Fraction(1, 24), scene.frame(0)), shot_start=t == 0).masks
    assert found is not None
    np.testing.assert_allclose(found[0], half, atol=0.02)


def test_a_carried_mask_starts_again_at_a_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_mask(tmp_path / "disc.png", SCENE.on_disc(0))
    with guide(1, mask={"paths": [path], "follow": True}) as masks, caplog.at_level(logging.WARNING, logger="vidstyle"):
        given = masks.at(frame(0), shot_start=True).masks
        masks.at(frame(3), shot_start=False)
        again = masks.at(frame(5), shot_start=True).masks
    assert given is not None
    assert again is not None
    np.testing.assert_array_equal(given, again)
    assert "frame 5: a new shot begins" in caplog.text


@pytest.mark.parametrize(
    ("styles", "masks", "further", "said"),
    [
        (1, 2, {}, "--mask names 2 masks for 1 style; give 1$"),
        (3, 1, {}, r"--mask names 1 masks for 3 styles; give 3, or 2 \(the last style takes the rest\)"),
        (2, 2, {"style": {"blend": [1, 1]}}, "--mask and --style-blend contradict each other"),
        (2, 2, {"style": {"schedule": "0s: a, 1s: b"}}, "--mask and --style-schedule contradict each other"),
    ],
)
def test_what_does_not_fit_is_said(left: str, styles: int, masks: int, further: dict[str, dict[str, object]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        guide(styles, mask={"paths": [left] * masks}, **further)


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "square.png", np.ones((50, 50)))
    with pytest.raises(UsageError, match=r"square\.png: 50×50 has not the shape of the frames, 64×48"):
        guide(1, mask={"paths": [path]})
    with pytest.raises(UsageError, match="no such file"):
        guide(1, mask={"paths": [str(tmp_path / "gone.png")]})


def test_too_few_masks_in_a_directory_are_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    write_mask(tmp_path / "masks" / "1.png", SCENE.on_disc(0))
    with pytest.raises(UsageError, match="holds 1 masks for 4 frames"):
        guide(1, mask={"paths": [str(tmp_path / "masks")]})
    with guide(1, mask={"paths": [str(tmp_path / "masks")], "follow": True}) as masks:
        assert masks.at(frame(0), shot_start=True).masks is not None


@pytest.mark.parametrize("schedule", ["0s: a.jpg, 5s: b.jpg, 2s: c.jpg", "0s: a.jpg, 0s: b.jpg", "0f: a.jpg, 9f: b.jpg, 3f: c.jpg"])
def test_a_schedule_out_of_order_is_refused(schedule: str) -> None:
    with pytest.raises(UsageError, match="order of time"):
        Settings.from_mapping({"style": {"schedule": schedule}})


def test_a_mask_that_is_no_picture_is_named_as_a_mask(tmp_path: Path) -> None:
    (tmp_path / "mask.txt").write_text("white")
    with pytest.raises(MediaError, match=r"^--mask .*mask\.txt"):
        guide(1, mask={"paths": [str(tmp_path / "mask.txt")]})


def test_a_mask_that_turns_out_to_be_damaged_is_named_as_a_mask(left: str) -> None:
    data = Path(left).read_bytes()
    place = data.index(b"IDAT") + 12
    Path(left).write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
    with guide(1, mask={"paths": [left]}) as masks, pytest.raises(MediaError, match=r"^--mask .*left\.png: the PNG picture is damaged"):
        masks.at(frame(0), shot_start=True)


def test_too_short_a_film_of_masks_is_said_before_the_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_clip(tmp_path / "mask.mp4", 3)
    with caplog.at_level(logging.WARNING, "vidstyle"):
        guide(1, info(9, "video"), mask={"paths": [str(tmp_path / "mask.mp4")]}).close()
    assert "holds 3 masks for 9 frames" in caplog.text
