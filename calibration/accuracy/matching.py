"""Which prediction found which truth in one picture, at many thresholds at once.

The rules are those of the COCO evaluation (Lin et al. 2014; `COCOeval.evaluateImg` in its
reference code): predictions take, best score first, the truth that they resemble most and that is
still free; a truth that is not judged (a crowd, or of a size outside the range) is taken only
where no judged one is left, and who takes one counts neither as right nor as wrong.
"""

from typing import NamedTuple

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds of similarity: 0.50, 0.55, … 0.95."""


class Outcome(NamedTuple):
    """What became of n predictions in s ranges of size at t thresholds.

    Attributes:
        right: `(s, t, n)` bool, took a truth.
        ignored: `(s, t, n)` bool, counts neither as right nor as wrong.
    """

    right: np.ndarray
    ignored: np.ndarray


def match(
    similarity: np.ndarray,
    unjudged: np.ndarray,
    crowd: np.ndarray,
    outside: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
) -> Outcome:
    """Match predictions with truths of one class in one picture.

    Args:
        similarity: `(n, g)` of n predictions, best score first, with g truths, 0..1: IoU of boxes,
            OKS of key points.
        unjudged: `(s, g)` bool by range of size; crowds are unjudged in all.
        crowd: `(g,)` bool, truths that any number of predictions may take.
        outside: `(s, n)` bool, predictions that do not count where they take nothing, being of a
            size outside the range.
        thresholds: `(t,)` least similarity.
    """
    count, truths = similarity.shape
    sizes, steps = len(unjudged), len(thresholds)
    right = np.zeros((sizes, steps, count), bool)
    ignored = np.zeros((sizes, steps, count), bool)
    if truths:
        least = np.minimum(thresholds, 1 - 1e-10)[:, None]
        free = np.ones((sizes, steps, truths), bool)
        # A judged truth wins over every unjudged one, whatever they resemble.
        bonus = np.where(unjudged, 0.0, 2.0)[:, None, :]
        grid = (np.arange(sizes)[:, None], np.arange(steps)[None])
        for row in np.flatnonzero(similarity.max(axis=1) >= least[:, 0].min()):
            alike = similarity[row]
            worth = np.where(free & (alike >= least), alike + bonus, -1.0)
            # Of equals the last one is taken, as the reference does.
            best = truths - 1 - worth[:, :, ::-1].argmax(axis=2)
            taken = np.take_along_axis(worth, best[:, :, None], axis=2)[:, :, 0] >= 0
            right[:, :, row] = taken
            ignored[:, :, row] = taken & unjudged[grid[0], best]
            free[grid[0], grid[1], best] &= ~taken | crowd[best]
    ignored |= ~right & outside[:, None, :]
    return Outcome(right, ignored)
