"""The two ways to talk to an engine: by index of the binding (to 8.4), by name (from 8.5 on)."""

from dataclasses import dataclass
from typing import Any, Dict, List, Protocol, Tuple

import numpy as np

from ....core import ModelError
from ...cuda import CudaDevice
from .library import numpy_type

Shape = Tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine.

    Attributes:
        name: Its name.
        is_input: Whether it is an input.
        shape: -1 where it is open.
        dtype: numpy dtype.
        low: The smallest shape that an input may have.
        usual: The shape that an input was tuned for.
        high: The largest shape that an input may have.
    """

    name: str
    is_input: bool
    shape: Shape
    dtype: np.dtype
    low: Shape = ()
    usual: Shape = ()
    high: Shape = ()


class Context(Protocol):
    """An execution context; used by one thread at a time."""

    def set_shape(self, name: str, shape: Shape) -> bool:
        """Settle the shape of an input; False where the engine does not take it."""
        ...

    def shape(self, name: str) -> Shape:
        """Shape of a tensor once the inputs' are settled; -1 where it depends on the data."""
        ...

    def bind(self, name: str, address: int) -> None:
        """Say where a tensor lies."""
        ...

    def bind_open(self, name: str, device: CudaDevice) -> "OpenOutput":
        """Let an output be allocated while the engine runs.

        Raises:
            ModelError: This TensorRT cannot.
        """
        ...

    def enqueue(self, stream: int) -> bool:
        """Put a run into a stream."""
        ...


class OpenOutput(Protocol):
    """An output whose size is known only when the engine has run."""

    address: int
    shape: Shape

    def free(self) -> None:
        """Give its memory back."""
        ...


class Engine(Protocol):
    """An engine, asked in whichever way its release knows.

    Attributes:
        tensors: Inputs and outputs.
        profiles: Indices of the optimization profiles that allow what the first allows.
    """

    tensors: List[Tensor]
    profiles: List[int]

    def context(self, profile: int, stream: int) -> Context:
        """A new context.

        Raises:
            ModelError: There is no memory for it.
        """
        ...


def wrap(engine: Any, trt: Any) -> Engine:
    """The engine behind the way of talking that its release knows best."""
    return NamedEngine(engine, trt) if hasattr(engine, "num_io_tensors") else BoundEngine(engine)


def _new_context(engine: Any) -> Any:
    context = engine.create_execution_context()
    if context is None:
        raise ModelError(
            "TensorRT makes no execution context",
            remedy="close other programs: the device has no memory left for it",
        )
    return context


def _choose(context: Any, profile: int, stream: int) -> None:
    # The first context of an engine has profile 0 from the start, later ones have none before 10.
    if context.active_optimization_profile != profile and (
        not context.set_optimization_profile_async(profile, stream)
    ):
        raise ModelError("TensorRT does not take the engine's profile", got=profile)


def _check_format(name: str, layout: Any) -> None:
    if layout.name != "LINEAR":
        raise ModelError(
            f"the engine wants {name} in a format of its own",
            got=layout.name,
            expected="LINEAR",
            remedy="build it without special input and output formats: edgelane build",
        )


class NamedEngine:
    """By name of the tensor."""

    def __init__(self, engine: Any, trt: Any) -> None:
        self._engine, self._trt = engine, trt
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        self.tensors = [self._tensor(name) for name in names]
        count = engine.num_optimization_profiles
        self.profiles = [k for k in range(count) if not k or self._ranges(k) == self._ranges(0)]

    def _tensor(self, name: str) -> Tensor:
        engine, trt = self._engine, self._trt
        if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise ModelError(f"the engine wants {name} in host memory, which edgelane does not do")
        _check_format(name, engine.get_tensor_format(name))
        shape = tuple(engine.get_tensor_shape(name))
        dtype = numpy_type(engine.get_tensor_dtype(name), name)
        if engine.get_tensor_mode(name) != trt.TensorIOMode.INPUT:
            return Tensor(name, False, shape, dtype)
        ranges = [tuple(s) for s in engine.get_tensor_profile_shape(name, 0)]
        return Tensor(name, True, shape, dtype, *(ranges if -1 in shape else [shape] * 3))

    def _ranges(self, profile: int) -> List[Any]:
        names = [t.name for t in self.tensors if t.is_input and -1 in t.shape]
        return [[*map(tuple, self._engine.get_tensor_profile_shape(n, profile))] for n in names]

    def context(self, profile: int, stream: int) -> "NamedContext":
        context = _new_context(self._engine)
        _choose(context, profile, stream)
        return NamedContext(context, self._trt)


class NamedContext:
    """A context that is told names."""

    def __init__(self, context: Any, trt: Any) -> None:
        self._context, self._trt = context, trt

    def set_shape(self, name: str, shape: Shape) -> bool:
        return bool(self._context.set_input_shape(name, shape))

    def shape(self, name: str) -> Shape:
        return tuple(self._context.get_tensor_shape(name))

    def bind(self, name: str, address: int) -> None:
        if not self._context.set_tensor_address(name, address):
            raise ModelError(f"TensorRT does not take the address of {name}")

    def bind_open(self, name: str, device: CudaDevice) -> OpenOutput:
        allocator = _make_allocator(self._trt, device)
        if not self._context.set_output_allocator(name, allocator):
            raise ModelError(f"TensorRT does not take an allocator for {name}")
        return allocator

    def enqueue(self, stream: int) -> bool:
        return bool(self._context.execute_async_v3(stream))


def _make_allocator(trt: Any, device: CudaDevice) -> Any:
    class Allocator(trt.IOutputAllocator):
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.address, self.size = 0, 0
            self.shape: Shape = ()

        def reallocate_output(
            self, tensor_name: str, memory: Any, size: int, alignment: int
        ) -> int:
            # Called from within TensorRT: nothing may be raised through it, and 0 means no.
            # What CUDA allocates is aligned to 256 bytes, more than TensorRT ever asks for.
            if size > self.size or not self.address:
                try:
                    self.free()
                    self.address, self.size = device.alloc(size), size
                except ModelError:
                    return 0
            return self.address

        def reallocate_output_async(
            self, tensor_name: str, memory: Any, size: int, alignment: int, stream: Any
        ) -> int:
            return self.reallocate_output(tensor_name, memory, size, alignment)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            self.shape = tuple(shape)

        def free(self) -> None:
            if self.address:
                address, self.address, self.size = self.address, 0, 0
                device.free(address)

    return Allocator()


class BoundEngine:
    """By index of the binding; each profile has a set of bindings of its own."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        total, count = engine.num_bindings, engine.num_optimization_profiles
        self._each = total // max(count, 1)
        self._total = total
        self.tensors = [self._tensor(i) for i in range(self._each)]
        self.profiles = [k for k in range(count) if not k or self._ranges(k) == self._ranges(0)]

    def _tensor(self, index: int) -> Tensor:
        engine = self._engine
        name = engine.get_binding_name(index)
        if engine.is_shape_binding(index):
            raise ModelError(f"the engine wants {name} in host memory, which edgelane does not do")
        _check_format(name, engine.get_binding_format(index))
        shape = tuple(engine.get_binding_shape(index))
        dtype = numpy_type(engine.get_binding_dtype(index), name)
        if not engine.binding_is_input(index):
            return Tensor(name, False, shape, dtype)
        ranges = [shape] * 3
        if -1 in shape:
            ranges = [tuple(s) for s in engine.get_profile_shape(0, index)]
        return Tensor(name, True, shape, dtype, *ranges)

    def _ranges(self, profile: int) -> List[Any]:
        shift = profile * self._each
        return [
            [*map(tuple, self._engine.get_profile_shape(profile, i + shift))]
            for i, tensor in enumerate(self.tensors)
            if tensor.is_input and -1 in tensor.shape
        ]

    def context(self, profile: int, stream: int) -> "BoundContext":
        context = _new_context(self._engine)
        _choose(context, profile, stream)
        shift = profile * self._each
        places = {t.name: i + shift for i, t in enumerate(self.tensors)}
        dynamic = {t.name for t in self.tensors if t.is_input and -1 in t.shape}
        return BoundContext(context, places, dynamic, self._total)


class BoundContext:
    """A context that is told indices."""

    def __init__(self, context: Any, places: Dict[str, int], dynamic: Any, total: int) -> None:
        self._context, self._places, self._dynamic = context, places, dynamic
        self._addresses = [0] * total

    def set_shape(self, name: str, shape: Shape) -> bool:
        if name not in self._dynamic:
            return self.shape(name) == shape
        return bool(self._context.set_binding_shape(self._places[name], shape))

    def shape(self, name: str) -> Shape:
        return tuple(self._context.get_binding_shape(self._places[name]))

    def bind(self, name: str, address: int) -> None:
        self._addresses[self._places[name]] = address

    def bind_open(self, name: str, device: CudaDevice) -> OpenOutput:
        raise ModelError(
            f"the size of the output {name} depends on the data",
            expected="fixed sizes: TensorRT has no allocator for outputs before 8.5",
        )

    def enqueue(self, stream: int) -> bool:
        return bool(self._context.execute_async_v2(self._addresses, stream))
