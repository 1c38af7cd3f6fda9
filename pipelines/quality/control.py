"""Control charts: individuals with moving range, and means with ranges of subgroups.

Limits as in the AIAG's SPC manual and ISO 7870-2, from the variation within: X̄ ± 3 R̄/d2 and
X̿ ± A2 R̄; ranges between D3 R̄ and D4 R̄.
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError, UsageError
from .constants import a2, d2, range_limits
from .rules import RULES, Signal, signals
from .tables import HUGE


@dataclass(frozen=True)
class Chart:
    """One control chart.

    Attributes:
        name: `individuals`, `moving range`, `means` or `ranges`.
        values: `(n,)` float64 plotted points, in time order; the first moving range is NaN, as
            it has no predecessor.
        centre: Centre line.
        lower: Lower limit.
        upper: Upper limit.
        signals: Where rules break.
    """

    name: str
    values: np.ndarray
    centre: float
    lower: float
    upper: float
    signals: Tuple[Signal, ...]


@dataclass(frozen=True)
class ControlCharts:
    """A pair of charts over one series.

    Attributes:
        location: Individuals or means.
        spread: Moving ranges or ranges.
        size: Values in a subgroup; 1 for individuals.
        sigma: Standard deviation within, of single values.
        degrees: Degrees of freedom that `sigma` is worth.
        left_out: Values at the end that filled no subgroup.
        warnings: What a reader must know, a sentence each.
    """

    location: Chart
    spread: Chart
    size: int
    sigma: float
    degrees: float
    left_out: int
    warnings: Tuple[str, ...]

    @property
    def in_control(self) -> bool:
        """Whether no rule breaks on either chart."""
        return not (self.location.signals or self.spread.signals)

    def as_dict(self) -> Dict[str, Any]:
        """The charts as plain values for JSON; NaN becomes None."""
        return {
            "in_control": self.in_control,
            "subgroup_size": self.size,
            "sigma_within": self.sigma,
            "left_out": self.left_out,
            "charts": [
                {
                    "name": c.name,
                    "centre": c.centre,
                    "lower": c.lower,
                    "upper": c.upper,
                    "values": [None if math.isnan(v) else v for v in c.values.tolist()],
                    "signals": [vars(s) for s in c.signals],
                }
                for c in (self.location, self.spread)
            ],
            "warnings": list(self.warnings),
        }


def in_time_order(values: Sequence[float], timestamps: Optional[Sequence[float]]) -> np.ndarray:
    """Values by their timestamps; equal ones stay as they stand.

    Args:
        values: `(n,)` measured values, finite.
        timestamps: `(n,)` seconds, or None where the values are in time order.

    Raises:
        DataError: A value or timestamp is not finite, or there are not as many of both.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise DataError("values of a chart are one row", got=found.shape, expected="(n,)")
    _finite(found, "value")
    if found.size and np.abs(found).max() > HUGE:
        raise DataError("a value is too large to be measured", got=f"{np.abs(found).max():g}")
    if timestamps is None:
        return found
    times = np.asarray(timestamps, dtype=np.float64)
    if times.shape != found.shape:
        raise DataError(
            "every value needs its timestamp", got=f"{times.size} for {found.size} values"
        )
    _finite(times, "timestamp")
    return found[np.argsort(times, kind="stable")]


def individuals(
    values: Sequence[float],
    timestamps: Optional[Sequence[float]] = None,
    rules: str = "nelson",
) -> ControlCharts:
    """Charts of single values and of the ranges between neighbours.

    Args:
        values: `(n,)`, at least 2.
        timestamps: `(n,)` seconds, or None where the values are in time order.
        rules: `nelson` or `western electric`, for the single values. Moving ranges, which hang
            together, are held against their limit alone.

    Raises:
        DataError: Fewer than two values, or some that are not finite.
    """
    found = in_time_order(values, timestamps)
    n = len(found)
    if n < 2:
        raise DataError("a chart of individuals needs two values at least", got=n)
    moving = np.abs(np.diff(found))
    mean_range, centre = float(moving.mean()), float(found.mean())
    sigma = _clean(mean_range / d2(2), found)
    location = Chart(
        "individuals", found, centre, centre - 3 * sigma, centre + 3 * sigma,
        tuple(signals(found, centre, sigma, rules)),
    )  # fmt: skip
    ranges = np.concatenate([[np.nan], moving])
    spread = _spread("moving range", ranges, sigma * d2(2), 2, rules)
    # Neighbouring ranges share a value: the variance of their mean is that of Cryer and Ryan,
    # Journal of Quality Technology 22, 1990.
    degrees = 0.5 * (n - 1) ** 2 / (0.8264 * n - 1.082) if n > 2 else 1.0
    return ControlCharts(location, spread, 1, sigma, degrees, 0, _warnings(sigma, n, 20, "values"))


def xbar_r(
    values: Sequence[float],
    size: int = 5,
    timestamps: Optional[Sequence[float]] = None,
    rules: str = "nelson",
) -> ControlCharts:
    """Charts of means and ranges of subgroups that follow each other in time.

    Args:
        values: `(n,)` single values; those at the end that fill no subgroup are left out, and
            told.
        size: Values in a subgroup, 2 to 10.
        timestamps: `(n,)` seconds, or None where the values are in time order.
        rules: `nelson` or `western electric`, for the means. Ranges, which are skew, are held
            against their limits alone.

    Raises:
        UsageError: The size is not 2 to 10.
        DataError: Fewer than two subgroups, or values that are not finite.
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 2 <= size <= 10:
        raise UsageError("subgroups of this size have no X̄-R chart", got=size, expected="2 to 10")
    found = in_time_order(values, timestamps)
    count = len(found) // size
    if count < 2:
        raise DataError(
            "a chart of subgroups needs two of them at least",
            got=f"{len(found)} values in subgroups of {size}",
        )
    groups = found[: count * size].reshape(count, size)
    means, ranges = groups.mean(1), np.ptp(groups, axis=1)
    sigma = _clean(float(ranges.mean()) / d2(size), found)
    mean_range, centre = sigma * d2(size), float(means.mean())
    reach = a2(size) * mean_range
    location = Chart(
        "means", means, centre, centre - reach, centre + reach,
        tuple(signals(means, centre, reach / 3, rules)),
    )  # fmt: skip
    left = len(found) - count * size
    warnings = _warnings(sigma, count, 20, "subgroups")
    if left:
        warnings += (f"The last {left} values fill no subgroup of {size} and are left out.",)
    # Var(R̄/d2) = (d3/d2)² σ²/k, and a standard deviation of ν degrees has about σ²/(2ν).
    ratio = (range_limits(size)[1] - 1) / 3
    degrees = count / (2 * ratio**2)
    spread = _spread("ranges", ranges, mean_range, size, rules)
    return ControlCharts(location, spread, int(size), sigma, degrees, left, warnings)


def _spread(name: str, ranges: np.ndarray, mean: float, n: int, rules: str) -> Chart:
    low, high = (factor * mean for factor in range_limits(n))
    _, text, _ = RULES[rules][0]
    slack = 1e-9 * mean
    with np.errstate(invalid="ignore"):
        out = np.flatnonzero((ranges > high + slack) | (ranges < low - slack))
    found = tuple(Signal(f"{rules} 1", int(i), 1, text) for i in out)
    return Chart(name, ranges, mean, low, high, found)


def _clean(sigma: float, values: np.ndarray) -> float:
    """What is left of rounding is no variation."""
    return sigma if sigma > max(1e-12 * float(np.abs(values).max()), 1 / HUGE) else 0.0


def _warnings(sigma: float, n: int, least: int, what: str) -> Tuple[str, ...]:
    found = []
    if sigma == 0:
        found.append("Neighbouring values do not differ: the chart has no width.")
    if n < least:
        found.append(f"Limits from {n} {what} are rough: take {least} or more.")
    return tuple(found)


def _finite(values: np.ndarray, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{what} {bad[0] + 1} of {len(values)} is not a finite number")
