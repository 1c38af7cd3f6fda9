"""What is installed is the package, the whole package and nothing but the package."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "core",
    "runtime",
    "pipelines",
    "calibration",
    "export",
    "dashboard",
    "deploy",
    "cli",
    "benchmarks",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the checkout, for a build writes into its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    shutil.copytree(
        ROOT,
        copy,
        symlinks=True,
        ignore=shutil.ignore_patterns(
            ".git", ".venv*", ".links", "build", "runs", "*.egg-info", "__pycache__", ".*_cache"
        ),
    )
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "-w", str(folder), str(copy)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def names(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        return [n for n in archive.namelist() if ".dist-info/" not in n]


def test_every_module_of_every_room_is_in_the_wheel(wheel):
    wanted = {"edgelane/__init__.py", "edgelane/__main__.py", "edgelane/py.typed"}
    for room in ROOMS:
        wanted |= {f"edgelane/{p.relative_to(ROOT)}" for p in (ROOT / room).rglob("*.py")}
    assert wanted - set(names(wheel)) == set()


def test_the_templates_of_the_report_are_in_the_wheel(wheel):
    wanted = {
        f"edgelane/dashboard/{p.name}"
        for p in (ROOT / "dashboard").iterdir()
        if p.suffix in (".html", ".css")
    }
    assert wanted and wanted - set(names(wheel)) == set()


def test_the_shipped_models_are_in_the_wheel(wheel):
    wanted = {"edgelane/runtime/models/store_person.onnx", "edgelane/runtime/models/MODEL_CARD.md"}
    assert wanted - set(names(wheel)) == set()


def test_the_published_latencies_are_in_the_wheel(wheel):
    assert "edgelane/benchmarks/estimator/published.csv" in names(wheel)


def test_nothing_else_is_in_the_wheel(wheel):
    allowed = {f"edgelane/{room}" for room in ROOMS} | {
        "edgelane/__init__.py",
        "edgelane/__main__.py",
        "edgelane/py.typed",
    }
    strangers = [n for n in names(wheel) if "/".join(n.split("/")[:2]) not in allowed]
    assert strangers == []


def test_every_folder_with_python_in_it_is_a_known_room():
    folders = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert folders == set(ROOMS)
