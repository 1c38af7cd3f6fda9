"""Do two models detect the same things? F1 between their detections, no labels needed."""

from typing import Callable, Iterable, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from ...core import DataError, Detections
from ...runtime.sources.base import load_cv2
from .boxes import overlap

Detector = Callable[[np.ndarray], Detections]


class Agreement(NamedTuple):
    """How far the detections of two models agree.

    Attributes:
        f1: 2 × pairs / (detections of the one + of the other); 1 where neither sees anything.
        pairs: Detections that were found by both.
        one: Detections of the first model.
        two: Detections of the second.
        pictures: Pictures that were looked at.
    """

    f1: float
    pairs: int
    one: int
    two: int
    pictures: int


def paired(one: Detections, two: Detections, iou: float = 0.5) -> int:
    """How many detections of one class two models share in one picture.

    Those of the first choose, best score first, what they overlap most and is still free.
    """
    if not len(one) or not len(two):
        return 0
    sides = [np.hstack([d.xyxy[:, :2], d.xyxy[:, 2:] - d.xyxy[:, :2]]) for d in (one, two)]
    alike = overlap(sides[0].astype(float), sides[1].astype(float), np.zeros(len(two), bool))
    alike[one.class_id[:, None] != two.class_id[None]] = 0.0
    count = 0
    for row in np.argsort(-one.score, kind="stable"):
        column = int(alike[row].argmax())
        if alike[row, column] >= iou:
            alike[:, column] = 0.0
            count += 1
    return count


def agreement(
    one: Detector,
    two: Detector,
    pictures: Iterable[np.ndarray],
    *,
    score: float = 0.3,
    iou: float = 0.5,
    progress: Optional[Callable[[int], None]] = None,
) -> Agreement:
    """Compare the detections of two models.

    Args:
        one: From a `(h, w, 3)` uint8 BGR picture to detections, e.g. the FP32 `Model`.
        two: The other, e.g. INT8; its class ids mean the same.
        pictures: What to look at; `frames` gives those of a video.
        score: Detections below are left out.
        iou: Overlap from which two boxes are the same thing.
        progress: Called with the number of pictures done.

    Raises:
        DataError: There are no pictures.
    """
    return compare(
        ((one(picture), two(picture)) for picture in pictures),
        score=score,
        iou=iou,
        progress=progress,
    )


def compare(
    found: Iterable[Tuple[Detections, Detections]],
    *,
    score: float = 0.3,
    iou: float = 0.5,
    progress: Optional[Callable[[int], None]] = None,
) -> Agreement:
    """As `agreement`, from the detections of both models in each picture."""
    pairs = mine = theirs = count = 0
    for count, both in enumerate(found, 1):
        a, b = (d.select(d.score >= score) for d in both)
        pairs += paired(a, b, iou)
        mine, theirs = mine + len(a), theirs + len(b)
        if progress:
            progress(count)
    if not count:
        raise DataError("there are no pictures to compare the two models on")
    total = mine + theirs
    return Agreement(2 * pairs / total if total else 1.0, pairs, mine, theirs, count)


def frames(video: str, every: int = 1, most: Optional[int] = None) -> Iterator[np.ndarray]:
    """Every n-th frame of a video, `(h, w, 3)` uint8 BGR, at most so many.

    Raises:
        DataError: It cannot be opened.
    """
    capture = load_cv2().VideoCapture(str(video))
    try:
        if not capture.isOpened():
            raise DataError(f"{video} cannot be read as a video")
        number = given = 0
        while most is None or given < most:
            if number % every:
                good = capture.grab()
            else:
                good, picture = capture.read()
                if good:
                    given += 1
                    yield picture
            if not good:
                return
            number += 1
    finally:
        capture.release()
