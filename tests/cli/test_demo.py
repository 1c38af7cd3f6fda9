"""The demo: the whole job on what ships in the package, beside the truth."""

import json
from pathlib import Path

import pytest

from edgelane.cli.app import run_cli
from edgelane.cli.jobs.demo import quiet_end
from edgelane.runtime.synth import open_scene


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """A working directory of its own."""
    monkeypatch.chdir(tmp_path)


def test_the_demo_counts_a_rendered_store_beside_its_truth(capsys):
    demo = ["demo", "--seed", "5", "--seconds", "18", "--out", "d", "--json", "--video", "d.mp4"]
    assert run_cli(demo) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["truth"].keys() == result["counted"].keys() == {"door", "aisle"}
    assert result["crossings"] > 3
    assert result["errors"] <= 1
    assert abs(result["visitors"]["counted"] - result["visitors"]["truth"]) <= 3
    assert 18 <= result["seconds"] < 28
    assert Path(result["report"]).stat().st_size > 5000
    assert Path("d.mp4").stat().st_size > 10000
    counts = json.loads(Path("d/summary.json").read_text())["lines"]
    assert counts == result["counted"]


def test_the_demo_ends_with_a_table_and_what_to_try_next(capsys):
    assert run_cli(["demo", "--seconds", "4"]) == 0
    text = capsys.readouterr().out
    assert "counted  truth" in text and "door, in" in text and "next    edgelane demo" in text
    assert "crossings wrong" in text
    assert run_cli(["demo", "--seconds", "4"]) == 0  # again, over what it wrote itself


def test_the_film_ends_when_nobody_is_at_a_line():
    store = {"people": 8, "room": "wide", "fps": 15}
    for seed in range(1, 9):
        end = quiet_end({**store, "seed": seed}, 60.0)
        assert 60 <= end < 70 and round(end * 15, 6).is_integer()
        times = [c.time for c in open_scene("store", seed=seed, seconds=80, **store).crossings]
        assert not any(end - 1.2 < time < end + 0.6 for time in times)


@pytest.mark.parametrize(
    "option, value",
    [("--seconds", "-1"), ("--seconds", "nan"), ("--people", "-1"), ("--room", "wyde")],
)
def test_an_impossible_demo_is_misuse(option, value, capsys):
    assert run_cli(["demo", option, value]) == 2
    assert capsys.readouterr().err.startswith("Error: ")
