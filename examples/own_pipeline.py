"""A pipeline of one's own: an event whenever more people are in the picture than allowed.

# crowd.yaml
pipeline: own_pipeline:Crowd
reference_size: [640, 360]
allowed: 2

edgelane replay crowd.yaml --detections walkers.txt --fps 10
"""

import json
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import msgspec

from edgelane.core import Event, Observation


class CrowdSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the config may say for a camera."""

    allowed: int = 5
    seconds: float = 1.0


class Crowd:
    """Tells `crowd` once more people than allowed were seen for some seconds on end."""

    Settings = CrowdSettings

    def __init__(
        self, camera: str, settings: CrowdSettings, size: Tuple[int, int], classes: Sequence[str]
    ) -> None:
        self.camera = camera
        self.settings = settings
        self.since = None  # when it became too many
        self.told = False

    def process(self, observation: Observation) -> List[Event]:
        now, count = observation.timestamp, len(observation.detections)
        if count <= self.settings.allowed:
            self.since, self.told = None, False
            return []
        if self.since is None:
            self.since = now
        if self.told or now - self.since < self.settings.seconds:
            return []
        self.told = True
        return [Event(self.camera, now, "crowd", {"people": count, "since": self.since})]

    def tick(self, timestamp: float) -> List[Event]:
        return []

    def finish(self) -> List[Event]:
        return []

    def tracks(self) -> None:
        return None

    def snapshot(self) -> bytes:
        return json.dumps([self.since, self.told]).encode()

    def restore(self, state: bytes) -> None:
        self.since, self.told = json.loads(state)

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        return {"crowds": sum(event.kind == "crowd" for event in events)}
