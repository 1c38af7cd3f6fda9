"""What is TensorRT's own: graphs, memory, contexts, outputs of unknown size, refusals."""

import threading

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import faketrt  # noqa: E402
import trtbuild  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.core import ModelError, UsageError  # noqa: E402
from edgelane.runtime.backends.trt import TensorrtBackend  # noqa: E402
from edgelane.runtime.backends.trt.backend import _close_all  # noqa: E402
from edgelane.runtime.backends.trt.library import numpy_type  # noqa: E402
from edgelane.runtime.cuda import CudaError  # noqa: E402
from edgelane.runtime.cuda.simulated import SimulatedCudaError  # noqa: E402
from edgelane.runtime.testing import FakeDevice, SimulatedCuda  # noqa: E402

PLACES = ["8.2 nano", "8.2 xavier", "8.5 xavier", "10.3 orin", "10.16 server", "11.4 thor"]


@pytest.fixture(params=PLACES)
def trt(request):
    release, device = request.param.split()
    return faketrt.load(release, device)


def save(path, nodes, outputs, shape=(1, 3, 8, 8), constants=(), dtype=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return str(path)


def double(path, shape=(1, 3, 8, 8)):
    two = numpy_helper.from_array(np.array([2], np.float32), "two")
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"])]
    return save(path, nodes, [("y", TensorProto.FLOAT, shape)], shape, [two])


def positive(path):
    """Where the input is above zero: `[4, n]`, as many as there are."""
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["above"]),
        helper.make_node("NonZero", ["above"], ["places"]),
    ]
    return save(path, nodes, [("places", TensorProto.INT64, (4, "n"))], constants=[zero])


def open_engine(trt, onnx_path, tmp_path, options=None, **more):
    path = trtbuild.save_engine(trt, onnx_path, tmp_path / "m.engine", **(options or {}))
    return TensorrtBackend(path, trt=trt, device=FakeDevice(trt._cuda), **more)


def ones(count=1, value=1.0):
    return {"x": np.full((count, 3, 8, 8), value, np.float32)}


def test_fixed_shapes_are_launched_as_a_graph(trt, tmp_path):
    """From the second run on; the answers are those of the run without."""
    backend = open_engine(trt, double(tmp_path / "m.onnx"), tmp_path)
    for value in range(1, 6):
        assert np.all(backend.infer(ones(value=value))["y"] == 2 * value)
    assert backend.graph_launches == 5  # the run of the opening was the first
    assert trt._cuda.launched == 5
    plain = open_engine(trt, double(tmp_path / "m.onnx"), tmp_path, graphs=False)
    assert np.all(plain.infer(ones(value=3))["y"] == 6)
    assert plain.graph_launches == 0


def test_a_change_of_shape_makes_a_new_graph(trt, tmp_path):
    """A graph holds shapes and addresses; with others it must not be launched."""
    path = double(tmp_path / "m.onnx", ("n", 3, 8, 8))
    backend = open_engine(trt, path, tmp_path, contexts=1)
    for count in (1, 1, 1, 3, 3, 3, 4, 1, 1, 1):
        feeds = {"x": np.random.default_rng(count).random((count, 3, 8, 8), np.float32)}
        assert np.array_equal(backend.infer(feeds)["y"], 2 * feeds["x"])
    assert backend.graph_launches == 2 + 2 + 2


def test_where_nothing_can_be_captured_it_runs_without(trt, tmp_path, monkeypatch):
    """One failed attempt, no error, right answers."""
    tried = []
    device = FakeDevice(trt._cuda)

    def begin(stream):
        tried.append(stream)
        trt._cuda.begin_capture(stream)
        trt._cuda.breaks(stream)

    monkeypatch.setattr(device, "begin_capture", begin)
    path = trtbuild.save_engine(trt, double(tmp_path / "m.onnx"), tmp_path / "m.engine")
    backend = TensorrtBackend(path, trt=trt, device=device)
    for value in range(1, 5):
        assert np.all(backend.infer(ones(value=value))["y"] == 2 * value)
    assert len(tried) == 1
    assert backend.graph_launches == 0


def test_all_memory_is_given_back(trt, tmp_path):
    """Device memory, page-locked memory and streams, also of shapes that came and went."""
    cuda = trt._cuda
    backend = open_engine(trt, double(tmp_path / "m.onnx", ("n", 3, 8, 8)), tmp_path)
    for count in (1, 4, 2, 7):
        backend.infer(ones(count))
    if not cuda.integrated or cuda.compute_capability < (7, 2):
        assert cuda.used > 0
    else:
        assert cuda.used == 0  # all of it is the host's own memory, mapped
    backend.close()
    assert cuda.used == 0
    assert not cuda._host
    assert not cuda._graphs
    assert list(cuda._streams) == [0]


def test_memory_that_cannot_be_mapped_is_copied(tmp_path, monkeypatch):
    """A context made by another library may not allow mapping."""
    trt = faketrt.load("8.5", "xavier")
    allocate = trt._cuda.host_alloc

    def refuse(size, mapped):
        if mapped:
            raise SimulatedCudaError(1)
        return allocate(size, mapped)

    monkeypatch.setattr(trt._cuda, "host_alloc", refuse)
    backend = open_engine(trt, double(tmp_path / "m.onnx"), tmp_path)
    assert np.all(backend.infer(ones(value=4))["y"] == 8)
    assert trt._cuda.used > 0


def test_the_way_of_transfer_can_be_said(trt, tmp_path):
    """To measure which is faster; the answers are the same."""
    path = trtbuild.save_engine(trt, double(tmp_path / "m.onnx"), tmp_path / "m.engine")
    device = FakeDevice(trt._cuda)
    for transfer in ("mapped", "pinned", "pageable"):
        backend = TensorrtBackend(path, trt=trt, device=device, transfer=transfer)
        assert np.all(backend.infer(ones(value=4))["y"] == 8)
        assert (trt._cuda.used == 0) == (transfer == "mapped")
        backend.close()
    with pytest.raises(UsageError, match="mapped, pinned or pageable"):
        TensorrtBackend(path, trt=trt, device=device, transfer="fast")


def test_what_is_open_at_the_end_of_the_process_is_closed(tmp_path):
    """Before CUDA goes, or TensorRT would crash at exit."""
    trt = faketrt.load("8.5", "xavier")
    backend = open_engine(trt, double(tmp_path / "m.onnx"), tmp_path)
    _close_all()
    with pytest.raises(ModelError, match="has been closed"):
        backend.infer(ones())
    assert list(trt._cuda._streams) == [0]


def test_outputs_whose_size_depends_on_the_data(tmp_path):
    """From 8.5 on they are allocated while the engine runs."""
    path = positive(tmp_path / "m.onnx")
    for release, device in (("8.5", "xavier"), ("10.3", "orin"), ("11.4", "server")):
        backend = open_engine(faketrt.load(release, device), path, tmp_path)
        assert backend.outputs[0].shape == (4, None)
        for count in (0, 5, 100, 3):
            feeds = ones(value=0.0)
            feeds["x"].reshape(-1)[:count] = 1
            places = backend.infer(feeds)["places"]
            assert places.shape == (4, count)
            assert np.array_equal(places, np.stack(np.nonzero(feeds["x"] > 0)))
        assert backend.graph_launches == 0
        backend.close()
        assert backend._device.cuda.used == 0


def test_before_10_a_profile_serves_one_context(tmp_path):
    """Open shapes there run one at a time, and threads wait; from 10 on they need not."""
    path = double(tmp_path / "m.onnx", ("n", 3, 8, 8))
    for release, limit in (("8.2", 1), ("8.5", 1), ("10.3", 3)):
        trt = faketrt.load(release, "xavier")
        backend = open_engine(trt, path, tmp_path, contexts=3)
        wrong = []

        def work(value, backend=backend, wrong=wrong):
            for _ in range(15):
                try:
                    if not np.all(backend.infer(ones(2, value))["y"] == 2 * value):
                        wrong.append(value)
                except Exception as error:  # shown by the assertion below
                    wrong.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert backend._limit == limit
        assert 1 <= backend._made <= limit


def test_where_there_is_no_room_for_a_second_context_one_serves_all(tmp_path):
    """Threads wait for it instead of failing."""
    cuda = SimulatedCuda("A10", (8, 6), integrated=False, memory=1200 * 4)
    trt = faketrt.load("10.3", cuda)
    backend = open_engine(trt, double(tmp_path / "m.onnx", (1, 3, 8, 16)), tmp_path, contexts=2)
    slot = backend._take()  # as if another thread were running
    done = []
    feeds = {"x": np.ones((1, 3, 8, 16), np.float32)}
    waiting = threading.Thread(target=lambda: done.append(backend.infer(feeds)["y"].max()))
    waiting.start()
    waiting.join(0.05)
    backend._give(slot, True)
    waiting.join(5)
    assert done == [2.0]


@pytest.mark.parametrize("cut", [1, 50, 3000])
def test_a_truncated_engine(trt, tmp_path, cut):
    """The error has TensorRT's reason and what to do."""
    path = tmp_path / "m.engine"
    data = trtbuild.engine_bytes(trt, double(tmp_path / "m.onnx"))
    path.write_bytes(data[: max(len(data) - cut, 10)])
    with pytest.raises(ModelError, match="does not take the engine.*edgelane build"):
        TensorrtBackend(str(path), trt=trt, device=FakeDevice(trt._cuda))


def test_an_engine_of_another_release_or_device(tmp_path):
    """TensorRT says which; nothing is left behind."""
    path = double(tmp_path / "m.onnx")
    old = faketrt.load("8.5", "xavier")
    engine = trtbuild.save_engine(old, path, tmp_path / "m.engine")
    for release, device, words in (
        ("10.3", "xavier", "expecting library version 10.3.0 got 8.5.2.2"),
        ("8.5", "orin", "expecting compute 8.7 got compute 7.2"),
    ):
        trt = faketrt.load(release, device)
        with pytest.raises(ModelError, match=words):
            TensorrtBackend(engine, trt=trt, device=FakeDevice(trt._cuda))
        assert trt._cuda.used == 0


def test_missing_empty_and_no_engine(trt, tmp_path):
    """Each is said in one sentence."""
    empty, text = tmp_path / "empty.engine", tmp_path / "text.engine"
    empty.write_bytes(b"")
    text.write_bytes(b"this is a text, not an engine at all")
    for path, words in (
        (tmp_path / "no.engine", "there is no engine"),
        (empty, "is empty"),
        (text, "does not take the engine"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(ModelError, match=words):
            TensorrtBackend(str(path), trt=trt, device=FakeDevice(trt._cuda))


def test_a_shape_outside_of_the_profile(trt, tmp_path):
    """The limits are shown, and the next call is served."""
    path = double(tmp_path / "m.onnx", (1, 3, "h", "w"))
    backend = open_engine(trt, path, tmp_path, {"others": (4, 8, 16)})
    with pytest.raises(ModelError, match=r"got 1x3x32x32, expected 1x3x4\.\.16x4\.\.16"):
        backend.infer({"x": np.zeros((1, 3, 32, 32), np.float32)})
    for size in (4, 16, 9):
        assert backend.infer({"x": np.ones((1, 3, size, 4), np.float32)})["y"].shape[2] == size


def test_a_device_that_breaks_is_told_apart_from_a_bad_feed(trt, tmp_path):
    """So that who serves can turn to something else."""
    backend = open_engine(trt, double(tmp_path / "m.onnx"), tmp_path)
    assert np.all(backend.infer(ones())["y"] == 2)
    trt._cuda._broken = 700
    with pytest.raises(CudaError, match="failed on the device"):
        backend.infer(ones())
    backend.close()


def test_an_engine_that_stops_running_is_told_apart_too(trt, tmp_path, monkeypatch):
    """TensorRT refuses a run whose feeds are right."""
    backend = open_engine(trt, double(tmp_path / "m.onnx"), tmp_path, graphs=False)
    monkeypatch.setattr(trt.IExecutionContext, "_enqueue", lambda self, stream: False)
    with pytest.raises(CudaError, match="failed while running"):
        backend.infer(ones())
    monkeypatch.undo()
    assert np.all(backend.infer(ones())["y"] == 2)


def test_an_engine_that_loads_but_does_not_run(trt, tmp_path):
    """Is found when it is opened, not with the first frame."""
    path = trtbuild.save_engine(trt, double(tmp_path / "m.onnx"), tmp_path / "m.engine")
    context = trt.IExecutionContext
    context._enqueue = lambda self, stream: False
    with pytest.raises(ModelError, match="failed while running"):
        TensorrtBackend(path, trt=trt, device=FakeDevice(trt._cuda))
    assert trt._cuda.used == 0
    assert list(trt._cuda._streams) == [0]


def test_a_type_that_numpy_lacks():
    """It is said, instead of guessing at the bytes."""
    trt = faketrt.load("10.3")
    with pytest.raises(ModelError, match="y has a type that numpy lacks: got BF16"):
        numpy_type(trt.DataType.BF16, "y")


def test_inputs_in_a_format_of_their_own_are_refused(trt, tmp_path, monkeypatch):
    """Numbers in the wrong order would look like a bad model."""
    for name in ("get_tensor_format", "get_binding_format"):
        if hasattr(trt.ICudaEngine, name):
            monkeypatch.setattr(trt.ICudaEngine, name, lambda self, k: trt.TensorFormat.CHW32)
    with pytest.raises(ModelError, match="x in a format of its own: got CHW32"):
        open_engine(trt, double(tmp_path / "m.onnx"), tmp_path)


def test_long_integers_become_short_before_10(tmp_path):
    """A graph's 64-bit inputs and outputs are 32-bit in the engine; feeds of 64 bit are taken."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    shape = (1, 2)
    path = save(
        tmp_path / "m.onnx", nodes, [("y", TensorProto.INT64, shape)], shape, (), TensorProto.INT64
    )
    for release, dtype in (("8.2", np.int32), ("8.5", np.int32), ("10.3", np.int64)):
        backend = open_engine(faketrt.load(release), path, tmp_path)
        assert backend.inputs[0].dtype == dtype
        answer = backend.infer({"x": np.array([[640, 480]], np.int64)})["y"]
        assert answer.tolist() == [[1280, 960]]
        assert answer.dtype == dtype
