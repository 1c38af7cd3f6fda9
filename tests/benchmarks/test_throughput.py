"""The benchmarks of speed and memory measure what they say."""

import json

import pytest

from edgelane.benchmarks import memory, throughput


def test_memory_is_read_over_the_whole_replay():
    result = memory.measure(frames=400, people=5)
    assert result["tracks"] > 5
    assert result["events"] > 0
    assert len(result["readings_mb"]) == 20
    assert 10 < result["readings_mb"][-1] < 2000


def test_the_crowd_is_the_same_every_time():
    def boxes():
        return [o.detections.xyxy.tolist() for o in memory.Crowd(50, people=4, seed=3)]

    assert boxes() == boxes()
    assert any(len(row) == 4 for row in boxes())


@pytest.mark.data
def test_throughput_tells_stages_and_ratio(data, tmp_path, capsys):
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    whole = cv2.VideoCapture(str(data / "video" / "vtest_480x360.mp4"))
    clip = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (480, 360)
    )
    for _ in range(30):
        clip.write(whole.read()[1])
    clip.release()
    model = data / "weights" / "yolox_nano_416.onnx"
    arguments = ["--model", str(model), "--video", str(tmp_path / "clip.avi"), "--repeat", "1"]
    assert throughput.main([*arguments, "--json"]) == 0
    run = json.loads(capsys.readouterr().out)["best"]
    assert run["frames"] == 30
    assert set(run["cpu_ms"]) >= {"decode", "preprocess", "infer", "postprocess", "pipeline"}
    stages = sum(ms for name, ms in run["cpu_ms"].items() if name != "total")
    assert 0 < stages <= run["cpu_ms"]["total"] * 1.1
    assert 0 < run["ratio"] <= 1.1


def test_a_missing_model_is_told(capsys):
    assert throughput.main(["--model", "none.onnx", "--video", "none.mp4"]) == 1
    assert "none.onnx" in capsys.readouterr().err
