"""Where a box comes to lie in the input of a net that looks at one person at a time.

Two grids of numbers meet here. Boxes are measured between edges: the first pixel reaches from 0 to
1. Pixels and cells of a heatmap are counted: the centre of the first is 0. With `s` picture pixels
an input pixel and `left` the crop's left edge, the input pixel `i` has its centre at the edge
coordinate `left + (i + 0.5) s`, which is the pixel coordinate `left + (i + 0.5) s - 0.5`. Cutting
and finding back use that one formula, so they are each other's inverse and nothing is half a pixel
off at any size of the box.
"""

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from ...core import DataError

PADDING = 1.25
"""How much larger than the box a crop is, as the nets are trained with."""


@dataclass(frozen=True)
class Crops:
    """Where crops lie in a picture, axis by axis: `picture = input * scale + offset`, both in
    pixel coordinates.

    Attributes:
        scale: `(n, 2)` float64, picture pixels an input pixel along x and y.
        offset: `(n, 2)` float64, where the centre of the input's first pixel lies in the picture.
        size: `(width, height)` of the input.
    """

    scale: np.ndarray
    offset: np.ndarray
    size: Tuple[int, int]

    def __len__(self) -> int:
        return len(self.scale)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """`(n, k, 2)` pixel coordinates of the inputs as pixel coordinates of the picture."""
        return points * self.scale[:, None] + self.offset[:, None]

    def to_input(self, points: np.ndarray) -> np.ndarray:
        """`(n, k, 2)` pixel coordinates of the picture as pixel coordinates of the inputs."""
        return (points - self.offset[:, None]) / self.scale[:, None]

    def matrix(self, row: int) -> np.ndarray:
        """`(2, 3)` float64 from a crop's pixel to the picture's, as `cv2.warpAffine` with
        `WARP_INVERSE_MAP` takes it."""
        (sx, sy), (x, y) = self.scale[row], self.offset[row]
        return np.array([[sx, 0.0, x], [0.0, sy, y]])

    def boxes(self) -> np.ndarray:
        """`(n, 4)` float64 edges of the crops in the picture."""
        low = self.offset + 0.5 - 0.5 * self.scale
        return np.concatenate((low, low + self.scale * self.size), axis=1)


def place_crops(
    boxes: np.ndarray, size: Tuple[int, int], padding: float = PADDING, keep_ratio: bool = True
) -> Crops:
    """Crops around boxes: each box widened to the input's ratio of sides, then padded.

    Args:
        boxes: `(n, 4)` left, top, right, bottom between edges, in pixels of the picture. They may
            reach beyond it.
        size: `(width, height)` of the input.
        padding: Factor on both sides.
        keep_ratio: False stretches the box instead of widening it.

    Raises:
        DataError: A box that is not finite or has no area.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError("crops are cut around boxes", got=boxes.shape, expected="(n, 4)")
    extent = boxes[:, 2:] - boxes[:, :2]
    bad = _unsound(boxes, extent)
    if bad is not None:
        raise DataError(
            f"box {bad} is not finite or has no area",
            got=boxes[bad].tolist(),
            expected="left < right and top < bottom, in pixels",
        )
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    wide, high = size
    if keep_ratio:
        height = np.maximum(extent[:, 1], extent[:, 0] * high / wide)
        extent = np.stack((height * wide / high, height), axis=1)
    extent = extent * padding
    scale = extent / size
    return Crops(scale, centre - 0.5 * extent + 0.5 * scale - 0.5, (int(wide), int(high)))


def _unsound(boxes: np.ndarray, extent: np.ndarray) -> Optional[int]:
    with np.errstate(invalid="ignore"):
        good = (extent > 0).all(axis=1) & (np.abs(boxes) < 1e7).all(axis=1)
    return None if good.all() else int(np.flatnonzero(~good)[0])
