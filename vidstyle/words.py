"""How amounts are said."""

from __future__ import annotations

__all__ = ["duration", "frames", "gigabytes"]


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
