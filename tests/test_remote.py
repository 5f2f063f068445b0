"""Names of a store as INPUT, STYLE and OUTPUT, and a workspace that is kept there."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.clips import make_clip, moving
from tests.jobs import write_png
from vidstyle import cli, remote
from vidstyle.errors import MediaError, UsageError, WorkspaceError
from vidstyle.pipeline import stylize
from vidstyle.remote import Place, StoreMirror
from vidstyle.workspace import Workspace, mirroring, named_in_journal

QUICK = ("--iterations", "3", "--first-iterations", "5", "-q")
FINGERPRINT = {"the input": "1"}

memory = fsspec.filesystem("memory")


class Killed(BaseException):
    """Stands for a kill: nothing that catches errors catches it."""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("media")
    make_clip(directory / "clip.mkv", 3, size=(32, 24), audio="libopus")
    write_png(directory / "style.png", moving(5, 32, 24))
    return directory


@pytest.fixture(autouse=True)
def place(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with a film of three frames and a style, and a cache of its own; an empty store in memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_PAUSES", (0.0, 0.0))
    for path in media.iterdir():
        shutil.copy(path, tmp_path)
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield tmp_path
    memory.store.clear()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A stand-in for S3; its address."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    """S3 with one bucket, `films`, that holds the film and the style."""
    for name, value in {"ACCESS_KEY_ID": "one", "SECRET_ACCESS_KEY": "two", "DEFAULT_REGION": "us-east-1", "ENDPOINT_URL": server}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    post(f"{server}/moto-api/reset")
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.mkdir("films")
    for name in ("clip.mkv", "style.png"):
        files.put_file(name, f"films/{name}")
    yield files
    type(files).clear_instance_cache()


def post(address: str, data: bytes = b"") -> None:
    urllib.request.urlopen(urllib.request.Request(address, data, {"Content-Type": "text/plain"}, method="POST")).close()


def put_into_memory(*names: str) -> None:
    for name in names:
        memory.pipe_file(f"/films/{name}", Path(name).read_bytes())


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command says which fails."""
    assert cli.main([*arguments, *QUICK]) in (1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert "/cache/" not in said, "the line tells of a place that nobody has named"
    return said


_LOCAL: dict[tuple[str, ...], bytes] = {}


def local(*flags: str) -> bytes:
    """The film that the same job makes on this disk; made once."""
    if flags not in _LOCAL:
        assert cli.main(["clip.mkv", "style.png", "-o", "local.mkv", *QUICK, *flags]) == 0
        _LOCAL[flags] = Path("local.mkv").read_bytes()
    return _LOCAL[flags]


# --- whole jobs


def test_a_film_from_s3_to_s3_is_the_local_one(s3: fsspec.AbstractFileSystem, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["s3://films/clip.mkv", "s3://films/style.png", "-o", "s3://films/done/out.mkv", *QUICK[:-1], "--log-json", "log.jsonl"]
    assert cli.main(command) == 0
    assert s3.cat_file("films/done/out.mkv") == local()
    assert sorted(s3.find("films")) == ["films/clip.mkv", "films/done/out.mkv", "films/style.png"], "no workspace, no lock"
    assert not [path for path in (place / "cache").rglob("*") if path.is_file()]
    assert "s3://films/done/out.mkv: 3 frames" in capsys.readouterr().out
    assert {json.loads(line)["output"] for line in Path("log.jsonl").read_text().splitlines()} == {"s3://films/done/out.mkv"}
    assert "exists already; give -y" in complaint(capsys, *command[:4], "-o", "s3://films/done/out.mkv")


def test_frames_and_sequences_and_what_lies_beside_an_output(place: Path) -> None:
    put_into_memory("clip.mkv", "style.png")
    films = ["memory://films/clip.mkv", "memory://films/style.png"]
    assert cli.main([*films, "-o", "memory://films/frames/", *QUICK]) == 0
    assert cli.main(["clip.mkv", "style.png", "-o", "frames/", *QUICK]) == 0
    frames = {path.name: path.read_bytes() for path in Path("frames").iterdir()}
    assert len(frames) == 3
    assert {name: memory.cat_file(f"/films/frames/{name}") for name in frames} == frames
    # A directory of frames as INPUT, a sequence as OUTPUT, then that as INPUT, of which two frames are asked for.
    assert cli.main(["memory://films/frames/", "style.png", "-o", "memory://films/p.%04d.png", *QUICK]) == 0
    assert cli.main(["memory://films/p.%04d.png", "style.png", "-o", "two.mkv", "--frames", "2-3", *QUICK]) == 0
    there = sorted(memory.find("/films"))
    assert [name for name in there if "/p." in name] == [f"/films/p.000{number}.png" for number in (1, 2, 3)]
    # With -y a directory is replaced, and what stands beside the output is put up too.
    memory.pipe_file("/films/frames/frame_000007.png", frames["frame_000000.png"])
    assert cli.main([*films, "-o", "memory://films/frames/", "-y", "--compare", "side", *QUICK]) == 0
    assert sorted(name for name in memory.find("/films") if "frames" in name) == [
        "/films/frames.side.mp4",
        *(f"/films/frames/{name}" for name in sorted(frames)),
    ]


def test_a_local_output_of_a_film_from_a_store(place: Path) -> None:
    put_into_memory("clip.mkv")
    assert cli.main(["memory://films/clip.mkv", "style.png", "-o", "out.mkv", *QUICK]) == 0
    assert Path("out.mkv").read_bytes() == local()
    assert not [path for path in (place / "cache").rglob("*") if path.is_file()]


def test_other_kinds_of_places(place: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    put_into_memory("clip.mkv")
    assert cli.main(["memory://films/clip.mkv", "style.png", "-o", f"file://{place}/new/out.mkv", *QUICK]) == 0
    assert Path("new/out.mkv").read_bytes() == local()
    assert [path.name for path in Path("new").iterdir()] == ["out.mkv"]
    capfdbinary.readouterr()
    assert cli.main(["memory://films/clip.mkv", "style.png", "-o", "-", *QUICK]) == 0
    assert capfdbinary.readouterr().out == local()
    assert cli.main(["memory://films/clip.mkv", "style.png", "--preview", *QUICK]) == 0
    assert Path("clip.preview.png").is_file()
    assert not [path for path in (place / "cache").rglob("*") if path.is_file()]


def test_a_kept_workspace_serves_again_and_what_others_put_there_stays(place: Path) -> None:
    put_into_memory("clip.mkv")
    memory.pipe_file("/films/out.mkv.vidstyle/notes/job.json", b"another's")
    command = ["memory://films/clip.mkv", "style.png", "-o", "memory://films/out.mkv", *QUICK]
    assert cli.main([*command, "--keep-workspace"]) == 0
    kept = memory.find("/films/out.mkv.vidstyle")
    assert len([name for name in kept if "/frames/" in name]) == 3
    assert cli.main([*command, "-y", "--log-json", "log.jsonl", "--strength", "0.5"]) == 0
    assert len(Path("log.jsonl").read_text().splitlines()) == 3
    assert memory.cat_file("/films/out.mkv") == local("--strength", "0.5")
    assert memory.find("/films/out.mkv.vidstyle") == ["/films/out.mkv.vidstyle/notes/job.json"]


def test_killed_on_one_machine_and_gone_on_with_on_another(s3: fsspec.AbstractFileSystem, place: Path) -> None:
    command = ["s3://films/clip.mkv", "s3://films/style.png", "-o", "s3://films/out.mkv", *QUICK, "--iterations", "12"]
    root = str(Path(cli.__file__).parents[2])
    running = subprocess.Popen([sys.executable, "-m", "vidstyle", *command], env={**os.environ, "PYTHONPATH": root})
    deadline = time.monotonic() + 60
    while len(s3.find("films/out.mkv.vidstyle/journal")) < 2 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert s3.find("films/out.mkv.vidstyle/journal")
    assert not s3.exists("films/out.mkv")
    (place / "cache").rename(place / "of-another-machine")
    assert cli.main(command) == 0
    assert s3.cat_file("films/out.mkv") == local("--iterations", "12")
    assert not s3.find("films/out.mkv.vidstyle")


def test_an_upload_that_fails_for_good_ends_the_job_in_a_line_and_the_next_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_into_memory("clip.mkv", "style.png")
    command = ["memory://films/clip.mkv", "memory://films/style.png", "-o", "memory://films/out.mkv"]
    fails = {"journal/000000000000": 2, "frames/000002.tif": 99, "out.mkv": 99}
    calls: list[str] = []
    for name in ("put_file", "pipe_file"):
        monkeypatch.setattr(type(memory), name, failing(getattr(type(memory), name), fails, calls))
    said = complaint(capsys, *command)
    assert "out.mkv.vidstyle/frames/000002.tif: cannot be written: it rains" in said
    assert "[V40]" in said
    assert calls.count("journal/000000000000") == 3, "what fails for a moment is tried again"
    del fails["frames/000002.tif"]
    said = complaint(capsys, *command)
    assert "memory://films/out.mkv: cannot be written: it rains" in said
    assert "run the same command again" in said
    fails.clear()
    calls.clear()
    assert cli.main([*command, *QUICK]) == 0
    assert not [call for call in calls if call.startswith("frames/")], "all frames were there"
    assert memory.cat_file("/films/out.mkv") == local()


def failing(function: Callable[..., object], fails: dict[str, int], calls: list[str]) -> Callable[..., object]:
    """A method of a file system that fails so many times for names that end so."""

    def call(self: object, *arguments: object, **named: object) -> object:
        path = str(arguments[0] if function.__name__ == "pipe_file" else arguments[1])
        name = "/".join(path.split("/")[-2:]) if ".vidstyle/" in path else path.split("/")[-1]
        calls.append(name)
        if fails.get(name, 0):
            fails[name] -= 1
            raise ConnectionError("it rains")
        return function(self, *arguments, **named)

    return call


# --- what is refused


def test_what_is_not_there_or_not_allowed_is_a_line(
    s3: fsspec.AbstractFileSystem, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["s3://films/clip.mkv", "s3://films/style.png"]
    assert "s3://films/none.mkv: there is no such file" in complaint(capsys, "s3://films/none.mkv", own[1], "-o", "s3://films/out.mkv")
    assert "s3://nobody/clip.mkv: there is no such file" in complaint(capsys, "s3://nobody/clip.mkv", own[1], "-o", "s3://films/out.mkv")
    said = complaint(capsys, *own, "-o", "s3://nobody/out.mkv")
    assert "s3://nobody/out.mkv.vidstyle: cannot be written (The specified bucket does not exist)" in said
    assert "s3://films/clip.mkv: is an input" in complaint(capsys, *own, "-o", "s3://films/clip.mkv")
    assert sorted(s3.find("films")) == ["films/clip.mkv", "films/style.png"]
    post(f"{server}/moto-api/reset-auth", b"0")
    try:
        said = complaint(capsys, *own, "-o", "s3://films/out.mkv")
        assert "access is denied" in said
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        type(s3).clear_instance_cache()
        assert "no credentials" in complaint(capsys, *own, "-o", "s3://films/out.mkv")
    finally:
        post(f"{server}/moto-api/reset-auth", b"inf")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["s4://films/clip.mkv", "style.png", "-o", "out.mkv"], "no protocol s4://; did you mean s3://?"),
        (["gs://films/clip.mkv", "style.png", "-o", "out.mkv"], "what gs:// needs is not installed; pip install gcsfs"),
        (["memory://films/../clip.mkv", "style.png", "-o", "out.mkv"], "no name of a file in a store"),
        (["clip.mkv", "style.png", "-o", "memory://films/../out.mkv"], "no name of a file in a store"),
        (["clip.mkv", "style.png", "-o", "memory://films//out.mkv"], "no name of a file in a store"),
        (["clip.mkv", "style.png", "-o", "memory://out.mkv"], "name a file or directory in the store"),
        (["clip.mkv", "style.png", "-o", "memory://films/[o]ut.mkv"], "without any of * ? [ ]"),
        (["clip.mkv", "style.png", "-o", "memory://films/a\nb.mkv"], "no name of a file in a store"),
        (["clip.mkv", "style.png", "-o", "memory://films/out.xyz"], "memory://films/out.xyz: cannot write .xyz"),
        (["clip.mkv", "style.png", "-o", "memory://films/out.mkv", "--mask", "memory://films/m.png"], "--mask memory://films/m.png"),
        (["clip.mkv", "style.png", "-o", "out.mkv", "--log-json", "memory://films/log"], "--log-json memory://films/log"),
        (["memory://films/", "style.png", "-o", "out", "--batch"], "--batch takes directories of this disk"),
        (["clip.mkv", "memory://films/none.png", "-o", "out.mkv"], "memory://films/none.png: there is no such file"),
        (["clip.mkv", "style.png", "--preview", "-o", "memory://films/sheet.png"], "--preview writes its sheet to this disk"),
    ],
)
def test_names_that_are_none_are_refused(
    arguments: list[str], said: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0].startswith("gs:"):
        monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert said in complaint(capsys, *arguments)
    assert not memory.find("/")
    assert not [path for path in (place / "cache").rglob("*") if path.is_file()]


def test_directories_files_and_other_things_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    put_into_memory("clip.mkv", "style.png")
    memory.pipe_file("/films/frames/notes.txt", b"mine")
    memory.pipe_file("/films/p.0002.png", b"mine")
    job = ["clip.mkv", "style.png", "-o"]
    assert "holds other things than frames" in complaint(capsys, *job, "memory://films/frames/", "-y")
    assert "is a file; name a directory" in complaint(capsys, *job, "memory://films/clip.mkv/")
    assert "p.0002.png is there already" in complaint(capsys, *job, "memory://films/p.%04d.png")
    assert "one lies in the other" in complaint(capsys, "memory://films/frames/", "style.png", "-o", "memory://films/frames/out.mkv")
    assert memory.cat_file("/films/frames/notes.txt") == memory.cat_file("/films/p.0002.png") == b"mine"


def test_python_takes_files_and_says_so() -> None:
    with pytest.raises(UsageError, match=r"s3://films/out\.mkv: the command takes names of a store"):
        stylize("clip.mkv", "style.png", "s3://films/out.mkv")


# --- the lock


def mirror() -> StoreMirror:
    return StoreMirror(Place.of("memory://films/out.mkv.vidstyle", writes=True))


def test_who_comes_second_is_refused_and_what_has_ended_is_not_in_the_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = mirror(), mirror()
    first.hold()
    with pytest.raises(WorkspaceError, match=f"another vidstyle is at work here .*process {os.getpid()}"):
        second.hold()
    assert len(memory.find("/films")) == 1
    assert "another vidstyle is at work" in complaint(capsys, "clip.mkv", "style.png", "-o", "memory://films/out.mkv")
    first.close()
    second.hold()
    # One that was killed, on this machine, is known by its process; on another, by its age.
    monkeypatch.setattr(os, "kill", lambda process, number: (_ for _ in ()).throw(ProcessLookupError()))
    first.hold()
    monkeypatch.undo()
    monkeypatch.setattr(remote, "_STALE", -1.0)
    second = mirror()
    second.hold()
    with pytest.raises(WorkspaceError, match="another vidstyle has taken over"):
        first.keep(Path(), [], 0, b"")
    second.close()
    first.close()
    assert not memory.find("/films")


def test_two_who_come_at_once_never_both_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = mirror(), mirror()
    looked = first._check_alone

    def meanwhile(own: Place) -> None:
        with pytest.raises(WorkspaceError):
            second.hold()
        looked(own)

    monkeypatch.setattr(first, "_check_alone", meanwhile)
    first.hold()
    first.close()
    assert not memory.find("/films")


# --- the workspace in the store


def painted(index: int) -> np.ndarray:
    return np.full((2, 3, 3), 100 * index + 7, np.uint16)


FRAMES = 5


def work(directory: Path, fingerprint: dict[str, str] = FINGERPRINT, until: int = FRAMES) -> int:
    """A job that paints `FRAMES` frames, each from the one before; how many were there already."""
    with mirroring(lambda _: mirror()), Workspace.open(directory, fingerprint) as workspace:
        found = workspace.done
        for index in range(found, until):
            if index:
                assert np.array_equal(workspace.frame(index - 1), painted(index - 1))
                assert workspace.state()["carried"].tolist() == [index - 1]
            if index == 4:
                workspace.drop([1])
            state = {"carried": np.array([index])}
            workspace.append(index, painted(index), {"name": str(index)}, None if index == 2 else state, afresh=index == 0)
            if index == 2:
                workspace.keep_state(state)
    return found


def test_a_kill_at_any_moment_leaves_what_another_machine_can_go_on_with(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, dead_after = 0, 10**9
    for name in ("write", "put", "remove"):
        monkeypatch.setattr(Place, name, dying(getattr(Place, name), lambda: dead_after, lambda: count()))

    def count() -> int:
        nonlocal changes
        changes += 1
        return changes

    monkeypatch.setattr(remote, "_has_ended", lambda who: True)
    assert work(place / "whole") == 0
    whole, stored = changes, contents()
    assert whole > 15
    found = []
    for dead_after in range(1, whole + 1):
        memory.store.clear()
        changes = 0
        with pytest.raises(Killed):
            work(place / f"killed{dead_after}")
        dead, dead_after = dead_after, 10**9
        found.append(work(place / f"other{dead}"))
        assert contents() == stored, f"killed at change {dead}"
        dead_after = dead
    assert found == sorted(found), "who is killed later loses less"
    assert set(found) == set(range(FRAMES + 1))


@pytest.mark.parametrize("at", range(1, 2 * FRAMES))
def test_a_kill_while_frames_are_fetched_or_found_again_costs_none(place: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    assert work(place / "whole") == 0
    stored, changes, dead_after = contents(), 0, at

    def count() -> int:
        nonlocal changes
        changes += 1
        return changes

    for name in ("fetch", "write", "put", "remove"):
        monkeypatch.setattr(Place, name, dying(getattr(Place, name), lambda: dead_after, count))
    monkeypatch.setattr(remote, "_has_ended", lambda who: True)
    for _ in range(2):
        changes = 0
        try:
            found = work(place / "other")
        except Killed:
            found = -1
    dead_after = 10**9
    assert found in (-1, FRAMES)
    assert work(place / "other") == FRAMES
    assert contents() == stored


def dying(function: Callable[..., object], dead_after: Callable[[], int], count: Callable[[], int]) -> Callable[..., object]:
    def call(*arguments: object) -> object:
        if count() >= dead_after():
            raise Killed
        return function(*arguments)

    return call


def contents() -> dict[str, object]:
    """All that the store holds but locks; of the journal what it says, put together, that has to be there."""
    files = {name: memory.cat_file(name) for name in sorted(memory.find("/films")) if "/locks/" not in name}
    journal = b"".join(files.pop(name) for name in list(files) if "/journal/" in name)
    return {**files, "journal": named_in_journal(journal)}


def test_the_store_counts_unless_this_disk_is_ahead_of_it(place: Path) -> None:
    assert work(place / "here", until=2) == 0
    # Ahead: painted while the store did not answer.
    with Workspace.open(place / "here", FINGERPRINT) as workspace:
        workspace.append(2, painted(2), {"name": "2"}, {"carried": np.array([2])})
    assert work(place / "here", until=3) == 3
    # Behind: another machine has gone on.
    assert work(place / "there", until=4) == 3
    (place / "here" / "frames" / "000002.tif").write_bytes(b"damaged")
    assert work(place / "here") == 4
    # Another job altogether.
    assert work(place / "here", {"the input": "2"}, until=1) == 0
    assert [name for name in contents() if "/frames/" in name] == ["/films/out.mkv.vidstyle/frames/000000.tif"]


def test_a_workspace_in_a_workspace_has_a_mirror_of_its_own_and_goes_with_it(place: Path) -> None:
    whole = mirror()
    with mirroring(lambda directory: whole.of(directory, place / "out")), Workspace.open(place / "out", FINGERPRINT) as workspace:
        with Workspace.open(place / "out" / "units" / "000001", FINGERPRINT) as unit:
            unit.append(0, painted(0), {}, {})
            assert memory.exists("/films/out.mkv.vidstyle/units/000001/frames/000000.tif")
        assert whole.of(place / "elsewhere", place / "out") is None
        (place / "out" / "journal.jsonl").write_bytes((place / "out" / "units" / "000001" / "journal.jsonl").read_bytes())
        (place / "out" / "frames" / "000000.tif").write_bytes((place / "out" / "units" / "000001" / "frames" / "000000.tif").read_bytes())
        whole.match(place / "out")  # of what was put there by other ways than frame by frame
        assert memory.exists("/films/out.mkv.vidstyle/frames/000000.tif")
        workspace.remove()
    assert not memory.find("/films")


def test_what_is_damaged_in_the_store_is_made_anew(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert work(place / "here") == 0
    sound = contents()
    memory.pipe_file("/films/out.mkv.vidstyle/frames/000004.tif", b"x" * len(sound["/films/out.mkv.vidstyle/frames/000004.tif"]))
    assert work(place / "there") < FRAMES
    assert "is damaged" in caplog.text
    assert contents() == sound
    last = sorted(memory.find("/films/out.mkv.vidstyle/journal"))[-1]
    memory.pipe_file(last, b"torn")
    assert work(place / "elsewhere") < FRAMES
    assert contents() == sound


def test_a_damaged_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    put_into_memory("clip.mkv")
    got, whole = [], type(memory).get_file

    def get_file(self: object, path: str, to: str, **named: object) -> None:
        got.append(path)
        whole(self, path, to, **named)
        if len(got) == 1:
            Path(to).write_bytes(b"half")

    monkeypatch.setattr(type(memory), "get_file", get_file)
    Place.of("memory://films/clip.mkv").fetch(place / "copy.mkv", 4 + len(Path("clip.mkv").read_bytes()) - 4)
    assert Path("copy.mkv").read_bytes() == Path("clip.mkv").read_bytes()
    assert len(got) == 2
    with pytest.raises(MediaError, match="bytes came of 5"):
        Place.of("memory://films/clip.mkv").fetch(place / "copy.mkv", 5)
    assert sorted(path.name for path in place.glob("copy*")) == ["copy.mkv"]
