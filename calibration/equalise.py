"""Exact rewriting of a float graph so that the channels of a tensor have like ranges.

One scale serves all channels of a tensor in INT8, so a channel a hundred times smaller than its
neighbour keeps one step of 127. Scaling each channel by 1/s and the weights that read it by s
evens them out and leaves the float function as it is (Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", 2019, for ReLU; Xiao et al., "SmoothQuant", 2022,
for how to share between numbers and weights). A convolution of depth 1 takes any s at no cost,
because its weights have a scale a channel.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from .channels import FIXED, Classes
from .graph import Graph
from .patterns import Plan, Weighted, plan

SMALLEST = 1e-3
"""A channel is taken to be at least this large beside the tensor's largest."""


@dataclass(frozen=True)
class EqualiseSettings:
    """How a graph is equalised.

    Attributes:
        share: How much of the difference between channels is moved from the numbers to the
            weights that read them, 0 to 1. Before depthwise convolutions it is 1.
        multiply: Put a multiplication by a constant per channel before depthwise convolutions
            whose input cannot be scaled otherwise, as after SiLU.
        across: Scale what can be scaled without a multiplication, as across ReLU.
        everywhere: Put a multiplication before the other convolutions too.
        floats: Names of nodes, or of their first outputs, that will not be quantised.
    """

    share: float = 0.75
    multiply: bool = True
    across: bool = True
    everywhere: bool = False
    floats: Tuple[str, ...] = ()


def equalise(
    model: Any,
    channels: Mapping[str, np.ndarray],
    settings: Optional[EqualiseSettings] = None,
) -> Any:
    """Even out the ranges of channels.

    Args:
        model: A float32 `ModelProto` as `fold` gives it.
        channels: `(c,)` largest magnitude, or another measure of size, of each channel of the
            tensors that are quantised, by tensor name.
        settings: What is done.

    Returns:
        A new `ModelProto` whose outputs differ by rounding only. Tensors that are multiplied are
        called `T/equalised` behind the multiplication; all others keep their names.
    """
    settings = settings or EqualiseSettings()
    graph = Graph(model)
    planned = plan(graph, settings.floats)
    before = Classes(graph)
    added = _multiply(graph, planned, before, channels, settings)
    if added:
        graph = Graph(graph.finish())
        planned = plan(graph, settings.floats)
        added = {o: t for o, t in added.items() if graph.producer(o) is not None}
    known = dict(channels)
    for output, tensor in added.items():
        if tensor in channels:
            known[output] = channels[tensor]
    classes = Classes(graph, tuple(added))
    scales = _solve(graph, planned, classes, known, settings)
    if not settings.across:
        keep = np.zeros(classes.count, bool)
        for output in added:
            found = classes.of(output)
            if found is not None:
                keep[found] = True
        scales = np.where(keep, scales, 1.0)
    _apply(graph, classes, scales, added)
    return graph.finish()


def _multiply(
    graph: Graph,
    planned: Plan,
    classes: Classes,
    channels: Mapping[str, np.ndarray],
    settings: EqualiseSettings,
) -> Dict[str, str]:
    """Put multiplications by one where a scale is wanted; the tensor behind and before each."""
    added: Dict[str, str] = {}
    if not settings.multiply:
        return added
    by_tensor: Dict[str, List[Weighted]] = {}
    for item in planned.nodes.values():
        if item.node.op_type == "Conv" and (item.depthwise or settings.everywhere):
            by_tensor.setdefault(item.data, []).append(item)
    for tensor, items in by_tensor.items():
        found, known = classes.of(tensor), channels.get(tensor)
        if known is None or (found is not None and not np.any(found == FIXED)):
            continue
        if tensor in graph.inputs or known.max() <= 0 or known.max() < 2 * np.median(known):
            continue
        output = graph.fresh(f"{tensor}/equalised")
        ones = graph.add_constant(f"{tensor}/factor", np.ones((1, len(known), 1, 1), np.float32))
        for item in items:
            graph.rewire(item.node, tensor, output)
        graph.make("Mul", [tensor, ones], [output], f"{output}/n")
        added[output] = tensor
    return added


def _solve(
    graph: Graph,
    planned: Plan,
    classes: Classes,
    channels: Mapping[str, np.ndarray],
    settings: EqualiseSettings,
) -> np.ndarray:
    """The scale of each class; 1 where it cannot be scaled or nothing is known."""
    size = np.zeros(classes.count)  # of the numbers, beside the largest of their tensor
    weight = np.zeros(classes.count)  # of the weights that read them, likewise
    for tensor in planned.reads:
        found, known = classes.of(tensor), channels.get(tensor)
        if found is None or known is None or len(known) != len(found) or known.max() <= 0:
            continue
        np.maximum.at(size, found, np.maximum(known, known.max() * SMALLEST))
    for item in planned.nodes.values():
        found = classes.of(item.data) if item.node.op_type == "Conv" else None
        if found is None or item.depthwise:
            continue
        columns = _columns(graph, item, len(found))
        if columns is not None and columns.max() > 0:
            known = np.maximum(columns, columns.max() * SMALLEST)
            np.maximum.at(weight, found, known)
    scales = np.ones(classes.count)
    sized = size > 0
    shared = sized & (weight > 0)
    scales[sized] = size[sized]
    scales[shared] = size[shared] ** settings.share / weight[shared] ** (1 - settings.share)
    scales[FIXED] = 1.0
    return scales


def _columns(graph: Graph, item: Weighted, width: int) -> Optional[np.ndarray]:
    """Largest weight of each input channel beside the largest of its output channel, `(c,)`."""
    weight = graph.constant(item.weight)
    groups = int(graph.attribute(item.node, "group", 1))
    if weight is None or weight.shape[1] * groups != width:
        return None
    rows = np.abs(weight).reshape(weight.shape[0], weight.shape[1], -1).max(axis=2)
    rows = rows / np.maximum(rows.max(axis=1, keepdims=True), 1e-12)
    return rows.reshape(groups, -1, weight.shape[1]).max(axis=1).reshape(-1)


def _apply(graph: Graph, classes: Classes, scales: np.ndarray, added: Mapping[str, str]) -> None:
    """Scale weights, biases and factors."""
    for output in added:
        found, node = classes.of(output), graph.producer(output)
        assert node is not None and found is not None
        behind = classes.of(node.input[0])
        factor = (1.0 if behind is None else scales[behind]) / scales[found]
        graph.set_constant(node.input[1], factor.astype(np.float32).reshape(1, -1, 1, 1))
    for item in classes.reads.values():
        weight = graph.constant(item.weight)
        assert weight is not None
        convolution = item.node.op_type.startswith("Conv")
        found_in = classes.of(
            item.data, 1 if convolution else len(graph.shape(item.data) or ()) - 1
        )
        output = item.node.output[0]
        found_out = classes.of(output, 1 if convolution else len(graph.shape(output) or ()) - 1)
        ins = np.ones(1) if found_in is None else scales[found_in]
        outs = np.ones(1) if found_out is None else scales[found_out]
        if np.all(ins == 1) and np.all(outs == 1):
            continue
        changed = _scaled(graph, item, weight.astype(np.float64), ins, outs)
        graph.set_constant(item.weight, changed.astype(np.float32))
        if len(item.node.input) > 2 and item.node.input[2] and np.any(outs != 1):
            bias = graph.constant(item.node.input[2])
            assert bias is not None
            graph.set_constant(item.node.input[2], (bias / outs).astype(np.float32))


def _scaled(
    graph: Graph, item: Weighted, weight: np.ndarray, ins: np.ndarray, outs: np.ndarray
) -> np.ndarray:
    """Weights that read scaled channels and write scaled channels."""
    rest = [1] * (weight.ndim - 2)
    kind = item.node.op_type
    if kind == "Conv":
        groups = int(graph.attribute(item.node, "group", 1))
        if len(ins) > 1:
            ins = np.repeat(ins.reshape(groups, 1, -1), weight.shape[0] // groups, axis=1)
            weight = weight * ins.reshape(weight.shape[0], weight.shape[1], *rest)
        return weight / outs.reshape(-1, 1, *rest)
    if kind == "ConvTranspose":
        return weight * ins.reshape(-1, 1, *rest) / outs.reshape(1, -1, *rest)
    if item.axis == 0:  # Gemm with the weights transposed
        return weight * ins.reshape(1, -1) / outs.reshape(-1, 1)
    return weight * ins.reshape(-1, 1) / outs.reshape(1, -1)
