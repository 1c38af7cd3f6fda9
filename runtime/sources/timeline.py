"""Times of live frames: they never go back, whatever is done to the clock of the machine."""

import threading
import time
from typing import Any, List

STEP_S = 2.0
"""A difference between the clocks that is a step; less is drift."""

SLEW = 0.02
"""Share of the passing time by which the timeline is brought back to the clock: a stay is then
measured at most this much wrong."""


class Timeline:
    """Unix time as a camera's counts need it: monotonic time and an offset.

    The clock of a machine is set now and then: a small device without a battery starts years
    behind until the network is there, and somebody may set it back by an hour. Set forward, the
    timeline goes along at once. Set back, it goes on from where it is and slowly lets the clock
    catch up, because what was counted once must not be counted under the same time again.

    Args:
        clock: What has `monotonic()` and `time()` in seconds, as the module `time` does.
    """

    def __init__(self, clock: Any = time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = clock.monotonic()
        self._offset = clock.time() - self._seen
        self.steps: List[float] = []
        """Seconds by which the clock was set, forward or back; the last hundred."""
        self._known = self._offset

    def use(self, clock: Any) -> None:
        """Tell the time by another clock from now on; it counts as set, not as replaced."""
        with self._lock:
            self._clock = clock

    def unix(self, monotonic: float) -> float:
        """Unix time of a moment of the monotonic clock, not far in the past."""
        with self._lock:
            self._adjust()
            return monotonic + self._offset

    def not_before(self, timestamp: float, lead: float = 0.0) -> None:
        """What comes now is later than this: the time that an earlier run has reached.

        Args:
            timestamp: In Unix seconds.
            lead: By how much that run was ahead of the clock then, see `lead`. It is taken over,
                or the time between the runs would be lost where the clock had been set back.
        """
        with self._lock:
            self._adjust()
            now = self._clock.monotonic()
            if now + self._offset > timestamp:
                return
            taken_over = self._clock.time() - now + max(lead, 0.0)
            self._offset = max(taken_over, timestamp + 1e-3 - now)

    def lead(self) -> float:
        """Seconds by which the timeline is ahead of the clock, which had been set back."""
        with self._lock:
            self._adjust()
            return self._offset - self._known

    def _adjust(self) -> None:
        now = self._clock.monotonic()
        passed, self._seen = max(now - self._seen, 0.0), now
        told = self._clock.time() - now
        if abs(told - self._known) >= STEP_S:
            self.steps = [*self.steps[-99:], told - self._known]
        self._known = told
        ahead = self._offset - told
        if ahead <= -STEP_S:
            self._offset = told
        else:
            most = SLEW * passed
            self._offset -= min(max(ahead, -most), most)


SHARED = Timeline()
"""The timeline of this process, so that all cameras agree."""
