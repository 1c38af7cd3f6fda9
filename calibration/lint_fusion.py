"""The rules of the linter about where pairs stand: what TensorRT can then fuse and run in INT8.

Each rule is a small function from a view of the graph to findings.
"""

from typing import Any, Iterator, Optional

from .lint import Finding, Pair, View
from .patterns import ACTIVATIONS, MOVES, POOLS

FLOAT_ONLY = (
    "Softmax", "LogSoftmax", "Sigmoid", "Resize", "Upsample", "NonMaxSuppression", "Exp", "TopK",
    "LayerNormalization", "InstanceNormalization", "EfficientNMS_TRT",
)  # fmt: skip
"""Operators that stay in floating point."""

SERVED = POOLS | MOVES | {
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sum", "Concat", "GlobalAveragePool",
    "QuantizeLinear",
}  # fmt: skip
"""Operators that may compute in INT8, so that a pair before them is of use."""


def fusion(view: View) -> Iterator[Finding]:
    """No Q/DQ inside Conv-BN-activation or SiLU, on operators that stay float, or for nobody."""
    for pair in view.pairs:
        maker = view.graph.producer(pair.tensor)
        split = _split(view, pair, maker)
        if split:
            yield Finding(
                "error", "split", view.name(pair.q),
                f"it stands inside {split}, which TensorRT would run as one kernel",
                "move the pair behind the activation, to what the next convolution reads",
            )  # fmt: skip
            continue
        floats = [n for n in pair.readers if n.op_type in FLOAT_ONLY]
        if floats:
            yield Finding(
                "error", "float-operator", view.name(pair.q),
                f"{view.name(floats[0])!r} reads it, and {floats[0].op_type} stays in floating "
                "point",
                f"let the {floats[0].op_type} read the tensor as it was",
            )  # fmt: skip
        elif not any(n.op_type in SERVED for n in pair.readers) and not any(
            o in view.graph.outputs for o in pair.dq.output
        ):
            whose = f" of the {maker.op_type}" if maker is not None else ""
            yield Finding(
                "warning", "output", view.name(pair.q),
                f"a pair on the output{whose} {pair.tensor!r}, which nothing reads in int8",
                "take it out: pairs belong on what convolutions and matrix products read",
            )  # fmt: skip


def heads(view: View) -> Iterator[Finding]:
    """What the model gives, and the last convolutions that make it, stay float."""
    for name in view.graph.outputs:
        source = _dequantised(view, name)
        if source is not None:
            yield Finding(
                "error", "graph-output", view.name(source),
                f"the output {name!r} is quantised: scores and boxes keep 255 levels",
                "leave outputs in float",
            )  # fmt: skip
    followed = view.followed()
    if not any(followed.values()):
        return  # a net of one layer has nothing but a head
    for node in view.weighted:
        if followed.get(node.output[0]) is False and view.integer(node):
            yield Finding(
                "warning", "head", view.name(node),
                "the last node with weights before an output computes in int8",
                "leave the head's bare output convolutions in float; they cost little",
            )  # fmt: skip


def residuals(view: View) -> Iterator[Finding]:
    """Of a residual Add only the skip input is quantised."""
    for node in view.graph.nodes:
        if node.op_type not in ("Add", "Sum") or len(set(node.input)) != 2:
            continue
        if any(view.graph.constant(i) is not None for i in node.input):
            continue
        if any(view.constant_like(i) for i in node.input):
            continue
        both = all(view.dequantiser(i) is not None for i in node.input)
        if both and any(_branch(view, i, node) for i in node.input):
            yield Finding(
                "warning", "residual", view.name(node),
                "both of its inputs are quantised, so it cannot be fused into a convolution",
                "quantise the skip input alone",
            )  # fmt: skip


def joins(view: View) -> Iterator[Finding]:
    """One scale around a Concat, a pool, and what only carries numbers around."""
    for node in view.graph.nodes:
        join = node.op_type in POOLS | {"Concat"}
        if not join and node.op_type not in MOVES:
            continue
        data = list(node.input) if node.op_type == "Concat" else list(node.input[:1])
        before = [view.dequantiser(i) for i in data if view.graph.constant(i) is None]
        known = [n for n in before if n is not None]
        after = [
            n for o in node.output for n in view.graph.consumers(o) if n.op_type == "QuantizeLinear"
        ]
        if join and after and before and not known:
            yield Finding(
                "warning", "unquantised", view.name(node),
                "what follows is quantised, and what it reads is not, so it runs in float",
                "quantise its inputs with the scale of its output",
            )  # fmt: skip
        elif join and known and len(known) < len(before):
            yield Finding(
                "warning", "unshared", view.name(node),
                f"{len(known)} of its {len(before)} inputs are quantised",
                "quantise all of them with one scale",
            )  # fmt: skip
        elif len(values := view.values([*known, *after] if known else [])) > 1:
            yield Finding(
                "warning", "unshared", view.name(node),
                f"its inputs and output have {len(values)} scales, {min(values):.6g} to "
                f"{max(values):.6g}, so its data are scaled anew",
                "give them one scale, the largest",
            )  # fmt: skip


def sides(view: View) -> Iterator[Finding]:
    """A node computes in INT8 only where both its data and its weights are quantised."""
    for node in view.weighted:
        dq, weight = view.weight(node)
        data = view.dequantiser(node.input[0])
        if weight is None or (dq is None) == (data is None):
            continue
        which = "data are" if dq is None else "weights are"
        yield Finding(
            "warning", "one-sided", view.name(node),
            f"only its {which} quantised, so it computes in floating point",
            "quantise both its data and its weights, or neither",
        )  # fmt: skip


def _split(view: View, pair: Pair, maker: Optional[Any]) -> Optional[str]:
    """The fused pattern that a pair stands in, in words."""
    if maker is None:
        return None
    if maker.op_type in ("Conv", "ConvTranspose", "Gemm", "BatchNormalization", "Add"):
        for node in pair.readers:
            if node.op_type == "BatchNormalization" or node.op_type in ACTIVATIONS:
                return f"{maker.op_type}-{node.op_type} ({view.name(node)!r})"
            if node.op_type == "Mul" and _gate(view, node, pair.tensor):
                return f"{maker.op_type}-SiLU ({view.name(node)!r})"
    if maker.op_type in ACTIVATIONS:
        for node in pair.readers:
            if node.op_type == "Mul" and _gate(view, node, maker.input[0]):
                return f"{maker.op_type}-Mul ({view.name(node)!r})"
    return None


def _gate(view: View, product: Any, tensor: str) -> bool:
    """Whether a Mul is `x · f(x)` of a tensor."""
    tensor = view.origin(tensor)
    names = [view.origin(i) for i in product.input]
    for own, other in (names, names[::-1]):
        maker = view.graph.producer(other)
        if own == tensor and maker is not None and maker.op_type in ACTIVATIONS:
            return view.origin(maker.input[0]) == tensor
    return False


def _dequantised(view: View, tensor: str) -> Optional[Any]:
    """The DequantizeLinear of a computed tensor that is only moved around after it, if any."""
    node = view.graph.producer(tensor)
    while node is not None and node.op_type in MOVES:
        node = view.graph.producer(node.input[0])
    if node is None or node.op_type != "DequantizeLinear" or view.constant_like(node.output[0]):
        return None
    return node


def _branch(view: View, tensor: str, product: Any) -> bool:
    """Whether a tensor is a convolution's result, activated or not, that one Add alone reads."""
    tensor = view.origin(tensor)
    maker = view.graph.producer(tensor)
    fused = ACTIVATIONS | {"Conv", "ConvTranspose", "Gemm", "BatchNormalization", "Mul"}
    if maker is None or maker.op_type not in fused:
        return False
    wanted, readers = [tensor], set()
    while wanted:
        for node in view.graph.consumers(wanted.pop()):
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                wanted.extend(node.output)
            else:
                readers.add(id(node))
    return readers == {id(product)}
