"""The short form of `python -m tests.faults.fuzz`."""

from __future__ import annotations

import math
import os
import random
import sys
from pathlib import Path

import pytest

from tests.faults import fuzz
from tests.faults.fuzz import PNG, READERS, SEEDS, campaign, damaged, picture, reader, resealed
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


def test_what_a_library_says_past_python_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader is another process: a file that is read with a word on its stderr stands for a library that complains."""
    mine, theirs = READERS.Pipe(duplex=False)
    kept = os.dup(2)
    monkeypatch.setattr(fuzz, "read", lambda path: os.write(2, b"libpng error") and "read")
    monkeypatch.setattr(fuzz, "MOST_MIB", math.inf)  # here it is the process of all tests
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    try:
        reader(tmp_path, {0: b"", 1: b""}, {0: ".png", 1: ".png"}, theirs)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    results = [mine.recv() for _ in range(4)]
    assert results[1::2] == [(0, "NOISE", "libpng error"), (1, "NOISE", "libpng error")]
