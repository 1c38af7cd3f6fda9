"""Known boxes in each family's layout, through a true graph, come back as they were."""

import dataclasses

import graphs
import layouts
import numpy as np
import pytest

from edgelane.core import InputSpec, ModelError, UsageError
from edgelane.runtime.backends import TensorSpec
from edgelane.runtime.decoders import FAMILIES, Request, find_family
from edgelane.runtime.decoders.base import pick
from edgelane.runtime.model import build_model, load_model
from edgelane.runtime.testing import FakeBackend

# Conversions of RF-DETR use the same names for another input: d-fine must be named, or on a card.
TOLD_APART = [name for name in FAMILIES if name != "d-fine"]
IMAGE = np.full((layouts.SIZE[1], layouts.SIZE[0], 3), 90, np.uint8)


def save(tmp_path, name, outputs=None, **options):
    if name == "rt-detr":
        options.setdefault("side_inputs", {"orig_target_sizes": 2})
        options.setdefault("scaled_by", {"boxes": "orig_target_sizes"})
    outputs = layouts.LAYOUTS[name] if outputs is None else outputs
    return graphs.save_graph(tmp_path / f"{name}.onnx", outputs, layouts.SIZE, **options)


def assert_truth(found, truth=layouts.TRUTH):
    assert found.class_id.tolist() == truth.classes.tolist()
    np.testing.assert_allclose(found.score, truth.scores, atol=1e-5)
    np.testing.assert_allclose(found.xyxy, truth.boxes, atol=2e-3)


@pytest.mark.parametrize("name", TOLD_APART)
def test_boxes_come_back_and_the_family_is_recognised(tmp_path, name):
    """Every known family is told from its outputs alone, and read exactly."""
    with load_model(save(tmp_path, name)) as model:
        assert model.card.decoder == name
        assert_truth(model(IMAGE))


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_named_decoder_reads_the_same(tmp_path, name):
    """Naming the decoder gives what recognising it gives."""
    with load_model(save(tmp_path, name), decoder=name) as model:
        assert_truth(model(IMAGE))


def test_conversions_of_two_transformers_are_not_guessed_at(tmp_path):
    """`pred_boxes` and `logits` may be D-FINE's or RF-DETR's, which want other pictures."""
    path = save(tmp_path, "d-fine")
    with pytest.raises(ModelError, match="d-fine") as caught:
        load_model(path)
    assert "rf-detr" in str(caught.value)
    with load_model(path, decoder="rf-detr") as model:
        assert model.card.input.mean == (0.485, 0.456, 0.406)
        assert_truth(model(IMAGE))
    with load_model(path, decoder="d-fine") as model:
        assert model.card.input.mean == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", TOLD_APART)
def test_open_output_shapes_are_settled_by_a_run(tmp_path, name):
    """Exporters leave output axes open; the shapes of a real run decide then."""
    with load_model(save(tmp_path, name, open_shapes=True)) as model:
        assert model.card.decoder == name
        assert_truth(model(IMAGE))


@pytest.mark.parametrize("name", TOLD_APART)
@pytest.mark.parametrize("keep", [(2,), (0, 4), (1, 3)])
def test_choosing_classes_is_the_same_as_filtering_afterwards(tmp_path, name, keep):
    """No anchor changes its class because its best one is not wanted."""
    outputs = {k: v.copy() for k, v in layouts.LAYOUTS[name].items()}
    path = save(tmp_path, name, outputs)
    with load_model(path, confidence=0.05) as everything:
        rows = np.isin(everything(IMAGE).class_id, keep)
        expected = everything(IMAGE).select(rows)
    with load_model(path, confidence=0.05, classes=[str(k) for k in keep]) as model:
        found = model(IMAGE)
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
    np.testing.assert_array_equal(found.score, expected.score)
    np.testing.assert_array_equal(found.class_id, expected.class_id)


@pytest.mark.parametrize("name", TOLD_APART)
def test_confidence_is_a_floor(tmp_path, name):
    """Nothing below it is given, everything from it on is."""
    path = save(tmp_path, name)
    for confidence, count in ((0.6, 2), (0.8, 1), (0.99, 0), (0.2, 3)):
        with load_model(path, confidence=confidence) as model:
            assert len(model(IMAGE)) == count


@pytest.mark.parametrize("name", TOLD_APART)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_numbers_that_are_none_are_dropped_and_told_once(tmp_path, name, poison, caplog):
    """NaN and infinity in boxes and scores cost their own rows, not the frame."""
    outputs = {}
    random = np.random.default_rng(1)
    for key, value in layouts.LAYOUTS[name].items():
        value = value.copy()
        if value.dtype.kind == "f":
            flat = value.reshape(-1)
            quiet = np.flatnonzero(np.abs(flat) < 1e3)
            flat[random.choice(quiet, max(len(quiet) // 50, 1), replace=False)] = poison
        outputs[key] = value
    with load_model(save(tmp_path, name, outputs), decoder=name) as model:
        for _ in range(3):
            found = model(IMAGE)
    assert np.isfinite(found.xyxy).all()
    assert np.isfinite(found.score).all()
    assert len([r for r in caplog.records if "not finite" in r.getMessage()]) <= 1


def test_a_row_that_is_no_number_is_told(tmp_path, caplog):
    """The log names the model once, however many frames follow."""
    outputs = {k: v.copy() for k, v in layouts.yolox().items()}
    outputs["output"][0, :2, 4:] = np.nan
    with load_model(save(tmp_path, "yolox", outputs)) as model:
        for _ in range(3):
            assert_truth(model(IMAGE))
    told = [r.getMessage() for r in caplog.records if "not finite" in r.getMessage()]
    assert len(told) == 1
    assert "yolox.onnx" in told[0]


def test_a_batch_gives_what_single_pictures_give(tmp_path):
    """An open batch runs at once, a fixed one in pieces, and both in order."""
    for image in ((None, 3, 128, 160), (1, 3, 128, 160), (2, 3, 128, 160)):
        with load_model(save(tmp_path, "yolox", image=image)) as model:
            images = [IMAGE, IMAGE[:64], IMAGE]
            found = model.predict_batch(images)
            assert len(found) == 3
            assert_truth(found[0])
            for alone, together in zip(map(model, images), found):
                np.testing.assert_array_equal(alone.xyxy, together.xyxy)
            assert model.predict_batch([]) == []


def test_every_family_takes_a_batch(tmp_path):
    """Graphs with an open batch are read picture by picture."""
    for name in TOLD_APART:
        with load_model(save(tmp_path, name, image=(None, 3, 128, 160))) as model:
            for found in model.predict_batch([IMAGE, IMAGE]):
                assert_truth(found)


def test_wider_distributions_are_told_by_the_class_names(tmp_path):
    """NanoDet-Plus with eleven bins, which the shape alone does not tell from more classes."""
    outputs = layouts.nanodet_table((8, 16, 32, 64), 0.0, bins=11)
    names = str({i: f"kind {i}" for i in range(layouts.CLASSES)})
    path = save(tmp_path, "nanodet-plus", outputs, metadata={"names": names})
    with load_model(path) as model:
        assert model.card.decoder == "nanodet-plus"
        assert model.classes[0] == "kind 0"
        assert_truth(model(IMAGE))


def test_other_bins_of_levels(tmp_path):
    """NanoDet's larger models have eleven bins a side."""
    with load_model(save(tmp_path, "nanodet", layouts.nanodet_levels(bins=11))) as model:
        assert_truth(model(IMAGE))


def test_names_of_suppressed_outputs_that_other_exporters_use(tmp_path):
    """`bboxes, scores, labels` after `num_dets` are the same thing."""
    outputs = layouts.num_dets(("num_dets", "bboxes", "scores", "labels"))
    with load_model(save(tmp_path, "num-dets", outputs)) as model:
        assert_truth(model(IMAGE))


def test_yolov9_without_its_distributions(tmp_path):
    """Exporters drop outputs that nothing needs."""
    with load_model(save(tmp_path, "yolov9-mit", layouts.yolov9(distributions=False))) as model:
        assert_truth(model(IMAGE))


def test_four_classes_are_told_from_four_sides(tmp_path, monkeypatch):
    """DAMO-YOLO with four classes has two outputs of one shape."""
    monkeypatch.setattr(layouts, "CLASSES", 4)
    truth = layouts.Truth(
        layouts.TRUTH.boxes, layouts.TRUTH.scores, np.minimum(layouts.TRUTH.classes, 3)
    )
    monkeypatch.setattr(layouts, "TRUTH", truth)
    for order in (("scores", "boxes"), ("boxes", "scores")):
        outputs = layouts.boxes_scores((8, 16, 32), False, order)
        renamed = {str(i): value for i, value in enumerate(outputs.values())}
        with load_model(save(tmp_path, "damo-yolo", renamed)) as model:
            assert_truth(model(IMAGE), truth)


def test_yolov5_with_its_raw_maps_beside_the_table(tmp_path):
    """Older exports give them too; the table is enough."""
    outputs = dict(layouts.yolov5())
    for index, stride in enumerate((8, 16, 32)):
        shape = (1, 3, layouts.SIZE[1] // stride, layouts.SIZE[0] // stride, 5 + layouts.CLASSES)
        outputs[f"raw_{index}"] = np.zeros(shape, np.float32)
    with load_model(save(tmp_path, "yolov5", outputs)) as model:
        assert_truth(model(IMAGE))


def test_as_many_rows_as_there_are_objects():
    """An open number of rows is none for the black picture that settles the shapes."""

    def answer(feeds):
        rows = layouts.end_to_end()["output0"][:, :3]
        return {"output0": rows if feeds["images"].any() else rows[:, :0]}

    picture = TensorSpec("images", (1, 3, *layouts.SIZE[::-1]), np.dtype(np.float32))
    output = TensorSpec("output0", (1, None, 6), np.dtype(np.float32))
    model = build_model(FakeBackend(answer, [picture], [output]))
    assert model.card.decoder == "end-to-end"
    assert_truth(model(IMAGE))


def test_half_precision_outputs(tmp_path):
    """A graph converted to fp16 is read in single precision."""
    outputs = {k: v.astype(np.float16) for k, v in layouts.yolox(raw=False).items()}
    with load_model(save(tmp_path, "yolox-decoded", outputs)) as model:
        found = model(IMAGE)
    assert found.class_id.tolist() == layouts.TRUTH.classes.tolist()
    np.testing.assert_allclose(found.xyxy, layouts.TRUTH.boxes, atol=0.2)


def test_usual_inputs_are_sound():
    """Every family's usual input makes an InputSpec, and its thresholds lie in range."""
    for family in FAMILIES.values():
        spec = InputSpec(size=(64, 64), **family.input)
        assert dataclasses.asdict(spec)["size"] == (64, 64)
        assert family.nms_iou is None or 0 < family.nms_iou < 1
        assert 0 < family.confidence < 1


def test_an_unknown_decoder_suggests_a_known_one(tmp_path):
    """A misspelt name is a mistake of the caller."""
    with pytest.raises(UsageError, match="did you mean 'yolov8'|Did you mean 'yolov8'"):
        find_family("yolo8")
    with pytest.raises(UsageError, match="(?i)did you mean 'yolox'"):
        load_model(save(tmp_path, "yolox"), decoder="yolxo")


def test_a_decoder_that_does_not_fit_says_why(tmp_path):
    """The error names the outputs, the layout and the reason."""
    with pytest.raises(ModelError) as error:
        load_model(save(tmp_path, "yolov8"), decoder="fastestdet")
    text = str(error.value)
    assert "fastestdet" in text
    assert "output0" in text
    assert "stride 16" in text


OWN = """
import numpy as np

def decode(outputs, request):
    table = outputs["output"][0]
    assert request.size == (160, 128)
    return table[:, :4], table[:, 4], table[:, 5].astype(int)

def wrong(outputs, request):
    return [[0, 0, 1, 1]], [0.5, 0.5], [1]

number = 5
"""


def test_a_decoder_of_ones_own(tmp_path, monkeypatch):
    """`module:function` is found in the current folder; thresholds, classes and NMS still hold."""
    (tmp_path / "my_own_decoder.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    rows = [[*box, score, kind] for box, score, kind in zip(*layouts.TRUTH)]
    rows += [[21, 31, 61, 111, 0.8, 2], [1, 1, 9, 9, 0.1, 0], [1, 1, 9, 9, np.nan, 0]]
    outputs = {"output": np.array([rows], np.float32)}
    path = save(tmp_path, "own", outputs)
    with load_model(path, decoder="my_own_decoder:decode") as model:
        assert model.card.decoder == "my_own_decoder:decode"
        assert_truth(model(IMAGE))
    with load_model(path, decoder="my_own_decoder:decode", classes=["4"]) as model:
        assert model(IMAGE).class_id.tolist() == [4]
    with load_model(path, decoder="my_own_decoder:wrong") as model, pytest.raises(
        ModelError, match="boxes"
    ):
        model(IMAGE)
    with pytest.raises(UsageError, match="(?i)did you mean 'decode'"):
        load_model(path, decoder="my_own_decoder:decod")
    with pytest.raises(UsageError, match="no function 'number'"):
        load_model(path, decoder="my_own_decoder:number")
    with pytest.raises(UsageError, match="no module 'nowhere_to_be_found'"):
        load_model(path, decoder="nowhere_to_be_found:decode")
    (tmp_path / "broken_decoder.py").write_text("1 / 0")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load_model(path, decoder="broken_decoder:decode")


def test_picking_looks_at_wanted_classes_only_where_that_is_exact():
    """On random scores the choice beforehand equals the filter afterwards, in both layouts."""
    random = np.random.default_rng(2)
    scores = random.uniform(0, 1, (400, 7)).astype(np.float32)
    for keep in (None, np.array([3]), np.array([0, 6])):
        request = Request((1, 1), 0.85, keep)
        rows, best, kinds = pick(scores, request)
        top = scores.argmax(1)
        good = scores.max(1) >= 0.85
        if keep is not None:
            good &= np.isin(top, keep)
        assert rows.tolist() == np.flatnonzero(good).tolist()
        assert kinds.tolist() == top[good].tolist()
        np.testing.assert_array_equal(best, scores.max(1)[good])
        again = pick(np.ascontiguousarray(scores.T), request, axis=0)
        for one, two in zip((rows, best, kinds), again):
            np.testing.assert_array_equal(one, two)
