"""What this machine is, what it lacks, and what to do about it."""

import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Optional

LIBRARIES = ("numpy", "scipy", "msgspec", "ruamel.yaml", "click", "jinja2")


def examine(root: str = "/") -> Dict[str, Any]:
    """Look at this machine.

    Args:
        root: Where `/proc` and `/etc` lie; another folder in tests.

    Returns:
        `machine` (facts by name), `libraries` (version or None by name), `findings` (each with
        `level` of `error` or `note`, `what` and `remedy`) and `ready` (no finding is an error).
    """
    findings: List[Dict[str, str]] = []

    def find(level: str, what: str, remedy: str) -> None:
        findings.append({"level": level, "what": what, "remedy": remedy})

    libraries: Dict[str, Optional[str]] = {name: _version(name) for name in LIBRARIES}
    libraries["onnxruntime"] = _onnxruntime(find)
    libraries["opencv"] = _opencv(find)
    libraries["tensorrt"] = _version("tensorrt")
    free = shutil.disk_usage(os.getcwd()).free / 2**30
    if free < 1.0:
        find("note", f"only {free:.1f} GB of disk are free here", "free some, or use --out")
    device = jetson_model(root)
    if device and libraries["tensorrt"] is None:
        find(
            "note",
            f"{device} runs models on its CPU, for TensorRT is not visible here",
            "make the virtual environment with --system-site-packages",
        )
    machine = {
        "device": device or f"{platform.machine()} computer",
        "system": _system(root),
        "python": f"{platform.python_version()} in {sys.prefix}",
        "cores": str(usable_cores()),
        "memory": _memory(root),
        "disk free": f"{free:.1f} GB",
    }
    return {
        "machine": machine,
        "libraries": libraries,
        "findings": findings,
        "ready": not any(f["level"] == "error" for f in findings),
    }


def usable_cores() -> int:
    """Number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def jetson_model(root: str = "/") -> Optional[str]:
    """The name of a Jetson from its device tree, or None on other machines."""
    text = _read(root, "proc/device-tree/model") or ""
    text = text.replace("\0", "").strip()
    release = _read(root, "etc/nv_tegra_release")
    if release or "jetson" in text.lower() or "nvidia" in text.lower():
        return text or "NVIDIA Jetson"
    return None


def _version(name: str) -> Optional[str]:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


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


def _memory(root: str) -> str:
    facts = {}
    for line in (_read(root, "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        facts[name] = value.split()
    try:
        total, free = (int(facts[k][0]) / 2**20 for k in ("MemTotal", "MemAvailable"))
    except (KeyError, IndexError, ValueError):
        return "unknown"
    return f"{total:.1f} GB, {free:.1f} GB free"


def _read(root: str, path: str) -> Optional[str]:
    try:
        return (Path(root) / path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
