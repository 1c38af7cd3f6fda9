"""Many cameras on one model, with real threads: overload, batches, ends, stops."""

import threading
import time
import tracemalloc

import numpy as np
import pytest

from edgelane.core import Detections, Event, ModelError, UsageError
from edgelane.runtime import loop
from edgelane.runtime.cameras import LOG_EVERY_S
from edgelane.runtime.journal import Journal
from edgelane.runtime.loop import Stream, run_loop
from edgelane.runtime.stats import RunStats
from edgelane.runtime.testing import FakePipeline, FakeSource


class Notes(FakePipeline):
    """A pipeline that tells each frame's number and how many it has seen."""

    def __init__(self, size=(64, 48)):
        self.state = {"seen": 0, "last": -1.0}

    def process(self, observation):
        assert observation.timestamp > self.state["last"]
        self.state = {"seen": self.state["seen"] + 1, "last": observation.timestamp}
        payload = {"index": observation.index, "boxes": observation.detections.xyxy.tolist()}
        return [Event(observation.camera, observation.timestamp, "frame", payload)]


class Model:
    """Sees in each picture a box as large as its first value; counts runs by size.

    Args:
        batch: Pictures a run, None for any.
        call_s: Seconds a run.
        picture_s: Seconds a picture more.
        poison: A picture of this value makes its run fail.
        sick: Runs of several always fail.
        cores: How many runs the device works at together; the others wait.
    """

    def __init__(self, batch=1, call_s=0.0, picture_s=0.0, poison=None, sick=False, cores=None):
        self.batch = batch
        self.call_s, self.picture_s, self.poison, self.sick = call_s, picture_s, poison, sick
        self.sizes = []
        self.device = threading.Semaphore(cores or 99)

    def preprocess(self, image, out=None):
        if image[0, 0, 0] == 251:
            raise ModelError("a picture that cannot be read")
        value = np.array([float(image[0, 0, 0])], np.float32)
        if out is None:
            return value, None
        out[...] = value
        return out, None

    def infer(self, tensor):
        tensor = tensor[None] if tensor.ndim == 1 else tensor
        self.sizes.append(len(tensor))
        with self.device:
            time.sleep(self.call_s + self.picture_s * len(tensor))
        if self.poison is not None and (tensor == self.poison).any():
            raise ModelError("the model broke")
        if self.sick and len(tensor) > 1:
            raise ModelError("a reshape does not fit")
        return {"side": tensor * 2.0}

    def postprocess(self, outputs, transform):
        assert outputs["side"].shape == (1, 1)
        side = float(outputs["side"][0, 0])
        return Detections(np.array([[0, 0, side + 1, side + 1]]), np.ones(1), np.zeros(1))


def picture(index):
    return np.full((48, 64, 3), index % 250, np.uint8)


def camera(fps, seconds=None, count=None, **more):
    """A live camera that gives frames at this rate."""
    frames = count or round(fps * seconds)
    return FakeSource([n / fps for n in range(frames)], picture, live=True, wait=1 / fps, **more)


def run(sources, model, path=None, stop_after=None, **more):
    """Run cameras, `(source, fps, priority)` or a source each."""
    streams = {}
    for name, given in sources.items():
        source, fps, priority = given if isinstance(given, tuple) else (given, None, 1.0)
        streams[name] = Stream(source, Notes, fps=fps, priority=priority)
    stop, stats = threading.Event(), RunStats()
    timer = threading.Timer(stop_after or 99.0, stop.set)
    timer.start()
    try:
        if path is None:
            return run_loop(streams, model, None, stop=stop, stats=stats, **more)
        with Journal(path) as journal:
            run_loop(streams, model, journal, stop=stop, stats=stats, **more)
            return stats, list(journal.events())
    finally:
        timer.cancel()


def indices(events, name):
    return [e.payload["index"] for e in events if e.camera == name and e.kind == "frame"]


def test_equal_cameras_share_a_device_that_is_too_slow(tmp_path):
    sources = {f"c{i}": camera(60, 2.0) for i in range(5)}
    stats, events = run(sources, Model(picture_s=0.01), tmp_path / "e.db", workers=1)
    frames = [stats.cameras[name].frames for name in sources]
    assert max(frames) - min(frames) <= 0.2 * max(frames) + 2
    assert min(frames) > 10
    for name in sources:
        told = stats.cameras[name]
        numbers = indices(events, name)
        assert numbers == sorted(set(numbers)) and len(numbers) == told.frames
        assert told.frames + told.dropped == 120
        assert told.dropped > 30
        assert "were dropped" in told.warnings[0] and str(told.dropped) in told.warnings[0]


def test_priorities_and_slow_cameras_beside_fast_ones():
    sources = {
        "slow": camera(5, 2.0),
        "usual": camera(100, 2.0),
        "important": (camera(100, 2.0), None, 4.0),
    }
    stats = run(sources, Model(picture_s=0.02), workers=1).cameras
    assert stats["slow"].dropped == 0 and not stats["slow"].warnings
    assert stats["important"].frames > 2 * stats["usual"].frames > 10


def test_a_rate_is_kept_and_what_lies_between_is_skipped(tmp_path):
    sources = {"live": (camera(50, 2.0), 10, 1.0), "whole": camera(50, 2.0)}
    stats, events = run(sources, Model(), tmp_path / "e.db", workers=2)
    told = stats.cameras["live"]
    assert 19 <= told.frames <= 21 and told.dropped == 0
    assert told.skipped + told.frames == 100
    assert told.summary()["skipped"] == told.skipped
    assert set(np.diff(indices(events, "live"))) <= {4, 5, 6}
    assert stats.cameras["whole"].skipped == 0
    assert "skipped" not in stats.cameras["whole"].summary()
    assert stats.summary()["skipped"] == told.skipped


def test_a_rare_rate_makes_no_gaps(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelane.runtime.cameras.GAP_S", 0.05)
    source = FakeSource([0.0], picture, live=True)
    beginning = time.time()

    class Now(FakeSource):
        def __iter__(self):
            for frame in super().__iter__():
                yield type(frame)(frame.image, time.time(), self.camera, frame.index)

    source = Now(list(range(30)), picture, live=True, wait=0.02)
    stats, events = run({"c": (source, 5, 1.0)}, Model(), tmp_path / "e.db")
    assert not [e for e in events if e.kind == "gap"]
    assert 2 <= stats.cameras["c"].frames <= 6 and events[0].timestamp >= beginning


def test_a_files_frames_are_thinned_out_the_same_after_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SNAPSHOT_S", 0.0)

    def source():
        return FakeSource([n / 30 for n in range(300)], picture)

    whole = run({"c": (source(), 7, 1.0)}, Model(), tmp_path / "whole.db")[1]
    assert len(indices(whole, "c")) == 70
    path = tmp_path / "parts.db"
    stop = threading.Event()

    def ask(step):
        if step.observation is not None and step.observation.index > 100:
            stop.set()

    with Journal(path) as journal:
        streams = {"c": Stream(source(), Notes, fps=7)}
        stats = run_loop(streams, Model(), journal, stop=stop, sinks=[ask])
        assert stats.ended == "stopped" and stats.processed < 60
    stats, events = run({"c": (source(), 7, 1.0)}, Model(), path)
    assert stats.cameras["c"].resumed is not None and events == whole
    assert stats.cameras["c"].skipped + stats.cameras["c"].frames == 300


def backlog(model, count=600, **more):
    """Files keep a backlog."""
    sources = {f"f{i}": FakeSource([n / 10 for n in range(count)], picture) for i in range(2)}
    return run(sources, model, workers=2, **more)


def test_batches_give_what_single_frames_give(tmp_path):
    single = backlog(Model(1), path=tmp_path / "one.db")[1]
    model = Model(None, call_s=0.002, cores=1)
    stats, batched = backlog(model, path=tmp_path / "many.db")
    assert max(model.sizes) >= 4 and sum(stats.batches.values()) < 1200
    assert max(stats.batches) >= 4 and stats.summary()["batches"]
    for name in ("f0", "f1"):
        assert [e for e in batched if e.camera == name] == [e for e in single if e.camera == name]


def test_a_device_that_gains_nothing_runs_single_frames():
    model = Model(None, picture_s=0.01)
    stats = backlog(model, 80)
    several = sum(1 for size in model.sizes if size > 1)
    assert several <= 6 and stats.batches.get(1, 0) > 0.9 * 160
    assert stats.processed == 160


def test_a_fixed_batch_is_filled_by_several_cameras():
    class Fixed(Model):
        def infer(self, tensor):
            tensor = tensor[None] if tensor.ndim == 1 else tensor
            assert len(tensor) <= 4
            return super().infer(tensor)

    model = Fixed(4, call_s=0.004, cores=1)
    sources = {f"c{i}": camera(50, 2.0) for i in range(10)}
    stats = run(sources, model, workers=2)
    assert max(stats.batches) == 4
    # One by one it could do 250 frames a second of the 500.
    assert sum(c.frames for c in stats.cameras.values()) > 600


def test_frames_without_the_detector_go_along(tmp_path):
    model = Model(None, call_s=0.002, cores=1)
    streams = {
        f"f{i}": Stream(FakeSource([n / 10 for n in range(300)], picture), Notes, every=3)
        for i in range(2)
    }
    stats = run_loop(streams, model, None, workers=2)
    assert stats.processed == 600
    assert stats.cameras["f0"].stages["infer"].count == 100


@pytest.mark.parametrize("kind", ["run", "picture"])
def test_a_frame_that_fails_in_a_batch_fails_alone(tmp_path, kind):
    """What came before it is journalled, as when frames go one by one."""
    model = Model(None, call_s=0.002, cores=1, poison=240.0 if kind == "run" else None)

    def image(index):
        value = 251 if kind == "picture" and index == 240 else index % 250
        return np.full((48, 64, 3), value, np.uint8)

    source = FakeSource([n / 10 for n in range(500)], image)
    with Journal(tmp_path / "e.db") as journal:
        with pytest.raises(ModelError, match="broke" if kind == "run" else "cannot be read"):
            run_loop({"f": Stream(source, Notes)}, model, journal, workers=2)
        assert [e.payload["index"] for e in journal.events(kind="frame")] == list(range(240))
    assert max(model.sizes) > 1


def test_a_model_whose_batches_fail_goes_on_one_by_one(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("edgelane.runtime.scheduling.batching.PAUSE_S", 0.01)
    model = Model(None, call_s=0.001, sick=True)
    stats = backlog(model, 400)
    assert stats.processed == 800 and max(stats.batches) == 1
    assert sum(1 for size in model.sizes if size > 1) == 3
    told = [r for r in caplog.records if "several pictures at once" in r.getMessage()]
    assert len(told) == 1


def test_a_model_that_mixes_pictures_is_given_one(caplog):
    class Mixing(Model):
        def infer(self, tensor):
            outputs = super().infer(tensor)
            outputs["side"] = outputs["side"] + outputs["side"].sum()
            return outputs

    model = Mixing(None, call_s=0.001)
    stats = backlog(model, 200)
    assert stats.processed == 400 and sum(1 for size in model.sizes if size > 1) <= 4
    assert any("something else" in r.getMessage() for r in caplog.records)


def test_a_camera_that_hangs_or_ends_does_not_disturb_the_others(tmp_path):
    release = threading.Event()

    class Hanging(FakeSource):
        def __iter__(self):
            yield from super().__iter__()
            release.wait(20)

    sources = {
        "ends": camera(40, count=5),
        "hangs": Hanging([0.0, 0.1], picture, live=True),
        "well": camera(40, 2.0),
    }
    done = threading.Timer(2.6, release.set)
    done.start()
    stats, events = run(sources, Model(picture_s=0.005), tmp_path / "e.db", workers=1)
    done.cancel()
    assert indices(events, "ends") == list(range(5)) and indices(events, "hangs") == [0, 1]
    assert stats.cameras["well"].frames == 80 and stats.cameras["well"].dropped == 0
    assert stats.cameras["well"].latency.quantile(0.95) < 0.1


def test_time_passes_for_a_camera_that_is_away_while_others_are_busy(monkeypatch):
    monkeypatch.setattr(loop, "TICK_S", 0.05)

    class Ticked(Notes):
        ticks = 0

        def tick(self, timestamp):
            self.ticks += 1
            return []

    release, away = threading.Event(), Ticked()

    class Silent(FakeSource):
        def __iter__(self):
            for frame in super().__iter__():
                yield type(frame)(frame.image, time.time(), self.camera, frame.index)
            release.wait(20)

    threading.Timer(1.2, release.set).start()
    streams = {
        "busy": Stream(camera(200, 1.0), Notes),
        "away": Stream(Silent([0.0], picture, live=True), lambda size: away),
    }
    run_loop(streams, Model(), None)
    assert away.ticks >= 3


@pytest.mark.parametrize("live", [True, False])
def test_a_run_stops_soon_under_overload(tmp_path, live):
    """Whatever waits for a model of half a second is let go; what is under way is kept."""
    sources = {
        f"c{i}": FakeSource(
            [n / 30 for n in range(100_000)], picture, live=live, wait=0.03 if live else 0.0
        )
        for i in range(16)
    }
    ended = []
    threading.Timer(1.0, lambda: ended.append(time.monotonic())).start()
    stats, events = run(sources, Model(picture_s=0.5), tmp_path / "e.db", stop_after=1.0, workers=2)
    assert time.monotonic() - ended[0] < 3.0
    assert stats.ended == "stopped"
    assert len(events) == stats.processed <= 6


def test_memory_is_bounded_when_the_device_is_far_behind():
    """Thirty-two cameras whose pictures of 0.9 MB would be 2 GB a second."""
    image = np.zeros((480, 640, 3), np.uint8)
    sources = {
        f"c{i}": FakeSource(
            [n / 100 for n in range(100_000)], lambda _: image.copy(), live=True, wait=0.01
        )
        for i in range(32)
    }
    tracemalloc.start()
    try:
        run(sources, Model(picture_s=0.2), stop_after=1.5, workers=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # At most four wait of each camera, and a few are under way.
    assert peak < 32 * 7 * image.nbytes


def test_drops_are_told_in_the_log_but_not_for_each_frame(caplog, monkeypatch):
    monkeypatch.setattr("edgelane.runtime.cameras.LOG_FIRST_S", 0.2)
    assert LOG_EVERY_S >= 10
    run({"c": camera(200, 1.5)}, Model(picture_s=0.05), workers=1)
    told = [r for r in caplog.records if "does not keep up" in r.getMessage()]
    assert len(told) == 1 and told[0].getMessage().startswith("c: ")


@pytest.mark.parametrize("bad", [{"fps": 0}, {"fps": float("nan")}, {"priority": -1.0}])
def test_streams_that_make_no_sense_are_refused(bad):
    with pytest.raises(UsageError, match="camera c: " + next(iter(bad))):
        run_loop({"c": Stream(camera(5, 1.0), Notes, **bad)}, Model(), None)


@pytest.mark.parametrize("budget", [0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_above_zero(budget):
    with pytest.raises(UsageError, match="latency budget"):
        run_loop({"c": Stream(camera(5, 1.0), Notes)}, Model(), None, budget_s=budget)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_runs_together_nothing_is_lost_from_sight(tmp_path, seed):
    """Files and live cameras, ends at any moment, batches, rates, pipelines that look ahead."""
    chance = np.random.default_rng(seed)
    sources, kept = {}, {}
    for i in range(int(chance.integers(2, 9))):
        live, count = bool(chance.integers(2)), int(chance.integers(1, 120))
        wait = float(chance.choice([0.0, 0.0005, 0.005]))
        source = FakeSource([n / 30 for n in range(count)], picture, live=live, wait=wait)
        fps = float(chance.choice([0.0, 4.0, 29.0])) or None
        sources[f"c{i}"] = (source, fps, float(chance.choice([0.5, 1.0, 3.0])))
        kept[f"c{i}"] = count
    model = Model(
        None if chance.integers(2) else int(chance.integers(1, 5)),
        call_s=float(chance.choice([0.0, 0.001])),
        picture_s=float(chance.choice([0.0, 0.001])),
        cores=1,
    )
    workers = int(chance.integers(1, 5))
    before = threading.active_count()
    stats, events = run(sources, model, tmp_path / "e.db", workers=workers)
    assert threading.active_count() <= before + 1  # the timer that would have stopped it
    assert stats.ended == "end"
    for name, (source, _, _) in sources.items():
        told = stats.cameras[name]
        numbers = indices(events, name)
        assert numbers == sorted(set(numbers)) and len(numbers) == told.frames > 0
        assert told.frames + told.dropped + told.skipped == kept[name]
        assert source.live or told.dropped == 0
        sides = [e.payload["boxes"][0][2] for e in events if e.camera == name]
        assert sides == [2.0 * (n % 250) + 1 for n in numbers]
