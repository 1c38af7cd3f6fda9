"""Which frames of a camera are looked at where a lower rate than its own is asked for."""

import math
from typing import Optional


def pace_of(fps: Optional[float], live: bool, nominal: Optional[float]) -> "Optional[Pace]":
    """The pace of a camera; None where all of its frames are wanted.

    Args:
        fps: Frames a second that are wanted, or None for all.
        live: Whether it is live.
        nominal: Frames a second that the source says it has, or None. A file that has no more than
            are wanted is not thinned out.
    """
    if fps is None or (not live and nominal is not None and nominal <= 1.02 * fps):
        return None
    return Pace(fps, live, nominal)


class Pace:
    """Picks frames at an even pace by their timestamps.

    A file's frames are picked by their own time alone: those nearest to a grid of `1 / fps`. So a
    run that is gone on with picks those that it would have picked. A live camera's are picked by
    the distance from the one before, because its clock is not the grid's: the frame that is
    nearest to when the next is due.

    Args:
        fps: Frames a second that are wanted, above 0.
        live: Whether the frames are of a live camera.
        nominal: Frames a second that the source says it has, or None.

    Attributes:
        number: Number of the frame that was picked last, of those that the pace knows: it rises
            by one for each, or by more where frames are missing.
        skipped: Frames that were not picked.
    """

    def __init__(self, fps: float, live: bool, nominal: Optional[float] = None) -> None:
        self._period = 1.0 / fps
        # Half a frame of the source, in cells of the grid: containers round times.
        self._early = min(0.5 * fps / nominal, 0.5) if nominal else 0.1
        self._live = live
        self.number = -1
        self.skipped = 0
        self._due: Optional[float] = None
        self._seen: Optional[float] = None
        self._interval = 0.0

    def reached(self, timestamp: float) -> None:
        """An earlier run has looked at the frame of this moment."""
        if not self._live:
            self.number = self._cell(timestamp)

    def take(self, timestamp: float) -> bool:
        """Whether the frame of this moment is picked; called once for each, in order."""
        picked = self._near(timestamp) if self._live else self._first(timestamp)
        if not picked:
            self.skipped += 1
        return picked

    def _first(self, timestamp: float) -> bool:
        cell = self._cell(timestamp)
        if cell <= self.number:
            return False
        self.number = cell
        return True

    def _cell(self, timestamp: float) -> int:
        return math.floor(timestamp / self._period + self._early)

    def _near(self, timestamp: float) -> bool:
        if self._seen is not None:
            passed = timestamp - self._seen
            if 0.0 < passed < 10.0 * self._period + 1.0:
                new = 0.2 if self._interval else 1.0
                self._interval += new * (passed - self._interval)
        self._seen, due, period = timestamp, self._due, self._period
        if due is None or timestamp < due - 2.0 * period:  # the first, or the clock was set back
            self._due = timestamp + period
        elif timestamp < due - 0.5 * min(self._interval, period):
            return False
        elif timestamp - due <= 0.5 * period:
            self._due = due + period
        else:
            self._due = timestamp + period
        self.number += 1
        return True
