"""Which few layers had better stay float, told without any labels.

Where one layer's rounding makes up much of what the outputs are off by, and the layer does little
of the work, it costs next to nothing to leave it float.
"""

from itertools import combinations
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np

from .graph import Graph
from .patterns import Plan, multiply_adds, plan, weighted
from .quantise import group_ranges, write_pairs
from .sessions import Session

LEAST_SHARE = 0.95
"""Share of the multiply-adds that stays in INT8."""
SPARE = 0.005
"""Share that may go to float where the heads alone leave less than that in INT8."""
WORTH = 0.08
"""A layer stays float if rounding it makes an error of more than this part of that of all; half as
much where less than `LEAST_SHARE` has to stay in INT8."""
MOST = 3
"""Layers at most that stay float; twice as many there."""
TRIED = 12
"""Layers of which the best few are picked."""
PICTURES = 2
"""Pictures that are enough to tell."""

Feed = Mapping[str, np.ndarray]


def worst_layers(
    model: Any,
    ranges: Mapping[str, float],
    feeds: Sequence[Feed],
    floats: Sequence[str] = (),
    *,
    share: float = LEAST_SHARE,
    apart: bool = False,
    threads: Optional[int] = None,
) -> List[str]:
    """Layers whose numbers had better not be rounded, by name of their first output.

    The numbers that each layer reads are rounded alone, for layers that are small enough to stay
    float, and how far the outputs move is compared with how far they move when all are rounded.

    Args:
        model: The float `ModelProto`.
        ranges: Largest magnitude by tensor name.
        feeds: Some pictures, as arrays by input name.
        floats: What stays float anyway.
        share: Least share of the multiply-adds that stays in INT8.
        apart: Whether Concats join float numbers.
        threads: Threads of onnxruntime.

    Returns:
        None or a few, the worst first. With them float at least this share of the multiply-adds
        stays in INT8, if that was so before.
    """
    graph = Graph(model)
    planned = plan(graph, floats, apart=apart)
    work = {i.node.output[0]: multiply_adds(graph, i) for i in weighted(graph)}
    total = sum(work.values())
    inside = sum(work[name] for name in planned.nodes)
    if not feeds or not inside:
        return []
    spare = max(inside - share * total, 0) or SPARE * total
    truth = _outputs(model, feeds, threads)
    spread = [np.sqrt(np.mean([np.square(o[i]) for o in truth])) for i in range(len(truth[0]))]

    rounded = _Rounded(model, planned, ranges)

    def error(names: Iterable[str]) -> float:
        return _distance(_outputs(rounded.of(names), feeds, threads), truth, spread)

    whole = error(planned.nodes)
    if whole <= 0:
        return []
    small = [name for name in planned.nodes if work[name] <= spare]
    # Who gives up more of INT8 wants less noise.
    much = share < LEAST_SHARE
    worth, most = (WORTH / 2, 2 * MOST) if much else (WORTH, MOST)
    parts = _bisect(small, lambda names: error(names) / whole, worth)
    worst = sorted(parts, key=lambda n: -parts[n])[:TRIED]
    best: Sequence[str] = ()
    for count in range(1, most + 1):
        for some in combinations(worst, count):
            fits = sum(work[n] for n in some) <= spare
            if fits and sum(parts[n] for n in some) > sum(parts[n] for n in best):
                best = some
    return list(best)


def _bisect(
    names: Sequence[str], error: Callable[[Sequence[str]], float], worth: float
) -> Dict[str, float]:
    """Names whose error alone is worth it; errors add up, so what is small together is left."""
    step = max(-(-len(names) // 8), 1)
    blocks = [names[i : i + step] for i in range(0, len(names), step)]
    wanted = [(some, error(some)) for some in blocks]
    found: Dict[str, float] = {}
    while wanted:
        some, part = wanted.pop()
        if part < worth:
            continue
        if len(some) == 1:
            found[some[0]] = part
            continue
        one, two = some[: len(some) // 2], some[len(some) // 2 :]
        first = error(one)
        # What one half does not make, the other does.
        wanted += [(one, first), (two, part if first < worth else error(two))]
    return found


class _Rounded:
    """The float graph with what some layers read rounded, their weights as they are."""

    def __init__(self, model: Any, planned: Plan, ranges: Mapping[str, float]) -> None:
        graph = Graph(model)
        own = plan(graph, planned.floats, apart=True)
        reads: Dict[str, List[Any]] = {}
        for name in planned.nodes:
            item = own.nodes[name]
            reads.setdefault(item.data, []).append(item.node)
        group = {tensor: planned.group[tensor] for tensor in reads}
        amax = group_ranges(planned, ranges)
        write_pairs(graph, Plan({}, reads, group, {}), amax)
        self._model = graph.finish()
        nodes = {n.output[0]: n for n in self._model.graph.node}
        self._ways = {
            name: (nodes[name], item.data, nodes[name].input[0])
            for name, item in planned.nodes.items()
        }

    def of(self, names: Iterable[str]) -> Any:
        """The model with these layers rounded, until it is asked for others."""
        chosen = set(names)
        for name, (node, exact, rounded) in self._ways.items():
            node.input[0] = rounded if name in chosen else exact
        return self._model


def _outputs(model: Any, feeds: Sequence[Feed], threads: Optional[int]) -> List[List[np.ndarray]]:
    session = Session(model, threads=threads or 1, brief=True)
    return [list(session(feed).values()) for feed in feeds]


def _distance(
    found: Sequence[Sequence[np.ndarray]],
    truth: Sequence[Sequence[np.ndarray]],
    spread: Sequence[float],
) -> float:
    """Mean squared error of the outputs beside their size; what is far off counts as just off."""
    total: List[float] = []
    for one, two in zip(found, truth):
        for a, b, size in zip(one, two, spread):
            if a.size and size > 0:
                total.append(float(np.minimum(np.square((a - b) / size), 1.0).mean()))
    return float(np.mean(total)) if total else 0.0
