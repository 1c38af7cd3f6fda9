"""Small classifiers that tell colours apart, as true ONNX graphs."""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.core import InputSpec, ModelCard  # noqa: E402
from edgelane.core.card import METADATA_KEY  # noqa: E402

COLOURS = ("red", "green", "blue")


def save_colours(
    path: Path,
    head: str = "gemm",
    end: str = "logits",
    *,
    card: Optional[Dict[str, Any]] = None,
    size: Sequence[int] = (32, 32),
    classes: Sequence[str] = COLOURS,
    batch: Any = "n",
    gain: float = 8.0,
) -> str:
    """Write a classifier whose features are how much redder, greener and bluer a place is.

    Args:
        path: The file.
        head: `gemm`, `gemm-plain`, `matmul`, `conv`, `features` (the features are averaged last),
            `flat` (no average at all) or `hidden` (a layer between).
        end: `logits`, `softmax`, `log-softmax`, `sigmoid`, or `own`, a softmax of other operators.
        card: Fields of its card; None writes none.
        size: `(width, height)` of the input.
        classes: Names on the card.
        batch: Axis of the batch.
        gain: What the features are multiplied with.
    """
    wide, high = size
    kernel = np.full((3, 3, 1, 1), -0.5, np.float32)
    for i in range(3):
        kernel[i, i] = 1.0
    weights = {"k": kernel, "kb": np.zeros(3, np.float32)}
    node = helper.make_node
    # Four pixels a place, so that a map is smaller than the picture.
    nodes = [
        node("AveragePool", ["x"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["small", "k", "kb"], ["c"]),
        node("Relu", ["c"], ["f"]),
    ]
    matrix = (np.eye(3, dtype=np.float32) * gain).astype(np.float32)
    bias = np.array([0.1, 0.0, -0.1], np.float32)
    weights["b"] = bias
    pool = node("GlobalAveragePool", ["f"], ["p"])
    flat = node("Flatten", ["p"], ["flat"])
    if head == "gemm":
        weights["w"] = matrix
        nodes += [pool, flat, node("Gemm", ["flat", "w", "b"], ["y"], transB=1)]
    elif head == "gemm-plain":
        weights["w"] = np.ascontiguousarray(matrix.T)
        nodes += [pool, flat, node("Gemm", ["flat", "w", "b"], ["y"])]
    elif head == "matmul":
        weights["w"] = np.ascontiguousarray(matrix.T)
        nodes += [
            node("ReduceMean", ["f"], ["flat"], axes=[2, 3], keepdims=0),
            node("MatMul", ["flat", "w"], ["z"]),
            node("Add", ["z", "b"], ["y"]),
        ]
    elif head == "conv":
        weights["w"] = matrix.reshape(3, 3, 1, 1)
        nodes += [pool, node("Conv", ["p", "w", "b"], ["z"]), node("Flatten", ["z"], ["y"])]
    elif head == "features":
        weights["w"] = matrix.reshape(3, 3, 1, 1)
        nodes += [
            node("Conv", ["f", "w", "b"], ["g"]),
            node("GlobalAveragePool", ["g"], ["p"]),
            node("Flatten", ["p"], ["y"]),
        ]
    elif head == "flat":
        cells = (wide // 4) * (high // 4)
        weights["w"] = np.repeat(matrix / cells, cells, axis=1).astype(np.float32)
        nodes += [
            node("Flatten", ["f"], ["flat"]),
            node("Gemm", ["flat", "w", "b"], ["y"], transB=1),
        ]
    elif head == "hidden":
        weights["w"] = matrix
        nodes += [
            pool,
            flat,
            node("Relu", ["flat"], ["r"]),
            node("Gemm", ["r", "w", "b"], ["y"], transB=1),
        ]
    else:
        raise ValueError(head)
    ends = {
        "softmax": [node("Softmax", ["y"], ["out"], axis=1)],
        "log-softmax": [node("LogSoftmax", ["y"], ["out"], axis=1)],
        "sigmoid": [node("Sigmoid", ["y"], ["out"])],
        "logits": [node("Identity", ["y"], ["out"])],
        "own": [
            node("Exp", ["y"], ["e"]),
            node("ReduceSum", ["e", "one"], ["s"], keepdims=1),
            node("Div", ["e", "s"], ["out"]),
        ],
    }
    if end == "own":
        weights["one"] = np.array([1], np.int64)
    nodes += ends[end]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "colours",
        [info("x", TensorProto.FLOAT, [batch, 3, high, wide])],
        [info("out", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    if card is not None:
        fields = {"decoder": "none", "classes": tuple(classes), "nms_iou": None, **card}
        spec = InputSpec(tuple(size), **{"resize": "stretch", **fields.pop("input", {})})
        made = ModelCard("classify", input=spec, **fields)
        model.metadata_props.add(key=METADATA_KEY, value=made.to_json())
    onnx.save(model, str(path))
    return str(path)


def picture(colour: str, box: Sequence[int], size: Sequence[int] = (64, 48)) -> np.ndarray:
    """A grey picture with a box of a colour in it, `(h, w, 3)` uint8 BGR."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    left, top, right, bottom = box
    paint = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}[colour]
    image[top:bottom, left:right] = paint
    return image
