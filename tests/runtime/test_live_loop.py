"""Live cameras in the run loop: gaps are told, clocks may jump, a run stops soon."""

import threading
import time

import numpy as np
import pytest

from edgelane.benchmarks.soak.servers import MjpegServer
from edgelane.core import Detections, Event
from edgelane.pipelines.counting import Counting, CountingSettings, ZoneShape
from edgelane.pipelines.summary import all_gaps, summarise_gaps
from edgelane.runtime.journal import Journal
from edgelane.runtime.loop import Stream, run_loop
from edgelane.runtime.sources import open_source
from edgelane.runtime.stats import RunStats
from edgelane.runtime.testing import FakeClock, FakeModel, FakePipeline, FakeSource

START = 1_700_000_000.0


def person():
    """A model that sees somebody who stands still, the same in every picture."""
    box = np.array([[20, 10, 30, 40]], np.float32)
    found = Detections(box, score=np.array([0.9]), class_id=np.array([0]))
    return FakeModel(found, classes=["person"])


class Steered(FakeSource):
    """A live source that moves a clock: between two pictures time passes, and the clock may be
    set."""

    def __init__(self, clock, moves, reason=""):
        super().__init__([0.0], live=True)
        self._clock, self._moves, self._why = clock, moves, reason
        self.limits = []

    def __iter__(self):
        for index, (passes, step) in enumerate(self._moves):
            self._clock.advance(passes)
            self._clock._start += step
            stamp = self._clock.time()
            self.timestamps = [stamp]
            for frame in super().__iter__():
                yield type(frame)(frame.image, stamp, self.camera, index)

    def reason(self, start, end):
        return self._why


def steered(tmp_path, moves, reason="", name="events.db"):
    clock = FakeClock(START)
    source = Steered(clock, moves, reason)
    with Journal(tmp_path / name) as journal:
        _stepwise(source, clock, journal)
        return list(journal.events())


def _stepwise(source, clock, journal):
    """Run so that the loop has worked off a picture before the clock moves on."""
    seen = threading.Semaphore(1)
    moves = source._moves

    def gated():
        for move in moves:
            seen.acquire(timeout=5)
            yield move

    source._moves = gated()
    settings = CountingSettings(zones={"room": ZoneShape([(0, 0), (64, 0), (64, 48), (0, 48)])})
    made = Counting("camera", settings, source.size, ["person"])
    run_loop(
        {"camera": Stream(source, lambda size: made)},
        person(),
        journal,
        sinks=[lambda step: step.observation is not None and seen.release()],
        clock=clock,
        workers=1,
    )


def test_a_gap_is_told_with_its_length_and_reason(tmp_path):
    moves = [(0.2, 0)] * 30 + [(480.0, 0)] + [(0.2, 0)] * 30
    events = steered(tmp_path, moves, "connection refused")
    (gap,) = [e for e in events if e.kind == "gap"]
    assert gap.payload["to"] - gap.payload["from"] == pytest.approx(480, abs=0.01)
    assert gap.payload["reason"] == "connection refused"
    told = summarise_gaps(events)
    assert told["note"] == "lower bound, 8 minutes missing"
    assert told["count"] == 1 and told["missing_s"] == 480.0
    visits = [e.payload["dwell_s"] for e in events if e.kind == "visit"]
    # Nobody knows that they stayed: two visits of six seconds, none of eight minutes.
    assert len(visits) == 2 and max(visits) < 8.0
    watched = sum(e.payload["duration_s"] for e in events if e.kind == "occupancy")
    assert 11.0 < watched < 17.0


def test_rare_pictures_are_no_gaps(tmp_path):
    events = steered(tmp_path, [(1.0, 0)] * 5 + [(2.0, 0)] * 10 + [(2.9, 0)] * 20 + [(5.0, 0)] * 9)
    assert not [e for e in events if e.kind == "gap"]


@pytest.mark.parametrize("step", [3600.0, -3600.0, 86400.0 * 365])
def test_a_clock_that_is_set_makes_no_gap_and_turns_nothing_back(tmp_path, step):
    moves = [(0.2, 0)] * 30 + [(0.2, step)] + [(0.2, 0)] * 30
    events = steered(tmp_path, moves)
    assert not [e for e in events if e.kind == "gap"]
    stamps = [e.timestamp for e in events]
    assert stamps == sorted(stamps)
    dwell = sum(e.payload["dwell_s"] for e in events if e.kind == "visit")
    assert 10.0 < dwell < 13.0
    watched = sum(e.payload["duration_s"] for e in events if e.kind == "occupancy")
    assert 10.0 < watched < 16.0


def test_a_restart_leaves_a_gap(tmp_path):
    first = steered(tmp_path, [(0.2, 0)] * 30)
    later = [(600.0, 0)] + [(0.2, 0)] * 30
    events = steered(tmp_path, later)
    (gap,) = [e for e in events if e.kind == "gap"]
    assert gap.payload["reason"] == "edgelane was not running"
    assert gap.payload["to"] - gap.payload["from"] == pytest.approx(600 - 6, abs=0.3)
    assert [e.id for e in events][: len(first)] == [e.id for e in first]


def test_a_restart_with_a_clock_that_is_behind_goes_on(tmp_path):
    steered(tmp_path, [(0.2, 0)] * 30)
    later = [(0.2, -3600.0)] + [(0.2, 0)] * 30
    events = steered(tmp_path, later)
    stamps = [e.timestamp for e in events]
    assert stamps == sorted(stamps)
    visits = [e for e in events if e.kind == "visit"]
    assert 5.0 < sum(v.payload["dwell_s"] for v in visits) < 13.5


def test_gaps_of_cameras_are_summed():
    gaps = [
        summarise_gaps([Event("a", 10.0, "gap", {"from": 0.0, "to": 10.0, "reason": "x"})]),
        summarise_gaps([Event("b", 90.0, "gap", {"from": 0.0, "to": 90.0, "reason": "x"})]),
    ]
    told = all_gaps(gaps)
    assert (told["count"], told["missing_s"], told["longest_s"]) == (2, 100.0, 90.0)
    assert told["reasons"] == {"x": 100.0}
    assert told["note"] == "lower bound, 2 minutes missing"


def test_the_hours_that_lack_pictures_are_named():
    midnight = 1_700_006_400.0
    assert time.strftime("%H:%M", time.gmtime(midnight)) == "00:00"
    gap = {"from": midnight + 3600 - 120, "to": midnight + 3600 + 360, "reason": "x"}
    told = summarise_gaps([Event("a", gap["to"], "gap", gap)])
    assert told["hours"] == {"2023-11-15T00:00Z": 120.0, "2023-11-15T01:00Z": 360.0}
    long = {"from": midnight, "to": midnight + 60 * 86400, "reason": "x"}
    days = summarise_gaps([Event("a", long["to"], "gap", long)])["hours"]
    assert len(days) == 60 and set(days.values()) == {86400.0}
    assert summarise_gaps([])["count"] == 0


@pytest.mark.slow
def test_a_run_whose_cameras_are_away_stops_soon(tmp_path):
    with MjpegServer() as server, Journal(tmp_path / "events.db") as journal:
        sources = {n: open_source(f"{server.url}?timeout=1", n) for n in ("one", "two", "three")}
        try:
            streams = {n: Stream(s, lambda size: FakePipeline()) for n, s in sources.items()}
            assert all(s.size for s in sources.values())
            server.silent = True
            stop, stats = threading.Event(), RunStats()
            clock = time.monotonic

            def halt():
                until = clock() + 15
                while clock() < until and any(s.health()["connected"] for s in sources.values()):
                    time.sleep(0.05)
                time.sleep(3.5)
                halted.append(clock())
                stop.set()

            halted = []
            thread = threading.Thread(target=halt)
            thread.start()
            run_loop(streams, person(), journal, stop=stop, workers=1, stats=stats)
            ended = clock()
            thread.join()
            assert ended - halted[0] < 3.0
            assert stats.ended == "stopped"
            # What is missing until the end is told too.
            gaps = list(journal.events(kind="gap"))
            assert {g.camera for g in gaps} == set(sources)
            assert all(g.payload["reason"] == "the camera went silent" for g in gaps)
            assert stats.cameras["one"].summary()["connection"]["connected"] is False
        finally:
            for source in sources.values():
                source.close()


@pytest.mark.slow
def test_a_camera_that_comes_and_goes_does_not_stop_the_others(tmp_path):
    with MjpegServer() as sick, MjpegServer() as well, Journal(tmp_path / "e.db") as journal:
        sources = {
            "sick": open_source(f"{sick.url}?timeout=1", "sick"),
            "well": open_source(well.url, "well"),
        }
        try:
            streams = {n: Stream(s, lambda size: FakePipeline()) for n, s in sources.items()}
            assert all(s.size for s in sources.values())
            moments, stop = [], threading.Event()

            def sink(step):
                if step.observation is not None and step.camera == "well":
                    moments.append(time.monotonic())

            def fault():
                time.sleep(1.0)
                sick.silent = True
                time.sleep(4.5)
                sick.silent = False
                until = time.monotonic() + 10
                while time.monotonic() < until and not sources["sick"].reconnects:
                    time.sleep(0.05)
                time.sleep(0.5)
                stop.set()

            threading.Thread(target=fault).start()
            stats = run_loop(streams, person(), journal, stop=stop, workers=1, sinks=[sink])
            assert max(np.diff(moments)) < 1.0
            assert stats.cameras["sick"].summary()["connection"]["reconnects"] == 1
            assert stats.cameras["well"].summary()["connection"]["reconnects"] == 0
            (gap,) = journal.events(kind="gap")
            assert gap.camera == "sick" and 3.0 < gap.payload["to"] - gap.payload["from"] < 12
            assert gap.payload["reason"] == "the camera went silent"
        finally:
            for source in sources.values():
                source.close()
