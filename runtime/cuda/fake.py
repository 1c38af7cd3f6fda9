"""A `CudaDevice` over the simulated one, for tests without any CUDA library."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any, Callable, Optional

import numpy as np

from .base import HostBuffer
from .cudart import cuda_error, host_view
from .simulated import SimulatedCuda, SimulatedCudaError, error_text


class FakeDevice:
    """A CUDA device that does not exist.

    Args:
        cuda: The simulated device; a Xavier by default.
        graphs: Whether it can capture graphs.
    """

    def __init__(self, cuda: Optional[SimulatedCuda] = None, graphs: bool = True) -> None:
        self.cuda = cuda or SimulatedCuda()
        self.name = self.cuda.name
        self.compute_capability = self.cuda.compute_capability
        self.integrated = self.cuda.integrated
        self.graphs = graphs

    def current(self) -> AbstractContextManager:
        return contextlib.nullcontext()

    def alloc(self, size: int) -> int:
        return self._call(self.cuda.alloc, max(size, 1))

    def free(self, address: int) -> None:
        self._call(self.cuda.free, address)

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        address = self._call(self.cuda.host_alloc, size, mapped)
        device = self._call(self.cuda.host_device_pointer, address) if mapped else None
        return HostBuffer(host_view(address, max(size, 1)), device, address)

    def host_free(self, buffer: HostBuffer) -> None:
        self._call(self.cuda.host_free, buffer.handle)

    def to_device(self, address: int, source: np.ndarray, stream: int) -> None:
        self._call(self.cuda.copy, address, source.ctypes.data, source.nbytes, "h2d", stream)

    def to_host(self, target: np.ndarray, address: int, stream: int) -> None:
        self._call(self.cuda.copy, target.ctypes.data, address, target.nbytes, "d2h", stream)

    def create_stream(self) -> int:
        return self._call(self.cuda.create_stream)

    def destroy_stream(self, stream: int) -> None:
        self._call(self.cuda.destroy_stream, stream)

    def synchronize(self, stream: int) -> None:
        self._call(self.cuda.synchronize, stream)

    def begin_capture(self, stream: int) -> None:
        self._call(self.cuda.begin_capture, stream)

    def end_capture(self, stream: int) -> int:
        graph = self._call(self.cuda.end_capture, stream)
        made = self._call(self.cuda.instantiate, graph)
        self._call(self.cuda.destroy_graph, graph)
        return made

    def launch(self, graph: int, stream: int) -> None:
        self._call(self.cuda.launch, graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call(self.cuda.destroy_graph, graph)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except SimulatedCudaError as error:
            raise cuda_error(function.__name__, error.code, error_text(error.code)) from None
