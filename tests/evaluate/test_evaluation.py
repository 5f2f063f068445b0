"""Whole evaluations on films whose figures are known."""

from __future__ import annotations

import json
import logging
from fractions import Fraction

import numpy as np
import pytest

from tests.scenes import Scene, procedural_picture
from vidstyle.evaluate import evaluate
from vidstyle.flow import make_estimator
from vidstyle.flow.between import EstimatedFlows
from vidstyle.frames import FlowField, Frame

SCENE = Scene(size=(64, 96))
FILM = [SCENE.frame(t) for t in range(14)]
DIS = make_estimator("dis")


def frames(pictures: list[np.ndarray]) -> list[Frame]:
    return [Frame(index, index, Fraction(1, 24), picture) for index, picture in enumerate(pictures)]


def evaluated(source: list[np.ndarray], result: list[np.ndarray], **more):  # type: ignore[no-untyped-def]
    return evaluate(iter(frames(source)), iter(frames(result)), 24.0, EstimatedFlows(more.pop("estimator", DIS)), **more)


def still(current: np.ndarray, reference: np.ndarray, initial: FlowField | None = None) -> FlowField:
    return FlowField(np.zeros((2, *current.shape[:2]), np.float32))


def test_a_film_against_itself_is_the_floor() -> None:
    summary = evaluated(FILM, FILM).summary
    for gap in ("gap1", "gap10"):
        assert summary[gap]["ratio"] == pytest.approx(1)
        assert summary[gap]["norm"] == pytest.approx(1)
        assert 0.1 < summary[gap]["reliable"] <= 1
    assert (summary["gap1"]["pairs"], summary["gap10"]["pairs"]) == (13, 4)
    assert summary["structure"] == pytest.approx(1)
    assert summary["luma_drift"][0]["source"] == summary["luma_drift"][0]["result"]
    assert summary["flicker"]["source"] == summary["flicker"]["result"]
    assert summary["shots"] == [[0, 14]]


def test_known_noise_has_its_known_error() -> None:
    rng = np.random.default_rng(0)
    grey = [np.full((64, 96, 3), 128, np.uint8)] * 12
    noisy = [(picture + rng.normal(0, 10, picture.shape)).round().astype(np.uint8) for picture in grey]
    summary = evaluated(grey, noisy, estimator=still).summary
    assert summary["gap1"]["result"] == pytest.approx(2 * (10 / 255) ** 2, rel=0.02)
    assert summary["gap10"]["result"] == pytest.approx(2 * (10 / 255) ** 2, rel=0.05)
    assert summary["gap1"]["e_stab"] == pytest.approx(np.sqrt(2) * 10 / 255, rel=0.02)
    assert summary["gap1"]["source"] == 0
    assert summary["gap1"]["ratio"] is None


def test_the_exact_flow_leaves_no_error() -> None:
    whole_pixels = Scene(size=(64, 96), pan=(2, 0), zoom=1, turn=0, disc_radius=0)
    film = [whole_pixels.frame(t) for t in range(4)]
    truth = [whole_pixels.flow(t, t + 1) for t in range(3)]
    known = np.ones((64, 96), bool)
    found = evaluated(film, film, truth=lambda index: (truth[index], known) if index < 3 else None)
    assert found.summary["true_flow"]["source"] == pytest.approx(0, abs=1e-9)
    wrong = evaluated(film, film, truth=lambda index: (FlowField(0 * truth[index].data), known) if index < 3 else None)
    assert wrong.summary["true_flow"]["source"] > 1e-3


def test_flicker_at_gap_one_is_no_error_at_a_gap_of_two() -> None:
    flickering = [np.clip(picture.astype(int) + (12 if t % 2 else -12), 0, 255).astype(np.uint8) for t, picture in enumerate(FILM)]
    summary = evaluated(FILM, flickering, gaps=(1, 2)).summary
    assert summary["gap1"]["ratio"] > 5
    assert summary["gap2"]["ratio"] < 1.5
    assert summary["flicker"]["result"] > 100
    assert summary["flicker"]["source"] < 20


def test_what_can_be_trusted_nowhere_is_no_error_of_zero() -> None:
    """A flow that leads out of the picture: nothing is known of such a pair."""

    def out(current: np.ndarray, reference: np.ndarray, initial: FlowField | None = None) -> FlowField:
        return FlowField(np.full((2, *current.shape[:2]), 500, np.float32))

    summary = evaluated(FILM, FILM, estimator=out).summary
    assert summary["gap1"]["reliable"] == 0
    assert summary["gap1"]["result"] is summary["gap1"]["ratio"] is summary["gap1"]["e_stab"] is None
    assert summary["gap1"]["pairs"] == 0
    assert summary["worst_pairs"] == []
    field = FlowField(np.zeros((2, 64, 96), np.float32))
    unknown = evaluated(FILM, FILM, truth=lambda index: (field, np.zeros((64, 96), bool))).summary["true_flow"]
    assert unknown["result"] is None


def test_a_still_film_is_as_steady_as_itself() -> None:
    assert evaluated([FILM[0]] * 12, [FILM[0]] * 12).summary["gap1"]["ratio"] == 1
    assert evaluated([FILM[0]] * 12, FILM[:12], estimator=still).summary["gap1"]["ratio"] is None


def test_a_colour_that_changes_at_equal_brightness_is_drift() -> None:
    turned = [np.full((64, 96, 3), (200 - 10 * t, 100 + 5 * t, 60), np.uint8) for t in range(5)]
    found = evaluated([turned[0]] * 5, turned, estimator=still).summary
    assert abs(found["luma_drift"][0]["result"]) < 0.01
    assert found["color_drift"][0]["source"] == 0
    # Cr falls by 0.5 · 40 · (1 − 0.299) / 0.701 and a bit for green; Cb hardly moves
    assert found["color_drift"][0]["result"] == pytest.approx(28.6, abs=0.5)


def test_true_flow_of_another_size_is_scaled() -> None:
    whole_pixels = Scene(size=(64, 96), pan=(2, 0), zoom=1, turn=0, disc_radius=0)
    film = [whole_pixels.frame(t) for t in range(4)]
    half = FlowField(np.ascontiguousarray(whole_pixels.flow(0, 1).data[:, ::2, ::2] / 2))
    known = np.ones((32, 48), bool)
    found = evaluated(film, film, truth=lambda index: (half, known) if index < 3 else None).summary["true_flow"]
    assert found["source"] == pytest.approx(0, abs=1e-9)
    assert found["pairs"] == 3


@pytest.mark.parametrize("size", [(32, 48), (128, 192), (50, 77)])
def test_unknown_vectors_of_a_true_flow_of_another_size_are_not_mixed_in(size: tuple[int, int]) -> None:
    """As lidar gives them (KITTI): three in ten are known, the others are zeros in the file."""
    whole_pixels = Scene(size=(64, 96), pan=(2, 0), zoom=1, turn=0, disc_radius=0)
    film = [whole_pixels.frame(t) for t in range(3)]
    known = np.random.default_rng(4).random(size) < 0.3
    dx, dy = whole_pixels.flow(0, 1).data[:, 5, 5]
    vector = np.array([dx * size[1] / 96, dy * size[0] / 64])[:, None, None]
    sparse = FlowField(np.where(known, vector, 0).astype(np.float32))
    found = evaluated(film, film, truth=lambda index: (sparse, known) if index < 2 else None).summary["true_flow"]
    assert found["source"] == pytest.approx(0, abs=1e-9)
    assert found["reliable"] == pytest.approx(0.3, abs=0.03)


def test_pairs_that_the_flow_knows_nothing_of_are_left_out() -> None:
    class Neighbours(EstimatedFlows):
        def knows(self, current: Frame, reference: Frame) -> bool:
            return abs(current.index - reference.index) == 1

    summary = evaluate(iter(frames(FILM)), iter(frames(FILM)), 24.0, Neighbours(DIS)).summary
    assert (summary["gap1"]["pairs"], summary["gap10"]["pairs"]) == (13, 0)
    assert summary["gap10"]["ratio"] is None


def test_the_worst_pairs_are_named() -> None:
    film = [picture.copy() for picture in FILM]
    film[6] = 255 - film[6]
    worst = evaluated(FILM, film).summary["worst_pairs"]
    assert {worst[0]["frame"], worst[1]["frame"]} == {6, 7}
    assert len(worst) == 10
    beyond = [pair["result"] - pair["source"] for pair in worst]
    assert beyond == sorted(beyond, reverse=True)


def test_what_the_source_does_too_is_not_the_results_unsteadiness() -> None:
    """Both flicker in frame 4; what the result alone does in frame 9 is less, and the worst all the same."""
    source = [picture.copy() for picture in FILM]
    source[4] = source[4] // 2
    film = [picture.copy() for picture in source]
    film[9] = np.clip(film[9].astype(int) + 20, 0, 255).astype(np.uint8)
    worst = evaluated(source, film).summary["worst_pairs"]
    assert {worst[0]["frame"], worst[1]["frame"]} == {9, 10}
    assert max(pair["result"] for pair in worst) > 2 * worst[0]["result"]


def test_nothing_is_compared_across_a_cut() -> None:
    other = [np.ascontiguousarray(procedural_picture(64, 96, seed=7)[:, ::-1])] * 8
    film = FILM[:8] + other
    found = evaluated(film, film, gaps=(1, 3))
    assert found.summary["shots"] == [[0, 8], [8, 16]]
    assert np.isnan([found.frames["warping_source_1"][index] for index in (0, 8)]).all()
    assert np.isnan([found.frames["warping_source_3"][index] for index in (0, 1, 2, 8, 9, 10)]).all()
    assert found.summary["gap1"]["pairs"] == 14
    assert len(found.summary["luma_drift"]) == 2


def test_drift_is_the_change_over_a_shot() -> None:
    darker = [(picture * (1 - 0.02 * t)).round().astype(np.uint8) for t, picture in enumerate([FILM[0]] * 11)]
    drift = evaluated([FILM[0]] * 11, darker, estimator=still).summary["luma_drift"][0]
    assert drift["source"] == 0
    assert drift["result"] == pytest.approx(-0.2, abs=0.003)


def test_a_shorter_result_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "vidstyle"):
        assert evaluated(FILM, FILM[:5]).summary["compared"] == 5
        assert "ends at frame 5" in caplog.text
        caplog.clear()
        assert evaluated(FILM[:5], FILM).summary["compared"] == 5
        assert "source ends before" in caplog.text


def test_pictures_must_be_of_one_size() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        evaluated(FILM, [picture[:-1] for picture in FILM])


def test_the_judge_sees_one_frame_in_so_many() -> None:
    seen = []

    def judge(picture: np.ndarray, source: np.ndarray) -> tuple[float, float | None]:
        seen.append(float(picture.mean()))
        return 3.0, None

    found = evaluated(FILM, FILM, judge=judge, judged_every=4)
    assert len(seen) == 4
    assert found.summary["content"] == 3
    assert found.summary["style"] is None
    assert np.isfinite(found.frames["content"]).nonzero()[0].tolist() == [0, 4, 8, 12]


def test_what_is_written_is_json() -> None:
    found = evaluated(FILM, FILM).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["frames"]["warping_source_1"][0] is None


def test_frames_are_let_go() -> None:
    """No more than the frames of the longest gap, and those that the search for cuts holds back, are alive at a time."""
    import weakref

    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def stream():  # type: ignore[no-untyped-def]
        nonlocal most
        for index in range(60):
            picture = FILM[index % 2].copy()
            alive.append(weakref.ref(picture))
            most = max(most, sum(one() is not None for one in alive))
            yield Frame(index, index, Fraction(1, 24), picture)

    evaluate(stream(), stream(), 24.0, EstimatedFlows(still), gaps=(1, 4))
    assert most <= 2 * (4 + 5 + 2)
