"""Builder configuration, optimization profiles and timing cache of the fake."""

import json
import struct

from .values import Reports

DLA_OPERATORS = {
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "GlobalAveragePool",
    "LeakyRelu",
    "MaxPool",
    "Mul",
    "Relu",
    "Sigmoid",
    "Sub",
    "Tanh",
}


class IOptimizationProfile:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.IOptimizationProfile: No constructor defined!")

    def _setup(self):
        self._shapes, self._extra = {}, 1.0
        return self

    extra_memory_target = property(
        lambda self: self._extra, lambda self, v: setattr(self, "_extra", v)
    )

    def set_shape(self, input, min, opt, max):
        shapes = [tuple(int(n) for n in s) for s in (min, opt, max)]
        if len({len(s) for s in shapes}) != 1 or any(
            not 0 <= a <= b <= c for a, b, c in zip(*shapes)
        ):
            raise ValueError(
                "Shape provided for min is inconsistent with other shapes provided for opt or max"
            )
        self._shapes[input] = shapes

    def get_shape(self, input):
        if input not in self._shapes:
            return []
        return [self._trt.Dims(s) for s in self._shapes[input]]

    def __bool__(self):
        return bool(self._shapes)


class ITimingCache:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.ITimingCache: No constructor defined!")

    def _setup(self, device, entries):
        self._device, self._entries = device, set(entries)
        return self

    def serialize(self):
        body = json.dumps(
            {"trt": self._trt.__version__, "device": self._device, "keys": sorted(self._entries)}
        ).encode()
        return self._trt.IHostMemory._of(b"FKTC" + struct.pack("<I", len(body)) + body)

    def combine(self, input_cache, ignore_mismatch):
        if input_cache._device != self._device and not ignore_mismatch:
            return False
        self._entries |= input_cache._entries
        return True

    def reset(self):
        self._entries = set()
        return True


def _flag_methods(kind):
    def set_flag(self, flag):
        if not isinstance(flag, self._trt.BuilderFlag):
            raise TypeError("set_flag(): incompatible function arguments.")
        self._flags |= 1 << int(flag)

    def clear_flag(self, flag):
        self._flags &= ~(1 << int(flag))

    def get_flag(self, flag):
        return bool(self._flags & 1 << int(flag))

    kind.set_flag, kind.clear_flag, kind.get_flag = set_flag, clear_flag, get_flag
    return kind


def _plain(name, default):
    return property(
        lambda self: self._values.get(name, default),
        lambda self, value: self._values.__setitem__(name, value),
    )


@_flag_methods
class IBuilderConfig:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.IBuilderConfig: No constructor defined!")

    def _setup(self, builder):
        self._builder, self._logger, self._recorder = builder, builder._logger, None
        self._values, self._pools, self._profiles, self._devices = {}, {}, [], {}
        self._quantization, self._cache, self._previews = 0, None, {}
        tf32 = getattr(self._trt.BuilderFlag, "TF32", None)
        self._flags = 1 << int(tf32) if tf32 is not None else 0
        return self

    flags = property(lambda self: self._flags, lambda self, v: setattr(self, "_flags", int(v)))
    max_workspace_size = _plain("workspace", 0)
    int8_calibrator = _plain("calibrator", None)
    avg_timing_iterations = _plain("avg", 1)
    min_timing_iterations = _plain("min", 1)
    profile_stream = _plain("stream", 0)
    DLA_core = _plain("dla", -1)
    builder_optimization_level = _plain("level", 3)
    max_aux_streams = _plain("aux", -1)
    progress_monitor = _plain("monitor", None)
    algorithm_selector = _plain("selector", None)

    default_device_type = property(
        lambda self: self._values.get("device", self._trt.DeviceType.GPU),
        lambda self, v: self._values.__setitem__("device", v),
    )
    profiling_verbosity = property(
        lambda self: self._values.get("verbosity", self._trt.ProfilingVerbosity.LAYER_NAMES_ONLY),
        lambda self, v: self._values.__setitem__("verbosity", v),
    )
    engine_capability = property(
        lambda self: self._values.get("capability", self._trt.EngineCapability.STANDARD),
        lambda self, v: self._values.__setitem__("capability", v),
    )
    hardware_compatibility_level = property(
        lambda self: self._values.get("hardware", self._trt.HardwareCompatibilityLevel.NONE),
        lambda self, v: self._values.__setitem__("hardware", v),
    )
    num_optimization_profiles = property(lambda self: len(self._profiles))
    quantization_flags = property(
        lambda self: self._quantization, lambda self, v: setattr(self, "_quantization", int(v))
    )

    def set_quantization_flag(self, flag):
        self._quantization |= 1 << int(flag)

    def clear_quantization_flag(self, flag):
        self._quantization &= ~(1 << int(flag))

    def get_quantization_flag(self, flag):
        return bool(self._quantization & 1 << int(flag))

    def set_preview_feature(self, feature, enable):
        self._previews[feature] = bool(enable)

    def get_preview_feature(self, feature):
        return self._previews.get(feature, False)

    def set_memory_pool_limit(self, pool, pool_size):
        if not isinstance(pool, self._trt.MemoryPoolType):
            raise TypeError("set_memory_pool_limit(): incompatible function arguments.")
        small = pool == self._trt.MemoryPoolType.DLA_MANAGED_SRAM
        if (
            pool.name.startswith("DLA")
            and (pool_size < 4096 or pool_size & (pool_size - 1))
            and not (small and pool_size == 0)
        ):
            self._fail("INVALID_ARGUMENT", "API Usage Error (DLA pool sizes are powers of two)")
            return
        self._pools[pool] = int(pool_size)

    def get_memory_pool_limit(self, pool):
        return self._pools.get(pool, self._builder._cuda.memory if pool.value == 0 else 1 << 20)

    def add_optimization_profile(self, profile):
        if not profile:
            self._fail("INVALID_ARGUMENT", "API Usage Error (the profile is not valid)")
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def set_calibration_profile(self, profile):
        self._values["calibration_profile"] = profile
        return True

    def get_calibration_profile(self):
        return self._values.get("calibration_profile")

    def create_timing_cache(self, serialized_timing_cache):
        data = bytes(serialized_timing_cache)
        device = self._builder._device_key
        if not data:
            return object.__new__(self._trt.ITimingCache)._setup(device, ())
        try:
            size = struct.unpack("<I", data[4:8])[0]
            body = json.loads(data[8:])
            if data[:4] != b"FKTC" or size != len(data) - 8:
                raise ValueError
        except (ValueError, struct.error):
            self._fail("INVALID_ARGUMENT", "API Usage Error (the timing cache is corrupt)")
            return None
        if body["trt"] != self._trt.__version__:
            self._fail(
                "INVALID_ARGUMENT",
                f"API Usage Error (the timing cache is of TensorRT {body['trt']})",
            )
            return None
        return object.__new__(self._trt.ITimingCache)._setup(body["device"], body["keys"])

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache._device != self._builder._device_key and not ignore_mismatch:
            self._fail("INVALID_ARGUMENT", "API Usage Error (the timing cache is another device's)")
            return False
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache

    def set_device_type(self, layer, device_type):
        self._devices[layer.name] = device_type

    def get_device_type(self, layer):
        return self._devices.get(layer.name, self.default_device_type)

    def is_device_type_set(self, layer):
        return layer.name in self._devices

    def reset_device_type(self, layer):
        self._devices.pop(layer.name, None)

    def can_run_on_DLA(self, layer):
        return layer._node.op_type in DLA_OPERATORS

    def reset(self):
        self._setup(self._builder)

    def _flag(self, name):
        flag = getattr(self._trt.BuilderFlag, name, None)
        return flag is not None and bool(self._flags & 1 << int(flag))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


IBuilderConfig._say, IBuilderConfig._fail = Reports._say, Reports._fail
