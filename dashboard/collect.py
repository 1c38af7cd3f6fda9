"""Events in, what a report tells of them out: one pass, in bounded memory.

The kinds and payloads of counting are those that `edgelane.pipelines.counting` documents; any
other kind is counted over time, by class where its payload has one.
"""

from typing import Any, Callable, Dict, Iterable, List, Tuple

import numpy as np

from ..core import Event
from .series import (
    COUNT_STEPS,
    TABLE_STEPS,
    Bins,
    EvenSample,
    Level,
    Spread,
    add_counts,
    counts,
)
from .skeletons import SkeletonTrails
from .spells import Spells
from .words import Clock

MOST_KINDS = 60
"""Kinds of events (and classes of a kind) that are told apart; the rest are told together."""

MOST_GAPS = 200
"""Gaps that are kept one by one; all are summed."""

WATCHED = "watched"
"""Key of a table row: seconds that the camera was seen."""

MISSING = "missing"
"""Key of a table row: seconds without pictures, for which counts are a lower bound."""

Point = Tuple[float, float, float]


class Kind:
    """How often one kind of event came, when, and with which classes."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0.0
        self.last = 0.0
        self.classes: Dict[str, int] = {}
        self.bins: Bins[Dict[Any, float]] = Bins(counts, add_counts, COUNT_STEPS)

    def add(self, time: float, payload: Dict[str, Any]) -> None:
        """Take in one event; it is counted by its payload's `class` where it has one."""
        self.first = time if not self.count else min(self.first, time)
        self.last = time if not self.count else max(self.last, time)
        self.count += 1
        values = self.bins.at(time)
        values[""] = values.get("", 0) + 1
        name = payload.get("class")
        if isinstance(name, (str, int)):
            name = str(name)
            if name not in self.classes and len(self.classes) >= MOST_KINDS:
                name = "others"
            self.classes[name] = self.classes.get(name, 0) + 1


class People:
    """Who went in nowhere: passers-by, as `summary.json` counts them, in bounded memory.

    Tracks that follow each other are one person, so what one did all did. Only the latest
    `REMEMBERED` people are told apart: links reach back seconds, not days.
    """

    REMEMBERED = 20000

    def __init__(self) -> None:
        self.passers_by = 0
        self._people: Dict[int, List[int]] = {}  # first track: visitors told, went in or not
        self._first: Dict[int, int] = {}  # track: first track of the person

    def visitor(self, track: int) -> None:
        """A track was told as a visitor."""
        self._change(self._of(track), 1, 0)

    def entered(self, track: int) -> None:
        """A track crossed a line inwards or entered a zone."""
        self._change(self._of(track), 0, 1)

    def follows(self, track: int, earlier: int) -> None:
        """A track goes on with the person of an earlier one."""
        if earlier >= track:
            return
        first = self._of(earlier)
        visitors, inside = self._people.pop(track, (0, 0))
        self.passers_by -= 0 if inside else visitors
        self._first[track] = first
        self._change(first, visitors, inside)

    def _of(self, track: int) -> int:
        return self._first.get(track, track)

    def _change(self, first: int, visitors: int, inside: int) -> None:
        person = self._people.setdefault(first, [0, 0])
        self.passers_by -= 0 if person[1] else person[0]
        person[0] += visitors
        person[1] |= inside
        self.passers_by += 0 if person[1] else person[0]
        for memory in (self._people, self._first):
            if len(memory) > self.REMEMBERED:
                for old in list(memory)[: self.REMEMBERED // 2]:
                    del memory[old]


class Path:
    """One trajectory: the foot point over time, thinned to at most `MOST_POINTS`."""

    MOST_POINTS = 48
    __slots__ = ("entered", "points", "visitor")

    def __init__(self, payload: Dict[str, Any]) -> None:
        points = [(float(t), float(x), float(y)) for t, x, y in payload["path"]]
        if not np.isfinite(points).all():
            raise ValueError("a path that is not finite")
        if len(points) > self.MOST_POINTS:
            rows = np.linspace(0, len(points) - 1, self.MOST_POINTS).round().astype(int)
            points = [points[i] for i in rows]
        self.points: List[Point] = points
        self.entered = bool(payload.get("entered"))
        self.visitor = bool(payload.get("visitor"))


class CameraEvents:
    """What the events of one camera come to.

    Args:
        clock: Turns timestamps into the reader's time.
        most_paths: At most so many trajectories are kept, evenly over the run.
    """

    def __init__(self, clock: Clock, most_paths: int = 400) -> None:
        self.clock = clock
        self.count = 0
        self.first = 0.0
        self.last = 0.0
        self.unread = 0
        self.kinds: Dict[str, Kind] = {}
        self.lines: Dict[str, Dict[str, int]] = {}
        self.entries: Dict[str, int] = {}
        self.dwell: Dict[str, Spread] = {}
        self.dwell_all = Spread()
        self.visitors = 0
        self.people = People()
        self.paths: EvenSample[Path] = EvenSample(most_paths)
        self.scene: Bins[Level] = Bins(Level, Level.merge)
        self.zones: Dict[str, Bins[Level]] = {}
        self.peak = 0.0
        self.peaks: Dict[str, float] = {}
        self.table: Bins[Dict[Any, float]] = Bins(counts, add_counts, TABLE_STEPS)
        self.day: List[Dict[Any, float]] = [{} for _ in range(24)]
        self.heat: Dict[Tuple[int, ...], np.ndarray] = {}
        self.spells = Spells(clock)
        self.skeletons = SkeletonTrails()
        self.gaps: List[Tuple[float, float, str]] = []
        self.gap_count = 0
        self.gap_seconds = 0.0
        self._handlers: Dict[str, Callable[[float, Dict[str, Any]], None]] = {
            "crossing": self._crossing,
            "entry": self._entry,
            "visit": self._visit,
            "visitor": self._visitor,
            "track": self._track,
            "occupancy": self._occupancy,
            "heatmap": self._heatmap,
            "gap": self._gap,
            "released": self.spells.add,
            "spell": self.spells.add_class,
            "started": self._started,
            "signal": self._signal,
            "shares": lambda time, payload: None,  # the summary adds them up
        }
        # What is told of them besides how many there were.
        self._besides = {"person": self.skeletons.add}

    @property
    def counting(self) -> bool:
        """Whether any event of the counting pipeline was understood."""
        return bool(
            self.lines or self.entries or self.dwell or self.visitors or self.paths.seen
        ) or bool(len(self.scene) or self.heat)

    def add(self, event: Event) -> None:
        """Take in one event; one that cannot be understood is counted as unread."""
        time = self.clock.local(event.timestamp)
        self.first = time if not self.count else min(self.first, time)
        self.last = time if not self.count else max(self.last, time)
        self.count += 1
        handler = self._handlers.get(event.kind)
        if handler is not None:
            try:
                handler(time, event.payload)
                return
            except (KeyError, IndexError, TypeError, ValueError, OverflowError):
                self.unread += 1
        besides = self._besides.get(event.kind)
        if besides is not None:
            try:
                besides(time, event.payload)
            except (KeyError, IndexError, TypeError, ValueError, OverflowError):
                self.unread += 1
        name = event.kind
        if name not in self.kinds and len(self.kinds) >= MOST_KINDS:
            name = "others"
        kind = self.kinds.get(name)
        if kind is None:
            kind = self.kinds[name] = Kind()
        kind.add(time, event.payload if isinstance(event.payload, dict) else {})

    def _tell(self, time: float, key: Any, more: float = 1) -> None:
        row = self.table.at(time)
        row[key] = row.get(key, 0) + more
        hour = self.day[int(time // 3600) % 24]
        hour[key] = hour.get(key, 0) + more

    def _started(self, time: float, payload: Dict[str, Any]) -> None:
        name = payload["by"] or payload["event"]
        self.spells.stretch("stopped", time - float(payload["stopped_s"]), time, f"until {name}")

    def _signal(self, time: float, payload: Dict[str, Any]) -> None:
        if not payload["on"]:
            begin = self.clock.local(float(payload["since"]))
            text = f"until {payload['by']}"
            self.spells.stretch(f"signal {payload['name']}", begin, time, text)

    def _crossing(self, time: float, payload: Dict[str, Any]) -> None:
        direction = payload["direction"]
        if direction not in ("in", "out"):
            raise ValueError(direction)
        line, track = str(payload["line"]), int(payload["track"])
        both = self.lines.setdefault(line, {"in": 0, "out": 0})
        both[direction] += 1
        if direction == "in":
            self.people.entered(track)
        self._tell(time, ("line", line, direction))

    def _entry(self, time: float, payload: Dict[str, Any]) -> None:
        zone, track = str(payload["zone"]), int(payload["track"])
        self.entries[zone] = self.entries.get(zone, 0) + 1
        self.people.entered(track)
        self._tell(time, ("zone", zone))

    def _visit(self, time: float, payload: Dict[str, Any]) -> None:
        zone, seconds = str(payload["zone"]), float(payload["dwell_s"])
        self.dwell.setdefault(zone, Spread()).add(seconds)
        self.dwell_all.add(seconds)

    def _visitor(self, time: float, payload: Dict[str, Any]) -> None:
        self.people.visitor(int(payload["track"]))
        self.visitors += 1
        self._tell(time, ("visitors",))

    def _track(self, time: float, payload: Dict[str, Any]) -> None:
        if payload.get("follows"):
            self.people.follows(int(payload["track"]), int(payload["follows"]))
        if self.paths.wants():
            path = Path(payload)
            if len(path.points) < 2:
                return  # nothing to draw
            self.paths.add(path)
        else:
            self.paths.seen += 1

    def _occupancy(self, time: float, payload: Dict[str, Any]) -> None:
        start = self.clock.local(float(payload["start"]))
        seconds = float(payload["duration_s"])
        scene = payload["scene"]
        mean, highest = float(scene["mean"]), float(scene["max"])
        self.scene.widen(min(seconds, 86400.0))
        self.scene.at(start).add(mean, highest, seconds)
        self.peak = max(self.peak, highest)
        for zone, level in payload.get("zones", {}).items():
            bins = self.zones.get(zone)
            if bins is None:
                bins = self.zones[zone] = Bins(Level, Level.merge)
            bins.widen(min(seconds, 86400.0))
            bins.at(start).add(float(level["mean"]), float(level["max"]), seconds)
            self.peaks[zone] = max(self.peaks.get(zone, 0.0), float(level["max"]))
        self._tell(start, WATCHED, seconds)

    def _heatmap(self, time: float, payload: Dict[str, Any]) -> None:
        columns, rows = (int(v) for v in payload["grid"])
        if not 0 < columns * rows <= 10**6:
            raise ValueError("a heatmap grid of no or of a monstrous size")
        width, height = (int(v) for v in payload["size"])
        cells = np.asarray(payload["cells"], np.int64)
        seconds = np.asarray(payload["seconds"], np.float64)
        key = (width, height, columns, rows)
        grid = self.heat.get(key)
        if grid is None:
            grid = self.heat[key] = np.zeros(columns * rows)
        np.add.at(grid, cells, seconds)

    def _gap(self, time: float, payload: Dict[str, Any]) -> None:
        start, end = float(payload["from"]), float(payload["to"])
        self.gap_count += 1
        self.gap_seconds += max(0.0, end - start)
        self._missing(self.clock.local(start), self.clock.local(end))
        if len(self.gaps) < MOST_GAPS:
            local = self.clock.local
            self.gaps.append((local(start), local(end), str(payload.get("reason") or "")))

    def _missing(self, start: float, end: float) -> None:
        """Share a gap among the rows that it reaches over."""
        self.table.at(start)
        self.table.at(max(end - 1e-6, start))  # now no more row is made that makes all wider
        width = self.table.width
        while start < end:
            until = min((start // width + 1) * width, end)
            row = self.table.at(start)
            row[MISSING] = row.get(MISSING, 0) + until - start
            start = until


def collect(events: Iterable[Event], clock: Clock) -> Dict[str, CameraEvents]:
    """Take in every event, by camera, in the order in which cameras first appear."""
    cameras: Dict[str, CameraEvents] = {}
    for event in events:
        camera = cameras.get(event.camera)
        if camera is None:
            camera = cameras[event.camera] = CameraEvents(clock)
        camera.add(event)
    return cameras
