"""Thresholds from good parts, and how certain they are.

The share of good parts above an order statistic of n others follows a beta distribution, whatever
the scores look like (Wilks 1941); beyond the largest of them the tail is taken as exponential.
"""

import math
from typing import Any, Dict, Tuple

import numpy as np

from ...core import UsageError

LEVEL = 0.95


def check_false_reject(share: float) -> float:
    """A share of good parts that may be rejected.

    Raises:
        UsageError: It is not above 0 and at most 0.5.
    """
    if not (isinstance(share, (int, float)) and 0 < share <= 0.5):
        raise UsageError(
            "the wanted share of good parts that are rejected makes no sense",
            got=share,
            expected="above 0 and at most 0.5, such as 0.01",
        )
    return float(share)


def threshold(scores: np.ndarray, false_reject: float) -> Tuple[float, Dict[str, Any]]:
    """Where to cut scores of good parts that the model has not learnt from.

    Args:
        scores: `(n,)`.
        false_reject: Wanted share of good parts above it.

    Returns:
        The threshold, and what it rests on: `false_reject` wanted, `expected`, its 95 %
        `interval`, how it was found, `parts`, and `more_parts`, how many more good parts would
        make it certain to 95 % that the share is not exceeded when none of them is.
    """
    from scipy import stats

    ordered = np.sort(np.asarray(scores, np.float64))
    n = len(ordered)
    above = int(math.floor(false_reject * (n + 1) + 1e-9))  # parts at or above the threshold
    tail = (1 - LEVEL) / 2
    if above >= 1:
        cut = float(ordered[n - above])
        expected = above / (n + 1)
        beta = stats.beta(above, n + 1 - above)
        interval = [float(beta.ppf(tail)), float(beta.ppf(1 - tail))]
        how = f"order statistic {n + 1 - above} of {n}"
    else:
        # The mean excess over the upper fifth is the scale of an exponential tail.
        top = ordered[-max(n // 5, 3) :]
        scale = max(float((top - top[0]).mean()), 1e-6)
        cut = float(ordered[-1] + scale * math.log(1 / ((n + 1) * false_reject)))
        expected = false_reject
        interval = [0.0, float(1 - tail ** (1 / n))]
        how = f"exponential tail beyond the largest of {n}"
    wanted = math.ceil(math.log(1 - LEVEL) / math.log(1 - false_reject))
    return cut, {
        "false_reject": false_reject,
        "expected": float(expected),
        "interval": interval,
        "how": how,
        "parts": n,
        "more_parts": max(wanted - n, 0),
    }


def auroc(bad: np.ndarray, good: np.ndarray) -> float:
    """Chance that a bad one scores above a good one; ties count half."""
    good = np.sort(np.asarray(good, np.float64))
    bad = np.asarray(bad, np.float64)
    below = np.searchsorted(good, bad, "left")
    upto = np.searchsorted(good, bad, "right")
    return float((below + upto).mean() / (2 * len(good)))


def auroc_interval(
    bad: np.ndarray, good: np.ndarray, seed: int = 0, rounds: int = 1000
) -> Tuple[float, float]:
    """95 % bootstrap interval, both sides drawn anew."""
    random = np.random.default_rng(seed)
    good, bad = np.asarray(good), np.asarray(bad)
    values = [
        auroc(random.choice(bad, len(bad)), random.choice(good, len(good))) for _ in range(rounds)
    ]
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))
