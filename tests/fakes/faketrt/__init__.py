"""A TensorRT that is none: the Python API of one release, computed by onnxruntime.

`load("8.5", cuda)` gives a module that has only the names which that release has, on a simulated
device. `installed("8.5", cuda)` makes `import tensorrt` find it for a while.

What it keeps from the real one: which names exist, which are read-only, when an engine is refused
and in which words, what is returned on misuse, and that results appear in device memory only once
the stream was waited for.
"""

import contextlib
import json
import math
import os
import sys
import types
from pathlib import Path

from edgelane.runtime.testing import SimulatedCuda

from . import build, config, context, engine, network, values

NAMES = json.loads((Path(__file__).parent / "names.json").read_text(encoding="utf-8"))
VERSIONS = {
    "8.2": "8.2.1.8",
    "8.5": "8.5.2.2",
    "10.3": "10.3.0",
    "10.16": "10.16.1.11",
    "11.4": "11.4.0.106",
}
DEVICES = {
    "nano": ("NVIDIA Tegra X1", (5, 3), True, 0),
    "tx2": ("NVIDIA Tegra X2", (6, 2), True, 0),
    "xavier": ("Xavier", (7, 2), True, 2),
    "orin": ("Orin", (8, 7), True, 2),
    "orin-nano": ("Orin", (8, 7), True, 0),
    "thor": ("NVIDIA Thor", (11, 0), True, 0),
    "server": ("NVIDIA A10", (8, 6), False, 0),
}
"""Name, compute capability, integrated, DLA cores."""

CLASSES = {
    kind.__name__: kind
    for module in (values, network, config, build, engine, context)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__ and kind is not values.Reports
}
_MADE = {}
BASES = {"Logger": "ILogger"}
ALGORITHMS = {
    "IInt8EntropyCalibrator": "ENTROPY_CALIBRATION",
    "IInt8EntropyCalibrator2": "ENTROPY_CALIBRATION_2",
    "IInt8LegacyCalibrator": "LEGACY_CALIBRATION",
    "IInt8MinMaxCalibrator": "MINMAX_CALIBRATION",
}


def device(name, **changes):
    """A simulated device of the table, by name."""
    title, capability, integrated, _ = DEVICES[name]
    options = {"name": title, "compute_capability": capability, "integrated": integrated}
    return SimulatedCuda(**{**options, **changes})


class _Strict(type):
    """As pybind11: a derived class must call the base's `__init__`."""

    def __call__(cls, *args, **options):
        made = super().__call__(*args, **options)
        if not getattr(made, "_started", True):
            raise TypeError(f"{cls.__name__}.__init__() must be called when overriding __init__")
        return made


def _set(self, name, value):
    kind = type(self)
    # A class of the bindings has no room for names that it does not know; a derived one has.
    if kind.__dict__.get("_of_the_bindings") and not name.startswith("_"):
        found = getattr(kind, name, None)
        if found is None or (isinstance(found, property) and found.fset is None):
            raise AttributeError(f"'{kind.__name__}' object has no attribute '{name}'")
    object.__setattr__(self, name, value)


def _expose(name, module, allowed, extra=()):
    source = CLASSES["IInt8Calibrator" if name in ALGORITHMS else name]
    body = {
        key: value
        for key, value in vars(source).items()
        if key in allowed
        or (key.startswith("_") and key not in ("__dict__", "__weakref__"))
        and not (key in ("__len__", "__getitem__", "__enter__", "__exit__") and key not in allowed)
    }
    body.update(extra, _of_the_bindings=True, __setattr__=_set, __module__="tensorrt.tensorrt")
    if name in ALGORITHMS:
        body["_algorithm"] = ALGORITHMS[name]
    bases = ()
    if name in BASES:
        bases = (getattr(module, BASES[name]),)
    elif name in ALGORITHMS:
        bases = (module.IInt8Calibrator,)
    meta = type
    if name in values.SUBCLASSED:
        body.setdefault("_started", False)
        meta = _Strict
    return meta(name, bases, body)


def load(version, cuda=None, dla_cores=None):
    """A module like `tensorrt` of a release.

    Args:
        version: `8.2`, `8.5`, `10.3`, `10.16` or `11.4`.
        cuda: A `SimulatedCuda`, or the name of a device in `DEVICES`; a Xavier by default.
        dla_cores: How many DLA cores there are; what the table says by default.
    """
    names = NAMES[version]
    if cuda is None or isinstance(cuda, str):
        if dla_cores is None:
            dla_cores = DEVICES[cuda or "xavier"][3]
        cuda = device(cuda or "xavier")
    if dla_cores is None:
        dla_cores = 2 if cuda.compute_capability == (7, 2) else 0
    module = types.ModuleType("tensorrt")
    module.__version__ = VERSIONS[version]
    module._number = tuple(int(n) for n in VERSIONS[version].split("."))
    module._cuda, module._dla_cores = cuda, dla_cores if module._number < (11,) else 0
    shared = {"_trt": module, "_cuda": cuda}
    for name, members in names["enums"].items():
        kind = values.make_enum(name, members)
        if name == "DataType":
            kind.itemsize = property(lambda self: values.ITEMSIZE.get(self.name, 1))
        setattr(module, name, kind)
    severity = values.make_enum(
        "Severity",
        {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4},
    )
    levels = {**severity.__members__, "Severity": severity}
    order = sorted(names["classes"], key=lambda n: (n in BASES or n in ALGORITHMS, n))
    for name in order:
        extra = {**shared, **(levels if name in ("ILogger", "Logger") else {})}
        setattr(module, name, _expose(name, module, set(names["classes"][name]), extra))
    for name, member in _short_names(module):
        if name in names["values"]:
            setattr(module, name, member)
    for name in names["functions"]:
        setattr(module, name, _function(name, module))
    return module


def _short_names(module):
    """The data types by their short names."""
    short = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
    for name, member in module.DataType.__members__.items():
        yield short.get(name, name.lower()), member


def _function(name, module):
    def nptype(trt_type):
        import numpy as np

        if module._number < (8, 6):
            # The real one names np.bool, which numpy 1.24 took away.
            raise AttributeError("module 'numpy' has no attribute 'bool'.")
        if trt_type.name not in values.NUMPY:
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return np.dtype(values.NUMPY[trt_type.name]).type

    def volume(iterable):
        return int(math.prod(iterable))

    def init_libnvinfer_plugins(logger, namespace):
        return True

    def get_nv_onnx_parser_version():
        major, minor, patch = module._number[:3]
        return major * 10000 + minor * 100 + patch

    return locals()[name]


def of_environment():
    """The release and device that the environment names, made once."""
    if "module" not in _MADE:
        name = os.environ.get("EDGELANE_FAKE_DEVICE", "xavier")
        cuda = SimulatedCuda(present=False) if name == "none" else device(name)
        cores = DEVICES[name][3] if name in DEVICES else 0
        _MADE["module"] = load(os.environ["EDGELANE_FAKE_TENSORRT"], cuda, cores)
    return _MADE["module"]


@contextlib.contextmanager
def installed(version, cuda=None, dla_cores=None):
    """`import tensorrt` finds the fake, for a while."""
    module = load(version, cuda, dla_cores)
    before = sys.modules.get("tensorrt")
    sys.modules["tensorrt"] = module
    try:
        yield module
    finally:
        if before is None:
            sys.modules.pop("tensorrt", None)
        else:
            sys.modules["tensorrt"] = before
