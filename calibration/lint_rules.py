"""The rules of the linter about numbers: format, types, scales, weights, and pairs as such.

Each rule is a small function from a view of the graph to findings.
"""

from typing import Any, Dict, Iterator, List, Optional

import numpy as np

from .lint import Finding, View

OPERATORS = {
    "QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearConcat",
    "QLinearLeakyRelu", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearSoftmax", "QGemm",
    "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat",
}  # fmt: skip
DYNAMIC = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}

RECALIBRATE = (
    "calibrate the float model with `edgelane calibrate`, which writes what TensorRT wants"
)


def form(view: View) -> Iterator[Finding]:
    """QOperator and dynamic quantisation are for the CPU; per-channel scales need opset 13."""
    for node in view.graph.nodes:
        if node.op_type in DYNAMIC:
            yield Finding(
                "error", "dynamic", view.name(node),
                f"{node.op_type} finds its scales while it runs, which TensorRT does not",
                "quantise statically: " + RECALIBRATE,
            )  # fmt: skip
        elif node.op_type in OPERATORS:
            yield Finding(
                "error", "qoperator", view.name(node),
                f"{node.op_type} is of the QOperator format, which TensorRT does not read",
                "quantise into the QDQ format: " + RECALIBRATE,
            )  # fmt: skip
    many = [n for n, s in ((n, view.scale(n)) for n in view.firsts) if s is not None and s.size > 1]
    if many and view.graph.opset < 13:
        yield Finding(
            "error", "opset", view.name(many[0]),
            f"{len(many)} nodes have a scale per channel, which needs opset 13, and the model has "
            f"{view.graph.opset}",
            "export the float model at opset 13 or newer and quantise it again",
        )  # fmt: skip
    plain = not any(n.op_type in OPERATORS | DYNAMIC for n in view.graph.nodes)
    if plain and not view.quantisers and not view.dequantisers:
        yield Finding(
            "info", "float", "graph", "nothing in this model is quantised",
            "lint what `edgelane calibrate` writes",
        )  # fmt: skip


def types(view: View) -> Iterator[Finding]:
    """INT8 with a zero point of 0; the bias stays float."""
    biases = _biases(view)
    for node in view.firsts:
        if id(node) in biases:
            continue
        element, zero = view.element(node), view.zero_point(node)
        if element in ("uint8", "int16", "uint16", "int32"):
            yield Finding(
                "error", "type", view.name(node),
                f"quantised as {element}, and TensorRT computes in int8",
                "quantise activations and weights as signed int8"
                + ("" if len(node.input) > 2 else ": without a zero point the type is uint8"),
            )  # fmt: skip
        if zero is not None and np.asarray(zero, np.float64).any():
            first = np.asarray(zero, np.float64).reshape(-1)
            yield Finding(
                "error", "zero-point", view.name(node),
                f"zero point {first[np.flatnonzero(first)[0]]:g}, and TensorRT wants 0",
                "quantise symmetrically, activations and weights",
            )  # fmt: skip
        elif zero is None and len(node.input) > 2 and node.input[2]:
            yield Finding(
                "error", "zero-point", view.name(node), "the zero point is computed in the graph",
                "store it as a constant 0",
            )  # fmt: skip
    for node in view.dequantisers:
        if id(node) in biases:
            yield Finding(
                "error", "bias", view.name(node),
                f"the bias of {biases[id(node)]!r} is quantised, and TensorRT takes it in float",
                "keep biases float (onnxruntime: QuantizeBias=False)",
            )  # fmt: skip


def scales(view: View) -> Iterator[Finding]:
    """Scales are constants above zero that a number can be divided by."""
    for node in view.firsts:
        scale = view.scale(node)
        remedy = "calibrate again with pictures like those the model will see"
        if scale is None:
            yield Finding(
                "error", "scale", view.name(node), "the scale is computed in the graph",
                "store it as a constant",
            )  # fmt: skip
            continue
        flat = scale.reshape(-1)
        tiny = float(np.finfo(np.float32).tiny)
        for bad, what, severity in (
            (~np.isfinite(flat), "no finite number", "error"),
            (flat <= 0, "not above zero", "error"),
            ((flat > 0) & (flat < tiny), "denormal, and a GPU takes it for zero", "error"),
            (np.isfinite(flat) & (flat > 1e4), "so large that only outliers stay", "warning"),
        ):  # fmt: skip
            if bad.any():
                where = f" (channel {np.flatnonzero(bad)[0]})" if flat.size > 1 else ""
                value = f"{flat[np.flatnonzero(bad)[0]]:g}"
                yield Finding(
                    severity,
                    "scale",
                    view.name(node),
                    f"the scale {value}{where} is {what}",
                    remedy,
                )
                break


def weights(view: View) -> Iterator[Finding]:
    """A scale for each output channel of the weights, along the right axis."""
    stored_float: List[str] = []
    for node in view.weighted:
        dq, weight = view.weight(node)
        if dq is None or weight is None:
            continue
        if weight.dtype.kind == "f":
            stored_float.append(view.name(node))
        scale = view.scale(dq)
        if scale is None:
            continue
        axis, rank = _output_axis(view, node, weight), weight.ndim
        if scale.size == 1:
            if rank > 1 and weight.shape[axis] > 1:
                yield Finding(
                    "warning", "per-tensor", view.name(dq),
                    f"one scale for all weights of {view.name(node)!r}: channels of small weights "
                    "lose their accuracy",
                    f"quantise weights per output channel, along axis {axis}",
                )  # fmt: skip
            continue
        used = int(view.graph.attribute(dq, "axis", 1))
        used += rank if used < 0 else 0
        if used != axis:
            yield Finding(
                "error", "axis", view.name(dq),
                f"the weights of {view.name(node)!r} are scaled along axis {used}, and TensorRT "
                f"wants {axis} for {node.op_type}",
                f"quantise them along axis {axis}",
            )  # fmt: skip
        elif scale.size != weight.shape[axis]:
            yield Finding(
                "error", "axis", view.name(dq),
                f"{scale.size} scales for {weight.shape[axis]} channels of {view.name(node)!r}",
                "give each output channel one scale",
            )  # fmt: skip
    for pair in view.pairs:
        scale = view.scale(pair.q)
        if scale is not None and scale.size > 1:
            yield Finding(
                "error", "axis", view.name(pair.q),
                f"the activation {pair.tensor!r} has {scale.size} scales, and TensorRT takes one",
                "quantise activations per tensor",
            )  # fmt: skip
    if stored_float:
        yield Finding(
            "info", "weights-float", stored_float[0],
            f"the weights of {len(stored_float)} nodes are stored as float and quantised when the "
            "engine is built",
            "storing them as int8 makes the file a quarter of the size; the result is the same",
        )  # fmt: skip


def pairing(view: View) -> Iterator[Finding]:
    """Every Q is read by its DQ, with one scale; no DQ is quantised again with another."""
    for q in view.quantisers:
        readers = view.graph.consumers(q.output[0])
        other = [n for n in readers if n.op_type != "DequantizeLinear"]
        if not readers or q.output[0] in view.graph.outputs:
            yield Finding(
                "error", "dangling", view.name(q), "nothing dequantises what this quantises",
                "let a DequantizeLinear follow, or take the node out",
            )  # fmt: skip
        elif other:
            yield Finding(
                "error", "dangling", view.name(q),
                f"{view.name(other[0])!r} reads integers, without a DequantizeLinear",
                "let a DequantizeLinear stand before it",
            )  # fmt: skip
        for dq in readers:
            if dq.op_type == "DequantizeLinear" and not _same(view, q, dq):
                yield Finding(
                    "error", "pair", view.name(dq),
                    f"its scale or zero point is not that of {view.name(q)!r}, which it undoes",
                    "give both nodes the same scale and zero point",
                )  # fmt: skip
        before = view.dequantiser(q.input[0])
        if before is not None:
            same = _same(view, before, q)
            yield Finding(
                "warning" if same else "error", "requantised", view.name(q),
                f"quantises again what {view.name(before)!r} dequantised"
                + ("" if same else ", with another scale"),
                "keep one pair on the tensor",
            )  # fmt: skip
    for dq in view.dequantisers:
        maker = view.graph.producer(dq.input[0])
        if view.graph.constant(dq.input[0]) is None and (
            maker is None or maker.op_type != "QuantizeLinear"
        ):
            yield Finding(
                "error", "dangling", view.name(dq),
                f"it reads {dq.input[0]!r}, which no QuantizeLinear makes",
                "let a QuantizeLinear stand before it",
            )  # fmt: skip
    yield from _several(view)


def _biases(view: View) -> Dict[int, str]:
    """Ids of the DequantizeLinear nodes that make biases, and the names of whose."""
    found: Dict[int, str] = {}
    for node in view.graph.nodes:
        bias: Optional[str] = None
        if node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.input) > 2:
            bias = node.input[2]
        elif node.op_type == "Add":  # after a MatMul
            sources = [view.source(i) for i in node.input]
            if any(s is not None and s.op_type == "MatMul" for s in sources):
                bias = next((i for i in node.input if view.constant_like(i)), None)
        maker = view.dequantiser(bias) if bias else None
        if maker is not None:
            found[id(maker)] = view.name(node)
    return found


def _output_axis(view: View, node: Any, weight: np.ndarray) -> int:
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if view.graph.attribute(node, "transB", 0) else 1
    return weight.ndim - 1


def _same(view: View, one: Any, two: Any) -> bool:
    first, second = view.scale(one), view.scale(two)
    if first is None or second is None:
        return one.input[1] == two.input[1]
    zeros = [np.asarray(0 if z is None else z, float) for z in map(view.zero_point, (one, two))]
    if zeros[0].size == 1 or zeros[1].size == 1:  # one zero point stands for all channels
        alike = bool((zeros[0].reshape(-1) == zeros[1].reshape(-1)).all())
    else:
        alike = np.array_equal(zeros[0].reshape(-1), zeros[1].reshape(-1))
    axes = [int(view.graph.attribute(n, "axis", 1)) for n in (one, two)]
    alike = alike and np.array_equal(first.reshape(-1), second.reshape(-1))
    return alike and (first.size == 1 or axes[0] == axes[1])


def _several(view: View) -> Iterator[Finding]:
    """One tensor that is quantised with several scales."""
    by_tensor: Dict[str, List[Any]] = {}
    for q in view.quantisers:
        by_tensor.setdefault(q.input[0], []).append(q)
    for tensor, nodes in by_tensor.items():
        if len(view.values(nodes)) > 1:
            yield Finding(
                "warning", "several-scales", view.name(nodes[1]),
                f"{tensor!r} is quantised {len(nodes)} times with different scales",
                "give its readers one scale, so that it is stored once",
            )  # fmt: skip
