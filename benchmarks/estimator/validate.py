"""How far off estimates are for what they were not fitted on.

A chip, a family of networks or a publisher is left out, the parameters are fitted on the rest, and
what was left out is estimated. Near twins go with what is left out: all devices of one GPU, and
sizes between two fitted ones never count. No publisher's own factor is used.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .fit import Fit, errors, fit
from .latency import names
from .published import Row

LEFT_OUT: Dict[str, Callable[[Row], str]] = {
    "chip": lambda row: row.chip,
    "family": lambda row: row.family,
    "publisher": lambda row: row.publisher,
}

CONFIDENCE = 0.9
"""How often an interval is meant to hold."""

DIFFERENT = 1.15
"""Two networks differ where one takes so many times as long."""

Progress = Optional[Callable[[str], None]]


def left_out_errors(
    rows: Sequence[Row], whole: Fit, progress: Progress = None
) -> Dict[str, np.ndarray]:
    """Logarithms of estimated over published, by what is left out.

    Args:
        rows: Those to fit on.
        whole: The fit of all of them, to begin from.
        progress: Told what is left out.
    """
    found = {}
    for what, key in LEFT_OUT.items():
        off = np.zeros(len(rows))
        for value in names([key(row) for row in rows]):
            out = np.array([key(row) == value for row in rows])
            if progress is not None:
                progress(f"without {what} {value}")
            rest = fit([row for row, left in zip(rows, out) if not left], whole)
            off[out] = errors(rest.parameters, [row for row, left in zip(rows, out) if left])
        found[what] = off
    return found


def balance(rows: Sequence[Row]) -> np.ndarray:
    """Weights that sum to one, the same for each publisher on each device."""
    groups = [(row.publisher, row.device) for row in rows]
    weight = np.array([1 / groups.count(group) for group in groups])
    return weight / weight.sum()


def quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest value that so large a share of the weight does not exceed."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    at = int(np.searchsorted(total, share * total[-1]))
    return float(values[order][min(at, len(values) - 1)])


def generation_group(generation: int) -> str:
    """Generations that are alike in how far off estimates are."""
    return ("older", "older", "volta", "ampere")[generation]


def half_widths(
    off: Dict[str, np.ndarray], rows: Sequence[Row], groups: Sequence[str]
) -> Dict[str, float]:
    """Logarithms of what to multiply and divide by, by group of generations.

    Conformal: the quantile of left-out errors, each publisher on each device weighing the same, of
    whatever is worst to leave out. A group's own is kept near what all together say, as its rows
    are few.
    """
    weight, kind = balance(rows), np.array(groups)

    def worst(which: np.ndarray) -> float:
        return max(
            quantile(np.abs(values)[which], weight[which], CONFIDENCE) for values in off.values()
        )

    every = worst(np.ones(len(rows), bool))
    found = {"all": every}
    for group in names(groups):
        found[group] = float(np.clip(worst(kind == group), 0.7 * every, 1.4 * every))
    return found


class Coverage(NamedTuple):
    """How often intervals held: of all rows, and with each publisher on each device alike."""

    rows: float
    balanced: float


def coverage(
    off: Dict[str, np.ndarray], rows: Sequence[Row], groups: Sequence[str]
) -> Dict[str, Coverage]:
    """How often intervals hold whose width did not see what they are tried on."""
    found = {}
    for what, key in LEFT_OUT.items():
        held = np.zeros(len(rows), bool)
        for value in names([key(row) for row in rows]):
            out = np.array([key(row) == value for row in rows])
            rest = np.flatnonzero(~out)
            width = half_widths(
                {name: values[rest] for name, values in off.items()},
                [row for row, left in zip(rows, out) if not left],
                [group for group, left in zip(groups, out) if not left],
            )
            own = np.array([width.get(group, width["all"]) for group in groups])
            held[out] = (np.abs(off[what]) <= own)[out]
        found[what] = Coverage(float(held.mean()), float(held @ balance(rows)))
    return found


def order(off: np.ndarray, rows: Sequence[Row]) -> Tuple[int, int]:
    """Pairs of networks on one device whose order is right, and all that differ.

    Both of a pair come from one publisher, in one precision and batch, timed in one way.
    """
    groups: Dict[Tuple, List[int]] = {}
    for i, row in enumerate(rows):
        key = (row.publisher, row.device, row.precision, row.batch, row.timing)
        groups.setdefault(key, []).append(i)
    right = total = 0
    for members in groups.values():
        true = np.log([rows[i].ms for i in members])
        told = true + off[members]
        first, second = np.triu_indices(len(members), 1)
        apart = np.abs(true[first] - true[second]) > np.log(DIFFERENT)
        same = np.sign(true[first] - true[second]) == np.sign(told[first] - told[second])
        right += int((apart & same).sum())
        total += int(apart.sum())
    return right, total


def int8_gain(off: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
    """Relative errors of the gain from FP16 to INT8, for what was published in both."""
    found: Dict[Tuple, Dict[str, int]] = {}
    for i, row in enumerate(rows):
        key = (row.publisher, row.device, row.network, row.size, row.batch, row.timing)
        found.setdefault(key, {})[row.precision] = i
    both = [(v["fp16"], v["int8"]) for v in found.values() if "fp16" in v and "int8" in v]
    return np.array([np.exp(abs(off[a] - off[b])) - 1 for a, b in both])


def relative(off: np.ndarray) -> Tuple[float, float]:
    """Median and 90th percentile of errors in per cent: how many times off, less one."""
    size = 100 * (np.exp(np.abs(off)) - 1)
    return float(np.median(size)), float(np.quantile(size, 0.9))
