"""Ranges and weights that keep a float graph's outputs, from the pictures it is calibrated on."""

from itertools import islice
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from .floats import LEAST_SHARE, PICTURES, worst_layers
from .graph import Graph
from .moments import Moments, gather, patch_form
from .patterns import Weighted, plan
from .quantise import Fitted, group_ranges
from .rounding import fit
from .samples import Samples
from .sessions import Session

LOOKED = 24
"""Pictures that ranges are told from."""
FITTED = 24
"""Pictures at most that weights are fitted to."""

Feeds = Callable[[], Iterator[Mapping[str, np.ndarray]]]


class Tuned(NamedTuple):
    """What `tune` found.

    Attributes:
        ranges: Largest magnitude by name of every tensor that is quantised.
        fitted: Weights by the first output of their node.
        floats: Layers that had better stay float, and those that were named.
        apart: Whether Concats join float numbers.
    """

    ranges: Dict[str, float]
    fitted: Dict[str, Fitted]
    floats: List[str]
    apart: bool = False


def tune(
    model: Any,
    known: Mapping[str, float],
    feeds: Feeds,
    floats: Sequence[str] = (),
    *,
    spare: bool = True,
    share: float = LEAST_SHARE,
    apart: bool = False,
    threads: Optional[int] = None,
) -> Tuned:
    """Find ranges by what they do to outputs, layers that stay float, and rounded weights.

    Args:
        model: The float `ModelProto`, folded and equalised.
        known: Largest magnitude of its tensors on the pictures, by name.
        feeds: Gives the pictures as arrays by input name, as often as it is called.
        floats: Names of nodes, or of their first outputs, that stay float.
        spare: Leave the worst few layers float too.
        share: Least share of the multiply-adds that stays in INT8.
        apart: Let Concats join float numbers.
        threads: Threads of onnxruntime; None for one a core, at most four.
    """
    graph = Graph(model)
    planned = plan(graph, floats, apart=apart)
    session = Session(model, list(planned.reads), threads)
    samples = Samples(graph, planned, known)
    some: List[Mapping[str, np.ndarray]] = []
    for feed in islice(feeds(), LOOKED):
        if len(some) < PICTURES:
            some.append(feed)
        for tensor, value in session(feed).items():
            samples.add(tensor, value)
    found = {tensor: known.get(tensor, 0.0) for tensor in planned.reads}
    found.update(samples.ranges())
    tied = group_ranges(planned, found)
    found = {tensor: tied[group] for tensor, group in planned.group.items()}
    left = list(floats)
    if spare:
        left += worst_layers(model, found, some, left, share=share, apart=apart, threads=threads)
        planned = plan(graph, left, apart=apart)
    shared: Dict[str, int] = {}
    for item in planned.nodes.values():
        shared[item.weight] = shared.get(item.weight, 0) + 1
    items = [i for i in planned.nodes.values() if shared[i.weight] == 1 and patch_form(graph, i)]
    fitted = _fitted(graph, items, found, feeds, session)
    return Tuned(found, fitted, left, apart)


def _fitted(
    graph: Graph,
    items: Sequence[Weighted],
    ranges: Mapping[str, float],
    feeds: Feeds,
    session: Session,
) -> Dict[str, Fitted]:
    moments: Dict[str, Moments] = {}
    random = np.random.default_rng(0)
    items = [i for i in items if ranges[i.data] > 0]
    for feed in islice(feeds(), FITTED):
        gather(graph, items, session(feed), ranges, moments, random)
    found = {}
    for item in items:
        output, node = item.node.output[0], item.node
        weight = graph.constant(item.weight)
        bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if weight is not None and output in moments:
            found[output] = Fitted(*fit(weight, bias, moments[output]))
    return found
