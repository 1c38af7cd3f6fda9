"""Memory, streams and graphs of a CUDA device behind one seam, whatever library serves it."""

import logging

from .base import CudaDevice, CudaError, HostBuffer, transfer_mode
from .driver import compute_capability, device_name, driver_problem

_LOG = logging.getLogger("edgelane")

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
    for way in (_through_pycuda, _through_cuda_python):
        try:
            return way()
        except ImportError:
            continue
        except Exception as error:  # installed for another CUDA, say: the next may do better
            _LOG.debug("%s: %s", way.__name__.strip("_"), error)
    return _through_ctypes()


def _through_pycuda() -> CudaDevice:
    from .pycuda import PycudaDevice

    return PycudaDevice()


def _through_cuda_python() -> CudaDevice:
    from .bindings import BindingsDevice

    return BindingsDevice()


def _through_ctypes() -> CudaDevice:
    from .cudart import CudartDevice

    return CudartDevice()
