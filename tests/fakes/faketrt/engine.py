"""Runtime and engine of the fake."""

import json
import weakref

import onnx

from . import plan
from .network import DATA_DEPENDENT
from .values import ITEMSIZE, Reports


class Runtime:
    def __init__(self, logger):
        if not isinstance(logger, self._trt.ILogger):
            raise TypeError("__init__(): incompatible constructor arguments.")
        if not self._cuda.present:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger, self._recorder, self._dla, self._host_code = logger, None, -1, False
        self._threads = 1

    logger = property(lambda self: self._logger)
    num_DLA_cores = property(lambda self: self._trt._dla_cores)
    DLA_core = property(lambda self: self._dla, lambda self, v: setattr(self, "_dla", v))
    max_threads = property(lambda self: self._threads, lambda self, v: setattr(self, "_threads", v))
    engine_host_code_allowed = property(
        lambda self: self._host_code, lambda self, v: setattr(self, "_host_code", bool(v))
    )
    error_recorder = property(
        lambda self: self._recorder, lambda self, v: setattr(self, "_recorder", v)
    )

    def deserialize_cuda_engine(self, serialized_engine):
        return self._load(bytes(serialized_engine))

    def _load(self, data):
        try:
            header, graph = plan.unpack(data)
        except ValueError as error:
            if str(error) == "magic":
                text = (
                    "Serialization (Serialization assertion stdVersionRead == "
                    "kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current "
                    "Version: 213, Serialized Engine Version: 0)"
                )
            else:
                text = (
                    "Serialization (Serialization assertion header.size == blobSize failed."
                    "Serialized engine is cut short or corrupt.)"
                )
            return self._refuse(text)
        compatible = "VERSION_COMPATIBLE" in header["flags"]
        if header["trt"] != self._trt.__version__ and not compatible:
            return self._refuse(
                "Serialization (The engine plan file is not compatible with this version of "
                f"TensorRT, expecting library version {self._trt.__version__} got "
                f"{header['trt']}, please rebuild.)"
            )
        if compatible and not self._host_code:
            return self._refuse(
                "Serialization (Cannot deserialize engine with lean runtime: "
                "engine_host_code_allowed is not set.)"
            )
        if header["device"] != plan.device_key(self._cuda):
            return self._refuse(
                "Serialization (The engine plan file is generated on an incompatible device, "
                f"expecting compute {plan.device_key(self._cuda)} got compute "
                f"{header['device']}, please rebuild.)"
            )
        if header["name"] != self._cuda.name:
            self._say(
                "WARNING",
                "Using an engine plan file across different models of devices is not recommended "
                "and is likely to affect performance or even cause errors.",
            )
        if header["dla"] >= 0 and self._dla < 0 and self._trt._dla_cores == 0:
            return self._refuse("Serialization (the engine was built for DLA)")
        return object.__new__(self._trt.ICudaEngine)._setup(self, header, graph, data)

    def _refuse(self, text):
        self._fail("UNSPECIFIED_ERROR", text)
        self._fail("INVALID_STATE", "Internal Error (Engine deserialization failed.)")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


class EngineInspector:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.EngineInspector: No constructor defined!")

    def _setup(self, engine):
        self._engine = engine
        return self

    def get_engine_information(self, format):
        names = [n.name or n.op_type for n in self._engine._proto.graph.node]
        return json.dumps({"Layers": names}) if format.name == "JSON" else "\n".join(names)

    def get_layer_information(self, layer_index, format):
        node = self._engine._proto.graph.node[layer_index]
        return json.dumps(node.name or node.op_type) if format.name == "JSON" else node.name


class ICudaEngine:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.ICudaEngine: No constructor defined!")

    def _setup(self, runtime, header, graph, data):
        self._runtime, self._logger, self._recorder = runtime, runtime._logger, None
        self._header, self._data, self._contexts = header, data, weakref.WeakSet()
        self._proto = onnx.load_from_string(graph)
        self._session = plan.Session(self._proto)
        self._io = [(n, k, s, "INPUT") for n, k, s in header["inputs"]]
        self._profiles = header["profiles"]
        loose = plan.tainted(self._proto, DATA_DEPENDENT)
        self._loose = {n for n, _, _ in header["outputs"]} & loose
        self._io += [(n, k, self._output_shape(n, s), "OUTPUT") for n, k, s in header["outputs"]]
        self._index = {entry[0]: i for i, entry in enumerate(self._io)}
        return self

    def _output_shape(self, name, declared):
        """What the engine knows of an output's shape: all of it where the inputs are fixed."""
        if name in self._loose:
            return declared
        shapes = []
        for which in (0, 2):
            inputs = {
                n: tuple(self._profiles[0][n][which] if -1 in s else s)
                for n, _, s in self._header["inputs"]
            }
            shapes.append(self._session.shapes(inputs)[name])
        if not self._profiles or not any(-1 in s for _, _, s in self._header["inputs"]):
            return list(shapes[0])
        if shapes[0] == shapes[1]:
            return [a if d > 0 else -1 for a, d in zip(shapes[0], declared)]
        return [a if a == b else -1 for a, b in zip(*shapes)]

    # ---- all releases

    name = property(lambda self: "Unnamed Network 0")
    num_layers = property(lambda self: self._header["layers"])
    num_optimization_profiles = property(lambda self: max(1, len(self._profiles)))
    device_memory_size = property(lambda self: 1 << 20)
    device_memory_size_v2 = property(lambda self: 1 << 20)
    refittable = property(lambda self: "REFIT" in self._header["flags"])
    has_implicit_batch_dimension = property(lambda self: False)
    max_batch_size = property(lambda self: 1)
    num_aux_streams = property(lambda self: 0)
    error_recorder = property(
        lambda self: self._recorder, lambda self, v: setattr(self, "_recorder", v)
    )

    def serialize(self):
        return self._trt.IHostMemory._of(self._data)

    def create_execution_context(self, *strategy):
        if strategy and self._trt._number < (10,):
            raise TypeError("create_execution_context(): incompatible function arguments.")
        return object.__new__(self._trt.IExecutionContext)._setup(self)

    def create_engine_inspector(self):
        return object.__new__(self._trt.EngineInspector)._setup(self)

    # ---- by index of the binding

    @property
    def num_bindings(self):
        return len(self._io) * self.num_optimization_profiles

    def _entry(self, key):
        if isinstance(key, str):
            if key not in self._index:
                self._fail("INVALID_ARGUMENT", f"API Usage Error (no binding {key})")
                raise KeyError(key)
            return self._io[self._index[key]]
        if not 0 <= key < self.num_bindings:
            raise IndexError(key)
        return self._io[key % len(self._io)]

    def __len__(self):
        return self.num_bindings

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.get_binding_index(key)
        return self.get_binding_name(key)

    def get_binding_index(self, name):
        return self._index.get(name, -1)

    def get_binding_name(self, index):
        profile, place = divmod(index, len(self._io))
        if not 0 <= profile < self.num_optimization_profiles:
            return None
        name = self._io[place][0]
        return f"{name} [profile {profile}]" if profile else name

    def get_binding_shape(self, binding):
        return self._trt.Dims(self._entry(binding)[2])

    def get_binding_dtype(self, binding):
        return getattr(self._trt.DataType, self._entry(binding)[1])

    def binding_is_input(self, binding):
        return self._entry(binding)[3] == "INPUT"

    def get_location(self, binding):
        self._entry(binding)
        return self._trt.TensorLocation.DEVICE

    def get_binding_format(self, binding):
        self._entry(binding)
        return self._trt.TensorFormat.LINEAR

    def is_shape_binding(self, binding):
        return False

    def is_execution_binding(self, binding):
        return True

    def get_profile_shape(self, profile_index, binding):
        return self._profile(self._entry(binding)[0], profile_index)

    # ---- by name of the tensor

    @property
    def num_io_tensors(self):
        return len(self._io)

    def _named(self, name):
        if name not in self._index:
            self._fail("INVALID_ARGUMENT", f"API Usage Error (no tensor {name})")
            return None
        return self._io[self._index[name]]

    def get_tensor_name(self, index):
        if not 0 <= index < len(self._io):
            self._fail("INVALID_ARGUMENT", f"API Usage Error (no tensor {index})")
            return None
        return self._io[index][0]

    def get_tensor_mode(self, name):
        entry = self._named(name)
        return getattr(self._trt.TensorIOMode, entry[3] if entry else "NONE")

    def get_tensor_shape(self, name):
        entry = self._named(name)
        return self._trt.Dims(entry[2] if entry else ())

    def get_tensor_dtype(self, name):
        entry = self._named(name)
        return getattr(self._trt.DataType, entry[1] if entry else "FLOAT")

    def get_tensor_location(self, name):
        return self._trt.TensorLocation.DEVICE

    def get_tensor_format(self, name, *profile):
        return self._trt.TensorFormat.LINEAR

    def is_shape_inference_io(self, name):
        return False

    def get_tensor_bytes_per_component(self, name, *profile):
        return ITEMSIZE.get(self._named(name)[1], 1)

    def get_tensor_profile_shape(self, name, profile_index):
        return self._profile(name, profile_index)

    def _profile(self, name, index):
        entry = self._named(name)
        if entry is None or entry[3] != "INPUT":
            self._fail("INVALID_ARGUMENT", f"API Usage Error ({name} is no input)")
            return []
        if -1 not in entry[2]:
            return [self._trt.Dims(entry[2])] * 3
        return [self._trt.Dims(s) for s in self._profiles[index][name]]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


for _kind in (Runtime, ICudaEngine):
    _kind._say, _kind._fail = Reports._say, Reports._fail
