"""The doctor tells what a machine is and what to do about what it lacks."""

import json

import pytest
import recordings

from edgelane.core.devices import DEVICES
from edgelane.runtime import doctor
from edgelane.runtime.jetson import advice, detect


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
    assert detect(place).model == "NVIDIA Jetson Nano Developer Kit"
    report = doctor.examine(place)
    assert report["machine"]["device"] == "NVIDIA Jetson Nano Developer Kit"
    assert any("TensorRT" in f["what"] for f in report["findings"])


def test_a_jetson_without_a_device_tree_is_known_by_its_release_file(root):
    place = root(etc__nv_tegra_release="# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t210ref")
    assert detect(place).model == "NVIDIA Jetson"


def test_another_board_is_no_jetson(root):
    assert detect(root(**{"proc__device-tree__model": "Raspberry Pi 4\0"})) is None


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


@pytest.mark.parametrize("name", recordings.NAMES)
def test_every_device_is_described_with_its_software_and_speed(name, tmp_path):
    expect = recordings.unpack(name, tmp_path)["expect"]
    device = DEVICES[name]
    report = doctor.examine(str(tmp_path))
    machine, jetson = report["machine"], report["jetson"]
    assert machine["module"] == f"{device.title} ({device.soc})"
    assert machine["JetPack"] == f"{expect['jetpack']} (L4T {expect['l4t']})"
    assert machine["power mode"] == expect["power_mode"]
    assert machine["TensorRT"].startswith(expect["tensorrt"])
    assert machine["TensorRT"].endswith(f"installed, JetPack brings {expect['tensorrt']}")
    assert machine["CUDA"] != "not installed"
    if expect["watts"] is not None:
        assert f"{expect['watts']:.1f} W" in machine["now"]
    assert "100 °C" not in machine["now"] and "°C" in machine["now"]
    assert ("INT8" in machine["fast"]) == device.fast("int8") and "FP16" in machine["fast"]
    assert machine["DLA"] == (f"{device.dla_cores} cores" if device.dla_cores else "none")
    assert jetson["device"] == name and jetson["precisions"] == list(device.precisions)
    assert jetson["power_mode"] == expect["power_mode"]
    assert json.loads(json.dumps(report)) == report
    # There is no TensorRT for this Python, and what to do depends on the JetPack.
    assert any("runs models on its CPU" in f["what"] for f in report["findings"])


def test_a_computer_is_described_as_before(tmp_path):
    report = doctor.examine(str(tmp_path))
    assert report["jetson"] is None and "JetPack" not in report["machine"]
    assert report["machine"]["device"].endswith("computer")


@pytest.fixture
def findings(tmp_path, monkeypatch):
    """What is found on a recorded Jetson with these libraries and this Python."""

    def examine(name, libraries=None, python=(3, 8), sealed=None, change=None, driver=None):
        recordings.unpack(name, tmp_path)
        if change:
            change(tmp_path)
        versions = libraries or {}
        monkeypatch.setattr(doctor, "_version", lambda n: versions.get(n, "1.0"))
        monkeypatch.setattr(doctor, "_tensorrt", lambda: versions.get("tensorrt"))
        monkeypatch.setattr(doctor, "driver_problem", lambda: driver)
        monkeypatch.setattr(advice, "_version", versions.get)
        monkeypatch.setattr(advice, "_python", lambda: "{}.{}".format(*python))
        monkeypatch.setattr(advice, "_sealed", lambda: bool(sealed))
        found = doctor.examine(str(tmp_path))["findings"]
        return {f["what"]: f["remedy"] for f in found if "--show" not in f["what"]}

    return examine


def remedy(found, text):
    (what,) = [w for w in found if text in w]
    return found[what]


def test_a_sealed_environment_hides_tensorrt(findings):
    found = findings("xavier-nx", sealed=True)
    assert "--system-site-packages" in remedy(found, "not visible in this virtual environment")


def test_jetpack_4_has_tensorrt_for_python_3_6_only(findings):
    found = findings("nano")
    text = remedy(found, "JetPack's TensorRT is for Python 3.6, and this is 3.8")
    assert "release/8.2" in text and "PYTHON_MINOR_VERSION=" in text


def test_another_python_than_the_systems_sees_no_tensorrt(findings):
    assert "system's python3.10" in remedy(findings("orin-nx"), "is for Python 3.10, and this is")


def test_tensorrt_that_is_not_installed_comes_with_apt(findings):
    found = findings("orin-nano", change=lambda root: (root / "var/lib/dpkg/status").write_text(""))
    assert "apt install nvidia-jetpack" in remedy(found, "TensorRT is not installed")
    found = findings("xavier-nx")
    assert "python3-libnvinfer" in remedy(found, "TensorRT is not visible here")


def test_a_jetson_with_all_it_needs_has_no_finding(findings):
    assert findings("xavier-nx", {"tensorrt": "8.5.2.2", "pycuda": "2024.1"}) == {}


def test_a_driver_that_does_not_answer_is_told(findings):
    found = findings("xavier-nx", {"tensorrt": "8.5.2.2"}, driver="the driver finds no device")
    assert "flash JetPack" in remedy(found, "TensorRT cannot run here: the driver finds no device")


def test_pycuda_is_asked_for_by_its_name(findings):
    found = findings("xavier-nx", {"tensorrt": "8.5.2.2"})
    assert "pip install pycuda" in remedy(found, "neither pycuda nor cuda-python")


def test_bindings_and_libraries_of_other_releases_are_told(findings):
    found = findings("xavier-nx", {"tensorrt": "10.3.0", "pycuda": "1"})
    assert "pip uninstall tensorrt" in remedy(found, "of TensorRT 10.3.0, and the library is 8.5.2")

    def older(root):
        path = root / "var/lib/dpkg/status"
        path.write_text(path.read_text().replace("8.5.2-1", "8.4.1-1"))

    found = findings("xavier-nx", {"tensorrt": "8.4.1", "pycuda": "1"}, change=older)
    assert "--reinstall nvidia-jetpack" in remedy(found, "TensorRT 8.4.1 is installed")


@pytest.mark.parametrize(
    ("release", "text", "action"),
    [
        ("# R32 (release), REVISION: 4.4, x", "TensorRT 7.1.3, and engines need 8.0", "4.6.1"),
        ("# R32 (release), REVISION: 6.1, x", "TensorRT 8.0.1; 8.2 of 4.6.1", "r32.7"),
        ("# R77 (release), REVISION: 1.0, x", "L4T 77.1.0 is newer", "update edgelane"),
    ],
)
def test_a_release_that_does_not_fit_is_told(findings, release, text, action):
    found = findings(
        "nano", change=lambda root: (root / "etc/nv_tegra_release").write_text(release)
    )
    assert action in remedy(found, text)


def test_a_container_without_the_release_file_is_told(findings):
    def bare(root):
        (root / "etc/nv_tegra_release").unlink()
        (root / "var/lib/dpkg/status").write_text("")

    found = findings("orin-nx", change=bare)
    assert "mount /etc/nv_tegra_release" in remedy(found, "which JetPack this is")


def test_a_module_that_cannot_be_told_is_said_to_be_a_guess(findings):
    def strange(root):
        (root / "proc/device-tree/compatible").write_text("acme,box\0nvidia,tegra234\0")
        (root / "proc/device-tree/model").write_text("ACME Box\0")

    found = findings("orin-nx", change=strange)
    assert "--device NAME" in remedy(found, "taken for Jetson Orin Nano 4GB, the smallest")

    def unknown(root):
        (root / "proc/device-tree/compatible").write_text("nvidia,tegra999\0")

    assert "--device NAME" in remedy(findings("orin-nx", change=unknown), "no device that edgelane")


def test_pips_opencv_hides_jetpacks(findings):
    def system(root):
        folder = root / "usr/lib/python3.8/dist-packages"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cv2").mkdir(exist_ok=True)

    libraries = {"tensorrt": "8.5.2", "pycuda": "1", "opencv-python-headless": "4.8"}
    found = findings("xavier-nx", libraries, change=system)
    assert remedy(found, "is hidden by it") == "pip uninstall opencv-python-headless"
    found = findings("xavier-nx", libraries, sealed=True)
    assert "--system-site-packages and without" in remedy(found, "has no GStreamer")


def test_pips_opencv_without_a_systems_needs_pygobject(findings):
    libraries = {"tensorrt": "8.2.1", "pycuda": "1", "opencv-python": "4.8"}
    assert "PyGObject" in remedy(findings("nano", libraries), "has no GStreamer")


def test_little_memory_and_a_clock_that_was_never_set_are_told(findings, monkeypatch):
    def little(root):
        (root / "proc/meminfo").write_text("MemTotal: 2027660 kB\nMemAvailable: 300000 kB\n")

    monkeypatch.setattr(doctor.time, "time", lambda: 1e9)
    found = findings("nano-2gb", change=little)
    assert "add swap" in remedy(found, "only 293 MB of memory are free")
    assert "set-ntp" in remedy(found, "the clock says")
