"""What a Jetson tells about itself: which one it is, its software, its sensors, `tegrastats`."""

from .jetpack import JETPACKS, JetPack, jetpack_of
from .machine import Machine, detect
from .sensors import gpu_load, read_power, read_temperatures, total_power
from .tegrastats import TegraStats, parse_tegrastats

__all__ = [
    "JETPACKS",
    "JetPack",
    "Machine",
    "TegraStats",
    "detect",
    "gpu_load",
    "jetpack_of",
    "parse_tegrastats",
    "read_power",
    "read_temperatures",
    "total_power",
]
