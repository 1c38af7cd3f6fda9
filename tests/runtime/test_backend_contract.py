"""What every backend keeps to: onnxruntime's, and TensorRT's under each release and memory."""

import threading

import graphs
import layouts
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import faketrt  # noqa: E402
import trtbuild  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.core import ModelError  # noqa: E402
from edgelane.runtime.backends import TensorSpec  # noqa: E402
from edgelane.runtime.backends.ort import OnnxruntimeBackend  # noqa: E402
from edgelane.runtime.backends.swap import SwappableBackend  # noqa: E402
from edgelane.runtime.backends.trt import TensorrtBackend  # noqa: E402
from edgelane.runtime.model import build_model, load_model  # noqa: E402
from edgelane.runtime.onnx_metadata import read_metadata  # noqa: E402
from edgelane.runtime.testing import FakeDevice  # noqa: E402

# Between them every release, and every way in which arrays travel.
KINDS = [
    "onnxruntime",
    "swappable",
    "8.2 nano",
    "8.2 xavier",
    "8.5 xavier",
    "8.5 server",
    "10.3 orin",
    "10.16 server",
    "11.4 thor",
]


def trt_backend(kind, path, engine, options=None, **more):
    release, device = kind.split()
    trt = faketrt.load(release, device)
    trtbuild.save_engine(trt, path, engine, **(options or {}))
    return TensorrtBackend(
        engine, metadata=read_metadata(path), trt=trt, device=FakeDevice(trt._cuda), **more
    )


@pytest.fixture(params=KINDS)
def open_model(request, tmp_path):
    """A function that opens an ONNX file with the backend under test."""
    opened = []

    def open_it(path, **options):
        if request.param == "onnxruntime":
            backend = OnnxruntimeBackend(path, threads=1)
        elif request.param == "swappable":
            backend = SwappableBackend(OnnxruntimeBackend(path, threads=1))
        else:
            backend = trt_backend(request.param, path, str(tmp_path / "m.engine"), options)
        opened.append(backend)
        return backend

    yield open_it
    for backend in opened:
        backend.close()


def sums(path, *, dtype=TensorProto.FLOAT, shape=("n", 3, 8, 8)):
    """`twice = 2 x`, `total = max over c, h, w of x`: outputs that depend on the input."""
    two = numpy_helper.from_array(np.array([2], np.float32), "two")
    nodes = [
        helper.make_node("Cast", ["x"], ["xf"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["xf", "two"], ["twice_f"]),
        helper.make_node("Cast", ["twice_f"], ["twice"], to=dtype),
        helper.make_node("ReduceMax", ["xf"], ["total_f"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Cast", ["total_f"], ["total"], to=dtype),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [
            helper.make_tensor_value_info("twice", dtype, shape),
            helper.make_tensor_value_info("total", dtype, shape[:1]),
        ],
        [two],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return str(path)


def test_it_tells_inputs_outputs_and_metadata(open_model, tmp_path):
    """Names, shapes with None for open axes, dtypes and the model's own words."""
    path = graphs.save_graph(
        tmp_path / "m.onnx",
        layouts.yolox(),
        layouts.SIZE,
        image=(None, 3, 128, 160),
        metadata={"author": "me"},
    )
    backend = open_model(path)
    assert backend.inputs == (TensorSpec("images", (None, 3, 128, 160), np.dtype(np.float32)),)
    assert backend.outputs == (TensorSpec("output", (None, 420, 10), np.dtype(np.float32)),)
    assert backend.metadata == {"author": "me"}
    assert backend.dynamic_batch
    fixed = open_model(graphs.save_graph(tmp_path / "f.onnx", layouts.yolox(), layouts.SIZE))
    assert not fixed.dynamic_batch
    assert fixed.inputs[0].shape == (1, 3, 128, 160)
    assert fixed.outputs[0].shape == (1, 420, 10)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_batches_of_any_size(open_model, tmp_path, count):
    """An engine is built for a range of batches; larger ones are run in parts."""
    backend = open_model(sums(tmp_path / "m.onnx"), batches=(1, 2, 4))
    x = np.random.default_rng(count).random((count, 3, 8, 8), np.float32)
    for _ in range(3):
        outputs = backend.infer({"x": x})
        assert np.array_equal(outputs["twice"], 2 * x)
        assert np.array_equal(outputs["total"], x.max(axis=(1, 2, 3)))


def test_a_batch_smaller_than_the_engine_takes(open_model, tmp_path):
    """It is filled up, and the filling is cut off again."""
    backend = open_model(sums(tmp_path / "m.onnx"), batches=(2, 4, 4))
    for count in (1, 5):
        x = np.random.default_rng(3).random((count, 3, 8, 8), np.float32)
        assert np.array_equal(backend.infer({"x": x})["twice"], 2 * x)


def test_answers_do_not_change_after_the_next_call(open_model, tmp_path):
    """What was given is the caller's, whatever is run afterwards."""
    backend = open_model(sums(tmp_path / "m.onnx", shape=(1, 3, 8, 8)))
    ones = np.ones((1, 3, 8, 8), np.float32)
    first = backend.infer({"x": ones})
    kept = first["twice"].copy()
    for value in range(2, 6):
        again = backend.infer({"x": ones * value})
        assert np.all(again["twice"] == 2 * value)
    assert np.array_equal(first["twice"], kept)
    first["twice"][:] = 0  # nor do we mind what the caller does with them
    assert np.all(backend.infer({"x": ones})["twice"] == 2)


def test_feeds_need_not_be_contiguous(open_model, tmp_path):
    """A slice or a transposed picture is as good as a copy."""
    backend = open_model(sums(tmp_path / "m.onnx", shape=(1, 3, 8, 8)))
    x = np.random.default_rng(0).random((1, 8, 8, 3), np.float32).transpose(0, 3, 1, 2)
    assert np.array_equal(backend.infer({"x": x})["twice"], 2 * x)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.INT32, TensorProto.UINT8])
def test_types_of_pictures(open_model, tmp_path, dtype, request):
    """Half precision, integers and plain pixels go in and come out as they are."""
    if dtype == TensorProto.UINT8 and "8.2" in request.node.callspec.params["open_model"]:
        with pytest.raises(AssertionError, match="type of tensor"):
            open_model(sums(tmp_path / "m.onnx", dtype=dtype))
        return
    backend = open_model(sums(tmp_path / "m.onnx", dtype=dtype, shape=(1, 3, 8, 8)))
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    x = np.arange(192).reshape(1, 3, 8, 8).astype(kind) // 2
    outputs = backend.infer({"x": x})
    assert outputs["twice"].dtype == kind
    assert np.array_equal(outputs["twice"], x * np.array(2, kind))


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"y": np.zeros((1, 3, 8, 8), np.float32)},
        {"x": np.zeros((1, 3, 8, 9), np.float32)},
        {"x": np.zeros((3, 8, 8), np.float32)},
        {"x": np.zeros((1, 3, 8, 8), np.float64)},
        {"x": np.zeros((1, 3, 8, 8), np.uint8)},
    ],
)
def test_feeds_that_do_not_fit(open_model, tmp_path, feeds):
    """The error shows what the graph wants; the next call is served as if nothing was."""
    backend = open_model(sums(tmp_path / "m.onnx", shape=(1, 3, 8, 8)))
    with pytest.raises(ModelError) as error:
        backend.infer(feeds)
    assert "x [1, 3, 8, 8] float32" in str(error.value)
    good = np.ones((1, 3, 8, 8), np.float32)
    assert np.all(backend.infer({"x": good})["twice"] == 2)


def test_several_threads_at_once(open_model, tmp_path):
    """Each gets its own answer, though shapes change between them."""
    backend = open_model(sums(tmp_path / "m.onnx"))
    wrong = []

    def work(value):
        x = np.full((1 + value % 3, 3, 8, 8), value, np.float32)
        for _ in range(25):
            try:
                if not np.all(backend.infer({"x": x})["twice"] == 2 * value):
                    wrong.append(value)
            except Exception as error:  # shown by the assertion below
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_closing(open_model, tmp_path):
    """Twice is harmless; a call afterwards says so."""
    backend = open_model(sums(tmp_path / "m.onnx"))
    backend.close()
    backend.close()
    with pytest.raises(ModelError, match="has been closed"):
        backend.infer({"x": np.zeros((1, 3, 8, 8), np.float32)})


def test_a_detector_on_top_gives_the_same(open_model, tmp_path):
    """`Model` knows nothing of what runs its graph."""
    path = graphs.save_graph(
        tmp_path / "m.onnx", layouts.yolox(), layouts.SIZE, image=(None, 3, 128, 160)
    )
    image = np.full((120, 200, 3), 90, np.uint8)
    with load_model(path, threads=1) as reference:
        expected = reference(image)
    model = build_model(open_model(path))
    assert len(expected)
    found = [model(image), *model.predict_batch([image] * 6)]
    for detections in found:
        assert np.array_equal(detections.xyxy, expected.xyxy)
        assert np.array_equal(detections.score, expected.score)
        assert np.array_equal(detections.class_id, expected.class_id)
