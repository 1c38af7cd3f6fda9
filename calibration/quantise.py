"""Explicit quantisation: a float graph and its ranges to a Q/DQ graph as TensorRT wants it."""

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from ..core import ModelError
from .graph import Graph
from .patterns import Plan, Weighted, multiply_adds, plan

LEVELS = 127
"""Largest number in symmetric INT8."""


@dataclass(frozen=True)
class QuantiseSettings:
    """How a graph is quantised.

    Attributes:
        floats: Names of nodes, or of their first outputs, that stay float.
        residual: Quantise the skip input of residual Adds.
        apart: Let Concats before moves join float numbers, see `patterns.plan`.
    """

    floats: Tuple[str, ...] = ()
    residual: bool = True
    apart: bool = False


@dataclass(frozen=True)
class Fitted:
    """Weights of a node as they are stored.

    Attributes:
        levels: int8, in the form of the weights.
        scales: `(o,)` float32.
        bias: `(o,)` float32 instead of the node's own; None keeps that.
    """

    levels: np.ndarray
    scales: np.ndarray
    bias: Optional[np.ndarray] = None


def quantise(
    model: Any,
    ranges: Mapping[str, float],
    settings: Optional[QuantiseSettings] = None,
    fitted: Optional[Mapping[str, Fitted]] = None,
) -> Any:
    """Write Q/DQ pairs into a float model.

    INT8 with zero point 0. One pair a tensor, shared by its readers, on what Conv, ConvTranspose,
    Gemm and MatMul read, on what a Concat or a pool before them reads (with one scale for all its
    inputs and its output), and on the skip input of residual Adds; none on outputs, so that an
    activation stays with its convolution. Weights are stored as INT8 with a scale per output
    channel; biases stay float. `patterns.plan` says which nodes stay float. Names are made from
    those of the tensors: `T/q`, `T/dq`, `GROUP/scale`, `W/int8`, `W/scale`.

    Args:
        model: A float32 `ModelProto`; what `fold` makes of it quantises best.
        ranges: Largest absolute value by tensor name. Of tensors with one scale the largest range
            counts.
        settings: What stays float.
        fitted: Weights that were rounded already (`rounding.fit`), by the first output of their
            node; those of other nodes are rounded to the nearest level.

    Returns:
        A new `ModelProto` of operator version 13 or newer.

    Raises:
        ModelError: The operators are older than version 13, or a range is missing or no number.
    """
    settings = settings or QuantiseSettings()
    graph = Graph(model)
    if graph.opset < 13:
        raise ModelError(
            "scales per channel need operators of version 13",
            got=f"version {graph.opset}",
            remedy="fold the model first (calibration.fold), which brings it there",
        )
    planned = plan(graph, settings.floats, settings.residual, settings.apart)
    write_pairs(graph, planned, group_ranges(planned, ranges), fitted)
    return graph.finish()


def group_ranges(planned: Plan, ranges: Mapping[str, float]) -> Dict[str, float]:
    """The range of each group: the largest of its tensors'.

    Raises:
        ModelError: A tensor's range is missing or no number.
    """
    found: Dict[str, float] = {}
    for tensor, group in planned.group.items():
        value = ranges.get(tensor)
        if value is None or not np.isfinite(value) or value < 0:
            raise ModelError(
                f"the tensor {tensor!r} has no range",
                got="none" if value is None else repr(value),
                expected="a positive number",
                remedy="calibrate the graph that is quantised; names must be the same",
            )
        found[group] = max(found.get(group, 0.0), float(value))
    return found


def write_pairs(
    graph: Graph,
    planned: Plan,
    amax: Mapping[str, float],
    fitted: Optional[Mapping[str, Fitted]] = None,
) -> None:
    """Insert the pairs of a plan.

    Args:
        graph: The float graph.
        planned: What is quantised.
        amax: The range of each group.
        fitted: Weights that were rounded already, by the first output of their node.
    """
    zero = add_scalar(graph, "int8_zero", np.int8(0))
    scales: Dict[str, str] = {}
    for tensor, readers in planned.reads.items():
        group = planned.group[tensor]
        if group not in scales:
            value = np.float32(amax[group] / LEVELS) if amax[group] > 0 else np.float32(1)
            scales[group] = add_scalar(graph, f"{group}/scale", value)
        quantised, restored = graph.fresh(f"{tensor}/q"), graph.fresh(f"{tensor}/dq")
        for node in readers:
            graph.rewire(node, tensor, restored)
        scale = scales[group]
        graph.make("QuantizeLinear", [tensor, scale, zero], [quantised], quantised + "/n")
        graph.make("DequantizeLinear", [quantised, scale, zero], [restored], restored + "/n")
    done: Dict[Tuple[str, int], str] = {}
    for output, item in planned.nodes.items():
        own = (fitted or {}).get(output)
        if own is not None:
            item.node.input[1] = _write_weight(graph, item, own)
            if own.bias is not None:
                bias = graph.add_constant(f"{output}/bias", own.bias)
                del item.node.input[2:]
                item.node.input.append(bias)
            continue
        if (item.weight, item.axis) not in done:
            done[item.weight, item.axis] = _write_weight(graph, item, None)
        item.node.input[1] = done[item.weight, item.axis]
    graph._changed()


def add_scalar(graph: Graph, name: str, value: Any) -> str:
    """A new initialiser without axes, which the operators ask for where a scale is one number."""
    name = graph.add_constant(name, np.asarray(value))
    del graph.initialisers[name].dims[:]
    return name


def weight_scales(weight: np.ndarray, axis: int) -> np.ndarray:
    """The scale of each output channel: largest absolute value / 127, 1 where all are zero."""
    other = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=other) if weight.size else np.ones(weight.shape[axis])
    return np.where(largest > 0, largest / LEVELS, 1.0).astype(np.float32)


def weight_levels(weight: np.ndarray, scales: np.ndarray, axis: int) -> np.ndarray:
    """Weights as INT8: rounded to the nearest level, half to even."""
    shape = [1] * weight.ndim
    shape[axis] = -1
    return np.clip(np.rint(weight / scales.reshape(shape)), -LEVELS, LEVELS).astype(np.int8)


def _write_weight(graph: Graph, item: Weighted, fitted: Optional[Fitted]) -> str:
    weight = graph.constant(item.weight)
    assert weight is not None
    if fitted is None:
        scales = weight_scales(weight, item.axis)
        values = weight_levels(weight, scales, item.axis)
    else:
        values, scales = fitted.levels, fitted.scales
    levels = graph.add_constant(f"{item.weight}/int8", values)
    scale = graph.add_constant(f"{item.weight}/scale", scales)
    zero = graph.add_constant(f"{item.weight}/zero", np.zeros(len(scales), np.int8))
    restored = graph.fresh(f"{item.weight}/dq")
    graph.make(
        "DequantizeLinear", [levels, scale, zero], [restored], restored + "/n", axis=item.axis
    )
    return restored


def int8_share(model: Any) -> float:
    """Share of a Q/DQ graph's multiply-adds that compute in INT8, 0 to 1.

    A node counts when both its input and its weights come from a DequantizeLinear.
    """
    graph = Graph(model)
    inside = total = 0
    for node in graph.nodes:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        makers = [graph.producer(i) for i in node.input[:2]]
        both = all(m is not None and m.op_type == "DequantizeLinear" for m in makers)
        weight = _stored(graph, node.input[1])
        if weight is None:
            continue
        item = Weighted(node, node.input[0], weight, 0)
        count = multiply_adds(graph, item)
        total += count
        inside += count if both else 0
    return inside / total if total else 0.0


def _stored(graph: Graph, name: str) -> Optional[str]:
    """The constant behind weights, with or without a DequantizeLinear between."""
    for _ in range(3):
        if graph.constant(name) is not None:
            return name
        maker = graph.producer(name)
        if maker is None or maker.op_type not in ("DequantizeLinear", "QuantizeLinear"):
            return None
        name = maker.input[0]
    return None
