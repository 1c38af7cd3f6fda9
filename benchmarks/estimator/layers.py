"""A graph as the launches that a TensorRT engine makes of it: work, traffic, kind.

Fusions are those that TensorRT documents for every release since 8: a convolution takes in batch
normalisation, bias, one residual addition and an activation (also `x * sigmoid(x)`); elementwise
operators in a row are one launch; reshapes and constants cost nothing; a concatenation whose parts
are made by convolutions is written in place.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Set, Tuple

from ...calibration.graph import Graph, load_onnx
from ...core import ModelError

CONVOLUTIONS = ("Conv", "ConvTranspose")
PRODUCTS = ("MatMul", "Gemm")
FREE = {
    "Constant", "Shape", "Gather0", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
    "Dropout", "ConstantOfShape", "Range", "QuantizeLinear", "DequantizeLinear",
}  # fmt: skip
POINTWISE = {
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Div", "Elu", "Equal", "Erf", "Exp", "Floor",
    "Gelu", "Greater", "HardSigmoid", "HardSwish", "LeakyRelu", "Less", "Log", "Max", "Min",
    "Mish", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu",
    "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh", "Where", "BatchNormalization",
}  # fmt: skip
POOLS = {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"}
COPIES = {
    "Concat", "Slice", "Split", "Transpose", "Pad", "DepthToSpace", "SpaceToDepth", "Expand",
    "Tile", "Gather", "GatherElements", "GatherND", "ScatterND",
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One launch.

    Attributes:
        name: Of its main node.
        kind: `conv`, `grouped` (a convolution of groups, depthwise included), `product`, `pool`,
            `pointwise`, `copy`, `resize` or `other`.
        macs: Multiply-adds.
        read: Elements of activations that it reads.
        written: Elements that it writes.
        weights: Elements of weights.
        channels: `(in, out)` channels of a convolution or product, a group.
        positions: Output positions: pixels times pictures.
        kernel: Number of taps of a convolution.
        groups: Groups of a convolution.
        quantised: Whether the graph itself marks it as INT8 by Q/DQ on its input.
        parts: Names of the nodes that it takes in, its own first.
    """

    name: str
    kind: str
    macs: int
    read: int
    written: int
    weights: int = 0
    channels: Tuple[int, int] = (0, 0)
    positions: int = 0
    kernel: int = 1
    groups: int = 1
    quantised: bool = False
    parts: Tuple[str, ...] = ()


def layers_of(
    model: Any, batch: Optional[int] = None, size: Optional[Tuple[int, int]] = None
) -> List[Layer]:
    """The launches of a graph.

    Args:
        model: A `ModelProto`; weights may be declared as inputs without values.
        batch: Pictures a run; the graph's own unless given, or 1 where that is open.
        size: `(width, height)` for a graph that leaves it open.

    Raises:
        ModelError: Shapes cannot be resolved, or the graph has control flow.
    """
    fixed, own = _fixed(model, batch, size)
    found = _Reader(Graph(fixed)).layers()
    if batch is None or batch == own:
        return found
    # A fixed batch may be baked into reshapes; the work is in proportion to it.
    return [
        replace(
            layer,
            macs=layer.macs * batch // own,
            read=layer.read * batch // own,
            written=layer.written * batch // own,
            positions=layer.positions * batch // own,
        )
        for layer in found
    ]


def gigaflops(layers: List[Layer]) -> float:
    """Work of one run in GFLOPs, a multiply-add being two."""
    return 2e-9 * sum(layer.macs for layer in layers)


def _fixed(model: Any, batch: Optional[int], size: Optional[Tuple[int, int]]) -> Tuple[Any, int]:
    """A copy whose picture has a whole shape, and its batch."""
    load_onnx()
    copy = type(model)()
    copy.CopyFrom(model)
    held = {t.name for t in copy.graph.initializer}
    pictures = [
        i
        for i in copy.graph.input
        if i.name not in held and len(i.type.tensor_type.shape.dim) == 4 and _is_picture(i)
    ]
    if not pictures:
        return copy, 1
    dims = pictures[0].type.tensor_type.shape.dim
    wide, high = (2, 1) if dims[3].dim_value == 3 else (3, 2)
    changed = False
    if not dims[0].dim_value:
        dims[0].dim_value, changed = batch or 1, True
    if size is not None:
        for axis, value in ((wide, size[0]), (high, size[1])):
            if dims[axis].dim_value != value:
                dims[axis].dim_value, changed = value, True
    if any(not d.dim_value for d in dims):
        raise ModelError(
            "the graph leaves the size of its input open",
            got=f"{pictures[0].name} {[d.dim_value or '?' for d in dims]}",
            remedy="say --sizes 640, or export it with a fixed size",
        )
    if changed:
        del copy.graph.value_info[:]  # what was inferred for another shape
        for output in copy.graph.output:
            output.type.tensor_type.ClearField("shape")
    return copy, dims[0].dim_value


def _is_picture(info: Any) -> bool:
    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    return dims[1] in (1, 3) or dims[3] == 3


class _Reader:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.weights = self._declared()
        self.taken: Set[int] = set()

    def _declared(self) -> Dict[str, Tuple[int, ...]]:
        """Shapes of what is constant: initialisers, and weights that are declared as inputs."""
        found = {n: tuple(t.dims) for n, t in self.graph.initialisers.items()}
        readers = {
            name
            for node in self.graph.nodes
            if node.op_type in (*CONVOLUTIONS, *PRODUCTS, "BatchNormalization", "PRelu")
            for name in node.input[1:]
        }
        for name in self.graph.inputs:
            shape = self.graph.shape(name)
            if name in readers and shape and None not in shape:
                found[name] = tuple(int(n or 0) for n in shape)
        for node in self.graph.nodes:
            # INT8 weights come through a DequantizeLinear.
            source = node.input[0] if node.input else ""
            if node.op_type in ("DequantizeLinear", "Identity", "Cast") and source in found:
                found[node.output[0]] = found[source]
            elif node.op_type == "Constant":
                shape = self.graph.shape(node.output[0])
                if shape is not None and None not in shape:
                    found[node.output[0]] = tuple(int(n or 0) for n in shape)
            elif node.op_type == "QuantizeLinear" and source in found:
                found[node.output[0]] = found[source]
        return found

    def size(self, tensor: str) -> int:
        """Number of elements; 0 for what is constant."""
        if not tensor or tensor in self.weights:
            return 0
        shape = self.graph.shape(tensor)
        if shape is None or any(n is None for n in shape):
            return 0
        return math.prod(int(n or 0) for n in shape)

    def known(self, tensor: str) -> Tuple[int, ...]:
        shape = self.graph.shape(tensor)
        if shape is None or any(n is None for n in shape):
            raise ModelError(
                f"the shape of {tensor!r} cannot be told from the graph",
                got=str(shape),
                remedy="export with fixed shapes, or simplify the model",
            )
        return tuple(int(n or 0) for n in shape)

    def layers(self) -> List[Layer]:
        found: List[Layer] = []
        constant = self._folded()
        for node in self.graph.nodes:
            if id(node) in self.taken or id(node) in constant:
                continue
            layer = self.layer(node, constant)
            if layer is not None:
                found.append(layer)
        return found

    def _folded(self) -> Set[int]:
        """Nodes whose value does not depend on the picture: TensorRT computes them once."""
        fixed, folded = set(self.weights), set()
        for node in self.graph.nodes:
            alone = all(not i or i in fixed for i in node.input)
            if alone or node.op_type in ("Shape", "Constant"):
                fixed.update(node.output)
                folded.add(id(node))
        return folded

    def layer(self, node: Any, constant: Set[int]) -> Optional[Layer]:
        kind = node.op_type
        if kind in FREE:
            return None
        if kind in CONVOLUTIONS:
            return self.convolution(node)
        if kind in PRODUCTS:
            return self.product(node)
        read = sum(self.size(i) for i in dict.fromkeys(node.input))
        written = sum(self.size(o) for o in node.output)
        name = node.name or node.output[0]
        if kind in POINTWISE:
            return self.pointwise(node, constant)
        if kind in POOLS:
            return Layer(name, "pool", 0, read, written, parts=(name,))
        if kind in ("Resize", "Upsample"):
            return Layer(name, "resize", 0, read, written, parts=(name,))
        if kind == "Concat":
            if self.in_place(node):
                return None
            return Layer(name, "copy", 0, read, written, parts=(name,))
        if kind in COPIES:
            return Layer(name, "copy", 0, min(read, written), written, parts=(name,))
        return Layer(name, "other", 0, read, written, parts=(name,))

    def maker(self, tensor: str) -> Any:
        """What makes a tensor, seen through Q/DQ."""
        node = self.graph.producer(tensor)
        while node is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node = self.graph.producer(node.input[0])
        return node

    def in_place(self, node: Any) -> bool:
        """Whether all parts of a concatenation can write where it would, so that it costs nothing.

        One of its parts may be such a concatenation itself.
        """
        makers = [self.maker(i) for i in node.input if i not in self.weights]
        return all(
            m is not None and (self.ends_launch(m) or (m.op_type == "Concat" and self.in_place(m)))
            for m in makers
        )

    def ends_launch(self, node: Any) -> bool:
        """Whether a node is the end of a launch that can write into a larger tensor."""
        return node.op_type in (*CONVOLUTIONS, *PRODUCTS, *POOLS, "Resize", "Upsample") or (
            node.op_type in POINTWISE
        )

    def convolution(self, node: Any) -> Layer:
        weight = self.weights.get(node.input[1])
        if weight is None:
            raise ModelError(
                f"the weights of {node.name or node.output[0]!r} are computed, not given"
            )
        groups = self.graph.attribute(node, "group", 1)
        out = self.known(node.output[0])
        taps = math.prod(weight[2:])
        if node.op_type == "Conv":
            per, into = weight[1], weight[0]
            macs = math.prod(out) * per * taps
        else:
            per, into = weight[0] // groups, weight[1] * groups
            macs = math.prod(self.known(node.input[0])) * weight[1] * taps
        end, parts, extra = self.tail(node)
        return Layer(
            name=node.name or node.output[0],
            kind="conv" if groups == 1 else "grouped",
            macs=macs,
            read=self.size(node.input[0]) + extra,
            written=self.size(end),
            weights=math.prod(weight),
            channels=(per, into // groups),
            positions=math.prod(out) // max(into, 1),
            kernel=taps,
            groups=groups,
            quantised=self.from_q(node),
            parts=parts,
        )

    def product(self, node: Any) -> Layer:
        out = self.known(node.output[0])
        left = self.known(node.input[0])
        turned = node.op_type == "Gemm" and self.graph.attribute(node, "transA", 0)
        inner = left[0] if turned else left[-1]
        weight = self.weights.get(node.input[1])
        end, parts, extra = self.tail(node)
        return Layer(
            name=node.name or node.output[0],
            kind="product",
            macs=math.prod(out) * inner,
            read=self.size(node.input[0]) + self.size(node.input[1]) + extra,
            written=self.size(end),
            weights=math.prod(weight) if weight else 0,
            channels=(inner, out[-1]),
            positions=math.prod(out[:-1]),
            quantised=self.from_q(node),
            parts=parts,
        )

    def from_q(self, node: Any) -> bool:
        maker = self.graph.producer(node.input[0])
        return maker is not None and maker.op_type == "DequantizeLinear"

    def tail(self, node: Any) -> Tuple[str, Tuple[str, ...], int]:
        """What a convolution takes in behind it: the last tensor, the nodes, elements read more."""
        end, parts, extra = node.output[0], [node.name or node.output[0]], 0
        added = False
        self.taken.add(id(node))
        while end not in self.graph.outputs:
            readers = [n for n in self.graph.consumers(end) if n.op_type != "Shape"]
            after = self.activation(end, readers)
            if after is not None:
                nodes, end = after
            elif len(readers) == 1 and readers[0].op_type == "BatchNormalization":
                nodes, end = readers, readers[0].output[0]
            elif len(readers) == 1 and readers[0].op_type in ("Add", "Mul", "Sub", "Div"):
                other = [i for i in readers[0].input if i != end]
                if all(i in self.weights for i in other):
                    pass  # a bias or a scale
                elif (
                    readers[0].op_type == "Add"
                    and not added
                    and node.op_type == "Conv"
                    and len(other) == 1
                    and self.size(other[0]) == self.size(end)
                    and self.ready(other[0])
                ):
                    added, extra = True, self.size(other[0])
                else:
                    break
                nodes, end = readers, readers[0].output[0]
            else:
                break
            self.taken.update(id(n) for n in nodes)
            parts.extend(n.name or n.output[0] for n in nodes)
        return end, tuple(parts), extra

    def ready(self, tensor: str) -> bool:
        """Whether a tensor has been made by launches that stand before: a residual's other side."""
        maker = self.graph.producer(tensor)
        return maker is None or id(maker) in self.taken or maker.op_type not in CONVOLUTIONS

    def activation(self, end: str, readers: List[Any]) -> Optional[Tuple[List[Any], str]]:
        single = {
            "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Elu", "Selu", "HardSigmoid",
            "HardSwish", "Softplus", "Mish", "PRelu", "Gelu",
        }  # fmt: skip
        if len(readers) == 1 and readers[0].op_type in single:
            return readers, readers[0].output[0]
        if len(readers) == 2:
            for gate, product in (readers, readers[::-1]):
                if (
                    gate.op_type in ("Sigmoid", "HardSigmoid", "Tanh")
                    and product.op_type == "Mul"
                    and set(product.input) == {end, gate.output[0]}
                    and len(self.graph.consumers(gate.output[0])) == 1
                ):
                    return [gate, product], product.output[0]
        return None

    def pointwise(self, node: Any, constant: Set[int]) -> Layer:
        """Elementwise nodes in a row, as one launch."""
        name = node.name or node.output[0]
        chain, end = [node], node.output[0]
        seen = set(node.input)
        self.taken.add(id(node))
        while end not in self.graph.outputs:
            readers = self.graph.consumers(end)
            pair = self.activation(end, readers)
            if pair is not None:
                nodes, after = pair
            elif (
                len(readers) == 1
                and readers[0].op_type in POINTWISE
                and id(readers[0]) not in self.taken
                and id(readers[0]) not in constant
                and self.size(readers[0].output[0]) == self.size(end)
            ):
                nodes, after = readers, readers[0].output[0]
                others = [i for i in readers[0].input if i != end]
                if any(
                    (m := self.graph.producer(i)) is not None
                    and id(m) not in self.taken
                    and id(m) not in constant
                    and i not in self.weights
                    for i in others
                ):
                    break
                seen.update(others)
            else:
                break
            chain.extend(nodes)
            self.taken.update(id(n) for n in nodes)
            end = after
        parts = tuple(n.name or n.output[0] for n in chain)
        made = {o for n in chain for o in n.output}
        read = sum(self.size(i) for i in seen - made)
        return Layer(name, "pointwise", 0, read, self.size(end), parts=parts)


def in_precision(layers: List[Layer], marked: bool) -> List[Layer]:
    """The launches with all convolutions and products quantised, unless the graph marks its own."""
    if marked:
        return layers
    return [
        replace(layer, quantised=layer.kind in ("conv", "grouped", "product")) for layer in layers
    ]
