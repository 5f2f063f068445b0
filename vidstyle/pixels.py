"""The only crossing between pictures (uint8 or uint16, HWC) and tensors (float32, NCHW, [0, 1])."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

__all__ = [
    "LUMA",
    "blurred",
    "feathered",
    "from_tensor",
    "in_range",
    "near",
    "pack",
    "resized",
    "savable",
    "to_mask",
    "to_plane",
    "to_tensor",
    "unpack",
]

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in the lightness (ITU-R BT.601)."""


def to_tensor(picture: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], device: torch.device | str = "cpu") -> torch.Tensor:
    """(H, W, 3) uint8 or uint16, RGB → (1, 3, H, W) float32 in [0, 1], contiguous, on `device`."""
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a picture is (H, W, 3), got {picture.shape = }")
    if picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a picture is uint8 or uint16, got {picture.dtype = }")
    scale = float(np.iinfo(picture.dtype).max)
    if torch.device(device).type == "cuda":  # a quarter or half of the bytes, and the device is quicker at the rest
        return _sent(torch.from_numpy(np.ascontiguousarray(picture)), device).permute(2, 0, 1)[None].float().contiguous() / scale
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(scale)
    return _sent(torch.from_numpy(planes), device)


def to_plane(values: npt.NDArray[np.float32], device: torch.device | str = "cpu") -> torch.Tensor:
    """(H, W) float32 → (1, 1, H, W) on `device`; (C, H, W), more planes of one place, → (1, C, H, W)."""
    return _sent(torch.from_numpy(values).reshape(1, -1, *values.shape[-2:]), device)


def _sent(values: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """`values` on `device`; to a GPU from memory that it reads by itself, while the host goes on."""
    if torch.device(device).type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def savable(image: torch.Tensor) -> torch.Tensor:
    """`image` as it would be saved, clamped to [0, 1]; what is exactly 0 or 1 can be moved too, so that its gradient passes.

    torch's own clamp lets none pass there (in 2.15; it did in older versions): white and black would never be painted.
    """
    result: torch.Tensor = _Savable.apply(image)
    return result


def in_range(image: torch.Tensor) -> torch.Tensor:
    """Which values of `image` can be saved as they are, bool: where the gradient of `savable` passes."""
    return (image >= 0) & (image <= 1)


class _Savable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(in_range(image))
        return image.clamp(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (within,) = ctx.saved_tensors
        found: torch.Tensor = gradient * within
        return found


def from_tensor(image: torch.Tensor, bits: int = 8) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """(1, 3, H, W) float in [0, 1] → (H, W, 3) uint8 (`bits=8`) or uint16 (`bits=16`), clamped and rounded."""
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] != 3:
        raise ValueError(f"an image is (1, 3, H, W), got {tuple(image.shape) = }")
    if bits not in (8, 16):
        raise ValueError(f"pictures have 8 or 16 bits a channel, got {bits = }")
    scale = float(2**bits - 1)
    values = image.detach().clamp(0, 1).mul(scale).round()[0].permute(1, 2, 0)
    return values.to(torch.uint8 if bits == 8 else torch.uint16).contiguous().cpu().numpy()


def resized(picture: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 to `size` (height, width): averages of areas where it shrinks (as in the field's programs), else bicubic."""
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    scaled = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(scaled, dtype=np.uint8)


def pack(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 in fewer bytes, (bytes,), quickly and without loss; `unpack` makes the picture of them again."""
    _, packed = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return np.asarray(packed, dtype=np.uint8)


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture that `pack` was given, (H, W, 3) uint8."""
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)


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


def near(mask: npt.NDArray[np.bool_], reach: float) -> npt.NDArray[np.float32]:
    """(H, W): 1 on the mask, falling evenly to 0 within `reach` pixels around it."""
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.maximum(1 - distance / reach, 0), np.float32)


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """(1, C, H, W) blurred by a Gauss bell of `sigma` pixels; outside its border the picture is repeated."""
    reach = math.ceil(3 * sigma)
    bell = torch.exp(-(torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device) ** 2) / (2 * sigma**2))
    bell = bell / bell.sum()
    channels = image.shape[1]
    for axis, padding in ((-1, (reach, reach, 0, 0)), (-2, (0, 0, reach, reach))):
        kernel = bell[None, None, None, :] if axis == -1 else bell[None, None, :, None]
        image = functional.conv2d(functional.pad(image, padding, mode="replicate"), kernel.expand(channels, 1, -1, -1), groups=channels)
    return image


_FEATHER = 2.56
"""Standard deviations within which a blurred edge rises from a tenth to nine tenths."""
