"""Every command and file of the README works as it stands there."""

import getpass
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def blocks(language: str):
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture(scope="module")
def desk(data, tmp_path_factory) -> Path:
    """A newcomer's folder: examples, a detector, two short videos, some labelled pictures."""
    cv2 = pytest.importorskip("cv2")
    desk = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "examples", desk / "examples")
    shutil.copy(data / "weights" / "yolox_nano_416.onnx", desk / "yolox_nano.onnx")
    shutil.copy(data / "weights" / "tinypose_128x96.onnx", desk / "tinypose.onnx")
    (desk / "pictures").mkdir()
    for picture in sorted((data / "coco" / "train2017").glob("*.jpg"))[:6]:
        shutil.copy(picture, desk / "pictures")
    (desk / "boards").mkdir()
    for board in sorted((data / "qi" / "deeppcb").glob("*_te[ms][pt].jpg"))[:4]:
        shutil.copy(board, desk / "boards")
    (annotations,) = (data / "coco" / "annotations").glob("*.json")
    labels = json.loads(annotations.read_text())
    shown = {p.name for p in (desk / "pictures").iterdir()}
    labels["images"] = [i for i in labels["images"] if i["file_name"] in shown]
    (desk / "labels.json").write_text(json.dumps(labels))
    capture = cv2.VideoCapture(str(data / "video" / "vtest_480x360.mp4"))
    for name in ("door.mp4", "aisle.mp4"):
        fourcc = cv2.VideoWriter_fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(desk / name), fourcc, 10, (480, 360))
        for _ in range(40):
            writer.write(capture.read()[1])
        writer.release()
    for text in blocks("yaml"):
        name = re.match(r"# (\S+\.yaml)\n", text)
        assert name, f"a config in the README does not say its name:\n{text}"
        (desk / name.group(1)).write_text(text, encoding="utf-8")
    return desk


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """What stands behind the addresses of the README: one sshd, and a folder as its root."""
    deploy = str(ROOT / "tests" / "deploy")
    if deploy not in sys.path:
        sys.path.insert(0, deploy)
    from loopback import start_server

    server = start_server(tmp_path_factory.mktemp("sshd"))
    ssh = [*server.ssh(), "-o", "HostName=127.0.0.1", "-o", f"User={getpass.getuser()}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELANE_SSH", " ".join(ssh))
        patch.setenv("EDGELANE_REMOTE_PYTHON", sys.executable)
        patch.setenv("EDGELANE_REMOTE_ROOT", str(tmp_path_factory.mktemp("device")))
        yield
    server.close()


def run(command: str, desk: Path) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=desk,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.data
@pytest.mark.slow
def test_every_command_of_the_readme_works(desk, devices):
    commands = [line for text in blocks("sh") for line in text.splitlines() if line.strip()]
    assert len(commands) >= 6
    for command in commands:
        done = run(command, desk)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    for folder in ("today", "stores", "shop", "again"):
        assert (desk / "runs" / folder / "report.html").stat().st_size > 5000


@pytest.mark.data
@pytest.mark.slow
def test_the_python_of_the_readme_works(desk):
    told = []
    for text in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=desk, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0].startswith("pass ") and "'in': 10" in told[1]


@pytest.fixture
def make_demo(tmp_path):
    """`make demo` with this Python's environment in place of `.venv`."""
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "bin").symlink_to(Path(sys.executable).parent)
    for step in (".python", ".demo"):
        (tmp_path / "venv" / step).touch()

    def make_demo(**variables) -> subprocess.CompletedProcess:
        settings = [f"{name}={value}" for name, value in variables.items()]
        return subprocess.run(
            ["make", "-s", "demo", f"VENV={tmp_path}/venv", *settings],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    return make_demo


def test_make_demo_explains_itself_without_a_model(make_demo):
    done = make_demo(VIDEO="door.mp4")
    assert done.returncode == 2 and "MODEL=yolox_nano.onnx" in done.stdout


@pytest.mark.slow
def test_make_demo_needs_nothing(make_demo, tmp_path):
    done = make_demo(OUT=tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert "counted  truth" in done.stdout and (tmp_path / "demo" / "report.html").exists()


@pytest.mark.data
@pytest.mark.slow
def test_make_demo_counts_in_a_video(make_demo, desk):
    out = desk / "demo"
    done = make_demo(MODEL=f"{desk}/yolox_nano.onnx", VIDEO=f"{desk}/door.mp4", OUT=out)
    assert done.returncode == 0, done.stderr
    assert "report" in done.stdout and (out / "report.html").exists()


def test_links_of_the_readme_lead_somewhere():
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    local = [t for t in targets if "://" not in t]
    assert local and [t for t in local if not (ROOT / t).exists()] == []
