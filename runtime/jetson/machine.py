"""Which Jetson this is, and what software is on it, from files alone.

Everything is read below a root folder, so that tests do it on recordings. Nothing is started and
nothing needs rights: `dpkg-query` and `nvpmodel -q` read the same files.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union

from ...core.devices import DEVICES, Device
from .jetpack import JetPack, jetpack_of

PathLike = Union[str, Path]

_RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
_MODULE = re.compile(r"p(\d{4})-(\d{4})")
_SUPER_MODES = ("MAXN_SUPER",)
_SOCS = ("tegra210", "tegra186", "tegra194", "tegra234", "tegra264")


@dataclass(frozen=True)
class Machine:
    """A Jetson as it stands there.

    Attributes:
        model: As its device tree calls it, e.g. `NVIDIA Jetson Nano Developer Kit`.
        device: The device of the table, or None where its chip is unknown.
        exact: Whether the module was recognised; otherwise the device is the smallest with the
            same chip, and its memory and speed may be larger.
        l4t: E.g. `35.4.1`, or None.
        jetpack: The release of this L4T, or None.
        power_mode: Name of the mode that `nvpmodel` has set, or None.
        packages: Versions of NVIDIA's system packages, by `tensorrt`, `cuda`, `cudnn` and
            `jetpack`, as far as they are installed.
    """

    model: str
    device: Optional[Device]
    exact: bool
    l4t: Optional[str]
    jetpack: Optional[JetPack]
    power_mode: Optional[str]
    packages: Dict[str, str]


def detect(root: PathLike = "/") -> Optional[Machine]:
    """The Jetson that this machine is, or None on other machines.

    Args:
        root: Where `proc`, `etc`, `sys` and `var` lie; another folder in tests.
    """
    model = _tree(root, "model")
    tokens = _tokens(root)
    text = read_text(root, "etc/nv_tegra_release")
    words = " ".join([model, *tokens]).lower()
    if not (text or "jetson" in words or "nvidia" in words):
        return None
    installed = _packages(root)
    l4t = _l4t(text, installed)
    modes, power_mode = _power(root)
    device, exact = _device(model, tokens, root)
    if device is not None and _is_super(model, tokens, modes):
        device = _super_of(device)
    return Machine(
        model=model or "NVIDIA Jetson",
        device=device,
        exact=exact,
        l4t=l4t,
        jetpack=jetpack_of(l4t) if l4t else None,
        power_mode=power_mode,
        packages=_versions(installed),
    )


def read_text(root: PathLike, path: str) -> Optional[str]:
    """The text of a file below a root, without NULs at its end, or None where there is none."""
    try:
        return (Path(root) / path).read_text(encoding="utf-8", errors="replace").rstrip("\0\n")
    except OSError:
        return None


def _tree(root: PathLike, name: str) -> str:
    """A property of the device tree, with NULs as spaces."""
    for folder in ("proc/device-tree", "sys/firmware/devicetree/base"):
        text = read_text(root, f"{folder}/{name}")
        if text is not None:
            return text.replace("\0", " ").strip()
    return ""


def _tokens(root: PathLike) -> List[str]:
    """Words of the device tree that name boards, modules and the chip, most telling first."""
    tokens = _tree(root, "compatible").split()
    tokens += _tree(root, "nvidia,boardids").split()
    tokens += _tree(root, "nvidia,dtsfilename").rsplit("/", 1)[-1].split()
    return [token.lower() for token in tokens]


def _device(model: str, tokens: List[str], root: PathLike) -> Tuple[Optional[Device], bool]:
    """The device, and whether its module is certain."""
    usual = [device for device in DEVICES.values() if device.super_of is None]
    # `nvidia,p3509-0000+p3668-0000` names the carrier board first and the module last.
    # Board numbers of older systems stand as `3489:0000:A0`.
    spelled = [re.sub(r"\b(\d{4}):(\d{4})\b", r"p\1-\2", token) for token in tokens]
    found = [f"p{a}-{b}" for token in spelled for a, b in _MODULE.findall(token)]
    for number in found:
        for device in usual:
            if number in device.modules:
                return _by_memory(device, root), True
    text = " ".join([*tokens, model.lower()]).replace(" ", "-")
    words = sorted(((w, d) for d in usual for w in d.boards), key=lambda pair: -len(pair[0]))
    for word, device in words:
        if word in text:
            return _by_memory(device, root), True
    for device in usual:
        title = device.title.lower().split(" (")[0].replace(" ", "-")
        if title in text:
            return device, True
    modules = {number[:5] for number in found}
    for device in usual:
        if modules & {module[:5] for module in device.modules}:
            return device, False
    chip = next((soc for soc in _SOCS if soc in text), None)
    same = [device for device in usual if device.soc == chip]
    return (min(same, key=lambda d: d.fp16_tflops or 0), False) if same else (None, False)


def _by_memory(device: Device, root: PathLike) -> Device:
    """A Nano with 2 GB answers to the numbers of the one with 4 GB."""
    total = re.search(r"^MemTotal:\s*(\d+)", read_text(root, "proc/meminfo") or "", re.M)
    if device.name == "nano" and total and int(total.group(1)) < 3 << 20:
        return DEVICES["nano-2gb"]
    return device


def _is_super(model: str, tokens: List[str], modes: List[str]) -> bool:
    words = " ".join([model, *tokens]).lower()
    return "super" in words or any(mode in _SUPER_MODES for mode in modes)


def _super_of(device: Device) -> Device:
    return next((d for d in DEVICES.values() if d.super_of == device.name), device)


def _l4t(text: Optional[str], installed: Dict[str, str]) -> Optional[str]:
    """`R35 … REVISION: 4.1` is 35.4.1; otherwise the version of `nvidia-l4t-core`."""
    match = _RELEASE.search(text or "")
    if match:
        return f"{match.group(1)}.{match.group(2)}"
    core = re.match(r"\d+(\.\d+)+", installed.get("nvidia-l4t-core", ""))
    return core.group(0) if core else None


def _power(root: PathLike) -> Tuple[List[str], Optional[str]]:
    """Names of the power modes, and the one that is set."""
    text = read_text(root, "etc/nvpmodel.conf") or ""
    found = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", text)
    modes = {int(number): name for number, name in found}
    status = read_text(root, "var/lib/nvpmodel/status") or ""
    match = re.search(r"pmode:\s*(\d+)", status)
    if match is None:
        match = re.search(r"<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", text)
    name = None
    if match:
        number = int(match.group(1))
        name = modes.get(number, f"mode {number}")
    return list(modes.values()), name


def _packages(root: PathLike) -> Dict[str, str]:
    """Versions of the installed packages that have to do with NVIDIA, by name."""
    found: Dict[str, str] = {}
    name, installed = "", False
    for line in (read_text(root, "var/lib/dpkg/status") or "").splitlines():
        if line.startswith("Package: "):
            name, installed = line[9:].strip(), False
        elif line.startswith("Status: "):
            installed = line.rstrip().endswith(" installed")
        elif line.startswith("Version: ") and installed and _wanted(name):
            found[name] = line[9:].strip()
    return found


def _wanted(name: str) -> bool:
    return name.startswith(("nvidia-l4t-core", "nvidia-jetpack", "libnvinfer", "libcudnn", "cuda-"))


def _versions(installed: Dict[str, str]) -> Dict[str, str]:
    """Plain versions of what a user knows by name."""
    versions = {}
    for key, pattern in (
        ("tensorrt", r"libnvinfer\d+$"),
        ("cudnn", r"libcudnn\d+$|libcudnn9-cuda-\d+$"),
        ("cuda", r"cuda-cudart-\d+-\d+$"),
        ("jetpack", r"nvidia-jetpack$"),
    ):
        of_kind = [version for name, version in installed.items() if re.match(pattern, name)]
        if of_kind:
            plain = (re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", v) for v in of_kind)
            numbers = [match.group(1) for match in plain if match]
            versions[key] = max(numbers, key=lambda v: [int(n) for n in v.split(".")])
    return versions
