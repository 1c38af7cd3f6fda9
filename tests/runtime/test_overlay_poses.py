"""Skeletons over a picture, and what was found of whom."""

import numpy as np
import pytest

from edgelane.core import Detections, Event, Observation
from edgelane.runtime.loop import Step
from edgelane.runtime.overlay import Overlay, draw_poses
from edgelane.runtime.pose.skeleton import Skeleton

pytest.importorskip("cv2")


def black():
    return np.zeros((120, 160, 3), np.uint8)


def poses(points, track=3):
    box = np.array([[20, 20, 140, 110]], np.float32)
    return Detections(box, [0.9], [0], [track], np.asarray(points, np.float32)[None])


class Watching:
    """A pipeline that tells poses."""

    def __init__(self, found):
        self.found = found

    def poses(self):
        return self.found


def test_points_are_joined_and_what_is_not_known_is_left_out():
    two = Skeleton(("a", "b"), ((0, 1),))
    image = draw_poses(black(), poses([[30, 60, 0.9], [130, 60, 0.9]]), two)
    assert image[60, 80].any()
    for missing in ([130, 60, 0.1], [np.nan, 60, 0.9], [130, np.inf, 0.9], [1e9, 60, 0.9]):
        image = draw_poses(black(), poses([[30, 60, 0.9], missing]), two)
        assert image[60, 30].any() and not image[60, 80].any()


def test_the_number_of_points_tells_the_skeleton():
    """17 are COCO's: ankle to knee is joined; of five nothing is known, and points stand alone."""
    points = np.full((17, 3), 0.0)
    points[15], points[13] = [30, 100, 0.9], [120, 100, 0.9]
    assert draw_poses(black(), poses(points))[100, 75].any()
    image = draw_poses(black(), poses(points[11:16]))
    assert image[100, 30].any() and not image[100, 75].any()
    assert not draw_poses(black(), Detections.empty()).any()


def test_what_is_found_stands_over_the_head_until_it_is_over():
    def event(kind, **payload):
        return Event("c", 0.0, kind, {"track": 3, **payload})

    def shown(*events):
        image = black()
        given = Observation("c", 0.0, Detections.empty(), (160, 120), image, 0)
        return overlay(Step("c", given, None, list(events), Watching(poses(np.zeros((17, 3))))))

    overlay = Overlay()
    plain = shown()
    begun = shown(event("fall", keypoints=["hips"], since=0.0))
    assert (begun != plain).any()
    assert (shown(event("released", rule="fall")) == plain).all()
    signal = shown(event("signal", name="stop", on=True, by="fall"))
    assert (signal != plain).any()
    assert (shown(event("signal", name="stop", on=False, by="time")) == plain).all()
