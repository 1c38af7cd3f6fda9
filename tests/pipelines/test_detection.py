"""The detection pipeline: each object once, when it has gone."""

import json

import numpy as np
import pytest

from edgelane.core import DataError, Detections, Observation
from edgelane.pipelines.counting import Counting
from edgelane.pipelines.detection import Detection

SIZE = (640, 360)


def make():
    return Detection("cam", Detection.Settings(), SIZE, ["person", "dog"])


def found(rows, ids=None):
    """Detections from (x, y, score, class) of box centres."""
    rows = np.asarray(rows, float).reshape(-1, 4)
    x, y = rows[:, 0], rows[:, 1]
    boxes = np.stack((x - 20, y - 40, x + 20, y + 40), axis=1)
    return Detections(boxes, rows[:, 2], rows[:, 3], ids)


def play(pipeline, frames, first=0):
    events = []
    for i, frame in enumerate(frames, first):
        events += pipeline.process(Observation("cam", i / 10, frame, SIZE, index=i))
    return events


def walkers(n=60):
    frames = []
    for i in range(n):
        best = 0.9 if i == 20 else 0.7
        rows = [(100 + 5 * i, 200, best, 0)]
        if i >= 30:
            rows.append((500 - 4 * i, 100, 0.8, 1))
        frames.append(found(rows))
    return frames


def test_each_object_is_told_once_with_its_best_sighting():
    pipeline = make()
    events = play(pipeline, walkers()) + pipeline.finish()
    person, dog = sorted((e.payload for e in events), key=lambda p: p["first"])
    assert {e.kind for e in events} == {"object"}
    assert (person["class"], dog["class"]) == ("person", "dog")
    assert (person["first"], person["last"], person["score"]) == (0.0, 5.9, 0.9)
    assert person["box"] == pytest.approx([180, 160, 220, 240], abs=0.1)
    assert dog["first"] == 3.0
    assert set(person) == {"track", "class", "first", "last", "score", "box"}
    assert pipeline.summarise(events) == {"objects": {"dog": 1, "person": 1}}
    assert pipeline.finish() == []


def test_an_object_is_told_when_its_track_ends():
    pipeline = make()
    events = play(pipeline, walkers()[:20] + [Detections.empty()] * 60)
    assert [e.payload["last"] for e in events] == [1.9]


def test_a_class_beyond_the_names_goes_by_its_number():
    pipeline = make()
    frames = [found([(100 + 5 * i, 200, 0.9, 17)], [4]) for i in range(20)]
    events = play(pipeline, frames) + pipeline.finish()
    assert [(e.payload["class"], e.payload["track"]) for e in events] == [("17", 4)]


def test_a_restart_anywhere_changes_nothing():
    frames = walkers() + [Detections.empty()] * 50
    whole = make()
    expected = [(e.id, json.dumps(e.payload)) for e in play(whole, frames) + whole.finish()]
    for cut in range(0, len(frames), 7):
        pipeline, resumed = make(), make()
        events = play(pipeline, frames[:cut])
        resumed.restore(pipeline.snapshot())
        events += play(resumed, frames[cut:], first=cut) + resumed.finish()
        assert [(e.id, json.dumps(e.payload)) for e in events] == expected


def test_a_state_of_another_pipeline_is_refused():
    other = Counting("cam", Counting.Settings(), SIZE, ["person"]).snapshot()
    with pytest.raises(DataError, match="does not fit"):
        make().restore(other)
    with pytest.raises(DataError):
        make().restore(b"junk")


def test_tracks_are_those_of_the_last_frame_and_nothing_is_quiet():
    pipeline = make()
    assert pipeline.tracks() is None and pipeline.tick(5.0) == []
    assert pipeline.summarise([]) == {"objects": {}}
    play(pipeline, walkers()[:10])
    tracks = pipeline.tracks()
    assert tracks is not None and len(tracks) == 1
    assert Detection.scale(pipeline.settings, 2.0, 2.0) == pipeline.settings


def test_a_time_that_is_none_is_refused():
    with pytest.raises(DataError, match="no time"):
        make().process(Observation("cam", float("inf"), Detections.empty(), SIZE))
