"""Networks and the ONNX parser of the fake."""

import os

import numpy as np
import onnx
from onnx import TensorProto

from .values import Reports

NEEDS = {
    "NonMaxSuppression": (8, 5),
    "NonZero": (8, 5),
    "OneHot": (8, 5),
    "GridSample": (8, 5),
    "LayerNormalization": (8, 6),
    "GroupNormalization": (8, 6),
    "Unique": (99, 0),
    "StringNormalizer": (99, 0),
}
"""The release whose parser first knows an operator; operators not named here, all know."""

DATA_DEPENDENT = {"NonMaxSuppression", "NonZero"}

LAYER_TYPES = {
    "Conv": "CONVOLUTION",
    "ConvTranspose": "DECONVOLUTION",
    "Relu": "ACTIVATION",
    "Sigmoid": "ACTIVATION",
    "LeakyRelu": "ACTIVATION",
    "MaxPool": "POOLING",
    "AveragePool": "POOLING",
    "Concat": "CONCATENATION",
    "Add": "ELEMENTWISE",
    "Mul": "ELEMENTWISE",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    "Shape": "SHAPE",
    "Softmax": "SOFTMAX",
    "MatMul": "MATRIX_MULTIPLY",
    "Resize": "RESIZE",
    "Slice": "SLICE",
    "Gather": "GATHER",
    "Constant": "CONSTANT",
    "NonMaxSuppression": "NMS",
    "Cast": "CAST",
}

_TYPES = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.DOUBLE: "FLOAT",
    TensorProto.BFLOAT16: "BF16",
}


class ITensor:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.ITensor: No constructor defined!")

    def _setup(self, name, shape, dtype, place=None):
        self._name, self._shape, self._dtype, self._place = name, shape, dtype, place
        self._range, self._formats = None, 1
        return self

    name = property(lambda self: self._name, lambda self, v: setattr(self, "_name", v))
    dtype = property(lambda self: self._dtype, lambda self, v: setattr(self, "_dtype", v))
    is_network_input = property(lambda self: self._place == "input")
    is_network_output = property(lambda self: self._place == "output")
    is_shape_tensor = property(lambda self: False)
    is_execution_tensor = property(lambda self: True)
    location = property(lambda self: self._trt.TensorLocation.DEVICE)
    allowed_formats = property(
        lambda self: self._formats, lambda self, v: setattr(self, "_formats", v)
    )
    dynamic_range = property(
        lambda self: self._range, lambda self, v: setattr(self, "_range", tuple(v))
    )

    @property
    def shape(self):
        return self._trt.Dims(self._shape)

    @shape.setter
    def shape(self, value):
        self._shape = tuple(value)

    def set_dynamic_range(self, min, max):
        self._range = (float(min), float(max))
        return True

    def reset_dynamic_range(self):
        self._range = None


class ILayer:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.ILayer: No constructor defined!")

    def _setup(self, node, tensors):
        self._node, self._tensors = node, tensors
        self._name, self._precision, self._types, self._note = node.name, None, {}, ""
        return self

    name = property(lambda self: self._name, lambda self, v: setattr(self, "_name", v))
    metadata = property(lambda self: self._note, lambda self, v: setattr(self, "_note", v))
    num_inputs = property(lambda self: len(self._node.input))
    num_outputs = property(lambda self: len(self._node.output))
    precision_is_set = property(lambda self: self._precision is not None)

    @property
    def type(self):
        name = LAYER_TYPES.get(self._node.op_type, "IDENTITY")
        return getattr(self._trt.LayerType, name, self._trt.LayerType.IDENTITY)

    @property
    def precision(self):
        return self._precision or self._trt.float32

    @precision.setter
    def precision(self, value):
        self._precision = value

    def reset_precision(self):
        self._precision = None

    def get_input(self, index):
        return self._tensors.get(self._node.input[index]) if index < self.num_inputs else None

    def get_output(self, index):
        return self._tensors.get(self._node.output[index]) if index < self.num_outputs else None

    def set_output_type(self, index, dtype):
        self._types[index] = dtype

    def get_output_type(self, index):
        return self._types.get(index, self._trt.float32)

    def output_type_is_set(self, index):
        return index in self._types

    def reset_output_type(self, index):
        self._types.pop(index, None)


class INetworkDefinition:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.INetworkDefinition: No constructor defined!")

    def _setup(self, builder, flags):
        self._builder, self._flags, self._name, self._recorder = builder, flags, "", None
        self._logger = builder._logger
        self._model, self._inputs, self._outputs, self._layers = None, [], [], []
        return self

    builder = property(lambda self: self._builder)
    flags = property(lambda self: self._flags)
    name = property(lambda self: self._name, lambda self, v: setattr(self, "_name", v))
    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))
    num_layers = property(lambda self: len(self._layers))
    has_implicit_batch_dimension = property(lambda self: not self._explicit)
    error_recorder = property(
        lambda self: self._recorder, lambda self, v: setattr(self, "_recorder", v)
    )

    @property
    def _explicit(self):
        if self._trt._number >= (10,):
            return True
        return bool(self._flags & 1 << int(self._trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))

    @property
    def _strong(self):
        if self._trt._number >= (11,):
            return True
        flag = getattr(self._trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return flag is not None and bool(self._flags & 1 << int(flag))

    def get_flag(self, flag):
        return bool(self._flags & 1 << int(flag))

    def get_input(self, index):
        return self._inputs[index] if 0 <= index < len(self._inputs) else None

    def get_output(self, index):
        return self._outputs[index] if 0 <= index < len(self._outputs) else None

    def get_layer(self, index):
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def __len__(self):
        return len(self._layers)

    def __getitem__(self, index):
        return self._layers[index]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


class ParserError:
    def __init__(self):
        raise TypeError("tensorrt.tensorrt.ParserError: No constructor defined!")

    def _setup(self, code, desc, node=-1, name="", operator=""):
        self._code, self._desc, self._node = code, desc, node
        self._node_name, self._operator = name, operator
        return self

    def code(self):
        return getattr(self._trt.ErrorCode, self._code)

    def desc(self):
        return self._desc

    def file(self):
        return "ModelImporter.cpp"

    def func(self):
        return "importModel"

    def line(self):
        return 0

    def node(self):
        return self._node

    def node_name(self):
        return self._node_name

    def node_operator(self):
        return self._operator

    def __str__(self):
        return f"In node {self._node} ({self.func()}): {self._code}: {self._desc}"


class OnnxParser:
    def __init__(self, network, logger):
        if not isinstance(network, self._trt.INetworkDefinition):
            raise TypeError("__init__(): incompatible constructor arguments.")
        self._network, self._logger, self._errors, self._flags = network, logger, [], 0

    num_errors = property(lambda self: len(self._errors))
    flags = property(lambda self: self._flags, lambda self, v: setattr(self, "_flags", int(v)))

    def set_flag(self, flag):
        self._flags |= 1 << int(flag)

    def clear_flag(self, flag):
        self._flags &= ~(1 << int(flag))

    def get_flag(self, flag):
        return bool(self._flags & 1 << int(flag))

    def get_error(self, index):
        if not 0 <= index < len(self._errors):
            raise IndexError("Error index out of range")
        return self._errors[index]

    def clear_errors(self):
        self._errors = []

    def supports_operator(self, op_name):
        return onnx.defs.has(op_name) and self._trt._number >= NEEDS.get(op_name, (0,))

    def parse(self, model, path=None):
        if isinstance(model, str):
            raise TypeError("parse(): incompatible function arguments.")
        try:
            proto = onnx.load_from_string(bytes(model))
        except Exception:
            proto = None
        if proto is None or not proto.graph.node:
            return self._wrong("MODEL_DESERIALIZE_FAILED", "Failed to parse ONNX model")
        folder = os.path.dirname(path) if path else os.getcwd()
        return self._import(proto, folder)

    def parse_from_file(self, model):
        try:
            proto = onnx.load(model, load_external_data=False)
        except FileNotFoundError:
            return self._wrong("MODEL_DESERIALIZE_FAILED", f"Could not open file {model}")
        except Exception:
            return self._wrong("MODEL_DESERIALIZE_FAILED", f"Failed to parse ONNX model {model}")
        return self._import(proto, os.path.dirname(os.path.abspath(model)))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def _wrong(self, code, text, *place):
        error = object.__new__(self._trt.ParserError)._setup(code, text, *place)
        self._errors.append(error)
        self._say("ERROR", text)
        return False

    def _import(self, proto, folder):
        network = self._network
        if not network._explicit:
            return self._wrong(
                "UNSUPPORTED_GRAPH",
                "This version of the ONNX parser only supports TensorRT INetworkDefinitions with "
                "an explicit batch dimension. Please ensure the network was created using the "
                "EXPLICIT_BATCH NetworkDefinitionCreationFlag.",
            )
        try:
            onnx.load_external_data_for_model(proto, folder)
        except Exception as error:
            return self._wrong("INVALID_NODE", f"Failed to open the external weights: {error}")
        for index, node in enumerate(proto.graph.node):
            if not self.supports_operator(node.op_type) or node.domain not in ("", "ai.onnx"):
                return self._wrong(
                    "UNSUPPORTED_NODE",
                    f"No importer registered for op: {node.op_type}",
                    index,
                    node.name,
                    node.op_type,
                )
            wrong = self._quantized(node, proto) if node.op_type == "DequantizeLinear" else ""
            if wrong:
                return self._wrong("INVALID_NODE", wrong, index, node.name, node.op_type)
        weights = {i.name for i in proto.graph.initializer}
        tensors = {}
        for place, values in (("input", proto.graph.input), ("output", proto.graph.output)):
            for value in values:
                if place == "input" and value.name in weights:
                    continue
                tensor = self._tensor(value, place)
                if tensor is None:
                    return False
                tensors[value.name] = tensor
                (network._inputs if place == "input" else network._outputs).append(tensor)
        if any(i.data_type == TensorProto.INT64 for i in proto.graph.initializer) and (
            self._trt._number < (10,)
        ):
            self._say(
                "WARNING",
                "Your ONNX model has been generated with INT64 weights, while TensorRT does not "
                "natively support INT64. Attempting to cast down to INT32.",
            )
        for node in proto.graph.node:
            for name in node.output:
                if name not in tensors:
                    tensors[name] = object.__new__(self._trt.ITensor)._setup(
                        name, (), self._trt.float32
                    )
            layer = object.__new__(self._trt.ILayer)._setup(node, tensors)
            network._layers.append(layer)
        network._model = proto
        return True

    def _quantized(self, node, proto):
        """What TensorRT says of a dequantisation that it cannot take, or nothing."""
        constants = {i.name: i for i in proto.graph.initializer}
        point = constants.get(node.input[2]) if len(node.input) > 2 else None
        if point is None:
            return ""
        value = onnx.numpy_helper.to_array(point)
        if value.dtype != np.int8:
            return "Assertion failed: TensorRT only supports INT8 for quantization"
        if np.any(value):
            return "Assertion failed: TensorRT only supports a zero point of 0"
        return ""

    def _tensor(self, value, place):
        name = _TYPES.get(value.type.tensor_type.elem_type)
        if name == "INT64" and self._trt._number < (10,):
            name = "INT32"
        if name is None or not hasattr(self._trt.DataType, name):
            self._wrong("UNSUPPORTED_NODE", f"Failed to convert the type of tensor {value.name}")
            return None
        shape = tuple(
            d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else -1
            for d in value.type.tensor_type.shape.dim
        )
        dtype = getattr(self._trt.DataType, name)
        return object.__new__(self._trt.ITensor)._setup(value.name, shape, dtype, place)


for _kind in (OnnxParser, INetworkDefinition):
    _kind._say, _kind._fail = Reports._say, Reports._fail
