"""Trackers of other projects behind one small face, to be measured against in the same run."""

from typing import Any, Callable, Dict, Tuple

import numpy as np

from ..core import MissingDependency

Update = Tuple[np.ndarray, np.ndarray]


class SupervisionStyle:
    """A tracker that takes and gives `supervision.Detections`.

    Args:
        update: The peer's own method: detections in, detections with `tracker_id` out.
    """

    def __init__(self, update: Callable[[Any], Any]) -> None:
        import supervision

        self._detections = supervision.Detections
        self._update = update

    def update(self, xyxy: np.ndarray, score: np.ndarray) -> Update:
        """One frame: boxes `(n, 4)` pixels and scores `(n,)` to ids `(m,)` and boxes `(m, 4)`."""
        boxes = np.asarray(xyxy, np.float32).reshape(-1, 4)
        found = self._update(
            self._detections(
                xyxy=boxes,
                confidence=np.asarray(score, np.float32),
                class_id=np.zeros(len(boxes), int),
            )
        )
        if found.tracker_id is None or len(found) == 0:
            return np.zeros(0, np.int64), np.zeros((0, 4))
        ids = np.asarray(found.tracker_id, np.int64)
        keep = ids >= 0
        return ids[keep], np.asarray(found.xyxy, float)[keep]


class Norfair:
    """norfair's tracker by IoU. It knows no frame rate: its lives are counted in frames."""

    def __init__(self) -> None:
        import norfair

        self._detection = norfair.Detection
        self._tracker = norfair.Tracker(distance_function="iou", distance_threshold=0.7)

    def update(self, xyxy: np.ndarray, score: np.ndarray) -> Update:
        """One frame: boxes `(n, 4)` pixels and scores `(n,)` to ids `(m,)` and boxes `(m, 4)`."""
        boxes = np.asarray(xyxy, float).reshape(-1, 2, 2)
        objects = self._tracker.update(
            [
                self._detection(points=box, scores=np.repeat(float(s), 2))
                for box, s in zip(boxes, score)
            ]
        )
        return (
            np.array([o.id for o in objects], np.int64),
            np.array([o.estimate for o in objects], float).reshape(-1, 4),
        )


def peer_trackers() -> Dict[str, Callable[[float], Any]]:
    """The peers that are installed here, each at its defaults but for the frame rate.

    Returns:
        Name to factory; `factory(fps).update(xyxy, score)` gives `(ids, xyxy)` of the frame.
        Peers whose library lacks them (supervision dropped its tracker after 0.26) are left out.

    Raises:
        MissingDependency: None of them is installed.
    """
    peers: Dict[str, Callable[[float], Any]] = {}
    try:
        import trackers

        for name, kind in (
            ("trackers SORT", "SORTTracker"),
            ("trackers ByteTrack", "ByteTrackTracker"),
            ("trackers OC-SORT", "OCSORTTracker"),
            ("trackers C-BIoU", "CBIoUTracker"),
        ):
            if hasattr(trackers, kind):
                peers[name] = _factory(getattr(trackers, kind), "update")
    except ImportError:
        pass
    try:
        import supervision

        if hasattr(supervision, "ByteTrack"):
            peers["supervision ByteTrack"] = _factory(
                supervision.ByteTrack, "update_with_detections"
            )
    except ImportError:
        pass
    try:
        import norfair  # noqa: F401

        peers["norfair"] = lambda fps: Norfair()
    except ImportError:
        pass
    if not peers:
        raise MissingDependency(
            "None of the peers to measure against is installed",
            expected="trackers, supervision or norfair",
            remedy="install them with pip install 'edgelane[peers]'",
        )
    return peers


def _factory(kind: Any, method: str) -> Callable[[float], Any]:
    def make(fps: float) -> SupervisionStyle:
        # supervision's ByteTrack wants whole frames a second; 6 frames a second is near enough
        # to 6.25 for a buffer that is counted in frames.
        rate = fps if method == "update" else max(1, round(fps))
        return SupervisionStyle(getattr(kind(frame_rate=rate), method))

    return make
