"""Exact simplifications."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from qnets import Net, run  # noqa: E402

from edgelane.calibration.fold import fold  # noqa: E402


def same(net, model, tolerance=1e-5):
    folded = fold(model)
    onnx.checker.check_model(folded, full_check=True)
    feeds = net.input()
    for one, two in zip(run(model, feeds), run(folded, feeds)):
        assert np.allclose(one, two, atol=tolerance, rtol=tolerance)
    return [n.op_type for n in folded.graph.node], folded


def test_batch_normalisation_bias_and_idle_nodes_go_into_the_convolution():
    net = Net(x=[1, 3, 6, 6])
    net.conv("x", "a", (4, 3, 3, 3))
    names = [net.constant(n, net.random.uniform(0.5, 2, 4).astype("f4")) for n in "gbmv"]
    net.node("BatchNormalization", ["a", *names], "n")
    net.node("Identity", ["n"], "i")
    net.conv("i", "c", (4, 4, 1, 1), bias=False)
    net.node("Add", ["c", net.constant("k", np.arange(4, dtype="f4").reshape(1, 4, 1, 1))], "d")
    net.node("Mul", ["d", net.constant("one", np.ones((1, 1, 1, 1), "f4"))], "e")
    net.conv("e", "t", (4, 2, 2, 2), kind="ConvTranspose", strides=[2, 2])
    names = [net.constant(n, net.random.uniform(0.5, 2, 2).astype("f4")) for n in "GBMV"]
    net.node("BatchNormalization", ["t", *names], "y")
    kinds, folded = same(net, net.model(y=[1, 2, 12, 12]))
    assert kinds == ["Conv", "Conv", "ConvTranspose"]
    assert [n.output[0] for n in folded.graph.node] == ["n", "d", "y"], "names stay"


def test_what_others_read_is_not_folded():
    net = Net(x=[1, 3, 6, 6])
    net.conv("x", "a", (4, 3, 3, 3))
    net.node("Add", ["a", net.constant("k", np.ones((1, 4, 1, 1), "f4"))], "b")
    net.node("Relu", ["a"], "c")
    kinds, _ = same(net, net.model(b=[1, 4, 6, 6], c=[1, 4, 6, 6]))
    assert sorted(kinds) == ["Add", "Conv", "Relu"]


def test_an_add_that_is_no_bias_stays():
    net = Net(x=[1, 3, 6, 6])
    net.conv("x", "a", (6, 3, 3, 3))
    net.node("Add", ["a", net.constant("k", np.arange(6, dtype="f4"))], "y")  # along the width
    kinds, _ = same(net, net.model(y=[1, 6, 6, 6]))
    assert kinds == ["Conv", "Add"]


def test_old_operators_are_brought_to_version_13_and_weights_are_no_inputs():
    net = Net(x=[1, 4, 6, 6])
    net.conv("x", "a", (4, 4, 1, 1))
    net.node("Split", ["a"], ("l", "r"), axis=1, split=[2, 2])
    net.node("Add", ["l", "r"], "y")
    model = net.model(opset=11, y=[1, 2, 6, 6])
    model.graph.input.append(onnx.helper.make_tensor_value_info("a_w", 1, [4, 4, 1, 1]))
    _, folded = same(net, model)
    assert folded.opset_import[0].version == 13
    assert [i.name for i in folded.graph.input] == ["x"]
