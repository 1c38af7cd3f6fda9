"""What an ONNX from elsewhere needs before engines are built from it: shapes, names, no ballast."""

import contextlib
import io
import logging
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..calibration.graph import EXTERNAL_LIMIT, Graph, load_onnx
from ..core import ModelError, UsageError, did_you_mean
from .runner import STANDARD, first_line
from .targets import Target

Batch = Union[None, int, str]
DYNAMIC = "dynamic"

# From operators.md of onnx/onnx-tensorrt at 8.4: what its parser refuses.
_NEVER = {"ConcatFromSequence", "ConvInteger", "Det", "MatMulInteger", "MaxRoiPool", "MaxUnpool",
          "Multinomial", "QLinearConv", "QLinearMatMul", "RandomNormal", "SequenceAt",
          "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
          "SequenceLength", "SplitToSequence", "StringNormalizer", "TfIdfVectorizer",
          "Unique"}  # fmt: skip
_NOT_BEFORE_8_5 = {"BitShift", "Compress", "DynamicQuantizeLinear", "Hardmax", "IsInf",
                   "MeanVarianceNormalization", "Mod", "NonZero", "OneHot", "Reciprocal",
                   "RoiAlign", "Shrink"}  # fmt: skip


DATA_DEPENDENT = ("NonMaxSuppression", "NonZero", "Unique", "Compress")
"""Operators that give as much as they find."""


def parse_batch(value: Batch) -> Batch:
    """A batch as a count, `dynamic` or None for what the model has.

    Raises:
        UsageError: It is something else.
    """
    if value is None or value == DYNAMIC:
        return value
    try:
        count = int(value)
        if count < 1 or isinstance(value, bool):
            raise ValueError
    except ValueError:
        raise UsageError(
            "the batch makes no sense", got=repr(value), expected="a count, or dynamic"
        ) from None
    return count


def parse_size(value: Union[None, str, Sequence[int]]) -> Optional[Tuple[int, int]]:
    """`(width, height)` from `416x416`, `416` or a pair.

    Raises:
        UsageError: It is something else.
    """
    if value is None:
        return None
    parts = re.split(r"[x,]", str(value).lower()) if isinstance(value, (str, int)) else list(value)
    try:
        numbers = [int(p) for p in parts]
        if len(numbers) == 1:
            numbers *= 2
        width, height = numbers
        if min(numbers) < 1:
            raise ValueError
    except (TypeError, ValueError):
        raise UsageError(
            "the size makes no sense", got=repr(value), expected="WIDTHxHEIGHT, e.g. 640x480"
        ) from None
    return width, height


def fix_shapes(
    model: Any,
    *,
    size: Optional[Tuple[int, int]] = None,
    batch: Batch = None,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    where: str = "the model",
) -> Any:
    """The same graph with its open input axes settled.

    Args:
        model: A `ModelProto`.
        size: `(width, height)` of its picture input.
        batch: Pictures a run; `dynamic` leaves the first axis open, None leaves it as it is.
        shapes: Shapes of inputs by name, where the size does not tell.
        where: What errors call the model.

    Raises:
        ModelError: The graph is fixed to another size, or an axis stays open.
        UsageError: An input is unknown.
    """
    graph = Graph(model)
    graph.shape("")  # shapes as they were are asked for below
    infos = {i.name: i for i in graph.model.graph.input if i.name in graph.inputs}
    for name in shapes or {}:
        if name not in infos:
            raise UsageError(f"{where} has no input {name!r}", remedy=did_you_mean(name, infos))
    old = None
    for name, info in infos.items():
        axes = info.type.tensor_type.shape.dim
        if not axes:
            continue
        if name in (shapes or {}):
            _set_all(name, axes, (shapes or {})[name], where)
        elif len(axes) == 4:
            _set_size(name, axes, size, where)
        if old is None:
            old = axes[0].dim_value or None
        if batch == DYNAMIC:
            axes[0].dim_param = "n"
        elif batch is not None:
            axes[0].dim_value = int(batch)
        for index, axis in enumerate(axes):
            if index and not axis.dim_value:
                word = axis.dim_param or "without a name"
                raise ModelError(
                    f"axis {index} of the input {name!r} of {where} is open ({word}), and nothing "
                    "says how long it is",
                    remedy="give --size WIDTHxHEIGHT"
                    if len(axes) == 4
                    else f"give its shape with --shape {name}=1x…",
                )
    _forget(graph.model.graph)
    if batch is not None and old is not None and batch != old:
        _free_reshapes(graph, old)
    result = graph.finish()
    _infer_outputs(result, batch)
    return result


def _set_all(name: str, axes: Any, shape: Sequence[int], where: str) -> None:
    if len(shape) != len(axes):
        raise UsageError(
            f"the input {name!r} of {where} has {len(axes)} axes", got=f"a shape of {len(shape)}"
        )
    for axis, length in zip(axes, shape):
        if axis.dim_value and axis.dim_value != length:
            raise ModelError(
                f"the input {name!r} of {where} is fixed", got=list(shape),
                expected=[a.dim_value or "?" for a in axes],
            )  # fmt: skip
        axis.dim_value = int(length)


def _set_size(name: str, axes: Any, size: Optional[Tuple[int, int]], where: str) -> None:
    first = 1 if axes[3].dim_value == 3 and axes[1].dim_value != 3 else 2
    if size is None:
        return
    height, width = axes[first], axes[first + 1]
    fixed = (width.dim_value or size[0], height.dim_value or size[1])
    if fixed != size:
        raise ModelError(
            f"{where} does not take pictures of that size",
            got=f"{size[0]}x{size[1]}",
            expected=f"{fixed[0]}x{fixed[1]}, which is fixed in the graph",
            remedy="export it from its source in the size wanted",
        )
    width.dim_value, height.dim_value = size


def _forget(graph: Any) -> None:
    """Shapes that were noted under the old ones; of the outputs only how many axes they have."""
    del graph.value_info[:]
    for info in graph.output:
        for axis in info.type.tensor_type.shape.dim:
            axis.Clear()


def _free_reshapes(graph: Graph, old: int) -> None:
    """Reshapes that name the old batch take it from their input instead."""
    for node in graph.nodes:
        if node.op_type != "Reshape" or graph.attribute(node, "allowzero", 0):
            continue
        wanted, before = graph.constant(node.input[1]), graph.shape(node.input[0])
        if wanted is None or not len(wanted) or wanted[0] != old:
            continue
        if before is None or before[0] in (old, None):
            changed = np.array(wanted)
            changed[0] = 0  # "as the input has it"
            node.input[1] = graph.add_constant(f"{node.input[1]}_any", changed)


def _infer_outputs(model: Any, batch: Batch) -> None:
    """Shapes of the outputs as inference finds them; the first axis named where it is open."""
    onnx = load_onnx()
    if model.ByteSize() > EXTERNAL_LIMIT:
        return
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # the checker tells what is wrong, if something is
        return
    shapes = {o.name: o.type.tensor_type.shape for o in inferred.output}
    for info in model.graph.output:
        if info.name in shapes and len(shapes[info.name].dim):
            info.type.tensor_type.shape.CopyFrom(shapes[info.name])
            first = info.type.tensor_type.shape.dim[0]
            if batch == DYNAMIC and not first.dim_value:
                first.dim_param = "n"


def rename(model: Any, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Any:
    """The same graph with other names at its ends.

    Args:
        model: A `ModelProto`.
        inputs: New name by old one.
        outputs: The same.

    Raises:
        UsageError: A new name is taken by something else in the graph.
    """
    wanted = {k: v for k, v in {**inputs, **outputs}.items() if k != v}
    if not wanted:
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    graph = copy.graph
    taken = {o for n in graph.node for o in n.output} | {t.name for t in graph.initializer}
    taken |= {i.name for i in graph.input}
    for name in wanted.values():
        if name in taken and name not in wanted:
            raise UsageError(f"{name!r} is the name of another tensor", remedy="choose another")
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = wanted.get(name, name)
    for info in (*graph.input, *graph.output, *graph.value_info):
        info.name = wanted.get(info.name, info.name)
    return copy


def simplify(model: Any) -> Tuple[Any, str]:
    """The same graph with constants folded and what does nothing removed, by onnxslim.

    Returns:
        The simpler model, and what to tell: nothing, or why it is as it was.
    """
    try:
        import onnxslim
    except ImportError:
        return model, "onnxslim is not installed, so the graph was not simplified"
    if model.ByteSize() > EXTERNAL_LIMIT:
        return model, "the graph is too large to be simplified"
    copy = type(model)()
    copy.CopyFrom(model)
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            slim: Any = onnxslim.slim(copy)
    except Exception as error:  # it raises whatever its patterns meet
        return model, f"onnxslim failed, so the graph was not simplified ({first_line(error, 120)})"
    finally:
        logging.disable(before)
    if slim is None or [o.name for o in slim.graph.output] != [o.name for o in model.graph.output]:
        return model, "onnxslim lost an output, so the graph was not simplified"
    del slim.metadata_props[:]
    slim.metadata_props.extend(model.metadata_props)
    return slim, ""


def check_target(model: Any, target: Target, where: str) -> List[str]:
    """Hold a graph against what the TensorRT of a target reads.

    Returns:
        Notes on what may be refused.

    Raises:
        ModelError: The graph has what its parser refuses.
    """
    kinds: Dict[str, str] = {}
    for node in model.graph.node:
        refused = node.op_type in _NEVER or (
            node.op_type in _NOT_BEFORE_8_5 and (target.tensorrt is None or target.before(8, 5))
        )
        if node.domain not in STANDARD or refused:
            kinds.setdefault(node.op_type, node.name or node.output[0])
    if target.tensorrt is not None and kinds:
        kind, name = next(iter(kinds.items()))
        raise ModelError(
            f"the TensorRT of {target.name} does not read {kind} at {name!r} in {where}",
            remedy="export without it, or name a newer target",
        )
    notes = []
    hard = sorted(k for k in kinds if k in _NEVER)
    if hard:
        notes.append("TensorRT does not read " + ", ".join(hard))
    late = sorted(k for k in kinds if k in _NOT_BEFORE_8_5)
    if late:
        notes.append("TensorRT reads " + ", ".join(late) + " from 8.5 on at the earliest")
    double = load_onnx().TensorProto.DOUBLE
    if any(t.data_type == double for t in model.graph.initializer):
        notes.append("some constants are float64, which TensorRT rounds to float32")
    return notes


def open_outputs(model: Any) -> List[str]:
    """Outputs whose shape depends on what the model sees; an open batch does not count."""
    found = []
    for info in model.graph.output:
        shape = info.type.tensor_type.shape
        known = len(shape.dim) and all(d.dim_value for d in list(shape.dim)[1:])
        if info.type.HasField("tensor_type") and not known:
            found.append(info.name)
    return found
