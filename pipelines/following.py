"""The tracker a pipeline needs: its own, or none where detections are tracks already."""

from dataclasses import replace
from typing import Any, Dict, Optional

import numpy as np

from ..core import DataError, Detections, Tracks
from .tracking import GivenTracks, Tracker, TrackerSettings


class Following:
    """Tracks from detections with or without track ids; the first ones decide which.

    Args:
        settings: Of the tracker, used for detections without ids.
    """

    def __init__(self, settings: Optional[TrackerSettings] = None) -> None:
        self._settings = settings
        # Made now: what a tracker loads must not hold up the first frame with people in it.
        self._own = Tracker(settings or TrackerSettings())
        self._given: Optional[bool] = None
        self._tracker: Any = None
        self.tracks: Optional[Tracks] = None

    @property
    def given(self) -> bool:
        """Whether the detections are tracks already."""
        return bool(self._given)

    def update(self, detections: Detections, timestamp: float) -> Tracks:
        """Tracks of this moment.

        Raises:
            DataError: Detections with and without track ids are mixed.
        """
        given = detections.track_id is not None
        if self._given is None and (len(detections) or given):
            self._choose(given)
        elif len(detections) and given != self._given:
            raise DataError(
                "detections with and without track ids are mixed",
                got="rows with ids" if given else "rows without ids",
                expected="rows with ids" if self._given else "rows without ids",
                remedy="give every row an id above 0, or none",
            )
        tracks = NOTHING
        if self._tracker is not None:
            tracks = self._tracker.update(detections, timestamp)
        self.tracks = tracks
        return tracks

    def predict(self, timestamp: float) -> Tracks:
        """Where the tracks are at a moment after the last frame, without following one: given
        tracks where they were."""
        tracks = NOTHING
        if isinstance(self._tracker, Tracker):
            tracks = self._tracker.predict(timestamp)
        elif self.tracks is not None:
            last, none = self.tracks, np.zeros(len(self.tracks), bool)
            tracks = replace(last, observed=none, ended=np.zeros(0, np.int64))
        self.tracks = tracks
        return tracks

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        tracker = None if self._tracker is None else self._tracker.state()
        return {"given": self._given, "tracker": tracker}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._given, self._tracker, self.tracks = None, None, None
        self._own = Tracker(self._settings or TrackerSettings())
        if state["given"] is not None:
            self._choose(state["given"])
            self._tracker.load_state(state["tracker"])

    def _choose(self, given: bool) -> None:
        self._given = given
        self._tracker = GivenTracks() if given else self._own


def _nothing() -> Tracks:
    none: list = []
    return Tracks(none, none, none, none, none, none, none, none)  # type: ignore[arg-type]


NOTHING = _nothing()
"""No tracks, before anything was ever detected."""
