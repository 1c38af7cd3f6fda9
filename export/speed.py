"""How fast two graphs run on this machine's CPU, beside each other."""

import time
from typing import Any, Dict, List, Sequence

import numpy as np

from .runner import Tensors, running

ROUNDS = 7


def cpu_speed(floating: Any, shipped: Any, feeds: Sequence[Tensors]) -> Dict[str, Any]:
    """Milliseconds of a run of the float model and of the shipped one, on the usual threads.

    They take turns, so that what else the machine does meets both.

    Args:
        floating: The float `ModelProto`.
        shipped: The other.
        feeds: Inputs by name, one or more sets.

    Returns:
        `fp32_ms` and `ms`, medians; `ratio`, how many times faster the shipped one is; `backend`.
    """
    times: List[List[float]] = [[], []]
    with running(floating, "the float model") as one, running(shipped, "the model") as two:
        for turn in range(ROUNDS + 1):
            for backend, spent in zip((one, two), times):
                for feed in feeds:
                    began = time.perf_counter()
                    backend.infer(feed)
                    if turn:  # the first is slower: memory is set up
                        spent.append(1000 * (time.perf_counter() - began))
    slow, fast = (float(np.median(t)) for t in times)
    return {
        "backend": "onnxruntime",
        "fp32_ms": round(slow, 3),
        "ms": round(fast, 3),
        "ratio": round(slow / fast, 3),
    }
