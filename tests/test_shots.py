from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.scenes import Scene, procedural_picture
from vidstyle.frames import Frame
from vidstyle.media import open_source
from vidstyle.settings import RunSettings
from vidstyle.shots import mark_cuts, split_shots

ROOT = Path(__file__).parent.parent
PAN = Scene(size=(72, 128))
OTHER = Scene(size=(72, 128), picture=255 - procedural_picture(144, 256, seed=3), pan=(-1.2, 0.5), disc_radius=0)


def frames(*pictures: np.ndarray) -> Iterator[Frame]:
    return (Frame(index, index * 512, Fraction(1, 12800), picture) for index, picture in enumerate(pictures))


def take(scene: Scene, count: int, start: int = 0) -> list[np.ndarray]:
    return [scene.frame(t) for t in range(start, start + count)]


def cuts(pictures: list[np.ndarray]) -> list[int]:
    """Indices of the frames that start a shot, without the first; every frame must come out, in order."""
    marked = list(mark_cuts(frames(*pictures)))
    assert [frame.index for frame, _ in marked] == list(range(len(pictures)))
    starts = [frame.index for frame, starts in marked if starts]
    assert starts[:1] == [0][: len(pictures)]
    return starts[1:]


def faded_over(one: list[np.ndarray], other: list[np.ndarray], length: int, level: int) -> list[np.ndarray]:
    """The end of `one` goes over to a plain level of 255, and the beginning of `other` comes out of it, `length` frames each."""
    shares = np.linspace(0, 1, length + 1)[:-1]
    out = [level + (1 - share) * (picture - float(level)) for share, picture in zip(shares + 1 / length, one[-length:], strict=True)]
    into = [level + share * (picture - float(level)) for share, picture in zip(shares + 1 / length, other[:length], strict=True)]
    return [*one[:-length], *(picture.round().astype(np.uint8) for picture in out + into), *other[length:]]


class TestCuts:
    def test_two_shots(self) -> None:
        assert cuts(take(PAN, 8) + take(OTHER, 8)) == [8]

    @pytest.mark.parametrize("length", [2, 3])
    def test_short_shots(self, length: int) -> None:
        assert cuts(take(PAN, 6) + take(OTHER, length) + take(PAN, 6, 6)) == [6, 6 + length]

    @pytest.mark.parametrize("place", [1, 2, 11])
    def test_at_the_ends_of_the_film(self, place: int) -> None:
        assert cuts(take(PAN, place) + take(OTHER, 12 - place)) == [place]

    def test_without_colour(self) -> None:
        pictures = [
            np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2) for picture in take(PAN, 6) + take(OTHER, 6)
        ]
        assert cuts(pictures) == [6]

    @pytest.mark.parametrize("times", [2, 3, 4, 8])
    def test_of_film_that_repeats_its_frames(self, times: int) -> None:
        noise = np.random.default_rng(0)
        repeated = [
            np.clip(picture + noise.normal(0, 0.3, picture.shape).round(), 0, 255).astype(np.uint8)
            for picture in take(PAN, 6) + take(OTHER, 6)
            for _ in range(times)
        ]
        assert cuts(repeated) == [6 * times]

    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 8), (40, 1), (720, 1280)])
    def test_at_any_size(self, size: tuple[int, int]) -> None:
        dark, light = np.full((*size, 3), 30, np.uint8), np.full((*size, 3), 200, np.uint8)
        assert cuts([dark] * 4 + [light] * 4) == [4]

    def test_between_pictures_of_noise(self) -> None:
        """Where two have nothing in common their best shift can come out larger than they are."""
        noise = np.random.default_rng(0)
        for _ in range(200):
            height, width = noise.integers(2, 40, 2)
            one, other = noise.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
            cuts([one] * 4 + [other] * 4)

    @pytest.mark.parametrize("share", [0.3, 0.1])
    def test_in_the_dark(self, share: float) -> None:
        assert cuts([(picture * share).astype(np.uint8) for picture in take(PAN, 8) + take(OTHER, 8)]) == [8]

    @pytest.mark.parametrize("level", [0, 255])
    @pytest.mark.parametrize("length", [1, 2, 4, 12])
    def test_through_black_or_white(self, length: int, level: int) -> None:
        nothing = np.full_like(PAN.frame(0), level)
        assert cuts(take(PAN, 6) + [nothing] * length + take(OTHER, 6)) == [6 + length]

    @pytest.mark.parametrize("level", [0, 255])
    @pytest.mark.parametrize("length", [4, 8, 16])
    def test_through_a_fade(self, length: int, level: int) -> None:
        assert cuts(faded_over(take(PAN, 6 + length), take(OTHER, 6 + length), length, level)) == [6 + length]

    def test_to_a_still_that_lasts(self) -> None:
        assert cuts(take(PAN, 6) + [OTHER.frame(0)] * 20 + take(PAN, 6)) == [6, 26]


class TestNoCut:
    def test_in_a_moving_shot(self) -> None:
        assert cuts(take(PAN, 16)) == []

    def test_in_a_fast_pan(self) -> None:
        assert cuts(take(Scene(size=(72, 128), pan=(9.0, 3.0)), 12)) == []

    @pytest.mark.parametrize("times", [2, 4, 5, 8])
    def test_in_a_fast_pan_that_repeats_its_frames(self, times: int) -> None:
        assert cuts([picture for picture in take(Scene(size=(72, 128), pan=(12.0, 3.0)), 8) for _ in range(times)]) == []

    @pytest.mark.parametrize("light", [-60, 60, 150])
    @pytest.mark.parametrize("length", [1, 2, 4, 20])
    def test_at_a_flash_or_a_change_of_light(self, length: int, light: int) -> None:
        pictures = take(PAN, 12)
        pictures[6 : 6 + length] = [np.clip(picture.astype(int) + light, 0, 255).astype(np.uint8) for picture in pictures[6 : 6 + length]]
        assert cuts(pictures) == []

    def test_at_a_flash_in_a_fast_pan(self) -> None:
        pictures = take(Scene(size=(72, 128), pan=(9.0, 3.0)), 12)
        pictures[6:8] = [np.clip(picture.astype(int) + 100, 0, 255).astype(np.uint8) for picture in pictures[6:8]]
        assert cuts(pictures) == []

    def test_in_a_dissolve(self) -> None:
        shares = [min(max((t - 4) / 10, 0), 1) for t in range(18)]
        assert cuts([cv2.addWeighted(PAN.frame(t), 1 - share, OTHER.frame(t), share, 0) for t, share in enumerate(shares)]) == []

    def test_in_a_fade_through_black(self) -> None:
        assert cuts([(PAN.frame(t) * (abs(t - 10) / 10)).astype(np.uint8) for t in range(21)]) == []

    @pytest.mark.parametrize("level", [0, 255])
    @pytest.mark.parametrize("length", [1, 2, 4, 12])
    def test_at_a_flash_that_hides_everything(self, length: int, level: int) -> None:
        pictures = take(PAN, 12)
        pictures[6:6] = [np.full_like(pictures[0], level)] * length
        assert cuts(pictures) == []

    def test_in_a_strobe(self) -> None:
        assert cuts([picture if t % 4 < 2 else np.zeros_like(picture) for t, picture in enumerate(take(PAN, 16))]) == []

    def test_in_a_fade_of_a_plain_colour(self) -> None:
        assert cuts([np.full((72, 128, 3), level, np.uint8) for level in range(0, 250, 20)]) == []

    def test_in_a_still(self) -> None:
        assert cuts([PAN.frame(0)] * 20) == []

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_in_hardly_any_frames(self, count: int) -> None:
        assert cuts(take(PAN, count)) == []


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("sample_media/clip.mp4", []),
        ("sample_media/cut.mp4", [12]),
        ("sample_media/sway.mp4", []),
        ("benchmarks/media/bbb_run_cut.mp4", [34]),
        ("benchmarks/media/drone_city.mp4", []),
    ],
)
class TestOwnClips:
    """Precision and recall on film, as it is and with what is easily taken for a cut."""

    def pictures(self, clip: str) -> list[np.ndarray]:
        with open_source(ROOT / clip, RunSettings(size=192)) as medium:
            return [frame.rgb for frame in medium.frames()]

    def test_as_they_are(self, clip: str, expected: list[int]) -> None:
        assert cuts(self.pictures(clip)) == expected

    @pytest.mark.parametrize("light", [-60, 60, 150])
    @pytest.mark.parametrize("length", [1, 2, 3])
    def test_with_a_flash(self, clip: str, expected: list[int], length: int, light: int) -> None:
        pictures = self.pictures(clip)
        flash = slice(5, 5 + length)
        pictures[flash] = [np.clip(picture.astype(int) + light, 0, 255).astype(np.uint8) for picture in pictures[flash]]
        assert cuts(pictures) == expected

    def test_fading_in_and_out(self, clip: str, expected: list[int]) -> None:
        pictures = self.pictures(clip)
        last = len(pictures) - 1
        faded = [(picture * min(t / 8, (last - t) / 8, 1)).astype(np.uint8) for t, picture in enumerate(pictures)]
        assert cuts(faded) == expected


OWN = {"rabbit": ("bbb_run_cut.mp4", 0), "close": ("bbb_run_cut.mp4", 40), "city": ("drone_city.mp4", 0)}


@pytest.fixture(scope="module")
def beginnings() -> dict[str, list[np.ndarray]]:
    """Twenty frames of each shot of the films in benchmarks/media, at one size."""
    found = {}
    for name, (file, start) in OWN.items():
        with open_source(ROOT / "benchmarks" / "media" / file, RunSettings(size=192, start=f"{start}f", end=f"{start + 20}f")) as medium:
            found[name] = [frame.rgb for frame in medium.frames()]
    return found


@pytest.mark.parametrize(("one", "other"), [(one, other) for one in OWN for other in OWN if one != other])
class TestBetweenOwnClips:
    def test_through_a_fade(self, beginnings: dict[str, list[np.ndarray]], one: str, other: str) -> None:
        for length in (4, 8):
            for level in (0, 255):
                assert cuts(faded_over(beginnings[one], beginnings[other], length, level)) == [20], (length, level)

    def test_through_black(self, beginnings: dict[str, list[np.ndarray]], one: str, other: str) -> None:
        for length in (0, 1, 3, 9):
            black = [np.zeros_like(beginnings[one][0])] * length
            assert cuts(beginnings[one] + black + beginnings[other]) == [20 + length], length

    def test_in_the_dark(self, beginnings: dict[str, list[np.ndarray]], one: str, other: str) -> None:
        assert cuts([(picture * 0.15).astype(np.uint8) for picture in beginnings[one] + beginnings[other]]) == [20]

    def test_beside_a_flash(self, beginnings: dict[str, list[np.ndarray]], one: str, other: str) -> None:
        """Which may begin or end in the very frame before the cut or after it, or go over it."""
        for start, length, light in itertools.product(range(16, 22), (1, 2, 3), (-60, 60, 150)):
            pictures = beginnings[one] + beginnings[other]
            flash = slice(start, start + length)
            pictures[flash] = [np.clip(picture.astype(int) + light, 0, 255).astype(np.uint8) for picture in pictures[flash]]
            assert cuts(pictures) == [20], (start, length, light)


class TestShots:
    FILM = (*take(PAN, 6), *take(OTHER, 5), *take(PAN, 4))

    def test_hold_every_frame_once(self) -> None:
        shots = [(shot.index, shot.first, [frame.index for frame in shot.frames]) for shot in split_shots(frames(*self.FILM))]
        assert shots == [(0, 0, list(range(6))), (1, 6, list(range(6, 11))), (2, 11, list(range(11, 15)))]

    def test_frames_are_the_ones_given(self) -> None:
        given = list(frames(*self.FILM))
        walked = [frame for shot in split_shots(iter(given)) for frame in shot.frames]
        assert all(a is b for a, b in zip(walked, given, strict=True))

    @pytest.mark.parametrize("walked", [0, 1, 3])
    def test_what_is_left_of_a_shot_is_passed_over(self, walked: int) -> None:
        firsts = []
        for shot in split_shots(frames(*self.FILM)):
            firsts.append(shot.first)
            for _ in range(walked):
                next(shot.frames)
        assert firsts == [0, 6, 11]

    def test_a_shot_given_up_early_does_not_stop_the_next(self) -> None:
        firsts = []
        for shot in split_shots(frames(*self.FILM)):
            firsts.append(shot.first)
            shot.frames.close()  # type: ignore[attr-defined]
        assert firsts == [0, 6, 11]

    def test_no_frames_no_shots(self) -> None:
        assert list(split_shots(frames())) == []

    @pytest.mark.parametrize(("film", "most"), [(take(PAN, 40), 6), ([PAN.frame(0)] * 40, 10)], ids=["moving", "still"])
    def test_frames_are_read_as_they_are_needed(self, film: list[np.ndarray], most: int) -> None:
        """No further than a frame's neighbours, and seven more that may repeat it."""
        read = 0

        def counted() -> Iterator[Frame]:
            nonlocal read
            for frame in frames(*film):
                read += 1
                yield frame

        ahead = [read - frame.index for shot in split_shots(counted()) for frame in shot.frames]
        assert max(ahead) <= most

    def test_a_film_that_starts_later_starts_with_a_shot(self) -> None:
        later = [Frame(index + 30, index, Fraction(1, 25), picture) for index, picture in enumerate(self.FILM)]
        assert [shot.first for shot in split_shots(iter(later))] == [30, 36, 41]
