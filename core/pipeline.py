"""The shape of a pipeline: observations in, events out."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Protocol, Tuple

import numpy as np

from .detections import Detections, Tracks
from .event import Event


@dataclass(frozen=True)
class Regions:
    """Parts of a picture that a pipeline asks to be run through a second model, and the answer.

    Attributes:
        boxes: `(n, 4)` float32 left, top, right, bottom in pixels; they may reach beyond the
            picture. None of them is no question.
        note: What the pipeline wants back with the answer, e.g. whose boxes they are.
        answer: `(n, …)` what the second model made of each; None before it was asked, and where
            there are no boxes.
    """

    boxes: np.ndarray
    note: Any = None
    answer: Optional[np.ndarray] = None


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
        detected: False where the detector did not look at this frame, because it only looks at
            every n-th; there are then no detections, and that means nothing.
        regions: What the pipeline asked for with `regions`, answered; None where it was not asked.
        findings: What a model that tells more than boxes made of the picture, e.g. the measures of
            a part or the scores of classes; its boxes stand in `detections` all the same. None
            from a detector.
    """

    camera: str
    timestamp: float
    detections: Detections
    size: Tuple[int, int]
    image: Optional[np.ndarray] = None
    index: int = 0
    detected: bool = True
    regions: Optional[Regions] = None
    findings: Any = None


class Pipeline(Protocol):
    """What the run loop executes for one camera. See `edgelane.pipelines`.

    A pipeline is pure: it has no clock, thread, file or network, and the same observations give
    the same events.

    One that wants parts of the picture run through a second model has a further method,
    `regions(observation) -> Optional[Regions]`. Where the run has a second model, the loop calls it
    for each observation in order, and `process` later with the same observation and the answer in
    it, also in order. To keep all cores busy it may ask about frames ahead of the one that is
    processed: `regions` must not depend on what `process` did, and what `process` needs to know
    of that moment travels in `Regions.note`. A snapshot is taken when both have come equally far.
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
