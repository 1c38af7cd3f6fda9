"""A true sshd on loopback with keys of its own, for tests."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import List, Optional

import pytest

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


class Server:
    """An sshd with keys of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host", "user", "stranger"):
            key = str(folder / name)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        shutil.copy(str(folder / "user.pub"), str(folder / "authorized"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.know("host")
        # What stands here comes before what the system has: a test may put a python of its own.
        self.bin = folder / "bin"
        self.bin.mkdir()
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized\nPidFile {folder}/pid\nUsePAM no\n"
            "StrictModes no\nPasswordAuthentication no\nMaxStartups 100\n"
            f"SetEnv PATH={self.bin}:/usr/local/bin:/usr/bin:/bin HOME={folder} OMP_NUM_THREADS=1\n"
        )
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL
        )
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.05)

    def know(self, key: str) -> None:
        """Let the desk know a host key."""
        kind, text = (self.folder / f"{key}.pub").read_text().split()[:2]
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")

    def ssh(self, user: str = "user", strict: str = "yes") -> List[str]:
        """The command that reaches it."""
        return ["ssh", "-F", "none", "-p", str(self.port), "-i", str(self.folder / user),
                "-o", f"UserKnownHostsFile={self.folder}/known", "-o", "IdentitiesOnly=yes",
                "-o", f"StrictHostKeyChecking={strict}"]  # fmt: skip

    @property
    def host(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def start_server(folder: Path) -> Server:
    """A server, or the test is left out where there is no sshd."""
    if not os.path.exists(SSHD) or not shutil.which("ssh"):
        if os.environ.get("CI"):
            pytest.fail("sshd is missing, and CI must test with it: apt install openssh-server")
        pytest.skip("sshd is not installed")
    return Server(folder)


def executable(path: Path, text: str) -> Path:
    """A script of the shell."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python_of(version: str) -> Optional[str]:
    """A Python of this version, e.g. `3.6`, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")))
    found = [str(p) for p in sorted(pyenv.glob(f"versions/{version}.*/bin/python3"))]
    for path in [*found, shutil.which(f"python{version}")]:
        if path and subprocess.call([path, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return path
    return None


def below(pid: int) -> List[int]:
    """Processes that a process has started, and those that they have."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found, fresh = [], [pid]
    while fresh:
        fresh = [child for child, parent in parents.items() if parent in fresh]
        found += fresh
    return found


def save_heavy(path: Path, size: int = 400_000) -> Path:
    """A graph with so many bytes of weights that do not repeat."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    values = np.random.RandomState(1).rand(size // 4).astype("f4")
    weights = numpy_helper.from_array(values, "w")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [size // 4]) for n in "xy")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


FAKE = """\
import json, sys
print("looking at the golden clip", file=sys.stderr)
print(json.dumps({"release": "by " + __file__, "arguments": sys.argv[1:], "unchanged": False}))
"""


def fake_edgelane(folder: Path) -> Path:
    """A wheel that installs nothing, and tells how it was called."""
    wheel = folder / "edgelane-9.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("edgelane/__init__.py", "__version__ = '9.0'\n")
        archive.writestr("edgelane/__main__.py", FAKE)
    return wheel


def naked_python(path: Path) -> Path:
    """A Python with all that edgelane needs, but without edgelane."""
    import msgspec

    site = os.path.dirname(os.path.dirname(msgspec.__file__))
    return executable(path, f'PYTHONPATH="$PYTHONPATH:{site}" exec {sys.executable} -S "$@"')
