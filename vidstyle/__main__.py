"""`python -m vidstyle`: the same command as `vidstyle`."""

from __future__ import annotations

import sys

from vidstyle.cli import main

if __name__ == "__main__":
    sys.exit(main())
