"""People made unrecognisable: blocks instead of what is in their boxes."""

from typing import Any, Sequence, Tuple

import numpy as np

from ..sources.base import load_cv2

CELLS = 10
"""So many blocks along the longer side of a box: a head is two of them."""
PICTURE_CELLS = 24
LEAST = 6
"""Pixels of a block at least."""
MARGIN = 0.12
"""Share of a box by which it is widened on each side: boxes cut off hands and hair."""


def pixelate_boxes(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Pixelate parts of a picture.

    Args:
        image: `(h, w, 3)` uint8 BGR, drawn upon.
        boxes: `(n, 4)` left, top, right, bottom in pixels; they may reach beyond the picture.

    Returns:
        The image.
    """
    height, width = image.shape[:2]
    clear = image.copy()  # blocks of blocks would be a smear, in which nobody sees what happens
    for left, top, right, bottom in np.asarray(boxes, np.float64).reshape(-1, 4):
        if not np.isfinite([left, top, right, bottom]).all():
            continue
        wide, high = MARGIN * (right - left), MARGIN * (bottom - top)
        x0, y0 = max(int(np.floor(left - wide)), 0), max(int(np.floor(top - high)), 0)
        x1, y1 = min(int(np.ceil(right + wide)), width), min(int(np.ceil(bottom + high)), height)
        if x1 > x0 and y1 > y0:
            block = max(max(right - left, bottom - top) / CELLS, LEAST)
            _blocks(clear, image, (x0, y0, x1, y1), block)
    return image


def pixelate_picture(image: np.ndarray) -> np.ndarray:
    """Pixelate all of a picture, `(h, w, 3)` uint8 BGR, drawn upon; returns it."""
    height, width = image.shape[:2]
    _blocks(image, image, (0, 0, width, height), max(width / PICTURE_CELLS, LEAST))
    return image


def _blocks(
    clear: np.ndarray, image: np.ndarray, part: Tuple[int, int, int, int], block: float
) -> None:
    cv2: Any = load_cv2()
    x0, y0, x1, y1 = part
    region = clear[y0:y1, x0:x1]
    cells = (max(round((x1 - x0) / block), 1), max(round((y1 - y0) / block), 1))
    small = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
    image[y0:y1, x0:x1] = cv2.resize(small, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)


def people_boxes(step: Any, people: Sequence[int]) -> np.ndarray:
    """Boxes of the people in a step, as the detector found them and the tracker expects them.

    Args:
        step: What a sink is told.
        people: Class ids that are people; of none of them, everything that was found counts.

    Returns:
        `(n, 4)` float32 left, top, right, bottom in pixels.
    """
    found = step.observation.detections
    boxes = found.xyxy
    if people:
        boxes = boxes[np.isin(found.class_id, people)]
    parts = [boxes.reshape(-1, 4)]
    if step.tracks is not None:
        parts.append(np.asarray(step.tracks.xyxy, np.float32).reshape(-1, 4))
    return np.concatenate(parts).astype(np.float32)
