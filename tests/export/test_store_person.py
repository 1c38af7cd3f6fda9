"""The detector that ships, and how detectors are scored. None of this needs torch."""

import json
import sys

import numpy as np
import pytest

if sys.version_info < (3, 10):
    pytest.skip("the export room needs Python 3.10", allow_module_level=True)

from edgelane.core import ModelCard, UsageError
from edgelane.core.card import METADATA_KEY
from edgelane.export.zoo.evaluate import (
    Scored,
    average_precision,
    evaluate,
    figures,
    matches,
)
from edgelane.export.zoo.pictures import TRAINING_SEEDS
from edgelane.runtime.model import load_model
from edgelane.runtime.models import STORE_PERSON
from edgelane.runtime.onnx_metadata import read_metadata
from edgelane.runtime.synth import open_scene


def frame(truth, ignored, boxes, score):
    return Scored(*(np.array(v, float).reshape(-1, 4) for v in (truth, ignored, boxes)), score)


def test_average_precision_knows_right_wrong_twice_and_ignored():
    one, two, off = [0, 0, 10, 20], [50, 0, 60, 20], [200, 0, 210, 20]
    perfect = frame([one, two], [], [one, two], np.array([0.9, 0.8]))
    assert average_precision([perfect], 0.5) == pytest.approx(1.0)
    twice = frame([one], [], [one, one], np.array([0.9, 0.8]))
    assert matches(twice, 0.5).tolist() == [1, 0]
    beside = frame([one], [off], [one, off], np.array([0.5, 0.9]))
    assert matches(beside, 0.5).tolist() == [1, -1]
    assert average_precision([beside], 0.5) == pytest.approx(1.0)
    wrong = frame([one, two], [], [off, one], np.array([0.9, 0.8]))
    # Half of the people at precision 1/2: 51 of 101 recalls.
    assert average_precision([wrong], 0.5) == pytest.approx(0.5 * 51 / 101)
    assert figures([wrong], 0.85) == {
        **figures([wrong], 0.85), "recall": 0.0, "precision": 0.0, "people": 2,
    }  # fmt: skip


def test_figures_can_be_noted_in_the_card(tmp_path):
    copy = tmp_path / "model.onnx"
    copy.write_bytes(STORE_PERSON.read_bytes())
    result = evaluate(copy, seeds=[3], frames=1, stamp="here")
    card = ModelCard.from_json(read_metadata(copy)[METADATA_KEY])
    assert card.extra["here"]["ap50"] == result["ap50"] and card.extra["here"]["seeds"] == "3 to 3"
    assert card.extra["parameters"] <= 700_000


@pytest.mark.data
def test_images_are_scored_as_the_benchmark_scores_them(data):
    pytest.importorskip("faster_coco_eval")
    from edgelane.benchmarks.detector import average_precision as reference

    notes = next((data / "coco" / "annotations").glob("*.json"))
    images = data / "coco" / "train2017"
    ours = evaluate(STORE_PERSON, annotations=notes, images=images)
    with load_model(STORE_PERSON, confidence=0.01) as model:
        theirs = reference(model, str(notes), str(images))
    assert ours["ap50"] == pytest.approx(theirs["ap50"], abs=0.005)
    assert ours["ap"] == pytest.approx(theirs["ap"], abs=0.005)


def test_stores_of_the_training_are_not_measured_on():
    with pytest.raises(UsageError, match="for training"):
        evaluate(STORE_PERSON, seeds=[TRAINING_SEEDS], frames=1)


def test_the_shipped_model_is_small_and_says_what_it_is():
    assert STORE_PERSON.stat().st_size <= 3_000_000
    card = json.loads(read_metadata(STORE_PERSON)[METADATA_KEY])
    assert card["classes"] == ["person"] and card["precision"] == "fp32"
    assert "never on a photograph" in card["source"] and card["licence"] == "Apache-2.0"
    assert card["extra"]["parameters"] <= 700_000
    with load_model(STORE_PERSON) as model:
        assert model.classes == ("person",)
        assert len(model(np.full((360, 640, 3), 128, np.uint8))) == 0


def test_the_shipped_model_sees_people_in_stores_it_never_saw():
    result = evaluate(STORE_PERSON, seeds=[501, 502, 503, 504], frames=5, confidence=0.4)
    assert result["people"] > 100
    assert result["ap50"] >= 0.92
    assert result["recall"] >= 0.85 and result["precision"] >= 0.9


def test_labels_are_whose_each_pixel_is():
    scene = open_scene("store", seed=7, people=10, seconds=8)
    truth, labels = scene.truth(60), scene.labels(60)
    assert labels.shape == (360, 640) and labels.max() <= len(truth)
    for row in range(len(truth)):
        y, x = np.nonzero(labels == row + 1)
        assert bool(len(x)) == bool(truth.visibility[row] > 0)
        if len(x):
            assert [x.min(), y.min(), x.max() + 1, y.max() + 1] == truth.seen[row].tolist()
