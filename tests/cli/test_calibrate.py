"""`edgelane calibrate`."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgelane.cli.app import run_cli  # noqa: E402


@pytest.fixture(scope="module")
def nets():
    path = Path(__file__).resolve().parents[1] / "calibration" / "nets.py"
    spec = importlib.util.spec_from_file_location("calibration_nets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def place(nets, tmp_path, monkeypatch):
    """A folder with a model and pictures, to stand in."""
    nets.classifier(tmp_path / "m.onnx")
    (tmp_path / "frames").mkdir()
    for seed in range(4):
        noise = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "frames" / f"{seed}.png"), noise)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGELANE_CACHE", str(tmp_path / "cache" / "models"))
    return tmp_path


def left(folder):
    return sorted(p.name for p in folder.iterdir() if p.is_file())


BOTH = ["calibrate", "m.onnx", "--images", "frames", "--out", "q.onnx", "--cache", "q.calib"]


def test_both_artefacts_and_what_they_are(place, capsys):
    assert run_cli(BOTH) == 0
    assert left(place) == ["m.onnx", "q.calib", "q.float.onnx", "q.onnx"]
    shown = capsys.readouterr().out
    for words in ("q.onnx", "multiply-adds in INT8", "q.calib", "q.float.onnx", "pictures  4"):
        assert words in shown


def test_json_and_the_statistics_of_the_run_before(place, capsys):
    assert run_cli([*BOTH, "--method", "minmax", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert run_cli([*BOTH, "--method", "mse", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (first["reused"], again["reused"]) == (False, True)
    assert again["images"] == 4
    assert list((place / "cache" / "calibration").glob("*.npz"))


def test_nodes_by_commas(place, capsys):
    assert run_cli([*BOTH, "--float", "conv3, depthwise", "--float", "conv1", "--json"]) == 0
    few = json.loads(capsys.readouterr().out)["notes"]["int8_share"]
    assert run_cli([*BOTH, "--json"]) == 0
    assert few < json.loads(capsys.readouterr().out)["notes"]["int8_share"]


@pytest.mark.parametrize(
    ("changed", "code", "says"),
    [
        (["--method", "entropi"], 2, "Did you mean 'entropy'"),
        (["--count", "0"], 2, "so few"),
        (["--float", "conv9"], 2, "no node 'conv9'"),
        (["--for", "dsp"], 2, "unknown target"),
        (["--images", "nowhere"], 1, "nowhere"),
        (["--out", "no/q.onnx"], 1, "there is no folder"),
        (["--out", "m.onnx"], 1, "over the model"),
        (["--labels", "nowhere"], 1, ""),
    ],
)
def test_what_makes_no_sense_is_one_sentence(place, capsys, changed, code, says):
    assert run_cli([*BOTH, *changed]) == code
    shown = capsys.readouterr().err.strip()
    assert says in shown
    assert "Traceback" not in shown
    assert len([line for line in shown.splitlines() if line.startswith("Error")]) == 1
    assert left(place) == ["m.onnx"]
