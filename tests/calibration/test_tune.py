"""Ranges, weights and float layers chosen by what they do to outputs."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from qnets import Net, run  # noqa: E402

from edgelane.calibration.collect import collect  # noqa: E402
from edgelane.calibration.cpu import measure_speed, quantise_cpu  # noqa: E402
from edgelane.calibration.floats import worst_layers  # noqa: E402
from edgelane.calibration.graph import Graph  # noqa: E402
from edgelane.calibration.lint import lint  # noqa: E402
from edgelane.calibration.moments import Moments, patches  # noqa: E402
from edgelane.calibration.patterns import plan, weighted  # noqa: E402
from edgelane.calibration.quantise import int8_share, quantise  # noqa: E402
from edgelane.calibration.recipe import quantise_best  # noqa: E402
from edgelane.calibration.rounding import fit  # noqa: E402
from edgelane.calibration.samples import Samples  # noqa: E402
from edgelane.calibration.tune import tune  # noqa: E402


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("strides", [1, 2])
def test_patches_are_what_a_convolution_reads(groups, strides):
    net = Net(x=[2, 4, 7, 6])
    net.conv("x", "y", (4, 4 // groups, 3, 3), groups=groups, strides=[strides, strides])
    graph = Graph(net.model(y=[2, 4, -(-7 // strides), -(-6 // strides)]))
    feeds = net.input()
    found = patches(graph, weighted(graph)[0], feeds["x"], np.random.default_rng(0))
    rows = net.weights["y_w"].reshape(groups, 4 // groups, -1)
    sums = (rows @ found).reshape(4, -1) + net.weights["y_b"][:, None]
    truth = run(graph.finish(), feeds)[0].transpose(1, 0, 2, 3).reshape(4, -1)
    assert np.allclose(sums, truth, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 3])
def test_fitted_weights_keep_outputs_better_than_the_nearest_levels(groups):
    random = np.random.default_rng(3)
    weight = random.normal(0, 1, (6, 9 // groups, 1, 1)).astype(np.float32)
    mixed = random.normal(0, 1, (9, 9)) * np.geomspace(3, 0.1, 9)  # inputs that go together
    x = np.abs(mixed @ random.normal(0, 1, (9, 4000))).astype(np.float32)
    step = x.max() / 2000  # finer than INT8: here the weights are looked at
    q = (np.rint(x / step) * step).astype(np.float32)
    x, q = (a.reshape(groups, 9 // groups, -1) for a in (x, q))
    moments = Moments.empty(groups, 9 // groups)
    moments.add(x, q)
    levels, scales, bias = fit(weight, None, moments)
    assert levels.dtype == np.int8 and np.abs(levels.astype(int)).max() <= 127
    rows = weight.reshape(groups, 6 // groups, -1)
    truth = rows @ x
    fitted = levels.reshape(rows.shape) * scales.reshape(groups, -1, 1)
    ours = fitted @ q + bias.reshape(groups, -1, 1) - truth
    near = np.abs(rows).max(axis=2, keepdims=True) / 127
    nearest = (np.rint(rows / near) * near) @ q - truth
    assert (ours**2).mean() < 0.7 * (nearest**2).mean()
    assert np.abs(ours.mean(axis=2)).max() < 1e-3, "nothing is left that is constant"


def test_a_channel_that_no_weight_reads_does_not_set_the_range():
    net = Net(x=[1, 2, 16, 16])
    net.conv("x", "a", (4, 2, 1, 1))
    net.weights["a_w"][:, 1] = 0
    net.conv("a", "y", (1, 4, 1, 1))
    graph = Graph(net.model(y=[1, 1, 16, 16]))
    x = np.random.default_rng(0).uniform(-1, 1, (1, 2, 16, 16)).astype(np.float32)
    x[:, 1] *= 5
    samples = Samples(graph, plan(graph), {"x": 5.0})
    samples.add("x", x)
    assert 0.95 < samples.ranges()["x"] < 1.3


def layered(seed=0):
    """A net whose second layer takes the difference of large numbers that are nearly the same."""
    net = Net(seed, x=[1, 4, 16, 16])
    net.conv("x", "a", (8, 4, 1, 1))
    net.weights["a_w"][1::2] = net.weights["a_w"][::2] * 1.01
    net.weights["a_b"][:] = 8
    net.node("Relu", ["a"], "r")
    net.conv("r", "b", (4, 8, 1, 1), bias=False)
    net.weights["b_w"][:, 1::2] = -net.weights["b_w"][:, ::2]
    net.weights["b_w"] *= 20
    for index in range(6):
        net.conv("bcdefg"[index], "cdefgh"[index], (4, 4, 3, 3))
    net.conv("g", "wide", (256, 4, 3, 3))
    net.conv("wide", "last", (4, 256, 1, 1))
    net.conv("last", "y", (2, 4, 1, 1))
    return net, net.model(y=[1, 2, 16, 16])


def pictures(net, count=6):
    return [net.input(seed) for seed in range(count)]


def test_the_layer_that_does_the_damage_stays_float():
    net, model = layered()
    feeds = pictures(net)
    known = {name: a.amax for name, a in collect(model, feeds, threads=1).items()}
    assert "b" in worst_layers(model, known, feeds, threads=1)
    assert "b" not in worst_layers(model, known, feeds, ["b"], threads=1)
    tuned = tune(model, known, lambda: iter(feeds), threads=1)
    assert "b" in tuned.floats and "b" not in tuned.fitted and "c" in tuned.fitted
    ours = quantise(model, tuned.ranges, None, tuned.fitted)
    onnx.checker.check_model(ours, full_check=True)
    share = int8_share(ours)
    assert share > 0.95


def test_the_flavour_for_the_cpu_is_fused_and_near_the_float_model():
    net = Net(x=[1, 4, 16, 16])
    net.conv("x", "a", (8, 4, 3, 3))
    net.node("Relu", ["a"], "r")
    net.conv("r", "d", (8, 1, 3, 3), groups=8)
    net.silu("d", "s")
    net.node("Concat", ["r", "s"], "cat", axis=1)
    net.conv("cat", "e", (8, 16, 1, 1))
    net.conv("e", "y", (2, 8, 1, 1))
    model = net.model(y=[1, 2, 16, 16])
    feeds = pictures(net)
    seen = collect(model, feeds, threads=1)
    quantised = quantise_cpu(model, {n: (a.minimum, a.maximum) for n, a in seen.items()})
    onnx.checker.check_model(quantised, full_check=True)
    graph = Graph(quantised)
    zero = graph.producer("r/q").input[2]
    assert graph.constant(zero).dtype == np.uint8 and graph.constant(zero) == 0
    assert not any(n.op_type == "QuantizeLinear" for n in graph.consumers("a")), "ReLU takes part"
    assert graph.producer("y").input[0] == "e/dq" and graph.producer("y").input[1] == "y_w"
    for feed in feeds:
        one, two = run(model, feed)[0], run(quantised, feed)[0]
        assert np.abs(one - two).max() < 0.05 * np.abs(one).max()
    speed = measure_speed(model, quantised, feeds[0], runs=3)
    assert speed.float_ms >= 0 and speed.int8_ms >= 0


def shuffled():
    """A pointwise, a depthwise and a joined branch, as pose nets have them."""
    net = Net(x=[1, 8, 16, 16])
    net.conv("x", "a", (32, 8, 1, 1))
    net.node("Relu", ["a"], "r")
    net.conv("r", "b", (32, 1, 3, 3), groups=32, pads=[1, 1, 1, 1])
    net.conv("b", "c", (32, 32, 1, 1))
    net.node("Relu", ["c"], "s")
    net.node("Concat", ["r", "s"], "j", axis=1)
    net.node("Transpose", ["j"], "t", perm=[0, 1, 3, 2])
    net.conv("t", "d", (32, 64, 1, 1))
    net.conv("d", "y", (4, 32, 1, 1))
    return net.model(y=[1, 4, 16, 16])


def test_concats_of_float_numbers_have_no_pairs():
    graph = Graph(shuffled())
    tied, free = plan(graph), plan(graph, apart=True)
    assert {"r", "s", "t"} <= set(tied.reads) and tied.group["s"] == tied.group["t"]
    assert "s" not in free.reads and free.group["t"] != free.group["r"]


@pytest.mark.parametrize(("share", "spared"), [(0.95, False), (0.8, True)])
def test_depthwise_convolutions_stay_float_where_the_share_allows(share, spared):
    model = shuffled()
    feeds = [Net(seed, x=[1, 8, 16, 16]).input() for seed in range(6)]

    def look(graph, tensors=None, most=None):
        return collect(graph, feeds[:most], tensors=tensors)

    recipe = quantise_best(model, look, lambda: iter(feeds), share=share)
    assert ("b" in recipe.notes["float"]) == spared
    assert recipe.notes["int8_share"] >= share - 0.05
    joins = [n for n in recipe.quantised.graph.node if n.op_type == "Concat"]
    assert any(i.endswith("/dq") for i in joins[0].input) != spared
    assert not lint(recipe.quantised)
