"""What can go wrong, as the person at the keyboard should read it.

    VidstyleError            exit code 1: the job failed
    ├── UsageError           exit code 2: wrong flags, settings or paths; nothing was started
    │   └── NotEnoughMemory  the estimate before the start says it will not fit
    ├── MediaError           an input cannot be read, or an output cannot be written
    ├── WeightsError         the network's weights cannot be loaded
    ├── WorkspaceError       the job's directory is damaged, locked or belongs to another job
    ├── NumericalError       a loss became NaN or infinite and the second try did too
    └── BatchError           some jobs of a batch failed, the others are done

Every message is one line that says what is wrong, with which file or flag, and what to do.
"""

from __future__ import annotations

__all__ = [
    "BatchError",
    "MediaError",
    "NotEnoughMemory",
    "NumericalError",
    "UsageError",
    "VidstyleError",
    "WeightsError",
    "WorkspaceError",
]


class VidstyleError(Exception):
    """Root of every error that vidstyle raises on purpose; `exit_code` is what the command ends with."""

    exit_code = 1


class UsageError(VidstyleError):
    """Wrong flags, settings or paths: nothing was started."""

    exit_code = 2


class NotEnoughMemory(UsageError):
    """The job would need more memory than the machine has free; the message names a `--size` that fits."""


class MediaError(VidstyleError):
    """An input cannot be read (missing stream, damage, junk) or an output cannot be written."""


class WeightsError(VidstyleError):
    """The network's weights are missing, damaged or of another network."""


class WorkspaceError(VidstyleError):
    """The directory that holds a job's frames is damaged, in use, or cannot be written."""


class NumericalError(VidstyleError):
    """A loss became NaN or infinite, and did so again from the safer step."""


class BatchError(VidstyleError):
    """Some jobs of a batch failed; the message counts them, the others are done."""
