"""What every way to a CUDA device offers, whatever library stands behind it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Optional, Protocol, Tuple

import numpy as np

from ...core import ModelError


class CudaError(ModelError):
    """A CUDA call failed.

    Attributes:
        no_room: Whether it failed for want of memory, which does not break the device.
    """

    no_room = False


@dataclass(frozen=True)
class HostBuffer:
    """Page-locked host memory.

    Attributes:
        array: The memory, `(size,)` uint8.
        device: Where the device sees it; None for memory that is not mapped.
        handle: What the library knows it by.
    """

    array: np.ndarray
    device: Optional[int]
    handle: object


class CudaDevice(Protocol):
    """A CUDA device: memory, streams and graphs. Addresses and handles are plain integers.

    All methods may be called from several threads, each within `current()`.

    Attributes:
        name: What the device calls itself.
        compute_capability: `(major, minor)`.
        integrated: Whether it shares its memory with the CPU, as every Jetson does.
        graphs: Whether streams can be captured into graphs.
    """

    name: str
    compute_capability: Tuple[int, int]
    integrated: bool
    graphs: bool

    def current(self) -> AbstractContextManager:
        """Make the device the calling thread's own while the `with` lasts."""
        ...

    def alloc(self, size: int) -> int:
        """Address of `size` new bytes on the device, at least 1.

        Raises:
            CudaError: There is no room.
        """
        ...

    def free(self, address: int) -> None:
        """Give memory back; waits for the device."""
        ...

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        """Page-locked host memory; mapped memory the device reads and writes in place."""
        ...

    def host_free(self, buffer: HostBuffer) -> None:
        """Give page-locked memory back; its array must not be used any more."""
        ...

    def to_device(self, address: int, source: np.ndarray, stream: int) -> None:
        """Copy a contiguous array to the device; it must not change until the stream is done."""
        ...

    def to_host(self, target: np.ndarray, address: int, stream: int) -> None:
        """Copy from the device into a contiguous array, which is filled once the stream is done."""
        ...

    def create_stream(self) -> int:
        """Handle of a new stream that does not wait for the default one."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Let go of a stream."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until all of a stream is done.

        Raises:
            CudaError: Something in it failed.
        """
        ...

    def begin_capture(self, stream: int) -> None:
        """From now on this thread's work in the stream is recorded, not done."""
        ...

    def end_capture(self, stream: int) -> int:
        """The recorded work as a graph that can be launched.

        Raises:
            CudaError: Something in it cannot be recorded. The stream can be used again.
        """
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Do the work of a graph in a stream."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Let go of a graph."""
        ...


def transfer_mode(device: CudaDevice) -> str:
    """How arrays get to a device and back.

    Returns:
        `mapped` where CPU and GPU see the same memory coherently (Xavier and newer Jetsons):
        nothing is copied. `pinned` on cards with memory of their own, through page-locked memory.
        `pageable` on Nano and TX2, whose page-locked memory the CPU does not cache, so that reading
        results from it takes longer than a copy.
    """
    if not device.integrated:
        return "pinned"
    return "mapped" if device.compute_capability >= (7, 2) else "pageable"
