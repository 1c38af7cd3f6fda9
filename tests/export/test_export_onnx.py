"""An ONNX is completed, held against what it was, and written whole or not at all."""

import json
import os

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from edgelane.calibration.graph import read_model, write_model  # noqa: E402
from edgelane.core import (  # noqa: E402
    DataError,
    EdgelaneError,
    ModelCard,
    ModelError,
    StorageError,
    UsageError,
)
from edgelane.core.card import METADATA_KEY  # noqa: E402
from edgelane.export import export_model  # noqa: E402
from edgelane.runtime.model import load_model  # noqa: E402
from edgelane.runtime.onnx_metadata import read_metadata  # noqa: E402


@pytest.fixture()
def source(yolo, tmp_path):
    """A detector of three classes without a card; its folder holds nothing else."""
    folder = tmp_path / "source"
    folder.mkdir()
    write_model(yolo(opset=11), folder / "m.onnx")
    return folder / "m.onnx"


CARD = {"decoder": "detector:read", "classes": "a,b,c", "colour": "bgr", "scale": 1.0}


@pytest.fixture(autouse=True)
def decoder(tmp_path, monkeypatch):
    """A decoder of the user's own in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "detector.py").write_text(
        "import numpy as np\n"
        "def read(outputs, request):\n"
        "    rows = outputs['output'][0]\n"
        "    boxes = np.concatenate((rows[:, :2], rows[:, :2] + 5), axis=1)\n"
        "    return boxes, 1 / (1 + np.exp(-rows[:, 4])), rows[:, 5:].argmax(1)\n"
    )


def version(path):
    return onnx.load(str(path)).opset_import[0].version


def test_a_card_is_written_and_the_opset_raised(source, tmp_path):
    out = tmp_path / "out.onnx"
    report = export_model(source, out, licence="MIT", **CARD)
    card = ModelCard.from_json(read_metadata(out)[METADATA_KEY])
    assert card.classes == ("a", "b", "c") and card.licence == "MIT"
    assert (card.input.size, card.input.colour, card.input.scale) == ((32, 32), "bgr", 1.0)
    assert version(out) == report["opset"] == 13
    assert report["card"]["decoder"] == "detector:read"
    assert report["parity"]["outputs"][0]["name"] == "output"
    assert report["parity"]["outputs"][0]["relative"] <= report["parity"]["limit"] == 1e-4
    assert report["inputs"] == [{"name": "images", "shape": [1, 3, 32, 32], "dtype": "float32"}]
    with load_model(out) as model:
        assert model(np.zeros((20, 30, 3), np.uint8)) is not None
    json.dumps(report)


def test_a_card_may_come_from_a_file_and_stays_on_the_next_export(source, tmp_path):
    (tmp_path / "card.json").write_text(
        json.dumps({"decoder": "detector:read", "classes": ["x", "y", "z"], "confidence": 0.4})
    )
    export_model(source, tmp_path / "one.onnx", card=tmp_path / "card.json")
    export_model(tmp_path / "one.onnx", tmp_path / "two.onnx", confidence=0.2)
    card = ModelCard.from_json(read_metadata(tmp_path / "two.onnx")[METADATA_KEY])
    assert card.classes == ("x", "y", "z") and card.confidence == 0.2


def test_without_a_word_on_its_outputs_no_card_is_guessed(builder, tmp_path):
    b = builder()
    b.conv("images", ("y", 7), 3)
    write_model(b.model({"y": (1, 7, 32, 32)}), tmp_path / "m.onnx")
    report = export_model(tmp_path / "m.onnx", tmp_path / "out.onnx")
    assert report["card"] is None and METADATA_KEY not in read_metadata(tmp_path / "out.onnx")
    assert any("--decoder" in note for note in report["notes"])
    report = export_model(tmp_path / "m.onnx", tmp_path / "out.onnx", task="pose", scale=1.0)
    assert report["card"]["task"] == "pose" and report["card"]["input"]["size"] == (32, 32)


def test_folded_half_and_renamed_in_one_go(source, tmp_path):
    out = tmp_path / "out.onnx"
    report = export_model(
        source, out, fold=True, precision="fp16", inputs=["camera"], target="trt8.5", **CARD
    )
    assert report["inputs"] == [{"name": "camera", "shape": [1, 32, 32, 3], "dtype": "uint8"}]
    assert report["fp16"]["half"] >= 4 and report["card"]["precision"] == "fp16"
    assert report["card"]["input"]["layout"] == "nhwc"
    image = np.random.RandomState(0).randint(0, 255, (40, 50, 3)).astype(np.uint8)
    export_model(source, tmp_path / "plain.onnx", **CARD)
    with load_model(tmp_path / "plain.onnx") as one, load_model(out) as two:
        assert len(one(image)) == len(two(image)) > 0
        assert np.abs(one(image).xyxy - two(image).xyxy).max() < 0.1


def test_a_target_without_uint8_gets_float_pixels(source, tmp_path):
    report = export_model(source, tmp_path / "o.onnx", fold=True, target="nano", **CARD)
    assert report["inputs"][0]["dtype"] == "float32"
    assert report["inputs"][0]["shape"] == [1, 32, 32, 3]
    assert any("takes no uint8" in note for note in report["notes"])
    with load_model(tmp_path / "o.onnx") as model:
        assert not model.takes_pixels and model(np.zeros((32, 32, 3), np.uint8)) is not None


@pytest.mark.parametrize("batch", [3, "dynamic", "2"])
def test_another_batch_gives_each_picture_what_it_gets_alone(source, tmp_path, batch):
    report = export_model(source, tmp_path / "o.onnx", batch=batch, **CARD)
    assert report["inputs"][0]["shape"][0] == ("n" if batch == "dynamic" else int(batch))
    assert report["outputs"][0]["shape"][1:] == [256, 8]


def test_a_batch_that_is_built_in_is_refused(builder, tmp_path):
    b = builder()
    b.conv("images", ("a", 4), 3)
    b.node("Concat", ["a", b.constant("k", np.ones((1, 2, 32, 32), np.float32))], "y", axis=1)
    write_model(b.model({"y": (1, 6, 32, 32)}), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="has its batch built in"):
        export_model(tmp_path / "m.onnx", tmp_path / "o.onnx", batch=4, task="pose")


def test_every_tensor_is_compared_when_asked(source, tmp_path):
    report = export_model(source, tmp_path / "o.onnx", parity="layers", simplified=False, **CARD)
    names = [row["name"] for row in report["parity"]["layers"]]
    assert names == ["a", "s", "m", "p", "h", "r", "output"] and report["parity"]["first"] is None
    half = {"precision": "fp16", "parity": "layers", "simplified": False}
    report = export_model(source, tmp_path / "o.onnx", **half, **CARD)
    assert report["parity"]["worst"] in names


def test_a_difference_above_the_limit_is_refused(source, tmp_path):
    out = tmp_path / "o.onnx"
    with pytest.raises(ModelError, match="the export does not give what the model gives"):
        export_model(source, out, precision="fp16", max_difference=1e-9, **CARD)
    assert not out.exists()


def test_real_pictures_are_compared_on_and_bad_ones_told(source, tmp_path):
    cv2 = pytest.importorskip("cv2")
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "good.png"), np.full((40, 60, 3), 99, np.uint8))
    (images / "bad.jpg").write_bytes(b"no picture")
    report = export_model(source, tmp_path / "o.onnx", images=images, **CARD)
    assert report["parity"]["pictures"] == 4
    assert "1 pictures cannot be read: bad.jpg" in report["notes"]
    (images / "good.png").unlink()
    with pytest.raises(DataError, match="no picture in .* can be read"):
        export_model(source, tmp_path / "x.onnx", images=images, **CARD)
    (images / "bad.jpg").unlink()
    with pytest.raises(DataError, match="there are no pictures"):
        export_model(source, tmp_path / "x.onnx", images=images, **CARD)
    with pytest.raises(DataError, match="there is no folder"):
        export_model(source, tmp_path / "x.onnx", images=tmp_path / "none", **CARD)
    assert not (tmp_path / "x.onnx").exists()


def branching():
    """A graph with an If."""
    out = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Neg", ["images"], ["t"])], "b", [], [out])
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["cond"]),
        helper.make_node("If", ["cond"], ["y"], name="if", then_branch=branch, else_branch=branch),
    ]
    shape = [1, 3, 8, 8]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("images", "y")]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], [zero])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def foreign(builder):
    b = builder((1, 3, 8, 8))
    b.nodes.append(helper.make_node("Deform", ["images"], ["y"], name="odd", domain="my.ops"))
    model = b.model({"y": (1, 3, 8, 8)})
    model.opset_import.append(helper.make_opsetid("my.ops", 1))
    return model


def open_axes(builder, shape):
    b = builder(shape)
    b.node("Relu", ["images"], "y")
    return b.model({"y": shape})


def loud(builder):
    b = builder((1, 3, 8, 8))
    b.node("NonZero", ["images"], "n")
    b.node("Cast", ["n"], "y", to=1)
    return b.model({"y": (4, "k")})


@pytest.mark.parametrize(
    "make, options, told",
    [
        (lambda b: branching(), {}, "has control flow at 'if': got If"),
        (foreign, {}, "an operator that ONNX does not know at 'odd': got my.ops.Deform"),
        (lambda b: open_axes(b, (1, 3, "h", "w")), {}, r"axis 2 of the input 'images' .* \(h\)"),
        (lambda b: open_axes(b, ("n", "t", 8)), {}, "give its shape with --shape|Give its shape"),
        (lambda b: open_axes(b, (1, 3, 8, 8)), {"size": "9x9"}, "expected 8x8, which is fixed"),
        (loud, {"target": "trt8.4"}, "does not read NonZero at 'nonzero_n'"),
        (lambda b: open_axes(b, (1, 3, 8, 8)), {"fold": True}, "nothing says how"),
    ],
)
def test_what_no_engine_takes_is_one_sentence(builder, tmp_path, make, options, told):
    write_model(make(builder), tmp_path / "m.onnx")
    with pytest.raises(EdgelaneError, match=told) as caught:
        export_model(tmp_path / "m.onnx", tmp_path / "o.onnx", **options)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.glob("*o.onnx*")) == []


def test_open_axes_can_be_settled(builder, tmp_path):
    write_model(open_axes(builder, (1, 3, "h", "w")), tmp_path / "m.onnx")
    report = export_model(tmp_path / "m.onnx", tmp_path / "o.onnx", size=(16, 8))
    assert report["outputs"][0]["shape"] == [1, 3, 8, 16]
    write_model(open_axes(builder, ("n", "t", 8)), tmp_path / "m.onnx")
    report = export_model(tmp_path / "m.onnx", tmp_path / "o.onnx", shapes={"images": [2, 5, 8]})
    assert report["outputs"][0]["shape"] == [2, 5, 8]
    with pytest.raises(UsageError, match="Did you mean 'images'"):
        export_model(tmp_path / "m.onnx", tmp_path / "o.onnx", shapes={"image": [2, 5, 8]})


@pytest.mark.parametrize(
    "options, error, told",
    [
        ({"precision": "fp61"}, UsageError, "precision 'fp61' is unknown"),
        ({"parity": "all"}, UsageError, "parity 'all' is unknown"),
        ({"size": "big"}, UsageError, "the size makes no sense"),
        ({"batch": 0}, UsageError, "the batch makes no sense"),
        ({"inputs": ["a", "b"]}, UsageError, "the model has 1 inputs"),
        ({"outputs": ["s"]}, UsageError, "'s' is the name of another tensor"),
        ({"colr": "bgr"}, UsageError, "has no field 'input.colr'. Did you mean 'colour'"),
        ({"decoder": "yolxo"}, UsageError, "Did you mean 'yolox'"),
        ({"decoder": "detr"}, EdgelaneError, "there is no decoder|does not fit"),
        ({"card": "none.json"}, UsageError, "there is no card none.json"),
        ({"target": "trt8.2", "opset": 17}, UsageError, "does not read opset 17"),
        ({"max_difference": -1}, UsageError, "max_difference makes no sense"),
    ],
)
def test_what_makes_no_sense_is_told_at_once(source, tmp_path, options, error, told):
    with pytest.raises(error, match=told):
        export_model(source, tmp_path / "o.onnx", **{**CARD, **options})
    assert not (tmp_path / "o.onnx").exists()


def test_weights_beyond_the_limit_stand_beside_the_model(builder, tmp_path, monkeypatch):
    """As with a model of 3 GB, with the limit lowered."""
    for name in (
        "edgelane.calibration.graph",
        "edgelane.export.runner",
        "edgelane.export.complete",
    ):
        monkeypatch.setattr(f"{name}.EXTERNAL_LIMIT", 100_000)
    b = builder()
    b.conv("images", ("a", 64), 3)
    b.conv("a", ("c", 64), 64)
    model = b.model({"c": (1, 64, 32, 32)}, 17)
    write_model(model, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx.data").exists()
    report = export_model(tmp_path / "m.onnx", tmp_path / "o.onnx", target="trt8.2", task="pose")
    assert report["opset"] == 13 and (tmp_path / "o.onnx.data").exists()
    again = read_model(tmp_path / "o.onnx")
    assert again.ByteSize() > 100_000
    half = export_model(tmp_path / "m.onnx", tmp_path / "h.onnx", precision="fp16", task="pose")
    assert half["fp16"]["half"] == 1, "the first layer reads scaled pixels"
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(ModelError, match="m.onnx"):
        export_model(tmp_path / "m.onnx", tmp_path / "x.onnx", task="pose")
    assert not list(tmp_path.glob("x.onnx*"))


def test_a_full_disk_leaves_nothing(builder, tmp_path, monkeypatch):
    """The weights fit, the model beside them does not any more."""
    for name in (
        "edgelane.calibration.graph",
        "edgelane.export.runner",
        "edgelane.export.complete",
    ):
        monkeypatch.setattr(f"{name}.EXTERNAL_LIMIT", 1000)
    b = builder()
    b.conv("images", ("a", 64), 3)
    write_model(b.model({"a": (1, 64, 32, 32)}), tmp_path / "m.onnx")
    target = tmp_path / "out"
    target.mkdir()
    real = os.replace

    def replace(source, goal):
        if str(goal).endswith("o.onnx"):
            raise OSError(28, "No space left on device")
        real(source, goal)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(StorageError, match="No space left on device"):
        export_model(tmp_path / "m.onnx", target / "o.onnx", task="pose")
    assert list(target.iterdir()) == []


def test_there_must_be_a_place_to_write(source, tmp_path):
    with pytest.raises(StorageError, match="there is no folder"):
        export_model(source, tmp_path / "none" / "o.onnx", **CARD)
    with pytest.raises(UsageError, match="is a folder"):
        export_model(source, tmp_path, **CARD)


def test_what_is_no_model_is_one_sentence(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        export_model(tmp_path / "m.onnx", tmp_path / "o.onnx")
    with pytest.raises(ModelError, match="there is no model"):
        export_model(tmp_path / "none.onnx", tmp_path / "o.onnx")
