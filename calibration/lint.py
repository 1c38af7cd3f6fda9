"""A linter of quantised ONNX graphs: would TensorRT run them in INT8, fused and as accurate?

It reads anybody's graph and changes nothing. What it knows of TensorRT is from NVIDIA's guide to
explicit quantisation: INT8 with zero point 0, a scale per output channel for weights, Q/DQ pairs on
what convolutions and matrix products read and not on what they give.
"""

from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..core import ModelError
from .graph import Graph, read_model
from .patterns import MOVES

SEVERITIES = ("error", "warning", "info")

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that multiply by weights and compute in INT8."""


class Finding(NamedTuple):
    """Something about a graph that its author should know.

    Attributes:
        severity: `error`: TensorRT refuses it, computes something else, or runs in floating point
            or unfused what was meant to be INT8. `warning`: it costs accuracy or speed. `info`.
        rule: Name of the rule.
        node: Name of the node; the operator and its output where the node has none.
        what: What is wrong, in one sentence.
        remedy: What to do.
    """

    severity: str
    rule: str
    node: str
    what: str
    remedy: str


class Pair(NamedTuple):
    """A QuantizeLinear of a computed tensor and a DequantizeLinear that reads it.

    Attributes:
        q: The first node.
        dq: The second.
        tensor: The float tensor that is quantised.
        readers: The nodes that read the result.
    """

    q: Any
    dq: Any
    tensor: str
    readers: List[Any]


def lint(model: Union[str, Path, Any]) -> List[Finding]:
    """Look for what keeps a Q/DQ graph from being a good INT8 engine.

    Args:
        model: ONNX file, or a `ModelProto`.

    Returns:
        Findings, errors first, each rule in the order of the graph. A graph without any
        quantisation gets one `info`.

    Raises:
        ModelError: The file is missing, cut short or no ONNX.
        MissingDependency: onnx is not installed.
    """
    from . import lint_fusion, lint_rules

    if isinstance(model, (str, Path)):
        model = read_model(model)
    view = View(model)
    rules = (
        lint_rules.form, lint_rules.types, lint_rules.scales, lint_rules.weights,
        lint_rules.pairing, lint_fusion.fusion, lint_fusion.heads, lint_fusion.residuals,
        lint_fusion.joins, lint_fusion.sides,
    )  # fmt: skip
    found = [finding for rule in rules for finding in rule(view)]
    return sorted(dict.fromkeys(found), key=lambda f: SEVERITIES.index(f.severity))


def count(findings: Iterable[Finding]) -> Dict[str, int]:
    """How many findings there are of each severity."""
    counts: Dict[str, int] = {}
    counts.update((name, 0) for name in SEVERITIES)
    for finding in findings:
        counts[finding.severity] += 1
    return counts


class View:
    """A graph as the rules look at it.

    Attributes:
        graph: The graph; loops and conditions stand in it as nodes that read what their bodies do.
        quantisers: Its QuantizeLinear nodes.
        dequantisers: Its DequantizeLinear nodes.
        pairs: Pairs on computed tensors.
        firsts: Where integers begin: QuantizeLinear nodes, and DequantizeLinear nodes of stored
            integers.
        weighted: Convolutions and matrix products.
    """

    def __init__(self, model: Any) -> None:
        self.graph = Graph(_flat(model))
        nodes = self.graph.nodes
        self.quantisers = [n for n in nodes if n.op_type == "QuantizeLinear"]
        self.dequantisers = [n for n in nodes if n.op_type == "DequantizeLinear"]
        made = {o for n in self.quantisers for o in n.output}
        self.firsts = [n for n in (*self.quantisers, *self.dequantisers) if n.input[0] not in made]
        self.weighted = [n for n in nodes if n.op_type in WEIGHTED and len(n.input) > 1]
        self._origins: Dict[str, str] = {}
        self.pairs: List[Pair] = []
        for dq in self.dequantisers:
            q = self.graph.producer(dq.input[0])
            if q is None or q.op_type != "QuantizeLinear":
                continue
            if self.graph.constant(q.input[0]) is None:
                readers = self.graph.consumers(dq.output[0])
                self.pairs.append(Pair(q, dq, q.input[0], readers))
                self._origins[dq.output[0]] = q.input[0]

    def name(self, node: Any) -> str:
        """How a node is called in findings."""
        return node.name or f"{node.op_type} of {node.output[0]}"

    def origin(self, tensor: str) -> str:
        """The float tensor behind a Q/DQ pair, or the tensor itself."""
        seen = set()
        while tensor in self._origins and tensor not in seen:
            seen.add(tensor)
            tensor = self._origins[tensor]
        return tensor

    def dequantiser(self, tensor: str) -> Optional[Any]:
        """The DequantizeLinear that makes a tensor, if one does."""
        node = self.graph.producer(tensor)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def scale(self, node: Any) -> Optional[np.ndarray]:
        """Scale of a QuantizeLinear or DequantizeLinear; None if it is computed."""
        value = self.graph.constant(node.input[1])
        return None if value is None else np.asarray(value, np.float64)

    def values(self, nodes: Iterable[Any]) -> List[float]:
        """The different scales of some nodes, sorted, as far as they are known."""
        known = [self.scale(n) for n in nodes]
        return sorted({float(np.max(s)) for s in known if s is not None and s.size})

    def zero_point(self, node: Any) -> Optional[np.ndarray]:
        """Zero point of such a node; None if it has none."""
        return self.graph.constant(node.input[2]) if len(node.input) > 2 else None

    def element(self, node: Any) -> Optional[str]:
        """Name of the integer type that such a node writes or reads, e.g. `int8`."""
        onnx = self.graph.onnx
        if len(node.input) > 2 and node.input[2]:
            zero = self.graph.initialisers.get(node.input[2])
            if zero is not None:
                return onnx.TensorProto.DataType.Name(zero.data_type).lower()
            value = self.zero_point(node)
            return None if value is None else str(value.dtype)
        if node.op_type == "QuantizeLinear":
            kind = self.graph.attribute(node, "output_dtype", 0)
            return onnx.TensorProto.DataType.Name(kind).lower() if kind else "uint8"
        stored = self.graph.initialisers.get(node.input[0])
        if stored is not None:
            return onnx.TensorProto.DataType.Name(stored.data_type).lower()
        maker = self.graph.producer(node.input[0])
        if maker is not None and maker.op_type == "QuantizeLinear":
            return self.element(maker)
        return None

    def weight(self, node: Any) -> Tuple[Optional[Any], Optional[np.ndarray]]:
        """The DequantizeLinear of a node's weights, if they have one, and the stored weights."""
        tensor = node.input[1]
        dq = self.dequantiser(tensor)
        if dq is None:
            return None, self.graph.constant(tensor)
        stored = self.graph.constant(dq.input[0])
        if stored is None:
            q = self.graph.producer(dq.input[0])
            if q is not None and q.op_type == "QuantizeLinear":
                stored = self.graph.constant(q.input[0])
        return (dq, stored) if stored is not None else (None, None)

    def rounded(self, dq: Any, stored: np.ndarray) -> np.ndarray:
        """Weights as a DequantizeLinear gives them, float32, from stored integers or floats."""
        scale = self.scale(dq)
        if scale is None:
            raise ModelError(f"the scale of {self.name(dq)!r} is computed in the graph")
        shape = [1] * stored.ndim
        if scale.size > 1:
            shape[int(self.graph.attribute(dq, "axis", 1))] = -1
        scale = scale.reshape(shape) if scale.size > 1 else scale.reshape(-1)[0]
        zero = self.zero_point(dq)
        offset = 0.0
        if zero is not None:
            zero = np.asarray(zero, np.float64)
            offset = zero.reshape(shape) if zero.size > 1 else float(zero.reshape(-1)[0])
        levels = stored.astype(np.float64)
        if stored.dtype.kind == "f":
            least, most = (0, 255) if self.element(dq) == "uint8" else (-128, 127)
            levels = np.clip(np.rint(levels / scale) + offset, least, most)
        return ((levels - offset) * scale).astype(np.float32)

    def constant_like(self, tensor: str) -> bool:
        """Whether a tensor is a constant, or one that is dequantised."""
        if self.graph.constant(tensor) is not None:
            return True
        dq = self.dequantiser(tensor)
        if dq is None:
            return False
        q = self.graph.producer(dq.input[0])
        return self.graph.constant(dq.input[0] if q is None else q.input[0]) is not None

    def integer(self, node: Any) -> bool:
        """Whether a node with weights computes in INT8."""
        return self.dequantiser(node.input[0]) is not None and self.weight(node)[0] is not None

    def source(self, tensor: str) -> Optional[Any]:
        """The node that a tensor's numbers come from, behind Q/DQ pairs and plain moves."""
        for _ in range(len(self.graph.nodes)):
            tensor = self.origin(tensor)
            node = self.graph.producer(tensor)
            if node is None or node.op_type not in MOVES:
                return node
            tensor = node.input[0]
        return None

    def followed(self) -> Dict[str, bool]:
        """By output of each node with weights: does another one come after it?

        Projections of a distribution, which read a Softmax, count as none.
        """
        reached: Dict[str, bool] = {}
        weights = {id(n) for n in self.weighted if self.weight(n)[1] is not None}
        found = {}
        for node in reversed(_ordered(self.graph)):
            after = any(reached.get(o) for o in node.output)
            if id(node) in weights:
                found[node.output[0]] = after
                source = self.source(node.input[0])
                after = after or source is None or source.op_type != "Softmax"
                wanted = [node.input[0]]
            else:
                wanted = list(node.input)
            if after:
                reached.update(dict.fromkeys(wanted, True))
        return found


def _ordered(graph: Graph) -> List[Any]:
    """Nodes in an order in which they can run; files of others need not keep one."""
    done = {*graph.inputs, *graph.initialisers}
    order, left = [], list(graph.nodes)
    while left:
        later = []
        for node in left:
            if all(i in done for i in node.input if i):
                order.append(node)
                done.update(node.output)
            else:
                later.append(node)
        if len(later) == len(left):  # a circle or a gap, which is the checker's to tell
            return order + later
        left = later
    return order


def _flat(model: Any) -> Any:
    """The model with the bodies of loops and conditions taken out; a copy if there are any."""
    if not any(a.type in (5, 10) for n in model.graph.node for a in n.attribute):
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        bodies = [a for a in node.attribute if a.type in (5, 10)]
        read = {i: None for a in bodies for g in (a.g, *a.graphs) for i in _reads(g)}
        for attribute in bodies:
            node.attribute.remove(attribute)
        node.input.extend(i for i in read if i not in node.input)
    return copy


def _reads(body: Any) -> List[str]:
    """What a body reads from outside."""
    own = {t.name for t in body.initializer} | {i.name for i in body.input}
    own.update(o for n in body.node for o in n.output)
    wanted = [i for n in body.node for i in n.input] + [o.name for o in body.output]
    for node in body.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                wanted.extend(_reads(inner))
    return [w for w in dict.fromkeys(wanted) if w and w not in own]
