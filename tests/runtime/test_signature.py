"""Families are told apart by what distinguishes them, and never guessed."""

import dataclasses

import graphs
import layouts
import numpy as np
import pytest

from edgelane.core import ModelError
from edgelane.runtime.decoders import FAMILIES
from edgelane.runtime.decoders.base import Bound
from edgelane.runtime.model import load_model


def save(tmp_path, outputs, size=layouts.SIZE, **options):
    return graphs.save_graph(tmp_path / "m.onnx", outputs, size, **options)


def test_yolox_raw_and_decoded_are_told_apart_by_values(tmp_path):
    """The same shape: cell offsets and log sizes, or pixels."""
    for raw, name in ((True, "yolox"), (False, "yolox-decoded")):
        with load_model(save(tmp_path, layouts.yolox(raw=raw))) as model:
            assert model.card.decoder == name


def test_four_strides_of_yolox(tmp_path):
    """Models for large inputs have a fourth stride."""
    outputs = layouts.yolox(strides=(8, 16, 32, 64))
    with load_model(save(tmp_path, outputs)) as model:
        assert model.card.decoder == "yolox"


def test_values_that_fit_two_layouts_are_an_error_that_names_both(tmp_path):
    """An input so small that cells and pixels cannot be told apart: the user must say."""
    table = np.zeros((1, 21, 10), np.float32)
    table[..., :2] = 6.0
    with pytest.raises(ModelError) as error:
        load_model(save(tmp_path, {"output": table}, (32, 32)))
    text = str(error.value)
    assert "yolox" in text
    assert "yolox-decoded" in text
    assert "--decoder yolox" in text
    with load_model(save(tmp_path, {"output": table}, (32, 32)), decoder="yolox") as model:
        assert model.card.decoder == "yolox"


def test_an_equal_layout_of_two_families_is_an_error_that_names_both(tmp_path, monkeypatch):
    """Two families that claim the same outputs are never chosen between."""
    twin = dataclasses.replace(FAMILIES["yolov8"], name="twin")
    monkeypatch.setitem(FAMILIES, "twin", twin)
    with pytest.raises(ModelError, match="yolov8 and twin"):
        load_model(save(tmp_path, layouts.yolov8()))


def test_outputs_that_nothing_fits_list_shapes_and_decoders(tmp_path):
    """The error shows what the model gives, what is known, and the two ways on."""
    outputs = {"heat": np.zeros((1, 17, 8, 8), np.float32)}
    with pytest.raises(ModelError) as error:
        load_model(save(tmp_path, outputs))
    text = str(error.value)
    for part in ("heat [1, 17, 8, 8] float32", "160x128", *FAMILIES, "module:function"):
        assert part in text


def test_anchors_must_fit_the_input_size(tmp_path):
    """The outputs of another input size are not taken for this one's."""
    with pytest.raises(ModelError, match="no decoder fits"):
        load_model(save(tmp_path, layouts.yolov8(), size=(192, 128)))


def test_the_right_shape_with_values_of_something_else(tmp_path):
    """A pose model has the shape of a detector with more classes, but not its values."""
    outputs = layouts.yolov8()
    pose = np.concatenate((outputs["output0"], outputs["output0"][:, :3] + 40), axis=1)
    path = save(tmp_path, {"output0": pose})
    with pytest.raises(ModelError, match="not its values"):
        load_model(path)
    with load_model(path, decoder="yolov8") as model:
        assert model.card.decoder == "yolov8"


def test_a_model_marked_as_something_else_is_refused(tmp_path):
    """Metadata of exporters says the task."""
    path = save(tmp_path, layouts.yolov8(), metadata={"task": "pose"})
    with pytest.raises(ModelError, match="no detector of upright boxes"):
        load_model(path)


def test_class_names_must_fit_the_rows(tmp_path):
    """Named classes are one more cross-check of the layout."""
    names = {i: str(i) for i in range(layouts.CLASSES + 1)}
    with pytest.raises(ModelError, match="no decoder fits"):
        load_model(save(tmp_path, layouts.yolov8(), metadata={"names": str(names)}))


def test_a_model_of_nothing_but_nan_is_not_recognised(tmp_path):
    """Where every value is lost, no layout can be told."""
    outputs = {"output": np.full_like(layouts.yolox()["output"], np.nan)}
    with pytest.raises(ModelError):
        load_model(save(tmp_path, outputs))


def test_one_class(tmp_path, monkeypatch):
    """[N, A, 6] of one class is told from [N, K, 6] of suppressed boxes."""
    monkeypatch.setattr(layouts, "CLASSES", 1)
    truth = layouts.Truth(layouts.TRUTH.boxes, layouts.TRUTH.scores, np.zeros(3, int))
    monkeypatch.setattr(layouts, "TRUTH", truth)
    for build, name in (
        (layouts.yolox, "yolox"),
        (lambda: layouts.yolox(raw=False), "yolox-decoded"),
        (layouts.yolov5, "yolov5"),
        (layouts.yolov8, "yolov8"),
        (layouts.end_to_end, "end-to-end"),
        (lambda: layouts.boxes_scores((8, 16, 32, 64), True), "picodet"),
    ):
        with load_model(save(tmp_path, build())) as model:
            assert model.card.decoder == name


def test_the_model_is_run_only_where_a_layout_fits(tmp_path):
    """A bound decoder without a judgement of values takes any."""
    assert Bound(lambda outputs, request: None).plausible({})


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "decoder", "size", "classes"),
    [
        ("yolox_nano_416.onnx", "yolox", (416, 416), 80),
        ("nanodet_m_416.onnx", "nanodet", (416, 416), 80),
        ("picodet_s_320_pedestrian.onnx", "picodet", (320, 320), 1),
        ("fastestdet.onnx", "fastestdet", (352, 352), 80),
    ],
)
def test_real_models_are_recognised(data, file, decoder, size, classes):
    """The published weights carry no card; their outputs tell."""
    with load_model(data / "weights" / file, threads=1) as model:
        assert model.card.decoder == decoder
        assert model.card.input.size == size
        assert len(model.classes) == classes


@pytest.mark.data
def test_a_pose_model_is_no_detector(data):
    """Heatmaps are not taken for boxes."""
    with pytest.raises(ModelError, match="no decoder fits"):
        load_model(data / "weights" / "tinypose_128x96.onnx")
