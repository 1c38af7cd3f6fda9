"""A rate and a priority for each camera, through the command line."""

import json

import pytest

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")

from edgelane.cli.app import run_cli
from edgelane.runtime.models import STORE_PERSON

CONFIG = """
pipeline: counting
model: MODEL
latency_ms: 200
zones:
  shop: {polygon: [[0, 0], [320, 0], [320, 180], [0, 180]]}
cameras:
  door:
    source: synth://store?seed=1&people=2&fps=12&seconds=4&size=320x180
    fps: 4
    priority: 3
  till:
    source: synth://store?seed=2&people=2&fps=12&seconds=2&size=320x180
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    (tmp_path / "shop.yaml").write_text(
        CONFIG.replace("MODEL", str(STORE_PERSON)), encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_camera_is_looked_at_as_often_as_its_config_says(desk, capsys):
    assert run_cli(["run", "shop.yaml", "--json"]) == 0
    summary = json.loads((desk / "runs" / "shop" / "summary.json").read_text())
    door, till = summary["cameras"]["door"], summary["cameras"]["till"]
    assert (door["frames"], door["skipped"], door["dropped"]) == (16, 32, 0)
    assert (till["frames"], till["dropped"]) == (24, 0) and "skipped" not in till
    assert door["duration_s"] == pytest.approx(4.0, abs=0.1)


def test_a_run_of_another_rate_is_not_gone_on_with(desk, capsys):
    assert run_cli(["run", "shop.yaml"]) == 0
    import sqlite3

    with sqlite3.connect(str(desk / "runs" / "shop" / "events.db")) as journal:
        journal.execute("UPDATE meta SET value = 'null' WHERE key = 'ended'")
    text = (desk / "shop.yaml").read_text().replace("fps: 4", "fps: 6")
    (desk / "shop.yaml").write_text(text)
    assert run_cli(["run", "shop.yaml"]) == 2
    assert "another config" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["fps: 0", "fps: .nan", "priority: much", "fsp: 4"])
def test_what_makes_no_sense_is_one_sentence(desk, capsys, line):
    text = (desk / "shop.yaml").read_text().replace("fps: 4\n    priority: 3", line)
    (desk / "shop.yaml").write_text(text)
    assert run_cli(["run", "shop.yaml"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Error: cameras.door") and "Traceback" not in told
    assert not (desk / "runs").exists()
