"""When shifts begin, by the local clock."""

from typing import List, Optional, Sequence, Tuple

from ...runtime.timezones import Zone

DAY = 86400


class Shifts:
    """The shifts of a day, told as they begin.

    >>> day = Shifts(["06:00", "14:00"], Zone("UTC"))
    >>> [day.begun(hour * 3600.0) for hour in (5, 6, 7, 15, 29, 30)]
    [None, '06:00', None, '14:00', None, '06:00']

    Args:
        times: When each begins, such as `06:00`.
        zone: Whose clock that is.
    """

    def __init__(self, times: Sequence[str], zone: Zone) -> None:
        self._times: List[Tuple[int, str]] = sorted((_seconds(text), text) for text in times)
        self._zone = zone
        self._last: Optional[Tuple[int, int]] = None

    def begun(self, now: float) -> Optional[str]:
        """The shift that has begun since the last call, or None; the first call tells none.

        Args:
            now: Unix time.
        """
        if not self._times:
            return None
        day, second = divmod(int(now) + self._zone.offset(now), DAY)
        before = [(start, name) for start, name in self._times if start <= second]
        # Before the first shift of a day it is the last one of the day before that goes on.
        start, name = before[-1] if before else self._times[-1]
        key = (day if before else day - 1, start)
        new = self._last is not None and key > self._last
        self._last = key
        return name if new else None


def _seconds(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 3600 + int(minutes) * 60
