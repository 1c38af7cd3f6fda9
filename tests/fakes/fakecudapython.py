"""`cuda-python` and `pycuda` over a simulated device: the parts that an adapter uses.

What they give back and insist on follows their documentation: cuda-python answers with tuples that
begin with an error code and wants its own enumerations; pycuda raises, wants a context on the
calling thread's stack, and aborts at the end of a process that left one there.
"""

import contextlib
import enum
import sys
import threading
import types

import numpy as np

from edgelane.runtime.cuda.simulated import OUT_OF_MEMORY, SimulatedCudaError, error_text


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


cudaError_t = enum.IntEnum(
    "cudaError_t",
    {"cudaSuccess": 0, **{f"error_{n}": n for n in (1, 2, 100, 400, 700, 719, 900, 901, 909)}},
)


class _Handle:
    """Streams and graphs are objects that know their address."""

    def __init__(self, value):
        self._value = value

    def __int__(self):
        return self._value


def runtime_module(name, cuda):
    """`cuda.cudart` or `cuda.bindings.runtime`."""
    module = types.ModuleType(name)

    def add(function, work, has_value=False, wrap=lambda v: v):
        def call(*args):
            try:
                value = work(*args)
            except SimulatedCudaError as error:
                code = cudaError_t(error.code)
                return (code, None) if has_value else (code,)
            good = cudaError_t.cudaSuccess
            return (good, wrap(value)) if has_value else (good,)

        setattr(module, function, call)

    def copy(to, source, size, kind, stream):
        if not isinstance(kind, cudaMemcpyKind):
            raise TypeError("kind is an enumeration")
        names = {1: "h2d", 2: "d2h"}
        cuda.copy(to, source, size, names[int(kind)], int(stream))

    def begin(stream, mode):
        if not isinstance(mode, cudaStreamCaptureMode):
            raise TypeError("mode is an enumeration")
        cuda.begin_capture(int(stream))

    module.cudaMemcpyKind, module.cudaStreamCaptureMode = cudaMemcpyKind, cudaStreamCaptureMode
    add("cudaSetDevice", lambda n: cuda._usable())
    add("cudaMalloc", cuda.alloc, True)
    add("cudaFree", lambda p: cuda.free(int(p)))
    add("cudaHostAlloc", lambda n, flags: cuda.host_alloc(n, bool(flags & 2)), True)
    add("cudaFreeHost", lambda p: cuda.host_free(int(p)))
    add("cudaHostGetDevicePointer", lambda p, f: cuda.host_device_pointer(p), True)
    add("cudaMemcpyAsync", copy)
    add("cudaStreamCreateWithFlags", lambda f: cuda.create_stream(), True, _Handle)
    add("cudaStreamDestroy", lambda s: cuda.destroy_stream(int(s)))
    add("cudaStreamSynchronize", lambda s: cuda.synchronize(int(s)))
    add("cudaStreamBeginCapture", begin)
    add("cudaStreamEndCapture", lambda s: cuda.end_capture(int(s)), True, _Handle)
    add("cudaGraphInstantiateWithFlags", lambda g, f: cuda.instantiate(int(g)), True, _Handle)
    add("cudaGraphLaunch", lambda g, s: cuda.launch(int(g), int(s)))
    add("cudaGraphExecDestroy", lambda g: cuda.destroy_graph(int(g)))
    add("cudaGraphDestroy", lambda g: cuda.destroy_graph(int(g)))
    module.cudaGetLastError = lambda: (0,)

    def text(code):
        if not isinstance(code, cudaError_t):
            raise TypeError("Argument 'error' has incorrect type")
        return cudaError_t.cudaSuccess, error_text(int(code)).encode()

    module.cudaGetErrorString = text
    return module


@contextlib.contextmanager
def cuda_python(cuda, layout):
    """`cuda-python` is installed for a while, as `cudart` (before 13) or `bindings`."""
    root = types.ModuleType("cuda")
    root.__path__ = []
    made = {"cuda": root}
    if layout == "cudart":
        made["cuda.cudart"] = runtime_module("cuda.cudart", cuda)
        made["cuda.bindings"] = made["cuda.bindings.runtime"] = None
    else:
        made["cuda.bindings"] = types.ModuleType("cuda.bindings")
        made["cuda.bindings"].__path__ = []
        made["cuda.bindings.runtime"] = runtime_module("cuda.bindings.runtime", cuda)
        made["cuda.cudart"] = None
    with _modules(made):
        yield


@contextlib.contextmanager
def _modules(made):
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


@contextlib.contextmanager
def pycuda(cuda):
    """pycuda is installed for a while; yields its `driver` module.

    Raises:
        AssertionError: A context was left on a thread's stack.
    """
    driver, package = types.ModuleType("pycuda.driver"), types.ModuleType("pycuda")
    package.__path__, package.driver = [], driver
    depth = threading.local()
    left = []

    class Error(Exception):
        pass

    class MemoryError(Error):  # noqa: A001
        pass

    def call(function, *args):
        if not getattr(depth, "n", 0):
            raise Error("context: invalid device context - no currently active context?")
        try:
            return function(*args)
        except SimulatedCudaError as error:
            kind = MemoryError if error.code == OUT_OF_MEMORY else Error
            raise kind(str(error)) from None

    class Context:
        def push(self):
            depth.n = getattr(depth, "n", 0) + 1
            left.append(1)

        def pop(self):
            depth.n -= 1
            left.pop()

    class Device:
        def __init__(self, number):
            if not cuda.present:
                raise Error("cuDeviceGet failed: no device")

        def retain_primary_context(self):
            return Context()

        def name(self):
            return cuda.name

        def compute_capability(self):
            return cuda.compute_capability

        def get_attribute(self, which):
            return {"INTEGRATED": int(cuda.integrated)}[which]

    class DeviceAllocation:
        def __init__(self, size):
            self._address = call(cuda.alloc, size)

        def __int__(self):
            return self._address

        def free(self):
            call(cuda.free, self._address)

    class HostAllocation:
        def __init__(self, size, mapped):
            self._address = call(cuda.host_alloc, size, mapped)
            self._mapped = mapped
            self.__array_interface__ = {
                "data": (self._address, False),
                "shape": (size,),
                "typestr": "|u1",
                "version": 3,
            }

        def get_device_pointer(self):
            return call(cuda.host_device_pointer, self._address)

        def free(self):
            call(cuda.host_free, self._address)

    class Stream:
        def __init__(self, flags=0):
            self.handle = call(cuda.create_stream)

        def synchronize(self):
            call(cuda.synchronize, self.handle)

    def pagelocked_empty(shape, dtype, order="C", mem_flags=0):
        if np.dtype(dtype) != np.uint8:
            raise TypeError("the fake gives bytes alone")
        return np.asarray(HostAllocation(int(shape), bool(mem_flags & 2)))

    def htod(dest, src, stream=None):
        call(cuda.copy, int(dest), src.ctypes.data, src.nbytes, "h2d", stream.handle)

    def dtoh(dest, src, stream=None):
        call(cuda.copy, dest.ctypes.data, int(src), dest.nbytes, "d2h", stream.handle)

    driver.Error, driver.MemoryError = Error, MemoryError
    driver.init, driver.Device, driver.Stream = lambda: None, Device, Stream
    driver.mem_alloc, driver.pagelocked_empty = DeviceAllocation, pagelocked_empty
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = htod, dtoh
    driver.host_alloc_flags = types.SimpleNamespace(PORTABLE=1, DEVICEMAP=2, WRITECOMBINED=4)
    driver.device_attribute = types.SimpleNamespace(INTEGRATED="INTEGRATED")
    with _modules({"pycuda": package, "pycuda.driver": driver}):
        yield driver
    assert not left, "a context was left on a thread's stack, and pycuda would abort the process"
