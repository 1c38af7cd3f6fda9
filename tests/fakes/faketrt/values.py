"""Plain values of the fake: enumerations, shapes, host memory, loggers, error recorders."""

import ctypes
import sys

import numpy as np

SUBCLASSED = {
    "ILogger",
    "Logger",
    "IErrorRecorder",
    "IOutputAllocator",
    "IProgressMonitor",
    "IInt8Calibrator",
    "IInt8EntropyCalibrator",
    "IInt8EntropyCalibrator2",
    "IInt8LegacyCalibrator",
    "IInt8MinMaxCalibrator",
    "IProfiler",
    "IGpuAllocator",
}
"""Classes that users derive from; the bindings insist that their `__init__` is called."""


def make_enum(name, members):
    """A class like pybind11's enumerations: no Python enum, but members with name and value."""

    def __init__(self, value):
        for member in type(self).__members__.values():
            if member.value == int(value):
                self.name, self.value = member.name, member.value
                return
        raise ValueError(f"{value} is no {name}")

    kind = type(
        name,
        (),
        {
            "__init__": __init__,
            "__int__": lambda self: self.value,
            "__index__": lambda self: self.value,
            "__hash__": lambda self: hash((name, self.value)),
            "__eq__": lambda self, other: type(self) is type(other) and self.value == other.value,
            "__repr__": lambda self: f"<{name}.{self.name}: {self.value}>",
            "__str__": lambda self: f"{name}.{self.name}",
            "__members__": {},
        },
    )
    for key, value in members.items():
        member = object.__new__(kind)
        member.name, member.value = key, value
        kind.__members__[key] = member
        setattr(kind, key, member)
    return kind


NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}
ITEMSIZE = {"FLOAT": 4, "HALF": 2, "BF16": 2, "INT32": 4, "INT64": 8, "INT4": 0.5, "FP4": 0.5}


class Dims:
    """A shape. As in the bindings it is a sequence that equals a tuple, and is none."""

    MAX_DIMS = 8

    def __init__(self, shape=()):
        shape = tuple(int(n) for n in shape)
        if len(shape) > 8:
            raise ValueError(f"Input length {len(shape)} exceeds the maximum allowed length of 8")
        self._shape = shape

    def __len__(self):
        return len(self._shape)

    def __getitem__(self, index):
        return self._shape[index]

    def __eq__(self, other):
        return tuple(self) == tuple(other)

    def __repr__(self):
        return repr(self._shape)


class IHostMemory:
    """Bytes in host memory, through the buffer protocol alone, as in the bindings."""

    nbytes = property(lambda self: len(self))
    dtype = property(lambda self: self._trt.int8)

    @classmethod
    def _of(cls, data):
        body = {"_length_": len(data), "_type_": ctypes.c_ubyte}
        kind = type("IHostMemory", (ctypes.Array, cls), body)
        return kind.from_buffer_copy(data) if data else kind()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


class ILogger:
    def __init__(self):
        self._started = True

    def log(self, severity, msg):
        raise RuntimeError('Tried to call pure virtual function "ILogger::log"')

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


class Logger:
    def __init__(self, min_severity=None):
        self._started = True
        self._least = min_severity if min_severity is not None else self._trt.ILogger.WARNING
        self._lines = []

    min_severity = property(
        lambda self: self._least, lambda self, value: setattr(self, "_least", value)
    )

    def log(self, severity, msg):
        if int(severity) <= int(self._least):
            print(f"[TRT] [{severity.name[0]}] {msg}", file=sys.stderr)


class IErrorRecorder:
    MAX_DESC_LENGTH = 127

    def __init__(self):
        self._started = True

    def num_errors(self):
        raise NotImplementedError

    def get_error_code(self, arg0):
        raise NotImplementedError

    def get_error_desc(self, arg0):
        raise NotImplementedError

    def has_overflowed(self):
        raise NotImplementedError

    def clear(self):
        raise NotImplementedError

    def report_error(self, arg0, arg1):
        raise NotImplementedError


class IOutputAllocator:
    def __init__(self):
        self._started = True

    def notify_shape(self, tensor_name, shape):
        raise RuntimeError('Tried to call pure virtual function "IOutputAllocator::notify_shape"')

    def reallocate_output(self, tensor_name, memory, size, alignment):
        raise RuntimeError('Tried to call pure virtual function "reallocate_output"')


class IProgressMonitor:
    def __init__(self):
        self._started = True

    def phase_start(self, phase_name, parent_phase, num_steps):
        raise RuntimeError('Tried to call pure virtual function "phase_start"')

    def step_complete(self, phase_name, step):
        raise RuntimeError('Tried to call pure virtual function "step_complete"')

    def phase_finish(self, phase_name):
        raise RuntimeError('Tried to call pure virtual function "phase_finish"')


class IInt8Calibrator:
    def __init__(self):
        self._started = True

    def get_batch_size(self):
        raise RuntimeError('Tried to call pure virtual function "get_batch_size"')

    def get_batch(self, names):
        raise RuntimeError('Tried to call pure virtual function "get_batch"')

    def read_calibration_cache(self):
        return None

    def write_calibration_cache(self, cache):
        return None

    def get_algorithm(self):
        return getattr(self._trt.CalibrationAlgoType, self._algorithm)


class Reports:
    """What a builder, runtime, engine or context does when something is wrong."""

    def _say(self, severity, text):
        logger = self._logger
        level = getattr(self._trt.ILogger, severity)
        logger.log(level, text)

    def _fail(self, code, text):
        """Log an error and tell the recorder, as TensorRT does before it returns None or False."""
        number = int(getattr(self._trt.ErrorCodeTRT, code))
        # 8.x begins with the number and the place in its source, 10 with the function.
        new = self._trt._number >= (10,)
        lead = f"I{type(self).__name__}::call:" if new else f"{number}: [fake.cpp::call::1]"
        self._say("ERROR", f"{lead} Error Code {number}: {text}")
        recorder = getattr(self, "_recorder", None)
        if recorder is not None:
            recorder.report_error(getattr(self._trt.ErrorCodeTRT, code), text)
