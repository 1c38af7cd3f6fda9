"""Tests for points of a control chart that chance does not explain.

Nelson's eight (Journal of Quality Technology 16, 1984) and the four of Western Electric's
Statistical Quality Control Handbook (1956). Each is told at the point that completes it.
"""

from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

import numpy as np
from numpy.typing import ArrayLike

from ...core import UsageError, did_you_mean


@dataclass(frozen=True)
class Signal:
    """One rule that broke at one point.

    Attributes:
        rule: Name, e.g. `nelson 1`.
        index: Point that completes the pattern, from 0.
        length: Points of the pattern; it begins at `index - length + 1`, or at the first point.
        text: What it is, in words.
    """

    rule: str
    index: int
    length: int
    text: str


def _run(mask: np.ndarray, length: int, least: int) -> np.ndarray:
    """Whether `least` of the last `length` points are set, at each point."""
    # Before the first point none is set: two of two are two of three already.
    total = np.concatenate([np.zeros(length, int), np.cumsum(mask)])
    return total[length:] - total[: len(mask)] >= least


def _side(z: np.ndarray, beyond: float, length: int, least: int) -> np.ndarray:
    # The point that completes a pattern is itself part of it.
    up, down = z > beyond, z < -beyond
    return (_run(up, length, least) & up) | (_run(down, length, least) & down)


def _steady(z: np.ndarray) -> np.ndarray:
    step = np.diff(z)
    both = _run(step > 0, 5, 5) | _run(step < 0, 5, 5)
    return np.concatenate([[False], both])[: len(z)]


def _alternating(z: np.ndarray) -> np.ndarray:
    step = np.sign(np.diff(z))
    turns = step[1:] * step[:-1] < 0
    return np.concatenate([[False, False], _run(turns, 12, 12)])[: len(z)]


Test = Tuple[int, str, Callable[[np.ndarray], np.ndarray]]

RULES: Dict[str, Tuple[Test, ...]] = {
    "nelson": (
        (1, "beyond three sigma", lambda z: np.abs(z) > 3),
        (9, "nine in a row on one side of the centre", lambda z: _side(z, 0, 9, 9)),
        (6, "six in a row rising or falling", _steady),
        (14, "fourteen in a row up and down by turns", _alternating),
        (3, "two of three beyond two sigma on one side", lambda z: _side(z, 2, 3, 2)),
        (5, "four of five beyond one sigma on one side", lambda z: _side(z, 1, 5, 4)),
        (15, "fifteen in a row within one sigma", lambda z: _run(np.abs(z) < 1, 15, 15)),
        (8, "eight in a row with none within one sigma", lambda z: _run(np.abs(z) > 1, 8, 8)),
    ),
    "western electric": (
        (1, "beyond three sigma", lambda z: np.abs(z) > 3),
        (3, "two of three beyond two sigma on one side", lambda z: _side(z, 2, 3, 2)),
        (5, "four of five beyond one sigma on one side", lambda z: _side(z, 1, 5, 4)),
        (8, "eight in a row on one side of the centre", lambda z: _side(z, 0, 8, 8)),
    ),
}


def signals(values: ArrayLike, centre: float, sigma: float, rules: str = "nelson") -> List[Signal]:
    """Where a chart breaks a set of rules, in order of the points.

    Args:
        values: `(n,)` plotted points, in time order.
        centre: Centre line.
        sigma: Standard deviation of a plotted point; with 0 only points off the centre signal.
        rules: `nelson` or `western electric`.
    """
    if rules not in RULES:
        raise UsageError(f"there are no rules {rules!r}", remedy=did_you_mean(rules, RULES))
    off = np.asarray(values, dtype=np.float64) - centre
    if sigma > 0:
        tests, z = RULES[rules], off / sigma
    else:
        tests, z = RULES[rules][:1], np.where(np.abs(off) <= 1e-12 * abs(centre), 0.0, np.inf)
    found = [
        Signal(f"{rules} {number}", int(i), length, text)
        for number, (length, text, broken) in enumerate(tests, 1)
        for i in np.flatnonzero(broken(z))
    ]
    return sorted(found, key=lambda s: s.index)
