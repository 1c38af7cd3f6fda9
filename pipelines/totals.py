"""Journalled events to totals by the hour or day of local time, marked where they are a lower
bound.

Totals are made anew from the events, which are only ever added to: they survive what the journal
survives, and none goes down.
"""

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from ..core import Event, UsageError, did_you_mean
from .summary import length_in_words

HOUR, DAY = 3600.0, 86400.0
BY = {"hour": HOUR, "day": DAY}
LONGEST_GAP_S = 400 * DAY
"""A longer gap is no absence but a clock that had not been set: its hours are not listed."""
LEAST_MISSING_S = 0.5

PASSED_OVER = ("heatmap", "track", "occupancy")
"""Kinds of events that no total is made of."""

Span = Tuple[float, float]
Offset = Callable[[float], float]


class _Bucket:
    """What fell into one hour or day of one camera."""

    def __init__(self) -> None:
        self.lines: Dict[str, Dict[str, int]] = {}
        self.entries: Dict[str, int] = {}
        self.visits: Dict[str, Tuple[int, float]] = {}
        self.visitors = 0
        self.kinds: Dict[str, int] = {}
        self.missing = 0.0

    def add(self, event: Event) -> None:
        kind, payload = event.kind, event.payload
        if kind == "crossing":
            both = self.lines.setdefault(str(payload["line"]), {"in": 0, "out": 0})
            both[payload["direction"]] += 1
        elif kind == "entry":
            zone = str(payload["zone"])
            self.entries[zone] = self.entries.get(zone, 0) + 1
        elif kind == "visit":
            zone = str(payload["zone"])
            count, seconds = self.visits.get(zone, (0, 0.0))
            self.visits[zone] = count + 1, seconds + float(payload["dwell_s"])
        elif kind == "visitor":
            self.visitors += 1
        else:
            self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def merge(self, other: "_Bucket") -> None:
        for line, both in other.lines.items():
            into = self.lines.setdefault(line, {"in": 0, "out": 0})
            for way, count in both.items():
                into[way] += count
        for zone, count in other.entries.items():
            self.entries[zone] = self.entries.get(zone, 0) + count
        for zone, (count, seconds) in other.visits.items():
            known = self.visits.get(zone, (0, 0.0))
            self.visits[zone] = known[0] + count, known[1] + seconds
        self.visitors += other.visitors
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        self.missing += other.missing

    def told(self, lines: Iterable[str], zones: Iterable[str]) -> Dict[str, Any]:
        told: Dict[str, Any] = {
            "visitors": self.visitors,
            "lines": {n: dict(self.lines.get(n) or {"in": 0, "out": 0}) for n in lines},
            "zones": {n: self._zone(n) for n in zones},
        }
        if self.kinds:
            told["events"] = dict(sorted(self.kinds.items()))
        told["missing_s"] = round(self.missing, 1)
        told["lower_bound"] = self.missing >= LEAST_MISSING_S
        told["note"] = (
            f"lower bound, {length_in_words(self.missing)} missing" if told["lower_bound"] else ""
        )
        return told

    def _zone(self, name: str) -> Dict[str, Any]:
        count, seconds = self.visits.get(name, (0, 0.0))
        return {
            "entries": self.entries.get(name, 0),
            "visits": count,
            "dwell_mean_s": round(seconds / count, 2) if count else 0.0,
        }


class Totals:
    """Takes in the events of one camera, in any order, and tells its totals.

    An hour is one of the local clock: where clocks are set back, the hour that comes twice is
    told twice, with its two distances from UTC, and a day may have 23 or 25 hours.

    Args:
        by: `hour` or `day`.
        offset: Seconds that local clocks are ahead of UTC at a Unix time; None where times count
            from the start of a recording.

    Raises:
        UsageError: `by` is neither.
    """

    def __init__(self, by: str = "hour", offset: Optional[Offset] = None) -> None:
        if by not in BY:
            raise UsageError(f"totals by {by!r} are not told", remedy=did_you_mean(by, BY))
        self.by = by
        self._unix = offset is not None
        self._offset: Offset = offset or (lambda timestamp: 0.0)
        self._offsets: Dict[int, float] = {}
        self._buckets: Dict[Tuple[float, float], _Bucket] = {}
        self._whole = _Bucket()
        self._first: Optional[float] = None
        self._last: Optional[float] = None

    def add(self, event: Event) -> None:
        """Take in one event; what cannot be understood is passed over."""
        if event.kind in PASSED_OVER:
            return
        try:
            if event.kind == "gap":
                self._gap(float(event.payload["from"]), float(event.payload["to"]))
            else:
                self._bucket(event.timestamp).add(event)
                self._whole.add(event)
                self._seen(event.timestamp)
        except (KeyError, TypeError, ValueError, OverflowError):
            return

    def rows(
        self,
        covered: Optional[Span] = None,
        lines: Iterable[str] = (),
        zones: Iterable[str] = (),
    ) -> List[Dict[str, Any]]:
        """Totals in order of time; hours in which nothing happened stand there with zeros.

        Args:
            covered: Times of the first and the last frame, in seconds.
            lines: Names of lines that stand there in any case.
            zones: Likewise of zones.

        Returns:
            For each hour or day `start` and `end` (ISO 8601 with the distance from UTC; seconds
            for a recording), `visitors`, `lines` (`in`, `out`), `zones` (`entries`, `visits`,
            `dwell_mean_s`), `events` by kind where there are others, `watched_s`, `missing_s`,
            `lower_bound`, `note` and `partial`: whether the run covers only a part of it, from
            `seen_from` to `seen_until`.
        """
        names = self._names(lines, zones)
        span = self._span(covered)
        if span is None:
            return []
        first, last = span
        keys = set(self._buckets)
        if last - first <= LONGEST_GAP_S:
            moment = first
            keys.add(self._key(first))
            while moment < last:
                keys.add(self._key(moment))
                moment = self._next(moment)
        rows = []
        for key in sorted(keys, key=lambda k: (self._bounds(k)[0], k)):
            bucket = self._buckets.get(key) or _Bucket()
            start, end = self._bounds(key)
            inside = max(min(end, last) - max(start, first), 0.0)
            row: Dict[str, Any] = {"start": self._text(start), "end": self._text(end)}
            row.update(bucket.told(*names))
            row["watched_s"] = round(max(inside - bucket.missing, 0.0), 1)
            row["partial"] = start < first - 1 or end > last + 1
            if row["partial"]:
                row["seen_from"] = self._text(max(start, first))
                row["seen_until"] = self._text(min(end, last))
            rows.append(row)
        return rows

    def total(
        self,
        covered: Optional[Span] = None,
        lines: Iterable[str] = (),
        zones: Iterable[str] = (),
    ) -> Dict[str, Any]:
        """The sum of all rows, as one; `watched_s` over the whole run."""
        span = self._span(covered)
        told = self._whole.told(*self._names(lines, zones))
        length = 0.0 if span is None else span[1] - span[0]
        told["watched_s"] = round(max(length - self._whole.missing, 0.0), 1)
        return told

    # Time

    def _gap(self, start: float, end: float) -> None:
        if not end > start:
            return
        self._whole.missing += end - start
        if end - start > LONGEST_GAP_S:
            return
        self._seen(start)
        self._seen(end)
        while start < end:
            until = min(self._next(start), end)
            self._bucket(start).missing += until - start
            start = until

    def _seen(self, moment: float) -> None:
        self._first = moment if self._first is None else min(self._first, moment)
        self._last = moment if self._last is None else max(self._last, moment)

    def _span(self, covered: Optional[Span]) -> Optional[Span]:
        known = [t for t in (self._first, self._last, *(covered or ())) if t is not None]
        return (min(known), max(known)) if known else None

    def _bucket(self, moment: float) -> _Bucket:
        key = self._key(moment)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
        return bucket

    def _ahead(self, moment: float) -> float:
        block = int(moment // 900)  # time zones change on quarters of an hour
        offset = self._offsets.get(block)
        if offset is None:
            offset = self._offsets[block] = float(self._offset(block * 900.0))
        return offset

    def _key(self, moment: float) -> Tuple[float, float]:
        """Local start, and for an hour the distance from UTC, as an hour may come twice."""
        ahead = self._ahead(moment)
        width = BY[self.by]
        return (moment + ahead) // width * width, ahead if self.by == "hour" else 0.0

    def _next(self, moment: float) -> float:
        """The first moment of the next bucket, or one on the way to it."""
        start, end = self._bounds(self._key(moment))
        if self.by == "hour" and self._ahead(moment) != self._ahead(end - 1e-3):
            return min(end, (moment // 900 + 1) * 900)
        return end if end > moment else (moment // 900 + 1) * 900

    def _bounds(self, key: Tuple[float, float]) -> Span:
        local, ahead = key
        if self.by == "hour":
            return local - ahead, local - ahead + HOUR
        return self._midnight(local), self._midnight(local + DAY)

    def _midnight(self, local: float) -> float:
        """When a local day begins, also where clocks are set at midnight."""
        near = {self._ahead(local + shift) for shift in (-DAY / 1.5, DAY / 1.5)}
        found = sorted(local - ahead for ahead in near)
        for moment in found:
            if (moment + self._ahead(moment)) // DAY * DAY == local:
                return moment
        return found[-1]

    def _text(self, moment: float) -> Any:
        if not self._unix:
            return round(moment, 3)
        ahead = timedelta(seconds=self._ahead(moment))
        try:
            zone = timezone(ahead)
            return datetime.fromtimestamp(moment, zone).isoformat(timespec="seconds")
        except (OverflowError, ValueError, OSError):
            return round(moment, 3)

    def _names(self, lines: Iterable[str], zones: Iterable[str]) -> Tuple[List[str], List[str]]:
        whole = self._whole
        return (
            list(dict.fromkeys([*lines, *whole.lines])),
            list(dict.fromkeys([*zones, *whole.entries, *whole.visits])),
        )


def all_totals(parts: Iterable[Totals], by: str, offset: Optional[Offset] = None) -> Totals:
    """Sums over cameras, by the same hours or days.

    Args:
        parts: Of each camera, made with the same `by` and `offset`.
        by: As in `Totals`.
        offset: As in `Totals`.
    """
    whole = Totals(by, offset)
    for part in parts:
        whole._whole.merge(part._whole)
        for key, bucket in part._buckets.items():
            whole._buckets.setdefault(key, _Bucket()).merge(bucket)
        for moment in (part._first, part._last):
            if moment is not None:
                whole._seen(moment)
    return whole
