"""Graphs brought to another opset compute what they did."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.core import ModelError  # noqa: E402
from edgelane.export.opset import to_opset  # noqa: E402
from edgelane.export.runner import check, running  # noqa: E402

X = np.random.RandomState(0).normal(0, 2, (2, 6, 5)).astype(np.float32)


def single(nodes, opset, outputs=("y",), constants=(), shape=X.shape):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in dict(constants).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=opsets, ir_version=6 if opset < 13 else 10)
    )


def run(model, x=X):
    with running(model, "m") as backend:
        return backend.infer({"x": x})


def node(kind, inputs=("x",), outputs=("y",), **attributes):
    return helper.make_node(kind, list(inputs), list(outputs), name=kind, **attributes)


CASES = {
    "HardSwish": single([node("HardSwish")], 14),
    "Mish": single([node("Mish")], 18),
    "Gelu": single([node("Gelu")], 20),
    "Gelu by tanh": single([node("Gelu", approximate="tanh")], 20),
    "LayerNormalization": single(
        [node("LayerNormalization", ("x", "s", "b"), axis=-2)],
        17,
        constants={
            "s": np.linspace(0.5, 2, 30, dtype=np.float32).reshape(6, 5),
            "b": np.ones((6, 5), np.float32),
        },
    ),
    "ReduceMean by input": single(
        [node("ReduceMean", ("x", "axes"), keepdims=0)], 18, constants={"axes": np.array([1])}
    ),
    "ReduceMax of all": single([node("ReduceMax")], 18),
    "Split by count": single(
        [node("Split", outputs=("y", "z"), axis=2, num_outputs=2)], 18, outputs=("y", "z")
    ),
    "Pad of an axis": single(
        [node("Pad", ("x", "p", "v", "a"))],
        18,
        constants={"p": np.array([1, 2]), "v": np.float32(3), "a": np.array([1])},
    ),
    "Resize of now": single(
        [node("Resize", ("x", "", "s"), mode="nearest", antialias=0)],
        19,
        constants={"s": np.array([1, 1, 2], np.float32)},
    ),
    "part of a Shape": single(
        [
            node("Shape", outputs=("n",), start=1, end=3),
            node("Cast", ("n",), ("f",), to=TensorProto.FLOAT),
            node("ReduceSum", ("f",), ("t",)),
            node("Mul", ("x", "t")),
        ],
        15,
    ),
    "wider types only": single([node("Relu", outputs=("r",)), node("Add", ("r", "x"))], 22),
}


@pytest.mark.parametrize("name", CASES)
def test_downwards_the_numbers_stay(name):
    model = CASES[name]
    lower = to_opset(model, 13)
    check(lower, "lower")
    assert [o.version for o in lower.opset_import] == [13] and lower.ir_version <= 8
    for key, value in run(model).items():
        assert np.allclose(value, run(lower)[key], atol=1e-5), key


def test_upwards_the_numbers_stay():
    model = single(
        [
            node("Squeeze", outputs=("s",), axes=[0]),
            node("Softmax", ("s",), ("p",), axis=0),
            node("Unsqueeze", ("p",), axes=[0]),
        ],
        11,
        shape=(1, 6, 5),
    )
    higher = to_opset(model, 17)
    check(higher, "higher")
    assert np.allclose(run(model, X[:1])["y"], run(higher, X[:1])["y"], atol=1e-6)


def test_an_old_resize_by_sizes_still_loads():
    """Before opset 13 an empty tensor of scales had to stand beside the sizes."""
    model = single(
        [node("Resize", ("x", "roi", "scales", "sizes"))],
        11,
        constants={
            "roi": np.zeros(0, np.float32),
            "scales": np.zeros(0, np.float32),
            "sizes": np.array([2, 6, 10]),
        },
    )
    assert np.array_equal(run(model)["y"], run(to_opset(model, 13))["y"])


@pytest.mark.parametrize(
    "nodes, opset",
    [
        ([node("ReduceMean", ("x", "x2"))], 18),
        ([node("Resize", ("x", "", "s"), antialias=1, mode="linear")], 18),
        ([node("Trilu")], 14),
    ],
)
def test_what_has_no_older_form_is_named(nodes, opset):
    model = single(nodes, opset, constants={"s": np.array([1, 1, 2], np.float32)})
    with pytest.raises(ModelError, match=f"{nodes[0].op_type} at .* cannot be written in opset 13"):
        to_opset(model, 13)
