from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidstyle.errors import UsageError
from vidstyle.numbered import FrameNames, FrameRange


def names_of(path: Path | str) -> FrameNames:
    names = FrameNames.of(Path(path))
    assert names is not None
    return names


def make(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).touch()


@pytest.mark.parametrize(
    ("pattern", "number", "name"),
    [
        ("shot.%04d.exr", 7, "shot.0007.exr"),
        ("shot.%04d.exr", 12345, "shot.12345.exr"),
        ("shot.####.png", 1001, "shot.1001.png"),
        ("##.tif", 5, "05.tif"),
        ("a_%d.jpg", 12, "a_12.jpg"),
        ("a%01d", 3, "a3"),
    ],
)
def test_a_number_is_filled_in_and_found_again(pattern: str, number: int, name: str) -> None:
    names = names_of(pattern)
    assert names.name(number) == name
    assert names.number(name) == number


@pytest.mark.parametrize(
    "name", ["shot.7.exr", "shot.00007.exr", "shot.0007.png", "shot.-007.exr", "ashot.0007.exr", "shot..exr", "shot.٠٠٠٧.exr"]
)
def test_other_names_are_no_frames(name: str) -> None:
    assert names_of("shot.%04d.exr").number(name) is None


@given(st.integers(0, 10**7), st.integers(1, 8), st.text(alphabet="ab.0", max_size=3), st.text(alphabet="xy.9", max_size=3))
def test_there_and_back(number: int, digits: int, before: str, after: str) -> None:
    names = FrameNames(Path("d"), before, digits, after)
    assert names.number(names.name(number)) == number


@pytest.mark.parametrize("name", ["shot.png", "a#1.png", "100%.png", "%04d_%04d.png", "a%4d.png", "a%00d.png"])
def test_most_names_are_those_of_one_file(name: str) -> None:
    assert FrameNames.of(Path(name)) is None


def test_a_file_that_really_has_such_a_name_is_that_file(tmp_path: Path) -> None:
    make(tmp_path, "take ##.png")
    assert FrameNames.of(tmp_path / "take ##.png") is None


class TestChosen:
    def test_all_that_are_there_in_the_order_of_numbers(self, tmp_path: Path) -> None:
        make(tmp_path, "s.9.png", "s.10.png", "s.11.png", "s.011.png", "s.12.jpg", "other.txt")
        (tmp_path / "s.12.png").mkdir()
        assert names_of(tmp_path / "s.%d.png").chosen(None) == range(9, 12)

    def test_a_range(self, tmp_path: Path) -> None:
        make(tmp_path, *(f"s.{number:04}.png" for number in (1, *range(5, 20))))
        assert names_of(tmp_path / "s.####.png").chosen(FrameRange(6, 8)) == range(6, 9)
        assert names_of(tmp_path / "s.####.png").chosen(FrameRange(1, 1)) == range(1, 2)

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        make(tmp_path, *(f"s.{number:04}.png" for number in (1001, 1002, 1004, 1008)))
        names = names_of(tmp_path / "s.%04d.png")
        with pytest.raises(UsageError, match=r"1001 to 1008 4 are missing: 1003, 1005-1007; .*--frames"):
            names.chosen(None)
        with pytest.raises(UsageError, match=r"1000 to 1002 1 is missing: 1000;"):
            names.chosen(FrameRange(1000, 1002))
        with pytest.raises(UsageError, match=r"2000 to 2040 41 are missing: 2000-2040;"):
            names.chosen(FrameRange(2000, 2040))

    def test_many_gaps_are_counted(self, tmp_path: Path) -> None:
        make(tmp_path, *(f"s{number}.png" for number in range(0, 40, 2)))
        with pytest.raises(UsageError, match="1, 3, 5, 7, 9 and 14 further gaps"):
            names_of(tmp_path / "s%d.png").chosen(None)

    @pytest.mark.parametrize(
        ("there", "hint"),
        [("s.0007.png", r"s\.%04d\.png"), ("s.7.png", r"s\.%d\.png"), ("s.1001.png", r"s\.%04d\.png"), ("t.png", "check the name")],
    )
    def test_none_at_all(self, tmp_path: Path, there: str, hint: str) -> None:
        make(tmp_path, there)
        with pytest.raises(UsageError, match=rf"no file such as s\.00001\.png.*{hint}"):
            names_of(tmp_path / "s.%05d.png").chosen(None)

    def test_no_directory(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no directory"):
            names_of(tmp_path / "gone" / "s.%05d.png").chosen(None)


@pytest.mark.parametrize(("text", "first", "last"), [("1001-1040", 1001, 1040), ("7", 7, 7), ("0-0", 0, 0)])
def test_ranges(text: str, first: int, last: int) -> None:
    assert FrameRange.parse(text) == FrameRange(first, last)


@pytest.mark.parametrize("text", ["", "1-", "-3", "a-b", "1-2-3", "9-3", "1:4"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"range|before it begins"):
        FrameRange.parse(text)


def test_too_few_digits_are_told_with_those_that_suffice() -> None:
    names_of("s.%04d.png").check_digits(9999)
    names_of("s.%d.png").check_digits(10**6)
    with pytest.raises(UsageError, match=r"s\.%03d\.png: too few digits for frame 1040; write s\.%04d\.png"):
        names_of("s.###.png").check_digits(1040)


def test_a_name_for_what_is_made_of_all() -> None:
    assert [names_of(name).stem for name in ("shot.%04d.exr", "shot_%d.png", "####.png")] == ["shot", "shot", "frames"]
