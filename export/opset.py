"""A graph in another version of the ONNX operators.

Upwards the onnx package converts. Downwards it refuses much of what exporters write today, so
that is done here: an operator that did not change, or whose newer attributes are at their
defaults, stays; of the others those with an exact older form are rewritten, the rest is refused.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from ..calibration.graph import Graph, load_onnx
from ..core import ModelError
from .runner import STANDARD, first_line


def to_opset(model: Any, version: int) -> Any:
    """The same model in another opset.

    Args:
        model: A `ModelProto`; it stays as it is.
        version: The opset wanted, 13 or newer.

    Raises:
        ModelError: An operator has no form in that opset.
    """
    onnx = load_onnx()
    current = max((o.version for o in model.opset_import if o.domain in STANDARD), default=1)
    if version == current:
        return model
    if version > current:
        try:
            changed = onnx.version_converter.convert_version(model, version)
        except Exception as error:  # the converter raises whatever its C++ throws
            raise ModelError(
                f"the model cannot be lifted from opset {current} to {version}",
                got=first_line(error),
                remedy=f"export it to opset {version} from its source",
            ) from None
        _mend_resize(changed)
        del changed.metadata_props[:]
        changed.metadata_props.extend(model.metadata_props)
    else:
        changed = _lower(model, current, version)
    _settle(changed)
    return changed


def _settle(model: Any) -> None:
    """The oldest format version that holds the operators, so that old readers take the file."""
    onnx = load_onnx()
    needed = onnx.helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    model.ir_version = max(int(needed), 7)


def _mend_resize(model: Any) -> None:
    """Before opset 13 scales stood there, empty, beside sizes; since then one of them must not."""
    empty = {t.name for t in model.graph.initializer if 0 in t.dims}
    for node in model.graph.node:
        if node.op_type == "Constant" and any(0 in a.t.dims for a in node.attribute if a.t.dims):
            empty.add(node.output[0])
    for node in model.graph.node:
        if node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
            for index in (1, 2):
                if node.input[index] in empty:
                    node.input[index] = ""


def _lower(model: Any, current: int, version: int) -> Any:
    graph = Graph(model)
    onnx = graph.onnx
    for node in list(graph.nodes):
        if node.domain not in STANDARD:
            continue
        try:
            then = onnx.defs.get_schema(node.op_type, version, "")
        except onnx.defs.SchemaError:
            then = None
        if then is not None:
            now = onnx.defs.get_schema(node.op_type, current, "")
            if now.since_version == then.since_version:
                continue
        rule = _RULES.get(node.op_type)
        if rule is not None and rule[0] > version:
            if not rule[1](graph, node, version):
                raise _refused(node, version)
            continue
        if then is None or not _fits(graph, node, then):
            raise _refused(node, version)
    for entry in graph.model.opset_import:
        if entry.domain in STANDARD:
            entry.version = version
    return graph.finish()


def _refused(node: Any, version: int) -> ModelError:
    return ModelError(
        f"{node.op_type} at {node.name or node.output[0]!r} cannot be written in opset {version}",
        remedy="export to a newer opset, or avoid the operator",
    )


def _fits(graph: Graph, node: Any, schema: Any) -> bool:
    """Drop attributes that an older schema lacks where they say nothing; False where they do."""
    defaults = {"saturate": 1, "allowzero": 0, "training_mode": 0, "antialias": 0, "layout": 0,
                "keep_aspect_ratio_policy": b"stretch", "reduction": b"none", "block_size": 0,
                "output_dtype": 0, "start": 0, "ceil_mode": 0, "precision": 0}  # fmt: skip
    if len([i for i in node.input if i]) > schema.max_input or len(node.output) > schema.max_output:
        return False
    for attribute in list(node.attribute):
        if attribute.name in schema.attributes:
            continue
        value = graph.onnx.helper.get_attribute_value(attribute)
        dull = attribute.name == "dilations" and all(v == 1 for v in value)
        if not dull and defaults.get(attribute.name) != value:
            return False
        node.attribute.remove(attribute)
    return True


def _reduce(graph: Graph, node: Any, version: int) -> bool:
    """Axes were an attribute before they became an input."""
    skip = graph.attribute(node, "noop_with_empty_axes", 0)
    axes: Optional[List[int]] = None
    if len(node.input) > 1 and node.input[1]:
        value = graph.constant(node.input[1])
        if value is None:
            return False
        axes = [int(v) for v in value.ravel()]
    if not axes and skip:
        return False
    for attribute in list(node.attribute):
        if attribute.name == "noop_with_empty_axes":
            node.attribute.remove(attribute)
    del node.input[1:]
    if axes:
        node.attribute.append(graph.onnx.helper.make_attribute("axes", axes))
    return True


def _split(graph: Graph, node: Any, version: int) -> bool:
    """Without sizes the older operator cuts evenly; uneven last parts need them."""
    for attribute in list(node.attribute):
        if attribute.name == "num_outputs":
            node.attribute.remove(attribute)
            shape = graph.shape(node.input[0])
            length = shape[graph.attribute(node, "axis", 0)] if shape else None
            count = len(node.output)
            if length is None:
                return False
            if length % count:
                step = -(-length // count)
                sizes = [step] * (count - 1) + [length - step * (count - 1)]
                del node.input[1:]
                node.input.append(graph.add_constant("split", np.asarray(sizes, np.int64)))
    return True


def _shape(graph: Graph, node: Any, version: int) -> bool:
    start, end = graph.attribute(node, "start", 0), graph.attribute(node, "end", None)
    del node.attribute[:]
    if start or end is not None:
        result, whole = node.output[0], graph.fresh(node.output[0] + "_whole")
        node.output[0] = whole
        limits = [
            graph.add_constant(name, np.asarray([value], np.int64))
            for name, value in (("from", start), ("to", 2**31 - 1 if end is None else end))
        ]
        graph.make("Slice", [whole, *limits], [result])
    return True


def _pad(graph: Graph, node: Any, version: int) -> bool:
    """Pads of some axes become pads of all."""
    if graph.attribute(node, "mode", b"constant") == b"wrap":
        return False
    if len(node.input) < 4 or not node.input[3]:
        return True
    pads, axes = graph.constant(node.input[1]), graph.constant(node.input[3])
    shape = graph.shape(node.input[0])
    if pads is None or axes is None or shape is None:
        return False
    whole = np.zeros((2, len(shape)), np.int64)
    whole[:, axes.ravel().astype(int)] = pads.reshape(2, -1)
    node.input[1] = graph.add_constant("pads", whole.ravel())
    del node.input[3:]
    return True


def _grid_sample(graph: Graph, node: Any, version: int) -> bool:
    if version < 16:
        return False
    names = {b"linear": "bilinear", b"cubic": "bicubic"}
    for attribute in node.attribute:
        if attribute.name == "mode" and attribute.s in names:
            attribute.s = names[attribute.s].encode()
    return True


def _replace(graph: Graph, node: Any, steps: List[Tuple[str, List[str], Dict[str, Any]]]) -> None:
    """Put a chain in a node's place; `@` reads the step before, `@k` step k."""
    graph.remove([node])
    made: List[str] = []
    for index, (kind, inputs, attributes) in enumerate(steps):
        last = index == len(steps) - 1
        output = node.output[0] if last else graph.fresh(f"{node.output[0]}_{kind}")
        read = [
            made[int(i[1:])] if len(i) > 1 and i[0] == "@" else made[-1] if i == "@" else i
            for i in inputs
        ]
        graph.make(kind, read, [output], name=f"{node.name or node.output[0]}/{kind}", **attributes)
        made.append(output)


def _constant(graph: Graph, like: str, name: str, value: float) -> str:
    half = graph.dtype(like) == graph.onnx.TensorProto.FLOAT16
    return graph.add_constant(name, np.asarray(value, np.float16 if half else np.float32))


def _hard_swish(graph: Graph, node: Any, version: int) -> bool:
    x = node.input[0]
    _replace(
        graph, node, [("HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5}), ("Mul", [x, "@"], {})]
    )
    return True


def _mish(graph: Graph, node: Any, version: int) -> bool:
    x = node.input[0]
    _replace(graph, node, [("Softplus", [x], {}), ("Tanh", ["@"], {}), ("Mul", [x, "@"], {})])
    return True


def _gelu(graph: Graph, node: Any, version: int) -> bool:
    """0.5 x (1 + erf(x / sqrt 2)), or its approximation by tanh."""
    x = node.input[0]
    half, one = _constant(graph, x, "half", 0.5), _constant(graph, x, "one", 1.0)
    if graph.attribute(node, "approximate", b"none") == b"tanh":
        cube = _constant(graph, x, "cube", 0.044715)
        root = _constant(graph, x, "root", float(np.sqrt(2 / np.pi)))
        steps = [("Mul", [x, x], {}), ("Mul", ["@", cube], {}), ("Add", ["@", one], {}),
                 ("Mul", ["@", x], {}), ("Mul", ["@", root], {}), ("Tanh", ["@"], {})]  # fmt: skip
    else:
        steps = [("Mul", [x, _constant(graph, x, "root", float(np.sqrt(0.5)))], {}),
                 ("Erf", ["@"], {})]  # fmt: skip
    steps += [("Add", ["@", one], {}), ("Mul", ["@", half], {}), ("Mul", ["@", x], {})]
    _replace(graph, node, steps)
    return True


def _layer_norm(graph: Graph, node: Any, version: int) -> bool:
    x, shape = node.input[0], graph.shape(node.input[0])
    if shape is None or len([o for o in node.output if o]) > 1:
        return False
    first = graph.attribute(node, "axis", -1) % len(shape)
    axes = list(range(first, len(shape)))
    small = _constant(graph, x, "epsilon", graph.attribute(node, "epsilon", 1e-5))
    steps: List[Tuple[str, List[str], Dict[str, Any]]] = [
        ("ReduceMean", [x], {"axes": axes, "keepdims": 1}),
        ("Sub", [x, "@"], {}),
        ("Mul", ["@", "@"], {}),
        ("ReduceMean", ["@"], {"axes": axes, "keepdims": 1}),
        ("Add", ["@", small], {}),
        ("Sqrt", ["@"], {}),
        ("Div", ["@1", "@"], {}),
        ("Mul", ["@", node.input[1]], {}),
    ]
    if len(node.input) > 2 and node.input[2]:
        steps.append(("Add", ["@", node.input[2]], {}))
    _replace(graph, node, steps)
    return True


Rule = Tuple[int, Callable[[Graph, Any, int], bool]]

_RULES: Dict[str, Rule] = {
    **{
        f"Reduce{kind}": (18, _reduce)
        for kind in ("Max", "Mean", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
    },
    "Split": (18, _split),
    "Shape": (15, _shape),
    "Pad": (19, _pad),
    "GridSample": (20, _grid_sample),
    "HardSwish": (14, _hard_swish),
    "Mish": (18, _mish),
    "Gelu": (20, _gelu),
    "LayerNormalization": (17, _layer_norm),
}
"""By operator: below which opset it must be rewritten, and how; the answer is whether it could."""
