"""What a detector saw in one frame, and what a tracker made of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import List, NamedTuple, Optional

import numpy as np

from .errors import DataError


def _column(name: str, value, n: int, dtype) -> np.ndarray:
    array = np.asarray(value, dtype=dtype)
    if array.shape != (n,):
        raise DataError(f"{name} must have one value for each box", got=array.shape, expected=(n,))
    return array


def _boxes(name: str, value) -> np.ndarray:
    boxes = np.asarray(value, dtype=np.float32)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"{name} must be boxes", got=boxes.shape, expected="(n, 4)")
    return boxes


@dataclass(frozen=True)
class Detections:
    """Objects found in one frame, as columns.

    Boxes that are not finite or have no area, and scores that are not finite, are refused here
    rather than carried on: `Detections.cleaned` drops them instead, for data from outside.

    Attributes:
        xyxy: `(n, 4)` float32, pixels of the frame: left, top, right, bottom.
        score: `(n,)` float32 in 0..1.
        class_id: `(n,)` int64.
        track_id: `(n,)` int64 above 0, or None before tracking.
        keypoints: `(n, k, 3)` float32 of x, y in pixels and a score, or None.
    """

    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    track_id: Optional[np.ndarray] = None
    keypoints: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        boxes = _boxes("Detections.xyxy", self.xyxy)
        n = len(boxes)
        put(self, "xyxy", boxes)
        put(self, "score", _column("Detections.score", self.score, n, np.float32))
        put(self, "class_id", _column("Detections.class_id", self.class_id, n, np.int64))
        if self.track_id is not None:
            put(self, "track_id", _column("Detections.track_id", self.track_id, n, np.int64))
        if self.keypoints is not None:
            points = np.asarray(self.keypoints, dtype=np.float32)
            if points.ndim != 3 or points.shape[0] != n or points.shape[2] != 3:
                raise DataError(
                    "Detections.keypoints must be x, y, score for each point of each box",
                    got=points.shape,
                    expected=f"({n}, k, 3)",
                )
            put(self, "keypoints", points)
        if n:
            good = _sound(boxes, self.score)
            if not good.all():
                bad = int(np.flatnonzero(~good)[0])
                raise DataError(
                    f"Detections row {bad} is not a finite box with area and a finite score",
                    got=f"{boxes[bad].tolist()}, score {float(self.score[bad])}",
                    remedy="Detections.cleaned drops such rows",
                )

    def __len__(self) -> int:
        return len(self.xyxy)

    @classmethod
    def empty(cls) -> "Detections":
        """No objects."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def cleaned(cls, xyxy, score, class_id=None, track_id=None, keypoints=None) -> "Detections":
        """As the constructor, but rows that are not finite or have no area are dropped."""
        boxes = _boxes("xyxy", xyxy)
        n = len(boxes)
        scores = _column("score", score, n, np.float32)
        classes = np.zeros(n, np.int64) if class_id is None else np.asarray(class_id)
        good = _sound(boxes, scores)
        if good.all():
            return cls(boxes, scores, classes, track_id, keypoints)
        return cls(
            boxes[good],
            scores[good],
            _column("class_id", classes, n, np.int64)[good],
            None if track_id is None else _column("track_id", track_id, n, np.int64)[good],
            None if keypoints is None else np.asarray(keypoints)[good],
        )

    def select(self, rows) -> "Detections":
        """The rows that a boolean mask or an index array picks."""
        return Detections(
            self.xyxy[rows],
            self.score[rows],
            self.class_id[rows],
            None if self.track_id is None else self.track_id[rows],
            None if self.keypoints is None else self.keypoints[rows],
        )


def _sound(boxes: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Rows with a finite score and a finite box of positive area (NaN compares as False)."""
    limit = np.float32(1e7)  # beyond any picture; keeps areas finite in float32
    return (
        (boxes[:, 2] > boxes[:, 0])
        & (boxes[:, 3] > boxes[:, 1])
        & (np.abs(boxes) < limit).all(axis=1)
        & np.isfinite(score)
    )


@dataclass(frozen=True)
class Tracks:
    """The objects that a tracker follows at one moment, as columns.

    A track begins tentative. Its id stands from its first row, so what happened before it was
    confirmed can still be told: analytics keep what a tentative track did and report it once the
    track is confirmed, or forget it with the track.

    Attributes:
        track_id: `(n,)` int64 above 0, unique in a run, never used again.
        xyxy: `(n, 4)` float32 pixels, the tracker's best estimate for this moment.
        measured: `(n, 4)` float32 pixels, the detection as it was; equal to `xyxy` where there
            was none.
        score: `(n,)` float32, of the last detection.
        class_id: `(n,)` int64.
        observed: `(n,)` bool, False where the object was not seen now and `xyxy` is predicted.
        confirmed: `(n,)` bool, False while the track is tentative.
        ended: `(m,)` int64, ids of tracks that will not come back, told once each.
    """

    track_id: np.ndarray
    xyxy: np.ndarray
    measured: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    observed: np.ndarray
    confirmed: np.ndarray
    ended: np.ndarray

    def __post_init__(self) -> None:
        put = object.__setattr__
        ids = np.asarray(self.track_id, np.int64)
        if ids.ndim != 1:
            raise DataError("Tracks.track_id must be one column", got=ids.shape, expected="(n,)")
        n = len(ids)
        put(self, "track_id", ids)
        for name in ("xyxy", "measured"):
            boxes = _boxes(f"Tracks.{name}", getattr(self, name))
            if len(boxes) != n:
                raise DataError(
                    f"Tracks.{name} must have one row a track", got=boxes.shape, expected=(n, 4)
                )
            put(self, name, boxes)
        for name, dtype in (
            ("score", np.float32),
            ("class_id", np.int64),
            ("observed", np.bool_),
            ("confirmed", np.bool_),
        ):
            put(self, name, _column(f"Tracks.{name}", getattr(self, name), n, dtype))
        put(self, "ended", np.asarray(self.ended, np.int64).reshape(-1))

    def __len__(self) -> int:
        return len(self.track_id)

    @cached_property
    def seen(self) -> "Seen":
        """The rows that were observed; worked out once, for all who ask."""
        ids, boxes, classes, confirmed = self.track_id, self.xyxy, self.class_id, self.confirmed
        if np.count_nonzero(self.observed) < len(ids):  # faster than all() on so few
            rows = self.observed.nonzero()[0]
            ids, boxes = ids[rows], boxes[rows]
            classes, confirmed = classes[rows], confirmed[rows]
        boxes = boxes.astype(np.float64)
        feet = boxes[:, 2:].copy()
        feet[:, 0] += boxes[:, 0]
        feet[:, 0] *= 0.5
        return Seen(ids.tolist(), boxes, feet, boxes[:, 3] - boxes[:, 1], classes, confirmed)


class Seen(NamedTuple):
    """The tracks that were observed at one moment, as columns.

    Attributes:
        ids: Their ids, as a list.
        boxes: `(k, 4)` float64 pixels, as `Tracks.xyxy`.
        feet: `(k, 2)` float64 pixels, the bottom centre of each box.
        height: `(k,)` float64 pixels.
        class_id: `(k,)` int64.
        confirmed: `(k,)` bool.
    """

    ids: List[int]
    boxes: np.ndarray
    feet: np.ndarray
    height: np.ndarray
    class_id: np.ndarray
    confirmed: np.ndarray
