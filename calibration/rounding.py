"""Weights rounded so that the outputs keep, rather than each weight for itself.

Rounding to the nearest level makes an error in each weight that has nothing to do with the others.
What counts is the error of the output, the weights' errors times what is read; where inputs go
together, one weight's error can be made up for by the next. Frantar et al., "GPTQ", 2022.
"""

from typing import Optional, Tuple

import numpy as np

from .moments import Moments
from .quantise import LEVELS

DAMPING = 0.1
"""Part of the mean square of the inputs that is added to each, against inputs that never occur."""
SHRINKS = (1.0, 0.97, 0.94, 0.9, 0.85)
"""Scales that are tried, beside the one that just holds the largest weight."""


def fit(
    weight: np.ndarray, bias: Optional[np.ndarray], moments: Moments
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels and scales of a convolution's weights, and a bias, that keep its outputs.

    Args:
        weight: `(o, c, h, w)` float32.
        bias: `(o,)` float32 or None.
        moments: Of what the convolution reads.

    Returns:
        Levels `(o, c, h, w)` int8, scales `(o,)` float32, bias `(o,)` float32.
    """
    groups, width = moments.q.shape
    rows = weight.reshape(groups, -1, width).astype(np.float64)
    levels = np.empty_like(rows)
    scales = np.empty(rows.shape[:2])
    shift = np.empty(rows.shape[:2])
    for index in range(groups):
        own = rows[index]
        count = max(moments.count, 1)
        mean_x, mean_q = moments.x[index] / count, moments.q[index] / count
        # The bias takes what is constant, so errors are measured about the means.
        second = moments.qq[index] / count - np.outer(mean_q, mean_q)
        cross = moments.xq[index] / count - np.outer(mean_x, mean_q)
        levels[index], scales[index] = _fit_rows(own, second, cross)
        restored = levels[index] * scales[index][:, None]
        shift[index] = own @ mean_x - restored @ mean_q
    start = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    return (
        levels.reshape(weight.shape).astype(np.int8),
        scales.reshape(-1).astype(np.float32),
        (start + shift.reshape(-1)).astype(np.float32),
    )


def _fit_rows(
    rows: np.ndarray, second: np.ndarray, cross: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Levels `(o, k)` and scales `(o,)` of weights `(o, k)` for inputs of these moments."""
    width = rows.shape[1]
    damping = DAMPING * max(float(np.trace(second)) / width, 1e-12)
    damped = second + damping * np.eye(width)
    # Weights that make the most of rounded inputs: least squares, drawn to the float ones.
    wanted = rows @ (cross + damping * np.eye(width)) @ np.linalg.inv(damped)
    order = np.argsort(-np.diag(damped), kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse).T  # upper triangular, upperᵀ upper = inverse
    largest = np.abs(wanted).max(axis=1)
    full = np.where(largest > 0, largest / LEVELS, 1.0)
    best, best_levels, best_scales = np.full(len(rows), np.inf), np.zeros_like(rows), full.copy()
    for shrink in SHRINKS:
        scales = (full * shrink).astype(np.float32).astype(np.float64)
        levels = np.empty_like(rows)
        levels[:, order] = _round_in_turn(wanted[:, order], scales, upper)
        off = levels * scales[:, None] - wanted
        error = np.einsum("ok,kl,ol->o", off, damped, off, optimize=True)
        better = error < best
        best[better], best_levels[better] = error[better], levels[better]
        best_scales[better] = scales[better]
    return best_levels, best_scales


def _round_in_turn(rows: np.ndarray, scales: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Round one input's weights after the other; the rest makes up for each error."""
    left, levels = rows.copy(), np.empty_like(rows)
    for index in range(rows.shape[1]):
        level = np.clip(np.rint(left[:, index] / scales), -LEVELS, LEVELS)
        levels[:, index] = level
        error = (left[:, index] - level * scales) / upper[index, index]
        left[:, index:] -= error[:, None] * upper[index, index:]
    return levels
