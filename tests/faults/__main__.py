"""The whole campaign against everything that happens to a job, in its long form: one command.

    python -m tests.faults [--kills 100] [--files 5000] [--films 600] [--jobs 60] [--seed 0]

Jobs that are killed and gone on with (`tests.faults.kills`), damaged files (`tests.faults.fuzz`), films that go through reading and writing
and through whole jobs (`tests.faults.test_round_trips`); then every test beside this file. What came of it is printed and kept in
`benchmarks/results/reliability.json`. Ends with 1 where anything was found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis

from benchmarks.machine import describe_machine, print_table, save
from tests.faults import fuzz, kills
from tests.faults.test_round_trips import comes_back, copied, films, painted


def killed(count: int, seed: int) -> dict[str, Any]:
    outcomes = kills.campaign(count, seed)
    return {
        "failed": sum(times for (*_, outcome), times in outcomes.items() if outcome == "FAILED"),
        "outcomes": {", ".join(kind): times for kind, times in sorted(outcomes.items())},
    }


def damaged(count: int, seed: int) -> dict[str, Any]:
    outcomes, failed = fuzz.campaign(count, seed, only=[])
    return {"failed": len(failed), "outcomes": {", ".join(kind): times for kind, times in sorted(outcomes.items())}}


def round_trips(way: Callable[[Path, Path], None]) -> Callable[[int, int], dict[str, Any]]:
    def run(count: int, seed: int) -> dict[str, Any]:
        tried = 0

        @hypothesis.seed(seed)
        @hypothesis.settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(films())
        def come_back(film: Any) -> None:
            nonlocal tried
            tried += 1
            comes_back(film, way)

        failed = 0
        try:
            come_back()
        except Exception:  # it stops at the first, and says which film it was
            traceback.print_exc()
            failed = 1
        return {"failed": failed, "outcomes": {"films": tried}}

    return run


def suite(count: int, seed: int) -> dict[str, Any]:
    code = subprocess.run([sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent)]).returncode
    return {"failed": int(code != 0), "outcomes": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--files", type=int, default=5000, metavar="N")
    parser.add_argument("--films", type=int, default=600, metavar="N")
    parser.add_argument("--jobs", type=int, default=60, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe_machine(), flush=True)
    parts = {
        "jobs that are killed": (killed, options.kills),
        "damaged files": (damaged, options.files),
        "films read and written": (round_trips(copied), options.films),
        "films through whole jobs": (round_trips(painted), options.jobs),
        "the tests beside": (suite, 1),
    }
    rows = []
    for part, (run, count) in parts.items():
        if count:
            print(f"\n{part}: {count}", flush=True)
            rows.append({"part": part, "count": count, "seed": options.seed, **run(count, options.seed)})
            path = save("reliability", rows, "part")
    print()
    print_table([{name: row[name] for name in ("part", "count", "failed")} for row in rows])
    print(f"written: {path}")
    sys.exit(any(row["failed"] for row in rows))


if __name__ == "__main__":
    main()
