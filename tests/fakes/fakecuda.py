"""`libcudart` and `libcuda` as ctypes sees them, over a simulated device.

The functions are real C function pointers, so what an adapter passes is converted as it would be
for the true library.
"""

import ctypes as C

from edgelane.runtime.cuda.simulated import SimulatedCudaError, error_text

P, INT, S, U = C.c_void_p, C.c_int, C.c_size_t, C.c_uint
OUT = C.POINTER(C.c_void_p)
KINDS = {1: "h2d", 2: "d2h", 3: "d2d"}


class _Library:
    """Functions by name, as of `ctypes.CDLL`; what is not there raises AttributeError."""

    def _add(self, name, work, *types, result=INT):
        def call(*args):
            try:
                got = work(*[0 if a is None else a for a in args])
            except SimulatedCudaError as error:
                return error.code
            except Exception:  # what ctypes would only print
                return 999
            return 0 if got is None else got

        setattr(self, name, C.CFUNCTYPE(result, *types)(call))


class Cudart(_Library):
    """`libcudart`.

    Args:
        cuda: The simulated device.
        release: CUDA's release, e.g. `(10, 2)`.
    """

    def __init__(self, cuda, release=(11, 4)):
        self.release = release
        add, sim = self._add, cuda

        def out(pointer, value):
            pointer[0] = value

        add("cudaMalloc", lambda p, n: out(p, sim.alloc(n)), OUT, S)
        add("cudaFree", sim.free, P)
        add("cudaHostAlloc", lambda p, n, f: out(p, sim.host_alloc(n, bool(f & 2))), OUT, S, U)
        add("cudaFreeHost", sim.host_free, P)
        add(
            "cudaHostGetDevicePointer",
            lambda p, h, f: out(p, sim.host_device_pointer(h)),
            OUT,
            P,
            U,
        )
        add(
            "cudaMemcpyAsync",
            lambda d, s, n, k, stream: sim.copy(d, s, n, KINDS[k], stream),
            *(P, P, S, INT, P),
        )
        add("cudaMemcpy", lambda d, s, n, k: sim.copy(d, s, n, KINDS[k], None), P, P, S, INT)
        add("cudaStreamCreateWithFlags", lambda p, f: out(p, sim.create_stream()), OUT, U)
        add("cudaStreamDestroy", sim.destroy_stream, P)
        add("cudaStreamSynchronize", sim.synchronize, P)
        add("cudaDeviceSynchronize", sim.synchronize_all)
        add("cudaStreamBeginCapture", lambda s, mode: sim.begin_capture(s), P, INT)
        add("cudaStreamEndCapture", lambda s, p: out(p, sim.end_capture(s)), P, OUT)
        if release >= (11, 4):
            add(
                "cudaGraphInstantiateWithFlags",
                lambda p, g, f: out(p, sim.instantiate(g)),
                *(OUT, P, C.c_ulonglong),
            )
        if release < (12, 0):
            add(
                "cudaGraphInstantiate",
                lambda p, g, node, log, n: out(p, sim.instantiate(g)),
                *(OUT, P, P, P, S),
            )
        add("cudaGraphLaunch", sim.launch, P, P)
        add("cudaGraphExecDestroy", sim.destroy_graph, P)
        add("cudaGraphDestroy", sim.destroy_graph, P)
        add("cudaGetLastError", lambda: 0)
        add("cudaSetDevice", lambda n: sim._usable(), INT)
        self._texts = {}
        add("cudaGetErrorString", self._text, INT, result=P)

    def _text(self, code):
        held = self._texts.setdefault(code, C.create_string_buffer(error_text(code).encode()))
        return C.addressof(held)


class Driver(_Library):
    """`libcuda.so.1`."""

    def __init__(self, cuda):
        add = self._add

        def attribute(out, which, device):
            values = {
                75: cuda.compute_capability[0],
                76: cuda.compute_capability[1],
                18: int(cuda.integrated),
                19: 1,
            }
            out[0] = values.get(which, 0)

        def name(buffer, size, device):
            C.memmove(buffer, cuda.name.encode() + b"\0", len(cuda.name) + 1)

        def count(out):
            out[0] = 1

        def get(out, number):
            out[0] = number

        add("cuInit", lambda flags: 0 if cuda.present else 100, U)
        add("cuDeviceGetCount", count, C.POINTER(INT))
        add("cuDeviceGet", get, C.POINTER(INT), INT)
        add("cuDeviceGetAttribute", attribute, C.POINTER(INT), INT, INT)
        add("cuDeviceGetName", name, P, INT, INT)


def loader(cuda, release=(11, 4), without=()):
    """What to put in the place of `ctypes.CDLL`: the fakes for CUDA's names, else the real one.

    Args:
        cuda: The simulated device.
        release: CUDA's release.
        without: Beginnings of library names that cannot be loaded.
    """
    real = C.CDLL
    made = {"libcuda.so": Driver(cuda), "libcudart.so": Cudart(cuda, release)}

    def load(name, *args, **options):
        base = str(name).rpartition("/")[2]
        for start in without:
            if base.startswith(start):
                raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        for start, library in made.items():
            if base.startswith(start):
                return library
        return real(name, *args, **options)

    return load
