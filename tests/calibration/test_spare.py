"""Layers go back to float as if they had never been quantised, and nothing else changes."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgelane.calibration.fold import fold  # noqa: E402
from edgelane.calibration.graph import Graph, read_model  # noqa: E402
from edgelane.calibration.lint import lint  # noqa: E402
from edgelane.calibration.patterns import plan  # noqa: E402
from edgelane.calibration.quantise import QuantiseSettings, quantise  # noqa: E402
from edgelane.calibration.simulate import simulated  # noqa: E402
from edgelane.calibration.spare import spare  # noqa: E402
from edgelane.core import UsageError  # noqa: E402
from edgelane.export.runner import running  # noqa: E402
from edgelane.runtime.models import STORE_PERSON  # noqa: E402


class Ranges(dict):
    """One range for all tensors, so that scale groups do not change it."""

    def get(self, name, default=None):
        return 5.0


def run(model, feed):
    with running(model, "it") as backend:
        return next(iter(backend.infer(feed).values()))


@pytest.fixture(scope="module")
def floating():
    return fold(read_model(STORE_PERSON))


@pytest.mark.parametrize("count", [1, 5, 20])
def test_a_spared_graph_is_that_quantised_without_the_layers(floating, count):
    names = list(plan(Graph(floating)).nodes)
    chosen = [str(n) for n in np.random.default_rng(count).choice(names, count, replace=False)]
    spared = spare(quantise(floating, Ranges()), floating, chosen)
    expected = quantise(floating, Ranges(), QuantiseSettings(tuple(chosen)))
    kinds = [sorted(n.op_type for n in m.graph.node) for m in (spared, expected)]
    assert kinds[0] == kinds[1]
    assert lint(spared) == []
    info = floating.graph.input[0]
    shape = [d.dim_value or 1 for d in info.type.tensor_type.shape.dim]
    feed = {info.name: np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)}
    np.testing.assert_allclose(
        run(simulated(spared), feed), run(simulated(expected), feed), atol=1e-4
    )


def test_sparing_twice_is_sparing_both(floating):
    names = list(plan(Graph(floating)).nodes)
    quantised = quantise(floating, Ranges())
    one = spare(spare(quantised, floating, names[3:4]), floating, names[8:10])
    two = spare(quantised, floating, [*names[3:4], *names[8:10]])
    assert [n.op_type for n in one.graph.node] == [n.op_type for n in two.graph.node]
    with pytest.raises(UsageError, match="the model has no layer 'nothing'"):
        spare(quantised, floating, ["nothing"])
