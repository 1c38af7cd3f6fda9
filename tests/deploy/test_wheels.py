"""All wheels for a device, by the real pip, from a folder that stands for the network."""

import base64
import hashlib
import zipfile

import pytest

from edgelane.core import EdgelaneError, UsageError
from edgelane.deploy.bare.wheels import fits
from edgelane.deploy.wheels import (
    TARGETS,
    download_arguments,
    fetch_wheels,
    find_target,
    short_name,
)


def wheel(folder, name, version, tag="py3-none-any", needs=()):
    """An empty package as a wheel."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    files = {
        f"{info}/METADATA": "\n".join(lines + [f"Requires-Dist: {n}" for n in needs]) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text)}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for where, text in files.items():
            archive.writestr(where, text)
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with what a JetPack 5 and a JetPack 7 may take, and what they may not."""
    folder = tmp_path / "index"
    folder.mkdir()
    for tag in ("cp38-cp38-manylinux2014_aarch64", "cp312-cp312-manylinux_2_28_aarch64"):
        wheel(folder, "numpy", "1.24.4", tag)
        wheel(folder, "scipy", "1.10.1", tag, ["numpy>=1.19"])
        wheel(folder, "msgspec", "0.18.6", tag)
        wheel(folder, "onnxruntime", "1.19.2", tag, ["flatbuffers"])
    wheel(folder, "numpy", "2.1.0", "cp312-cp312-manylinux_2_28_aarch64")
    wheel(folder, "numpy", "1.25.0", "cp38-cp38-manylinux_2_36_aarch64")  # a newer glibc
    wheel(folder, "scipy", "1.11.0", "cp38-cp38-manylinux2014_x86_64")  # another machine
    for name in ("ruamel.yaml", "click", "jinja2", "flatbuffers"):
        wheel(folder, name, "9.0.0")
    wheel(folder, "PyNaCl", "1.5.0", "cp36-abi3-manylinux2014_aarch64")
    wheel(folder, "opencv_python_headless", "4.9.0", "cp37-abi3-manylinux2014_aarch64")
    for key in ("EXTRA_INDEX_URL", "INDEX_URL", "CONFIG_FILE"):
        monkeypatch.setenv(f"PIP_{key}", "/dev/null" if key == "CONFIG_FILE" else "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def names(wheels):
    return {path.name.split("-")[0].lower(): path.name.split("-")[1] for path in wheels}


def test_a_device_gets_what_fits_its_python_glibc_and_machine(index, tmp_path):
    own = wheel(tmp_path, "edgelane", "0.1.0")
    found = names(fetch_wheels("jetpack5", tmp_path / "out", edgelane=own))
    assert found == {
        "edgelane": "0.1.0", "numpy": "1.24.4", "scipy": "1.10.1", "msgspec": "0.18.6",
        "onnxruntime": "1.19.2", "flatbuffers": "9.0.0", "ruamel.yaml": "9.0.0", "click": "9.0.0",
        "jinja2": "9.0.0", "pynacl": "1.5.0",
    }  # fmt: skip
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        p.name for p in fetch_wheels("jetpack5", tmp_path / "out", edgelane=own)
    }


def test_the_systems_opencv_keeps_the_numpy_it_was_built_for(index, tmp_path):
    own = wheel(tmp_path, "edgelane", "0.1.0")
    assert names(fetch_wheels("jetpack7", tmp_path / "a", edgelane=own))["numpy"] == "1.24.4"
    found = names(fetch_wheels("cp312-aarch64", tmp_path / "b", edgelane=own))
    assert found["numpy"] == "2.1.0" and found["opencv_python_headless"] == "4.9.0"


def test_a_wheel_that_is_missing_is_named_and_nothing_is_left(index, tmp_path):
    own = wheel(tmp_path, "edgelane", "0.1.0")
    next(index.glob("msgspec-*-cp38*")).unlink()
    with pytest.raises(EdgelaneError, match="msgspec"):
        fetch_wheels("jetpack5", tmp_path / "out", edgelane=own)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["jetpac6", "cp27-aarch64", "cp310-riscv64", ""])
def test_an_unknown_target_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="target"):
        fetch_wheels(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_wheel_or_no_folder_is_refused(index, tmp_path):
    with pytest.raises(UsageError, match="no wheel"):
        fetch_wheels("jetpack5", tmp_path / "out", edgelane=tmp_path / "missing.whl")
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgelaneError, match="cannot be written"):
        fetch_wheels("jetpack5", tmp_path / "file" / "out", edgelane=tmp_path / "missing.whl")


def test_no_glibc_newer_than_the_targets_is_asked_for(tmp_path):
    for name, target in TARGETS.items():
        assert find_target(name.upper()) == target
        told = download_arguments(target, tmp_path, tmp_path)
        asked = {int(a.split("_")[2]) for a in told if a.startswith("manylinux_2_")}
        assert max(asked) == target.glibc[1] and min(asked) == 17


def test_a_bundle_takes_a_folder_of_wheels(index, tmp_path):
    from edgelane.deploy.contents import gather

    config = tmp_path / "store.yaml"
    config.write_text("model: store-person\nsource: door.mp4\n")
    contents = gather(config, None, [], None, [index])
    assert len(contents.wheels) == len(list(index.glob("*.whl")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no wheel in"):
        gather(config, None, [], None, [tmp_path / "empty"])


@pytest.mark.parametrize(
    "name, short",
    [
        (
            "markupsafe-3.0.4-cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64."
            "manylinux_2_28_aarch64.whl",
            "markupsafe-3.0.4-cp311-cp311-manylinux2014_aarch64.whl",
        ),
        ("a-1-cp38-cp38-manylinux_2_28_aarch64.manylinux_2_9_aarch64.whl",
         "a-1-cp38-cp38-manylinux_2_9_aarch64.whl"),
        ("edgelane-0.1.0-py3-none-any.whl", "edgelane-0.1.0-py3-none-any.whl"),
        ("tensorrt-8.2.1.8-cp38-none-linux_aarch64.whl",
         "tensorrt-8.2.1.8-cp38-none-linux_aarch64.whl"),
    ],
)  # fmt: skip
def test_a_long_name_becomes_short_and_fits_where_it_fitted(name, short):
    assert short_name(name) == short
    for python in ((3, 8), (3, 11)):
        for glibc in ((2, 8), (2, 17), (2, 27), (2, 31)):
            assert fits(short, python, "aarch64", glibc) == fits(name, python, "aarch64", glibc)
