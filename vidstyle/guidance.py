"""Which styles a frame gets, how much of each, and where: blends, schedules and masks."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vidstyle.errors import MediaError, UsageError
from vidstyle.flow import Flows, carried, read_along
from vidstyle.frames import FlowField, Frame, MediaInfo
from vidstyle.media import open_source
from vidstyle.numbered import FrameNames
from vidstyle.pixels import feathered, to_mask
from vidstyle.settings import Position, RunSettings, Settings, schedule_entries
from vidstyle.stillness import SETTLING

__all__ = ["Guidance", "Guide", "Schedule", "blend_shares", "schedule_shares"]

logger = logging.getLogger(__name__)

Mask = npt.NDArray[np.float32]

_MASK_CHANGE = 0.5 / 255
"""Change of a mask from one frame to the next that is no rounding."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """The styles of one frame.

    `shares` is the weight of each style in the blend; they sum to 1. `masks`, (styles, H, W) in [0, 1], say where each goes instead, and
    sum to 1 or less at every pixel: where they sum to 0 the source is left.
    """

    shares: tuple[float, ...]
    masks: npt.NDArray[np.float32] | None = None
    changing: bool = False
    """Whether another style has been taking over: the painting is to become another one, and must not be held to what it was."""
    moving: npt.NDArray[np.bool_] | None = None
    """(H, W), where the masks are others than a dozen frames before; None without masks."""

    @property
    def coverage(self) -> Mask | None:
        """(H, W) in [0, 1], how much of each pixel is painted; None for all of the picture."""
        return None if self.masks is None else self.masks.sum(axis=0).clip(0, 1)

    def resting(self, still: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """How much each pixel keeps of its painting if the source is so `still`, both (H, W) in [0, 1]; nothing where styles change."""
        if self.changing:
            return np.zeros_like(still)
        return still if self.moving is None else still * ~self.moving


class Schedule:
    """Walks along the frames of a job and says how much of each style they get, by `--style-schedule`; all frames have to come in order."""

    def __init__(self, settings: Settings, styles: int, since: Mapping[str, Any] | None = None) -> None:
        """Begins with the film's first frame, or goes on where another one was when it gave its `state`.

        Raises:
            ValueError: `since` is no such state.
        """
        self._moments = [when for when, _ in schedule_entries(settings.style.schedule or "")]
        self._fade = settings.style.fade
        self._opening: Fraction | None = None
        self._begun: list[Fraction] = []
        self._before = tuple(float(not number) for number in range(styles))
        self._changed = SETTLING
        if since is not None:
            try:
                self._opening = None if since["opening"] is None else Fraction(since["opening"])
                self._begun = [Fraction(when) for when in since["begun"]]
                self._before = tuple(float(share) for share in since["before"])
                self._changed = int(since["changed"])
            except (LookupError, TypeError, ZeroDivisionError) as error:
                raise ValueError("no state of a schedule") from error

    @property
    def state(self) -> dict[str, Any]:
        """JSON values from which another one goes on with the next frame."""
        begun, opening = [str(when) for when in self._begun], None if self._opening is None else str(self._opening)
        return {"opening": opening, "begun": begun, "before": list(self._before), "changed": self._changed}

    def at(self, seconds: Fraction, index: int) -> tuple[tuple[float, ...], bool]:
        """The weight of each style in the frame `index`, shown at `seconds`, and whether another one has been taking over."""
        self._opening = seconds if self._opening is None else self._opening
        now = seconds - self._opening
        while len(self._begun) < len(self._moments) and _reached(self._moments[len(self._begun)], now, index):
            self._begun.append(now)
        shares = schedule_shares(self._begun, len(self._moments), self._fade, now)
        self._changed = 0 if shares != self._before else self._changed + 1
        self._before = shares
        return shares, self._changed < SETTLING


class Guide:
    """Walks along the frames of a job and says which styles go where; a context manager that closes the masks.

    Frames have to come in order, and all of them, since masks may be films, or move along with the film.
    """

    def __init__(
        self, settings: Settings, styles: int, info: MediaInfo, flows: Flows, first: int = 0, since: Mapping[str, Any] | None = None
    ) -> None:
        """Opens the masks.

        Args:
            settings: everything a user can turn.
            styles: how many style pictures there are.
            info: of the input.
            flows: between its frames, for masks that follow the film.
            first: the frame that it begins with, which has to start a shot.
            since: of a schedule, its `state` after the frame before that one.

        Raises:
            UsageError: masks or schedule do not fit the styles, or the masks' shape is not that of the frames.
            MediaError: a mask cannot be read.
        """
        self._settings = settings
        self._schedule = None if settings.style.schedule is None else Schedule(settings, styles, since)
        self._shares = blend_shares(settings, styles)
        self._styles = styles
        self._masks: _Masks | None = None
        self._masks_before: npt.NDArray[np.float32] | None = None
        self._since = np.zeros((0, 0), int)
        if settings.mask.paths is not None:
            _check_masks(settings, styles)
            self._masks = _Masks([Path(path) for path in settings.mask.paths], settings, info, flows, first)

    @property
    def leaves_source(self) -> bool:
        """Whether something of the source may stay unpainted."""
        paths = self._settings.mask.paths
        return paths is not None and len(paths) == self._styles

    def at(self, frame: Frame, shot_start: bool) -> Guidance:
        """The styles of the next frame.

        Raises:
            MediaError: a mask ends too early, or is damaged.
        """
        shares, changing = (self._shares, False) if self._schedule is None else self._schedule.at(frame.seconds, frame.index)
        if self._masks is None:
            return Guidance(shares, changing=changing)
        masks = self._masks.at(frame, shot_start)
        if len(masks) < self._styles:
            masks = np.concatenate([masks, (1 - masks.sum(axis=0, keepdims=True)).clip(0, 1)])
        if self._masks_before is None or shot_start:
            self._since = np.full(masks.shape[1:], SETTLING)
        else:
            self._since = np.where((np.abs(masks - self._masks_before) > _MASK_CHANGE).any(axis=0), 0, self._since + 1)
        self._masks_before = masks
        return Guidance(shares, masks, moving=self._since < SETTLING)

    def close(self) -> None:
        """Lets go of the masks' files."""
        if self._masks is not None:
            self._masks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def blend_shares(settings: Settings, count: int) -> tuple[float, ...]:
    """The weight of each of `count` style pictures in the blend; they sum to 1.

    Raises:
        UsageError: the blend does not fit them.
    """
    weights = settings.style.blend
    if weights is None:
        return (1 / max(count, 1),) * count
    if len(weights) != count or sum(weights) <= 0:
        raise UsageError(f"--style-blend names {len(weights)} weights for {count} styles; give one a style, not all of them 0")
    if math.isinf(sum(weights)):
        raise UsageError("--style-blend: the weights are too large to be summed; give smaller ones, such as 0.3 0.7")
    return tuple(weight / sum(weights) for weight in weights)


def _reached(start: Position, now: Fraction, index: int) -> bool:
    return index >= start.frames if start.frames is not None else now >= Fraction(start.seconds or 0).limit_denominator(1_000_000)


def schedule_shares(begun: Sequence[Fraction], count: int, fade: float, now: Fraction) -> tuple[float, ...]:
    """The weight of each of a schedule's `count` styles at one moment; they sum to 1.

    A style takes over from what was there before, evenly in `fade` seconds.

    Args:
        begun: when each style that has begun did so, in seconds; the first one is alone from the beginning.
        count: styles.
        fade: seconds.
        now: seconds.
    """
    shares = [0.0] * count
    for number, start in enumerate(begun):
        share = 1.0 if number == 0 or fade == 0 else min(float(now - start) / fade, 1.0)
        shares = [other * (1 - share) for other in shares]
        shares[number] = share
    return tuple(shares)


def _check_masks(settings: Settings, styles: int) -> None:
    count = len(settings.mask.paths or ())
    if not styles:
        raise UsageError("--mask says where a style goes; name a style picture")
    if count not in (styles, styles - 1):
        one_fewer = f", or {styles - 1} (the last style takes the rest)" if styles > 1 else ""
        raise UsageError(f"--mask names {count} masks for {styles} {'style' if styles == 1 else 'styles'}; give {styles}{one_fewer}")
    for flag, given in (("--style-blend", settings.style.blend), ("--style-schedule", settings.style.schedule)):
        if given is not None:
            raise UsageError(f"--mask and {flag} contradict each other: where a style goes is told by its mask; give one of them")


class _Masks:
    """The masks of a job, one after the other: (masks, H, W) a frame, summing to 1 at most."""

    def __init__(self, paths: Sequence[Path], settings: Settings, info: MediaInfo, flows: Flows, first: int) -> None:
        self._stack = ExitStack()
        self._flows = flows
        self._feather = settings.mask.feather
        self._follow = settings.mask.follow
        self._first = 0 if self._follow else first  # masks that follow are of the film's first frame, and start as given with every shot
        self._size = info.height, info.width
        try:
            self._films = [self._open(path, settings.run, info) for path in paths]
        except BaseException:
            self._stack.close()
            raise
        self._origin: tuple[npt.NDArray[np.float32], FlowField | None] | None = None
        self._before: Frame | None = None

    def close(self) -> None:
        self._stack.close()

    def at(self, frame: Frame, shot_start: bool) -> npt.NDArray[np.float32]:
        if not self._follow:
            return self._finished(np.stack([next(film) for film in self._films]))
        if self._origin is None:
            self._origin = np.stack([next(film) for film in self._films]), None
        elif shot_start:
            logger.warning("frame %d: a new shot begins; the masks of --mask-follow cannot be carried on and start as given", frame.index)
            self._origin = self._origin[0], None
        else:
            assert self._before is not None
            step, back = self._flows(frame, self._before), self._flows(self._before, frame)
            self._origin = self._origin[0], carried(self._origin[0], self._origin[1], step, back, frame.rgb)
        self._before = frame
        given, flow = self._origin
        return self._finished(given if flow is None else read_along(given, flow))

    def _finished(self, masks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._feather:
            masks = np.stack([feathered(mask, self._feather) for mask in masks])
        return np.asarray(masks / np.maximum(masks.sum(axis=0, keepdims=True), 1), dtype=np.float32)

    def _open(self, path: Path, run: RunSettings, info: MediaInfo) -> Iterator[Mask]:
        sequence = FrameNames.of(path) is not None
        if not (sequence or path.exists()):
            raise UsageError(f"--mask {path}: no such file or directory; check the name")
        # Pictures in a directory have no rate of their own: each is the mask of one frame.
        rate = float(info.rate) if sequence or path.is_dir() else run.fps
        part = RunSettings(start=run.start, end=run.end, frames=run.frames if sequence else None, fps=rate)
        try:
            medium = self._stack.enter_context(open_source(path, part))
        except (MediaError, UsageError) as error:
            raise type(error)(f"--mask {error}") from None
        have, need = medium.info.frames, info.frames
        if medium.info.kind != "image" and not self._follow and have is not None and need is not None and have < need:
            few = f"--mask {path}: holds {have} masks for {need} frames; give a mask for every frame"
            if medium.info.kind == info.kind == "frames":
                raise UsageError(few)
            logger.warning("%s (the number of frames of a video is an estimate)", few)
        own, wanted = medium.info.width / medium.info.height, info.width / info.height
        # Half a pixel of the smaller of the two, either way, is rounding.
        if abs(own / wanted - 1) > 1 / min(medium.info.width, medium.info.height, info.width, info.height) + 1e-6:
            raise UsageError(
                f"--mask {path}: {medium.info.width}×{medium.info.height} has not the shape of the frames, {info.width}×{info.height}; "
                "give a mask of their proportions, of any size"
            )
        still = medium.info.kind == "image" or self._follow
        return self._walk(path, medium.frames(0 if still else self._first), still)

    def _walk(self, path: Path, frames: Iterator[Frame], still: bool) -> Iterator[Mask]:
        count = self._first
        try:
            for frame in frames:
                mask = to_mask(frame.rgb, self._size)
                count += 1
                while still:
                    yield mask
                yield mask
        except MediaError as error:
            raise MediaError(f"--mask {error}") from None
        raise MediaError(f"--mask {path}: ends after {count} frames, before the input; give a mask for every frame")
