"""What a graph becomes in an engine."""

import pytest

onnx = pytest.importorskip("onnx")

from edgelane.benchmarks.estimator.layers import layers_of  # noqa: E402
from edgelane.benchmarks.networks.builder import Builder  # noqa: E402


def layers(b, *outputs):
    return layers_of(b.finish(outputs))


def test_a_convolution_takes_in_its_activation():
    b = Builder((32, 32))
    found = layers(b, b.conv(b.images, 8, 3, 2, act="silu"))
    assert len(found) == 1
    (layer,) = found
    assert layer.kind == "conv"
    assert layer.macs == 16 * 16 * 8 * 3 * 9
    assert (layer.read, layer.written, layer.weights) == (3 * 32 * 32, 8 * 16 * 16, 8 * 3 * 9)
    assert (layer.channels, layer.positions, layer.kernel) == ((3, 8), 256, 9)


def test_a_residual_sum_belongs_to_the_convolution_before_it():
    b = Builder((32, 32))
    x = b.conv(b.images, 8, act="relu")
    found = layers(b, b.act(b.add(x, b.conv(x, 8, 3)), "relu"))
    assert [layer.kind for layer in found] == ["conv", "conv"]
    assert found[1].read == 2 * 8 * 32 * 32, "the other side of the sum is read as well"


def test_a_concatenation_of_convolutions_costs_nothing():
    b = Builder((32, 32))
    x = b.conv(b.images, 8)
    found = layers(b, b.conv(b.concat([b.conv(x, 4), b.conv(x, 4, 3)]), 8))
    assert [layer.kind for layer in found] == ["conv"] * 4


def test_elementwise_operators_in_a_row_are_one_launch():
    b = Builder((32, 32))
    x = b.pool(b.images, 2, 2, 0)
    y = b.act(b.mul(b.mul(x, b.scalar(2.0)), b.scalar(3.0)), "relu")
    found = layers(b, y)
    assert [layer.kind for layer in found] == ["pool", "pointwise"]
    assert len(found[1].parts) == 3


def test_groups_and_depthwise_are_told_apart():
    b = Builder((32, 32))
    x = b.conv(b.images, 8)
    found = layers(b, b.conv(x, 8, 3, groups=8))
    assert (found[1].kind, found[1].groups, found[1].channels) == ("grouped", 8, (1, 1))
    assert found[1].macs == 32 * 32 * 8 * 9


def test_an_open_batch_and_size_are_closed():
    b = Builder((32, 32))
    model = b.finish([b.conv(b.images, 8, 3)])
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for axis, name in ((0, "n"), (2, "h"), (3, "w")):
        dims[axis].dim_param = name
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    found = layers_of(model, batch=4, size=(64, 32))
    assert found[0].macs == 4 * 64 * 32 * 8 * 3 * 9
    with pytest.raises(Exception, match="size of its input open"):
        layers_of(model)
