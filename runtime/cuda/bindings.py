"""CUDA through `cuda-python`: `cuda.cudart` of the old layout, `cuda.bindings` of the new."""

import contextlib
import importlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from .base import HostBuffer
from .cudart import cuda_error, host_view
from .driver import compute_capability, device_name, is_integrated


class BindingsDevice:
    """The first CUDA device, through `cuda-python`.

    Raises:
        ImportError: `cuda-python` is not installed.
        CudaError: There is no driver or no device.
    """

    def __init__(self) -> None:
        self._cuda: Any = _module()
        self.compute_capability = compute_capability()
        self.name = device_name()
        self.integrated = is_integrated()
        self.graphs = True
        self._kinds = self._cuda.cudaMemcpyKind
        self._call("cudaSetDevice", 0)

    def current(self) -> AbstractContextManager:
        """Nothing needs to be done: the first device is every thread's own from the start."""
        return contextlib.nullcontext()

    def alloc(self, size: int) -> int:
        return int(self._call("cudaMalloc", max(size, 1)))

    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        size = max(size, 1)
        address = int(self._call("cudaHostAlloc", size, 2 if mapped else 0))
        device = int(self._call("cudaHostGetDevicePointer", address, 0)) if mapped else None
        return HostBuffer(host_view(address, size), device, address)

    def host_free(self, buffer: HostBuffer) -> None:
        self._call("cudaFreeHost", buffer.handle)

    def to_device(self, address: int, source: np.ndarray, stream: int) -> None:
        kind = self._kinds.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, source.ctypes.data, source.nbytes, kind, stream)

    def to_host(self, target: np.ndarray, address: int, stream: int) -> None:
        kind = self._kinds.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.ctypes.data, address, target.nbytes, kind, stream)

    def create_stream(self) -> int:
        return int(self._call("cudaStreamCreateWithFlags", 1))

    def destroy_stream(self, stream: int) -> None:
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: int) -> None:
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: int) -> None:
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            return int(self._call("cudaGraphInstantiateWithFlags", graph, 0))
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: int, stream: int) -> None:
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cudaGraphExecDestroy", graph)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function, which gives an error code and at most one value."""
        code, *values = getattr(self._cuda, name)(*arguments)
        if int(code):
            self._cuda.cudaGetLastError()
            text = self._cuda.cudaGetErrorString(code)[1]  # it wants the enumeration
            text = text.decode() if isinstance(text, bytes) else str(text)
            raise cuda_error(name, int(code), text)
        return values[0] if values else None


def _module() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        return importlib.import_module("cuda.cudart")
