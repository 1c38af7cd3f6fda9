"""Cameras with models of their own that heed one another, through the command line."""

import importlib.util
import json
from pathlib import Path

import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from edgelane.cli.app import run_cli  # noqa: E402
from edgelane.runtime.journal import Journal  # noqa: E402

_PATH = Path(__file__).resolve().parents[1] / "runtime" / "classifiers.py"
_SPEC = importlib.util.spec_from_file_location("colours", _PATH)
colours = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(colours)


def clip(path, fps, seconds, every_s):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (320, 240))
    for i in range(fps * seconds):
        colour = colours.COLOURS[int(i / fps // every_s) % 3]
        writer.write(colours.picture(colour, (60, 60, 200, 200), (320, 240)))
    writer.release()
    return path


CONFIG = """
pipeline: classification
model: {model}
cameras:
  sign:
    source: {sign}
    triggers:
      class: {{mark: door}}
  belt:
    source: {belt}
    triggers:
      class: {{stop: door}}
      spell: {{start: [door]}}
  door:
    source: synth://store?seed=1&seconds=12
    pipeline: counting
    model: {person}
    second: null
    lines: {{door: {{from: [300, 60], to: [330, 340]}}}}
"""


@pytest.fixture
def config(tmp_path):
    text = CONFIG.format(
        model=colours.save_colours(tmp_path / "c.onnx", card={}, gain=20),
        sign=clip(tmp_path / "sign.mp4", 10, 12, 3),
        belt=clip(tmp_path / "belt.mp4", 7, 12, 4),
        person=Path(__file__).resolve().parents[2] / "runtime/models/store_person.onnx",
    )
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def events(folder):
    with Journal(folder / "events.db", readonly=True) as journal:
        return sorted((e.id, e.camera, e.kind, json.dumps(e.payload)) for e in journal.events())


def test_each_run_heeds_the_same_at_the_same_moment(config, tmp_path, capsys):
    for name in ("one", "two"):
        assert run_cli(["run", str(config), "--out", str(tmp_path / name), "--json"]) == 0
    told = events(tmp_path / "one")
    assert told == events(tmp_path / "two")
    summary = json.loads((tmp_path / "one" / "summary.json").read_text(encoding="utf-8"))
    door = summary["cameras"]["door"]["triggered"]
    assert door["marked"] == {"sign: class": 4} and door["stopped"] >= 2
    assert "triggered" not in summary["cameras"]["sign"]
    assert set(summary["run"]["models"]) == {"sign", "door"}
    assert (tmp_path / "one" / "report.html").exists() or run_cli(
        ["report", str(tmp_path / "one")]
    ) == 0


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("{mark: door}", "{mark: dor}", "there is no camera 'dor'"),
        ("{mark: door}", "{marc: door}", "there is no action 'marc'"),
        ("{mark: door}", "{tell: door}", "cannot be told anything"),
        ("{mark: door}", "door", "expected"),
        ("pipeline: counting\n", "pipeline: countin\n", "Did you mean 'counting'"),
    ],
)
def test_triggers_that_make_no_sense_are_told(config, tmp_path, capsys, old, new, message):
    config.write_text(config.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert run_cli(["run", str(config), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()
