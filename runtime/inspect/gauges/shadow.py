"""The shadow beside a part: which way it falls and how far, so that it is not taken for the part.

A lamp from one side darkens a strip of ground along the other. From the ground the strip grows ever
darker up to the part, in every channel alike, and it lies on one side of the part alone.
"""

from typing import Tuple

import numpy as np

from ...sources.base import load_cv2

REACH = 10.0  # pixels of the small picture that are looked at across an edge
FALL = 0.01  # of the logarithm: what falls by less in a pixel has come to its lowest
DARK = 0.08  # of the logarithm below the ground that a shadow is at least
UNEVEN = 0.05  # by which one side of a part is darker than the other where there is a shadow
LONGEST = 7.0  # pixels of the small picture
SOFT = 0.8  # pixels by which a soft shadow's lowest place lies outside the part
PLACES = 160  # around a part
SHORTEST = 1.2  # pixels
ALIKE = 0.85  # share of the darkness of one side that the other has of a dark part
REVERSED = 1.0  # pixels by which the side that is lighter is the shadow's
FURTHER = 0.3  # pixels by which a shadow's edge lies further out than others
_DEPTHS = np.arange(-2, REACH + 0.1, 0.5)  # pixels inside the contour
_TWO = int(np.searchsorted(_DEPTHS, 2.0))


def smooth_contour(contour: np.ndarray, sigma: float) -> np.ndarray:
    """A closed contour `(n, 2)`, a pixel apart, without the steps of its pixels."""
    kernel = load_cv2().getGaussianKernel(2 * int(4 * sigma) + 1, sigma)[:, 0]
    half = len(kernel) // 2
    if len(contour) < 4 * half:
        return contour
    around = np.concatenate((contour[-half:], contour, contour[:half]))
    return np.stack([np.convolve(around[:, k], kernel, "valid") for k in (0, 1)], axis=1)


def shadow_of(contour: np.ndarray, level: np.ndarray) -> np.ndarray:
    """`(2,)` pixels from a part's edge to the end of its shadow; zeros where it casts none.

    Args:
        contour: `(n, 2)` pixels around what stands out of the ground, shadow and all.
        level: `(h, w)` float32, logarithm of the lightest channel over the ground's: a shadow is
            dark in it, and a part of any bright colour is not.
    """
    normal, depth, rows = _valleys(contour, level)
    if len(normal) < PLACES // 4:
        return np.zeros(2)
    bottom = rows[:, : _TWO + 9].min(axis=1)
    slope = -_slope(normal, rows[:, _TWO])
    if float(np.hypot(*slope)) < UNEVEN:
        # As dark all around, by a rim: the edge of a shadow lies further out.
        fallen = _DEPTHS[(rows <= 0.6 * bottom[:, None]).argmax(axis=1)]
        slope = _slope(normal, np.where(bottom < -DARK, fallen, 0.0))
        if float(np.hypot(*slope)) < FURTHER:
            return np.zeros(2)
    way = slope / np.hypot(*slope)
    along = normal @ way
    if not (along > 0.8).any() or not (along < -0.8).any():
        return np.zeros(2)
    dark, other = rows[along > 0.8].mean(axis=0), rows[along < -0.8].mean(axis=0)
    deepest = float(other.min())
    alike = deepest < min(-DARK, ALIKE * float(dark[: _TWO + 9].min()))
    if alike and _fallen(other) > _fallen(dark) + REVERSED:
        # A part darker than its own shadow is as dark on both sides, and on that of its shadow
        # only further in.
        way, along = -way, -along
    shaded, lit = along > 0.8, along < -0.8
    seen = shaded & np.isfinite(depth)
    if seen.sum() < max(0.6 * shaded.sum(), 3):
        return np.zeros(2)
    here, there = rows[shaded].mean(axis=0), rows[lit].mean(axis=0)
    length = SOFT + float(np.median((depth * along)[seen]))
    at = int(np.searchsorted(_DEPTHS, length - SOFT))
    if here[: at + 1].min() > 1.05 * there.min() and there[_TWO:].min() < -DARK:
        # A part that is darker than its own shadow begins where it is as dark as on the lit side.
        length = _reach(here, there) - _reach(there, there)
    return way * length if SHORTEST < length < LONGEST else np.zeros(2)


def _slope(normal: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`(2,)` by how much values around a part grow along normals."""
    terms = np.concatenate((np.ones((len(normal), 1)), normal), axis=1)
    return np.linalg.lstsq(terms, values, rcond=None)[0][1:]


def _fallen(profile: np.ndarray) -> float:
    """Pixels inside the contour at which a profile has most of its depth."""
    return float(_DEPTHS[int((profile <= 0.6 * profile.min()).argmax())])


def _reach(profile: np.ndarray, face: np.ndarray) -> float:
    """Pixels inside the contour at which a profile is nearly as dark as the face."""
    deep = profile <= 0.9 * float(face[: _TWO + 9].min())
    return float(_DEPTHS[int(deep.argmax())]) if deep.any() else np.inf


def without_shadow(mask: np.ndarray, shadow: np.ndarray) -> np.ndarray:
    """A part's mask, uint8 0 or 255, without the strip by which its shadow made it longer."""
    back = np.array([[1, 0, -shadow[0]], [0, 1, -shadow[1]]])
    cv2 = load_cv2()
    # What the border of the picture cuts goes on beyond it.
    moved = cv2.warpAffine(mask, back, mask.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.minimum(mask, moved)


def _valleys(contour: np.ndarray, level: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outward normals `(n, 2)`, how far inside the contour the first dark valley lies `(n,)`, NaN
    where there is none, and levels `(n, k)` across the edge at `_DEPTHS`."""
    cv2 = load_cv2()
    closed = np.concatenate((contour, contour[:1])).astype(np.float64)
    steps = np.hypot(*np.diff(closed, axis=0).T)
    length = np.concatenate(((0.0,), np.cumsum(steps)))
    at = np.arange(PLACES) * (length[-1] / PLACES)
    points = np.stack([np.interp(at, length, closed[:, k]) for k in (0, 1)], axis=1)
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    padded = np.concatenate((points[-2:], points, points[:2]))
    points = np.stack([np.convolve(padded[:, k], kernel, "valid") for k in (0, 1)], axis=1)
    tangent = np.roll(points, -2, axis=0) - np.roll(points, 2, axis=0)
    x, y = points.T
    way = np.sign(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))
    normal = np.stack((tangent[:, 1], -tangent[:, 0]), axis=1) * way
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    x = (points[:, :1] - normal[:, :1] * _DEPTHS).astype(np.float32)
    y = (points[:, 1:] - normal[:, 1:] * _DEPTHS).astype(np.float32)
    rows = cv2.remap(level, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # The mean of neighbours along the edge, and of two samples across it.
    rows = cv2.blur(np.concatenate((rows[-3:], rows, rows[:3])), (2, 7))[3:-3]
    falling = rows[:, 2:] < rows[:, :-2] - FALL
    bottom = (rows[:, 2:-2] < -DARK) & ~falling[:, 2:]
    first = bottom.argmax(axis=1)
    depth = np.where(bottom.any(axis=1), _DEPTHS[2:-2][first], np.nan)
    # The border of the picture is no edge of the part.
    size = np.array([level.shape[1], level.shape[0]])
    edge = ((points > 1.5) & (points < size - 2.5)).all(axis=1)
    return normal[edge], depth[edge], rows[edge].astype(np.float64)
