"""A float graph in half precision, typed: every tensor's type stands in the graph.

TensorRT from 11 on, and 10 when asked to, takes types from the graph alone. So each node computes
in half or in float32, casts stand where the two meet, and weights are stored in the type that
reads them. Which nodes stay in float32 is decided from what was seen in their tensors, not from a
list of operators only: see `fp16_rules`.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple, Union

import numpy as np

from ..calibration.graph import Graph
from ..core import ModelError, UsageError, did_you_mean
from . import fp16_rules as rules
from .rounding import round_weights
from .runner import Tensors, running

IO = ("float32", "half")


@dataclass(frozen=True)
class HalfSettings:
    """How a graph is brought to half precision.

    Attributes:
        keep_float: Nodes to keep in float32: names of nodes or of their outputs, or operators,
            with `*` and `?` as in file names.
        io: Type of the graph's float inputs and outputs: `float32` stays as callers know it,
            `half` saves the casts.
        headroom: How many times larger than anything seen a value may become before it overflows.
        tail: Keep what follows the last layers with weights in float32: boxes in pixels and
            scores are what half precision is too coarse for, and they cost nothing.
        head: Keep the arithmetic on the pixels in float32, and the first layer where what it
            reads would be rounded.
    """

    keep_float: Tuple[str, ...] = ()
    io: str = "float32"
    headroom: float = 4.0
    tail: bool = True
    head: bool = True

    def __post_init__(self) -> None:
        if self.io not in IO:
            raise UsageError(
                "the type of inputs and outputs is unknown",
                got=repr(self.io),
                remedy=did_you_mean(str(self.io), IO),
            )
        if not self.headroom >= 1:
            raise UsageError("headroom is too small", got=self.headroom, expected="1 or more")


@dataclass
class HalfReport:
    """What became of a graph.

    Attributes:
        half: Number of nodes that compute in half precision.
        kept: Why the others stay in float32, by node.
        casts: Number of casts that were put in.
        overflow: Tensors with values beyond half precision, with the largest seen.
        underflow: Constants of which values vanish: name, how many of them became 0, how many
            lost digits, and how many there are.
        largest: The tensor nearest to overflow among those in half, and its largest value.
    """

    half: int = 0
    kept: Dict[str, str] = field(default_factory=dict)
    casts: int = 0
    overflow: Dict[str, float] = field(default_factory=dict)
    underflow: List[Dict[str, Any]] = field(default_factory=list)
    largest: Tuple[str, float] = ("", 0.0)

    def to_dict(self) -> Dict[str, Any]:
        """For a report; without infinities, which JSON has not."""
        data = asdict(self)
        data["overflow"] = {k: v if np.isfinite(v) else None for k, v in self.overflow.items()}
        return data


@dataclass
class Seen:
    """What was seen in a graph's tensors.

    Attributes:
        amax: The largest absolute value of every float tensor, by name.
        mean: The mean of each channel of what layers with weights read, by name; may be empty.
        exact: Names of those of which every value is a half-precision number.
    """

    amax: Dict[str, float] = field(default_factory=dict)
    mean: Dict[str, np.ndarray] = field(default_factory=dict)
    exact: Set[str] = field(default_factory=set)


def measure(model: Any, feeds: Iterable[Tensors], where: str = "the model") -> Seen:
    """Run a graph and look at every float tensor.

    Args:
        model: A `ModelProto`.
        feeds: Inputs by name; one set is in memory at a time.
        where: What errors call the model.

    Raises:
        ModelError: The graph fails, or there are no feeds.
    """
    names = [o for n in model.graph.node for o in n.output if o]
    read = {n.input[0] for n in model.graph.node if n.op_type == "Conv"}
    seen, count, rounds = Seen(), 0, set()
    with running(model, where, names) as backend:
        for feed in feeds:
            count += 1
            for name, value in {**feed, **backend.infer(feed)}.items():
                if value.dtype.kind != "f":
                    continue
                top = float(np.abs(value).max()) if value.size else 0.0
                seen.amax[name] = max(seen.amax.get(name, 0.0), top if top == top else np.inf)
                if name in read and name not in rounds:
                    with np.errstate(over="ignore"):
                        if (value.astype(np.float16) != value).any():
                            rounds.add(name)
                if name in read and value.ndim > 2:
                    mean = value.mean(axis=(0, *range(2, value.ndim)), dtype=np.float64)
                    seen.mean[name] = seen.mean.get(name, 0.0) + mean
    if not count:
        raise ModelError("nothing was fed to the model, so nothing is known about its values")
    seen.mean = {k: v / count for k, v in seen.mean.items()}
    seen.exact = read - rounds
    return seen


def to_fp16(
    model: Any,
    seen: Union[Seen, Mapping[str, float], Iterable[Tensors]],
    settings: HalfSettings = HalfSettings(),  # noqa: B008  (frozen)
) -> Tuple[Any, HalfReport]:
    """Bring a float graph, or one with Q/DQ, to half precision where that is safe.

    Of a graph with Q/DQ, quantised layers compute their float side in half from opset 19 on;
    before that Q/DQ know float32 only, and such layers stay as they are.

    Args:
        model: A `ModelProto`; it stays as it is.
        seen: The largest absolute value of every float tensor by name, as calibration finds
            them, or inputs to find them with, or what `measure` found.
        settings: What stays in float32.

    Returns:
        The new model, and what became of its nodes.

    Raises:
        ModelError: The graph has control flow, holds no float32, or fails on the inputs.
        UsageError: A name to keep in float32 matches nothing.
    """
    graph = Graph(model)
    if isinstance(seen, Mapping):
        ranges = {str(name): float(value) for name, value in seen.items()}
        # Of ranges alone only whole pixels are known to survive.
        seen = Seen(ranges, exact={name for name, top in ranges.items() if top == 255.0})
    elif not isinstance(seen, Seen):
        seen = measure(model, seen)
    amax = seen.amax
    _loosen_constants(graph)
    report = HalfReport()
    kept = rules.decide(graph, seen, settings, report)
    half = {id(n) for n in graph.nodes} - set(kept)
    typed = _Typed(graph, half, settings.io == "half", seen.mean)
    if not typed.half:
        raise ModelError(
            "nothing of the model can be brought to half precision",
            got="; ".join(sorted(set(kept.values()))) or "no float32 nodes",
        )
    report.half, report.casts = len(typed.half), typed.apply()
    names = {id(n): n.name or n.output[0] for n in graph.nodes}
    report.kept = {names[key]: reason for key, reason in kept.items() if reason}
    safe = [(amax.get(o, 0.0), o) for o in typed.made_half]
    if safe:
        top, name = max(safe)
        report.largest = (name, top)
    return graph.finish(), report


def _loosen_constants(graph: Graph) -> None:
    """Float constants that are nodes become initialisers, whose type can be chosen by reader."""
    graph.shape("")  # types are inferred while the graph still is what its nodes say
    gone = []
    for node in graph.nodes:
        if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
            continue
        value = graph.constant(node.output[0])
        if value is None or value.dtype != np.float32:
            continue
        proto = graph.onnx.numpy_helper.from_array(np.ascontiguousarray(value), node.output[0])
        graph.model.graph.initializer.append(proto)
        graph.initialisers[node.output[0]] = graph.model.graph.initializer[-1]
        gone.append(node)
    graph.remove(gone)


class _Typed:
    """Carries out what was decided: types, casts, weights.

    Args:
        graph: The graph, changed in place.
        half: Ids of the nodes that are to compute in half precision.
        io: Whether the graph's own inputs and outputs become half as well.
        mean: Means of the channels that layers read, by tensor.
    """

    def __init__(
        self, graph: Graph, half: Set[int], io: bool, mean: Mapping[str, np.ndarray]
    ) -> None:
        self.graph, self.io, self.mean = graph, io, mean
        self.float = graph.onnx.TensorProto.FLOAT
        self.kind = graph.onnx.TensorProto.FLOAT16
        self.slots = {id(n): rules.slots(graph, n) for n in graph.nodes}
        self.half = {k for k in half if self.slots.get(k) and self.slots[k].movable}
        self.made_half: List[str] = []
        self._casts: Dict[Tuple[str, int], str] = {}
        self._copies: Dict[str, str] = {}

    def apply(self) -> int:
        """Change the graph; the number of casts put in."""
        graph = self.graph
        nodes = list(graph.nodes)
        ends = self.kind if self.io else self.float
        now: Dict[str, int] = {t: ends for t in graph.inputs if graph.dtype(t) == self.float}
        for node in nodes:
            slots = self.slots[id(node)]
            kind = self.kind if id(node) in self.half else self.float
            for index in slots.outputs:
                now[node.output[index]] = kind
                if kind == self.kind:
                    self.made_half.append(node.output[index])
        for node in nodes:
            if id(node) in self.half:
                self._balance(node)
        for node in nodes:
            self._feed(node, now)
        for node in nodes:
            if id(node) in self.half:
                self._attributes(node)
        self._ends(nodes, now)
        return len(self._casts)

    def _feed(self, node: Any, now: Dict[str, int]) -> None:
        slots = self.slots[id(node)]
        half = id(node) in self.half
        for index, name in enumerate(node.input):
            if index in slots.free or not name:
                continue
            if name in self.graph.initialisers:
                if half and index in slots.inputs:
                    node.input[index] = self._copy(name)
                continue
            if name not in now:
                continue
            kind = self.kind if half and index in slots.inputs else self.float
            if now[name] != kind:
                node.input[index] = self._cast(name, kind)

    def _cast(self, name: str, kind: int) -> str:
        key = (name, kind)
        if key not in self._casts:
            word = "half" if kind == self.kind else "float"
            output = self.graph.fresh(f"{name}_{word}")
            self.graph.make("Cast", [name], [output], f"/cast/{output}", to=kind)
            self._casts[key] = output
        return self._casts[key]

    def _copy(self, name: str) -> str:
        """A constant in half precision, under another name: float readers keep theirs."""
        if name not in self._copies:
            value = self.graph.constant(name)
            if value is None or value.dtype != np.float32:
                return name
            with np.errstate(over="ignore"):
                self._copies[name] = self.graph.add_constant(
                    f"{name}_half", value.astype(np.float16)
                )
        return self._copies[name]

    def _balance(self, node: Any) -> None:
        """Round a convolution's weights so that the means of its outputs stay."""
        mean = self.mean.get(node.input[0])
        if node.op_type != "Conv" or mean is None or not np.isfinite(mean).all():
            return
        readers = self.graph.consumers
        weight = self._own(node.input[1]) if len(readers(node.input[1])) == 1 else None
        bias: Optional[np.ndarray] = None
        if len(node.input) > 2 and node.input[2]:
            bias = self._own(node.input[2]) if len(readers(node.input[2])) == 1 else None
            if bias is None:
                return
        if weight is None:
            return
        outputs, inside = weight.shape[:2]
        spots = int(np.prod(weight.shape[2:]))
        groups = self.graph.attribute(node, "group", 1)
        of_group = np.repeat(np.asarray(mean, np.float64).reshape(groups, inside), spots, axis=1)
        of_output = np.repeat(of_group, outputs // groups, axis=0)
        flat, rounded_bias = round_weights(weight.reshape(outputs, -1), bias, of_output)
        for name, value in (
            (node.input[1], flat.reshape(weight.shape)),
            (node.input[-1], rounded_bias),
        ):
            if value is not None and name not in self._copies:
                self._copies[name] = self.graph.add_constant(f"{name}_half", value)

    def _own(self, name: str) -> Optional[np.ndarray]:
        if name not in self.graph.initialisers:
            return None
        value = self.graph.constant(name)
        return value if value is not None and value.dtype == np.float32 else None

    def _attributes(self, node: Any) -> None:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = self.kind
            elif node.op_type == "ConstantOfShape" and attribute.name == "value":
                value = self.graph.onnx.numpy_helper.to_array(attribute.t)
                attribute.t.CopyFrom(
                    self.graph.onnx.numpy_helper.from_array(value.astype(np.float16))
                )

    def _ends(self, nodes: List[Any], now: Dict[str, int]) -> None:
        """The graph's own inputs and outputs keep their names, and get the type asked for."""
        graph = self.graph
        wanted = self.kind if self.io else self.float
        for info in graph.model.graph.input:
            if info.name in now and info.name in graph.inputs:
                info.type.tensor_type.elem_type = wanted
        for info in graph.model.graph.output:
            name = info.name
            if name not in now or name in graph.inputs:
                continue
            info.type.tensor_type.elem_type = wanted
            if now[name] == wanted:
                continue
            inner = graph.fresh(f"{name}_inner")
            for node in graph.nodes:
                for index, output in enumerate(node.output):
                    if output == name:
                        node.output[index] = inner
                for index, source in enumerate(node.input):
                    if source == name:
                        node.input[index] = inner
            graph.make("Cast", [inner], [name], f"/cast/{name}", to=wanted)
            self._casts[(name, wanted)] = name
