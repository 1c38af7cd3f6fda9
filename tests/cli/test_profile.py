"""`edgelane profile`: rows on stdout, sentences on stderr, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgelane
from edgelane.cli.app import run_cli

MODEL = str(Path(edgelane.__file__).resolve().parent / "runtime" / "models" / "store_person.onnx")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.RandomState(0)
    for number in range(3):
        picture = rng.uniform(0, 255, (120, 160, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), picture)
    return str(folder)


@pytest.mark.slow
def test_a_folder_of_pictures_is_enough(tmp_path, pictures, capsys):
    out = str(tmp_path / "out")
    options = ["--repeats", "1", "--seconds", "0.02", "--threads", "1", "--out", out]
    assert run_cli(["profile", MODEL, "--data", pictures, *options]) == 0
    text = capsys.readouterr().out
    assert "store_person 416x256 FP32" in text and " ms" in text and "report  " in text
    assert "there are no labels" in text
    assert run_cli(["profile", MODEL, "--data", pictures, *options, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["rows"][0]["stages"]["end_to_end"]["p50"] > 0
    assert Path(data["report"]).exists()
    same = str(tmp_path / "out" / "rows.json")
    assert run_cli(["profile", "--compare", same, same]) == 0
    assert "too close to tell" in capsys.readouterr().out


@pytest.mark.slow
def test_engines_are_built_and_measured_beside_the_cpu(tmp_path, pictures):
    pytest.importorskip("onnx")
    site = Path(__file__).resolve().parents[1] / "fakes" / "site"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in (str(site), os.environ.get("PYTHONPATH")) if p),
        "EDGELANE_FAKE_TENSORRT": "8.5",
        "EDGELANE_FAKE_DEVICE": "xavier",
        "EDGELANE_ENGINES": str(tmp_path / "engines"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "edgelane", "profile", MODEL, "--data", pictures, "--out",
         str(tmp_path / "out"), "--repeats", "1", "--seconds", "0.02", "--threads", "1",
         "--no-accuracy", "--backends", "tensorrt,onnxruntime", "--json"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [r["backend"] for r in rows] == ["tensorrt", "onnxruntime"]
    assert all(r["error"] is None and r["ms"] > 0 for r in rows)
    assert list((tmp_path / "out" / "engines").glob("*.engine"))


def test_a_sweep_in_which_all_fails_fails(tmp_path, pictures, capsys):
    (tmp_path / "m.onnx").write_bytes(b"no onnx")
    model, out = str(tmp_path / "m.onnx"), str(tmp_path / "out")
    assert run_cli(["profile", model, "--data", pictures, "--out", out]) == 1
    assert "failed: " in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()


def profile_of(path, *rounds):
    row = {"kind": "measured", "model": "a", "size": [64, 64], "precision": "fp32",
           "backend": "onnxruntime", "device": "here", "ms": rounds[0],
           "round_ms": list(rounds)}  # fmt: skip
    path.write_text(json.dumps({"rows": [row]}))
    return str(path)


def test_a_regression_ends_with_an_error(tmp_path, capsys):
    one = profile_of(tmp_path / "1.json", 10.0, 10.1, 9.9)
    two = profile_of(tmp_path / "2.json", 12.0, 12.1, 11.9)
    assert run_cli(["profile", "--compare", one, two]) == 1
    assert "slower: 10.00 → 12.00 ms (+20.0 %)  REGRESSION" in capsys.readouterr().out
    assert run_cli(["profile", "--compare", one, two, "--max-slower", "30"]) == 0
    capsys.readouterr()
    assert run_cli(["profile", "--compare", two, one, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["verdict"] == "faster"


def test_estimates_measure_nothing(capsys):
    pytest.importorskip("onnx")
    options = ["--devices", "nano,orin-nano", "--precisions", "fp16,int8", "--estimate", "--json"]
    assert run_cli(["profile", MODEL, *options]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["device"], r["precision"]) for r in rows] == [
        ("nano", "fp16"), ("nano", "int8"), ("orin-nano", "fp16"), ("orin-nano", "int8"),
    ]  # fmt: skip
    for row in rows:
        assert row["model"] == "store_person" and row["batch"] == 1
        assert 0 < row["low_ms"] < row["ms"] < row["high_ms"]
    assert run_cli(["profile", MODEL, *options[:-1]]) == 0
    assert "nothing was measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["profile"], "there is no model"),
        (["profile", MODEL], "--data is missing"),
        (["profile", MODEL, "--data", "DATA", "--repeats", "0"], "repeats must be a count"),
        (["profile", MODEL, "--data", "DATA", "--devices", "nanoo"], "Did you mean 'nano'?"),
        (["profile", MODEL, "--data", "DATA", "--precisions", "int9"], "Did you mean 'int8'?"),
        (["profile", MODEL, "--data", "DATA", "--sizes", "4o0"], "a size makes no sense"),
        (["profile", MODEL, "--data", "DATA", "--budget-fps", "-3"], "the budget of fps"),
        (["profile", MODEL, "--estimate"], "--estimate needs --devices"),
        (["profile", MODEL, "--compare", "a.json", "b.json"], "takes two profiles and no models"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(tmp_path, pictures, capsys, arguments, words):
    given = [pictures if a == "DATA" else a for a in arguments]
    assert run_cli([*given, *(["--out", str(tmp_path / "o")] if len(given) > 3 else [])]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error and len(error.splitlines()) == 1


def test_a_profile_that_is_not_there(capsys):
    assert run_cli(["profile", "--compare", "none.json", "none.json"]) == 1
    assert "there is no profile none.json" in capsys.readouterr().err
