"""vidstyle: turns film into painting."""

__version__ = "0.1.0"
