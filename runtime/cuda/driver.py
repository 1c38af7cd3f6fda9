"""The first question to a machine: is there an NVIDIA driver, and what does it drive?

Asked through ctypes, before any library that would crash without a driver is loaded: TensorRT's
`Runtime` of 8.6 ends the process where there is none.
"""

import ctypes
from typing import Any, Optional, Tuple

from .base import CudaError

_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18  # CUdevice_attribute
_REASONS = {
    35: "the driver is older than the CUDA libraries",
    100: "the driver finds no device",
    999: "the driver failed; a restart may help",
    803: "the driver and its library are of different releases; restart the machine",
}


def driver_problem() -> Optional[str]:
    """Why CUDA cannot be used here, as one sentence; None where it can."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1)"
    code = int(library.cuInit(ctypes.c_uint(0)))
    if code:
        return _REASONS.get(code, f"the NVIDIA driver answered with error {code}")
    count = ctypes.c_int(0)
    if library.cuDeviceGetCount(ctypes.byref(count)) or count.value < 1:
        return _REASONS[100]
    return None


def compute_capability(number: int = 0) -> Tuple[int, int]:
    """`(major, minor)` of a device.

    Raises:
        CudaError: There is no driver or no such device.
    """
    library, device = _device(number)
    return _attribute(library, device, _MAJOR), _attribute(library, device, _MINOR)


def device_name(number: int = 0) -> str:
    """What a device calls itself; raises as `compute_capability`."""
    library, device = _device(number)
    buffer = ctypes.create_string_buffer(256)
    _check(library.cuDeviceGetName(ctypes.byref(buffer), ctypes.c_int(256), device))
    return buffer.value.decode("utf-8", "replace")


def is_integrated(number: int = 0) -> bool:
    """Whether a device shares its memory with the CPU; raises as `compute_capability`."""
    library, device = _device(number)
    return bool(_attribute(library, device, _INTEGRATED))


def _device(number: int) -> Tuple[Any, ctypes.c_int]:
    problem = driver_problem()
    if problem:
        raise CudaError("CUDA cannot be used", got=problem)
    library = ctypes.CDLL("libcuda.so.1")
    device = ctypes.c_int(0)
    _check(library.cuDeviceGet(ctypes.byref(device), ctypes.c_int(number)))
    return library, device


def _attribute(library: Any, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int(0)
    _check(library.cuDeviceGetAttribute(ctypes.byref(value), ctypes.c_int(which), device))
    return value.value


def _check(code: int) -> None:
    if code:
        raise CudaError("the NVIDIA driver failed", got=f"error {code}")
