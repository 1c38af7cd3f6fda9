"""From a float model and pictures to both artefacts."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from nets import classifier  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from edgelane.calibration.cache import read_cache  # noqa: E402
from edgelane.calibration.calibrate import calibrate  # noqa: E402
from edgelane.core import (  # noqa: E402
    DataError,
    EdgelaneError,
    ModelCard,
    ModelError,
    StorageError,
    UsageError,
)
from edgelane.core.card import METADATA_KEY  # noqa: E402


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Eight pictures of blocks."""
    folder = tmp_path_factory.mktemp("images")
    for seed in range(8):
        blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), np.kron(blocks, np.ones((8, 8, 1), np.uint8)))
    return folder


@pytest.fixture
def model(tmp_path):
    return classifier(tmp_path / "m.onnx")


def run(model, images, folder, **options):
    options.setdefault("statistics", False)
    return calibrate(model, images, folder / "q.onnx", folder / "q.calib", **options)


def left(folder):
    return sorted(p.name for p in folder.iterdir())


def computed(path):
    """Names of the float tensors that a graph computes from its input, by onnx's own inference."""
    model = onnx.load(str(path))
    constants = {t.name for t in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}
    found = [i.name for i in model.graph.input if i.name not in constants]
    moving = set(found)
    for node in model.graph.node:
        if moving & set(node.input):
            moving.update(o for o in node.output if o)
            found.extend(o for o in node.output if kinds.get(o) == onnx.TensorProto.FLOAT)
    return found


def card_of(path):
    notes = {e.key: e.value for e in onnx.load(str(path)).metadata_props}
    return ModelCard.from_json(notes[METADATA_KEY])


def answers(path, seed=0, size=32):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    shape = [n if isinstance(n, int) else 1 for n in spec.shape]
    x = np.random.default_rng(seed).random(shape).astype(np.float32)
    return session.run(None, {spec.name: x})


def test_one_calibration_writes_both_artefacts(model, images, tmp_path):
    report = run(model, images, tmp_path)
    assert left(tmp_path) == ["m.onnx", "q.calib", "q.float.onnx", "q.onnx"]
    assert report["images"] == 8
    onnx.checker.check_model(onnx.load(str(tmp_path / "q.onnx")), full_check=True)
    (exact,), (rounded,) = answers(model), answers(tmp_path / "q.onnx")
    assert np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max() + 0.02


def test_the_cache_names_every_activation_of_the_float_model(model, images, tmp_path):
    run(model, images, tmp_path)
    cache = read_cache(tmp_path / "q.calib")
    assert sorted(cache.scales) == sorted(computed(tmp_path / "q.float.onnx"))
    assert all(scale > 0 for scale in cache.scales.values())
    assert cache.warnings == ()
    assert answers(tmp_path / "q.float.onnx")[0] == pytest.approx(answers(model)[0], abs=1e-4)


def test_both_artefacts_have_the_same_scales(model, images, tmp_path):
    run(model, images, tmp_path)
    scales = read_cache(tmp_path / "q.calib").scales
    graph = onnx.load(str(tmp_path / "q.onnx")).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    pairs = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in scales]
    assert pairs
    for node in pairs:
        assert constants[node.input[1]] == pytest.approx(scales[node.input[0]], rel=1e-6)


def test_the_cards_say_what_was_done(model, images, tmp_path):
    report = run(model, images, tmp_path, method="minmax", count=5)
    card = card_of(tmp_path / "q.onnx")
    assert (card.precision, card.calibration) == ("int8", report["calibration"])
    assert card.classes == card_of(model).classes
    assert card.input == card_of(model).input
    noted = card.extra["calibration"]
    assert (noted["method"], noted["images"], noted["target"]) == ("minmax", 5, "trt")
    assert card_of(tmp_path / "q.float.onnx").precision == "fp32"
    assert card_of(tmp_path / "q.float.onnx").calibration == report["calibration"]
    assert json.dumps(report)


def test_the_hash_is_of_the_calibration(model, images, tmp_path):
    first = run(model, images, tmp_path)["calibration"]
    assert run(model, images, tmp_path)["calibration"] == first
    assert run(model, images, tmp_path, method="minmax")["calibration"] != first


def test_another_method_needs_no_second_look(model, images, tmp_path):
    kept = tmp_path / "kept"
    first = run(model, images, tmp_path, statistics=kept, method="minmax")
    assert not first["reused"]
    again = run(model, images, tmp_path, statistics=kept, method="mse")
    assert again["reused"]
    assert again["calibration"] != first["calibration"]
    fresh = run(model, images, tmp_path, method="mse")
    assert again["calibration"] == fresh["calibration"]


@pytest.mark.parametrize("method", ["auto", "minmax", "percentile:99.9", "entropy", "mse"])
def test_every_method(model, images, tmp_path, method):
    run(model, images, tmp_path, method=method)
    (exact,), (rounded,) = answers(model), answers(tmp_path / "q.onnx")
    assert np.abs(exact - rounded).max() < 0.3 * np.abs(exact).max() + 0.05


@pytest.mark.parametrize("batch", [None, 3, 16])
def test_batches_that_are_open_or_fixed(images, tmp_path, batch):
    model = classifier(tmp_path / "m.onnx", batch=batch)
    report = run(model, images, tmp_path)
    assert report["images"] == 8
    assert len(answers(tmp_path / "q.onnx")[0]) == (batch or 1)


def test_nodes_that_stay_float(model, images, tmp_path):
    run(model, images, tmp_path, float_nodes=["conv3"])
    nodes = {n.name: n for n in onnx.load(str(tmp_path / "q.onnx")).graph.node}
    quantised = {o for n in nodes.values() if n.op_type == "DequantizeLinear" for o in n.output}
    assert nodes["conv3"].input[1] not in quantised
    assert nodes["depthwise"].input[1] in quantised


def test_only_the_quantised_model(model, images, tmp_path):
    report = calibrate(model, images, tmp_path / "q.onnx", statistics=False)
    assert left(tmp_path) == ["m.onnx", "q.onnx"]
    assert report["cache"] is report["float_model"] is None


def test_the_float_model_where_it_is_asked_for(model, images, tmp_path):
    run(model, images, tmp_path, float_model=tmp_path / "e.onnx")
    assert left(tmp_path) == ["e.onnx", "m.onnx", "q.calib", "q.onnx"]


def test_the_version_of_tensorrt(model, images, tmp_path):
    run(model, images, tmp_path, tensorrt="10.3.0")
    assert read_cache(tmp_path / "q.calib").version == 100300


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"method": "kl"}, UsageError, "unknown method"),
        ({"method": "percentile:5"}, UsageError, "percentile"),
        ({"target": "gpu"}, UsageError, "unknown target"),
        ({"count": 0}, UsageError, "so few"),
        ({"tensorrt": "11.0"}, UsageError, "TensorRT 11"),
        ({"float_nodes": ["conv33"]}, UsageError, "no node 'conv33'"),
        ({"labels": "nowhere"}, EdgelaneError, "pose|labels"),
        ({"input": {"color": "rgb"}}, UsageError, "Did you mean 'colour'"),
        ({"input": {"size": [64, 64]}}, ModelError, "fixed in the graph"),
    ],
)
def test_options_that_make_no_sense_leave_nothing(model, images, tmp_path, options, kind, says):
    with pytest.raises(kind, match=says):
        run(model, images, tmp_path, **options)
    assert left(tmp_path) == ["m.onnx"]


def test_the_model_is_not_written_over(model, images, tmp_path):
    before = model.read_bytes()
    with pytest.raises(StorageError, match="over the model"):
        calibrate(model, images, model, statistics=False)
    assert model.read_bytes() == before


def broken_pictures(tmp_path, kind):
    folder = tmp_path / "bad"
    if kind != "missing":
        folder.mkdir()
    if kind == "unreadable":
        (folder / "a.jpg").write_bytes(b"no picture")
    if kind == "text":
        (folder / "a.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "unreadable"])
def test_pictures_that_are_none(model, tmp_path, kind):
    with pytest.raises(EdgelaneError) as caught:
        run(model, broken_pictures(tmp_path, kind), tmp_path)
    assert "bad" in str(caught.value)
    assert "q.onnx" not in left(tmp_path)


def test_an_activation_that_is_no_number_names_tensor_and_picture(images, tmp_path):
    # The logarithm of a negative number, on every picture that makes one.
    log = [helper.make_node("Log", ["a"], ["b"], name="log")]
    model = classifier(tmp_path / "m.onnx", middle=log)
    with pytest.raises(DataError, match=r"activation 'b' is not finite on \d\.png"):
        run(model, images, tmp_path)
    assert left(tmp_path) == ["m.onnx"]


def test_a_model_of_no_known_kind(images, tmp_path):
    model = classifier(tmp_path / "m.onnx", card=False)
    with pytest.raises(ModelError):
        run(model, images, tmp_path)
    assert left(tmp_path) == ["m.onnx"]


def test_a_model_that_is_quantised_already(model, images, tmp_path):
    run(model, images, tmp_path)
    with pytest.raises(ModelError, match="quantised already"):
        calibrate(tmp_path / "q.onnx", images, tmp_path / "q2.onnx", statistics=False)
    assert "q2.onnx" not in left(tmp_path)


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_a_model_that_is_none(images, tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError):
        run(path, images, tmp_path)
    assert [n for n in left(tmp_path) if n.startswith("q")] == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_and_a_stop_leave_nothing(model, images, tmp_path, monkeypatch, error):
    true, calls = os.fsync, []

    def fsync(file):
        calls.append(file)
        if len(calls) == 2:
            raise error
        true(file)

    monkeypatch.setattr(os, "fsync", fsync)
    kind = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(kind):
        run(model, images, tmp_path)
    assert left(tmp_path) == ["m.onnx"]


def test_progress_is_told(model, images, tmp_path):
    told = []
    run(model, images, tmp_path, progress=lambda what, done, of: told.append((what, done, of)))
    assert ("choosing", 8, 8) in told
    assert ("looking", 8, 8) in told


WEIGHTS = [
    "fastestdet",
    "nanodet_m_416",
    "picodet_s_320_pedestrian",
    "tinypose_128x96",
    "yolox_nano_416",
]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_real_models(data, tmp_path, name):
    # The names are those of the graph, whatever finds the ranges.
    options = {"method": "minmax"}
    pictures = data / "coco" / "train2017"
    if name.startswith("tinypose"):
        pictures, options["labels"] = data / "coco_kp" / "images", data / "coco_kp" / "labels"
    model = data / "weights" / f"{name}.onnx"
    run(model, pictures, tmp_path, count=3, float_model=tmp_path / "q.float.onnx", **options)
    cache = read_cache(tmp_path / "q.calib")
    assert sorted(cache.scales) == sorted(computed(tmp_path / "q.float.onnx"))
    exact, same = answers(model), answers(tmp_path / "q.float.onnx")
    for one, other in zip(exact, same):
        assert np.abs(one - other).max() < 1e-3 * max(np.abs(one).max(), 1)
    answers(tmp_path / "q.onnx")


MEMORY = """
import sys
from edgelane.calibration.collect import collect
from edgelane.calibration.feeds import open_feeds
model, images, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
feeds = open_feeds(model, images, count=count)
assert len(feeds) == count
collect(model, feeds, threads=1)
print(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
"""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_pictures(data):
    model, images = data / "weights" / "fastestdet.onnx", data / "coco" / "train2017"
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", MEMORY, model, images, str(n)]))
        for n in (40, 80)
    ]
    # Forty inputs of this net alone would be 60 MB, its activations some 2 GB; the allocator's
    # own peak differs by up to 20 MB from run to run.
    assert peaks[1] < peaks[0] + 30_000, "kB"
