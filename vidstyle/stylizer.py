"""Owns the network and the style: paints the first frame of a shot, and frames that follow one.

The first frame is worked out coarse to fine until its look has settled. Every later one starts from the
frame before, moved along the flow, with the temporal loss where the flow can be trusted (Ruder,
Dosovitskiy & Brox 2016, arXiv 1604.08610). Beyond the paper:

- the start is the moved frame *everywhere*; the mask acts in the loss alone. Only what it does not show is
  taken from an older frame (`answering`), or filled if none shows it (`fill_new`);
- brightness and colour are held against creeping (`drift_target`);
- L-BFGS' curvature is moved along the flow too, and goes on where it was;
- a later frame reads the stored 16-bit values of the one before, so that a job that was killed and goes
  on is the same to the byte as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from vidstyle.device import resolve_device
from vidstyle.errors import NumericalError, UsageError
from vidstyle.flow import fade_finest, warp
from vidstyle.frames import Frame
from vidstyle.motion import Motion, answering, drift_target, fill_new
from vidstyle.objective import LossReport, Objective, Reference, StyleTargets, build_terms, content_targets, style_targets
from vidstyle.optimize import OPTIMIZERS, CurvaturePair, Result
from vidstyle.pixels import from_tensor, resized, to_tensor
from vidstyle.settings import TILE, Settings
from vidstyle.vgg import VGG19, load_vgg19, minimum_side

__all__ = ["OnStep", "Painted", "Stylizer", "check_size", "pyramid"]

Picture = npt.NDArray[np.uint8]
OnStep = Callable[[float, LossReport], None]
"""Called after every step with the share of the frame's steps that are done, and the terms."""

_COARSEST_SIDE = 160
"""Longest side of the coarsest picture: strokes grow large there, and the network still sees the whole layout."""
_SCALE_STEP = math.sqrt(2)


@dataclass(frozen=True, slots=True)
class Painted:
    """One stylised frame and what the next one needs of it."""

    picture: npt.NDArray[np.uint16]
    """(H, W, 3) RGB, 16 bits a channel."""
    report: LossReport
    steps: int
    reliable: float
    """Share of the pixels that the flow to the frame before is trusted at; 1 for a first frame."""
    state: Mapping[str, npt.NDArray[np.float32]] = field(repr=False)
    """Curvature of the optimiser: "s" and "y", (pairs, 3, H, W) each; empty for optimisers without."""


def check_size(settings: Settings, size: tuple[int, int]) -> None:
    """Whether there is something to paint on frames of `size` (height, width), and they are large enough for it.

    Raises:
        UsageError: no layer is asked for, or the frames are too small for the deepest.
    """
    layers = settings.layers
    if not layers:
        raise UsageError("--content-weight and --style-weight are both 0, which leaves nothing to paint")
    height, width = size
    if min(size) < minimum_side(layers):
        raise UsageError(
            f"frames of {width}×{height} are too small: the network needs {minimum_side(layers)} pixels a side; "
            "use a larger --size, or fewer --style-layers"
        )
    if settings.run.tileable and (height % TILE or width % TILE):
        raise UsageError(
            f"--tileable: frames of {width}×{height} are no multiples of {TILE}; only a single picture is brought to such a size"
        )


class Stylizer:
    """The network, the style at every size that is needed, and the settings; one for a whole job.

    Args:
        settings: everything a user can turn.
        styles: the style pictures, (H, W, 3) uint8 RGB each; none where no loss looks at a style.
        size: (height, width) of the frames.
        initial: a picture to start every shot from, (H, W, 3) uint8 RGB, where `settings.optimize.init` names a file.

    Raises:
        UsageError: the frames are too small for the network, or the blend does not fit the styles.
        WeightsError: the network's weights cannot be loaded.
    """

    def __init__(self, settings: Settings, styles: Sequence[Picture], size: tuple[int, int], initial: Picture | None = None) -> None:
        check_size(settings, size)
        self.settings = settings
        self.size = size
        self.device = resolve_device(settings.run.device)
        self._layers = settings.layers
        self._styles = tuple(styles)
        if settings.optimize.init == "style" and not styles:
            raise UsageError("--init style: no style picture given; name one, or start from content or noise")
        self._blend = _blend(settings, len(styles))
        _check_layer_weights(settings)
        self._initial = initial
        self._network: VGG19 = load_vgg19(settings.run.weights, settings.run.pooling, self.device)
        self._targets: dict[tuple[int, int], StyleTargets] = {}

    def first(self, frame: Frame, on_step: OnStep | None = None) -> Painted:
        """Paints the first frame of a shot, coarse to fine, owing nothing to any other frame.

        Raises:
            NumericalError: the loss was not finite twice; the message names the frame.
        """
        tileable = self.settings.run.tileable
        sizes = pyramid(self.size, TILE if tileable else 1)
        count = self.settings.optimize.first_iterations
        cost = [height * width for height, width in sizes]
        total = 0
        image: torch.Tensor | None = None
        result: Result | None = None
        for level, size in enumerate(sizes):
            content = to_tensor(resized(frame.rgb, size), self.device)
            image = self._start(content, size) if image is None else enlarge(image, size, tileable)
            done, share = sum(cost[:level]) / sum(cost), cost[level] / sum(cost)
            result = self._optimise(frame, content, image, count, (), (), _part(on_step, done, share / count))
            image = result.image
            total += result.steps
        assert result is not None
        return self._painted(result, total, 1.0)

    def follow(
        self,
        frame: Frame,
        motions: Sequence[Motion],
        painted: Mapping[int, npt.NDArray[np.uint16]],
        state: Mapping[str, npt.NDArray[np.float32]],
        on_step: OnStep | None = None,
    ) -> Painted:
        """Paints a frame that follows others in its shot.

        Args:
            frame: the source frame.
            motions: to earlier frames of the shot, the frame before first.
            painted: distance -> stored stylised frame, (H, W, 3) uint16 RGB, for every motion.
            state: what the frame before left.
            on_step: see `OnStep`.

        Raises:
            NumericalError: the loss was not finite twice; the message names the frame.
        """
        nearest = motions[0]
        source = to_tensor(frame.rgb, self.device)
        stored = {motion.distance: fade_finest(to_tensor(painted[motion.distance], self.device)) for motion in motions}
        moved = {motion.distance: warp(stored[motion.distance], motion.flow).clamp(0, 1) for motion in motions}
        start = fill_new(moved[nearest.distance], nearest, stored[nearest.distance], source)
        references = []
        for motion, mask in zip(motions, answering(motions), strict=True):
            held = torch.from_numpy(mask)[None, None].to(self.device)
            references.append(Reference(moved[motion.distance], held.to(source.dtype)))
            if motion is not nearest:
                start = torch.where(held, moved[motion.distance], start)
        expected = drift_target(moved[nearest.distance], nearest)
        pairs = [(warp(s, nearest.flow, "bilinear"), warp(y, nearest.flow, "bilinear")) for s, y in self._pairs(state)]
        iterations = self.settings.optimize.iterations
        result = self._optimise(frame, source, start, iterations, references, pairs, _part(on_step, 0.0, 1 / iterations), expected)
        return self._painted(result, result.steps, float(nearest.trust.mean()))

    def targets(self, size: tuple[int, int]) -> StyleTargets:
        """Statistics of the styles for frames of `size` (height, width): resized to its area × style scale² (artistic-videos)."""
        if size not in self._targets:
            area = size[0] * size[1] * self.settings.style.scale**2
            pictures = []
            for share, style in zip(self._blend, self._styles, strict=True):
                height, width = style.shape[:2]
                factor = math.sqrt(area / (height * width))
                shortest = minimum_side(self._layers)
                new = max(round(height * factor), shortest), max(round(width * factor), shortest)
                pictures.append((share, to_tensor(resized(style, new), self.device)))
            self._targets[size] = style_targets(self._network, pictures, self.settings)
        return self._targets[size]

    def _start(self, content: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Where a shot starts from."""
        if self.settings.optimize.init == "content":
            return content
        if self.settings.optimize.init == "noise":
            generator = torch.Generator().manual_seed(self.settings.run.seed)
            return torch.rand(1, 3, *size, generator=generator).to(self.device)
        if self.settings.optimize.init == "style":
            return to_tensor(resized(self._styles[0], size), self.device)
        assert self._initial is not None
        return to_tensor(resized(self._initial, size), self.device)

    def _optimise(
        self,
        frame: Frame,
        content: torch.Tensor,
        start: torch.Tensor,
        iterations: int,
        references: Sequence[Reference],
        pairs: Sequence[CurvaturePair],
        on_step: Callable[[int, LossReport], None] | None,
        expected: Reference | None = None,
    ) -> Result:
        size = (content.shape[-2], content.shape[-1])
        kept = content_targets(self._network, content, self.settings)
        terms = build_terms(self.settings, kept, self.targets(size), references, expected)
        objective = Objective(self._network, terms, self._layers, self.settings.run.tileable)
        optimize = self.settings.optimize
        try:
            return OPTIMIZERS[optimize.optimizer](
                objective, start, iterations, tolerance=optimize.tolerance, pairs=pairs, history=optimize.history, on_step=on_step
            )
        except NumericalError as error:
            raise NumericalError(f"frame {frame.index}: {error}") from None

    def _painted(self, result: Result, steps: int, reliable: float) -> Painted:
        kept = result.pairs[-self.settings.optimize.carried :] if self.settings.optimize.carried else ()
        state = {}
        if kept:
            state = {"s": torch.cat([s for s, _ in kept]).cpu().numpy(), "y": torch.cat([y for _, y in kept]).cpu().numpy()}
        picture = from_tensor(result.image, bits=16)
        return Painted(picture.astype(np.uint16, copy=False), result.report, steps, reliable, state)

    def _pairs(self, state: Mapping[str, npt.NDArray[np.float32]]) -> list[CurvaturePair]:
        if not state:
            return []
        s, y = (torch.from_numpy(state[name]).to(self.device) for name in ("s", "y"))
        return [(s[number : number + 1], y[number : number + 1]) for number in range(len(s))]


def pyramid(size: tuple[int, int], multiple: int = 1) -> list[tuple[int, int]]:
    """Sizes (height, width) from coarse to `size`, √2 apart, the coarsest with its longest side just over 160 pixels.

    The smaller ones have sides that are multiples of `multiple`.
    """
    levels = max(math.floor(math.log(max(size) / _COARSEST_SIDE, _SCALE_STEP) + 1e-9), 0)
    sizes = []
    for level in range(levels, -1, -1):
        factor = _SCALE_STEP**-level
        smaller = tuple(max(round(side * factor / multiple), 1) * multiple for side in size) if level else size
        if min(smaller) >= min(_SHORTEST_COARSE_SIDE, *size):
            sizes.append((smaller[0], smaller[1]))
    return sizes


_SHORTEST_COARSE_SIDE = 32
"""Very long or tall pictures have no level whose short side is under this: the deepest layer would see two pixels."""


def enlarge(image: torch.Tensor, size: tuple[int, int], wraps: bool = False) -> torch.Tensor:
    """(1, 3, H, W) to (1, 3, *size), bicubic, clamped to [0, 1]; with `wraps` each edge goes on in the opposite one."""
    if not wraps:
        return functional.interpolate(image, size=size, mode="bicubic", align_corners=False).clamp(0, 1)
    height, width = image.shape[2:]
    nine = functional.interpolate(
        functional.pad(image, (width, width, height, height), mode="circular"),
        size=(3 * size[0], 3 * size[1]), mode="bicubic", align_corners=False,
    )  # fmt: skip
    return nine[:, :, size[0] : 2 * size[0], size[1] : 2 * size[1]].clamp(0, 1)


def _blend(settings: Settings, count: int) -> list[float]:
    weights = settings.style.blend
    if weights is None:
        return [1 / max(count, 1)] * count
    if len(weights) != count or sum(weights) <= 0:
        raise UsageError(f"--style-blend names {len(weights)} weights for {count} styles; give one positive weight a style")
    return [weight / sum(weights) for weight in weights]


def _check_layer_weights(settings: Settings) -> None:
    weights, layers = settings.style.layer_weights, settings.style.layers
    if weights is not None and (len(weights) != len(layers) or sum(weights) <= 0):
        raise UsageError(
            f"--style-layer-weights names {len(weights)} weights for {len(layers)} style layers ({' '.join(layers)}); "
            "give one a layer, not all of them 0"
        )


def _part(on_step: OnStep | None, done: float, share: float) -> Callable[[int, LossReport], None] | None:
    """`on_step` seen from one run of the optimiser, whose every step is `share` of the frame's work."""
    if on_step is None:
        return None
    return lambda step, report: on_step(done + share * step, report)
