"""A live run as a service: systemd, endpoint, log, webhooks and clips together, and a quick end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import edgelane
from edgelane.benchmarks.soak.servers import MjpegServer
from edgelane.cli.app import run_cli
from edgelane.core import ConfigError
from edgelane.runtime.clips.library import read_clips

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from receivers import Receiver  # noqa: E402

PIPELINE = '''
"""Somebody passes in every tenth picture."""
from edgelane.core import Event
from edgelane.pipelines.detection import Detection


class Passing(Detection):
    def process(self, given):
        events = super().process(given)
        if given.index % 10 == 9:
            payload = {"line": "door", "direction": "in", "track": given.index}
            events.append(Event(given.camera, given.timestamp, "crossing", payload))
        return events
'''
CONFIG = """
pipeline: passing:Passing
decoder: yolox
timezone: Europe/Berlin
health: {{listen: "127.0.0.1:0"}}
log: json
cameras:
  door:
    source: http://joe:s3cretpw@127.0.0.1:{port}/video.mjpg?timeout=1
webhooks:
  - {{url: "{hook}", events: [crossing], name: erp}}
clips: {{events: [crossing], before_s: 0.5, after_s: 0.5, keep_free_mb: 1, fps: 5}}
"""


@pytest.fixture
def model(tmp_path):
    """A detector that finds nothing."""
    import onnx
    from onnx import TensorProto, helper

    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 84, 6])
    zeros = helper.make_tensor("zeros", TensorProto.FLOAT, [1, 84, 6], np.zeros(84 * 6, np.float32))
    none = helper.make_tensor("none", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "none"], ["nothing"]),
        helper.make_node("Add", ["zeros", "nothing"], ["boxes"]),
    ]
    graph = helper.make_graph(nodes, "blind", [picture], [boxes], [zeros, none])
    path = tmp_path / "blind.onnx"
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def until(condition, process, limit=40.0):
    ends = time.monotonic() + limit
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.1)


def read_status(folder):
    try:
        return json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        return None


@pytest.mark.slow
def test_a_service_that_is_watched_and_told_of(tmp_path, model, capsys):
    (tmp_path / "passing.py").write_text(PIPELINE)
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    systemd.settimeout(0.1)
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    environment["WATCHDOG_USEC"] = "20000000"
    out = tmp_path / "out"
    with MjpegServer((320, 180), 10, login="joe:s3cretpw") as camera, Receiver() as receiver:
        config = tmp_path / "cameras.yaml"
        config.write_text(CONFIG.format(port=camera.server_address[1], hook=receiver.url))
        command = [sys.executable, "-m", "edgelane", "run", str(config), "--model", str(model)]
        process = subprocess.Popen(
            [*command, "--out", str(out)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            cwd=str(tmp_path),
        )  # fmt: skip
        until(lambda: read_status(out) and len(receiver.got) >= 3, process)
        url = read_status(out)["run"]["url"]
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            health = json.loads(answer.read())
        assert health["state"] == "ok" and health["cameras"]["door"]["frames"] > 20
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        told = {line.split(" ")[0]: line.split(" ")[-1] for line in text.splitlines()}
        passed = int(told['edgelane_crossings_total{camera="door",line="door",direction="in"}'])
        assert passed >= 3
        assert run_cli(["status", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["webhooks"]["erp"]["delivered"] >= 3
        until(lambda: len(read_clips(out)) >= 1 or health is None, process)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said, lines = process.communicate(timeout=30)
        took = time.monotonic() - began
    assert process.returncode == 0, lines
    assert took < 3.0
    records = [json.loads(line) for line in lines.splitlines()]
    assert any("/metrics" in record["message"] for record in records)
    assert "s3cretpw" not in said + lines
    heard = []
    while True:
        try:
            heard += systemd.recv(4096).decode().split("\n")
        except OSError:
            break
    systemd.close()
    assert heard.count("READY=1") == 1 and heard.count("STOPPING=1") == 1
    assert heard.count("WATCHDOG=1") >= 2 and heard.index("READY=1") < heard.index("STOPPING=1")
    assert any(line.startswith("STATUS=ok: 1 camera") for line in heard)
    status = read_status(out)
    assert status["run"]["state"] == "stopped" and status["run"]["url"] is None
    counted = edgelane.totals(out)
    assert counted["timezone"] == "Europe/Berlin"
    crossings = [e.id for e in edgelane.read_events(out, "crossing")]
    assert counted["cameras"]["door"]["total"]["lines"]["door"]["in"] == len(crossings)
    assert set(receiver.ids) <= set(crossings) and len(crossings) - len(set(receiver.ids)) <= 2
    shown = {event for clip in read_clips(out) for event in clip.events}
    assert shown <= set(crossings) and len(shown) >= 1
    for path in out.rglob("*"):
        assert not path.is_file() or b"s3cretpw" not in path.read_bytes()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--health", "127.0.0.1:99999"], "--health: listen must be an address and a port"),
        (["--log", "xml"], "format must be one of text, json"),
    ],
)
def test_bad_options_are_told_in_one_sentence(tmp_path, model, capsys, arguments, words):
    config = tmp_path / "store.yaml"
    config.write_text("decoder: yolox\nsource: synth://store?seed=1&seconds=1\n")
    command = ["run", str(config), "--model", str(model), "--out", str(tmp_path / "out")]
    assert run_cli([*command, "--quiet", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


@pytest.mark.parametrize(
    "more, words",
    [
        ("clips: {events: [crosing]}", "clips.events: the pipeline counting tells no 'crosing'"),
        ('webhooks: [{url: "http://x/", events: [alrt]}]', "Did you mean 'alert'?"),
        ("health: {listen: x}", "listen must be an address and a port"),
    ],
)
def test_a_config_that_waits_for_nothing_is_refused(tmp_path, model, capsys, more, words):
    config = tmp_path / "store.yaml"
    config.write_text(f"decoder: yolox\nsource: synth://store?seed=1&seconds=1\n{more}\n")
    command = ["run", str(config), "--model", str(model), "--out", str(tmp_path / "out")]
    assert run_cli([*command, "--quiet"]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_port_that_is_taken_is_told(tmp_path, model, capsys):
    config = tmp_path / "store.yaml"
    config.write_text("decoder: yolox\nsource: synth://store?seed=1&seconds=1\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = ["run", str(config), "--model", str(model), "--out", str(tmp_path / "out")]
        assert run_cli([*command, "--quiet", "--health", address]) == 2
    error = capsys.readouterr().err
    assert f"{address} cannot be listened on" in error and "port" in error


def test_events_of_a_cameras_own_pipeline_can_be_waited_for():
    """Whoever counts at one camera and watches poses at another is told of both."""
    from edgelane.cli.jobs.watching import check_kinds
    from edgelane.runtime.config import load_config

    cameras = {
        "door": {"source": "a.mp4", "lines": {"in": {"from": [0, 0], "to": [9, 9]}}},
        "gym": {"source": "b.mp4", "pipeline": "pose"},
    }
    config = {"pipeline": "counting", "cameras": cameras, "clips": {"events": ["fall"]}}
    check_kinds(load_config(config))
    del cameras["gym"]
    with pytest.raises(ConfigError, match="counting tells no 'fall'"):
        check_kinds(load_config(config))
