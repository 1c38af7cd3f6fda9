"""Thresholds that good parts set: a wanted false-reject rate, and how sure of it one can be."""

import math
from dataclasses import dataclass
from typing import Any, Dict, Tuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import nctdtr, ndtr, ndtri, stdtrit

from ...core import DataError, UsageError
from .intervals import clopper_pearson

LEAST = 3
EULER = 0.5772156649015329


@dataclass(frozen=True)
class Threshold:
    """A limit above which a part is rejected.

    Attributes:
        value: The limit.
        rate: Wanted share of good parts above it.
        parts: Good parts that set it.
        above: How many of them lie above it.
        expected: Share of good parts that is to be expected above it, if they are spread normally.
        interval: 95 % interval of that share.
        proved: Upper end of the exact 95 % interval of the share, from counting alone.
        more_parts: How many more good parts, none of them rejected, would prove the wanted rate.
    """

    value: float
    rate: float
    parts: int
    above: int
    expected: float
    interval: Tuple[float, float]
    proved: float
    more_parts: int

    def as_dict(self) -> Dict[str, Any]:
        """Plain values for JSON."""
        return {
            "limit": self.value,
            "false_reject": self.rate,
            "parts": self.parts,
            "above": self.above,
            "expected": self.expected,
            "interval": list(self.interval),
            "proved": self.proved,
            "more_parts": self.more_parts,
        }


def wanted_parts(rate: float, confidence: float = 0.95) -> int:
    """Good parts, none of them rejected, that prove a false-reject rate: (1 - rate)^n = 1 - c."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate) - 1e-9)


def upper_threshold(
    scores: ArrayLike,
    rate: float = 0.01,
    *,
    least: float = 0.0,
    logarithmic: bool = False,
    largest: bool = False,
    confidence: float = 0.95,
) -> Threshold:
    """The limit that one further good part passes with the chance `1 - rate`.

    The prediction limit of a normal distribution, `m + t s √(1 + 1/n)`, or of its logarithm where
    scores are skew; never below the highest of the good parts where fewer were seen than one is
    wanted to be rejected of. The interval of the share above it is that of a normal tail with
    estimated mean and spread, by the noncentral t distribution.

    What is the worst of many places has a longer tail (Gumbel's: Coles, "An Introduction to
    Statistical Modeling of Extreme Values", 2001, chapter 3): its limit is as much further out as
    that distribution's is, and so is the share that is to be expected above.

    Args:
        scores: `(n,)` of good parts that had no part in what gives the scores, at least 3.
        rate: Wanted share of good parts above the limit.
        least: The limit is not set below this.
        logarithmic: Whether the scores are of a skew kind that is not negative.
        largest: Whether each score is the largest of many.
        confidence: Of the interval.

    Raises:
        UsageError: The rate is not between 0 and one half.
        DataError: Too few scores, or some that are not finite.
    """
    if not 0 < rate < 0.5:
        raise UsageError("a false-reject rate must lie between 0 and 0.5", got=rate)
    found = np.asarray(scores, np.float64)
    n = len(found)
    if n < LEAST or not np.isfinite(found).all():
        raise DataError("a threshold needs the scores of three good parts at least", got=n)
    if logarithmic and found.min() < 0:
        raise DataError("skew scores must not be negative", got=float(found.min()))
    # Where most score nothing, what least counts tells the scale.
    scale = max(float(np.median(found)), least / 4, 1e-9)

    def forth(value: np.ndarray) -> np.ndarray:
        return np.log1p(value / scale) if logarithmic else np.asarray(value, np.float64)

    given = forth(found)
    mean, spread = float(given.mean()), float(given.std(ddof=1))
    reach = float(stdtrit(n - 1, 1 - rate)) * math.sqrt(1 + 1 / n)
    if largest:
        reach *= _gumbel(rate) / float(ndtri(1 - rate))
    limit = mean + reach * spread
    limit = scale * math.expm1(min(limit, 50.0)) if logarithmic else limit
    if rate * n < 1:
        limit = max(limit, float(found.max()) + 0.05 * abs(float(found.max())))
    limit = max(limit, least)
    above = int((found > limit).sum())
    expected, interval = _tail(mean, spread, float(forth(np.array(limit))), n, confidence)
    if largest and spread > 0:
        expected = _of_gumbel(expected)
        interval = (_of_gumbel(interval[0]), _of_gumbel(interval[1]))
    proved = clopper_pearson(above, n, 2 * confidence - 1)[1]
    more = max(wanted_parts(rate, confidence) - n, 0)
    return Threshold(limit, rate, n, above, expected, interval, proved, more)


def reach_threshold(
    values: ArrayLike,
    middle: float,
    rate: float = 0.01,
    *,
    least: float = 0.0,
    confidence: float = 0.95,
) -> Threshold:
    """How far to both sides of a middle one further good part lies with the chance `1 - rate`.

    As `upper_threshold`, with half of the rate on each side.

    Args:
        values: `(n,)` of good parts, at least 3.
        middle: What they lie about, e.g. their mean.
        rate: Wanted share of good parts that lie farther.
        least: The reach is not set below this.
        confidence: Of the interval.

    Raises:
        UsageError: The rate is not between 0 and one half.
        DataError: Too few values, or some that are not finite.
    """
    away = np.asarray(values, np.float64) - middle
    upper = upper_threshold(away, rate / 2, confidence=confidence)
    n, farthest = upper.parts, float(np.abs(away).max())
    spread = math.sqrt(float((away * away).sum()) / (n - 1))
    reach = float(stdtrit(n - 1, 1 - rate / 2)) * math.sqrt(1 + 1 / n) * spread
    if rate * n < 1:
        reach = max(reach, 1.05 * farthest)
    reach = max(reach, least)
    above = int((np.abs(away) > reach).sum())
    expected, (low, high) = _tail(0.0, spread, reach, n, confidence)
    proved = clopper_pearson(above, n, 2 * confidence - 1)[1]
    interval = (min(2 * low, 1.0), min(2 * high, 1.0))
    return Threshold(
        reach, rate, n, above, min(2 * expected, 1.0), interval, proved, upper.more_parts
    )


def _gumbel(rate: float) -> float:
    """Standard deviations from its mean to where a Gumbel distribution leaves that share above."""
    return math.sqrt(6) / math.pi * (-math.log(-math.log1p(-rate)) - EULER)


def _of_gumbel(share: float) -> float:
    """What a Gumbel distribution leaves above where a normal one leaves that share."""
    if share <= 0:
        return 0.0
    return -math.expm1(-math.exp(float(ndtri(share)) * math.pi / math.sqrt(6) - EULER))


def _tail(
    mean: float, spread: float, limit: float, n: int, confidence: float
) -> Tuple[float, Tuple[float, float]]:
    """Share of a normal distribution above a limit, and its interval.

    √n (limit - mean) / spread is noncentral t with n - 1 degrees and the noncentrality √n z of
    the true share: Owen (Technometrics 10, 1968).
    """

    if spread <= 0:
        return 0.0, (0.0, 1 - (1 - confidence) ** (1 / n))
    seen = (limit - mean) / spread
    ends = []
    for tail in ((1 + confidence) / 2, (1 - confidence) / 2):
        low, high = -2.0, 60.0
        for _ in range(60):
            middle = (low + high) / 2
            # The chance of as much or less falls as the noncentrality rises.
            if float(nctdtr(n - 1, middle * math.sqrt(n), seen * math.sqrt(n))) > tail:
                low = middle
            else:
                high = middle
        ends.append(float(ndtr(-(low + high) / 2)))
    return float(ndtr(-seen)), (min(ends), max(ends))
