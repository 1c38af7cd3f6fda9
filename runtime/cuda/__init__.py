"""Memory, streams and graphs of a CUDA device behind one seam, whatever library serves it."""

from .base import CudaDevice, CudaError, HostBuffer, transfer_mode
from .driver import compute_capability, device_name, driver_problem

__all__ = [
    "CudaDevice",
    "CudaError",
    "HostBuffer",
    "compute_capability",
    "device_name",
    "driver_problem",
    "open_device",
    "transfer_mode",
]


def open_device() -> CudaDevice:
    """The first CUDA device: through pycuda where it is installed, else cuda-python, else ctypes.

    Raises:
        CudaError: There is no driver, no device, or no library that reaches them.
    """
    problem = driver_problem()
    if problem:
        raise CudaError("CUDA cannot be used", got=problem)
    try:
        from .pycuda import PycudaDevice

        return PycudaDevice()
    except (ImportError, CudaError):
        pass
    try:
        from .bindings import BindingsDevice

        return BindingsDevice()
    except (ImportError, CudaError):
        pass
    from .cudart import CudartDevice

    return CudartDevice()
