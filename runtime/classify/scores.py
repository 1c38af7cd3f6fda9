"""The scores of classes, and the best of them by name."""

from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ...core import Detections


@dataclass(frozen=True)
class Classified:
    """What a classifier made of one picture.

    Attributes:
        score: `(classes,)` float32, 0..1. They add up to 1 unless `multi`.
        multi: Whether any number of classes may be there at once.
        map: `(h, w)` float32 of where the best class was seen, 0..1 of its strongest place, over
            the whole picture; None where none was asked for.
        detections: None, as it finds no boxes.
    """

    score: np.ndarray
    multi: bool = False
    map: Optional[np.ndarray] = None
    detections: Detections = field(default_factory=Detections.empty)


def best(score: np.ndarray, classes: Sequence[str], count: int = 5) -> List[Tuple[str, float]]:
    """The classes with the highest scores: name and score, the best first.

    Of equal scores the lower class id comes first; scores that are no numbers come last.

    Args:
        score: `(classes,)`.
        classes: Names by class id; numbers stand for what has none.
        count: How many at most.
    """
    score = np.asarray(score, np.float64).reshape(-1)
    order = np.argsort(-np.where(np.isnan(score), -np.inf, score), kind="stable")[:count]
    return [(_name(classes, i), float(score[i])) for i in order.tolist()]


def _name(classes: Sequence[str], class_id: int) -> str:
    return classes[class_id] if class_id < len(classes) else str(class_id)
