"""Parts judged once each, whatever the belt does: looks in, verdicts out."""

import numpy as np
import pytest

from edgelane.core import DataError, Observation
from edgelane.core.verdict import Reason, Verdict
from edgelane.pipelines.inspection import Inspection, deciding
from edgelane.runtime.config import decode
from edgelane.runtime.inspect.judging.inspector import Findings
from edgelane.runtime.inspect.judging.judge import Judged
from edgelane.runtime.inspect.recipe.config import Recipe

SIZE = (640, 360)


def recipe(**keys):
    return decode(Recipe, {"version": 1, "part": {"find": "outline"}, **keys})


def part(x, y=180.0, value=1.0, cut=False, size=60.0, condition=None):
    reasons = [Reason("difference", value, high=5.0, uncertainty=0.5)]
    if condition is not None:
        reasons.append(Reason("light", condition, 10, 20, condition=True))
    box = np.array([x - size / 2, y - 20, x + size / 2, y + 20])
    verdict = Verdict.of(reasons, value / 10)
    defects = np.array([[x, y, x + 4, y + 4]], np.float32) if value > 5 else np.zeros((0, 4))
    return Judged(verdict, box, np.array([x, y]), size, cut, defects.astype(np.float32),
                  np.full(len(defects), 0.9, np.float32))  # fmt: skip


def seen(time, *parts, index=None, problems=()):
    identity = {"recipe": "plate", "version": 1, "recipe_hash": "0" * 16}
    findings = Findings(tuple(parts), tuple(problems), identity)
    number = round(time * 10) if index is None else index
    return Observation("camera", time, findings.detections, SIZE, None, number, findings=findings)


def belt(pipeline, starts, seconds=12.0, value=lambda k, time: 1.0, speed=150.0):
    """Parts that come from the left, each when its start says."""
    events = []
    for frame in range(int(seconds * 10)):
        time = frame / 10
        parts = []
        for k, start in enumerate(starts):
            x = (time - start) * speed - 30
            if -30 < x < 670:
                cut = x < 31 or x > 609
                parts.append(part(min(max(x, 15), 625), value=value(k, time), cut=cut))
        events += pipeline.process(seen(time, *parts))
    return events + pipeline.finish()


def test_each_part_is_judged_once_as_it_passes_the_place_where_it_is_seen_best():
    pipeline = Inspection("camera", recipe(serial="P"), SIZE)
    events = belt(pipeline, [0.0, 0.9, 2.5], value=lambda k, time: (1.0, 9.0, 5.2)[k])
    assert [e.payload["verdict"] for e in events] == ["pass", "fail", "unsure"]
    assert [e.payload["serial"] for e in events] == ["P000001", "P000002", "P000003"]
    for event in events:
        left, _, right, _ = event.payload["box"]
        assert abs((left + right) / 2 - 320) < 15
        assert 0 < event.timestamp - event.payload["seen"] <= 0.2001
        assert event.payload["looks"] == 5 and event.payload["recipe"] == "plate"
    assert events[1].payload["defects"] and not events[0].payload["defects"]
    assert deciding(events[0].payload) == [] and deciding(events[1].payload) == ["difference"]


def test_one_look_that_is_wrong_does_not_decide():
    pipeline = Inspection("camera", recipe(), SIZE)
    odd = {2.3, 2.4}
    events = belt(pipeline, [0.0], value=lambda k, time: 9.0 if round(time, 1) in odd else 1.0)
    assert [e.payload["verdict"] for e in events] == ["pass"]


def test_a_part_that_lies_still_is_judged_where_it_lies():
    pipeline = Inspection("camera", recipe(trigger={"still": 0.5}), SIZE)
    events = []
    for frame in range(40):
        events += pipeline.process(seen(frame / 10, part(120.0 + 0.2 * (frame % 2))))
    assert len(events) == 1 and events[0].timestamp == pytest.approx(0.5)
    assert pipeline.finish() == []
    for frame in range(40, 50):  # taken away, and another one put there
        events += pipeline.process(seen(frame / 10))
    for frame in range(50, 60):
        events += pipeline.process(seen(frame / 10, part(122.0, value=8.0)))
    assert [e.payload["verdict"] for e in events] == ["pass", "fail"]


def test_what_was_never_whole_or_never_reached_its_place_is_unsure():
    pipeline = Inspection("camera", recipe(), SIZE)
    events = []
    for frame in range(30):  # along the border
        events += pipeline.process(seen(frame / 10, part(20.0 * frame, 10.0, cut=True)))
    for frame in range(30, 40):
        events += pipeline.process(seen(frame / 10))
    assert [e.payload["reasons"][0]["name"] for e in events] == ["cut"]
    assert events[0].payload["verdict"] == "unsure"
    for frame in range(40, 45):
        events += pipeline.process(seen(frame / 10, part(50.0 + 15 * (frame - 40))))
    (last,) = pipeline.finish()
    assert last.payload["verdict"] == "unsure" and last.payload["reasons"][0]["name"] == "end"


def test_a_part_that_disappears_is_told_by_the_clock_where_no_picture_comes():
    pipeline = Inspection("camera", recipe(), SIZE)
    for frame in range(5):
        assert pipeline.process(seen(frame / 10, part(100.0 + 15 * frame))) == []
    assert pipeline.tick(0.7) == []
    (event,) = pipeline.tick(1.0)
    assert event.payload["verdict"] == "pass" and event.timestamp == 1.0
    assert pipeline.tick(5.0) == []


def test_parts_far_from_their_place_are_followed_and_unsure_if_they_never_come_near():
    pipeline = Inspection("camera", recipe(), SIZE)
    events = []
    for frame in range(60):
        x = 60 + 15.0 * frame
        parts = []
        if x < 580:
            far = Judged(Verdict.of([]), part(x).xyxy, np.array([x, 180.0]), 60.0, far=True)
            parts = [part(x, value=9.0) if abs(x - 320) < 50 else far]
            parts.append(Judged(Verdict.of([]), part(x, 40.0).xyxy, np.array([x, 40.0]), 60.0,
                                far=True))  # fmt: skip
        events += pipeline.process(seen(frame / 10, *parts))
    found = [(e.payload["verdict"], e.payload["reasons"][0]["name"]) for e in events]
    assert found == [("fail", "difference"), ("unsure", "place")]


def test_a_broken_condition_makes_the_part_unsure():
    pipeline = Inspection("camera", recipe(), SIZE)
    events = []
    for frame in range(60):
        x = 60 + 15.0 * frame
        parts = [part(x, value=9.0, condition=25.0)] if x < 580 else []
        events += pipeline.process(seen(frame / 10, *parts))
    assert [e.payload["verdict"] for e in events] == ["unsure"]
    assert deciding(events[0].payload) == ["light"]


def test_a_triggered_picture_must_show_as_many_parts_as_the_recipe_says():
    pipeline = Inspection("camera", recipe(trigger={"by": "picture"}), SIZE)
    told = []
    for time, parts in enumerate(([part(100)], [], [part(100), part(300)], [part(200, value=9)])):
        told += pipeline.process(seen(float(time), *parts))
    assert [e.payload["verdict"] for e in told] == ["pass", "unsure", "unsure", "fail"]
    assert told[1].payload["reasons"][0]["text"] == "no part is in view"
    summary = pipeline.summarise(told)
    assert summary["inspected"] == 4 and summary["yield"] == 0.25
    assert summary["reasons"] == {"parts": 2, "difference": 1}


def test_a_timer_judges_at_its_beat():
    pipeline = Inspection("camera", recipe(trigger={"by": "timer", "every": 1.0}), SIZE)
    told = []
    for frame in range(42):
        if frame not in (10, 11, 12):  # pictures are missing at the second beat
            told += pipeline.process(seen(frame / 10, part(200)))
    assert [round(e.timestamp, 1) for e in told] == [0.0, 1.3, 2.0, 3.0, 4.0]


def test_a_run_that_is_gone_on_with_tells_the_same_verdicts():
    whole = Inspection("camera", recipe(), SIZE)
    starts = [0.0, 0.9, 2.5, 3.6]
    expected = belt(whole, starts)
    frames = []
    one = Inspection("camera", recipe(), SIZE)
    one.process, real = lambda o: frames.append(o) or [], one.process
    belt(one, starts)
    first = Inspection("camera", recipe(), SIZE)
    told = []
    for frame in frames[:33]:
        told += first.process(frame)
    second = Inspection("camera", recipe(), SIZE)
    second.restore(first.snapshot())
    for frame in frames[33:]:
        told += second.process(frame)
    told += second.finish()
    assert [(e.id, e.payload) for e in told] == [(e.id, e.payload) for e in expected]
    other = Inspection("camera", recipe(serial="X"), SIZE)
    with pytest.raises(DataError, match="does not fit"):
        other.restore(first.snapshot())
    assert real is not None


def test_boxes_alone_are_no_inspection():
    pipeline = Inspection("camera", recipe(), SIZE)
    with pytest.raises(DataError, match="needs the findings of an inspector"):
        pipeline.process(Observation("camera", 0.0, Findings(()).detections, SIZE))


def test_light_that_leaves_what_was_taught_is_told_once_and_again_when_it_is_back():
    pipeline = Inspection("camera", recipe(), SIZE)
    events = []
    levels = [100.0] * 6 + [131.0] * 12 + [100.0, 131.0] * 3 + [100.0] * 8
    for number, level in enumerate(levels):
        findings = Findings((part(100.0),), (), {}, (level, 90.0, 120.0))
        one = Observation("camera", number / 10, findings.detections, SIZE, None, number,
                          findings=findings)  # fmt: skip
        if number == 9:
            other = Inspection("camera", recipe(), SIZE)
            other.restore(pipeline.snapshot())
            pipeline = other
        events += [e for e in pipeline.process(one) if e.kind == "condition"]
    assert [(e.payload["state"], e.timestamp) for e in events] == [
        ("drifted", 1.0), ("as taught", 2.8)
    ]  # fmt: skip
    assert "9% above" in events[0].payload["text"]
    assert events[0].payload["limits"] == [90.0, 120.0]
