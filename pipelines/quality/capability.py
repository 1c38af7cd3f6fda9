"""What a process can hold: Cp and Cpk from the variation within, Pp and Ppk from all of it.

Definitions: AIAG SPC manual and ISO 22514-2. Intervals: Cp and Pp from the chi-squared
distribution of a variance; Cpk and Ppk by Bissell (Applied Statistics 39, 1990).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri, log_ndtr, ndtri

from ...core import DataError, UsageError
from .control import ControlCharts, individuals, xbar_r
from .tables import HUGE

LEAST = 30
"""Fewer values than this say little about a capability."""


@dataclass(frozen=True)
class Index:
    """A capability index and its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Capability:
    """Capability of a process.

    Attributes:
        n: Values.
        mean: Mean.
        sigma_within: Standard deviation within, from ranges.
        sigma_overall: Standard deviation of all values (n − 1).
        lower: Lower limit of the tolerance, or None.
        upper: Upper limit, or None.
        cp, cpk, pp, ppk: The indices; Cp and Pp need both limits and are None without.
        normality_p: Chance of values so unlike a normal distribution under one; None below 8.
        outside: Values outside the limits.
        warnings: What a reader must know, a sentence each.
    """

    n: int
    mean: float
    sigma_within: float
    sigma_overall: float
    lower: Optional[float]
    upper: Optional[float]
    cp: Optional[Index]
    cpk: Index
    pp: Optional[Index]
    ppk: Index
    normality_p: Optional[float]
    outside: int
    warnings: Tuple[str, ...]

    def as_dict(self) -> Dict[str, Any]:
        """The figures as plain values for JSON."""
        return {**asdict(self), "warnings": list(self.warnings)}


def capability(
    values: Sequence[float],
    lower: Optional[float] = None,
    upper: Optional[float] = None,
    *,
    size: int = 1,
    timestamps: Optional[Sequence[float]] = None,
    confidence: float = 0.95,
) -> Capability:
    """Cp, Cpk, Pp and Ppk of a measured characteristic.

    Args:
        values: `(n,)` measured values, at least 3.
        lower: Lower limit of the tolerance, in units of the values; None where there is none.
        upper: Upper limit, likewise; one of them must stand.
        size: Subgroup that sigma within comes from: 1 for moving ranges, or 2 to 10.
        timestamps: `(n,)` seconds, or None where the values are in time order.
        confidence: Of the intervals.

    Raises:
        UsageError: No limit, limits that cross, or a confidence that is none.
        DataError: Too few values, some not finite, or none that differ.
    """
    given = [v for v in (lower, upper) if v is not None]
    if not given:
        raise UsageError("a capability needs a lower or an upper limit")
    if not all(abs(v) < HUGE for v in given) or (len(given) == 2 and given[0] >= given[1]):
        raise UsageError("the limits make no tolerance", got=f"{lower} to {upper}")
    if not 0 < confidence < 1:
        raise UsageError("a confidence must lie between 0 and 1", got=confidence)
    if len(values) < 3:
        raise DataError("a capability needs three values at least", got=len(values))
    charts = individuals(values, timestamps) if size == 1 else xbar_r(values, size, timestamps)
    found = np.asarray(values, dtype=np.float64)
    n, mean, overall = len(found), float(found.mean()), float(found.std(ddof=1))
    if charts.sigma == 0 or overall == 0:
        raise DataError(
            "the values do not differ, so no capability can be told",
            got=f"{n} values near {mean:g}",
            remedy="measure with more digits",
        )
    cp, cpk = _indices(mean, charts.sigma, lower, upper, n, charts.degrees, confidence)
    pp, ppk = _indices(mean, overall, lower, upper, n, n - 1, confidence)
    chance = normality(found) if n >= 8 else None
    outside = sum(
        int(np.count_nonzero(bad))
        for limit, bad in ((lower, found < (lower or 0)), (upper, found > (upper or 0)))
        if limit is not None
    )
    return Capability(
        n, mean, charts.sigma, overall, lower, upper, cp, cpk, pp, ppk, chance, outside,
        _warnings(n, charts, chance),
    )  # fmt: skip


def normality(values: ArrayLike) -> float:
    """Anderson and Darling's test with estimated mean and variance: the p-value.

    Formula and p-values: D'Agostino and Stephens, Goodness-of-Fit Techniques (1986), table 4.9.

    Args:
        values: `(n,)`, at least 8 that differ.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    n, sd = len(x), float(np.std(x, ddof=1))
    if n < 8 or not sd > 0:
        raise DataError("a test of normality needs eight values that differ", got=n)
    z = (x - x.mean()) / sd
    odd = 2 * np.arange(1, n + 1) - 1
    a = -n - float(odd @ (log_ndtr(z) + log_ndtr(-z[::-1]))) / n
    return normality_of(a * (1 + 0.75 / n + 2.25 / n**2))


def normality_of(a: float) -> float:
    """The p-value of a statistic of Anderson and Darling, corrected for the number of values."""
    if a < 0.2:
        p = 1 - math.exp(-13.436 + 101.14 * a - 223.73 * a * a)
    elif a < 0.34:
        p = 1 - math.exp(-8.318 + 42.796 * a - 59.938 * a * a)
    elif a < 0.6:
        p = math.exp(0.9177 - 4.279 * a - 1.38 * a * a)
    else:
        # The parabola turns up again past its least value, where p is nothing anyway.
        p = math.exp(1.2937 - 5.709 * min(a, 13.0) + 0.0186 * min(a, 13.0) ** 2)
    return min(1.0, max(0.0, p))


def _indices(
    mean: float,
    sigma: float,
    lower: Optional[float],
    upper: Optional[float],
    n: int,
    degrees: float,
    confidence: float,
) -> Tuple[Optional[Index], Index]:
    tail = (1 - confidence) / 2
    both = None
    if lower is not None and upper is not None:
        value = (upper - lower) / (6 * sigma)
        # chdtri takes the upper tail.
        low, high = (math.sqrt(chdtri(degrees, p) / degrees) for p in (1 - tail, tail))
        both = Index(value, value * low, value * high)
    sides = []
    if lower is not None:
        sides.append((mean - lower) / (3 * sigma))
    if upper is not None:
        sides.append((upper - mean) / (3 * sigma))
    nearest = min(sides)
    half = float(ndtri(1 - tail)) * math.sqrt(1 / (9 * n) + nearest**2 / (2 * degrees))
    return both, Index(nearest, nearest - half, nearest + half)


def _warnings(n: int, charts: ControlCharts, chance: Optional[float]) -> Tuple[str, ...]:
    found = []
    if not charts.in_control:
        found.append(
            "The process is not in control, so its capability tells the past and promises nothing."
        )
    if chance is not None and chance < 0.05:
        told = "p < 0.001" if chance < 1e-3 else f"p = {chance:.3f}"
        found.append(
            f"The values are not normally distributed ({told}): the indices say less "
            "about how many parts fall outside than they seem to."
        )
    if n < LEAST:
        found.append(f"{n} values are few: take {LEAST} or more.")
    if charts.left_out:
        found.append(f"Sigma within leaves out the last {charts.left_out} values.")
    return tuple(found)
