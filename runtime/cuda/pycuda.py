"""CUDA through `pycuda`, which JetPack users often have and which builds on the device itself."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any, Dict, Iterator

import numpy as np

from .base import CudaError, HostBuffer
from .cudart import CudartDevice, cuda_error


class PycudaDevice:
    """The first CUDA device, through pycuda and the context that TensorRT uses, too.

    pycuda knows no graphs; where `libcudart` is at hand they are made through that, for the
    handles of the two are the same.

    Raises:
        ImportError: pycuda is not installed.
        CudaError: There is no driver or no device.
    """

    def __init__(self) -> None:
        import pycuda.driver as driver  # pyright: ignore[reportMissingImports]

        self._driver: Any = driver
        try:
            driver.init()
            device = driver.Device(0)
            # TensorRT lives in the primary context; memory of another one would be foreign to it.
            self._context = device.retain_primary_context()
        except driver.Error as error:
            raise CudaError("pycuda cannot use the device", got=str(error)) from None
        self.name = str(device.name())
        self.compute_capability = tuple(device.compute_capability())
        self.integrated = bool(device.get_attribute(driver.device_attribute.INTEGRATED))
        self._memory: Dict[int, Any] = {}
        self._streams: Dict[int, Any] = {}
        try:
            self._runtime = CudartDevice()
        except CudaError:
            self._runtime = None
        self.graphs = self._runtime is not None

    def current(self) -> AbstractContextManager:
        return self._pushed()

    @contextlib.contextmanager
    def _pushed(self) -> Iterator[None]:
        # A context that is left on the stack makes pycuda abort the process at its end.
        self._context.push()
        try:
            yield
        except self._driver.Error as error:
            raise CudaError("a CUDA call failed", got=str(error)) from None
        finally:
            self._context.pop()

    def alloc(self, size: int) -> int:
        with self._told("cuMemAlloc"):
            memory = self._driver.mem_alloc(max(size, 1))
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        with self._told("cuMemFree"):
            self._memory.pop(address).free()

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        flags = self._driver.host_alloc_flags.DEVICEMAP if mapped else 0
        with self._told("cuMemHostAlloc"):
            array = self._driver.pagelocked_empty(max(size, 1), np.uint8, mem_flags=flags)
            device = int(array.base.get_device_pointer()) if mapped else None
        return HostBuffer(array, device, array.base)

    def host_free(self, buffer: HostBuffer) -> None:
        handle: Any = buffer.handle
        with self._told("cuMemFreeHost"):
            handle.free()

    def to_device(self, address: int, source: np.ndarray, stream: int) -> None:
        with self._told("cuMemcpyHtoDAsync"):
            self._driver.memcpy_htod_async(address, source, self._streams[stream])

    def to_host(self, target: np.ndarray, address: int, stream: int) -> None:
        with self._told("cuMemcpyDtoHAsync"):
            self._driver.memcpy_dtoh_async(target, address, self._streams[stream])

    def create_stream(self) -> int:
        with self._told("cuStreamCreate"):
            # The flag is CU_STREAM_NON_BLOCKING.
            stream = self._driver.Stream(1)
        self._streams[int(stream.handle)] = stream
        return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        # pycuda destroys it once nothing holds it any more.
        self._streams.pop(stream)

    def synchronize(self, stream: int) -> None:
        with self._told("cuStreamSynchronize"):
            self._streams[stream].synchronize()

    def begin_capture(self, stream: int) -> None:
        self._graphs().begin_capture(stream)

    def end_capture(self, stream: int) -> int:
        return self._graphs().end_capture(stream)

    def launch(self, graph: int, stream: int) -> None:
        self._graphs().launch(graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._graphs().destroy_graph(graph)

    def _graphs(self) -> CudartDevice:
        if self._runtime is None:
            raise CudaError("pycuda knows no graphs")
        return self._runtime

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.MemoryError as error:
            raise cuda_error(what, 2, str(error)) from None
        except self._driver.Error as error:
            raise CudaError(f"{what} failed", got=str(error)) from None
