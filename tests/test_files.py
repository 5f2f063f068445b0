"""Nothing that is read is written over, whatever flags name it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.clips import make_clip, moving
from tests.jobs import write_png
from vidstyle import cli
from vidstyle.cli import evaluate
from vidstyle.errors import UsageError
from vidstyle.joblog import begun_log
from vidstyle.media import check_apart
from vidstyle.pipeline import workspace_path
from vidstyle.words import legible
from vidstyle.workspace import Workspace

FLAGS = ("--iterations", "1", "--first-iterations", "1", "-q")


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Films, pictures and a directory of pictures, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("film.mkv", "film.side.mp4"):
        make_clip(tmp_path / name, 3)
    make_clip(tmp_path / "film.gif", 3, codec="gif", pix_fmt="rgb8", rate=10)
    for directory in ("photos", "clips", "kept.mkv.vidstyle/frames", ".kept.old", "p.%04d.png.vidstyle"):
        (tmp_path / directory).mkdir(parents=True)
    for name in ("style.png", "photo.png", "x.preview.png", "photos/a.png", "photos/b.png", "photos/style.png",
                 "kept.mkv.vidstyle/frames/000000.tif", ".kept.old/1.png"):  # fmt: skip
        write_png(tmp_path / name, moving(len(name)))
    for number in (10, 11):
        write_png(tmp_path / "photos" / f"shot.{number}.png", moving(number))
    make_clip(tmp_path / "clips" / "a.mkv", 3)
    make_clip(tmp_path / ".kept.part.mkv", 3)
    (tmp_path / "style.link").symlink_to("kept.mkv.vidstyle/frames/000000.tif")
    (tmp_path / "link.log").symlink_to("film.mkv")
    (tmp_path / "own.toml").write_text("[content]\nweight = 4.0\n")
    return tmp_path


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        "film.mkv style.png -o out.mkv --log-json film.mkv",
        "film.mkv style.png -o out.mkv --log-json style.png",
        "film.mkv style.png -o out.mkv --log-json link.log",
        "film.mkv style.png -o out.mkv --log-json out.mkv",
        "film.mkv style.png -o film.mkv -y",
        "film.mkv style.png -o ./clips/../film.mkv -y",
        "film.mkv style.png -o style.png -y",
        "film.mkv style.png -o out.mkv --mask photo.png --log-json photo.png",
        "film.mkv style.png -o out.mkv --init photo.png --share photo.png -y",
        "clips style.png -o painted --batch --log-json clips/a.mkv",
        "clips style.png -o painted --batch --log-json style.png",
        "photos/a.png photos/style.png -o photos -y",
        "film.mkv photos/style.png -o photos -y",
        "film.side.mp4 style.png -o film.mkv --compare side -y",
        "film.gif style.png -o g.mkv --share film.gif -y",
        "film.mkv style.png -o a.gif --share a.gif -y",
        "x.preview.png style.png -o x.mp4 --preview",
        "film.mkv style.png -o photo.png --preview",
        "film.mkv photo.png -o photo.png --preview -y",
        "photos style.png -o photos/c.png --preview",
        "photos style.png -o .",
        "photos style.png -o photos/c.ppm --log-json photos/c.tga",
        "film.mkv style.png -o out.mkv --config own.toml --log-json own.toml",
        "photos/shot.%d.png style.png -o photos/shot.##.png -y",
        "film.mkv photos/shot.10.png -o photos/shot.%d.png -y",
        "photos/shot.%d.png style.png -o photos/shot.12.png -y",
        "photos/shot.%d.png style.png -o painted.%d.png --log-json photos/shot.11.png",
        "film.mkv style.png -o out.mkv --mask photos/shot.%d.png --log-json photos/shot.10.png",
        "film.mkv style.png -o out.mkv --preset own.toml --log-json own.toml",
        "clips style.png -o painted --batch --config own.toml --log-json own.toml",
        "clips style.png -o painted --batch --init photo.png --log-json photo.png",
        "kept.mkv.vidstyle/frames style.png -o kept.mkv -y",
        "kept.mkv.vidstyle/frames/%06d.tif style.png -o kept.mkv",
        "film.mkv kept.mkv.vidstyle/frames/000000.tif -o kept.mkv",
        "film.mkv style.link -o kept.mkv",
        "film.mkv style.png -o kept.mkv --mask kept.mkv.vidstyle/frames",
        ".kept.part.mkv style.png -o kept.mkv",
        ".kept.old style.png -o kept",
        "film.mkv .kept.old/1.png -o kept",
        "film.mkv style.png -o out.mkv --log-json .out.part.mkv",
        "film.mkv style.png -o out.mkv --log-json out.mkv.vidstyle/journal.jsonl",
        "film.mkv style.png -o kept.mkv --log-json kept.mkv.vidstyle/journal.jsonl",
        "film.mkv style.png -o p.####.png --log-json p.%04d.png.vidstyle/journal.jsonl",
        "film.mkv style.png -o out --share .out.partial/x.gif",
    ],
)
def test_no_input_is_written_over(words: str, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(media)
    assert cli.main([*words.split(), *FLAGS]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vidstyle: error: ")
    assert said.endswith("[V10]\n")
    assert content(media) == before


@pytest.mark.parametrize(
    ("words", "unfinished"),
    [
        ("-o out.mkv", ".out.part.mkv"),
        ("-o out.png", ".out.png.partial"),
        ("-o out.mkv --share out.gif", ".out.gif.partial"),
        ("-o out.mkv --report", ".out.mkv.html.partial"),
    ],
)
def test_a_directory_where_what_is_unfinished_would_be_is_refused_before_the_work(
    words: str, unfinished: str, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (media / unfinished).mkdir()
    assert cli.main(["x.preview.png" if "png" in words else "film.mkv", "style.png", *words.split(), *FLAGS]) == 2
    assert f"{unfinished}: is needed to write " in capsys.readouterr().err
    assert not list(media.glob("out*"))


@pytest.mark.parametrize("there", [False, True], ids=["dangling", "leads to a file"])
@pytest.mark.parametrize("output", ["link.mkv", "link.png"])
def test_an_output_that_is_a_link_stays_one(output: str, there: bool, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place := media / "elsewhere").mkdir()
    (media / output).symlink_to(place / f"out{Path(output).suffix}")
    if there:
        (place / f"out{Path(output).suffix}").write_text("before")
    words = ["film.mkv" if output == "link.mkv" else "x.preview.png", "style.png", "-o", output, *FLAGS]
    if there:
        assert cli.main(words) == 2
        assert "exists already; give -y" in capsys.readouterr().err
        words.append("-y")
    assert cli.main(words) == 0
    assert (media / output).is_symlink()
    assert [file.name for file in place.iterdir()] == [f"out{Path(output).suffix}"]
    assert (place / f"out{Path(output).suffix}").stat().st_size > 100


def test_an_output_that_leads_to_a_device_is_refused(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (media / "link.mkv").symlink_to("/dev/null")
    assert cli.main(["film.mkv", "style.png", "-o", "link.mkv", "-y", *FLAGS]) == 2
    assert "link.mkv: is no ordinary file and cannot be replaced" in capsys.readouterr().err


@pytest.mark.parametrize("hard", [False, True], ids=["symlink", "hard link"])
@pytest.mark.parametrize(("output", "unfinished"), [("out.mkv", ".out.part.mkv"), ("out.png", ".out.png.partial")])
def test_an_unfinished_output_s_name_that_is_a_link_costs_nothing(output: str, unfinished: str, hard: bool, media: Path) -> None:
    (media / unfinished).hardlink_to("photo.png") if hard else (media / unfinished).symlink_to("photo.png")
    before = (media / "photo.png").read_bytes()
    source = "film.mkv" if output == "out.mkv" else "x.preview.png"
    assert cli.main([source, "style.png", "-o", output, *FLAGS]) == 0
    assert (media / "photo.png").read_bytes() == before
    assert not (media / output).is_symlink()
    assert not (media / unfinished).is_symlink()


@pytest.mark.parametrize(
    "words", ["film.mkv style.png -o loop.mkv", "film.mkv style.png -o out.mkv --log-json loop.mkv", "clips style.png -o loop.mkv --batch"]
)
def test_a_link_that_leads_to_itself_is_refused(words: str, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (media / "loop.mkv").symlink_to("loop.mkv")
    assert cli.main([*words.split(), "-y", *FLAGS]) == 2
    assert capsys.readouterr().err == (
        "vidstyle: error: loop.mkv: is a link that leads back to itself; remove it, or give another name [V10]\n"
    )


@pytest.mark.parametrize("more", [(), ("--compare", "side", "--report", "page.html")], ids=["alone", "with what shows it"])
def test_a_slash_at_the_end_is_a_directory_of_frames_whatever_its_name(more: tuple[str, ...], media: Path) -> None:
    words = ["film.mkv", "style.png", "-o", "out.v2/", *more, *FLAGS]
    assert cli.main(words) == 0
    assert sorted(file.name for file in (media / "out.v2").iterdir()) == [f"frame_00000{number}.png" for number in range(3)]
    assert cli.main([*words, "-y"]) == 0


def test_a_batch_keeps_the_names_of_directories_with_a_dot(media: Path) -> None:
    (media / "photos").rename(media / "clips" / "shot.v2")
    assert cli.main(["clips", "style.png", "-o", "painted", "--batch", *FLAGS]) == 0
    assert len(list((media / "painted" / "shot.v2").iterdir())) == 5


def test_work_that_goes_is_told_even_quietly(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = ["photo.png", "style.png", "-o", "new.png", "-y", "--keep-workspace", *FLAGS]
    assert cli.main(job) == 0
    assert cli.main(job) == 0
    assert capsys.readouterr().err == ""
    assert cli.main([*job, "--style-weight", "3"]) == 0
    assert capsys.readouterr().err == "vidstyle: warning: new.png.vidstyle: the settings changed since that run, so the job starts afresh\n"


@pytest.mark.parametrize("aside", [".new.old", ".new.partial"])
def test_what_is_not_vidstyles_own_is_not_deleted_for_a_directory_of_frames(
    aside: str, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (media / aside).mkdir()
    (media / aside / "thesis.txt").write_text("three years")
    before = content(media)
    assert cli.main(["film.mkv", "style.png", "-o", "new", *FLAGS]) == 2
    assert f"{aside}: is needed to write new" in capsys.readouterr().err
    assert content(media) == before


@pytest.mark.parametrize("empty", [True, False])
def test_what_a_linked_directory_leads_to_is_replaced(empty: bool, media: Path) -> None:
    (media / "disk").mkdir()
    (media / "new").symlink_to("disk")
    if not empty:
        write_png(media / "disk" / "old.png", moving(0))
    for _ in range(2):
        assert cli.main(["photo.png", "style.png", "-o", "new", "-y", *FLAGS]) == 0
        assert (media / "new").is_symlink()
        assert [path.name for path in (media / "disk").iterdir()] == ["photo.png"]
    assert not list(media.glob(".disk*")) + list(media.glob(".new*")) + list(media.glob("*.vidstyle/job.json"))


def test_a_directory_on_which_a_disk_is_mounted_is_refused_before_the_work(
    media: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (media / "new").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path).name == "new")
    assert cli.main(["film.mkv", "style.png", "-o", "new", *FLAGS]) == 2
    assert "name a directory in it, new/frames [V10]" in capsys.readouterr().err


def test_a_workspace_that_is_a_link_is_used_to_the_end(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (media / "large").mkdir()
    (media / "out.mkv.vidstyle").symlink_to("large")
    (media / "bad.pth").write_bytes(b"junk")
    job = ["film.mkv", "style.png", "-o", "out.mkv", *FLAGS]
    assert cli.main([*job, "--weights", "bad.pth"]) == 1
    assert (media / "out.mkv.vidstyle").is_symlink()
    assert cli.main([*job, "--keep-workspace"]) == 0
    assert list((media / "large" / "frames").iterdir())
    assert cli.main([*job, "-y"]) == 0
    assert not (media / "out.mkv.vidstyle").is_symlink()
    assert list((media / "large").iterdir()) == []


@pytest.mark.parametrize(
    ("output", "other"), [("out.mkv", "link.mkv"), ("link.mkv", "out.mkv"), ("p.%04d.png", "p.####.png"), ("out", "link")]
)
def test_an_output_is_worked_on_under_one_name_at_a_time(output: str, other: str, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (media / "link.mkv").symlink_to("out.mkv")
    (media / "link").symlink_to("out")
    with Workspace.open(workspace_path(Path(output)), {}):
        before = content(media)
        assert cli.main(["film.mkv", "style.png", "-o", other, *FLAGS]) == 1
        assert ".vidstyle: another vidstyle is at work here; wait for it or choose another output [V40]\n" in capsys.readouterr().err
        assert content(media) == before
    assert cli.main(["film.mkv", "style.png", "-o", other, *FLAGS]) == 0  # the lock of what has ended is none
    assert not list(media.glob("*.vidstyle/job.json"))


@pytest.mark.parametrize(
    "flags", ["-o {long}.png", "-o {long}.mkv", "-o {long}", "-o out.mkv --share {long}.gif", "-o out.mkv --log-json {longer}"]
)
def test_names_that_leave_no_room_for_what_is_unfinished_are_refused(flags: str, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(media)
    words = flags.format(long="n" * 249, longer="n" * 300).split()
    assert cli.main(["x.preview.png" if ".png" in flags else "film.mkv", "style.png", *words, *FLAGS]) == 2
    said = capsys.readouterr().err
    assert "too long for this disk; " in said
    assert said.endswith("[V10]\n")
    assert len(said.splitlines()) == 1
    assert content(media) == before


@pytest.mark.parametrize("words", ["{long}.mkv style.png -o out.mkv", "film.mkv {long}.png -o out.mkv"])
def test_inputs_whose_names_are_too_long_are_told(words: str, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words.format(long="n" * 300).split(), *FLAGS]) == 2
    assert capsys.readouterr().err.endswith("the name is too long for this disk; give a shorter one [V10]\n")


@pytest.mark.parametrize("flag", ["--config", "--preset", "--weights", "--mask", "--init", "--detail-style", "--flow-weights", "--flow"])
def test_no_flag_reads_what_never_ends(flag: str, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (media / "zero.toml").symlink_to("/dev/zero")
    more = ["--flow", "raft"] if flag == "--flow-weights" else []
    assert cli.main(["film.mkv", "style.png", "-o", "out.mkv", flag, "zero.toml", *more, *FLAGS]) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("vidstyle: error: ")
    assert len(said.splitlines()) == 1


def test_names_in_no_encoding_are_written_as_numbers(media: Path) -> None:
    for name, new in (("film.mkv", b"b\xff.mkv"), ("style.png", b"s\xe9.png")):
        (media / name).rename(os.fsdecode(new))
    words = [os.fsdecode(b"b\xff.mkv"), os.fsdecode(b"s\xe9.png"), "-o", os.fsdecode(b"o\xfe"), "--log-json", "log.jsonl", *FLAGS]
    assert cli.main([*words, "--report", "page.html"]) == 0
    page = (media / "page.html").read_text(encoding="utf-8")
    assert "b\\xff.mkv" in page
    assert "s\\xe9.png" in page
    lines = [json.loads(line) for line in (media / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["output"] for line in lines} == {"o\\xfe"}
    assert cli.main([words[0], words[1], "--preview", "-o", "sheet.png", "--preset", "draft", "--size", "32", "-q"]) == 0
    assert evaluate.main([words[0], words[3], "--style", words[1], "--json", "r.json", "--report", "eval.html", "-q"]) == 0
    told = json.loads((media / "r.json").read_text(encoding="utf-8"))
    assert (told["source"], told["result"], told["styles"]) == ("b\\xff.mkv", "o\\xfe", ["s\\xe9.png"])
    assert "b\\xff.mkv" in (media / "eval.html").read_text(encoding="utf-8")


def test_lines_about_an_output_with_such_a_name_are_known_again(media: Path) -> None:
    output, log = media / os.fsdecode(b"o\xfe.mkv"), media / "log.jsonl"
    for _ in range(2):
        with begun_log(log, output, append=True) as file:
            file.write(json.dumps({"output": legible(str(output))}).encode() + b"\n")
    assert len(log.read_text().splitlines()) == 1


def test_two_jobs_with_one_log_do_not_write_over_each_other(media: Path) -> None:
    log = media / "log.jsonl"
    with begun_log(log, media / "a.mkv", append=False) as one:
        one.write(b"before\n")
        with begun_log(log, media / "b.mkv", append=False) as other:
            for number in range(3):
                one.write(b"one %d\n" % number)
                other.write(b"other %d\n" % number)
    assert log.read_text().splitlines() == [f"{who} {number}" for number in range(3) for who in ("one", "other")]


def test_what_is_apart_is_let_through(media: Path) -> None:
    (media / "new").mkdir()
    check_apart(
        {"OUTPUT": media / "new", "--log-json": media / "photos" / "log.jsonl", "--share": None}, [media / "photos", media / "style.png"]
    )
    check_apart({"OUTPUT": media / "photos" / "painted"}, [media / "photos"])
    check_apart({"OUTPUT": media / "none" / "out.mp4"}, [media / "film.mkv", media / "missing"])
    with pytest.raises(UsageError, match="is OUTPUT too"):
        check_apart({"OUTPUT": media / "a", "--share": media / "clips" / ".." / "a"}, [])
