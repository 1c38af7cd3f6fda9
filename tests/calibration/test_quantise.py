"""Q/DQ graphs: where the pairs stand, and the numbers in them."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from qnets import Net, run  # noqa: E402

from edgelane.calibration.graph import Graph  # noqa: E402
from edgelane.calibration.lint import lint  # noqa: E402
from edgelane.calibration.patterns import plan  # noqa: E402
from edgelane.calibration.quantise import (  # noqa: E402
    QuantiseSettings,
    int8_share,
    quantise,
    weight_levels,
    weight_scales,
)
from edgelane.core import ModelError  # noqa: E402


def quantised(model, amax=2.0, **settings):
    """The Q/DQ graph with one range for all, checked; and the tensors that have a pair."""
    planned = plan(Graph(model), settings.get("floats", ()), settings.get("residual", True))
    result = quantise(model, dict.fromkeys(planned.reads, amax), QuantiseSettings(**settings))
    onnx.checker.check_model(result, full_check=True)
    return Graph(result), planned


def pairs(graph):
    """Tensor by reader that has a pair between them: {(reader, tensor)}."""
    found = set()
    for node in graph.nodes:
        for name in node.input:
            dq = graph.producer(name)
            if dq is not None and dq.op_type == "DequantizeLinear":
                q = graph.producer(dq.input[0])
                if q is not None:
                    found.add((node.output[0], q.input[0]))
    return found


def scale(graph, tensor):
    return float(graph.constant(graph.producer(f"{tensor}/q").input[1]))


def test_a_convolution_reads_int8_numbers_and_weights_and_writes_float():
    net = Net(x=[1, 3, 8, 8])
    net.conv("x", "a", (4, 3, 3, 3))
    net.node("Relu", ["a"], "r")
    net.conv("r", "y", (2, 4, 1, 1))
    graph, planned = quantised(net.model(y=[1, 2, 8, 8]), amax=2.54)
    assert planned.floats == {"y": "output of the head"}
    assert pairs(graph) == {("a", "x")}
    q = graph.producer("x/q")
    assert graph.constant(q.input[1]).shape == (), "one scale for the tensor"
    assert float(graph.constant(q.input[1])) == pytest.approx(0.02)
    assert graph.constant(q.input[2]) == 0 and graph.constant(q.input[2]).dtype == np.int8
    conv = graph.producer("a")
    assert conv.input[2] == "a_b", "the bias stays float"
    dq = graph.producer(conv.input[1])
    stored = graph.constant(dq.input[0])
    assert stored.dtype == np.int8 and graph.attribute(dq, "axis") == 0
    weight = net.weights["a_w"]
    scales = np.abs(weight).max(axis=(1, 2, 3)) / 127
    assert np.allclose(graph.constant(dq.input[1]), scales, rtol=1e-6)
    assert np.array_equal(stored, np.rint(weight / scales.reshape(-1, 1, 1, 1)))
    assert not graph.constant(dq.input[2]).any() and len(graph.constant(dq.input[2])) == 4
    assert "a_w" not in graph.initialisers, "the float weights are gone"


def test_the_numbers_are_those_of_rounding_by_hand():
    net = Net(x=[1, 2, 3, 3])
    net.conv("x", "a", (3, 2, 1, 1))
    net.conv("a", "y", (1, 3, 1, 1))
    model = net.model(y=[1, 1, 3, 3])
    graph, _ = quantised(model, amax=1.27)
    feeds = net.input()
    x = np.clip(np.rint(feeds["x"] / np.float32(0.01)), -128, 127) * 0.01
    w, b = net.weights["a_w"], net.weights["a_b"]
    scales = weight_scales(w, 0)
    rounded = weight_levels(w, scales, 0) * scales.reshape(-1, 1, 1, 1)
    a = np.einsum("oc,nchw->nohw", rounded[..., 0, 0], x) + b.reshape(1, -1, 1, 1)
    y = np.einsum("oc,nchw->nohw", net.weights["y_w"][..., 0, 0], a)
    y += net.weights["y_b"].reshape(1, -1, 1, 1)
    assert np.allclose(run(graph.finish(), feeds)[0], y, atol=1e-5)


def test_silu_and_hardswish_are_not_split():
    net = Net(x=[1, 3, 8, 8])
    net.conv("x", "a", (4, 3, 3, 3))
    net.silu("a", "s")
    net.conv("s", "b", (4, 4, 1, 1))
    net.node("HardSwish", ["b"], "h")
    net.conv("h", "c", (4, 4, 1, 1))
    net.conv("c", "y", (1, 4, 1, 1))
    graph, _ = quantised(net.model(opset=14, y=[1, 1, 8, 8]))
    assert pairs(graph) == {("a", "x"), ("b", "s"), ("c", "h")}


def test_a_residual_add_reads_only_its_skip_in_int8():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 1, 1))
    net.silu("a", "s")
    net.conv("s", "b", (4, 4, 3, 3))
    net.silu("b", "t")
    net.node("Add", ["t", "s"], "sum")
    net.conv("sum", "c", (4, 4, 1, 1))
    net.conv("c", "y", (1, 4, 1, 1))
    model = net.model(y=[1, 1, 8, 8])
    graph, _ = quantised(model)
    assert pairs(graph) == {("a", "x"), ("b", "s"), ("sum", "s"), ("c", "sum")}
    assert graph.producer("sum").input[0] == "t", "the convolution's branch stays float"
    assert sum(n.op_type == "QuantizeLinear" for n in graph.nodes) == 3, "one pair a tensor"
    graph, _ = quantised(model, residual=False)
    assert ("sum", "s") not in pairs(graph)


def test_adding_a_tensor_to_itself_is_no_residual():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 1, 1))
    net.node("Add", ["a", "a"], "sum")
    net.conv("sum", "b", (4, 4, 1, 1))
    net.conv("b", "y", (1, 4, 1, 1))
    graph, _ = quantised(net.model(y=[1, 1, 8, 8]))
    assert pairs(graph) == {("a", "x"), ("b", "sum")}


def concat_net():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 1, 1))
    net.node("Relu", ["a"], "r")
    net.node("MaxPool", ["r"], "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    net.conv("r", "b", (4, 4, 1, 1))
    net.node("Concat", ["p", "b"], "cat", axis=1)
    net.conv("cat", "c", (4, 8, 1, 1))
    net.conv("c", "y", (1, 4, 1, 1))
    return net


def test_concat_and_pool_have_one_scale_for_what_they_read_and_write():
    model = concat_net().model(y=[1, 1, 8, 8])
    planned = plan(Graph(model))
    assert planned.members() == {"x": ["x"], "r": ["r", "p", "b", "cat"]}
    ranges = {"x": 1.0, "r": 2.0, "p": 3.0, "b": 5.0, "cat": 4.0}
    graph = Graph(quantise(model, ranges))
    for tensor in ("r", "p", "b", "cat"):
        assert scale(graph, tensor) == pytest.approx(5 / 127), "the largest of the group"
    assert ("p", "r") in pairs(graph) and ("cat", "p") in pairs(graph)
    assert ("cat", "b") in pairs(graph) and ("c", "cat") in pairs(graph)
    assert len({graph.producer(f"{t}/q").input[1] for t in ("r", "p", "b", "cat")}) == 1


def test_a_channel_shuffle_carries_the_scale_along():
    net = Net(x=[1, 4, 4, 4])
    net.conv("x", "a", (4, 4, 1, 1))
    net.conv("x", "b", (4, 4, 1, 1))
    net.node("Concat", ["a", "b"], "cat", axis=1)
    net.node("Reshape", ["cat", net.constant("five", np.int64([1, 2, 4, 4, 4]))], "r5")
    net.node("Transpose", ["r5"], "t5", perm=[0, 2, 1, 3, 4])
    net.node("Reshape", ["t5", net.constant("four", np.int64([1, 8, 4, 4]))], "mixed")
    net.node(
        "Split", ["mixed", net.constant("halves", np.int64([4, 4]))], ("left", "right"), axis=1
    )
    net.conv("right", "c", (4, 4, 1, 1))
    net.node("Concat", ["left", "c"], "again", axis=1)
    net.conv("again", "d", (4, 8, 1, 1))
    net.conv("d", "y", (1, 4, 1, 1))
    planned = plan(Graph(net.model(y=[1, 1, 4, 4])))
    assert planned.members()["a"] == ["a", "b", "left", "right", "c", "again"]


def test_depthwise_and_transposed_convolutions_have_a_scale_per_output_channel():
    net = Net(x=[1, 4, 6, 6])
    net.conv("x", "a", (4, 1, 3, 3), groups=4)
    net.conv("a", "b", (4, 3, 2, 2), kind="ConvTranspose", strides=[2, 2])
    net.conv("b", "y", (1, 3, 1, 1))
    graph, planned = quantised(net.model(y=[1, 1, 12, 12]))
    assert planned.nodes["a"].depthwise and not planned.nodes["b"].depthwise
    for output, axis, channels in (("a", 0, 4), ("b", 1, 3)):
        dq = graph.producer(graph.producer(output).input[1])
        assert graph.attribute(dq, "axis") == axis
        assert len(graph.constant(dq.input[1])) == channels
        weight = net.weights[f"{output}_w"]
        other = tuple(i for i in range(4) if i != axis)
        assert np.allclose(graph.constant(dq.input[1]), np.abs(weight).max(axis=other) / 127)


@pytest.mark.parametrize("turned", [0, 1])
def test_gemm_and_matmul_have_a_scale_per_output(turned):
    net = Net(x=[2, 5])
    weight = net.random.normal(0, 1, (3, 5) if turned else (5, 3)).astype(np.float32)
    net.node("Gemm", ["x", net.constant("w", weight), net.constant("b", np.zeros(3, np.float32))],
             "g", transB=turned)  # fmt: skip
    net.node("MatMul", ["g", net.constant("m", net.random.normal(0, 1, (3, 4)).astype("f4"))], "h")
    net.node("MatMul", ["h", net.constant("o", net.random.normal(0, 1, (4, 2)).astype("f4"))], "y")
    graph, planned = quantised(net.model(y=[2, 2]))
    assert set(planned.nodes) == {"g", "h"}
    dq = graph.producer(graph.producer("g").input[1])
    assert graph.attribute(dq, "axis") == (0 if turned else 1)
    assert np.allclose(graph.constant(dq.input[1]), np.abs(weight).max(axis=turned) / 127)
    dq = graph.producer(graph.producer("h").input[1])
    assert graph.attribute(dq, "axis") == 1 and len(graph.constant(dq.input[1])) == 4


def test_a_tensor_that_is_shared_has_one_pair_and_float_readers_read_it_as_it_is():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 1, 1))
    net.conv("a", "b", (4, 4, 1, 1))
    net.conv("a", "c", (4, 4, 1, 1))
    net.node("Sigmoid", ["a"], "gate")
    net.node("Mul", ["b", "gate"], "bg")
    net.node("Mul", ["bg", "c"], "m")
    net.conv("m", "y", (1, 4, 1, 1))
    net.node("Identity", ["a"], "seen")
    graph, _ = quantised(net.model(y=[1, 1, 8, 8], seen=[1, 4, 8, 8]))
    assert [n.op_type for n in graph.consumers("a")].count("QuantizeLinear") == 1
    assert graph.producer("gate").input[0] == "a", "a Sigmoid is not quantised"
    assert graph.producer("seen").input[0] == "a", "nor is an output"


def test_weights_that_two_convolutions_share_are_stored_once():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 1, 1))
    net.node("Conv", ["a", "a_w"], "b")
    net.conv("b", "y", (1, 4, 1, 1))
    graph, _ = quantised(net.model(y=[1, 1, 8, 8]))
    assert graph.producer("a").input[1] == graph.producer("b").input[1]
    assert sum(t.data_type == onnx.TensorProto.INT8 for t in graph.initialisers.values()) == 3


def test_a_channel_without_weights_has_a_scale_that_can_be_divided_by():
    net = Net(x=[1, 3, 4, 4])
    net.conv("x", "a", (2, 3, 1, 1))
    net.weights["a_w"][1] = 0
    net.conv("a", "y", (1, 2, 1, 1))
    graph, _ = quantised(net.model(y=[1, 1, 4, 4]), amax=0.0)
    dq = graph.producer(graph.producer("a").input[1])
    assert graph.constant(dq.input[1])[1] == 1 and not graph.constant(dq.input[0])[1].any()
    assert scale(graph, "x") > 0
    assert np.isfinite(run(graph.finish(), net.input())[0]).all()


def test_distributions_one_pixel_and_what_is_named_stay_float():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 3, 3))
    net.node("GlobalAveragePool", ["a"], "g")
    net.conv("g", "se", (4, 4, 1, 1))
    net.node("Sigmoid", ["se"], "gate")
    net.node("Mul", ["a", "gate"], "m")
    net.conv("m", "b", (8, 4, 1, 1))
    net.conv("b", "head", (8, 8, 1, 1))
    net.node("Reshape", ["head", net.constant("rows", np.int64([-1, 8]))], "r")
    net.node("Softmax", ["r"], "soft")
    net.node("MatMul", ["soft", net.constant("bins", np.arange(8, dtype="f4")[:, None])], "y")
    model = net.model(y=[64, 1])
    _, planned = quantised(model, floats=("b",))
    assert planned.floats == {
        "se": "one pixel",
        "b": "asked for",
        "head": "output of the head",
        "y": "reads a distribution",
    }
    assert set(plan(Graph(model), ("b_n",)).nodes) == {"a"}, "a node's own name does as well"


def test_the_share_of_multiply_adds_in_int8():
    net = Net(x=[1, 3, 8, 8])
    net.conv("x", "a", (4, 3, 3, 3))  # 4·3·9·64
    net.conv("a", "y", (2, 4, 1, 1))  # 2·4·64
    model = net.model(y=[1, 2, 8, 8])
    graph, _ = quantised(model)
    assert int8_share(graph.finish()) == pytest.approx(108 / 116)
    assert int8_share(model) == 0


def test_a_missing_range_and_old_operators_are_told():
    model = concat_net().model(y=[1, 1, 8, 8])
    with pytest.raises(ModelError, match="'r'"):
        quantise(model, {"x": 1.0})
    with pytest.raises(ModelError, match="version 13"):
        quantise(concat_net().model(opset=11, y=[1, 1, 8, 8]), {})


def test_the_same_graph_gives_the_same_bytes_and_the_linter_finds_nothing():
    model = concat_net().model(y=[1, 1, 8, 8])
    ranges = dict.fromkeys(plan(Graph(model)).reads, 1.0)
    one, two = (quantise(model, ranges).SerializeToString(deterministic=True) for _ in range(2))
    assert one == two
    assert not list(lint(quantise(model, ranges)))
