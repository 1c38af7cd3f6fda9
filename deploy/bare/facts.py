"""What a device is and what is on it, told without changing anything.

What identifies a Jetson is sent as the files hold it: the desk knows how to read them.
"""

import contextlib
import fcntl
import getpass
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

TOLD = (
    "proc/device-tree/model",
    "proc/device-tree/compatible",
    "proc/device-tree/nvidia,boardids",
    "proc/device-tree/nvidia,dtsfilename",
    "etc/nv_tegra_release",
    "etc/nvpmodel.conf",
    "var/lib/nvpmodel/status",
    "etc/os-release",
)
_LONGEST = 65536
_ABOUT = """\
import json, sys, platform
version, lacks = None, ""
try:
    import edgelane, nacl.bindings, msgspec, numpy, click
    version = edgelane.__version__
except Exception as error:
    lacks = str(error)
print(json.dumps([list(sys.version_info[:2]), platform.machine(), version, lacks]))
"""
_PACKAGES = ("nvidia-l4t-core", "nvidia-jetpack", "libnvinfer", "libcudnn", "cuda-cudart")
_LIBRARIES = ("usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/local/cuda/lib64")


def facts(root: str) -> Dict[str, Any]:
    """Everything that a desk wants to know before it sends anything."""
    at = Places(root)
    state = _json(at.state) or {}
    usage = shutil.disk_usage(_above(at.releases))
    return {
        "user": _user(),
        "uid": os.geteuid(),
        "machine": platform.machine(),
        "glibc": glibc(),
        "python": list(sys.version_info[:2]),
        "clock": time.time(),
        "seen": state.get("seen", 0.0),
        "writable": all(os.access(_above(p), os.W_OK) for p in (at.releases, at.var, at.etc)),
        "free": usage.free,
        "files": {name: text for name, text in ((n, _text(root, n)) for n in TOLD) if text},
        "memory": next(iter(re.findall(r"MemTotal:.*", _text("/", "proc/meminfo"))), ""),
        "packages": _packages(root),
        "tensorrt": _tensorrt(root),
        "release": at.current(),
        "version": _version(at.release(at.current())),
        "probation": state.get("probation"),
        "order": state.get("order", []),
        "good": state.get("good", []),
        "complete": at.complete(),
        "systemd": root == "/" and os.path.isdir("/run/systemd/system"),
        "trust": _trust(at.trust),
        "busy": at.busy(),
        "incoming": dict(_sizes(at.incoming)),
    }


def glibc() -> List[int]:
    """Version of the C library; that of the oldest JetPack where it cannot be told."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
        found = re.search(r"(\d+)\.(\d+)", text)
        if found:
            return [int(found.group(1)), int(found.group(2))]
    except (ValueError, OSError):
        pass
    return [2, 27]


class Places:
    """A device's folders, as `edgelane.deploy.layout` has them."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.base = os.path.join(root, "opt/edgelane")
        self.releases = os.path.join(self.base, "releases")
        self.bootstrap = os.path.join(self.base, "bootstrap")
        self.python = os.path.join(self.base, "python")  # that a bundle has brought
        self.link = os.path.join(self.base, "current")
        self.var = os.path.join(root, "var/lib/edgelane")
        self.state = os.path.join(self.var, "state.json")
        self.incoming = os.path.join(self.var, "incoming")
        self.lock = os.path.join(self.var, "flash.lock")
        self.log = os.path.join(self.var, "flash.log")
        self.etc = os.path.join(root, "etc/edgelane")
        self.trust = os.path.join(self.etc, "trust.json")
        self.secrets = os.path.join(self.etc, "secrets")

    def release(self, name: Optional[str]) -> str:
        """The folder of a release."""
        return os.path.join(self.releases, name or "-")

    def current(self) -> Optional[str]:
        """Id of the release that runs, or None."""
        try:
            return os.path.basename(os.readlink(self.link))
        except OSError:
            return None

    def complete(self) -> List[str]:
        """Ids of the releases that are there and complete."""
        found = glob.glob(os.path.join(self.releases, "*/.complete"))
        return sorted(os.path.basename(os.path.dirname(path)) for path in found)

    def busy(self) -> Optional[str]:
        """Who is at work on this device, or None."""
        for path, what in ((self.lock, "flash"), (os.path.join(self.var, "lock"), "installation")):
            try:
                handle = os.open(path, os.O_RDONLY)
            except OSError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return what
            finally:
                os.close(handle)
        return None


def pythons(named: Optional[str], brought: str) -> List[str]:
    """Interpreters that may run edgelane: the named one alone, or all that there are.

    Args:
        named: What a user named.
        brought: The folder of a Python that a bundle has brought.
    """
    if named:
        return [named]
    names = [f"python3.{minor}" for minor in range(13, 7, -1)]
    system = shutil.which("python3")
    found = [path for path in (shutil.which(name) for name in names) if path]
    found += sorted(glob.glob(os.path.join(brought, "usr/bin/python3.[0-9]*")))
    return ([system] if system else []) + [path for path in found if path != system]


def about(command: List[str]) -> Optional[Dict[str, Any]]:
    """What an interpreter is, and the edgelane that it has; None where it does not run.

    Args:
        command: The interpreter, with what stands before it.
    """
    try:
        output = subprocess.check_output(
            [*command, "-c", _ABOUT], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        version, machine, edgelane, lacks = json.loads(output.decode().splitlines()[-1])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None
    return {
        "command": command,
        "python": version,
        "machine": machine,
        "edgelane": edgelane,
        "lacks": lacks,
    }


def script(path: str) -> Optional[Dict[str, Any]]:
    """As `about`, for the script that a release starts its edgelane by."""
    if not os.access(path, os.X_OK):
        return None
    try:
        output = subprocess.check_output(
            [path, "--version"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        version = output.decode().split()[-1]
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None
    return {"command": [path], "script": True, "edgelane": version}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        return str(os.geteuid())


def _above(path: str) -> str:
    """The nearest folder above that is there."""
    while not os.path.isdir(path):
        parent = os.path.dirname(path)
        if parent == path:
            return "/"
        path = parent
    return path


def _text(root: str, name: str) -> str:
    try:
        with open(os.path.join(root, name), "rb") as file:
            return file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def _json(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _version(folder: str) -> Optional[int]:
    found = (_json(os.path.join(folder, "manifest.json")) or {}).get("version")
    return found if isinstance(found, int) else None


def _trust(path: str) -> Dict[str, Any]:
    """Whom the device trusts; a file that cannot be read trusts nobody, and is not replaced."""
    if not os.path.lexists(path):
        return {"keys": {}, "revoked": [], "there": False}
    found = _json(path) or {}
    return {"keys": found.get("keys", {}), "revoked": found.get("revoked", []), "there": True}


def _packages(root: str) -> str:
    """What of NVIDIA's is installed, as dpkg's own file tells it."""
    kept: List[str] = []
    with contextlib.suppress(OSError):
        path = os.path.join(root, "var/lib/dpkg/status")
        with open(path, encoding="utf-8", errors="replace") as file:
            wanted = False
            for line in file:
                if line.startswith("Package: "):
                    wanted = line[9:].startswith(_PACKAGES)
                if wanted and line.startswith(("Package: ", "Status: ", "Version: ")):
                    kept.append(line)
    return "".join(kept)


def _tensorrt(root: str) -> List[str]:
    """File names of TensorRT's library, which end in its version."""
    found: List[str] = []
    for folder in _LIBRARIES:
        found += glob.glob(os.path.join(root, folder, "libnvinfer.so.*.*"))
    return sorted({os.path.basename(path) for path in found})


def _sizes(folder: str) -> List[Tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e.name, e.stat().st_size) for e in entries if e.is_file())
    except OSError:
        return []
