"""Nothing that is read is written over, whatever flags name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import make_clip, moving
from tests.jobs import write_png
from vidstyle import cli
from vidstyle.errors import UsageError
from vidstyle.media import check_apart

FLAGS = ("--iterations", "1", "--first-iterations", "1", "-q")


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Films, pictures and a directory of pictures, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("film.mkv", "film.side.mp4"):
        make_clip(tmp_path / name, 3)
    make_clip(tmp_path / "film.gif", 3, codec="gif", pix_fmt="rgb8", rate=10)
    for directory in ("photos", "clips"):
        (tmp_path / directory).mkdir()
    for name in ("style.png", "photo.png", "x.preview.png", "photos/a.png", "photos/b.png", "photos/style.png"):
        write_png(tmp_path / name, moving(len(name)))
    for number in (10, 11):
        write_png(tmp_path / "photos" / f"shot.{number}.png", moving(number))
    make_clip(tmp_path / "clips" / "a.mkv", 3)
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
    ],
)
def test_no_input_is_written_over(words: str, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(media)
    assert cli.main([*words.split(), *FLAGS]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vidstyle: error: ")
    assert said.endswith("[V10]\n")
    assert content(media) == before


def test_what_is_apart_is_let_through(media: Path) -> None:
    (media / "new").mkdir()
    check_apart(
        {"OUTPUT": media / "new", "--log-json": media / "photos" / "log.jsonl", "--share": None}, [media / "photos", media / "style.png"]
    )
    check_apart({"OUTPUT": media / "photos" / "painted"}, [media / "photos"])
    check_apart({"OUTPUT": media / "none" / "out.mp4"}, [media / "film.mkv", media / "missing"])
    with pytest.raises(UsageError, match="is OUTPUT too"):
        check_apart({"OUTPUT": media / "a", "--share": media / "clips" / ".." / "a"}, [])
