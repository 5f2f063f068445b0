"""A page about one result: a player, curves, where it is least steady, and what it was made with."""

from vidstyle.report.page import Subject, check_report, write_report

__all__ = ["Subject", "check_report", "write_report"]
