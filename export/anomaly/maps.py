"""From what is said of each place to a score and a map of the part."""

from typing import List, Sequence, Tuple

import numpy as np

from ...runtime.sources.base import load_cv2

SPREAD = (0.05, 0.23, 0.65)
"""Shares of the shorter side that maps are spread over."""

BOUNDS = (0.75, 0.999)
"""Shares of the places of good parts between which a place's raw value counts in the map."""

LOW = -1e3
"""Raw value of places that are none of the part's."""


def top_means(maps: np.ndarray, k: int) -> np.ndarray:
    """`(n,)` mean of the k largest values of each map."""
    if not len(maps):
        return np.zeros(0, np.float32)
    flat = maps.reshape(len(maps), -1)
    return np.partition(flat, flat.shape[1] - k, axis=1)[:, -k:].mean(axis=1)


def windows(shape: Sequence[int]) -> List[int]:
    """Over how many places a map is spread, for the places of a picture along its sides.

    A defect is a place, a patch or a region: the map is the mean of these views of it, and of the
    whole part, since what is odd in many places is odd in more of them.
    """
    side = min(shape)
    return [max(int(share * side) // 2 * 2 + 1, 3) for share in SPREAD]


def bounds(good: np.ndarray) -> Tuple[float, float]:
    """Raw values between which a place counts, from maps `(n, gh, gw)` of good parts.

    One place far beyond what good parts show says no more than that it is odd itself: in the wide
    views it would outweigh a region of places that are odd as well. What most good places reach
    tells nothing.
    """
    low, high = np.quantile(good[good > LOW], BOUNDS)
    return float(low), max(float(high), float(low) + 1e-6)


def spread(maps: np.ndarray, ends: Tuple[float, float]) -> np.ndarray:
    """`(n, gh, gw)`: raw maps in units of their bounds, the mean over several views of each; only
    the finest view goes beyond 1. LOW stays LOW."""
    cv2 = load_cv2()

    def mean(values: np.ndarray, n: int) -> np.ndarray:
        return cv2.blur(values, (n, n), borderType=cv2.BORDER_CONSTANT)

    found = np.full_like(maps, LOW)
    for out, one in zip(found, maps):
        valid = one > LOW
        odd = np.where(valid, np.maximum((one - ends[0]) / (ends[1] - ends[0]), 0), 0)
        share, most = valid.astype(np.float32), np.minimum(odd, 1).astype(np.float32)
        sizes = windows(one.shape)
        views = [mean(odd.astype(np.float32), sizes[0]), *(mean(most, n) for n in sizes[1:])]
        views = [v / np.maximum(mean(share, n), 1e-3) for v, n in zip(views, sizes)]
        views.append(np.full_like(most, most.sum() / max(share.sum(), 1)))
        out[valid] = np.mean(views, axis=0)[valid]
    return found
