"""Equalisation changes ranges and nothing else."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from qnets import Net, run  # noqa: E402

from edgelane.calibration.channels import Classes  # noqa: E402
from edgelane.calibration.collect import collect  # noqa: E402
from edgelane.calibration.equalise import EqualiseSettings, equalise  # noqa: E402
from edgelane.calibration.graph import Graph  # noqa: E402


def sizes(model, feeds):
    seen = collect(model, [feeds], threads=1)
    return {name: a.channels for name, a in seen.items() if a.channels is not None}


def uneven(net, *names):
    """Make a convolution's channels differ a hundredfold."""
    for name in names:
        weight = net.weights[f"{name}_w"]
        factor = np.geomspace(0.1, 10, len(weight)).astype(np.float32)
        net.random.shuffle(factor)
        net.weights[f"{name}_w"] = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
        if f"{name}_b" in net.weights:
            net.weights[f"{name}_b"] = net.weights[f"{name}_b"] * factor


def random_net(seed):
    """Branches, joins and shuffles drawn at random, with ReLU, LeakyReLU, SiLU between."""
    net = Net(seed, x=[1, 4, 8, 8])
    random = np.random.default_rng(seed + 1000)
    tensors, width = ["x"], 4
    for step in range(12):
        source = tensors[random.integers(len(tensors))]
        kind = random.choice(["pw", "dw", "full", "grouped", "add", "cat", "shuffle", "pool", "up"])
        output = f"t{step}"
        if kind in ("pw", "full"):
            size = 1 if kind == "pw" else 3
            net.conv(source, f"{output}c", (width, width, size, size))
            uneven(net, f"{output}c")
        elif kind == "dw":
            net.conv(source, f"{output}c", (width, 1, 3, 3), groups=width)
            uneven(net, f"{output}c")
        elif kind == "grouped":
            net.conv(source, f"{output}c", (width, 2, 1, 1), groups=2)
            uneven(net, f"{output}c")
        elif kind == "add":
            net.node("Add", [source, tensors[random.integers(len(tensors))]], f"{output}c")
        elif kind == "cat":
            other = tensors[random.integers(len(tensors))]
            net.node("Concat", [source, other], f"{output}d", axis=1)
            net.conv(f"{output}d", f"{output}c", (width, 2 * width, 1, 1))
            uneven(net, f"{output}c")
        elif kind == "shuffle":
            five = net.constant(f"{output}k5", np.int64([1, 2, width // 2, 8, 8]))
            net.node("Reshape", [source, five], f"{output}5")
            net.node("Transpose", [f"{output}5"], f"{output}6", perm=[0, 2, 1, 3, 4])
            four = net.constant(f"{output}k4", np.int64([1, width, 8, 8]))
            net.node("Reshape", [f"{output}6", four], f"{output}c")
        elif kind == "pool":
            net.node("MaxPool", [source], f"{output}c", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        else:
            net.node("AveragePool", [source], f"{output}c", kernel_shape=[1, 1])
        after = random.choice(["Relu", "LeakyRelu", "silu", "none"])
        if after == "silu":
            net.silu(f"{output}c", output)
        elif after == "none":
            net.node("Identity", [f"{output}c"], output)
        else:
            net.node(after, [f"{output}c"], output)
        tensors.append(output)
    net.node("Concat", [tensors[-1], tensors[-2]], "all", axis=1)
    net.conv("all", "y", (2, 2 * width, 1, 1))
    return net, net.model(y=[1, 2, 8, 8], t5=[1, width, 8, 8])


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("everywhere", [False, True])
def test_equalisation_is_exact_in_float(seed, everywhere):
    net, model = random_net(seed)
    feeds = net.input()
    changed = equalise(model, sizes(model, feeds), EqualiseSettings(everywhere=everywhere))
    onnx.checker.check_model(changed, full_check=True)
    for other in (1, 2):
        feeds = net.input(other)
        for one, two in zip(run(model, feeds), run(changed, feeds)):
            assert np.allclose(one, two, rtol=1e-4, atol=1e-5 * np.abs(one).max())


def spread(values):
    return float(values.max() / values.min())


def test_before_a_depthwise_convolution_all_channels_come_to_one_range():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (6, 4, 1, 1))
    uneven(net, "a")
    net.silu("a", "s")
    net.conv("s", "d", (6, 1, 3, 3), groups=6)
    net.conv("d", "y", (2, 6, 1, 1))
    model, feeds = net.model(y=[1, 2, 8, 8]), net.input()
    before = sizes(model, feeds)
    changed = equalise(model, before, EqualiseSettings(across=False))
    graph = Graph(changed)
    assert graph.producer("d").input[0] == "s/equalised", "SiLU is followed by a multiplication"
    after = sizes(changed, feeds)
    assert spread(before["s"]) > 5 and spread(after["s/equalised"]) < 1.001
    assert np.array_equal(before["s"], after["s"]), "the tensor itself keeps name and numbers"
    assert np.allclose(before["d"], after["d"], rtol=1e-5)


def test_through_relu_it_needs_no_multiplication():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (6, 4, 1, 1))
    uneven(net, "a")
    net.node("Relu", ["a"], "r")
    net.conv("r", "d", (6, 1, 3, 3), groups=6)
    net.conv("d", "y", (2, 6, 1, 1))
    model, feeds = net.model(y=[1, 2, 8, 8]), net.input()
    changed = equalise(model, sizes(model, feeds))
    assert [n.op_type for n in changed.graph.node] == [n.op_type for n in model.graph.node]
    assert spread(sizes(changed, feeds)["r"]) < 1.001
    assert equalise(model, sizes(model, feeds), EqualiseSettings(across=False)) == model


def test_channels_are_followed_through_a_shuffle():
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
    net.conv("left", "c", (4, 4, 1, 1))
    net.conv("right", "y", (4, 4, 1, 1))
    classes = Classes(Graph(net.model(y=[1, 4, 4, 4], c=[1, 4, 4, 4])))
    a, b = classes.of("a"), classes.of("b")
    assert len(set(a) | set(b)) == 8 and 0 not in a
    assert list(classes.of("left")) == [a[0], b[0], a[1], b[1]]
    assert list(classes.of("right")) == [a[2], b[2], a[3], b[3]]
    assert not classes.of("x").any() and not classes.of("y").any(), "inputs and outputs are fixed"


def test_what_is_not_homogeneous_fixes_its_channels():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 1, 1))
    net.node("Sigmoid", ["a"], "s")
    net.conv("x", "b", (4, 4, 1, 1))
    net.node("Mul", ["b", "s"], "m")
    net.node("Add", ["m", net.constant("k", np.ones((1, 4, 1, 1), "f4"))], "n")
    net.conv("x", "c", (4, 4, 1, 1))
    net.node("Mul", ["c", "s"], "g")
    net.conv("g", "d", (4, 4, 1, 1))
    net.conv("n", "e", (4, 4, 1, 1))
    net.node("Add", ["d", "e"], "y")
    classes = Classes(Graph(net.model(y=[1, 4, 8, 8])))
    assert not classes.of("a").any(), "a Sigmoid reads it"
    assert not classes.of("b").any(), "a constant is added to it"
    assert classes.of("c").all() and np.array_equal(classes.of("c"), classes.of("g")), "a gate"


def test_shared_weights_and_dead_channels_are_left_alone():
    net = Net(x=[1, 4, 8, 8])
    net.conv("x", "a", (4, 4, 1, 1))
    net.weights["a_w"][2] = 0
    net.weights["a_b"][2] = 0
    net.node("Relu", ["a"], "r")
    net.node("Conv", ["r", "a_w"], "b")
    net.conv("b", "d", (4, 1, 3, 3), groups=4)
    net.conv("d", "y", (2, 4, 1, 1))
    model, feeds = net.model(y=[1, 2, 8, 8]), net.input()
    changed = equalise(model, sizes(model, feeds))
    assert np.array_equal(Graph(changed).constant("a_w"), net.weights["a_w"])
    assert np.allclose(run(model, feeds)[0], run(changed, feeds)[0], rtol=1e-4, atol=1e-4)
