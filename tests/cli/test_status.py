"""`edgelane status`: from the endpoint, from the folder, and where there is no run."""

import json
import os
import pty
import subprocess
import sys
import threading
import time

import pytest

from edgelane.cli.app import run_cli
from edgelane.cli.status import describe
from edgelane.runtime.health.monitor import Monitor
from edgelane.runtime.journal import Journal
from edgelane.runtime.stats import CameraStats, RunStats
from edgelane.runtime.testing import FakeSource


class Camera(FakeSource):
    def __init__(self, **told):
        super().__init__([0.0], live=True)
        self.told = told

    def health(self):
        return self.told


class Run:
    """A run that is watched: `door` is fine, `side` was never there."""

    def __init__(self, folder, listen="127.0.0.1:0"):
        self.folder = folder
        self.journal = Journal(folder / "events.db")
        self.stats = RunStats(turns=1)
        door = CameraStats(live=True, frames=1234, dropped=5, gaps=2, missing_s=480.0)
        door.heard = time.monotonic()
        door.latency.note(0.012)
        self.stats.cameras = {"door": door, "side": CameraStats(live=True)}
        sources = {"door": Camera(connected=True, reconnects=2), "side": Camera(connected=False)}
        about = {"pipeline": "counting", "model": "m.onnx"}
        self.monitor = Monitor(self.stats, sources, folder, listen=listen, about=about)

    def __enter__(self):
        self.monitor.__enter__()
        return self

    def __exit__(self, *error):
        self.monitor.__exit__()
        self.journal.close()


@pytest.fixture
def run(tmp_path):
    with Run(tmp_path) as made:
        yield made


def told(capsys, *arguments, code=0):
    assert run_cli(["status", *map(str, arguments)]) == code
    return capsys.readouterr().out


@pytest.mark.parametrize("by", ["folder", "url"])
def test_the_table_of_a_run(run, capsys, by):
    place = run.folder if by == "folder" else run.monitor.address.url
    lines = told(capsys, place).splitlines()
    assert lines[0].startswith("ok  counting m.onnx  up ")
    head = next(line for line in lines if line.startswith("camera")).split()
    assert head[:5] == ["camera", "state", "fps", "ms", "p50/p99"]
    door = next(line for line in lines if line.startswith("door")).split()
    assert door[1] == "ok" and door[3] == "12/12" and door[4] == "1,234"
    assert door[5:10] == ["5", "2", "8", "min", "2"]
    side = next(line for line in lines if line.startswith("side")).split()
    assert side[1] == "starting" and side[3] == "–"
    assert max(map(len, lines)) <= 80


def test_json(run, capsys):
    report = json.loads(told(capsys, run.folder, "--json"))
    assert report["from"] == "endpoint" and report["cameras"]["door"]["frames"] == 1234
    assert json.loads(told(capsys, run.monitor.address.url + "/health", "--json"))["run"]


def test_without_an_endpoint_the_folder_tells(tmp_path, capsys):
    with Run(tmp_path, listen=None):
        report = json.loads(told(capsys, tmp_path, "--json"))
    assert report["from"] == "folder" and report["state"] == "ok" and report["age_s"] < 10


def test_the_newest_run_is_found(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "store").mkdir(parents=True)
    with Run(tmp_path / "runs" / "store"):
        assert "door" in told(capsys)


def test_a_run_that_has_ended(tmp_path, capsys):
    with Run(tmp_path) as run:
        run.stats.ended = "stopped"
    out = told(capsys, tmp_path)
    assert out.startswith("ended") and "the run was stopped" in out
    assert "http" not in json.loads((tmp_path / "status.json").read_text())["run"]


def test_a_run_that_was_killed_is_gone(tmp_path, capsys):
    with Run(tmp_path):
        kept = (tmp_path / "status.json").read_bytes()
    (tmp_path / "status.json").write_bytes(kept)  # as if nobody had put the house in order
    out = told(capsys, tmp_path, code=1)
    assert out.startswith("gone") and "it was killed, or lost its power" in out


def test_a_run_that_tells_nothing_any_more_has_failed(tmp_path, capsys):
    with Run(tmp_path, listen=None) as run:
        run.monitor._done.set()
        run.monitor._thread.join()
        os.utime(str(tmp_path / "status.json"), (time.time() - 300,) * 2)
        out = told(capsys, tmp_path, code=1)
    assert out.startswith("failed") and "told nothing for" in out


def test_a_stuck_run_fails(run, capsys):
    run.monitor._turn = (1, time.monotonic() - 99)
    run.monitor._cached = (-1e9, {})
    out = told(capsys, run.folder, code=1)
    assert out.startswith("failed") and "the run loop is stuck for" in out


@pytest.mark.parametrize(
    "place, words, code",
    [
        ("nowhere", "nowhere does not exist", 1),
        (".", "holds no run that tells its status", 1),
        ("http://127.0.0.1:1", "does not answer: got Connection refused", 2),
        (None, "there is no run here", 1),
    ],
)
def test_a_run_that_is_not_there(tmp_path, monkeypatch, capsys, place, words, code):
    monkeypatch.chdir(tmp_path)
    assert run_cli(["status", *([place] if place else [])]) == code
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and words in error and "Traceback" not in error


def test_a_damaged_status_is_told(tmp_path, capsys):
    (tmp_path / "status.json").write_text("{")
    assert run_cli(["status", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"[1]", "is no health endpoint of edgelane"),
        (b'{"cameras": {}, "run": {"state": "x"}}', "is no status of edgelane"),
        (b"\xff", "is no health endpoint of edgelane"),
    ],
)
def test_another_server_is_no_run(capsys, answer, words):
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.handle_request, daemon=True).start()
    assert run_cli(["status", f"http://127.0.0.1:{server.server_address[1]}"]) == 2
    assert words in capsys.readouterr().err
    server.server_close()


def test_on_a_terminal_it_is_kept_up_to_date_in_place(run):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgelane", "status", str(run.folder), "--every", "0.2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "20"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen, ends = b"", time.monotonic() + 30
    while seen.count(b"\x1b[H") < 4 and time.monotonic() < ends:
        seen += os.read(ours, 4096)
    run.stats.ended = "stopped"
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:
            break
        if not more:
            break
        seen += more
    assert process.wait(10) == 0
    os.close(ours)
    assert seen.startswith(b"\x1b[2J\x1b[H") and seen.count(b"\x1b[2J") == 1
    assert b"door" in seen and b"\x1b[J" in seen


def test_what_a_hot_machine_looks_like(run):
    report = run.monitor.report()
    report = json.loads(json.dumps(report))
    report["machine"].update(
        temperature_c=96.4, hot=True, throttled=True, throttled_by=["gpu-throttle-alert"],
        power_w=14.2, gpu_load=0.83,
    )  # fmt: skip
    report["reasons"] = ["\x1b[2Jgone"]
    report["webhooks"] = {"erp": {"queued": 3, "delivered": 9, "dropped": 1, "failed_tries": 2}}
    text = "\n".join(describe(report))
    assert "96 °C (hot)  slowed down by gpu-throttle-alert  14.2 W  GPU 83 %" in text
    assert "\x1b" not in text and "?[2Jgone" in text
    assert "webhook erp: 3 waiting, 9 delivered, 1 given up" in text
