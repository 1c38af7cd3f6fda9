"""Engines that fit are run, those that do not are stood in for, and nothing waits for a build."""

import ctypes
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import graphs
import layouts
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import fakecuda  # noqa: E402
import faketrt  # noqa: E402

from edgelane.core import MissingDependency, ModelError  # noqa: E402
from edgelane.runtime.backends import open_backend  # noqa: E402
from edgelane.runtime.backends.ort import OnnxruntimeBackend  # noqa: E402
from edgelane.runtime.backends.rebuild import Rebuild, build  # noqa: E402
from edgelane.runtime.backends.serve import serve  # noqa: E402
from edgelane.runtime.backends.trt import TensorrtBackend  # noqa: E402
from edgelane.runtime.engines import build_engine, passport_path, read_passport  # noqa: E402
from edgelane.runtime.model import load_model  # noqa: E402
from edgelane.runtime.onnx_metadata import write_metadata  # noqa: E402

SITE = Path(faketrt.__file__).resolve().parents[1] / "site"
FEEDS = {"images": np.zeros((1, 3, 128, 160), np.float32)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELANE_ENGINES", str(tmp_path / "cache"))


@pytest.fixture
def place(monkeypatch):
    """A function that makes this machine one with a device and a TensorRT, by name."""
    undo = []

    def become(release, device="xavier"):
        manager = faketrt.installed(release, device)
        trt = manager.__enter__()
        undo.append(manager)
        monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(trt._cuda))
        monkeypatch.setenv("PYTHONPATH", str(SITE))
        monkeypatch.setenv("EDGELANE_FAKE_TENSORRT", release)
        monkeypatch.setenv("EDGELANE_FAKE_DEVICE", device)
        return trt

    yield become
    for manager in reversed(undo):
        manager.__exit__(None, None, None)


@pytest.fixture
def model(tmp_path):
    """An ONNX that answers as a YOLOX."""
    return graphs.save_graph(
        tmp_path / "m.onnx", layouts.yolox(), layouts.SIZE, metadata={"author": "me"}
    )


class Later:
    """A build in the background that is done when the test says so."""

    made = []

    def __init__(self, onnx, engine, options, then):
        self.asked, self.then, self.cancelled = (onnx, engine, options), then, False
        Later.made.append(self)

    def finish(self):
        self.then(build(*self.asked), "")

    def fail(self, reason):
        self.then(None, reason)

    def cancel(self):
        self.cancelled = True

    def join(self, timeout=None):
        return None


@pytest.fixture
def later():
    Later.made = []
    return Later


def test_an_engine_that_fits_is_run(place, model, tmp_path, caplog):
    """By its own name, beside its ONNX, and from the cache; with the notes of its ONNX."""
    place("8.5")
    expected = OnnxruntimeBackend(model).infer(FEEDS)["output"]
    build_engine(model)
    in_cache = open_backend(model)
    built = build_engine(model, tmp_path / "m.engine")
    for backend in (in_cache, open_backend(str(built.path)), open_backend(model)):
        assert isinstance(backend.backend, TensorrtBackend)
        assert backend.metadata == {"author": "me"}
        assert np.array_equal(backend.infer(FEEDS)["output"], expected)
        backend.close()
    assert not caplog.records


def test_an_onnx_without_an_engine_is_run_as_ever(place, model):
    """Nothing is built unasked."""
    place("8.5")
    assert isinstance(open_backend(model), OnnxruntimeBackend)


def test_a_detector_is_loaded_from_an_engine_alone(place, model, tmp_path):
    """The passport has the card, so the ONNX need not be shipped."""
    place("10.3", "orin")
    with load_model(model) as reference:
        expected = reference(np.full((128, 160, 3), 90, np.uint8))
    engine = build_engine(model, tmp_path / "m.engine").path
    Path(model).unlink()
    with load_model(engine) as detector:
        assert isinstance(detector.backend.backend, TensorrtBackend)
        found = detector(np.full((128, 160, 3), 90, np.uint8))
    assert len(expected)
    assert np.array_equal(found.xyxy, expected.xyxy)


def other_release(place, model, engine):
    place("10.3")
    return "built for TensorRT 8.5.2.2, this is 10.3.0"


def other_device(place, model, engine):
    place("8.5", "orin")
    return "built for compute capability 7.2, this is 8.7"


def changed_onnx(place, model, engine):
    write_metadata(model, {"author": "you"})
    return "has changed since it was built"


def truncated(place, model, engine):
    engine.write_bytes(engine.read_bytes()[:-100])
    return "cut off"


def damaged(place, model, engine):
    data = bytearray(engine.read_bytes())
    data[len(data) // 2] ^= 1
    engine.write_bytes(bytes(data))
    return "is damaged"


def no_passport(place, model, engine):
    passport_path(engine).unlink()
    return "has no passport"


def bad_passport(place, model, engine):
    passport_path(engine).write_text("{")
    return "cannot be read"


def gone(place, model, engine):
    engine.unlink()
    return "cannot be read"


FAULTS = [
    other_release,
    other_device,
    changed_onnx,
    truncated,
    damaged,
    no_passport,
    bad_passport,
    gone,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_what_is_wrong_is_said_and_stood_in_for(fault, place, model, tmp_path, caplog, later):
    """One warning with the reason; frames are served at once; then the new engine takes over."""
    place("8.5")
    expected = OnnxruntimeBackend(model).infer(FEEDS)["output"]
    engine = Path(build_engine(model, tmp_path / "m.engine").path)
    words = fault(place, model, engine)
    backend = serve(str(engine), start=later)
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert words in caplog.text
    assert "built anew in the background" in caplog.text
    assert isinstance(backend.backend, OnnxruntimeBackend)
    assert np.array_equal(backend.infer(FEEDS)["output"], expected)
    later.made[0].finish()
    assert len(caplog.records) == 1
    assert isinstance(backend.backend, TensorrtBackend)
    assert np.array_equal(backend.infer(FEEDS)["output"], expected)
    backend.close()
    assert isinstance(open_backend(str(engine)).backend, TensorrtBackend)


def test_a_build_is_asked_for_as_the_first_was(place, model, tmp_path, later):
    """Precision and the rest come from the old passport."""
    place("8.5")
    engine = build_engine(model, tmp_path / "m.engine", precision="fp16", workspace_mb=64).path
    place("10.3", "orin")
    backend = serve(str(engine), start=later)
    assert later.made[0].asked[2] == {"precision": "fp16", "workspace_mb": 64}
    later.made[0].finish()
    assert read_passport(engine).precision == "fp16"
    assert isinstance(backend.backend, TensorrtBackend)


def test_a_build_that_fails_changes_nothing(place, model, tmp_path, caplog, later):
    """The CPU goes on, and a second warning says why."""
    place("8.5")
    engine = build_engine(model, tmp_path / "m.engine").path
    place("10.3")
    backend = serve(str(engine), start=later)
    later.made[0].fail("no memory left")
    assert "no memory left" in caplog.records[1].getMessage()
    assert len(backend.infer(FEEDS)) == 1
    backend.close()
    assert later.made[0].cancelled


def test_an_engine_that_is_ready_too_late_is_let_go(place, model, tmp_path, later):
    """After the end nothing is left on the device."""
    place("8.5")
    engine = build_engine(model, tmp_path / "m.engine").path
    trt = place("10.3")
    backend = serve(str(engine), start=later)
    backend.close()
    later.made[0].finish()
    assert list(trt._cuda._streams) == [0]
    with pytest.raises(ModelError, match="has been closed"):
        backend.infer(FEEDS)


def test_without_a_driver_the_onnx_is_run_and_nothing_is_built(
    place, model, tmp_path, caplog, monkeypatch
):
    """A laptop, or a Jetson whose driver is broken."""
    place("8.5")
    engine = build_engine(model, tmp_path / "m.engine").path
    monkeypatch.setattr(
        ctypes, "CDLL", fakecuda.loader(faketrt.device("xavier"), without=("libcuda",))
    )
    for path in (str(engine), model):
        caplog.clear()
        backend = open_backend(path)
        assert isinstance(backend, OnnxruntimeBackend)
        assert f"engine {engine} cannot be used here: got there is no NVIDIA driver" in caplog.text
        assert "is run by onnxruntime on the CPU instead" in caplog.text
        assert len(caplog.records) == 1
    Path(model).unlink()
    with pytest.raises(ModelError, match="no NVIDIA driver"):
        open_backend(str(engine))


def test_without_onnxruntime_either(place, model, tmp_path, monkeypatch):
    """Both reasons are given."""
    place("8.5")
    engine = build_engine(model, tmp_path / "m.engine").path
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="TensorRT.*nor is onnxruntime.*edgelane\\[cpu\\]"):
        open_backend(str(engine))
    with pytest.raises(MissingDependency):
        OnnxruntimeBackend(model)


def test_a_foreign_engine_without_passport_or_onnx_is_taken_as_it_is(
    place, model, tmp_path, caplog
):
    """Someone built it with another tool; that nothing is known of it is said."""
    place("8.5")
    engine = Path(build_engine(model, tmp_path / "m.engine").path)
    passport_path(engine).unlink()
    Path(model).unlink()
    backend = open_backend(str(engine))
    assert isinstance(backend.backend, TensorrtBackend)
    assert "has no passport" in caplog.text
    engine.write_bytes(engine.read_bytes()[:200])
    with pytest.raises(ModelError, match="does not take the engine"):
        open_backend(str(engine))
    with pytest.raises(ModelError, match="there is no engine"):
        open_backend(str(tmp_path / "nowhere.engine"))


def test_a_device_that_fails_in_the_middle_loses_no_frame(place, model, tmp_path, caplog):
    """The frame at which it failed is run on the CPU, as are all after it."""
    trt = place("8.5")
    backend = open_backend(str(build_engine(model, tmp_path / "m.engine").path))
    expected = backend.infer(FEEDS)["output"]
    failures = []

    def work():
        for _ in range(30):
            try:
                if not np.array_equal(backend.infer(FEEDS)["output"], expected):
                    failures.append("wrong")
            except Exception as error:  # shown by the assertion below
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    trt._cuda._broken = 700
    for thread in threads:
        thread.join()
    assert failures == []
    backend.infer(FEEDS)
    assert isinstance(backend.backend, OnnxruntimeBackend)
    warnings = [r for r in caplog.records if "Now" in r.getMessage()]
    assert len(warnings) == 1


def test_a_process_of_its_own_builds_while_frames_go_on(place, model, tmp_path, caplog):
    """All of it for real but the device: threads infer from the start to beyond the change."""
    place("8.5")
    engine = build_engine(model, tmp_path / "m.engine").path
    trt = place("10.3", "orin")
    backend = open_backend(str(engine))
    assert isinstance(backend.backend, OnnxruntimeBackend)
    expected = backend.infer(FEEDS)["output"]
    stop, wrong, counts = threading.Event(), [], []

    def work():
        count = 0
        while not stop.is_set():
            try:
                if not np.array_equal(backend.infer(FEEDS)["output"], expected):
                    wrong.append("another answer")
            except Exception as error:  # shown by the assertion below
                wrong.append(error)
            count += 1
            time.sleep(0.002)
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    backend.wait(60)
    assert isinstance(backend.backend, TensorrtBackend), caplog.text
    time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(counts) > 0
    assert np.array_equal(backend.infer(FEEDS)["output"], expected)
    passport = read_passport(engine)
    assert passport.tensorrt == "10.3.0"
    backend.close()
    assert list(trt._cuda._streams) == [0]


def test_the_builder_reports_why_it_failed(place, model, tmp_path, monkeypatch):
    """In one sentence, through its one line of output."""
    place("8.5")
    monkeypatch.setenv("EDGELANE_FAKE_DEVICE", "none")
    got = []
    rebuild = Rebuild(model, str(tmp_path / "m.engine"), {}, lambda *a: got.append(a))
    rebuild.join(60)
    assert got[0][0] is None
    assert "driver" in got[0][1]
    unknown = Rebuild(model, None, {"colour": "red"}, lambda *a: got.append(a))
    unknown.join(60)
    assert "colour" in got[1][1]


def test_a_build_that_is_given_up_leaves_no_process(place, model, tmp_path):
    """Neither when it is cancelled nor when its parent dies."""
    place("8.5")
    got = []
    rebuild = Rebuild(model, None, {}, lambda *a: got.append(a))
    rebuild.cancel()
    assert rebuild._process.poll() is not None
    assert got == []
    command = [sys.executable, "-m", "edgelane.runtime.backends.rebuild", model, "", "{}"]
    orphan = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ}
    )
    out, _ = orphan.communicate(timeout=60)  # closes stdin, as a parent's death does
    assert orphan.returncode in (0, 1)
    assert orphan.returncode == 1 or "engine" in json.loads(out)
