"""The pose benchmarks measure what they say."""

import json

import pytest

from edgelane.benchmarks import pose, pose_decoding, pose_video


def test_decoders_are_as_exact_as_their_kind(capsys):
    """The finer the reading the nearer to the truth; twenty people are all found."""
    rows = {row["decoder"]: row for row in pose_decoding.measure(seconds=0.01)}
    for size in ("48x64", "24x32"):
        off = [rows[f"heatmap {size} {name}"]["off"] for name in ("dark", "quarter", "none")]
        assert off == sorted(off) and off[0] < 0.05
    assert rows["paf 128x72, 20 people found"]["off"] < 0.2
    assert all(row["ms"] > 0 for row in rows.values())


def test_a_missing_folder_is_one_sentence(tmp_path):
    """Raised for the command line to print."""
    pytest.importorskip("cv2")
    with pytest.raises(Exception, match="there is no model"):
        pose.main(["--model", str(tmp_path / "m.onnx"), "--images", "a", "--labels", "b"])


@pytest.mark.data
def test_a_video_in_two_stages(data, tmp_path, capsys):
    """People are looked at, and the two nets are most of the work."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    capture = cv2.VideoCapture(str(data / "video" / "vtest_480x360.mp4"))
    clip = str(tmp_path / "clip.mp4")
    writer = cv2.VideoWriter(clip, cv2.VideoWriter_fourcc(*"mp4v"), 10, (480, 360))
    for _ in range(24):
        writer.write(capture.read()[1])
    writer.release()
    weights = data / "weights"
    arguments = ["--model", str(weights / "yolox_nano_416.onnx"), "--video", clip]
    arguments += ["--pose", str(weights / "tinypose_128x96.onnx"), "--every", "2"]
    assert pose_video.main([*arguments, "--repeat", "1", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    assert best["frames"] == 24 and best["people"] > 2
    assert 0 < best["nets_ms"] < sum(best["cpu_ms"].values())
    assert 0 < best["ratio"] <= best["busy"]
