"""The ground that parts lie on: its light, and how far everything stands out of it."""

from typing import Any, NamedTuple, Tuple

import numpy as np

from ....core import DataError
from ...sources.base import load_cv2

SHORT = 360  # pixels of the shorter side at which parts are told from the ground
COARSE = 60  # pixels of the shorter side at which the light of the ground is found
FAR = 5.0  # spreads of the ground beyond which something is not the ground
DARK = 4.0  # grey levels added before the logarithm: the noise of what is nearly black


class Ground(NamedTuple):
    """A picture against its ground, in the small.

    Attributes:
        factor: By how much it is smaller than the picture.
        away: `(h, w, c)` float32, logarithm of each pixel over the ground's; negative is darker.
        spread: `(c,)` float32 of it over the ground.
        light: `(h, w, c)` float32, logarithm of the ground's own light, `DARK` added, coarsely.
    """

    factor: int
    away: np.ndarray
    spread: np.ndarray
    light: np.ndarray

    def light_at(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """`(c,)` grey levels of the ground within a box of the small picture."""
        rows, columns = self.light.shape[:2]
        y = int(0.5 * (top + bottom) * rows / self.away.shape[0])
        x = int(0.5 * (left + right) * columns / self.away.shape[1])
        at = self.light[min(y, rows - 1), min(x, columns - 1)].astype(np.float64)
        return np.clip(np.exp(at) - DARK, 0, 255)

    @property
    def picture(self) -> np.ndarray:
        """`(h, w, c)` float32, the ground without anything on it, coarsely."""
        return np.exp(self.light) - np.float32(DARK)

    @property
    def strength(self) -> np.ndarray:
        """`(h, w)` float32, by how many spreads each pixel stands out in its worst channel."""
        cv2 = load_cv2()
        worst = np.zeros(self.away.shape[:2], np.float32)
        for k, spread in enumerate(self.spread.tolist()):
            far = cv2.absdiff(np.ascontiguousarray(self.away[..., k]), 0.0)
            worst = cv2.max(worst, far * np.float32(1 / spread))
        return worst


def coarseness(image: np.ndarray) -> int:
    """Pixels to which parts are told from the ground before their edges are looked for."""
    return max(min(image.shape[:2]) // SHORT, 1)


def see_ground(image: np.ndarray) -> Ground:
    """Tell the ground's own light, and what is not the ground.

    The light is a quadratic surface fitted to the logarithm of the ground in each channel, which is
    what the border shows most of; found anew a few times, each time without what stands out.

    Args:
        image: `(h, w, 3)` uint8 BGR, or `(h, w)`.

    Raises:
        DataError: No ground can be told.
    """
    cv2 = load_cv2()
    factor = coarseness(image)
    size = (max(image.shape[1] // factor, 1), max(image.shape[0] // factor, 1))
    small = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 0.9)
    log = cv2.log(small + DARK).reshape(*size[::-1], -1)
    every = max(min(size) // COARSE, 1)
    coarse = (max(size[0] // every, 1), max(size[1] // every, 1))
    rough = cv2.resize(log, coarse, interpolation=cv2.INTER_AREA).reshape(*coarse[::-1], -1)
    weights, spread = _fit(cv2, rough)
    surface = (_terms(rough.shape) @ weights).astype(np.float32).reshape(rough.shape)
    whole = cv2.resize(surface, size, interpolation=cv2.INTER_LINEAR).reshape(log.shape)
    return Ground(factor, log - whole, spread.astype(np.float32), surface)


def _terms(shape: Any) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=2).reshape(-1, 6)


def _fit(cv2: Any, rough: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Weights of the surface `(6, c)` and spread `(c,)` of the ground."""
    shape = rough.shape[:2]
    terms, values = _terms(shape), rough.reshape(-1, rough.shape[2]).astype(np.float64)
    rim = np.ones(shape, bool)
    edge = max(min(shape) // 12, 2)
    rim[edge:-edge, edge:-edge] = False
    middle = np.median(values[rim.ravel()], axis=0)
    ground = rim.ravel() & (np.abs(values - middle) < 0.7).all(axis=1)
    weights, spread = np.zeros((6, values.shape[1])), np.ones(values.shape[1])
    for _ in range(5):
        if ground.sum() < max(0.05 * ground.size, 6):
            raise DataError("the ground cannot be told from parts", remedy="leave room around them")
        own = terms[ground]
        weights = np.linalg.solve(own.T @ own + 1e-6 * np.eye(6), own.T @ values[ground])
        flat = values - terms @ weights
        rest = flat[ground] - np.median(flat[ground], axis=0)
        # A dark picture is counted in whole grey levels: its spread is never below half of one.
        least = 0.5 / np.exp(np.median(values[ground], axis=0)) + 0.004
        spread = 1.4826 * np.median(np.abs(rest), axis=0) + least
        part = (np.abs(flat) > FAR * spread).any(axis=1).reshape(shape).astype(np.uint8)
        ground = ~cv2.dilate(part, np.ones((3, 3), np.uint8)).astype(bool).ravel()
    return weights, spread
