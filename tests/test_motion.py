"""Earlier frames of a scene whose motion is known exactly: which answers for what, and what a frame starts from."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.scenes import Scene, procedural_picture
from vidstyle.flow import Consistency, consistency, warp
from vidstyle.frames import FlowField, Frame
from vidstyle.motion import Motion, answering, calmed, drift_target, fill_new, inwards, with_older
from vidstyle.pixels import to_tensor

SCENE = Scene(size=(48, 64))
STILL = Scene(size=(96, 128), pan=(0, 0), zoom=1, turn=0)
"""The camera stands, the disc flies."""


def frame(t: int, scene: Scene = SCENE) -> Frame:
    return Frame(t, t, Fraction(1, 24), scene.frame(t))


def motion(t: int, reference: int, scene: Scene = SCENE) -> Motion:
    flow, back = scene.flow(t, reference), scene.flow(reference, t)
    return Motion.between(frame(t, scene), frame(reference, scene), flow, consistency(flow, back))


class TestAnswering:
    """Frame 8 of a still camera: the disc of frame 7 has left ground that frame 0 shows too."""

    def test_what_comes_to_light_again_is_answered_for_by_the_frame_that_shows_it(self) -> None:
        near, far = answering([motion(8, 7, STILL), motion(8, 0, STILL)])
        again = STILL.disoccluded(8, 7) & STILL.visible(8, 0)
        assert again.sum() > 30
        assert far[again].mean() > 0.8
        assert near[again].mean() < 0.05

    def test_what_no_frame_shows_has_no_answer(self) -> None:
        """Frame 6 has the disc over most of what frame 7 has it over."""
        near, far = answering([motion(8, 7, STILL), motion(8, 6, STILL)])
        hidden = STILL.disoccluded(8, 7) & STILL.disoccluded(8, 6)
        assert hidden.sum() > 10
        assert (near + far)[hidden].mean() < 0.1

    def test_the_frame_before_comes_first_but_for_the_seams(self) -> None:
        motions = [motion(8, reference) for reference in (7, 4, 0)]
        weights = answering(motions)
        assert np.sum(weights, axis=0).max() < 1 + 1e-6
        distrusted = motions[0].trust == 0
        assert not weights[0][distrusted].any()
        assert weights[1][distrusted].any()
        beside = cv2.distanceTransform((~distrusted).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.testing.assert_array_equal(weights[0][beside >= 3], 1)

    def test_older_frames_pass_into_the_frame_before_where_both_show_what_is_there(self) -> None:
        """Ground that has just come to light, beside ground that both frames show."""
        near, far = answering([motion(8, 7, STILL), motion(8, 0, STILL)])
        seam = (near > 0) & (far > 0)
        assert seam.sum() > 30
        np.testing.assert_allclose((near + far)[seam], 1, rtol=1e-6)
        assert STILL.visible(8, 0)[seam].all()

    def test_an_older_frame_that_looks_less_alike_does_not_answer(self) -> None:
        near, far = motion(8, 7, STILL), motion(8, 0, STILL)
        assert not answering([near, replace(far, difference=far.difference + 0.5)])[1].any()


class TestWithOlder:
    def test_what_older_frames_answer_for_owes_nothing_to_the_frame_before(self) -> None:
        """Also where two of them meet: the painting of the frame before is black, the older ones are white."""
        motions = [motion(8, reference, STILL) for reference in (7, 5, 0)]
        weights = answering(motions)
        black, white = torch.zeros(1, 3, *STILL.size), torch.ones(1, 3, *STILL.size)
        start = with_older(black, [black, white, white], weights)
        older = weights[1] + weights[2]
        assert ((weights[1] > 0) & (weights[2] > 0)).sum() > 5
        np.testing.assert_allclose(start[0, 0].numpy(), older, atol=1e-6)
        assert float(start.max()) == pytest.approx(1)

    def test_without_older_frames_the_start_is_as_it_was(self) -> None:
        start = torch.rand(1, 3, 4, 5)
        assert with_older(start, [start], [np.ones((4, 5), np.float32)]) is start


class TestCalmed:
    @staticmethod
    def specks(picture: torch.Tensor) -> torch.Tensor:
        return (
            (picture - functional.avg_pool2d(functional.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, stride=1)).square().mean(dim=1)[0]
        )

    def test_specks_are_gone_where_no_frame_answers_and_nowhere_else(self) -> None:
        noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
        weight = np.ones((48, 64), np.float32)
        weight[:, 32:] = 0
        calm = calmed(noise, [weight])
        assert float(self.specks(calm)[:, 36:].mean()) < 0.4 * float(self.specks(noise)[:, 36:].mean())
        assert float(self.specks(calm)[:, 33].mean()) < 0.5 * float(self.specks(noise)[:, 33].mean())
        torch.testing.assert_close(calm[..., :24], noise[..., :24])
        torch.testing.assert_close(calm.mean(), noise.mean(), rtol=2e-3, atol=0)

    def test_a_seam_counts_by_half(self) -> None:
        noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
        half = np.full((48, 64), 0.5, np.float32)
        whole, seam = calmed(noise, [0 * half]), calmed(noise, [half, half])
        torch.testing.assert_close(seam, (whole + noise) / 2)

    def test_where_all_is_answered_for_nothing_changes(self) -> None:
        noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
        assert calmed(noise, [np.ones((48, 64), np.float32)]) is noise


class TestDriftTarget:
    def test_a_still_source_holds_the_painting_where_it_is(self) -> None:
        known = motion(1, 0, Scene(size=(48, 64), pan=(0, 0), zoom=1, turn=0, disc_radius=0))
        painting = to_tensor(procedural_picture(48, 64, seed=4))
        target = drift_target(painting, known)
        torch.testing.assert_close(target.warped, painting)
        assert float(target.trust.min()) > 0.99

    def test_the_painting_goes_with_a_slow_change_of_the_source(self) -> None:
        known = motion(1, 0, Scene(size=(48, 64), pan=(0, 0), zoom=1, turn=0, disc_radius=0))
        slowly = replace(known, change=known.change + np.float32(0.05 / 255))
        painting = to_tensor(procedural_picture(48, 64, seed=4))
        torch.testing.assert_close(drift_target(painting, slowly).warped, painting + 0.05 / 255)
        assert float(drift_target(painting, slowly).trust.mean()) > 0.8

    def test_it_is_free_where_light_changes_or_the_flow_is_not_trusted(self) -> None:
        known = motion(1, 0, Scene(size=(48, 64), pan=(0, 0), zoom=1, turn=0, disc_radius=0))
        painting = to_tensor(procedural_picture(48, 64, seed=4))
        left = known.change.copy()
        left[:, :, :32] += 1 / 255
        lit = drift_target(painting, replace(known, change=left)).trust[0, 0]
        assert float(lit[:, :16].max()) < 0.01
        assert float(lit[:, 60:].min()) > 0.9
        trust = known.trust.copy()
        trust[:20] = 0
        assert not drift_target(painting, replace(known, trust=trust)).trust[0, 0, :20].any()


class TestNewPixels:
    def test_only_what_fails_the_test_and_looks_different_is_new(self) -> None:
        known = motion(3, 0)
        true = ~SCENE.visible(3, 0)
        assert known.new[true].mean() > 0.7
        assert known.new[~true].mean() < 0.05

    def test_plain_sky_is_not_new_whatever_its_flow(self) -> None:
        sky = np.full((32, 40, 3), 180, np.uint8)
        flow = FlowField(np.random.default_rng(0).normal(0, 2, (2, 32, 40)).astype(np.float32))
        failed = Consistency(*(np.full((32, 40), value) for value in (False, True, True)))
        a, b = (Frame(t, t, Fraction(1, 24), sky) for t in (1, 0))
        assert not Motion.between(a, b, flow, failed).new.any()

    def test_the_rest_is_the_moved_painting(self) -> None:
        known = motion(3, 0)
        painting = to_tensor(procedural_picture(48, 64, seed=4))
        start = fill_new(warp(painting, known.flow).clamp(0, 1), known, painting, to_tensor(frame(3).rgb))
        away = replace(known, new=np.zeros_like(known.new))
        plain = fill_new(warp(painting, away.flow).clamp(0, 1), away, painting, to_tensor(frame(3).rgb))
        beside = cv2.distanceTransform((~known.new).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        kept = torch.from_numpy(beside >= 3)[None, None].expand_as(start)
        torch.testing.assert_close(start[kept], plain[kept])
        assert float((start[~kept] - plain[~kept]).abs().mean()) > 0.01

    def test_new_pixels_have_strokes_and_the_right_colours(self) -> None:
        """A painting that is the source with a pattern on it: the fill is the *current* source with the pattern."""
        pattern = torch.from_numpy(np.indices((48, 64)).sum(0) % 2 * 0.1 - 0.05).float()[None, None]
        known = motion(3, 0)
        painting = (to_tensor(SCENE.frame(0)) * 0.8 + 0.1 + pattern).clamp(0, 1)
        start = fill_new(warp(painting, known.flow).clamp(0, 1), known, painting, to_tensor(frame(3).rgb))
        new = torch.from_numpy(known.new)
        wanted = to_tensor(frame(3).rgb) * 0.8 + 0.1
        error = (start - wanted)[0][:, new]
        assert float(error.mean().abs()) < 0.02
        assert float(error.std()) > 0.01

    def test_a_pan_over_plain_ground_brings_in_strokes_that_do_not_repeat(self) -> None:
        """Mirrored at the border, the strokes of each frame are the last ones turned round: a pattern of twice the step."""
        step, count, (height, width) = 5, 8, (64, 96)
        plain = Frame(0, 0, Fraction(1, 24), np.full((height, width, 3), 120, np.uint8))
        flow, back = (FlowField(np.broadcast_to(np.float32([[[x]], [[0]]]), (2, height, width)).copy()) for x in (step, -step))
        painted = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        for _ in range(count):
            pan = Motion.between(plain, plain, flow, consistency(flow, back))
            painted = fill_new(warp(painted, flow), pan, painted, to_tensor(plain.rgb))
        entered = painted[..., -step * count :]
        entered = entered - entered.mean()
        for shift in range(1, step * count // 2 + 1):
            product = (entered[..., shift:] * entered[..., :-shift]).mean()
            assert abs(float(product / entered.square().mean())) < 0.2, shift

    def test_ends_are_moved_inwards_by_halves(self) -> None:
        flow = FlowField(np.random.default_rng(0).uniform(-90, 90, (2, 20, 30)).astype(np.float32))
        grid = np.stack(np.meshgrid(np.arange(30), np.arange(20)))
        ends, before = inwards(flow).data + grid, flow.data + grid
        for axis, length in ((0, 30), (1, 20)):
            assert ends[axis].min() >= -1e-3
            assert ends[axis].max() <= length - 1 + 1e-3
            halves = (ends[axis] - before[axis]) / (length / 2)
            np.testing.assert_allclose(halves, halves.round(), atol=1e-4)
        inside = FlowField(np.zeros((2, 20, 30), np.float32))
        np.testing.assert_allclose(inwards(inside).data, 0, atol=1e-6)
