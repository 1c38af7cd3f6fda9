"""A model from its file, card or outputs, to detections in pixels of the picture."""

import dataclasses
import threading

import graphs
import layouts
import numpy as np
import pytest

from edgelane.core import ConfigError, InputSpec, ModelCard, ModelError
from edgelane.core.card import METADATA_KEY
from edgelane.runtime.backends import TensorSpec
from edgelane.runtime.classes import COCO_80, COCO_91, COCO_IDS, class_names
from edgelane.runtime.model import build_model, load_model
from edgelane.runtime.testing import FakeBackend

WIDTH, HEIGHT = layouts.SIZE
NAMES = ("person", "dog", "cart", "bag", "bike")


def card(**changes):
    spec = InputSpec(size=layouts.SIZE, colour="bgr", scale=1.0)
    return dataclasses.replace(
        ModelCard(task="detect", decoder="yolox", input=spec, classes=NAMES), **changes
    )


def fake(outputs=None, metadata=None, **options):
    picture = TensorSpec("images", (1, 3, HEIGHT, WIDTH), np.dtype(np.float32))
    options.setdefault("inputs", [picture])
    return FakeBackend(outputs or layouts.yolox(), metadata=metadata, **options)


def picture(width=WIDTH, height=HEIGHT):
    return np.full((height, width, 3), 80, np.uint8)


def test_a_card_in_the_file_is_used(tmp_path):
    """Decoder, thresholds, classes and input come from the ONNX's own metadata."""
    mine = card(confidence=0.6, nms_iou=0.4, licence="Apache-2.0")
    path = graphs.save_graph(
        tmp_path / "m.onnx", layouts.yolox(), layouts.SIZE, metadata={METADATA_KEY: mine.to_json()}
    )
    with load_model(path) as model:
        assert model.card == mine
        assert model.classes == NAMES
        assert len(model(picture())) == 2


def test_arguments_go_before_the_card():
    """What the caller says wins, field by field."""
    model = build_model(
        fake(metadata={METADATA_KEY: card().to_json()}),
        confidence=0.7,
        nms_iou=0.2,
        input={"colour": "rgb", "pad": 7},
    )
    assert model.card.confidence == 0.7
    assert model.card.nms_iou == 0.2
    assert model.card.input == dataclasses.replace(card().input, colour="rgb", pad=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        (card(task="pose").to_json(), "no detector"),
        (card(classes=("a", "b")).to_json(), "do not agree on the classes"),
        (card(decoder="yolox-nano").to_json(), "no decoder 'yolox-nano'"),
        (card(decoder="fastestdet").to_json(), "does not fit"),
        (card(input=InputSpec(size=(64, 64))).to_json(), "160x128, which is fixed"),
    ],
)
def test_a_card_that_does_not_fit_is_an_error(text, message):
    """A wrong card is never worked around."""
    with pytest.raises(Exception, match=message) as error:
        build_model(fake(metadata={METADATA_KEY: text}))
    assert error.type.__module__.startswith("edgelane")


def test_boxes_are_in_pixels_of_the_picture():
    """A picture of twice the size has boxes of twice the size, cut off at its edges."""
    model = build_model(fake())
    small, large = model(picture()), model(picture(2 * WIDTH, 2 * HEIGHT))
    np.testing.assert_allclose(small.xyxy, layouts.TRUTH.boxes, atol=2e-3)
    np.testing.assert_allclose(large.xyxy, 2 * layouts.TRUTH.boxes, atol=4e-3)
    flat = model(picture(WIDTH, 50))  # of the letterbox's lower part nothing is picture
    assert flat.xyxy[:, 3].max() <= 50
    assert (flat.xyxy[:, 3] > flat.xyxy[:, 1]).all()


def test_the_steps_are_the_whole():
    """preprocess, infer and postprocess one after another give what calling the model gives."""
    model = build_model(fake())
    image = picture(333, 222)
    tensor, transform = model.preprocess(image)
    assert tensor.shape == (3, HEIGHT, WIDTH)
    whole = model(image)
    for batch in (tensor, tensor[None]):
        parts = model.postprocess(model.infer(batch), transform)
        np.testing.assert_array_equal(parts.xyxy, whole.xyxy)
    listed = model.postprocess(model.infer(np.stack((tensor, tensor))), [transform, transform])
    assert [len(d) for d in listed] == [len(whole)] * 2


def test_classes_by_name_and_number():
    """Kept classes keep their ids; a name the model lacks is a mistake of the config."""
    metadata = {METADATA_KEY: card().to_json()}
    model = build_model(fake(metadata=metadata), classes=["cart", "4"])
    assert model.keep.tolist() == [2, 4]
    assert model(picture()).class_id.tolist() == [2, 4]
    with pytest.raises(ConfigError, match="(?i)did you mean 'person'"):
        build_model(fake(metadata=metadata), classes=["persons"])
    with pytest.raises(ConfigError, match="no class '5'"):
        build_model(fake(metadata=metadata), classes=["5"])
    with pytest.raises(ConfigError, match="names none"):
        build_model(fake(metadata=metadata), classes=[])


def test_classes_of_models_that_do_not_name_them():
    """By number where nothing names them; one nameless class needs no choice."""
    backend = fake(layouts.end_to_end())
    assert build_model(backend).classes == ()
    assert build_model(backend, classes=["2"])(picture()).class_id.tolist() == [2]
    with pytest.raises(ConfigError, match="by number"):
        build_model(backend, classes=["person"])
    one = fake({"boxes": np.zeros((1, 426, 4), np.float32), "s": np.zeros((1, 1, 426), np.float32)})
    with pytest.raises(ConfigError, match="leave classes out"):
        build_model(one, decoder="picodet", classes=["person"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.5}, "confidence is out of range"),
        ({"nms_iou": -0.1}, "nms_iou is out of range"),
        ({"input": {"color": "rgb"}}, "(?i)did you mean 'colour'"),
        ({"input": {"size": [32, 32]}}, "fixed in the graph"),
        ({"input": {"size": "big"}}, "input.size is wrong"),
        ({"input": {"size": [0, 4]}}, "input.size is wrong"),
        ({"input": {"resize": "zoom"}}, "input.resize is unknown"),
        ({"input": {"std": [0, 1, 1]}}, "input.std is wrong"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    """Each gets one sentence that names the field."""
    with pytest.raises((ConfigError, ModelError), match=message):
        build_model(fake(), **options)


def test_an_open_input_size(tmp_path):
    """It is what the caller, the card or the file's metadata says, or 640x640."""
    shape = (None, 3, "height", "width")
    path = tmp_path / "m.onnx"

    def save(metadata=()):
        outputs = layouts.end_to_end()
        return graphs.save_graph(path, outputs, image=shape, metadata=dict(metadata))

    with load_model(save()) as model:
        assert model.card.input.size == (640, 640)
    with load_model(save({"imgsz": "[128, 160]"})) as model:
        assert model.card.input.size == (160, 128)
    with load_model(save(), input={"size": [320, 192]}) as model:
        assert model.card.input.size == (320, 192)
        assert model.preprocess(picture())[0].shape == (3, 192, 320)


def test_a_channels_last_input_of_pixels():
    """NHWC and uint8 inputs take the picture as it is."""
    seen = []

    def answer(feeds):
        seen.append(feeds["input"])
        return layouts.yolox()

    outputs = [TensorSpec("output", (1, 420, 10), np.dtype(np.float32))]
    backend = FakeBackend(
        answer, [TensorSpec("input", (1, HEIGHT, WIDTH, 3), np.dtype(np.uint8))], outputs
    )
    model = build_model(backend)
    assert model.card.input.layout == "nhwc"
    assert model.takes_pixels
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    model(image)
    np.testing.assert_array_equal(seen[-1][0], image)


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [TensorSpec("x", (1, 80), np.dtype(np.float32))],
        [TensorSpec("x", (1, 1, 64, 64), np.dtype(np.float32))],
        [TensorSpec(n, (1, 3, 64, 64), np.dtype(np.float32)) for n in "ab"],
    ],
)
def test_graphs_that_take_no_picture(inputs):
    """Their inputs are listed."""
    with pytest.raises(ModelError, match="one colour picture"):
        build_model(fake(inputs=inputs))


def test_an_input_nobody_knows():
    """A side input is filled only where its meaning is known."""
    inputs = [
        TensorSpec("images", (1, 3, HEIGHT, WIDTH), np.dtype(np.float32)),
        TensorSpec("anchors", (1, 9), np.dtype(np.float32)),
    ]
    with pytest.raises(ModelError, match="'anchors'"):
        build_model(fake(inputs=inputs))


def test_side_inputs_are_filled_for_every_picture():
    """The graph is told the size of its own input, once for each picture of the batch."""
    seen = []

    def answer(feeds):
        seen.append(feeds)
        count = len(feeds["image"])
        return {k: np.repeat(v, count, 0) for k, v in layouts.end_to_end().items()}

    def tensor(name, shape, kind=np.float32):
        return TensorSpec(name, shape, np.dtype(kind))

    inputs = [
        tensor("im_shape", (None, 2)),
        tensor("image", (None, 3, HEIGHT, WIDTH)),
        tensor("scale_factor", (None, 2)),
        tensor("orig_target_sizes", (None, 2), np.int64),
    ]
    model = build_model(FakeBackend(answer, inputs, [tensor("output0", (None, 300, 6))]))
    assert len(model.predict_batch([picture(), picture()])) == 2
    assert seen[-1]["im_shape"].tolist() == [[HEIGHT, WIDTH]] * 2
    assert seen[-1]["scale_factor"].tolist() == [[1, 1]] * 2
    assert seen[-1]["orig_target_sizes"].tolist() == [[WIDTH, HEIGHT]] * 2
    assert seen[-1]["orig_target_sizes"].dtype == np.int64


def test_names_of_classes():
    """From the file's metadata, from COCO where their number says so, or numbered."""
    assert class_names(2, {"names": "{0: 'a', 1: 'b'}"}) == ("a", "b")
    assert class_names(3, {"names": "['x', 'y', 'z']"}) == ("x", "y", "z")
    assert class_names(None, {"names": "{0: 'a', 2: 'c'}"}) == ("a", "class_1", "c")
    assert class_names(80, {}) == COCO_80
    assert class_names(91, {}) == COCO_91
    assert class_names(2, {}) == ("class_0", "class_1")
    assert class_names(None, {}) == ()
    for harmful in ("__import__('os').abort()", "{0: open('x')}", "{'a': 'b'}", "((", "7", ""):
        assert class_names(2, {"names": harmful}) == ("class_0", "class_1")
    assert COCO_91[1] == "person"
    assert COCO_91[90] == "toothbrush"
    assert len(COCO_IDS) == len(COCO_80) == 80


def test_threads_get_their_own_answers():
    """One model serves several threads, each with pictures of its own size."""
    model = build_model(fake())
    sizes = [(160, 128), (320, 256), (640, 512), (200, 100)]
    expected = {size: model(picture(*size)).xyxy for size in sizes}
    wrong = []

    def work(size):
        for _ in range(30):
            if not np.array_equal(model(picture(*size)).xyxy, expected[size]):
                wrong.append(size)

    threads = [threading.Thread(target=work, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closing_closes_the_backend():
    """Also when it is used in a with statement, and when building it fails."""
    backend = fake()
    with build_model(backend):
        assert not backend.closed
    assert backend.closed


def test_nothing_found_is_no_special_case():
    """Empty detections have the shapes of full ones."""
    outputs = {"output": layouts.yolox()["output"] * 0}
    found = build_model(fake(outputs))(picture())
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)


@pytest.mark.data
def test_real_detections_on_a_real_frame(data):
    """YOLOX-nano sees the people of the first frame that its recorded detections hold."""
    cv2 = pytest.importorskip("cv2")
    capture = cv2.VideoCapture(str(data / "video" / "vtest_480x360.mp4"))
    rows = np.loadtxt(
        data / "mot" / "PETS09-S2L1" / "det" / "det_yolox_nano_416.txt", delimiter=","
    )
    path = data / "weights" / "yolox_nano_416.onnx"
    options = {"classes": ["person"], "nms_iou": 0.45, "confidence": 0.2, "threads": 1}
    with load_model(path, **options) as model:
        for number in range(1, 21):
            good, image = capture.read()
            assert good
            found = model(image)
            known = rows[(rows[:, 0] == number) & (rows[:, 6] >= 0.3)]
            # Recorded in pixels of 768x576 for a video of 480x360, to two decimals, and with a
            # resize that rounds otherwise.
            boxes = np.c_[known[:, 2:4], known[:, 2:4] + known[:, 4:6]] * 480 / 768
            boxes = boxes.clip(0, [480, 360, 480, 360])
            distance = np.abs(found.xyxy[:, None] - boxes[None]).max(2)
            assert distance.min(0).max() < 0.5
            near = found.score[distance.argmin(0)]
            np.testing.assert_allclose(near, known[:, 6], atol=0.02)
            assert (distance.min(1)[found.score >= 0.32] < 0.5).all()
    capture.release()
