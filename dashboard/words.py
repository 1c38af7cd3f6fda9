"""Numbers, durations and times in a reader's words."""

import math
import time
from typing import Any, Callable, Dict, Optional, Sequence

from ..core import ConfigError
from ..runtime.timezones import Zone
from .series import DAY, HOUR, MINUTE


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 0) -> str:
    """A number with thousands marked, or a dash where there is none."""
    if not is_number(value):
        return "–"
    text = f"{value:,.{digits}f}"
    return text.replace("-", "−")


def plural(count: float, one: str, many: str = "") -> str:
    """`1 visit`, `3 visits`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def duration(seconds: Any) -> str:
    """A duration in the two units that matter: `4.2 s`, `1 min 19 s`, `3 h 5 min`, `2 d 4 h`."""
    if not is_number(seconds):
        return "–"
    if seconds < 0:
        return "−" + duration(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    for unit, big, small, name, part in (
        (HOUR, MINUTE, 1.0, "min", "s"),
        (DAY, HOUR, MINUTE, "h", "min"),
        (math.inf, DAY, HOUR, "d", "h"),
    ):
        whole = round(seconds / small) * small
        if whole < unit:
            rest = round((whole % big) / small)
            return f"{number(whole // big)} {name}" + (f" {rest} {part}" if rest else "")
    return "–"


def long_duration(seconds: float) -> str:
    """A duration in full words, rounded to the largest fitting unit: `8 minutes`."""
    for unit, name, least in ((DAY, "day", 2), (HOUR, "hour", 2), (MINUTE, "minute", 1)):
        if seconds >= least * unit:
            return plural(round(seconds / unit), name)
    return plural(max(1, round(seconds)), "second")


def edge(seconds: float) -> str:
    """A short label for the edge of a bin: `30 s`, `2 min`, `1 h`."""
    if seconds >= HOUR and seconds % HOUR == 0:
        return f"{seconds / HOUR:.0f} h"
    if seconds >= MINUTE and seconds % MINUTE == 0:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds:g} s"


class Clock:
    """Turns the timestamps of a run into what its reader calls the time.

    Args:
        kind: `file`: seconds since the start of the recording. `unix`: Unix seconds.
        zone: Name of the time zone that these are told in; that of the machine that writes the
            report unless given, or where it knows no such zone.
    """

    def __init__(self, kind: str = "file", zone: Optional[str] = None) -> None:
        self.live = kind == "unix"
        self._zone = _known_zone(zone) if self.live else None
        self._offsets: Dict[int, int] = {}

    def local(self, timestamp: float) -> float:
        """Seconds whose multiples of an hour and a day are hours and days of the reader."""
        if not self.live:
            return timestamp
        block = int(timestamp // 900)  # time zones change on quarters of an hour
        offset = self._offsets.get(block)
        if offset is None:
            if len(self._offsets) > 4096:
                self._offsets.clear()
            try:
                if self._zone is not None:
                    offset = self._zone.offset(block * 900)
                else:
                    offset = time.localtime(block * 900).tm_gmtoff or 0
            except (OverflowError, ValueError, OSError):
                offset = 0  # no calendar holds such a time
            self._offsets[block] = offset
        return timestamp + offset

    def text(self, local: float, width: float = 1.0) -> str:
        """A moment from `local`, as exactly as a bin of `width` seconds needs it."""
        if not self.live:
            return elapsed(local)
        if width >= DAY:
            return _date(local, "%a %d %b %Y")
        return _date(local, "%d %b %Y %H:%M:%S" if width < MINUTE else "%d %b %Y %H:%M")

    def short(self, local: float, width: float) -> str:
        """As `text`, without the date, for axes of less than a day and a half."""
        if not self.live:
            if width >= DAY:
                return f"day {local / DAY + 1:.0f}"
            return elapsed(local)
        if width >= DAY:
            return _date(local, "%d %b")
        return _date(local, "%H:%M:%S" if width < MINUTE else "%H:%M")

    def row(self, local: float, width: float, one_day: bool) -> str:
        """As `text`, for rows that stand under each other: no year, no date that all share."""
        if not self.live or width >= DAY:
            return self.text(local, width)
        return self.short(local, width) if one_day else _date(local, "%d %b %H:%M")

    def zone(self) -> str:
        """What the times mean, as a sentence."""
        if not self.live:
            return "Times count from the start of the recording (h:mm:ss)."
        offsets = sorted(set(self._offsets.values()))
        names = " and ".join(_offset(o) for o in offsets) or "UTC"
        if self._zone is not None and self._zone.name not in ("local", "UTC", "Etc/UTC"):
            names = f"{self._zone.name}, {names}"
        return f"Times are local clock times ({names})."


def _known_zone(name: Optional[str]) -> Optional[Zone]:
    try:
        return Zone(name) if name and name != "local" else None
    except ConfigError:
        return None


def elapsed(seconds: float) -> str:
    """`0:01:19`, or `2 d 3:00:00` past a day."""
    sign, whole = ("−" if seconds < 0 else ""), abs(int(math.floor(seconds + 1e-9)))
    days, rest = divmod(whole, int(DAY))
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{sign}{days} d {text}" if days else sign + text


def _date(local: float, pattern: str) -> str:
    try:
        return time.strftime(pattern, time.gmtime(local))
    except (OverflowError, ValueError, OSError):
        return elapsed(local)


def _offset(seconds: int) -> str:
    sign = "+" if seconds >= 0 else "−"
    return f"UTC{sign}{abs(seconds) // 3600:02d}:{abs(seconds) // 60 % 60:02d}"


def ticks(low: float, high: float, steps: Sequence[float], most: int = 5) -> Sequence[float]:
    """Round values between two ends, at most `most` of them."""
    step = next((s for s in steps if (high - low) / s <= most - 1 + 1e-9), steps[-1])
    while (high - low) / step > most:
        step *= 2
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


TIME_STEPS = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0),
    *(m * MINUTE for m in (1, 2, 5, 10, 15, 20, 30)),
    *(h * HOUR for h in (1, 2, 3, 6, 12)),
    *(d * DAY for d in (1, 2, 7, 14, 28)),
)
"""Distances between the marks of a time axis, in seconds."""

FILTERS: Dict[str, Callable] = {"number": number, "duration": duration, "plural": plural}
