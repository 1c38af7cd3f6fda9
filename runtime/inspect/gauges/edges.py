"""Edges to a small part of a pixel, and the circles and lines that fit them.

Across an edge the picture is a step that the lens has blurred: an error function is fitted to each
profile, so shading and noise on both sides do not move it.
"""

import math
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

from ...sources.base import load_cv2


class Edges(NamedTuple):
    """Edges found across profiles; NaN where there is none.

    Attributes:
        xy: `(n, 2)` float64 pixels.
        blur: `(n,)` standard deviation of the blurred step, pixels.
        contrast: `(n,)` grey levels, positive where it grows lighter along the normal.
    """

    xy: np.ndarray
    blur: np.ndarray
    contrast: np.ndarray


def sample_rows(image: np.ndarray, at: np.ndarray, normal: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Grey levels `(n, k)` float64 at places `t` along each `normal` from `at`, by cubics."""
    if not len(at):
        return np.zeros((0, len(t)))
    cv2 = load_cv2()
    x = at[:, :1] + normal[:, :1] * t
    y = at[:, 1:] + normal[:, 1:] * t
    return cv2.remap(
        image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float64)  # fmt: skip


def steepest(
    image: np.ndarray, at: np.ndarray, normal: np.ndarray, reach: float, sign: int = 0
) -> Tuple[np.ndarray, int]:
    """Where each profile is steepest, all in the same sense.

    Args:
        image: `(h, w)` float32 grey levels.
        at: `(n, 2)` pixels about which it is looked for.
        normal: `(n, 2)` unit vectors across.
        reach: Pixels to both sides.
        sign: 1 where it grows lighter along the normal, -1 for darker, 0 for what most profiles
            agree on.

    Returns:
        `(n,)` pixels from `at` along the normal, NaN where nothing has that sense, and the sense.
    """
    if not len(at):
        return np.zeros(0), sign
    slope, t = _slopes(image, at, normal, reach)
    if not sign:
        best = np.abs(slope).argmax(axis=1)
        sign = 1 if float(np.median(slope[np.arange(len(at)), best])) > 0 else -1
    best = (slope * sign).argmax(axis=1)
    there = slope[np.arange(len(at)), best] * sign > 0
    return np.where(there, t[best], np.nan), sign


def _slopes(
    image: np.ndarray, at: np.ndarray, normal: np.ndarray, reach: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Slopes `(n, k)` across an edge at places `(k,)`, none beyond the reach."""
    step = 0.5
    t = np.arange(-reach - 2, reach + 2 + step / 2, step)
    rows = sample_rows(image, at, normal, t)
    soft = load_cv2().filter2D(rows, -1, np.array([[1.0, 2, 3, 2, 1]]) / 9)
    slope = np.zeros_like(soft)
    slope[:, 2:-2] = (soft[:, 4:] - soft[:, :-4]) / (4 * step)
    slope[:, np.abs(t) > reach] = 0
    return slope, t


def find_edges(
    image: np.ndarray,
    at: np.ndarray,
    normal: np.ndarray,
    reach: float = 6.0,
    sign: int = 0,
) -> Edges:
    """The strongest edge on each profile.

    Args:
        image: `(h, w)` float32 grey levels.
        at: `(n, 2)` pixels about which an edge is looked for.
        normal: `(n, 2)` unit vectors across it.
        reach: Pixels to both sides.
        sign: 1 for edges that grow lighter along the normal, -1 for darker, 0 for either.
    """
    from scipy.special import erf

    at, normal = np.asarray(at, np.float64), np.asarray(normal, np.float64)
    count = len(at)
    height, width = image.shape
    step = 0.5
    found = np.zeros(count)
    if count:
        slope, t = _slopes(image, at, normal, reach)
        found = t[(slope * sign if sign else np.abs(slope)).argmax(axis=1)]
    # Fitted in a narrow window, so that the next edge has no say; narrower where edges are sharp.
    near = np.arange(-6.0, 6.01, step)
    rows = sample_rows(image, at + normal * found[:, None], normal, near)
    parameters = _fit_steps(rows, near, None)
    usual = float(np.median(parameters[:, 3])) if count else 1.0
    half = step * round(float(np.clip(2.5 * usual + 1.5, 3.5, 6.0)) / step)
    if half < 6.0 and count:
        inside = np.abs(near) <= half + 0.01
        rows, near = rows[:, inside], near[inside]
        parameters = _fit_steps(rows, near, parameters)
    a, b, x0, s = parameters.T
    z = (near[None] - x0[:, None]) / s[:, None]
    rest = rows - (a[:, None] + b[:, None] * 0.5 * (1 + erf(z / math.sqrt(2))))
    noise = rest.std(axis=1)
    place = at + normal * (found + x0)[:, None]
    border = 2.0
    good = (np.abs(x0) < 3) & (np.abs(b) > 3 * noise + 4) & (s < 3.9)
    good &= (place > border).all(axis=1) & (place < (width - 1 - border, height - 1 - border)).all(
        axis=1
    )
    if sign:
        good &= b * sign > 0
    place[~good] = np.nan
    return Edges(place, np.where(good, s, np.nan), np.where(good, b, np.nan))


def _fit_steps(rows: np.ndarray, near: np.ndarray, start: Optional[np.ndarray]) -> np.ndarray:
    """Level, height, place and blur `(n, 4)` of the step on each profile, by Gauss-Newton."""
    from scipy.special import erf

    parameters = start
    if parameters is None:
        low, high = rows[:, :4].mean(axis=1), rows[:, -4:].mean(axis=1)
        zero = np.zeros(len(rows))
        parameters = np.stack((low, high - low, zero, zero + 1.2), axis=1)
    eye = np.eye(4)
    for _ in range(12 if start is None else 6):
        a, b, x0, s = parameters.T
        z = (near[None] - x0[:, None]) / s[:, None]
        bell = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        phi = 0.5 * (1 + erf(z / math.sqrt(2)))
        rest = rows - (a[:, None] + b[:, None] * phi)
        by = (b / s)[:, None] * bell
        jacobian = np.stack((np.ones_like(z), phi, -by, -by * z), axis=2)
        normal_matrix = np.einsum("nki,nkj->nij", jacobian, jacobian)
        trace = np.trace(normal_matrix, axis1=1, axis2=2)
        normal_matrix += eye * (1e-4 * trace + 1e-6)[:, None, None]
        right = np.einsum("nki,nk->ni", jacobian, rest)
        change = np.linalg.solve(normal_matrix, right[:, :, None])[:, :, 0]
        change[:, 2:] = np.clip(change[:, 2:], -0.5, 0.5)
        parameters = parameters + change
        parameters[:, 3] = np.clip(parameters[:, 3], 0.35, 4.0)
        parameters[:, 2] = np.clip(parameters[:, 2], -4, 4)
    return parameters


class Fit(NamedTuple):
    """A circle (x, y, radius) or a line (x, y of its middle, angle) through points.

    Attributes:
        values: `(3,)` float64.
        covariance: `(3, 3)` of them, by what the points miss.
        spread: Robust standard deviation of the misses.
        used: `(n,)` bool, points that are no outliers.
    """

    values: np.ndarray
    covariance: np.ndarray
    spread: float
    used: np.ndarray


def _weights(rest: np.ndarray, floor: float) -> Tuple[np.ndarray, float]:
    """Tukey's, at 4.7 robust standard deviations, and that deviation."""
    spread = max(1.4826 * float(np.median(np.abs(rest))), floor)
    return np.clip(1 - (rest / (4.7 * spread)) ** 2, 0, None) ** 2, spread


def _covariance(
    jacobian: np.ndarray, rest: np.ndarray, weight: np.ndarray, sure: np.ndarray
) -> np.ndarray:
    used = weight > 0.1
    free = max(int(used.sum()) - jacobian.shape[1], 1)
    own = jacobian[used] * sure[used, None]
    normal = own.T @ own + 1e-12 * np.eye(jacobian.shape[1])
    return np.linalg.inv(normal) * float(((rest * sure)[used] ** 2).sum() / free)


def _sureness(noise: Optional[np.ndarray], keep: np.ndarray) -> np.ndarray:
    """How many times better than the usual each point is known, within a factor of three."""
    if noise is None:
        return np.ones(int(keep.sum()))
    own = noise[keep]
    usual = float(np.median(own)) if len(own) else 1.0
    return np.clip(usual / np.maximum(own, 1e-12), 1 / 3, 3)


def fit_circle(
    points: np.ndarray, floor: float = 1e-6, noise: Optional[np.ndarray] = None
) -> Optional[Fit]:
    """Circle by geometric least squares with Tukey weights; None for fewer than 8 points.

    Args:
        points: `(n, 2)`; rows with NaN are left out.
        floor: Misses below this make no outlier.
        noise: `(n,)` of which each point is known the better the less; alike unless given.
    """
    keep = np.isfinite(points).all(axis=1)
    p = points[keep]
    if len(p) < 8:
        return None
    sure = _sureness(noise, np.asarray(keep))
    middle = p.mean(axis=0)
    design = np.concatenate((2 * (p - middle), np.ones((len(p), 1))), axis=1)
    solution = np.linalg.lstsq(design, ((p - middle) ** 2).sum(axis=1), rcond=None)[0]
    radius = math.sqrt(max(solution[2] + solution[0] ** 2 + solution[1] ** 2, 1e-12))
    values = np.array([*(middle + solution[:2]), radius])
    rest, weight, jacobian, spread = np.zeros(len(p)), np.ones(len(p)), np.zeros((len(p), 3)), 0.0
    for _ in range(30):
        away = p - values[:2]
        distance = np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-12)
        rest = distance - values[2]
        weight, spread = _weights(rest * sure, floor)
        jacobian = np.concatenate((away / distance[:, None], np.ones((len(p), 1))), axis=1)
        weighted = jacobian * (weight * sure**2)[:, None]
        normal = weighted.T @ jacobian + 1e-12 * np.eye(3)
        change = np.linalg.solve(normal, weighted.T @ rest)
        values = values + change
        if np.abs(change).max() < 1e-9 * max(values[2], 1):
            break
    used = np.zeros(len(points), bool)
    used[np.flatnonzero(keep)] = weight > 0.1
    return Fit(values, _covariance(jacobian, rest, weight, sure), spread, used)


def fit_line(
    points: np.ndarray, floor: float = 1e-6, noise: Optional[np.ndarray] = None
) -> Optional[Fit]:
    """Line by total least squares with Tukey weights; None for fewer than 5 points.

    Args:
        points: `(n, 2)`; rows with NaN are left out.
        floor: Misses below this make no outlier.
        noise: `(n,)` of which each point is known the better the less; alike unless given.

    Returns:
        The covariance is of the shift along x and y across the line, and of the angle in radians.
    """
    keep = np.isfinite(points).all(axis=1)
    p = points[keep]
    if len(p) < 5:
        return None
    sure = _sureness(noise, np.asarray(keep))
    weight, middle, angle, spread = np.ones(len(p)), p.mean(axis=0), 0.0, 0.0
    rest = along = np.zeros(len(p))
    across = np.zeros(2)
    for _ in range(30):
        total = weight * sure**2
        middle = (p * total[:, None]).sum(axis=0) / total.sum()
        away = p - middle
        moment = (away * total[:, None]).T @ away
        direction = np.linalg.eigh(moment)[1][:, 1]
        new = math.atan2(direction[1], direction[0])
        across = np.array([-direction[1], direction[0]])
        rest, along = away @ across, away @ direction
        if abs(math.remainder(new - angle, math.pi)) < 1e-12:
            break
        angle = new
        weight, spread = _weights(rest * sure, floor)
    jacobian = np.stack((np.ones(len(p)), along), axis=1)
    two = _covariance(jacobian, rest, weight, sure)
    covariance = np.zeros((3, 3))
    covariance[:2, :2] = np.outer(across, across) * two[0, 0]
    covariance[2, 2] = two[1, 1]
    used = np.zeros(len(points), bool)
    used[np.flatnonzero(keep)] = weight > 0.1
    return Fit(np.array([*middle, angle]), covariance, spread, used)


def curvature_shift(blur: Any, radius: Any) -> Any:
    """Pixels by which blur draws the edge of a circle inward: blur squared over twice the radius.

    First order of the half-way level of a disc convolved with a Gaussian; the same for a bright
    part and for a dark hole.
    """
    return np.asarray(blur) ** 2 / (2 * np.maximum(np.asarray(radius), 1e-9))
