"""Which objects appeared: each tracked object once, as an event when it has gone."""

import hashlib
import math
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import msgspec
import numpy as np

from ..core import Event, Observation, Regions, Tracks
from . import state as states
from .attributes import Attributes, AttributeSettings, tally
from .events import EventMaker, class_name, moment_of, seconds
from .following import Following
from .table import TrackTable
from .tracking import TrackerSettings

VERSION = 2
"""Of the state; one written by another version is refused."""


class DetectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a camera tells about objects.

    Attributes:
        tracker: How detections become tracks.
        attributes: How a second model, where there is one, looks at objects.
    """

    tracker: TrackerSettings = msgspec.field(default_factory=TrackerSettings)
    attributes: AttributeSettings = msgspec.field(default_factory=AttributeSettings)


class Detection:
    """The detection pipeline of one camera; has the shape of `core.Pipeline`.

    Each confirmed track brings one event `object` when it ends: `{"track", "class", "first",
    "last", "score", "box"}` with the times of the first and last sighting in seconds of the frame
    clock, the best score, and the box `[left, top, right, bottom]` in pixels of the sighting that
    had it. Where the run has a classifier as its second model, `attribute` is added: what it said
    of the object, see `Attributes.of`.

    Args:
        camera: Name of the camera.
        settings: How objects are followed.
        size: `(width, height)` of the picture.
        classes: Names by class id.
    """

    Settings = DetectionSettings
    second_task = "classify"
    every_frame = True
    """The detector is needed in each; a second model may look at what it found."""

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
        self._attributes = Attributes(settings.attributes, self._following)
        self._tracks: Optional[Tracks] = None
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

    def meet_second(self, model: Any) -> None:
        """Take note of the classifier that looks at objects."""
        self._attributes.meet(model)

    def regions(self, observation: Observation) -> Regions:
        """The boxes of the objects that a classifier is to look at."""
        return self._attributes.regions(observation, moment_of(observation))

    def process(self, observation: Observation) -> List[Event]:
        """Events of the objects that have gone.

        Raises:
            DataError: The time is not finite, or rows with and without track ids are mixed.
        """
        now = self._now = max(moment_of(observation), self._now)
        self._events.at(now)
        tracks = self._tracks = self._attributes.take(observation, now)
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
        return self._tracks

    def attributes(self) -> Dict[int, List[str]]:
        """For overlays: what is certain of each track of the last observation."""
        return self._attributes.words(self._tracks)

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        return states.encode(
            {
                "pipeline": "detection",
                "fingerprint": self._fingerprint,
                "now": self._now,
                "events": self._events.state(),
                "following": self._following.state(),
                "attributes": self._attributes.state(),
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
        self._attributes.load_state(data["attributes"])
        self._table.load_state(data["table"])
        self._now = data["now"]

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """`objects`: how many of each class, those that were seen, by name; with a second model
        also `attributes`, how many had each."""
        counts: Dict[str, int] = {}
        told = []
        for event in events:
            if event.kind == "object":
                name = event.payload["class"]
                counts[name] = counts.get(name, 0) + 1
                told.append(event.payload.get("attribute"))
        attributes = tally(told)
        return {
            "objects": dict(sorted(counts.items())),
            **({"attributes": attributes} if attributes else {}),
        }

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
                attribute = self._attributes.of(track_id)
                if attribute is not None:
                    payload["attribute"] = attribute
                told.append(self._events.make("object", payload))
            table.drop(track_id)
            self._attributes.drop(track_id)
        return told
