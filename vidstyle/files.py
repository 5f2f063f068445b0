"""What the standard library lacks to keep files whole."""

from __future__ import annotations

import os

__all__ = ["sync_directory"]


def sync_directory(path: str | os.PathLike[str]) -> None:
    """A rename is only on disk once its directory is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
