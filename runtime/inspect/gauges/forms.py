"""What an edge looks like across, learnt from parts whose sizes are known.

A rim, a bevel and a shadow make an edge of several steps, which change with the side the light
comes from. Where the true edge lies among them cannot be seen, but it stays the same from part to
part: so the mean profile about the true edge is kept, as waves of the direction in the picture that
the edge faces, and found again as a whole. A fitted step would follow now one of the steps, now
another.
"""

import math
from functools import lru_cache
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .edges import sample_rows
from .matching import STEP, Form, smooth_basis
from .plane import Plane

HALF = 6.0  # pixels to both sides that a form is known
LOOKED = 4.5  # pixels to both sides that it is compared on
WAVES = 5  # of the direction
# Share of all profiles that the first wave is held back by, others by the fourth power of their
# number: few parts face few directions, and between them a form must change slowly.
STIFF = 0.001
LEAST_PARTS = 5  # with known sizes


class Placed(NamedTuple):
    """Where the true edges of one part lie in one picture.

    Attributes:
        at: `(n, 2)` pixels.
        outward: `(n, 2)` ways to the ground, as `Plane.outward` gives them.
    """

    at: np.ndarray
    outward: np.ndarray


def places() -> np.ndarray:
    """`(k,)` pixels towards the ground where a form is known.

    Pixels of the middle of the picture: a rim keeps its width in millimetres, not in pixels.
    """
    return np.arange(-HALF, HALF + STEP / 2, STEP)


def _basis(outward: np.ndarray) -> np.ndarray:
    return smooth_basis(np.arctan2(outward[:, 1], outward[:, 0]), True, WAVES)


class TaughtForm:
    """The mean profile across an edge, for each direction it faces.

    Args:
        waves: `(2 WAVES + 1, k)` factors of 1, cos, sin, cos 2, … at `places()`.
    """

    def __init__(self, waves: Any) -> None:
        from scipy.interpolate import CubicSpline

        self.waves = np.asarray(waves, float)
        self._values = CubicSpline(places(), self.waves.T)
        self._slopes = self._values.derivative()

    @property
    def plain(self) -> Tuple[Tuple[float, ...], ...]:
        """For a recipe."""
        return tuple(tuple(round(float(v), 4) for v in row) for row in self.waves)

    def across(self, outward: np.ndarray) -> Form:
        """The form of profiles that run `outward` `(n, 2)`."""
        basis = _basis(outward)

        def form(at: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
            inside = np.clip(np.broadcast_to(at, (len(basis), at.shape[-1])), -HALF, HALF)
            values = np.einsum("nkm,nm->nk", self._values(inside), basis)
            slopes = np.einsum("nkm,nm->nk", self._slopes(inside), basis)
            return values, np.where(np.abs(at) < HALF, slopes, 0.0)

        return form


@lru_cache(maxsize=64)
def taught_form(waves: Tuple[Tuple[float, ...], ...]) -> TaughtForm:
    """The form that a recipe keeps."""
    return TaughtForm(waves)


def mean_form(images: Sequence[np.ndarray], placed: Sequence[Placed]) -> TaughtForm:
    """The form about true edges.

    Args:
        images: `(h, w)` float32 grey levels.
        placed: For each its edges.
    """
    rows, bases = [], []
    for image, edge in zip(images, placed):
        own = sample_rows(image, edge.at, edge.outward, places())
        rows.append((own - own.mean()) / max(float(own.std()), 1e-6))
        bases.append(_basis(edge.outward))
    basis, row = np.concatenate(bases), np.concatenate(rows)
    number = np.repeat(np.arange(WAVES + 1), 2)[1:]
    held = np.diag(STIFF * len(row) * number.astype(float) ** 4 + 1e-9)
    return TaughtForm(np.linalg.solve(basis.T @ basis + held, basis.T @ row))


def circle_edge(plane: Plane, middle: np.ndarray, radius: float, hole: bool) -> Placed:
    """The edge of a circle on the plane."""
    count = int(np.clip(2 * math.pi * radius / plane.scale(middle), 16, 720))
    turn = (np.arange(count) + 0.5) * (2 * math.pi / count)
    ray = np.stack((np.cos(turn), np.sin(turn)), axis=1)
    return Placed(*plane.outward(middle + radius * ray, -ray if hole else ray))


def line_edge(plane: Plane, start: np.ndarray, end: np.ndarray, normal: np.ndarray) -> Placed:
    """The edge from `start` to `end` on the plane, `normal` to the ground."""
    extent = float(np.linalg.norm(end - start))
    count = int(np.clip(extent / plane.scale(0.5 * (start + end)), 6, 720))
    share = ((np.arange(count) + 0.5) / count)[:, None]
    return Placed(*plane.outward(start + share * (end - start), np.tile(normal, (count, 1))))


Place = Callable[[int, Optional[TaughtForm]], Optional[Tuple[Placed, float]]]


def learn_form(
    images: Sequence[np.ndarray], place: Place, turns: int = 3
) -> Tuple[Optional[TaughtForm], List[float]]:
    """A form, and how far sizes that are measured with it miss the known ones.

    Where a part lies is measured, only its size is known: with a better form it is known better.

    Args:
        images: `(h, w)` float32 grey levels.
        place: From the number of an image and the form so far to where the true edges lie, and by
            how much the measured size misses the known one; None where nothing was found.
        turns: How many times.

    Returns:
        None and nothing where fewer than `LEAST_PARTS` were found; else each part is measured with
        a form that was learnt without it.
    """
    form: Optional[TaughtForm] = None
    found: List[Tuple[int, Placed]] = []
    for _ in range(turns):
        seen = [(k, place(k, form)) for k in range(len(images))]
        found = [(k, there[0]) for k, there in seen if there is not None]
        if len(found) < LEAST_PARTS:
            return None, []
        form = mean_form([images[k] for k, _ in found], [p for _, p in found])
    misses = []
    folds = min(len(found), 6)
    for fold in range(folds):
        others = [pair for n, pair in enumerate(found) if n % folds != fold]
        without = mean_form([images[k] for k, _ in others], [p for _, p in others])
        for n, (k, _) in enumerate(found):
            there = place(k, without) if n % folds == fold else None
            if there is not None:
                misses.append(there[1])
    return form, misses
