"""Preprocessing inside the graph: a camera's pixels go straight in."""

from typing import Any, Tuple

import numpy as np

from ..calibration.graph import Graph
from ..core import InputSpec, ModelError
from .feeds import pixel_input


def fold(model: Any, spec: InputSpec, pixels: str = "uint8") -> Tuple[Any, InputSpec]:
    """Put the cast, the order of colours, scale, mean, std and the transposition into the graph.

    The result takes `(n, h, w, 3)` BGR pixels of 0..255 as OpenCV and cameras give them. Resizing
    and padding stay outside. The arithmetic is the runtime's: one multiplication and one addition
    a value, in float32.

    Args:
        model: A `ModelProto` that takes one picture.
        spec: How a picture becomes its input now.
        pixels: Type of the new input, `uint8`, or `float32` for TensorRT before 8.5, which takes
            no uint8.

    Returns:
        The new model, and the input it has.

    Raises:
        ModelError: It takes no picture, or pixels already.
    """
    graph = Graph(model)
    onnx = graph.onnx
    name, layout = _picture(graph)
    shape = graph.shape(name) or (None,) * 4
    kind = graph.dtype(name)
    if kind == onnx.TensorProto.UINT8:
        raise ModelError("the model takes uint8 pixels already, so nothing is left to fold")
    if kind not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        raise ModelError(
            "the picture input has a type that preprocessing is not folded into",
            got=onnx.TensorProto.DataType.Name(kind or 0),
            expected="float32 or float16",
        )
    old = next(i for i in graph.model.graph.input if i.name == name)
    width, height = spec.size
    batch = old.type.tensor_type.shape.dim[0]
    source = onnx.TensorProto.UINT8 if pixels == "uint8" else onnx.TensorProto.FLOAT
    axes = [batch.dim_param or (batch.dim_value if shape[0] else "n"), height, width, 3]
    info = onnx.helper.make_tensor_value_info(name, source, axes)

    inner = graph.fresh(name + "_values")
    graph.rewire_all(name, inner)
    chain = []
    if source != onnx.TensorProto.FLOAT:
        chain.append(("Cast", (), {"to": onnx.TensorProto.FLOAT}))
    if spec.colour == "rgb":
        order = graph.add_constant("colour_order", np.asarray([2, 1, 0], np.int64))
        chain.append(("Gather", (order,), {"axis": 3}))
    std = np.asarray(spec.std, np.float64)
    gain = (spec.scale / std).astype(np.float32)
    bias = (-np.asarray(spec.mean, np.float64) / std).astype(np.float32)
    if (gain != 1).any():
        chain.append(("Mul", (graph.add_constant("pixel_gain", gain),), {}))
    if bias.any():
        chain.append(("Add", (graph.add_constant("pixel_bias", bias),), {}))
    if layout == "nchw":
        chain.append(("Transpose", (), {"perm": [0, 3, 1, 2]}))
    if kind == onnx.TensorProto.FLOAT16:
        chain.append(("Cast", (), {"to": onnx.TensorProto.FLOAT16}))
    if not chain:
        raise ModelError("the model takes pixels as they are, so nothing is left to fold")
    current = name
    for index, (operator, others, attributes) in enumerate(chain):
        output = inner if index == len(chain) - 1 else graph.fresh(f"{name}_{operator.lower()}")
        graph.make(operator, [current, *others], [output], f"/fold/{operator}", **attributes)
        current = output
    old.CopyFrom(info)
    return graph.finish(), pixel_input(spec)


def _picture(graph: Graph) -> Tuple[str, str]:
    found = []
    for name in graph.inputs:
        shape = graph.shape(name) or ()
        if len(shape) == 4 and 3 in (shape[1], shape[3]):
            found.append((name, "nchw" if shape[1] == 3 else "nhwc"))
    if len(found) != 1:
        raise ModelError(
            "the model does not take one colour picture, so no preprocessing is folded in",
            got=", ".join(f"{n} {list(graph.shape(n) or ())}" for n in graph.inputs) or "no inputs",
            expected="one input [N, 3, h, w] or [N, h, w, 3]",
        )
    return found[0]
