"""Streaming histograms of magnitudes, in bins that the bits of a number already are.

The upper sixteen bits of a float32 are its sign, its exponent and seven bits of its mantissa.
Without the sign they are the number of a bin, 1/128 of an octave wide, so a value is counted by
looking at its bits: no range has to be known before, and nothing is counted anew when a larger
value comes.
What is kept is a window of 24 octaves below the largest value; it moves up by whole octaves, and
what falls out below it counts as zero. So a tensor takes 24 KiB however many values it had.
"""

import sys
from functools import lru_cache
from math import gcd
from typing import Optional, Tuple

import numpy as np

OCTAVES = 24
BINS = 128
"""Bins in an octave."""
SIZE = OCTAVES * BINS
RUN = 16
"""Values side by side that are counted together: a line of the processor's cache."""
SAMPLE = 1 << 14
"""Values at most that are counted of one array unless another number is asked for."""

_UPPER = 1 if sys.byteorder == "little" else 0


def bin_of(value: float) -> int:
    """Number of the bin in which a magnitude lies."""
    return int(np.array([value], np.float32).view(np.uint32)[0] & 0x7FFFFFFF) >> 16


def edges_of(bins: np.ndarray) -> np.ndarray:
    """Lower edges of bins, float64; a bin's upper edge is the lower one of the next."""
    bits = np.clip(bins, 0, 0x7F80).astype(np.uint32) << 16
    return np.minimum(bits.view(np.float32).astype(np.float64), 2.0**128)


class Histogram:
    """How often which magnitudes were seen.

    Attributes:
        base: Number of the first bin of the window.
        counts: `(3072,)` int64, the values in each bin of the window.
        zeros: Values that are zero, or so small beside the largest that they might as well be.
    """

    __slots__ = ("_limit", "base", "counts", "zeros")

    def __init__(self, base: int = 1, counts: Optional[np.ndarray] = None, zeros: int = 0) -> None:
        self.base = base
        self.counts = np.zeros(SIZE, np.int64) if counts is None else counts
        self.zeros = zeros
        self._limit = 0.0  # magnitudes below it need no look at the window

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum()) + self.zeros

    def add(self, values: np.ndarray, peak: float, phase: int = 0, sample: int = SAMPLE) -> None:
        """Count the magnitudes of an array.

        Args:
            values: float32, contiguous, finite. Of more than `sample` values runs of 16 are
                counted, spread evenly over the array: every k-th, with a k that shares no divisor
                with the number of runs, so that it steps through all rows and channels alike.
            peak: Its largest magnitude.
            phase: Where to begin; another for each picture looks at other places.
            sample: Values that are counted at most; none at 0.
        """
        if not values.size or not sample:
            return
        self._reach(peak)
        flat = values.reshape(-1)
        if flat.size > sample:
            runs = flat.size // RUN
            step = stride_of(runs, max(sample // RUN, 1))
            flat = flat[: runs * RUN].reshape(runs, RUN)[phase % step :: step].reshape(-1)
        upper = flat.view(np.uint16)[_UPPER::2]
        bins = (upper & 0x7FFF).astype(np.intp)
        bins -= self.base - 1  # what lies below the window comes to zero or less
        np.maximum(bins, 0, out=bins)
        found = np.bincount(bins, minlength=SIZE + 1)
        self.zeros += int(found[0])
        self.counts += found[1:]

    def _reach(self, peak: float) -> None:
        """Move the window up to where it holds this magnitude."""
        if peak < self._limit:
            return
        self._limit = peak
        octave = bin_of(peak) // BINS
        base = max((octave + 1) * BINS - SIZE, 1)
        shift = base - self.base
        if shift <= 0:
            return
        lost = min(shift, SIZE)
        self.zeros += int(self.counts[:lost].sum())
        kept = np.zeros_like(self.counts)
        kept[: SIZE - lost] = self.counts[lost:]
        self.counts, self.base = kept, base

    def edges(self) -> np.ndarray:
        """`(3073,)` float64, the bins' edges."""
        return edges_of(np.arange(self.base, self.base + SIZE + 1))

    def quantile(self, fraction: float) -> float:
        """The magnitude that this fraction of the values does not exceed."""
        wanted = fraction * self.total - self.zeros
        if wanted <= 0:
            return 0.0
        below = np.concatenate(([0.0], np.cumsum(self.counts, dtype=np.float64)))
        index = int(np.searchsorted(below, wanted, side="left"))
        if index > SIZE:
            index = SIZE
        edges = self.edges()
        inside = (wanted - below[index - 1]) / max(below[index] - below[index - 1], 1.0)
        return float(edges[index - 1] + inside * (edges[index] - edges[index - 1]))

    def squared_error(self, amax: np.ndarray) -> np.ndarray:
        """Mean squared error of rounding to 127 steps a side, for several ranges.

        Inside a bin the values are taken as evenly spread, and the error is integrated over it
        exactly, what is rounded as well as what is cut off.

        Args:
            amax: `(n,)` ranges, above 0.

        Returns:
            `(n,)` float64, in the square of the tensor's unit.
        """
        amax = np.atleast_1d(np.asarray(amax, np.float64))
        used = np.flatnonzero(self.counts)
        if not len(used):
            return np.zeros(len(amax))
        lower, upper = edges_of(used + self.base), edges_of(used + self.base + 1)
        counts = self.counts[used].astype(np.float64)
        out = np.empty(len(amax))
        for index, limit in enumerate(amax):
            out[index] = counts @ bin_error(lower, upper, limit)
        return out / self.total


@lru_cache(maxsize=4096)
def stride_of(count: int, most: int) -> int:
    """Every how manieth of so many gives at most `most`, without a common divisor."""
    step = -(-count // most)
    while gcd(step, count) > 1:
        step += 1
    return step


def bin_error(lower: np.ndarray, upper: np.ndarray, amax: float) -> np.ndarray:
    """Mean squared error inside bins of even density, rounded to 127 steps up to `amax`."""
    step = amax / 127
    low, high = np.minimum(lower, amax) / step, np.minimum(upper, amax) / step
    whole = _rounding_integral(low, high) * step**3
    over_low, over_high = np.maximum(lower - amax, 0), np.maximum(upper - amax, 0)
    whole += (over_high**3 - over_low**3) / 3
    return whole / (upper - lower)


def _rounding_integral(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integral of the squared distance to the nearest whole number."""
    whole_low, whole_high = np.rint(low), np.rint(high)
    return (whole_high - whole_low) / 12 + ((high - whole_high) ** 3 - (low - whole_low) ** 3) / 3


def magnitudes(values: np.ndarray) -> Tuple[float, float, Optional[np.ndarray]]:
    """Smallest, largest value and the largest magnitude of each channel along axis 1.

    Returns:
        Minimum, maximum (not finite where a value is not), `(c,)` float32 or None below rank 2.
    """
    if values.ndim < 2:
        return float(values.min()), float(values.max()), None
    rows = values.reshape(values.shape[0] * values.shape[1], -1)
    low, high = rows.min(axis=1), rows.max(axis=1)
    channels = np.maximum(high, -low).reshape(values.shape[:2]).max(axis=0)
    return float(low.min()), float(high.max()), channels
