"""Average precision from matches, for the pictures as they are or drawn anew with weights.

A picture's weight is how often it counts. With all weights one this is COCO's average precision
(`COCOeval.accumulate`: precision made monotonic, read at 101 recalls); with the counts of a draw
with replacement it is that of the drawn set, and a thousand draws cost little more than one.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .matching import THRESHOLDS, Outcome

RECALLS = np.linspace(0.0, 1.0, 101)
"""The recalls at which precision is read."""

MOST = 100
"""Predictions of a class that count in a picture, best first."""


_HELD = 1 << 21
"""Weights of predictions that are held at a time, which bounds the memory of many draws."""


class _Block(NamedTuple):
    picture: int
    kind: int
    score: np.ndarray
    outcome: Outcome
    judged: np.ndarray


class Curve(NamedTuple):
    """Average precision and recall by class.

    Attributes:
        precision: `(k, t, b)` at t thresholds in b draws; NaN where there is no truth.
        recall: `(k, t, b)` likewise, the highest that is reached.
    """

    precision: np.ndarray
    recall: np.ndarray


class Matches:
    """The outcomes of a whole set, collected picture by picture.

    Args:
        pictures: Number of pictures.
        kinds: Number of classes that are judged.
        sizes: Names of the ranges of size; the first is all of them.
        thresholds: Least similarities.
    """

    def __init__(
        self,
        pictures: int,
        kinds: int,
        sizes: Sequence[str] = ("all",),
        thresholds: np.ndarray = THRESHOLDS,
    ) -> None:
        self.pictures = pictures
        self.kinds = kinds
        self.sizes = tuple(sizes)
        self.thresholds = np.asarray(thresholds, float)
        self._blocks: List[_Block] = []
        self._sorted: Dict[int, List[Tuple[np.ndarray, ...]]] = {}

    def add(
        self, picture: int, kind: int, score: np.ndarray, outcome: Outcome, judged: np.ndarray
    ) -> None:
        """Take in one class of one picture; pictures come in order.

        Args:
            picture: Its index.
            kind: Index of the class.
            score: `(n,)`, best first.
            outcome: Of `match`, for these n predictions.
            judged: `(s,)` number of judged truths by range of size.
        """
        self._blocks.append(_Block(picture, kind, np.asarray(score, float), outcome, judged))
        self._sorted.clear()

    def truths(self, size: int = 0) -> np.ndarray:
        """`(k, pictures)` number of judged truths."""
        count = np.zeros((self.kinds, self.pictures))
        for block in self._blocks:
            count[block.kind, block.picture] += block.judged[size]
        return count

    def curve(self, weights: Optional[np.ndarray] = None, size: int = 0, most: int = MOST) -> Curve:
        """Average precision and recall.

        Args:
            weights: `(b, pictures)` how often each picture counts; once each if left out.
            size: Index of the range of size.
            most: Predictions of a class that count in a picture.
        """
        if weights is None:
            weights = np.ones((1, self.pictures))
        weights = np.asarray(weights, float)
        shape = (self.kinds, len(self.thresholds), len(weights))
        precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
        wanted = weights @ self.truths(size).T  # (b, k)
        for kind, (picture, rank, right, ignored) in enumerate(self._columns(size)):
            kept = rank < most
            step = max(1, _HELD // max(int(kept.sum()), 1))
            for start in range(0, len(weights), step):
                part = slice(start, start + step)
                total = wanted[part, kind]
                present = total > 0
                if not present.any():
                    continue
                weight = weights[part][:, picture[kept]]
                seen = np.cumsum(weight, axis=1)
                for level in range(len(self.thresholds)):
                    left_out = np.flatnonzero(ignored[level, kept])
                    good = np.flatnonzero(right[level, kept] & ~ignored[level, kept])
                    ap, reached = _average(weight, seen, good, left_out, total)
                    precision[kind, level, part] = np.where(present, ap, np.nan)
                    recall[kind, level, part] = np.where(present, reached, np.nan)
        return Curve(precision, recall)

    def _columns(self, size: int) -> List[Tuple[np.ndarray, ...]]:
        """By class: picture, rank in it, right and ignored of each prediction, best first."""
        if size not in self._sorted:
            by_kind: List[List[_Block]] = [[] for _ in range(self.kinds)]
            for block in self._blocks:
                by_kind[block.kind].append(block)
            self._sorted[size] = [self._join(blocks, size) for blocks in by_kind]
        return self._sorted[size]

    def _join(self, blocks: List[_Block], size: int) -> Tuple[np.ndarray, ...]:
        none = np.zeros((len(self.thresholds), 0), bool)
        score = np.concatenate([b.score for b in blocks] or [np.zeros(0)])
        order = np.argsort(-score, kind="stable")
        picture = np.repeat(
            np.array([b.picture for b in blocks], int), [len(b.score) for b in blocks]
        )
        rank = np.concatenate([np.arange(len(b.score)) for b in blocks] or [np.zeros(0, int)])
        right = np.concatenate([b.outcome.right[size] for b in blocks] or [none], axis=1)
        ignored = np.concatenate([b.outcome.ignored[size] for b in blocks] or [none], axis=1)
        return picture[order], rank[order], right[:, order], ignored[:, order]


def _average(
    weight: np.ndarray, seen: np.ndarray, good: np.ndarray, left_out: np.ndarray, total: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Average precision and highest recall in each of b draws.

    Precision is highest right after a right prediction, so only those are looked at.

    Args:
        weight: `(b, n)` of predictions sorted by score.
        seen: `(b, n)` its running sum.
        good: Indices of the right ones.
        left_out: Indices of those that do not count.
        total: `(b,)` number of truths.
    """
    draws = len(weight)
    if not len(good):
        return np.zeros(draws), np.zeros(draws)
    hits = np.cumsum(weight[:, good], axis=1)
    counted = seen[:, good]
    if len(left_out):
        before = np.zeros((draws, len(left_out) + 1))
        np.cumsum(weight[:, left_out], axis=1, out=before[:, 1:])
        counted = counted - before[:, np.searchsorted(left_out, good)]
    precision = hits / np.maximum(counted, 1e-12)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = hits / np.maximum(total, 1e-12)[:, None]
    # How many of the 101 recalls each right prediction is the first to reach.
    # A prediction of a picture that was not drawn reaches nothing, not even a recall of zero.
    steps = np.where(hits > 0, np.searchsorted(RECALLS, reached, side="right"), 0)
    new = np.diff(steps, axis=1, prepend=0)
    return (precision * new).sum(axis=1) / len(RECALLS), reached[:, -1]


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the classes with truth and over thresholds: `(b,)`, 0 where no class has any."""
    known = ~np.isnan(values)
    count = known.sum(axis=(0, 1))
    return np.where(known, values, 0.0).sum(axis=(0, 1)) / np.maximum(count, 1)
