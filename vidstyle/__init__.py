"""vidstyle: turns film into painting.

    import vidstyle

    image = vidstyle.stylize_image("photo.jpg", "style.jpg")
    vidstyle.stylize("clip.mp4", ["style.jpg"], "out.mp4", vidstyle.Settings.preset("draft"), progress=vidstyle.ProgressBar())

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
    from vidstyle.pipeline import JobOptions, JobResult, Look, stylize, stylize_image
    from vidstyle.progress import ProgressBar
    from vidstyle.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "BatchError",
    "JobOptions",
    "JobResult",
    "Look",
    "MediaError",
    "NotEnoughMemory",
    "NumericalError",
    "ProgressBar",
    "Settings",
    "UsageError",
    "VidstyleError",
    "WeightsError",
    "WorkspaceError",
    "__version__",
    "stylize",
    "stylize_image",
]

_MODULES = {
    "Settings": "settings",
    "ProgressBar": "progress",
    **dict.fromkeys(("JobOptions", "JobResult", "Look", "stylize", "stylize_image"), "pipeline"),
}
"""Where a name comes from; the others are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vidstyle.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
