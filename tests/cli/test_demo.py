"""The demo: the whole job on what ships in the package, beside the truth."""

import json
from pathlib import Path

import pytest

from edgelane.cli.app import run_cli


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """A working directory of its own."""
    monkeypatch.chdir(tmp_path)


def test_the_demo_counts_a_rendered_store_beside_its_truth(capsys):
    demo = ["demo", "--seconds", "20", "--out", "d", "--json", "--video", "d.mp4"]
    assert run_cli(demo) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["truth"].keys() == result["counted"].keys() == {"door", "aisle"}
    assert result["crossings"] > 3
    # What it gets wrong is told, not hidden; it must see most of what happens.
    assert result["errors"] <= 0.5 * result["crossings"]
    assert result["visitors"]["counted"] > 0.5 * result["visitors"]["truth"]
    assert Path(result["report"]).stat().st_size > 5000
    assert Path("d.mp4").stat().st_size > 10000
    counts = json.loads(Path("d/summary.json").read_text())["lines"]
    assert counts == result["counted"]


def test_the_demo_ends_with_a_table_and_what_to_try_next(capsys):
    assert run_cli(["demo", "--seconds", "4"]) == 0
    text = capsys.readouterr().out
    assert "counted  truth" in text and "door, in" in text and "next    edgelane demo" in text
    assert run_cli(["demo", "--seconds", "4"]) == 0  # again, over what it wrote itself


@pytest.mark.parametrize("option, value", [("--seconds", "-1"), ("--seconds", "nan")])
def test_an_impossible_demo_is_misuse(option, value, capsys):
    assert run_cli(["demo", option, value]) == 2
    assert capsys.readouterr().err.startswith("Error: ")
