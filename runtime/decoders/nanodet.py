"""NanoDet, NanoDet-Plus and PicoDet's raw heads: distances to the four sides as distributions.

A side's distance is the mean of a distribution over whole strides: softmax of its bins times 0,
1, 2 and so on. Source: Li et al., Generalized Focal Loss, 2020. NanoDet and PicoDet measure from
the cell's centre, NanoDet-Plus from its corner. Class scores have passed the sigmoid.
"""

from functools import partial
from typing import Dict, List, Optional, Tuple

import numpy as np

from .base import (
    Bound,
    Family,
    Request,
    Rows,
    Signature,
    grid,
    likely_scores,
    need,
    one_output,
    pick,
    sides_to_corners,
)

_BINS = (8, 11, 17, 16)
"""Bins of a side's distribution in published models, the usual first."""


def integral(distributions: np.ndarray) -> np.ndarray:
    """Means of `(k, 4 * bins)` distributions given as logits, `(k, 4)` in strides."""
    bins = distributions.reshape(len(distributions), 4, distributions.shape[1] // 4)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    means = weights @ np.arange(bins.shape[2], dtype=np.float32)
    return means / weights.sum(axis=2)


def _bind_table(signature: Signature, strides: Tuple[int, ...], shift: float) -> Bound:
    output = one_output(signature, 3)
    _, anchors, columns = output.shape
    need(
        signature.cells(strides) == anchors,
        f"{anchors} anchors are not one for each cell of strides {strides}",
    )
    need(columns and columns > 4 * _BINS[0], f"{columns} columns leave none for classes")
    assert columns is not None
    # The shape does not tell classes from bins: the names do, or the usual number of bins.
    classes = signature.named or columns - 4 * _BINS[0]
    need(
        (columns - classes) % 4 == 0 and columns - classes >= 8,
        f"{columns} columns do not hold {classes} named classes and four distributions",
    )
    name = output.name

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        table = outputs[name][0]
        rows, scores, ids = pick(table[:, :classes], request)
        points, steps = grid(request.size, strides, shift)
        sides = integral(table[rows, classes:]) * steps[rows]
        return Rows(sides_to_corners(points[rows], sides), scores, ids)

    def plausible(outputs: Dict[str, np.ndarray]) -> bool:
        table = outputs[name][0]
        return likely_scores(table[:, :classes]) and not likely_scores(table[:, classes:])

    return Bound(decode, classes, plausible)


def _like_bins(columns: Optional[int]) -> bool:
    """Whether an output of so many columns is likely to hold distributions, not classes."""
    return columns in [4 * bins for bins in _BINS]


def _bind_levels(signature: Signature, strides: Tuple[int, ...]) -> Bound:
    need(
        len(signature.outputs) == 2 * len(strides),
        f"there are not two outputs for each of {len(strides)} strides",
    )
    pairs: List[Tuple[str, str]] = []
    widths = set()
    for stride in strides:
        anchors = signature.cells((stride,))
        level = [o for o in signature.outputs if len(o.shape) == 3 and o.shape[1] == anchors]
        need(len(level) == 2, f"stride {stride} does not have two outputs of {anchors} anchors")
        scores, sides = level  # the usual order, which decides where the widths do not
        if _like_bins(scores.shape[2]) and not _like_bins(sides.shape[2]):
            scores, sides = sides, scores
        need(sides.shape[2] and sides.shape[2] % 4 == 0, f"{sides.name} does not hold four sides")
        pairs.append((scores.name, sides.name))
        widths.add((scores.shape[2], sides.shape[2]))
    need(len(widths) == 1, "the strides do not agree on the number of classes")
    classes, bins = widths.pop()
    need(classes and bins and bins >= 8, "there are no classes or no distributions")

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        parts = []
        for (scores_name, sides_name), stride in zip(pairs, strides):
            rows, scores, ids = pick(outputs[scores_name][0], request)
            if rows.size:
                points, _ = grid(request.size, (stride,), 0.5)
                sides = integral(outputs[sides_name][0, rows]) * np.float32(stride)
                parts.append((sides_to_corners(points[rows], sides), scores, ids))
        return join(parts)

    def plausible(outputs: Dict[str, np.ndarray]) -> bool:
        return all(likely_scores(outputs[scores]) for scores, _ in pairs)

    return Bound(decode, classes, plausible)


def join(parts) -> Rows:
    """Rows of several levels as one."""
    if not parts:
        return Rows(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    if len(parts) == 1:
        return Rows(*parts[0])
    return Rows(*(np.concatenate(columns) for columns in zip(*parts)))


_INPUT = {
    "colour": "bgr",
    "scale": 1.0,
    "mean": (103.53, 116.28, 123.675),
    "std": (57.375, 57.12, 58.395),
    "resize": "centre",
    "pad": 0,
}
_PLUS_INPUT = {**_INPUT, "resize": "stretch"}
_PADDLE_INPUT = {
    "colour": "rgb",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "resize": "stretch",
}

NANODET = Family(
    name="nanodet",
    layout="for each of strides 8, 16, 32 a [N, A, classes] of scores and a [N, A, 4 * bins] of "
    "distances",
    bind=partial(_bind_levels, strides=(8, 16, 32)),
    input=_INPUT,
)
NANODET_TABLE = Family(
    name="nanodet-table",
    layout="one [N, A, classes + 32] of scores and distances from cell centres of strides 8, 16, "
    "32",
    bind=partial(_bind_table, strides=(8, 16, 32), shift=0.5),
    input=_INPUT,
)
NANODET_PLUS = Family(
    name="nanodet-plus",
    layout="one [N, A, classes + 32] of scores and distances from cell corners of strides 8, 16, "
    "32, 64",
    bind=partial(_bind_table, strides=(8, 16, 32, 64), shift=0.0),
    input=_PLUS_INPUT,
)
PICODET_RAW = Family(
    name="picodet-raw",
    layout="for each of strides 8, 16, 32, 64 a [N, A, classes] of scores and a [N, A, 4 * bins] "
    "of distances",
    bind=partial(_bind_levels, strides=(8, 16, 32, 64)),
    input=_PADDLE_INPUT,
)
