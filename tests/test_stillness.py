"""Where a film stands still, on scenes whose motion is known exactly, and that the painting then stands still too."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.jobs import Interrupted, Recorder, settings, write_png
from tests.scenes import Scene, procedural_picture
from vidstyle.flow import consistency
from vidstyle.frames import FlowField, Frame
from vidstyle.guidance import Guidance
from vidstyle.motion import Motion, at_rest
from vidstyle.pipeline import JobOptions, stylize
from vidstyle.settings import Settings
from vidstyle.stillness import SETTLING, Held, stillness
from vidstyle.stylizer import Stylizer

SIZE = (96, 128)
STANDING = Scene(size=SIZE, pan=(0, 0), zoom=1, turn=0)
"""The camera stands, the disc flies."""
EMPTY = replace(STANDING, disc_radius=0)
PICTURE = EMPTY.frame(0)
NO_FLOW = FlowField(np.zeros((2, *SIZE), np.float32))
STYLE = procedural_picture(60, 70, seed=3)[:, :, ::-1].copy()


def noisy(seed: int, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, PICTURE.shape)
    return np.clip(PICTURE + noise, 0, 255).round().astype(np.uint8)


def frame(t: int, picture: np.ndarray | None = None) -> Frame:
    return Frame(t, t, Fraction(1, 24), STANDING.frame(t) if picture is None else picture)


def motion(t: int, reference: int, scene: Scene = STANDING) -> Motion:
    flow, back = scene.flow(t, reference), scene.flow(reference, t)
    frames = (Frame(index, index, Fraction(1, 24), scene.frame(index)) for index in (t, reference))
    return Motion.between(*frames, flow, consistency(flow, back))


class TestStillness:
    def test_two_equal_frames_stand_still(self) -> None:
        assert stillness(PICTURE, PICTURE, NO_FLOW, 1).min() == 1

    @pytest.mark.parametrize("deviation", [1, 3])
    def test_so_do_frames_that_differ_by_noise(self, deviation: float) -> None:
        flow = FlowField(np.random.default_rng(2).normal(0, 0.03, (2, *SIZE)).astype(np.float32))
        assert (stillness(noisy(0, deviation), noisy(1, deviation), flow, 1) == 1).mean() > 0.99

    @pytest.mark.parametrize("speed", [0.12, 1.0])
    def test_a_pan_does_not(self, speed: float) -> None:
        scene = replace(EMPTY, pan=(speed, 0))
        assert stillness(scene.frame(1), scene.frame(0), scene.flow(1, 0), 1).max() == 0

    def test_a_pan_too_slow_for_one_frame_is_seen_over_ten(self) -> None:
        scene = replace(EMPTY, pan=(0.05, 0))
        assert stillness(scene.frame(10), scene.frame(9), scene.flow(10, 9), 1).mean() > 0.9
        assert stillness(scene.frame(10), scene.frame(0), scene.flow(10, 0), 10).max() == 0

    def test_what_moves_or_changes_does_not_and_the_rest_does(self) -> None:
        still = stillness(STANDING.frame(1), STANDING.frame(0), STANDING.flow(1, 0), 1)
        moving = (np.abs(STANDING.frame(1).astype(int) - STANDING.frame(0)).sum(axis=2) > 60) | (STANDING.flow(1, 0).data != 0).any(axis=0)
        assert still[moving].max() == 0
        assert (still == 1).mean() > 0.4
        lit = PICTURE.copy()
        lit[20:30, 20:30] ^= 64
        changed = stillness(lit, PICTURE, NO_FLOW, 1)
        assert changed[20:30, 20:30].max() == 0
        assert changed[60:, 60:].min() == 1

    def test_light_that_changes_by_a_level_is_no_standing_still(self) -> None:
        assert stillness(np.minimum(PICTURE, 250) + np.uint8(1), np.minimum(PICTURE, 250), NO_FLOW, 1).max() == 0

    def test_plain_ground_goes_with_what_is_around_it(self) -> None:
        """The flow of plain ground is a guess: it says still where everything moves, and moving where everything stands."""
        plain = PICTURE.copy()
        plain[:, 48:80] = 128
        guess, still, moving = (np.zeros((2, *SIZE), np.float32) for _ in range(3))
        guess[0, :, 52:76] = 0.4
        moving[0] = 0.4
        moving[0, :, 52:76] = 0
        assert stillness(plain, plain, FlowField(still + guess), 1).min() == 1
        assert stillness(plain, plain, FlowField(moving), 1).max() == 0


class TestAtRest:
    def test_every_frame_that_shows_it_has_to_agree(self) -> None:
        slow = replace(EMPTY, pan=(0.05, 0))
        assert at_rest([motion(10, 9, slow)])[0].still.mean() > 0.9
        assert at_rest([motion(10, 9, slow), motion(10, 0, slow)])[0].still.max() == 0

    def test_a_frame_that_shows_something_else_has_no_say(self) -> None:
        """Frame 0 has the disc where frames 7 and 8 do not."""
        covered = ~STANDING.visible(8, 0) & STANDING.visible(8, 7) & ~STANDING.outside(8, 0)
        far = motion(8, 0)
        alone, both = at_rest([motion(8, 7)])[0].still, at_rest([motion(8, 7), far])[0].still
        unseen = covered & ~far.shown
        assert unseen.sum() > 50
        np.testing.assert_array_equal(both[unseen], alone[unseen])

    def test_what_was_painted_from_something_else_stands_but_is_not_left(self) -> None:
        agreement = np.ones(SIZE, np.float32)
        agreement[:30] = 0
        known = Motion.between(frame(1, PICTURE), frame(0, PICTURE), NO_FLOW, consistency(NO_FLOW, NO_FLOW))
        settled, *_ = at_rest([known], agreement)
        np.testing.assert_array_equal(settled.still, agreement)
        assert settled.trust.min() == 1

    def test_noise_in_the_flow_moves_nothing_that_stands_still(self) -> None:
        flow, back = (FlowField(np.random.default_rng(seed).normal(0, 0.02, (2, *SIZE)).astype(np.float32)) for seed in (1, 2))
        known = Motion.between(frame(1, PICTURE), frame(0, PICTURE), flow, consistency(flow, back))
        assert known.trust.min() == 0  # a hair outside the picture
        settled, *_ = at_rest([known])
        assert settled.trust.min() == 1
        assert settled.shown.all()
        assert not settled.new.any()
        assert not settled.flow.data.any()

    def test_what_moves_keeps_its_vector(self) -> None:
        known = motion(1, 0)
        settled, *_ = at_rest([known])
        moving = settled.still == 0
        np.testing.assert_array_equal(settled.flow.data[:, moving], known.flow.data[:, moving])
        np.testing.assert_array_equal(settled.trust[moving], known.trust[moving])


class TestHeld:
    """What two frames cannot tell adds up against the source that the painting was made from."""

    @pytest.mark.parametrize("a_frame", [0.03, -0.03, 0.2])
    def test_light_that_creeps_is_painted_in_the_end(self, a_frame: float) -> None:
        held = Held.first(PICTURE)
        rests, off = [], []
        for t in range(1, 201):
            now = np.clip(PICTURE + np.float32(a_frame * t), 0, 255).round().astype(np.uint8)
            rest = held.agreement(now)
            held = held.after(now, rest)
            rests.append(rest.mean())
            off.append(np.abs(held.source - now).mean())
        assert rests[0] == 1
        assert min(rests) < 1
        assert max(off) < 3, "what is painted stays within a level or two of what is there"

    def test_a_still_scene_is_held_for_ever(self) -> None:
        held = Held.first(noisy(0, 2))
        for t in range(1, 60):
            rest = held.agreement(noisy(t, 2))
            assert (rest == 1).mean() > 0.99
            held = held.after(noisy(t, 2), rest)

    def test_after_a_flash_it_is_painted_on_until_it_has_settled(self) -> None:
        flash = np.clip(PICTURE.astype(int) + 100, 0, 255).astype(np.uint8)
        held = Held.first(PICTURE)
        rests = []
        for now in [flash] + [PICTURE] * (SETTLING + 3):
            rest = held.agreement(now)
            held = held.after(now, rest)
            rests.append(float(rest.mean()))
        assert rests == [0.0] * (SETTLING + 2) + [1.0] * 2

    def test_it_comes_back_from_the_workspace(self) -> None:
        held = Held.first(PICTURE).after(noisy(0, 40), np.full(SIZE, 0.25, np.float32))
        again = Held.of({"s": np.zeros(1, np.float32), **held.state})
        assert again is not None
        np.testing.assert_array_equal(again.source, held.source)
        np.testing.assert_array_equal(again.unsettled, held.unsettled)
        assert Held.of({}) is None


QUICK = {"iterations": 4, "first_iterations": 8}


class TestPainting:
    def stylizer(self, **sections: dict[str, object]) -> Stylizer:
        return Stylizer(Settings.from_mapping({"optimize": QUICK, **sections}), [STYLE], SIZE)

    def test_a_still_scene_keeps_every_bit_of_its_painting(self) -> None:
        stylizer = self.stylizer()
        first = stylizer.first(frame(0, PICTURE))
        known = Motion.between(frame(1, PICTURE), frame(0, PICTURE), NO_FLOW, consistency(NO_FLOW, NO_FLOW))
        painted = stylizer.follow(frame(1, PICTURE), at_rest([known]), {1: first.picture}, first.state)
        np.testing.assert_array_equal(painted.picture, first.picture)
        assert painted.steps == 1
        assert set(painted.state) == {"s", "y"}
        again = self.stylizer(temporal={"repaint_still": True}).follow(frame(1, PICTURE), [known], {1: first.picture}, first.state)
        assert (again.picture != first.picture).mean() > 0.5

    @pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
    def test_what_stands_keeps_it_while_something_moves(self, optimizer: str) -> None:
        stylizer = self.stylizer(optimize={**QUICK, "optimizer": optimizer})
        first = stylizer.first(frame(0))
        known = at_rest([motion(1, 0)])
        painted = stylizer.follow(frame(1), known, {1: first.picture}, first.state)
        still, free = known[0].still == 1, known[0].still == 0
        np.testing.assert_array_equal(painted.picture[still], first.picture[still])
        assert (painted.picture[free] != first.picture[free]).mean() > 0.5

    def test_not_while_another_style_takes_over_or_a_mask_moves(self) -> None:
        stylizer = self.stylizer()
        first = stylizer.first(frame(0, PICTURE))
        known = at_rest([Motion.between(frame(1, PICTURE), frame(0, PICTURE), NO_FLOW, consistency(NO_FLOW, NO_FLOW))])
        other = Guidance((1.0,), changing=True)
        painted = stylizer.follow(frame(1, PICTURE), known, {1: first.picture}, first.state, guidance=other)
        assert (painted.picture != first.picture).mean() > 0.5
        moving = np.zeros(SIZE, bool)
        moving[:40] = True
        painted = stylizer.follow(frame(1, PICTURE), known, {1: first.picture}, first.state, guidance=Guidance((1.0,), moving=moving))
        assert (painted.picture[:40] != first.picture[:40]).mean() > 0.5
        np.testing.assert_array_equal(painted.picture[40:], first.picture[40:])

    def test_where_a_mask_has_changed_the_painting_is_held_less(self) -> None:
        """The temporal loss holds to the old style; where the mask goes along with what moves, it holds to the new one."""
        stylizer = self.stylizer()
        first = stylizer.first(frame(0))
        known = at_rest([motion(1, 0)])
        everywhere = Guidance((1.0,), moving=np.ones(SIZE, bool))
        where = stylizer._changing(known[0], everywhere)
        assert where is not None
        np.testing.assert_array_equal(where[0, 0].numpy() == 1, ~known[0].flow.data.any(axis=0))
        held, free = (
            stylizer.follow(frame(1), known, {1: first.picture}, first.state, guidance=guidance) for guidance in (None, everywhere)
        )
        assert free.report.terms["temporal_1"] < held.report.terms["temporal_1"]
        off = [np.abs(one.picture.astype(int) - first.picture)[known[0].still == 1].mean() for one in (held, free)]
        assert off[0] == 0
        assert off[1] > 0


def test_going_on_remembers_what_paintings_were_made_from(tmp_path: Path) -> None:
    """A flash over a still picture: whether it may rest hangs on frames that a job that goes on does not look at again."""
    flash = np.clip(PICTURE[:48, :64].astype(int) + 100, 0, 255).astype(np.uint8)
    pictures = [PICTURE[:48, :64]] * 2 + [flash] + [PICTURE[:48, :64]] * 3
    film = tmp_path / "film"
    film.mkdir()
    for t, picture in enumerate(pictures):
        write_png(film / f"{t}.png", picture)
    style = write_png(tmp_path / "style.png", STYLE)
    log = tmp_path / "log.jsonl"
    stylize(film, [style], tmp_path / "whole", settings(), JobOptions(log_json=log))
    steps = [json.loads(line)["steps"] for line in log.read_text().splitlines()]
    assert steps == [4, 1, 2, 2, 2, 2]
    with pytest.raises(Interrupted):
        stylize(film, [style], tmp_path / "resumed", settings(), progress=Recorder(4))
    stylize(film, [style], tmp_path / "resumed", settings())
    for t in range(len(pictures)):
        whole, resumed = (cv2.imread(str(tmp_path / name / f"{t}.png")) for name in ("whole", "resumed"))
        np.testing.assert_array_equal(whole, resumed)
