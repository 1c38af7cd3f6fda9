"""Regions that a pipeline asks for go through the second model, and nothing else changes."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edgelane.core import (
    DataError,
    Detections,
    Event,
    ModelError,
    Observation,
    Regions,
    SourceError,
    UsageError,
)
from edgelane.runtime import loop
from edgelane.runtime.journal import Journal
from edgelane.runtime.loop import Stream, run_loop
from edgelane.runtime.testing import FakeSource


def picture(index):
    return np.full((48, 64, 3), index % 256, np.uint8)


def source(count=60, **more):
    return FakeSource([i / 10 for i in range(count)], image=picture, **more)


class Detector:
    """As many detections as the picture's first value, of five; some frames take longer."""

    def __init__(self, wait=0.0):
        self.wait = wait
        self.seen = []

    def preprocess(self, image):
        return int(image[0, 0, 0]), image.shape

    def infer(self, tensor):
        self.seen.append(tensor)
        if self.wait:
            time.sleep(self.wait * (1 + tensor % 3))
        return tensor

    def postprocess(self, outputs, shape):
        n = outputs % 5
        return Detections(np.tile([0, 0, 1, 1], (n, 1)), np.full(n, 0.5), np.zeros(n))


class Second:
    """Gives for each box its left side and the picture's first value."""

    def __init__(self, wait=0.0, fail_at=None, rows=0):
        self.wait, self.fail_at, self.rows = wait, fail_at, rows
        self.threads = set()
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, image, boxes):
        value = int(image[0, 0, 0])
        self.threads.add(threading.current_thread().name)
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if self.wait:
            time.sleep(self.wait * (1 + value % 4))
        with self.lock:
            self.now -= 1
        if value == self.fail_at:
            raise ModelError("the second model broke")
        return np.array([[box[0], value] for box in boxes] + [[0, 0]] * self.rows)


class Asking:
    """Asks for the first so many boxes of its own, and sums up what it is told.

    Its state has two halves, as a tracker's and what is counted: one is moved on when it asks,
    the other when it is answered.
    """

    def __init__(self, size=(64, 48)):
        self.state = {"asked": 0, "answered": 0, "sum": 0, "last": -1.0}
        self.ahead = self.worst = 0
        self.skipped = 0

    def regions(self, observation):
        self.state["asked"] = (self.state["asked"] * 7 + observation.index) % 1009
        self.ahead += 1
        self.worst = max(self.worst, self.ahead)
        n = observation.index % 4
        boxes = np.tile([float(observation.index), 0, 500, 500], (n, 1)).astype(np.float32)
        if observation.index % 5 == 4:
            return None
        return Regions(boxes, note={"index": observation.index, "asked": self.state["asked"]})

    def process(self, observation):
        self.ahead -= 1
        assert observation.timestamp > self.state["last"]
        self.state["last"] = observation.timestamp
        self.skipped += not observation.detected
        regions = observation.regions
        told = 0
        if observation.index % 5 == 4:
            assert regions is None
        else:
            assert regions.note["index"] == observation.index
            n = observation.index % 4
            if n:
                expected = [[observation.index, observation.index % 256]] * n
                np.testing.assert_array_equal(regions.answer, expected)
                told = int(regions.answer.sum())
            else:
                assert regions.answer is None
            told += regions.note["asked"]
        self.state["answered"] += 1
        self.state["sum"] = (self.state["sum"] * 31 + told + len(observation.detections)) % 1009
        if self.state["sum"] % 3:
            return []
        payload = {"sum": self.state["sum"], "n": self.state["answered"]}
        return [Event(observation.camera, observation.timestamp, "sum", payload)]

    def tick(self, timestamp):
        return []

    def finish(self):
        return [Event("camera", self.state["last"], "end", dict(self.state))]

    def tracks(self):
        return None

    def snapshot(self):
        assert self.ahead == 0
        return json.dumps(self.state).encode()

    def restore(self, state):
        self.state = json.loads(state)

    def summarise(self, events):
        return {}


def go(path, src, detector=None, second=None, every=1, **more):
    pipeline = Asking()
    with Journal(path) as journal:
        stats = run_loop(
            {"camera": Stream(src, lambda size: pipeline, every)},
            detector or Detector(),
            journal,
            second=second or Second(),
            **more,
        )
        return stats, list(journal.events()), pipeline


def test_answers_come_back_to_their_frames_in_order(tmp_path):
    """However long either model takes, and in the workers, several at once."""
    second = Second(wait=0.002)
    stats, events, pipeline = go(
        tmp_path / "a.db", source(120), Detector(wait=0.001), second, workers=4
    )
    assert stats.processed == 120 and pipeline.state["answered"] == 120
    assert second.most > 1 and all(name.startswith("worker") for name in second.threads)
    assert stats.cameras["camera"].stages["second"].count == sum(
        1 for i in range(120) if i % 4 and i % 5 != 4
    )
    again = go(tmp_path / "b.db", source(120), workers=1)
    assert again[1] == events


def test_a_file_is_asked_about_ahead_and_a_live_camera_is_not(tmp_path):
    """So a live camera's state can be kept with each event, and a file keeps all cores busy."""
    assert go(tmp_path / "a.db", source(120), second=Second(wait=0.002))[2].worst > 2
    live = go(tmp_path / "b.db", source(60, live=True, wait=0.001), second=Second(wait=0.002))
    assert live[2].worst == 1
    with Journal(tmp_path / "b.db", readonly=True) as journal:
        assert json.loads(journal.snapshot("camera").state) == live[2].state


def test_a_snapshot_is_taken_when_nothing_is_on_its_way(tmp_path, monkeypatch):
    """`Asking.snapshot` checks it; a run that is gone on with gives the same events."""
    whole = go(tmp_path / "whole.db", source(300))[1]
    monkeypatch.setattr(loop, "SNAPSHOT_S", 0.01)
    stop = threading.Event()
    path = tmp_path / "parts.db"

    def until(step):
        if step.observation is not None and step.observation.index == 140:
            stop.set()

    stats = go(path, source(300), second=Second(wait=0.001), stop=stop, sinks=[until])[0]
    assert stats.ended == "stopped" and 140 < stats.processed < 300
    stats, events, _ = go(path, source(300), second=Second(wait=0.001))
    assert stats.cameras["camera"].resumed is not None
    assert events == whole


def test_the_detector_may_look_at_every_nth_frame(tmp_path):
    """The others come without detections and say so; also after a restart, at the same ones."""
    detector = Detector()
    stats, events, pipeline = go(tmp_path / "a.db", source(60), detector, every=3)
    assert sorted(detector.seen) == list(range(0, 60, 3))
    assert pipeline.skipped == 40
    assert stats.cameras["camera"].stages["infer"].count == 20
    late = source(60)
    late.seek(31)
    detector = Detector()
    go(tmp_path / "b.db", late, detector, every=3)
    assert sorted(detector.seen) == list(range(33, 60, 3))
    with pytest.raises(UsageError, match="every must be a count"):
        go(tmp_path / "c.db", source(6), every=0)


def test_what_fails_ends_the_run_after_what_came_before(tmp_path):
    """The second model, the pipeline's question, the source, an answer of another length."""
    with pytest.raises(ModelError, match="second model broke"):
        go(tmp_path / "a.db", source(), second=Second(wait=0.001, fail_at=33))
    with Journal(tmp_path / "a.db", readonly=True) as journal:
        assert next(journal.events(kind="end")).payload["answered"] == 33

    with pytest.raises(DataError, match="a row for each region"):
        go(tmp_path / "b.db", source(), second=Second(rows=1))

    broken = source(40, error=SourceError("the cable is out"))
    with pytest.raises(SourceError, match="cable"):
        go(tmp_path / "c.db", broken, second=Second(wait=0.002))
    with Journal(tmp_path / "c.db", readonly=True) as journal:
        assert next(journal.events(kind="end")).payload["answered"] == 40

    class Failing(Asking):
        def regions(self, observation):
            if observation.index == 20:
                raise DataError("no question")
            return super().regions(observation)

    pipeline = Failing()
    with pytest.raises(DataError, match="no question"):
        run_loop(
            {"camera": Stream(source(), lambda size: pipeline)},
            Detector(),
            None,
            second=Second(wait=0.002),
        )
    assert pipeline.state["answered"] == 20


def test_without_a_second_model_nothing_is_asked(tmp_path):
    """And a pipeline that asks nothing goes with one."""

    class Plain(Asking):
        regions = None

        def process(self, observation):
            assert observation.regions is None
            return []

    for second in (None, Second()):
        pipeline = Plain()
        stats = run_loop(
            {"camera": Stream(source(), lambda size, p=pipeline: p)},
            Detector(),
            None,
            second=second,
        )
        assert stats.processed == 60 and "second" not in stats.cameras["camera"].stages


def test_regions_without_a_detector(tmp_path):
    """A pipeline may know by itself where to look; recorded detections have no picture."""
    pipeline = Asking()
    stats = run_loop(
        {"camera": Stream(source(), lambda size: pipeline)}, None, None, second=Second()
    )
    assert stats.processed == 60 and pipeline.state["answered"] == 60

    class Recorded(FakeSource):
        def __iter__(self):
            for frame in super().__iter__():
                yield Observation("camera", frame.timestamp, Detections.empty(), (64, 48), None, 1)

    with pytest.raises(DataError, match="looks at pictures"):
        run_loop(
            {"camera": Stream(Recorded([0.0, 0.1]), lambda size: Asking())},
            None,
            None,
            second=Second(),
        )


def test_several_cameras_share_the_second_model(tmp_path):
    """Each gets its own answers."""
    pipelines = {name: Asking() for name in "abc"}
    streams = {
        name: Stream(source(50 + 10 * i), lambda size, n=name: pipelines[n])
        for i, name in enumerate(pipelines)
    }
    stats = run_loop(streams, Detector(), None, second=Second(wait=0.0005))
    assert stats.processed == 180
    alone = Asking()
    run_loop({"c": Stream(source(70), lambda size: alone)}, Detector(), None, second=Second())
    assert alone.state == pipelines["c"].state


def test_regions_are_a_value():
    """An answer is put beside the question."""
    asked = Regions(np.zeros((2, 4), np.float32), note="whose")
    assert replace(asked, answer=np.ones(2)).note == "whose" and asked.answer is None


def test_a_model_may_tell_more_than_boxes():
    class Findings:
        def __init__(self, mean):
            self.mean, self.detections = mean, Detections.empty()

    class Model:
        def preprocess(self, image):
            return image, None

        def infer(self, tensor):
            return tensor.mean()

        def postprocess(self, outputs, transform):
            return Findings(outputs)

    class Quiet(Asking):
        regions = None

        def process(self, observation):
            return []

        def finish(self):
            return []

    told = []
    run_loop(
        {"camera": Stream(source(3), lambda size: Quiet())},
        Model(),
        None,
        sinks=[lambda step: step.observation and told.append(step.observation.findings.mean)],
    )
    assert told == [frame.image.mean() for frame in source(3)]
