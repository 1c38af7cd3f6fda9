"""What keeps an engine from being built is told in a sentence, and nothing half is left behind."""

import ctypes
import os
import shutil
import threading
import time

import engine_nets as nets
import pytest
import recordings

pytest.importorskip("onnx")
import fakecuda  # noqa: E402
import faketrt  # noqa: E402
from engine_places import left, places  # noqa: E402

from edgelane.core import (  # noqa: E402
    MissingDependency,
    ModelError,
    StorageError,
    UsageError,
)
from edgelane.runtime.engines import (  # noqa: E402
    EngineCache,
    build_engine,
    builder,
    here,
    installed_tensorrt,
    load_tensorrt,
    read_engine,
    this_device,
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """As `engine_places.places`."""
    return places(tmp_path, monkeypatch)


@pytest.mark.parametrize("release", ["8.5", "10.3"])
def test_a_node_that_the_parser_does_not_take_is_named(release, place, tmp_path):
    _, options = place(release)
    onnx = nets.save(tmp_path / "m.onnx", operator="Unique", opset=17)
    message = rf"TensorRT {release}.* does not take node 'odd_one' \(Unique\) of .*m\.onnx"
    with pytest.raises(ModelError, match=message) as caught:
        build_engine(onnx, tmp_path / "m.engine", **options)
    assert "No importer registered for op: Unique" in str(caught.value)
    assert left(tmp_path) == ["m.onnx"] and not list(tmp_path.glob("engines/*.engine"))


def test_a_newer_opset_than_the_parser_knows_is_part_of_the_remedy(place, tmp_path):
    _, options = place("8.2")
    onnx = nets.save(tmp_path / "m.onnx", operator="NonZero", opset=17)
    with pytest.raises(ModelError, match=r"node 'odd_one' \(NonZero\).*--opset 13"):
        build_engine(onnx, **options)


def test_a_dla_that_the_release_lacks_is_told(place, tmp_path):
    trt, options = place("10.16", "agx-orin", "orin")
    trt._dla_cores = 0
    with pytest.raises(ModelError, match=r"TensorRT 10\.16\.1 finds no DLA core 0 here"):
        build_engine(nets.save(tmp_path / "m.onnx"), dla_core=0, **options)


def test_what_tensorrt_says_of_a_failed_build_is_told(place, tmp_path, monkeypatch):
    trt, options = place("8.5")
    onnx = nets.save(tmp_path / "m.onnx")

    def fails(text):
        def build(self, network, config):
            self._fail("FAILED_ALLOCATION", text)

        monkeypatch.setattr(trt.Builder, "build_serialized_network", build)

    fails("Requested amount of GPU memory (1073741824 bytes) could not be allocated: out of memory")
    with pytest.raises(ModelError, match=r"cannot build .*out of memory.*--workspace 1024"):
        build_engine(onnx, **options)
    fails("DLA subgraph compilation failed")
    with pytest.raises(ModelError, match=r"DLA subgraph compilation failed.*[Ll]eave --dla out"):
        build_engine(onnx, dla_core=0, **options)

    def breaks(self, network, config):
        raise RuntimeError("something\nlong")

    monkeypatch.setattr(trt.Builder, "build_serialized_network", breaks)
    with pytest.raises(ModelError, match="failed on .*RuntimeError: something"):
        build_engine(onnx, **options)


def test_a_machine_without_driver_touches_no_tensorrt(tmp_path, monkeypatch):
    def none(name, *args, **options):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", none)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(ModelError, match=r"no NVIDIA driver.*--dry-run"):
        load_tensorrt()
    with pytest.raises(ModelError, match="no NVIDIA driver"):
        build_engine(nets.save(tmp_path / "m.onnx"))
    assert this_device(str(tmp_path)) is None


def test_a_machine_without_tensorrt_says_so(place, tmp_path, monkeypatch):
    place("8.5")
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(MissingDependency, match="TensorRT cannot be used.*edgelane doctor"):
        load_tensorrt()


def test_a_builder_without_device_says_so(place, tmp_path, monkeypatch):
    trt, options = place("8.5")

    class NoBuilder:
        def __init__(self, logger):
            raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(trt, "Builder", NoBuilder)
    with pytest.raises(ModelError, match="no device to build for"):
        build_engine(nets.save(tmp_path / "m.onnx"), **options)


def test_another_device_than_this_one_is_refused_and_a_like_one_believed(place, tmp_path):
    _, options = place("8.5")
    onnx = nets.save(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=r"engine for Jetson Nano is built on one.*--dry-run"):
        build_engine(onnx, device="nano", **options)
    built = build_engine(onnx, device="AGX Xavier", **options)
    assert built.plan.device == "agx-xavier" and built.passport.options["device"] == "agx-xavier"


def test_a_graphics_card_is_a_device_too(tmp_path, monkeypatch):
    trt = faketrt.load("10.3", "server")
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(trt._cuda))
    cache = EngineCache(tmp_path / "engines")
    built = build_engine(nets.save(tmp_path / "m.onnx"), trt=trt, root=str(tmp_path), cache=cache)
    assert built.plan.device == "sm86" and built.passport.gpu == "NVIDIA A10"
    assert built.passport.device is None and built.passport.l4t is None


def test_a_super_mode_does_not_make_another_device_of_it(tmp_path, monkeypatch):
    recordings.unpack("orin-nano-super", tmp_path)
    trt = faketrt.load("10.3", "orin-nano")
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(trt._cuda))
    assert this_device(str(tmp_path)).name == "orin-nano-super"
    assert here(trt, str(tmp_path)).device == "orin-nano"
    assert installed_tensorrt(str(tmp_path)) == "10.3.0.30"


def test_places_that_cannot_be_written_are_told_before_the_work(place, tmp_path, monkeypatch):
    _, options = place("8.5")
    onnx = nets.save(tmp_path / "m.onnx")
    with pytest.raises(StorageError, match="does not exist"):
        build_engine(onnx, tmp_path / "nowhere" / "m.engine", **options)
    with pytest.raises(UsageError, match="is a folder"):
        build_engine(onnx, tmp_path, **options)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StorageError, match="cannot be written"):
        build_engine(onnx, tmp_path / "m.engine", **options)
    with pytest.raises(StorageError, match="cache of engines .* cannot be written"):
        build_engine(onnx, **options)
    monkeypatch.undo()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    _, options = place("8.5")
    with pytest.raises(StorageError, match="too full for an engine"):
        build_engine(onnx, tmp_path / "m.engine", **options)
    assert left(tmp_path) == ["m.onnx"]


def test_a_disk_that_fills_up_leaves_nothing_half(place, tmp_path, monkeypatch):
    _, options = place("8.5")
    onnx = nets.save(tmp_path / "m.onnx")
    (tmp_path / "m.engine").write_bytes(b"the old one")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        build_engine(onnx, tmp_path / "m.engine", **options)
    with pytest.raises(StorageError, match="No space left on device"):
        build_engine(onnx, **options)
    assert (tmp_path / "m.engine").read_bytes() == b"the old one"
    assert left(tmp_path) == ["m.engine", "m.onnx"]
    assert left(options["cache"].folder) == []


def test_a_cache_that_cannot_be_written_still_gives_the_engine(place, tmp_path):
    _, options = place("8.5")
    (tmp_path / "file").write_text("")
    options["cache"] = EngineCache(tmp_path / "file" / "engines")
    built = build_engine(nets.save(tmp_path / "m.onnx"), tmp_path / "m.engine", **options)
    assert read_engine(tmp_path / "m.engine")[1] == built.passport


def test_a_disk_without_links_gets_a_copy(place, tmp_path, monkeypatch):
    _, options = place("8.5")

    def no_link(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    build_engine(nets.save(tmp_path / "m.onnx"), tmp_path / "m.engine", **options)
    assert read_engine(tmp_path / "m.engine")[1].onnx == "m.onnx"
    assert left(tmp_path) == ["m.engine", "m.engine.json", "m.onnx"]


def test_an_interrupt_stops_the_builder_and_leaves_nothing(place, tmp_path, monkeypatch):
    trt, options = place("10.3")
    stepped = threading.Event()
    inner = builder.make_monitor

    def slow(trt_, phases, stopped):
        monitor = inner(trt_, phases, stopped)
        step = monitor.step_complete

        def complete(phase, number):
            stepped.set()
            stopped.wait(5)
            return step(phase, number)

        monitor.step_complete = complete
        return monitor

    monkeypatch.setattr(builder, "make_monitor", slow)

    def interrupt(step):
        if stepped.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(
            nets.save(tmp_path / "m.onnx"), tmp_path / "m.engine", report=interrupt, **options
        )
    assert not builder.still_building()
    assert left(tmp_path) == ["m.onnx"] and left(options["cache"].folder) == []


def test_a_release_that_cannot_be_stopped_is_known_to_go_on(place, tmp_path, monkeypatch):
    trt, options = place("8.5")
    end = threading.Event()
    monkeypatch.setattr(trt.Builder, "build_serialized_network", lambda *_: end.wait(10) and None)

    def interrupt(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(nets.save(tmp_path / "m.onnx"), report=interrupt, **options)
    assert builder.still_building()
    end.set()
    until = time.monotonic() + 10
    while builder.still_building() and time.monotonic() < until:
        time.sleep(0.01)
    assert not builder.still_building()
