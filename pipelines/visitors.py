"""Unique people: which tracks are someone new who was genuinely seen."""

import math
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import msgspec
import numpy as np

from ..core import Tracks
from .checks import check_numbers
from .table import TrackTable


class VisitorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a track a visitor. Seconds, and heights of the person's box.

    Attributes:
        seen_s: Seconds in sight for someone who walks.
        moved: Heights between the places of a walker, or the same by growing nearer.
        still_s: Seconds in sight for someone who stays in one place.
        still_seen: Part of its life, 0..1, in which someone who stays is really detected: what a
            detector imagines at one place flickers.
        stitch_s: Seconds between the end of a track and the start of the one that goes on.
        stitch_reach: Heights between the place where the first track would be by now and the
            place where the second one starts; grows by `stitch_drift`.
        stitch_drift: Heights a second by which someone unseen may stray from a straight walk.
        stitch_size: Least ratio of the smaller to the larger height of the two tracks.
        step_s: Seconds that one sighting can stand for at most.
    """

    seen_s: float = 0.8
    moved: float = 0.3
    still_s: float = 5.0
    still_seen: float = 0.6
    stitch_s: float = 5.0
    stitch_reach: float = 0.4
    stitch_drift: float = 0.5
    stitch_size: float = 0.65
    step_s: float = 0.5

    def __post_init__(self) -> None:
        check_numbers(self, "visitor", {"step_s": 0.01})


class Visitor(NamedTuple):
    """A track is a new person."""

    track_id: int
    class_id: int


class _Trace(NamedTuple):
    """What is left of a track that was lost: enough to see whether another one goes on."""

    track_id: int
    last: float
    x: float
    y: float
    vx: float
    vy: float
    height: float
    seen: float
    person: bool
    origin: List[float]


class _Link(NamedTuple):
    """A track goes on from another one: what it took over, and what it had before."""

    trace: _Trace
    origin: List[float]


_SMOOTH_S = 0.4  # time constant of positions, velocities and heights
_KEPT = 256  # traces and told ids that are remembered at most
_TURN_S = 0.6  # seconds after which a track's direction is known
_WALK = 0.3  # heights a second from which on someone walks somewhere


# The walk of a track, in one block: numpy takes as long for one number as for a hundred.
_FIRST = 0  # times of the first and the last sighting, or NaN
_LAST = 1
_SEEN = 2  # seconds in sight
_MOVED = 3  # heights
_ORIGIN = slice(4, 7)  # centre at first: x, y and the logarithm of the height
_PLACE = slice(7, 10)  # the same now, smoothed
_SPEED = slice(10, 12)  # pixels a second
_NEW = np.array([np.nan] * 2 + [0.0] * 2 + [np.nan] * 6 + [0.0] * 2)


class VisitorCounter:
    """Tells each person once.

    A visitor is a confirmed track that was seen for a while and moved, or was seen steadily for
    longer in one place. When a track breaks and another one starts near by within seconds, of like
    height and where the first would have got to, it is the same person: what the first had
    gathered goes on, and nobody is told twice. The link is undone when the first track comes back,
    or when the second walks the other way, as two people do who meet in a door.

    Args:
        settings: What makes a track a visitor.
        size: `(width, height)` of the picture in pixels: who walked out of it is not continued.
        stitch: False where ids are given and true: two ids are then two people.
    """

    def __init__(
        self,
        settings: Optional[VisitorSettings] = None,
        size: Optional[Tuple[int, int]] = None,
        stitch: bool = True,
    ) -> None:
        self.settings = settings or VisitorSettings()
        self.stitch = stitch
        self._size = size
        self._table = TrackTable(
            walk=(np.float64, (12,), _NEW),
            confirmed=(np.bool_, (), False),
            person=(np.bool_, (), False),
            linked=(np.bool_, (), False),
        )
        self._gone: List[_Trace] = []
        self._follows: Dict[int, _Link] = {}
        self._frame = -math.inf  # time of the last frame
        self._told: Dict[int, None] = {}  # the latest ids told, oldest first

    def update(self, tracks: Tracks, timestamp: float) -> List[Visitor]:
        """Take in the tracks of one moment.

        Returns:
            Tracks that are known from now on to be someone new.
        """
        visitors: List[Visitor] = []
        # Between two frames at most: what is seen in every third frame is in sight a third of
        # the time.
        step = min(timestamp - self._frame, self.settings.step_s)
        self._frame = timestamp
        if len(tracks):
            self._sight(tracks, timestamp, step, visitors)
        for track_id in tracks.ended.tolist():
            self._end(track_id, timestamp)
        return visitors

    def is_visitor(self, track_id: int) -> bool:
        """Whether this living or lately ended track was told as a visitor."""
        return track_id in self._told

    def follows(self, track_id: int) -> int:
        """The track that this living track continues, or 0."""
        link = self._follows.get(track_id)
        return 0 if link is None else link.trace.track_id

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "table": self._table.state(),
            "gone": [list(trace) for trace in self._gone],
            "follows": [[k, list(link.trace), link.origin] for k, link in self._follows.items()],
            "told": list(self._told),
            "frame": self._frame,
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._table.load_state(state["table"])
        self._gone = [_Trace(*row) for row in state["gone"]]
        self._follows = {k: _Link(_Trace(*row), origin) for k, row, origin in state["follows"]}
        self._told = dict.fromkeys(state["told"])
        self._frame = state["frame"]

    def _sight(
        self, tracks: Tracks, timestamp: float, step: float, visitors: List[Visitor]
    ) -> None:
        table, rule = self._table, self.settings
        seen = tracks.seen
        ids, boxes, height = seen.ids, seen.boxes, seen.height
        if not ids:
            return
        rows = table.rows(ids)
        now = np.empty((len(rows), 3))
        now[:, :2] = (boxes[:, :2] + boxes[:, 2:]) * 0.5
        now[:, 2] = np.log(height)
        walk = table["walk"][rows]
        new = np.isnan(walk[:, _FIRST])
        if np.count_nonzero(new):
            walk[new, _FIRST] = walk[new, _LAST] = timestamp
            walk[new, _SEEN] = -step
            walk[new, _ORIGIN] = walk[new, _PLACE] = now[new]
        passed = timestamp - walk[:, _LAST]
        walk[:, _LAST] = timestamp
        walk[:, _SEEN] += step
        # First-order smoothing; what lags behind divided by the time constant is the velocity.
        place = walk[:, _PLACE]
        off = now - place
        off *= np.exp(passed * (-1.0 / _SMOOTH_S))[:, None]
        np.subtract(now, off, out=place)
        np.multiply(off[:, :2], 1.0 / _SMOOTH_S, out=walk[:, _SPEED])
        way = place - walk[:, _ORIGIN]
        moved = np.maximum(np.hypot(way[:, 0], way[:, 1]) / height, np.abs(way[:, 2]))
        np.maximum(walk[:, _MOVED], moved, out=walk[:, _MOVED])
        table["walk"][rows] = walk

        sure = seen.confirmed & ~table["confirmed"][rows]
        if np.count_nonzero(sure):
            for i in np.flatnonzero(sure).tolist():
                table["confirmed"][rows[i]] = True
                if self.stitch:
                    self._link(ids[i], int(rows[i]), timestamp)
        if self._follows:
            self._check_links(set(ids), timestamp)

        waiting = table["confirmed"][rows] & ~table["person"][rows]
        if not np.count_nonzero(waiting):
            return
        walk = table["walk"][rows]  # links may have changed it
        enough, life = walk[:, _SEEN], timestamp - walk[:, _FIRST]
        steady = (enough >= rule.still_s - 1e-9) & (enough >= rule.still_seen * life)
        walks = (enough >= rule.seen_s - 1e-9) & (walk[:, _MOVED] >= rule.moved)
        tell = (walks | steady) & waiting
        if np.count_nonzero(tell):
            for i in np.flatnonzero(tell).tolist():
                table["person"][rows[i]] = True
                if ids[i] not in self._told:  # given ids may come back after their end
                    self._told[ids[i]] = None
                    visitors.append(Visitor(ids[i], int(seen.class_id[i])))
            if len(self._told) > _KEPT + len(table):
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        gone = [track_id for track_id in self._told if track_id not in self._table]
        for track_id in gone[:-_KEPT]:
            del self._told[track_id]

    def _trace(self, track_id: int, row: int) -> _Trace:
        walk = self._table["walk"][row]
        x, y, size = walk[_PLACE].tolist()
        vx, vy = walk[_SPEED].tolist()
        # The smoothed place lags behind; where it was last seen is one velocity further on.
        return _Trace(
            track_id,
            float(walk[_LAST]),
            x + vx * _SMOOTH_S,
            y + vy * _SMOOTH_S,
            vx,
            vy,
            math.exp(size),
            float(walk[_SEEN]),
            bool(self._table["person"][row]),
            walk[_ORIGIN].tolist(),
        )

    def _link(self, track_id: int, row: int, timestamp: float) -> None:
        """Find the track that a newly confirmed one continues."""
        table, rule = self._table, self.settings
        walk = table["walk"][row]
        first = float(walk[_FIRST])
        x, y, size = walk[_ORIGIN].tolist()
        traces = [trace for trace in self._gone if first - trace.last <= rule.stitch_s]
        last = np.nan_to_num(table["walk"][:, _LAST], nan=-np.inf)  # NaN: a free row
        lost = (last < first) & (last >= first - rule.stitch_s)
        lost &= table["confirmed"] & ~table["linked"]
        if lost.any():
            traces += [
                self._trace(other, table.row(other))
                for other in sorted(table.ids())
                if lost[table.row(other)]
            ]
        best: Optional[_Trace] = None
        least = math.inf
        for trace in traces:
            cost = self._misfit(trace, first, x, y, math.exp(size))
            if cost < least:
                best, least = trace, cost
        if best is None:
            return
        self._follows[track_id] = _Link(best, walk[_ORIGIN].tolist())
        if best.track_id in table:
            table["linked"][table.row(best.track_id)] = True
        self._gone = [trace for trace in self._gone if trace is not best]
        walk[_SEEN] += best.seen
        walk[_ORIGIN] = best.origin
        table["person"][row] = best.person

    def _misfit(self, trace: _Trace, first: float, x: float, y: float, height: float) -> float:
        """How far the start of a track lies from where another one would be; inf is too far."""
        rule = self.settings
        gap = first - trace.last
        if not 0 < gap <= rule.stitch_s:
            return math.inf
        mean = math.sqrt(height * trace.height)
        if min(height, trace.height) < rule.stitch_size * max(height, trace.height):
            return math.inf
        there_x, there_y = trace.x + trace.vx * gap, trace.y + trace.vy * gap
        if self._size is not None:
            width, tall = self._size
            if not (0 <= there_x <= width and 0 <= there_y <= tall):
                return math.inf  # has walked out of the picture
        # Someone who vanished may as well have stopped: the nearer of both counts.
        away = min(
            math.hypot(x - there_x, y - there_y),
            math.hypot(x - trace.x, y - trace.y),
        )
        away /= mean
        return away if away <= rule.stitch_reach + rule.stitch_drift * gap else math.inf

    def _check_links(self, here: set, timestamp: float) -> None:
        """Undo links that have turned out wrong."""
        table = self._table
        for track_id, link in list(self._follows.items()):
            trace, row = link.trace, table.row(track_id)
            if trace.track_id in here:
                self._unlink(track_id, row, link)
                continue
            age = timestamp - float(table["walk"][row, _FIRST])
            if track_id in here and _TURN_S <= age <= 2 * _TURN_S:
                vx, vy = table["walk"][row, _SPEED].tolist()
                mine, other = math.hypot(vx, vy), math.hypot(trace.vx, trace.vy)
                walking = min(mine, other) > _WALK * trace.height
                if walking and vx * trace.vx + vy * trace.vy < -0.5 * mine * other:
                    self._unlink(track_id, row, link)

    def _unlink(self, track_id: int, row: int, link: _Link) -> None:
        table, trace = self._table, link.trace
        del self._follows[track_id]
        if trace.track_id in table:
            table["linked"][table.row(trace.track_id)] = False
        walk = table["walk"][row]
        walk[_SEEN] -= trace.seen
        walk[_ORIGIN] = link.origin
        way = np.abs(walk[_PLACE] - walk[_ORIGIN])
        walk[_MOVED] = max(math.hypot(way[0], way[1]) / math.exp(walk[_PLACE][2]), float(way[2]))
        if trace.person:
            table["person"][row] = track_id in self._told

    def _end(self, track_id: int, timestamp: float) -> None:
        table, rule = self._table, self.settings
        if track_id in table:
            row = table.row(track_id)
            if self.stitch and table["confirmed"][row] and not table["linked"][row]:
                self._gone.append(self._trace(track_id, row))
            table.drop(track_id)
        self._follows.pop(track_id, None)
        # A track that starts now may be confirmed only later, so traces outlive the gap a little.
        oldest = timestamp - rule.stitch_s - 2.0
        self._gone = [trace for trace in self._gone if trace.last >= oldest][-_KEPT:]
