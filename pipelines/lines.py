"""Counting people who cross lines: tracks in, crossings out.

A crossing is a person who ends on the other side. Around each line lies a band as wide as what
cannot be told from the boxes. A track settles on a side once its foot point and the mean of its
last foot points lie outside the band there. When it settles on the other side, and the way from
the last point on the one side to the first one on the other leads through the segment, that is one
crossing. Standing on the line, touching it and turning back, or walking round its end are none.

All lengths are shares of the person's height and all durations are seconds, so neither the size of
the picture nor the frame rate changes what is counted.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import msgspec
import numpy as np

from ..core import ConfigError, DataError, Tracks
from .geometry import Line, cross
from .table import TrackTable

VERSION = 1

# What is kept of a track, common to all lines.
TIME, TIME_BEFORE, X, Y, X_BEFORE, Y_BEFORE, MEAN_X, MEAN_Y = range(8)
HEIGHT, JITTER, SPREAD, SEEN, CLASS, CONFIRMED = range(8, 14)
RAW_X, RAW_Y, RAW_X_BEFORE, RAW_Y_BEFORE = range(14, 18)  # of the detections as they were
POINT, POINT_BEFORE, MEAN, RAW, RAW_BEFORE = (
    1,
    2,
    3,
    7,
    8,
)  # the same pairs of columns seen as complex numbers
# What is kept of a pair of track and line.
ZONE, SIDE, TRUST, TURNED, LEFT_X, LEFT_Y, CLEAR_X, CLEAR_Y, CLEAR_TIME = range(9)

_EARLY = np.array([1.0, 1.0, 2.0])
_ALWAYS = 9  # in `watch`: no zone has this number, so the pair is looked at each time


class LineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a line counter tells a crossing from noise: heights of the person, and seconds.

    Attributes:
        tolerance: Half the width of the band around a line.
        jitter_factor: The band of the foot point is at least so many times its own jitter, which
            is the standard deviation of its noise.
        certainty: The band of the mean is at least so many times the standard deviation of the
            mean's noise.
        settle_s: Time constant of the mean.
        jitter_s: Time constant of the jitter.
        jitter_start: Jitter that a new track is taken to have.
        odd_height: A box that differs from the person's height by more than this share is cut or
            merged with another; the foot point is then looked for below its top.
        height_s: Time constant of the person's height.
        cut_height_s: The same while boxes are odd and too short.
    """

    tolerance: float = 0.04
    jitter_factor: float = 1.5
    certainty: float = 5.0
    settle_s: float = 0.3
    jitter_s: float = 3.0
    jitter_start: float = 0.04
    odd_height: float = 0.2
    height_s: float = 1.0
    cut_height_s: float = 5.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            lowest = 1e-6 if name.endswith("_s") else 0.0
            if not lowest <= value < float("inf"):
                expected = "a number above 0" if lowest else "a number from 0 up"
                raise ConfigError(f"crossing.{name} is wrong", got=value, expected=expected)


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


class LineCounter:
    """Counts the tracks that cross lines.

    Args:
        lines: Lines by name, in pixels of the stream.
        settings: Tolerances.
    """

    def __init__(self, lines: Mapping[str, Line], settings: Optional[LineSettings] = None) -> None:
        self.lines: Dict[str, Line] = dict(lines)
        self.settings = settings or LineSettings()
        self._names = list(self.lines)
        starts = np.array([line.start for line in self.lines.values()], float).reshape(-1, 2)
        ends = np.array([line.end for line in self.lines.values()], float).reshape(-1, 2)
        along = ends - starts
        self._starts, self._along = starts, along
        length = np.hypot(along[:, 0], along[:, 1])
        # side = point @ normals + offsets, in pixels, above 0 on the `in` side
        self._normals = np.stack((-along[:, 1], along[:, 0])) / length
        self._offsets = -(starts * self._normals.T).sum(axis=1)
        n = len(self._names)
        # Of two lines that meet, the point where they do belongs to one.
        self._takes_start = np.array([a.start < a.end for a in self.lines.values()], bool)
        self._table = TrackTable(
            track=(np.float64, (RAW_Y_BEFORE + 1,), 0.0),
            pair=(np.float64, (n, CLEAR_TIME + 1), 0.0),
            watch=(np.int8, (n,), 0),
        )
        self._held: Dict[int, List[Crossing]] = {}
        times = (self.settings.height_s, self.settings.settle_s, self.settings.jitter_s)
        self._rates = -1 / np.array(times)

    def update(self, tracks: Tracks, timestamp: float) -> List[Crossing]:
        """Crossings that the tracks of this moment bring.

        Rows that were not observed never count; what a tentative track did is told with the
        update in which it is confirmed.

        Args:
            tracks: The tracks of one frame.
            timestamp: Seconds, never going backwards.

        Returns:
            The crossings, in the order of the tracks' rows and the lines.
        """
        told: List[Crossing] = []
        if not self._names:
            return told
        ids, boxes, measured = tracks.track_id, tracks.xyxy, tracks.measured
        class_id, confirmed = tracks.class_id, tracks.confirmed
        if not tracks.observed.all():
            seen = tracks.observed
            ids, boxes, measured = ids[seen], boxes[seen], measured[seen]
            class_id, confirmed = class_id[seen], confirmed[seen]
        if len(ids):
            track_ids = ids.tolist()
            rows = self._table.rows(track_ids)
            state = self._move(
                rows, boxes.astype(np.float64), measured.astype(np.float64), float(timestamp)
            )
            state[:, CLASS] = class_id
            np.maximum(state[:, CONFIRMED], confirmed, out=state[:, CONFIRMED])
            self._table["track"][rows] = state
            self._decide(rows, state, track_ids, told)
        if self._held:
            for track_id in tracks.track_id[tracks.confirmed].tolist():
                told += self._held.pop(track_id, ())
        for track_id in tracks.ended.tolist():
            told += self._end(track_id)
        return told

    def finish(self) -> List[Crossing]:
        """Crossings of tracks that stood on the other side when the source ended."""
        told: List[Crossing] = []
        for track_id in sorted(self._table.ids()):
            told += self._end(track_id)
        return told

    def _move(
        self, rows: np.ndarray, boxes: np.ndarray, measured: np.ndarray, timestamp: float
    ) -> np.ndarray:
        """The tracks' columns with new boxes taken in: foot point, height, mean and jitter."""
        settings = self.settings
        state = self._table["track"][rows]
        # Points of the plane as complex numbers: half as many operations.
        plane = state.view(np.complex128)
        top, bottom = boxes[:, 1], boxes[:, 3]
        tall = np.maximum(bottom - top, 1e-3)  # a predicted box may have shrunk to nothing
        seen = state[:, SEEN]
        first = seen == 0
        if first.any():
            state[first, TIME] = state[first, TIME_BEFORE] = timestamp
            state[first, HEIGHT] = tall[first]
            state[first, JITTER] = settings.jitter_start
        before = plane[:, POINT].copy()
        elapsed = timestamp - state[:, TIME]
        # Exponential means; in the beginning all boxes weigh the same. The start value of the
        # jitter counts like three measurements: the first one comes with the third box.
        gain = 1 - np.exp(elapsed[:, None] * self._rates)
        np.maximum(gain, 1 / (seen[:, None] + _EARLY), out=gain)

        # Legs that are hidden cut the box from below: its top stays and its bottom jumps. Then the
        # foot point is where the top and the person's height say. Where the top jumps instead
        # (a raised arm, someone bending down) the bottom is right.
        height = state[:, HEIGHT]
        change = tall - height
        odd = np.abs(change) > settings.odd_height * height
        if odd.any():
            from_bottom = (bottom - before.imag) ** 2
            from_top = (top + height - before.imag) ** 2
            share = np.where(odd, from_bottom / (from_bottom + from_top + 1e-12), 0.0)
            bottom = bottom - share * change
            # Boxes are cut short more often than they grow, so the tall ones are believed sooner.
            slow = np.maximum(1 - np.exp(-elapsed / settings.cut_height_s), 1 / (seen + 1))
            gain[:, 0] = np.where(odd & (change < 0), slow, gain[:, 0])
        state[:, HEIGHT] += gain[:, 0] * change
        point = (boxes[:, 0] + boxes[:, 2]) * 0.5 + 1j * bottom

        # The jitter is that of the detections: a tracker's smooth boxes drift with the noise of
        # several frames, which looks like walking.
        # How far the middle one of the last three points lies off the way between the others. For
        # independent noise of deviation d in x and in y its mean square is
        # 2 d² (1 + w² + (1 - w)²), with w the middle one's share of the time between the others.
        span = np.maximum(timestamp - state[:, TIME_BEFORE], 1e-9)
        weight = 1 - elapsed / span
        raw = (measured[:, 0] + measured[:, 2]) * 0.5 + 1j * measured[:, 3]
        before_raw, older_raw = plane[:, RAW].copy(), plane[:, RAW_BEFORE]
        off = np.abs(before_raw - older_raw - (raw - older_raw) * weight)
        noise = off / (2 * state[:, HEIGHT] * np.sqrt(1 - weight + weight * weight))
        jitter = state[:, JITTER]
        jitter += (seen >= 2) * gain[:, 2] * (np.minimum(noise, 0.25) - jitter)

        # The mean's noise has `spread` times the variance of a single point's.
        gain = gain[:, 1]
        plane[:, MEAN] += gain * (point - plane[:, MEAN])
        state[:, SPREAD] = (1 - gain) ** 2 * state[:, SPREAD] + gain * gain
        plane[:, POINT_BEFORE], plane[:, POINT] = before, point
        plane[:, RAW_BEFORE], plane[:, RAW] = before_raw, raw
        state[:, TIME_BEFORE] = state[:, TIME]
        state[:, TIME] = timestamp
        np.minimum(seen + 1, 1e6, out=seen)
        return state

    def _decide(
        self, rows: np.ndarray, state: np.ndarray, track_ids: List[int], told: List[Crossing]
    ) -> None:
        """Find the pairs of track and line that have now crossed and tell or hold them."""
        settings, table = self.settings, self._table
        jitter = state[:, JITTER]
        band = np.maximum(settings.tolerance, settings.jitter_factor * jitter) * state[:, HEIGHT]
        band = band[:, None]
        distance = state[:, X : Y + 1] @ self._normals + self._offsets
        zones = (distance > band).astype(np.int8) - (distance < -band)
        # Most pairs stay where they were; only the few others need work.
        row, line = np.nonzero(zones != table["watch"][rows])
        if len(row) == 0:
            return
        track, slot = state[row], rows[row]
        pair = table["pair"][slot, line]
        zone = zones[row, line].astype(np.float64)
        mean = (track[:, MEAN_X : MEAN_Y + 1] * self._normals.T[line]).sum(axis=1)
        reach = (mean + self._offsets[line]) * zone / track[:, HEIGHT]
        # How sure it is that the person is on the side of its zone: in standard deviations.
        sure = np.where(reach > settings.tolerance, reach / np.sqrt(track[:, SPREAD]), 0.0)
        needed = settings.certainty * track[:, JITTER]

        side = np.where(pair[:, SIDE] == 0, zone, pair[:, SIDE])
        home = (side != 0) & (zone == side)
        # A side once settled stays so; before, the surest moment there counts, by the jitter
        # that is known by now.
        trust = np.where(home, np.maximum(pair[:, TRUST], sure), pair[:, TRUST])
        trust[home & (trust > needed)] = np.inf
        leaves = (pair[:, ZONE] == side) & ~home & (side != 0)
        pair[leaves, LEFT_X : LEFT_Y + 1] = track[leaves, X_BEFORE : Y_BEFORE + 1]
        turned = (pair[:, TURNED] != 0) & ~home
        over = (side != 0) & (zone == -side)
        fresh = over & ~turned
        pair[fresh, CLEAR_X : CLEAR_Y + 1] = track[fresh, X : Y + 1]
        pair[fresh, CLEAR_TIME] = track[fresh, TIME]
        settles = over & (sure > needed)
        crossed = settles & (trust > needed)
        turned = (turned | fresh) & ~settles
        pair[:, ZONE] = zone
        pair[:, SIDE] = np.where(settles, zone, side)
        pair[:, TRUST] = trust = np.where(settles, np.inf, trust)
        pair[:, TURNED] = turned
        table["pair"][slot, line] = pair
        table["watch"][slot, line] = np.where(turned | (trust <= needed), _ALWAYS, zone)
        for i in np.flatnonzero(crossed).tolist():
            crossing = self._cross(track_ids[row[i]], int(line[i]), track[i], pair[i], zone[i])
            if crossing is not None and track[i, CONFIRMED]:
                told.append(crossing)
            elif crossing is not None:
                self._held.setdefault(crossing.track_id, []).append(crossing)

    def _end(self, track_id: int) -> List[Crossing]:
        """Forget a track. One that stood clear on the other side at last has crossed."""
        table = self._table
        self._held.pop(track_id, None)
        if track_id not in table:
            return []
        row = table.row(track_id)
        track, pair = table["track"][row].copy(), table["pair"][row].copy()
        table.drop(track_id)
        turned = np.flatnonzero(pair[:, TURNED])
        if not track[CONFIRMED] or len(turned) == 0:
            return []
        # It had no time to settle, so its last point alone must be as sure as a mean would be.
        needed = self.settings.certainty * track[JITTER]
        band = max(self.settings.tolerance, needed) * track[HEIGHT]
        distance = track[X : Y + 1] @ self._normals + self._offsets
        told = []
        for line in turned.tolist():
            side = -pair[line, SIDE]
            if distance[line] * side > band and pair[line, TRUST] > needed:
                crossing = self._cross(track_id, line, track, pair[line], side)
                told += [crossing] if crossing is not None else []
        return told

    def _cross(
        self, track_id: int, line: int, track: np.ndarray, pair: np.ndarray, side: float
    ) -> Optional[Crossing]:
        """The crossing to `side`, or None where the way leads round an end of the segment."""
        start, along = self._starts[line], self._along[line]
        left, clear = pair[LEFT_X : LEFT_Y + 1], pair[CLEAR_X : CLEAR_Y + 1]
        step = clear - left
        # Where the ways meet: left + share * step = start + position * along
        ahead = cross(along[0], along[1], step[0], step[1])
        share = cross(along[0], along[1], start[0] - left[0], start[1] - left[1]) / ahead
        point = left + share * step
        position = ((point - start) * along).sum() / (along * along).sum()
        takes_start = self._takes_start[line]
        if not (0 <= position < 1 if takes_start else 0 < position <= 1):
            return None
        return Crossing(
            line=self._names[line],
            direction="in" if side > 0 else "out",
            track_id=track_id,
            class_id=int(track[CLASS]),
            point=(float(point[0]), float(point[1])),
            timestamp=float(pair[CLEAR_TIME]),
        )

    def state(self) -> Dict[str, Any]:
        """All that `load_state` needs, as plain types and arrays; as big as the tracks alive."""
        return {
            "version": VERSION,
            "lines": self._shapes(),
            "table": self._table.state(),
            "held": [[*c[:4], *c.point, c.timestamp] for held in self._held.values() for c in held],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            DataError: It was written for other lines or by another version.
        """
        if state.get("version") != VERSION:
            raise DataError(
                "the state of a line counter is of another version",
                got=state.get("version"),
                expected=VERSION,
            )
        # Columns stand in the order of the lines, so that must be the same, too.
        given = [[name, list(shape)] for name, shape in state["lines"].items()]
        mine = [[name, shape] for name, shape in self._shapes().items()]
        if given != mine:
            raise DataError(
                "the state of a line counter was written for other lines", got=given, expected=mine
            )
        self._table.load_state(state["table"])
        self._held = {}
        for name, direction, track_id, class_id, x, y, timestamp in state["held"]:
            crossing = Crossing(name, direction, track_id, class_id, (x, y), timestamp)
            self._held.setdefault(track_id, []).append(crossing)

    def _shapes(self) -> Dict[str, List[float]]:
        return {name: [*line.start, *line.end] for name, line in self.lines.items()}
