"""The plane that parts lie on, and the heights at which their edges are seen."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional, Tuple

import numpy as np

from .camera import Camera

OUTLINE, FACE = "outline", "face"


@dataclass(frozen=True)
class Pose:
    """Where a part lies on the plane: its own coordinates turned by `angle`, then shifted.

    Attributes:
        middle: `(2,)` float64 lengths on the plane of the part's origin.
        angle: Radians from the plane's x to the part's x, towards y.
    """

    middle: np.ndarray
    angle: float

    @property
    def turn(self) -> np.ndarray:
        """`(2, 2)`: directions of the part to directions on the plane."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def to_plane(self, points: Any) -> np.ndarray:
        """`(n, 2)` on the plane of `(n, 2)` on the part."""
        return np.asarray(points, float).reshape(-1, 2) @ self.turn.T + self.middle

    def to_part(self, points: Any) -> np.ndarray:
        """`(n, 2)` on the part of `(n, 2)` on the plane."""
        return (np.asarray(points, float).reshape(-1, 2) - self.middle) @ self.turn


class Plane:
    """Pixels to lengths and back: through a camera, or as they are.

    Args:
        camera: For millimetres; without it lengths are pixels.
        height: Millimetres of the parts' upper rim above the plane of the board.
        edge: `outline`: what ends a part against the ground is its upper rim where that hides its
            foot from the camera, and its foot elsewhere. `face`: always the upper rim.
    """

    def __init__(self, camera: Optional[Camera], height: float = 0.0, edge: str = OUTLINE) -> None:
        self.camera, self.height, self.edge = camera, height, edge
        self.unit = "px" if camera is None else "mm"
        self.relative = 0.0 if camera is None else camera.scale_uncertainty
        self.place = 0.0 if camera is None else camera.place_uncertainty

    def to_plane(self, pixels: Any, outward: Optional[np.ndarray] = None) -> np.ndarray:
        """Lengths `(n, 2)` of pixels `(n, 2)`; NaN stays NaN.

        Args:
            pixels: Places in the picture.
            outward: `(n, 2)` directions in the picture from the part to the ground there; without
                them all are taken for the upper rim.
        """
        pixels = np.asarray(pixels, float).reshape(-1, 2)
        if self.camera is None:
            return pixels.copy()
        result = np.full(pixels.shape, np.nan)
        good = np.isfinite(pixels).all(axis=1)
        result[good] = self.camera.to_mm(pixels[good], self.height)
        if self.height and self.edge == OUTLINE and outward is not None:
            lift = self.to_pixels(result[good]) - self.to_pixels(result[good], 0.0)
            foot = np.flatnonzero(good)[(lift * outward[good]).sum(axis=1) < 0]
            result[foot] = self.camera.to_mm(pixels[foot], 0.0)
        return result

    def to_pixels(self, points: Any, height: Optional[float] = None) -> np.ndarray:
        """Pixels `(n, 2)` of lengths `(n, 2)`, at the upper rim unless another height is given."""
        points = np.asarray(points, float).reshape(-1, 2)
        if self.camera is None:
            return points.copy()
        return self.camera.to_pixels(points, self.height if height is None else height)

    def seen_edge(self, points: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Pixels `(n, 2)` where edges `(n, 2)` of the part, `normal` to the ground, are seen."""
        top = self.to_pixels(points)
        if not self.height or self.edge != OUTLINE:
            return top
        foot = self.to_pixels(points, 0.0)
        outward = self.to_pixels(points + normal * self.scale(points.mean(axis=0))) - top
        hidden = ((top - foot) * outward).sum(axis=1) < 0
        return np.where(hidden[:, None], foot, top)

    def outward(self, at: np.ndarray, normal: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Where edges are seen, and what a pixel in the middle of the picture is there.

        Args:
            at: `(n, 2)` of the part, on the plane.
            normal: `(n, 2)` unit vectors towards the ground.

        Returns:
            `(n, 2)` pixels, and `(n, 2)` pixels along the normal for the length that is one pixel
            in the middle of the picture: about unit vectors, longer where the picture is larger.
        """
        here = self.seen_edge(at, normal)
        there = self.to_pixels(self.to_plane(here) + normal * self.usual)
        return here, there - here

    @cached_property
    def usual(self) -> float:
        """Lengths for one pixel in the middle of the picture."""
        if self.camera is None:
            return 1.0
        middle = 0.5 * np.array(self.camera.size, float)
        return self.camera.mm_per_pixel(middle, self.height)

    def scale(self, at: np.ndarray) -> float:
        """Lengths for one pixel there."""
        if self.camera is None:
            return 1.0
        at = np.asarray(at, float).reshape(1, 2)
        return self.camera.mm_per_pixel(self.to_pixels(at)[0], self.height)
