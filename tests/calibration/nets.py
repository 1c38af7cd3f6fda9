"""Small nets with real weights, for calibration."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def make(nodes, weights, inputs, outputs, opset=13):
    """A model of nodes, weights by name, and shapes of its inputs and outputs by name."""

    def info(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "net",
        [info(*item) for item in inputs.items()],
        [info(*item) for item in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def small_net(batch=1, size=8, seed=0):
    """Conv, SiLU, depthwise Conv, Relu, a residual Add, a shape read from the data, a constant."""
    random = np.random.default_rng(seed)
    weights = {
        "w1": random.standard_normal((6, 3, 3, 3)).astype(np.float32) * 0.2,
        "b1": random.standard_normal(6).astype(np.float32),
        "w2": random.standard_normal((6, 1, 3, 3)).astype(np.float32) * 0.3,
        "two": np.float32(2.0),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        node("Sigmoid", ["c1"], ["s1"], name="sig1"),
        node("Mul", ["c1", "s1"], ["m1"], name="silu1"),
        node("Conv", ["m1", "w2"], ["c2"], name="conv2", pads=[1, 1, 1, 1], group=6),
        node("Relu", ["c2"], ["r2"], name="relu2"),
        node("Add", ["m1", "r2"], ["a"], name="add"),
        node("Identity", ["two"], ["folded"], name="constant"),
        node("Mul", ["a", "folded"], ["y"], name="double"),
        node("Shape", ["a"], ["shape"], name="shape"),
        node("ArgMax", ["a"], ["best"], name="best", axis=1),
        node("Cast", ["best"], ["z"], name="cast", to=TensorProto.FLOAT),
    ]
    return make(
        nodes,
        weights,
        {"x": [batch, 3, size, size]},
        {"y": [batch, 6, size, size], "z": [batch, 1, size, size]},
    )


def classifier(path, batch=1, size=32, classes=4, seed=0, card=True, middle=()):
    """Write a classifier of pictures with a card: Conv, SiLU, depthwise Conv, Add, pool, Gemm.

    Args:
        path: The file.
        batch: Pictures a run, or None for any number.
        size: Width and height of the input.
        classes: How many.
        seed: Of the weights.
        card: Whether it carries one.
        middle: Nodes from the tensor "a" to the tensor "b", instead of none.
    """
    from edgelane.core import InputSpec, ModelCard
    from edgelane.core.card import METADATA_KEY

    random = np.random.default_rng(seed)

    def weight(*shape):
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    # Channels as unlike as those of real nets.
    uneven = np.geomspace(0.05, 5, 8).astype(np.float32).reshape(-1, 1, 1, 1)
    weights = {
        "w1": weight(8, 3, 3, 3) * uneven,
        "b1": random.standard_normal(8).astype(np.float32) * 0.1,
        "w2": weight(8, 1, 3, 3),
        "w3": weight(8, 8, 1, 1),
        "w4": weight(classes, 8),
        "b4": np.zeros(classes, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Sigmoid", ["c1"], ["s1"], name="sigmoid1"),
        node("Mul", ["c1", "s1"], ["m1"], name="silu1"),
        node("Conv", ["m1", "w2"], ["c2"], name="depthwise", pads=[1, 1, 1, 1], group=8),
        node("Relu", ["c2"], ["r2"], name="relu2"),
        node("Conv", ["r2", "w3"], ["c3"], name="conv3"),
        node("Add", ["m1", "c3"], ["a"], name="add"),
        *middle,
        node("GlobalAveragePool", ["b" if middle else "a"], ["p"], name="pool"),
        node("Flatten", ["p"], ["f"], name="flatten"),
        node("Gemm", ["f", "w4", "b4"], ["y"], name="head", transB=1),
    ]
    axis = "batch" if batch is None else batch
    model = make(nodes, weights, {"x": [axis, 3, size, size]}, {"y": [axis, classes]})
    if card:
        entry = model.metadata_props.add()
        names = tuple(f"kind {i}" for i in range(classes))
        spec = InputSpec((size, size), resize="stretch")
        made = ModelCard(task="classify", decoder="argmax", input=spec, classes=names)
        entry.key, entry.value = METADATA_KEY, made.to_json()
    onnx.save(model, str(path))
    return path
