"""The shape of a pipeline: observations in, events out."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Protocol, Tuple

import numpy as np

from .detections import Detections, Tracks
from .event import Event


@dataclass(frozen=True)
class Observation:
    """What one camera gave at one moment.

    Attributes:
        camera: Name of the camera.
        timestamp: Seconds; never goes backwards within a camera.
        detections: What the model found, in pixels of `size`.
        size: `(width, height)` of the picture.
        image: `(h, w, 3)` uint8 BGR, or None where detections are replayed.
        index: Number of the frame in its source.
    """

    camera: str
    timestamp: float
    detections: Detections
    size: Tuple[int, int]
    image: Optional[np.ndarray] = None
    index: int = 0


class Pipeline(Protocol):
    """What the run loop executes for one camera. See `edgelane.pipelines`.

    A pipeline is pure: it has no clock, thread, file or network, and the same observations give
    the same events.
    """

    def process(self, observation: Observation) -> List[Event]:
        """Events that this observation brings."""
        ...

    def tick(self, timestamp: float) -> List[Event]:
        """Events that the passing of time brings when no frame comes."""
        ...

    def finish(self) -> List[Event]:
        """Events that the end of the source brings: open visits close, buckets are told."""
        ...

    def tracks(self) -> Optional[Tracks]:
        """The tracks of the last observation, for overlays and `tracks.txt`; None without."""
        ...

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            DataError: The state was written by another configuration or version.
        """
        ...

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """The camera's part of `summary.json`, from its journalled events alone."""
        ...
