"""Classification through the command line: whole pictures, parts, and as a second model."""

import importlib.util
import json
from pathlib import Path

import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from edgelane.cli.app import run_cli  # noqa: E402

HERE = Path(__file__).resolve().parent


def _colours():
    spec = importlib.util.spec_from_file_location(
        "colours", HERE.parent / "runtime" / "classifiers.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


colours = _colours()


@pytest.fixture
def clip(tmp_path):
    """A box that goes to the right and changes its colour: red, green, blue, 3 s each."""
    path = str(tmp_path / "clip.mp4")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    for i in range(90):
        colour = ("red", "green", "blue")[i // 30]
        box = (20 + 2 * i, 60, 140 + 2 * i, 200)
        writer.write(colours.picture(colour, box, (320, 240)))
    writer.release()
    return path


def run(tmp_path, text, *more):
    config = tmp_path / "c.yaml"
    config.write_text(text, encoding="utf-8")
    out = tmp_path / "run"
    code = run_cli(["run", str(config), "--out", str(out), "--json", *more])
    return code, out


def read(out):
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def test_what_a_camera_shows(tmp_path, clip, capsys):
    model = colours.save_colours(tmp_path / "c.onnx", "gemm", "softmax", card={}, gain=20)
    video = tmp_path / "o.mp4"
    code, out = run(
        tmp_path,
        f"pipeline: classification\nmodel: {model}\nsource: {clip}\nmap: true\n",
        "--video",
        str(video),
    )
    assert code == 0
    summary = read(out)
    assert set(summary["classes"]) == {"red", "green", "blue"} and summary["changes"] == 2
    assert summary["classes"]["green"]["seconds"] == pytest.approx(3.0, abs=0.5)
    capture = cv2.VideoCapture(str(video))
    capture.set(cv2.CAP_PROP_POS_FRAMES, 45)
    picture = capture.read()[1]
    assert picture[130, 170, 2] > 60 > picture[20, 300, 2] - 40  # warm where the box is


def test_parts_of_a_picture(tmp_path, clip, capsys):
    model = colours.save_colours(tmp_path / "c.onnx", card={}, gain=20)
    text = f"pipeline: classification\nmodel: {model}\nreference_size: [640, 480]\n"
    text += f"source: {clip}\nparts: {{left: [0, 0, 320, 480], right: [320, 0, 640, 480]}}\n"
    code, out = run(tmp_path, text)
    assert code == 0
    parts = read(out)["parts"]
    assert parts["left"]["classes"]["red"]["share"] > 0.3
    assert parts["right"]["classes"]["blue"]["share"] > 0.2
    assert "blue" not in parts["left"]["classes"]


@pytest.mark.parametrize("pipeline", ["counting", "detection"])
def test_a_classifier_as_second_model_tells_what_each_track_is(tmp_path, capsys, pipeline):
    model = colours.save_colours(tmp_path / "c.onnx", card={}, gain=20)
    text = f"pipeline: {pipeline}\nmodel: store_person\nsecond: {model}\n"
    text = text.replace("store_person", str(HERE.parents[1] / "runtime/models/store_person.onnx"))
    text += "source: synth://store?seed=1&seconds=6\n"
    if pipeline == "counting":
        text += "lines: {door: {from: [300, 60], to: [330, 340]}}\n"
    code, out = run(tmp_path, text)
    assert code == 0
    summary = read(out)
    told = summary["attributes"]
    visitors = told["visitors"] if pipeline == "counting" else told
    assert sum(visitors.values()) >= 3
    assert set(visitors) <= {"red", "green", "blue", "unsure"}


@pytest.mark.parametrize(
    "more, message",
    [
        ("confidence: 0.5\n", "confidence means nothing to a classification"),
        ("classes: [a, b]\n", "tells apart 3 classes: got 2 names"),
        ("parts: {a: [5, 5, 5, 9]}\n", "parts.a has no area"),
        ("keep: 2\n", "keep is wrong"),
        ("decoder: sigmod\n", "Did you mean 'sigmoid'"),
    ],
)
def test_configs_that_make_no_sense_are_told(tmp_path, clip, capsys, more, message):
    model = colours.save_colours(tmp_path / "c.onnx", card={})
    text = f"pipeline: classification\nmodel: {model}\nsource: {clip}\n{more}"
    code, out = run(tmp_path, text)
    assert code in (1, 2)
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not out.exists()


def test_a_detector_is_no_classifier_and_the_other_way_round(tmp_path, clip, capsys):
    detector = HERE.parents[1] / "runtime/models/store_person.onnx"
    code, _ = run(tmp_path, f"pipeline: classification\nmodel: {detector}\nsource: {clip}\n")
    assert code == 1 and "is no classifier" in capsys.readouterr().err
    model = colours.save_colours(tmp_path / "c.onnx", card={})
    code, _ = run(tmp_path, f"pipeline: detection\nmodel: {model}\nsource: {clip}\n")
    assert code == 1 and "is no detector" in capsys.readouterr().err
