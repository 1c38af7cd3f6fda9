"""Live cameras through the command line: gaps in the summary, secrets nowhere, a clean stop."""
# ruff: noqa: SIM117 - one server after the other reads better apart

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edgelane import read_events
from edgelane.benchmarks.soak.servers import MjpegServer

CONFIG = """
pipeline: counting
reference_size: [320, 180]
cameras:
  door:
    source: http://joe:s3cret@127.0.0.1:{one}/video.mjpg?timeout=1&open={patience}
    lines:
      door: {{from: [160, 180], to: [160, 0]}}
  till:
    source: http://joe:s3cret@127.0.0.1:{two}/video.mjpg?timeout=1&open={patience}
"""
LOGIN = "joe:s3cret"


@pytest.fixture
def model(tmp_path):
    """A detector that finds nothing: what it would find is not what is tested here."""
    import onnx
    from onnx import TensorProto, helper

    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 84, 6])
    zeros = helper.make_tensor("zeros", TensorProto.FLOAT, [1, 84, 6], np.zeros(84 * 6, np.float32))
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "none"], ["nothing"]),
        helper.make_node("Add", ["zeros", "nothing"], ["boxes"]),
    ]
    none = helper.make_tensor("none", TensorProto.FLOAT, [1], [0.0])
    graph = helper.make_graph(nodes, "blind", [picture], [boxes], [zeros, none])
    opset = [helper.make_opsetid("", 13)]
    path = tmp_path / "blind.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def start(folder, model, one, two, patience=15):
    config = folder / "cameras.yaml"
    config.write_text(CONFIG.format(one=one, two=two, patience=patience), encoding="utf-8")
    command = [sys.executable, "-m", "edgelane", "run", str(config), "--model", str(model)]
    command += ["--decoder", "yolox", "--out", str(folder / "out"), "--quiet"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=str(folder)
    )


def end(process):
    """SIGTERM; gives what it wrote and the seconds that it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=30)
    return out + error, time.monotonic() - began


def until(condition, process, limit=40.0):
    ends = time.monotonic() + limit
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.1)


def position(folder, camera):
    from edgelane.core import StorageError
    from edgelane.runtime.journal import Journal

    try:
        with Journal(folder / "out" / "events.db", readonly=True) as journal:
            found = journal.snapshot(camera)
            return -1 if found is None else found.index
    except StorageError:
        return -1


def files_with(folder, secret):
    return [
        path
        for path in (folder / "out").rglob("*")
        if path.is_file() and secret in path.read_bytes()
    ]


@pytest.mark.slow
def test_a_live_run_tells_what_was_missing_and_goes_on(tmp_path, model):
    with MjpegServer((320, 180), 10, login=LOGIN) as one:
        with MjpegServer((320, 180), 10, login=LOGIN) as two:
            ports = one.server_address[1], two.server_address[1]
            process = start(tmp_path, model, *ports)
            until(lambda: min(position(tmp_path, n) for n in ("door", "till")) > 10, process)
            two.silent = True
            time.sleep(6.0)
            two.silent = False
            seen = position(tmp_path, "till")
            until(lambda: position(tmp_path, "till") > seen + 10, process)
            told, took = end(process)
            assert process.returncode == 0, told
            assert took < 3.0
            summary = json.loads((tmp_path / "out" / "summary.json").read_text())
            assert summary["ended"] == "stopped" and summary["interrupted"]
            gaps = summary["gaps"]
            assert gaps["count"] == 1 and 4 < gaps["missing_s"] < 12
            assert gaps["note"].startswith("lower bound, ")
            assert "the camera went silent" in gaps["reasons"]
            till, door = summary["cameras"]["till"], summary["cameras"]["door"]
            assert till["gaps"]["count"] == 1 and "gaps" not in door
            assert till["connection"]["reconnects"] == 1
            assert door["connection"]["reconnects"] == 0
            report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
            assert "lower bound" in report and "the camera went silent" in report
            assert "no pictures" in told
            assert "s3cret" not in told and not files_with(tmp_path, b"s3cret")

            # Started again while one of them is away, it goes on.
            two.refuse = 503
            process = start(tmp_path, model, *ports)
            seen = position(tmp_path, "door")
            until(lambda: position(tmp_path, "door") > seen + 10, process)
            time.sleep(3.0)
            two.refuse = 0
            seen = position(tmp_path, "till")
            until(lambda: position(tmp_path, "till") > seen + 5, process)
            told, took = end(process)
            assert process.returncode == 0, told
            assert took < 3.0
            restarts = [
                e.camera
                for e in read_events(tmp_path / "out", kind="gap")
                if e.payload["reason"] == "edgelane was not running"
            ]
            assert "till" in restarts


def test_a_wrong_password_is_one_sentence_without_it(tmp_path, model):
    with MjpegServer(login="joe:other") as server:
        port = server.server_address[1]
        process = start(tmp_path, model, port, port)
        out, error = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "wrong user or password" in error and "s3cret" not in out + error
        assert error.count("Error: ") == 1 and "Traceback" not in error
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_new_run_begins_without_a_camera_that_is_away(tmp_path, model):
    with MjpegServer((320, 180), 10, login=LOGIN) as one:
        with MjpegServer((320, 180), 10, login=LOGIN) as two:
            two.refuse = 503
            process = start(tmp_path, model, one.server_address[1], two.server_address[1], 5)
            until(lambda: position(tmp_path, "door") > 0, process)
            began = position(tmp_path, "door")
            until(lambda: position(tmp_path, "door") > began + 40, process)
            told, _ = end(process)
            assert process.returncode == 0, told
            summary = json.loads((tmp_path / "out" / "summary.json").read_text())
            till = summary["cameras"]["till"]
            assert till["frames"] == 0 and till["gaps"]["count"] == 1
            assert "the camera answers 503" in till["gaps"]["reasons"]
            assert "goes on without it" in till["warnings"][0]


def test_a_file_played_live_ends_its_run(tmp_path, model):
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 180))
    for i in range(20):
        writer.write(np.full((180, 320, 3), 5 * i, np.uint8))
    writer.release()
    config = tmp_path / "one.yaml"
    config.write_text(f"pipeline: counting\nsource: live+file://{path}\n", encoding="utf-8")
    command = [sys.executable, "-m", "edgelane", "run", str(config), "--model", str(model)]
    command += ["--decoder", "yolox", "--quiet", "--json", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["frames"] + summary["dropped"] == 20
    assert summary["ended"] == "end" and "gaps" not in summary
    assert os.listdir(tmp_path / "out")
