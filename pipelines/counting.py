"""Counting people: lines, zones, visitors, occupancy, heatmap and trajectories as events.

Ten lines count from arrays:

    >>> import numpy as np
    >>> from edgelane.core import Detections, Observation
    >>> from edgelane.pipelines.counting import Counting, LineShape
    >>> settings = Counting.Settings(lines={"door": LineShape((100, 0), (100, 200))})
    >>> counting = Counting("entrance", settings, size=(200, 200), classes=["person"])
    >>> events = []
    >>> for i in range(30):  # someone walks from left to right, ten frames a second
    ...     box = np.array([[4 * i + 20, 60, 4 * i + 60, 160]])
    ...     found = Detections(box, score=np.array([0.9]), class_id=np.array([0]))
    ...     events += counting.process(Observation("entrance", i / 10, found, (200, 200)))
    >>> events += counting.finish()
    >>> summary = counting.summarise(events)
    >>> summary["lines"], summary["visitors"]
    ({'door': {'in': 0, 'out': 1}}, 1)
"""

import hashlib
import math
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import msgspec
import numpy as np

from ..core import ConfigError, Event, Observation, Regions, Tracks
from . import state as states
from .attributes import Attributes, AttributeSettings, tally_crossings
from .events import EventMaker, class_name, moment_of, seconds
from .following import Following
from .geometry import Line, Polygon, foot_points
from .heatmap import Heatmap, HeatmapPart
from .lines import Crossing, LineCounter, LineSettings
from .occupancy import Bucket, Occupancy
from .summary import summarise_counting
from .tracking import TrackerSettings
from .trajectories import Trajectories, Trajectory
from .visitors import VisitorCounter, VisitorSettings
from .zones import Change, Entry, ZoneMonitor, ZoneSettings

VERSION = 2
"""Of the state; one written by another version is refused."""


class LineShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """A line as a config draws it: `{from: [x, y], to: [x, y]}`.

    `in` is the side to the right of someone who stands at `from` and looks to `to`.
    """

    start: Tuple[float, float]
    to: Tuple[float, float]


class ZoneShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A zone as a config draws it: `{polygon: [[x, y], …]}`."""

    polygon: List[Tuple[float, float]]


class CountingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a camera counts.

    Attributes:
        lines: Lines by name.
        zones: Zones by name.
        tracker: How detections become tracks.
        attributes: How a second model, where there is one, looks at tracks.
        crossing: What counts as crossing a line.
        visit: What counts as being in a zone.
        visitor: What counts as a unique visitor.
        occupancy_s: Length of an occupancy bucket in seconds.
        heatmap_columns: Cells of the heatmap across the picture.
        heatmap_s: Seconds between two parts of the heatmap.
        path_tolerance: How far a simplified path may lie off the true one, in heights.
        path_points: Points of a path at most.
    """

    lines: Dict[str, LineShape] = {}
    zones: Dict[str, ZoneShape] = {}
    tracker: TrackerSettings = msgspec.field(default_factory=TrackerSettings)
    attributes: AttributeSettings = msgspec.field(default_factory=AttributeSettings)
    crossing: LineSettings = msgspec.field(default_factory=LineSettings)
    visit: ZoneSettings = msgspec.field(default_factory=ZoneSettings)
    visitor: VisitorSettings = msgspec.field(default_factory=VisitorSettings)
    occupancy_s: float = 10.0
    heatmap_columns: int = 64
    heatmap_s: float = 600.0
    path_tolerance: float = 0.1
    path_points: int = 64

    def __post_init__(self) -> None:
        least = {"occupancy_s": 1, "heatmap_columns": 1, "heatmap_s": 1, "path_points": 2}
        for name, low in {**least, "path_tolerance": 0}.items():
            value = getattr(self, name)
            if not low <= value < math.inf:
                raise ConfigError(f"{name} is wrong", got=value, expected=f"{low} or more")
        if self.heatmap_columns > 1024:
            got = self.heatmap_columns
            raise ConfigError("heatmap_columns is wrong", got=got, expected="1024 or fewer")


class Counting:
    """The counting pipeline of one camera; has the shape of `core.Pipeline`.

    Events, with their payloads (pixels of the stream, seconds of the frame clock). The timestamp
    of an event is the moment when it was certain; what happened when is in the payload.

    - `crossing`: line, direction (`in`, `out`), track, class, point `[x, y]`
    - `entry`: zone, track, class; a visit begins
    - `visit`: zone, track, class, entered, left, dwell_s; a visit has ended
    - `visitor`: track, class; someone new was genuinely seen
    - `track`: track, class, first, last, visitor (it was told as one), entered (it crossed a line
      inwards or was in a zone), path `[[t, x, y], …]`, and follows where it is the same person as
      an earlier track that had broken; told when the track has ended. Where the run has a
      classifier as its second model, `attribute` is what it said, see `Attributes.of`
    - `occupancy`: start, duration_s, scene and zones by name, each with mean and max
    - `heatmap`: start, duration_s, size, grid `[columns, rows]`, cells, seconds; these add up

    Args:
        camera: Name of the camera.
        settings: What to count; shapes in pixels of the stream.
        size: `(width, height)` of the picture.
        classes: Names by class id.

    Raises:
        ConfigError: A line or zone is no line or zone.
    """

    Settings = CountingSettings
    second_task = "classify"
    every_frame = True
    """The detector is needed in each; a second model may look at what it found."""

    def __init__(
        self, camera: str, settings: CountingSettings, size: Tuple[int, int], classes: Sequence[str]
    ) -> None:
        self.settings = settings
        self._size = (int(size[0]), int(size[1]))
        self._classes = list(classes)
        lines = {}
        for name, line in settings.lines.items():
            lines[name] = _shape(f"lines.{name}", Line, line.start, line.to)
        zones = {}
        for name, zone in settings.zones.items():
            zones[name] = _shape(f"zones.{name}", Polygon, zone.polygon)
        self._events = EventMaker(camera)
        self._following = Following(settings.tracker)
        self._attributes = Attributes(settings.attributes, self._following)
        self._tracks: Optional[Tracks] = None
        self._lines = LineCounter(lines, settings.crossing)
        self._zones = ZoneMonitor(zones, settings.visit, self._size)
        self._visitors = VisitorCounter(settings.visitor, self._size)
        self._occupancy = Occupancy(list(zones), settings.occupancy_s)
        self._heatmap = Heatmap(self._size, settings.heatmap_columns, settings.heatmap_s)
        self._trajectories = Trajectories(settings.path_tolerance, settings.path_points)
        self._entered: Set[int] = set()  # living tracks that went in somewhere
        self._now = -math.inf
        self._parts: Dict[str, Any] = {
            "events": self._events,
            "following": self._following,
            "attributes": self._attributes,
            "lines": self._lines,
            "zones": self._zones,
            "visitors": self._visitors,
            "occupancy": self._occupancy,
            "heatmap": self._heatmap,
            "trajectories": self._trajectories,
        }
        # The names of classes only name; all else decides what a state means.
        shape = msgspec.json.encode([settings, self._size, VERSION])
        self._fingerprint = hashlib.blake2b(shape, digest_size=16).hexdigest()

    @staticmethod
    def scale(settings: CountingSettings, factor_x: float, factor_y: float) -> CountingSettings:
        """The same settings in a picture of another size."""

        def scaled(point: Tuple[float, float]) -> Tuple[float, float]:
            return point[0] * factor_x, point[1] * factor_y

        lines = {k: LineShape(scaled(v.start), scaled(v.to)) for k, v in settings.lines.items()}
        zones = {k: ZoneShape([scaled(p) for p in v.polygon]) for k, v in settings.zones.items()}
        return msgspec.structs.replace(settings, lines=lines, zones=zones)

    def meet_second(self, model: Any) -> None:
        """Take note of the classifier that looks at tracks."""
        self._attributes.meet(model)

    def regions(self, observation: Observation) -> Regions:
        """The boxes of the tracks that a classifier is to look at."""
        return self._attributes.regions(observation, moment_of(observation))

    def process(self, observation: Observation) -> List[Event]:
        """Events that this observation brings.

        Raises:
            DataError: The time is not finite, or rows with and without track ids are mixed.
        """
        now = self._now = max(moment_of(observation), self._now)
        self._events.at(now)
        tracks = self._tracks = self._attributes.take(observation, now)
        # Ids that were given are the truth; two of them are two people.
        self._visitors.stitch = not self._following.given
        told: List[Event] = []
        for crossing in self._lines.update(tracks, now):
            told.append(self._crossing(crossing))
        for change in self._zones.update(tracks, now):
            told.append(self._change(change))
        follows = self._chains(tracks)
        for visitor in self._visitors.update(tracks, now):
            payload = {"track": visitor.track_id, "class": self._name(visitor.class_id)}
            told.append(self._events.make("visitor", payload))
        for trajectory in self._trajectories.update(tracks, now):
            told.append(self._track(trajectory, follows.get(trajectory.track_id, 0)))
        if self._entered and len(tracks.ended):
            self._entered.difference_update(tracks.ended.tolist())
        for track_id in tracks.ended.tolist():
            self._attributes.drop(track_id)
        sure = tracks.confirmed
        scene = int(np.count_nonzero(sure))
        for bucket in self._occupancy.update(now, scene, self._zones.presence(now)):
            told.append(self._bucket(bucket))
        feet = foot_points(tracks.xyxy if scene == len(tracks) else tracks.xyxy[sure])
        part = self._heatmap.update(feet, now)
        if part is not None:
            told.append(self._part(part))
        return told

    def tick(self, timestamp: float) -> List[Event]:
        """Events that the passing of time brings when no frame comes."""
        if not self._now < timestamp < math.inf:
            return []
        self._events.at(timestamp)
        told = [self._change(change) for change in self._zones.expire(timestamp)]
        told += [self._bucket(bucket) for bucket in self._occupancy.advance(timestamp)]
        part = self._heatmap.advance(timestamp)
        if part is not None:
            told.append(self._part(part))
        return told

    def finish(self) -> List[Event]:
        """Events that the end of the source brings: what is open closes."""
        told = [self._crossing(crossing) for crossing in self._lines.finish()]
        told += [self._change(change) for change in self._zones.finish()]
        for trajectory in self._trajectories.finish():
            follows = self._visitors.follows(trajectory.track_id)
            told.append(self._track(trajectory, follows))
        self._entered.clear()
        told += [self._bucket(bucket) for bucket in self._occupancy.finish()]
        part = self._heatmap.finish()
        if part is not None:
            told.append(self._part(part))
        return told

    def tracks(self) -> Optional[Tracks]:
        """The tracks of the last observation; None before the first."""
        return self._tracks

    def attributes(self) -> Dict[int, List[str]]:
        """For overlays: what is certain of each track of the last observation."""
        return self._attributes.words(self._tracks)

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        parts = {name: part.state() for name, part in self._parts.items()}
        return states.encode(
            {
                "pipeline": "counting",
                "fingerprint": self._fingerprint,
                "now": self._now,
                "entered": sorted(self._entered),
                "parts": parts,
            }
        )

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            DataError: The bytes are damaged, or of another configuration or version.
        """
        data = states.decode_own(state, "counting", self._fingerprint)
        for name, part in self._parts.items():
            part.load_state(data["parts"][name])
        self._visitors.stitch = not self._following.given
        self._now = data["now"]
        self._entered = set(data["entered"])

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """Lines, zones, visitors and occupancy, see `summary.summarise_counting`; with a second
        model also `attributes`, visitors and crossings by what it said."""
        told = list(events)
        counts = summarise_counting(list(self.settings.lines), list(self.settings.zones), told)
        return {**counts, **tally_crossings(told)}

    def _name(self, class_id: int) -> str:
        return class_name(self._classes, class_id)

    def _chains(self, tracks: Tracks) -> Dict[int, int]:
        """What the tracks that end now went on from, before it is forgotten."""
        ended = tracks.ended.tolist()
        return {k: self._visitors.follows(k) for k in ended} if ended else {}

    def _crossing(self, crossing: Crossing) -> Event:
        if crossing.direction == "in":
            self._entered.add(crossing.track_id)
        payload = {
            "line": crossing.line,
            "direction": crossing.direction,
            "track": crossing.track_id,
            "class": self._name(crossing.class_id),
            "point": [round(v, 1) for v in crossing.point],
        }
        return self._events.make("crossing", payload)

    def _change(self, change: Change) -> Event:
        payload: Dict[str, Any] = {
            "zone": change.zone,
            "track": change.track_id,
            "class": self._name(change.class_id),
        }
        if isinstance(change, Entry):
            self._entered.add(change.track_id)
            return self._events.make("entry", payload)
        payload["entered"] = seconds(change.entered)
        payload["left"] = seconds(change.left)
        payload["dwell_s"] = seconds(change.left - change.entered)
        return self._events.make("visit", payload)

    def _track(self, trajectory: Trajectory, follows: int) -> Event:
        path = trajectory.path
        payload: Dict[str, Any] = {
            "track": trajectory.track_id,
            "class": self._name(trajectory.class_id),
            "first": seconds(trajectory.first),
            "last": seconds(trajectory.last),
            "visitor": self._visitors.is_visitor(trajectory.track_id),
            "entered": trajectory.track_id in self._entered,
            "path": [[seconds(t), round(x, 1), round(y, 1)] for t, x, y in path.tolist()],
        }
        if follows:
            payload["follows"] = follows  # the same person, whose track had broken
        attribute = self._attributes.of(trajectory.track_id)
        if attribute is not None:
            payload["attribute"] = attribute
        return self._events.make("track", payload)

    def _bucket(self, bucket: Bucket) -> Event:
        def level(value) -> Dict[str, Any]:
            return {"mean": round(value.mean, 4), "max": value.max}

        payload = {
            "start": seconds(bucket.start),
            "duration_s": seconds(bucket.duration_s),
            "scene": level(bucket.scene),
            "zones": {name: level(value) for name, value in bucket.zones.items()},
        }
        return self._events.make("occupancy", payload)

    def _part(self, part: HeatmapPart) -> Event:
        payload = {
            "start": seconds(part.start),
            "duration_s": seconds(part.duration_s),
            "size": list(self._size),
            "grid": list(self._heatmap.grid),
            "cells": part.cells,
            "seconds": part.seconds,
        }
        return self._events.make("heatmap", payload)


def _shape(path: str, kind: Any, *points: Any) -> Any:
    try:
        return kind(*points)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: {error.what}", got=error.got, expected=error.expected, remedy=error.remedy
        ) from None
