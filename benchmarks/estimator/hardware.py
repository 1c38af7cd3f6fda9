"""What the GPU of a Jetson has to work with, in each of its power modes.

Numbers of streaming multiprocessors: NVIDIA's data sheets of the modules. Clocks, multiprocessors
that stay powered and limits of the memory clock in a mode: the `nvpmodel` tables that NVIDIA's
Jetson Linux ships for each module, and its Developer Guide for those before Orin.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...core import UsageError, did_you_mean
from ...core.devices import Device

PER_CLOCK = {(5, 3): 512, (6, 2): 512, (7, 2): 1024, (8, 7): 2048, (11, 0): 8192}
"""Dense FP16 operations a clock of one multiprocessor, by compute capability."""

GENERATIONS = {(5, 3): 0, (6, 2): 1, (7, 2): 2, (8, 7): 3}
"""Maxwell, Pascal, Volta, Ampere: what rows were published for."""

MULTIPROCESSORS = {
    "nano": 1, "nano-2gb": 1, "tx2": 2, "tx2-nx": 2, "xavier-nx": 6, "agx-xavier": 8,
    "orin-nano-4gb": 4, "orin-nano-4gb-super": 4, "orin-nano": 8, "orin-nano-super": 8,
    "orin-nx-8gb": 8, "orin-nx-8gb-super": 8, "orin-nx": 8, "orin-nx-super": 8,
    "agx-orin-32gb": 14, "agx-orin": 16, "agx-thor": 20,
}  # fmt: skip

THOR_TFLOPS = 258.0
"""Dense FP16 of AGX Thor: an eighth of the 2070 TFLOPS that are stated for sparse FP4."""


class Mode(NamedTuple):
    """A power mode.

    Attributes:
        clock: Highest clock of the GPU in GHz.
        memory: Share of the memory's peak bandwidth.
        multiprocessors: Those that stay powered; None for all.
        dla: Highest clock of a deep-learning accelerator in GHz; 0 where there is none.
    """

    clock: float
    memory: float = 1.0
    multiprocessors: Optional[int] = None
    dla: float = 0.0


_TX2 = {
    "MAXQ": Mode(0.85, 1331 / 1866),
    **{f"MAXP_CORE_{c}": Mode(1.12, 1600 / 1866) for c in ("ALL", "ARM", "DENVER")},
}
_NX_16 = {
    "10W": Mode(0.612, 2133 / 3200, 4, 0.154),
    "15W": Mode(0.612, 1.0, 4, 0.614),
    "25W": Mode(0.408, 1.0, None, 0.614),
}
_NX_8 = {"10W": _NX_16["10W"], "15W": _NX_16["15W"], "20W": _NX_16["25W"]}
_NX_40 = {"40W": Mode(1.173, 1.0, None, 0.909)}

MODES: Dict[str, Dict[str, Mode]] = {
    "nano": {"5W": Mode(0.64)},
    "nano-2gb": {"5W": Mode(0.64)},
    "tx2": _TX2,
    "tx2-nx": _TX2,
    "xavier-nx": {
        "10W": Mode(0.803, 1600 / 1866, None, 0.9),
        "15W": Mode(1.109, 1600 / 1866, None, 1.1),
        "20W": Mode(1.109, 1.0, None, 1.1),
    },
    "agx-xavier": {
        "10W": Mode(0.52, 0.5, 4, 0.55),
        "15W": Mode(0.67, 1333 / 2133, None, 0.75),
        "30W": Mode(0.9, 1600 / 2133, None, 1.05),
    },
    "orin-nano-4gb": {"7W": Mode(0.408), "10W": Mode(0.625)},
    "orin-nano": {"7W": Mode(0.408, 1.0, 4), "15W": Mode(0.625)},
    "orin-nano-super": {
        "7W": Mode(0.408, 2133 / 3200, 4),
        "15W": Mode(0.612, 2133 / 3200),
        "25W": Mode(0.918),
    },
    "orin-nx-8gb": _NX_8,
    "orin-nx": _NX_16,
    "orin-nx-super": {**_NX_16, **_NX_40},
    "agx-orin-32gb": {
        "15W": Mode(0.408, 2133 / 3200, 6, 0.614),
        "30W": Mode(0.612, 1.0, 8, 1.37),
        "40W": Mode(0.816, 1.0, 14, 1.229),
    },
    "agx-orin": {
        "15W": Mode(0.408, 2133 / 3200, 6, 0.614),
        "30W": Mode(0.612, 1.0, 8, 1.37),
        "50W": Mode(0.816, 1.0, 16, 1.37),
    },
}
"""Modes below the fastest, by device."""

_DLA_GHZ = {
    "xavier-nx": 1.1, "agx-xavier": 1.395, "orin-nx-8gb": 0.614, "orin-nx": 0.614,
    "orin-nx-8gb-super": 1.23, "orin-nx-super": 1.23, "agx-orin-32gb": 1.408, "agx-orin": 1.6,
}  # fmt: skip


@dataclass(frozen=True)
class Gpu:
    """A GPU in a power mode.

    Attributes:
        generation: As in `GENERATIONS`; a later one counts as the last.
        known: Whether anything was published for this generation.
        multiprocessors: Those that are powered.
        clock: In GHz.
        peak: Dense FP16 operations a second.
        bandwidth: Of the memory in bytes a second.
        dla: Clock of a deep-learning accelerator in GHz; 0 where there is none.
    """

    generation: int
    known: bool
    multiprocessors: int
    clock: float
    peak: float
    bandwidth: float
    dla: float


def gpu_of(device: Device, mode: Optional[str] = None) -> Gpu:
    """The GPU of a device.

    Args:
        device: A Jetson.
        mode: Power mode; the fastest unless given.

    Raises:
        UsageError: It is no Jetson, or the mode is none of its own.
    """
    if device.name not in MULTIPROCESSORS:
        raise UsageError(
            f"latency is estimated for Jetsons, and {device.title} is none",
            remedy="measure on it: edgelane profile MODEL",
        )
    capability, count = device.compute_capability, MULTIPROCESSORS[device.name]
    tflops = device.fp16_tflops or THOR_TFLOPS
    each = PER_CLOCK[capability]
    found = Mode(tflops * 1e3 / each / count, dla=_DLA_GHZ.get(device.name, 0.0))
    slower = None if mode is None else mode_of(device, mode)
    if slower is not None:
        found = MODES[device.name][slower]
    sms = found.multiprocessors or count
    return Gpu(
        generation=GENERATIONS.get(capability, max(GENERATIONS.values())),
        known=capability in GENERATIONS,
        multiprocessors=sms,
        clock=found.clock,
        peak=sms * each * found.clock * 1e9,
        bandwidth=(device.bandwidth_gbs or 0) * found.memory * 1e9,
        dla=found.dla,
    )


def mode_of(device: Device, name: str) -> Optional[str]:
    """The name of a slower power mode in `MODES`; None for the fastest.

    Args:
        device: A Jetson.
        name: As a user says it: `15W`, `15`, `MODE_15W`, `MAXN`.

    Raises:
        UsageError: The clocks in such a mode are not known.
    """
    key = name.strip().upper().replace(" ", "_").replace("MODE_", "")
    key = key + "W" if key.isdigit() else key
    slower = MODES.get(device.name, {})
    if key in ("MAXN", "MAXN_SUPER", "MAX"):
        return None
    if key == "10W" and device.name.startswith("nano"):
        return None  # the other name of its MAXN
    if key in slower:
        return key
    known = ["MAXN", *slower]
    raise UsageError(
        f"the clocks of {device.title} in a power mode {name!r} are not known",
        remedy=did_you_mean(key, known),
    )


def in_modes(
    devices: Sequence[Device], modes: Sequence[str] = ()
) -> List[Tuple[Device, Optional[str]]]:
    """Each device in each of the modes that it has, device by device.

    Args:
        devices: Jetsons.
        modes: Names of power modes, see `mode_of`; none for the fastest of each.

    Returns:
        Device, and the name of its mode in `MODES` or None for the fastest; no pair twice.

    Raises:
        UsageError: One is no Jetson, has none of the modes, or none of them has a mode.
    """
    found: List[Tuple[Device, Optional[str]]] = []
    lacking: Dict[str, List[UsageError]] = {mode: [] for mode in modes}
    for device in devices:
        gpu_of(device)  # tells what is no Jetson
        if not modes:
            found.append((device, None))
        had = 0
        for mode in modes:
            try:
                pair = (device, mode_of(device, mode))
            except UsageError as error:
                lacking[mode].append(error)
                continue
            had += 1
            if pair not in found:
                found.append(pair)
        if modes and not had:
            raise lacking[modes[-1]][-1]
    for errors in lacking.values():
        if len(errors) == len(devices) > 0:
            raise errors[0]
    return found
