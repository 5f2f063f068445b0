"""A contact sheet: pictures in rows and columns, with words beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vidstyle.words import legible

__all__ = ["Row", "contact_sheet"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

_PAPER: Final = (24, 25, 28)
_INK: Final = (236, 236, 232)
_FAINT: Final = (160, 163, 168)
_MARGIN, _GAP, _THUMBNAIL = 28, 10, 96
_TITLE, _TEXT = 26, 16
"""Sizes of type, in pixels."""
_LEADING = 1.45
"""Distance of lines over the size of their type."""


@dataclass(frozen=True, slots=True)
class Row:
    """Pictures of one kind, one a column."""

    label: str
    pictures: Sequence[Picture]


def contact_sheet(
    title: str, lines: Sequence[str], rows: Sequence[Row], heads: Sequence[str], thumbnails: Sequence[Picture] = ()
) -> Picture:
    """Lays pictures out on a dark page.

    Args:
        title: above everything, wrapped where it is too long.
        lines: what there is to say, below the pictures, wrapped too; the first one is bright.
        rows: from top to bottom, with as many pictures each as there are `heads`, all of one size.
        heads: above the columns.
        thumbnails: small pictures beside the title, such as the styles.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = rows[0].pictures[0].shape[:2]
    title, lines = legible(title).translate(_INSTEAD), [legible(text).translate(_INSTEAD) for text in lines]
    head_font, font = ImageFont.load_default(_TITLE), ImageFont.load_default(_TEXT)
    line = round(_TEXT * _LEADING)
    small = [_thumbnail(picture) for picture in thumbnails]
    beside = sum(one.width + _GAP for one in small)
    across = max(len(heads) * (width + _GAP) - _GAP, beside + _LEAST_TITLE, _LEAST_ACROSS)
    titles, title_line = _wrapped(title, head_font, across - beside), round(_TITLE * _LEADING)
    wrapped = [(part, _FAINT if number else _INK) for number, text in enumerate(lines) for part in _wrapped(text, font, across)]
    top = max([title_line * len(titles), *(one.height for one in small)])
    pictures_from = _MARGIN + top + _GAP + line
    words_from = pictures_from + len(rows) * (line + height + _GAP) + _GAP
    page = Image.new("RGB", (across + 2 * _MARGIN, words_from + len(wrapped) * line + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(page)
    for number, text in enumerate(titles):
        draw.text((_MARGIN + beside, _MARGIN + number * title_line), text, _INK, head_font)
    place = _MARGIN
    for one in small:
        page.paste(one, (place, _MARGIN))
        place += one.width + _GAP
    for column, head in enumerate(heads):
        draw.text((_MARGIN + column * (width + _GAP), pictures_from - line), _shortened(legible(head), font, width), _FAINT, font)
    for number, row in enumerate(rows):
        y = pictures_from + number * (line + height + _GAP)
        draw.text((_MARGIN, y), legible(row.label), _INK, font)
        for column, picture in enumerate(row.pictures):
            page.paste(Image.fromarray(picture), (_MARGIN + column * (width + _GAP), y + line))
    for number, (text, ink) in enumerate(wrapped):
        draw.text((_MARGIN, words_from + number * line), text, ink, font)
    return np.asarray(page, dtype=np.uint8)


_INSTEAD = str.maketrans({"×": "x", "–": "-", "…": "..."})
"""What the font has not, and something like it that it has."""
_LEAST_ACROSS = 560
"""Pixels of a page at least, so that words beside a single small picture are not a column of syllables."""
_LEAST_TITLE = 300
"""Pixels for the title beside the thumbnails."""


def _thumbnail(picture: Picture) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((2 * _THUMBNAIL, _THUMBNAIL))
    return image


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, across: int) -> list[str]:
    """The text in lines no wider than `across`; a word that is wider by itself, such as a long file name, is broken anywhere."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > across:
            lines.append("")
            longer = word
        while len(fits := _shortened(longer, font, across)) < len(longer) and fits:
            lines[-1:] = [fits, ""]
            longer = longer[len(fits) :]
        lines[-1] = longer
    return lines


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, across: int) -> str:
    """The text, cut where it would run into the next column."""
    while text and font.getlength(text) > across:
        text = text[:-1]
    return text
