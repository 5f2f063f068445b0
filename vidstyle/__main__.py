"""Where the commands begin: `vidstyle`, which is `python -m vidstyle` too, and `vidstyle-eval`."""

from __future__ import annotations

import sys

from vidstyle.starting import loading

__all__ = ["evaluate", "main"]


def main() -> int:
    """The command `vidstyle`; returns its exit code."""
    with loading():
        from vidstyle.cli import main as command
    return command()


def evaluate() -> int:
    """The command `vidstyle-eval`; returns its exit code."""
    with loading():
        from vidstyle.cli.evaluate import main as command
    return command()


if __name__ == "__main__":
    sys.exit(main())
