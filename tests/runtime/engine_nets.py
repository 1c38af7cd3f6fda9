"""Small ONNX files that engines are planned for and built from."""

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

KINDS = {"float": TensorProto.FLOAT, "half": TensorProto.FLOAT16, "pixels": TensorProto.UINT8}


def save(
    path,
    *,
    kind="float",
    quantized=False,
    opset=13,
    shape=(1, 3, 8, 8),
    operator=None,
    card=None,
    island=False,
    seed=0,
):
    """Write `output = relu(conv(images))` and give the path as text.

    Args:
        path: The file.
        kind: `float`, `half` (typed FP16) or `pixels` (uint8 input, then a cast).
        quantized: Put Q/DQ before the convolution and its weights.
        opset: Version of the operators.
        shape: Of the input; None or text for open axes.
        operator: A further operator in the middle, of one input.
        card: Text of a card.
        island: Keep an Exp in FP32 within the FP16 graph.
        seed: Of the weights.
    """
    dtype = np.float16 if kind == "half" else np.float32
    weights = np.random.default_rng(seed).normal(0, 0.3, (4, 3, 3, 3)).astype(dtype)
    constants = [numpy_helper.from_array(weights, "w")]
    nodes, x, w = [], "images", "w"
    if kind == "pixels":
        nodes.append(helper.make_node("Cast", [x], ["cast"], name="cast", to=TensorProto.FLOAT))
        x = "cast"
    if quantized:
        for name, scale in (
            (x, np.float32(0.05)),
            (w, np.full(4, 0.01, np.float32)),
        ):
            axis = {"axis": 0} if scale.ndim and opset >= 13 else {}
            if scale.ndim and opset < 13:
                scale = np.float32(0.01)
            s, z = f"{name}_scale", f"{name}_zero"
            constants.append(numpy_helper.from_array(np.asarray(scale), s))
            constants.append(numpy_helper.from_array(np.zeros(np.shape(scale), np.int8), z))
            q, dq = f"{name}_q", f"{name}_dq"
            nodes.append(helper.make_node("QuantizeLinear", [name, s, z], [q], name=q, **axis))
            nodes.append(helper.make_node("DequantizeLinear", [q, s, z], [dq], name=dq, **axis))
        x, w = f"{x}_dq", f"{w}_dq"
    nodes.append(helper.make_node("Conv", [x, w], ["conv_out"], name="conv", pads=[1, 1, 1, 1]))
    middle = "conv_out"
    if operator:
        nodes.append(helper.make_node(operator, [middle], ["odd_out"], name="odd_one"))
        middle = "odd_out"
    if island:
        nodes.append(helper.make_node("Cast", [middle], ["up"], name="to_float", to=1))
        nodes.append(helper.make_node("Exp", ["up"], ["exp_out"], name="exp"))
        nodes.append(helper.make_node("Cast", ["exp_out"], ["down"], name="to_half", to=10))
        middle = "down"
    nodes.append(helper.make_node("Relu", [middle], ["output"], name="relu"))
    out = TensorProto.FLOAT16 if kind == "half" else TensorProto.FLOAT
    axes = ["n" if n is None and i == 0 else n for i, n in enumerate(shape)]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", KINDS[kind], axes)],
        [helper.make_tensor_value_info("output", out, [axes[0], 4, *axes[2:]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    if card:
        entry = model.metadata_props.add()
        entry.key, entry.value = "edgelane", card
    onnx.save(model, str(path))
    return str(path)


def save_cache(path, scales=None, head="TRT-8501-EntropyCalibration2"):
    """Write a calibration cache of `save`'s tensors and give its path as text."""
    import struct

    scales = {"images": 0.02, "conv_out": 0.05, "output": 0.05} if scales is None else scales
    lines = [head] if head else []
    for name, value in scales.items():
        text = value if isinstance(value, str) else struct.pack("!f", value).hex()
        lines.append(f"{name}: {text}")
    Path(path).write_text("\n".join(lines) + "\n")
    return str(path)
