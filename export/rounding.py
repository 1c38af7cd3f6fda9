"""Weights rounded to half precision so that a layer's outputs keep their mean.

Rounding each weight to the nearest half leaves an error that, on inputs whose mean is far from
zero, shifts a whole channel; the rounded bias shifts it again, and later layers take the shift
for signal. Every weight lies between two halves, and a few that go to the farther one take the
shift back. It costs nothing when the model runs.
"""

from typing import Optional, Tuple

import numpy as np


def round_weights(
    weight: np.ndarray, bias: Optional[np.ndarray], mean: np.ndarray, flips: int = 16
) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Half-precision weights and bias of a layer.

    Args:
        weight: `(outputs, k)` float32.
        bias: `(outputs,)` float32 or None.
        mean: `(outputs, k)`, the mean of what each weight is multiplied with.
        flips: How many weights of an output may go to the farther half.

    Returns:
        The same as float16. Weights beyond half precision become infinite, as by `astype`.
    """
    with np.errstate(over="ignore"):
        near = weight.astype(np.float16)
        rounded_bias = None if bias is None else bias.astype(np.float16)
    exact = weight.astype(np.float64)
    away = np.where(near.astype(np.float64) < exact, np.float16(np.inf), np.float16(-np.inf))
    far = np.nextafter(near, away.astype(np.float16))
    usable = np.isfinite(far) & np.isfinite(near) & (near.astype(np.float64) != exact)
    far = np.where(usable, far, near)
    step = (far.astype(np.float64) - near.astype(np.float64)) * mean
    shift = np.nansum((near.astype(np.float64) - exact) * mean, axis=1)
    if bias is not None and rounded_bias is not None:
        shift = shift + (rounded_bias.astype(np.float64) - bias)
    result = near.copy()
    rows = np.arange(len(weight))
    for _ in range(min(flips, weight.shape[1])):
        left = np.abs(shift[:, None] + step)
        best = left.argmin(axis=1)
        better = left[rows, best] < np.abs(shift) * 0.999
        if not better.any():
            break
        chosen, column = rows[better], best[better]
        result[chosen, column] = far[chosen, column]
        shift[chosen] += step[chosen, column]
        step[chosen, column] = 0.0
    return result, rounded_bias
