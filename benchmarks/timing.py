"""How long a call takes."""

import time
from typing import Any, Callable

import numpy as np


def median_ms(call: Callable[[], Any], seconds: float) -> float:
    """Median milliseconds of a call.

    Args:
        call: What is timed.
        seconds: How long it is repeated; five times at least.
    """
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3
