"""Paths that people walked, simplified while they walk, told when their track ends."""

import heapq
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..core import Tracks
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


# The door of a track, in one block: numpy takes as long for one number as for a hundred.
_FIRST = 0  # time of the first sighting, or NaN
_REACH = 1  # the tolerance in pixels, at the anchor
_ANCHOR = slice(2, 5)  # the last kept point: time, x, y
_TAIL = slice(5, 8)  # the last point seen
_LOW = slice(8, 10)  # slopes that the door leaves open
_HIGH = slice(10, 12)
_NEW = np.array([np.nan] * 8 + [-np.inf] * 2 + [np.inf] * 2)


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
        self._table = TrackTable(
            door=(np.float64, (12,), _NEW),
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
        seen = tracks.seen  # predicted places lie on a straight line anyway
        ids, boxes, feet = seen.ids, seen.boxes, seen.feet
        if not ids:
            return
        rows = table.rows(ids)
        table["class_id"][rows] = seen.class_id
        table["confirmed"][rows[seen.confirmed]] = True
        door = table["door"][rows]
        tail = door[:, _TAIL]
        later = tail[:, 0] < timestamp
        if np.count_nonzero(later) < len(later):
            # New tracks, and frames at one and the same moment, move no door.
            new = np.isnan(door[:, _FIRST])
            if np.count_nonzero(new):
                self._begin(rows[new], [k for k, n in zip(ids, new) if n], boxes[new], timestamp)
            which = np.flatnonzero(later)
            if not len(which):
                return
            ids = [ids[i] for i in which.tolist()]
            rows, boxes, feet, door = rows[which], boxes[which], feet[which], door[which]
            tail = door[:, _TAIL]
        anchor = door[:, _ANCHOR]
        way = feet - anchor[:, 1:]
        passed = timestamp - anchor[:, :1]
        reach = door[:, _REACH, None]
        low, high = door[:, _LOW], door[:, _HIGH]
        np.maximum(low, (way - reach) / passed, out=low)
        np.minimum(high, (way + reach) / passed, out=high)
        shut = low > high
        shut = shut[:, 0] | shut[:, 1]
        if np.count_nonzero(shut):
            which = np.flatnonzero(shut)
            for i in which.tolist():
                self._keep(ids[i], tail[i].tolist())
            anchor[which] = kept = tail[which]
            door[which, _REACH] = self._tolerance * (boxes[which, 3] - boxes[which, 1])
            reach = door[which, _REACH, None]
            way = feet[which] - kept[:, 1:]
            passed = timestamp - kept[:, :1]
            low[which], high[which] = (way - reach) / passed, (way + reach) / passed
        tail[:, 0] = timestamp
        tail[:, 1:] = feet
        table["door"][rows] = door

    def _begin(self, rows: np.ndarray, ids: List[int], boxes: np.ndarray, timestamp: float) -> None:
        for row, track_id, box in zip(rows.tolist(), ids, boxes.tolist()):
            point = (timestamp, (box[0] + box[2]) * 0.5, box[3])
            door = self._table["door"][row]
            door[_FIRST] = timestamp
            door[_REACH] = self._tolerance * (box[3] - box[1])
            door[_ANCHOR] = door[_TAIL] = point
            self._paths[track_id] = [point]

    def _keep(self, track_id: int, point: List[float]) -> None:
        path = self._paths[track_id]
        path.append((point[0], point[1], point[2]))
        if len(path) >= 2 * self._limit:
            thinned = simplify(np.array(path), 0.0, self._limit)
            self._paths[track_id] = [tuple(row) for row in thinned.tolist()]

    def _end(self, track_id: int) -> Optional[Trajectory]:
        table = self._table
        if track_id not in table:
            return None
        row = table.row(track_id)
        path = self._paths.pop(track_id)
        door = table["door"][row]
        time, x, y = door[_TAIL].tolist()
        first, reach = float(door[_FIRST]), float(door[_REACH])
        class_id, confirmed = int(table["class_id"][row]), bool(table["confirmed"][row])
        table.drop(track_id)
        if not confirmed:
            return None
        if time > path[-1][0]:
            path.append((time, x, y))
        points = simplify(np.array(path), reach, self._limit)
        return Trajectory(track_id, class_id, first, time, points)


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
