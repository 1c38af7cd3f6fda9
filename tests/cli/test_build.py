"""`edgelane build` in this process, and as a program on a machine with each TensorRT."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.cli.app import run_cli  # noqa: E402

SITE = Path(__file__).resolve().parents[1] / "fakes" / "site"


@pytest.fixture
def model(tmp_path):
    """`output = relu(images)` with an open batch."""
    nodes = [helper.make_node("Relu", ["images"], ["output"], name="relu")]
    shape = ["n", 3, 8, 8]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(__import__("numpy").ones(1, "float32"), "unused")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.save(made, str(tmp_path / "m.onnx"))
    return str(tmp_path / "m.onnx")


def program(arguments, folder, release=None, device="xavier"):
    """Run `edgelane` in a folder on a machine with this TensorRT."""
    environment = {**os.environ, "EDGELANE_ENGINES": str(folder / "engines")}
    if release:
        paths = [str(SITE), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        environment.update(EDGELANE_FAKE_TENSORRT=release, EDGELANE_FAKE_DEVICE=device)
    return subprocess.run(
        [sys.executable, "-m", "edgelane", "build", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dry_run_shows_the_plan_of_any_device(model, capsys):
    assert run_cli(["build", model, "--dry-run", "--device", "nano", "--batch", "1:2:4"]) == 0
    out = capsys.readouterr().out
    for line in (
        "device     nano, TensorRT 8.2.1",
        "precision  fp16 (flags FP16)",
        "workspace  1024 MB (max_workspace_size)",
        "input      images 1x3x8x8 2x3x8x8 4x3x8x8",
        "network    EXPLICIT_BATCH",
    ):
        assert line in out


def test_a_plan_is_there_for_programs(model, capsys):
    arguments = ["--device", "Orin NX", "--tensorrt", "10.3.0", "--dla", "1", "--level", "4"]
    assert run_cli(["build", model, "--dry-run", "--json", *arguments]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["device"] == "orin-nx" and plan["dla_core"] == 1 and plan["precision"] == "fp16"
    assert plan["optimization_level"] == 4 and plan["profile"]["images"][0] == [1, 3, 8, 8]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--device", "nano", "--precision", "int8"], 2, "Jetson Nano has no fast INT8"),
        (["--device", "nanoo"], 2, "Did you mean 'nano'?"),
        (["--device", "nano", "--dla", "0"], 2, "has no DLA"),
        (["--device", "nano", "--batch", "two"], 2, "batch is wrong"),
        (["--device", "nano", "--shape", "images"], 2, "shape is wrong"),
        (["--device", "xavier-nx", "--cache", "no.calib"], 1, "no.calib cannot be read"),
        (["--device", "xavier-nx", "--precision", "int8"], 1, "edgelane calibrate"),
        (["--device", "nano", "--tensorrt", "10.3"], 2, "does not run on Jetson Nano"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(model, arguments, code, text, capsys):
    assert run_cli(["build", model, "--dry-run", *arguments]) == code
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1 and "Traceback" not in error


def test_a_release_cannot_be_chosen_for_a_build(model, capsys):
    assert run_cli(["build", model, "--tensorrt", "8.5"]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_a_machine_without_gpu_says_what_to_do(model, tmp_path):
    done = program([model], tmp_path, "8.5", "none")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "--dry-run" in done.stderr and done.stderr.count("\n") == 1
    done = program([model, "--dry-run"], tmp_path, "8.5", "none")
    assert done.returncode == 2 and "--device NAME" in done.stderr


@pytest.mark.parametrize("release", ["8.2", "8.5", "10.3", "10.16"])
def test_a_program_builds_once_and_takes_it_from_the_cache_then(model, tmp_path, release):
    done = program([model], tmp_path, release)
    assert done.returncode == 0, done.stderr
    assert "built in" in done.stdout and "device     sm72" in done.stdout
    assert (tmp_path / "m.engine").stat().st_size > 0
    passport = json.loads((tmp_path / "m.engine.json").read_text())
    assert passport["compute_capability"] == "7.2" and passport["onnx"] == "m.onnx"
    done = program(["m.onnx", "--json", "--out", "n.engine"], tmp_path, release)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["fresh"] is False and report["engine"] == "n.engine"
    assert report["passport"]["tensorrt"].startswith(release)
    assert report["plan"]["precision"] == "fp16"


def test_tensorrt_11_builds_what_the_graph_says(model, tmp_path):
    done = program([model, "--json"], tmp_path, "11.4", "orin-nano")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"]["network_flags"] == ["STRONGLY_TYPED"]
    done = program([model, "--precision", "fp16"], tmp_path, "11.4", "orin-nano")
    assert done.returncode == 1 and "TensorRT 11 takes FP16 from the graph" in done.stderr


def test_a_damaged_model_is_one_sentence_and_leaves_nothing(model, tmp_path):
    data = Path(model).read_bytes()
    Path(model).write_bytes(data[: len(data) // 2])
    done = program([model], tmp_path, "8.5")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "m.onnx" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]


def test_an_engine_of_a_model_that_ships_is_written_into_this_folder(tmp_path):
    done = program(["store-person"], tmp_path, "8.5")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store_person.engine").is_file()


def test_an_interrupt_ends_the_program_even_where_the_builder_cannot_be_stopped(
    model, monkeypatch, capsys
):
    from edgelane.cli import build
    from edgelane.runtime import engines

    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(engines, "build_engine", stopped)
    assert run_cli(["build", model]) == 130
    left = []
    monkeypatch.setattr(engines.builder, "still_building", lambda: True)
    monkeypatch.setattr(build.os, "_exit", left.append)
    assert run_cli(["build", model]) == 130 and left == [130]
    assert "Stopped." in capsys.readouterr().err


def test_progress_tells_time_taken_or_time_left():
    from edgelane.cli.build import _progress
    from edgelane.runtime.engines import Step

    progress = _progress()
    assert progress.text(0.0) == "building"
    progress.tell(Step(75.0, None, ""))
    assert progress.text(0.0) == "building  1:15 taken"
    progress.tell(Step(30.0, 0.25, "Tactics"))
    assert progress.text(0.0) == "building  25 %  1:30 left  Tactics"
    assert progress.text(0.0, final=True) == "building  0:30 taken"
