"""vidstyle: turns film into painting.

    import vidstyle

    image = vidstyle.stylize_image("photo.jpg", "style.jpg")
    vidstyle.stylize("clip.mp4", ["style.jpg"], "out.mp4", vidstyle.Settings.preset("draft"))

Names are looked up when they are first used, so that `import vidstyle` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidstyle.errors import (
        BatchError,
        MediaError,
        NotEnoughMemory,
        NumericalError,
        UsageError,
        VidstyleError,
        WeightsError,
        WorkspaceError,
    )
    from vidstyle.pipeline import JobOptions, stylize, stylize_image
    from vidstyle.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "BatchError",
    "JobOptions",
    "MediaError",
    "NotEnoughMemory",
    "NumericalError",
    "Settings",
    "UsageError",
    "VidstyleError",
    "WeightsError",
    "WorkspaceError",
    "__version__",
    "stylize",
    "stylize_image",
]

_PIPELINE = ("JobOptions", "stylize", "stylize_image")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "settings" if name == "Settings" else "pipeline" if name in _PIPELINE else "errors"
    value = getattr(importlib.import_module(f"vidstyle.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
