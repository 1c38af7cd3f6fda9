"""What this machine is, what it lacks, and what to do about it."""

import os
import platform
import shutil
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .cuda import driver_problem
from .jetson import detect
from .jetson.advice import advise, as_dict, describe
from .surroundings import cores

_BORN = 1704067200
"""The first of January 2024: a clock that says less was never set."""

LIBRARIES = ("numpy", "scipy", "msgspec", "ruamel.yaml", "click", "jinja2")


def examine(root: str = "/") -> Dict[str, Any]:
    """Look at this machine.

    Args:
        root: Where `/proc`, `/etc`, `/sys` and `/var` lie; another folder in tests.

    Returns:
        `machine` (facts by name), `jetson` (what kind of Jetson it is, or None), `libraries`
        (version or None by name), `findings` (each with `level` of `error` or `note`, `what` and
        `remedy`) and `ready` (no finding is an error).
    """
    findings: List[Dict[str, str]] = []

    def find(level: str, what: str, remedy: str) -> None:
        findings.append({"level": level, "what": what, "remedy": remedy})

    libraries: Dict[str, Optional[str]] = {name: _version(name) for name in LIBRARIES}
    libraries["onnxruntime"] = _onnxruntime(find)
    libraries["opencv"] = _opencv(find)
    libraries["tensorrt"] = _tensorrt()
    free = shutil.disk_usage(os.getcwd()).free / 2**30
    if free < 1.0:
        find("note", f"only {free:.1f} GB of disk are free here", "free some, or use --out")
    if time.time() < _BORN:
        find(
            "note",
            f"the clock says {time.strftime('%Y-%m-%d')}: it was never set, and events would "
            "carry that date",
            "sudo timedatectl set-ntp true, or fit a battery for the clock",
        )
    jetson = detect(root)
    memory = _memory(root)
    if jetson is not None:
        advise(
            jetson,
            find,
            root=root,
            bindings=libraries["tensorrt"],
            driver=driver_problem() if libraries["tensorrt"] else None,
            memory_mb=memory[1] * 1024 if memory else None,
        )
    machine = {
        "device": jetson.model if jetson else f"{platform.machine()} computer",
        **(describe(jetson, root) if jetson else {}),
        "system": _system(root),
        "python": f"{platform.python_version()} in {sys.prefix}",
        "cores": str(cores()),
        "memory": "{:.1f} GB, {:.1f} GB free".format(*memory) if memory else "unknown",
        "disk free": f"{free:.1f} GB",
    }
    return {
        "machine": machine,
        "jetson": as_dict(jetson) if jetson else None,
        "libraries": libraries,
        "findings": findings,
        "ready": not any(f["level"] == "error" for f in findings),
    }


def _version(name: str) -> Optional[str]:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _tensorrt() -> Optional[str]:
    """Version of TensorRT's bindings, found without loading them."""
    loaded = sys.modules.get("tensorrt")
    version = _version("tensorrt") or getattr(loaded, "__version__", None)
    if version is None and "tensorrt" not in sys.modules:
        try:
            found = find_spec("tensorrt")
        except (ImportError, ValueError):
            found = None
        # Bindings that were built by hand may carry no note of their version.
        version = "unknown version" if found is not None else None
    return version


def _onnxruntime(find) -> Optional[str]:
    try:
        import onnxruntime
    except ImportError as error:
        find("error", f"onnxruntime cannot be used: {error}", "pip install 'edgelane[cpu]'")
        return None
    return f"{onnxruntime.__version__} ({', '.join(onnxruntime.get_available_providers())})"


def _opencv(find) -> Optional[str]:
    try:
        import cv2
    except ImportError as error:
        find("error", f"OpenCV cannot be used: {error}", "pip install 'edgelane[cpu]'")
        return None
    facts = {}
    for line in cv2.getBuildInformation().splitlines():
        key, _, value = line.strip().partition(":")
        facts.setdefault(key.strip(), value.strip())
    if not facts.get("FFMPEG", "").startswith("YES"):
        find(
            "note",
            "this OpenCV has no FFmpeg and may not open video files",
            "pip install opencv-python-headless, unless GStreamer serves your cameras",
        )
    if facts.get("GUI", "NONE").startswith("NONE") or not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        find(
            "note",
            "no window can be opened here (--show)",
            "use --video out.mp4, or run in a desktop session with opencv-python",
        )
    extras = [n for n in ("FFMPEG", "GStreamer") if facts.get(n, "").startswith("YES")]
    return f"{cv2.__version__} ({', '.join(extras) or 'no video libraries'})"


def _system(root: str) -> str:
    for line in (_read(root, "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return platform.platform()


def _memory(root: str) -> Optional[Tuple[float, float]]:
    """Memory there is and that is free, in GB, or None."""
    facts = {}
    for line in (_read(root, "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        facts[name] = value.split()
    try:
        total, free = (int(facts[k][0]) / 2**20 for k in ("MemTotal", "MemAvailable"))
    except (KeyError, IndexError, ValueError):
        return None
    return total, free


def _read(root: str, path: str) -> Optional[str]:
    try:
        return (Path(root) / path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
