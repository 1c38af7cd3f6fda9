"""Small models of the kinds that are exported."""

import sys

import numpy as np
import pytest

if sys.version_info < (3, 10):
    collect_ignore_glob = ["test_*.py"]


class Builder:
    """A graph put together node by node.

    Args:
        image: Shape of its input `images`.
        kind: Type of that input, as a `TensorProto` number.
    """

    def __init__(self, image=(1, 3, 32, 32), kind=1):
        self.onnx = pytest.importorskip("onnx")
        self.nodes, self.weights = [], []
        self.inputs = [self.onnx.helper.make_tensor_value_info("images", kind, list(image))]

    def constant(self, name, value):
        self.weights.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else list(output)
        name = attributes.pop("name", f"{kind.lower()}_{outputs[0]}")
        self.nodes.append(
            self.onnx.helper.make_node(kind, list(inputs), outputs, name=name, **attributes)
        )
        return output

    def conv(self, source, outputs, channels, kernel=3, scale=1.0, seed=0):
        rng = np.random.RandomState(seed)
        shape = (outputs[1], channels, kernel, kernel)
        size = scale / np.sqrt(channels * kernel * kernel)
        weight = self.constant(f"{outputs[0]}_w", rng.normal(0, size, shape).astype(np.float32))
        bias = self.constant(f"{outputs[0]}_b", rng.normal(0, 0.1, shape[0]).astype(np.float32))
        pads = [kernel // 2] * 4
        return self.node("Conv", [source, weight, bias], outputs[0], pads=pads)

    def model(self, outputs, opset=13, ir=8):
        """Outputs: shape by name; an empty one leaves the shape to inference."""
        helper = self.onnx.helper
        infos = [
            helper.make_tensor_value_info(name, 1, list(shape) or None)
            for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "test", self.inputs, infos, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = ir
        return model


@pytest.fixture()
def builder():
    """Makes `Builder`s."""
    return Builder


@pytest.fixture()
def yolo(builder):
    """A network with the outputs of a YOLOv5 of one class, `[1, 84, 6]` for 32 x 32 pictures."""

    def make(image=(1, 3, 32, 32), opset=13):
        b = builder(image)
        b.conv("images", ("a", 8), 3, scale=0.02)
        b.node("Sigmoid", ["a"], "s")
        b.node("Mul", ["a", "s"], "m")
        b.node("MaxPool", ["m"], "p", kernel_shape=[2, 2], strides=[2, 2])
        b.conv("p", ("h", 8), 8, scale=4.0, seed=1)
        shape = b.constant("flat", np.array([1, 8, 256], np.int64))
        b.node("Reshape", ["h", shape], "r")
        b.node("Transpose", ["r"], "output", perm=[0, 2, 1])
        return b.model({"output": (image[0], 256, 8)}, opset)

    return make
