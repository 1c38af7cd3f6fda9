"""Half precision: types stand in the graph, nothing overflows, what must stay float does."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto  # noqa: E402

from edgelane.calibration.graph import Graph  # noqa: E402
from edgelane.core import ModelError, UsageError  # noqa: E402
from edgelane.export.fp16 import HalfSettings, measure, to_fp16  # noqa: E402
from edgelane.export.opset import to_opset  # noqa: E402
from edgelane.export.rounded import rounded  # noqa: E402
from edgelane.export.rounding import round_weights  # noqa: E402
from edgelane.export.runner import check, running  # noqa: E402

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def feeds(count=3, shape=(1, 3, 32, 32), scale=1.0):
    rng = np.random.RandomState(0)
    return [
        {"images": (scale * rng.randint(-3, 4, shape)).astype(np.float32)} for _ in range(count)
    ]


def outputs(model, feed):
    with running(model, "m") as backend:
        return backend.infer(feed)


def close(one, two, feed, limit=0.02):
    wanted, got = outputs(one, feed), outputs(two, feed)
    return all(np.abs(wanted[k] - got[k]).max() <= limit * np.abs(wanted[k]).max() for k in wanted)


@pytest.mark.parametrize("opset", [13, 17])
def test_a_network_computes_in_half(yolo, opset):
    model = yolo(opset=opset)
    half, report = to_fp16(model, feeds())
    check(half, "half")
    graph = Graph(half)
    assert {graph.dtype(n.output[0]) for n in graph.nodes if n.op_type == "Conv"} == {HALF}
    assert graph.dtype("images") == graph.dtype("output") == FLOAT, "callers see no difference"
    assert all(t.data_type == HALF for t in half.graph.initializer if t.name.endswith(("_w", "_b")))
    assert report.half == 5 and set(report.kept.values()) == {"follows the last layer"}
    assert half.ByteSize() < 0.7 * model.ByteSize()
    assert close(model, half, feeds()[0]) and close(model, rounded(half), feeds()[0])


def test_a_first_layer_that_reads_scaled_pixels_stays_float(yolo):
    """Whole pixels are the same in half precision, scaled ones are not."""
    half, report = to_fp16(yolo(), feeds(scale=1 / 3))
    graph = Graph(half)
    assert (graph.dtype("a"), graph.dtype("m"), graph.dtype("h")) == (FLOAT, HALF, HALF)
    assert report.kept["conv_a"] == "reads values that half precision would round"
    assert "conv_a" not in to_fp16(yolo(), feeds(scale=1 / 3), HalfSettings(head=False))[1].kept


def test_inputs_and_outputs_may_be_half_too(yolo):
    half, _ = to_fp16(yolo(), feeds(), HalfSettings(io="half", tail=False))
    check(half, "half")
    assert half.graph.input[0].type.tensor_type.elem_type == HALF
    assert half.graph.output[0].type.tensor_type.elem_type == HALF
    assert not any(n.op_type == "Cast" for n in half.graph.node)
    got = outputs(half, {"images": feeds()[0]["images"].astype(np.float16)})
    assert got["output"].dtype == np.float16


def test_what_overflows_stays_float_and_is_named(builder):
    b = builder()
    b.conv("images", ("a", 8), 3, scale=1e5)
    b.node("Relu", ["a"], "big")
    small = b.constant("small", np.float32(1e-5))
    b.node("Mul", ["big", small], "back")
    b.conv("back", ("c", 8), 8)
    model = b.model({"c": (1, 8, 32, 32)})
    half, report = to_fp16(model, feeds())
    check(half, "half")
    assert {"a", "big"} <= set(report.overflow) and report.overflow["a"] > 65504
    graph = Graph(half)
    assert graph.dtype("big") == FLOAT and graph.dtype("back") == FLOAT
    assert np.isfinite(outputs(half, feeds()[0])["c"]).all() and close(model, half, feeds()[0])


def test_headroom_leaves_room_for_what_was_not_seen(builder):
    b = builder()
    b.conv("images", ("a", 8), 3)
    b.conv("a", ("c", 8), 8)
    b.conv("c", ("d", 8), 8)
    model = b.model({"d": (1, 8, 32, 32)})
    seen = measure(model, feeds())
    seen.amax["a"] = 30000.0
    assert to_fp16(model, seen)[1].overflow == {"a": 30000.0}
    assert to_fp16(model, seen, HalfSettings(headroom=2))[1].overflow == {}


def test_an_epsilon_that_would_become_zero_keeps_its_node_float(builder):
    b = builder()
    b.conv("images", ("a", 8), 3)
    b.node("Relu", ["a"], "r")
    b.node("Add", ["r", b.constant("epsilon", np.float32(1e-9))], "e", name="guard")
    b.node("Div", ["a", "e"], "d", name="divide")
    b.node("Clip", ["d", b.constant("low", np.float32(-9)), b.constant("high", np.float32(9))], "k")
    b.conv("k", ("c", 8), 8)
    half, report = to_fp16(b.model({"c": (1, 8, 32, 32)}), feeds())
    assert "becomes 0" in report.kept["guard"]
    assert np.isfinite(outputs(half, feeds()[0])["c"]).all()


def test_scales_of_resize_and_sums_over_many_stay_float(builder):
    b = builder((1, 3, 64, 64))
    b.conv("images", ("a", 8), 3, scale=20)
    scales = b.constant("scales", np.array([1, 1, 2, 2], np.float32))
    b.node("Resize", ["a", "", scales], "u", mode="nearest", name="resize")
    b.node("GlobalAveragePool", ["u"], "g", name="pool")
    b.node("ReduceL2", ["u"], "l", axes=[1], name="norm")
    b.node("Mul", ["u", "g"], "m")
    b.node("Div", ["m", "l"], "d")
    b.conv("d", ("c", 8), 8)
    inputs = feeds(shape=(1, 3, 64, 64))
    model = b.model({"c": (1, 8, 128, 128)})
    half, report = to_fp16(model, inputs)
    check(half, "half")
    graph = Graph(half)
    assert graph.initialisers["scales"].data_type == FLOAT and graph.dtype("u") == HALF
    assert report.kept["pool"] == "its sum may overflow"
    assert report.kept["norm"] == "sums or interpolates over many values"
    assert close(model, half, inputs[0])


def test_suppression_and_integers_pass_through(builder):
    b = builder((1, 3, 8, 8))
    b.conv("images", ("a", 4), 3)
    b.node("Reshape", ["a", b.constant("s1", np.array([1, 64, 4]))], "boxes")
    b.conv("images", ("s", 1), 3, seed=3)
    b.node("Reshape", ["s", b.constant("s2", np.array([1, 1, 64]))], "scores")
    b.node("NonMaxSuppression", ["boxes", "scores", b.constant("n", np.array([5]))], "kept",
           name="nms")  # fmt: skip
    b.node("Cast", ["kept"], "out", to=FLOAT)
    inputs = feeds(shape=(1, 3, 8, 8))
    half, report = to_fp16(b.model({"out": ("k", 3)}), inputs, HalfSettings(tail=False))
    check(half, "half")
    assert report.kept["nms"] == "its operator has no half form"
    assert outputs(half, inputs[0])["out"].shape[1] == 3


def test_what_the_user_names_stays_float(yolo):
    half, report = to_fp16(yolo(), feeds(), HalfSettings(keep_float=("conv_h", "Max*")))
    assert report.kept["conv_h"] == report.kept["maxpool_p"] == "as asked"
    graph = Graph(half)
    assert graph.dtype("h") == FLOAT and graph.dtype("a") == HALF
    with pytest.raises(UsageError, match="nothing in the graph is called 'conv_x'"):
        to_fp16(yolo(), feeds(), HalfSettings(keep_float=("conv_x",)))


def test_weights_that_vanish_are_reported(builder):
    b = builder()
    b.conv("images", ("a", 8), 3)
    weight = np.full((8, 8, 1, 1), 0.1, np.float32)
    weight[0, 0], weight[1, 1] = 1e-9, 1e-6
    b.node("Conv", ["a", b.constant("w2", weight)], "c", name="second")
    b.node("Conv", ["a", b.constant("w3", np.full((8, 8, 1, 1), 1e-9, np.float32))], "d",
           name="third")  # fmt: skip
    _, report = to_fp16(b.model({"c": (1, 8, 32, 32), "d": (1, 8, 32, 32)}), feeds())
    assert {"name": "w2", "zeroed": 1, "weakened": 1, "values": 64} in report.underflow
    assert "second" not in report.kept and "stays below" in report.kept["third"]


def test_ranges_by_name_do_as_well_as_inputs(yolo):
    amax = {**measure(yolo(), feeds()).amax, "images": 255.0}
    assert to_fp16(yolo(), amax)[1].half == to_fp16(yolo(), feeds())[1].half
    del amax["m"]
    assert "was not seen" in to_fp16(yolo(), amax)[1].kept["mul_m"]


def test_rounding_keeps_the_mean_of_what_comes_out():
    rng = np.random.RandomState(0)
    weight = rng.normal(0, 1, (16, 72)).astype(np.float32)
    bias = rng.normal(0, 30, 16).astype(np.float32)
    mean = np.repeat(rng.uniform(0, 50, 8), 9)[None].repeat(16, axis=0)
    half, half_bias = round_weights(weight, bias, mean)
    exact = (weight.astype(np.float64) * mean).sum(1) + bias
    ours = (half.astype(np.float64) * mean).sum(1) + half_bias
    plain = (weight.astype(np.float16).astype(np.float64) * mean).sum(1)
    plain = plain + bias.astype(np.float16)
    assert np.abs(ours - exact).max() < 0.05 * np.abs(plain - exact).max()
    step = np.spacing(np.abs(weight).astype(np.float16)).astype(np.float32)
    assert (np.abs(half - weight) <= step).all(), "each weight is one of its two neighbours"


def quantised(builder, opset):
    b = builder()
    one = b.constant("one", np.float32(0.05))
    zero = b.constant("zero", np.int8(0))
    b.node("QuantizeLinear", ["images", one, zero], "q")
    b.node("DequantizeLinear", ["q", one, zero], "dq")
    rng = np.random.RandomState(0)
    weight = b.constant("w", rng.randint(-127, 127, (8, 3, 3, 3)).astype(np.int8))
    scale = b.constant("ws", np.full(8, 2e-3, np.float32))
    b.node(
        "DequantizeLinear", [weight, scale, b.constant("wz", np.zeros(8, np.int8))], "dw", axis=0
    )
    b.node("Conv", ["dq", "dw"], "a", pads=[1, 1, 1, 1], name="first")
    b.conv("a", ("c", 8), 8)
    model = b.model({"c": (1, 8, 32, 32)}, 13)
    return to_opset(model, opset)


def test_quantised_layers_go_on_in_half_from_opset_19(builder):
    model = quantised(builder, 19)
    half, report = to_fp16(model, feeds())
    check(half, "half")
    graph = Graph(half)
    assert {graph.dtype(t) for t in ("dq", "dw", "a")} == {HALF}
    first = graph.producer("a")
    assert [graph.producer(i).op_type for i in first.input] == ["DequantizeLinear"] * 2
    assert close(model, half, feeds()[0], 0.05)


def test_before_that_they_stay_float_and_nothing_stands_between(builder):
    model = quantised(builder, 13)
    half, report = to_fp16(model, feeds())
    check(half, "half")
    graph = Graph(half)
    assert graph.dtype("a") == FLOAT and "opset 19" in report.kept["first"]
    assert [graph.producer(i).op_type for i in graph.producer("a").input] == [
        "DequantizeLinear"
    ] * 2
    assert graph.dtype(graph.producer("c").input[0]) == HALF or report.half


def test_a_graph_with_nothing_to_convert_is_told(builder):
    b = builder((1, 3, 8, 8))
    b.node("CumSum", ["images", b.constant("axis", np.array(1))], "y")
    with pytest.raises(ModelError, match="nothing of the model"):
        to_fp16(b.model({"y": (1, 3, 8, 8)}), feeds(shape=(1, 3, 8, 8)))
