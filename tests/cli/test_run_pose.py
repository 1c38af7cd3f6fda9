"""A run in two stages through the command line."""

import json

import pytest

from edgelane.cli.app import run_cli

CONFIG = """
pipeline: pose
model: {model}
second: {second}
classes: [person]
detect_every: {every}
source: {source}
most: 10
"""


@pytest.mark.data
def test_poses_of_a_video(data, tmp_path, capsys):
    """People are followed and looked at in every frame, the detector being run in every third."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    capture = cv2.VideoCapture(str(data / "video" / "vtest_480x360.mp4"))
    clip = str(tmp_path / "clip.mp4")
    writer = cv2.VideoWriter(clip, cv2.VideoWriter_fourcc(*"mp4v"), 10, (480, 360))
    for _ in range(30):
        writer.write(capture.read()[1])
    writer.release()
    weights = data / "weights"
    config = tmp_path / "poses.yaml"
    text = CONFIG.format(
        model=weights / "yolox_nano_416.onnx",
        second=weights / "tinypose_128x96.onnx",
        every=3,
        source=clip,
    )
    config.write_text(text, encoding="utf-8")
    out = tmp_path / "run"
    assert run_cli(["run", str(config), "--out", str(out), "--json"]) == 0
    capsys.readouterr()
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["frames"] == 30 and summary["people"] >= 3 and summary["left_out_max"] == 0
    assert {"infer", "regions", "second", "pipeline"} <= set(summary["timing_ms"])


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "pipeline: classification\nsecond: a.onnx\n",
            "second means nothing to a classification",
        ),
        ("pipeline: counting\ndetect_every: 3\n", "detect_every: the pipeline 'counting'"),
        ("pipeline: pose\ndetect_every: 0\n", "detect_every: got 0, expected 1 or more"),
        ("pipeline: pose\nsmoothing: {cutof: 1}\n", "Did you mean 'cutoff'"),
        ("pipeline: pose\nmost: 0\n", "most is wrong"),
    ],
)
def test_configs_that_make_no_sense_are_told(tmp_path, capsys, text, message):
    """In one sentence, and as misuse."""
    config = tmp_path / "poses.yaml"
    config.write_text(text + "source: a.mp4\nmodel: m.onnx\n", encoding="utf-8")
    assert run_cli(["run", str(config), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
