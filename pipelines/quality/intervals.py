"""Confidence intervals of a rate."""

import math
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from scipy.special import betaincinv, ndtri

from ...core import DataError, UsageError


@dataclass(frozen=True)
class Rate:
    """`count` of `total`, with 95 % intervals; `value` and intervals are None of nothing."""

    count: int
    total: int

    @property
    def value(self):
        """The share, or None where nothing was counted."""
        return self.count / self.total if self.total else None

    @property
    def wilson(self):
        """Wilson's interval: near the stated confidence on average."""
        return wilson(self.count, self.total) if self.total else None

    @property
    def exact(self):
        """Clopper and Pearson's interval: never less than the stated confidence."""
        return clopper_pearson(self.count, self.total) if self.total else None

    def as_dict(self) -> Dict[str, Any]:
        """The rate as plain values for JSON."""
        return {
            "count": self.count, "total": self.total, "value": self.value,
            "wilson95": self.wilson, "exact95": self.exact,
        }  # fmt: skip


def wilson(count: int, total: int, confidence: float = 0.95) -> Tuple[float, float]:
    """Score interval of a rate (Wilson, JASA 22, 1927).

    Args:
        count: How often it happened.
        total: How often it could have; at least 1.
        confidence: Between 0 and 1.
    """
    _check(count, total, confidence)
    z = float(ndtri(0.5 + confidence / 2))
    rate, scale = count / total, 1 + z * z / total
    middle = rate + z * z / (2 * total)
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if count == 0 else (middle - half) / scale
    high = 1.0 if count == total else (middle + half) / scale
    return low, high


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> Tuple[float, float]:
    """Exact interval of a rate (Clopper and Pearson, Biometrika 26, 1934); takes as `wilson`."""
    _check(count, total, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def _check(count: int, total: int, confidence: float) -> None:
    if total < 1 or not 0 <= count <= total:
        raise DataError("a rate has no interval", got=f"{count} of {total}", expected="0 <= k <= n")
    if not 0 < confidence < 1:
        raise UsageError("a confidence must lie between 0 and 1", got=confidence)
