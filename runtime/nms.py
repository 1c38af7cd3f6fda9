"""Non-maximum suppression: of boxes of one class that overlap, the best scored stays."""

from typing import List, Optional

import numpy as np

_BLOCK = 64
"""Boxes compared with all weaker ones at a time: the arrays stay in the CPU's cache."""


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    class_id: Optional[np.ndarray] = None,
    iou: float = 0.6,
) -> np.ndarray:
    """Greedy, class-aware non-maximum suppression.

    The boxes are taken from the best score down (the lower index first where scores are equal);
    each one that is kept drops the weaker ones of its class that overlap it by more than `iou`.

    The overlaps of the best block of boxes with all weaker ones are computed at once; within a
    block the greedy order is followed on bit masks, and what the block drops is never looked at
    again. Against `cv2.dnn.NMSBoxesBatched` and a loop over numpy rows:
    `tests/runtime/test_nms.py` holds the results equal, `edgelane.benchmarks.nms` compares times.

    Args:
        boxes: `(n, 4)` float32 left, top, right, bottom; finite.
        scores: `(n,)` float32; finite.
        class_id: `(n,)` integers, or None where all are of one class.
        iou: Overlap (intersection over union) above which a weaker box goes, 0..1.

    Returns:
        `(k,)` int64 indices of the kept boxes, best score first.
    """
    count = len(scores)
    if count == 0:
        return np.zeros(0, np.int64)
    order = np.argsort(-scores, kind="stable")
    if count == 1:
        return order
    # Axis first: (2, n) corners make each of the steps below one call on long rows.
    corners = np.ascontiguousarray(boxes[order].T, dtype=np.float32)
    low, high = corners[:2], corners[2:]
    extent = high - low
    area = extent[0] * extent[1]
    classes = None
    if class_id is not None:
        classes = class_id[order]
        if (classes == classes[0]).all():
            classes = None
    threshold = np.float32(iou)
    kept: List[np.ndarray] = []
    while order.size:
        block = min(_BLOCK, order.size)
        drops = _overlaps(low, high, area, classes, block, threshold)
        stay = _resolve(drops[:, :block])
        kept.append(order[:block][stay])
        if block == order.size:
            break
        alive = ~drops[stay, block:].any(axis=0)
        order = order[block:][alive]
        low, high, area = low[:, block:][:, alive], high[:, block:][:, alive], area[block:][alive]
        if classes is not None:
            classes = classes[block:][alive]
    return kept[0] if len(kept) == 1 else np.concatenate(kept)


def _overlaps(low, high, area, classes, block: int, threshold) -> np.ndarray:
    """`(block, n)` bool: does this box of the block overlap that one by more than the threshold."""
    side = np.minimum(high[:, :block, None], high[:, None, :])
    side -= np.maximum(low[:, :block, None], low[:, None, :])
    np.maximum(side, 0, out=side)
    shared = np.multiply(side[0], side[1], out=side[0])
    union = np.add(area[:block, None], area[None, :], out=side[1])
    union -= shared
    union *= threshold
    drops = shared > union
    if classes is not None:
        drops &= classes[:block, None] == classes[None, :]
    return drops


def _resolve(drops: np.ndarray) -> np.ndarray:
    """Indices that the greedy order keeps, of a square `(b, b)` matrix of overlaps, b <= 64."""
    count = len(drops)
    padded = np.zeros((count, 64), np.bool_)
    padded[:, :count] = drops
    # One 64-bit mask a row, whose lowest bit is the first box.
    masks = np.packbits(padded, axis=1, bitorder="little").view("<u8")[:, 0].tolist()
    gone = 0
    stay = []
    for index, mask in enumerate(masks):
        if not gone >> index & 1:
            stay.append(index)
            gone |= mask
    return np.asarray(stay, np.int64)
