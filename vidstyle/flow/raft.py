"""RAFT (Teed & Deng 2020, arXiv 2003.12039) from torchvision: slower, and better at large motion and thin things."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from torch.nn import functional

from vidstyle.errors import UsageError, WeightsError
from vidstyle.flow.base import Picture, to_gray
from vidstyle.frames import FlowField

__all__ = ["Raft"]

_UNIT = 8
"""RAFT's features are an eighth of the picture's size; sides become multiples."""
_SMALLEST_SIDE = 128
"""Four levels of its correlation pyramid do not fit less."""


class Raft:
    """Flow by torchvision's RAFT.

    Args:
        size: which of torchvision's two networks.
        weights: a file with the network's state dict; None for torchvision's own, which are downloaded once (21 MB, 4 MB the small one).
        device: where it runs.

    Raises:
        UsageError: torchvision is missing or does not fit the installed torch, or there is no such file.
        WeightsError: the weights cannot be downloaded, are damaged, or are another network's.
    """

    def __init__(self, size: Literal["large", "small"] = "large", weights: Path | None = None, device: str = "cpu") -> None:
        try:
            from torchvision.models import optical_flow
        except (ImportError, RuntimeError) as error:
            raise UsageError(
                f"--flow raft needs a torchvision that fits torch ({error}): pip install torch torchvision; or use --flow farneback"
            ) from None
        own = optical_flow.Raft_Large_Weights.DEFAULT if size == "large" else optical_flow.Raft_Small_Weights.DEFAULT
        network = (optical_flow.raft_large if size == "large" else optical_flow.raft_small)(weights=None)
        name = "raft" if size == "large" else "raft-small"
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where it is told that something is downloaded
                state = own.get_state_dict(progress=False, check_hash=True) if weights is None else _read(weights)
            network.load_state_dict(state)
        except OSError as error:
            raise WeightsError(
                f"--flow {name}: the weights cannot be downloaded ({error}); give them as --flow-weights FILE ({own.url})"
            ) from None
        except (RuntimeError, TypeError, AttributeError):
            raise WeightsError(f"--flow-weights {weights}: not the weights of {name}; see {own.url}") from None
        self._device, self._turn = torch.device(device), Lock()
        self._network: Any = network.to(self._device).eval().requires_grad_(False)

    def __call__(self, current: Picture, reference: Picture, initial: FlowField | None = None) -> FlowField:
        """See `FlowEstimator`; `initial` is not used."""
        to_gray(current, reference, initial)  # their sizes are checked there
        height, width = current.shape[:2]
        bottom, right = (max(-(-side // _UNIT) * _UNIT, _SMALLEST_SIDE) - side for side in (height, width))
        pictures = [self._prepared(picture, right, bottom) for picture in (current, reference)]
        with torch.no_grad(), self._turn:
            flow = self._network(*pictures)[-1][0, :, :height, :width]
        return FlowField(flow.float().cpu().contiguous().numpy())

    def _prepared(self, picture: Picture, right: int, bottom: int) -> torch.Tensor:
        """(1, 3, H', W') in [-1, 1], its border repeated to the right and below."""
        values = torch.from_numpy(picture.copy()).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1
        return functional.pad(values, (0, right, 0, bottom), mode="replicate")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"--flow-weights {path}: no such file; check the name")
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, about odd files that are refused in our own words
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever pickle and zip raise
        raise WeightsError(f"--flow-weights {path}: no file of weights ({type(error).__name__}); give a state dict") from None
