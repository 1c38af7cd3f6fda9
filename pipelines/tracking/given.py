"""Tracks that somebody else made: passed through, with their ends told."""

import math
from typing import Any, Dict, Optional

import numpy as np

from ...core import DataError, Detections, Tracks


class GivenTracks:
    """Detections that carry ids, as tracks: confirmed at once, seen as they are.

    Args:
        end_s: Seconds unseen after which a track has ended. An id that comes back later is told
            again, as a track of its own.
    """

    def __init__(self, end_s: float = 3.0) -> None:
        self.end_s = end_s
        self._ids = np.zeros(0, np.int64)
        self._seen = np.zeros(0)
        self._clock = 0.0
        self._timestamp: Optional[float] = None

    def update(self, detections: Detections, timestamp: float) -> Tracks:
        """Pass one frame through.

        Args:
            detections: Rows with a `track_id` above 0; others are left out.
            timestamp: Seconds. Time that stands still or goes back counts as no time.

        Raises:
            DataError: The timestamp is not finite, or there are no ids or one twice.
        """
        if not math.isfinite(timestamp):
            raise DataError("the timestamp of a frame must be finite seconds", got=timestamp)
        if detections.track_id is None:
            if len(detections):
                raise DataError(
                    "these detections carry no track_id", remedy="give them to a Tracker"
                )
            ids = np.zeros(0, np.int64)
        else:
            rows = detections.track_id > 0
            if not rows.all():
                detections = detections.select(rows)
            ids = np.asarray(detections.track_id)
        self._clock += 0.0 if self._timestamp is None else max(0.0, timestamp - self._timestamp)
        self._timestamp = float(timestamp)
        known = np.unique(ids)
        if len(known) != len(ids):
            raise DataError("a track_id stands twice in one frame", got=ids.tolist())
        waiting = ~np.isin(self._ids, known)
        live = waiting & (self._clock - self._seen <= self.end_s)
        gone = self._ids[waiting & ~live]
        self._ids = np.concatenate([self._ids[live], known])
        self._seen = np.concatenate([self._seen[live], np.full(len(known), self._clock)])
        every = np.ones(len(ids), bool)
        return Tracks(
            ids,
            detections.xyxy,
            detections.xyxy.copy(),
            detections.score,
            detections.class_id,
            every,
            every.copy(),
            gone,
        )

    def state(self) -> Dict[str, Any]:
        """The whole state, of plain types and arrays, for `load_state`."""
        return {
            "ids": self._ids.copy(),
            "seen": self._seen.copy(),
            "clock": self._clock,
            "timestamp": self._timestamp,
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            DataError: It is not such a state.
        """
        try:
            ids, seen = np.array(state["ids"], np.int64), np.array(state["seen"], float)
            if ids.shape != seen.shape or ids.ndim != 1:
                raise ValueError(f"arrays of shape {ids.shape} and {seen.shape}")
            clock, when = float(state["clock"]), state["timestamp"]
            when = None if when is None else float(when)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("this is no state of given tracks", got=repr(error)) from None
        self._ids, self._seen, self._clock, self._timestamp = ids, seen, clock, when
