"""The doctor tells what a machine is and what to do about what it lacks."""

import json

import pytest

from edgelane.runtime import doctor


def test_this_machine_is_described_with_versions_and_remedies():
    report = doctor.examine()
    assert report["libraries"]["numpy"] and report["machine"]["cores"] != "0"
    assert all(f["remedy"] and f["level"] in ("error", "note") for f in report["findings"])
    assert json.loads(json.dumps(report)) == report


@pytest.fixture
def root(tmp_path):
    """A machine made of files."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path)

    return write


def test_a_jetson_is_known_by_its_device_tree(root):
    place = root(**{"proc__device-tree__model": "NVIDIA Jetson Nano Developer Kit\0"})
    assert doctor.jetson_model(place) == "NVIDIA Jetson Nano Developer Kit"
    report = doctor.examine(place)
    assert report["machine"]["device"] == "NVIDIA Jetson Nano Developer Kit"
    assert any("TensorRT" in f["what"] for f in report["findings"])


def test_a_jetson_without_a_device_tree_is_known_by_its_release_file(root):
    place = root(etc__nv_tegra_release="# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t210ref")
    assert doctor.jetson_model(place) == "NVIDIA Jetson"


def test_another_board_is_no_jetson(root):
    assert doctor.jetson_model(root(**{"proc__device-tree__model": "Raspberry Pi 4\0"})) is None


def test_memory_and_system_come_from_the_kernel_and_may_be_missing(root):
    place = root(
        proc__meminfo="MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\n",
        **{"etc__os-release": 'NAME=x\nPRETTY_NAME="Ubuntu 18.04.6 LTS"\n'},
    )
    machine = doctor.examine(place)["machine"]
    assert machine["memory"] == "4.0 GB, 1.0 GB free"
    assert machine["system"] == "Ubuntu 18.04.6 LTS"
    assert doctor.examine(root() + "/nowhere")["machine"]["memory"] == "unknown"


def test_a_machine_without_a_library_that_runs_models_is_not_ready(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = doctor.examine()
    assert not report["ready"]
    finding = next(f for f in report["findings"] if f["level"] == "error")
    assert "onnxruntime" in finding["what"] and "edgelane[cpu]" in finding["remedy"]
