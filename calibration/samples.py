"""Ranges by what rounding does to the outputs of the layers that read a tensor.

The squared error of a tensor counts each channel alike, and numbers that nothing depends on as much
as others. Here each channel counts by the weights that read it, and each layer by how large its
error is beside its output. Numbers that are cut off count more than numbers that are rounded:
rounding is noise that sums to little, but what is cut off is what stood out, an object as a rule,
and all of it errs to one side.
"""

from functools import lru_cache
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from .graph import Graph
from .histograms import bin_error
from .patterns import Plan, Weighted

CLIPPED = 16.0
"""How much more the square of what is cut off counts than the square of what is rounded."""
PLACES = 96
"""Places that are looked at in each picture."""
BINS = 4096
TRIED = np.geomspace(0.1, 1.0, 28)
"""Ranges that are tried, as parts of the largest magnitude."""


class Samples:
    """What each layer reads, counted by magnitude; each channel by the weights that read it.

    Args:
        graph: The float graph.
        planned: What of it is quantised.
        largest: Largest magnitude by tensor name.
        seed: Of the places that are looked at.
    """

    def __init__(
        self, graph: Graph, planned: Plan, largest: Mapping[str, float], seed: int = 0
    ) -> None:
        self._members = planned.members()
        self._random = np.random.default_rng(seed)
        self._readers: Dict[str, List[Weighted]] = {}
        for item in planned.nodes.values():
            self._readers.setdefault(item.data, []).append(item)
        self._largest: Dict[str, float] = {}
        for tensors in self._members.values():
            whole = max((largest.get(t, 0.0) for t in tensors), default=0.0)
            self._largest.update(dict.fromkeys(tensors, whole))
        self._energies: Dict[str, List[np.ndarray]] = {}
        for tensor in planned.reads:
            found = [_energy(graph, item) for item in self._readers.get(tensor, ())]
            self._energies[tensor] = [e for e in found if e is not None]
        self._alone = {t[0] for t in self._members.values() if len(t) == 1}
        self._counts: Dict[str, np.ndarray] = {}
        self._power: Dict[str, np.ndarray] = {}

    def add(self, tensor: str, value: np.ndarray) -> None:
        """See one picture's tensor."""
        whole = self._largest.get(tensor, 0.0)
        if whole <= 0 or value.ndim < 2 or not value.size:
            return
        if _channels_last(self._readers.get(tensor, ())):
            flat = value.reshape(-1, value.shape[-1]).T
        else:
            flat = np.moveaxis(value, 1, 0).reshape(value.shape[1], -1)
        if flat.shape[1] > PLACES:
            flat = flat[:, self._random.integers(0, flat.shape[1], PLACES)]
        energies = [e for e in self._energies[tensor] if len(e) == len(flat)]
        if not energies:
            if tensor not in self._alone:
                return  # of tensors that are joined, those that weights read stand for all
            energies = [np.ones(len(flat))]
        bins = np.minimum(np.abs(flat) * (BINS / whole), BINS - 1).astype(np.intp).reshape(-1)
        power = (flat.astype(np.float64) ** 2).sum(axis=1)
        counts = np.stack([np.bincount(bins, np.repeat(e, flat.shape[1]), BINS) for e in energies])
        total = np.array([e @ power for e in energies])
        if tensor in self._counts:
            counts += self._counts[tensor]
            total += self._power[tensor]
        self._counts[tensor], self._power[tensor] = counts, total

    def ranges(self) -> Dict[str, float]:
        """The range of every tensor that was seen, the same for tensors with one scale."""
        found: Dict[str, float] = {}
        table = _table()
        for tensors in self._members.values():
            whole = self._largest[tensors[0]]
            if whole <= 0:
                continue
            errors = np.zeros(len(TRIED))
            for tensor in tensors:
                if tensor in self._counts:
                    relative = 1 / np.maximum(self._power[tensor], 1e-30)
                    errors += table @ (relative @ self._counts[tensor])
            best = whole * float(TRIED[errors.argmin()]) if errors.any() else whole
            found.update(dict.fromkeys(tensors, best))
        return found


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """`(tried, bins)`: error of numbers in each bin, in units of the largest magnitude."""
    edges = np.arange(BINS + 1) / BINS
    table = []
    for limit in TRIED:
        whole = bin_error(edges[:-1], edges[1:], limit)
        over = np.maximum(edges - limit, 0) ** 3
        clipped = np.diff(over) / 3 * BINS
        table.append(whole + (CLIPPED - 1) * clipped)
    return np.array(table)


def _channels_last(readers: Sequence[Weighted]) -> bool:
    return any(not item.node.op_type.startswith("Conv") for item in readers)


def _energy(graph: Graph, item: Weighted) -> Optional[np.ndarray]:
    """Sum of the squared weights that read each input channel, `(c,)`."""
    weight = graph.constant(item.weight)
    if weight is None:
        return None
    squares = weight.astype(np.float64) ** 2
    if item.node.op_type == "Conv":
        groups = int(graph.attribute(item.node, "group", 1))
        parts = squares.reshape(groups, -1, weight.shape[1], int(np.prod(weight.shape[2:])))
        return parts.sum(axis=(1, 3)).reshape(-1)
    if item.node.op_type == "ConvTranspose":
        return squares.reshape(len(weight), -1).sum(axis=1)
    return squares.sum(axis=item.axis)
