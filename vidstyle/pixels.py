"""The only crossing between pictures (uint8 or uint16, HWC) and tensors (float32, NCHW, [0, 1])."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

__all__ = ["feathered", "from_tensor", "resized", "to_mask", "to_tensor"]


def to_tensor(picture: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], device: torch.device | str = "cpu") -> torch.Tensor:
    """(H, W, 3) uint8 or uint16, RGB → (1, 3, H, W) float32 in [0, 1], contiguous, on `device`."""
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a picture is (H, W, 3), got {picture.shape = }")
    if picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a picture is uint8 or uint16, got {picture.dtype = }")
    scale = float(np.iinfo(picture.dtype).max)
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(scale)
    return torch.from_numpy(planes).to(device)


def from_tensor(image: torch.Tensor, bits: int = 8) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """(1, 3, H, W) float in [0, 1] → (H, W, 3) uint8 (`bits=8`) or uint16 (`bits=16`), clamped and rounded."""
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] != 3:
        raise ValueError(f"an image is (1, 3, H, W), got {tuple(image.shape) = }")
    if bits not in (8, 16):
        raise ValueError(f"pictures have 8 or 16 bits a channel, got {bits = }")
    scale = float(2**bits - 1)
    values = image.detach().clamp(0, 1).mul(scale).round()[0].permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(values.astype(np.uint8 if bits == 8 else np.uint16))


def resized(picture: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 to `size` (height, width): averages of areas where it shrinks (as in the field's programs), else bicubic."""
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    scaled = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(scaled, dtype=np.uint8)


def to_mask(picture: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(H, W, 3) uint8 to a mask of `size` (height, width), float32 in [0, 1]: the mean of R, G and B, 1 where all are white."""
    height, width = size
    grey = np.asarray(picture.astype(np.float32).mean(axis=2) / 255, dtype=np.float32)
    if grey.shape == size:
        return grey
    shrinks = height * width < grey.size
    scaled = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, dtype=np.float32)


def feathered(mask: npt.NDArray[np.float32], pixels: float) -> npt.NDArray[np.float32]:
    """A mask, (H, W), whose hard edges go over from 0 to 1 within about `pixels`."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), pixels / _FEATHER, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)


_FEATHER = 2.56
"""Standard deviations within which a blurred edge rises from a tenth to nine tenths."""
