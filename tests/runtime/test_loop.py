"""The run loop: order, restarts, ends good and bad."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from edgelane.core import DataError, Detections, Event, ModelError, SourceError, StorageError
from edgelane.runtime.journal import Journal
from edgelane.runtime.loop import Step, Stream, run_loop
from edgelane.runtime.mot import read_mot
from edgelane.runtime.replay import Replay
from edgelane.runtime.stats import RunStats
from edgelane.runtime.testing import FakeClock, FakeSource


class Tally:
    """A pipeline whose events depend on every frame before: a lost or doubled frame shows."""

    def __init__(self, size=(64, 48)):
        self.size = size
        self.state = {"sum": 0, "seen": 0, "last": -1.0}
        self.ticks = []

    def process(self, observation):
        assert observation.timestamp > self.state["last"]
        self.state["last"] = observation.timestamp
        self.state["seen"] += 1
        self.state["sum"] = (
            self.state["sum"] * 31 + observation.index + len(observation.detections)
        ) % 1_000_003
        if self.state["sum"] % 3:
            return []
        return [Event(observation.camera, observation.timestamp, "tally", dict(self.state))]

    def tick(self, timestamp):
        self.ticks.append(timestamp)
        return [Event("camera", timestamp, "tick")]

    def finish(self):
        return [Event("camera", self.state["last"], "end", dict(self.state))]

    def tracks(self):
        return None

    def snapshot(self):
        return json.dumps(self.state).encode()

    def restore(self, state):
        self.state = json.loads(state)

    def summarise(self, events):
        return {"n": sum(1 for _ in events)}


class FakeModel:
    """As many detections as the picture's first value; takes longer for some frames."""

    def __init__(self, wait=0.0, fail_at=None):
        self.wait, self.fail_at = wait, fail_at
        self.calls = 0
        self.most = self.now = 0
        self.lock = threading.Lock()

    def preprocess(self, image):
        return int(image[0, 0, 0]), image.shape

    def infer(self, tensor):
        with self.lock:
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)
            call = self.calls
        if self.wait:
            time.sleep(self.wait * (1 + call % 3))
        with self.lock:
            self.now -= 1
        if self.fail_at is not None and tensor == self.fail_at:
            raise ModelError("the model broke")
        return tensor

    def postprocess(self, outputs, shape):
        n = outputs % 5
        return Detections(np.tile([0, 0, 1, 1], (n, 1)), np.full(n, 0.5), np.zeros(n))


def picture(index):
    return np.full((48, 64, 3), index % 256, np.uint8)


def source(count=60, **more):
    return FakeSource([i / 10 for i in range(count)], image=picture, **more)


def go(tmp_path, src, model=None, name="events.db", **more):
    pipeline = Tally()
    with Journal(tmp_path / name) as journal:
        stats = run_loop(
            {"camera": Stream(src, lambda size: pipeline)},
            model if model is not None else FakeModel(),
            journal,
            **more,
        )
        return stats, list(journal.events()), pipeline


def test_frames_pass_in_order_however_long_the_model_takes(tmp_path):
    model = FakeModel(wait=0.001)
    seen = []
    stats, events, pipeline = go(
        tmp_path, source(), model, workers=4, sinks=[lambda step: seen.append(step)]
    )
    assert [s.observation.index for s in seen if s.observation] == list(range(60))
    assert [len(s.observation.detections) for s in seen if s.observation] == [
        i % 5 for i in range(60)
    ]
    assert model.most > 1
    assert pipeline.state["seen"] == 60
    assert stats.cameras["camera"].frames == 60
    assert stats.ended == "end"
    assert events[-1].kind == "end"
    assert seen[-1] == Step("camera", None, None, [events[-1]], pipeline)


def test_one_worker_and_many_give_the_same_events(tmp_path):
    one = go(tmp_path, source(), FakeModel(), "one.db", workers=1)[1]
    many = go(tmp_path, source(), FakeModel(wait=0.001), "many.db", workers=5)[1]
    assert one == many
    assert len(one) > 5


def test_the_pipeline_is_made_for_the_size_of_the_source(tmp_path):
    sizes = []

    def make(size):
        sizes.append(size)
        return Tally()

    run_loop({"camera": Stream(source(3), make)}, FakeModel(), None)
    assert sizes == [(64, 48)]


def test_timestamps_rise_strictly(tmp_path):
    times = [0.0, 0.1, 0.1, 0.1, 0.05, 0.2]
    seen = []
    go(tmp_path, FakeSource(times), sinks=[lambda step: seen.append(step)])
    assert [s.observation.timestamp for s in seen if s.observation] == [
        0.0, 0.1, 0.100001, 0.100002, 0.100003, 0.2,
    ]  # fmt: skip


def test_several_cameras_run_side_by_side_each_in_its_order(tmp_path):
    seen = {"a": [], "b": []}
    with Journal(tmp_path / "events.db") as journal:
        stats = run_loop(
            {name: Stream(source(40, camera=name), Tally) for name in seen},
            FakeModel(wait=0.0005),
            journal,
            sinks=[lambda s: s.observation and seen[s.camera].append(s.observation.index)],
            workers=3,
        )
    assert seen == {"a": list(range(40)), "b": list(range(40))}
    summary = stats.summary()
    assert summary["frames"] == 80
    assert summary["duration_s"] == 4.0
    assert set(summary["timing_ms"]) >= {"decode", "preprocess", "infer", "postprocess", "pipeline"}


def test_a_replay_of_recorded_detections_needs_no_model(tmp_path):
    rows = "".join(f"{i},-1,{i},10,20,30,0.9,-1,-1,-1\n" for i in range(1, 31) if i != 7)
    (tmp_path / "det.txt").write_text(rows)
    pipeline = Tally()
    with Journal(tmp_path / "events.db") as journal:
        replay = Replay(read_mot(tmp_path / "det.txt"), 7, (768, 576))
        stats = run_loop({"camera": Stream(replay, lambda size: pipeline)}, None, journal)
    assert pipeline.state["seen"] == 30
    assert pipeline.state["last"] == round(29 / 7, 6)
    assert stats.summary()["duration_s"] == round(30 / 7, 3)


def test_replayed_cameras_take_turns_by_time():
    order = []
    detections = [Detections.empty()] * 3
    run_loop(
        {
            "slow": Stream(Replay(detections, 1, (64, 48)), Tally),
            "fast": Stream(Replay(detections, 2, (64, 48)), Tally),
        },
        None,
        None,
        sinks=[lambda s: s.observation and order.append((s.observation.timestamp, s.camera))],
    )
    assert [t for t, _ in order] == [0.0, 0.0, 0.5, 1.0, 1.0, 2.0]


def test_a_source_that_breaks_off_keeps_what_came_before(tmp_path):
    stats = RunStats()
    with pytest.raises(SourceError, match="cable"):
        go(tmp_path, source(20, error=SourceError("the cable is out")), stats=stats)
    assert stats.cameras["camera"].frames == 20
    assert stats.ended == "error"
    with Journal(tmp_path / "events.db", readonly=True) as journal:
        assert list(journal.events())[-1].payload["seen"] == 20


def test_a_model_that_fails_keeps_what_came_before(tmp_path):
    with pytest.raises(ModelError, match="the model broke"):
        go(tmp_path, source(60), FakeModel(wait=0.001, fail_at=33), workers=3)
    with Journal(tmp_path / "events.db", readonly=True) as journal:
        last = list(journal.events())[-1]
        assert (last.kind, last.payload["seen"]) == ("end", 33)


def test_a_pipeline_or_sink_that_fails_ends_the_run(tmp_path):
    def sink(step):
        if step.observation and step.observation.index == 5:
            raise StorageError("the video is full")

    with pytest.raises(StorageError, match="the video is full"):
        go(tmp_path, source(20), sinks=[sink])
    assert threading.active_count() < 4


def test_a_full_journal_ends_the_run_with_what_it_has(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(StorageError, match="full"):
            run_loop({"camera": Stream(source(20_000), Tally)}, FakeModel(), journal)
    with Journal(tmp_path / "events.db", readonly=True) as journal:
        assert journal.count() > 3


def test_something_that_is_no_frame_is_told():
    class Odd:
        size, live = (64, 48), False

        def __iter__(self):
            return iter(["frame"])

    with pytest.raises(DataError, match="must yield frames"):
        run_loop({"camera": Stream(Odd(), Tally)}, None, None)


def test_stop_ends_the_run_and_the_end_is_told(tmp_path):
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    stats, events, pipeline = go(tmp_path, source(100_000, wait=0.001), stop=stop)
    assert stats.ended == "stopped"
    assert events[-1].payload["seen"] == pipeline.state["seen"] == stats.cameras["camera"].frames
    assert 0 < pipeline.state["seen"] < 10_000


def test_a_file_that_was_stopped_half_way_is_gone_on_with_as_if_it_had_not(tmp_path):
    whole = go(tmp_path, source(400), FakeModel(), "whole.db")[1]
    for at in (57, 58, 300):
        stop = threading.Event()

        def ask(step, at=at, stop=stop):
            if step.observation and step.observation.index == at:
                stop.set()

        stats, events, _ = go(tmp_path, source(400), FakeModel(), "half.db", stop=stop, sinks=[ask])
        assert stats.ended == "stopped"
        assert events[-1].kind == "end"
        assert events[:-1] == whole[: len(events) - 1]
    stats, events, _ = go(tmp_path, source(400), FakeModel(), "half.db")
    assert stats.ended == "end"
    assert events == whole


def test_stop_ends_a_run_whose_camera_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelane.runtime.scheduling.crew.GRACE_S", 0.2)
    release = threading.Event()

    class Hanging(FakeSource):
        def __iter__(self):
            yield from super().__iter__()
            release.wait(20)

    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    stats, events, _ = go(tmp_path, Hanging([1.0, 2.0], live=True), stop=stop)
    release.set()
    assert time.monotonic() - began < 5
    assert stats.ended == "stopped"
    assert events[-1].kind == "end"


def test_frames_are_passed_on_although_the_next_ones_are_long_in_coming(tmp_path):
    told = threading.Event()

    class Stalling(FakeSource):
        def __iter__(self):
            yield from super().__iter__()
            self.heard = told.wait(10)

    src = Stalling([0.0, 0.1, 0.2], image=picture)
    sink = [lambda step: told.set() if step.observation and step.observation.index == 2 else None]
    stats, _, pipeline = go(tmp_path, src, sinks=sink)
    assert src.heard
    assert pipeline.state["seen"] == 3


def test_frames_in_flight_are_few_enough_for_memory(tmp_path):
    model, ahead, seen = FakeModel(wait=0.001), [0], [0]

    class Counted(FakeSource):
        def __iter__(self):
            for count, frame in enumerate(super().__iter__(), 1):
                ahead[0] = max(ahead[0], count - seen[0])
                yield frame

    def sink(step):
        seen[0] += 1

    go(tmp_path, Counted([i / 10 for i in range(60)], image=picture), model, sinks=[sink])
    assert ahead[0] < 20


def test_a_live_camera_drops_frames_that_find_no_worker(tmp_path):
    stats, _, pipeline = go(
        tmp_path, source(200, live=True, wait=0.0005), FakeModel(wait=0.005), workers=1
    )
    camera = stats.cameras["camera"]
    assert camera.dropped > 20
    assert camera.frames + camera.dropped == 200
    assert pipeline.state["seen"] == camera.frames


def test_time_passes_for_a_live_camera_without_frames(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelane.runtime.loop.TICK_S", 0.05)
    release, stop = threading.Event(), threading.Event()
    clock = FakeClock(1000.0)

    class Silent(FakeSource):
        def __iter__(self):
            yield from super().__iter__()
            release.wait(20)

    class Watched(Tally):
        def tick(self, timestamp):
            events = super().tick(timestamp)
            if len(self.ticks) == 3:
                release.set()
            return events

    pipeline = Watched()

    def advance():
        while not release.is_set():
            clock.advance(0.01)
            time.sleep(0.005)

    thread = threading.Thread(target=advance)
    thread.start()
    with Journal(tmp_path / "events.db") as journal:
        run_loop(
            {"camera": Stream(Silent([1000.0], live=True), lambda size: pipeline)},
            FakeModel(),
            journal,
            stop=stop,
            clock=clock,
        )
        kinds = [e.kind for e in journal.events()]
    thread.join()
    assert kinds.count("tick") >= 3
    assert pipeline.ticks == sorted(set(pipeline.ticks))
    assert pipeline.ticks[0] > 1000.0


def test_a_live_camera_keeps_its_state_with_every_event(tmp_path):
    _, events, pipeline = go(tmp_path, source(30, live=True, wait=0.001))
    with Journal(tmp_path / "events.db", readonly=True) as journal:
        assert json.loads(journal.snapshot("camera").state) == pipeline.state
    again = Tally()
    with Journal(tmp_path / "events.db") as journal:
        later = FakeSource([50.0, 51.0], image=picture, live=True)
        stats = run_loop({"camera": Stream(later, lambda size: again)}, FakeModel(), journal)
    assert again.state["seen"] == pipeline.state["seen"] + 2
    assert stats.cameras["camera"].frames == again.state["seen"]
    assert stats.cameras["camera"].index == 31


CHILD = textwrap.dedent(
    """
    import importlib.util, sys, time
    spec = importlib.util.spec_from_file_location("parts", {test!r})
    parts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parts)
    from edgelane.runtime import loop
    loop.SNAPSHOT_S = 0.03
    with parts.Journal(sys.argv[1]) as journal:
        print("began", flush=True)
        stats = loop.run_loop(
            {{"camera": loop.Stream(parts.source(2000, wait=0.0002), parts.Tally)}},
            parts.FakeModel(wait=0.0001), journal, workers=3,
        )
        print(stats.ended, stats.cameras["camera"].frames, flush=True)
    """
).format(test=__file__)


def start(path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "began\n"
    return child


def test_kill_9_at_any_moment_and_a_restart_give_the_events_of_an_undisturbed_run(tmp_path):
    whole = go(tmp_path, source(2000), FakeModel(), "whole.db")[1]
    chance = random.Random(11)
    path = tmp_path / "killed.db"
    kills = 0
    while True:
        child = start(path)
        try:
            child.wait(chance.uniform(0.05, 0.5) if kills < 5 else 60)
        except subprocess.TimeoutExpired:
            child.kill()
            kills += 1
            child.communicate()
            continue
        out = child.communicate()[0]
        break
    assert kills >= 2
    assert out == "end 2000\n"
    with Journal(path, readonly=True) as journal:
        assert list(journal.events()) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_cleanly(tmp_path, number):
    child = start(tmp_path / "events.db")
    time.sleep(0.15)
    child.send_signal(number)
    out, _ = child.communicate(timeout=20)
    ended, frames = out.split()
    assert child.returncode == 0
    assert ended == "stopped"
    with Journal(tmp_path / "events.db", readonly=True) as journal:
        last = list(journal.events())[-1]
        assert (last.kind, last.payload["seen"]) == ("end", int(frames))
        assert 0 < int(frames) < 2000
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_scene_is_kept(tmp_path):
    cv2 = pytest.importorskip("cv2")
    go(tmp_path, FakeSource([i / 10 for i in range(50)], image=np.full((48, 64, 3), 77, np.uint8)))
    with Journal(tmp_path / "events.db", readonly=True) as journal:
        jpeg = journal.blob("camera", "scene")
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (48, 64, 3)
    assert abs(int(shown.mean()) - 77) <= 1


def test_no_camera_at_all_is_told():
    with pytest.raises(Exception, match="no camera"):
        run_loop({}, None, None)


def test_threads_end_with_the_run(tmp_path):
    before = threading.active_count()
    go(tmp_path, source(30))
    assert threading.active_count() == before
