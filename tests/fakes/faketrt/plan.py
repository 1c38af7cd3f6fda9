"""The fake's engine file, and the graph in it run by onnxruntime."""

import hashlib
import json
import struct
import threading

import numpy as np
import onnx

from .values import NUMPY

MAGIC = b"fakeTRT\n"


def device_key(cuda):
    """What an engine is tied to: one generation of GPUs."""
    return ".".join(str(n) for n in cuda.compute_capability)


def pack(header, graph):
    """The bytes of an engine."""
    head = json.dumps(header).encode()
    body = struct.pack("<II", len(head), len(graph)) + head + graph
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(data):
    """Header and ONNX of an engine.

    Raises:
        ValueError: It is none (`"magic"`), or cut short or damaged (`"size"`).
    """
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("magic")
    start = len(MAGIC) + 32
    body = data[start:]
    if len(body) < 8 or hashlib.sha256(body).digest() != data[len(MAGIC) : start]:
        raise ValueError("size")
    head, graph = struct.unpack("<II", body[:8])
    return json.loads(body[8 : 8 + head]), body[8 + head : 8 + head + graph]


class Session:
    """An ONNX graph that runs on arrays.

    Args:
        proto: The graph.
        everything: Give every float tensor between the nodes, too.
    """

    def __init__(self, proto, everything=False):
        import onnxruntime

        if everything:
            proto = onnx.shape_inference.infer_shapes(proto)
            known = {o.name for o in proto.graph.output}
            kinds = {v.name: v for v in proto.graph.value_info}
            for node in proto.graph.node:
                for name in node.output:
                    if name and name not in known and name in kinds:
                        proto.graph.output.append(kinds[name])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {i.name: i.type for i in self._session.get_inputs()}
        self.outputs = [o.name for o in self._session.get_outputs()]
        self._lock = threading.Lock()
        self._shapes = {}

    def run(self, feeds):
        """Outputs by name."""
        feeds = {k: v.astype(_onnx_type(self.inputs[k]), copy=False) for k, v in feeds.items()}
        return dict(zip(self.outputs, self._session.run(self.outputs, feeds)))

    def shapes(self, inputs):
        """Shapes of the outputs for shapes of the inputs, by name."""
        key = tuple(sorted(inputs.items()))
        with self._lock:
            if key not in self._shapes:
                feeds = {k: np.ones(v, _onnx_type(self.inputs[k])) for k, v in inputs.items()}
                self._shapes[key] = {k: v.shape for k, v in self.run(feeds).items()}
            return self._shapes[key]


def _onnx_type(text):
    names = {"float": "float32", "float16": "float16", "double": "float64", "bool": "bool"}
    inner = text[len("tensor(") : -1]
    return np.dtype(names.get(inner, inner))


def tainted(proto, kinds):
    """Names of the tensors whose shape depends on data, downstream of these operators."""
    names = set()
    for node in proto.graph.node:
        if node.op_type in kinds or names & set(node.input):
            names |= set(node.output)
    return names


__all__ = ["NUMPY", "Session", "device_key", "pack", "tainted", "unpack"]
