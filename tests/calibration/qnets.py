"""A writer of small nets for tests of quantisation."""

import numpy as np
from nets import make
from onnx import helper


class Net:
    """Nodes appended one by one; weights are drawn from a seed."""

    def __init__(self, seed=0, **inputs):
        self.random = np.random.default_rng(seed)
        self.inputs = inputs
        self.nodes, self.weights = [], {}

    def node(self, kind, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else list(output)
        self.nodes.append(
            helper.make_node(kind, list(inputs), outputs, name=f"{outputs[0]}_n", **attributes)
        )
        return output

    def constant(self, name, value):
        self.weights[name] = np.asarray(value)
        return name

    def conv(self, x, output, shape, groups=1, kind="Conv", bias=True, **attributes):
        """A convolution with padding that keeps the size."""
        weight = self.random.normal(0, 0.3, shape).astype(np.float32)
        reads = [x, self.constant(f"{output}_w", weight)]
        if bias:
            wide = shape[0] if kind == "Conv" else shape[1] * groups
            values = self.random.normal(0, 0.5, wide).astype(np.float32)
            reads.append(self.constant(f"{output}_b", values))
        pads = [shape[2] // 2, shape[3] // 2] * 2 if kind == "Conv" else [0] * 4
        attributes.setdefault("pads", pads)
        return self.node(kind, reads, output, group=groups, **attributes)

    def silu(self, x, output):
        self.node("Sigmoid", [x], f"{output}_s")
        return self.node("Mul", [x, f"{output}_s"], output)

    def model(self, opset=13, **outputs):
        return make(self.nodes, self.weights, self.inputs, outputs, opset)

    def input(self, seed=1):
        random = np.random.default_rng(seed)
        return {k: random.normal(0, 1, s).astype(np.float32) for k, s in self.inputs.items()}


def run(model, feeds):
    """Outputs of a model, in order."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)
