"""How a model is quantised once its activations can be looked at: the steps, and their order."""

from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Sequence

import numpy as np

from ..core import UsageError
from .cpu import measure_speed, quantise_cpu
from .equalise import EqualiseSettings, equalise
from .floats import LEAST_SHARE
from .fold import fold
from .graph import Graph
from .patterns import multiply_adds, plan, weighted
from .quantise import Fitted, QuantiseSettings, group_ranges, int8_share, quantise
from .ranges import ranges
from .store import Statistics
from .tune import LOOKED, tune

MEASURED = 48
"""Pictures on which channels are measured to even them out."""


class Recipe(NamedTuple):
    """What came of it.

    Attributes:
        quantised: The Q/DQ `ModelProto`.
        floating: The float one whose activations `ranges` names.
        rewritten: Whether that is another graph than the one given.
        ranges: Largest magnitude by tensor name, of every activation of `floating`.
        notes: How it was done, as plain types.
    """

    quantised: Any
    floating: Any
    rewritten: bool
    ranges: Dict[str, float]
    notes: Dict[str, Any]


def quantise_best(
    model: Any,
    look: Callable[..., Statistics],
    feeds: Callable[[], Iterator[Mapping[str, np.ndarray]]],
    *,
    method: str = "auto",
    floats: Sequence[str] = (),
    target: str = "trt",
    share: float = LEAST_SHARE,
) -> Recipe:
    """Fold, equalise, find ranges, quantise.

    Args:
        model: A float32 `ModelProto`.
        look: `look(model, tensors=None, most=None)`: the statistics of a graph's activations on
            the calibration pictures, or on so many of them. Of a few tensors alone they cost far
            less, and have no histograms.
        feeds: Gives the calibration pictures as arrays by input name, as often as it is called;
            those at the front have to stand for all.
        method: `auto`, or a method of `ranges`.
        floats: Names of nodes, or of their first outputs, that stay float.
        target: `trt` or `cpu`.
        share: Least share of the multiply-adds that `auto` leaves in INT8. Where it allows, all
            depthwise convolutions and the Concats between them stay float: they are bound by
            memory, so that INT8 wins little there.

    Raises:
        UsageError: A node that is to stay float does not exist.
        ModelError: The graph cannot be quantised.
    """
    graph = Graph(fold(model))
    folded = graph.finish()
    known = {n.name for n in graph.nodes} | {o for n in graph.nodes for o in n.output}
    for name in floats:
        if name not in known:
            raise UsageError(f"the model has no node {name!r}")
    auto = method == "auto" and target != "cpu"
    left = list(floats)
    deep = _depthwise(graph, left, share) if auto else []
    apart = bool(deep)
    left += deep
    # Only what is quantised is equalised; the rest need not be looked at twice.
    first = look(folded, list(plan(graph, left).reads), MEASURED if auto else None)
    channels = {name: a.channels for name, a in first.items() if a.channels is not None}
    # A multiplication before a depthwise convolution would break up onnxruntime's integer kernels.
    settings = EqualiseSettings(multiply=target != "cpu", floats=tuple(left))
    floating = equalise(folded, channels, settings)
    equalised = floating != folded
    # Ranges that are told by outputs need few pictures, and so does the rest of the cache.
    seen = look(floating, most=LOOKED) if auto else look(floating)
    found = ranges(seen, method if method != "auto" else "percentile:99.99")
    if target == "cpu":
        return _for_cpu(model, floating, seen, found, feeds, method, floats)
    fitted: Dict[str, Fitted] = {}
    if auto:
        largest = {name: a.amax for name, a in seen.items()}
        tuned = tune(floating, largest, feeds, left, share=share, apart=apart)
        found.update(tuned.ranges)
        fitted, left = tuned.fitted, tuned.floats
    planned = plan(Graph(floating), left, apart=apart)
    tied = group_ranges(planned, found)
    found.update({tensor: tied[group] for tensor, group in planned.group.items()})
    quantised = quantise(floating, found, QuantiseSettings(tuple(left), apart=apart), fitted)
    notes = {
        "method": method,
        "equalised": equalised,
        "rounded_for_outputs": len(fitted),
        "float": sorted(planned.floats),
        "int8_share": round(int8_share(quantised), 4),
    }
    return Recipe(quantised, floating, floating != model, found, notes)


def _depthwise(graph: Graph, floats: Sequence[str], share: float) -> List[str]:
    """All depthwise convolutions, if without them that share of the multiply-adds stays in INT8."""
    planned = plan(graph, floats)
    work = {i.node.output[0]: multiply_adds(graph, i) for i in weighted(graph)}
    deep = [name for name, item in planned.nodes.items() if item.depthwise]
    inside = sum(work[name] for name in planned.nodes) - sum(work[name] for name in deep)
    return deep if inside >= share * sum(work.values()) else []


def _for_cpu(
    model: Any,
    floating: Any,
    seen: Statistics,
    found: Dict[str, float],
    feeds: Callable[[], Iterator[Mapping[str, np.ndarray]]],
    method: str,
    floats: Sequence[str],
) -> Recipe:
    """The flavour for the CPU, and whether it is faster there than the float model."""
    limits = {
        name: (max(a.minimum, -found[name]), min(a.maximum, found[name]))
        for name, a in seen.items()
    }
    quantised = quantise_cpu(floating, limits, floats)
    speed = measure_speed(model, quantised, next(iter(feeds())))
    notes = {
        "method": method,
        "equalised": floating != model,
        "int8_share": round(int8_share(quantised), 4),
        "cpu_speed": {**speed._asdict(), "faster": speed.ratio > 1},
    }
    return Recipe(quantised, floating, floating != model, found, notes)
