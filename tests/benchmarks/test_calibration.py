"""The benchmark of calibration: each quantiser in a process of its own."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime.quantization")

from edgelane.benchmarks import calibration  # noqa: E402
from edgelane.benchmarks.quantisers import measure  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = Path(__file__).resolve().parents[1] / "calibration" / "nets.py"
    spec = importlib.util.spec_from_file_location("calibration_nets", path)
    assert spec is not None
    assert spec.loader is not None
    nets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nets)
    folder = tmp_path_factory.mktemp("benchmark")
    nets.classifier(folder / "m.onnx")
    (folder / "frames").mkdir()
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)
        cv2.imwrite(str(folder / "frames" / f"{seed}.png"), noise)
    return folder


@pytest.mark.parametrize("quantiser", ["edgelane/percentile", "minmax"])
def test_what_a_quantiser_costs(place, quantiser):
    out = place / "out.onnx"
    cost = measure(
        quantiser, model=str(place / "m.onnx"), images=str(place / "frames"), out=str(out), count=3
    )
    assert "error" not in cost, cost
    assert cost["seconds"] > 0
    # Counted in ticks of the kernel, so that it may be 0, but never more than all cores can give.
    assert 0 <= cost["processor_seconds"] <= (os.cpu_count() or 1) * cost["seconds"] + 0.1
    assert cost["peak_mb"] >= cost["base_mb"] > 0
    kinds = {n.op_type for n in onnx.load(str(out)).graph.node}
    assert "QuantizeLinear" in kinds


def test_a_quantiser_that_fails_is_told(place):
    cost = measure(
        "minmax", model=str(place / "no.onnx"), images=str(place / "frames"), out=str(place / "o")
    )
    assert "no.onnx" in cost["error"]


def test_the_table():
    ours = {
        "model": "m", "how": calibration.OURS, "ap": 30.0, "ap50": 47.0, "drop": 0.5,
        "drop_low": -0.5, "drop_high": 1.5, "f1": 0.98, "int8_share": 0.96, "seconds": 2.0,
        "processor_seconds": 2.5, "peak_mb": 200.0, "findings": 0,
    }  # fmt: skip
    theirs = {**ours, "how": "entropy", "seconds": 20.0, "peak_mb": 4000.0, "f1": None}
    failed = {"model": "m", "how": "percentile", "error": "it ran out of memory"}
    exact = {"model": "m", "how": "float", "ap": 30.5, "ap50": 47.5}
    lines = calibration.table([exact, ours, theirs, failed]).splitlines()
    assert lines[2].split()[-2:] == ["1.0", "1.0"]
    assert lines[3].split()[-2:] == ["10.0", "20.0"]
    assert lines[4].endswith("it ran out of memory")


@pytest.mark.data
def test_the_task_of_a_model(data):
    coco = calibration._task(data / "weights" / "fastestdet.onnx", data, 4)
    people = calibration._task(data / "weights" / "tinypose_128x96.onnx", data, 4)
    assert len(coco.images) == len(people.images) == 4
    assert coco.labels is None
    assert people.labels is not None
    model = data / "weights" / "fastestdet.onnx"
    assert 0 <= coco.score(coco.find(model, range(4)), model).score <= 1
