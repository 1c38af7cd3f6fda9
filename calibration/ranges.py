"""From histograms to ranges: the magnitude of each tensor that 127 steps of an int8 stand for."""

from functools import lru_cache
from typing import Callable, Dict, Iterable, Optional, Tuple

import numpy as np

from ..core import UsageError, did_you_mean
from .histograms import BINS, OCTAVES, Histogram, bin_error, edges_of
from .store import Activation, Statistics

METHODS = ("minmax", "percentile", "entropy", "mse")
PERCENTILE = 99.99
LEVELS = 128

DEAD = 127 * 2.0**-14
"""Range of a tensor that was zero on every picture. Its scale, 2^-14, is the smallest normal number
of half precision, so that neither it nor a ratio with it overflows where an engine works in FP16,
and it does not widen the range of tensors that share one."""

_TINY = 1e-30  # below it a tensor is as good as zero; its bins would be denormal numbers
_TRIED = 7  # octaves below the largest magnitude in which a range is looked for
_ENTROPY_TRIED = 4  # as TensorRT, which begins with 128 of 2048 bins
_BELOW = 12  # octaves below a range in which values are told apart: one step is 7 octaves below


def ranges(
    statistics: Statistics, method: str = "entropy", tensors: Optional[Iterable[str]] = None
) -> Dict[str, float]:
    """The range of every tensor.

    Args:
        statistics: What was seen.
        method: `minmax`, the largest magnitude; `percentile` or `percentile:99.9`, the magnitude
            that this share of the values does not exceed; `entropy`, the range that loses least
            information (Kullback-Leibler, as TensorRT's entropy calibrator); `mse`, the range of
            the least squared error.
        tensors: Only these.

    Returns:
        Largest magnitude by tensor name, above 0; the scale is 1/127 of it.

    Raises:
        UsageError: The method is unknown.
    """
    find = method_of(method)
    names = statistics if tensors is None else tensors
    return {name: range_of(statistics[name], find) for name in names}


def range_of(seen: Activation, find: Callable[[Histogram, float], float]) -> float:
    """The range of one tensor; `DEAD` where it was always zero."""
    amax = seen.amax
    if amax < _TINY:
        return DEAD
    found = find(seen.histogram, amax)
    # A percentile of a tensor that is nearly always zero is zero.
    return float(min(found, amax)) if found >= _TINY else amax


def method_of(method: str) -> Callable[[Histogram, float], float]:
    """The function `(histogram, amax) -> range` of a method's name.

    Raises:
        UsageError: There is no such method, or its share of values is none.
    """
    name, _, argument = method.partition(":")
    if name not in METHODS:
        raise UsageError(f"unknown method {method!r}", remedy=did_you_mean(name, METHODS))
    if name == "percentile":
        try:
            share = float(argument) if argument else PERCENTILE
        except ValueError:
            share = 0.0
        if not 50 <= share <= 100:
            raise UsageError(
                f"method {method!r}", got=repr(argument), expected="a percentile of 50 to 100"
            )
        return lambda histogram, amax: histogram.quantile(share / 100)
    if argument:
        raise UsageError(f"method {name!r} takes no value", got=repr(argument))
    return {"minmax": lambda histogram, amax: amax, "entropy": entropy, "mse": least_error}[name]


def least_error(histogram: Histogram, amax: float) -> float:
    """The range of the least mean squared error, by bins of 1/128 octave."""
    limits, errors = error_curve(histogram)
    if limits is None:
        return amax
    return float(limits[np.argmin(errors)])


def error_curve(histogram: Histogram) -> Tuple[Optional[np.ndarray], np.ndarray]:
    """Mean squared error of many ranges at once.

    Returns:
        `(896,)` ranges, the upper edges of the bins of the seven highest octaves, ascending, and
        their errors in the square of the tensor's unit. `(None, empty)` for numbers so small that
        their bins are not normal.
    """
    if histogram.base % BINS:
        return None, np.zeros(0)
    counts = histogram.counts.astype(np.float64)
    # Bins repeat from octave to octave but for a factor of two. So the error of a range is a
    # product of the counts around it and of one table for all octaves and tensors.
    padded = np.concatenate((counts, np.zeros(_TRIED * BINS)))
    length = (_BELOW + _TRIED) * BINS
    starts = (OCTAVES - _BELOW - np.arange(_TRIED)) * BINS
    windows = np.stack([padded[s : s + length] for s in starts], axis=1)
    relative = _error_table() @ windows  # (128, tried)
    octaves = histogram.base // BINS + OCTAVES - 1 - np.arange(_TRIED)
    units = edges_of(octaves * BINS)
    errors = relative * units**2
    edges = histogram.edges()
    # What lies below the table rounds to zero: its error is its own square.
    squares = np.concatenate(
        ([0.0], np.cumsum(counts * (edges[1:] ** 2 + edges[1:] * edges[:-1] + edges[:-1] ** 2) / 3))
    )
    errors += squares[starts]
    limits = np.add.outer(np.arange(1, BINS + 1) / BINS, np.ones(_TRIED)) * units
    order = np.argsort(limits, axis=None)
    return limits.reshape(-1)[order], errors.reshape(-1)[order] / max(histogram.total, 1)


@lru_cache(maxsize=1)
def _error_table() -> np.ndarray:
    """`(128, n)`: error of each bin around a range with each of the 128 mantissas, in units of the
    range's octave."""
    bins = np.arange(-(_BELOW - 1) * BINS, (_TRIED + 1) * BINS)
    edges = 2.0 ** (bins // BINS) * (1 + (bins % BINS) / BINS)
    upper = np.append(edges[1:], 2.0 ** (_TRIED + 1))
    return np.stack([bin_error(edges, upper, 1 + (p + 1) / BINS) for p in range(BINS)])


def entropy(histogram: Histogram, amax: float) -> float:
    """The range whose 128 levels tell most of what the values told.

    For each range the distribution below it, with what lies beyond added to its last bin, is
    compared with the same made even inside each of 128 levels, over the bins that hold something;
    the range of the least Kullback-Leibler divergence wins. Zeros are left out, for every range
    holds them exactly. Source: S. Migacz, 8-bit Inference with TensorRT, GTC 2017; bins of
    1/128 octave instead of 2048 even ones, which are finer wherever most values are.
    """
    used = np.flatnonzero(histogram.counts)
    if len(used) < 2:
        return amax
    counts = histogram.counts[used].astype(np.float64)
    lower, upper = edges_of(used + histogram.base), edges_of(used + histogram.base + 1)
    widths = upper - lower
    total = counts.sum()
    told = counts * np.log(counts / widths)
    before = np.cumsum(told) - told
    mass, support = np.cumsum(counts), np.cumsum(widths)
    tried = np.flatnonzero(used >= used[-1] - _ENTROPY_TRIED * BINS)
    limits = upper[tried]
    # Mass and support below any magnitude, even inside a bin, flat between bins.
    at = np.empty(2 * len(used))
    at[0::2], at[1::2] = lower, upper
    heights = np.empty((2, 2 * len(used)))
    heights[:, 1::2] = mass, support
    heights[:, 0::2] = mass - counts, support - widths
    cuts = limits[:, None] * (np.arange(LEVELS + 1) / LEVELS)
    within = np.diff(np.interp(cuts, at, heights[0]), axis=1)
    width = np.diff(np.interp(cuts, at, heights[1]), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where(within > 0, np.log(within / width), 0.0)
    outside = total - mass[tried]
    last = counts[tried] + outside
    kept = before[tried] + last * np.log(last / widths[tried])
    coarse = (within * level).sum(axis=1) + outside * level[:, -1]
    divergence = kept - coarse + total * np.log(mass[tried] / total)
    return float(limits[np.argmin(divergence)])
