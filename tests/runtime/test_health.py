"""How a run is: states and their reasons, metrics that Prometheus reads, an endpoint that stands
up to slow and many clients."""

import contextlib
import json
import math
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from edgelane.core import Event, UsageError
from edgelane.runtime.health.metrics import METRICS, metrics_text
from edgelane.runtime.health.monitor import Monitor, headline
from edgelane.runtime.health.server import MOST_CONNECTIONS, HealthServer
from edgelane.runtime.health.settings import HealthSettings, parse_listen
from edgelane.runtime.health.state import Pace, Tally
from edgelane.runtime.journal import Journal
from edgelane.runtime.loop import Step
from edgelane.runtime.stats import CameraStats, RunStats
from edgelane.runtime.testing import FakeClock, FakeSource

DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


class Camera(FakeSource):
    """A live source that tells of its connection."""

    def __init__(self, **told):
        super().__init__([0.0], live=True)
        self.told = {"connected": True, "reconnects": 0, "restarts": 0, "tries": 0, **told}

    def health(self):
        return self.told


def monitored(tmp_path, *names, **more):
    clock, stats = FakeClock(), RunStats()
    sources = {name: Camera() for name in names or ("door",)}
    for name in sources:
        stats.cameras[name] = CameraStats(live=True, size=(64, 48))
    monitor = Monitor(stats, sources, tmp_path, clock=clock, root=tmp_path / "root", **more)
    return monitor, stats, sources, clock


def play(monitor, stats, clock, seconds, fps=5.0, cameras=None, latency=0.02):
    """Let a run go on for so many seconds, with frames of some cameras."""
    for _ in range(round(seconds * 2)):
        clock.advance(0.5)
        stats.turns += 1
        for name in stats.cameras if cameras is None else cameras:
            camera = stats.cameras[name]
            for _ in range(round(fps / 2)):
                camera.frames += 1
                camera.latency.note(latency)
            camera.heard = clock.monotonic()
        monitor.turn()


def test_a_run_that_goes_on_is_ok(tmp_path):
    monitor, stats, _, clock = monitored(tmp_path, "door", "till")
    play(monitor, stats, clock, 30, fps=4)
    report = monitor.report()
    assert report["state"] == "ok" and report["reasons"] == []
    door = report["cameras"]["door"]
    assert door["state"] == "ok" and door["fps"] == pytest.approx(4.0, abs=0.1)
    assert door["latency_ms"]["p50"] == pytest.approx(20, rel=0.03)
    assert report["run"]["frames"] == 240 and report["run"]["last_turn_age_s"] == 0.0
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "ok"
    assert headline(report) == "ok: 2 cameras, 8.0 frames/s"


def test_a_camera_that_is_away_degrades_the_run_and_all_away_fail_it(tmp_path):
    told = []
    monitor, stats, sources, clock = monitored(tmp_path, "door", "till", alert=told.append)
    play(monitor, stats, clock, 30)
    sources["till"].told.update(connected=False, reason="connection refused", reconnects=2)
    play(monitor, stats, clock, 10, cameras=["door"])
    report = monitor.report()
    assert report["state"] == "degraded"
    assert report["reasons"] == ["camera till gives no pictures for 10 s: connection refused"]
    assert report["cameras"]["till"]["reconnects"] == 2
    play(monitor, stats, clock, 10, cameras=[])
    assert monitor.report()["state"] == "failed"
    sources["till"].told.update(connected=True)
    play(monitor, stats, clock, 10)
    assert monitor.report()["state"] == "ok"
    assert ("till", False) not in [(e.camera, e.payload["begins"]) for e in told]
    play(monitor, stats, clock, 10)
    seen = [(e.camera, e.payload["what"], e.payload["begins"]) for e in told]
    assert ("till", "away", True) in seen and ("till", "away", False) in seen
    assert all(e.kind == "alert" for e in told) and len({e.id for e in told}) == len(told)


def test_rare_pictures_are_not_away(tmp_path):
    monitor, stats, _, clock = monitored(tmp_path)
    for _ in range(20):
        play(monitor, stats, clock, 0.5, fps=2.0)
        play(monitor, stats, clock, 3.0, cameras=[])
    assert monitor.report()["state"] == "ok"


def test_a_loop_that_is_stuck_fails(tmp_path):
    monitor, stats, _, clock = monitored(tmp_path)
    play(monitor, stats, clock, 10)
    for _ in range(30):
        clock.advance(0.5)
        monitor.turn()
    report = monitor.report()
    assert report["state"] == "failed"
    assert report["reasons"][0] == "the run loop is stuck for 15 s"


def test_drops_of_the_last_minute_are_told_and_forgotten(tmp_path):
    monitor, stats, _, clock = monitored(tmp_path)
    play(monitor, stats, clock, 20)
    stats.cameras["door"].dropped += 30
    play(monitor, stats, clock, 20)
    (reason,) = monitor.report()["reasons"]
    assert "of the frames of the last minute were dropped" in reason
    play(monitor, stats, clock, 90)
    assert monitor.report()["reasons"] == []


def test_latency_is_that_of_the_last_minute(tmp_path):
    monitor, stats, _, clock = monitored(tmp_path)
    play(monitor, stats, clock, 100, latency=0.5)
    play(monitor, stats, clock, 90, latency=0.01)
    told = monitor.report()["cameras"]["door"]["latency_ms"]
    assert told["p99"] == pytest.approx(10, rel=0.03)
    assert stats.cameras["door"].latency.quantile(0.99) == pytest.approx(0.5, rel=0.03)


def test_a_full_disk_degrades(tmp_path):
    everything = HealthSettings(disk_mb=1e8)
    monitor, stats, _, clock = monitored(tmp_path, settings=everything)
    play(monitor, stats, clock, 1)
    (reason,) = monitor.report()["reasons"]
    assert reason.startswith("only ") and reason.endswith("MB of disk are free")


def test_a_clock_that_is_set_is_told(tmp_path):
    told = []
    monitor, stats, _, clock = monitored(tmp_path, alert=told.append)
    play(monitor, stats, clock, 5)
    clock._start -= 3600
    play(monitor, stats, clock, 5)
    (event,) = told
    assert event.payload["text"] == "the clock of the machine was set back by 3600 s"


def test_a_source_whose_health_fails_takes_nothing_down(tmp_path):
    monitor, stats, sources, clock = monitored(tmp_path)

    def broken():
        raise RuntimeError("no")

    sources["door"].health = broken
    monitor._sources["door"].health = broken
    play(monitor, stats, clock, 5)
    assert monitor.report()["cameras"]["door"]["state"] == "ok"


# -- metrics ---------------------------------------------------------------------------------------


def told_events():
    yield Event("door", 1.0, "crossing", {"line": 'a "b"\\\n', "direction": "in", "track": 1})
    yield Event("door", 2.0, "crossing", {"line": 'a "b"\\\n', "direction": "in", "track": 2})
    yield Event("door", 2.0, "entry", {"zone": "till", "track": 2})
    yield Event("door", 3.0, "visitor", {"track": 2})
    yield Event("door", 3.0, "gap", {"from": 1.0, "to": 2.0})


def parsed(text):
    parser = pytest.importorskip("prometheus_client.parser")
    return {f.name: f for f in parser.text_string_to_metric_families(text)}


def test_prometheus_reads_every_metric(tmp_path):
    monitor, stats, _, clock = monitored(tmp_path, "door", 'ti"ll\\\n')
    play(monitor, stats, clock, 20)
    for event in told_events():
        monitor.tally.add(event)
    families = parsed(monitor.metrics())
    crossings = families["edgelane_crossings"].samples
    assert [(s.labels["line"], s.value) for s in crossings] == [('a "b"\\\n', 2.0)]
    cameras = {s.labels["camera"] for s in families["edgelane_camera_fps"].samples}
    assert cameras == {"door", 'ti"ll\\\n'}
    (door,) = [
        s for s in families["edgelane_camera_frames"].samples if s.labels["camera"] == "door"
    ]
    assert door.value == 80 and families["edgelane_camera_frames"].type == "counter"
    latency = families["edgelane_camera_latency_seconds"]
    buckets = [
        (s.labels["le"], s.value)
        for s in latency.samples
        if s.name.endswith("_bucket") and s.labels["camera"] == "door"
    ]
    values = [value for _, value in buckets]
    assert values == sorted(values) and buckets[-1] == ("+Inf", 80.0)
    assert dict(buckets)["0.01"] == 0.0 and dict(buckets)["0.025"] == 80.0
    for family in families.values():
        assert family.documentation
        assert all(math.isfinite(s.value) for s in family.samples)


def test_every_metric_is_documented_and_documented_ones_exist():
    text = DOCS.read_text(encoding="utf-8")
    for metric in METRICS:
        assert f"`edgelane_{metric.name}`" in text, metric.name
    names = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `edgelane_")}
    assert names == {f"edgelane_{metric.name}" for metric in METRICS}


def test_counts_go_on_after_a_restart(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.write("door", 1, 3.0, list(told_events()))
        tally = Tally()
        tally.begin(journal)
    assert tally.crossings == {("door", 'a "b"\\\n', "in"): 2}
    assert tally.entries == {("door", "till"): 1} and tally.visitors == {"door": 1}
    assert tally.kinds["door", "gap"] == 1 and tally.kinds["door", "crossing"] == 2


def test_what_a_recording_tells_again_is_counted_once(tmp_path):
    first, *rest = told_events()
    with Journal(tmp_path / "events.db") as journal:
        journal.write("door", 1, 1.0, [first], b"state", {"frames": 1})
        journal.write("door", 2, 3.0, rest)  # and then it was killed
        tally = Tally()
        tally.begin(journal, ["door"])
        tally(Step("door", None, None, [*rest, Event("door", 4.0, "visitor", {"track": 9})], None))
    assert tally.visitors == {"door": 2} and tally.kinds["door", "crossing"] == 2


def test_an_sqlite_without_json_counts_the_same(tmp_path, monkeypatch):
    with Journal(tmp_path / "events.db") as journal:
        journal.write("door", 1, 3.0, list(told_events()))
        quick = journal.counts("crossing", "line", "direction")
        execute = journal._execute

        def without(query, values=()):
            if "json_extract" in query:
                raise sqlite3.OperationalError("no such function: json_extract")
            return execute(query, values)

        monkeypatch.setattr(journal, "_execute", without)
        assert journal.counts("crossing", "line", "direction") == quick
        assert quick == [("door", ('a "b"\\\n', "in"), 2)]


def test_metrics_of_a_run_that_has_not_begun(tmp_path):
    monitor = Monitor(RunStats(), {"door": Camera()}, None, root=tmp_path)
    families = parsed(monitor.metrics())
    assert families["edgelane_camera_up"].samples[0].value == 0
    assert metrics_text(monitor.report(), Tally(), {}).endswith("\n")


# -- the endpoint ----------------------------------------------------------------------------------


@contextlib.contextmanager
def served(report=None, listen="127.0.0.1:0"):
    server = HealthServer(listen, lambda: report or {"state": "ok"}, lambda: "edgelane_up 1\n")
    try:
        yield server
    finally:
        server.close()


def get(url, timeout=5.0):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_health_and_metrics_are_served():
    with served({"state": "degraded"}) as server:
        status, headers, body = get(server.address.url + "/health")
        assert status == 200 and headers["Content-Type"] == "application/json"
        assert json.loads(body) == {"state": "degraded"}
        status, headers, body = get(server.address.url + "/metrics?x=1")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert get(server.address.url + "/else")[0] == 404
        assert b"/metrics" in get(server.address.url + "/")[2]


def test_a_failed_run_answers_503():
    with served({"state": "failed"}) as server:
        assert get(server.address.url + "/health")[0] == 503


def test_a_report_that_fails_answers_500():
    def broken():
        raise ValueError("no")

    server = HealthServer("127.0.0.1:0", broken, lambda: "")
    try:
        status, _, body = get(server.address.url + "/health")
        assert status == 500 and body == b"ValueError\n"
    finally:
        server.close()


def test_many_clients_that_say_nothing_do_not_keep_others_out():
    with served() as server, contextlib.ExitStack() as stack:
        place = ("127.0.0.1", server.address.port)
        for _ in range(3 * MOST_CONNECTIONS):
            line = stack.enter_context(socket.create_connection(place))
            line.sendall(b"GET /health HT")  # and never more
        assert get(server.address.url + "/health")[0] == 200
        ends = time.monotonic() + 5
        while threading.active_count() > MOST_CONNECTIONS + 8 and time.monotonic() < ends:
            time.sleep(0.05)
        assert threading.active_count() <= MOST_CONNECTIONS + 8


def test_rubbish_is_refused_and_the_server_goes_on():
    with served() as server:
        place = ("127.0.0.1", server.address.port)
        for rubbish in (b"\x16\x03\x01\x02\x00", b"POST /health HTTP/1.1\r\n\r\n", b"\r\n" * 50):
            with socket.create_connection(place) as line:
                line.settimeout(6)
                line.sendall(rubbish)
                line.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    line.recv(1000)
        assert get(server.address.url + "/health")[0] == 200


def test_closing_does_not_wait_for_clients():
    server = HealthServer("127.0.0.1:0", lambda: {"state": "ok"}, lambda: "")
    with socket.create_connection(("127.0.0.1", server.address.port)):
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 3.0


def test_a_port_that_is_taken_is_told_in_one_sentence():
    with served() as server, pytest.raises(UsageError, match="cannot be listened on"):
        HealthServer(str(server.address), dict, str)


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("127.0.0.1:9100", "127.0.0.1", 9100),
        ("9100", "127.0.0.1", 9100),
        (":0", "127.0.0.1", 0),
        ("[::1]:80", "::1", 80),
        ("0.0.0.0:1", "0.0.0.0", 1),
    ],
)
def test_addresses(text, host, port):
    assert parse_listen(text) == (host, port)


@pytest.mark.parametrize("text", ["", "host", "1.2.3.4:", "1.2.3.4:99999", "::1:80", "a:b"])
def test_wrong_addresses(text):
    with pytest.raises(ValueError, match="listen must be"):
        parse_listen(text)


def test_the_pace_of_a_camera_keeps_little():
    pace, stats = Pace(), CameraStats()
    for second in range(3600):
        stats.frames += 5
        stats.latency.note(0.01)
        pace.sample(stats, float(second))
    assert pace.fps == pytest.approx(5.0)
    assert len(pace._counts) <= 63 and len(pace._latencies) <= 9
