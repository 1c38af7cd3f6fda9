"""Which nodes of a graph must stay in float32.

Half precision holds up to 65504, has about three digits, and nothing below 6e-8 (IEEE 754,
binary16). A node stays in float32 where

- its operator has no half form, or sums or normalises over many values;
- a value that it reads or gives was seen, or may come, near 65504, or is too small to tell from 0;
- one of its constants does not survive: an epsilon that becomes 0, a mask of -1e9;
- it is arithmetic on the pixels before the first layer, or the first layer itself where these are
  no whole numbers any more, or it follows the last layer with weights;
- it shares Q/DQ with a node that stays: both sides of a quantised tensor have one type;
- the user says so.
"""

import fnmatch
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Set

import numpy as np

from ..calibration.graph import Graph
from ..core import UsageError, did_you_mean

MAX = 65504.0
TINY = 2.0**-14
"""The smallest half with all its digits."""

SMALLEST = 2.0**-24
WEIGHT_ERROR = 0.01
"""Largest error of a weight tensor, relative to its own size, that rounding may leave."""

SCALE_ERROR = 2.0**-9
"""Largest relative error of a quantisation scale."""

LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "LSTM", "GRU", "RNN", "DeformConv",
          "Attention"}  # fmt: skip
BINS = 32
"""A weight with no more values is the mean over a distribution's bins, and no layer."""

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "BatchNormalization"}

_PASSIVE = {"Reshape", "Transpose", "Concat", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze",
            "Flatten", "Identity", "Pad", "Expand", "Tile", "DepthToSpace", "SpaceToDepth",
            "MaxPool", "Cast"}  # fmt: skip

_PRECISE = {"CumSum", "LayerNormalization", "InstanceNormalization", "GroupNormalization",
            "RMSNormalization", "MeanVarianceNormalization", "LpNormalization", "GridSample",
            "RoiAlign", "NonMaxSuppression", "Range", "ReduceL1", "ReduceL2", "ReduceSumSquare",
            "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "Det", "RandomNormal",
            "RandomUniform", "RandomNormalLike", "RandomUniformLike", "EyeLike"}  # fmt: skip

_SUMS = {"ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool", "LpPool", "Sum", "Mean"}
_QDQ = ("QuantizeLinear", "DequantizeLinear")


@dataclass
class Slots:
    """Where a node has float32 tensors, and which of them may be half.

    Attributes:
        inputs: Indices of inputs whose type goes with the node.
        outputs: Indices of float outputs.
        free: Indices of inputs that take any type.
        movable: Whether the node has a half form.
    """

    inputs: Set[int] = field(default_factory=set)
    outputs: Set[int] = field(default_factory=set)
    free: Set[int] = field(default_factory=set)
    movable: bool = False


def slots(graph: Graph, node: Any) -> Slots:
    """The float tensors of a node by the standard's own type constraints."""
    found = Slots()
    kind = graph.onnx.TensorProto.FLOAT
    floats = {i for i, name in enumerate(node.input) if name and _dtype(graph, name) == kind}
    found.outputs = {
        i for i, name in enumerate(node.output) if name and _dtype(graph, name) == kind
    }
    if node.op_type == "Cast":
        found.free = set(range(len(node.input)))
        source = _dtype(graph, node.input[0])
        proto = graph.onnx.TensorProto
        exact = (proto.UINT8, proto.INT8, proto.BOOL, proto.FLOAT16, proto.FLOAT)
        found.movable = bool(found.outputs) and source in exact
        return found
    if node.domain not in ("", "ai.onnx") or not (floats or found.outputs):
        return found
    try:
        schema = graph.onnx.defs.get_schema(node.op_type, graph.opset, "")
    except graph.onnx.defs.SchemaError:
        return found
    half_types = {
        c.type_param_str
        for c in schema.type_constraints
        if "tensor(float16)" in c.allowed_type_strs
    }
    known = {c.type_param_str for c in schema.type_constraints}

    def movable(formals: Any, index: int) -> Optional[bool]:
        """None for a slot that is float32 for good."""
        formal = formals[min(index, len(formals) - 1)]
        return formal.type_str in half_types if formal.type_str in known else None

    verdicts = [movable(schema.inputs, i) for i in sorted(floats)]
    found.inputs = {i for i, v in zip(sorted(floats), verdicts) if v}
    outs = [movable(schema.outputs, i) for i in found.outputs]
    found.movable = (
        all(v for v in outs)
        and all(v is not False for v in verdicts)
        and bool(found.inputs or found.outputs)
    )
    return found


def _dtype(graph: Graph, name: str) -> Optional[int]:
    if name in graph.initialisers:
        return graph.initialisers[name].data_type
    return graph.dtype(name)


def decide(graph: Graph, seen: Any, settings: Any, report: Any) -> Dict[int, str]:
    """The nodes that stay as they are, by `id`, with the reason; an empty one says nothing."""
    amax: Mapping[str, float] = seen.amax
    kept: Dict[int, str] = {}
    wished = _wishes(graph, settings.keep_float)
    tail = _tail(graph) if settings.tail else set()
    head = _head(graph, seen) if settings.head else {}
    for node in graph.nodes:
        own = slots(graph, node)
        if not own.inputs and not own.outputs and not own.movable:
            kept[id(node)] = "" if not _floats(graph, node) else "its operator has no half form"
            continue
        reason = (
            _by_kind(graph, node, own, amax, settings.headroom)
            or ("as asked" if id(node) in wished else "")
            or ("follows the last layer" if id(node) in tail else "")
            or head.get(id(node), "")
            or _by_range(graph, node, amax, settings.headroom, report)
            or _by_constants(graph, node, report)
        )
        if reason:
            kept[id(node)] = reason
    _share_quantised(graph, kept)
    _no_islands(graph, kept)
    _share_quantised(graph, kept)
    return kept


def _floats(graph: Graph, node: Any) -> bool:
    kind = graph.onnx.TensorProto.FLOAT
    return any(_dtype(graph, t) == kind for t in (*node.input, *node.output) if t)


def _wishes(graph: Graph, patterns: Any) -> Set[int]:
    found: Set[int] = set()
    names = {n for node in graph.nodes for n in (node.name, node.op_type, *node.output) if n}
    for pattern in patterns:
        matching = {n for n in names if n == pattern or fnmatch.fnmatchcase(n, pattern)}
        if not matching:
            raise UsageError(
                f"nothing in the graph is called {pattern!r}, so nothing is kept in float32",
                remedy=did_you_mean(pattern, names) if len(names) < 5000 else None,
            )
        for node in graph.nodes:
            if matching & {node.name, node.op_type, *node.output}:
                found.add(id(node))
    return found


def _is_layer(graph: Graph, node: Any) -> bool:
    if node.op_type not in LAYERS:
        return False
    if len(node.input) < 2:
        return True
    weight = _weight(graph, node.input[1])
    return weight is None or weight.size > BINS


def _weight(graph: Graph, name: str) -> Optional[np.ndarray]:
    """A constant, also where it is stored quantised."""
    value = graph.constant(name)
    maker = graph.producer(name)
    if value is None and maker is not None and maker.op_type == "DequantizeLinear":
        value = graph.constant(maker.input[0])
        if value is None:
            quantiser = graph.producer(maker.input[0])
            value = graph.constant(quantiser.input[0]) if quantiser is not None else None
    return value


def _tail(graph: Graph) -> Set[int]:
    """Nodes behind which no layer with weights comes."""
    before: Set[str] = set()
    found: Set[int] = set()
    any_layer = False
    for node in reversed(graph.nodes):
        if _is_layer(graph, node) or any(o in before for o in node.output):
            any_layer = True
            before.update(i for i in node.input if i)
        else:
            found.add(id(node))
    return found if any_layer else set()


def _head(graph: Graph, seen: Any) -> Dict[int, str]:
    """Arithmetic between the input and the first layers, and those layers, with the reason.

    Pixels of 0..255 are the same in half precision; scaled ones are not, and everything behind
    sees the difference. First layers read three channels, so they cost little.
    """
    raw = set(graph.inputs)
    found: Dict[int, str] = {}
    for node in graph.nodes:
        reads = [i for i in node.input if i and i not in graph.initialisers]
        constant = [i for i in reads if graph.constant(i) is not None]
        if not reads or len(constant) == len(reads):
            continue
        if _is_layer(graph, node) and node.input[0] in raw and node.input[0] not in seen.exact:
            found[id(node)] = "reads values that half precision would round"
        elif all(i in raw or i in constant for i in reads):
            if node.op_type in _ARITHMETIC:
                found[id(node)] = "prepares the pixels"
            if node.op_type in _ARITHMETIC | _PASSIVE:
                raw.update(node.output)
    return found


def _by_kind(
    graph: Graph, node: Any, own: Slots, amax: Mapping[str, float], headroom: float
) -> str:
    kind = node.op_type
    if not own.movable:
        if kind in _QDQ:
            return "Q/DQ know half precision from opset 19 on"
        return "" if kind == "Cast" and not own.outputs else "its operator has no half form"
    if kind in _PRECISE:
        return "sums or interpolates over many values"
    if kind in _SUMS:
        count = _summed(graph, node)
        top = max((amax.get(i, np.inf) for i in node.input[:1]), default=np.inf)
        if count is None or top * count * headroom > MAX:
            return "its sum may overflow"
    if kind == "Pow":
        return "a power may overflow or vanish"
    return ""


def _summed(graph: Graph, node: Any) -> Optional[int]:
    """How many values a node adds up."""
    if node.op_type in ("Sum", "Mean"):
        return len(node.input)
    if node.op_type in ("AveragePool", "LpPool"):
        return int(np.prod(graph.attribute(node, "kernel_shape", [1])))
    inside, outside = graph.shape(node.input[0]), graph.shape(node.output[0])
    if inside is None or outside is None or None in inside[1:] or None in outside[1:]:
        return None
    return int(
        np.prod([n for n in inside[1:] if n]) // max(np.prod([n for n in outside[1:] if n]), 1)
    )


def _by_range(
    graph: Graph, node: Any, amax: Mapping[str, float], headroom: float, report: Any
) -> str:
    kind = graph.onnx.TensorProto.FLOAT
    for name in (*node.input, *node.output):
        if not name or name in graph.initialisers or _dtype(graph, name) != kind:
            continue
        top = amax.get(name)
        if top is None:
            if graph.constant(name) is not None:
                continue
            maker = graph.producer(name)
            if maker is not None and maker.op_type == "DequantizeLinear":
                continue  # a weight, or within the range of what was quantised
            return f"the range of {name!r} was not seen"
        if top * headroom > MAX:
            report.overflow[name] = float(top)
            return f"{name!r} reaches {top:.3g}"
        if 0 < top < TINY:
            return f"{name!r} stays below {top:.1g}"
    return ""


def _by_constants(graph: Graph, node: Any, report: Any) -> str:
    own = slots(graph, node)
    for index in sorted(own.inputs):
        name = node.input[index]
        value = graph.constant(name)
        if value is None or value.dtype != np.float32 or not value.size:
            continue
        size = np.abs(value)
        finite = size[np.isfinite(size)]
        if finite.size and finite.max() > MAX:
            report.overflow[name] = float(finite.max())
            return f"its constant {name!r} reaches {finite.max():.3g}"
        with np.errstate(over="ignore"):
            half = value.astype(np.float16).astype(np.float32)
        zeroed = int(((half == 0) & (value != 0)).sum())
        weak = int(((size < TINY) & (half != value)).sum()) - zeroed
        layer = node.op_type in LAYERS or node.op_type in ("BatchNormalization", "PRelu")
        if zeroed or weak:
            entry = {"name": name, "zeroed": zeroed, "weakened": weak, "values": value.size}
            if entry not in report.underflow:
                report.underflow.append(entry)
        if node.op_type in _QDQ:
            if np.any(np.abs(half - value) > SCALE_ERROR * size):
                return f"the scale {name!r} is too small for half precision"
        elif layer:
            # float64, because the squares of what matters here are below float32
            norm = float(np.linalg.norm(value.astype(np.float64)))
            if norm and np.linalg.norm(half.astype(np.float64) - value) > WEIGHT_ERROR * norm:
                return f"its weights {name!r} are too small for half precision"
        elif zeroed:
            return f"its constant {name!r} becomes 0"
    return ""


def _share_quantised(graph: Graph, kept: Dict[int, str]) -> None:
    """A node, its DequantizeLinear, their QuantizeLinear: one type, or nothing fuses."""
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            if node.op_type != "DequantizeLinear":
                continue
            group: List[Any] = [node, *graph.consumers(node.output[0])]
            quantiser = graph.producer(node.input[0])
            if quantiser is not None and quantiser.op_type == "QuantizeLinear":
                group.append(quantiser)
                group += graph.consumers(quantiser.output[0])
            # Nothing fuses across what only moves data or ends the graph.
            group = [n for n in group if n.op_type in _QDQ or n.op_type not in _PASSIVE]
            reasons = [kept[id(n)] for n in group if id(n) in kept]
            if reasons and len(reasons) < len(group):
                for other in group:
                    if id(other) not in kept:
                        kept[id(other)] = f"shares Q/DQ: {reasons[0]}"
                        changed = True


def _no_islands(graph: Graph, kept: Dict[int, str]) -> None:
    """What only moves data goes with its neighbours, so that no casts stand around it."""
    outputs = set(graph.outputs)
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            if id(node) in kept or node.op_type not in _PASSIVE:
                continue
            makers = [graph.producer(i) for i in node.input if i and i not in graph.initialisers]
            readers = [n for o in node.output for n in graph.consumers(o)]
            if all(m is None or id(m) in kept for m in makers) and all(
                id(n) in kept for n in readers
            ):
                if not readers and not any(o in outputs for o in node.output):
                    continue
                kept[id(node)] = "moves float32 only"
                changed = True
