"""What a classifier says of tracks: asked now and then, voted over the track's life."""

import types

import numpy as np
import pytest

from edgelane.core import ConfigError, Detections, Observation, Regions
from edgelane.pipelines.attributes import AttributeSettings, tally
from edgelane.pipelines.counting import Counting, LineShape
from edgelane.pipelines.detection import Detection, DetectionSettings

SIZE = (640, 480)
MODEL = types.SimpleNamespace(classes=("red", "blue"), multi=False)
MANY = types.SimpleNamespace(classes=("hat", "bag"), multi=True)


def answer(observation, tell, pipeline):
    """The observation as the run loop gives it: regions asked for and answered."""
    asked = pipeline.regions(observation)
    rows = np.array([tell(box, observation.timestamp) for box in asked.boxes], np.float32)
    answered = Regions(asked.boxes, asked.note, rows if len(rows) else None)
    return (
        Observation(
            "c", observation.timestamp, observation.detections, SIZE,
            index=observation.index, regions=answered,
        ),
        len(asked.boxes),
    )  # fmt: skip


def walk(pipeline, tell, frames=60, people=1, fps=10, start=0):
    events, asked = [], []
    for i in range(start, frames):
        boxes = np.array(
            [[4 * i + 20, 60 + 130 * p, 4 * i + 60, 160 + 130 * p] for p in range(people)]
        )
        found = Detections(boxes, np.full(people, 0.9), np.zeros(people, int))
        given, count = answer(Observation("c", i / fps, found, SIZE, index=i), tell, pipeline)
        asked.append(count)
        events += pipeline.process(given)
    return events, asked


def made(model=MODEL, **settings):
    pipeline = Detection(
        "c", DetectionSettings(attributes=AttributeSettings(**settings)), SIZE, ["person"]
    )
    pipeline.meet_second(model)
    return pipeline


def test_most_looks_decide_and_a_few_wrong_ones_do_not():
    pipeline = made(every_s=0.1)

    def tell(box, now):
        return (0.2, 0.8) if 2 <= now < 3 else (0.9, 0.1)

    events, asked = walk(pipeline, tell)
    events += pipeline.finish()
    (told,) = [e.payload["attribute"] for e in events if e.kind == "object"]
    assert told["class"] == "red" and told["looks"] == sum(asked) > 40
    assert told["top"][0][0] == "red" and told["score"] == pytest.approx(0.78, abs=0.03)
    assert pipeline.summarise(events)["attributes"] == {"red": 1}


def test_tracks_are_asked_about_now_and_then_and_in_turn():
    pipeline = made(every_s=1.0)
    _, asked = walk(pipeline, lambda box, now: (1, 0))
    assert sum(asked) == pytest.approx(6, abs=1) and max(asked) == 1
    crowd = made(every_s=0.0, most=1)
    events, asked = walk(crowd, lambda box, now: (1, 0), people=3)
    events += crowd.finish()
    assert max(asked) == 1
    looks = [e.payload["attribute"]["looks"] for e in events if e.kind == "object"]
    assert len(looks) == 3 and max(looks) - min(looks) <= 1


def test_what_is_not_certain_is_said_to_be_so():
    pipeline = made(least=0.7)
    events, _ = walk(pipeline, lambda box, now: (0.6, 0.4))
    events += pipeline.finish()
    assert [e.payload["attribute"]["class"] for e in events if e.kind == "object"] == [None]
    assert pipeline.summarise(events)["attributes"] == {"unsure": 1}
    nan = made()
    events, _ = walk(nan, lambda box, now: (np.nan, 0.4))
    assert "attribute" not in [*events, *nan.finish()][-1].payload


def test_attributes_that_may_be_together_are_told_together():
    pipeline = made(MANY)
    events, _ = walk(pipeline, lambda box, now: (0.9, 0.8))
    events += pipeline.finish()
    assert [e.payload["attribute"]["classes"] for e in events if e.kind == "object"] == [
        ["hat", "bag"]
    ]
    assert tally([{"classes": ["hat", "bag"]}, {"classes": []}, None]) == {
        "bag": 1, "hat": 1, "unsure": 1,
    }  # fmt: skip


def test_boxes_too_small_to_be_looked_at_are_left_out():
    assert sum(walk(made(size=50.0), lambda box, now: (1, 0))[1]) == 0
    with pytest.raises(ConfigError, match="attributes.most is wrong"):
        AttributeSettings(most=0)


@pytest.mark.parametrize("cut", [1, 7, 30, 59])
def test_a_restart_in_between_gives_the_same_events(cut):
    def tell(box, now):
        return (0.9, 0.1) if now < 4 else (0.3, 0.7)

    whole = made()
    expected, _ = walk(whole, tell)
    expected += whole.finish()
    one, two = made(), made()
    events, _ = walk(one, tell, frames=cut)
    two.restore(one.snapshot())
    more, _ = walk(two, tell, start=cut)
    assert [(e.id, e.payload) for e in events + more + two.finish()] == [
        (e.id, e.payload) for e in expected
    ]


def test_crossings_count_by_what_a_track_turned_out_to_be():
    settings = Counting.Settings(lines={"door": LineShape((150, 0), (150, 480))})
    pipeline = Counting("c", settings, SIZE, ["person"])
    pipeline.meet_second(MODEL)
    events, _ = walk(
        pipeline, lambda box, now: (0.9, 0.1) if box[1] < 150 else (0.1, 0.9), people=2
    )
    events += pipeline.finish()
    summary = pipeline.summarise(events)
    assert summary["attributes"]["visitors"] == {"blue": 1, "red": 1}
    door = summary["attributes"]["lines"]["door"]
    assert door == {"red": {"in": 0, "out": 1}, "blue": {"in": 0, "out": 1}}
    plain = Counting("c", settings, SIZE, ["person"])
    assert "attributes" not in plain.summarise([])
