"""Values over time in a bounded number of bins, however long the run was."""

import math
from typing import Any, Callable, Dict, Generic, Iterator, List, Sequence, Tuple, TypeVar

T = TypeVar("T")

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

CHART_STEPS: Tuple[Tuple[float, int], ...] = tuple(
    (width, 240) for width in (10.0, 20.0, 60.0, 120.0, 600.0, 1200.0, HOUR, 2 * HOUR, DAY)
)
"""Bin widths of a chart in seconds, each a multiple of the one before, and how many may stand.

No width lies between two hours and a day: such bins would show day and night, not the trade."""

COUNT_STEPS: Tuple[Tuple[float, int], ...] = ((1.0, 120), (2.0, 120)) + tuple(
    (width, 120) for width, _ in CHART_STEPS
)
"""As `CHART_STEPS`, for events that no bucket of ten seconds limits."""

TABLE_STEPS: Tuple[Tuple[float, int], ...] = (
    (10.0, 12),
    (MINUTE, 15),
    (5 * MINUTE, 24),
    (HOUR, 72),
    (DAY, 10**9),
)
"""Row lengths of the table over time: hours, unless the run is shorter or far longer."""


class Bins(Generic[T]):
    """Bins of equal width that merge into wider ones when they become too many.

    Bins start at multiples of their width, so hours are hours of the clock. Only bins that were
    asked for are kept: a hole in time costs nothing.

    Args:
        new: Makes an empty value.
        merge: Adds the second value into the first.
        steps: `(width in seconds, how many bins the whole span may take)`, growing; each width is
            a multiple of the one before. Past the last step widths double.
    """

    def __init__(
        self,
        new: Callable[[], T],
        merge: Callable[[T, T], None],
        steps: Sequence[Tuple[float, int]] = CHART_STEPS,
    ) -> None:
        self._new = new
        self._merge = merge
        self._steps = steps
        self._step = 0
        self._bins: Dict[int, T] = {}
        self._low = 0
        self._high = -1
        self.width = steps[0][0]

    def __len__(self) -> int:
        return len(self._bins)

    def at(self, time: float) -> T:
        """The value of the bin that holds a moment, made when it is missing."""
        index = math.floor(time / self.width)
        value = self._bins.get(index)
        if value is None:
            value = self._bins[index] = self._new()
            if self._high < self._low:
                self._low = self._high = index
            self._low, self._high = min(self._low, index), max(self._high, index)
            if self._high - self._low >= self._limit():
                self._coarsen()
                return self.at(time)
        return value

    def widen(self, width: float) -> None:
        """Merge until a bin is at least as wide as `width` seconds."""
        while self.width < width:
            self._wider()

    def items(self) -> Iterator[Tuple[float, T]]:
        """`(start of the bin in seconds, value)` in order of time, without empty bins."""
        for index in sorted(self._bins):
            yield index * self.width, self._bins[index]

    def _limit(self) -> int:
        return self._steps[min(self._step, len(self._steps) - 1)][1]

    def _coarsen(self) -> None:
        while self._high - self._low >= self._limit():
            self._wider()

    def _wider(self) -> None:
        self._step += 1
        old = self.width
        self.width = self._steps[self._step][0] if self._step < len(self._steps) else old * 2
        factor = round(self.width / old)
        merged: Dict[int, T] = {}
        for index in sorted(self._bins):
            into = merged.get(index // factor)
            if into is None:
                merged[index // factor] = self._bins[index]
            else:
                self._merge(into, self._bins[index])
        self._bins = merged
        if merged:
            self._low, self._high = min(merged), max(merged)


def counts() -> "Dict[Any, float]":
    """An empty value for bins that count by key."""
    return {}


def add_counts(into: "Dict[Any, float]", more: "Dict[Any, float]") -> None:
    """Add counts by key."""
    for key, value in more.items():
        into[key] = into.get(key, 0) + value


class Level:
    """A quantity over one bin: its mean, weighted by time, and its highest value."""

    __slots__ = ("area", "seconds", "highest")

    def __init__(self) -> None:
        self.area = 0.0
        self.seconds = 0.0
        self.highest = 0.0

    def add(self, mean: float, highest: float, seconds: float) -> None:
        """Take in a stretch of `seconds` with a mean and a highest value."""
        self.area += mean * seconds
        self.seconds += seconds
        self.highest = max(self.highest, highest)

    def merge(self, other: "Level") -> None:
        """Take in another stretch."""
        self.area += other.area
        self.seconds += other.seconds
        self.highest = max(self.highest, other.highest)

    @property
    def mean(self) -> float:
        """Mean over the time that was seen."""
        return self.area / self.seconds if self.seconds else 0.0


class EvenSample(Generic[T]):
    """Every k-th of a stream of unknown length, with k doubling as the stream grows.

    The same stream gives the same sample, and items from its whole length are in it.

    Args:
        limit: At most so many are kept, and at least half as many once there were enough.
    """

    def __init__(self, limit: int = 400) -> None:
        self._limit = limit
        self._every = 1
        self.seen = 0
        self.items: List[T] = []

    def wants(self) -> bool:
        """Whether the next item will be kept, so that others need not be prepared."""
        return self.seen % self._every == 0

    def add(self, item: T) -> None:
        """Show the next item of the stream."""
        if self.wants():
            self.items.append(item)
            if len(self.items) > self._limit:
                self.items = self.items[::2]
                self._every *= 2
        self.seen += 1


class Spread:
    """How durations are distributed, in bounded memory: counts at three significant digits."""

    def __init__(self) -> None:
        self._counts: Dict[float, int] = {}
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Take in one duration; negative ones count as 0."""
        seconds = max(0.0, seconds)
        key = float(f"{seconds:.3g}")
        self._counts[key] = self._counts.get(key, 0) + 1
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    @property
    def mean(self) -> float:
        """Mean in seconds, 0 without any."""
        return self.total / self.count if self.count else 0.0

    @property
    def median(self) -> float:
        """Median in seconds, to three digits: half of the durations are not longer."""
        below = 0
        for key in sorted(self._counts):
            below += self._counts[key]
            if 2 * below >= self.count:
                return key
        return 0.0

    def histogram(self, edges: Sequence[float]) -> List[int]:
        """Counts between edges, the last bin without an end: `len(edges)` numbers."""
        bins = [0] * len(edges)
        for key, count in self._counts.items():
            place = max(i for i, edge in enumerate(edges) if key >= edge or i == 0)
            bins[place] += count
        return bins
