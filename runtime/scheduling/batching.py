"""Whether several frames a run are faster than one after another: measured, not assumed."""

import math
from typing import Dict, List, Optional, Tuple

SIZES = (2, 4, 8, 16)
"""Batches that are tried in turn where a graph leaves the batch open."""

PAYS = 0.85
"""Time of a batch against its frames one by one up to which it pays; above, the gain would be
within the noise, and a batch delays its first frame."""

GROWS = 0.95
"""The same for a larger batch against the one that pays already."""

AGREE = 2
"""Trials in a row that have to agree before anything changes."""

PAUSE_S = 5.0
PAUSE_MOST_S = 600.0
"""A trial that did not pay is repeated after a pause that doubles from the one to the other."""

CHECK_S = 60.0
"""That a batch still pays is looked at so often: the graph may have been exchanged for an engine,
or the device may be throttled."""

FAILURES = 3
"""After so many batches that failed, although their frames did not, none is tried any more."""


class Batching:
    """How many frames go through a model together. Pure: it is told times and durations.

    Args:
        most: Pictures that the model takes a run: 1, a fixed number, or None for any.

    Attributes:
        most: As given, or the largest of `SIZES`; 1 when batches turned out not to work.
        best: The largest batch that pays, as far as it is known; 1 until then.
        exact: Whether outputs were the same to the bit, in all trials.
    """

    def __init__(self, most: Optional[int] = 1) -> None:
        self._sizes: Tuple[int, ...] = SIZES if most is None else (most,)
        self.most = SIZES[-1] if most is None else max(int(most), 1)
        self.best = 1
        self.exact = True
        self._step = 0
        self._trying = False
        self._agreed = 0
        self._failures = 0
        self._next_at = -math.inf
        self._check_at = -math.inf
        self._pause = PAUSE_S
        self._seconds: Dict[int, float] = {}

    def size(
        self, waiting: int, idle: int, slack_s: Optional[float], budget_s: float = math.inf
    ) -> int:
        """How many of the frames that wait go together.

        Args:
            waiting: How many wait.
            idle: Workers that have nothing to do: the frames are shared out among them.
            slack_s: Seconds until the oldest frame is beyond its budget; None without a budget.
            budget_s: The budget. Half of it is allowed in any case: where the device is behind, a
                frame more a run is what brings it back.
        """
        count = min(self.best, math.ceil(waiting / max(idle, 1)))
        if slack_s is not None:
            limit = max(slack_s, 0.5 * budget_s)
            while count > 1 and self.seconds(count) > limit:
                count -= 1
        return max(count, 1)

    def trial(self, waiting: int, now: float, budget_s: Optional[float]) -> Tuple[int, int]:
        """Whether frames that wait should be run both ways now.

        Args:
            waiting: How many wait.
            now: What time it is.
            budget_s: Seconds that a batch may take; None for any.

        Returns:
            How many frames, 0 for no trial, and in batches of how many they are run first.
        """
        if self.most < 2 or waiting < 2 or self._trying:
            return 0, 0
        if self.best > 1 and now >= self._check_at and waiting >= self.best:
            self._trying = True
            return self.best, 1
        if self._step >= len(self._sizes) or now < self._next_at:
            return 0, 0
        size = self._sizes[self._step]
        if len(self._sizes) == 1:
            size = min(size, waiting)  # a graph of a fixed batch: the rest is filled up
        if waiting < size:
            return 0, 0
        usual = self.seconds(self.best)
        if not usual or (budget_s is not None and usual > budget_s):
            return 0, 0  # not known yet, or a larger one takes no less
        self._trying = True
        return size, self.best

    def tried(
        self,
        size: int,
        reference: int,
        apart_s: float,
        together_s: float,
        alike: bool,
        exact: bool,
        now: float,
    ) -> None:
        """A trial is done.

        Args:
            size: Frames in it.
            reference: In batches of how many they were run first.
            apart_s: Seconds that this took.
            together_s: Seconds that it took all together.
            alike: Whether the outputs agree, as far as rounding goes.
            exact: Whether they are the same to the bit.
            now: What time it is.
        """
        self._trying = False
        if not alike:
            self.most = self.best = 1  # the graph mixes pictures, or its outputs have no batch
            return
        self.exact = self.exact and exact
        check = reference == 1 and self.best > 1
        pays = together_s <= (PAYS if reference == 1 else GROWS) * apart_s
        if check and pays:
            self._agreed, self._check_at = 0, now + CHECK_S
            return
        if check or pays:
            self._agreed += 1
            if self._agreed < AGREE:
                return
        self._agreed = 0
        if check:
            self.best, self._step = 1, 0
        elif pays:
            self.best = self._sizes[self._step]
            self._step += 1
            self._pause, self._check_at = PAUSE_S, now + CHECK_S
            return
        self._next_at = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MOST_S)

    def untried(self) -> None:
        """A trial came to nothing."""
        self._trying = False

    def failed(self, now: float) -> bool:
        """A batch failed and its frames did not; True when that was the last one."""
        if self.most == 1:
            return False
        self._trying = False
        self._failures += 1
        self._agreed = 0
        self.best, self._step = 1, 0
        self._next_at = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MOST_S)
        if self._failures >= FAILURES:
            self.most = 1
        return self.most == 1

    def ran(self, size: int, seconds: float) -> None:
        """So many frames took so long together."""
        known = self._seconds.get(size)
        self._seconds[size] = seconds if known is None else 0.8 * known + 0.2 * seconds

    def seconds(self, size: int) -> float:
        """How long so many frames take together, as far as it is known; 0.0 at the beginning."""
        known: List[int] = sorted(self._seconds)
        if not known:
            return 0.0
        below = [n for n in known if n <= size]
        above = [n for n in known if n >= size]
        if below and above:
            low, high = below[-1], above[0]
            share = (size - low) / (high - low) if high > low else 0.0
            return self._seconds[low] + share * (self._seconds[high] - self._seconds[low])
        if above:
            return self._seconds[above[0]]
        return self._seconds[below[-1]] * size / below[-1]
