"""Moves a picture along a flow field."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from vidstyle.frames import FlowField

__all__ = ["warp"]


def warp(image: torch.Tensor, flow: FlowField, mode: Literal["bicubic", "bilinear"] = "bicubic") -> torch.Tensor:
    """The reference picture as the current frame would see it: out(x, y) = image(x + dx, y + dy).

    Convention: `image` is (1, C, H, W) float at the reference frame, any range (a picture, a mask, anything
    else that moves along); the result has its shape, dtype and device. Outside its border the picture is
    repeated. Bicubic keeps the sharpness over many frames, and overshoots [0, 1] slightly at edges: clamp
    where it matters. Zero flow gives the picture back, but for rounding.

    Raises:
        ValueError: picture and field differ in size.
    """
    if image.ndim != 4 or image.shape[0] != 1 or tuple(image.shape[2:]) != flow.size:
        raise ValueError(f"warp needs (1, C, H, W) of the field's size, got {tuple(image.shape) = } {flow.size = }")
    height, width = flow.size
    # Positions in float64 where there is any: normalised to [-1, 1] in float32 they would be off by 1e-4 px in HD.
    precise = torch.float32 if image.device.type == "mps" else torch.float64
    vectors = torch.from_numpy(flow.data).to(image.device, precise)
    x = torch.arange(width, device=image.device, dtype=precise) + vectors[0]
    y = torch.arange(height, device=image.device, dtype=precise)[:, None] + vectors[1]
    # padding_mode="border" clamps bicubic's taps but not the position between them, which then rings outside.
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=-1)
    return F.grid_sample(image.to(precise), grid[None], mode=mode, padding_mode="border", align_corners=True).to(image.dtype)
