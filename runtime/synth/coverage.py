"""How much of each pixel a polygon covers, exactly.

OpenCV's polygons come out half a pixel larger all around, which a gauge would measure.
"""

from typing import Tuple

import numpy as np


def coverage(points: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """The share of every pixel within a polygon that does not cross itself.

    The area between an edge and the right border is added up along each row, after FreeType's
    smooth rasteriser.

    Args:
        points: `(n, 2)` pixels, whole numbers being the middles of pixels; all within the picture.
        shape: `(height, width)`.

    Returns:
        `(height, width)` float32 in 0..1.
    """
    start = np.asarray(points, np.float64) + 0.5
    along = np.roll(start, -1, axis=0) - start
    edges = [np.arange(len(start)), np.arange(len(start))]
    places = [np.zeros(len(start)), np.ones(len(start))]
    for axis in (0, 1):  # where each edge passes from one pixel to the next
        low = np.minimum(start[:, axis], start[:, axis] + along[:, axis])
        high = np.maximum(start[:, axis], start[:, axis] + along[:, axis])
        first = np.ceil(low).astype(int)
        count = np.maximum(np.floor(high).astype(int) - first + 1, 0)
        edge = np.repeat(np.arange(len(start)), count)
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        run = along[edge, axis]
        moving = run != 0
        edge, step, run = edge[moving], step[moving], run[moving]
        edges.append(edge)
        places.append((first[edge] + step - start[edge, axis]) / run)
    edge, place = np.concatenate(edges), np.clip(np.concatenate(places), 0, 1)
    order = np.lexsort((place, edge))
    edge, place = edge[order], place[order]
    same = edge[1:] == edge[:-1]
    edge, begin, end = edge[:-1][same], place[:-1][same], place[1:][same]
    middle = start[edge] + (0.5 * (begin + end))[:, None] * along[edge]
    rise = (end - begin) * along[edge, 1]
    height, width = shape
    column = np.clip(np.floor(middle[:, 0]).astype(int), 0, width - 1)
    row = np.clip(np.floor(middle[:, 1]).astype(int), 0, height - 1)
    right = np.clip(middle[:, 0] - column, 0, 1)
    sums = np.zeros((height, width + 1))
    np.add.at(sums, (row, column), rise * (1 - right))
    np.add.at(sums, (row, column + 1), rise * right)
    shares = np.clip(np.abs(np.cumsum(sums[:, :width], axis=1)), 0, 1)
    return np.where(shares < 1e-6, 0, shares).astype(np.float32)  # what rounding leaves
