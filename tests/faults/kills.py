"""Jobs that are killed anywhere, and gone on with.

    python -m tests.faults.kills [--count 100] [--seed 0]

A small job runs once to its end; then again and again, each time in a fresh directory, with a signal at a random moment: at any time,
just after a frame has been finished, or while the output is written or put in its place. The same command is given
again, and what there is in the end must be what the job that nobody has touched has left: the same frames to the bit at the same times,
the same sound, and no other file. Ctrl-C, SIGTERM and SIGHUP must end within two seconds, with 130 and a word on how to go on.

Every job is the command itself in a process of its own, forked from one that has imported torch, which would take longer than the job.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import av
import cv2
import numpy as np

from tests.clips import make_clip, moving

QUICK = ["--iterations", "2", "--first-iterations", "4", "-q"]
SAME = {"mbtree": "0"}
"""For x264, whose macroblock tree reads memory that nobody has set: a clip that is made twice is to be the same."""
LOSSLESS = ["--codec", "ffv1", "--pix-fmt", "bgr0"]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MOMENTS = ("anywhere", "at a frame", "at the output")
ENDS_WITHIN = 2.0
"""Seconds that Ctrl-C may take."""
WORD = re.compile(
    r"interrupted; (.* is done, what shows it is not; )?run the same command to go on$|interrupted; out\S* is done$", re.MULTILINE
)
"""What an interrupted job says, by how far it has come."""
PATIENCE = 120.0
"""Seconds after which a job hangs."""
JUST_AFTER = {"at a frame": 0.1, "at the output": 0.02}
"""Seconds within which the signal follows what it waits for."""

JOBS = multiprocessing.get_context("forkserver")
JOBS.set_forkserver_preload(["vidstyle.cli", "vidstyle.pipeline", "vidstyle.batch", "vidstyle.media"])


@dataclass(frozen=True)
class Scenario:
    """A job: its inputs, written into an empty directory, and its command line there."""

    prepare: Callable[[Path], object]
    arguments: tuple[str, ...]


def style(directory: Path) -> None:
    cv2.imwrite(str(directory / "style.png"), np.random.default_rng(7).integers(0, 255, (48, 48, 3), dtype=np.uint8))


def scenes(count: int, each: int) -> list[np.ndarray]:
    """So many shots of so many frames, which have nothing in common."""
    colors = [np.array(color) for color in ((1, 1, 1), (0.2, 1, 0.3), (1, 0.4, 0.1))]
    pictures = [(moving(number) * colors[shot % 3]).astype(np.uint8) for shot in range(count) for number in range(each)]
    return [picture[:, ::-1] if number // each % 2 else picture for number, picture in enumerate(pictures)]


def one_shot(directory: Path) -> None:
    style(directory)
    make_clip(directory / "clip.mkv", 8, audio="libopus", options=SAME)


def three_shots(directory: Path) -> None:
    style(directory)
    make_clip(directory / "clip.mkv", scenes(3, 3), codec="ffv1", pix_fmt="bgr0", matrix=0, audio="libopus")


def several(directory: Path) -> None:
    style(directory)
    (directory / "clips").mkdir()
    make_clip(directory / "clips" / "a.mkv", 3, options=SAME)
    make_clip(directory / "clips" / "b.mkv", 4, audio="libopus", options=SAME)
    cv2.imwrite(str(directory / "clips" / "c.png"), moving(3))


FILM = ("clip.mkv", "style.png", "-o", "out.mkv", *LOSSLESS, *QUICK)
SCENARIOS = {
    "one shot": Scenario(one_shot, FILM),
    "three shots": Scenario(three_shots, FILM),
    "two passes": Scenario(three_shots, (*FILM, "--passes", "2")),
    "batch": Scenario(several, ("clips", "style.png", "-o", "painted", "--batch", *LOSSLESS, *QUICK)),
    "frames": Scenario(one_shot, ("clip.mkv", "style.png", "-o", "out", *QUICK)),
    "what shows it": Scenario(one_shot, (*FILM, "--compare", "wipe", "--share", "look.gif")),
}


def run_in(directory: Path, arguments: tuple[str, ...]) -> None:
    """The command as a shell would run it, in this process."""
    from vidstyle.__main__ import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for what it runs in the background
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(directory)
    sys.argv = ["vidstyle", *arguments]
    with errors_of(directory).open("w") as errors, contextlib.redirect_stderr(errors):
        os.dup2(errors.fileno(), 2)  # what is said while libraries are loaded goes there by its number
        code = main()
    sys.exit(code)


def started(directory: Path, scenario: Scenario) -> BaseProcess:
    """Waits until the process is there, which is about to begin with the command."""
    errors_of(directory).unlink(missing_ok=True)
    job = JOBS.Process(target=run_in, args=(directory, scenario.arguments))
    job.start()
    while job.is_alive() and not errors_of(directory).exists():
        time.sleep(0.0005)
    return job


def ended(job: BaseProcess, directory: Path) -> int:
    """The exit code of a job that must end; negative for the signal that it died of."""
    job.join(PATIENCE)
    if job.exitcode is None:
        job.kill()
        raise AssertionError(f"hangs; {errors(directory)}")
    return job.exitcode


def errors_of(directory: Path) -> Path:
    """What the last job there has said; beside it, since the directory's disk may be full."""
    return directory.with_name(f"{directory.name}.errors")


def errors(directory: Path) -> str:
    path = errors_of(directory)
    return path.read_text() if path.exists() else ""


def left(directory: Path) -> dict[str, str]:
    """What there is: name → digest of what is shown and heard."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): shown(path) for path in files}


def shown(path: Path) -> str:
    """A digest of a film's frames, their times and its other packets (its container has a number of its own each time), or of a file."""
    digest = hashlib.sha256()
    if path.suffix not in (".mkv", ".mp4"):
        digest.update(path.read_bytes())
        return digest.hexdigest()
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.stream.type != "video":
                digest.update(f"{packet.stream.index} {packet.pts} ".encode() + bytes(packet))
                continue
            for frame in packet.decode():
                digest.update(f"{packet.stream.index} {frame.pts} ".encode() + frame.to_ndarray(format="rgb24").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Reference:
    """What the job does when nobody touches it."""

    seconds: float
    left: dict[str, str]

    @classmethod
    def of(cls, scenario: Scenario, directory: Path) -> Reference:
        scenario.prepare(directory)
        inputs = set(left(directory))
        job = started(directory, scenario)
        began = time.monotonic()
        code = ended(job, directory)
        seconds = time.monotonic() - began
        assert code == 0, errors(directory)
        found = left(directory)
        assert set(found) > inputs, "the job has made nothing"
        return cls(seconds, found)


def journal(directory: Path) -> int:
    """Bytes in the journals of all workspaces: they grow with every frame."""
    total = 0
    with contextlib.suppress(FileNotFoundError):  # a workspace that is done with goes while one looks
        for path in directory.rglob("journal.jsonl"):
            total += path.stat().st_size
    return total


def writes_output(directory: Path) -> bool:
    return any(".part" in path.name for path in directory.glob("**/.*"))


def waits(directory: Path, moment: str, seconds: float, luck: random.Random) -> Iterator[None]:
    """Ends when the signal is due."""
    if moment == "anywhere":
        due = time.monotonic() + luck.uniform(0, seconds)
    else:
        begun, frame = journal(directory), luck.randrange(1, 8)
        while not (writes_output(directory) if moment == "at the output" else frame == 0):
            grown = journal(directory)
            frame -= grown > begun and moment == "at a frame"
            begun = grown
            yield
        due = time.monotonic() + luck.uniform(0, JUST_AFTER[moment])
    while time.monotonic() < due:
        yield


def trial(scenario: Scenario, reference: Reference, directory: Path, moment: str, number: signal.Signals, luck: random.Random) -> str:
    """One job that gets a signal, and is gone on with; what became of it, in a word.

    Raises:
        AssertionError: something was lost, mixed in or left over, or it did not end as it should.
    """
    scenario.prepare(directory)
    job = started(directory, scenario)
    for _ in waits(directory, moment, reference.seconds, luck):
        if not job.is_alive():
            break
        time.sleep(0.0005)
    with contextlib.suppress(ProcessLookupError):
        assert job.pid is not None
        os.kill(job.pid, number)
    sent = time.monotonic()
    code = ended(job, directory)
    took = time.monotonic() - sent
    said = errors(directory)
    if number == signal.SIGKILL:
        assert code in (0, -signal.SIGKILL), f"{code}: {said}"
    else:
        assert code in (0, 130), f"{code}: {said}"
        assert took < ENDS_WITHIN, f"took {took:.1f} s to end"
        assert code == 0 or WORD.search(said), said
    done = code == 130 and "run the same command" not in said
    assert not done or left(directory).keys() >= reference.left.keys(), said
    outcome = "too late" if code == 0 else "gone on with"
    # A batch leaves the workspace of an output that is in its place already, says so, and goes on to the next.
    kept = [workspace for workspace in directory.glob("painted/*.vidstyle") if workspace.with_suffix("").exists()]
    if code:
        again = ended(started(directory, scenario), directory)
        if again == 2 and "exists" in errors(directory):  # all was in its place already, of the workspace some was removed
            assert done or number == signal.SIGKILL, f"told to go on: {said}"
            outcome = "was in its place"
            again = ended(started(directory, Scenario(scenario.prepare, (*scenario.arguments, "-y"))), directory)
        assert again == 0, errors(directory)
    for workspace in kept:
        if workspace.exists():
            outcome = "was in its place"
            shutil.rmtree(workspace)
    found = left(directory)
    other = sorted(name for name in found.keys() | reference.left.keys() if found.get(name) != reference.left.get(name))
    assert not other, f"other than in the job that nobody has touched: {other}"
    return outcome


def campaign(count: int, seed: int) -> Counter[tuple[str, str, str]]:
    """So many trials over all jobs, moments and signals in turn, and as many more as came too late; how often what came of them."""
    luck, outcomes, failed = random.Random(seed), Counter[tuple[str, str, str]](), 0
    with tempfile.TemporaryDirectory() as scratch:
        references = {}
        for name, scenario in SCENARIOS.items():
            (Path(scratch) / name).mkdir()
            references[name] = Reference.of(scenario, Path(scratch) / name)
            print(f"{name}: {references[name].seconds:.1f} s undisturbed", flush=True)
        number, left_to_send = 0, count
        while left_to_send:
            name, moment = list(SCENARIOS)[number % len(SCENARIOS)], MOMENTS[number // len(SCENARIOS) % len(MOMENTS)]
            sent = luck.choice(SIGNALS)
            directory = Path(scratch) / f"{number}"
            directory.mkdir()
            try:
                outcome = trial(SCENARIOS[name], references[name], directory, moment, sent, luck)
            except AssertionError as error:
                outcome, failed = "FAILED", failed + 1
                print(f"{number}: {name}, {sent.name} {moment}: {error}", flush=True)
            outcomes[moment, sent.name, outcome] += 1
            number, left_to_send = number + 1, left_to_send - (outcome != "too late")
    print(f"{count} signals, {failed} failed")
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes = campaign(options.count, options.seed)
    for (moment, name, outcome), times in sorted(outcomes.items()):
        print(f"{moment:15}{name:10}{outcome:18}{times:4}")
    if any(outcome == "FAILED" for *_, outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
