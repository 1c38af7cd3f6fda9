"""Estimates: what they hold, how they behave where no row reaches, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from edgelane.benchmarks.estimator import estimate  # noqa: E402
from edgelane.benchmarks.networks import NETWORKS, build_network  # noqa: E402
from edgelane.benchmarks.networks.builder import Builder  # noqa: E402
from edgelane.cli.app import run_cli  # noqa: E402
from edgelane.core import DEVICES, ModelError, UsageError  # noqa: E402


def one(*args, **kwargs):
    (row,) = estimate(*args, **kwargs)
    return row


def test_rows_hold_what_was_asked_and_an_interval():
    rows = estimate(["resnet18", "yolov8n"], ["nano", "orin"], ["fp16", "int8"])
    assert [(r["model"], r["device"], r["precision"]) for r in rows] == [
        (model, device, precision)
        for model in ("resnet18", "yolov8n")
        for device in ("nano", "agx-orin")
        for precision in ("fp16", "int8")
    ]
    for row in rows:
        assert 0 < row["low_ms"] < row["ms"] < row["high_ms"]
        assert row["batch"] == 1 and row["kind"] == "estimate" and row["confidence"] == 0.9
        assert sum(row["share"].values()) == pytest.approx(1, abs=0.03)
        assert row["dominating"][0]["share"] >= row["dominating"][1]["share"] > 0
    json.dumps(rows)


def test_every_network_is_estimated_on_every_device():
    rows = estimate(list(NETWORKS), list(DEVICES), ["fp32", "fp16", "int8"])
    assert len(rows) == len(NETWORKS) * len(DEVICES) * 3
    assert all(np.isfinite(r["ms"]) and r["ms"] > 0.05 for r in rows)
    times = {(r["model"], r["device"], r["precision"]): r["ms"] for r in rows}
    for model in NETWORKS:
        for device in DEVICES:
            slow, half, quick = (times[model, device, p] for p in ("fp32", "fp16", "int8"))
            assert slow > half >= quick, "a lower precision is never slower"
        assert times[model, "nano", "fp16"] > times[model, "tx2", "fp16"]
        assert times[model, "tx2", "fp16"] > times[model, "xavier-nx", "fp16"]
        assert times[model, "orin-nano", "fp16"] > times[model, "agx-orin", "fp16"]


def test_without_fast_int8_the_row_is_of_what_runs_instead():
    half, quick = estimate("resnet50", ["nano"], ["fp16", "int8"])
    assert quick["precision"] == "int8" and quick["runs_as"] == "fp16"
    assert quick["ms"] == half["ms"]
    assert any("no fast INT8" in note for note in quick["notes"]) and not half["notes"]


def test_more_pictures_cost_more_and_less_each():
    times = [one("resnet50", ["orin-nx"], ["int8"], batch=b)["ms"] for b in (1, 2, 8, 64)]
    each = np.array(times) / (1, 2, 8, 64)
    assert np.all(np.diff(times) > 0) and np.all(np.diff(each) < 0)
    with pytest.raises(UsageError, match="at least one picture"):
        estimate("resnet50", ["orin-nx"], batch=0)


def test_larger_pictures_cost_more():
    rows = estimate("yolox-s", ["tx2"], sizes=[(320, 320), (640, 640), (1280, 1280)])
    times = [row["ms"] for row in rows]
    assert times[1] > 2 * times[0] and times[2] > 3 * times[1]
    assert rows[2]["size"] == [1280, 1280]


def test_a_model_may_be_a_file_a_graph_or_a_name(tmp_path):
    model = build_network("resnet18")
    onnx.save(model, tmp_path / "mine.onnx")
    rows = estimate([tmp_path / "mine.onnx", model, "resnet18"], ["nano"])
    assert [row["model"] for row in rows] == ["mine", "model", "resnet18"]
    assert len({row["ms"] for row in rows}) == 1
    small = one(model, ["nano"], sizes=[(112, 112)])
    assert small["ms"] == one("resnet18", ["nano"], sizes=[(112, 112)])["ms"]


def test_slower_power_modes_are_slower_and_less_sure():
    fast = one("resnet50", ["agx-orin"])
    slower = [one("resnet50", ["agx-orin"], mode=mode) for mode in ("50W", "30W", "MODE_15W")]
    times = [fast["ms"], *(row["ms"] for row in slower)]
    assert times == sorted(times) and times[3] > 2.5 * times[0]
    assert all(_reach(row) > _reach(fast) for row in slower)
    assert one("resnet50", ["nano"], mode="10W") == one("resnet50", ["nano"])
    with pytest.raises(UsageError, match="power mode '7W'.*5W"):
        estimate("resnet50", ["nano"], mode="7W")


def test_each_device_takes_those_of_several_modes_that_it_has():
    rows = estimate("resnet18", ["orin-nano", "nano"], mode=["7w", "15W", "5W", "MAXN"])
    assert [(row["device"], row["mode"]) for row in rows] == [
        ("orin-nano", "7W"), ("orin-nano", "15W"), ("orin-nano", "MAXN"), ("nano", "5W"),
        ("nano", "MAXN"),
    ]  # fmt: skip
    assert rows[0]["ms"] > rows[1]["ms"]
    assert len(estimate("resnet18", ["nano"], mode=["10W", "MAXN"])) == 1  # two names of one
    with pytest.raises(UsageError, match="Jetson Nano.*'15W'"):
        estimate("resnet18", ["orin-nano", "nano"], mode=["15W"])
    with pytest.raises(UsageError, match="'99W'"):
        estimate("resnet18", ["orin-nano"], mode=["15W", "99W"])


def _reach(row):
    return row["high_ms"] / row["low_ms"]


def test_intervals_are_wider_where_no_row_reaches():
    known = _reach(one("resnet50", ["tx2"]))
    sibling = one("resnet50", ["tx2-nx"])
    assert _reach(sibling) > known and any("no rows of" in n for n in sibling["notes"])
    assert _reach(one("resnet50", ["agx-thor"])) > 2 * known
    b = Builder((224, 224))
    x = b.conv(b.images, 64)
    for _ in range(30):
        x = b.conv(x, 64, 7, groups=64)
    odd = one(b.finish([x]), ["tx2"])
    assert odd["share"]["grouped"] > 0.9
    assert _reach(odd) > 1.5 * known and any("grouped" in note for note in odd["notes"])


def test_an_accelerator_is_slower_than_the_gpu_and_less_sure():
    gpu = one("resnet50", ["agx-xavier"], ["int8"])
    dla = one("resnet50", ["agx-xavier"], ["int8"], dla=True)
    assert dla["processor"] == "dla" and gpu["ms"] < dla["ms"] < 4 * gpu["ms"]
    assert _reach(dla) > _reach(gpu)
    with pytest.raises(UsageError, match="no deep-learning accelerator"):
        estimate("resnet50", ["orin-nano"], dla=True)
    with pytest.raises(UsageError, match="FP16 or INT8"):
        estimate("resnet50", ["agx-xavier"], ["fp32"], dla=True)


def test_depthwise_convolutions_bound_by_memory_are_told():
    said = " ".join(one("mobilenet_v2", ["agx-xavier"])["advice"])
    assert "depthwise and grouped convolutions" in said and "INT8 buys little here" in said
    assert "fixed cost" in said, "and that launches dominate so small a network"


def dequantised(b, x):
    scale, zero = b.scalar(0.1), b.constant([0])
    b.initialisers[-1].CopyFrom(onnx.numpy_helper.from_array(np.int8(0), zero))
    y = b._node("QuantizeLinear", [x, scale, zero], b.shapes[x])
    return b._node("DequantizeLinear", [y, scale, zero], b.shapes[x])


def quantised(twice: bool):
    """Two convolutions, of which the first or both read INT8."""
    b = Builder((64, 64))
    x = b.conv(dequantised(b, b.images), 256, 3, act="relu")
    return b.finish([b.conv(dequantised(b, x) if twice else x, 256, 3)])


def test_a_quantised_graph_says_itself_which_layers_are_int8():
    both, first = (one(quantised(twice), ["xavier-nx"], ["int8"]) for twice in (True, False))
    assert first["ms"] > 1.2 * both["ms"]
    assert both["launches"] == first["launches"] == 2
    floating = one(quantised(True), ["xavier-nx"], ["fp16"])
    assert floating["ms"] > first["ms"]
    assert any("its float model" in note for note in floating["notes"])


def test_a_quantised_concatenation_still_costs_nothing():
    b = Builder((64, 64))
    x = b.conv(dequantised(b, b.images), 32)
    parts = [dequantised(b, b.conv(dequantised(b, x), 32, kernel)) for kernel in (1, 3)]
    row = one(b.finish([b.conv(dequantised(b, b.concat(parts)), 32)]), ["xavier-nx"], ["int8"])
    assert row["launches"] == 4 and "copy" not in row["share"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"devices": ["nana"]}, "Did you mean 'nano'"),
        ({"precisions": ["fp17"]}, "Did you mean 'fp16'"),
        ({"models": "resnet81"}, "no network 'resnet81'"),
        ({"timing": "naked"}, "timed as 'naked'"),
        ({"devices": []}, "at least one device"),
    ],
)
def test_what_makes_no_sense_is_refused(change, words):
    with pytest.raises(UsageError, match=words):
        estimate(**{"models": "resnet18", "devices": ["nano"], **change})


def test_a_graph_without_anything_to_run_is_told(tmp_path):
    with pytest.raises(ModelError, match="there is no model"):
        estimate(tmp_path / "none.onnx", ["nano"])
    b = Builder((8, 8))
    with pytest.raises(ModelError, match="nothing that takes time"):
        estimate(b.finish([b.reshape(b.images, (1, 192))]), ["nano"])


def test_the_command_prints_rows(capsys, tmp_path):
    onnx.save(build_network("yolov8n", (416, 416)), tmp_path / "m.onnx")
    line = f"profile {tmp_path}/m.onnx --devices nano,tx2 --precisions fp16,int8 --estimate --json"
    assert run_cli(line.split()) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["device"], r["precision"]) for r in rows] == [
        ("nano", "fp16"), ("nano", "int8"), ("tx2", "fp16"), ("tx2", "int8"),
    ]  # fmt: skip
    names = ("model", "device", "precision", "batch", "ms", "low_ms", "high_ms")
    assert all(name in row for row in rows for name in names)
    assert (
        run_cli(["profile", "resnet50", "--devices", "orin", "--sizes", "224,448", "--estimate"])
        == 0
    )
    said = capsys.readouterr().out
    assert "resnet50 448x448  agx-orin  fp16  ~" in said and "nothing was measured" in said


def test_the_command_refuses_in_one_sentence(capsys):
    assert run_cli(["profile", "resnet50", "--devices", "nano", "--mode", "7W", "--estimate"]) == 2
    assert "MAXN" in capsys.readouterr().err
    assert run_cli(["profile", "resnet50", "--data", "x", "--dla"]) == 2
    assert "--dla goes with --estimate" in capsys.readouterr().err
    assert run_cli(["profile", "resnet50", "--estimate"]) == 2
    assert "--devices" in capsys.readouterr().err


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from edgelane.benchmarks.estimator import estimate;"
        "estimate('resnet18', ['nano']);"
        "print([m for m in ('torch', 'scipy', 'onnxruntime', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
