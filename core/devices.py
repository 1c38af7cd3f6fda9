"""The table of devices: what each Jetson is and what it is fast at.

Where the figures come from. Modules, memory, bandwidth, clocks and power modes: NVIDIA's Jetson
modules table and the data sheet of each module; "Super" clocks: the JetPack 6.2 release. Peaks are
dense and of the GPU alone: `2 x FMA units x clock` (a tensor core of Xavier does 64 FP16 FMA a
clock, of Orin 256, and INT8 doubles it), so half of what is advertised with sparsity, and without
the DLA. None stands where nothing dense is published. Fast precisions: CUDA's table of arithmetic
throughput by compute capability (5.3 and 6.2 have FP16 at double rate and no fast INT8). TensorRT:
the releases that a JetPack for the device brings.
"""

import re
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from .errors import UsageError, did_you_mean

Version = Tuple[int, int]

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Device:
    """A machine that engines are planned for.

    Attributes:
        name: How it is called in options and results, e.g. `orin-nano`.
        title: How its maker calls it.
        soc: Chip, as in the device tree, e.g. `tegra234`; `gpu` for a card in a computer.
        modules: Numbers of the modules, as in the device tree, e.g. `p3767-0003`.
        boards: Further words of the device tree that tell it: carrier boards and code names.
        compute_capability: Of its GPU, e.g. `(8, 7)`.
        ram_gb: Memory it is sold with in GB, shared by CPU and GPU; smallest first.
        bandwidth_gbs: Peak memory bandwidth in GB/s; None where unknown.
        fp16_tflops: Dense FP16 peak of the GPU in TFLOPS, or None.
        int8_tops: Dense INT8 peak of the GPU in TOPS, or None.
        dla_cores: Number of deep-learning accelerators.
        cpu_cores: Number of CPU cores; 0 where unknown.
        power_modes: Names that `nvpmodel` knows, without the letters around the figure.
        precisions: Those that run fast, of `fp32`, `fp16` and `int8`.
        tensorrt: Oldest and newest TensorRT (major, minor) of the JetPacks for it, the newest
            None where JetPacks are still to come.
        super_of: The device whose module this is with the clocks of a Super mode, or None.
    """

    name: str
    title: str
    soc: str
    modules: Tuple[str, ...]
    compute_capability: Tuple[int, int]
    ram_gb: Tuple[int, ...]
    bandwidth_gbs: Optional[float]
    fp16_tflops: Optional[float]
    int8_tops: Optional[float]
    dla_cores: int
    cpu_cores: int
    power_modes: Tuple[str, ...]
    precisions: Tuple[str, ...]
    tensorrt: Tuple[Version, Optional[Version]] = ((8, 0), None)
    boards: Tuple[str, ...] = ()
    super_of: Optional[str] = None

    @property
    def io_coherent(self) -> bool:
        """Whether CPU caches see what the GPU writes, so that mapped memory is good zero copy.

        From Xavier on; before it pinned memory is uncached for the CPU. Source: CUDA for Tegra.
        """
        return self.soc != "gpu" and self.compute_capability >= (7, 2)

    @property
    def jetson(self) -> bool:
        """Whether it is a Jetson, and no card in a computer."""
        return self.soc != "gpu"

    def fast(self, precision: str) -> bool:
        """Whether a precision runs fast on it."""
        return precision in self.precisions


_UP_TO_FP16 = ("fp32", "fp16")
_ALL = PRECISIONS

_JETPACK_4 = ((8, 0), (8, 2))
_JETPACK_4_5 = ((8, 0), (8, 5))
_SINCE_JETPACK_5 = ((8, 4), None)
_SINCE_JETPACK_7 = ((10, 13), None)

_ORIN_MODES = ("10W", "15W", "25W", "40W", "MAXN_SUPER")

_TABLE = (
    Device(
        "nano", "Jetson Nano", "tegra210", ("p3448-0000", "p3448-0002"), (5, 3),
        (4,), 25.6, 0.472, None, 0, 4, ("MAXN", "5W"), _UP_TO_FP16, _JETPACK_4,
        ("p3450", "jetson-nano", "porg"),
    ),
    Device(
        "nano-2gb", "Jetson Nano 2GB", "tegra210", ("p3448-0003",), (5, 3),
        (2,), 25.6, 0.472, None, 0, 4, ("MAXN", "5W"), _UP_TO_FP16, _JETPACK_4,
        ("p3541", "jetson-nano-2gb", "batuu"),
    ),
    Device(
        "tx2", "Jetson TX2", "tegra186", ("p3310-1000", "p3489-0000", "p3489-0888"), (6, 2),
        (4, 8), 59.7, 1.33, None, 0, 6,
        ("MAXN", "MAXQ", "MAXP_CORE_ALL", "MAXP_CORE_ARM", "MAXP_CORE_DENVER"),
        _UP_TO_FP16, _JETPACK_4, ("p2771", "quill", "storm", "lightning"),
    ),
    Device(
        "tx2-nx", "Jetson TX2 NX", "tegra186", ("p3636-0001",), (6, 2),
        (4,), 51.2, 1.33, None, 0, 6,
        ("MAXN", "MAXQ", "MAXP_CORE_ALL", "MAXP_CORE_ARM", "MAXP_CORE_DENVER"),
        _UP_TO_FP16, _JETPACK_4, ("lanai",),
    ),
    Device(
        "xavier-nx", "Jetson Xavier NX", "tegra194",
        ("p3668-0000", "p3668-0001", "p3668-0003"), (7, 2),
        (8, 16), 59.7, 6.8, 13.5, 2, 6, ("10W", "15W", "20W"), _ALL, _JETPACK_4_5,
        ("xavier-nx", "jakku"),
    ),
    Device(
        "agx-xavier", "Jetson AGX Xavier", "tegra194",
        ("p2888-0001", "p2888-0003", "p2888-0004", "p2888-0005", "p2888-0008"), (7, 2),
        (32, 64), 136.5, 11.3, 22.6, 2, 8, ("MAXN", "10W", "15W", "30W"), _ALL, _JETPACK_4_5,
        ("p2972", "jetson-xavier", "galen"),
    ),
    Device(
        "orin-nano-4gb", "Jetson Orin Nano 4GB", "tegra234", ("p3767-0004",), (8, 7),
        (4,), 34.0, 5.1, 10.2, 0, 6, ("7W", "10W"), _ALL, _SINCE_JETPACK_5,
    ),
    Device(
        "orin-nano-4gb-super", "Jetson Orin Nano 4GB (Super)", "tegra234", ("p3767-0004",), (8, 7),
        (4,), 51.0, 8.4, 16.7, 0, 6, ("7W", "10W", "25W", "MAXN_SUPER"), _ALL, ((10, 3), None),
        super_of="orin-nano-4gb",
    ),
    Device(
        "orin-nano", "Jetson Orin Nano 8GB", "tegra234", ("p3767-0003", "p3767-0005"), (8, 7),
        (8,), 68.0, 10.2, 20.5, 0, 6, ("7W", "15W"), _ALL, _SINCE_JETPACK_5,
    ),
    Device(
        "orin-nano-super", "Jetson Orin Nano 8GB (Super)", "tegra234",
        ("p3767-0003", "p3767-0005"), (8, 7),
        (8,), 102.0, 16.7, 33.4, 0, 6, ("7W", "15W", "25W", "MAXN_SUPER"), _ALL, ((10, 3), None),
        super_of="orin-nano",
    ),
    Device(
        "orin-nx-8gb", "Jetson Orin NX 8GB", "tegra234", ("p3767-0001",), (8, 7),
        (8,), 102.4, 12.5, 25.1, 1, 6, ("MAXN", "10W", "15W", "20W"), _ALL, _SINCE_JETPACK_5,
    ),
    Device(
        "orin-nx-8gb-super", "Jetson Orin NX 8GB (Super)", "tegra234", ("p3767-0001",), (8, 7),
        (8,), 102.4, 19.2, 38.4, 1, 6, _ORIN_MODES, _ALL, ((10, 3), None), super_of="orin-nx-8gb",
    ),
    Device(
        "orin-nx", "Jetson Orin NX 16GB", "tegra234", ("p3767-0000",), (8, 7),
        (16,), 102.4, 15.0, 30.1, 2, 8, ("MAXN", "10W", "15W", "25W"), _ALL, _SINCE_JETPACK_5,
    ),
    Device(
        "orin-nx-super", "Jetson Orin NX 16GB (Super)", "tegra234", ("p3767-0000",), (8, 7),
        (16,), 102.4, 19.2, 38.4, 2, 8, _ORIN_MODES, _ALL, ((10, 3), None), super_of="orin-nx",
    ),
    Device(
        "agx-orin-32gb", "Jetson AGX Orin 32GB", "tegra234", ("p3701-0004",), (8, 7),
        (32,), 204.8, 26.7, 53.3, 2, 8, ("MAXN", "15W", "30W", "40W"), _ALL, _SINCE_JETPACK_5,
    ),
    # The first developer kit, p3701-0000, has the GPU of the 64 GB module and 32 GB.
    Device(
        "agx-orin", "Jetson AGX Orin 64GB", "tegra234",
        ("p3701-0005", "p3701-0000", "p3701-0008"), (8, 7),
        (32, 64), 204.8, 42.6, 85.2, 2, 12, ("MAXN", "15W", "30W", "50W"), _ALL, _SINCE_JETPACK_5,
        ("p3737",),
    ),
    # Its dense FP16 and INT8 peaks are not published; 2070 TFLOPS is FP4 with sparsity.
    Device(
        "agx-thor", "Jetson AGX Thor", "tegra264", ("p3834-0008",), (11, 0),
        (128,), 273.0, None, None, 0, 14, ("MAXN", "70W", "90W", "120W"), _ALL, _SINCE_JETPACK_7,
        ("p4071",),
    ),
)  # fmt: skip

DEVICES: Dict[str, Device] = {device.name: device for device in _TABLE}
"""Every Jetson that is known, by name, from the smallest chip up."""

_ALIASES = {
    "nano-4gb": "nano",
    "tx2-8gb": "tx2",
    "xavier": "agx-xavier",
    "nx": "xavier-nx",
    "orin-nano-8gb": "orin-nano",
    "orin-nano-8gb-super": "orin-nano-super",
    "orin-nx-16gb": "orin-nx",
    "orin-nx-16gb-super": "orin-nx-super",
    "orin": "agx-orin",
    "agx-orin-64gb": "agx-orin",
    "thor": "agx-thor",
}


def find_device(name: str) -> Device:
    """The device of this name.

    Args:
        name: As in `DEVICES`. Case, spaces and a leading "Jetson" do not matter, and the usual
            other names do, e.g. `Orin NX 16GB`.

    Raises:
        UsageError: No device is called so.
    """
    key = re.sub(r"[\s_()]+", "-", str(name).strip().lower()).strip("-")
    key = re.sub(r"^(nvidia-)?(jetson-)?", "", key)
    key = _ALIASES.get(key, key)
    if key in DEVICES:
        return DEVICES[key]
    known = list(DEVICES)
    raise UsageError(f"no device is called {str(name)!r}", remedy=did_you_mean(key, known))


def graphics_card(title: str, compute_capability: Tuple[int, int]) -> Device:
    """A graphics card in a computer as a device; its speed stays unknown.

    Args:
        title: As the driver calls it.
        compute_capability: Of the card, e.g. `(8, 6)`.
    """
    precisions = ["fp32"]
    # CUDA programming guide, throughput of arithmetic instructions: 6.1 has FP16 at 1/64 rate
    # and INT8 dot products, 6.0 and 6.2 the other way round.
    if compute_capability in ((5, 3), (6, 0), (6, 2)) or compute_capability >= (7, 0):
        precisions.append("fp16")
    if compute_capability == (6, 1) or compute_capability >= (7, 2):
        precisions.append("int8")
    name = "sm{}{}".format(*compute_capability)
    return Device(
        name, title, "gpu", (), compute_capability, (), None, None, None, 0, 0, (),
        tuple(precisions),
    )  # fmt: skip
