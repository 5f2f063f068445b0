"""How amounts and names are said."""

from __future__ import annotations

import re

__all__ = ["duration", "frames", "gigabytes", "legible"]

_NO_LETTER = re.compile("[\udc80-\udcff]")
"""What Python reads bytes of a file name as that are in no encoding."""


def duration(seconds: float, exactly: bool = True) -> str:
    """`8.1 s`, `3 min 20 s`, `2 h 5 min`; of what is only known roughly `8 s`, `3 min`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if exactly else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if exactly:
        return f"{minutes} min {rest} s"
    return f"{round(seconds / 60)} min"


def frames(count: int) -> str:
    """`1 frame`, `12 frames`."""
    return f"{count} frame" if count == 1 else f"{count} frames"


def gigabytes(count: float) -> str:
    """`1.2 GB` of so many bytes, `35 MB` of fewer."""
    return f"{count / 1e9:.1f} GB" if count >= 95e7 else f"{count / 1e6:.0f} MB"


def legible(text: str) -> str:
    """The text as it can be written anywhere: a byte of a file name that is no letter becomes `\\xff`, half a letter its number."""
    shown = _NO_LETTER.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return shown.encode("utf-8", "backslashreplace").decode()
