"""Average precision and recall are those of the definition, on made and on real data."""

import json

import numpy as np
import pytest

from edgelane.benchmarks import detector, nms
from edgelane.core import DataError, Detections, UsageError

cv2 = pytest.importorskip("cv2")


class Script:
    """A model that answers with given detections in turn."""

    classes = ("person", "dog")

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, image):
        return self.answers.pop(0)


def one(box, score=0.9, kind=0):
    return Detections(np.array([box], np.float32), [score], [kind])


@pytest.fixture
def coco(tmp_path):
    """Two images with one person each, and one dog that nobody finds."""
    annotations = []
    for number, (image, category) in enumerate(((1, 7), (2, 7), (2, 9)), 1):
        annotations.append(
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": [10, 10, 40, 60],
                "area": 2400,
                "iscrowd": 0,
            }
        )
    images = []
    for number in (1, 2):
        name = f"{number}.png"
        cv2.imwrite(str(tmp_path / name), np.zeros((100, 100, 3), np.uint8))
        images.append({"id": number, "file_name": name, "width": 100, "height": 100})
    categories = [{"id": 7, "name": "person"}, {"id": 9, "name": "dog"}]
    path = tmp_path / "instances.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


def test_average_precision_is_that_of_the_definition(coco, tmp_path):
    """All found exactly is 1; half of the people and no dog is a quarter."""
    pytest.importorskip("faster_coco_eval")
    right = one([10, 10, 50, 70])
    both = Detections(np.tile(right.xyxy, (2, 1)), [0.9, 0.8], [0, 1])
    full = detector.average_precision(Script(right, both), str(coco), str(tmp_path))
    assert full["ap"] == pytest.approx(1.0)
    assert full["classes"] == {"person": pytest.approx(1.0), "dog": pytest.approx(1.0)}
    half = detector.average_precision(Script(right, Detections.empty()), str(coco), str(tmp_path))
    assert half["classes"]["dog"] == 0
    assert half["classes"]["person"] == pytest.approx(0.5, abs=0.01)
    none = detector.average_precision(
        Script(Detections.empty(), Detections.empty()), str(coco), str(tmp_path)
    )
    assert none["ap"] == 0
    with pytest.raises(DataError, match="--names"):
        detector.average_precision(Script(), str(coco), str(tmp_path), ["cat"])


def test_recall_and_precision_of_a_video(tmp_path):
    """Each true box is found once at most; boxes in other pixels are scaled."""
    path = str(tmp_path / "v.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    truth = tmp_path / "gt.txt"
    truth.write_text("1,1,20,20,40,40,1\n2,1,20,20,40,40,1\n2,2,80,20,20,40,1\n")
    twice = Detections(np.array([[10, 10, 30, 30]] * 2, np.float32), [0.9, 0.8], [0, 0])
    missed = one([0, 0, 5, 5], 0.2)
    result = detector.recall_precision(Script(twice, missed), path, str(truth), truth_width=128)
    assert result["frames"] == 2
    assert result["truth"] == 3
    assert result["found"] == 2
    assert result["recall"] == pytest.approx(1 / 3)
    assert result["precision"] == pytest.approx(1 / 2)


def test_nothing_to_measure_on_is_a_mistake():
    """The command says what it needs."""
    with pytest.raises(UsageError, match="--annotations and --images"):
        detector.main(["--model", "m.onnx"])


def test_the_suppression_benchmark_compares_equal_results():
    """What is timed keeps the same boxes."""
    rows = nms.measure(counts=(20, 100), seconds=0.01)
    assert all(row["same"] for row in rows)
    assert all(row["edgelane"] > 0 for row in rows)


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "names", "least"),
    [
        ("yolox_nano_416.onnx", None, 0.30),
        ("nanodet_m_416.onnx", None, 0.26),
        ("picodet_s_320_pedestrian.onnx", "person", 0.43),
        ("fastestdet.onnx", None, 0.185),
    ],
)
def test_real_models_reach_the_precision_of_reference_decoders(data, file, names, least, capsys):
    """A wrong half pixel, colour order or distribution would cost several points."""
    pytest.importorskip("faster_coco_eval")
    arguments = [
        "--json",
        "--model", str(data / "weights" / file),
        "--annotations", str(data / "coco" / "annotations" / "instances_train2017.json"),
        "--images", str(data / "coco" / "train2017"),
    ]  # fmt: skip
    result = detector.main(arguments + (["--names", names] if names else []))
    assert result["ap"] >= least
    assert json.loads(capsys.readouterr().out)["ap"] == result["ap"]
