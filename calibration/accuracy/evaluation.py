"""How right a model is on labelled pictures, and how surely one differs from another."""

from dataclasses import dataclass, field
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core import DataError, Detections

DRAWS = 1000
"""Draws of a bootstrap interval."""


class Confusion(NamedTuple):
    """What pictures of each class were taken for.

    Attributes:
        classes: Names.
        counts: `(k, k)` int64, a row for each true class and a column for each that was chosen.
    """

    classes: Tuple[str, ...]
    counts: np.ndarray

    def worst(self, most: int = 3) -> List[Tuple[str, str, int]]:
        """The mistakes that are made most often: true class, chosen class, how often."""
        wrong = np.array(self.counts)
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [divmod(int(i), len(self.classes)) for i in order]
        return [
            (self.classes[a], self.classes[b], int(wrong[a, b])) for a, b in pairs if wrong[a, b]
        ]


@dataclass(frozen=True)
class Evaluation:
    """What a metric makes of a model on labelled pictures.

    Attributes:
        metric: Name of the score that counts, a key of `scores`.
        scores: 0..1 by name.
        pictures: Ids of the pictures, in order.
        redraw: From `(b, pictures)` weights, how often each picture counts, to `(b,)` values by
            name: the metric's at least, and of other scores those that are cheap.
        notes: What the reader should know: pictures that are missing, classes that are not judged.
        found: Detections of each picture, where the model is a detector.
        confusion: What was taken for what, where it is a classifier.
    """

    metric: str
    scores: Dict[str, float]
    pictures: Tuple[str, ...]
    redraw: Callable[[np.ndarray], Dict[str, np.ndarray]] = field(repr=False, compare=False)
    notes: Tuple[str, ...] = ()
    found: Optional[Tuple[Detections, ...]] = field(default=None, repr=False, compare=False)
    confusion: Optional[Confusion] = field(default=None, repr=False, compare=False)

    @property
    def score(self) -> float:
        """The score that counts, 0..1."""
        return self.scores[self.metric]


class Interval(NamedTuple):
    """A difference of two models, the second minus the first, and where it may truly lie.

    Attributes:
        difference: On the pictures as they are.
        low: Lower end of the interval.
        high: Upper end.
        deviation: Standard deviation over the draws.
    """

    difference: float
    low: float
    high: float
    deviation: float


def paired_interval(
    one: Evaluation,
    two: Evaluation,
    metric: Optional[str] = None,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """The interval of the difference `two - one` by the paired bootstrap (Efron 1979).

    Both models are judged on the same pictures drawn with replacement, so what is hard in a
    picture is hard for both and cancels out.

    Args:
        one: The model that is compared with, e.g. FP32.
        two: The other, on the same pictures.
        metric: A score that both can redraw; theirs that counts if left out.
        confidence: Share of the draws that lie in the interval.
        draws: How many.
        seed: Of the draws; the same gives the same interval.

    Raises:
        DataError: They were judged on different pictures or by different metrics.
    """
    metric = metric or one.metric
    if one.pictures != two.pictures:
        raise DataError(
            "the two models were judged on different pictures",
            got=f"{len(one.pictures)} and {len(two.pictures)}",
            expected="the same ones in the same order",
        )
    count = len(one.pictures)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)
    drawn = []
    for evaluation in (one, two):
        values = evaluation.redraw(weights)
        if metric not in values:
            raise DataError(
                f"there is no interval of {metric!r}", expected=", ".join(sorted(values))
            )
        drawn.append(values[metric])
    difference = drawn[1] - drawn[0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(difference, [tail, 1 - tail])
    return Interval(
        two.scores[metric] - one.scores[metric],
        float(low),
        float(high),
        float(difference.std(ddof=1)) if draws > 1 else 0.0,
    )
