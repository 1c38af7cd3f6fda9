"""Average precision is that of the reference evaluator, on anything that may stand in a file."""

import contextlib
import io
import json

import numpy as np
import pytest

from edgelane.calibration.accuracy import Dataset, Picture, load_coco, paired_interval
from edgelane.calibration.accuracy.boxes import evaluate_boxes, score_boxes, shared_classes
from edgelane.core import DataError, Detections

NAMES = ("person", "dog", "cup")


def scene(seed, pictures=12):
    """Truths and detections with crowds, ties, all sizes, duplicates and empty pictures."""
    rng = np.random.default_rng(seed)
    truths, found, number = [], [], 0
    for i in range(pictures):
        boxes, classes = [], []
        for _ in range(rng.integers(0, 9)):
            number += 1
            left, top = rng.uniform(0, 400, 2)
            wide, high = np.exp(rng.uniform(np.log(6), np.log(220), 2))
            kind = int(rng.integers(0, 3))
            box = [float(np.float32(v)) for v in (left, top, wide, high)]
            truths.append(
                {
                    "id": number,
                    "image_id": i,
                    "category_id": 10 + kind,
                    "bbox": box,
                    "area": float(wide * high * rng.uniform(0.4, 1)),
                    "iscrowd": int(rng.random() < 0.15),
                }
            )
            for _ in range(rng.integers(0, 4)):
                shift = rng.normal(0, rng.choice([0.01, 0.1, 0.4]), 4) * [wide, high, wide, high]
                moved = np.array([left, top, left + wide, top + high]) + shift
                boxes.append(moved if rng.random() < 0.9 else [left, top, left + wide, top + high])
                classes.append(kind if rng.random() < 0.9 else int(rng.integers(0, 3)))
        for _ in range(rng.integers(0, 5)):
            corner = rng.uniform(0, 400, 2)
            boxes.append([*corner, *(corner + rng.uniform(4, 200, 2))])
            classes.append(int(rng.integers(0, 3)))
        score = np.round(rng.uniform(0.05, 1, len(boxes)), 1)  # many ties
        found.append(
            Detections.cleaned(np.array(boxes).reshape(-1, 4), score, np.array(classes, int))
        )
    return truths, found


def dataset_of(truths, pictures):
    by_image = {}
    for truth in truths:
        by_image.setdefault(truth["image_id"], []).append(truth)
    shown = tuple(Picture(i, None, None, tuple(by_image.get(i, ()))) for i in range(pictures))
    return Dataset("made", {name: 10 + i for i, name in enumerate(NAMES)}, shown)


def reference(truths, found):
    """What pycocotools makes of it."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(found))],
            "annotations": [dict(t) for t in truths],
            "categories": [{"id": 10 + i, "name": n} for i, n in enumerate(NAMES)],
        }
        coco.createIndex()
        rows = [
            {
                "image_id": i,
                "category_id": 10 + int(d.class_id[k]),
                "bbox": [*(float(v) for v in d.xyxy[k, :2].astype(float))]
                + [float(v) for v in d.xyxy[k, 2:].astype(float) - d.xyxy[k, :2].astype(float)],
                "score": float(d.score[k]),
            }
            for i, d in enumerate(found)
            for k in range(len(d))
        ]
        evaluator = COCOeval(coco, coco.loadRes(rows), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    keys = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR")
    return dict(zip(keys, evaluator.stats))


@pytest.mark.parametrize("seed", range(25))
def test_average_precision_is_that_of_the_reference(seed):
    truths, found = scene(seed)
    dataset = dataset_of(truths, len(found))
    ours = score_boxes(found, dataset, shared_classes(NAMES, dataset)).scores
    theirs = reference(truths, found)
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], abs=1e-9), name
    assert 0.05 < ours["AP"] < 0.95


def test_more_than_a_hundred_detections_of_a_class_are_cut_as_the_reference_cuts_them():
    truths, found = scene(3)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 400, (300, 2))
    noise = Detections(
        np.hstack([corner, corner + 40]), rng.uniform(0.3, 1, 300), np.zeros(300, int)
    )
    found[0] = Detections(
        np.vstack([found[0].xyxy, noise.xyxy]),
        np.append(found[0].score, noise.score),
        np.append(found[0].class_id, noise.class_id),
    )
    dataset = dataset_of(truths, len(found))
    ours = score_boxes(found, dataset, shared_classes(NAMES, dataset)).scores
    theirs = reference(truths, found)
    assert {k: ours[k] for k in ours} == pytest.approx({k: theirs[k] for k in ours}, abs=1e-9)


def test_a_drawn_set_scores_as_one_in_which_pictures_really_stand_several_times():
    truths, found = scene(5)
    count = len(found)
    # Scores without ties, as their order between copies is nobody's to say.
    found = [
        Detections(d.xyxy, d.score * 0.9 + np.arange(len(d)) * 1e-4 + i * 1e-3, d.class_id)
        for i, d in enumerate(found)
    ]
    dataset = dataset_of(truths, count)
    kinds = shared_classes(NAMES, dataset)
    whole = score_boxes(found, dataset, kinds)
    draws = np.random.default_rng(1).integers(0, count, (8, count))
    weights = np.stack([np.bincount(d, minlength=count) for d in draws])
    redrawn = whole.redraw(weights)
    for number, draw in enumerate(draws):
        copies = Dataset("copies", dataset.categories, tuple(dataset.pictures[i] for i in draw))
        again = score_boxes([found[i] for i in draw], copies, kinds).scores
        for name in ("AP", "AP50", "AP75"):
            assert redrawn[name][number] == pytest.approx(again[name], abs=1e-9)
    assert whole.redraw(np.ones((1, count)))["AP"][0] == pytest.approx(whole.score)


def test_the_interval_holds_the_difference_and_is_narrower_than_unpaired():
    truths, found = scene(7, 60)
    dataset = dataset_of(truths, len(found))
    kinds = shared_classes(NAMES, dataset)
    rng = np.random.default_rng(2)
    worse = []
    for d in found:
        corners = d.xyxy + [0, 0, 9, 9] + rng.normal(0, 0.7, d.xyxy.shape)
        worse.append(Detections(corners, d.score, d.class_id))
    one, two = score_boxes(found, dataset, kinds), score_boxes(worse, dataset, kinds)
    interval = paired_interval(one, two)
    assert interval.difference == two.score - one.score
    assert interval.low < interval.difference < interval.high < 0
    weights = rng.multinomial(60, np.full(60, 1 / 60), 500)
    alone = one.redraw(weights)["AP"].std()
    assert interval.deviation < alone
    assert paired_interval(one, two) == interval
    same = paired_interval(one, one)
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    with pytest.raises(DataError, match="no interval of 'F2'"):
        paired_interval(one, two, "F2")
    with pytest.raises(DataError, match="different pictures"):
        paired_interval(one, score_boxes(found[:9], dataset.select(range(9)), kinds))


def test_a_model_of_one_class_is_judged_by_the_category_of_that_name():
    truths, found = scene(11)
    dataset = dataset_of(truths, len(found))
    dogs = [d.select(d.class_id == 1) for d in found]
    only = [Detections(d.xyxy, d.score, np.zeros(len(d), int)) for d in dogs]
    mine = score_boxes(only, dataset, shared_classes(["Dog"], dataset)).score
    truths = [t for t in truths if t["category_id"] == 11]
    assert mine == pytest.approx(reference(truths, dogs)["AP"], abs=1e-9)


def test_no_detections_at_all_score_zero():
    truths, found = scene(1)
    dataset = dataset_of(truths, len(found))
    nothing = score_boxes([Detections.empty()] * len(found), dataset, {0: 10})
    assert nothing.scores["AP"] == nothing.scores["AR"] == 0
    assert paired_interval(nothing, nothing).difference == 0


def test_labels_of_other_classes_are_one_clear_sentence():
    truths, found = scene(1)
    dataset = dataset_of(truths, len(found))
    with pytest.raises(DataError, match="none of the model's classes is a category") as error:
        shared_classes(["zebra"], dataset)
    assert "got zebra, expected person, dog, cup" in str(error.value)
    people = [t for t in truths if t["category_id"] == 10]
    with pytest.raises(DataError, match="no picture of made has a label"):
        score_boxes(found, dataset_of(people, len(found)), {1: 11})


cv2 = pytest.importorskip("cv2")


@pytest.fixture
def coco(tmp_path):
    """Two pictures with a person each."""
    images = []
    for number in (4, 2):
        name = f"{number}.png"
        cv2.imwrite(str(tmp_path / name), np.full((60, 80, 3), number, np.uint8))
        images.append({"id": number, "file_name": f"val/{name}", "width": 80, "height": 60})
    data = {
        "images": images,
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [10, 10, 30, 40]} for n in (4, 2)
        ],
    }

    def write(**changes):
        path = tmp_path / "labels.json"
        path.write_text(json.dumps({**data, **changes}))
        return path, tmp_path

    return write


class Finder:
    classes = ("person",)

    def __call__(self, image):
        assert image.shape == (60, 80, 3)
        return Detections([[10, 10, 40, 50]], [0.5 + image[0, 0, 0] / 10], [0])


def test_pictures_are_found_and_judged_in_the_order_of_their_ids(coco):
    dataset = load_coco(*coco())
    seen = []
    result = evaluate_boxes(Finder(), dataset, progress=lambda n, m: seen.append((n, m)))
    assert result.pictures == ("2", "4")
    assert result.scores["AP"] == pytest.approx(1)
    assert seen == [(1, 2), (2, 2)]
    assert result.notes == ()


def test_missing_pictures_are_left_out_and_told(coco):
    images = [
        {"id": 2, "file_name": "2.png", "width": 80, "height": 60},
        {"id": 9, "file_name": "gone.png"},
    ]
    result = evaluate_boxes(Finder(), load_coco(*coco(images=images)))
    assert result.pictures == ("2",)
    assert "1 of the 2 pictures" in result.notes[0]


def spoilt(**changes):
    return lambda coco: load_coco(*coco(**changes))


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (spoilt(images=[{"id": 1, "file_name": "no.png"}]), "none of the 1 images of"),
        (spoilt(images=[]), "names no images"),
        (spoilt(categories=3), "no list of categories"),
        (spoilt(annotations=[{"id": 1}]), "no 'image_id'"),
        (spoilt(categories=[{"id": 1}]), "no 'name'"),
        (
            spoilt(annotations=[{"id": 8, "image_id": 2, "category_id": 1, "bbox": [1, 2, -3, 4]}]),
            "the box of annotation 8 makes no sense",
        ),
        (
            spoilt(annotations=[{"id": 8, "image_id": 2, "category_id": 1, "bbox": "boxs"}]),
            "is no COCO file",
        ),
        (spoilt(images=[{"id": 2, "file_name": "2.png"}] * 2), "two images with the id 2"),
        (lambda coco: load_coco(coco()[1] / "2.png", coco()[1]), "is no JSON"),
        (lambda coco: load_coco(coco()[1] / "x.json", coco()[1]), "there is no file"),
        (lambda coco: load_coco(coco()[0], coco()[1] / "x"), "there is no folder"),
    ],
)
def test_what_is_wrong_with_the_files_is_one_clear_sentence(coco, load, told):
    with pytest.raises(DataError, match=told):
        load(coco)


def test_a_picture_that_is_broken_or_of_another_size_is_named(coco):
    path, folder = coco()
    (folder / "4.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"4\.png cannot be read as an image"):
        evaluate_boxes(Finder(), load_coco(path, folder))
    cv2.imwrite(str(folder / "4.png"), np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(DataError, match="got 40x30, expected 80x60"):
        evaluate_boxes(Finder(), load_coco(path, folder))


def test_halves_share_no_picture(coco):
    one, two = load_coco(*coco()).halves()
    assert [p.id for p in one.pictures] == [2]
    assert [p.id for p in two.pictures] == [4]
