"""A learnt anomaly model on the device: how pictures go in, what comes out, what is refused."""

import threading

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from edgelane.core import DataError, InputSpec, ModelCard, ModelError  # noqa: E402
from edgelane.core.card import METADATA_KEY  # noqa: E402
from edgelane.runtime.inspect.judging.anomaly import lay, load_anomaly  # noqa: E402

WIDTH, HEIGHT = 64, 48


def save(path, *, task="anomaly", resize="stretch", card=True, gain=1 / 255, name="score"):
    """A graph whose map is the blue channel, and whose score is the map's largest value."""
    axes = [1, HEIGHT, WIDTH]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["float", "zero", "one", "last"], ["blue"]),
        helper.make_node("Mul", ["blue", "gain"], ["scaled"]),
        helper.make_node("Squeeze", ["scaled", "last"], ["map"]),
        helper.make_node("ReduceMax", ["map"], [name], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "blue",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, axes),
        ],
        [
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("last", TensorProto.INT64, [1], [3]),
            helper.make_tensor("gain", TensorProto.FLOAT, [], [gain]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    if card:
        spec = InputSpec(
            size=(WIDTH, HEIGHT), layout="nhwc", colour="bgr", scale=1.0, resize=resize
        )
        note = model.metadata_props.add()
        note.key = METADATA_KEY
        note.value = ModelCard(
            task=task, decoder="anomaly", input=spec, extra={"anomaly": {"good": 3}}
        ).to_json()
    onnx.save(model, str(path))
    return path


def picture(width=WIDTH, height=HEIGHT):
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = 200
    image[10:20, 30:40, 0] = 255
    return image


def test_score_and_map_are_of_the_picture_in_bgr(tmp_path):
    with load_anomaly(save(tmp_path / "m.onnx")) as anomaly:
        score, heat = anomaly(picture())
        assert score == pytest.approx(1.0)
        assert heat.shape == (HEIGHT, WIDTH) and heat.dtype == np.float32
        assert heat[10:20, 30:40].min() == pytest.approx(1.0) and heat.sum() == pytest.approx(100)
        assert anomaly.boxes(heat, 0.9) == [{"xyxy": [30, 10, 40, 20], "score": pytest.approx(1.0)}]
        assert anomaly.limits == {"good": 3}


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "centre"])
def test_the_map_lies_on_the_picture_whatever_its_size(tmp_path, resize):
    image = cv2.resize(picture(), (320, 160), interpolation=cv2.INTER_NEAREST)
    with load_anomaly(save(tmp_path / "m.onnx", resize=resize)) as anomaly:
        _, heat = anomaly(image)
    assert heat.shape == (160, 320)
    y, x = np.nonzero(heat > 0.5)
    wanted_y, wanted_x = np.nonzero(image[..., 0] > 127)
    assert abs(y.mean() - wanted_y.mean()) < 2 and abs(x.mean() - wanted_x.mean()) < 2
    assert len(y) == pytest.approx(len(wanted_y), rel=0.15)


def test_padding_stays_out_of_the_map(tmp_path):
    with load_anomaly(save(tmp_path / "m.onnx", resize="letterbox")) as anomaly:
        _, heat = anomaly(np.zeros((20, 80, 3), np.uint8))
        assert heat.shape == (20, 80) and heat.max() == 0.0


def test_shrinking_keeps_what_is_thinner_than_a_pixel():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, 301] = 255
    spec = InputSpec(size=(64, 48), resize="stretch")
    assert lay(image, spec)[0].max() >= 20


def test_several_threads_may_call(tmp_path):
    scores = []
    with load_anomaly(save(tmp_path / "m.onnx")) as anomaly:
        threads = [
            threading.Thread(
                target=lambda v=v: scores.append(
                    (v, anomaly(np.full((HEIGHT, WIDTH, 3), v, np.uint8))[0])
                )
            )
            for v in (0, 51, 102, 255)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(scores) == [(v, pytest.approx(v / 255)) for v in (0, 51, 102, 255)]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"card": False}, "carries no card"),
        ({"task": "detect"}, "no anomaly model"),
        ({"name": "value"}, "not the input and outputs"),
    ],
)
def test_other_models_are_refused(tmp_path, given, message):
    with pytest.raises(ModelError, match=message):
        load_anomaly(save(tmp_path / "m.onnx", **given))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="nothing.onnx"):
        load_anomaly(tmp_path / "nothing.onnx")


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(tmp_path, image):
    with load_anomaly(save(tmp_path / "m.onnx")) as anomaly, pytest.raises(DataError):
        anomaly(image)


def test_an_answer_that_is_no_number_is_an_error(tmp_path):
    path = save(tmp_path / "m.onnx", gain=float("inf"))
    with load_anomaly(path) as anomaly, pytest.raises(ModelError, match="no number"):
        anomaly(picture())
