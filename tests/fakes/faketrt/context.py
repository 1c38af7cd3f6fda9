"""Execution contexts of the fake: what is enqueued is computed by onnxruntime."""

import numpy as np

from edgelane.runtime.cuda.simulated import SimulatedCudaError

from .values import ITEMSIZE, NUMPY, Reports


class IExecutionContext:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.IExecutionContext: No constructor defined!")

    def _setup(self, engine):
        self._engine, self._logger, self._recorder = engine, engine._logger, None
        self._profile, self._name, self._pending = 0, "", []
        self._shapes, self._addresses, self._allocators = {}, {}, {}
        self._profiler, self._emits = None, True
        if self._exclusive:
            self._profile = -1 if 0 in self._taken() else 0
        engine._contexts.add(self)
        self._inputs()
        return self

    @property
    def _exclusive(self):
        """Before 10, each context of an engine with open shapes needs a profile of its own."""
        open_shapes = any(-1 in shape for _, _, shape, _ in self._engine._io)
        return self._trt._number < (10,) and open_shapes

    def _taken(self):
        return {c._profile for c in self._engine._contexts if c is not self}

    def _inputs(self):
        for name, _, shape, mode in self._engine._io:
            if mode == "INPUT":
                self._shapes[name] = None if -1 in shape else tuple(shape)

    engine = property(lambda self: self._engine)
    name = property(lambda self: self._name, lambda self, v: setattr(self, "_name", v))
    profiler = property(lambda self: self._profiler, lambda self, v: setattr(self, "_profiler", v))
    enqueue_emits_profile = property(
        lambda self: self._emits, lambda self, v: setattr(self, "_emits", v)
    )
    error_recorder = property(
        lambda self: self._recorder, lambda self, v: setattr(self, "_recorder", v)
    )
    all_binding_shapes_specified = property(lambda self: None not in self._shapes.values())
    all_shape_inputs_specified = property(lambda self: True)
    active_optimization_profile = property(lambda self: self._profile)

    def set_optimization_profile_async(self, profile_index, stream_handle):
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            self._fail("INVALID_ARGUMENT", "API Usage Error (no such optimization profile)")
            return False
        if self._exclusive and profile_index in self._taken():
            self._fail(
                "INVALID_STATE",
                f"API Usage Error (Profile {profile_index} has been chosen by another "
                "IExecutionContext. Use another profileIndex or destroy the IExecutionContext "
                "that use this profile.)",
            )
            return False
        self._profile = profile_index
        self._inputs()
        return True

    # ---- by index of the binding

    def set_binding_shape(self, binding, shape):
        count = len(self._engine._io)
        if not 0 <= binding < self._engine.num_bindings or binding // count != self._profile:
            self._fail("INVALID_ARGUMENT", "API Usage Error (binding of another profile)")
            return False
        return self._set(self._engine._io[binding % count][0], shape)

    def get_binding_shape(self, binding):
        return self._trt.Dims(self._shape(self._engine._entry(binding)[0]))

    def execute_v2(self, bindings):
        stream = self._cuda.create_stream()
        try:
            if not self._bound(bindings) or not self._enqueue(stream):
                return False
            self._cuda.synchronize(stream)
        finally:
            self._cuda.destroy_stream(stream)
        return True

    def execute_async_v2(self, bindings, stream_handle, input_consumed=None):
        return self._bound(bindings) and self._enqueue(stream_handle)

    def _bound(self, bindings):
        count = len(self._engine._io)
        total = count * self._engine.num_optimization_profiles
        if self._trt._number >= (10,):
            total = count
        if len(bindings) < total:
            # The bindings read past the end of the list here.
            raise RuntimeError(f"{len(bindings)} addresses for {total} bindings")
        start = self._profile * count if total > count else 0
        for offset, (name, *_) in enumerate(self._engine._io):
            self._addresses[name] = int(bindings[start + offset])
        return True

    # ---- by name of the tensor

    def set_input_shape(self, name, shape):
        if self._engine._named(name) is None:
            return False
        return self._set(name, shape)

    def get_tensor_shape(self, name):
        return self._trt.Dims(self._shape(name) if self._engine._named(name) else ())

    def set_tensor_address(self, name, memory):
        if self._engine._named(name) is None:
            return False
        if int(memory) % 256 and int(memory) % 4:
            self._fail("INVALID_ARGUMENT", f"API Usage Error ({name}: address is not aligned)")
            return False
        self._addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name):
        return self._addresses.get(name, 0)

    def set_output_allocator(self, name, output_allocator):
        entry = self._engine._named(name)
        if entry is None or entry[3] != "OUTPUT":
            return False
        self._allocators[name] = output_allocator
        return True

    def get_output_allocator(self, name):
        return self._allocators.get(name)

    def get_max_output_size(self, name):
        shape = self._shape(name)
        if -1 in shape:
            inputs = {k: v for k, v in self._shapes.items() if v is not None}
            shape = tuple((1 << 16) if n < 0 else n for n in shape)
            if len(inputs) != len(self._shapes):
                return -1
        kind = self._engine._io[self._engine._index[name]][1]
        return int(np.prod(shape, dtype=np.int64)) * ITEMSIZE.get(kind, 1)

    def infer_shapes(self):
        return [name for name, shape in self._shapes.items() if shape is None]

    def execute_async_v3(self, stream_handle):
        for name, *_ in self._engine._io:
            if not self._addresses.get(name) and self._allocators.get(name) is None:
                self._fail(
                    "INVALID_ARGUMENT",
                    "API Usage Error (Parameter check failed, condition: "
                    "mContext.profileObliviousBindings.at(profileObliviousIndex) != nullptr. "
                    f"Address is not set for tensor {name}.)",
                )
                return False
        if stream_handle == 0:
            self._say(
                "WARNING",
                "Using default stream in enqueueV3() may lead to performance issues due to "
                "additional calls to cudaStreamSynchronize() by TensorRT to ensure correct "
                "synchronization. Please use non-default stream instead.",
            )
        return self._enqueue(stream_handle)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    # ----

    def _set(self, name, shape):
        shape = tuple(int(n) for n in shape)
        entry = self._engine._io[self._engine._index[name]]
        if entry[3] != "INPUT":
            self._fail("INVALID_ARGUMENT", f"API Usage Error ({name} is no input)")
            return False
        known = entry[2]
        if len(known) != len(shape) or any(k not in (-1, n) for k, n in zip(known, shape)):
            self._fail(
                "INVALID_ARGUMENT",
                "API Usage Error (Parameter check failed, condition: engineDims.d[i] == "
                f"dims.d[i]. Static dimension mismatch while setting input shape for {name}.)",
            )
            return False
        if -1 in known and self._profile < 0:
            self._fail("INVALID_STATE", "API Usage Error (no optimization profile was chosen)")
            return False
        if -1 in known:
            low, _, high = self._engine._profiles[self._profile][name]
            if any(not a <= n <= b for a, n, b in zip(low, shape, high)):
                self._fail(
                    "INVALID_ARGUMENT",
                    "API Usage Error (Parameter check failed, condition: satisfyProfile. "
                    f"Set dimension of {name} for profile {self._profile} is not in its range.)",
                )
                return False
        self._shapes[name] = shape
        return True

    def _shape(self, name):
        entry = self._engine._io[self._engine._index[name]]
        if entry[3] == "INPUT":
            return self._shapes[name] or tuple(entry[2])
        if name in self._engine._loose or None in self._shapes.values():
            return tuple(entry[2])
        return tuple(self._engine._session.shapes(dict(self._shapes))[name])

    def _enqueue(self, stream):
        try:
            return self._enqueue_all(stream)
        except SimulatedCudaError as error:
            self._fail("FAILED_EXECUTION", f"Cuda Runtime ({error})")
            return False

    def _enqueue_all(self, stream):
        if None in self._shapes.values():
            self._fail(
                "INVALID_STATE",
                "API Usage Error (Parameter check failed, condition: "
                "allInputDimensionsSpecified(routine))",
            )
            return False
        if any(other != stream for other in self._pending):
            # A context that runs twice at once overwrites its own scratch memory.
            raise AssertionError("one execution context was used in two streams at once")
        shapes, addresses = dict(self._shapes), dict(self._addresses)
        if self._engine._loose:
            return self._run_now(stream, shapes, addresses)
        capturing = self._cuda.capturing(stream)

        def work():
            if not capturing:
                self._pending.remove(stream)
            for name, value in self._results(shapes, addresses).items():
                self._write(addresses[name], value)

        if not capturing:
            self._pending.append(stream)
        self._cuda.enqueue(stream, work)
        return True

    def _run_now(self, stream, shapes, addresses):
        """Outputs whose size depends on the data: the call itself waits and allocates."""
        if self._cuda.capturing(stream):
            self._cuda.breaks(stream)
            self._fail("FAILED_EXECUTION", "Cuda Runtime (operation not permitted when capturing)")
            return False
        self._cuda.synchronize(stream)
        for name, value in self._results(shapes, addresses).items():
            allocator = self._allocators.get(name)
            address = addresses.get(name, 0)
            if allocator is not None:
                size = max(value.nbytes, 1)
                if self._trt._number >= (10,):
                    got = allocator.reallocate_output_async(name, address, size, 256, stream)
                else:
                    got = allocator.reallocate_output(name, address, size, 256)
                if not got:
                    self._fail("FAILED_ALLOCATION", f"Internal Error (no memory for {name})")
                    return False
                address = int(got)
                allocator.notify_shape(name, self._trt.Dims(value.shape))
            self._write(address, value)
        return True

    def _results(self, shapes, addresses):
        feeds = {}
        for name, kind, _, mode in self._engine._io:
            if mode == "INPUT":
                dtype = np.dtype(NUMPY[kind])
                size = int(np.prod(shapes[name], dtype=np.int64)) * dtype.itemsize
                data = self._cuda.view(addresses[name], size) if size else np.zeros(0, np.uint8)
                feeds[name] = data.copy().view(dtype).reshape(shapes[name])
        values = self._engine._session.run(feeds)
        return {
            name: np.ascontiguousarray(values[name]).astype(NUMPY[kind], copy=False)
            for name, kind, _, mode in self._engine._io
            if mode == "OUTPUT"
        }

    def _write(self, address, value):
        if value.nbytes:
            flat = np.frombuffer(value.tobytes(), np.uint8)
            self._cuda.view(address, value.nbytes)[:] = flat


IExecutionContext._say, IExecutionContext._fail = Reports._say, Reports._fail
