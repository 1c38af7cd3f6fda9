"""systemd is told by real datagrams: ready, alive while the loop goes round, stopping."""

import os
import socket
import threading
import time

import pytest

from edgelane.runtime.health.monitor import Monitor
from edgelane.runtime.health.notify import Notifier
from edgelane.runtime.loop import Stream, run_loop
from edgelane.runtime.stats import RunStats
from edgelane.runtime.testing import FakeModel, FakePipeline, FakeSource


class Systemd:
    """The other end of `NOTIFY_SOCKET`."""

    def __init__(self, place):
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind("\0" + place[1:] if place.startswith("@") else place)
        self.line.settimeout(0.05)
        self.environment = {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "30000000"}
        self.heard = []

    def listen(self):
        while True:
            try:
                told = self.line.recv(4096).decode().split("\n")
            except OSError:
                return self.heard
            self.heard += told

    def count(self, line):
        return self.listen().count(line)


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    place = str(tmp_path / "notify")
    server = Systemd(place if request.param == "path" else f"@edgelane-{os.getpid()}-{time.time()}")
    yield server
    server.line.close()


def test_lines_arrive(systemd):
    notifier = Notifier(systemd.environment)
    assert notifier and notifier.watchdog_s == 30.0
    assert notifier.tell("READY=1", "STATUS=two\nlines")
    notifier.status("fine")
    notifier.status("fine")
    assert systemd.listen() == ["READY=1", "STATUS=two lines", "STATUS=fine"]


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/no/such"}],
)
def test_without_systemd_nothing_is_told(environment):
    assert not Notifier(environment).tell("READY=1")


def test_the_watchdog_of_another_process_is_not_ours():
    environment = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Notifier(environment).watchdog_s is None
    assert Notifier({**environment, "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 1.0
    assert Notifier({"WATCHDOG_USEC": "x"}).watchdog_s is None


def test_who_does_not_read_stops_nothing(tmp_path):
    server = Systemd(str(tmp_path / "n"))
    notifier = Notifier(server.environment)
    began = time.monotonic()
    told = [notifier.tell("WATCHDOG=1" * 400) for _ in range(1000)]
    assert not all(told) and time.monotonic() - began < 5
    server.line.close()


class Stuck(FakePipeline):
    """A pipeline that hangs when it is told to."""

    def __init__(self):
        self.hang, self.go = threading.Event(), threading.Event()

    def process(self, observation):
        if self.hang.is_set():
            self.go.wait(20)
        return []


def test_a_stuck_loop_stops_feeding_the_watchdog(tmp_path):
    systemd = Systemd(str(tmp_path / "notify"))
    stats, stop, pipeline = RunStats(), threading.Event(), Stuck()
    source = FakeSource([0.02 * i for i in range(10**6)], live=True, wait=0.02)
    notifier = Notifier(systemd.environment)
    monitor = Monitor(stats, {"door": source}, None, notifier=notifier, stop=stop, root=tmp_path)
    stream = Stream(source, lambda size: pipeline)
    run = threading.Thread(
        target=run_loop,
        args=({"door": stream}, FakeModel(), None),
        kwargs={"stats": stats, "stop": stop, "workers": 1},
    )
    with monitor:
        run.start()
        time.sleep(1.7)
        assert systemd.count("READY=1") == 1
        fed = systemd.count("WATCHDOG=1")
        assert fed >= 2
        pipeline.hang.set()
        time.sleep(0.7)
        fed = systemd.count("WATCHDOG=1")
        time.sleep(1.6)
        assert systemd.count("WATCHDOG=1") <= fed + 1  # nothing more comes
        fed = systemd.count("WATCHDOG=1")
        pipeline.hang.clear()
        pipeline.go.set()
        time.sleep(1.2)
        assert systemd.count("WATCHDOG=1") > fed
        stop.set()
        run.join(5)
    assert not run.is_alive()
    assert systemd.count("STOPPING=1") == 1
    systemd.line.close()


def test_the_watchdog_is_fed_while_no_frame_comes(tmp_path):
    """A loop that waits for its cameras is alive."""
    systemd = Systemd(str(tmp_path / "notify"))
    stats, stop = RunStats(), threading.Event()
    source = FakeSource([0.0, 1.0], live=True, wait=1.6)
    stream = Stream(source, lambda size: Stuck())
    with Monitor(stats, {"a": source}, None, notifier=Notifier(systemd.environment), root=tmp_path):
        run_loop({"a": stream}, FakeModel(), None, stats=stats, stop=stop, workers=1)
    assert systemd.count("WATCHDOG=1") >= 3
    systemd.line.close()
