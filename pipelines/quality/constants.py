"""Constants of control charts, from the distribution of the range of normal values.

The range W of n standard normal values has P(W <= w) = n ∫ φ(x) [Φ(x + w) − Φ(x)]^(n−1) dx
(Tippett, Biometrika 17, 1925), of which d2 is the mean and d3 the standard deviation. A2, D3 and
D4 follow as in ASTM E2587 and the SPC manual of the AIAG. Computed, not copied, so that any
subgroup size has them.
"""

import math
from functools import lru_cache
from typing import Tuple

import numpy as np
from scipy.special import ndtr

from ...core import UsageError

MOST = 100
"""Largest size: beyond it a range says little, and nobody draws such subgroups."""


@lru_cache(maxsize=None)
def range_moments(n: int) -> Tuple[float, float]:
    """d2 and d3: mean and standard deviation of the range of `n` standard normal values.

    Exact to 1e-9. Raises UsageError unless 2 <= n <= 100.
    """
    if not 2 <= n <= MOST:
        raise UsageError("constants of the range are wanted", got=n, expected=f"2 to {MOST} values")
    x = np.linspace(-9.0, 9.0, 1201)  # the trapezium rule is exact for what ends this flat
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    node, weight = np.polynomial.legendre.leggauss(160)
    w, weight = 8.0 * (node + 1.0), 8.0 * weight
    inside = (ndtr(x[None, :] + w[:, None]) - ndtr(x)[None, :]) ** (n - 1)
    above = 1.0 - n * inside @ density
    mean = float(weight @ above)
    square = float(2.0 * weight @ (w * above))
    return mean, math.sqrt(square - mean * mean)


def d2(n: int) -> float:
    """Mean range of `n` values, in standard deviations."""
    return range_moments(n)[0]


def d3(n: int) -> float:
    """Standard deviation of the range of `n` values, in standard deviations."""
    return range_moments(n)[1]


def d2_one(n: int) -> float:
    """d2* for a single range: what one range is divided by so that its square is unbiased.

    d2*² = d2² + d3²/g with g = 1 (Duncan, Quality Control and Industrial Statistics; table C of
    the AIAG's MSA manual).
    """
    mean, sd = range_moments(n)
    return math.hypot(mean, sd)


def a2(n: int) -> float:
    """A2: mean range to three standard deviations of a mean of `n`."""
    return 3.0 / (d2(n) * math.sqrt(n))


def range_limits(n: int) -> Tuple[float, float]:
    """D3 and D4: mean range to the limits of a range chart of subgroups of `n`."""
    mean, sd = range_moments(n)
    return max(0.0, 1.0 - 3.0 * sd / mean), 1.0 + 3.0 * sd / mean
