"""What a Jetson lacks for running engines, and what to do about it."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Union

from .machine import Machine
from .sensors import gpu_load, read_power, read_temperatures, total_power

PathLike = Union[str, Path]
Find = Callable[[str, str, str], None]

_LEAST_MEMORY_MB = 700  # TensorRT alone takes about 500 MB once its kernels are loaded
_BINDINGS = (
    "build NVIDIA's bindings for it, TensorRT OSS release/8.2, folder python: "
    "PYTHON_MAJOR_VERSION=3 PYTHON_MINOR_VERSION={minor} TARGET_ARCHITECTURE=aarch64 ./build.sh, "
    "and pip install what it makes"
)


def describe(machine: Machine, root: PathLike = "/") -> Dict[str, str]:
    """What there is to tell of a Jetson, by name, in the order to show it.

    Args:
        machine: The Jetson.
        root: Where its sensors lie; another folder in tests.
    """
    facts: Dict[str, str] = {}
    device = machine.device
    if device is not None:
        module = device.title if machine.exact else f"like {device.title}, which it may not be"
        facts["module"] = f"{module} ({device.soc})"
    jetpack = machine.jetpack
    release = jetpack.name if jetpack else "unknown"
    facts["JetPack"] = f"{release} (L4T {machine.l4t or 'unknown'})"
    for key, name in (("cuda", "CUDA"), ("tensorrt", "TensorRT"), ("cudnn", "cuDNN")):
        installed = machine.packages.get(key)
        brings = getattr(jetpack, key, None) if jetpack else None
        text = f"{installed} installed" if installed else "not installed"
        facts[name] = text + (f", JetPack brings {brings}" if brings else "")
    if device is not None:
        facts["fast"] = ", ".join(precision.upper() for precision in device.precisions)
        facts["DLA"] = f"{device.dla_cores} cores" if device.dla_cores else "none"
    facts["power mode"] = machine.power_mode or "unknown"
    facts.update(_now(root))
    return facts


def _now(root: PathLike) -> Dict[str, str]:
    """What the sensors say; nothing of those that are not there."""
    watts, load = total_power(read_power(root)), gpu_load(root)
    # The power chip of older boards always says 100 or 50.
    heat = [v for name, v in read_temperatures(root).items() if not name.startswith("PMIC")]
    parts = [f"{watts:.1f} W"] if watts is not None else []
    parts += [f"{max(heat):.0f} °C"] if heat else []
    parts += [f"GPU {load:.0f} % busy"] if load is not None else []
    return {"now": ", ".join(parts)} if parts else {}


def as_dict(machine: Machine) -> Dict[str, Any]:
    """A Jetson for programs."""
    device, jetpack = machine.device, machine.jetpack
    return {
        "model": machine.model,
        "device": device.name if device else None,
        "exact": machine.exact,
        "compute_capability": "{}.{}".format(*device.compute_capability) if device else None,
        "precisions": list(device.precisions) if device else None,
        "dla_cores": device.dla_cores if device else None,
        "l4t": machine.l4t,
        "jetpack": jetpack.name if jetpack else None,
        "expects": jetpack._asdict() if jetpack else None,
        "packages": dict(machine.packages),
        "power_mode": machine.power_mode,
    }


def advise(
    machine: Machine,
    find: Find,
    *,
    root: PathLike = "/",
    bindings: Optional[str] = None,
    driver: Optional[str] = None,
    memory_mb: Optional[float] = None,
) -> None:
    """Tell what keeps a Jetson from running engines, or from running them well.

    Args:
        machine: The Jetson.
        find: Called with level, what is wrong and what to do, for each finding.
        root: Where the system's files lie; another folder in tests.
        bindings: Version of the module `tensorrt` that this Python sees, or None.
        driver: Why CUDA cannot be used, or None.
        memory_mb: Memory that is free, in MB, or None where unknown.
    """
    _unknown(machine, find)
    _software(machine, find)
    if bindings is None:
        find(
            "note", f"{machine.model} runs models on its CPU, for {_why(machine)}", _remedy(machine)
        )
    elif driver is not None:
        find("note", f"TensorRT cannot run here: {driver}", "restart, or flash JetPack again")
    elif not _version("pycuda") and not _version("cuda-python"):
        find(
            "note",
            "neither pycuda nor cuda-python is installed; engines use libcudart by itself",
            "nothing need be done; pip install pycuda builds it here, if you want it",
        )
    if bindings is not None:
        _agreement(machine, bindings, find)
    _opencv(machine, find, root)
    if memory_mb is not None and memory_mb < _LEAST_MEMORY_MB:
        find(
            "note",
            f"only {memory_mb:.0f} MB of memory are free, and an engine takes hundreds",
            "stop the desktop (sudo systemctl isolate multi-user.target), or add swap",
        )


def _unknown(machine: Machine, find: Find) -> None:
    if machine.device is None:
        find(
            "note",
            f"{machine.model} is no device that edgelane knows",
            "say what it is like with: edgelane build m.onnx --device NAME",
        )
    elif not machine.exact:
        find(
            "note",
            f"which module this is cannot be told; it is taken for {machine.device.title}, the "
            "smallest with its chip",
            "say what it is with: edgelane build m.onnx --device NAME",
        )


def _software(machine: Machine, find: Find) -> None:
    jetpack, device = machine.jetpack, machine.device
    if machine.l4t is None:
        find(
            "note",
            "which JetPack this is cannot be told",
            "mount /etc/nv_tegra_release where this is a container; else reinstall nvidia-l4t-core",
        )
        return
    if jetpack is None:
        find(
            "note",
            f"L4T {machine.l4t} is newer than this edgelane knows",
            "update edgelane; what is said of versions here may be wrong",
        )
        return
    if int(jetpack.tensorrt.split(".")[0]) < 8:
        find(
            "note",
            f"JetPack {jetpack.name} brings TensorRT {jetpack.tensorrt}, and engines need 8.0",
            "flash JetPack 4.6.1 or newer",
        )
    elif device is not None and jetpack.name == "4.6":
        find(
            "note",
            "JetPack 4.6 brings TensorRT 8.0.1; 8.2 of 4.6.1 knows more operators",
            "sudo apt update && sudo apt dist-upgrade, after changing r32.6 to r32.7 in "
            "/etc/apt/sources.list.d/nvidia-l4t-apt-source.list",
        )
    installed = machine.packages.get("tensorrt")
    if installed and installed.split(".")[:2] != jetpack.tensorrt.split(".")[:2]:
        find(
            "note",
            f"TensorRT {installed} is installed, and JetPack {jetpack.name} brings "
            f"{jetpack.tensorrt}",
            "sudo apt install --reinstall nvidia-jetpack, unless that is on purpose",
        )


def _why(machine: Machine) -> str:
    """Why this Python sees no TensorRT."""
    if not machine.packages.get("tensorrt"):
        return "TensorRT is not installed"
    if _other_python(machine):
        wants = machine.jetpack.python if machine.jetpack else "another one"
        return f"JetPack's TensorRT is for Python {wants}, and this is {_python()}"
    if _sealed():
        return "TensorRT is not visible in this virtual environment"
    return "TensorRT is not visible here"


def _remedy(machine: Machine) -> str:
    if not machine.packages.get("tensorrt"):
        return "sudo apt update && sudo apt install nvidia-jetpack"
    if _other_python(machine):
        jetpack = machine.jetpack
        if jetpack is not None and jetpack.major == 4:
            return _BINDINGS.format(minor=sys.version_info[1])
        return f"make the environment with the system's python{jetpack.python if jetpack else '3'}"
    if _sealed():
        return "make the virtual environment with --system-site-packages"
    return "sudo apt install python3-libnvinfer"


def _other_python(machine: Machine) -> bool:
    return machine.jetpack is not None and machine.jetpack.python != _python()


def _python() -> str:
    return "{}.{}".format(*sys.version_info[:2])


def _sealed() -> bool:
    """Whether this is a virtual environment that does not see the system's packages."""
    if sys.prefix == getattr(sys, "base_prefix", sys.prefix):
        return False
    try:
        text = (Path(sys.prefix) / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    return "include-system-site-packages = true" not in text.lower()


def _agreement(machine: Machine, bindings: str, find: Find) -> None:
    """The bindings have to be of the library's own release."""
    installed = machine.packages.get("tensorrt")
    if installed and bindings.split(".")[:2] != installed.split(".")[:2]:
        find(
            "note",
            f"the Python module is of TensorRT {bindings}, and the library is {installed}",
            "pip uninstall tensorrt, and use the system's",
        )


def _opencv(machine: Machine, find: Find, root: PathLike) -> None:
    """pip's OpenCV has no GStreamer; the system's has, and pip's hides it."""
    names = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
    pips = [name for name in names if _version(name)]
    if not pips:
        return
    what = f"pip's {pips[0]} has no GStreamer: no CSI camera, and video is decoded on the CPU"
    folder = Path(root) / "usr/lib" / f"python{_python()}" / "dist-packages"
    general = Path(root) / "usr/lib/python3/dist-packages"
    ours = [*folder.glob("cv2*"), *([] if _other_python(machine) else general.glob("cv2*"))]
    if not ours:
        find("note", what, "install PyGObject beside it, which reaches JetPack's GStreamer")
    elif _sealed():
        find(
            "note",
            what,
            f"make the environment with --system-site-packages and without {pips[0]}",
        )
    else:
        find("note", f"{what}; JetPack's own OpenCV is hidden by it", f"pip uninstall {pips[0]}")


def _version(name: str) -> Optional[str]:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
