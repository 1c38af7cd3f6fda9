"""Preprocessing inside the graph gives what preprocessing outside gives."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgelane.core import InputSpec, ModelError  # noqa: E402
from edgelane.export.feeds import feeds_of, made_up  # noqa: E402
from edgelane.export.fold import fold  # noqa: E402
from edgelane.export.runner import check, running  # noqa: E402

SPECS = {
    "rgb with mean and std": InputSpec(
        (32, 32), scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "bgr of 0..255": InputSpec((32, 32), colour="bgr", scale=1.0),
    "rgb of 0..1": InputSpec((32, 32)),
}


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
@pytest.mark.parametrize("name", SPECS)
def test_pixels_give_what_values_give(yolo, name, pixels):
    model, spec = yolo(), SPECS[name]
    folded, changed = fold(model, spec, pixels)
    check(folded, "folded")
    info = folded.graph.input[0]
    assert [d.dim_value for d in info.type.tensor_type.shape.dim] == [1, 32, 32, 3]
    assert info.name == "images", "callers feed it as before"
    assert (changed.layout, changed.colour, changed.scale) == ("nhwc", "bgr", 1.0)
    assert (changed.resize, changed.pad) == (spec.resize, spec.pad), "those stay outside"
    pictures = made_up((32, 32), 3)
    with running(model, "m") as one, running(folded, "f") as two:
        assert two.inputs[0].dtype == np.dtype(pixels)
        for a, b in zip(feeds_of(one, pictures, spec), feeds_of(two, pictures, changed)):
            wanted, got = one.infer(a)["output"], two.infer(b)["output"]
            assert np.abs(wanted - got).max() <= 1e-5 * np.abs(wanted).max()


def test_uint8_is_cast_before_anything_else(yolo):
    """TensorRT takes uint8 only where a cast follows at once."""
    folded, _ = fold(yolo(), SPECS["rgb of 0..1"])
    assert [n.op_type for n in folded.graph.node if "images" in n.input] == ["Cast"]


def test_what_is_folded_is_not_folded_twice(yolo):
    folded, spec = fold(yolo(), SPECS["rgb of 0..1"])
    with pytest.raises(ModelError, match="takes uint8 pixels already"):
        fold(folded, spec)


def test_a_model_without_a_picture_is_told(builder):
    b = builder((1, 16))
    b.node("Relu", ["images"], "y")
    with pytest.raises(ModelError, match="does not take one colour picture"):
        fold(b.model({"y": (1, 16)}), SPECS["rgb of 0..1"])


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["yolox_nano_416", "fastestdet", "nanodet_m_416", "picodet_s_320_pedestrian"]
)
def test_real_detectors_see_the_same(data, tmp_path, name):
    from edgelane.export import export_model
    from edgelane.runtime.model import load_model
    from edgelane.runtime.sources.base import load_cv2

    out = tmp_path / "folded.onnx"
    source = data / "weights" / f"{name}.onnx"
    export_model(source, out, fold=True, simplified=False)
    seen = 0
    with load_model(source, confidence=0.1) as one, load_model(out, confidence=0.1) as two:
        assert two.takes_pixels
        for path in sorted((data / "coco" / "train2017").glob("*.jpg"))[:6]:
            image = load_cv2().imread(str(path))
            wanted, got = one(image), two(image)
            assert len(wanted) == len(got)
            assert wanted.class_id.tolist() == got.class_id.tolist()
            assert np.abs(wanted.score - got.score).max(initial=0) <= 1e-3
            assert np.abs(wanted.xyxy - got.xyxy).max(initial=0) <= 1e-3
            seen += len(wanted)
    assert seen > 10
