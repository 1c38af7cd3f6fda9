"""The benchmark of many cameras measures what it says."""

import json

import pytest

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")

from edgelane.benchmarks import cameras


@pytest.mark.slow
def test_cameras_are_run_and_told(monkeypatch, capsys):
    monkeypatch.setattr(cameras, "WARM_S", 0.5)
    monkeypatch.setattr(cameras, "CLIP_S", 2)
    arguments = ["scale", "priorities", "--cameras", "2", "--seconds", "2", "--json"]
    assert cameras.main(arguments) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    rows = told["scale"]["rows"]
    assert [row["cameras"] for row in rows] == [1, 2]
    for row in rows:
        assert row["fps"] == pytest.approx(5 * row["cameras"], rel=0.4)
        assert row["cpu_ms"] > 1.0 and 0 < row["p50_ms"] <= row["p99_ms"]
    assert told["scale"]["own_ms"] > 0.5 and told["priorities"]["ratio"] > 0


def test_an_unknown_part_is_misuse(capsys):
    with pytest.raises(SystemExit) as caught:
        cameras.main(["scales"])
    assert caught.value.code == 2 and "no part 'scales'" in capsys.readouterr().err


def test_the_cpu_of_a_source_without_a_process_is_none():
    assert cameras.cpu_of(object()) == 0.0
