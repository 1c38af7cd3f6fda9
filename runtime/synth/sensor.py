"""What a camera adds to a picture: light that changes, noise and compression."""

import math
from typing import Any, Tuple

import numpy as np

from .draws import Draws

SENSOR = 7  # stream of chance
_TILE = 64  # how far the noise can be shifted


class Sensor:
    """Turns a clean picture into one of a cheap camera.

    Args:
        cv2: OpenCV.
        seed: Of the scene.
        size: `(width, height)` in pixels.
    """

    def __init__(self, cv2: Any, seed: int, size: Tuple[int, int]) -> None:
        self._cv2, self._seed = cv2, seed
        draw = Draws(seed, SENSOR)
        width, height = size
        rng = np.random.RandomState(draw.whole(2**31))
        shape = (height + _TILE, width + _TILE)
        sigma = draw.uniform(1.5, 5.0)
        luma = rng.normal(0, sigma, shape).astype(np.float32)
        if draw.chance(0.6):  # what a camera's own smoothing leaves
            luma = cv2.GaussianBlur(luma, (3, 3), 0.6) * 1.5
        colour = rng.normal(0, 0.35 * sigma, (*shape, 3)).astype(np.float32)
        colour = cv2.GaussianBlur(colour, (5, 5), 1.2) * 2.2
        noise = np.rint(128 + luma[..., None] + colour)
        self._noise = np.clip(noise, 0, 255).astype(np.uint8)
        self.quality = 55 + draw.whole(33)
        self._gain = draw.uniform(0.78, 1.18)
        self._gamma = draw.uniform(0.85, 1.2)
        warm = draw.uniform(-0.1, 0.14)
        self._tint = np.array([1 - warm, 1.0 + draw.uniform(-0.02, 0.02), 1 + warm])
        self._waves = [
            (draw.uniform(0.01, 0.05), draw.uniform(0.01, 0.08), draw.uniform(0, 6.28))
            for _ in range(3)
        ]
        self.exposure = draw.uniform(0.006, 0.03)
        self.soft = draw.uniform(0.35, 0.75) * max(width / 640, 0.5)

    def see(self, image: np.ndarray, index: int, timestamp: float) -> np.ndarray:
        """The picture as the camera gives it, `(h, w, 3)` uint8 BGR."""
        cv2 = self._cv2
        gain = self._gain
        for amount, rate, phase in self._waves:
            gain *= 1 + amount * math.sin(6.283185307 * rate * timestamp + phase)
        level = np.arange(256, dtype=np.float64)[:, None] / 255
        curve = np.minimum(level**self._gamma * gain, 1.3) * self._tint
        curve = np.where(curve > 0.85, 0.85 + (curve - 0.85) * 0.55, curve)
        table = np.clip(np.rint(curve * 255), 0, 255).astype(np.uint8).reshape(1, 256, 3)
        image = cv2.LUT(image, table)
        draw = Draws(self._seed, SENSOR, 1 + index)
        x, y = draw.whole(_TILE), draw.whole(_TILE)
        height, width = image.shape[:2]
        image = cv2.addWeighted(image, 1.0, self._noise[y : y + height, x : x + width], 1.0, -128.0)
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
