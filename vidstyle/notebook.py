"""How results show themselves in a notebook: what Jupyter asks an object for, without Jupyter."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vidstyle.errors import VidstyleError
from vidstyle.media import kind_of, open_source
from vidstyle.media.stills import encode
from vidstyle.pixels import resized
from vidstyle.settings import RunSettings
from vidstyle.words import legible

__all__ = ["Painting", "html_of"]

_MOST_INLINE = 8 << 20
"""Bytes of a film or picture that are put into the notebook's page as they are: it is saved with them."""
_FILMS: Final = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}
_PICTURES: Final = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"}
"""What browsers show, by its ending."""
_COLUMNS, _ACROSS = 6, 960
"""Frames of a strip at most, and its width in pixels."""


class Painting(np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
    """A picture, (H, W, 3) uint8 RGB, that a notebook shows; otherwise an array like any other."""

    def _repr_png_(self) -> bytes | None:
        """A PNG, unless this has become something else than a picture."""
        if self.ndim != 3 or self.shape[2] != 3 or self.dtype != np.uint8 or not self.size:
            return None
        return encode(np.asarray(self), Path("painting.png"))


def html_of(path: Path, caption: str, run: RunSettings | None = None) -> str:
    """A film, picture, directory or sequence for a notebook: itself where it is small and browsers know its kind, else some frames of it.

    Args:
        path: what to show.
        caption: what stands beneath.
        run: which part of it.
    """
    try:
        shown = _shown(path, run or RunSettings())
    except (VidstyleError, OSError) as error:  # it may have been moved since, and what there is to say of it is still true
        shown, caption = "", f"{caption} ({error})"
    return f"<figure>{shown}<figcaption>{html.escape(legible(caption))}</figcaption></figure>"


def _shown(path: Path, run: RunSettings) -> str:
    suffix = path.suffix.lower()
    if path.is_file() and path.stat().st_size <= _MOST_INLINE:
        if suffix in _FILMS:
            poster = next(_some(path, 1, run))  # stands there too where a browser does not know the codec
            return (
                f'<video controls loop style="max-width: 100%" poster="{_url(_jpeg(poster), "image/jpeg")}" '
                f'src="{_url(path.read_bytes(), _FILMS[suffix])}"></video>'
            )
        if suffix in _PICTURES:
            return _image(_url(path.read_bytes(), _PICTURES[suffix]))
    pictures = list(_some(path, _COLUMNS, run))
    return _image(_url(_jpeg(_strip(pictures)), "image/jpeg"))


def _some(path: Path, count: int, run: RunSettings) -> Iterator[npt.NDArray[np.uint8]]:
    """So many frames, from its beginning on, evenly spread, (H, W, 3) uint8 RGB; fewer where there are fewer."""
    with open_source(path, run) as source:
        info = source.info
        if kind_of(path) != "video":
            total = info.frames or 1
            for index in sorted({total * number // count for number in range(count)}):
                yield next(source.frames(index)).rgb
            return
    length = 0.0 if info.duration is None else float(info.duration)
    for number in range(count if length else 1):  # a film finds a moment sooner than a number
        at = f"{length * number / count:.3f}" if number else None
        with open_source(path, RunSettings(start=at)) as source:
            frame = next(source.frames(), None)
            if frame is not None:
                yield frame.rgb


def _strip(pictures: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Pictures of one size side by side, as wide as a page at most."""
    height, width = pictures[0].shape[:2]
    factor = min(_ACROSS / (width * len(pictures)), 1.0)
    size = max(round(height * factor), 1), max(round(width * factor), 1)
    return np.hstack([resized(picture, size) for picture in pictures])


def _jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    return encode(picture, Path("strip.jpg"))


def _image(url: str) -> str:
    return f'<img style="max-width: 100%" src="{url}">'


def _url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
