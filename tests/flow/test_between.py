"""Flow out of files, as artistic-videos names them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.scenes import Scene
from vidstyle.errors import MediaError, UsageError
from vidstyle.flow import make_flows, write_flow
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
