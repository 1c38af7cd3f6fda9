"""The guide's commands work as they stand there, and no page names a command that there is not."""

import getpass
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgelane.cli.app import COMMANDS, Group

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(edgelane [^`]+)`")

ELSEWHERE = ("ssh-copy-id ", "pip install ", "sudo ./deploy/jetpack4/build.sh ", "edgelane wheels ")
"""What needs another machine or the network: the first login, libraries of other machines."""

THERE = "ssh edge@10.0.0.11 sudo /opt/edgelane/current/"
"""How the guide runs a command on the device."""


def lines(page, languages):
    """The commands of a page's blocks, without their comments."""
    text = page.read_text(encoding="utf-8")
    found = [t for name, t in BLOCK.findall(text) if name in languages]
    return [re.sub(r"\s+# .*", "", line) for t in found for line in t.splitlines() if line.strip()]


def chosen(words):
    """The command that the words after `edgelane` name, with what is left of them."""
    group = Group("edgelane")
    command, context = group, click.Context(group)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command, words = command.get_command(context, words[0]), words[1:]
        assert command is not None
    return command, words


def named():
    """Every mention of a command on the pages: page, words, and whether it is meant to be typed."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for mention in INLINE.findall(BLOCK.sub("", text).replace("\n", " ")):
            yield pytest.param(mention, False, id=f"{page.stem}: {mention[:60]}")
        for line in lines(page, ("sh", "")):
            match = re.search(r"(?:^|[\s/])(edgelane [a-z].*)", line)
            if match:
                typed = re.split(r"\s[|&]|\)", match.group(1))[0]
                yield pytest.param(typed, True, id=f"{page.stem}: {typed[:60]}")


@pytest.mark.parametrize("text, typed", list(named()))
def test_a_command_that_a_page_names_is_there_with_its_options(text, typed):
    words = shlex.split(text)[1:]
    assert words[0] in COMMANDS or words[0] == "--help"
    command, rest = chosen(words)
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    for word in rest:
        if word.startswith("--") and word != "--help":
            assert word.split("=")[0] in options
    if typed and not isinstance(command, click.Group):
        command.make_context(words[0], rest)  # all that it needs is there, and of the right kind


def write_machine(root):
    """A folder that looks like the root of an Orin Nano."""
    sys.path.insert(0, str(ROOT / "tests" / "runtime"))
    try:
        from recordings import unpack
    finally:
        sys.path.pop(0)
    unpack("orin-nano", root)


@pytest.fixture
def device(tmp_path):
    """What stands behind the address of the guide: an sshd, and a root as of an Orin Nano."""
    deploy = str(ROOT / "tests" / "deploy")
    if deploy not in sys.path:
        sys.path.insert(0, deploy)
    from loopback import start_server

    root = tmp_path / "device"
    root.mkdir()
    write_machine(root)
    (tmp_path / "sshd").mkdir()
    server = start_server(tmp_path / "sshd")
    ssh = [*server.ssh(), "-o", "HostName=127.0.0.1", "-o", f"User={getpass.getuser()}"]
    yield (
        root,
        {
            "EDGELANE_SSH": " ".join(ssh),
            "EDGELANE_REMOTE_PYTHON": sys.executable,
            "EDGELANE_REMOTE_ROOT": str(root),
            "EDGELANE_SECRETS": str(tmp_path / "secrets"),
        },
    )
    server.close()


@pytest.fixture
def desk(tmp_path):
    """A desk with the guide's config, a model of that name, and a short recording."""
    pytest.importorskip("nacl")
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path / "desk"
    folder.mkdir()
    shutil.copy(ROOT / "runtime" / "models" / "store_person.onnx", folder / "yolox_nano.onnx")
    (config,) = [t for name, t in BLOCK.findall(GUIDE.read_text("utf-8")) if name == "yaml"]
    assert config.startswith("# store.yaml\n")
    (folder / "store.yaml").write_text(config, encoding="utf-8")
    from edgelane.runtime.synth import open_scene

    scene = open_scene("store", seed=1, size=(640, 360), fps=10, seconds=3)
    writer = cv2.VideoWriter(
        str(folder / "recording.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (640, 360)
    )
    for index in range(20):
        writer.write(scene.render(index)[0].image)
    writer.release()
    return folder


@pytest.mark.slow
def test_every_command_of_the_guide_works(desk, device):
    root, environment = device
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(command):
        done = subprocess.run(
            ["bash", "-c", command], cwd=desk, env={**os.environ, **environment, "PATH": path},
            input="hunter2\n", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    typed = [
        line
        for line in [*INLINE.findall(GUIDE.read_text("utf-8").replace("\n", " ")),
                     *lines(GUIDE, ("",))]
        if not line.startswith(ELSEWHERE) and len(line.split()) > 2
    ]  # fmt: skip
    # A config is tried before it travels, and a card prepared once there is a bundle for it.
    first = ("edgelane keys", "edgelane run", "edgelane build")
    typed.sort(key=lambda line: (not line.startswith(first), "--image" in line))
    kinds = " ".join(typed)
    for part in ("keys new", "run store.yaml", "bundle store.yaml", "--dry-run", "status /var",
                 "report /var", "rollback", "--image card"):  # fmt: skip
        assert part in kinds
    for line in typed:
        command = line.replace(" --wheel wheels", "")  # of another machine
        if not line.startswith(THERE):
            run(command)
            continue
        command = command[len(THERE) :]
        current = root / "opt" / "edgelane" / "current"
        if "rollback" in command:
            assert "store-1-" in run(f"{command} --root {root}")
            continue
        runs = root / "var" / "lib" / "edgelane" / "runs" / current.resolve().name
        if not runs.exists():  # what the service does there
            run(f"edgelane run {current}/config.yaml --source recording.mp4 --out {runs} --quiet")
        run(re.sub(r"/var/lib/edgelane/runs/store-1-…", str(runs), command))
    assert list((desk / "card").rglob("*.edgelane"))
