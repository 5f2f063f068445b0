"""What can go wrong, as the person at the keyboard should read it.

    VidstyleError            1   exit code 1: the job failed; as itself, of what the system or a library says, or of a bug
    ├── UsageError           10  exit code 2: wrong flags, settings or paths; nothing was started
    │   └── NotEnoughMemory  11  the estimate before the start says it will not fit
    ├── MediaError           20  an input cannot be read, or an output cannot be written
    ├── WeightsError         30  the network's weights cannot be loaded
    ├── WorkspaceError       40  the job's directory is damaged, locked or belongs to another job
    ├── NumericalError       50  a loss became NaN or infinite and the second try did too
    └── BatchError           60  some jobs of a batch failed, the others are done

Every message is one line that says what is wrong, with which file or flag, and what to do. The number stands behind it, `[V20]`, and
means the same in every version, so that a script, or somebody who looks for help, can go by it.
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
    """Root of every error that vidstyle raises on purpose; `exit_code` is what the command ends with, `number` says which kind it is."""

    exit_code = 1
    number = 1


class UsageError(VidstyleError):
    """Wrong flags, settings or paths: nothing was started."""

    exit_code = 2
    number = 10


class NotEnoughMemory(UsageError):
    """The job would need more memory than the machine has free; the message names a `--size` that fits."""

    number = 11


class MediaError(VidstyleError):
    """An input cannot be read (missing stream, damage, junk) or an output cannot be written."""

    number = 20


class WeightsError(VidstyleError):
    """The network's weights are missing, damaged or of another network."""

    number = 30


class WorkspaceError(VidstyleError):
    """The directory that holds a job's frames is damaged, in use, or cannot be written."""

    number = 40


class NumericalError(VidstyleError):
    """A loss became NaN or infinite, and did so again from the safer step."""

    number = 50


class BatchError(VidstyleError):
    """Some jobs of a batch failed; the message counts them, the others are done."""

    number = 60
