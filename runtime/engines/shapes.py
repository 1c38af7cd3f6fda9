"""Shapes of an engine's inputs: what the graph leaves open is settled before the build."""

from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ...core import ModelError, UsageError, did_you_mean
from .graph import GraphFacts, GraphInput

Batch = Tuple[int, int, int]
Shape = Tuple[int, ...]
Profile = Dict[str, Tuple[Shape, Shape, Shape]]


def plan_shapes(
    graph: GraphFacts,
    batch: Union[None, int, Batch] = None,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
) -> Profile:
    """Smallest, usual and largest shape of each input that has open axes.

    The first axis is the batch, 1 unless said. Width and height come from the card where it has
    them.

    Args:
        graph: What the ONNX is.
        batch: Pictures a run, or `(smallest, usual, largest)`.
        shapes: Whole shape by input, for axes that nothing else tells.

    Raises:
        UsageError: The batch is no count, or a shape names no input or does not fit it.
        ModelError: The graph fixes another batch, or leaves axes open that nothing tells.
    """
    counts = _counts(batch)
    given = dict(shapes or {})
    names = [spec.name for spec in graph.inputs]
    for name in given:
        if name not in names:
            raise UsageError(
                f"{graph.path} has no input {name!r}", remedy=did_you_mean(name, names)
            )
    profile: Profile = {}
    open_batch = False
    for spec in graph.inputs:
        shape = _settled(graph, spec, given.get(spec.name))
        if spec.shape and spec.shape[0] is None:
            open_batch = open_batch or spec.name not in given
        if None not in spec.shape:
            continue
        if spec.shape[0] is None and spec.name not in given:
            low, usual, high = ((count, *shape[1:]) for count in counts)
            profile[spec.name] = (low, usual, high)
        else:
            profile[spec.name] = (shape, shape, shape)
    fixed = graph.inputs[0].shape[0] if graph.inputs and graph.inputs[0].shape else None
    if batch is not None and not open_batch and counts != (fixed,) * 3:
        raise ModelError(
            f"{graph.path} fixes its batch",
            got=f"--batch {_shown(counts)}",
            expected=f"{fixed}",
            remedy="export it with an open batch, or leave --batch out",
        )
    return profile


def parse_batch(text: str) -> Union[int, Batch]:
    """`4`, or `1:4:8` for smallest, usual and largest.

    Raises:
        UsageError: It is neither.
    """
    try:
        numbers = [int(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    raise UsageError("batch is wrong", got=repr(text), expected="a count, or 1:4:8")


def parse_shape(text: str) -> Tuple[str, Shape]:
    """`images=1x3x416x416` as name and shape.

    Raises:
        UsageError: It is no such text.
    """
    name, _, axes = text.rpartition("=")
    try:
        shape = tuple(int(part) for part in axes.lower().split("x"))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise UsageError("shape is wrong", got=repr(text), expected="e.g. images=1x3x416x416")
    return name, shape


def _counts(batch: Union[None, int, Batch]) -> Batch:
    if batch is None:
        return 1, 1, 1
    counts: List[int] = [batch] * 3 if isinstance(batch, int) else list(batch)
    if len(counts) != 3 or min(counts) < 1 or sorted(counts) != counts:
        raise UsageError(
            "batch is wrong", got=_shown(counts), expected="1 or more, smallest:usual:largest"
        )
    return counts[0], counts[1], counts[2]


def _shown(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(set(counts)) == 1 else ":".join(str(n) for n in counts)


def _settled(graph: GraphFacts, spec: GraphInput, given: Optional[Sequence[int]]) -> Shape:
    """The input's shape without open axes; the batch stands as 1 where it is open."""
    axes = list(spec.shape)
    shown = "x".join("?" if n is None else str(n) for n in axes)
    if given is not None:
        fits = len(given) == len(axes) and all(a in (None, b) for a, b in zip(axes, given))
        if not fits:
            raise UsageError(
                f"the shape of input {spec.name!r} does not fit",
                got="x".join(str(n) for n in given),
                expected=shown,
            )
        return tuple(int(n) for n in given)
    if axes and axes[0] is None:
        axes[0] = 1
    if len(axes) == 4 and graph.card is not None:
        width, height = graph.card.input.size
        first = 2 if graph.card.input.layout == "nchw" else 1
        colours = 1 if first == 2 else 3
        for axis, size in ((first, height), (first + 1, width), (colours, 3)):
            if axes[axis] is None:
                axes[axis] = int(size)
    if None in axes:
        raise ModelError(
            f"{graph.path} leaves the shape of input {spec.name!r} open",
            got=shown,
            remedy=f"say it: --shape {spec.name}=1x3x416x416, say, or export with fixed shapes",
        )
    return tuple(int(n) for n in axes if n is not None)
