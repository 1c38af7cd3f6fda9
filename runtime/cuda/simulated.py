"""A CUDA device that is none: memory, streams and graphs in this process, as strict as real ones.

What waits in a stream runs when the stream is waited for, no sooner, so that code which forgets to
wait, frees too early or reuses a buffer too soon gets wrong numbers or an error here as it may on
a device. A wrong address makes the device unusable until the process ends, as on a device.
"""

import bisect
import ctypes
import itertools
import threading
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE = 1, 2, 100
INVALID_HANDLE, ILLEGAL_ADDRESS, LAUNCH_FAILURE = 400, 700, 719
CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED, CAPTURE_WRONG_THREAD = 900, 901, 909

_NAMES = {
    INVALID_VALUE: "invalid argument",
    OUT_OF_MEMORY: "out of memory",
    NO_DEVICE: "no CUDA-capable device is detected",
    INVALID_HANDLE: "invalid resource handle",
    ILLEGAL_ADDRESS: "an illegal memory access was encountered",
    LAUNCH_FAILURE: "unspecified launch failure",
    CAPTURE_UNSUPPORTED: "operation not permitted when stream is capturing",
    CAPTURE_INVALIDATED: "operation failed due to a previous error during capture",
    CAPTURE_WRONG_THREAD: "attempt to end a thread-local capture from another thread",
}


class SimulatedCudaError(Exception):
    """What a call of the simulated driver ends with; `code` is CUDA's own number."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"{_NAMES.get(code, 'unknown error')} ({code})")


def error_text(code: int) -> str:
    """CUDA's words for one of its numbers."""
    return _NAMES.get(code, "no error" if code == 0 else "unknown error")


class _Stream:
    def __init__(self) -> None:
        self.waiting: List[Callable[[], None]] = []
        self.lock = threading.RLock()
        self.captured: Optional[List[Callable[[], None]]] = None
        self.capture_thread = 0
        self.capture_broken = False


class SimulatedCuda:
    """Memory, streams and graphs of one device that does not exist.

    Args:
        name: What the device calls itself.
        compute_capability: `(major, minor)`.
        integrated: Whether it shares its memory with the CPU, as every Jetson does.
        memory: Bytes that can be allocated.
        present: Whether there is a driver and a device at all.

    Attributes:
        used: Bytes that are allocated now.
        launched: How many graphs were launched so far.
    """

    def __init__(
        self,
        name: str = "Xavier",
        compute_capability: Tuple[int, int] = (7, 2),
        integrated: bool = True,
        memory: int = 8 << 30,
        present: bool = True,
    ) -> None:
        self.name = name
        self.compute_capability = compute_capability
        self.integrated = integrated
        self.memory = memory
        self.present = present
        self.used = 0
        self.launched = 0
        self._blocks: Dict[int, np.ndarray] = {}
        self._starts: List[int] = []
        self._host: Dict[int, np.ndarray] = {}
        self._mapped: Dict[int, int] = {}
        self._streams: Dict[int, _Stream] = {0: _Stream()}
        self._graphs: Dict[int, List[Callable[[], None]]] = {}
        self._next_address = 0x7_0000_0000
        self._handles = itertools.count(0x5_0000_0010, 0x10)
        self._lock = threading.RLock()
        self._broken = 0

    # ---- memory

    def alloc(self, size: int) -> int:
        """Address of `size` new bytes, which hold rubbish."""
        with self._lock:
            self._usable()
            self._not_capturing()
            if size <= 0:
                return 0
            if self.used + size > self.memory:
                raise SimulatedCudaError(OUT_OF_MEMORY)
            address = self._next_address
            self._next_address += -(-size // 512) * 512 + 512
            self._add(address, np.full(size, 0xA5, np.uint8))
            self.used += size
            return address

    def free(self, address: int) -> None:
        if address == 0:
            return
        self._usable()
        self._not_capturing()
        # A real one waits for the whole device before it takes memory away.
        self.synchronize_all()
        with self._lock:
            if address not in self._blocks or address in self._host:
                raise SimulatedCudaError(INVALID_VALUE)
            self.used -= len(self._blocks[address])
            self._remove(address)

    def host_alloc(self, size: int, mapped: bool) -> int:
        """Address of `size` bytes of page-locked host memory; mapped ones the device sees too."""
        with self._lock:
            self._usable()
            self._not_capturing()
            block = np.full(max(size, 1), 0xA5, np.uint8)
            address = block.ctypes.data
            self._host[address] = block
            if mapped:
                self._add(address, block)
                self._mapped[address] = address
            return address

    def host_free(self, address: int) -> None:
        self._usable()
        self._not_capturing()
        self.synchronize_all()
        with self._lock:
            if self._host.pop(address, None) is None:
                raise SimulatedCudaError(INVALID_VALUE)
            if self._mapped.pop(address, None) is not None:
                self._remove(address)

    def host_device_pointer(self, address: int) -> int:
        """Where the device sees mapped host memory."""
        with self._lock:
            if address not in self._mapped:
                raise SimulatedCudaError(INVALID_VALUE)
            return self._mapped[address]

    def view(self, address: int, size: int) -> np.ndarray:
        """Bytes of the device's memory, `(size,)` uint8; only for what runs on the device.

        Raises:
            SimulatedCudaError: They are not all within one allocation. The device is unusable
                from then on.
        """
        with self._lock:
            index = bisect.bisect_right(self._starts, address) - 1
            if index >= 0:
                start = self._starts[index]
                block = self._blocks[start]
                if address + size <= start + len(block):
                    return block[address - start : address - start + size]
            self._broken = ILLEGAL_ADDRESS
            raise SimulatedCudaError(ILLEGAL_ADDRESS)

    # ---- streams

    def create_stream(self) -> int:
        with self._lock:
            self._usable()
            handle = next(self._handles)
            self._streams[handle] = _Stream()
            return handle

    def destroy_stream(self, stream: int) -> None:
        if stream == 0:
            raise SimulatedCudaError(INVALID_HANDLE)
        self.synchronize(stream)
        with self._lock:
            del self._streams[stream]

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        """Put work at the end of a stream, or into the graph that it captures."""
        state = self._stream(stream)
        with state.lock:
            if state.captured is not None:
                if state.capture_broken:
                    raise SimulatedCudaError(CAPTURE_INVALIDATED)
                state.captured.append(work)
            else:
                state.waiting.append(work)

    def synchronize(self, stream: int) -> None:
        """Do what waits in a stream."""
        state = self._stream(stream)
        with state.lock:
            if state.captured is not None:
                state.capture_broken = True
                raise SimulatedCudaError(CAPTURE_UNSUPPORTED)
            self._drain(state)

    def synchronize_all(self) -> None:
        """Do what waits anywhere, but for streams that capture."""
        for state in list(self._streams.values()):
            with state.lock:
                if state.captured is None:
                    self._drain(state)

    def copy(self, to: int, source: int, size: int, kind: str, stream: Optional[int]) -> None:
        """Copy bytes.

        Args:
            to: Address to write to.
            source: Address to read from.
            size: Bytes.
            kind: `h2d`, `d2h` or `d2d`.
            stream: A stream, in which the copy waits; None copies at once.
        """

        def work() -> None:
            data = _host(source, size) if kind == "h2d" else self.view(source, size)
            (_host(to, size) if kind == "d2h" else self.view(to, size))[:] = data

        if stream is not None:
            self.enqueue(stream, work)
            return
        self._usable()
        self._not_capturing()
        self.synchronize(0)
        work()

    # ---- graphs

    def begin_capture(self, stream: int) -> None:
        if stream == 0:
            raise SimulatedCudaError(CAPTURE_UNSUPPORTED)
        state = self._stream(stream)
        with state.lock:
            if state.captured is not None:
                raise SimulatedCudaError(INVALID_VALUE)
            state.captured, state.capture_broken = [], False
            state.capture_thread = threading.get_ident()

    def end_capture(self, stream: int) -> int:
        """The graph of what was put into the stream since `begin_capture`."""
        state = self._stream(stream)
        with state.lock:
            if state.captured is None:
                raise SimulatedCudaError(INVALID_VALUE)
            if state.capture_thread != threading.get_ident():
                raise SimulatedCudaError(CAPTURE_WRONG_THREAD)
            captured, state.captured = state.captured, None
            if state.capture_broken:
                raise SimulatedCudaError(CAPTURE_INVALIDATED)
        with self._lock:
            graph = next(self._handles)
            self._graphs[graph] = captured
            return graph

    def instantiate(self, graph: int) -> int:
        with self._lock:
            copy = next(self._handles)
            self._graphs[copy] = list(self._graph(graph))
            return copy

    def launch(self, graph: int, stream: int) -> None:
        work = list(self._graph(graph))
        self.launched += 1

        def run() -> None:
            for step in work:
                step()

        self.enqueue(stream, run)

    def destroy_graph(self, graph: int) -> None:
        with self._lock:
            self._graph(graph)
            del self._graphs[graph]

    # ----

    def breaks(self, stream: int) -> None:
        """An operation that no graph can hold was tried: the capture of this stream fails."""
        state = self._stream(stream)
        if state.captured is not None:
            state.capture_broken = True

    def capturing(self, stream: int) -> bool:
        return self._stream(stream).captured is not None

    def _drain(self, state: _Stream) -> None:
        """Do what waits in a stream; its lock is held, and the device's must not be."""
        waiting, state.waiting = state.waiting, []
        for work in waiting:
            self._usable()
            try:
                work()
            except SimulatedCudaError:
                raise
            except Exception as error:  # whatever a kernel dies of, the caller sees one number
                self._broken = LAUNCH_FAILURE
                raise SimulatedCudaError(LAUNCH_FAILURE) from error
        self._usable()

    def _usable(self) -> None:
        if not self.present:
            raise SimulatedCudaError(NO_DEVICE)
        if self._broken:
            raise SimulatedCudaError(self._broken)

    def _capturing_here(self) -> Iterator[_Stream]:
        here = threading.get_ident()
        for state in list(self._streams.values()):
            if state.captured is not None and state.capture_thread == here:
                yield state

    def _not_capturing(self) -> None:
        for state in self._capturing_here():
            state.capture_broken = True
            raise SimulatedCudaError(CAPTURE_UNSUPPORTED)

    def _stream(self, stream: int) -> _Stream:
        with self._lock:
            self._usable()
            if stream not in self._streams:
                raise SimulatedCudaError(INVALID_HANDLE)
            return self._streams[stream]

    def _graph(self, graph: int) -> List[Callable[[], None]]:
        if graph not in self._graphs:
            raise SimulatedCudaError(INVALID_VALUE)
        return self._graphs[graph]

    def _add(self, address: int, block: np.ndarray) -> None:
        self._blocks[address] = block
        bisect.insort(self._starts, address)

    def _remove(self, address: int) -> None:
        del self._blocks[address]
        self._starts.remove(address)


def _host(address: int, size: int) -> np.ndarray:
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
