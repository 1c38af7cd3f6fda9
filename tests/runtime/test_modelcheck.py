"""`check` draws what a model sees and warns where it is fed the wrong thing."""

import json

import numpy as np
import pytest

from edgelane.core import DataError, Detections, InputSpec, StorageError, UsageError
from edgelane.runtime.agreement import agreement, judge, try_inputs
from edgelane.runtime.backends import TensorSpec
from edgelane.runtime.model import build_model
from edgelane.runtime.modelcheck import check
from edgelane.runtime.testing import FakeBackend

cv2 = pytest.importorskip("cv2")

SIZE = 128
MODELS = ("yolox_nano_416", "nanodet_m_416", "picodet_s_320_pedestrian", "fastestdet")


def square_finder(expects):
    """A model that sees one bright square, if its input is what it expects.

    Args:
        expects: From the `(3, h, w)` input to blue, green and red of 0..255.
    """

    def answer(feeds):
        pixels = expects(feeds["images"][0])
        rows = np.zeros((1, 300, 6), np.float32)
        bright = (pixels[0] > 150) & (pixels[2] < 100)
        if 0 < bright.mean() < 0.8:
            y, x = np.nonzero(bright)
            rows[0, 0] = [x.min(), y.min(), x.max() + 1, y.max() + 1, 0.8, 0]
        return {"output0": rows}

    picture = TensorSpec("images", (1, 3, SIZE, SIZE), np.dtype(np.float32))
    output = TensorSpec("output0", (1, 300, 6), np.dtype(np.float32))
    return FakeBackend(answer, [picture], [output])


def bgr_255(tensor):
    return tensor


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures with a blue square each."""
    random = np.random.default_rng(0)
    images = tmp_path / "images"
    images.mkdir()
    for index in range(12):
        image = np.full((120, 160, 3), 30, np.uint8)
        left, top = (int(v) for v in random.integers(5, 80, 2))
        image[top : top + 30, left : left + 40] = (230, 90, 20)
        cv2.imwrite(str(images / f"{index}.png"), image)
    return images


def test_the_right_input_is_not_warned_about(folder, tmp_path):
    """Pictures are drawn under their own names, and the report counts what was found."""
    model = build_model(square_finder(bgr_255), input={"colour": "bgr", "scale": 1.0})
    report = check(model, folder, tmp_path / "out")
    assert report["warnings"] == []
    assert report["images"] == report["detections"] == 12
    assert report["classes"] == {"class_0": 12}
    assert report["score_histogram"][8] == 12
    assert report["agreement"]["declared"] == pytest.approx(0.8)
    assert json.loads(json.dumps(report))["images"] == 12
    assert sorted(report["timing_ms"]) == ["infer", "postprocess", "preprocess"]
    drawn = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert drawn == sorted(f"{i}.png" for i in range(12))
    before, after = cv2.imread(str(folder / "3.png")), cv2.imread(str(tmp_path / "out" / "3.png"))
    assert before.shape == after.shape
    assert (before != after).any()


@pytest.mark.parametrize(
    ("declared", "remedy"),
    [
        ({"colour": "rgb", "scale": 1.0}, "colour: bgr, scale: 1,"),
        ({"colour": "bgr", "scale": 1 / 255}, "colour: bgr, scale: 1,"),
        (
            {"colour": "bgr", "mean": (0.4, 0.4, 0.4), "std": (0.2, 0.2, 0.2)},
            "colour: bgr, scale: 1,",
        ),
    ],
)
def test_a_wrong_input_is_warned_about_with_the_right_one(folder, declared, remedy):
    """The model sees nothing, raises nothing, and the check says what to feed it."""
    report = check(build_model(square_finder(bgr_255), input=declared), folder)
    assert report["detections"] == 0
    assert "the input is wrong" in report["warnings"][0]
    assert remedy in report["warnings"][0]
    assert "finds nothing" in report["warnings"][1]


def test_other_values_are_found_too(folder):
    """A model of ImageNet-normalised RGB that is fed 0..1."""
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]

    def normalised(tensor):
        plain = tensor * std + mean
        sound = plain.min() > -0.01 and plain.max() < 1.01 and tensor.min() < -0.5
        return plain[::-1] * 255 if sound else plain * 0

    report = check(build_model(square_finder(normalised)), folder)
    assert "colour: rgb, scale: 0.0039215686, mean: [0.485, 0.456, 0.406]" in report["warnings"][0]


def test_noise_is_called_noise(folder):
    """Detections that have nothing to do with the picture are not found in its mirror image."""
    random = np.random.default_rng(1)

    def answer(feeds):
        rows = np.zeros((1, 300, 6), np.float32)
        rows[0, :20, :2] = random.uniform(0, 90, (20, 2))
        rows[0, :20, 2:4] = rows[0, :20, :2] + 30
        rows[0, :20, 4] = 0.7
        return {"output0": rows}

    backend = square_finder(bgr_255)
    backend = FakeBackend(answer, backend.inputs, backend.outputs)
    report = check(build_model(backend), folder)
    assert len(report["warnings"]) == 1
    assert "look like noise" in report["warnings"][0]


def test_a_model_that_finds_nothing(folder):
    """It may be the pictures, the threshold or the decoder."""
    backend = square_finder(lambda tensor: tensor * 0)
    report = check(build_model(backend), folder)
    assert report["detections"] == 0
    assert len(report["warnings"]) == 1
    assert "finds nothing in any picture" in report["warnings"][0]


def test_colours_are_the_only_choice_for_pixels():
    """A graph that takes uint8 has its scale inside."""
    backend = square_finder(bgr_255)
    picture = TensorSpec("images", (1, 3, SIZE, SIZE), np.dtype(np.uint8))
    backend = FakeBackend(backend.infer, [picture], backend.outputs)
    result = try_inputs(build_model(backend), [np.zeros((50, 50, 3), np.uint8)])
    assert list(result) == ["declared", "bgr pixels"]
    warnings = judge({"declared": [0.0] * 5, "bgr pixels": [1.0] * 5}, 3, [0] * 10)
    assert "input: {colour: bgr}" in warnings[0]


def test_agreement_counts_what_is_found_again():
    """Mirrored boxes of the same class count for, all others against."""
    boxes = np.array([[10, 10, 40, 60], [60, 20, 90, 80]], np.float32)
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = 100 - boxes[:, [2, 0]]
    scores = np.array([0.9, 0.5], np.float32)
    found = Detections(boxes, scores, [0, 1])
    assert agreement(found, Detections(mirrored, scores, [0, 1]), 100) == pytest.approx(1.4)
    assert agreement(found, Detections(mirrored, scores, [0, 2]), 100) == pytest.approx(0.4)
    assert agreement(found, Detections.empty(), 100) == pytest.approx(-0.7)
    assert agreement(Detections.empty(), Detections.empty(), 100) == 0
    twice = Detections(boxes[[0, 0]], [0.9, 0.9], [0, 0])
    once = Detections(mirrored[:1], [0.9], [0])
    assert agreement(twice, once, 100) == pytest.approx(0.45)


def test_small_differences_are_no_warning():
    """An input that others beat by a little, or on a few pictures only, stands."""
    random = np.random.default_rng(2)
    declared = random.uniform(1, 3, 20)
    for other in (declared * 1.1, declared + random.normal(0.1, 1, 20)):
        assert judge({"declared": declared, "rgb values of 0..1": other}, 9, [0] * 10) == []
    warnings = judge({"declared": declared, "rgb values of 0..1": declared * 1.5}, 9, [0] * 10)
    assert "may be wrong" in warnings[0]


def test_folders_that_hold_nothing_to_look_at(tmp_path):
    """Each is said in one sentence; a broken picture among others is a warning."""
    model = build_model(square_finder(bgr_255), input={"colour": "bgr", "scale": 1.0})
    with pytest.raises(DataError, match="no folder"):
        check(model, tmp_path / "nowhere")
    with pytest.raises(DataError, match="no pictures"):
        check(model, tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="can be read"):
        check(model, tmp_path)
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((40, 40, 3), np.uint8))
    report = check(model, tmp_path)
    assert report["unreadable"] == [str(tmp_path / "a.jpg")]
    assert any("a.jpg" in warning for warning in report["warnings"])


def test_an_output_folder_that_cannot_be_made(folder, tmp_path):
    """It is said before any picture is run."""
    (tmp_path / "taken").write_text("a file")
    model = build_model(square_finder(bgr_255))
    with pytest.raises(StorageError, match="cannot be made"):
        check(model, folder, tmp_path / "taken" / "out")


def test_pictures_are_never_drawn_over(folder):
    """A user's own pictures stay as they are, however their folder is named."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = build_model(square_finder(bgr_255))
    with pytest.raises(UsageError, match="would overwrite those"):
        check(model, folder, folder / ".." / folder.name)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_progress_is_told(folder):
    """Once a picture, up to all of them."""
    told = []
    check(build_model(square_finder(bgr_255)), folder, progress=lambda *state: told.append(state))
    assert told == [(i, 12) for i in range(1, 13)]


def test_a_variant_shares_the_graph():
    """Another input for the same backend, the first model unchanged."""
    model = build_model(square_finder(bgr_255))
    other = model.variant(input=InputSpec(size=(SIZE, SIZE), colour="bgr"), confidence=0.9)
    assert other.backend is model.backend
    assert (model.card.input.colour, other.card.input.colour) == ("rgb", "bgr")
    assert (model.card.confidence, other.card.confidence) == (0.3, 0.9)


@pytest.fixture
def few(data, tmp_path):
    """Eight real pictures of people."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted((data / "coco_kp" / "images").iterdir())[:8]:
        (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_real_models_with_their_own_input_are_not_warned_about(data, few, name):
    """The recognised input of each given model stands on real pictures."""
    report = check(data / "weights" / f"{name}.onnx", few, threads=1)
    assert report["warnings"] == []
    assert report["detections"] >= 8


@pytest.mark.data
def test_mean_and_std_fed_to_yolox_are_warned_about(data, few):
    """AP 0.000 and no error anywhere else: the check names 0..255."""
    normalised = {"scale": 1 / 255, "mean": [0.406, 0.456, 0.485], "std": [0.225, 0.224, 0.229]}
    report = check(data / "weights" / "yolox_nano_416.onnx", few, input=normalised)
    assert report["detections"] == 0
    assert "input: {colour: bgr, scale: 1," in report["warnings"][0]
