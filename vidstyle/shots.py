"""Where one shot ends and the next begins, found while the frames stream by.

PySceneDetect's adaptive detector: a cut is a frame that differs far more from the one before than its
neighbours do from theirs, so a fast pan or a thing rushing past the camera is none. It needs the frame
after to decide. What it finds is a cut unless the two pictures are alike but for their light, as at a flash.

It sees every picture at the same brightness and contrast, so that shots in the dark, or on their way into it, differ as much
as by day. Pictures that show nothing it does not see: what comes after them is compared with what came before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from vidstyle.frames import Frame, Shot

__all__ = ["mark_cuts", "split_shots"]

Luma = npt.NDArray[np.uint8]
"""(h, w), 0-255."""

_LONGEST_SIDE = 256
"""Pixels that the detector looks at: enough for a cut, and noise averages out."""
_REPEAT = 0.5
"""Mean difference, in levels of 255, up to which a frame repeats the one before."""
_MOST_REPEATS = 7
"""How many repeats in a row are passed over. Animation drawn on twos to eights and film raised to a higher
rate repeat frames, and every new drawing among repeats would look like a cut."""

_DETAIL = 4.0
"""Standard deviation in pixels of the blur that is taken off a picture before two are compared: what is left is detail, not light."""
_SAME_DETAIL = 0.15
"""Correlation of two pictures' detail, and sharpness of its peak over all shifts (`cv2.phaseCorrelate`'s response), from which they show
the same. Measured on nine clips: neighbours, one of them lit up or darkened by 60 or 150 levels of 255, have 0.19 and 0.16
or more, the ends of different shots 0.07 and 0.10 or less in 95 of 100 pairs."""
_FLAT = 0.1
"""Standard deviation of the detail, in levels of 255, under which it says nothing of what a picture shows."""
_NOTHING = 1.0
"""Standard deviation of the luma, in levels of 255, of a picture that shows nothing: black, white, the end of a fade."""
_OTHER_COLOR = 15.0
"""Levels of 255 by which R, G or B of pictures that show nothing have to differ, after two that were equal, to be two shots."""
_OTHER_LIGHT = 15.0
"""Levels of 255 by which the means of two pictures of the same differ, from which a flash lies between them."""
_CONTRAST = 40.0
"""Standard deviation of the luma at which the detector sees every picture."""


def mark_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Every frame, in order, with whether it starts a shot; the first one does.

    Holds back at most nine frames. A shot of a single frame inside others is taken for a flash and is not marked, nor is a change of
    light over any number of frames. Where a shot gives way to another through black or white, the other starts with the first frame
    that shows something; of frames that show nothing at all, another colour starts one. Frames are counted, not timed, so a
    variable rate makes no difference.
    """
    detector = _Detector()
    waiting: list[Frame] = []  # the frame fed last, still undecided, and its repeats
    plain: deque[npt.NDArray[np.float64]] = deque(maxlen=2)  # colours of the frames just before that show nothing
    is_first = True

    def decided(picture: Luma) -> Iterator[tuple[Frame, bool]]:
        """What has waited for the next picture."""
        nonlocal is_first
        starts = detector.feed(picture)
        for frame in waiting:
            yield frame, starts or is_first
            starts = is_first = False
        waiting.clear()

    for frame in frames:
        picture = _small(frame.rgb)
        if waiting and len(waiting) <= _MOST_REPEATS and _repeats(picture, detector.last):
            waiting.append(frame)
        elif float(picture.std()) < _NOTHING:
            if waiting:
                yield from decided(detector.last)  # with no neighbour but itself
            color = frame.rgb.mean(axis=(0, 1))
            lasted = len(plain) == 2 and np.abs(plain[0] - plain[1]).max() <= _REPEAT
            yield frame, is_first or bool(lasted and np.abs(plain[1] - color).max() >= _OTHER_COLOR)
            is_first = False
            plain.append(color)
        else:
            yield from decided(picture)
            waiting.append(frame)
            plain.clear()
    if waiting:
        yield from decided(detector.last)


class _Detector:
    """Tells of every picture it is fed, when the next one comes, whether a shot starts with it."""

    def __init__(self) -> None:
        self._last: deque[Luma] = deque(maxlen=3)

    @property
    def last(self) -> Luma:
        """The picture fed last."""
        return self._last[-1]

    def feed(self, picture: Luma) -> bool:
        """Takes the next picture; whether the one before it starts a shot."""
        around = [*self._last, picture]
        self._last.append(picture)
        if len(around) < 3:
            return False
        if not _stands_out(around):
            steady = _without_flash(around)
            across = zip(around, around[2:], strict=False)  # a flash of one frame lies between two of the same shot
            if steady is None or not _stands_out(steady) or any(_shows_the_same(*pair) for pair in across):
                return False
        return not _shows_the_same(around[-3], around[-2])


def split_shots(frames: Iterable[Frame]) -> Iterator[Shot]:
    """The shots of a film, lazily: each one's frames are read from `frames` as they are walked.

    Asking for the next shot passes over what is left of the one before, as `itertools.groupby` does.
    """
    marked = mark_cuts(frames)
    ahead = next(marked, None)

    def rest_of_shot() -> Iterator[Frame]:
        nonlocal ahead
        while ahead is not None:
            frame = ahead[0]
            ahead = next(marked, None)
            yield frame
            if ahead is None or ahead[1]:
                return

    index = 0
    while ahead is not None:
        first = ahead[0]
        yield Shot(index, first.index, rest_of_shot())
        if ahead is not None and ahead[0] is first:  # nobody walked it
            ahead = next(marked, None)
        while ahead is not None and not ahead[1]:
            ahead = next(marked, None)
        index += 1


def _small(rgb: npt.NDArray[np.uint8]) -> Luma:
    """No side longer than 256 pixels."""
    height, width = rgb.shape[:2]
    factor = _LONGEST_SIDE / max(height, width)
    if factor < 1:
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _stands_out(around: list[Luma]) -> bool:
    """Whether the last but one of three or four neighbours differs from the one before far more than they do elsewhere."""
    # Luma alone: hue and saturation halve the score of film in black and white, and are noise in the dark.
    detector = AdaptiveDetector(window_width=1, min_scene_len=0, luma_only=True)
    found = False
    for index, picture in enumerate(around):
        spread = _CONTRAST / max(float(picture.std()), _NOTHING)
        evenly_lit = (128 + spread * (picture - picture.mean())).clip(0, 255).astype(np.uint8)
        found = bool(detector.process_frame(FrameTimecode(index, fps=25.0), cv2.cvtColor(evenly_lit, cv2.COLOR_GRAY2BGR)))
    return found


def _without_flash(around: list[Luma]) -> list[Luma] | None:
    """The same neighbours, those beside the pair in question repeated where only the light changes; None where it does not.

    A flash that begins or ends beside a cut changes as much as the cut, which would not stand out.
    """
    *first, before, picture, after = around
    begins, ends = bool(first) and _lit_otherwise(first[0], before), _lit_otherwise(picture, after)
    if not begins and not ends:
        return None
    return [*([before] if begins else first), before, picture, picture if ends else after]


def _lit_otherwise(one: Luma, other: Luma) -> bool:
    return abs(float(one.mean()) - float(other.mean())) >= _OTHER_LIGHT and _shows_the_same(one, other)


def _repeats(picture: Luma, last: Luma) -> bool:
    return picture.shape == last.shape and float(cv2.absdiff(picture, last).mean()) <= _REPEAT


def _shows_the_same(one: Luma, other: Luma) -> bool:
    """Whether two pictures agree in their detail, wherever it has moved to, however they are lit."""
    if one.shape != other.shape or min(one.shape) < 2:
        return False
    details = []
    for picture in (one, other):
        grey = picture.astype(np.float32)
        details.append(grey - cv2.GaussianBlur(grey, (0, 0), _DETAIL))
    height, width = one.shape
    (x, y), response = cv2.phaseCorrelate(details[0], details[1], cv2.createHanningWindow((width, height), cv2.CV_32F))
    # The peak can come out anywhere, or as no number, where the two have nothing in common.
    is_peak = abs(x) < width and abs(y) < height and (width - abs(x)) * (height - abs(y)) >= height * width / 4
    dx, dy = (round(x), round(y)) if is_peak else (0, 0)
    a = details[0][max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
    b = details[1][max(dy, 0) : height - max(-dy, 0), max(dx, 0) : width - max(-dx, 0)]
    if min(a.std(), b.std()) < _FLAT:
        return False
    correlation = float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std()))
    return min(correlation, response) > _SAME_DETAIL
