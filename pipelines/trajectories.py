"""Paths that people walked, simplified while they walk, told when their track ends."""

import heapq
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from ..core import Tracks
from .geometry import foot_points
from .table import TrackTable


class Trajectory(NamedTuple):
    """The whole of a track.

    Attributes:
        track_id: Its id.
        class_id: Its class.
        first: Seconds on the frame clock, first and
        last: last sighting.
        path: `(n, 3)` float64 rows of time, x and y of the foot point; straight in between.
    """

    track_id: int
    class_id: int
    first: float
    last: float
    path: np.ndarray


class Trajectories:
    """Simplified paths of all living tracks.

    While a track lives, points are dropped by the swinging door (Bristol, "Swinging door
    trending", 1990): as long as one straight line in time, for x and for y, passes all points
    since the last kept one within the tolerance, none of them is kept. That takes a fixed amount
    of work and memory a point, for all tracks at once, and keeps times, so someone who stops
    stays where they stopped. At the end, and whenever a path grows beyond twice its limit, the
    points that matter most are kept (Douglas and Peucker, with distances at equal times).

    Args:
        tolerance: In heights of the person's box.
        limit: Points of a path at most.
    """

    def __init__(self, tolerance: float = 0.1, limit: int = 64) -> None:
        self._tolerance, self._limit = tolerance, limit
        nan = float("nan")
        self._table = TrackTable(
            first=(np.float64, (), nan),
            anchor=(np.float64, (3,), nan),  # the last kept point: time, x, y
            tail=(np.float64, (3,), nan),  # the last point seen
            low=(np.float64, (2,), -np.inf),  # slopes that the door leaves open
            high=(np.float64, (2,), np.inf),
            reach=(np.float64, (), 0.0),  # the tolerance in pixels, at the anchor
            class_id=(np.int64, (), 0),
            confirmed=(np.bool_, (), False),
        )
        self._paths: Dict[int, List[Tuple[float, float, float]]] = {}

    def update(self, tracks: Tracks, timestamp: float) -> List[Trajectory]:
        """Take in the tracks of one moment.

        Returns:
            Those of the confirmed tracks that ended now.
        """
        if len(tracks):
            self._sight(tracks, timestamp)
        ended = tracks.ended.tolist()
        return [t for t in map(self._end, ended) if t is not None] if ended else []

    def finish(self) -> List[Trajectory]:
        """Those of all confirmed tracks; all are forgotten."""
        return [t for t in map(self._end, sorted(self._table.ids())) if t is not None]

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        paths = [[k, np.array(path)] for k, path in self._paths.items()]
        return {"table": self._table.state(), "paths": paths}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._table.load_state(state["table"])
        self._paths = {k: [tuple(row) for row in path.tolist()] for k, path in state["paths"]}

    def _sight(self, tracks: Tracks, timestamp: float) -> None:
        table = self._table
        ids, boxes, classes = tracks.track_id, tracks.xyxy, tracks.class_id
        confirmed = tracks.confirmed
        if not tracks.observed.all():
            # Predicted places lie on a straight line anyway.
            seen = np.flatnonzero(tracks.observed)
            if not len(seen):
                return
            ids, boxes, classes, confirmed = ids[seen], boxes[seen], classes[seen], confirmed[seen]
        ids = ids.tolist()
        rows = table.rows(ids)
        point = np.empty((len(rows), 3))
        point[:, 0] = timestamp
        point[:, 1:] = foot_points(boxes)
        table["class_id"][rows] = classes
        table["confirmed"][rows] |= confirmed
        first = table["first"][rows]
        new = first != first
        if new.any():
            fresh = rows[new]
            table["first"][fresh] = timestamp
            table["anchor"][fresh] = table["tail"][fresh] = point[new]
            height = boxes[new, 3] - boxes[new, 1]
            table["reach"][fresh] = self._tolerance * height
            for row, track_id in zip(point[new].tolist(), np.asarray(ids)[new].tolist()):
                self._paths[track_id] = [tuple(row)]
        anchor = table["anchor"][rows]
        tail = table["tail"][rows]
        passed = timestamp - anchor[:, :1]
        if not (timestamp > tail[:, 0]).all():
            # New tracks, and frames at one and the same moment, open no door.
            later = timestamp > tail[:, 0]
            if not later.any():
                return
            rows, point, anchor, tail = rows[later], point[later], anchor[later], tail[later]
            passed = passed[later]
            ids = np.asarray(ids)[later].tolist()
            boxes = boxes[later]
        low, high = table["low"][rows], table["high"][rows]
        reach = table["reach"][rows, None]
        way = point[:, 1:] - anchor[:, 1:]
        np.maximum(low, (way - reach) / passed, out=low)
        np.minimum(high, (way + reach) / passed, out=high)
        shut = (low > high).any(axis=1)
        if shut.any():
            which = np.flatnonzero(shut)
            for i in which.tolist():
                self._keep(ids[i], tail[i].tolist())
            kept = tail[which]
            reach = self._tolerance * (boxes[which, 3:] - boxes[which, 1:2]).astype(np.float64)
            way = point[which, 1:] - kept[:, 1:]
            passed = timestamp - kept[:, :1]
            low[which], high[which] = (way - reach) / passed, (way + reach) / passed
            table["anchor"][rows[which]] = kept
            table["reach"][rows[which]] = reach[:, 0]
        table["low"][rows] = low
        table["high"][rows] = high
        table["tail"][rows] = point

    def _keep(self, track_id: int, point: List[float]) -> None:
        path = self._paths[track_id]
        path.append((point[0], point[1], point[2]))
        if len(path) >= 2 * self._limit:
            thinned = simplify(np.array(path), 0.0, self._limit)
            self._paths[track_id] = [tuple(row) for row in thinned.tolist()]

    def _end(self, track_id: int):
        table = self._table
        if track_id not in table:
            return None
        row = table.row(track_id)
        path = self._paths.pop(track_id)
        tail = tuple(table["tail"][row].tolist())
        first, class_id = float(table["first"][row]), int(table["class_id"][row])
        confirmed, reach = bool(table["confirmed"][row]), float(table["reach"][row])
        table.drop(track_id)
        if not confirmed:
            return None
        if tail[0] > path[-1][0]:
            path.append(tail)
        points = simplify(np.array(path), reach, self._limit)
        return Trajectory(track_id, class_id, first, tail[0], points)


def simplify(path: np.ndarray, tolerance: float, limit: int) -> np.ndarray:
    """The points of a path that matter most, both ends among them.

    Douglas and Peucker's algorithm, worst point first, with the distance from where a straight
    walk would be at the same time.

    Args:
        path: `(n, 3)` float64 rows of time, x and y, times rising.
        tolerance: Pixels; points nearer to the simplified path than this are dropped.
        limit: Points to keep at most, 2 or more.

    Returns:
        `(m, 3)`, m at most `limit`.
    """
    if len(path) <= 2:
        return path
    kept = [0, len(path) - 1]
    heap: List[Tuple[float, int, int, int]] = []

    def judge(low: int, high: int) -> None:
        if high - low < 2:
            return
        inner = path[low + 1 : high]
        start, end = path[low], path[high]
        part = (inner[:, :1] - start[0]) / max(end[0] - start[0], 1e-12)
        away = inner[:, 1:] - (start[1:] + part * (end[1:] - start[1:]))
        away = np.hypot(away[:, 0], away[:, 1])
        worst = int(away.argmax())
        if away[worst] > tolerance:
            heapq.heappush(heap, (-float(away[worst]), low, high, low + 1 + worst))

    judge(0, len(path) - 1)
    while heap and len(kept) < limit:
        _, low, high, middle = heapq.heappop(heap)
        kept.append(middle)
        judge(low, middle)
        judge(middle, high)
    return path[sorted(kept)]
