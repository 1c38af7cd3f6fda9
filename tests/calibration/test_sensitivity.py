"""One layer at a time in INT8: the right one is found, without touching the graph."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.calibration.quantise import QuantiseSettings, quantise  # noqa: E402
from edgelane.calibration.sensitivity import (  # noqa: E402
    detection_distance,
    layers_of,
    output_error,
    relief,
    sensitivity,
)
from edgelane.calibration.simulate import simulated  # noqa: E402
from edgelane.core import DataError, ModelError  # noqa: E402
from edgelane.runtime.model import load_model  # noqa: E402
from edgelane.runtime.models import STORE_PERSON  # noqa: E402
from edgelane.runtime.synth import open_scene  # noqa: E402


def chain(count=4):
    """Convolutions in a row, with ReLU between them."""
    rng = np.random.default_rng(0)
    nodes, weights, tensor = [], [], "x"
    for i in range(count):
        value = rng.normal(0, 0.3, (8, 3 if i == 0 else 8, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(value, f"w{i}"))
        nodes.append(
            helper.make_node("Conv", [tensor, f"w{i}"], [f"c{i}"], f"conv{i}", pads=[1] * 4)
        )
        tensor = f"c{i}"
        if i < count - 1:
            nodes.append(helper.make_node("Relu", [tensor], [f"r{i}"], f"relu{i}"))
            tensor = f"r{i}"
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 12, 12])
        for n, c in (("x", 3), (tensor, 8))
    ]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


@pytest.fixture
def feeds():
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(1, 3, 12, 12)).astype(np.float32)} for _ in range(3)]


def run(model, feed):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)[0]


RANGES = {"x": 4.0, "r0": 6.0, "r1": 6.0}


def test_the_layer_with_a_bad_range_is_the_most_sensitive(feeds):
    model = chain()
    before = model.SerializeToString()
    steps = []
    ranking = sensitivity(
        model,
        quantise(model, {**RANGES, "r1": 900.0}),
        feeds,
        progress=lambda n, m: steps.append(n),
    )
    assert model.SerializeToString() == before
    assert [s.layer for s in ranking][0] == "c2"  # reads r1
    assert ranking[0].error > 20 * ranking[1].error
    assert (ranking[0].node, ranking[0].kind) == ("conv2", "Conv")
    assert steps == [1, 2, 3]
    # The head is no layer that computes in INT8, and its share counts all the same.
    assert {s.layer for s in ranking} == {"c0", "c1", "c2"}
    assert sum(s.share for s in ranking) == pytest.approx((27 + 72 + 72) / (27 + 72 * 3))


def test_the_error_of_a_layer_is_that_of_a_graph_with_it_alone_quantised(feeds):
    model = chain()
    ranking = {s.layer: s.error for s in sensitivity(model, quantise(model, RANGES), feeds)}
    for layer in ("c0", "c1"):
        others = tuple({"c0", "c1", "c2"} - {layer})
        alone = quantise(model, RANGES, QuantiseSettings(others))
        errors = [
            output_error({"y": run(model, f)}, {"y": run(simulated(alone), f)}) for f in feeds
        ]
        assert ranking[layer] == pytest.approx(np.mean(errors), rel=1e-3)


def test_simulation_gives_the_numbers_of_the_graph_with_integers(feeds):
    model = quantise(chain(), RANGES)
    plain = simulated(model)
    assert not [n for n in plain.graph.node if n.op_type.endswith("Linear")]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for feed in feeds:
        np.testing.assert_allclose(run(plain, feed), session.run(None, feed)[0], atol=1e-4)


def test_layers_hold_scales_and_rounded_weights():
    layers = {a.output: a for a in layers_of(quantise(chain(), RANGES))}
    assert layers["c1"].data == "r0"
    assert layers["c1"].scale == pytest.approx(6.0 / 127)
    value = np.random.default_rng(0)
    first = value.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
    error = np.abs(layers["c0"].weight - first).reshape(8, -1).max(axis=1)
    assert (error <= np.abs(first).reshape(8, -1).max(axis=1) / 127 * 0.501).all()


def test_what_cannot_be_measured_is_told(feeds):
    model = chain()
    quantised = quantise(model, RANGES)
    with pytest.raises(DataError, match="no pictures"):
        sensitivity(model, quantised, [])
    with pytest.raises(ModelError, match="no layer of the model computes in INT8"):
        sensitivity(model, model, feeds)
    other = chain(3)
    other.graph.node[2].output[0] = "renamed"
    other.graph.node[3].input[0] = "renamed"
    with pytest.raises(ModelError, match="the float model has no layer 'c1'"):
        sensitivity(other, quantised, feeds)
    with pytest.raises(ModelError, match="does not run"):
        sensitivity(model, quantised, [{"x": np.zeros((1, 4, 12, 12), np.float32)}])


def test_outputs_that_are_no_numbers_count_as_wrong():
    expected = {"y": np.arange(4.0, dtype=np.float32), "n": np.arange(3)}
    assert output_error(expected, expected) == 0
    assert output_error(expected, {"y": np.full(4, np.nan, np.float32), "n": expected["n"]}) == 1
    assert output_error({"y": np.zeros(3, np.float32)}, {"y": np.zeros(3, np.float32)}) == 0


def test_detections_lie_apart_by_what_is_missed_and_what_drifts():
    with load_model(STORE_PERSON, threads=1) as model:
        scene = open_scene("store", seed=3, seconds=10)
        frame, _ = scene.render(60)
        tensor, _ = model.preprocess(frame.image)
        outputs = model.infer(tensor)
        distance = detection_distance(model)
        assert len(model(frame.image)) > 0
        assert distance(outputs, outputs) == pytest.approx(0, abs=1e-6)
        nothing = {
            k: np.full_like(v, -50 if v.dtype.kind == "f" else 0) for k, v in outputs.items()
        }
        assert distance(outputs, nothing) > 0.9
        shaken = {k: v + np.float32(0.02) * v.std() for k, v in outputs.items()}
        assert 0 < distance(outputs, shaken) < 0.5
        assert distance(nothing, nothing) == pytest.approx(0, abs=1e-6)


def test_relief_is_what_a_layer_in_float_saves(feeds):
    model = chain()
    quantised = quantise(model, {**RANGES, "r1": 900.0})
    ranking = relief(model, quantised, feeds)
    assert ranking[0].layer == "c2"
    assert {s.layer for s in ranking} == {"c0", "c1", "c2"}
    spared = quantise(model, {**RANGES, "r1": 900.0}, QuantiseSettings(("c2",)))

    def error(graph):
        return np.mean(
            [output_error({"y": run(model, f)}, {"y": run(simulated(graph), f)}) for f in feeds]
        )

    assert ranking[0].error == pytest.approx(error(quantised) - error(spared), rel=1e-3)
    with pytest.raises(DataError, match="no pictures"):
        relief(model, quantised, [])
