"""The types validate once, where they are made."""

import dataclasses

import numpy as np
import pytest

from edgelane.core import (
    DataError,
    Detections,
    Event,
    Frame,
    InputSpec,
    ModelCard,
    ModelError,
    Tracks,
)

BOX = [[10.0, 20.0, 30.0, 60.0]]


def test_detections_take_lists_and_keep_columns_in_their_types():
    found = Detections(BOX, [0.5], [0])
    assert (found.xyxy.dtype, found.score.dtype, found.class_id.dtype) == ("f4", "f4", "i8")
    assert len(found) == 1 and len(Detections.empty()) == 0


@pytest.mark.parametrize(
    "xyxy, score",
    [
        ([[np.nan, 0, 1, 1]], [0.5]),
        ([[0, 0, np.inf, 1]], [0.5]),
        ([[5, 0, 5, 1]], [0.5]),
        ([[5, 5, 4, 9]], [0.5]),
        ([[0, 0, 1e30, 1e30]], [0.5]),
        (BOX, [np.nan]),
    ],
)
def test_a_box_that_is_no_box_is_refused_and_cleaned_away(xyxy, score):
    with pytest.raises(DataError, match="row 0"):
        Detections(xyxy, score, [0])
    both = Detections.cleaned(BOX + list(xyxy), [0.9] + list(score), [1, 2])
    assert both.class_id.tolist() == [1]


@pytest.mark.parametrize(
    "columns", [([1, 2, 3], [1], [0]), (BOX, [0.5, 0.6], [0]), (BOX, [0.5], [0, 1])]
)
def test_columns_of_another_length_are_refused(columns):
    with pytest.raises(DataError, match="expected"):
        Detections(*columns)


def test_select_takes_all_columns_along():
    found = Detections(BOX * 2, [0.5, 0.6], [0, 1], [7, 8], np.zeros((2, 17, 3)))
    one = found.select(found.score > 0.55)
    assert one.track_id.tolist() == [8] and one.keypoints.shape == (1, 17, 3)


def test_keypoints_of_another_shape_are_refused():
    with pytest.raises(DataError, match="keypoints"):
        Detections(BOX, [0.5], [0], None, np.zeros((1, 17, 2)))


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
)
def test_a_frame_is_a_bgr_picture(image):
    with pytest.raises(DataError, match="image"):
        Frame(image, 0.0)


def test_a_frame_has_a_finite_time():
    with pytest.raises(DataError, match="timestamp"):
        Frame(np.zeros((4, 6, 3), np.uint8), float("nan"))
    assert Frame(np.zeros((4, 6, 3), np.uint8), 0.0).size == (6, 4)


def test_tracks_need_a_value_for_each_row():
    with pytest.raises(DataError, match="observed"):
        Tracks([1], BOX, BOX, [0.5], [0], [True, True], [True], [])


def test_the_same_event_has_the_same_id_and_another_another():
    one = Event("door", 1.5, "crossing", {"line": "a"})
    assert one.id == Event("door", 1.5, "crossing", {"line": "b"}).id
    others = [
        dataclasses.replace(one, camera="till"),
        dataclasses.replace(one, timestamp=1.6),
        dataclasses.replace(one, kind="visit"),
        dataclasses.replace(one, ordinal=1),
    ]
    assert len({e.id for e in [one, *others]}) == 5 and len(one.id) == 32


def test_a_card_survives_json():
    card = ModelCard("detect", "yolox", InputSpec((416, 256), colour="bgr", scale=1), ("person",))
    assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "no JSON"),
        ("[]", "no object"),
        ('{"task": "detect"}', "lacks decoder, input"),
        ('{"task": "detect", "decoder": "x", "input": {"size": [4, 4], "color": "bgr"}}', "colour"),
        (
            '{"task": "detect", "decoder": "x", "input": {"size": [4, 4], "resize": "fit"}}',
            "resize",
        ),
        ('{"task": "detect", "decoder": "x", "input": {"size": [4]}}', "2 numbers"),
        ('{"task": "d", "decoder": "x", "input": {"size": [4, 4], "std": [1, 0, 1]}}', "above 0"),
    ],
)
def test_a_wrong_card_says_what_is_wrong(text, message):
    with pytest.raises(ModelError, match=message):
        ModelCard.from_json(text)


def test_what_was_seen_of_tracks_leaves_out_predicted_rows():
    boxes = np.array([[0, 0, 10, 30], [5, 5, 9, 25], [20, 0, 40, 50]])
    tracks = Tracks(
        track_id=np.array([1, 2, 3]),
        xyxy=boxes,
        measured=boxes,
        score=np.full(3, 0.5),
        class_id=np.array([0, 1, 2]),
        observed=np.array([True, False, True]),
        confirmed=np.array([False, True, True]),
        ended=np.zeros(0),
    )
    seen = tracks.seen
    assert seen is tracks.seen
    assert seen.ids == [1, 3]
    assert seen.boxes.tolist() == boxes[[0, 2]].tolist()
    assert seen.feet.tolist() == [[5, 30], [30, 50]]
    assert seen.height.tolist() == [30, 50]
    assert seen.class_id.tolist() == [0, 2]
    assert seen.confirmed.tolist() == [False, True]
