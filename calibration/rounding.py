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
BLOCK = 32
"""Weights of a row after which what is left over is passed on to the rest."""


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
    count = max(moments.count, 1)
    mean_x, mean_q = moments.x / count, moments.q / count
    # The bias takes what is constant, so errors are measured about the means.
    second = moments.qq / count - mean_q[:, :, None] * mean_q[:, None, :]
    cross = moments.xq / count - mean_x[:, :, None] * mean_q[:, None, :]
    levels, scales = _fit_rows(rows, second, cross)
    restored = levels * scales[:, :, None]
    shift = np.einsum("gok,gk->go", rows, mean_x) - np.einsum("gok,gk->go", restored, mean_q)
    start = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    return (
        levels.reshape(weight.shape).astype(np.int8),
        scales.reshape(-1).astype(np.float32),
        (start + shift.reshape(-1)).astype(np.float32),
    )


def _fit_rows(
    rows: np.ndarray, second: np.ndarray, cross: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Levels `(g, o, k)` and scales `(g, o)` of weights `(g, o, k)` for inputs of these moments."""
    groups, outputs, width = rows.shape
    mean = np.trace(second, axis1=1, axis2=2) / width
    damping = DAMPING * np.maximum(mean, 1e-12)[:, None, None] * np.eye(width)
    damped = second + damping
    # Weights that make the most of rounded inputs: least squares, drawn to the float ones.
    wanted = rows @ (cross + damping) @ np.linalg.inv(damped)
    order = np.argsort(-np.diagonal(damped, axis1=1, axis2=2), axis=1, kind="stable")
    sorted_rows = np.take_along_axis(damped, order[:, :, None], axis=1)
    inverse = np.linalg.inv(np.take_along_axis(sorted_rows, order[:, None, :], axis=2))
    upper = np.linalg.cholesky(inverse).transpose(0, 2, 1)  # upperᵀ upper = inverse
    largest = np.abs(wanted).max(axis=2)
    full = np.where(largest > 0, largest / LEVELS, 1.0)
    # All scales at once, `(g, tried * o)`.
    scales = np.concatenate([full * shrink for shrink in SHRINKS], axis=1)
    scales = scales.astype(np.float32).astype(np.float64)
    tried = np.tile(np.take_along_axis(wanted, order[:, None, :], axis=2), (1, len(SHRINKS), 1))
    levels = np.empty_like(tried)
    np.put_along_axis(levels, order[:, None, :], _round_in_turn(tried, scales, upper), axis=2)
    off = levels * scales[:, :, None] - np.tile(wanted, (1, len(SHRINKS), 1))
    error = ((off @ damped) * off).sum(axis=2).reshape(groups, len(SHRINKS), outputs)
    best = error.argmin(axis=1)[:, None, :]
    forms = (groups, len(SHRINKS), outputs)
    found = np.take_along_axis(levels.reshape(*forms, width), best[:, :, :, None], axis=1)
    return found[:, 0], np.take_along_axis(scales.reshape(forms), best, axis=1)[:, 0]


def _round_in_turn(rows: np.ndarray, scales: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Round one input's weights after the other; the rest makes up for each error."""
    left, levels = rows.copy(), np.empty_like(rows)
    width = rows.shape[2]
    for start in range(0, width, BLOCK):
        end = min(start + BLOCK, width)
        errors = np.empty((*rows.shape[:2], end - start))
        for index in range(start, end):
            now = left[:, :, index]
            level = np.clip(np.rint(now / scales), -LEVELS, LEVELS)
            levels[:, :, index] = level
            error = (now - level * scales) / upper[:, index, index, None]
            errors[:, :, index - start] = error
            left[:, :, index:end] -= error[:, :, None] * upper[:, None, index, index:end]
        left[:, :, end:] -= errors @ upper[:, start:end, end:]  # the rest of the row at once
    return levels
