"""How the machine is: heat, throttling, memory, disk; from files of the kernel alone.

Sources: the kernel's `Documentation/ABI/testing/sysfs-class-thermal`, `proc(5)`, and NVIDIA's
Jetson Linux Developer Guide, "Thermal Management in Linux" and "Over-Current Throttling".
"""

import contextlib
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from ..jetson.sensors import gpu_load, read_power, read_temperatures, total_power

PathLike = Union[str, Path]

HOT_C = 85.0
"""Degrees Celsius that are hot where the machine tells no limit."""
BELOW_C = 5.0
"""So far below the limit at which the kernel throttles a machine counts as hot."""
COOLER_C = 4.0
"""So much cooler it has to be to count as cool again: no message at every degree."""

HOLD = 12
"""Looks for which a machine counts as slowed down after a counter rose: they rise now and then."""

_NO_HEAT = re.compile(r"pmic", re.IGNORECASE)
"""On some Jetsons this sensor says 50 or 100 degrees whatever happens."""
_SLOWS = re.compile(
    r"throttl|balanced|heavy|cpufreq|devfreq|^processor$|^(cpu|gpu)(?!.*fan)", re.IGNORECASE
)
_NO_BRAKE = re.compile(r"fan|tcc offset|hot-surface", re.IGNORECASE)


@dataclass(frozen=True)
class Vitals:
    """How the machine is at one moment; None or empty where it does not tell.

    Attributes:
        temperatures: Degrees Celsius by sensor.
        limits: Degrees Celsius at which the kernel slows the machine down, by sensor.
        braking: What slows it down now, e.g. `gpu-throttle-alert`.
        throttles: How often it was slowed down since it was started, by what.
        memory: `total` and `available` bytes.
        process: `rss` bytes, open `fds` and `threads` of this process.
        disk: `total` and `free` bytes of the run folder's disk.
        journal: Bytes of the journal with its write-ahead file.
        power_w: Watts of the whole module.
        gpu: Load of the GPU, 0..1.
    """

    temperatures: Dict[str, float] = field(default_factory=dict)
    limits: Dict[str, float] = field(default_factory=dict)
    braking: List[str] = field(default_factory=list)
    throttles: Dict[str, int] = field(default_factory=dict)
    memory: Dict[str, int] = field(default_factory=dict)
    process: Dict[str, int] = field(default_factory=dict)
    disk: Dict[str, int] = field(default_factory=dict)
    journal: Optional[int] = None
    power_w: Optional[float] = None
    gpu: Optional[float] = None

    @property
    def hottest(self) -> Optional[float]:
        """The highest temperature, or None."""
        return max(
            (v for k, v in self.temperatures.items() if not _NO_HEAT.search(k)), default=None
        )

    def told(self) -> Dict[str, Any]:
        """As the health endpoint tells it."""
        told: Dict[str, Any] = {
            "temperature_c": self.hottest,
            "temperatures_c": {k: round(v, 1) for k, v in sorted(self.temperatures.items())},
            "throttled_by": list(self.braking),
            "memory_total_bytes": self.memory.get("total"),
            "memory_available_bytes": self.memory.get("available"),
            "process": {
                "rss_bytes": self.process.get("rss"),
                "fds": self.process.get("fds"),
                "threads": self.process.get("threads"),
            },
            "disk_total_bytes": self.disk.get("total"),
            "disk_free_bytes": self.disk.get("free"),
            "journal_bytes": self.journal,
        }
        if self.power_w is not None:
            told["power_w"] = round(self.power_w, 3)
        if self.gpu is not None:
            told["gpu_load"] = round(self.gpu, 3)
        return told


def look(folder: Optional[PathLike] = None, root: PathLike = "/") -> Vitals:
    """Read how this machine is; what cannot be read is left out.

    Args:
        folder: The run folder, for disk and journal.
        root: Where `/proc` and `/sys` lie; another folder in tests.
    """
    load = gpu_load(root)
    return Vitals(
        temperatures=read_temperatures(root),
        limits=read_limits(root),
        braking=read_braking(root),
        throttles=read_throttles(root),
        memory=read_memory(root),
        process=read_process(root),
        disk=read_disk(folder),
        journal=_journal(folder),
        power_w=total_power(read_power(root)),
        gpu=None if load is None else load / 100,
    )


def read_limits(root: PathLike = "/") -> Dict[str, float]:
    """Degrees Celsius at which the kernel begins to slow the machine down (trip points of the
    type `passive`, else `hot` or `critical`), by sensor."""
    limits: Dict[str, float] = {}
    for zone in _sorted(Path(root) / "sys/class/thermal", "thermal_zone*"):
        points: Dict[str, float] = {}
        for kind in _sorted(zone, "trip_point_*_type"):
            value = _number(kind.with_name(kind.name[: -len("type")] + "temp"))
            if value is not None and 20e3 < value < 200e3:
                name = _read(kind)
                points[name] = min(points.get(name, value / 1000), value / 1000)
        for name in ("passive", "hot", "critical"):
            if name in points:
                sensor = re.sub(r"[-_](thermal|therm)$", "", _read(zone / "type"), flags=re.I)
                limits[sensor] = points[name]
                break
    return limits


def read_braking(root: PathLike = "/") -> List[str]:
    """Names of the kernel's cooling devices, fans apart, that are at work now: each of them
    slows a processor down."""
    found = set()
    for kind in _sorted(Path(root) / "sys/class/thermal", "cooling_device*/type"):
        name = _read(kind)
        if _SLOWS.search(name) and not _NO_BRAKE.search(name):
            state = _number(kind.with_name("cur_state"))
            if state is not None and state > 0:
                found.add(name)
    return sorted(found)


def read_throttles(root: PathLike = "/") -> Dict[str, int]:
    """How often the hardware was slowed down since the start: by `heat` (x86) and by
    `over-current` (Jetson)."""
    found: Dict[str, int] = {}
    cores = Path(root) / "sys/devices/system/cpu"
    for name, folder, pattern in (
        ("heat", cores, "cpu*/thermal_throttle/*_throttle_count"),
        ("over-current", Path(root) / "sys/class/hwmon", "hwmon*/oc*_event_cnt"),
    ):
        values = [_number(path) for path in _sorted(folder, pattern)]
        known = [int(value) for value in values if value is not None]
        if known:
            found[name] = sum(known)
    return found


def read_memory(root: PathLike = "/") -> Dict[str, int]:
    """`total` and `available` bytes of memory."""
    text = _read(Path(root) / "proc/meminfo")
    found = dict(re.findall(r"^(MemTotal|MemAvailable):\s*(\d+) kB", text, re.M))
    names = {"MemTotal": "total", "MemAvailable": "available"}
    return {names[name]: int(value) * 1024 for name, value in found.items()}


def read_process(root: PathLike = "/") -> Dict[str, int]:
    """`rss` in bytes, open `fds` and `threads` of this process."""
    here = Path(root) / "proc/self"
    found: Dict[str, int] = {}
    status = _read(here / "status")
    for name, pattern, unit in (
        ("rss", r"^VmRSS:\s*(\d+) kB", 1024),
        ("threads", r"^Threads:\s*(\d+)", 1),
    ):
        match = re.search(pattern, status, re.M)
        if match:
            found[name] = int(match.group(1)) * unit
    with contextlib.suppress(OSError):
        found["fds"] = len(os.listdir(str(here / "fd")))
    return found


def read_disk(folder: Optional[PathLike]) -> Dict[str, int]:
    """`total` and `free` bytes of the disk that a folder lies on."""
    if folder is None:
        return {}
    try:
        usage = shutil.disk_usage(str(folder))
    except OSError:
        return {}
    return {"total": usage.total, "free": usage.free}


def _journal(folder: Optional[PathLike]) -> Optional[int]:
    if folder is None:
        return None
    sizes = []
    for name in ("events.db", "events.db-wal"):
        try:
            sizes.append(os.stat(os.path.join(str(folder), name)).st_size)
        except OSError:
            continue
    return sum(sizes) if sizes else None


class Heat:
    """Tells when the machine becomes hot or is slowed down, and when that is over.

    Args:
        hot_c: Degrees Celsius from which it is hot; `BELOW_C` below the kernel's own limit of
            each sensor, or `HOT_C` where it has none, unless given.
    """

    def __init__(self, hot_c: Optional[float] = None) -> None:
        self._hot_c = hot_c
        self._counts: Optional[Dict[str, int]] = None
        self._held: Dict[str, int] = {}
        self.hot: Optional[str] = None
        self.throttled: Optional[str] = None

    def update(self, vitals: Vitals) -> List[str]:
        """Take in how the machine is now.

        Returns:
            What has changed: `hot` or `cool`, `throttled` or `full speed`.
        """
        changes = []
        was_hot, was_slow = self.hot, self.throttled
        self.hot = self._heat(vitals, COOLER_C if was_hot else 0.0)
        self.throttled = self._brake(vitals)
        if bool(was_hot) != bool(self.hot):
            changes.append("hot" if self.hot else "cool")
        if bool(was_slow) != bool(self.throttled):
            changes.append("throttled" if self.throttled else "full speed")
        return changes

    def _heat(self, vitals: Vitals, cooler: float) -> Optional[str]:
        worst, told = 0.0, None
        for sensor, value in vitals.temperatures.items():
            if _NO_HEAT.search(sensor):
                continue
            limit = self._hot_c
            if limit is None:
                known = vitals.limits.get(sensor)
                limit = HOT_C if known is None else known - BELOW_C
            if value >= limit - cooler and (told is None or value - limit > worst):
                worst, told = value - limit, f"{sensor} is at {value:.0f} °C"
        return told

    def _brake(self, vitals: Vitals) -> Optional[str]:
        before, self._counts = self._counts, vitals.throttles
        by = list(vitals.braking)
        for name, count in vitals.throttles.items():
            if before is not None and count > before.get(name, count):
                self._held[name] = HOLD
            if self._held.get(name, 0) > 0:
                self._held[name] -= 1
                by.append(name)
        return "slowed down by " + ", ".join(by) if by else None


def _sorted(folder: Path, pattern: str) -> List[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _number(path: Path) -> Optional[float]:
    try:
        return float(_read(path))
    except ValueError:
        return None
