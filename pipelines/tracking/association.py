"""Which detection belongs to which track: sparse pairs, their costs, and the best assignment."""

from typing import Tuple, Union

import numpy as np

Pairs = Tuple[np.ndarray, np.ndarray]


def near(
    track: np.ndarray, reach: np.ndarray, found: np.ndarray, kinds: Tuple[np.ndarray, np.ndarray]
) -> Pairs:
    """Pairs of a track and a detection of its class within its reach.

    Args:
        track: `(>=4, n)` rows of centre x, y, width, height in pixels.
        reach: `(n,)` how far the centre may be, in pixels.
        found: `(4, m)` the same of the detections.
        kinds: Class ids `(n,)` of the tracks and `(m,)` of the detections.

    Returns:
        Indices of tracks and of detections, one entry a pair.
    """
    reach = reach[:, None]
    close = np.abs(track[0][:, None] - found[0]) < reach
    close &= np.abs(track[1][:, None] - found[1]) < reach
    rows, columns = close.nonzero()
    same = kinds[0][rows] == kinds[1][columns]
    if not same.all():
        rows, columns = rows[same], columns[same]
    return rows, columns


def overlap(a: np.ndarray, b: np.ndarray, buffer: Union[float, np.ndarray] = 0.0) -> np.ndarray:
    """IoU of boxes `(>=4, k)` with boxes `(4, k)`, pair by pair, both widened by the buffer.

    A buffer of 0.3 widens a box by 0.3 of its width and height on every side (C-BIoU).
    """
    grow = 1 + 2 * buffer
    width_a, height_a, width_b, height_b = a[2] * grow, a[3] * grow, b[2] * grow, b[3] * grow
    # The common part of two intervals is half their sum less the distance of their centres,
    # and never more than the shorter one.
    x = np.minimum((width_a + width_b) / 2 - np.abs(a[0] - b[0]), np.minimum(width_a, width_b))
    y = np.minimum((height_a + height_b) / 2 - np.abs(a[1] - b[1]), np.minimum(height_a, height_b))
    common = np.maximum(x, 0) * np.maximum(y, 0)
    return common / (width_a * height_a + width_b * height_b - common)


def assign(rows: np.ndarray, columns: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The pairs, each row and column at most once, whose gains (all above 0) sum to the most.

    Returns:
        Indices of the chosen pairs.
    """
    if len(rows) < 2:
        return np.arange(len(rows))
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    if alone.all():
        return np.arange(len(rows))
    chosen = alone.nonzero()[0]
    rest = (~alone).nonzero()[0]
    from scipy.optimize import linear_sum_assignment

    known_rows, r = np.unique(rows[rest], return_inverse=True)
    known_columns, c = np.unique(columns[rest], return_inverse=True)
    table = np.zeros((len(known_rows), len(known_columns)))
    table[r, c] = gain[rest]
    which = np.full(table.shape, -1)
    which[r, c] = rest
    picked = which[linear_sum_assignment(table, maximize=True)]
    return np.concatenate([chosen, picked[picked >= 0]])
