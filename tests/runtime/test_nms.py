"""Suppression keeps exactly the boxes that the plain greedy definition keeps."""

import numpy as np
import pytest

from edgelane.runtime.nms import nms


def greedy(boxes, scores, classes, iou):
    """The definition, one box at a time, in double precision."""
    boxes = boxes.astype(np.float64)
    left = sorted(range(len(scores)), key=lambda i: -scores[i])  # stable
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        rest = []
        for other in left:
            a, b = boxes[best], boxes[other]
            w = min(a[2], b[2]) - max(a[0], b[0])
            h = min(a[3], b[3]) - max(a[1], b[1])
            shared = max(w, 0) * max(h, 0)
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            if classes[best] != classes[other] or not shared > iou * union:
                rest.append(other)
        left = rest
    return kept


def scene(random, count, classes=3, span=400, whole=False):
    corner = random.uniform(0, span, (count, 2))
    size = random.uniform(8, 90, (count, 2))
    boxes = np.concatenate((corner, corner + size), 1)
    if whole:
        boxes = np.round(boxes / 8) * 8
    scores = np.round(random.uniform(0, 1, count), 2)  # many ties
    return boxes.astype(np.float32), scores.astype(np.float32), random.integers(0, classes, count)


@pytest.mark.parametrize("count", [1, 2, 7, 63, 64, 65, 130, 400])
@pytest.mark.parametrize("iou", [0.0, 0.3, 0.6, 1.0])
def test_keeps_what_the_greedy_definition_keeps(count, iou):
    """On random boxes with tied scores, from one box to more than one block."""
    random = np.random.default_rng(count)
    for whole in (False, True):
        boxes, scores, classes = scene(random, count, whole=whole)
        kept = nms(boxes, scores, classes, iou)
        assert kept.tolist() == greedy(boxes, scores, classes, iou)


def test_many_boxes_in_one_heap_are_the_same_as_the_definition(monkeypatch):
    """Where nearly all overlap along x the pairs are too many to list at once, and still right."""
    monkeypatch.setattr("edgelane.runtime.nms._PAIRS", 3000)
    random = np.random.default_rng(5)
    count = 300
    boxes = np.zeros((count, 4), np.float32)
    boxes[:, 2] = 300
    boxes[:, 1] = random.uniform(0, 6000, count)
    boxes[:, 3] = boxes[:, 1] + random.uniform(10, 60, count)
    scores = random.uniform(0, 1, count).astype(np.float32)
    zeros = np.zeros(count, int)
    assert nms(boxes, scores, zeros, 0.5).tolist() == greedy(boxes, scores, zeros, 0.5)


def test_an_overlap_of_exactly_the_threshold_stays():
    """Only more than the threshold drops a box."""
    boxes = np.array([[0, 0, 10, 10], [0, 5, 10, 15]], np.float32)  # a third of the union
    scores = np.array([0.9, 0.8], np.float32)
    assert nms(boxes, scores, None, 1 / 3 - 1e-3).tolist() == [0]
    assert nms(boxes[:, :], scores, None, 0.5).tolist() == [0, 1]
    half = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)
    assert nms(half, scores, None, 0.5).tolist() == [0, 1]


def test_tied_scores_go_by_their_order():
    """Of equal boxes with equal scores the first one stays."""
    boxes = np.tile(np.array([[5, 5, 50, 50]], np.float32), (100, 1))
    assert nms(boxes, np.full(100, 0.5, np.float32), None, 0.5).tolist() == [0]


def test_boxes_of_other_classes_do_not_suppress():
    """The same box in two classes is two objects."""
    boxes = np.tile(np.array([[5, 5, 50, 50]], np.float32), (2, 1))
    scores = np.array([0.4, 0.9], np.float32)
    assert nms(boxes, scores, np.array([0, 1]), 0.5).tolist() == [1, 0]
    assert nms(boxes, scores, np.array([7, 7]), 0.5).tolist() == [1]


def test_no_boxes_keep_none():
    """An empty frame is no special case for the caller."""
    kept = nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


def test_boxes_without_area_neither_drop_nor_get_dropped():
    """What a broken row looks like must not remove sound ones."""
    boxes = np.array([[10, 10, 5, 40], [0, 0, 40, 40], [20, 20, 20, 20]], np.float32)
    assert sorted(nms(boxes, np.array([0.9, 0.8, 0.7], np.float32)).tolist()) == [0, 1, 2]


def test_opencv_agrees():
    """OpenCV's own suppression keeps the same boxes."""
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "dnn") or not hasattr(cv2.dnn, "NMSBoxesBatched"):
        pytest.skip("this OpenCV has no NMSBoxesBatched")
    random = np.random.default_rng(3)
    boxes, _, classes = scene(random, 200)
    scores = random.permutation(200).astype(np.float32) / 200 + 0.01
    wide = boxes.copy()
    wide[:, 2:] -= wide[:, :2]
    theirs = np.asarray(cv2.dnn.NMSBoxesBatched(wide, scores, classes, 0.0, 0.5)).reshape(-1)
    assert sorted(nms(boxes, scores, classes, 0.5).tolist()) == sorted(theirs.tolist())
