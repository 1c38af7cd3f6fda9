"""Quantisation for the CPU: a Q/DQ graph that onnxruntime fuses into integer kernels throughout.

A GPU wants signed numbers with zero point 0 on what convolutions read; onnxruntime's kernels for
the CPU want unsigned numbers with any zero point on what every operator reads and writes. Such a
graph is no good for TensorRT.
"""

import time
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core import ModelError
from .graph import Graph
from .patterns import MOVES, Weighted, plan
from .quantise import Fitted, add_scalar, weight_levels, weight_scales
from .sessions import Session

FUSED = frozenset(
    (
        "Conv", "Gemm", "MatMul", "Relu", "LeakyRelu", "Clip", "Sigmoid", "Mul", "Add", "Concat",
        "MaxPool", "AveragePool", "GlobalAveragePool", "Resize",
    )
)  # fmt: skip
"""Operators that onnxruntime has integer kernels for."""

JOINED = frozenset(("Relu", "Clip"))
"""Activations that take part in the convolution before them."""

SAME = MOVES | {"MaxPool"}
"""Operators whose output has the scale of what they read."""


class Speed(NamedTuple):
    """How long a float and a quantised graph take on this machine.

    Attributes:
        float_ms: Milliseconds of processor time a run, one thread.
        int8_ms: The same for the quantised graph.
        ratio: How many times as fast the quantised graph is; below 1 it is slower.
    """

    float_ms: float
    int8_ms: float
    ratio: float


def quantise_cpu(
    model: Any,
    limits: Mapping[str, Tuple[float, float]],
    floats: Sequence[str] = (),
    fitted: Optional[Mapping[str, Fitted]] = None,
) -> Any:
    """Write Q/DQ pairs into a float model as onnxruntime's kernels for the CPU want them.

    Numbers are uint8 with any zero point, weights int8 with a scale per output channel, biases
    int32. Every tensor between two operators that have integer kernels gets a pair; a ReLU after a
    convolution takes part in it. The heads stay float, as does what is named.

    Args:
        model: A float32 `ModelProto`, folded.
        limits: Smallest and largest value by tensor name.
        floats: Names of nodes, or of their first outputs, that stay float.
        fitted: Weights that were rounded already, by the first output of their node.

    Raises:
        ModelError: Operators older than version 13, or a tensor without limits.
    """
    graph = Graph(model)
    if graph.opset < 13:
        raise ModelError("scales per channel need operators of version 13", got=graph.opset)
    planned = plan(graph, floats, residual=False)
    wanted = _between(graph, planned.nodes)
    scales: Dict[str, Tuple[str, str, float]] = {}
    for tensor in wanted:
        maker = graph.producer(tensor)
        if maker is not None and maker.op_type in SAME and maker.input[0] in scales:
            scales[tensor] = scales[maker.input[0]]
            continue
        if tensor not in limits:
            raise ModelError(f"the tensor {tensor!r} has no limits", remedy="calibrate this graph")
        low, high = min(limits[tensor][0], 0.0), max(limits[tensor][1], 0.0)
        step = np.float32((high - low) / 255 or 1.0)
        zero = np.uint8(np.clip(np.rint(-low / step), 0, 255))
        scales[tensor] = (
            add_scalar(graph, f"{tensor}/scale", step),
            add_scalar(graph, f"{tensor}/zero", zero),
            float(step),
        )
    for item in planned.nodes.values():
        if item.data in scales and item.node.op_type != "ConvTranspose":
            _weights(graph, item, scales[item.data][2], (fitted or {}).get(item.node.output[0]))
    for tensor in wanted:
        scale, zero_point, _ = scales[tensor]
        quantised, restored = graph.fresh(f"{tensor}/q"), graph.fresh(f"{tensor}/dq")
        graph.rewire_all(tensor, restored)
        graph.make("QuantizeLinear", [tensor, scale, zero_point], [quantised], f"{quantised}/n")
        graph.make("DequantizeLinear", [quantised, scale, zero_point], [restored], f"{restored}/n")
    return graph.finish()


def _between(graph: Graph, nodes: Mapping[str, Weighted]) -> Dict[str, None]:
    """Tensors that get a pair, in the graph's order."""
    body = set()  # operators before the last quantised layer of their path
    reached = set()
    for node in reversed(graph.nodes):
        if node.output[0] in nodes or any(o in reached for o in node.output):
            body.add(id(node))
            reached.update(node.input)
    found: Dict[str, None] = {}
    for tensor in (*graph.inputs, *(o for n in graph.nodes for o in n.output if o)):
        if tensor in graph.outputs or graph.constant(tensor) is not None:
            continue
        all_readers = graph.consumers(tensor)
        if graph.dtype(tensor) != 1 or not all_readers:
            continue
        maker = graph.producer(tensor)
        readers = [n for n in all_readers if id(n) in body]
        fused = maker is None or maker.op_type in FUSED | SAME | {"HardSwish"}
        made = maker is not None and (
            tensor in nodes or (maker.op_type in JOINED and maker.input[0] in nodes)
        )
        read = fused and any(n.op_type in FUSED | SAME for n in readers)
        if not (made or read or any(n.output[0] in nodes for n in readers)):
            continue
        joined = len(all_readers) == 1 and all_readers[0].op_type in JOINED
        if joined and maker is not None and maker.op_type in ("Conv", "Add"):
            continue
        found[tensor] = None
    return found


def _weights(graph: Graph, item: Weighted, step: float, fitted: Optional[Fitted]) -> None:
    node, weight = item.node, graph.constant(item.weight)
    assert weight is not None
    output = node.output[0]
    if fitted is None:
        scales = weight_scales(weight, item.axis)
        levels = weight_levels(weight, scales, item.axis)
    else:
        levels, scales = fitted.levels, fitted.scales
    restored = graph.fresh(f"{output}/weight")
    reads = [
        graph.add_constant(f"{output}/weight_int8", levels),
        graph.add_constant(f"{output}/weight_scale", scales),
        graph.add_constant(f"{output}/weight_zero", np.zeros(len(scales), np.int8)),
    ]
    graph.make("DequantizeLinear", reads, [restored], f"{restored}/n", axis=item.axis)
    node.input[1] = restored
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if fitted is not None and fitted.bias is not None:
        bias = fitted.bias
    if bias is None or node.op_type != "Conv":
        return
    steps = np.maximum(scales.astype(np.float64) * step, 1e-30).astype(np.float32)
    whole = np.clip(np.rint(bias / steps.astype(np.float64)), -(2**31) + 1, 2**31 - 1).astype(
        np.int32
    )
    name = graph.fresh(f"{output}/bias")
    reads = [
        graph.add_constant(f"{output}/bias_int32", whole),
        graph.add_constant(f"{output}/bias_scale", steps),
        graph.add_constant(f"{output}/bias_zero", np.zeros(len(steps), np.int32)),
    ]
    graph.make("DequantizeLinear", reads, [name], f"{name}/n", axis=0)
    del node.input[2:]
    node.input.append(name)
    graph._changed()


def measure_speed(
    floating: Any, quantised: Any, feed: Mapping[str, np.ndarray], runs: int = 15
) -> Speed:
    """Processor time of both graphs, in turns, the median of the runs."""
    sessions = [Session(m, threads=1) for m in (floating, quantised)]
    times = np.empty((runs, 2))
    for session in sessions:
        session(feed)
    for run in range(runs):
        for index, session in enumerate(sessions):
            start = time.process_time()
            session(feed)
            times[run, index] = time.process_time() - start
    one, two = (float(t) * 1000 for t in np.median(times, axis=0))
    return Speed(round(one, 3), round(two, 3), round(one / max(two, 1e-9), 3))
