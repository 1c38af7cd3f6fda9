"""Which objects appeared: each tracked object once, as an event when it has gone."""

import hashlib
import math
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import msgspec
import numpy as np

from ..core import DataError, Event, Observation, Tracks
from . import state as states
from .events import EventMaker, class_name, seconds
from .following import Following
from .table import TrackTable
from .tracking import TrackerSettings

VERSION = 1
"""Of the state; one written by another version is refused."""


class DetectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a camera tells about objects.

    Attributes:
        tracker: How detections become tracks.
    """

    tracker: TrackerSettings = msgspec.field(default_factory=TrackerSettings)


class Detection:
    """The detection pipeline of one camera; has the shape of `core.Pipeline`.

    Each confirmed track brings one event `object` when it ends: `{"track", "class", "first",
    "last", "score", "box"}` with the times of the first and last sighting in seconds of the frame
    clock, the best score, and the box `[left, top, right, bottom]` in pixels of the sighting that
    had it.

    Args:
        camera: Name of the camera.
        settings: How objects are followed.
        size: `(width, height)` of the picture.
        classes: Names by class id.
    """

    Settings = DetectionSettings

    def __init__(
        self,
        camera: str,
        settings: DetectionSettings,
        size: Tuple[int, int],
        classes: Sequence[str],
    ) -> None:
        self.settings = settings
        self._classes = list(classes)
        self._events = EventMaker(camera)
        self._following = Following(settings.tracker)
        self._table = TrackTable(
            first=(np.float64, (), float("nan")),
            last=(np.float64, (), float("nan")),
            score=(np.float64, (), -1.0),
            box=(np.float64, (4,), 0.0),
            class_id=(np.int64, (), 0),
            confirmed=(np.bool_, (), False),
        )
        self._now = -math.inf
        shape = msgspec.json.encode([settings, [int(v) for v in size], VERSION])
        self._fingerprint = hashlib.blake2b(shape, digest_size=16).hexdigest()

    @staticmethod
    def scale(settings: DetectionSettings, factor_x: float, factor_y: float) -> DetectionSettings:
        """The same settings in a picture of another size: there is nothing in pixels."""
        return settings

    def process(self, observation: Observation) -> List[Event]:
        """Events of the objects that have gone.

        Raises:
            DataError: The time is not finite, or rows with and without track ids are mixed.
        """
        if not math.isfinite(observation.timestamp):
            raise DataError("an observation has no time", got=observation.timestamp)
        now = self._now = max(float(observation.timestamp), self._now)
        self._events.at(now)
        tracks = self._following.update(observation.detections, now)
        seen = np.flatnonzero(tracks.observed)
        if len(seen):
            self._sight(tracks, seen, now)
        return self._end(tracks.ended.tolist())

    def tick(self, timestamp: float) -> List[Event]:
        """Nothing: objects go by what frames show."""
        return []

    def finish(self) -> List[Event]:
        """Events of all objects that are still there."""
        return self._end(sorted(self._table.ids()))

    def tracks(self) -> Optional[Tracks]:
        """The tracks of the last observation; None before the first."""
        return self._following.tracks

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        return states.encode(
            {
                "pipeline": "detection",
                "fingerprint": self._fingerprint,
                "now": self._now,
                "events": self._events.state(),
                "following": self._following.state(),
                "table": self._table.state(),
            }
        )

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            DataError: The bytes are damaged, or of another configuration or version.
        """
        data = states.decode_own(state, "detection", self._fingerprint)
        self._events.load_state(data["events"])
        self._following.load_state(data["following"])
        self._table.load_state(data["table"])
        self._now = data["now"]

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """`objects`: how many of each class, those that were seen, by name."""
        counts: Dict[str, int] = {}
        for event in events:
            if event.kind == "object":
                name = event.payload["class"]
                counts[name] = counts.get(name, 0) + 1
        return {"objects": dict(sorted(counts.items()))}

    def _sight(self, tracks: Tracks, seen: np.ndarray, now: float) -> None:
        table = self._table
        rows = table.rows(tracks.track_id[seen].tolist())
        first = table["first"][rows]
        table["first"][rows] = np.where(first == first, first, now)
        table["last"][rows] = now
        table["class_id"][rows] = tracks.class_id[seen]
        table["confirmed"][rows] |= tracks.confirmed[seen]
        better = tracks.score[seen] > table["score"][rows]
        if better.any():
            table["score"][rows[better]] = tracks.score[seen][better]
            table["box"][rows[better]] = tracks.measured[seen][better]

    def _end(self, ended: List[int]) -> List[Event]:
        told: List[Event] = []
        table = self._table
        for track_id in ended:
            if track_id not in table:
                continue
            row = table.row(track_id)
            if table["confirmed"][row]:
                payload = {
                    "track": track_id,
                    "class": class_name(self._classes, int(table["class_id"][row])),
                    "first": seconds(float(table["first"][row])),
                    "last": seconds(float(table["last"][row])),
                    "score": round(float(table["score"][row]), 3),
                    "box": [round(v, 1) for v in table["box"][row].tolist()],
                }
                told.append(self._events.make("object", payload))
            table.drop(track_id)
        return told
