"""The editor of graphs."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.calibration.graph import Graph, read_model, write_model  # noqa: E402
from edgelane.core import ModelError  # noqa: E402


def small():
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Relu", ["a"], ["y"], name="relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_knows_makers_readers_shapes_and_constants():
    graph = Graph(small())
    assert graph.producer("a").name == "conv"
    assert graph.producer("x") is None
    assert [n.name for n in graph.consumers("a")] == ["relu"]
    assert graph.shape("a") == (1, 4, 8, 8)
    assert graph.dtype("a") == TensorProto.FLOAT
    assert graph.constant("w").shape == (4, 3, 1, 1)
    assert graph.constant("a") is None
    assert (graph.inputs, graph.outputs, graph.opset) == (["x"], ["y"], 13)


def test_a_node_that_is_put_between_runs_between():
    model = small()
    graph = Graph(model)
    scale = graph.add_constant("w", np.float32(2.0))
    assert scale == "w_1", "a name that is taken is not taken twice"
    graph.make("Mul", ["a", scale], ["a2"])
    graph.rewire(graph.consumers("a")[0], "a", "a2")
    changed = graph.finish()
    assert [n.op_type for n in changed.graph.node] == ["Conv", "Mul", "Relu"]
    onnx.checker.check_model(changed)
    assert len(model.graph.node) == 2, "the caller's model stays"


def test_what_nothing_reads_is_dropped():
    graph = Graph(small())
    graph.make("Sigmoid", ["a"], ["unread"])
    graph.add_constant("spare", np.zeros(3, np.float32))
    changed = graph.finish()
    assert [n.op_type for n in changed.graph.node] == ["Conv", "Relu"]
    assert [t.name for t in changed.graph.initializer] == ["w"]


def test_a_reader_without_a_maker_is_told():
    graph = Graph(small())
    graph.remove([graph.producer("a")])
    with pytest.raises(ModelError, match="'relu' reads 'a'"):
        graph.finish()


def test_files_come_back_as_they_went(tmp_path):
    write_model(small(), tmp_path / "m.onnx")
    assert read_model(tmp_path / "m.onnx") == small()


def test_large_weights_go_beside_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelane.calibration.graph.EXTERNAL_LIMIT", 500)
    graph = Graph(small())
    big = np.arange(4096, dtype=np.float32).reshape(1, 1, 64, 64)[:, :, :8, :8]
    big = np.tile(big, (1, 4, 4, 1))[:, :, :8]
    graph.make("Add", ["a", graph.add_constant("big", big.astype(np.float32))], ["b"])
    graph.rewire(graph.nodes[1], "a", "b")
    model = graph.finish()
    before = model.SerializeToString()
    write_model(model, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx.data").exists()
    assert model.SerializeToString() == before
    again = read_model(tmp_path / "m.onnx")
    found = {t.name: numpy_helper.to_array(t) for t in again.graph.initializer}
    assert np.array_equal(found["big"], big)


@pytest.mark.parametrize("content", [b"", b"junk that is no model", None])
def test_what_is_no_model_is_one_sentence(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is None:
        write_model(small(), path)
        content = path.read_bytes()[:-40]
    path.write_bytes(content)
    with pytest.raises(ModelError):
        read_model(path)


def test_a_shape_of_which_not_even_the_rank_is_known_is_none():
    """A Reshape to what is only known when it runs has a type and no shape, which is not rank 0."""
    info = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Reshape", ["x", "to"], ["r"]),
            onnx.helper.make_node("Relu", ["r"], ["y"]),
        ],
        "g",
        [info("x", kind, [1, 6]), info("to", onnx.TensorProto.INT64, ["n"])],
        [info("y", kind, None)],
    )
    view = Graph(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)]))
    assert view.shape("x") == (1, 6)
    assert view.shape("r") is None
    assert view.dtype("r") == kind
