"""A Q/DQ graph to judge accuracy with: the numbers of INT8, whatever the processor can do."""

from typing import Any, Dict

import numpy as np

from .graph import Graph
from .lint import Pair, View

_LIMITS = {"int8": (-128.0, 127.0), "uint8": (0.0, 255.0)}


def simulated(quantised: Any) -> Any:
    """The same function as a Q/DQ graph's in float operators.

    Activations are divided, rounded to even, clipped and multiplied; weights are the float numbers
    that INT8 holds; products are summed exactly, which is what a GPU does. A runtime for the CPU
    cannot take it for a graph to speed up: onnxruntime fuses Q/DQ into integer kernels, some of
    which saturate sums on processors without VNNI, and rounds float weights beside Q/DQ anew.

    Args:
        quantised: A `ModelProto`; one without Q/DQ is given back as a copy.

    Returns:
        A new `ModelProto`. Its tensors are called as before, but for those between a Q and its DQ.

    Raises:
        ModelError: The graph has control flow.
    """
    Graph(quantised)
    view = View(quantised)
    graph = view.graph
    done: Dict[str, str] = {}
    for node in view.weighted:
        dq, stored = view.weight(node)
        if dq is None or stored is None or view.scale(dq) is None:
            continue
        name = node.input[1]
        if name not in done:
            done[name] = graph.add_constant(f"{name}/float", view.rounded(dq, stored))
        node.input[1] = done[name]
    gone = [pair.dq for pair in view.pairs if _in_float(view, pair)]
    graph.remove(gone)
    return graph.finish()


def _in_float(view: View, pair: Pair) -> bool:
    """Put float operators beside a pair of one scale; False where it is of another kind."""
    graph = view.graph
    scale, limits = view.scale(pair.q), _LIMITS.get(view.element(pair.q) or "")
    zero = view.zero_point(pair.q)
    zero = np.zeros(1) if zero is None else np.asarray(zero, np.float64).reshape(-1)
    if scale is None or scale.size != 1 or zero.size != 1 or limits is None:
        return False
    numbers = (scale.reshape(-1)[0], limits[0] - zero[0], limits[1] - zero[0])
    step, low, high = (
        graph.add_constant(f"{pair.tensor}/{name}", np.asarray(number, np.float32))
        for name, number in zip(("step", "low", "high"), numbers)
    )
    output = pair.dq.output[0]
    names = [graph.fresh(f"{output}/{part}") for part in ("ratio", "level", "clipped")]
    graph.make("Div", [pair.tensor, step], [names[0]])
    graph.make("Round", [names[0]], [names[1]])
    graph.make("Clip", [names[1], low, high], [names[2]])
    graph.make("Mul", [names[2], step], [output])
    return True
