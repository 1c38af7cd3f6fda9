"""Two models agree as far as they pair; each is judged by the metric of its task."""

import json

import numpy as np
import pytest

from edgelane.calibration.accuracy import agreement, evaluate, frames, load_coco
from edgelane.calibration.accuracy.agreement import paired
from edgelane.core import DataError, Detections, InputSpec, ModelCard, ModelError
from edgelane.core.card import METADATA_KEY

cv2 = pytest.importorskip("cv2")


def boxes(*corners, score=0.9, kind=0):
    found = np.array([[x, y, x + 10, y + 10] for x, y in corners], float)
    return Detections(found, np.full(len(corners), score), np.full(len(corners), kind))


def test_each_thing_is_paired_once_and_within_its_class():
    one = boxes((0, 0), (50, 50))
    assert paired(one, one) == 2
    assert paired(one, boxes((1, 1))) == 1
    assert paired(boxes((0, 0), (1, 0)), boxes((0, 0))) == 1
    assert paired(one, boxes((0, 0), (50, 50), kind=1)) == 0
    assert paired(one, boxes((6, 0))) == 0  # IoU 40 / 160
    assert paired(one, Detections.empty()) == 0


def test_f1_counts_what_either_model_sees_alone():
    answers = [
        (boxes((0, 0), (50, 50)), boxes((0, 0))),
        (Detections.empty(), boxes((0, 0), score=0.29)),
        (boxes((0, 0)), Detections.empty()),
    ]
    one, two = (iter(side) for side in zip(*answers))
    got = agreement(lambda image: next(one), lambda image: next(two), [np.zeros((9, 9, 3))] * 3)
    assert (got.pairs, got.one, got.two, got.pictures) == (1, 3, 1, 3)
    assert got.f1 == 2 * 1 / 4
    assert agreement(*[lambda image: Detections.empty()] * 2, [None]).f1 == 1
    with pytest.raises(DataError, match="no pictures"):
        agreement(len, len, [])


def test_frames_are_every_so_many_and_no_more_than_asked(tmp_path):
    path = str(tmp_path / "v.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    assert [round(f.mean() / 20) for f in frames(path, 3)] == [0, 3, 6, 9]
    assert len(list(frames(path, most=2))) == 2
    with pytest.raises(DataError, match="cannot be read as a video"):
        next(frames(str(tmp_path / "none.avi")))


@pytest.fixture
def classifier(tmp_path):
    """A classifier that says which colour is strongest, and pictures of three colours."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    shapes = [["x", [1, 3, 8, 8]], ["y", [1, 3]]]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes]
    graph = helper.make_graph([node], "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    card = ModelCard(
        "classify", "argmax", InputSpec((8, 8), resize="stretch"), ("red", "green", "blue")
    )

    def write(task="classify"):
        del model.metadata_props[:]
        text = card.to_json().replace('"classify"', json.dumps(task))
        model.metadata_props.add(key=METADATA_KEY, value=text)
        onnx.save(model, str(tmp_path / "c.onnx"))
        return str(tmp_path / "c.onnx")

    images, annotations = [], []
    for number, (colour, label) in enumerate([(2, 1), (1, 2), (0, 3), (0, 1)], 1):
        image = np.zeros((20, 20, 3), np.uint8)
        image[..., colour] = 200
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png"})
        annotations.append({"id": number, "image_id": number, "category_id": label})
    names = [{"id": i, "name": n} for i, n in enumerate(("red", "green", "blue"), 1)]
    labels = tmp_path / "l.json"
    labels.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": names})
    )
    return write, load_coco(labels, tmp_path)


def test_a_classifier_is_judged_by_top1(classifier):
    write, dataset = classifier
    result = evaluate(write(), dataset)
    assert result.metric == "top1"
    assert result.score == 0.75
    drawn = result.redraw(np.array([[1, 1, 1, 0], [0, 0, 0, 4]]))
    assert drawn["top1"].tolist() == [1, 0]


def test_a_task_without_a_metric_and_a_wrong_card_are_told(classifier):
    write, dataset = classifier
    with pytest.raises(ModelError, match="no measure of accuracy for the task 'anomaly'"):
        evaluate(write("anomaly"), dataset)
    with pytest.raises(ModelError, match="is no classifier: got task 'detect'"):
        evaluate(write("detect"), dataset, task="classify")


@pytest.mark.data
@pytest.mark.slow
def test_a_real_detector_scores_as_the_reference_says(data):
    pytest.importorskip("pycocotools")
    from edgelane.benchmarks.detector import average_precision
    from edgelane.runtime.model import load_model

    labels = data / "coco/annotations/instances_train2017.json"
    images = data / "coco/train2017"
    path = data / "weights/fastestdet.onnx"
    with load_model(path, confidence=0.01, nms_iou=0.65, threads=1) as model:
        theirs = average_precision(model, str(labels), str(images))
    ours = evaluate(path, load_coco(labels, images), threads=1).scores
    for name in ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"):
        assert ours[name] == pytest.approx(theirs[name.lower()], abs=1e-4)
