"""Power, temperatures and load of the GPU, from the kernel's files.

On Tegra NVML answers "not supported" for all of them. Sources: the kernel's documentation of
`ina3221` (mV and mA; channel 7 is the sum of the shunts) and NVIDIA's Jetson Linux Developer
Guide, "Software-Based Power Consumption Modeling".
"""

import re
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Union

PathLike = Union[str, Path]

_TOTALS = ("POM_5V_IN", "VDD_IN", "VIN")
_GPU_NODES = re.compile(r"gpu|gp10b|gv11b|ga10b|gm20b|gb10b")


def read_power(root: PathLike = "/") -> Dict[str, float]:
    """What each power rail carries now, in watts by the rail's name.

    JetPack 4 has milliwatts ready (`in_power0_input`), later ones volts and amperes. Rails that
    are not connected (`NC`) and the sum of the shunts are left out. Empty where nothing is
    measured.
    """
    rails: Dict[str, float] = {}
    devices = Path(root) / "sys/bus/i2c/devices"
    for label in _sorted(devices, "*/iio:device*/rail_name_*"):
        number = label.name[len("rail_name_") :]
        _add(rails, label, [label.with_name(f"in_power{number}_input")])
    for label in _sorted(devices, "*/hwmon/hwmon*/in*_label"):
        number = label.name[2:-6]
        if number != "7":
            volts = label.with_name(f"in{number}_input")
            _add(rails, label, [volts, label.with_name(f"curr{number}_input")])
    return rails


def total_power(rails: Mapping[str, float]) -> Optional[float]:
    """What the whole module draws, in the unit of the rails; None without any.

    It is the rail that feeds the others where there is one: `POM_5V_IN` on the Nano, `VDD_IN` on
    most, `VIN` on Thor. Otherwise it is the sum, in which `VDDQ_VDD2_1V8AO` of AGX Orin does not
    count, for it is fed by `VIN_SYS_5V0`.
    """
    for name in _TOTALS:
        if name in rails:
            return rails[name]
    fed = {"VDDQ_VDD2_1V8AO"} if "VIN_SYS_5V0" in rails else set()
    counted = [value for name, value in rails.items() if name not in fed]
    return sum(counted) if counted else None


def read_temperatures(root: PathLike = "/") -> Dict[str, float]:
    """Degrees Celsius by sensor, e.g. `gpu`; without those that are off."""
    found: Dict[str, float] = {}
    for kind in _sorted(Path(root) / "sys/class/thermal", "thermal_zone*/type"):
        name, value = _read(kind), _number(kind.with_name("temp"))
        if name and value is not None and value > -100e3:
            found[re.sub(r"[-_](thermal|therm)$", "", name, flags=re.I)] = value / 1000
    return found


def gpu_load(root: PathLike = "/") -> Optional[float]:
    """Load of the GPU in percent, or None where the kernel does not tell."""
    for node in _sorted(Path(root) / "sys/class/devfreq", "*"):
        if not _GPU_NODES.search(node.name):
            continue
        for path in (node / "device/load", node / "load"):
            value = _number(path)  # tenths of a percent
            if value is not None:
                return value / 10
    return None


def _add(rails: Dict[str, float], label: Path, factors: List[Path]) -> None:
    """Note a rail: milliwatts, or millivolts times milliamperes."""
    name = _read(label)
    if not name or name == "NC" or name.lower().startswith("sum of"):
        return
    value = 1e-3 if len(factors) == 1 else 1e-6
    for path in factors:
        number = _number(path)
        if number is None:
            return
        value *= number
    rails[name] = value


def _sorted(folder: Path, pattern: str) -> List[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _read(path: Path) -> Optional[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:  # a sensor that sleeps answers EAGAIN
        return None


def _number(path: Path) -> Optional[float]:
    try:
        return float(_read(path) or "")
    except ValueError:
        return None
