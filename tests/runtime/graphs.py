"""True ONNX graphs that answer with what a test put into them."""

from pathlib import Path
from typing import Dict, Optional, Sequence

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def save_graph(
    path: Path,
    outputs: Dict[str, np.ndarray],
    size: Sequence[int] = (64, 64),
    *,
    image: Sequence[Optional[int]] = (),
    image_name: str = "images",
    image_type: int = TensorProto.FLOAT,
    side_inputs: Dict[str, int] = (),
    scaled_by: Dict[str, str] = (),
    open_shapes: bool = False,
    metadata: Dict[str, str] = (),
    opset: int = 13,
    ir_version: int = 8,
) -> str:
    """Write a graph whose outputs are constants, one batch of them for each picture.

    Args:
        path: The file.
        outputs: Arrays with a first axis of 1, repeated for each picture of the batch.
        size: `(width, height)` of the picture input.
        image: Its shape, with None or text for open axes; `[1, 3, h, w]` if left out.
        image_name: Its name.
        image_type: Its ONNX type.
        side_inputs: Width of further int64 or float inputs `[N, width]`, by name; int64 where the
            name holds "size".
        scaled_by: Outputs `[1, Q, 4]` that are multiplied by a side input of two values, twice.
        open_shapes: Leave the outputs' axes open.
        metadata: `metadata_props`.
        opset: Version of the operators.
        ir_version: Version of the format.
    """
    shape = list(image) or [1, 3, size[1], size[0]]
    shape = ["batch" if axis is None and i == 0 else axis for i, axis in enumerate(shape)]
    inputs = [helper.make_tensor_value_info(image_name, image_type, shape)]
    for name, width in dict(side_inputs).items():
        kind = TensorProto.INT64 if "size" in name else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(name, kind, [shape[0], width]))
    nodes = [
        helper.make_node("Shape", [image_name], ["shape"]),
        helper.make_node("Slice", ["shape", "from", "to"], ["count"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([0], np.int64), "from"),
        numpy_helper.from_array(np.array([1], np.int64), "to"),
    ]
    results = []
    for name, value in outputs.items():
        rank = value.ndim
        constants.append(numpy_helper.from_array(value, f"{name}_value"))
        ones = f"{name}_ones"
        constants.append(numpy_helper.from_array(np.ones(rank - 1, np.int64), ones))
        nodes.append(helper.make_node("Concat", ["count", ones], [f"{name}_times"], axis=0))
        source = f"{name}_value"
        if name in dict(scaled_by):
            side = dict(scaled_by)[name]
            nodes.append(helper.make_node("Cast", [side], [f"{name}_f"], to=TensorProto.FLOAT))
            nodes.append(
                helper.make_node("Concat", [f"{name}_f", f"{name}_f"], [f"{name}_four"], axis=1)
            )
            constants.append(numpy_helper.from_array(np.array([1], np.int64), f"{name}_axis"))
            nodes.append(
                helper.make_node("Unsqueeze", [f"{name}_four", f"{name}_axis"], [f"{name}_wide"])
            )
            nodes.append(helper.make_node("Tile", [source, f"{name}_times"], [f"{name}_tiled"]))
            nodes.append(helper.make_node("Mul", [f"{name}_tiled", f"{name}_wide"], [name]))
        else:
            nodes.append(helper.make_node("Tile", [source, f"{name}_times"], [name]))
        axes = [shape[0], *value.shape[1:]]
        if open_shapes:
            axes = [f"{name}_{i}" for i in range(rank)]
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        results.append(helper.make_tensor_value_info(name, kind, axes))
    graph = helper.make_graph(nodes, "test", inputs, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    for key, value in dict(metadata).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return str(path)
