"""Medians with their intervals, and when two of them differ."""

import math
from typing import Dict, NamedTuple, Sequence

import numpy as np

ALIKE = 0.03
"""Share by which the same thing differs from one profile to the next on a quiet machine."""

LEVEL = 0.95


class Median(NamedTuple):
    """A median and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half of the interval as a share of the median; infinite where one round says nothing."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or not self.value:
            return math.inf
        return (self.high - self.low) / (2 * self.value)


def quantile_t(freedom: float) -> float:
    """Student's t that 95 % of all values lie within, for these degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))


def median_of_rounds(values: Sequence[float]) -> Median:
    """The median of the medians of several rounds, and the interval of it.

    Frames of one round are no independent measurements: they share a process, its memory and the
    moment. So the rounds are what is counted: Student's interval of the logarithms of their
    medians, whose standard error is widened by sqrt(pi / 2) as that of a median of normal values.

    Args:
        values: Median of each round, above 0.
    """
    logs = np.log(np.maximum(np.asarray(values, float), 1e-12))
    value = float(np.median(logs))
    if len(logs) < 2:
        return Median(math.exp(value), 0.0, math.inf)
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs)) * math.sqrt(math.pi / 2)
    reach = quantile_t(len(logs) - 1) * error
    return Median(math.exp(value), math.exp(value - reach), math.exp(value + reach))


class Ratio(NamedTuple):
    """How many times as long the second takes, with its 95 % interval, and in a word."""

    value: float
    low: float
    high: float
    verdict: str


def compare_rounds(one: Sequence[float], two: Sequence[float], alike: float = ALIKE) -> Ratio:
    """Whether the second is faster or slower than the first, from the medians of their rounds.

    Welch's interval of the difference of the logarithms. Where it holds no difference, or the
    difference is within `alike`, it is too close to tell.

    Args:
        one: Milliseconds, one a round.
        two: Of the other.
        alike: Share below which a difference is none.
    """
    logs = [np.log(np.maximum(np.asarray(v, float), 1e-12)) for v in (one, two)]
    difference = float(np.median(logs[1]) - np.median(logs[0]))
    if min(len(v) for v in logs) < 2:
        return Ratio(math.exp(difference), 0.0, math.inf, "too close to tell")
    parts = [float(v.var(ddof=1)) / len(v) * math.pi / 2 for v in logs]
    error = math.sqrt(sum(parts))
    freedom = 1.0
    if error > 0:
        freedom = error**4 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, logs))
    reach = quantile_t(freedom) * error
    low, high = math.exp(difference - reach), math.exp(difference + reach)
    verdict = "too close to tell"
    if abs(math.exp(difference) - 1) > alike and not low <= 1 <= high:
        verdict = "slower" if difference > 0 else "faster"
    return Ratio(math.exp(difference), low, high, verdict)


def summary(seconds: np.ndarray) -> Dict[str, float]:
    """`p50`, `p95`, `p99` and `mean` in milliseconds of times in seconds."""
    ms = 1e3 * np.asarray(seconds, float)
    p50, p95, p99 = np.percentile(ms, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "mean": float(ms.mean())}
