"""Accuracy of classifiers: top-1, top-5 and what is taken for what, on folders of classes."""

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from edgelane.calibration.accuracy import paired_interval  # noqa: E402
from edgelane.calibration.accuracy.labels import (  # noqa: E402
    class_folders,
    confusion_dict,
    evaluate_labels,
    load_class_folders,
)
from edgelane.core import DataError  # noqa: E402


class Shades:
    """Tells how grey a picture is, in seven steps; wrong by one step where `shift` says."""

    classes = tuple(f"shade {i}" for i in range(7))

    def __init__(self, shift=0):
        self.shift = shift

    def __call__(self, image):
        step = int(image.mean() // 32) + self.shift
        return -np.abs(np.arange(7) - step).astype(float)


@pytest.fixture
def folder(tmp_path):
    for i in range(7):
        (tmp_path / f"shade {i}").mkdir()
        for k in range(3):
            image = np.full((8, 8, 3), 32 * i + 10, np.uint8)
            cv2.imwrite(str(tmp_path / f"shade {i}" / f"{k}.png"), image)
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_folders_are_read_as_classes(folder):
    assert [p.name for p in class_folders(folder)] == [f"shade {i}" for i in range(7)]
    dataset = load_class_folders(folder)
    assert len(dataset) == 21 and list(dataset.categories) == [f"shade {i}" for i in range(7)]
    with pytest.raises(DataError, match="no pictures of classes"):
        load_class_folders(folder / "notes")


def test_top1_and_top5_and_the_mistakes(folder):
    dataset = load_class_folders(folder)
    right = evaluate_labels(Shades(), dataset)
    assert right.scores == {"top1": 1.0, "top5": 1.0, "mean_recall": 1.0}
    assert right.confusion.counts.trace() == 21 and right.confusion.worst() == []
    off = evaluate_labels(Shades(1), dataset)
    assert off.scores["top1"] == pytest.approx(3 / 21)  # the last can be no further off
    assert off.scores["top5"] == 1.0
    assert off.confusion.worst(1) == [("shade 0", "shade 1", 3)]
    told = confusion_dict(off)
    assert told["counts"][0][1] == 3 and told["classes"][0] == "shade 0"
    assert "counts" not in confusion_dict(off, most=3)
    interval = paired_interval(right, off)
    assert interval.high < 0 and interval.difference == pytest.approx(3 / 21 - 1)


def test_equal_scores_do_not_help(folder):
    class Blind(Shades):
        def __call__(self, image):
            return np.zeros(7)

    dataset = load_class_folders(folder)
    found = evaluate_labels(Blind(), dataset)
    assert found.scores["top1"] == pytest.approx(1 / 7)
    assert found.scores["top5"] == pytest.approx(5 / 7)


def test_scores_that_are_no_numbers_are_wrong(folder):
    class Broken(Shades):
        def __call__(self, image):
            return np.full(7, np.nan)

    assert evaluate_labels(Broken(), load_class_folders(folder)).scores["top1"] <= 1 / 7


def test_classes_without_names_are_taken_in_order_and_that_is_said(folder):
    class Unnamed(Shades):
        classes = tuple(f"class_{i}" for i in range(7))

    found = evaluate_labels(Unnamed(), load_class_folders(folder))
    assert found.scores["top1"] == 1.0 and "does not name its classes" in found.notes[0]

    class Other(Shades):
        classes = ("cat", "dog")

    with pytest.raises(DataError, match="none of the model's classes is a category"):
        evaluate_labels(Other(), load_class_folders(folder))

    class Fewer(Shades):
        classes = tuple(f"shade {i}" for i in range(5))

    found = evaluate_labels(Fewer(), load_class_folders(folder))
    assert "has no class shade 5, shade 6" in found.notes[0] and len(found.pictures) == 15
