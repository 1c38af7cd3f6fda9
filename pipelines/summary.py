"""From journalled events to the figures of `summary.json`."""

from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Sequence, Set

from ..core import Event


def summarise_counting(
    lines: Sequence[str], zones: Sequence[str], events: Iterable[Event]
) -> Dict[str, Any]:
    """The counts of one camera, from its events alone.

    Args:
        lines: Names of the lines; those without a crossing stand there with 0.
        zones: Names of the zones.
        events: Events of the counting pipeline, in order; other kinds are passed over.

    Returns:
        `lines` (`in`, `out`), `zones` (`entries`, `visits`, `dwell_mean_s`, `dwell_max_s`,
        `occupancy_mean`, `occupancy_max`), `visitors`, `occupancy` (`mean`, `max`) of the scene
        and, where there are lines or zones, `passers_by`: visitors who went in nowhere.
    """
    crossed = {name: {"in": 0, "out": 0} for name in lines}
    dwells: Dict[str, List[float]] = {name: [] for name in zones}
    entries = dict.fromkeys(zones, 0)
    levels = {name: _Level() for name in zones}
    scene = _Level()
    visitors: Set[int] = set()
    told = 0
    entered: Set[int] = set()
    follows: Dict[int, int] = {}
    for event in events:
        kind, payload = event.kind, event.payload
        if kind == "crossing":
            count = crossed.setdefault(payload["line"], {"in": 0, "out": 0})
            count[payload["direction"]] += 1
            if payload["direction"] == "in":
                entered.add(payload["track"])
        elif kind == "entry":
            entries[payload["zone"]] = entries.get(payload["zone"], 0) + 1
            entered.add(payload["track"])
        elif kind == "visit":
            dwells.setdefault(payload["zone"], []).append(payload["dwell_s"])
        elif kind == "visitor":
            told += 1
            visitors.add(payload["track"])
        elif kind == "track":
            if "follows" in payload:
                follows[payload["track"]] = payload["follows"]
        elif kind == "occupancy":
            scene.add(payload["scene"], payload["duration_s"])
            for name, level in payload["zones"].items():
                levels.setdefault(name, _Level()).add(level, payload["duration_s"])
    summary: Dict[str, Any] = {
        "lines": crossed,
        "zones": {
            name: _zone(entries.get(name, 0), dwells.get(name, []), levels.get(name, _Level()))
            for name in dict.fromkeys([*zones, *entries, *dwells, *levels])
        },
        "visitors": told,
    }
    if lines or zones:
        # Whose track broke is one person: what one part did, all did.
        inside = {_origin(track_id, follows) for track_id in entered}
        passers = [v for v in visitors if _origin(v, follows) not in inside]
        summary["passers_by"] = len(passers)
    summary["occupancy"] = {"mean": scene.mean, "max": scene.max}
    return summary


def summarise_gaps(events: Iterable[Event]) -> Dict[str, Any]:
    """What was missing of one camera, from its events of the kind `gap`.

    Returns:
        `count`, `missing_s`, `longest_s`, `reasons` (seconds by reason) and, where there are any,
        `hours` (seconds by the hour in UTC, e.g. `2026-11-21T09:00Z`: what was counted in these
        hours is a lower bound; by the day or year where they are very many) and `note`: what
        that means for the totals, in words.
    """
    lengths: List[float] = []
    reasons: Dict[str, float] = {}
    hours: Dict[float, float] = {}
    for event in events:
        if event.kind == "gap":
            length = max(event.payload["to"] - event.payload["from"], 0.0)
            lengths.append(length)
            reason = event.payload.get("reason") or "not known"
            reasons[reason] = reasons.get(reason, 0.0) + length
            start, end = event.payload["from"], event.payload["to"]
            while start < end:
                hour = start // 3600.0 * 3600.0
                until = min(hour + 3600.0, end)
                hours[hour] = hours.get(hour, 0.0) + until - start
                start = until
    told = _gaps(len(lengths), sum(lengths), max(lengths, default=0.0), reasons)
    if lengths:
        told["hours"] = _hours(hours)
    return told


def _hours(hours: Dict[float, float]) -> Dict[str, float]:
    """Seconds by the name of the hour, or of the day or year where there are too many."""
    pattern = "%Y-%m-%dT%H:00Z" if len(hours) <= 1000 else "%Y-%m-%d"
    if len(hours) > 24_000:  # years: the clock was wrong before a restart
        pattern = "%Y"
    named: Dict[str, float] = {}
    for hour, length in sorted(hours.items()):
        name = datetime.fromtimestamp(hour, timezone.utc).strftime(pattern)
        named[name] = named.get(name, 0.0) + length
    return {name: round(length, 1) for name, length in named.items()}


def all_gaps(parts: Iterable[Dict[str, Any]]) -> Dict[str, Any]:
    """Sums of `summarise_gaps` over cameras."""
    parts = list(parts)
    reasons: Dict[str, float] = {}
    for part in parts:
        for reason, length in part["reasons"].items():
            reasons[reason] = reasons.get(reason, 0.0) + length
    count, missing = sum(p["count"] for p in parts), sum(p["missing_s"] for p in parts)
    return _gaps(count, missing, max((p["longest_s"] for p in parts), default=0.0), reasons)


def _gaps(count: int, missing: float, longest: float, reasons: Dict[str, float]) -> Dict[str, Any]:
    told: Dict[str, Any] = {
        "count": count,
        "missing_s": round(missing, 1),
        "longest_s": round(longest, 1),
        "reasons": {reason: round(length, 1) for reason, length in sorted(reasons.items())},
    }
    if count:
        told["note"] = f"lower bound, {length_in_words(missing)} missing"
    return told


def length_in_words(seconds: float) -> str:
    """A length of time in its largest unit: `8 minutes`."""
    for unit, name in ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= 2 * unit or (name == "minute" and seconds >= unit):
            number = round(seconds / unit)
            return f"{number} {name}" + ("" if number == 1 else "s")
    number = max(round(seconds), 1)
    return f"{number} second" + ("" if number == 1 else "s")


def _origin(track_id: int, follows: Dict[int, int]) -> int:
    """The first track of a person; links lead to earlier, so to smaller, ids."""
    while follows.get(track_id, track_id) < track_id:
        track_id = follows[track_id]
    return track_id


class _Level:
    """Joins the means and maxima of buckets."""

    def __init__(self) -> None:
        self._sum = self._seconds = 0.0
        self.max = 0

    def add(self, level: Dict[str, Any], duration_s: float) -> None:
        self._sum += level["mean"] * duration_s
        self._seconds += duration_s
        self.max = max(self.max, level["max"])

    @property
    def mean(self) -> float:
        return round(self._sum / self._seconds, 3) if self._seconds else 0.0


def _zone(entries: int, dwells: List[float], level: _Level) -> Dict[str, Any]:
    return {
        "entries": entries,
        "visits": len(dwells),
        "dwell_mean_s": round(sum(dwells) / len(dwells), 2) if dwells else 0.0,
        "dwell_max_s": round(max(dwells), 2) if dwells else 0.0,
        "occupancy_mean": level.mean,
        "occupancy_max": level.max,
    }
