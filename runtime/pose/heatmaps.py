"""From heatmaps to points: the best cell, and where between the cells the peak lies.

Sources: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation
(DARK), 2020; Huang et al., The Devil is in the Details: Delving into Unbiased Data Processing
(UDP), 2020; the quarter of a cell from Newell et al., Stacked Hourglass Networks, 2016.
"""

from functools import lru_cache
from typing import Callable, Dict, Optional, Tuple

import numpy as np

from ...core import UsageError, did_you_mean

_LEAST = 1e-10  # under every logarithm


def decode_heatmaps(
    maps: np.ndarray, refine: str = "dark", blur: Optional[float] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """The place of the peak of each map.

    Args:
        maps: `(n, k, h, w)` floats.
        refine: `none` for the best cell; `quarter` for a quarter of a cell towards the larger
            neighbour; `dark` for the peak of a Gaussian through the smoothed map's logarithm;
            `udp` for the same with differences of one cell. The last two leave the best cell as
            it is where it lies at the map's edge or nothing around it is like a peak.
        blur: Standard deviation in cells of the smoothing of `dark` and `udp`: that of the peaks
            which the net was trained to give. A 24th of the width unless given.

    Returns:
        `(n, k, 2)` float64 x, y in cells, the first cell's centre being 0, and `(n, k)` float32
        scores: the value of the best cell within 0..1, NaN where a map holds what is no number.

    Raises:
        UsageError: `refine` is unknown.
    """
    if refine not in REFINEMENTS:
        raise UsageError(
            f"there is no refinement {refine!r}", remedy=did_you_mean(refine, REFINEMENTS)
        )
    count, points, height, width = maps.shape
    flat = maps.reshape(count * points, height * width)
    best = flat.argmax(axis=1)
    rows = np.arange(len(flat))
    peak = flat[rows, best]
    known = np.isfinite(peak)
    if not known.all():
        best, peak = np.where(known, best, 0), np.where(known, peak, np.nan)
    y, x = np.divmod(best, width)
    place = np.stack((x, y), axis=1).astype(np.float64)
    sigma = width / 24.0 if blur is None else blur
    rows = np.flatnonzero(known)
    if len(rows):
        cube = flat.reshape(-1, height, width)
        shift = REFINEMENTS[refine](cube, rows, x[rows], y[rows], sigma)
        if shift is not None:
            place[rows] += shift
    scores = np.clip(peak, 0, 1).astype(np.float32)
    return place.reshape(count, points, 2), scores.reshape(count, points)


def _none(maps, rows, x, y, sigma) -> None:
    return None


def _quarter(maps: np.ndarray, rows, x, y, sigma: float) -> np.ndarray:
    height, width = maps.shape[1:]
    shift = np.zeros((len(rows), 2))
    inner = (x > 0) & (x < width - 1)
    r, a, b = rows[inner], x[inner], y[inner]
    shift[inner, 0] = 0.25 * np.sign(np.subtract(maps[r, b, a + 1], maps[r, b, a - 1]))
    inner = (y > 0) & (y < height - 1)
    r, a, b = rows[inner], x[inner], y[inner]
    shift[inner, 1] = 0.25 * np.sign(np.subtract(maps[r, b + 1, a], maps[r, b - 1, a]))
    return np.nan_to_num(shift)


def _newton(maps: np.ndarray, rows, x, y, sigma: float, step: int) -> np.ndarray:
    """One step of Newton's method on the logarithm of the smoothed map, in which a Gaussian is a
    parabola, so that the step ends at its peak.

    Smoothing is linear and only a few values are needed of each map, so only a small window
    around the best cell is looked at, by two products with a banded matrix.
    """
    height, width = maps.shape[1:]
    shift = np.zeros((len(rows), 2))
    span = 2 if step == 2 else 1
    inner = (x >= span) & (x < width - span) & (y >= span) & (y < height - span)
    rows, x, y = rows[inner], x[inner], y[inner]
    if not len(rows):
        return shift
    band, reach = _smoothing(float(sigma), span)
    window = _windows(maps, rows, x, y, reach)
    with np.errstate(all="ignore"):  # what is no number is left out below
        smooth = np.log(np.maximum(band @ window @ band.T, _LEAST))
        c = span
        dx = 0.5 * (smooth[:, c, c + 1] - smooth[:, c, c - 1])
        dy = 0.5 * (smooth[:, c + 1, c] - smooth[:, c - 1, c])
        centre, far = smooth[:, c, c], 1.0 / (step * step)
        dxx = far * (smooth[:, c, c + step] - 2 * centre + smooth[:, c, c - step])
        dyy = far * (smooth[:, c + step, c] - 2 * centre + smooth[:, c - step, c])
        dxy = 0.25 * (
            smooth[:, c + 1, c + 1]
            - smooth[:, c - 1, c + 1]
            - smooth[:, c + 1, c - 1]
            + smooth[:, c - 1, c - 1]
        )
        determinant = dxx * dyy - dxy * dxy
        move = np.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), axis=1)
        move /= determinant[:, None]
        # A peak bends down along both axes. One that lies more than a cell and a half off is
        # another hill's.
        good = (determinant > 0) & (dxx < 0) & (np.abs(move) < 1.5).all(axis=1)
    shift[inner] = np.where(good[:, None], move, 0)
    return shift


def _windows(maps: np.ndarray, rows, x, y, reach: int) -> np.ndarray:
    """`(m, 2 reach + 1, 2 reach + 1)` float32 around each cell, 0 beyond the map."""
    height, width = maps.shape[1:]
    side = np.arange(-reach, reach + 1)
    down, across = y[:, None] + side, x[:, None] + side
    start = rows[:, None] * height + np.clip(down, 0, height - 1)
    index = start[:, :, None] * width + np.clip(across, 0, width - 1)[:, None, :]
    window = maps.reshape(-1).take(index).astype(np.float32, copy=False)
    outside = (down < 0) | (down >= height)
    if outside.any():
        window *= ~outside[:, :, None]
    outside = (across < 0) | (across >= width)
    if outside.any():
        window *= ~outside[:, None, :]
    return window


@lru_cache(maxsize=16)
def _smoothing(sigma: float, span: int) -> Tuple[np.ndarray, int]:
    """The `(2 span + 1, 2 reach + 1)` matrix that smooths a window to its middle, and `reach`."""
    radius = max(int(np.ceil(2.5 * sigma)), 1) if sigma > 0 else 0
    taps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (taps / sigma) ** 2) if sigma > 0 else np.ones(1)
    kernel /= kernel.sum()
    reach = radius + span
    band = np.zeros((2 * span + 1, 2 * reach + 1), np.float32)
    for i in range(2 * span + 1):
        band[i, i : i + len(kernel)] = kernel
    band.setflags(write=False)
    return band, reach


def _dark(maps: np.ndarray, rows, x, y, sigma: float) -> np.ndarray:
    return _newton(maps, rows, x, y, sigma, 2)


def _udp(maps: np.ndarray, rows, x, y, sigma: float) -> np.ndarray:
    return _newton(maps, rows, x, y, sigma, 1)


REFINEMENTS: Dict[str, Callable[..., Optional[np.ndarray]]] = {
    "none": _none,
    "quarter": _quarter,
    "dark": _dark,
    "udp": _udp,
}
"""How the place between the cells is found, by name."""
