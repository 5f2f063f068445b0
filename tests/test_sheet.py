"""The contact sheet: what stands where."""

import numpy as np
import pytest

from vidstyle.sheet import Row, contact_sheet

RED, GREEN = ((np.zeros((40, 60, 3), np.uint8) + np.array(color, np.uint8)) for color in ((200, 0, 0), (0, 200, 0)))


def places(page, color):
    """Top, bottom, left and right of the pixels of a colour."""
    rows, columns = np.nonzero((page == color).all(axis=2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_pictures_stand_below_each_other_in_columns_and_unchanged():
    page = contact_sheet("title", ["words"], [Row("one", [RED, GREEN]), Row("other", [GREEN, RED])], ["a", "b"])
    assert page.dtype == np.uint8
    for color in ((200, 0, 0), (0, 200, 0)):
        assert (page == color).all(axis=2).sum() == 2 * 40 * 60
    top, bottom, left, right = places(page, (200, 0, 0))
    assert (top, bottom, left, right) == places(page, (0, 200, 0))  # on either diagonal
    assert bottom - top > 2 * 40
    assert right - left > 2 * 60


def test_a_sheet_of_one_picture_is_wide_enough_for_its_words():
    page = contact_sheet("title", ["word " * 60], [Row("one", [RED])], [""], [GREEN])
    assert page.shape[1] > 500
    assert (page[:, -20:] == page[0, 0]).all()  # nothing runs into the margin


def test_long_words_make_the_page_longer():
    short, long = (contact_sheet("title", [text], [Row("one", [RED] * 4)], [""] * 4) for text in ("word", "word " * 200))
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == short.shape[1]


def test_a_long_title_makes_the_page_no_wider():
    long, short = (contact_sheet(title, ["words"], [Row("one", [RED] * 4)], [""] * 4, [GREEN]) for title in (f"{'x' * 300}.mp4 again", "x"))
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0]
    for page in (long, short):
        assert (page[:, -20:] == page[0, 0]).all()


def test_the_first_line_is_bright_where_it_is_wrapped_too():
    def bright(*lines):
        page = contact_sheet("t", lines, [Row("one", [RED])], [""])
        return np.flatnonzero((page == 236).any(axis=(1, 2)) & (page[:, :, 0] > 230).any(axis=1)).max()

    assert bright("word " * 60, "more") > bright("word", "more " * 60) + 20


@pytest.mark.parametrize("text", ["1920×1080", "1–2 …"])
def test_what_the_font_has_not_is_written_otherwise(text):
    """A glyph that is missing would be a box."""
    page, plain = (
        contact_sheet("t", [words], [Row("one", [RED])], [""]) for words in (text, text.translate({215: "x", 0x2013: "-", 0x2026: "..."}))
    )
    np.testing.assert_array_equal(page, plain)
