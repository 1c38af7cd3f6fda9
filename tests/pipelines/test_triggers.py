"""What one camera's events do to another's pipeline, in order of time and after a restart."""

import numpy as np
import pytest

from edgelane.core import ConfigError, Detections, Event, Observation, Regions
from edgelane.pipelines.classification import Classification
from edgelane.pipelines.counting import Counting, LineShape
from edgelane.pipelines.triggers import Link, Switchboard, Triggered, read_links
from edgelane.runtime.testing import FakePipeline

SIZE = (640, 480)


class Teller(FakePipeline):
    """A pipeline that tells what a test wants: by frame number."""

    def __init__(self, name, told):
        self.name, self.told = name, told

    def process(self, observation):
        kinds = self.told.get(observation.index, ())
        return [
            Event(self.name, observation.timestamp, kind, dict(payload)) for kind, payload in kinds
        ]


class Listener(Teller):
    """One that can be told things."""

    def heed(self, camera, event):
        return [Event(self.name, event.timestamp, "heard", {"from": camera, "kind": event.kind})]


def walker(i, index=None):
    box = np.array([[8 * i + 20, 60, 8 * i + 60, 160]])
    found = Detections(box, np.array([0.9]), np.array([0]))
    return Observation("belt", i / 10, found, SIZE, index=i if index is None else index)


def belt():
    settings = Counting.Settings(lines={"door": LineShape((300, 0), (300, 480))})
    return Counting("belt", settings, SIZE, ["person"])


def signal(name, on):
    return ("signal", {"name": name, "on": on, "by": "x", "track": 3})


def blank(camera, i):
    return Observation(camera, i / 10, Detections.empty(), SIZE, index=i)


def run(told, links, frames=70, second=None, cut=None):
    """Two cameras in turn by time; `cut` starts the second anew from its snapshot there."""
    board = Switchboard(links, ["hall", "belt"], in_turn=True)
    hall = Triggered(Teller("hall", told), "hall", board)
    made = Triggered(second or belt(), "belt", board)
    events = []
    for i in range(frames):
        events += hall.process(blank("hall", i))
        events += made.process(walker(i))
        if i == cut:
            other = Triggered(belt(), "belt", board)
            other.restore(made.snapshot())
            made = other
    events += hall.finish() + made.finish()
    return events, made


def kinds(events):
    return [e.kind for e in events if e.kind in ("stopped", "started", "marked", "crossing")]


STOP = [Link("hall", "crossed_arms", "stop", "belt"), Link("hall", "hands_up", "start", "belt")]


def test_nobody_is_counted_while_it_is_stopped():
    assert kinds(run({}, STOP)[0]) == ["crossing"]
    stopped = {20: [("crossed_arms", {"track": 7})], 50: [("hands_up", {"track": 7})]}
    events, made = run(stopped, STOP)
    assert kinds(events) == ["stopped", "started"]
    halt, go = (e for e in events if e.kind in ("stopped", "started"))
    assert halt.payload == {"by": "hall", "event": "crossed_arms", "track": 7}
    assert halt.timestamp == 2.0 and go.payload["stopped_s"] == 3.0
    assert made.summarise(events)["triggered"] == {"stopped": 1, "stopped_s": 3.0, "marked": {}}
    visits = [e for e in events if e.kind == "track"]
    assert len(visits) == 2  # who was there has gone; who comes back is another


def test_a_signal_stops_while_it_is_on():
    links = [Link("hall", "emergency", "stop", "belt")]
    told = {
        10: [signal("emergency", True)],
        30: [signal("emergency", False)],
        31: [signal("x", True)],
    }
    events, _ = run(told, links)
    assert kinds(events) == ["stopped", "started", "crossing"]


def test_marks_say_by_whom_and_when():
    links = [Link("hall", "hand_raised", "mark", "belt"), Link("hall", "call", "mark", "belt")]
    told = {
        5: [("hand_raised", {"track": 1})],
        9: [signal("call", True)],
        12: [signal("call", False)],
    }
    events, made = run(told, links)
    marks = [e.payload for e in events if e.kind == "marked"]
    assert marks == [
        {"by": "hall", "event": "hand_raised", "track": 1, "at": 0.5},
        {"by": "hall", "event": "call", "track": 3, "at": 0.9},
    ]
    assert made.summarise(events)["triggered"]["marked"] == {
        "hall: hand_raised": 1,
        "hall: call": 1,
    }


def test_a_pipeline_of_ones_own_is_told():
    links = [Link("hall", "wave", "tell", "belt")]
    events, _ = run({4: [("wave", {})]}, links, second=Listener("belt", {}))
    assert [e.payload for e in events if e.kind == "heard"] == [{"from": "hall", "kind": "wave"}]
    with pytest.raises(ConfigError, match="cannot be told anything"):
        run({}, links)


def test_what_is_still_open_is_told_at_the_end():
    events, made = run({65: [("crossed_arms", {})]}, STOP)
    assert kinds(events) == ["crossing", "stopped", "started"]
    assert [e.payload["event"] for e in events if e.kind == "started"] == ["end"]


@pytest.mark.parametrize("cut", [5, 19, 20, 21, 49, 50, 51])
def test_a_restart_changes_nothing(cut):
    told = {20: [("crossed_arms", {"track": 7})], 50: [("hands_up", {"track": 7})]}
    whole = [(e.id, e.payload) for e in run(told, STOP)[0]]
    assert [(e.id, e.payload) for e in run(told, STOP, cut=cut)[0]] == whole


@pytest.mark.parametrize("hall_at, belt_at", [(60, 10), (10, 60), (25, 55), (55, 25), (45, 15)])
def test_cameras_that_go_on_from_different_moments_heed_the_same(hall_at, belt_at):
    """Killed, each camera goes on from its own snapshot; what was told in between counts once."""
    told = {20: [("crossed_arms", {"track": 7})], 50: [("hands_up", {"track": 7})]}
    expected = {e.id: e.payload for e in run(told, STOP)[0]}
    board = Switchboard(STOP, ["hall", "belt"], in_turn=True)
    one = Triggered(Teller("hall", told), "hall", board)
    two = Triggered(belt(), "belt", board)
    journal, saved = {}, {}
    for i in range(62):
        for camera, pipeline, given in (("hall", one, blank("hall", i)), ("belt", two, walker(i))):
            for event in pipeline.process(given):
                journal[event.id] = event
            if i == (hall_at if camera == "hall" else belt_at):
                saved[camera] = pipeline.snapshot()
    board = Switchboard(STOP, ["hall", "belt"], in_turn=True)
    one = Triggered(Teller("hall", told), "hall", board)
    two = Triggered(belt(), "belt", board)
    one.restore(saved["hall"])
    two.restore(saved["belt"])
    since = belt_at / 10
    board.recall(
        "hall", [e for e in journal.values() if e.camera == "hall" and e.timestamp >= since]
    )
    heads = {"hall": hall_at + 1, "belt": belt_at + 1}
    while min(heads.values()) < 70:
        camera = min(heads, key=lambda name: heads[name])
        i = heads[camera]
        pipeline, given = (one, blank("hall", i)) if camera == "hall" else (two, walker(i))
        for event in pipeline.process(given):
            journal[event.id] = event
        heads[camera] += 1
    for event in [*one.finish(), *two.finish()]:
        journal[event.id] = event
    assert {k: e.payload for k, e in journal.items()} == expected


def test_regions_are_not_asked_for_while_it_is_stopped():
    links = [Link("hall", "stop", "stop", "belt"), Link("hall", "go", "start", "belt")]
    board = Switchboard(links, ["hall", "belt"], in_turn=True)
    parts = {"left": (0, 0, 100, 100)}
    inner = Classification("belt", Classification.Settings(parts=parts), SIZE, ["a", "b"])
    made = Triggered(inner, "belt", board)
    hall = Triggered(Teller("hall", {10: [("stop", {})], 40: [("go", {})]}), "hall", board)
    asked, events = [], []
    for i in range(60):
        hall.process(blank("hall", i))
        given = blank("belt", i)
        regions = made.regions(given)
        asked.append(len(regions.boxes))
        rows = np.tile([0.9, 0.1], (len(regions.boxes), 1)) if len(regions.boxes) else None
        answered = Regions(regions.boxes, regions.note, rows)
        events += made.process(
            Observation("belt", i / 10, Detections.empty(), SIZE, index=i, regions=answered)
        )
    assert asked[9] == 1 and asked[11] == 0 and asked[39] == 0 and asked[41] == 1
    assert [e.kind for e in events if e.kind in ("stopped", "started")] == ["stopped", "started"]


def test_a_camera_without_regions_has_none_when_wrapped():
    board = Switchboard(STOP, ["hall", "belt"], in_turn=True)
    assert not hasattr(Triggered(Teller("hall", {}), "hall", board), "regions")
    assert hasattr(Triggered(belt(), "belt", board), "regions")
    assert Triggered(belt(), "belt", board).settings.lines


def test_live_cameras_heed_what_comes_when_it_comes():
    board = Switchboard(STOP, ["hall", "belt"], in_turn=False)
    made = Triggered(belt(), "belt", board)
    made.process(walker(30))
    board.publish("hall", [Event("hall", 2.9, "crossed_arms", {})])  # a little late
    assert [e.kind for e in made.tick(3.4)] == ["stopped"]


def test_triggers_that_make_no_sense_are_told():
    cameras = {"hall": {"crossed_arms": {"stop": "belt"}}, "belt": {}}
    assert read_links(cameras) == [Link("hall", "crossed_arms", "stop", "belt")]
    with pytest.raises(ConfigError, match=r"no action 'stopp'.*stop"):
        read_links({"hall": {"wave": {"stopp": "hall"}}})
    with pytest.raises(ConfigError, match=r"triggers.wave.stop: there is no camera 'blt'.*belt"):
        read_links({"hall": {"wave": {"stop": ["blt"]}}, "belt": {}})
