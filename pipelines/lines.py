"""Counting people who cross lines: tracks in, crossings out.

A crossing is a person who ends on the other side. Around each line lies a band as wide as what
cannot be told from the boxes: a share of the person's height, or more where the person's own box
jitters more. A track keeps the last point where it stood outside the band. Once it has settled
outside on the other side, and the way between the two points leads through the segment, that is
one crossing. Standing on the line, touching it and turning back, or walking round its end are none.

All lengths are shares of the person's height and all durations are seconds, so neither the size of
the picture nor the frame rate changes what is counted.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

import msgspec
import numpy as np

from ..core import DataError, Tracks
from .geometry import Line, cross

VERSION = 1
_GROWTH = 64


class LineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a line counter tells a crossing from noise.

    Attributes:
        tolerance: Half the width of the band around a line, in heights of the person.
        jitter_factor: The band is at least this many times the jitter of the track's own foot
            point (one standard deviation of its noise).
        settle_s: Time constant in seconds of the mean position that, too, must lie outside the
            band before a track has settled on the other side.
        jitter_s: Time constant in seconds over which the jitter of a track is measured.
        jitter_start: Jitter that a new track is taken to have, in heights.
    """

    tolerance: float = 0.06
    jitter_factor: float = 2.0
    settle_s: float = 0.3
    jitter_s: float = 1.0
    jitter_start: float = 0.02


class Crossing(NamedTuple):
    """One person has crossed one line.

    Attributes:
        line: Name of the line.
        direction: `in` or `out`, see `edgelane.pipelines.geometry.Line`.
        track_id: Who.
        class_id: Class of the track.
        point: `(x, y)` in pixels where the way of the foot point meets the line.
        timestamp: Seconds; when the track first stood clear of the line on the other side. At or
            before the update that tells it.
    """

    line: str
    direction: str
    track_id: int
    class_id: int
    point: Tuple[float, float]
    timestamp: float


# Columns of a track, common to all lines.
_TRACK = {
    "track_id": np.int64,
    "class_id": np.int64,
    "confirmed": np.bool_,
    "seen": np.int64,  # how often it was observed, up to 3
    "time": np.float64,
    "time_before": np.float64,
    "point": (np.float64, 2),
    "point_before": (np.float64, 2),
    "mean": (np.float64, 2),  # exponential mean of the foot point
    "height": np.float64,
    "jitter": np.float64,  # in heights
}
# Columns of a pair of track and line.
_PAIR = {
    "zone": np.int8,  # where the foot point was last: -1, 0 in the band, 1
    "side": np.int8,  # the last side it was settled on; 0 for none
    "left": (np.float64, 2),  # the last point outside the band on that side, once it has left it
    "turned": np.bool_,  # whether it has been clear on the other side since, without settling
    "clear": (np.float64, 2),  # the first such point
    "clear_time": np.float64,
}


class LineCounter:
    """Counts the tracks that cross lines.

    Args:
        lines: Lines by name, in pixels of the stream.
        settings: Tolerances.
    """

    def __init__(self, lines: Mapping[str, Line], settings: LineSettings = LineSettings()) -> None:
        self.lines: Dict[str, Line] = dict(lines)
        self.settings = settings
        self._names = list(self.lines)
        starts = np.array([line.start for line in self.lines.values()], float).reshape(-1, 2)
        ends = np.array([line.end for line in self.lines.values()], float).reshape(-1, 2)
        along = ends - starts
        self._starts, self._along = starts, along
        length = np.hypot(along[:, 0], along[:, 1])
        # side = point @ normals + offsets, in pixels, above 0 on the `in` side
        self._normals = np.stack((-along[:, 1], along[:, 0])) / length
        self._offsets = -(starts * self._normals.T).sum(axis=1)
        self._slots: Dict[int, int] = {}
        self._free: List[int] = []
        self._held: Dict[int, List[Crossing]] = {}
        self._allocate(_GROWTH)

    # -- columns ------------------------------------------------------------------------------

    def _allocate(self, capacity: int) -> None:
        def column(spec, *shape):
            dtype, extra = spec if isinstance(spec, tuple) else (spec, None)
            return np.zeros(shape if extra is None else shape + (extra,), dtype)

        n = len(self._names)
        self._track = {name: column(spec, capacity) for name, spec in _TRACK.items()}
        self._pair = {name: column(spec, capacity, n) for name, spec in _PAIR.items()}
        self._free = list(range(capacity - 1, -1, -1))

    def _grow(self) -> None:
        used = len(self._track["track_id"])
        track, pair, free = self._track, self._pair, self._free
        self._allocate(used * 2)
        for old, new in ((track, self._track), (pair, self._pair)):
            for name, values in old.items():
                new[name][:used] = values
        self._free = list(range(used * 2 - 1, used - 1, -1)) + free

    def _rows(self, track_ids: List[int]) -> np.ndarray:
        """The slot of each track; a new one for a track never seen."""
        slots = self._slots
        rows = []
        for track_id in track_ids:
            slot = slots.get(track_id)
            if slot is None:
                if not self._free:
                    self._grow()
                slot = slots[track_id] = self._free.pop()
                self._track["track_id"][slot] = track_id
                self._track["seen"][slot] = 0
                for name in ("zone", "side", "turned"):
                    self._pair[name][slot] = 0
            rows.append(slot)
        return np.array(rows, np.intp)

    # -- update -------------------------------------------------------------------------------

    def update(self, tracks: Tracks, timestamp: float) -> List[Crossing]:
        """Crossings that the tracks of this moment bring.

        Rows that were not observed never count; what a tentative track did is told with the
        update in which it is confirmed.

        Args:
            tracks: The tracks of one frame.
            timestamp: Seconds, never going backwards.

        Returns:
            The crossings, in the order of rows and lines.
        """
        told: List[Crossing] = []
        if not self._names:
            return told
        seen = tracks.observed
        if seen.any():
            rows = self._rows(tracks.track_id[seen].tolist())
            self._track["class_id"][rows] = tracks.class_id[seen]
            self._track["confirmed"][rows] |= tracks.confirmed[seen]
            self._move(rows, tracks.xyxy[seen].astype(np.float64), float(timestamp))
            told += self._decide(rows)
        if self._held:
            for track_id in tracks.track_id[tracks.confirmed].tolist():
                told += self._held.pop(track_id, ())
        for track_id in tracks.ended.tolist():
            told += self._end(track_id)
        return told

    def finish(self) -> List[Crossing]:
        """Crossings of tracks that had not settled yet when the source ended."""
        told: List[Crossing] = []
        for track_id in sorted(self._slots):
            told += self._end(track_id)
        return told

    def _end(self, track_id: int) -> List[Crossing]:
        """Forget a track. Where it stood clear on the other side at last, it has crossed."""
        slot = self._slots.pop(track_id, None)
        if slot is None:
            return []
        self._free.append(slot)
        self._held.pop(track_id, None)
        if not self._track["confirmed"][slot]:
            return []
        pair = self._pair
        at_last = pair["turned"][slot] & (pair["zone"][slot] == -pair["side"][slot])
        told = [self._cross(slot, line) for line in np.flatnonzero(at_last).tolist()]
        return [crossing for crossing in told if crossing is not None]

    def _move(self, rows: np.ndarray, boxes: np.ndarray, timestamp: float) -> None:
        """Take over new boxes: foot points, heights, means and jitter."""
        track, settings = self._track, self.settings
        point = np.stack(((boxes[:, 0] + boxes[:, 2]) * 0.5, boxes[:, 3]), axis=1)
        height = boxes[:, 3] - boxes[:, 1]
        seen = track["seen"][rows]
        first, third = seen == 0, seen >= 2
        before, time_before = track["point"][rows], track["time"][rows]
        older, time_older = track["point_before"][rows], track["time_before"][rows]
        elapsed = np.where(first, 0.0, timestamp - time_before)
        # How far the middle one of the last three points lies off the way between the others. For
        # independent noise of deviation d in x and y its mean square is 2 d² (1 + w² + (1 - w)²).
        span = timestamp - time_older
        weight = (time_before - time_older) / np.where(span > 0, span, 1.0)
        off = before - older - (point - older) * weight[:, None]
        noise = np.sqrt((off * off).sum(axis=1) / (2 + 2 * weight**2 + 2 * (1 - weight) ** 2))
        noise = np.minimum(noise / height, 0.25)
        gain = np.where(third & (span > 0), 1 - np.exp(-elapsed / settings.jitter_s), 0.0)
        jitter = np.where(first, settings.jitter_start, track["jitter"][rows])
        jitter += gain * (noise - jitter)
        gain = np.where(first, 1.0, 1 - np.exp(-elapsed / settings.settle_s))
        mean = track["mean"][rows]
        track["mean"][rows] = mean + gain[:, None] * (point - mean)
        track["jitter"][rows] = jitter
        track["height"][rows] = height
        track["point_before"][rows], track["time_before"][rows] = before, time_before
        track["point"][rows], track["time"][rows] = point, timestamp
        track["seen"][rows] = np.minimum(seen + 1, 3)

    def _decide(self, rows: np.ndarray) -> List[Crossing]:
        """Which pairs of track and line have now crossed."""
        track, pair, settings = self._track, self._pair, self.settings
        band = track["height"][rows] * np.maximum(
            settings.tolerance, settings.jitter_factor * track["jitter"][rows]
        )
        band = band[:, None]
        distance = track["point"][rows] @ self._normals + self._offsets
        zone = (distance > band).astype(np.int8) - (distance < -band).astype(np.int8)
        was = pair["zone"][rows]
        side = pair["side"][rows]
        turned = pair["turned"][rows]
        # Most pairs stay where they were; only the few others need work.
        row, line = np.nonzero((zone != was) | turned)
        told: List[Crossing] = []
        if len(row) == 0:
            return told
        slot, zone, was, side = rows[row], zone[row, line], was[row, line], side[row, line]
        turned = turned[row, line]
        pair["zone"][slot, line] = zone
        # Newly outside and never settled before: that is the side.
        new = (side == 0) & (zone != 0)
        pair["side"][slot[new], line[new]] = zone[new]
        # Leaving the settled side: the point before was the last one there.
        leaves = (side != 0) & (was == side) & (zone != side)
        s, k = slot[leaves], line[leaves]
        pair["left"][s, k] = track["point_before"][s]
        back = (side != 0) & (zone == side)
        pair["turned"][slot[back], line[back]] = False
        over = (side != 0) & (zone == -side)
        fresh = over & ~turned
        s, k = slot[fresh], line[fresh]
        pair["turned"][s, k] = True
        pair["clear"][s, k] = track["point"][s]
        pair["clear_time"][s, k] = track["time"][s]
        mean = (track["mean"][slot] * self._normals.T[line]).sum(axis=1) + self._offsets[line]
        settled = over & (mean * zone > band[row, 0])
        for s, k in zip(slot[settled].tolist(), line[settled].tolist()):
            crossing = self._cross(s, k)
            if crossing is None:
                continue
            if track["confirmed"][s]:
                told.append(crossing)
            else:
                self._held.setdefault(crossing.track_id, []).append(crossing)
        return told

    def _cross(self, slot: int, line: int):
        """Settle a track on the other side; the crossing, or None for a way round the end."""
        track, pair = self._track, self._pair
        side = -int(pair["side"][slot, line])
        pair["side"][slot, line] = side
        pair["turned"][slot, line] = False
        start, along = self._starts[line], self._along[line]
        left, clear = pair["left"][slot, line], pair["clear"][slot, line]
        step = clear - left
        # left + share * step lies on the straight line, `position` of the way along the segment
        ahead = cross(along[0], along[1], step[0], step[1])
        share = cross(along[0], along[1], start[0] - left[0], start[1] - left[1]) / ahead
        point = left + share * step
        position = ((point - start) * along).sum() / (along * along).sum()
        if not 0 <= position <= 1:
            return None
        return Crossing(
            line=self._names[line],
            direction="in" if side > 0 else "out",
            track_id=int(track["track_id"][slot]),
            class_id=int(track["class_id"][slot]),
            point=(float(point[0]), float(point[1])),
            timestamp=float(pair["clear_time"][slot, line]),
        )

    # -- state --------------------------------------------------------------------------------

    def state(self) -> Dict[str, Any]:
        """Everything that `load_state` needs, as plain types and arrays; flat in size."""
        slots = sorted(self._slots.items())
        rows = np.array([slot for _, slot in slots], np.intp)
        return {
            "version": VERSION,
            "lines": {name: [*line.start, *line.end] for name, line in self.lines.items()},
            "track": {name: values[rows] for name, values in self._track.items()},
            "pair": {name: values[rows] for name, values in self._pair.items()},
            "held": [[*c[:4], *c.point, c.timestamp] for held in self._held.values() for c in held],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            DataError: It was written for other lines or by another version.
        """
        lines = {name: [*line.start, *line.end] for name, line in self.lines.items()}
        if state.get("version") != VERSION:
            raise DataError(
                "the state of a line counter is of another version",
                got=state.get("version"),
                expected=VERSION,
            )
        if {name: list(line) for name, line in state["lines"].items()} != lines:
            raise DataError(
                "the state of a line counter was written for other lines",
                got=state["lines"],
                expected=lines,
            )
        ids = np.asarray(state["track"]["track_id"]).tolist()
        capacity = _GROWTH
        while capacity < len(ids):
            capacity *= 2
        self._allocate(capacity)
        self._slots = {}
        rows = self._rows(ids)
        for mine, given in ((self._track, state["track"]), (self._pair, state["pair"])):
            for name in mine:
                mine[name][rows] = given[name]
        self._held = {}
        for name, direction, track_id, class_id, x, y, timestamp in state["held"]:
            crossing = Crossing(name, direction, track_id, class_id, (x, y), timestamp)
            self._held.setdefault(track_id, []).append(crossing)
