"""Making events whose ids are fixed by what happened."""

import math
from typing import Any, Dict, Sequence

from ..core import DataError, Event, Observation


class EventMaker:
    """Numbers the events of one camera, so that each has an id of its own.

    Events of one kind at one time are told apart by their ordinal, also over several calls and
    over a restart: the numbering is part of the state. Time never goes back.

    Args:
        camera: Name of the camera.
    """

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self._timestamp = float("-inf")
        self._ordinals: Dict[str, int] = {}

    def at(self, timestamp: float) -> float:
        """Set the time of the events to come; returns it, or the time reached if that is later."""
        if timestamp > self._timestamp:
            self._timestamp = float(timestamp)
            if self._ordinals:
                self._ordinals = {}
        return self._timestamp

    def make(self, kind: str, payload: Dict[str, Any]) -> Event:
        """The next event of a kind."""
        ordinal = self._ordinals.get(kind, 0)
        self._ordinals[kind] = ordinal + 1
        return Event(self.camera, self._timestamp, kind, payload, ordinal)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types."""
        return {"timestamp": self._timestamp, "ordinals": self._ordinals}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._timestamp = state["timestamp"]
        self._ordinals = state["ordinals"]


def moment_of(observation: Observation) -> float:
    """The time of an observation in seconds.

    Raises:
        DataError: It is not finite.
    """
    if not math.isfinite(observation.timestamp):
        raise DataError("an observation has no time", got=observation.timestamp)
    return float(observation.timestamp)


def class_name(classes: Sequence[str], class_id: int) -> str:
    """Name of a class; its number where the list of names does not reach."""
    return classes[class_id] if 0 <= class_id < len(classes) else str(class_id)


def seconds(timestamp: float) -> float:
    """A time as it is written in payloads: to the millisecond."""
    return round(timestamp, 3)
