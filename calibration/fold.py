"""Exact simplifications before a graph is calibrated: what would only get in quantisation's way."""

from typing import Any, Optional

import numpy as np

from ..core import ModelError
from .graph import Graph, load_onnx

OPSET = 13
"""Oldest version of the operators that has scales per channel."""


def fold(model: Any) -> Any:
    """The same function in fewer nodes, at operator version 13 or newer.

    Into a convolution's (or Gemm's) weights go the BatchNormalization, the Add of a constant per
    channel and the Mul by one that follow it and alone read it. Identity, Dropout and
    multiplications by one are taken out. The last tensor of a folded chain keeps its name.

    Args:
        model: A `ModelProto` of float32 weights.

    Returns:
        A new `ModelProto`; its outputs differ by rounding only.

    Raises:
        ModelError: The graph has control flow, or its operators are older than version 13 and
            cannot be brought up to it.
    """
    graph = Graph(_at_opset(model))
    changed = True
    while changed:
        changed = False
        for node in list(graph.nodes):
            if _drop_idle(graph, node) or _fold_after(graph, node):
                changed = True
    folded = graph.finish()
    inputs = [i for i in folded.graph.input if i.name not in graph.initialisers]
    del folded.graph.input[:]  # a weight that is an input as well counts as no constant
    folded.graph.input.extend(inputs)
    folded.ir_version = max(folded.ir_version, 7)  # weights that are no inputs; version 13
    return folded


def _at_opset(model: Any) -> Any:
    onnx = load_onnx()
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    version = max(versions) if versions else 1
    if version >= OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter's errors share no base but Exception
        first = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ModelError(
            f"the model's operators of version {version} cannot be brought to version {OPSET}",
            got=first[:200],
            remedy=f"export it again with opset {OPSET} or newer",
        ) from None


def _drop_idle(graph: Graph, node: Any) -> bool:
    """Take out a node that changes nothing."""
    kept: Optional[str] = None
    if node.op_type in ("Identity", "Dropout"):
        kept = node.input[0]
    elif node.op_type == "Mul":
        for one, other in ((1, 0), (0, 1)):
            value = graph.constant(node.input[one])
            if value is None or value.size != 1 or float(value.reshape(-1)[0]) != 1.0:
                continue
            shape = graph.shape(node.input[other])
            if shape is not None and len(shape) >= value.ndim:
                kept = node.input[other]
                break
    if kept is None or any(o in graph.outputs for o in node.output):
        return False
    if len(node.output) > 1 and any(graph.consumers(o) for o in node.output[1:] if o):
        return False
    graph.rewire_all(node.output[0], kept)
    graph.remove([node])
    return True


def _fold_after(graph: Graph, node: Any) -> bool:
    """Fold what follows a node with weights into it."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
        return False
    weight = graph.constant(node.input[1])
    if weight is None or weight.dtype != np.float32:
        return False
    readers = graph.consumers(node.output[0])
    if len(readers) != 1 or node.output[0] in graph.outputs:
        return False
    after = readers[0]
    group = int(graph.attribute(node, "group", 1))
    if node.op_type == "Gemm":
        if graph.attribute(node, "alpha", 1.0) != 1.0 or graph.attribute(node, "beta", 1.0) != 1.0:
            return False
        axis = 0 if graph.attribute(node, "transB", 0) else 1
        channels = weight.shape[axis]
    elif node.op_type == "Conv":
        axis, channels = 0, weight.shape[0]
    else:
        axis, channels = 1, weight.shape[1] * group
    bias = np.zeros(channels, np.float32)
    if len(node.input) > 2 and node.input[2]:
        known = graph.constant(node.input[2])
        if known is None or known.size not in (1, channels):
            return False
        bias = bias + known.reshape(-1)
    if after.op_type == "Add":
        other = after.input[1] if after.input[0] == node.output[0] else after.input[0]
        shift = _per_channel(graph, other, node.op_type, channels)
        if shift is None:
            return False
        bias = bias + shift
    elif after.op_type == "BatchNormalization" and not graph.attribute(after, "training_mode", 0):
        values = [graph.constant(i) for i in after.input[1:5]]
        if any(v is None or v.size != channels for v in values):
            return False
        gamma, beta, mean, variance = (np.asarray(v, np.float64) for v in values)
        factor = gamma / np.sqrt(variance + graph.attribute(after, "epsilon", 1e-5))
        if node.op_type == "ConvTranspose" and group > 1:
            return False
        shape = [1] * weight.ndim
        shape[axis] = channels
        weight = weight * factor.reshape(shape)
        bias = (bias - mean) * factor + beta
        name = graph.add_constant(f"{node.input[1]}/folded", weight.astype(np.float32))
        node.input[1] = name
    else:
        return False
    name = graph.add_constant(f"{after.output[0]}/bias", bias.astype(np.float32))
    if len(node.input) > 2:
        node.input[2] = name
    else:
        node.input.append(name)
    node.output[0] = after.output[0]
    graph.remove([after])
    return True


def _per_channel(graph: Graph, name: str, kind: str, channels: int) -> Optional[np.ndarray]:
    """A constant that an Add brings, as one value a channel; None if it is something else."""
    value = graph.constant(name)
    if value is None or value.dtype != np.float32:
        return None
    if value.size == 1 and value.ndim <= 1:
        return np.full(channels, value.reshape(-1)[0], np.float32)
    if kind == "Gemm":
        return value.reshape(-1) if value.shape in ((channels,), (1, channels)) else None
    if value.size != channels or value.ndim < 3 or value.shape[-value.ndim + 1] != channels:
        if value.ndim >= 3 and value.size == channels and value.shape[0] == channels:
            return value.reshape(-1)  # (c, 1, 1) against (n, c, h, w)
        return None
    return value.reshape(-1)
