"""CUDA through ctypes over `libcudart`: nothing to install, on every JetPack."""

import contextlib
import ctypes
import glob
import sys
from contextlib import AbstractContextManager
from typing import Any, Iterator, List, Optional

import numpy as np

from .base import CudaError, HostBuffer
from .driver import compute_capability, device_name, is_integrated

_TO_DEVICE, _TO_HOST = 1, 2
_MAPPED = 2  # cudaHostAllocMapped
_NON_BLOCKING = 1  # cudaStreamNonBlocking
_THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal

_P, _OUT, _INT = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int
_FUNCTIONS = {
    "cudaFree": (_P,),
    "cudaFreeHost": (_P,),
    "cudaGraphDestroy": (_P,),
    "cudaGraphExecDestroy": (_P,),
    "cudaGraphLaunch": (_P, _P),
    "cudaHostAlloc": (_OUT, ctypes.c_size_t, ctypes.c_uint),
    "cudaHostGetDevicePointer": (_OUT, _P, ctypes.c_uint),
    "cudaMalloc": (_OUT, ctypes.c_size_t),
    "cudaMemcpyAsync": (_P, _P, ctypes.c_size_t, _INT, _P),
    "cudaSetDevice": (_INT,),
    "cudaStreamBeginCapture": (_P, _INT),
    "cudaStreamCreateWithFlags": (_OUT, ctypes.c_uint),
    "cudaStreamDestroy": (_P,),
    "cudaStreamEndCapture": (_P, _OUT),
    "cudaStreamSynchronize": (_P,),
}


class CudartDevice:
    """The first CUDA device, through the runtime library of any release from 10.2 on.

    Raises:
        CudaError: There is no driver, no runtime library, or no device that they can use.
    """

    def __init__(self) -> None:
        self.compute_capability = compute_capability()
        self.name = device_name()
        self.integrated = is_integrated()
        self.graphs = True
        self._library = load_library()

    def current(self) -> AbstractContextManager:
        """Nothing needs to be done: the first device is every thread's own from the start."""
        return contextlib.nullcontext()

    def alloc(self, size: int) -> int:
        address = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(address), max(size, 1))
        return int(address.value or 0)

    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        size = max(size, 1)
        address = ctypes.c_void_p()
        self._call("cudaHostAlloc", ctypes.byref(address), size, _MAPPED if mapped else 0)
        host = int(address.value or 0)
        device: Optional[int] = None
        if mapped:
            seen = ctypes.c_void_p()
            self._call("cudaHostGetDevicePointer", ctypes.byref(seen), host, 0)
            device = int(seen.value or 0)
        return HostBuffer(host_view(host, size), device, host)

    def host_free(self, buffer: HostBuffer) -> None:
        self._call("cudaFreeHost", buffer.handle)

    def to_device(self, address: int, source: np.ndarray, stream: int) -> None:
        self._call(
            "cudaMemcpyAsync", address, source.ctypes.data, source.nbytes, _TO_DEVICE, stream
        )

    def to_host(self, target: np.ndarray, address: int, stream: int) -> None:
        self._call("cudaMemcpyAsync", target.ctypes.data, address, target.nbytes, _TO_HOST, stream)

    def create_stream(self) -> int:
        stream = ctypes.c_void_p()
        self._call("cudaStreamCreateWithFlags", ctypes.byref(stream), _NON_BLOCKING)
        return int(stream.value or 0)

    def destroy_stream(self, stream: int) -> None:
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: int) -> None:
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: int) -> None:
        self._call("cudaStreamBeginCapture", stream, _THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        graph = ctypes.c_void_p()
        self._call("cudaStreamEndCapture", stream, ctypes.byref(graph))
        made = ctypes.c_void_p()
        try:
            # CUDA 12 gave cudaGraphInstantiate other arguments; this name has them since 11.4.
            if hasattr(self._library, "cudaGraphInstantiateWithFlags"):
                function = self._library.cudaGraphInstantiateWithFlags
                function.argtypes = (_OUT, _P, ctypes.c_ulonglong)
                code = function(ctypes.byref(made), graph, 0)
            else:
                function = self._library.cudaGraphInstantiate
                function.argtypes = (_OUT, _P, _P, _P, ctypes.c_size_t)
                code = function(ctypes.byref(made), graph, None, None, 0)
            self._check("cudaGraphInstantiate", code)
        finally:
            self._call("cudaGraphDestroy", graph)
        return int(made.value or 0)

    def launch(self, graph: int, stream: int) -> None:
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cudaGraphExecDestroy", graph)

    def _call(self, name: str, *arguments: Any) -> None:
        self._check(name, getattr(self._library, name)(*arguments))

    def _check(self, name: str, code: int) -> None:
        if code:
            self._library.cudaGetLastError()  # takes it away, so that the next call is not blamed
            text = self._library.cudaGetErrorString(code) or b""
            raise cuda_error(name, code, text.decode("utf-8", "replace"))


def cuda_error(name: str, code: int, text: str) -> CudaError:
    """The error of a CUDA call, in our words."""
    no_room = code == 2
    error = CudaError(
        f"{name} failed",
        got=f"{text or 'an error'} (CUDA error {code})",
        remedy="close other programs, or use a smaller model or batch" if no_room else None,
    )
    error.no_room = no_room
    return error


def host_view(address: int, size: int) -> np.ndarray:
    """Host memory at an address as a `(size,)` uint8 array; it does not own the memory."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def load_library() -> Any:
    """`libcudart` with its functions declared: the first that works with this driver.

    Raises:
        CudaError: None was found, or none works.
    """
    failed: List[str] = []
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        for function, types in _FUNCTIONS.items():
            getattr(library, function).argtypes = types
        library.cudaGetErrorString.restype = ctypes.c_char_p
        library.cudaGetErrorString.argtypes = (ctypes.c_int,)
        code = library.cudaSetDevice(0) or library.cudaFree(None)
        if not code:
            return library
        failed.append(f"{name}: CUDA error {code}")
    raise CudaError(
        "CUDA's runtime library cannot be used",
        got="; ".join(failed) or "no libcudart.so",
        remedy="install it (JetPack: apt install cuda-cudart-dev-*), or pip install cuda-python",
    )


def _candidates() -> Iterator[str]:
    for suffix in ("", ".13", ".12", ".11.0", ".10.2"):
        yield f"libcudart.so{suffix}"
    yield from sorted(glob.glob("/usr/local/cuda*/lib64/libcudart.so*"), reverse=True)
    for folder in sys.path:  # NVIDIA's wheels
        yield from glob.glob(f"{folder}/nvidia/*/lib/libcudart.so*")
