"""The short form of `python -m tests.faults.kills`, and what ends a job that does not hear."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.kills import ENDS_WITHIN, MOMENTS, SCENARIOS, SIGNALS, Reference, trial


@pytest.mark.parametrize(("number", "name"), list(enumerate(SCENARIOS)))
def test_a_job_that_was_killed_is_gone_on_with(number: int, name: str, tmp_path: Path) -> None:
    """Every job, every kind of moment and every signal once at least."""
    for directory in ("undisturbed", "killed"):
        (tmp_path / directory).mkdir()
    reference = Reference.of(SCENARIOS[name], tmp_path / "undisturbed")
    moment, sent = MOMENTS[number % len(MOMENTS)], SIGNALS[number % len(SIGNALS)]
    trial(SCENARIOS[name], reference, tmp_path / "killed", moment, sent, random.Random(number))


DEAF = """
import hashlib, sys
from vidstyle.cli.terminal import exit_code
def run(ending):
    ending.after_interrupt = "; run the same command to go on"
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # one call, for minutes
sys.exit(exit_code(run))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_does_not_hear_ends_all_the_same(sent: signal.Signals) -> None:
    """As in the middle of a step on a large picture."""
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        time.sleep(0.3)  # until it is in the call
        began = time.monotonic()
        os.kill(job.pid, sent)
        _, said = job.communicate(timeout=30)
    assert job.returncode == 130
    assert time.monotonic() - began < ENDS_WITHIN
    assert said == "vidstyle: interrupted; run the same command to go on\n"
