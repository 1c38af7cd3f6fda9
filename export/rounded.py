"""What a half-precision graph gives on hardware that really rounds.

onnxruntime's CPU computes half-precision nodes in float32 and drops the roundings between them,
so it shows less of the loss than a GPU does. A graph in float32 in which every half tensor that
reaches memory is rounded explicitly shows it.
"""

from typing import Any

import numpy as np

from ..calibration.graph import Graph

_POINTWISE = {"Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh",
              "HardSigmoid", "HardSwish", "Softplus", "Elu", "Erf", "Exp", "Sqrt", "Neg", "Abs",
              "BatchNormalization", "Min", "Max", "Mish", "Gelu"}  # fmt: skip
_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def rounded(model: Any, fused: bool = True) -> Any:
    """A half-precision graph as one in float32 that rounds wherever the first one would.

    Sums inside a node stay in float32, as tensor cores have it.

    Args:
        model: A `ModelProto` with half-precision tensors.
        fused: Leave out the rounding between a layer and the pointwise nodes behind it, which a
            GPU computes in one go; without, every node rounds.

    Returns:
        A model with the same inputs and outputs, whose inner tensors are float32.
    """
    graph = Graph(model)
    proto = graph.onnx.TensorProto
    graph.shape("")  # types as they are before anything moves
    half = {o for n in graph.nodes for o in n.output if o and graph.dtype(o) == proto.FLOAT16}
    if fused:
        half -= {t for t in half if _inside(graph, t)}
    ends = {t for t in (*graph.inputs, *graph.outputs) if graph.dtype(t) == proto.FLOAT16}
    for tensor in graph.initialisers.values():
        if tensor.data_type == proto.FLOAT16:
            value = graph.onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(graph.onnx.numpy_helper.from_array(value, tensor.name))
    for node in list(graph.nodes):
        for attribute in node.attribute:
            if attribute.name == "to" and node.op_type == "Cast" and attribute.i == proto.FLOAT16:
                attribute.i = proto.FLOAT
            elif attribute.HasField("t") and attribute.t.data_type == proto.FLOAT16:
                value = graph.onnx.numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(graph.onnx.numpy_helper.from_array(value))
        for index, name in enumerate(node.output):
            if name in half:
                node.output[index] = graph.fresh(f"{name}_exact")
                down = graph.fresh(f"{name}_down")
                graph.make("Cast", [node.output[index]], [down], f"/round/{down}", to=proto.FLOAT16)
                if name in ends:
                    graph.make("Identity", [down], [name], f"/round/{name}")
                else:
                    graph.make("Cast", [down], [name], f"/round/{name}", to=proto.FLOAT)
    for name in ends:
        reads = name if name in graph.inputs else None
        if any(name in n.input for n in graph.nodes):
            inner = graph.fresh(f"{name}_wide")
            for node in graph.nodes:
                if not node.name.startswith("/round/"):
                    for index, source in enumerate(node.input):
                        if source == name:
                            node.input[index] = inner
            graph.make("Cast", [reads or name], [inner], f"/round/{inner}", to=proto.FLOAT)
    return graph.finish()


def _inside(graph: Graph, tensor: str) -> bool:
    """Whether a tensor stays inside one kernel: only pointwise nodes read it."""
    maker, readers = graph.producer(tensor), graph.consumers(tensor)
    return (
        maker is not None
        and maker.op_type in _LAYERS | _POINTWISE
        and tensor not in graph.outputs
        and bool(readers)
        and all(n.op_type in _POINTWISE for n in readers)
    )
