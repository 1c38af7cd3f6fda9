"""What of a graph goes to INT8 as TensorRT wants it: which nodes, tensors, and common scales."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

import numpy as np

from .graph import Graph

MOVES = frozenset(
    (
        "Reshape", "Transpose", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze", "Flatten",
        "Identity", "DepthToSpace", "SpaceToDepth", "Expand", "Tile",
    )
)  # fmt: skip
"""Operators that carry numbers around and change none: their scale is that of what they read."""

POOLS = frozenset(("MaxPool", "AveragePool"))
"""Pools run in INT8 with the scale of what they read."""

JOINS = frozenset(("Concat",))
"""Operators whose inputs and output have one scale."""

ACTIVATIONS = frozenset(
    (
        "Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Elu", "Selu",
        "Softplus", "Tanh", "Gelu", "Mish", "Celu", "ThresholdedRelu",
    )
)  # fmt: skip
"""Functions of one tensor that a convolution takes along."""


@dataclass(frozen=True)
class Weighted:
    """A node that multiplies by constant weights.

    Attributes:
        node: The node.
        data: Name of the tensor that it reads.
        weight: Name of its weights.
        axis: Axis of the weights along which outputs lie; a scale each.
        depthwise: Whether each output channel reads one input channel.
    """

    node: Any
    data: str
    weight: str
    axis: int
    depthwise: bool = False


@dataclass(frozen=True)
class Plan:
    """What is quantised.

    Attributes:
        nodes: Nodes that compute in INT8, by name of their first output.
        reads: Tensors that get a Q/DQ pair, and the nodes that read it after them.
        group: The group of each of these tensors; tensors of a group have one scale. A group is
            called by the first of its tensors.
        floats: Nodes with weights that stay float, by name of their first output, and why.
    """

    nodes: Dict[str, Weighted]
    reads: Dict[str, List[Any]]
    group: Dict[str, str]
    floats: Dict[str, str]

    def members(self) -> Dict[str, List[str]]:
        """The tensors of each group, in the order of the graph."""
        found: Dict[str, List[str]] = {}
        for tensor, name in self.group.items():
            found.setdefault(name, []).append(tensor)
        return found


def weighted(graph: Graph) -> List[Weighted]:
    """Convolutions and matrix products with constant float32 weights, in the graph's order."""
    found = []
    for node in graph.nodes:
        known = _weighted(graph, node)
        if known is not None:
            found.append(known)
    return found


def _weighted(graph: Graph, node: Any) -> Optional[Weighted]:
    if node.domain not in ("", "ai.onnx") or len(node.input) < 2:
        return None
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return None
    data, name = node.input[0], node.input[1]
    weight = graph.constant(name)
    if weight is None or weight.dtype != np.float32 or graph.constant(data) is not None:
        return None
    if node.op_type == "Conv":
        groups = int(graph.attribute(node, "group", 1))
        return Weighted(node, data, name, 0, groups > 1 and weight.shape[1] == 1)
    if node.op_type == "ConvTranspose":
        return Weighted(node, data, name, 1)
    if weight.ndim != 2:
        return None
    if node.op_type == "Gemm" and graph.attribute(node, "transA", 0):
        return None
    return Weighted(node, data, name, 0 if graph.attribute(node, "transB", 0) else 1)


def multiply_adds(graph: Graph, item: Weighted) -> int:
    """Multiply-adds of a node for one picture; open axes count as one."""
    weight = graph.constant(item.weight)
    shape = graph.shape(item.node.output[0])
    assert weight is not None
    if item.node.op_type == "ConvTranspose":
        shape = graph.shape(item.data)
        places = int(np.prod([n or 1 for n in shape[2:]])) if shape else 1
        return int(weight.size) * places
    if item.node.op_type == "Conv":
        places = int(np.prod([n or 1 for n in shape[2:]])) if shape else 1
        return int(weight.size) * places
    rows = int(np.prod([n or 1 for n in shape[:-1]])) if shape else 1
    return int(weight.size) * rows


def plan(
    graph: Graph, floats: Iterable[str] = (), residual: bool = True, apart: bool = False
) -> Plan:
    """Decide what of a graph computes in INT8.

    Float stay: the head's bare output convolutions (nothing with weights follows them), what reads
    a Softmax (the projection of a distribution of distances), convolutions of a picture of one
    pixel (squeeze and excitation), and what is named.

    Args:
        graph: The float graph.
        floats: Names of nodes or of their first outputs that shall stay float.
        residual: Give the skip input of a residual Add a Q/DQ pair too, so that the addition can
            be fused into the convolution.
        apart: Let Concats join float numbers where these are moved before they are read, as by a
            shuffle of channels, so that each layer behind them has a scale of its own.
    """
    asked = set(floats)
    items = weighted(graph)
    names = {i.node.output[0] for i in items}
    followed = _followed(graph, names)
    nodes: Dict[str, Weighted] = {}
    left: Dict[str, str] = {}
    for item in items:
        output = item.node.output[0]
        source = graph.producer(_source(graph, item.data)[0])
        if output in asked or item.node.name in asked:
            left[output] = "asked for"
        elif source is not None and source.op_type == "Softmax":
            left[output] = "reads a distribution"
        elif output not in followed:
            left[output] = "output of the head"
        elif item.node.op_type == "Conv" and _one_pixel(graph, item.data):
            left[output] = "one pixel"
        else:
            nodes[output] = item
    reads: Dict[str, List[Any]] = {}
    for item in nodes.values():
        _read(reads, item.data, item.node)
    if residual:
        for node, skip in residuals(graph, nodes):
            _read(reads, skip, node)
    return Plan(nodes, reads, _groups(graph, reads, apart), left)


def _one_pixel(graph: Graph, tensor: str) -> bool:
    shape = graph.shape(tensor)
    return shape is not None and len(shape) > 2 and all(n == 1 for n in shape[2:])


def _read(reads: Dict[str, List[Any]], tensor: str, node: Any) -> None:
    nodes = reads.setdefault(tensor, [])
    if all(n is not node for n in nodes):
        nodes.append(node)


def _followed(graph: Graph, weighted_outputs: Set[str]) -> Set[str]:
    """Outputs after which another node with weights comes that reads no distribution."""
    found: Set[str] = set()
    reached: Set[str] = set()  # tensors from which such a node is reached
    for node in reversed(graph.nodes):
        has_weights = node.output[0] in weighted_outputs
        if has_weights and any(o in reached for o in node.output):
            found.add(node.output[0])
        if has_weights or any(o in reached for o in node.output):
            if has_weights:
                source = graph.producer(_source(graph, node.input[0])[0])
                if source is not None and source.op_type == "Softmax":
                    continue
            reached.update(i for i in node.input if i)
    return found


def _source(graph: Graph, tensor: str) -> Tuple[str, List[str]]:
    """Where a tensor's numbers come from behind moves, and the tensors passed on the way."""
    passed = []
    while True:
        node = graph.producer(tensor)
        if node is None or node.op_type not in MOVES:
            return tensor, passed
        passed.append(tensor)
        tensor = node.input[0]


def residuals(graph: Graph, nodes: Dict[str, Weighted]) -> List[Tuple[Any, str]]:
    """Additions of a shortcut to a quantised convolution's result, and the shortcut's tensor.

    The convolution's branch is the input that comes from it by an activation at most and that
    only the addition reads; of two such inputs the later one. The sum has to be read by something
    that is quantised, or it would be the head's arithmetic.
    """
    order = {id(n): i for i, n in enumerate(graph.nodes)}
    found = []
    for node in graph.nodes:
        if node.op_type != "Add" or node.input[0] == node.input[1]:
            continue
        if any(graph.constant(i) is not None for i in node.input):
            continue
        branches = [t for t in node.input if _from_convolution(graph, t, node, nodes)]
        shapes = [graph.shape(i) for i in node.input]
        if not branches or shapes[0] != shapes[1] or not _feeds(graph, node.output[0], nodes):
            continue
        branch = max(branches, key=lambda t: order[id(graph.producer(t))])
        skip = node.input[1] if node.input[0] == branch else node.input[0]
        found.append((node, skip))
    return found


def _from_convolution(graph: Graph, tensor: str, reader: Any, nodes: Dict[str, Weighted]) -> bool:
    if tensor in graph.outputs or [id(n) for n in graph.consumers(tensor)] != [id(reader)]:
        return False
    return _convolution_of(graph, tensor) in nodes


def _convolution_of(graph: Graph, tensor: str) -> str:
    """The convolution's output behind an activation, SiLU and the like included."""
    node = graph.producer(tensor)
    if node is None:
        return tensor
    if node.op_type in ACTIVATIONS:
        return node.input[0]
    if node.op_type == "Mul":  # x · sigmoid(x)
        for own, gate in ((0, 1), (1, 0)):
            maker = graph.producer(node.input[gate])
            if (
                maker is not None
                and maker.op_type in ACTIVATIONS
                and maker.input[0] == node.input[own]
            ):
                return node.input[own]
    return tensor


def _feeds(graph: Graph, tensor: str, nodes: Dict[str, Weighted]) -> bool:
    """Whether a quantised node reads a tensor, behind anything without weights."""
    wanted, seen = [tensor], set()
    while wanted:
        name = wanted.pop()
        for node in graph.consumers(name):
            if node.output[0] in nodes:
                return True
            if id(node) not in seen and _weighted(graph, node) is None:
                seen.add(id(node))
                wanted.extend(o for o in node.output if o)
    return False


def _groups(graph: Graph, reads: Dict[str, List[Any]], apart: bool) -> Dict[str, str]:
    """Give Concats and pools before quantised tensors their pairs, and tie scales together.

    `reads` grows by the inputs of the Concats and pools.
    """
    parent: Dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    wanted = list(reads)
    while wanted:
        tensor = wanted.pop(0)
        source, passed = _source(graph, tensor)
        for other in (source, *passed):
            parent[root(other)] = root(tensor)
        maker = graph.producer(source)
        if maker is None or maker.op_type not in JOINS | POOLS:
            continue
        if apart and passed and maker.op_type in JOINS:
            continue
        for name in dict.fromkeys(maker.input):
            if not name or graph.constant(name) is not None:
                continue
            parent[root(name)] = root(source)
            known = name in reads
            _read(reads, name, maker)
            if not known:
                wanted.append(name)
    order = {
        t: i for i, t in enumerate([*graph.inputs, *(o for n in graph.nodes for o in n.output)])
    }
    tensors = sorted(reads, key=lambda t: order.get(t, 0))
    called: Dict[str, str] = {}
    return {t: called.setdefault(root(t), t) for t in tensors}
