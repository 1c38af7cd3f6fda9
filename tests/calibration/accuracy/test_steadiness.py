"""Jitter, drift and events: known amounts come back."""

import numpy as np
import pytest

from edgelane.calibration.accuracy.poses import load_poses
from edgelane.calibration.accuracy.steadiness import (
    Happening,
    drift,
    event_scores,
    jitter,
    still_people,
)
from edgelane.core import DataError
from edgelane.pipelines.pose import OneEuro, OneEuroSettings
from edgelane.runtime.pose import load_pose


def test_jitter_is_the_step_from_frame_to_frame():
    """In heights of the person; points that were not seen all the time do not count."""
    points = np.zeros((5, 2, 3, 3))
    points[..., 2] = 0.9
    points[1::2, :, :, 0] = [[4.0], [8.0]]
    points[2, 0, 1] = [500, 500, 0.1]
    assert jitter(points, np.array([100, 200])) == pytest.approx(0.04)
    points[..., 2] = 0
    assert np.isnan(jitter(points, np.array([100, 200])))
    with pytest.raises(DataError, match="same people in several frames"):
        jitter(points[:1], np.array([100, 200]))


def test_events_are_found_once():
    """Right within the tolerance, of the same kind and person; doubles and misses count."""
    truth = [
        Happening("fall", 10.0, 12.0, 1),
        Happening("fall", 30.0, 31.0, 1),
        Happening("wave", 10.0, 11.0, 2),
    ]
    found = [
        Happening("fall", 12.4, 12.4, 1),
        Happening("fall", 12.5, 12.5, 1),  # told twice
        Happening("fall", 30.5, 30.5, 2),  # of somebody else
        Happening("wave", 11.6, 11.6, 2),  # too late
        Happening("jump", 1.0, 1.0),
    ]
    scores = event_scores(truth, found)
    assert scores["fall"] == {
        "precision": pytest.approx(1 / 3),
        "recall": 0.5,
        "right": 1,
        "found": 3,
        "truth": 2,
    }
    assert scores["wave"]["recall"] == 0 and np.isnan(scores["jump"]["recall"])
    assert (scores["all"]["right"], scores["all"]["found"], scores["all"]["truth"]) == (1, 5, 3)
    assert event_scores(truth, truth)["all"]["precision"] == 1
    assert event_scores(truth, found, 1.0)["wave"]["recall"] == 1


@pytest.mark.data
def test_a_net_does_not_drift_from_itself_and_smoothing_steadies(data):
    """And another way of reading the maps is a measurable step away."""
    pytest.importorskip("onnxruntime")
    pictures = load_poses(data / "coco_kp" / "images", data / "coco_kp" / "labels")[:3]
    path = data / "weights" / "tinypose_128x96.onnx"
    with load_pose(path, threads=1) as model, load_pose(
        path, threads=1, settings={"refine": "none"}
    ) as coarse:
        same = drift(model, model, pictures)
        assert same["mean"] == same["score"] == 0 and same["oks"] == pytest.approx(1)
        other = drift(coarse, model, pictures)
        assert 0.001 < other["mean"] < 0.03 and 0.5 < other["oks"] < 0.99
        still = still_people(model, pictures, lambda k: OneEuro(k, OneEuroSettings()), frames=8)
    assert 0 < still["jitter_smoothed"] < 0.7 * still["jitter"] < 0.05
