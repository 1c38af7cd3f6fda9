"""The linter finds each fault by its rule and name, and none in what the calibrator writes."""

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.calibration.graph import Graph  # noqa: E402
from edgelane.calibration.lint import lint  # noqa: E402
from edgelane.calibration.quantise import quantise  # noqa: E402
from edgelane.cli.app import run_cli  # noqa: E402
from edgelane.core import ModelError  # noqa: E402


class Ranges(dict):
    """A range for any tensor, each its own."""

    def get(self, name, default=None):
        return 1.0 + sum(name.encode()) % 97 / 10


def float_net(opset=13):
    """Conv-SiLU, residual, MaxPool, Concat, ConvTranspose, Resize and a head of one Conv."""
    rng = np.random.default_rng(0)
    weights, nodes = [], []

    def conv(name, data, out, into, kind="Conv"):
        shape = (out, into, 3, 3) if kind == "Conv" else (into, out, 3, 3)
        for suffix, value in (("w", rng.normal(size=shape)), ("b", rng.normal(size=out))):
            weights.append(numpy_helper.from_array(value.astype(np.float32), f"{name}_{suffix}"))
        nodes.append(
            helper.make_node(
                kind, [data, f"{name}_w", f"{name}_b"], [f"{name}_y"], name, pads=[1] * 4
            )
        )
        return f"{name}_y"

    def silu(name, data):
        nodes.append(helper.make_node("Sigmoid", [data], [f"{name}_s"], f"{name}_sigmoid"))
        nodes.append(helper.make_node("Mul", [data, f"{name}_s"], [f"{name}_a"], f"{name}_mul"))
        return f"{name}_a"

    one = silu("one", conv("one", "x", 4, 3))
    two = silu("two", conv("two", one, 4, 4))
    nodes.append(helper.make_node("Add", [two, one], ["sum"], "add"))
    nodes.append(
        helper.make_node("MaxPool", ["sum"], ["pooled"], "pool", kernel_shape=[3, 3], pads=[1] * 4)
    )
    nodes.append(helper.make_node("Concat", ["sum", "pooled"], ["wide"], "concat", axis=1))
    nodes.append(helper.make_node("Relu", [conv("three", "wide", 6, 8)], ["three_a"], "relu"))
    four = conv("four", "three_a", 5, 6, "ConvTranspose")
    nodes.append(
        helper.make_node("Resize", [four, "", "twice"], ["large"], "resize", mode="nearest")
    )
    weights.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    conv("head", "large", 2, 5)
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", [1, 3, 8, 8]), ("head_y", [1, 2, 16, 16]))
    ]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def net():
    """The net, quantised, to be broken."""
    return Graph(quantise(float_net(), Ranges()))


def pair_before(graph, node_name, index=0):
    """The Q and DQ that an input of a node comes from."""
    node = next(n for n in graph.nodes if n.name == node_name)
    dq = graph.producer(node.input[index])
    return node, graph.producer(dq.input[0]), dq


def own_constant(graph, node, index, value):
    """Give a node an input of its own, as others may share the constant."""
    node.input[index] = graph.add_constant(f"{node.name}_{index}", value)
    graph._changed()


def broken(graph):
    """Findings as (severity, rule, node), from the graph as it stands."""
    del graph.model.graph.node[:]
    graph.model.graph.node.extend(graph.nodes)
    return {(f.severity, f.rule, f.node) for f in lint(graph.model)}


def insert_pair(graph, tensor, readers, scale=0.1):
    s = graph.add_constant("extra_scale", np.float32(scale))
    z = graph.add_constant("extra_zero", np.int8(0))
    graph.make("QuantizeLinear", [tensor, s, z], [f"{tensor}_xq"], "extra_q")
    graph.make("DequantizeLinear", [f"{tensor}_xq", s, z], [f"{tensor}_xd"], "extra_dq")
    for node in graph.nodes:
        if node.name in readers:
            graph.rewire(node, tensor, f"{tensor}_xd")


def test_nothing_is_found_in_what_the_calibrator_writes(net):
    assert broken(net) == set()


def test_a_float_model_is_told_to_be_one():
    (finding,) = lint(float_net())
    assert (finding.severity, finding.rule) == ("info", "float")


def zero_point(net):
    _, q, dq = pair_before(net, "three")
    for node in (q, dq):
        own_constant(net, node, 2, np.int8(3))
    return ("error", "zero-point", q.name)


def unsigned(net):
    _, q, dq = pair_before(net, "three")
    for node in (q, dq):
        own_constant(net, node, 2, np.uint8(0))
    return ("error", "type", q.name)


def no_zero_point(net):
    _, q, dq = pair_before(net, "three")
    for node in (q, dq):
        del node.input[2]
    return ("error", "type", q.name)


def weight_dq(net, name):
    return net.producer(next(n for n in net.nodes if n.name == name).input[1])


def set_axis(node, axis):
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("axis", axis))


def wrong_axis_of_conv(net):
    dq = weight_dq(net, "two")  # 4 channels in and out
    set_axis(dq, 1)
    return ("error", "axis", dq.name)


def wrong_axis_of_conv_transpose(net):
    dq = weight_dq(net, "four")
    set_axis(dq, 0)
    return ("error", "axis", dq.name)


def wrong_number_of_scales(net):
    dq = weight_dq(net, "two")
    own_constant(net, dq, 1, np.full(3, 0.1, np.float32))
    return ("error", "axis", dq.name)


def activation_per_channel(net):
    _, q, dq = pair_before(net, "four")
    scale = net.add_constant("many", np.full(6, 0.1, np.float32))
    for node in (q, dq):
        node.input[1] = scale
    net._changed()
    return ("error", "axis", q.name)


def per_tensor_weights(net):
    dq = weight_dq(net, "two")
    own_constant(net, dq, 1, np.float32(0.1))
    own_constant(net, dq, 2, np.int8(0))
    return ("warning", "per-tensor", dq.name)


def bias_in_int32(net):
    node = next(n for n in net.nodes if n.name == "two")
    levels = net.add_constant("bias_int", np.arange(4, dtype=np.int32))
    scale = net.add_constant("bias_scale", np.full(4, 0.1, np.float32))
    dq = net.make("DequantizeLinear", [levels, scale], ["bias_d"], "bias_dq", axis=0)
    node.input[2] = "bias_d"
    net._changed()
    return ("error", "bias", dq.name)


def scale(value, severity="error"):
    def break_it(net):
        _, q, dq = pair_before(net, "four")
        name = net.add_constant("bad", np.float32(value))
        for node in (q, dq):
            node.input[1] = name
        net._changed()
        return (severity, "scale", q.name)

    break_it.__name__ = f"scale_{value}"
    return break_it


def computed_scale(net):
    _, q, dq = pair_before(net, "four")
    net.make("ReduceMax", ["x"], ["running"], "max", keepdims=0)
    for node in (q, dq):
        node.input[1] = "running"
    net._changed()
    return ("error", "scale", q.name)


def split_silu_before_sigmoid(net):
    insert_pair(net, "two_y", {"two_sigmoid"})
    return ("error", "split", "extra_q")


def split_silu_before_product(net):
    insert_pair(net, "two_s", {"two_mul"})
    return ("error", "split", "extra_q")


def split_relu(net):
    insert_pair(net, "three_y", {"relu"})
    return ("error", "split", "extra_q")


def resize_in_int8(net):
    insert_pair(net, "four_y", {"resize"})
    return ("error", "float-operator", "extra_q")


def pair_for_nobody(net):
    insert_pair(net, "one_a", set())
    net.make("Abs", ["one_a_xd"], ["unread"], "abs")
    return ("warning", "output", "extra_q")


def both_sides_of_the_residual(net):
    insert_pair(net, "two_a", {"add"})
    return ("warning", "residual", "add")


def concat_with_another_scale(net):
    _, q, dq = pair_before(net, "concat", 1)
    for other in (q, dq):
        own_constant(net, other, 1, np.float32(0.5))
    return ("warning", "unshared", "concat")


def concat_half_quantised(net):
    node, q, dq = pair_before(net, "concat", 1)
    node.input[1] = "pooled"
    net.remove([q, dq])
    return ("warning", "unshared", "concat")


def pool_with_another_scale(net):
    node, _, dq = pair_before(net, "pool")
    insert_pair(net, "sum", set(), 0.7)
    net.rewire(node, dq.output[0], "sum_xd")
    return ("warning", "unshared", "pool")


def pool_in_float(net):
    node, _, dq = pair_before(net, "pool")
    net.rewire(node, dq.output[0], "sum")
    return ("warning", "unquantised", "pool")


def head_in_int8(net):
    insert_pair(net, "large", {"head"})
    node = next(n for n in net.nodes if n.name == "head")
    levels = net.add_constant("head_i", np.ones((2, 5, 3, 3), np.int8))
    factors = net.add_constant("head_f", np.full(2, 0.1, np.float32))
    net.make("DequantizeLinear", [levels, factors], ["head_d"], "head_dq", axis=0)
    net.rewire(node, "head_w", "head_d")
    return ("warning", "head", "head")


def output_in_int8(net):
    node = next(n for n in net.nodes if n.name == "head")
    node.output[0] = "raw"
    net._changed()
    insert_pair(net, "raw", set())
    net.nodes[-1].output[0] = "head_y"
    net._changed()
    return ("error", "graph-output", "extra_dq")


def q_without_dq(net):
    insert_pair(net, "one_a", set())
    net.remove([net.nodes[-1]])
    return ("error", "dangling", "extra_q")


def dq_of_nothing_quantised(net):
    net.make("Cast", ["one_a"], ["cast"], "cast", to=TensorProto.INT8)
    s = net.add_constant("s", np.float32(1))
    net.make("DequantizeLinear", ["cast", s], ["lost"], "lost_dq")
    return ("error", "dangling", "lost_dq")


def pair_of_two_scales(net):
    _, q, dq = pair_before(net, "four")
    own_constant(net, dq, 1, np.float32(0.9))
    return ("error", "pair", dq.name)


def quantised_twice(net):
    _, _, dq = pair_before(net, "four")
    insert_pair(net, dq.output[0], {"four"}, 0.33)
    return ("error", "requantised", "extra_q")


def several_scales(net):
    insert_pair(net, "wide", set(), 0.9)
    net.make("GlobalAveragePool", ["wide_xd"], ["unread"], "mean")
    return ("warning", "several-scales", "extra_q")


def float_weights(net):
    node = next(n for n in net.nodes if n.name == "four")
    node.input[1] = net.add_constant("plain", np.ones((6, 5, 3, 3), np.float32))
    net._changed()
    return ("warning", "one-sided", "four")


def float_data(net):
    node, q, dq = pair_before(net, "four")
    net.rewire(node, dq.output[0], q.input[0])
    net.remove([q, dq])
    return ("warning", "one-sided", "four")


FAULTS = [
    zero_point,
    unsigned,
    no_zero_point,
    wrong_axis_of_conv,
    wrong_axis_of_conv_transpose,
    wrong_number_of_scales,
    activation_per_channel,
    per_tensor_weights,
    bias_in_int32,
    scale(0),
    scale(-0.1),
    scale(np.nan),
    scale(np.inf),
    scale(1e-40),
    scale(1e6, "warning"),
    computed_scale,
    split_silu_before_sigmoid,
    split_silu_before_product,
    split_relu,
    resize_in_int8,
    pair_for_nobody,
    both_sides_of_the_residual,
    concat_with_another_scale,
    concat_half_quantised,
    pool_with_another_scale,
    pool_in_float,
    head_in_int8,
    output_in_int8,
    q_without_dq,
    dq_of_nothing_quantised,
    pair_of_two_scales,
    quantised_twice,
    several_scales,
    float_weights,
    float_data,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_each_fault_is_found_by_its_rule_and_node(net, fault):
    expected = fault(net)
    found = broken(net)
    assert expected in found
    # What one fault brings with it may be told too, but never by more than a few findings.
    assert len(found) <= 3, found


def test_weights_stored_as_float_are_told_once(net):
    for name in ("two", "three"):
        dq = weight_dq(net, name)
        shape = net.constant(dq.input[0]).shape
        value = net.add_constant(f"{name}_float", np.ones(shape, np.float32))
        q = net.make("QuantizeLinear", [value, *dq.input[1:]], [f"{name}_wq"], f"{name}_q", axis=0)
        dq.input[0] = q.output[0]
        net._changed()
    assert broken(net) == {("info", "weights-float", "two")}


def node_model(nodes, opset=13, weights=()):
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def test_formats_for_the_cpu_are_told():
    dynamic = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "dyn")
    product = helper.make_node("MatMulInteger", ["q", "w"], ["i"], "mm")
    rest = helper.make_node("Cast", ["i"], ["y"], "cast", to=TensorProto.FLOAT)
    weight = numpy_helper.from_array(np.ones((4, 4), np.int8), "w")
    found = lint(node_model([dynamic, product, rest], weights=[weight]))
    assert [(f.rule, f.node) for f in found] == [("dynamic", "dyn"), ("qoperator", "mm")]


def test_scales_per_channel_before_opset_13_are_one_finding(net):
    for entry in net.model.opset_import:
        entry.version = 11
    found = broken(net)
    assert len(found) == 1
    assert {(s, r) for s, r, _ in found} == {("error", "opset")}


def test_bodies_of_conditions_count_as_readers(net):
    """What only the body of an If reads does not dangle, and the graph can be looked at."""
    body = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["x_only", "if_scale", "if_zero"], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    scale = net.add_constant("if_scale", np.float32(0.1))
    zero = net.add_constant("if_zero", np.int8(0))
    flag = net.add_constant("flag", np.bool_(True))
    net.make("QuantizeLinear", ["sum", scale, zero], ["x_only"], "outer_q")
    net.make("If", [flag], ["chosen"], "if", then_branch=body, else_branch=body)
    found = broken(net)
    assert ("error", "dangling", "outer_q") in found  # read, but by what is no DequantizeLinear
    assert len(found) <= 2


def test_nodes_without_names_are_told_by_what_they_make(net):
    _, _, name = both_sides_of_the_residual(net)
    for node in net.nodes:
        node.name = ""
    assert name == "add"
    assert ("warning", "residual", "Add of sum") in broken(net)


def test_the_command_exits_with_one_on_errors_alone(net, tmp_path, capsys):
    path = str(tmp_path / "m.onnx")
    onnx.save(net.finish(), path)
    assert run_cli(["lint", path]) == 0
    assert "nothing found" in capsys.readouterr().out
    both_sides_of_the_residual(net)
    onnx.save(net.finish(), path)
    assert run_cli(["lint", path]) == 0
    assert run_cli(["lint", path, "--strict"]) == 1
    capsys.readouterr()
    split_relu_name = split_after(net)
    onnx.save(net.finish(), path)
    assert run_cli(["lint", path]) == 1
    shown = capsys.readouterr().out
    assert split_relu_name in shown
    assert "1 error, 1 warning" in shown
    assert run_cli(["lint", path, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"error": 1, "warning": 1, "info": 0}
    assert set(told["findings"][0]) == {"severity", "rule", "node", "what", "remedy"}


def split_after(net):
    scale = net.add_constant("late_scale", np.float32(0.2))
    zero = net.add_constant("late_zero", np.int8(0))
    net.make("QuantizeLinear", ["three_y", scale, zero], ["late"], "late_q")
    net.make("DequantizeLinear", ["late", scale, zero], ["late_d"], "late_dq")
    net.rewire(next(n for n in net.nodes if n.name == "relu"), "three_y", "late_d")
    return "late_q"


def test_what_is_no_model_is_one_clear_sentence(net, tmp_path, capsys):
    path = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match="there is no model"):
        lint(path)
    whole = net.finish().SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        lint(path)
    assert run_cli(["lint", str(path)]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "Traceback" not in told
