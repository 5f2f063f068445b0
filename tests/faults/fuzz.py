"""Media files damaged at random, read and copied.

    python -m tests.faults.fuzz [--count 3000] [--seed 0] [--only SUFFIX ...] [--keep DIRECTORY]

Small whole files of every kind are made, and then copies of them with flipped bits, noise, holes, repetitions, cut ends and absurd numbers;
half of the PNG files with the checksums of their chunks made to fit.
Each copy is opened as the command opens its input; its frames are walked, and written to a new film together with its sound and subtitles.
What may happen: frames of the size that was announced at times that grow, or an error of vidstyle's own. What may not: another exception,
a crash, a walk that takes longer than `LIMIT_S`, memory above `MOST_MIB`, a word on stderr
from a library. `--keep` puts aside the files of which something else came.

The files are read in a process of their own that may die; the next ones are read in another.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from tests.clips import make_clip, moving

LIMIT_S = 20.0
MOST_MIB = 1024
"""Peak resident memory of the process that reads, libraries and all."""
MOST_FRAMES = 100
"""Frames of one file that are walked: a damaged time may ask for millions at a rate of its own."""
CHUNK = 200
"""Files that one process reads."""
READERS = multiprocessing.get_context("forkserver")
READERS.set_forkserver_preload(["vidstyle.media", "vidstyle.settings", "PIL.Image", "cv2", "av"])


def picture(path: Path) -> Path:
    glass = np.dstack([moving(3), np.full((48, 64), 90, np.uint8)])
    Image.fromarray(moving(3) if path.suffix in (".jpg", ".ppm", ".bmp") else glass).save(path)
    return path


def pictures(path: Path) -> Path:
    first, *rest = [Image.fromarray(moving(number)) for number in range(6)]
    first.save(path, save_all=True, append_images=rest, duration=80)
    return path


def deep(path: Path) -> Path:
    import cv2

    cv2.imwrite(str(path), moving(3).astype(np.uint16) * 257)
    return path


def linear(path: Path) -> Path:
    from vidstyle.media.stills import Still, encode

    path.write_bytes(encode(moving(3), path, Still(moving(3), moving(9)[..., 0])))
    return path


WORDS = [(0.1, 0.3, "one"), (0.3, 0.4, "two")]
SEEDS: dict[str, Callable[[Path], Path]] = {
    "a.mp4": lambda path: make_clip(path, 12, audio="aac", subtitles=WORDS, chapters=[(0, 0.2, "x"), (0.2, 0.4, "y")]),
    "a.mkv": lambda path: make_clip(path, 12, audio="libopus", subtitles=WORDS, metadata={"title": "film"}),
    "a.webm": lambda path: make_clip(path, 12, codec="libvpx-vp9", audio="libopus"),
    "a.avi": lambda path: make_clip(path, 12, codec="mjpeg", pix_fmt="yuvj420p", audio="ac3"),
    "b.avi": lambda path: make_clip(path, 12, codec="mpeg4", audio="ac3"),
    "b.mov": lambda path: make_clip(path, 12, codec="prores_ks", pix_fmt="yuv422p10le", audio="aac", rotation=90),
    "b.mkv": lambda path: make_clip(path, 12, codec="ffv1", audio="libopus"),
    "a.flv": lambda path: make_clip(path, 12, audio="aac"),
    "a.mpg": lambda path: make_clip(path, 12, codec="mpeg2video", audio="mp2"),
    "a.ts": lambda path: make_clip(path, 12, audio="ac3"),
    "c.mp4": lambda path: make_clip(path, 12, codec="libx265", options={"x265-params": "log-level=none:keyint=6"}, audio="aac"),
    "c.mkv": lambda path: make_clip(path, 12, codec="libsvtav1", options={"preset": "12", "g": "6"}),
    "a.gif": pictures,
    "a.png": picture,
    "b.png": deep,
    "a.jpg": picture,
    "a.webp": picture,
    "a.avif": picture,
    "a.jp2": picture,
    "a.ppm": picture,
    "a.bmp": picture,
    "a.tga": picture,
    "a.tiff": picture,
    "b.tiff": deep,
    "a.exr": linear,
}


NUMBERS = [bytes.fromhex(number) for number in ("ffffffff", "7fffffff", "00000000", "00010000", "0000ffff", "ffff0000")]


def damaged(data: bytes, luck: random.Random) -> bytes:
    """A copy with one kind of damage, or several."""
    copy = bytearray(data)
    for _ in range(luck.choice([1, 1, 1, 2, 4])):
        size = max(len(copy), 1)
        # Headers, where numbers mean something, are short, and at either end.
        at = luck.choice([luck.randrange(size), luck.randrange(min(size, 600)), size - 1 - luck.randrange(min(size, 600))])
        length = min(luck.choice([1, 2, 4, 8, 100, 1000]), size - at)
        kind = luck.randrange(7)
        if kind == 0:
            for place in (luck.randrange(size) for _ in range(luck.randint(1, 20))):
                copy[place : place + 1] = bytes([copy[place] ^ (1 << luck.randrange(8))]) if copy else b""
        elif kind == 1:
            copy[at : at + length] = luck.randbytes(length)
        elif kind == 2:
            del copy[at : at + length]
        elif kind == 3:
            copy[at:at] = copy[at : at + length] * luck.choice([1, 1, 20])
        elif kind == 4:
            del copy[luck.randrange(size) :]
        elif kind == 5:
            copy[at : at + 4] = luck.choice(NUMBERS)
        else:
            copy[at : at + length] = bytes(length)
    if data.startswith(PNG) and luck.random() < 0.5:
        return resealed(bytes(copy))
    return bytes(copy)


PNG = b"\x89PNG\r\n\x1a\n"


def resealed(data: bytes) -> bytes:
    """A PNG whose chunks, up to the first that is cut, have the checksums of what is in them: else hardly any damage gets past them."""
    copy, place = bytearray(data), len(PNG)
    while place + 12 <= len(copy):
        end = place + 8 + int.from_bytes(copy[place : place + 4], "big")
        if end + 4 > len(copy):
            break
        copy[end : end + 4] = zlib.crc32(copy[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(copy)


def read(path: Path) -> str:
    """Reads one file as a job would; what came of it, in a word.

    Raises:
        AssertionError: frames are not what was announced.
        Exception: whatever vidstyle did not explain.
    """
    from vidstyle.errors import VidstyleError
    from vidstyle.media import check_style, open_sink, open_source, read_style
    from vidstyle.media.stills import READABLE
    from vidstyle.settings import EncodeSettings, RunSettings

    run = RunSettings()
    try:
        if path.suffix in READABLE:
            with contextlib.suppress(VidstyleError):
                check_style(path)
                assert read_style(path).ndim == 3
        with open_source(path, run, film=True) as medium:
            info, last, count = medium.info, None, 0
            encode = EncodeSettings.model_validate({"codec": "ffv1"})
            with open_sink(path.with_name("copy.mkv"), info, encode, path, run, overwrite=True) as sink:
                for frame in itertools.islice(medium.frames(), MOST_FRAMES):
                    assert frame.rgb.shape == (info.height, info.width, 3), f"{frame.rgb.shape} of {info.width}×{info.height}"
                    assert last is None or frame.pts > last, f"{frame.pts} after {last}"
                    last, count = frame.pts, count + 1
                    sink.write(frame.rgb, frame.pts, Fraction(frame.time_base))
    except VidstyleError as error:
        return "refused" if str(error).strip() else "REFUSED WITHOUT A WORD"
    return "read"


def reader(directory: Path, files: dict[int, bytes], suffixes: dict[int, str], results: Connection) -> None:
    """Reads some files, and tells of each when it begins and what came of it."""
    from vidstyle.media import silence_codecs

    silence_codecs()
    logging.getLogger("vidstyle").addHandler(logging.NullHandler())
    logging.getLogger("vidstyle").propagate = False
    sys.stderr = io.StringIO()
    words = directory / "stderr"
    os.dup2(os.open(words, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)  # libraries in C write there past Python
    for number, data in files.items():
        results.send((number, "begins", ""))
        path = directory / f"file{suffixes[number]}"
        path.write_bytes(data)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is this file's
        try:
            outcome, told = read(path), ""
        except Exception:
            outcome, told = "BUG", traceback.format_exc()
        peak = next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        if peak > MOST_MIB:
            outcome, told = "MEMORY", f"{peak:.0f} MiB"
        if outcome in ("read", "refused") and words.stat().st_size:
            outcome, told = "NOISE", words.read_text(errors="backslashreplace")
        os.truncate(words, 0)
        results.send((number, outcome, told))


@dataclass(frozen=True)
class Case:
    """One file, by its number; below 0 it is whole."""

    number: int
    name: str
    data: bytes


def results_of(cases: dict[int, Case], scratch: Path) -> Iterator[tuple[Case, str, str]]:
    """Has all of them read; a file that a reader dies or hangs of is its last one."""
    waiting = dict(cases)
    while waiting:
        mine, theirs = READERS.Pipe(duplex=False)
        directory = Path(tempfile.mkdtemp(dir=scratch))
        files = {number: case.data for number, case in waiting.items()}
        suffixes = {number: Path(case.name).suffix for number, case in waiting.items()}
        process = READERS.Process(target=reader, args=(directory, files, suffixes, theirs))
        process.start()
        theirs.close()
        current, since = None, time.monotonic()
        while waiting:
            if not mine.poll(LIMIT_S):
                outcome, told = "HANGS", f"after {time.monotonic() - since:.0f} s"
            else:
                try:
                    number, outcome, told = mine.recv()
                except EOFError:
                    process.join()
                    outcome, told = "CRASH", f"exit code {process.exitcode}"
                else:
                    if outcome == "begins":
                        current, since = number, time.monotonic()
                        continue
                    current = number
            if current is None:  # it never came to the first file
                raise RuntimeError(f"the reader cannot start: {told}")
            yield waiting.pop(current), outcome, told
            current = None
            if outcome in ("HANGS", "CRASH"):
                break
        process.kill()
        process.join()


def chunks(cases: dict[int, Case]) -> Iterator[dict[int, Case]]:
    left = iter(cases.items())
    while chunk := dict(itertools.islice(left, CHUNK)):
        yield chunk


def campaign(count: int, seed: int, only: list[str], keep: Path | None = None) -> tuple[Counter[tuple[str, str]], list[str]]:
    """So many files; how often what came of each kind, and what should not have come."""
    names = [name for name in SEEDS if not only or Path(name).suffix in only]
    outcomes, failed = Counter[tuple[str, str]](), []
    with tempfile.TemporaryDirectory() as scratch:
        whole = {name: SEEDS[name](Path(scratch) / name).read_bytes() for name in names}
        cases = {}
        for number in range(count):
            name = names[number % len(names)]
            cases[number] = Case(number, name, damaged(whole[name], random.Random(f"{seed} {number}")))
        for name, data in whole.items():  # undamaged, they must be read
            number = -1 - names.index(name)
            cases[number] = Case(number, name, data)
        for case, outcome, told in itertools.chain.from_iterable(results_of(chunk, Path(scratch)) for chunk in chunks(cases)):
            outcomes[case.name, outcome] += 1
            if outcome not in ("read", "refused") or (case.number < 0 and outcome != "read"):
                failed.append(f"{case.number} {case.name}: {outcome} {told}")
                print(failed[-1], flush=True)
                if keep is not None:
                    keep.mkdir(exist_ok=True)
                    (keep / f"{seed}-{case.number}{Path(case.name).suffix}").write_bytes(case.data)
    return outcomes, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[], metavar="SUFFIX")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    outcomes, failed = campaign(options.count, options.seed, options.only, options.keep)
    for (name, outcome), times in sorted(outcomes.items()):
        print(f"{name:8}{outcome:10}{times:5}")
    print(f"{len(failed)} of {options.count} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
