"""A pinhole camera that looks down on a floor.

The world is in metres: x to the right, y away from the camera along the floor, z up. Formula:
Hartley and Zisserman, "Multiple View Geometry in Computer Vision", 2nd ed., chapter 6.
"""

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Where a camera hangs and what it looks at.

    Attributes:
        position: x, y, z in metres.
        yaw: Radians to the right of the y axis.
        tilt: Radians down from level.
        focal: Focal length in pixels.
        size: `(width, height)` of the picture in pixels; the axis meets its middle.
    """

    position: Tuple[float, float, float]
    yaw: float
    tilt: float
    focal: float
    size: Tuple[int, int]

    @property
    def axes(self) -> np.ndarray:
        """Rows: right, down and forward in the world. `(3, 3)` float64."""
        sy, cy = math.sin(self.yaw), math.cos(self.yaw)
        st, ct = math.sin(self.tilt), math.cos(self.tilt)
        forward = (sy * ct, cy * ct, -st)
        right = (cy, -sy, 0.0)
        down = (-sy * st, -cy * st, -ct)
        return np.array([right, down, forward])

    @property
    def ahead(self) -> np.ndarray:
        """The way it looks along the floor, a unit vector `(2,)`."""
        return np.array([math.sin(self.yaw), math.cos(self.yaw)])

    def project(self, points: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Pixels `(…, 2)` and depths along the axis in metres `(…)` of points `(…, 3)`.

        Points nearer than 0.1 m, or behind the camera, are taken as 0.1 m away.
        """
        local = (np.asarray(points, np.float64) - self.position) @ self.axes.T
        depth = np.maximum(local[..., 2], 0.1)
        centre = np.array([self.size[0] * 0.5, self.size[1] * 0.5])
        return local[..., :2] * (self.focal / depth)[..., None] + centre, depth

    def floor_pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels `(n, 2)` of floor points `(n, 2)` in metres."""
        flat = np.asarray(points, np.float64).reshape(-1, 2)
        return self.project(np.concatenate((flat, np.zeros((len(flat), 1))), axis=1))[0]

    def reach(self, points: np.ndarray) -> np.ndarray:
        """Metres ahead along the floor of points `(…, ≥ 2)`; tells what hides what. `(…)`."""
        points = np.asarray(points)
        ahead = self.ahead
        return (points[..., 0] - self.position[0]) * ahead[0] + (
            points[..., 1] - self.position[1]
        ) * ahead[1]

    def rays(self, scale: int) -> np.ndarray:
        """A way through each pixel of a picture `scale` times as fine, `(h, w, 3)` float32."""
        width, height = self.size[0] * scale, self.size[1] * scale
        x = ((np.arange(width) + 0.5) / scale - self.size[0] * 0.5) / self.focal
        y = ((np.arange(height) + 0.5) / scale - self.size[1] * 0.5) / self.focal
        right, down, forward = self.axes
        rays = forward + x[None, :, None] * right + y[:, None, None] * down
        return rays.astype(np.float32)
