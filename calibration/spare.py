"""Layers of a Q/DQ graph back to float, without calibrating anew."""

from typing import Any, Dict, Iterable, Set

from ..core import ModelError, UsageError, did_you_mean
from .graph import Graph
from .lint import View
from .patterns import plan


def spare(quantised: Any, floating: Any, layers: Iterable[str]) -> Any:
    """Let some more layers of a Q/DQ graph compute in float.

    They get their float weights back, and pairs that were there for them alone go, also those of
    Concats, pools and residual Adds before them. All other scales and weights stay.

    Args:
        quantised: A Q/DQ `ModelProto` as `quantise` writes it.
        floating: The float one that it was made of.
        layers: First outputs of the layers.

    Returns:
        A new `ModelProto`.

    Raises:
        UsageError: There is no such layer.
        ModelError: The two are not of one model.
    """
    whole = Graph(floating)
    nodes = {n.output[0]: n for n in whole.nodes if n.output}
    wanted = list(layers)
    for name in wanted:
        if name not in nodes:
            raise UsageError(f"the model has no layer {name!r}", remedy=did_you_mean(name, nodes))
    view = View(quantised)
    graph = view.graph
    left = {n.output[0] for n in view.weighted if not view.integer(n)}
    planned = plan(whole, sorted(left | set(wanted)))
    readers: Dict[str, Set[str]] = {
        tensor: {n.output[0] for n in found} for tensor, found in planned.reads.items()
    }
    for pair in view.pairs:
        for node in pair.readers:
            if node.output[0] not in readers.get(pair.tensor, ()):
                graph.rewire(node, pair.dq.output[0], pair.tensor)
    for name in wanted:
        node = graph.producer(name)
        if node is None:
            raise ModelError(f"the quantised model has no layer {name!r} of the float one")
        for index, source in enumerate(nodes[name].input):
            if index and source:
                if source not in graph.initialisers:
                    value = whole.constant(source)
                    if value is None:
                        continue
                    source = graph.add_constant(source, value)
                node.input[index] = source
    return graph.finish()
