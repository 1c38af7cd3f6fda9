"""People with their poses: tracks say where to look, and whose each pose is."""

from typing import Any, Dict, NamedTuple, Optional

import msgspec
import numpy as np

from ...core import ConfigError, DataError, Detections, Observation, Regions, Tracks
from ..following import Following
from ..tracking import TrackerSettings
from .smoothing import OneEuro, OneEuroSettings


class PeopleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people are followed and looked at.

    Attributes:
        tracker: How detections become tracks.
        smoothing: How points are smoothed.
        most: People whose pose is looked for in a frame at most; the nearest first, which are
            the tallest.

    Raises:
        ConfigError: `most` is no count.
    """

    tracker: TrackerSettings = msgspec.field(default_factory=TrackerSettings)
    smoothing: OneEuroSettings = msgspec.field(default_factory=OneEuroSettings)
    most: int = 20

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError("most is wrong", got=self.most, expected="1 or more")


class Asked(NamedTuple):
    """What was known of a frame when its regions were asked for.

    Attributes:
        tracks: The tracks of that moment.
        rows: `(n,)` which of them the regions are, nearest first.
        left_out: How many people were too many.
    """

    tracks: Tracks
    rows: np.ndarray
    left_out: int


class PosedPeople:
    """Follows people and their poses. For a pipeline: `regions` and `poses` are its two halves.

    The regions are the boxes of confirmed tracks: the detection itself where the detector looked
    and saw the person, the tracker's estimate in between. Detections that carry key points
    already, of a net that finds people and points at once, need no second model.

    Args:
        settings: See `PeopleSettings`.
    """

    def __init__(self, settings: PeopleSettings) -> None:
        self.settings = settings
        self._following = Following(settings.tracker)
        self._smooth: Optional[OneEuro] = None
        self._points = 0
        self.tracks: Optional[Tracks] = None
        self.left_out = 0
        self.given = np.zeros((0, 0, 3), np.float32)  # the last poses, before they were smoothed

    def regions(self, observation: Observation) -> Regions:
        """Where to look in this frame; `note` is an `Asked`."""
        asked = self._asked(observation)
        boxes = asked.tracks.measured[asked.rows]
        if observation.detections.keypoints is not None:
            boxes = boxes[:0]
        return Regions(boxes, note=asked)

    def poses(self, observation: Observation) -> Detections:
        """The people of this frame with their poses, smoothed: boxes, the track's last score,
        class, `track_id` and `keypoints`; nearest first.

        Raises:
            DataError: There are people, but neither a second model nor key points.
        """
        regions = observation.regions
        # Without a second model nobody asked before.
        asked = self._asked(observation) if regions is None else regions.note
        tracks, rows = asked.tracks, asked.rows
        self.tracks, self.left_out = tracks, asked.left_out
        own = observation.detections.keypoints
        if own is not None:
            rows, points = _own_points(observation.detections, tracks, rows)
        elif regions is not None and regions.answer is not None:
            points = np.asarray(regions.answer, np.float32)
        elif len(rows):
            raise DataError(
                "there are people, but nothing that tells their poses",
                expected="a second model, or a detector that gives key points",
                remedy="give the run a pose net",
            )
        else:
            points = np.zeros((0, self._points, 3), np.float32)
        ids = tracks.track_id[rows]
        self.given = points
        if len(rows):
            if self._smooth is None:
                self._begin(points.shape[1])
            assert self._smooth is not None
            whole = np.isfinite(points).all(axis=2, keepdims=True)
            points = np.where(whole, points, np.float32(0))  # scores nothing
            self.given = points
            boxes = tracks.xyxy[rows]
            heights = (boxes[:, 3] - boxes[:, 1]).astype(np.float64)
            points = self._smooth(ids.tolist(), points, heights, observation.timestamp)
        if self._smooth is not None:
            for track_id in tracks.ended.tolist():
                self._smooth.drop(track_id)
        return Detections(tracks.xyxy[rows], tracks.score[rows], tracks.class_id[rows], ids, points)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "following": self._following.state(),
            "points": self._points,
            "smooth": None if self._smooth is None else self._smooth.state(),
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._following.load_state(state["following"])
        self._smooth, self._points = None, 0
        if state["smooth"] is not None:
            self._begin(int(state["points"]))
            assert self._smooth is not None
            self._smooth.load_state(state["smooth"])

    def _begin(self, points: int) -> None:
        self._points = points
        self._smooth = OneEuro(points, self.settings.smoothing)

    def _asked(self, observation: Observation) -> Asked:
        if observation.detected:
            tracks = self._following.update(observation.detections, observation.timestamp)
        else:
            tracks = self._following.predict(observation.timestamp)
        boxes = tracks.xyxy
        extent = boxes[:, 2:] - boxes[:, :2]
        good = tracks.confirmed & (extent > 0).all(axis=1) & np.isfinite(boxes).all(axis=1)
        rows = np.flatnonzero(good)
        rows = rows[np.argsort(-extent[rows, 1], kind="stable")]
        most = self.settings.most
        return Asked(tracks, rows[:most], max(len(rows) - most, 0))


def _own_points(detections: Detections, tracks: Tracks, rows: np.ndarray):
    """The tracks that were seen now, and the points of their detections."""
    assert detections.keypoints is not None
    rows = rows[tracks.observed[rows]]
    if not len(rows):
        return rows, detections.keypoints[:0]
    same = (tracks.measured[rows][:, None] == detections.xyxy[None]).all(axis=2)
    return rows, detections.keypoints[same.argmax(axis=1)]
