"""Lines of `tegrastats`, in all the ways that its releases have written them.

L4T 28 to 39, JetPack 4 to 7: with and without a leading time, swap, load of the GPU, units and
averages. What a later release adds is left aside.
"""

import re
from dataclasses import dataclass, field
from typing import Dict, NamedTuple, Optional, Tuple

from ...core import DataError
from .sensors import total_power

_NUMBER = r"-?\d+(?:\.\d+)?"
_TIME = re.compile(r"^\s*(\d\d-\d\d-\d{4} \d\d:\d\d:\d\d)\b")
_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB(?: ?\(lfb (\d+)x(\d+)(k|M)B\))?")
_SWAP = re.compile(r"\bSWAP (\d+)/(\d+)MB(?: ?\(cached (\d+)MB\))?")
_CPU = re.compile(r"\bCPU \[([^\]]*)\](?:@(\d+))?", re.I)
_CLOCK = r"(?:@(?:\[([\d, ]*)\]|(\d+)))?"
_GPU = re.compile(rf"\bGR3D(?:_FREQ)? (?:({_NUMBER})%)?{_CLOCK}(?=\s|$)")
_EMC = re.compile(rf"\bEMC(?:_FREQ)? (?:({_NUMBER})%)?{_CLOCK}(?=\s|$)")
_HEAT = re.compile(rf"(?<!\S)([A-Za-z]\w*)@({_NUMBER})C(?:/{_NUMBER}C)?(?!\S)")
_RAIL = re.compile(
    rf"(?<!\S)([A-Za-z]\w*) ({_NUMBER})(?:(mW)|(?=/))"
    rf"(?:/({_NUMBER})(?:mW)?)?(?:/{_NUMBER}mW)?(?!\S)"
)


class Core(NamedTuple):
    """A CPU core: its load in percent, and its clock in MHz or None."""

    load: float
    mhz: Optional[int]


class Power(NamedTuple):
    """A power rail in milliwatts: now, and on average since the start or None."""

    now: float
    average: Optional[float]


@dataclass(frozen=True)
class TegraStats:
    """One line of `tegrastats`.

    Attributes:
        time: As it stands at the front, `MM-DD-YYYY hh:mm:ss`, or None.
        ram_used_mb: Memory in use, shared by CPU and GPU.
        ram_total_mb: Memory there is.
        largest_free: Count and size in MB of the largest free blocks, or None.
        swap_used_mb: Swap in use, or None where the line has none.
        swap_total_mb: Swap there is, or None.
        cpu: A core each; None for one that is off.
        emc_load: Load of the memory controller in percent, or None.
        emc_mhz: Its clock, or None.
        gpu_load: Load of the GPU in percent, or None: some releases do not tell.
        gpu_mhz: Its clocks, one a cluster; empty where the line has none.
        temperatures: Degrees Celsius by sensor, without those that are off.
        rails: Power by rail.
    """

    time: Optional[str]
    ram_used_mb: int
    ram_total_mb: int
    largest_free: Optional[Tuple[int, float]] = None
    swap_used_mb: Optional[int] = None
    swap_total_mb: Optional[int] = None
    cpu: Tuple[Optional[Core], ...] = ()
    emc_load: Optional[float] = None
    emc_mhz: Optional[int] = None
    gpu_load: Optional[float] = None
    gpu_mhz: Tuple[int, ...] = ()
    temperatures: Dict[str, float] = field(default_factory=dict)
    rails: Dict[str, Power] = field(default_factory=dict)

    @property
    def power_mw(self) -> Optional[float]:
        """What the module draws now in milliwatts, or None where no rail is told."""
        return total_power({name: rail.now for name, rail in self.rails.items()})


def parse_tegrastats(line: str) -> TegraStats:
    """Read one line of `tegrastats`.

    Raises:
        DataError: It is none: the part on memory, which every release writes, is missing.
    """
    ram = _RAM.search(line)
    if ram is None:
        raise DataError(
            "this is no line of tegrastats",
            got=repr(line.strip()[:60]),
            expected="RAM <used>/<total>MB …",
        )
    time = _TIME.match(line)
    swap = _SWAP.search(line)
    cpu = _CPU.search(line)
    gpu_load, gpu_mhz = _engine(_GPU, line)
    emc_load, emc_mhz = _engine(_EMC, line)
    free = None
    if ram.group(3):
        free = int(ram.group(3)), int(ram.group(4)) / (1024 if ram.group(5) == "k" else 1)
    return TegraStats(
        time=time.group(1) if time else None,
        ram_used_mb=int(ram.group(1)),
        ram_total_mb=int(ram.group(2)),
        largest_free=free,
        swap_used_mb=int(swap.group(1)) if swap else None,
        swap_total_mb=int(swap.group(2)) if swap else None,
        cpu=_cores(cpu.group(1), cpu.group(2)) if cpu else (),
        emc_load=emc_load,
        emc_mhz=emc_mhz[0] if emc_mhz else None,
        gpu_load=gpu_load,
        gpu_mhz=gpu_mhz,
        # A sensor that is off says -256.
        temperatures={n: float(v) for n, v in _HEAT.findall(line) if float(v) > -100},
        rails={
            name: Power(float(now), float(average) if average else None)
            for name, now, _, average in _RAIL.findall(line)
        },
    )


def _cores(text: str, shared: Optional[str]) -> Tuple[Optional[Core], ...]:
    cores = []
    for part in text.split(","):
        match = re.match(rf"\s*({_NUMBER})%(?:@(\d+))?", part)
        clock = (match.group(2) or shared) if match else None
        cores.append(Core(float(match.group(1)), int(clock) if clock else None) if match else None)
    return tuple(cores)


def _engine(pattern: "re.Pattern[str]", line: str) -> Tuple[Optional[float], Tuple[int, ...]]:
    match = pattern.search(line)
    if match is None:
        return None, ()
    clocks = match.group(2) or match.group(3) or ""
    mhz = tuple(int(part) for part in re.findall(r"\d+", clocks))
    return (float(match.group(1)) if match.group(1) else None), mhz
