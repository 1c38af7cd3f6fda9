"""What a planner knows of an ONNX is what the onnx package says of it."""

import hashlib

import engine_nets as nets
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.core import InputSpec, ModelCard, ModelError  # noqa: E402
from edgelane.runtime.classify.maps import read_graph as read_nodes  # noqa: E402
from edgelane.runtime.engines import read_graph  # noqa: E402


def test_a_graph_is_described_as_onnx_describes_it(tmp_path):
    path = nets.save(tmp_path / "m.onnx", shape=(None, 3, 8, 8), opset=17)
    graph = read_graph(path)
    model = onnx.load(path)
    assert graph.opset == 17 and graph.outputs == ("output",)
    (spec,) = graph.inputs
    assert (spec.name, spec.shape, spec.dtype) == ("images", (None, 3, 8, 8), "float32")
    assert graph.nodes == tuple((n.name, n.op_type) for n in model.graph.node)
    assert graph.tensors == {"images", "conv_out", "output"}
    assert not graph.quantized and not graph.half and graph.control_flow == ()
    content = (tmp_path / "m.onnx").read_bytes()
    assert graph.sha256 == hashlib.sha256(content).hexdigest() and graph.size == len(content)


def test_q_dq_and_half_precision_are_seen(tmp_path):
    quantized = read_graph(nets.save(tmp_path / "q.onnx", quantized=True))
    assert quantized.quantized and not quantized.half
    half = read_graph(nets.save(tmp_path / "h.onnx", kind="half"))
    assert half.half and half.inputs[0].dtype == "float16" and half.float_nodes == ()
    pixels = read_graph(nets.save(tmp_path / "p.onnx", kind="pixels"))
    assert pixels.inputs[0].dtype == "uint8" and not pixels.half


def test_nodes_that_stay_in_fp32_within_fp16_are_named(tmp_path):
    graph = read_graph(nets.save(tmp_path / "h.onnx", kind="half", island=True))
    assert graph.float_nodes == ("exp",) and graph.float_tensors == ("exp_out",)
    model = onnx.load(graph.path)
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, graph.path)
    assert read_graph(graph.path).float_nodes == ()
    assert read_graph(graph.path).float_tensors == ("exp_out",)


def test_weights_among_the_inputs_and_branches_are_no_inputs_of_the_graph(tmp_path):
    def branch(name):
        value = helper.make_node(
            "Constant", [], [name], value=numpy_helper.from_array(np.ones(1, np.float32))
        )
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
        return helper.make_graph([value], name, [], [out])

    nodes = [
        helper.make_node("If", ["which"], ["y"], name="if", then_branch=branch("a"),
                         else_branch=branch("b")),
        helper.make_node("Add", ["y", "one"], ["z"], name="add"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
            helper.make_tensor_value_info("one", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "m.onnx"))
    facts = read_graph(tmp_path / "m.onnx")
    assert [i.name for i in facts.inputs] == ["which"] and facts.control_flow == ("If",)
    assert facts.outputs == ("z",) and {"a", "b", "y", "z"} <= facts.tensors


def test_the_card_comes_with_the_graph(tmp_path):
    card = ModelCard("detect", "yolox", InputSpec((416, 256)))
    path = nets.save(tmp_path / "m.onnx", card=card.to_json())
    assert read_graph(path).card == card


def test_external_weights_belong_to_the_model(tmp_path):
    path = nets.save(tmp_path / "m.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="m.weights", size_threshold=0)
    facts = read_graph(path)
    assert facts.external == ("m.weights",)
    (tmp_path / "m.weights").write_bytes(b"\1" * (tmp_path / "m.weights").stat().st_size)
    assert read_graph(path).sha256 != facts.sha256
    (tmp_path / "m.weights").unlink()
    with pytest.raises(ModelError, match=r"the weights of model .* are missing.*m\.weights"):
        read_graph(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_that_is_cut_off_is_told(tmp_path, share):
    path = nets.save(tmp_path / "m.onnx")
    data = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"cut off|no ONNX"):
        read_graph(path)


def test_a_damaged_byte_is_told_in_one_sentence_or_does_no_harm(tmp_path):
    """Whatever byte of a model is another: no reader of it fails in a way that nobody catches."""
    path = tmp_path / "m.onnx"
    nets.save(path)
    whole = path.read_bytes()
    told = 0
    for at in range(0, min(len(whole), 2000), 3):
        data = bytearray(whole)
        data[at] ^= 0x5A
        path.write_bytes(bytes(data))
        for reader in (read_graph, lambda path: read_nodes(path.read_bytes(), "m.onnx")):
            try:
                reader(path)
            except ModelError:
                told += 1
    assert told > 20


def test_a_file_that_is_none_is_told(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="no ONNX"):
        read_graph(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        read_graph(tmp_path / "none.onnx")
    # A graph whose inside is rubbish, in an outside that is whole.
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08\x3a\x04\x0a\x7fxx")
    with pytest.raises(ModelError, match="damaged"):
        read_graph(tmp_path / "m.onnx")
    # A number where a message must stand.
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08\x3a\x02\x08\x01")
    with pytest.raises(ModelError, match="damaged"):
        read_graph(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="no ONNX file, or damaged"):
        read_nodes(b"\x08\x08\x3a\x02\x08\x01", "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08\x3a\x03\x12\x01g")
    with pytest.raises(ModelError, match="holds no operators"):
        read_graph(tmp_path / "m.onnx")
