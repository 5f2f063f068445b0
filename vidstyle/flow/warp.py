"""Moves a picture along a flow field."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F

from vidstyle.frames import FlowField
from vidstyle.pixels import LUMA, to_plane

__all__ = ["fade_detail", "warp"]

_FACTOR = 2
_MARGIN = 16
"""Pixels of mirrored border that keep one side of the picture from ringing into the other."""
_FINEST = (0.4, 0.5)
"""Frequencies in cycles a pixel between which `fade_detail` begins to act along either axis, and acts in full."""
_FINEST_KEPT = 0.9
"""What it leaves of the amplitude there."""
_COLORED = (0.1, 0.2)
"""The same for colour, in any direction."""
_COLORED_KEPT = 0.95


def warp(image: torch.Tensor, flow: FlowField, mode: Literal["sinc", "bicubic", "bilinear"] = "sinc") -> torch.Tensor:
    """The reference picture as the current frame would see it: out(x, y) = image(x + dx, y + dy).

    Convention: `image` is (N, C, H, W) float at the reference frame, any range (pictures, masks, anything
    else that moves along); the result has its shape, dtype and device. Outside its border the picture is
    repeated. Zero flow gives the picture back, but for rounding.

    `sinc` doubles the picture by its Fourier series before it is read bicubically, which keeps the finest strokes: measured
    on stylised film, a picture moved by bicubic interpolation has 2.5 to 3 times the style loss of the one it came from, by this 1.5
    times. Both overshoot [0, 1] slightly at edges: clamp where it matters.

    Raises:
        ValueError: picture and field differ in size.
    """
    if image.ndim != 4 or tuple(image.shape[2:]) != flow.size:
        raise ValueError(f"warp needs (N, C, H, W) of the field's size, got {tuple(image.shape) = } {flow.size = }")
    height, width = flow.size
    # Positions in float64 where there is any: normalised to [-1, 1] in float32 they would be off by 1e-4 px in HD.
    precise = torch.float32 if image.device.type == "mps" else torch.float64
    vectors = to_plane(flow.data, image.device)[0].to(precise)
    # Clamped here, since a cubic at a position outside rings about the repeated border instead of repeating it.
    x = (torch.arange(width, device=image.device, dtype=precise) + vectors[0]).clamp(0, width - 1)
    y = (torch.arange(height, device=image.device, dtype=precise)[:, None] + vectors[1]).clamp(0, height - 1)
    picture = image
    if mode == "sinc":
        picture, top, left = _doubled(picture)
        x, y = (x + left) * _FACTOR, (y + top) * _FACTOR
    rows, columns = picture.shape[2:]
    grid = torch.stack([x * (2 / max(columns - 1, 1)) - 1, y * (2 / max(rows - 1, 1)) - 1], dim=-1)
    reading = "bilinear" if mode == "bilinear" else "bicubic"
    channels = picture.to(precise).reshape(1, -1, rows, columns)  # all by one grid, whose weights are worked out once
    moved = F.grid_sample(channels, grid[None], mode=reading, padding_mode="border", align_corners=True)
    return moved.reshape(image.shape).to(image.dtype)


def fade_detail(image: torch.Tensor) -> torch.Tensor:
    """The picture, (1, 3, H, W) RGB, with what no loss minds faded: its very finest detail, and the colours of fine detail, luma kept.

    Where a painting is handed on from frame to frame by an interpolation that keeps everything, a chequered pattern of single
    pixels grows: on `drone_city`, in 74 frames, to 3.5 times the power in a frame painted by itself. So did stripes of magenta and
    green, four pixels apart, in a longer shot of 128 pixels: in 80 frames to 30 times.
    """
    padded, top, left = _with_margin(image)
    spectrum = torch.fft.rfft2(padded)
    rows, columns = padded.shape[2:]
    down = torch.fft.fftfreq(rows, dtype=image.dtype, device=image.device).abs()[:, None]
    along = torch.fft.rfftfreq(columns, dtype=image.dtype, device=image.device)
    grey = (spectrum * torch.tensor(LUMA, dtype=image.dtype, device=image.device)[:, None, None]).sum(dim=1, keepdim=True)
    color = _kept((down.square() + along.square()).sqrt(), _COLORED, _COLORED_KEPT) * (spectrum - grey)
    finest = _kept(down, _FINEST, _FINEST_KEPT) * _kept(along, _FINEST, _FINEST_KEPT)
    whole: torch.Tensor = torch.fft.irfft2(finest * (grey + color), s=(rows, columns))
    height, width = image.shape[2:]
    return whole[:, :, top : top + height, left : left + width]


def _kept(frequency: torch.Tensor, between: tuple[float, float], least: float) -> torch.Tensor:
    """What is kept of an amplitude: all below the first frequency, `least` above the second, passing over smoothly."""
    depth = ((frequency - between[0]) / (between[1] - between[0])).clamp(0, 1)
    kept: torch.Tensor = 1 - (1 - least) * (1 - torch.cos(math.pi * depth)) / 2
    return kept


def _with_margin(picture: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """The picture with a mirrored margin, and the margin's rows and columns."""
    height, width = picture.shape[2:]
    top, left = min(_MARGIN, height - 1), min(_MARGIN, width - 1)
    return F.pad(picture, (left, left, top, top), mode="reflect"), top, left


def _doubled(picture: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """The picture with a mirrored margin at twice the resolution, and the margin's rows and columns; sample 2i is sample i."""
    padded, top, left = _with_margin(picture)
    for axis in (2, 3):
        length = padded.shape[axis]
        spectrum = torch.fft.rfft(padded, dim=axis)
        if length % 2 == 0:  # the highest frequency stands for a pair, of which only one has a place in the longer series
            spectrum.narrow(axis, length // 2, 1).mul_(0.5)
        padded = torch.fft.irfft(spectrum * _FACTOR, n=_FACTOR * length, dim=axis)
    return padded, top, left
