"""Flow out of files, as artistic-videos names them."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.flow.test_estimators import NETWORKS, made
from tests.scenes import Scene
from vidstyle.errors import MediaError, UsageError
from vidstyle.flow import ESTIMATORS, Flows, make_flows, write_flow
from vidstyle.flow.between import EstimatedFlows
from vidstyle.frames import FlowField, Frame

SCENE = Scene(size=(48, 64))


def frame(t: int, size: tuple[int, int] = (48, 64)) -> Frame:
    return Frame(t, t, Fraction(1, 24), np.zeros((*size, 3), np.uint8))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_flow(tmp_path / "backward_3_2.flo", SCENE.flow(2, 1))
    write_flow(tmp_path / "forward_2_3.flo", SCENE.flow(1, 2))
    return tmp_path


def test_names_say_which_frame_points_into_which(directory: Path) -> None:
    flows = make_flows(str(directory))
    np.testing.assert_array_equal(flows(frame(2), frame(1)).data, SCENE.flow(2, 1).data)
    np.testing.assert_array_equal(flows(frame(1), frame(2)).data, SCENE.flow(1, 2).data)


def test_a_field_of_another_size_is_scaled_with_its_vectors(directory: Path) -> None:
    write_flow(directory / "backward_3_2.flo", FlowField(np.stack([np.full((48, 64), 4.0), np.full((48, 64), -2.0)]).astype(np.float32)))
    small = make_flows(str(directory))(frame(2, (24, 16)), frame(1, (24, 16)))
    assert small.size == (24, 16)
    np.testing.assert_allclose(small.data[:, 5, 5], (1.0, -1.0))


def test_neighbours_are_needed_and_older_frames_are_not(directory: Path) -> None:
    flows = make_flows(str(directory))
    assert flows.knows(frame(2), frame(1))
    assert not flows.knows(frame(20), frame(10))
    assert flows.knows(frame(1), frame(0))
    with pytest.raises(MediaError, match=r"backward_2_1\.flo: missing; frame 2 needs its flow into frame 1"):
        flows(frame(1), frame(0))


def test_unknown_vectors_point_out_of_the_picture(directory: Path) -> None:
    data = SCENE.flow(2, 1).data.copy()
    data[:, 3, 4] = 1e10
    write_flow(directory / "backward_3_2.flo", FlowField(data))
    read = make_flows(str(directory))(frame(2), frame(1)).data
    assert read[0, 3, 4] > 64
    assert np.isfinite(read).all()


def test_a_directory_without_fields_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no backward_2_1\.flo"):
        make_flows(str(tmp_path))


class TestConformance:
    """What every source of flow between frames of a film keeps, the estimators and the files alike."""

    FILM = Scene(size=(96, 128), pan=(3, -2), zoom=1, turn=0, disc_radius=0)

    @pytest.fixture(params=[*ESTIMATORS, "files"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def flows(self, name: str, film: list[Frame], directory: Path) -> Flows:
        if name != "files":
            return EstimatedFlows(made(name))
        for before, after in pairwise(film):
            for kind, at, into in (("backward", after, before), ("forward", before, after)):
                write_flow(directory / f"{kind}_{at.index + 1}_{into.index + 1}.flo", self.FILM.flow(at.index, into.index))
        return make_flows(str(directory))

    def test_neighbours_are_known_both_ways_with_fields_of_their_size(self, name: str, tmp_path: Path) -> None:
        film = [Frame(t, t, Fraction(1, 24), self.FILM.frame(t)) for t in range(3)]
        flows = self.flows(name, film, tmp_path)
        for before, after in pairwise(film):
            for current, reference in ((after, before), (before, after)):
                assert flows.knows(current, reference)
                field = flows(current, reference)
                assert field.size == (96, 128)
                assert field.data.dtype == np.float32
                assert np.isfinite(field.data).all()
                np.testing.assert_array_equal(flows(current, reference).data, field.data)

    def test_a_field_leads_from_the_current_frame_into_the_reference(self, name: str, tmp_path: Path) -> None:
        if name in ("none", *NETWORKS):
            pytest.skip(f"{name} sees no motion here: " + ("that is what it is for" if name == "none" else "its weights are a download"))
        film = [Frame(t, t, Fraction(1, 24), self.FILM.frame(t)) for t in range(2)]
        flows = self.flows(name, film, tmp_path)
        for current, reference in ((film[1], film[0]), (film[0], film[1])):
            wrong = flows(current, reference).data - self.FILM.flow(current.index, reference.index).data
            assert np.median(np.hypot(*wrong[:, 16:-16, 16:-16])) < 0.5
