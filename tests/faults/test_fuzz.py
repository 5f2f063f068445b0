"""The short form of `python -m tests.faults.fuzz`."""

from __future__ import annotations

from tests.faults.fuzz import SEEDS, campaign


def test_damaged_files_are_read_or_refused() -> None:
    outcomes, failed = campaign(20 * len(SEEDS), seed=1, only=[])
    assert not failed
    assert {outcome for _, outcome in outcomes} == {"read", "refused"}
