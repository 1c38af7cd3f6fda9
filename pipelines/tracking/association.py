"""Which detection belongs to which track: sparse pairs, their costs, and the best assignment."""

from typing import Callable, Tuple, Union

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
    in_row, in_column = np.bincount(rows), np.bincount(columns)
    shared = (in_row[rows] > 1) | (in_column[columns] > 1)
    rest = shared.nonzero()[0]
    if len(rest) == 0:
        return np.arange(len(rows))
    r, height = _renumbered(rows[rest], len(in_row))
    c, width = _renumbered(columns[rest], len(in_column))
    table = np.zeros((height, width))
    table[r, c] = gain[rest]
    which = np.full((height, width), -1)
    which[r, c] = rest
    picked = which[solver()(table, maximize=True)]
    return np.concatenate([(~shared).nonzero()[0], picked[picked >= 0]])


def solver() -> Callable[..., Tuple[np.ndarray, np.ndarray]]:
    """SciPy's assignment; imported when first asked for, which takes a quarter of a second."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


def _renumbered(values: np.ndarray, size: int) -> Tuple[np.ndarray, int]:
    """Values below `size` as 0..k-1 in the same order, and k."""
    used = np.zeros(size, bool)
    used[values] = True
    numbers = used.cumsum()
    return numbers[values] - 1, int(numbers[-1])
