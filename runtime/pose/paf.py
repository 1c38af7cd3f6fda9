"""Poses of all people at once, from heatmaps of points and part affinity fields of limbs.

A field holds, along each limb of the skeleton, the direction from its first point to its second.
Peaks of the maps are points of anybody; two of them belong together as far as the field between
them points from one to the other. Source: Cao et al., OpenPose: Realtime Multi-Person 2D Pose
Estimation using Part Affinity Fields, 2019.
"""

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from .skeleton import Skeleton

SAMPLES = 10
"""Places between two points at which the field is looked at."""
MOST_PEAKS = 64
"""Peaks of one map that are looked at, highest first."""


class Peaks(NamedTuple):
    """Peaks of all maps, as columns sorted by map.

    Attributes:
        part: `(m,)` which map.
        place: `(m, 2)` float64 x, y in cells, the first cell's centre being 0.
        score: `(m,)` float32.
        start: `(k + 1,)` where the peaks of each map begin.
    """

    part: np.ndarray
    place: np.ndarray
    score: np.ndarray
    start: np.ndarray


def find_peaks(maps: np.ndarray, least: float = 0.1) -> Peaks:
    """Cells that are higher than their neighbours, with a parabola through these for the place.

    Args:
        maps: `(k, h, w)` floats.
        least: Height from which a cell can be a peak.
    """
    count, height, width = maps.shape
    # Few cells are high at all; only these are compared with their neighbours.
    flat = np.flatnonzero(maps.reshape(-1) > least)
    part, rest = np.divmod(flat, height * width)
    y, x = np.divmod(rest, width)
    padded = np.zeros((count, height + 2, width + 2), maps.dtype)
    padded[:, 1:-1, 1:-1] = maps
    row = width + 2
    at = (part * (height + 2) + y + 1) * row + x + 1
    cells = padded.reshape(-1)
    value = cells[at]
    left, right, up, down = cells[at - 1], cells[at + 1], cells[at - row], cells[at + row]
    # Of equal neighbours the last is the peak. NaN compares as False.
    top = (value > right) & (value > down) & (value >= left) & (value >= up)
    top &= (value > cells[at + row + 1]) & (value > cells[at + row - 1])
    top &= (value >= cells[at - row - 1]) & (value >= cells[at - row + 1])
    top &= value < np.inf
    part, x, y, value = part[top], x[top], y[top], value[top].astype(np.float64)
    place = np.stack((x, y), axis=1).astype(np.float64)
    for axis, (low, high, last) in enumerate(
        ((left[top], right[top], width - 1), (up[top], down[top], height - 1))
    ):
        bend = 2 * value - low - high
        inner = (place[:, axis] > 0) & (place[:, axis] < last) & (bend > 1e-12)
        shift = 0.5 * (high - low) / np.where(inner, bend, 1)
        place[:, axis] += np.where(inner, np.clip(shift, -0.5, 0.5), 0)
    order = np.lexsort((-value, part))
    part = part[order]
    start = np.searchsorted(part, np.arange(count + 1))
    kept = order[np.arange(len(order)) - start[part] < MOST_PEAKS]
    part = part[np.arange(len(order)) - start[part] < MOST_PEAKS]
    start = np.searchsorted(part, np.arange(count + 1))
    return Peaks(part, place[kept], value[kept].astype(np.float32), start)


def _pairs(peaks: Peaks, limbs: Sequence[Tuple[int, int]]):
    """All pairs of peaks that a limb might join: `(p,)` limbs, first and second peaks."""
    which, first, second = [], [], []
    start = peaks.start.tolist()
    for limb, (a, b) in enumerate(limbs):
        ends, others = range(start[a], start[a + 1]), range(start[b], start[b + 1])
        if len(ends) and len(others):
            which.append(np.full(len(ends) * len(others), limb))
            first.append(np.repeat(np.asarray(ends), len(others)))
            second.append(np.tile(np.asarray(others), len(ends)))
    if not which:
        none = np.zeros(0, np.int64)
        return none, none, none
    return np.concatenate(which), np.concatenate(first), np.concatenate(second)


def _along(
    fields: np.ndarray, limb: np.ndarray, a: np.ndarray, step: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """`(p, s)` of the field along each pair's direction, at shares of the way between them."""
    limbs, _, height, width = fields.shape
    length = np.sqrt((step**2).sum(axis=1))
    way = (step / np.maximum(length, 1e-6)[:, None]).astype(np.float32)
    x = a[:, :1] + shares * step[:, :1]
    y = a[:, 1:] + shares * step[:, 1:]
    column = np.clip(np.rint(x).astype(np.intp), 0, width - 1)
    row = np.clip(np.rint(y).astype(np.intp), 0, height - 1)
    at = (2 * limb[:, None] * height + row) * width + column
    flat = fields.reshape(-1)
    return flat.take(at) * way[:, :1] + flat.take(at + height * width) * way[:, 1:]


def join_limbs(
    peaks: Peaks, fields: np.ndarray, limbs: Sequence[Tuple[int, int]], least: float = 0.05
) -> List[Tuple[int, int, int, float]]:
    """Pairs of peaks that the fields join: limb, first and second peak, and how well.

    Args:
        peaks: Of `find_peaks`.
        fields: `(l, 2, h, w)`: x and y of each limb's direction.
        limbs: Pairs of maps in the order of the fields.
        least: What a field must hold along the way, on the mean and at four of five places.

    Returns:
        Of every limb the pairs from best to worst, each peak in one of them at most.
    """
    limb, first, second = _pairs(peaks, limbs)
    height, width = fields.shape[2:]
    ends, others = peaks.place[first], peaks.place[second]
    # Most pairs are of two people: three places on the way tell that without the others.
    few = np.array([[0.25, 0.5, 0.75]])
    for shares in (few, np.linspace(0, 1, SAMPLES)[None]):
        step = others - ends
        values = _along(fields, limb, ends, step, shares)
        length = np.sqrt((step**2).sum(axis=1))
        # A long way is less likely: above half the picture's height it costs.
        score = values.mean(axis=1) + np.minimum(0.5 * height / np.maximum(length, 1e-6) - 1, 0)
        good = score > least
        if shares is not few:
            good &= (values > least).mean(axis=1) >= 0.8
        limb, first, second, score = limb[good], first[good], second[good], score[good]
        ends, others = ends[good], others[good]
    order = np.lexsort((-score, limb))
    joined = []
    used = set()
    for k, a, b, value in zip(
        limb[order].tolist(), first[order].tolist(), second[order].tolist(), score[order].tolist()
    ):
        if (k, a, 0) in used or (k, b, 1) in used:
            continue
        used.add((k, a, 0))
        used.add((k, b, 1))
        joined.append((k, a, b, value))
    return joined


def assemble(
    maps: np.ndarray,
    fields: np.ndarray,
    skeleton: Skeleton,
    *,
    least_peak: float = 0.1,
    least_field: float = 0.05,
    least_points: int = 3,
) -> np.ndarray:
    """The poses of all people.

    Args:
        maps: `(k, h, w)` heatmaps, a map a point; further ones, as of the background, are left
            out.
        fields: `(2 l, h, w)` fields: x and y for each edge of the skeleton, in its order.
        skeleton: Its edges are the limbs.
        least_peak: Height from which a cell can be a point.
        least_field: See `join_limbs`.
        least_points: People with fewer points are dropped.

    Returns:
        `(n, k, 3)` float32: x, y in cells, the first cell's centre being 0, and the peak's height
        within 0..1; a point that is not there is 0, 0, 0. Most points first.
    """
    count = len(skeleton)
    peaks = find_peaks(maps[:count], least_peak)
    table = fields.reshape(len(skeleton.edges), 2, *fields.shape[1:])
    owner = {}  # by peak
    people: List[dict] = []  # peak by part
    for limb, a, b, _ in join_limbs(peaks, table, skeleton.edges, least_field):
        one, two = owner.get(a), owner.get(b)
        parts = skeleton.edges[limb]
        if one is None and two is None:
            owner[a] = owner[b] = len(people)
            people.append({parts[0]: a, parts[1]: b})
        elif one is None or two is None:
            person = two if one is None else one
            part, peak = (parts[0], a) if one is None else (parts[1], b)
            if person is not None and part not in people[person]:
                people[person][part] = peak
                owner[peak] = person
        elif one != two and not people[one].keys() & people[two].keys():
            # Two halves of one person.
            people[one].update(people[two])
            for peak in people[two].values():
                owner[peak] = one
            people[two] = {}
    whole = [p for p in people if len(p) >= least_points]
    whole.sort(key=len, reverse=True)
    points = np.zeros((len(whole), count, 3), np.float32)
    for row, person in enumerate(whole):
        parts, at = list(person.keys()), list(person.values())
        points[row, parts, :2] = peaks.place[at]
        points[row, parts, 2] = np.minimum(peaks.score[at], 1)
    return points
