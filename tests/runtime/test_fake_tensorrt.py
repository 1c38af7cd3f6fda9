"""The fakes of TensorRT: they have no name that the release lacks, and refuse what it refuses."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import graphs
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import faketrt  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RELEASES = sorted(faketrt.VERSIONS)
FAKES = Path(faketrt.__file__).resolve().parents[1]
API = Path(__file__).resolve().parents[3] / "shared" / "trt_api"
# 8.2 has what 8.4 has, less the memory pools.
TRUTH = {
    "8.2": "8.4.1",
    "8.5": "8.5.3",
    "10.3": "10.3.0",
    "10.16": "10.16.1.11",
    "11.4": "11.4.0.106",
}
LACKS = {"8.2": {"MemoryPoolType", "set_memory_pool_limit", "get_memory_pool_limit"}}


def public(thing):
    return {n for n in dir(thing) if not n.startswith("_")}


def net(*, opset=13, dtype=TensorProto.FLOAT, shape=(1, 3, 8, 8), extra=(), constants=()):
    """`y = x + 1`, and what else a test puts into it."""
    one = numpy_helper.from_array(np.ones(1, helper.tensor_dtype_to_np_dtype(dtype)), "one")
    nodes = [helper.make_node("Add", ["x", "one"], ["y"], name="add"), *extra]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, shape)],
        [one, *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


class Notes:
    """Makers of loggers that keep what they are told."""

    def __new__(cls, trt):
        class Logger(trt.ILogger):
            def __init__(self):
                trt.ILogger.__init__(self)
                self.lines = []

            def log(self, severity, msg):
                self.lines.append((severity.name, msg))

        return Logger()


def parsed(trt, model, logger=None, flags=None):
    """A builder, a network with the model in it, a configuration, and what the logger was told."""
    logger = logger or Notes(trt)
    builder = trt.Builder(logger)
    if flags is None:
        names = trt.NetworkDefinitionCreationFlag.__members__
        flags = 1 << int(names["EXPLICIT_BATCH"]) if "EXPLICIT_BATCH" in names else 0
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    good = parser.parse(model if isinstance(model, bytes) else model.SerializeToString())
    return builder, network, builder.create_builder_config(), logger, parser if not good else None


@pytest.fixture(params=RELEASES)
def trt(request):
    return faketrt.load(request.param)


@pytest.mark.parametrize("release", RELEASES)
def test_it_has_the_names_that_are_written_down_and_no_other(release):
    """names.json is what the module, its classes and its enumerations show."""
    module, names = faketrt.load(release), faketrt.NAMES[release]
    known = {*names["classes"], *names["enums"], *names["values"], *names["functions"]}
    assert public(module) == known
    for name, members in names["classes"].items():
        assert public(getattr(module, name)) == {m for m in members if not m.startswith("_")}
    for name, members in names["enums"].items():
        kind = getattr(module, name)
        assert {k: int(m) for k, m in kind.__members__.items()} == members


@pytest.mark.parametrize("release", RELEASES)
def test_the_release_has_every_name_that_the_fake_has(release):
    """Held against what `dir` says of the true bindings."""
    if not API.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{API} is missing, and CI must compare with it")
        pytest.skip(f"{API} is missing")
    truth = json.loads((API / f"{TRUTH[release]}.json").read_text(encoding="utf-8"))
    lacks, names = LACKS.get(release, set()), faketrt.NAMES[release]
    for name, members in names["classes"].items():
        assert set(members) <= set(truth[name]) - lacks, name
        assert name not in lacks
    for name, members in names["enums"].items():
        assert members == truth[f"{name}::enum"]
        assert name not in lacks
    assert {*names["values"], *names["functions"]} <= set(truth)


def test_an_engine_is_refused_by_another_release_device_or_when_cut(trt):
    """Deserialising returns None and says why, as TensorRT does."""
    builder, network, config, logger, _ = parsed(trt, net())
    engine = bytes(builder.build_serialized_network(network, config))
    runtime = trt.Runtime(logger)
    assert runtime.deserialize_cuda_engine(engine) is not None
    for broken in (engine[:-1], engine[:100], engine[:50] + b"?" + engine[51:]):
        assert runtime.deserialize_cuda_engine(broken) is None
    assert any("blobSize" in text for _, text in logger.lines)
    assert runtime.deserialize_cuda_engine(b"no engine") is None
    release = "8.2" if trt.__version__ != faketrt.VERSIONS["8.2"] else "8.5"
    for other, words in (
        (faketrt.load(release), f"got {trt.__version__}"),
        (faketrt.load(_release(trt), "nano"), "expecting compute 5.3 got compute 7.2"),
    ):
        told = Notes(other)
        assert other.Runtime(told).deserialize_cuda_engine(engine) is None
        assert any(words in text for _, text in told.lines)


def _release(trt):
    return next(k for k, v in faketrt.VERSIONS.items() if v == trt.__version__)


def test_open_shapes_need_a_profile(trt):
    """Without one no engine comes; with one its limits hold."""
    builder, network, config, logger, _ = parsed(trt, net(shape=("n", 3, 8, 8)))
    assert builder.build_serialized_network(network, config) is None
    assert "no optimization profile" in logger.lines[-1][1]
    profile = builder.create_optimization_profile()
    with pytest.raises(ValueError, match="inconsistent"):
        profile.set_shape("x", (2, 3, 8, 8), (1, 3, 8, 8), (4, 3, 8, 8))
    profile.set_shape("x", (1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
    assert config.add_optimization_profile(profile) == 0
    data = builder.build_serialized_network(network, config)
    context = trt.Runtime(logger).deserialize_cuda_engine(data).create_execution_context()
    by_name = hasattr(context, "set_input_shape")
    shape = (
        (lambda s: context.set_input_shape("x", s))
        if by_name
        else (lambda s: context.set_binding_shape(0, s))
    )
    assert not shape((5, 3, 8, 8))
    assert not shape((2, 3, 9, 8))
    assert shape((3, 3, 8, 8))
    end = context.get_tensor_shape("y") if by_name else context.get_binding_shape(1)
    assert tuple(end) == (3, 3, 8, 8)


def test_unknown_attributes_cannot_be_set(trt):
    """As pybind11's objects, so that a misspelt setting does not pass in silence."""
    _, _, config, _, _ = parsed(trt, net())
    with pytest.raises(AttributeError):
        config.max_workspace = 1
    if not trt.__version__.startswith("8"):
        with pytest.raises(AttributeError):
            config.max_workspace_size = 1 << 20


def test_classes_to_derive_from_want_their_init_called(trt):
    """The bindings say so at once."""

    class Careless(trt.ILogger):
        def __init__(self):
            self.lines = []

    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        Careless()


def test_a_calibrator_is_called_back_and_its_cache_read(monkeypatch):
    """Batches come by device address; the cache holds scales as big-endian floats."""
    trt = faketrt.load("8.5")
    cuda = trt._cuda
    batches = [np.full((2, 3, 8, 8), v, np.float32) for v in (0.5, -3.0)]
    address = cuda.alloc(batches[0].nbytes)

    class Calibrator(trt.IInt8EntropyCalibrator2):
        def __init__(self):
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.left, self.cache, self.reads = list(batches), None, 0

        def get_batch_size(self):
            return 2

        def get_batch(self, names):
            assert names == ["x"]
            if not self.left:
                return None
            data = self.left.pop(0)
            cuda.copy(address, data.ctypes.data, data.nbytes, "h2d", None)
            return [address]

        def read_calibration_cache(self):
            self.reads += 1
            return self.cache

        def write_calibration_cache(self, cache):
            self.cache = bytes(cache)

    def build(calibrator):
        builder, network, config, logger, _ = parsed(trt, net(shape=("n", 3, 8, 8)))
        profile = builder.create_optimization_profile()
        profile.set_shape("x", *[(2, 3, 8, 8)] * 3)
        config.add_optimization_profile(profile)
        config.set_flag(trt.BuilderFlag.INT8)
        config.int8_calibrator = calibrator
        return builder.build_serialized_network(network, config)

    assert build(None) is None
    calibrator = Calibrator()
    assert build(calibrator) is not None
    lines = calibrator.cache.decode().split("\n")
    assert lines[0] == "TRT-80502-EntropyCalibration2"
    scales = dict(line.split(": ") for line in lines[1:] if line)
    value = struct.unpack("!f", bytes.fromhex(scales["x"]))[0]
    assert value == pytest.approx(3.0 / 127)
    again = Calibrator()
    again.cache = calibrator.cache
    assert build(again) is not None
    assert len(again.left) == 2
    assert again.reads == 1


def test_what_only_some_releases_can_take():
    """NMS needs 8.5, uint8 inputs too; a dequantisation wants int8 and a zero point of 0."""
    nms = helper.make_node("NonMaxSuppression", ["b", "s"], ["keep"], name="nms")
    model = net()
    model.graph.node.append(nms)
    bad = parsed(faketrt.load("8.2"), model)[4]
    assert bad.num_errors == 1
    assert "NonMaxSuppression" in bad.get_error(0).desc()
    assert parsed(faketrt.load("8.5"), model)[4] is None
    pixels = net(dtype=TensorProto.UINT8)
    assert parsed(faketrt.load("8.2"), pixels)[4] is not None
    assert parsed(faketrt.load("8.5"), pixels)[4] is None
    assert parsed(faketrt.load("10.3"), b"garbage")[4].num_errors == 1
    point = numpy_helper.from_array(np.array(7, np.int8), "point")
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "scale")
    dq = helper.make_node("DequantizeLinear", ["q", "scale", "point"], ["d"])
    wrong = parsed(faketrt.load("10.3"), net(extra=[dq], constants=[point, scale]))[4]
    assert "zero point" in wrong.get_error(0).desc()


def test_implicit_batch_is_refused_by_the_parser():
    """8.x wants EXPLICIT_BATCH asked for."""
    wrong = parsed(faketrt.load("8.2"), net(), flags=0)[4]
    assert "EXPLICIT_BATCH" in wrong.get_error(0).desc()


@pytest.mark.parametrize("release", ["10.3", "10.16"])
def test_strongly_typed_networks_take_no_precision_flags(release):
    """The graph says the types, so the flags are a misuse."""
    trt = faketrt.load(release)
    flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    builder, network, config, logger, _ = parsed(trt, net(), flags=flag)
    config.set_flag(trt.BuilderFlag.FP16)
    assert builder.build_serialized_network(network, config) is None
    config.clear_flag(trt.BuilderFlag.FP16)
    assert builder.build_serialized_network(network, config) is not None


def test_dla_needs_cores_precision_and_a_way_back():
    """Asked of a device without any, or of a layer that has none, the build fails."""
    shape = helper.make_node("Shape", ["x"], ["s"], name="shape")
    for device, flags, good in (
        ("nano", ("FP16", "GPU_FALLBACK"), False),
        ("xavier", ("GPU_FALLBACK",), False),
        ("xavier", ("FP16",), False),
        ("xavier", ("FP16", "GPU_FALLBACK"), True),
    ):
        trt = faketrt.load("8.5", device)
        builder, network, config, logger, _ = parsed(trt, net(extra=[shape]))
        assert builder.num_DLA_cores == (2 if device == "xavier" else 0)
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = 0
        for name in flags:
            config.set_flag(getattr(trt.BuilderFlag, name))
        assert (builder.build_serialized_network(network, config) is not None) is good


def test_a_progress_monitor_is_told_and_can_stop(trt):
    """From 10 on; a step that answers False ends the build."""
    if not hasattr(trt, "IProgressMonitor"):
        assert trt.__version__.startswith("8")
        return
    builder, network, config, logger, _ = parsed(trt, net())

    class Monitor(trt.IProgressMonitor):
        def __init__(self, go):
            trt.IProgressMonitor.__init__(self)
            self.go, self.told = go, []

        def phase_start(self, phase_name, parent_phase, num_steps):
            self.told.append(("start", num_steps))

        def step_complete(self, phase_name, step):
            self.told.append(("step", step))
            return self.go

        def phase_finish(self, phase_name):
            self.told.append(("finish",))

    config.progress_monitor = Monitor(True)
    assert builder.build_serialized_network(network, config) is not None
    assert config.progress_monitor.told == [("start", 1), ("step", 0), ("finish",)]
    config.progress_monitor = Monitor(False)
    assert builder.build_serialized_network(network, config) is None


def test_timing_caches_are_tied_to_release_and_device(trt):
    """Rubbish gives none; another device's is taken only when told to."""
    builder, network, config, logger, _ = parsed(trt, net())
    assert builder.build_serialized_network(network, config) is not None
    data = bytes(config.get_timing_cache().serialize())
    assert config.create_timing_cache(data[:-3]) is None
    nano = faketrt.load(_release(trt), "nano")
    _, _, other, _, _ = parsed(nano, net())
    cache = other.create_timing_cache(data)
    assert not other.set_timing_cache(cache, ignore_mismatch=False)
    assert other.set_timing_cache(cache, ignore_mismatch=True)
    stranger = faketrt.load("8.2" if _release(trt) != "8.2" else "8.5")
    assert parsed(stranger, net())[2].create_timing_cache(data) is None


def test_an_error_recorder_is_told(trt):
    """By code and text, beside the log."""

    class Recorder(trt.IErrorRecorder):
        def __init__(self):
            trt.IErrorRecorder.__init__(self)
            self.errors = []

        def report_error(self, arg0, arg1):
            self.errors.append((arg0, arg1))
            return True

    runtime = trt.Runtime(Notes(trt))
    runtime.error_recorder = Recorder()
    assert runtime.deserialize_cuda_engine(b"rubbish") is None
    assert runtime.error_recorder.errors[0][0] == trt.ErrorCodeTRT.UNSPECIFIED_ERROR


def test_the_inspector_names_the_layers(trt):
    """As one line a layer, or as JSON."""
    builder, network, config, logger, _ = parsed(trt, net())
    engine = trt.Runtime(logger).deserialize_cuda_engine(
        builder.build_serialized_network(network, config)
    )
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    assert json.loads(text) == {"Layers": ["add"]}


def test_without_a_driver_nothing_can_be_made():
    """The logger works, the builder does not."""
    trt = faketrt.load("8.5", faketrt.SimulatedCuda(present=False))
    with pytest.raises(TypeError, match="factory function returned nullptr"):
        trt.Builder(trt.Logger())


def test_it_is_found_by_another_process():
    """With the folder on PYTHONPATH and the release in the environment."""
    code = (
        "import ctypes, tensorrt as t\n"
        "print(t.__version__, ctypes.CDLL('libcuda.so.1').cuInit(0), "
        "t.Builder(t.Logger()).num_DLA_cores)"
    )
    env = {**os.environ, "PYTHONPATH": str(FAKES / "site"), "EDGELANE_FAKE_TENSORRT": "10.3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["10.3.0", "0", "2"], done.stderr


def test_a_graph_of_the_tests_gives_its_numbers(trt, tmp_path):
    """What onnxruntime gives comes out of the device's memory, once the stream was waited for."""
    answer = {"out": np.arange(6, dtype=np.float32).reshape(1, 6)}
    path = graphs.save_graph(tmp_path / "m.onnx", answer)
    builder, network, config, logger, _ = parsed(trt, Path(path).read_bytes())
    engine = trt.Runtime(logger).deserialize_cuda_engine(
        builder.build_serialized_network(network, config)
    )
    context, cuda = engine.create_execution_context(), trt._cuda
    stream = cuda.create_stream()
    feed, out = cuda.alloc(3 * 64 * 64 * 4), cuda.alloc(24)
    if hasattr(context, "execute_async_v3"):
        assert not context.execute_async_v3(stream)
        context.set_tensor_address("images", feed)
        context.set_tensor_address("out", out)
        assert context.execute_async_v3(stream)
    else:
        assert context.execute_async_v2([feed, out], stream)
    result = np.zeros((1, 6), np.float32)
    cuda.copy(result.ctypes.data, out, 24, "d2h", stream)
    assert not result.any()
    cuda.synchronize(stream)
    assert np.array_equal(result, answer["out"])
