"""Batches through real backends give the events of single frames, by onnxruntime and TensorRT."""

import time

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import faketrt  # noqa: E402
import graphs  # noqa: E402
import layouts  # noqa: E402
import trtbuild  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.core import Detections, Event  # noqa: E402
from edgelane.runtime.backends.ort import OnnxruntimeBackend  # noqa: E402
from edgelane.runtime.backends.swap import SwappableBackend  # noqa: E402
from edgelane.runtime.backends.trt import TensorrtBackend  # noqa: E402
from edgelane.runtime.graph import picture_input, run_pictures  # noqa: E402
from edgelane.runtime.journal import Journal  # noqa: E402
from edgelane.runtime.loop import Stream, run_loop  # noqa: E402
from edgelane.runtime.model import load_model  # noqa: E402
from edgelane.runtime.scheduling import batching  # noqa: E402
from edgelane.runtime.testing import FakeDevice, FakePipeline, FakeSource  # noqa: E402


def means(path, batch):
    """A graph that gives the mean of each picture's left and right half."""
    nodes = [
        helper.make_node("Split", ["x"], ["left", "right"], axis=3),
        helper.make_node("ReduceMean", ["left"], ["a"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["right"], ["b"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["a", "column"], ["c"]),
        helper.make_node("Reshape", ["b", "column"], ["d"]),
        helper.make_node("Concat", ["c", "d"], ["y"], axis=1),
    ]
    constants = [numpy_helper.from_array(np.array([-1, 1], np.int64), "column")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (batch, 2))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 7
    onnx.save(model, str(path))
    return str(path)


class Means:
    """A model on any backend: a box as wide and high as the means."""

    def __init__(self, backend):
        self.backend, self.picture = backend, picture_input(backend)
        self.batch = self.picture.shape[0]
        self.sizes = []

    def preprocess(self, image, out=None):
        tensor = np.empty((3, 8, 8), np.float32) if out is None else out
        tensor[...] = image.transpose(2, 0, 1)
        return tensor, None

    def infer(self, tensor):
        tensor = tensor[None] if tensor.ndim == 3 else tensor
        self.sizes.append(len(tensor))
        time.sleep(0.0005)  # so that frames have to wait, which is when they go together
        return run_pictures(self.backend, self.picture, (8, 8), tensor)

    def postprocess(self, outputs, transform):
        wide, high = (float(v) + 1 for v in outputs["y"][0])
        return Detections(np.array([[0, 0, wide, high]]), np.ones(1), np.zeros(1))


class Boxes(FakePipeline):
    """Tells the box of each frame."""

    def process(self, observation):
        payload = {"boxes": observation.detections.xyxy.tolist(), "at": observation.index}
        return [Event(observation.camera, observation.timestamp, "boxes", payload)]


def open_model(place, batch, tmp_path):
    path = means(tmp_path / f"{batch}.onnx", batch)
    if place == "ort":
        return Means(OnnxruntimeBackend(path, threads=1))
    release, device = place.split()[:2]
    trt = faketrt.load(release, device)
    largest = batch if isinstance(batch, int) else 8
    engine = trtbuild.save_engine(
        trt, path, tmp_path / f"{batch}.engine", batches=(1, min(4, largest), largest)
    )
    backend = TensorrtBackend(engine, trt=trt, device=FakeDevice(trt._cuda))
    return Means(SwappableBackend(backend) if place.endswith("swap") else backend)


def events(model, path):
    pictures = np.random.default_rng(5).integers(0, 255, (97, 8, 8, 3), dtype=np.uint8)
    sources = {
        f"f{i}": FakeSource([n / 10 for n in range(250)], lambda n, i=i: pictures[(n * 3 + i) % 97])
        for i in range(3)
    }
    with Journal(path) as journal:
        streams = {name: Stream(source, lambda size: Boxes()) for name, source in sources.items()}
        run_loop(streams, model, journal, workers=2)
        return {name: list(journal.events(name)) for name in streams}


@pytest.mark.parametrize("batch", ["n", 4])
@pytest.mark.parametrize("place", ["ort", "8.2 nano", "10.3 orin", "10.3 orin swap"])
def test_batches_and_single_frames_give_the_same_events(tmp_path, monkeypatch, place, batch):
    # Whether it pays on this machine is another matter.
    monkeypatch.setattr(batching, "PAYS", 1e9)
    monkeypatch.setattr(batching, "GROWS", 1e9)
    model = open_model(place, batch, tmp_path)
    assert model.batch == (None if batch == "n" else 4)
    several = events(model, tmp_path / "several.db")
    assert max(model.sizes) >= 4
    single = Means(model.backend)
    single.batch = 1
    assert events(single, tmp_path / "single.db") == several
    assert set(single.sizes) == {1}


def test_a_loaded_model_says_how_many_pictures_it_takes(tmp_path):
    for batch in (None, 1, 4):
        path = graphs.save_graph(
            tmp_path / f"{batch}.onnx", layouts.yolox(), layouts.SIZE, image=(batch, 3, 128, 160)
        )
        with load_model(path) as model:
            assert model.batch == batch
