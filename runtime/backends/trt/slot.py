"""One place where an engine runs: a context, a stream, its memory and its graph."""

import logging
from typing import Dict, List, Optional, Tuple

import numpy as np

from ....core import ModelError
from ...cuda import CudaDevice, CudaError, HostBuffer, transfer_mode
from .api import Engine, OpenOutput, Shape, Tensor

_LOG = logging.getLogger("edgelane")


class _Memory:
    """Room for one tensor on the device, and on the host where the way of transfer wants it."""

    def __init__(self, device: CudaDevice, mode: str, size: int) -> None:
        self.size = size
        self._device = device
        self.host: Optional[HostBuffer] = None
        self._owned = 0
        if mode == "mapped":
            self.host = device.host_alloc(size, mapped=True)
            self.address = int(self.host.device or 0)
            return
        self._owned = self.address = device.alloc(size)
        if mode == "pinned":
            try:
                self.host = device.host_alloc(size, mapped=False)
            except BaseException:
                self.free()
                raise

    def array(self, shape: Shape, dtype: np.dtype) -> Optional[np.ndarray]:
        """The host's side of it as a tensor."""
        if self.host is None:
            return None
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return self.host.array[:size].view(dtype).reshape(shape)

    def free(self) -> None:
        host, self.host = self.host, None
        if host is not None:
            self._device.host_free(host)
        owned, self._owned = self._owned, 0
        if owned:
            self._device.free(owned)


class Slot:
    """Runs an engine for one thread at a time. Every call is made within `device.current()`.

    Args:
        engine: The engine.
        device: Where it runs.
        profile: The optimization profile to take.
        graphs: Whether runs may be captured into CUDA graphs.
        transfer: `mapped`, `pinned` or `pageable` instead of what `transfer_mode` says.

    Attributes:
        profile: The profile that it holds.
        graphs: False once a capture failed.
        launches: How many runs were launched as a graph.

    Raises:
        ModelError: There is no room for it.
    """

    def __init__(
        self,
        engine: Engine,
        device: CudaDevice,
        profile: int,
        graphs: bool,
        transfer: Optional[str] = None,
    ) -> None:
        self._device = device
        self._mode = transfer or transfer_mode(device)
        self._inputs = [t for t in engine.tensors if t.is_input]
        self._outputs = [t for t in engine.tensors if not t.is_input]
        self._memory: Dict[str, _Memory] = {}
        self._open: Dict[str, OpenOutput] = {}
        self._shapes: Dict[str, Shape] = {}
        self._results: List[Tuple[Tensor, Shape]] = []
        self._graph = 0
        self._runs = 0
        self.profile = profile
        self.graphs = graphs and device.graphs
        self.launches = 0
        self._stream = device.create_stream()
        try:
            self._context = engine.context(profile, self._stream)
        except BaseException:
            device.destroy_stream(self._stream)
            raise

    def run(self, feeds: Dict[str, np.ndarray]) -> Optional[Dict[str, np.ndarray]]:
        """Outputs by name, in arrays of their own; None where TensorRT refuses to run.

        Args:
            feeds: Contiguous arrays of the inputs' types, by name.

        Raises:
            ModelError: The shapes are none that the engine takes.
            CudaError: The device failed.
        """
        shapes = {name: feed.shape for name, feed in feeds.items()}
        if shapes != self._shapes:
            self._settle(shapes)
        for tensor in self._inputs:
            memory, feed = self._memory[tensor.name], feeds[tensor.name]
            staged = memory.array(feed.shape, feed.dtype)
            if staged is not None:
                np.copyto(staged, feed)
                feed = staged
            if self._mode != "mapped":
                self._device.to_device(memory.address, feed, self._stream)
        if not self._enqueue():
            # What waits in the stream still reads the feeds.
            self._device.synchronize(self._stream)
            return None
        return self._fetch()

    def close(self) -> None:
        """Give everything back; what a broken device refuses to take back is left to it."""
        self._context = None
        steps = [self._drop_graph]
        steps += [memory.free for memory in self._memory.values()]
        steps += [output.free for output in self._open.values()]
        steps.append(lambda: self._device.destroy_stream(self._stream))
        for step in steps:
            try:
                step()
            except CudaError as error:
                _LOG.debug("while closing: %s", error)
        self._memory, self._open = {}, {}

    def _settle(self, shapes: Dict[str, Shape]) -> None:
        """Make ready for inputs of other shapes."""
        context = self._context
        assert context is not None
        self._shapes = {}
        self._drop_graph()
        for tensor in self._inputs:
            if not context.set_shape(tensor.name, shapes[tensor.name]):
                raise _misfit(tensor, shapes[tensor.name])
            self._reserve(tensor, shapes[tensor.name])
        self._results = []
        for tensor in self._outputs:
            shape = context.shape(tensor.name)
            self._results.append((tensor, shape))
            if -1 not in shape:
                self._reserve(tensor, shape)
            elif tensor.name not in self._open:
                self._open[tensor.name] = context.bind_open(tensor.name, self._device)
        self._shapes = shapes
        self._runs = 0

    def _reserve(self, tensor: Tensor, shape: Shape) -> None:
        size = max(int(np.prod(shape, dtype=np.int64)) * tensor.dtype.itemsize, 1)
        memory = self._memory.get(tensor.name)
        if memory is None or memory.size < size:
            if memory is not None:
                del self._memory[tensor.name]
                memory.free()
            memory = self._memory[tensor.name] = self._allocate(size)
        assert self._context is not None
        self._context.bind(tensor.name, memory.address)

    def _allocate(self, size: int) -> _Memory:
        if self._mode == "mapped" and not self._memory:
            try:
                return _Memory(self._device, self._mode, size)
            except CudaError as error:
                if error.no_room:
                    raise
                # A context that someone else made may not allow it.
                _LOG.debug("host memory cannot be mapped, so it is copied: %s", error)
                self._mode = "pageable"
        return _Memory(self._device, self._mode, size)

    def _enqueue(self) -> bool:
        """Put a run into the stream: as a graph where there is one."""
        assert self._context is not None
        if self._graph:
            self._device.launch(self._graph, self._stream)
            self.launches += 1
            return True
        self._runs += 1
        # TensorRT settles what depends on the shapes in the first run; the second is recorded.
        if self._runs == 2 and self.graphs and not self._open:
            self._capture()
            if self._graph:
                return self._enqueue()
        return self._context.enqueue(self._stream)

    def _capture(self) -> None:
        assert self._context is not None
        # The copies of this run are not to be part of the graph.
        self._device.synchronize(self._stream)
        try:
            self._device.begin_capture(self._stream)
            good = False
            try:
                good = self._context.enqueue(self._stream)
            finally:
                graph = self._device.end_capture(self._stream)
            if good:
                self._graph = graph
                return
            self._device.destroy_graph(graph)
            reason = "TensorRT refused"
        except CudaError as error:
            reason = str(error)
        self.graphs = False
        _LOG.debug("this engine runs without CUDA graphs: %s", reason)

    def _fetch(self) -> Dict[str, np.ndarray]:
        """Wait for the run and give its outputs."""
        values: Dict[str, np.ndarray] = {}
        staged: Dict[str, np.ndarray] = {}
        for tensor, shape in self._results:
            address = 0
            if -1 in shape:
                output = self._open[tensor.name]
                shape, address = output.shape, output.address
                seen = None
            else:
                memory = self._memory[tensor.name]
                address, seen = memory.address, memory.array(shape, tensor.dtype)
            if seen is None:
                values[tensor.name] = np.empty(shape, tensor.dtype)
            else:
                staged[tensor.name] = values[tensor.name] = seen
            if (seen is None or self._mode != "mapped") and values[tensor.name].nbytes:
                self._device.to_host(values[tensor.name], address, self._stream)
        self._device.synchronize(self._stream)
        for name, seen in staged.items():
            values[name] = seen.copy()
        return values

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, 0
        if graph:
            self._device.destroy_graph(graph)


def _misfit(tensor: Tensor, shape: Shape) -> ModelError:
    limits = "x".join(
        str(low) if low == high else f"{low}..{high}" for low, high in zip(tensor.low, tensor.high)
    )
    return ModelError(
        f"the engine does not take {tensor.name} of this shape",
        got="x".join(map(str, shape)),
        expected=limits,
        remedy="build it for this shape: edgelane build",
    )
