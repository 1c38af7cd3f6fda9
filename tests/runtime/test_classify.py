"""Classifiers: what their numbers are is recognised, and pictures are cut as the card says."""

import json

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")

from classifiers import picture, save_colours  # noqa: E402

from edgelane.core import ConfigError, DataError, InputSpec, ModelError, UsageError  # noqa: E402
from edgelane.runtime.classify import add_map, best, load_classifier  # noqa: E402
from edgelane.runtime.classify.cutting import View, box_view, cut, whole_view  # noqa: E402
from edgelane.runtime.classify.meaning import MEANINGS, find_meaning  # noqa: E402

ENDS = ("logits", "softmax", "log-softmax", "own")
BOX = (40, 20, 60, 44)


@pytest.mark.parametrize("end", ENDS)
def test_scores_are_probabilities_whatever_the_graph_ends_with(tmp_path, end):
    path = save_colours(tmp_path / "m.onnx", "gemm", end, card={})
    with load_classifier(path, threads=1) as model:
        score = model(picture("green", BOX))
    assert model.classes == ("red", "green", "blue")
    assert model.meaning.name == ("softmax" if end == "own" else end)
    assert score.sum() == pytest.approx(1, abs=1e-5)
    reference = load_classifier(save_colours(tmp_path / "r.onnx", card={}))(picture("green", BOX))
    assert score == pytest.approx(reference, abs=1e-5)
    assert best(score, model.classes, 2)[0][0] == "green"


def test_a_sigmoid_makes_every_class_stand_on_its_own(tmp_path):
    done = load_classifier(save_colours(tmp_path / "s.onnx", "gemm", "sigmoid", card={}))
    asked = load_classifier(
        save_colours(tmp_path / "l.onnx", "gemm", "logits", card={}), decoder="multi-label"
    )
    image = picture("red", BOX)
    assert done.multi and asked.multi
    assert done(image) == pytest.approx(asked(image), abs=1e-6)
    assert done(image).sum() > 1.2


def test_a_decoder_that_does_not_fit_and_one_that_there_is_not_are_told(tmp_path):
    path = save_colours(tmp_path / "m.onnx", "gemm", "softmax", card={})
    with pytest.raises(ModelError, match=r"decoder 'logits' does not fit .*add up to 1"):
        load_classifier(path, decoder="logits")
    with pytest.raises(ModelError, match=r"'multi-label' does not fit"):
        load_classifier(path, decoder="multi-label")
    with pytest.raises(UsageError, match=r"no decoder 'softmx'.*softmax"):
        load_classifier(path, decoder="softmx")


def test_values_that_may_be_two_things_are_no_guess():
    answers = [np.array([0.2, 0.3, 0.1]), np.array([0.5, 0.1, 0.1])]
    with pytest.raises(ModelError, match=r"nothing tells whether .*0.1 to 0.5"):
        find_meaning(None, None, answers, "m.engine")
    assert find_meaning("sigmoid", None, answers, "m.engine") == MEANINGS["sigmoid"]
    assert find_meaning(None, None, [np.array([-3.0, 2])], "m").name == "logits"
    assert find_meaning(None, None, [np.array([0.25, 0.75])], "m").name == "softmax"
    halves = [np.log([0.5, 0.5]), np.log([0.1, 0.9])]
    assert find_meaning("argmax", None, halves, "m").name == "log-softmax"


def test_without_a_card_it_is_fed_as_imagenet_is(tmp_path):
    with load_classifier(save_colours(tmp_path / "m.onnx")) as model:
        spec = model.card.input
        assert spec.resize == "crop" and spec.colour == "rgb"
        assert spec.mean == (0.485, 0.456, 0.406) and model.settings.crop == 0.875
        assert model.classes == ("class_0", "class_1", "class_2")


def test_whole_pictures_are_cut_as_the_card_says():
    spec = InputSpec((224, 224), resize="crop")
    assert whole_view((640, 480), spec, 1.0).box == (80, 0, 560, 480)
    assert whole_view((640, 480), spec, 0.875).box == (110, 30, 530, 450)
    assert whole_view((640, 480), InputSpec((224, 224), resize="stretch"), 1.0).box == (
        0, 0, 640, 480,
    )  # fmt: skip
    assert whole_view((640, 480), InputSpec((224, 224), resize="centre"), 1.0).box == (
        0, -80, 640, 560,
    )  # fmt: skip


def test_cutting_shows_what_torch_resizes_and_crops():
    """Shorter side to 256 and the middle 224 of it, as ImageNet is judged."""
    draws = np.random.default_rng(1)
    image = cv2.GaussianBlur(draws.integers(0, 256, (600, 800, 3), np.uint8), (0, 0), 6)
    spec = InputSpec((224, 224), resize="crop")
    mine = cut(image, whole_view((800, 600), spec, 0.875), spec)
    resized = cv2.resize(image, (round(800 * 256 / 600), 256), interpolation=cv2.INTER_AREA)
    left, top = (resized.shape[1] - 224) // 2, 16
    theirs = resized[top : top + 224, left : left + 224]
    assert np.abs(mine.astype(int) - theirs).mean() < 1.0


def test_cuts_are_averaged_where_they_shrink_and_bit_alike_where_they_grow():
    """Stripes turn into grey also where only one side shrinks; growing is exact everywhere."""
    spec = InputSpec((16, 16), resize="stretch")
    stripes = np.zeros((16, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (cut(stripes, View((0, 0, 64, 16), (64, 16)), spec) == 100).all()
    small = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    grown = cut(small, View((0, 0, 9, 7), (9, 7)), spec)
    exact = cv2.resize(small, (16, 16), interpolation=cv2.INTER_LINEAR_EXACT)
    assert np.array_equal(grown, exact)


def test_a_box_beyond_the_picture_is_filled_up():
    spec = InputSpec((8, 8), resize="stretch", pad=7)
    image = np.full((10, 10, 3), 200, np.uint8)
    part = cut(image, View((-5, 0, 5, 10), (10, 10)), spec)
    assert (part[:, :4] == 7).all() and (part[:, 4:] == 200).all()
    assert (cut(image, View((50, 50, 60, 60), (10, 10)), spec) == 7).all()
    with pytest.raises(DataError, match="not finite or has no area"):
        box_view(np.array([0, 0, np.nan, 5]), (10, 10), spec, 1.0)


def test_boxes_are_looked_at_in_one_batch_and_none_is_no_question(tmp_path):
    path = save_colours(tmp_path / "m.onnx", card={})
    image = picture("blue", BOX)
    with load_classifier(path, threads=1) as model:
        rows = model(image, np.array([BOX, (0, 0, 20, 20), (0, 0, 64, 48)]))
        assert rows.shape == (3, 3) and rows[0].argmax() == 2
        assert rows[2] == pytest.approx(model(image), abs=1e-6)
        assert model(image, np.zeros((0, 4))).shape == (0, 3)
    fixed = load_classifier(save_colours(tmp_path / "f.onnx", card={}, batch=1), threads=1)
    assert fixed(image, np.array([BOX, (0, 0, 20, 20), (0, 0, 64, 48)])) == pytest.approx(
        rows, abs=1e-6
    )


@pytest.mark.parametrize("head", ["gemm", "gemm-plain", "matmul", "conv", "features"])
@pytest.mark.parametrize("end", ["logits", "softmax", "sigmoid"])
def test_the_map_is_where_the_class_is_and_averages_to_its_score(tmp_path, head, end):
    path = save_colours(tmp_path / "m.onnx", head, end, card={})
    image = picture("green", BOX)
    with load_classifier(path, maps=True, threads=1) as model:
        tensor, view = model.preprocess(image)
        outputs = model.infer(tensor)
        seen = model.postprocess(outputs, view)
        maps = outputs["edgelane_map"][0]
        red = model.map(image, 0)
    assert seen.map.shape == image.shape[:2] and seen.map.max() == pytest.approx(1)
    assert seen.map[BOX[1] + 4 : BOX[3] - 4, BOX[0] + 4 : BOX[2] - 4].min() > 0.5
    assert seen.map[:10].max() < 0.2 and seen.map[:, :30].max() < 0.2
    if head == "features":
        bias = 0  # it is in the map
    else:
        assert red.max() == 0
        bias = np.array([0.1, 0.0, -0.1])
    logits = maps.mean(axis=(1, 2)) + bias
    if end == "logits":
        assert outputs["out"][0] == pytest.approx(logits, abs=1e-5)


@pytest.mark.parametrize("head, why", [("flat", "no average over the picture"), ("hidden", "Relu")])
def test_a_graph_without_maps_says_why(tmp_path, head, why):
    path = save_colours(tmp_path / "m.onnx", head, card={})
    with pytest.raises(ModelError, match=f"has no class-activation map.*{why}"):
        load_classifier(path, maps=True)
    assert load_classifier(path)(picture("red", BOX)).argmax() == 0


def test_a_map_made_once_stays_in_the_file(tmp_path):
    path = save_colours(tmp_path / "m.onnx", card={})
    out = tmp_path / "with.onnx"
    add_map(path, out)
    before = out.read_bytes()
    assert before.startswith((tmp_path / "m.onnx").read_bytes())
    with load_classifier(out) as model:
        assert model.maps and model.postprocess(*_run(model)).map.max() == pytest.approx(1)
    add_map(out, out)
    assert out.read_bytes() == before


def _run(model):
    tensor, view = model.preprocess(picture("red", BOX))
    return model.infer(tensor), view


def test_bad_cards_and_files_are_told(tmp_path):
    path = save_colours(tmp_path / "m.onnx", card={"extra": {"classify": {"crp": 1}}})
    with pytest.raises(ConfigError, match=r"classify.crp is unknown.*crop"):
        load_classifier(path)
    with pytest.raises(ConfigError, match=r"input.colur is unknown"):
        load_classifier(save_colours(tmp_path / "n.onnx"), input={"colur": "bgr"})
    with pytest.raises(ModelError, match=r"tells apart 3 classes: got 2 names"):
        load_classifier(save_colours(tmp_path / "n.onnx"), classes=["a", "b"])
    (tmp_path / "x.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelError):
        load_classifier(tmp_path / "x.onnx", maps=True)
    with pytest.raises(DataError, match="uint8"):
        load_classifier(save_colours(tmp_path / "n.onnx"))(np.zeros((4, 4), np.uint8))


def test_scores_that_are_no_numbers_come_last():
    assert best(np.array([np.nan, 0.2, 0.2]), ["a", "b"], 3)[:2] == [("b", 0.2), ("2", 0.2)]
    assert json.dumps(best(np.array([0.5]), ["a"])) == '[["a", 0.5]]'
