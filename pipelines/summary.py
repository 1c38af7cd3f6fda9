"""From journalled events to the figures of `summary.json`."""

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
