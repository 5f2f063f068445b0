"""A film whose motion is known exactly: a picture under a moving camera, with a disc flying over it.

Flow and occlusion follow from the geometry for any pair of frames, near or far, so estimators, masks,
warps and whole results can be judged against the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from vidstyle.frames import FlowField

Array = npt.NDArray[np.float64]


def procedural_picture(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB with a photograph's 1/f spectrum, hard edges and one flat, sky-like part."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height)))
    radius[0, 0] = np.inf
    texture = np.fft.ifft2(np.fft.fft2(rng.standard_normal((3, height, width))) / radius**1.3).real.transpose(1, 2, 0)
    texture = texture[:, :, :1] + 0.3 * texture  # mostly grey, as photographs are
    texture /= max(texture.std(), 1e-9)
    ground = np.full((height, width, 3), (115.0, 110.0, 95.0))
    for _ in range(14):
        corners = rng.uniform((0, 0.45), (1, 1), (5, 2)) * (width, height)
        mask = cv2.fillConvexPoly(np.zeros((height, width), np.uint8), cv2.convexHull(corners.astype(np.int32)), 1).astype(bool)
        ground[mask] = rng.uniform(60, 190) + rng.uniform(-20, 20, 3)
    picture = ground + 30 * texture
    sky = np.clip(6 * (0.45 - np.linspace(0, 1, height)), 0, 1)[:, None, None]
    blue = np.array([130, 165, 205]) + 40 * np.linspace(0, 1, height)[:, None, None]
    picture = picture * (1 - sky) + (blue + 4 * texture) * sky
    return np.asarray(np.clip(picture, 0, 255).round(), dtype=np.uint8)


@dataclass(frozen=True)
class Scene:
    """Frames of `size` = (height, width), the camera moving over `picture`, the disc over the frame.

    A point p of frame t shows the picture at camera(t) @ (x, y, 1); the disc's texture moves with it.
    """

    size: tuple[int, int] = (216, 384)
    picture: npt.NDArray[np.uint8] | None = None
    pan: tuple[float, float] = (1.7, -0.6)
    """Pixels a frame."""
    zoom: float = 1.002
    """Factor a frame."""
    turn: float = 0.001
    """Radians a frame."""
    disc_radius: float = 0.16
    """Share of the frame's height; 0 leaves the disc out."""
    disc_start: tuple[float, float] = (0.3, 0.45)
    """Centre at t = 0, shares of width and height."""
    disc_step: tuple[float, float] = (3.1, 1.3)
    """Pixels a frame."""
    _cache: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict, repr=False, compare=False)

    def frame(self, t: float) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        height, width = self.size
        camera = self._camera(t)
        sampling = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        ground = cv2.warpAffine(self._ground(), camera[:2], (width, height), flags=sampling, borderMode=cv2.BORDER_REFLECT_101)
        x, y = self._grid()
        centre = self._centre(t)
        side = int(4 * self._radius()) + 8
        to_texture = np.array([[1, 0, side / 2 - centre[0]], [0, 1, side / 2 - centre[1]]])
        texture = procedural_picture(side, side, seed=7)[:, :, ::-1]
        disc = cv2.warpAffine(texture, to_texture, (width, height), flags=sampling, borderMode=cv2.BORDER_REFLECT_101)
        cover = np.clip(self._radius() - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)[:, :, None] if self.disc_radius else 0.0
        return np.clip(ground * (1 - cover) + disc * cover, 0, 255).round().astype(np.uint8)

    def flow(self, t: float, reference: float) -> FlowField:
        """Exact flow at frame `t` into frame `reference`."""
        x, y = self._grid()
        rx, ry = self._ground_points(t, reference)
        step = self._centre(reference) - self._centre(t)
        on_disc = self.on_disc(t)
        flow = np.where(on_disc[None], step[:, None, None], np.stack([rx - x, ry - y]))
        return FlowField(flow.astype(np.float32))

    def on_disc(self, t: float) -> npt.NDArray[np.bool_]:
        """(H, W), where frame `t` shows the disc."""
        x, y = self._grid()
        cx, cy = self._centre(t)
        return np.asarray(np.hypot(x - cx, y - cy) < self._radius())

    def outside(self, t: float, reference: float) -> npt.NDArray[np.bool_]:
        """(H, W), where what frame `t` shows lies outside frame `reference`."""
        height, width = self.size
        x, y = self._grid() + self.flow(t, reference).data
        return np.asarray((x < 0) | (y < 0) | (x > width - 1) | (y > height - 1))

    def disoccluded(self, t: float, reference: float) -> npt.NDArray[np.bool_]:
        """(H, W), where what frame `t` shows is behind the disc in frame `reference`."""
        rx, ry = self._ground_points(t, reference)
        cx, cy = self._centre(reference)
        return np.asarray(~self.on_disc(t) & (np.hypot(rx - cx, ry - cy) < self._radius()))

    def visible(self, t: float, reference: float) -> npt.NDArray[np.bool_]:
        """(H, W), where frame `reference` shows the same thing at the end of the flow vector."""
        return ~(self.outside(t, reference) | self.disoccluded(t, reference))

    def _ground(self) -> npt.NDArray[np.uint8]:
        if "ground" not in self._cache:
            height, width = self.size
            picture = procedural_picture(height * 2, width * 2) if self.picture is None else self.picture
            self._cache["ground"] = picture
        return self._cache["ground"]

    def _grid(self) -> Array:
        height, width = self.size
        return np.stack(np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)))

    def _radius(self) -> float:
        return self.disc_radius * self.size[0]

    def _centre(self, t: float) -> Array:
        height, width = self.size
        return np.array([self.disc_start[0] * width + self.disc_step[0] * t, self.disc_start[1] * height + self.disc_step[1] * t])

    def _camera(self, t: float) -> Array:
        """3×3, from a point of the frame to a point of the picture; the middle of both coincide at t = 0."""
        height, width = self.size
        picture_height, picture_width = self._ground().shape[:2]
        scale, angle = self.zoom**-t, self.turn * t
        rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        target = np.array([(picture_width - 1) / 2 + self.pan[0] * t, (picture_height - 1) / 2 + self.pan[1] * t])
        camera = np.eye(3)
        camera[:2, :2] = rotation
        camera[:2, 2] = target - rotation @ middle
        return camera

    def _ground_points(self, t: float, reference: float) -> Array:
        """(2, H, W): where the picture under each pixel of frame `t` lies in frame `reference`."""
        height, width = self.size
        x, y = self._grid()
        points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        moved = np.linalg.inv(self._camera(reference)) @ self._camera(t) @ points
        return moved[:2].reshape(2, height, width)
