"""`-` as INPUT and OUTPUT."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from tests.clips import make_clip, moving, read_times
from tests.jobs import write_png
from vidstyle import cli
from vidstyle.cli import pipes
from vidstyle.errors import MediaError
from vidstyle.media import open_source
from vidstyle.pipeline import JobResult
from vidstyle.settings import RunSettings

QUICK = ("--iterations", "1", "--first-iterations", "1")


class Piped:
    """Stands for a stdin that something is piped into."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a film, a style, and `tmp/` for what is temporary."""
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "clip.mkv", 3, audio="libopus")
    write_png(tmp_path / "style.png", moving(5))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


@pytest.fixture
def job(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, bytes]]:
    """A job that writes its input backwards; what it was called with."""
    calls = []

    def stylize(source: Path, styles: object, output: Path, *others: object) -> JobResult:
        calls.append((output, source.read_bytes()))
        print("a library prints something")
        os.write(1, b"and another one past Python\n")
        output.write_bytes(source.read_bytes()[::-1])
        others[1].beside.make(JobResult(output, 3, 1.0), None, None)

    monkeypatch.setattr("vidstyle.pipeline.stylize", stylize)
    return calls


def run(*flags: str, stdin: bytes = b"", monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "stdin", Piped(stdin))
    return cli.main([*flags])


def left(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "tmp").iterdir())


def test_what_is_piped_in_is_a_file_while_the_job_needs_it(
    place: Path, job: list[tuple[Path, bytes]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    film = (place / "clip.mkv").read_bytes()
    assert run("-", "style.png", "-o", "out.mkv", stdin=film, monkeypatch=monkeypatch) == 0
    assert job == [(Path("out.mkv"), film)]
    assert left(place) == []
    said = capfd.readouterr()
    assert "INPUT is kept in" in said.err
    assert str(place / "tmp") in said.err
    assert "vidstyle: out.mkv: 3 frames" in said.out


def test_the_film_alone_goes_to_stdout(
    place: Path, job: list[tuple[Path, bytes]], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    film = (place / "clip.mkv").read_bytes()
    assert run("-", "style.png", "-o", "-", stdin=film, monkeypatch=monkeypatch) == 0
    said = capfdbinary.readouterr()
    assert said.out == film[::-1]
    for line in (b"a library prints something", b"and another one past Python", b"vidstyle: -: 3 frames"):
        assert line in said.err
    assert job[0][0].suffix == ".mkv"
    assert left(place) == []


def test_a_file_may_be_piped_on(
    place: Path, job: list[tuple[Path, bytes]], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert cli.main(["clip.mkv", "style.png", "-o", "-", "-q"]) == 0
    assert capfdbinary.readouterr().out == (place / "clip.mkv").read_bytes()[::-1]
    assert left(place) == []


def test_a_file_of_that_name_is_a_file(place: Path, job: list[tuple[Path, bytes]]) -> None:
    (place / "-").write_bytes((place / "clip.mkv").read_bytes())
    assert cli.main(["./-", "style.png", "-o", "out.mkv", "-q"]) == 0
    assert (place / "out.mkv").is_file()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MediaError("it broke"), 1, "it broke [V20]"),
        (KeyboardInterrupt(), 130, "nothing is kept of a job with -o -"),
        (KeyError("x"), 1, "bug"),
    ],
)
def test_nothing_is_left_of_a_job_that_fails(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    def fail(source: Path, styles: object, output: Path, *others: object) -> JobResult:
        (output.parent / "out.mkv.vidstyle").mkdir()
        assert source.is_file()
        raise error

    monkeypatch.setattr("vidstyle.pipeline.stylize", fail)
    assert run("-", "style.png", "-o", "-", stdin=(place / "clip.mkv").read_bytes(), monkeypatch=monkeypatch) == code
    told = capfd.readouterr()
    assert said in told.err
    assert told.out == ""
    assert left(place) == []


def test_an_interrupted_job_into_a_file_can_be_gone_on_with(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stop(*given: object) -> JobResult:
        raise KeyboardInterrupt

    monkeypatch.setattr("vidstyle.pipeline.stylize", stop)
    assert run("-", "style.png", "-o", "out.mkv", stdin=(place / "clip.mkv").read_bytes(), monkeypatch=monkeypatch) == 130
    assert "run the same command to go on, with the same film piped in" in capfd.readouterr().err
    assert left(place) == []


def test_a_reader_that_goes_away_costs_no_film(
    place: Path, job: list[tuple[Path, bytes]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def closed(film: Path, descriptor: int) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(pipes, "_send", closed)
    assert run("-", "style.png", "-o", "-", stdin=(place / "clip.mkv").read_bytes(), monkeypatch=monkeypatch) == 1
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "error" in line)
    (kept,) = (place / "tmp").rglob("*.mkv")
    assert line == f"vidstyle: error: -o -: the film cannot be sent to its end (its reader has gone away); all of it is kept: {kept} [V20]"
    assert kept.read_bytes() == (place / "clip.mkv").read_bytes()[::-1]
    assert [path.name for path in kept.parent.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize(
    ("stdin", "code", "said"),
    [
        (b"", 1, "INPUT -: nothing came through the pipe"),
        (b"hello, I am no film" * 99, 1, "stdin: is no video that can be read"),
    ],
)
def test_what_is_no_film(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], stdin: bytes, code: int, said: str
) -> None:
    assert run("-", "style.png", "-o", "out.mkv", *QUICK, stdin=stdin, monkeypatch=monkeypatch) == code
    lines = capfd.readouterr().err.splitlines()
    assert said in lines[-1]
    assert len(lines) == 2
    assert left(place) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("- style.png -o painted --batch", "--batch works on directories"),
        ("clips style.png -o - --batch", "--batch works on directories"),
        ("clip.mkv style.png -o - --preview", "--preview writes a contact sheet"),
        ("clip.mkv style.png -o - --compare side", "--compare: leaves something beside OUTPUT"),
        ("clip.mkv style.png -o - --share a.gif", "--share: leaves"),
        ("clip.mkv style.png -o - --keep-workspace", "--keep-workspace: leaves"),
        ("- none.png -o out.mkv", "STYLE none.png: no such file"),
        ("- style.png -o out.doc", "cannot write .doc"),
    ],
)
def test_what_does_not_go_with_a_pipe_is_told_before_anything_is_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert run(*words.split(), stdin=b"x", monkeypatch=monkeypatch) == 2
    assert said in capfd.readouterr().err
    assert sys.stdin.buffer.read() == b"x"
    assert left(place) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_terminals_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    import pty

    reader, writer = pty.openpty()
    before = os.dup(1)
    os.dup2(writer, 1)
    try:
        assert cli.main(["clip.mkv", "style.png", "-o", "-"]) == 2
    finally:
        os.dup2(before, 1)
        for descriptor in (before, reader, writer):
            os.close(descriptor)
    assert "-o -: is the terminal" in capfd.readouterr().err
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    assert cli.main(["-", "style.png", "-o", "out.mkv"]) == 2
    assert "INPUT -: nothing is piped in" in capfd.readouterr().err


def test_a_sheet_of_what_is_piped_in_has_a_name() -> None:
    assert cli.parse(["-", "style.png", "--preview"]).output == Path("stdin.preview.png")


# --- as processes ---


def shell(line: str, place: Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in `place`, where `vidstyle` is the command and `$TMPDIR` its own; like a terminal's, Ctrl-C and pipes break it."""
    command = f'vidstyle() {{ "{sys.executable}" -m vidstyle "$@"; }}\nset -o pipefail\n{line}'
    environment = {**os.environ, "TMPDIR": str(place / "tmp"), "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run(["bash", "-c", command], cwd=place, env=environment, capture_output=True, timeout=120, check=False, **options)


def test_a_film_goes_through(place: Path) -> None:
    result = shell(f"cat clip.mkv | vidstyle - style.png -o - {' '.join(QUICK)} --strength 0 --codec ffv1 | cat > out.mkv", place)
    assert result.returncode == 0, result.stderr
    assert read_times(place / "out.mkv") == read_times(place / "clip.mkv")
    with open_source(place / "out.mkv", RunSettings()) as painted, open_source(place / "clip.mkv", RunSettings()) as source:
        assert painted.info.streams == ("audio",)
        for after, before in zip(painted.frames(), source.frames(), strict=True):
            assert np.abs(after.rgb.astype(int) - before.rgb).max() <= 2
    assert left(place) == []


def test_y4m_and_a_picture_come_in(place: Path) -> None:
    grey = [np.full(64 * 48 * 3 // 2, 60 + 90 * index, np.uint8).tobytes() for index in range(2)]
    (place / "clip.y4m").write_bytes(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg\n" + b"".join(b"FRAME\n" + planes for planes in grey))
    result = shell(f"vidstyle - style.png -o out {' '.join(QUICK)} < clip.y4m", place)
    assert result.returncode == 0, result.stderr
    assert len(list((place / "out").iterdir())) == 2
    result = shell(f"vidstyle - style.png -o painted.png {' '.join(QUICK)} < style.png", place)
    assert result.returncode == 0, result.stderr
    assert (place / "painted.png").is_file()
    assert left(place) == []


def test_a_reader_that_stops_reading_gets_a_line_and_no_traceback(place: Path) -> None:
    result = shell(f"vidstyle - style.png -o - -q {' '.join(QUICK)} < clip.mkv | true", place)
    assert result.returncode == 1
    said = result.stderr.decode().splitlines()
    assert len(said) == 1
    assert said[0].startswith("vidstyle: error: -o -: the film cannot be sent to its end (its reader has gone away)")
    (kept,) = [path for path in (place / "tmp").rglob("*") if path.is_file()]
    assert read_times(kept) == read_times(place / "clip.mkv")


DEAF = """
import hashlib, pathlib, sys, tempfile
from vidstyle.cli.terminal import exit_code
def run(ending):
    ending.temporary = pathlib.Path(tempfile.mkdtemp())
    (ending.temporary / "stdin").write_bytes(b"a film")
    print(ending.temporary, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # one call, for minutes
sys.exit(exit_code(run))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_job_that_does_not_hear_leaves_nothing_either(place: Path, sent: signal.Signals) -> None:
    def hears() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    with subprocess.Popen(
        [sys.executable, "-c", DEAF], stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(place / "tmp")}, text=True, preexec_fn=hears
    ) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        assert directory.is_dir()
        time.sleep(0.3)
        os.kill(process.pid, sent)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert not directory.exists()


REPORTS = """
import hashlib, sys
import vidstyle.pipeline
from vidstyle import cli
def deaf(source, styles, output, settings, options, progress):
    print(options.log_json.parent, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", {rounds})
vidstyle.pipeline.stylize = deaf
sys.exit(cli.main(["clip.mkv", "style.png", "-o", "out.mkv", "--report"]))
"""


@pytest.mark.parametrize("hears", [False, True])
def test_what_a_report_is_made_of_does_not_stay_either(place: Path, hears: bool) -> None:
    command = [sys.executable, "-c", REPORTS.format(rounds=1 if hears else 10**9)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(place / "tmp")}, text=True) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        assert directory.parent == place / "tmp"
        if not hears:
            assert directory.is_dir()
            time.sleep(0.3)
            process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == (0 if hears else 130)
    assert not list((place / "tmp").iterdir())
