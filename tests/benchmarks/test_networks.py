"""Networks without weights: their shapes and work are those of the real ones."""

import pytest

onnx = pytest.importorskip("onnx")

from edgelane.benchmarks.estimator.layers import gigaflops, layers_of  # noqa: E402
from edgelane.benchmarks.networks import NETWORKS, build_network  # noqa: E402
from edgelane.core import UsageError  # noqa: E402


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_work_is_what_the_authors_state(name):
    model = build_network(name)
    # Strict inference compares every shape that was written with the operator's own rule.
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    assert gigaflops(layers_of(model)) == pytest.approx(NETWORKS[name].gflops, rel=0.04)


def test_work_grows_with_the_batch_and_the_picture():
    one = gigaflops(layers_of(build_network("resnet18")))
    assert gigaflops(layers_of(build_network("resnet18", batch=8))) == pytest.approx(8 * one)
    large = gigaflops(layers_of(build_network("yolov8n", size=(1280, 640))))
    assert large == pytest.approx(2 * gigaflops(layers_of(build_network("yolov8n"))), rel=0.01)


def test_an_unknown_network_is_told():
    with pytest.raises(UsageError, match="resnet18"):
        build_network("resnet81")
