"""`edgelane export` is a thin caller: what it prints, and how it fails."""

import json
import sys

import numpy as np
import pytest

if sys.version_info < (3, 10):
    pytest.skip("the export room needs Python 3.10", allow_module_level=True)
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.cli.app import run_cli  # noqa: E402
from edgelane.cli.export import describe  # noqa: E402
from edgelane.core import ModelCard  # noqa: E402
from edgelane.runtime.onnx_metadata import read_metadata  # noqa: E402


@pytest.fixture()
def model(tmp_path, monkeypatch):
    """A network of two convolutions."""
    rng = np.random.RandomState(0)
    nodes, weights, source = [], [], "x"
    for index, (inside, outside) in enumerate(((3, 8), (8, 17))):
        weight = rng.normal(0, 0.2, (outside, inside, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        output = "y" if index else "a"
        nodes.append(
            helper.make_node(
                "Conv",
                [source, f"w{index}"],
                [output],
                f"conv{index}",
                pads=[1] * 4,
                strides=[1 + index] * 2,
            )
        )
        source = output
    info = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 24, 32]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 17, 12, 16]),
    ]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, str(tmp_path / "m.onnx"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "m.onnx"


OPTIONS = (
    "--task pose --decoder pose-heatmap --colour bgr --scale 1/255 --mean .1,.2,.3 --std 1,1,1"
)


def test_it_tells_what_was_written(model, capsys):
    arguments = ["export", "m.onnx", "--out", "o.onnx", "--target", "nano", *OPTIONS.split()]
    assert run_cli([*arguments, "--precision", "fp16", "--fold", "--keep-float", "conv0"]) == 0
    lines = dict(
        line.split(None, 1)
        for line in reversed(capsys.readouterr().out.splitlines())
        if line[0] > " "
    )
    assert lines["model"].startswith("o.onnx, 0.0 MB, opset 13") and "fp16" in lines["model"]
    assert lines["input"] == "x [1, 24, 32, 3] float32"
    assert lines["output"] == "y [1, 17, 12, 16] float32"
    assert lines["card"] == "pose, pose-heatmap, 1 classes"
    assert "of its range" in lines["parity"] and "1 as asked" in lines["fp16"]
    card = ModelCard.from_json(read_metadata("o.onnx")["edgelane"])
    assert (card.task, card.decoder, card.precision) == ("pose", "pose-heatmap", "fp16")
    assert card.input.size == (32, 24) and card.input.layout == "nhwc"


def test_it_answers_programs(model, capsys):
    arguments = ["export", "m.onnx", "--out", "o.onnx", "--parity", "layers", "--json"]
    assert run_cli([*arguments, "--output", "heat", *OPTIONS.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["card"]["input"]["scale"] == pytest.approx(1 / 255)
    assert report["card"]["input"]["mean"] == [0.1, 0.2, 0.3]
    assert [o["name"] for o in report["outputs"]] == ["heat"]
    assert [row["name"] for row in report["parity"]["layers"]] == ["a"]
    text = "\n".join(describe(report))
    assert "1 compared; all within the limit" in text


@pytest.mark.parametrize(
    "arguments, code, told",
    [
        (["none.onnx"], 1, "there is no model none.onnx"),
        (["m.onnx", "--target", "nanoo"], 2, "Did you mean 'nano'?"),
        (["m.onnx", "--shape", "x"], 2, "--shape 'x' makes no sense"),
        (["m.onnx", "--scale", "one"], 2, "--scale makes no sense"),
        (["m.onnx", "--mean", "a,b"], 2, "--mean makes no sense"),
        (["m.onnx", "--mean", "1,2"], 1, "input.mean is wrong"),
        (["m.onnx", "--precision", "int4"], 2, "precision 'int4' is unknown"),
        (["m.onnx", "--fold"], 1, "nothing says how m.onnx wants its pictures"),
        (["m.onnx", "--images", "nowhere"], 1, "there is no folder nowhere"),
        (["m.onnx", "--opset", "9"], 2, "opset 9 is not written"),
        (["m.onnx", "--size", "64x64"], 1, "expected 32x24, which is fixed in the graph"),
        (["m.txt"], 2, "there is no way to export"),
    ],
)
def test_what_goes_wrong_is_one_sentence(model, capsys, arguments, code, told):
    if arguments == ["m.txt"]:
        pytest.importorskip("torch")
    assert run_cli(["export", *arguments, "--out", "o.onnx"]) == code
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error and error.count("\n") == 1
    assert not (model.parent / "o.onnx").exists()
