"""Time zones by name: how far local clocks are from UTC at a moment.

Python 3.8 has no `zoneinfo`, and its backport no wheel for aarch64: there the system's files are
read here. Source: RFC 8536, "The Time Zone Information Format (TZif)"; the rule at its end is
that of POSIX for `TZ`.
"""

import bisect
import contextlib
import os
import re
import struct
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Tuple

from ..core import ConfigError, did_you_mean

FOLDERS = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*\Z")


class Zone:
    """A time zone.

    Attributes:
        name: E.g. `Europe/Berlin`, or `local` for the machine's own where that has no name.

    Args:
        name: See above; None for that of this machine.

    Raises:
        ConfigError: This machine knows no zone of this name.
    """

    def __init__(self, name: Optional[str] = None) -> None:
        self.name = name or machine_zone() or "local"
        self._info: Any = None if self.name == "local" else _load(self.name)

    def offset(self, timestamp: float) -> int:
        """Seconds that local clocks are ahead of UTC at a Unix time; 0 beyond the calendar."""
        try:
            if self._info is None:
                return int(time.localtime(timestamp).tm_gmtoff or 0)
            if isinstance(self._info, Rules):
                return self._info.offset(timestamp)
            moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=timestamp)
            return int(moment.astimezone(self._info).utcoffset().total_seconds())  # type: ignore
        except (OverflowError, ValueError, OSError):
            return 0


def check_zone(name: str) -> None:
    """Make sure that a zone is known. Raises as `Zone`."""
    Zone(name)


def machine_zone() -> Optional[str]:
    """The name of the machine's own time zone, or None where it has none that is known."""
    given = os.environ.get("TZ", "").lstrip(":")
    candidates = [given] if given else []
    if not given:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            candidates.append(Path("/etc/timezone").read_text(encoding="ascii").strip())
        # The link is what the C library follows; the other file is only told.
        target = os.path.realpath("/etc/localtime")
        candidates[:0] = [target.partition("zoneinfo/")[2]] if "zoneinfo/" in target else []
    for name in candidates:
        name = re.sub(r"^(posix|right)/", "", name)
        try:
            check_zone(name)
            return name
        except ConfigError:
            continue
    return None


def _load(name: str) -> Any:
    if _NAME.match(name):
        try:
            from zoneinfo import ZoneInfo  # novm - where there is none, see below

            return ZoneInfo(name)
        except ImportError:
            for folder in FOLDERS:
                try:
                    return Rules((Path(folder) / name).read_bytes())
                except (OSError, ValueError, struct.error, IndexError):
                    continue
        except (KeyError, OSError, ValueError):  # not found is a KeyError
            pass
    if not any(Path(folder).is_dir() for folder in FOLDERS):
        raise ConfigError(
            f"timezone {name!r} is unknown: this machine has no time zones",
            remedy="sudo apt install tzdata",
        )
    raise ConfigError(f"timezone {name!r} is unknown", remedy=_remedy(name))


def _remedy(name: str) -> str:
    known: List[str] = []
    for folder in FOLDERS:
        try:
            lines = (Path(folder) / "tzdata.zi").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        known += [line.split()[1] for line in lines if line.startswith("Z ")]
        known += [line.split()[2] for line in lines if line.startswith("L ")]
        break
    remedy = did_you_mean(name, known) if known else ""
    return remedy if remedy.startswith("did") else "write it as in Europe/Berlin"


class _Rule(NamedTuple):
    """A day of the year in the way of POSIX: `M3.5.0`, `J60` or `59`, and seconds of that day."""

    kind: str
    numbers: Tuple[int, ...]
    seconds: int

    def moment(self, year: int) -> int:
        """Local seconds since 1970 in a year."""
        first = _day(year, 1, 1)
        if self.kind == "M":
            month, week, weekday = self.numbers
            start = _day(year, month, 1)
            at = start + (weekday - (start + 4)) % 7 + 7 * (week - 1)
            end = _day(year + month // 12, month % 12 + 1, 1)
            day = at if at < end else at - 7
        elif self.kind == "J":
            leap = _day(year + 1, 1, 1) - first == 366
            day = first + self.numbers[0] - 1 + (1 if leap and self.numbers[0] >= 60 else 0)
        else:
            day = first + self.numbers[0]
        return day * 86400 + self.seconds


class Rules:
    """What a zone's file says.

    Args:
        data: The file.

    Raises:
        ValueError: It is no such file.
    """

    def __init__(self, data: bytes) -> None:
        self._times: List[int] = []
        self._offsets: List[int] = []
        end = self._block(data, 0, 4)
        if data[4:5] >= b"2":
            end = self._block(data, end, 8)
            footer = data[end:].strip(b"\n").decode("ascii")
        else:
            footer = ""
        self._rule = _posix(footer) if footer else None

    def _block(self, data: bytes, start: int, size: int) -> int:
        if data[start : start + 4] != b"TZif":
            raise ValueError("no time zone file")
        utc, std, leap, count, types, chars = struct.unpack(">6l", data[start + 20 : start + 44])
        at = start + 44
        code = "q" if size == 8 else "l"
        self._times = list(struct.unpack(f">{count}{code}", data[at : at + count * size]))
        at += count * size
        indices = data[at : at + count]
        at += count
        infos = [struct.unpack(">lBB", data[at + 6 * i : at + 6 * i + 6]) for i in range(types)]
        standard = next((info[0] for info in infos if not info[1]), infos[0][0])
        self._first = infos[0][0] if types else standard
        self._offsets = [infos[i][0] for i in indices]
        return at + 6 * types + chars + leap * (size + 4) + std + utc

    def offset(self, timestamp: float) -> int:
        """Seconds ahead of UTC."""
        at = bisect.bisect_right(self._times, timestamp) - 1
        if at < 0:
            return self._first if self._times or self._rule is None else self._by_rule(timestamp)
        if at == len(self._times) - 1 and self._rule is not None:
            return self._by_rule(timestamp)
        return self._offsets[at]

    def _by_rule(self, timestamp: float) -> int:
        assert self._rule is not None
        standard, summer, begin, end = self._rule
        if begin is None or end is None:
            return standard
        year = time.gmtime(timestamp + standard).tm_year
        starts, ends = begin.moment(year) - standard, end.moment(year) - summer
        if starts < ends:
            return summer if starts <= timestamp < ends else standard
        return standard if ends <= timestamp < starts else summer


_OFFSET = r"([+-]?\d{1,3}(?::\d{1,2}){0,2})"
_ABBREVIATION = r"(?:<[A-Za-z0-9+-]+>|[A-Za-z]{3,})"
_DATE = r"([MJ]?[\d.]+)(?:/([+-]?\d{1,3}(?::\d{1,2}){0,2}))?"
_POSIX = re.compile(
    f"{_ABBREVIATION}{_OFFSET}(?:{_ABBREVIATION}{_OFFSET}?(?:,{_DATE},{_DATE})?)?\\Z"
)


def _posix(text: str) -> Tuple[int, int, Optional[_Rule], Optional[_Rule]]:
    match = _POSIX.match(text)
    if match is None:
        raise ValueError(text)
    west, summer_west, begin, begin_at, end, end_at = match.groups()
    standard = -_seconds(west)
    summer = standard + 3600 if summer_west is None else -_seconds(summer_west)
    if begin is None:
        return standard, summer, None, None
    return standard, summer, _rule(begin, begin_at), _rule(end, end_at)


def _rule(date: str, at: Optional[str]) -> _Rule:
    kind = date[0] if date[0] in "MJ" else ""
    numbers = tuple(int(n) for n in date.lstrip("MJ").split("."))
    return _Rule(kind, numbers, 7200 if at is None else _seconds(at))


def _seconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    parts = [int(p) for p in text.lstrip("+-").split(":")]
    return sign * sum(p * unit for p, unit in zip(parts, (3600, 60, 1)))


def _day(year: int, month: int, day: int) -> int:
    """Days since 1970."""
    return datetime(year, month, day).toordinal() - 719163
