"""What tests of whole jobs share: few steps, pictures on disk, and a job that is broken off."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vidstyle.pipeline import FrameReport
from vidstyle.settings import Settings

QUICK = {"iterations": 2, "first_iterations": 4}


def settings(**sections: dict[str, object]) -> Settings:
    return Settings.layered([{"optimize": QUICK, "temporal": {"passes": 1}}, sections])


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Writes (H, W, 3) RGB, or (H, W)."""
    assert cv2.imwrite(str(path), picture[:, :, ::-1] if picture.ndim == 3 else picture)
    return path


class Interrupted(Exception):
    """Stands for a kill."""


class Recorder:
    """Progress that keeps what it is told, and breaks the job off after so many frames."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.total: int | None = None
        self.done = -1.0
        self.reports: list[FrameReport] = []
        self.fractions: list[float] = []
        self._stop_after = stop_after

    def start(self, total: int | None, done: float, needs: str) -> None:
        self.total, self.done = total, done

    def step(self, fraction: float, objective: float) -> None:
        assert objective > 0
        self.fractions.append(fraction)

    def frame(self, report: FrameReport) -> None:
        self.reports.append(report)
        if len(self.reports) == self._stop_after:
            raise Interrupted
