"""What is true about a rendered frame and about a whole scene."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from ...core import Detections, UsageError


class TrueCrossing(NamedTuple):
    """Somebody's foot point passed a line.

    Attributes:
        time: Seconds, between two frames as a rule.
        line: Its name.
        direction: `in` (to the right of start → end) or `out`.
        track_id: Who.
        place: x and y on the floor in metres.
    """

    time: float
    line: str
    direction: str
    track_id: int
    place: Tuple[float, float]


class TrueVisit(NamedTuple):
    """Somebody's foot point was in a zone.

    Attributes:
        zone: Its name.
        track_id: Who.
        entered: Seconds; 0 for who was there at the beginning.
        left: Seconds; the last frame's time for who was there at the end.
    """

    zone: str
    track_id: int
    entered: float
    left: float


@dataclass(frozen=True)
class Truth:
    """Everything about the people in one frame, in rising order of ids.

    Who is wholly hidden is in it, too, with visibility 0; who is wholly beside the picture is not.

    Attributes:
        index: Number of the frame.
        timestamp: Seconds.
        track_id: `(n,)` int64 from 1.
        xyxy: `(n, 4)` float64 pixels around the whole figure, hidden or not, cut at the picture.
        whole: `(n, 4)` the same, not cut.
        seen: `(n, 4)` pixels around what can be seen; zeros where nothing can.
        visibility: `(n,)` share of the figure's pixels that can be seen; those beside the picture
            cannot.
        keypoints: `(n, 17, 3)` COCO: x, y in pixels and 2 visible, 1 hidden, 0 beside the picture.
        foot: `(n, 2)` pixels of the point on the floor that the person is over.
        place: `(n, 2)` the same in metres.
        role: What everybody is about.
        action: What everybody does.
    """

    index: int
    timestamp: float
    track_id: np.ndarray
    xyxy: np.ndarray
    whole: np.ndarray
    seen: np.ndarray
    visibility: np.ndarray
    keypoints: np.ndarray
    foot: np.ndarray
    place: np.ndarray
    role: List[str]
    action: List[str]
    extra: Dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.track_id)

    @property
    def class_id(self) -> np.ndarray:
        """All are people. `(n,)` int64 zeros."""
        return np.zeros(len(self), np.int64)

    def detections(self, visible: float = 0.25) -> Detections:
        """What a perfect detector with perfect ids would say.

        Args:
            visible: Least visibility to be found; the score is the visibility.
        """
        rows = self.visibility >= max(visible, 1e-6)
        kept = np.flatnonzero(rows)
        points = self.keypoints[kept].copy()
        points[:, :, 2] *= 0.5
        return Detections(
            self.xyxy[kept],
            np.clip(self.visibility[kept], 0, 1),
            np.zeros(len(kept), np.int64),
            self.track_id[kept],
            points,
        )


@dataclass(frozen=True)
class Counts:
    """Totals of a scene, to set beside a `summary.json`.

    Attributes:
        lines: `{name: {"in", "out"}}`, without steps over a line and back.
        zones: `{name: {"entries", "dwell_mean_s"}}`.
        visitors: Different people seen for a second or more.
        crossings: How many in all.
    """

    lines: Dict[str, Dict[str, int]]
    zones: Dict[str, Dict[str, float]]
    visitors: int
    crossings: int


def settled(crossings: List[TrueCrossing], back_s: float = 1.0) -> List[TrueCrossing]:
    """Crossings as one would speak of them: who steps over a line and back within `back_s`, as
    people do who make way for each other in a door, has not crossed it."""
    kept: List[TrueCrossing] = []
    last: Dict[Tuple[str, int], List[TrueCrossing]] = {}
    for crossing in crossings:
        own = last.setdefault((crossing.line, crossing.track_id), [])
        if own and crossing.time - own[-1].time < back_s:
            kept.remove(own.pop())
        else:
            own.append(crossing)
            kept.append(crossing)
    return kept


def merged(visits: List[TrueVisit], least_s: float = 0.5, gap_s: float = 1.0) -> List[TrueVisit]:
    """Visits as one would speak of them: steps out for less than `gap_s` do not end one, and
    brushes with the zone that last less than `least_s` are none."""
    by_owner: Dict[Tuple[str, int], List[TrueVisit]] = {}
    for visit in sorted(visits, key=lambda v: (v.zone, v.track_id, v.entered)):
        own = by_owner.setdefault((visit.zone, visit.track_id), [])
        if own and visit.entered - own[-1].left < gap_s:
            own[-1] = own[-1]._replace(left=visit.left)
        else:
            own.append(visit)
    kept = [v for own in by_owner.values() for v in own if v.left - v.entered >= least_s]
    return sorted(kept, key=lambda v: (v.entered, v.zone, v.track_id))


def truth_counts(scene: Any, visible: float = 0.25) -> Counts:
    """Line, zone and visitor totals of a scene.

    Args:
        scene: One with lines and zones, as `store`.
        visible: Least visibility for being seen.

    Raises:
        UsageError: The scene has no lines and zones.
    """
    if not hasattr(scene, "crossings"):
        raise UsageError(f"scene {scene.name!r} has no lines and zones to count at")
    lines = {name: {"in": 0, "out": 0} for name in scene.layout.lines}
    crossings = settled(scene.crossings)
    for crossing in crossings:
        lines[crossing.line][crossing.direction] += 1
    zones: Dict[str, Dict[str, float]] = {}
    visits = merged(scene.visits)
    for name in scene.layout.zones:
        own = [v.left - v.entered for v in visits if v.zone == name]
        zones[name] = {
            "entries": len(own),
            "dwell_mean_s": round(sum(own) / len(own), 3) if own else 0.0,
        }
    step = max(int(scene.fps / 5), 1)
    frames: Dict[int, int] = {}
    for truth in scene.truths(step):
        for track_id in truth.track_id[truth.visibility >= visible].tolist():
            frames[track_id] = frames.get(track_id, 0) + 1
    visitors = sum(1 for count in frames.values() if count * step / scene.fps >= 1.0)
    return Counts(lines, zones, visitors, len(crossings))
