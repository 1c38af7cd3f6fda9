"""The script that makes TensorRT's bindings for a JetPack 4: what it asks for before it begins.

The build itself needs NVIDIA's sources and a device; see the guide.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgelane

SCRIPT = Path(edgelane.__file__).parent / "deploy/jetpack4/build.sh"


def build(tmp_path, *arguments, **env):
    place = {"INCLUDE": str(tmp_path), "LIB": str(tmp_path), "CUDA_ROOT": str(tmp_path)}
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        env={**os.environ, "NO_PACKAGES": "1", "PYTHON": sys.executable, **place, **env},
        capture_output=True,
        text=True,
    )


def write_version(folder, version):
    names = ("MAJOR", "MINOR", "PATCH", "BUILD")
    lines = [f"#define NV_TENSORRT_{n} {v} //!< x" for n, v in zip(names, version.split("."))]
    (folder / "NvInferVersion.h").write_text("\n".join(lines) + "\n")


def test_it_says_how_it_is_called(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 1 and "build.sh OUT" in done.stderr


def test_it_needs_tensorrts_headers(tmp_path):
    done = build(tmp_path, str(tmp_path / "out"))
    assert done.returncode == 1 and "NvInferVersion.h is missing" in done.stderr


@pytest.mark.parametrize("version", ["8.5.2.2", "10.3.0.30", "7.1.3.0"])
def test_it_is_for_the_tensorrt_of_jetpack_4_alone(tmp_path, version):
    write_version(tmp_path, version)
    done = build(tmp_path, str(tmp_path / "out"))
    assert done.returncode == 1 and version.rsplit(".", 1)[0] in done.stderr


def test_it_needs_cudas_headers_and_python_3_8(tmp_path):
    write_version(tmp_path, "8.2.1.8")
    assert "no CUDA headers" in build(tmp_path, str(tmp_path / "out")).stderr
    (tmp_path / "include").mkdir()
    (tmp_path / "include/cuda_runtime_api.h").write_text("")
    done = build(tmp_path, str(tmp_path / "out"), PYTHON="/bin/false")
    assert done.returncode == 1 and "is no Python 3.8" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
