"""Engines are built for each release as its plan says, and nothing half is left behind."""

import contextlib
import json
import shutil
import time

import engine_nets as nets
import numpy as np
import pytest
import recordings

pytest.importorskip("onnx")
from engine_places import PLACES, places  # noqa: E402
from faketrt import plan as fakeplan  # noqa: E402
from onnx import load, save  # noqa: E402

from edgelane.core import (  # noqa: E402
    InputSpec,
    ModelCard,
    ModelError,
)
from edgelane.runtime.engines import (  # noqa: E402
    build_engine,
    builder,
    cached_engine,
    here,
    read_engine,
    read_passport,
    tensorrt_logger,
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """As `engine_places.places`."""
    return places(tmp_path, monkeypatch)


def header(data):
    """What the fake notes in an engine of how it was built."""
    return fakeplan.unpack(data)[0]


@pytest.mark.parametrize("release", sorted(PLACES))
def test_an_engine_is_built_with_its_passport(release, place, tmp_path):
    trt, options = place(release)
    onnx = nets.save(tmp_path / "m.onnx", kind="half" if release == "11.4" else "float")
    out = tmp_path / "m.engine"
    built = build_engine(onnx, out, **options)
    data, passport = read_engine(out)
    assert built.path == out and built.fresh and built.passport.engine_size == len(data)
    told = header(data)
    assert told["trt"] == trt.__version__ == passport.tensorrt
    assert built.plan.precision == passport.precision == "fp16"
    assert told["strong"] == (release == "11.4")
    assert ("FP16" in told["flags"]) == (release != "11.4")
    assert told["workspace"] == built.plan.workspace_mb << 20
    assert passport.onnx == "m.onnx" and passport.calibration is None
    machine = recordings.load(PLACES[release][0])["expect"]
    assert passport.l4t == machine["l4t"] and passport.device == PLACES[release][0]
    assert passport.differences(here(trt, options["root"]), built.passport.onnx_sha256) == []
    # It runs, and gives what the graph gives.
    engine = trt.Runtime(tensorrt_logger(trt)).deserialize_cuda_engine(data)
    assert engine is not None and engine.num_optimization_profiles == 1


@pytest.mark.parametrize("release", ["8.5", "10.3", "11.4"])
def test_q_dq_is_built_as_int8(release, place, tmp_path):
    _, options = place(release)
    built = build_engine(nets.save(tmp_path / "q.onnx", quantized=True), **options)
    told = header(built.path.read_bytes())
    assert built.passport.precision == "int8" and told["scales"] == 0
    assert told["strong"] == (release == "11.4")
    assert ("INT8" in told["flags"]) == (release != "11.4")


def test_the_calibration_of_a_graph_with_q_dq_is_that_of_its_card(place, tmp_path):
    _, options = place("8.5")
    card = ModelCard("detect", "yolox", InputSpec((8, 8)), precision="int8", calibration="c0ffee")
    onnx = nets.save(tmp_path / "q.onnx", quantized=True, card=card.to_json())
    passport = build_engine(onnx, **options).passport
    assert passport.calibration == "c0ffee"
    assert ModelCard.from_json(passport.metadata["edgelane"]) == card


@pytest.mark.parametrize("dla", [None, 1])
@pytest.mark.parametrize("release", ["8.2", "8.5", "10.3"])
def test_a_calibration_cache_gives_implicit_int8(release, dla, place, tmp_path):
    recording = {"8.2": ("agx-xavier", "xavier")}.get(release, PLACES[release])
    _, options = place(release, *recording)
    scales = {"images": 0.02, "conv_out": 0.05, "output": 0.07}
    built = build_engine(
        nets.save(tmp_path / "m.onnx"),
        calibration=nets.save_cache(tmp_path / "q.calib", scales),
        dla_core=dla,
        **options,
    )
    told = header(built.path.read_bytes())
    assert told["scales"] == 3 and {"INT8", "FP16"} <= set(told["flags"])
    assert told["dla"] == (-1 if dla is None else dla)
    assert ("GPU_FALLBACK" in told["flags"]) == (dla is not None)
    assert built.passport.calibration and built.passport.dla_core == dla


def test_a_calibrator_gives_the_cache_as_the_release_wants_it(place):
    trt, _ = place("8.5")
    calibrator = builder.make_calibrator(trt, b"TRT-8502-EntropyCalibration2\n")
    assert isinstance(calibrator, trt.IInt8EntropyCalibrator2)
    assert calibrator.get_algorithm() == trt.CalibrationAlgoType.ENTROPY_CALIBRATION_2
    assert calibrator.read_calibration_cache() == b"TRT-8502-EntropyCalibration2\n"
    assert calibrator.get_batch_size() == 1 and not calibrator.asked
    assert calibrator.get_batch(["x"]) is None and calibrator.asked


def test_a_cache_that_tensorrt_does_not_take_is_told(place, tmp_path, monkeypatch):
    trt, options = place("8.5")
    monkeypatch.setattr(trt.Builder, "_read_cache", lambda self, data: None)

    def ask(self, network, config):
        config.int8_calibrator.get_batch(["images"])

    monkeypatch.setattr(trt.Builder, "_calibrate", ask)
    with pytest.raises(ModelError, match=r"does not take calibration cache .*q\.calib"):
        build_engine(
            nets.save(tmp_path / "m.onnx"),
            calibration=nets.save_cache(tmp_path / "q.calib"),
            **options,
        )


@pytest.mark.parametrize("release", ["8.5", "10.3", "11.4"])
def test_open_axes_get_a_profile(release, place, tmp_path):
    _, options = place(release)
    onnx = nets.save(tmp_path / "m.onnx", shape=(None, 3, 8, 8))
    built = build_engine(onnx, batch=(1, 2, 4), precision="fp32", **options)
    (profile,) = header(built.path.read_bytes())["profiles"]
    assert [shape[0] for shape in profile["images"]] == [1, 2, 4]
    assert built.passport.profile == {"images": [[1, 3, 8, 8], [2, 3, 8, 8], [4, 3, 8, 8]]}
    assert header(build_engine(onnx, precision="fp32", **options).path.read_bytes())["profiles"]


def test_layers_that_must_stay_in_fp32_are_asked_for(place, tmp_path, monkeypatch):
    trt, options = place("8.2")
    pinned = {}
    monkeypatch.setattr(
        trt.ILayer,
        "precision",
        property(lambda self: None, lambda self, value: pinned.update({self.name: value})),
    )
    onnx = nets.save(tmp_path / "m.onnx", kind="half", island=True)
    build_engine(onnx, **options)
    assert pinned == {"exp": trt.float32}
    # A layer is known by what it gives where its node has no name.
    model = load(onnx)
    for node in model.graph.node:
        node.name = ""
    save(model, onnx)
    pinned.clear()
    build_engine(onnx, **options)
    assert list(pinned.values()) == [trt.float32]


def test_plugins_are_known_before_a_graph_is_read(place, tmp_path, monkeypatch):
    trt, options = place("8.5")
    order = []
    parser = trt.OnnxParser.parse_from_file
    monkeypatch.setattr(trt, "init_libnvinfer_plugins", lambda *_: order.append("plugins"))
    monkeypatch.setattr(
        trt.OnnxParser, "parse_from_file", lambda *a: order.append("parse") or parser(*a)
    )
    build_engine(nets.save(tmp_path / "m.onnx"), **options)
    assert order == ["plugins", "parse"]


def test_what_was_built_before_comes_from_the_cache(place, tmp_path, monkeypatch):
    _, options = place("8.5")
    onnx = nets.save(tmp_path / "m.onnx")
    first = build_engine(onnx, tmp_path / "a.engine", **options)

    def never(*_):
        raise AssertionError("it was built again")

    with monkeypatch.context() as patch:
        patch.setattr("edgelane.runtime.engines.build.compile_engine", never)
        again = build_engine(onnx, tmp_path / "b.engine", **options)
        assert not again.fresh and again.passport == first.passport
        assert (tmp_path / "a.engine").read_bytes() == (tmp_path / "b.engine").read_bytes()
        in_cache = build_engine(onnx, **options)
        assert in_cache.path.parent == options["cache"].folder
        assert cached_engine(onnx, options["cache"].folder) == in_cache.path
        for change in ({"precision": "fp32"}, {"force": True}):
            with pytest.raises(AssertionError):
                build_engine(onnx, **change, **options)
        nets.save(tmp_path / "m.onnx", seed=1)
        with pytest.raises(AssertionError):
            build_engine(onnx, **options)
    # The cache has the model's full path, for its engines lie elsewhere.
    assert read_passport(in_cache.path).onnx == onnx


def test_the_options_of_a_passport_build_the_same_again(place, tmp_path):
    _, options = place("8.5")
    onnx = nets.save(tmp_path / "m.onnx", shape=(None, 3, 8, 8))
    calibration = nets.save_cache(tmp_path / "q.calib")
    first = build_engine(onnx, calibration=calibration, batch=(1, 2, 4), workspace_mb=64, **options)
    kept = json.loads(json.dumps(first.passport.options))
    again = build_engine(onnx, **kept, **options)
    assert again.path == first.path and not again.fresh


def test_measured_kernels_are_kept_for_the_next_build(place, tmp_path):
    trt, options = place("10.3")
    onnx = nets.save(tmp_path / "m.onnx")
    build_engine(onnx, **options)
    (timing,) = options["cache"].folder.glob("*.timing")
    assert "10.3" in timing.name and "8.7" in timing.name
    before = timing.read_bytes()
    build_engine(nets.save(tmp_path / "n.onnx", operator="Sigmoid"), **options)
    assert len(timing.read_bytes()) > len(before)
    # One that is damaged or of another release is begun anew.
    timing.write_bytes(b"rubbish")
    build_engine(onnx, force=True, **options)
    assert timing.read_bytes() != b"rubbish"


def test_progress_is_told_by_the_release_or_by_the_clock(place, tmp_path, monkeypatch):
    for release, known in (("8.5", False), ("10.3", True)):
        shutil.rmtree(tmp_path / "root", ignore_errors=True)
        trt, options = place(release)
        work = trt.Builder._work

        def slow(self, network, config, work=work):
            time.sleep(0.3)
            return work(self, network, config)

        monkeypatch.setattr(trt.Builder, "_work", slow)
        steps = []
        build_engine(nets.save(tmp_path / "m.onnx"), report=steps.append, **options)
        assert len(steps) >= 2 and steps == sorted(steps, key=lambda s: s.seconds)
        assert (steps[-1].fraction == 1.0) == known
        # The second time it is known how long it takes.
        steps = []
        build_engine(nets.save(tmp_path / "m.onnx"), force=True, report=steps.append, **options)
        assert 0 < steps[-1].fraction <= 1.0


def test_phases_within_phases_make_one_fraction_that_never_falls():
    phases = builder._Phases()
    assert phases.state() == (None, "")
    phases.start("build", None, 2)
    phases.start("tactics", "build", 4)
    phases.step("tactics", 0)
    assert phases.state() == (1 / 8, "tactics")
    phases.step("tactics", 3)
    phases.finish("tactics")
    assert phases.state() == (0.5, "build")
    phases.step("build", 0)
    assert phases.state() == (0.5, "build")
    phases.start("other", None, 10)
    assert phases.state()[0] == 0.5
    phases.finish("other")
    phases.step("build", 1)
    phases.finish("build")
    assert phases.state() == (1.0, "")


def test_there_is_one_logger_and_it_keeps_the_errors(place):
    trt, _ = place("8.5")
    logger = tensorrt_logger(trt)
    assert tensorrt_logger(trt) is logger and isinstance(logger, trt.ILogger)
    for severity in ("VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR"):
        logger.log(getattr(trt.ILogger, severity), severity.lower())
    logger.log(None, None)  # whatever comes, no exception may enter TensorRT
    assert logger.take_errors() == ["error", "internal_error"] and logger.take_errors() == []


def test_an_engine_gives_what_the_graph_gives(place, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    trt, options = place("8.5")
    onnx = nets.save(tmp_path / "m.onnx")
    built = build_engine(onnx, precision="fp32", **options)
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    wanted = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"]).run(
        None, {"images": image}
    )[0]
    engine = trt.Runtime(tensorrt_logger(trt)).deserialize_cuda_engine(built.path.read_bytes())
    with contextlib.closing(_Run(trt, engine)) as run:
        assert np.array_equal(run(image), wanted)


class _Run:
    """One engine with one input and one output, run in the plainest way."""

    def __init__(self, trt, engine):
        self.cuda, self.engine = trt._cuda, engine
        self.context = engine.create_execution_context()
        self.addresses = []

    def __call__(self, image):
        out = np.empty((1, 4, 8, 8), np.float32)
        self.addresses = [self.cuda.alloc(image.nbytes), self.cuda.alloc(out.nbytes)]
        self.cuda.copy(self.addresses[0], image.ctypes.data, image.nbytes, "h2d", None)
        assert self.context.execute_v2(self.addresses)
        self.cuda.copy(out.ctypes.data, self.addresses[1], out.nbytes, "d2h", None)
        return out

    def close(self):
        for address in self.addresses:
            self.cuda.free(address)
