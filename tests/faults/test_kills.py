"""The short form of `python -m tests.faults.kills`, and what ends a job that does not hear."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.kills import ENDS_WITHIN, MOMENTS, SCENARIOS, SIGNALS, Reference, style, trial


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C, which a shell has ignored for what it runs in the background, SIGHUP, which `nohup` has, and all that starts from there."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "name"), list(enumerate(SCENARIOS)))
def test_a_job_that_was_killed_is_gone_on_with(number: int, name: str, tmp_path: Path) -> None:
    """Every job, every kind of moment and every signal once at least."""
    for directory in ("undisturbed", "killed"):
        (tmp_path / directory).mkdir()
    reference = Reference.of(SCENARIOS[name], tmp_path / "undisturbed")
    moment, sent = MOMENTS[number % len(MOMENTS)], SIGNALS[number % len(SIGNALS)]
    trial(SCENARIOS[name], reference, tmp_path / "killed", moment, sent, random.Random(number))


MADE = """
import sys
from pathlib import Path
from tests.faults.kills import SCENARIOS, left
SCENARIOS[sys.argv[1]].prepare(Path(sys.argv[2]))
print(left(Path(sys.argv[2])))
"""


@pytest.mark.parametrize("name", ["one shot", "three shots", "batch"])
def test_clips_that_are_made_twice_are_the_same(name: str, tmp_path: Path) -> None:
    """Whatever lies in memory that nobody has set."""
    found = []
    for filling in ("1", "170"):
        (tmp_path / filling).mkdir()
        command = [sys.executable, "-c", MADE, name, str(tmp_path / filling)]
        environment = {**os.environ, "MALLOC_PERTURB_": filling}
        found.append(subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert found[0] == found[1]


DEAF = """
import hashlib, sys
from vidstyle.cli.terminal import exit_code
def run(ending):
    ending.after_interrupt = "; run the same command to go on"
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # one call, for minutes
sys.exit(exit_code(run))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
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


@pytest.mark.parametrize("moment", ["before the command", "before torch", "while torch loads", "at the end of that"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_job_ends_in_one_line_while_its_libraries_load(moment: str, sent: signal.Signals, tmp_path: Path) -> None:
    """An import that is interrupted raises what the library makes of it."""
    style(tmp_path)
    stop = {
        "before the command": "tyro",
        "before torch": "vidstyle.media",
        "while torch loads": "torch.nn",
        "at the end of that": "vidstyle.stylizer",
    }
    code = LOADS.format(name=stop[moment], number=int(sent))
    job = subprocess.run(
        [sys.executable, "-c", code, "style.png", "style.png", "-o", "out.png"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert job.returncode == 130
    assert job.stderr.startswith("vidstyle: interrupted")
    assert len(job.stderr.splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


FAILING = """
import os, signal, sys
from vidstyle.cli.terminal import exit_code
def run(ending):
    ending.after_interrupt = "; run the same command to go on"
    try:
        os.kill(os.getpid(), signal.{name})
    finally:
        os.close(98)  # as shutil.rmtree closes a directory that an interruption has closed already
sys.exit(exit_code(run))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interruption_that_fails_on_its_way_out_is_one_all_the_same(name: str) -> None:
    job = subprocess.run([sys.executable, "-c", FAILING.format(name=name)], capture_output=True, text=True, timeout=60)
    assert (job.returncode, job.stderr) == (130, "vidstyle: interrupted; run the same command to go on\n")


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    ignoring: Callable[[], object] = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    code = FAILING.format(name="SIGHUP").replace("os.close(98)", "print('goes on')").replace("sys.exit(", "print(")
    job = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, preexec_fn=ignoring)
    assert (job.stdout, job.stderr) == ("goes on\nNone\n", "")


LATE = """
import concurrent.futures, sys, time
from vidstyle import cli
def begun(argv=None):
    concurrent.futures.ThreadPoolExecutor(1).submit(time.sleep, 60)
    print("interrupted")
    return 130
cli.main = begun
from vidstyle.__main__ import main
sys.exit(main())
"""


def test_an_interrupted_job_does_not_wait_for_its_threads() -> None:
    """Python joins those of a pool when it ends, and they may have seconds of motion to find."""
    began = time.monotonic()
    job = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=50)
    assert (job.returncode, job.stdout) == (130, "interrupted\n")
    assert time.monotonic() - began < 30


OVER = """
import atexit, os, signal, sys
from vidstyle import cli
def again(number):
    atexit.register(lambda: os.kill(os.getpid(), number))
    return {code}
cli.main = lambda: again(signal.{name})
from vidstyle.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_after_the_end_changes_nothing(name: str, code: int) -> None:
    """Python takes a moment to go once the film is in its place."""
    job = subprocess.run([sys.executable, "-c", OVER.format(name=name, code=code)], capture_output=True, text=True, timeout=60)
    assert (job.returncode, job.stderr) == (code, "")


TWICE = """
import os, signal, sys
from vidstyle.cli import terminal
def say(text, several=False):
    os.kill(os.getpid(), signal.{name})
    print(text)
terminal.say = say
def run(ending):
    os.kill(os.getpid(), signal.SIGINT)
sys.exit(terminal.exit_code(run))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_signal_does_not_disturb_the_word_about_the_first(name: str) -> None:
    job = subprocess.run([sys.executable, "-c", TWICE.format(name=name)], capture_output=True, text=True, timeout=60)
    assert (job.returncode, job.stdout, job.stderr) == (130, "vidstyle: interrupted\n", "")


LOADS = """
import importlib.abc, os, sys
class Finder(importlib.abc.MetaPathFinder):
    "Sends the signal when a module is asked for, from inside the import."
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from vidstyle.__main__ import main
sys.exit(main())
"""
