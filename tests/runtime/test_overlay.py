"""Drawing: it stays within the picture, and the arrow points to the `in` side."""

import numpy as np
import pytest

from edgelane.core import Detections, Event, Observation, Tracks
from edgelane.runtime.loop import Step
from edgelane.runtime.overlay import (
    LINE,
    Overlay,
    draw_detections,
    draw_line,
    draw_tracks,
    draw_zone,
)

pytest.importorskip("cv2")


def black(size=(640, 480)):
    return np.zeros((size[1], size[0], 3), np.uint8)


def tracks(boxes, ids, confirmed=True, observed=True):
    n = len(ids)
    return Tracks(
        np.array(ids),
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, 0.5),
        np.zeros(n),
        np.full(n, observed),
        np.full(n, confirmed),
        np.zeros(0),
    )


def coloured(image, colour):
    return np.argwhere((np.abs(image.astype(int) - colour) < 12).all(axis=2))[:, ::-1]


@pytest.mark.parametrize(
    ("start", "end", "side"),
    [
        ((320, 400), (320, 80), (1, 0)),  # looking up, the right hand is right
        ((320, 80), (320, 400), (-1, 0)),
        ((100, 240), (540, 240), (0, 1)),  # looking right, the right hand is down
        ((540, 240), (100, 240), (0, -1)),
        ((150, 350), (450, 120), (0.6, 0.8)),
    ],
)
def test_the_arrow_points_to_the_in_side(start, end, side):
    with_arrow = coloured(draw_line(black(), start, end, ""), LINE)
    middle = (np.array(start) + np.array(end)) / 2
    off = (with_arrow - middle) @ np.array(side)
    # The arrow reaches further from the line than the text's plate is thin.
    assert off.max() > 15
    along = np.array(end, float) - start
    side_of = along[0] * (with_arrow[:, 1] - start[1]) - along[1] * (with_arrow[:, 0] - start[0])
    tip = with_arrow[np.argmax(off)]
    assert along[0] * (tip[1] - start[1]) - along[1] * (tip[0] - start[0]) > 0
    assert side_of.max() > 0


def test_boxes_zones_and_lines_beyond_the_picture_are_cut_off():
    image = black((80, 60))
    boxes = [[-50, -50, 20, 20], [70, 50, 500, 400], [200, 200, 300, 300], [1e6, 1e6, 2e6, 2e6]]
    draw_detections(image, Detections(boxes, np.full(4, 0.9), np.arange(4)), ["person"])
    draw_tracks(image, tracks(boxes, [1, 2, 3, 4]))
    draw_zone(image, [(-10, -10), (200, -10), (200, 30)], "zone with quite a long name")
    draw_zone(image, [(200, 200), (300, 200), (300, 300)], "far")
    draw_line(image, (-100, 30), (500, 35), "line")
    draw_line(image, (5, 5), (5, 5), "no length")
    assert image.shape == (60, 80, 3)
    assert image.any()


def test_tentative_tracks_are_not_drawn():
    image = draw_tracks(black(), tracks([[10, 10, 50, 90]], [1], confirmed=False))
    assert not image.any()
    assert draw_tracks(black(), tracks([[10, 100, 50, 190]], [1])).any()


def test_names_beyond_ascii_do_not_break_the_drawing():
    assert draw_zone(black(), [(10, 10), (200, 10), (200, 200)], "Kassé 入口").any()


def step(index, events=(), rows=None):
    observation = Observation("door", index / 10, Detections.empty(), (640, 480), black(), index)
    return Step("door", observation, rows, list(events), None)


def test_the_overlay_counts_what_the_events_tell():
    before = [Event("door", 0.0, "crossing", {"line": "gate", "direction": "in"})]
    overlay = Overlay(
        ["person"],
        {"gate": ((10, 10), (100, 100))},
        {"till": [(200, 200), (300, 200), (300, 300)]},
        before,
    )
    overlay(step(1, [Event("door", 0.1, "crossing", {"line": "gate", "direction": "in"})]))
    overlay(step(2, [Event("door", 0.2, "entry", {"zone": "till"})]))
    overlay(step(3, [Event("door", 0.3, "entry", {"zone": "till"})]))
    overlay(step(4, [Event("door", 0.4, "visit", {"zone": "till"})]))
    assert overlay.crossings == {("gate", "in"): 2}
    assert overlay.entries == {"till": 2}
    assert overlay.inside == {"till": 1}


def test_the_overlay_leaves_the_frame_itself_alone():
    given = step(0, rows=tracks([[10, 100, 50, 190]], [1]))
    image = Overlay()(given)
    assert image is not None
    assert image.any()
    assert not given.observation.image.any()
    assert Overlay()(Step("door", None, None, [], None)) is None


def test_trails_are_short_and_forgotten_with_their_tracks():
    overlay = Overlay()
    for index in range(200):
        overlay(step(index, rows=tracks([[index, 100, index + 40, 190]], [1 + index // 50])))
    assert set(overlay._trails) == {4}
    assert len(overlay._trails[4]) <= 31
