"""Non-maximum suppression: of boxes of one class that overlap, the best scored stays."""

from typing import List, Optional

import numpy as np

_BLOCK = 64
"""Boxes whose overlaps are computed with all others at once."""

_LEAD = 32
"""Best boxes that go first where there are more: of near-duplicates they leave little over."""

_PAIRS = 1_000_000
"""Pairs that are looked at together, which bounds the memory."""


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    class_id: Optional[np.ndarray] = None,
    iou: float = 0.6,
) -> np.ndarray:
    """Greedy, class-aware non-maximum suppression.

    The boxes are taken from the best score down (the lower index first where scores are equal);
    each one that is kept drops the weaker ones of its class that overlap it by more than `iou`.

    Up to 64 boxes: all overlaps at once, and the greedy order followed on bit masks. More: the
    best 32 against all the rest first, which clears most of what a detector repeats; then only
    pairs that overlap along x, found by sorting. `edgelane.benchmarks.nms` compares the time with
    `cv2.dnn.NMSBoxesBatched`.

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
    extent = np.maximum(high - low, 0)
    area = extent[0] * extent[1]
    classes = None
    if class_id is not None and (class_id != class_id[0]).any():
        classes = class_id[order]
    threshold = np.float32(iou)
    kept: List[np.ndarray] = []
    while True:
        count = order.size
        block = count if count <= _BLOCK else _LEAD
        drops = _overlaps(low, high, area, classes, block, threshold)
        stay = _resolve(drops[:, :block])
        kept.append(order[:block][stay])
        if block == count:
            break
        alive = (~drops[stay, block:].any(axis=0)).nonzero()[0]
        order = order[block:][alive]
        low, high, area = low[:, block:][:, alive], high[:, block:][:, alive], area[block:][alive]
        if classes is not None:
            classes = classes[block:][alive]
        if order.size > _BLOCK:
            stay = _sparse(low, high, area, classes, threshold)
            if stay is not None:
                kept.append(order[stay])
                break
        elif not order.size:
            break
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


def _sparse(low, high, area, classes, threshold) -> Optional[np.ndarray]:
    """Indices that the greedy order keeps, from pairs that overlap along x.

    Returns:
        `(k,)` indices in order, or None where there are too many such pairs.
    """
    by_left = np.argsort(low[0], kind="stable")
    left = low[0][by_left]
    # Box i of that order overlaps along x with the boxes after it that begin before it ends.
    counts = np.searchsorted(left, high[0][by_left], "left") - np.arange(1, left.size + 1)
    np.maximum(counts, 0, out=counts)
    ends = np.cumsum(counts)
    total = int(ends[-1])
    if total > _PAIRS:
        return None
    ordinal = np.arange(left.size)
    first = np.repeat(ordinal, counts)
    second = np.arange(total) + np.repeat(ordinal + 1 - (ends - counts), counts)
    # Along y next, which leaves few pairs for the rest.
    top, bottom = low[1][by_left], high[1][by_left]
    near = ((bottom[first] > top[second]) & (bottom[second] > top[first])).nonzero()[0]
    first, second = by_left[first[near]], by_left[second[near]]
    if classes is not None:
        same = (classes[first] == classes[second]).nonzero()[0]
        first, second = first[same], second[same]
    side = np.minimum(high[:, first], high[:, second])
    side -= np.maximum(low[:, first], low[:, second])
    np.maximum(side, 0, out=side)
    shared = side[0] * side[1]
    union = area[first] + area[second]
    union -= shared
    union *= threshold
    drops = (shared > union).nonzero()[0]
    strong = np.minimum(first[drops], second[drops])
    weak = np.maximum(first[drops], second[drops])
    order = np.argsort(strong, kind="stable")
    gone = bytearray(left.size)
    for better, worse in zip(strong[order].tolist(), weak[order].tolist()):
        if not gone[better]:
            gone[worse] = 1
    return (np.frombuffer(gone, np.uint8) == 0).nonzero()[0]
