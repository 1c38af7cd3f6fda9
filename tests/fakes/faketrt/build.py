"""Builder and calibration of the fake."""

import hashlib
import struct

import numpy as np

from . import plan
from .values import Reports


class Builder:
    def __init__(self, logger):
        if not isinstance(logger, self._trt.ILogger):
            raise TypeError("__init__(): incompatible constructor arguments.")
        if not self._cuda.present:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger, self._recorder, self._batch, self._threads = logger, None, 1, 1

    logger = property(lambda self: self._logger)
    error_recorder = property(
        lambda self: self._recorder, lambda self, v: setattr(self, "_recorder", v)
    )
    max_batch_size = property(lambda self: self._batch, lambda self, v: setattr(self, "_batch", v))
    max_threads = property(lambda self: self._threads, lambda self, v: setattr(self, "_threads", v))
    num_DLA_cores = property(lambda self: self._trt._dla_cores)
    max_DLA_batch_size = property(lambda self: 4096 if self._trt._dla_cores else 0)
    platform_has_fast_fp16 = property(
        lambda self: (
            self._cuda.compute_capability >= (5, 3) and self._cuda.compute_capability != (6, 1)
        )
    )
    platform_has_fast_int8 = property(
        lambda self: (
            self._cuda.compute_capability >= (7, 0) or self._cuda.compute_capability == (6, 1)
        )
    )
    platform_has_tf32 = property(lambda self: self._cuda.compute_capability >= (8, 0))

    @property
    def _device_key(self):
        return plan.device_key(self._cuda)

    def create_network(self, flags=0):
        return object.__new__(self._trt.INetworkDefinition)._setup(self, int(flags))

    def create_builder_config(self):
        return object.__new__(self._trt.IBuilderConfig)._setup(self)

    def create_optimization_profile(self):
        return object.__new__(self._trt.IOptimizationProfile)._setup()

    def is_network_supported(self, network, config):
        return self._refusal(network, config) is None

    def reset(self):
        return None

    def build_engine(self, network, config):
        data = self._build(network, config)
        return None if data is None else self._trt.Runtime(self._logger)._load(data)

    def build_serialized_network(self, network, config):
        data = self._build(network, config)
        return None if data is None else self._trt.IHostMemory._of(data)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    # ---- what a build does

    def _build(self, network, config):
        if not isinstance(network, self._trt.INetworkDefinition):
            raise TypeError("build: incompatible function arguments.")
        refusal = self._refusal(network, config)
        if refusal is not None:
            self._fail(*refusal)
            return None
        if config._flag("INT8") and not self.platform_has_fast_int8:
            self._say(
                "WARNING",
                "Int8 support requested on hardware without native Int8 support, performance "
                "will be negatively affected.",
            )
        scales = {}
        quantized = any(n.op_type == "QuantizeLinear" for n in network._model.graph.node)
        if config._flag("INT8") and not quantized:
            scales = self._calibrate(network, config)
            if scales is None:
                return None
        if not self._work(network, config):
            return None
        names = {
            place: [[t.name, t._dtype.name, list(t._shape)] for t in tensors]
            for place, tensors in (("inputs", network._inputs), ("outputs", network._outputs))
        }
        header = {
            "trt": self._trt.__version__,
            "device": self._device_key,
            "name": self._cuda.name,
            "profiles": [p._shapes for p in config._profiles],
            "flags": [m for m in self._trt.BuilderFlag.__members__ if config._flag(m)],
            "strong": network._strong,
            "dla": config.DLA_core if config.default_device_type.name == "DLA" else -1,
            "layers": network.num_layers,
            "scales": len(scales),
            "workspace": self._workspace(config),
            **names,
        }
        return plan.pack(header, network._model.SerializeToString())

    def _workspace(self, config):
        if self._trt._number < (10,) and config._values.get("workspace"):
            return config._values["workspace"]
        sizes = {p.name: v for p, v in config._pools.items()}
        return sizes.get("WORKSPACE", 0)

    def _refusal(self, network, config):
        """Why no engine can be built, as code and text, or None."""
        if network._model is None or not network._outputs:
            return "INVALID_STATE", "Internal Error (Network must have at least one output)"
        dynamic = [t for t in network._inputs if -1 in t._shape]
        if dynamic and not config._profiles:
            return (
                "INVALID_STATE",
                "Internal Error (Network has dynamic or shape inputs, but no optimization profile "
                "has been defined.)",
            )
        for number, profile in enumerate(config._profiles):
            for tensor in dynamic:
                wrong = self._misfit(tensor, profile, number)
                if wrong:
                    return "INVALID_STATE", wrong
        weak = [f for f in ("FP16", "BF16", "INT8", "FP8", "INT4", "FP4") if config._flag(f)]
        if network._strong and weak and self._trt._number < (11,):
            return (
                "INVALID_ARGUMENT",
                f"API Usage Error (the builder flag k{weak[0]} cannot be used with a strongly "
                "typed network)",
            )
        quantized = any(n.op_type == "QuantizeLinear" for n in network._model.graph.node)
        if quantized and not network._strong and not config._flag("INT8"):
            return (
                "INVALID_STATE",
                "Internal Error (Networks with QDQ layers must set the kINT8 builder flag)",
            )
        return self._dla_refusal(network, config, quantized)

    def _misfit(self, tensor, profile, number):
        shapes = profile._shapes.get(tensor.name)
        if not shapes:
            return (
                f"Internal Error ({tensor.name}: optimization profile {number} is missing "
                "values for this dynamic input)"
            )
        for shape in shapes:
            if len(shape) != len(tensor._shape) or any(
                n not in (-1, m) for n, m in zip(tensor._shape, shape)
            ):
                return (
                    f"Internal Error ({tensor.name}: for dimension number 0 in profile {number} "
                    "does not match network definition)"
                )
        return ""

    def _dla_refusal(self, network, config, quantized):
        used = config.default_device_type.name == "DLA" or any(
            d.name == "DLA" for d in config._devices.values()
        )
        if not used:
            return None
        if not self._trt._dla_cores or config.DLA_core >= self._trt._dla_cores:
            return "INVALID_ARGUMENT", "API Usage Error (DLA core is not valid on this platform)"
        if not (config._flag("FP16") or config._flag("INT8") or network._strong):
            return (
                "INVALID_CONFIG",
                "Internal Error (DLA validation failed: FP16 or INT8 is needed)",
            )
        if quantized and self._trt._number < (10,):
            return "INVALID_CONFIG", "Internal Error (DLA does not support Q/DQ layers)"
        if any(-1 in t._shape for t in network._inputs) and any(
            a != c for p in config._profiles for a, _, c in p._shapes.values()
        ):
            return "INVALID_CONFIG", "Internal Error (DLA needs min, opt and max to be the same)"
        if not config._flag("GPU_FALLBACK"):
            for layer in network._layers:
                if not config.can_run_on_DLA(layer):
                    return (
                        "INVALID_CONFIG",
                        f"Internal Error (Default DLA is enabled but layer {layer.name} is not "
                        "supported on DLA and falling back to GPU is not enabled.)",
                    )
        return None

    def _calibrate(self, network, config):
        """Scales by tensor name, from the calibrator or dynamic ranges, or None."""
        calibrator = config.int8_calibrator
        ranges = {
            t.name: t._range for layer in network._layers for t in _tensors(layer) if t._range
        }
        ranges.update({t.name: t._range for t in network._inputs if t._range})
        if calibrator is None:
            if ranges:
                return {k: max(abs(v[0]), abs(v[1])) / 127 for k, v in ranges.items()}
            self._fail(
                "INVALID_STATE",
                "Internal Error (Calibration failure occurred with no scaling factors detected. "
                "This could be due to no int8 calibrator or insufficient custom scales for "
                "network layers.)",
            )
            return None
        count = calibrator.get_batch_size()
        cache = calibrator.read_calibration_cache()
        if cache:
            return self._read_cache(bytes(cache))
        session = plan.Session(network._model, everything=True)
        largest = {}
        while True:
            names = [t.name for t in network._inputs]
            pointers = calibrator.get_batch(names)
            if not pointers:
                break
            feeds = {}
            for tensor, pointer in zip(network._inputs, pointers):
                profile = config.get_calibration_profile() or (config._profiles or [None])[0]
                shape = profile._shapes[tensor.name][1] if profile else tensor._shape
                shape = (count, *shape[1:]) if -1 in tensor._shape else shape
                kind = plan.NUMPY[tensor._dtype.name]
                size = int(np.prod(shape)) * np.dtype(kind).itemsize
                view = self._cuda.view(int(pointer), size)
                feeds[tensor.name] = view.copy().view(kind).reshape(shape)
            for name, value in {**feeds, **session.run(feeds)}.items():
                if value.dtype.kind == "f" and value.size:
                    largest[name] = max(largest.get(name, 0.0), float(np.abs(value).max()))
        if not largest:
            self._fail("INVALID_STATE", "Internal Error (Calibrator gave no batches)")
            return None
        scales = {name: value / 127 for name, value in largest.items()}
        version = "".join(f"{n:02d}" if i else str(n) for i, n in enumerate(self._trt._number[:3]))
        lines = [f"TRT-{version}-EntropyCalibration2"]
        lines += [f"{name}: {struct.pack('!f', v).hex()}" for name, v in scales.items()]
        calibrator.write_calibration_cache("\n".join(lines).encode() + b"\n")
        return scales

    def _read_cache(self, data):
        lines = data.decode("utf-8", "replace").splitlines()
        if not lines or not lines[0].startswith("TRT-"):
            self._fail("INVALID_STATE", "Internal Error (the calibration cache has no header)")
            return None
        scales = {}
        for line in lines[1:]:
            name, _, text = line.rpartition(": ")
            if not name:
                continue
            try:
                scales[name] = struct.unpack("!f", bytes.fromhex(text.strip()))[0]
            except (ValueError, struct.error):
                # Scripts that cut leading zeros off write such lines; TensorRT misreads them.
                scales[name] = float("nan")
        return scales

    def _work(self, network, config):
        """Time the layers: fills the timing cache and tells the progress monitor."""
        if config._cache is None and not config._flag("DISABLE_TIMING_CACHE"):
            config._cache = object.__new__(self._trt.ITimingCache)._setup(self._device_key, ())
        monitor = config._values.get("monitor")
        nodes = list(network._model.graph.node)
        phase = "Building Engine"
        if monitor is not None:
            monitor.phase_start(phase, None, len(nodes))
        going = True
        for step, node in enumerate(nodes):
            if config._cache is not None:
                key = hashlib.sha256(node.SerializeToString()).hexdigest()[:16]
                config._cache._entries.add(key)
            if monitor is not None and not monitor.step_complete(phase, step):
                going = False
                break
        if monitor is not None:
            monitor.phase_finish(phase)
        if not going:
            self._fail("INVALID_STATE", "Internal Error (the build was cancelled)")
        return going


def _tensors(layer):
    return [t for i in range(layer.num_outputs) for t in [layer.get_output(i)] if t is not None]


Builder._say, Builder._fail = Reports._say, Reports._fail
