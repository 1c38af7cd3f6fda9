"""A graph made for one size of picture, made to take another.

A convolutional net takes any size, but exporters write sizes that they have seen into the graph:
as targets of Reshape and sizes of Resize. Those are worked out anew. A graph that holds more of its
size than that, such as grids of anchors, is refused.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core import ModelError

Size = Tuple[int, int]
Shape = Tuple[Optional[int], ...]


def input_size(model: Any) -> Tuple[Optional[int], Optional[int]]:
    """`(width, height)` of the picture that a `ModelProto` takes; None where it is open.

    Raises:
        ModelError: It takes no picture.
    """
    width, height = _axes(model)
    return width.dim_value or None, height.dim_value or None


def resize(model: Any, size: Size, where: str = "the model") -> Any:
    """The same net for pictures of another size.

    Args:
        model: A `ModelProto` whose input is fixed or open.
        size: `(width, height)` in pixels.
        where: What errors call the model.

    Returns:
        A new `ModelProto`.

    Raises:
        ModelError: It cannot take that size.
    """
    from ...calibration.graph import Graph, load_onnx

    onnx = load_onnx()
    old = _infer(onnx, model)
    was = input_size(model)
    graph = Graph(model)
    width, height = _axes(graph.model)
    width.dim_value, height.dim_value = size
    if None in was:
        return graph.finish()
    before: Size = (int(was[0] or 0), int(was[1] or 0))
    if before == size:
        return graph.finish()
    _forget(graph.model.graph)
    new: Dict[str, Shape] = {}
    for node in list(graph.nodes):
        if node.op_type == "Reshape" and not graph.attribute(node, "allowzero", 0):
            wanted = graph.constant(node.input[1])
            if wanted is None or node.input[0] not in old:
                continue
            new = _infer(onnx, graph.model)
            target = _reshaped(
                [int(n) for n in wanted], old[node.input[0]], new.get(node.input[0]), before, size
            )
            if target is None:
                raise _fixed(where, before, size, node)
            if target != [int(n) for n in wanted]:
                name = graph.add_constant(f"{node.output[0]}_shape", np.array(target, np.int64))
                node.input[1] = name
        elif node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
            wanted = graph.constant(node.input[3])
            if wanted is None:
                continue
            sizes = [int(n) for n in wanted]
            if len(sizes) != 4:
                raise _fixed(where, before, size, node)
            target = [*sizes[:2]]
            for axis, length in ((1, sizes[2]), (0, sizes[3])):
                scaled = length * size[axis] / before[axis]
                if scaled != int(scaled):
                    raise _fixed(where, before, size, node)
                target.append(int(scaled))
            name = graph.add_constant(f"{node.output[0]}_sizes", np.array(target, np.int64))
            node.input[3] = name
    made = graph.finish()
    _settle_outputs(onnx, made, where, before, size)
    return made


def _reshaped(
    wanted: List[int], old: Shape, new: Optional[Shape], before: Size, size: Size
) -> Optional[List[int]]:
    """The target of a Reshape for the new size; None where none fits.

    Lengths that came from the picture's are told by what they are and where they stand: a height
    and then a width, late rather than early, or all places of a map as one; and by the number of
    elements that there now are.
    """
    if new is None or None in old or None in new:
        return None
    if old == new:
        return wanted
    before_all, total = (int(np.prod([int(n or 0) for n in shape])) for shape in (old, new))
    here = [int(old[i] or 0) if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in here:
        known = int(np.prod([n for n in here if n != -1] or [1]))
        here[here.index(-1)] = before_all // known if known else 0
    best: Optional[Tuple[int, List[int]]] = None
    for choice in _choices([_lengths(n, before, size) for n in here]):
        lengths = [length for length, _ in choice]
        kinds = "".join(kind for _, kind in choice)
        if kinds not in ("hw", "a") or int(np.prod(lengths)) != total:
            continue
        late = sum(i for i, (_, kind) in enumerate(choice) if kind)
        if best is None or late > best[0]:
            best = (late, lengths)
    if best is not None:
        return best[1]
    rest = int(np.prod([n for n in wanted if n > 0] or [1]))
    # What takes all that is left over takes it of another size as well.
    return wanted if -1 in wanted and 0 not in wanted and total % rest == 0 else None


def _lengths(length: int, before: Size, size: Size) -> List[Tuple[int, str]]:
    """What a length may become, and as what: itself; the height or width of a feature map (`h`,
    `w`); all of its places (`a`)."""
    found = [(length, "")]
    for stride in (1, 2, 4, 8, 16, 32, 64, 128):
        if any(n % stride for n in (*before, *size)):
            break
        sides = [(b // stride, s // stride) for b, s in zip(before[::-1], size[::-1])]
        found += [(now, kind) for (was, now), kind in zip(sides, "hw") if was == length]
        if length == sides[0][0] * sides[1][0]:
            found.append((sides[0][1] * sides[1][1], "a"))
    return found


def _choices(options: Sequence[List[Tuple[int, str]]]) -> List[List[Tuple[int, str]]]:
    found: List[List[Tuple[int, str]]] = [[]]
    for values in options:
        found = [[*head, value] for head in found for value in values]
    return found


def _axes(model: Any) -> Tuple[Any, Any]:
    """The axes of width and height of the picture input."""
    given = {i.name for i in model.graph.initializer}
    for info in model.graph.input:
        axes = info.type.tensor_type.shape.dim
        if info.name in given or len(axes) != 4:
            continue
        first = 1 if axes[3].dim_value == 3 and axes[1].dim_value != 3 else 2
        return axes[first + 1], axes[first]
    raise ModelError("the model takes no picture", expected="an input of four axes")


def _infer(onnx: Any, model: Any) -> Dict[str, Shape]:
    """Shapes by tensor, as far as they can be told."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # it raises what it likes
        return {}
    shapes: Dict[str, Shape] = {}
    for info in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = info.type.tensor_type
        if tensor.HasField("shape"):
            shapes[info.name] = tuple(d.dim_value or None for d in tensor.shape.dim)
    for constant in inferred.initializer:
        shapes.setdefault(constant.name, tuple(constant.dims))
    return shapes


def _forget(graph: Any) -> None:
    """Shapes that were noted for the old size."""
    del graph.value_info[:]
    for info in graph.output:
        for axis in info.type.tensor_type.shape.dim:
            axis.Clear()


def _settle_outputs(onnx: Any, model: Any, where: str, before: Size, size: Size) -> None:
    """Note the shapes of the outputs.

    Raises:
        ModelError: Shapes do not fit together: something else in the graph is of the old size.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[-1][:160]
        raise ModelError(
            f"{where} cannot be made to take {_text(size)}",
            got=f"constants of its size {_text(before)} in the graph ({reason})",
            remedy="export it from its source in that size",
        ) from None
    shapes = {o.name: o.type.tensor_type.shape for o in inferred.graph.output}
    for info in model.graph.output:
        if info.name in shapes:
            info.type.tensor_type.shape.CopyFrom(shapes[info.name])


def _fixed(where: str, before: Size, size: Size, node: Any) -> ModelError:
    return ModelError(
        f"{where} cannot be made to take {_text(size)}",
        got=f"{node.op_type} {node.name or node.output[0]!r} is fixed to {_text(before)}",
        remedy="export it from its source in that size",
    )


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
