"""What `examples/` holds works as it says."""

import json
import shutil
from pathlib import Path

import pytest

from edgelane.cli.app import run_cli

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A copy of the examples as the working directory."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples")
    return tmp_path / "examples"


def test_the_recording_is_what_its_maker_writes(desk, monkeypatch):
    monkeypatch.syspath_prepend(str(desk))
    import walkers

    text = Path("walkers.txt").read_text(encoding="ascii")
    rows = [[float(v) for v in line.split(",")] for line in text.splitlines()]
    made = walkers.simulate()[0]
    assert len(rows) == len(made)
    assert all(abs(a[0] - b[0]) < 1e-9 for a, b in zip(rows, made))
    assert all(abs(a[i + 2] - b[i + 1]) <= 0.051 for a, b in zip(rows, made) for i in range(4))


def test_a_pipeline_of_ones_own_runs_by_name(desk, capsys):
    text = (desk / "own_pipeline.py").read_text(encoding="utf-8").split('"""')[1]
    _, config, command = text.strip().split("\n\n")
    assert config.startswith("# crowd.yaml\n")
    Path("crowd.yaml").write_text(config, encoding="utf-8")
    assert run_cli([*command.split()[1:], "--json", "--quiet"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["crowds"] >= 1
    assert Path("runs/crowd/report.html").exists()


def test_a_setting_that_the_own_pipeline_lacks_is_named(desk, capsys):
    Path("crowd.yaml").write_text("pipeline: own_pipeline:Crowd\nalowed: 2\n")
    replay = ["replay", "crowd.yaml", "--detections", "walkers.txt", "--fps", "10"]
    assert run_cli([*replay, "--size", "640x360"]) == 2
    assert "Did you mean 'allowed'?" in capsys.readouterr().err


def test_a_classifier_is_made_from_nothing(desk, capsys, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.syspath_prepend(str(desk))
    import trays

    trays.main()
    assert int(capsys.readouterr().out.split("right on ")[1].split()[0]) >= 21
    config = "pipeline: classification\nmodel: tray.onnx\nsource: trays.mp4\nmap: true\n"
    Path("tray.yaml").write_text(config, encoding="utf-8")
    assert run_cli(["run", "tray.yaml", "--json"]) == 0
    capsys.readouterr()
    summary = json.loads(Path("runs/tray/summary.json").read_text(encoding="utf-8"))
    assert summary["changes"] == 2 and summary["classes"]["dirty"]["spells"] == 1
    assert summary["classes"]["dirty"]["seconds"] == pytest.approx(3.0, abs=0.6)


def test_the_studies_are_studies(desk, capsys):
    assert run_cli(["grr", "study.csv", "--tolerance", "0.4", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert (measured["parts"], measured["operators"], measured["trials"]) == (10, 3, 3)
    assert run_cli(["agreement", "verdicts.csv", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert (judged["parts"], judged["trials"], len(judged["operators"])) == (50, 3, 3)
    assert 0.5 < judged["fleiss_kappa"] < 1
