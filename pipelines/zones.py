"""Who is in which zone, since when: entries, visits and how many there are.

Whether someone is in a zone is decided by a sequential test (CUSUM; Page, "Continuous inspection
schemes", Biometrika 1954). Each sighting gives evidence: the distance of the foot point from the
zone's edge, in units of a tolerance that grows with the person's height, times the time since the
sighting before. Evidence against what is held adds up; sightings that speak for it, or that lie
too near to the edge to say anything, take it down again. Only when enough has come together does
the answer change, and then from the moment the evidence began. So jitter at the border, a box that
flickers or a short occlusion neither splits a visit nor counts an entry twice, and a zone is
entered or left at the true time.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

import msgspec
import numpy as np

from ..core import ConfigError, Tracks
from .checks import check_numbers
from .geometry import Polygon
from .table import TrackTable


class ZoneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When someone counts as being in a zone. Seconds, and heights of the person's box.

    Attributes:
        enter_s: Seconds well inside that make an entry.
        leave_s: Seconds well outside that end a visit.
        tolerance: Distance from the edge, in heights, from which on a sighting is beyond doubt.
        slack: Part of the tolerance, 0..1, within which a sighting does not speak for a change.
        step_s: Seconds that one sighting can stand for at most.
        lost_s: Seconds unseen after which a visit is over.
        linger_s: Seconds unseen for which someone still counts as present.
    """

    enter_s: float = 0.3
    leave_s: float = 1.0
    tolerance: float = 0.06
    slack: float = 0.3
    step_s: float = 0.5
    lost_s: float = 5.0
    linger_s: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self, "visit", {"tolerance": 0.001, "step_s": 0.01})
        if not self.slack < 1:
            raise ConfigError("visit.slack is wrong", got=self.slack, expected="less than 1")


class Entry(NamedTuple):
    """A visit begins."""

    zone: str
    track_id: int
    class_id: int
    entered: float


class Visit(NamedTuple):
    """A visit has ended; `left - entered` is its dwell."""

    zone: str
    track_id: int
    class_id: int
    entered: float
    left: float


Change = Union[Entry, Visit]

_TURN = 0  # which way evidence goes: 1 into the zone for those outside, -1 out of it
_EVIDENCE = 1  # seconds
_SINCE = 2  # when the evidence began to gather, or NaN
_ENTERED = 3  # when the open visit began, or NaN
_OUTSIDE = np.array([[1.0], [0.0], [np.nan], [np.nan]])
_CHECK_S = 0.5  # how often to look for visits of tracks that are lost
_EDGE = 0.01  # part of the picture's size within which an edge of a zone lies on its border


class ZoneMonitor:
    """Entries, visits and presence in zones.

    Where a zone's edge runs along the border of the picture nobody can be seen beyond it, and feet
    that the border cuts off stand on it: such edges do not count as edges.

    Args:
        zones: Areas by name, in pixels of the stream.
        settings: When someone counts as being in a zone.
        size: `(width, height)` of the picture; None where nothing is known of its border.
    """

    def __init__(
        self,
        zones: Mapping[str, Polygon],
        settings: Optional[ZoneSettings] = None,
        size: Optional[Tuple[int, int]] = None,
    ) -> None:
        self.names = list(zones)
        self.settings = settings or ZoneSettings()
        self._shape = _Shapes(list(zones.values()), size) if zones else None
        self._table = TrackTable(
            last=(np.float64, (), -np.inf),
            class_id=(np.int64, (), 0),
            confirmed=(np.bool_, (), False),
            # For each zone; see _TURN and those after it. In one block, as numpy takes as long
            # for one number as for a hundred.
            zones=(np.float64, (4, len(self.names)), _OUTSIDE),
        )
        self._gathering = False  # whether any evidence is above 0
        self._next_check = float("-inf")
        # What tentative tracks did, until they are confirmed.
        self._held: Dict[int, List[Change]] = {}

    def update(self, tracks: Tracks, timestamp: float) -> List[Change]:
        """Take in the tracks of one moment.

        Returns:
            Entries and visits that are certain now, in the order of the tracks.
        """
        if self._shape is None:
            return []
        changes: List[Change] = []
        if len(tracks):
            self._sight(tracks, timestamp, changes)
        self._close_lost(timestamp, changes)
        for track_id in tracks.ended.tolist():
            self._end(track_id, changes)
        return changes

    def presence(self, timestamp: float) -> np.ndarray:
        """How many are in each zone now. `(zones,)` int64."""
        if self._shape is None or not len(self._table):
            return np.zeros(len(self.names), np.int64)
        table = self._table
        here = table["last"] >= timestamp - self.settings.linger_s
        here &= table["confirmed"]
        return np.count_nonzero(table["zones"][:, _TURN][here] < 0, axis=0)

    def expire(self, timestamp: float) -> List[Change]:
        """Visits that end because nobody was seen for too long, when no frame comes."""
        changes: List[Change] = []
        if self._shape is not None:
            self._close_lost(timestamp, changes)
        return changes

    def finish(self) -> List[Change]:
        """End all visits at the last sighting and forget all tracks."""
        changes: List[Change] = []
        for track_id in sorted(self._table.ids()):
            self._end(track_id, changes)
        return changes

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "table": self._table.state(),
            "held": [[k, [list(change) for change in v]] for k, v in self._held.items()],
            "clock": [self._gathering, self._next_check],
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._table.load_state(state["table"])
        self._held = {
            k: [Entry(*row) if len(row) == len(Entry._fields) else Visit(*row) for row in v]
            for k, v in state["held"]
        }
        self._gathering, self._next_check = state["clock"]

    def _sight(self, tracks: Tracks, timestamp: float, changes: List[Change]) -> None:
        assert self._shape is not None
        table, rule = self._table, self.settings
        ids = tracks.track_id.tolist()
        rows = table.rows(ids)
        table["class_id"][rows] = tracks.class_id
        fresh = tracks.confirmed & ~table["confirmed"][rows]
        if np.count_nonzero(fresh):
            table["confirmed"][rows[fresh]] = True
            for i in np.flatnonzero(fresh).tolist():
                changes.extend(self._held.pop(ids[i], ()))
        seen = tracks.seen
        if len(seen.ids) < len(ids):
            # Predicted boxes hold what is known; they are no evidence.
            if not seen.ids:
                return
            rows = rows[tracks.observed]
        last = table["last"][rows]
        table["last"][rows] = timestamp
        depth = self._shape.depth(seen.feet, rule.tolerance * seen.height)
        block = table["zones"][rows]
        turn, evidence, since = block[:, _TURN], block[:, _EVIDENCE], block[:, _SINCE]
        against = depth * turn
        against -= rule.slack
        rising = against > 0
        # Counting is ten times faster than any() on arrays as small as these.
        if not (self._gathering or np.count_nonzero(rising)):
            return
        step = np.minimum(timestamp - last, rule.step_s)
        step *= last > -np.inf  # the first sighting stands for no time
        step *= 1.0 / (1.0 - rule.slack)
        evidence += against * step[:, None]
        np.maximum(evidence, 0.0, out=evidence)
        np.copyto(since, timestamp, where=rising & (since != since))
        np.copyto(since, np.nan, where=(evidence == 0.0) & ~rising)
        # The last bit of a sum of frame times must not decide.
        need = turn * (0.5 * (rule.enter_s - rule.leave_s))
        need += 0.5 * (rule.enter_s + rule.leave_s) - 1e-9
        flips = rising & (evidence >= need)
        table["zones"][rows] = block
        if np.count_nonzero(flips):
            for i, zone in np.argwhere(flips).tolist():
                self._flip(seen.ids[i], int(rows[i]), zone, changes)
        self._gathering = np.count_nonzero(table["zones"][:, _EVIDENCE]) > 0

    def _flip(self, track_id: int, row: int, zone: int, changes: List[Change]) -> None:
        place = self._table["zones"][row, :, zone]
        since = float(place[_SINCE])
        if place[_TURN] < 0:
            self._close(track_id, row, zone, since, changes)
            return
        place[:] = (-1.0, 0.0, np.nan, since)
        entry = Entry(self.names[zone], track_id, int(self._table["class_id"][row]), since)
        self._tell(row, entry, changes)

    def _close(
        self, track_id: int, row: int, zone: int, left: float, changes: List[Change]
    ) -> None:
        place = self._table["zones"][row, :, zone]
        entered = float(place[_ENTERED])
        place[:] = _OUTSIDE[:, 0]
        class_id = int(self._table["class_id"][row])
        visit = Visit(self.names[zone], track_id, class_id, entered, max(left, entered))
        self._tell(row, visit, changes)

    def _tell(self, row: int, change: Change, changes: List[Change]) -> None:
        if self._table["confirmed"][row]:
            changes.append(change)
        else:
            self._held.setdefault(change.track_id, []).append(change)

    def _close_lost(self, timestamp: float, changes: List[Change]) -> None:
        if timestamp < self._next_check:
            return
        self._next_check = timestamp + _CHECK_S
        table = self._table
        late = table["last"] < timestamp - self.settings.lost_s
        if not np.count_nonzero(late):
            return
        for track_id in sorted(table.ids()):
            row = table.row(track_id)
            if late[row]:
                self._leave_all(track_id, row, changes)
                table["zones"][row] = _OUTSIDE

    def _end(self, track_id: int, changes: List[Change]) -> None:
        if track_id in self._table:
            self._leave_all(track_id, self._table.row(track_id), changes)
            self._table.drop(track_id)
        self._held.pop(track_id, None)

    def _leave_all(self, track_id: int, row: int, changes: List[Change]) -> None:
        place = self._table["zones"][row]
        for zone in np.flatnonzero(place[_TURN] < 0).tolist():
            # Someone who was leaving when last seen left then.
            since = float(place[_SINCE, zone])
            left = since if since == since else float(self._table["last"][row])
            self._close(track_id, row, zone, left, changes)


class _Shapes:
    """The edges of all zones in one row of arrays, asked about many points at once."""

    def __init__(self, polygons: List[Polygon], size: Optional[Tuple[int, int]]) -> None:
        rings = [np.asarray(polygon.points, dtype=np.float64) for polygon in polygons]
        starts = np.concatenate(rings)
        ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
        self._first = np.cumsum([0] + [len(ring) for ring in rings[:-1]])
        self._start_y, self._end_y = starts[:, 1].copy(), ends[:, 1].copy()
        # Of each edge: how far a point lies to its right, and how far along from its middle.
        way = ends - starts
        length = np.hypot(way[:, 0], way[:, 1])
        along = way / length[:, None]
        right = np.stack((along[:, 1], -along[:, 0]), axis=1)
        right *= np.where(right[:, :1] < 0, -1.0, 1.0)
        middle = (starts + ends) * 0.5
        axes = np.concatenate((right, along))
        self._axes = axes.T.copy()
        self._offsets = (axes * np.concatenate((middle, middle))).sum(axis=1)
        self._half = length * 0.5
        self._open = np.zeros(len(starts))
        self._low = np.full(2, -np.inf)
        self._high = np.full(2, np.inf)
        if size is not None:
            edge = np.asarray(size, dtype=np.float64) * _EDGE
            self._low, self._high = edge, np.asarray(size, dtype=np.float64) - edge
            low = (starts <= self._low) & (ends <= self._low)
            high = (starts >= self._high) & (ends >= self._high)
            self._open[(low | high).any(axis=1)] = np.inf
        # Nobody gets deeper into a zone than it is deep: a doormat has a tolerance of its own.
        self._reach = np.array([0.25 * self._depth_of(k, r) for k, r in enumerate(rings)])

    def depth(self, points: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
        """How far points lie inside each zone, in tolerances, -1 (outside) to 1 (inside).

        Args:
            points: `(n, 2)` float64 pixels.
            tolerance: `(n,)` pixels.

        Returns:
            `(n, zones)` float64.
        """
        square, inside = self._distance(points)
        depth = np.sqrt(square)
        depth /= np.minimum(tolerance[:, None], self._reach)
        np.minimum(depth, 1.0, out=depth)
        np.negative(depth, where=~inside, out=depth)
        return depth

    def _distance(self, points: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Squared distance to the nearest edge, and whether inside; both `(n, zones)`."""
        points = np.minimum(np.maximum(points, self._low), self._high)
        y = points[:, 1:]
        local = points @ self._axes
        local -= self._offsets
        edges = len(self._half)
        off, beyond = local[:, :edges], local[:, edges:]
        # Even-odd rule: how many edges does a level ray to the right meet?
        meets = (self._start_y <= y) != (self._end_y <= y)
        meets &= off < 0
        inside = np.logical_xor.reduceat(meets, self._first, axis=1)
        np.abs(beyond, out=beyond)
        beyond -= self._half
        np.maximum(beyond, 0.0, out=beyond)
        local *= local
        square = off + beyond
        square += self._open
        return np.minimum.reduceat(square, self._first, axis=1), inside

    def _depth_of(self, zone: int, ring: np.ndarray) -> float:
        """Radius of about the largest circle inside a zone, in pixels, from a grid of points."""
        low, high = ring.min(axis=0), ring.max(axis=0)
        part = (np.arange(24) + 0.5) / 24
        grid = np.stack(np.meshgrid(*(low + part[:, None] * (high - low)).T), axis=-1)
        square, inside = self._distance(grid.reshape(-1, 2))
        within = square[inside[:, zone], zone]
        # A sliver between the grid's points still has a depth.
        return float(np.sqrt(within.max())) if len(within) else 0.01 * float(np.ptp(ring))
