"""How many there are over time, in buckets aligned to the frame clock."""

import math
from typing import Any, Dict, List, NamedTuple, Sequence, Union

import numpy as np


class Level(NamedTuple):
    """How many there were in one place during one bucket."""

    mean: float
    max: int


class Bucket(NamedTuple):
    """How many there were between two moments.

    Attributes:
        start: Seconds on the frame clock, a multiple of the bucket's length.
        duration_s: Seconds of the bucket that were watched: shorter in the first and last one,
            and where the camera stalled. `mean * duration_s` is person-seconds.
        scene: The whole picture.
        zones: By name.
    """

    start: float
    duration_s: float
    scene: Level
    zones: Dict[str, Level]


class Occupancy:
    """Time-weighted mean and maximum of counts.

    A count holds until the next frame, yet at most `gap_s`: nobody knows what happened during a
    stall. For each place the seconds at each count are kept; their mean is the mean, and the
    maximum is the highest count that held for `hold_s` altogether, so that a box that flickers
    does not raise it.

    Args:
        zones: Names of the zones.
        bucket_s: Length of a bucket in seconds.
        hold_s: Seconds of a bucket that its maximum must have held for.
        gap_s: Seconds that a count holds without a new frame.
    """

    def __init__(
        self,
        zones: Sequence[str] = (),
        bucket_s: float = 10.0,
        hold_s: float = 0.5,
        gap_s: float = 2.0,
    ) -> None:
        self.names = list(zones)
        self._bucket_s, self._hold_s, self._gap_s = bucket_s, hold_s, gap_s
        self._places = np.arange(len(self.names) + 1)
        self._counts = np.zeros(len(self.names) + 1, np.int64)
        self._now = math.nan
        self._until = math.nan
        self._start = math.nan
        self._clear()

    def update(
        self, timestamp: float, scene: int, zones: Union[Sequence[int], np.ndarray] = ()
    ) -> List[Bucket]:
        """Take in how many there are from now on.

        Args:
            timestamp: Seconds on the frame clock.
            scene: How many in the whole picture.
            zones: How many in each zone, in the order of their names.

        Returns:
            Buckets that are complete.
        """
        buckets = self.advance(timestamp)
        if self._now != self._now:
            self._now = timestamp
            self._start = self._aligned(timestamp)
        self._counts[0] = scene
        self._counts[1:] = zones
        self._until = timestamp + self._gap_s
        return buckets

    def advance(self, timestamp: float) -> List[Bucket]:
        """Let time pass without a new count.

        Returns:
            Buckets that are complete. Those of which nothing was watched are left out.
        """
        buckets: List[Bucket] = []
        if not timestamp > self._now:  # the first moment, the same one, or an earlier one
            return buckets
        while timestamp >= self._start + self._bucket_s:
            end = self._start + self._bucket_s
            self._pass(end)
            self._close(buckets)
            # Over a long stall nothing is watched: jump instead of walking bucket by bucket.
            self._start = end if self._until > end else self._aligned(timestamp)
            self._now = max(self._start, end)
        self._pass(timestamp)
        return buckets

    def finish(self) -> List[Bucket]:
        """The bucket that is open."""
        buckets: List[Bucket] = []
        self._close(buckets)
        return buckets

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "counts": self._counts,
            "seconds": self._seconds,
            "clock": [self._now, self._until, self._start, self._watched],
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._counts = state["counts"]
        self._seconds = state["seconds"]
        self._now, self._until, self._start, self._watched = state["clock"]

    def _aligned(self, timestamp: float) -> float:
        return math.floor(timestamp / self._bucket_s) * self._bucket_s

    def _clear(self) -> None:
        self._seconds = np.zeros((len(self._places), 16))
        self._watched = 0.0

    def _pass(self, timestamp: float) -> None:
        """Credit the time from now to then to the counts that hold."""
        passed = min(timestamp, self._until) - self._now
        if passed > 0:
            top = int(self._counts.max())
            if top >= self._seconds.shape[1]:
                wider = np.zeros((len(self._places), 2 * top))
                wider[:, : self._seconds.shape[1]] = self._seconds
                self._seconds = wider
            self._seconds[self._places, self._counts] += passed
            self._watched += passed
        self._now = timestamp

    def _close(self, buckets: List[Bucket]) -> None:
        watched = self._watched
        if watched > 1e-9:
            levels = np.arange(self._seconds.shape[1])
            means = (self._seconds @ levels) / watched
            # Seconds at each count or above; the last bit of a sum must not decide.
            above = np.cumsum(self._seconds[:, ::-1], axis=1)[:, ::-1]
            held = above >= min(self._hold_s, 0.5 * watched) - 1e-9
            tops = np.where(held, levels, 0).max(axis=1)
            found = [Level(m, t) for m, t in zip(means.tolist(), tops.tolist())]
            zones = dict(zip(self.names, found[1:]))
            buckets.append(Bucket(self._start, watched, found[0], zones))
        self._clear()
