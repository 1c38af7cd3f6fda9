"""How long to wait before the next try."""

import random
from typing import Any, Optional


class Backoff:
    """Pauses that double up to a limit, with jitter, so that cameras behind one switch that comes
    back are not asked by all at the same moment.

    Args:
        first_s: The first pause in seconds.
        most_s: The longest.
        stable_s: So long it must have gone well until pauses are short again: a camera that
            flaps is not asked at once each time.
        chance: Gives numbers from 0 to 1, for tests.
    """

    def __init__(
        self, first_s: float, most_s: float, stable_s: float = 5.0, chance: Optional[Any] = None
    ) -> None:
        self._first_s, self._most_s, self._stable_s = first_s, most_s, stable_s
        self._chance = chance or random.random
        self._failed = 0
        self._good_since: Optional[float] = None

    def good(self, now: float) -> None:
        """It goes well at this moment of the monotonic clock."""
        if self._good_since is None:
            self._good_since = now
        elif self._failed and now - self._good_since >= self._stable_s:
            self._failed = 0

    def pause(self) -> float:
        """It failed: seconds to wait, between three quarters and the whole of the pause."""
        whole = min(self._first_s * 2 ** min(self._failed, 30), self._most_s)
        self._failed += 1
        self._good_since = None
        return whole * (0.75 + 0.25 * self._chance())
