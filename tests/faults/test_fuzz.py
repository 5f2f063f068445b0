"""The short form of `python -m tests.faults.fuzz`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.fuzz import PNG, SEEDS, campaign, damaged, picture, resealed
from vidstyle.errors import MediaError
from vidstyle.media.stills import read_still


def test_damaged_files_are_read_or_refused() -> None:
    outcomes, failed = campaign(20 * len(SEEDS), seed=1, only=[])
    assert not failed
    assert {outcome for _, outcome in outcomes} == {"read", "refused"}


def test_damage_gets_past_the_checksums_of_png(tmp_path: Path) -> None:
    whole = picture(tmp_path / "a.png").read_bytes()
    assert resealed(whole) == whole
    path, place = tmp_path / "b.png", len(PNG) + 15  # the lowest byte of the height
    path.write_bytes(whole[:place] + bytes([whole[place] // 2]) + whole[place + 1 :])
    with pytest.raises(MediaError):
        read_still(path)
    path.write_bytes(resealed(path.read_bytes()))
    assert read_still(path).rgb.shape == (24, 64, 3)
    cut = whole[:-20]
    assert len(resealed(cut)) == len(cut)
    copies = [damaged(whole, random.Random(number)) for number in range(60)]
    assert 10 < sum(copy == resealed(copy) for copy in copies) < 50
