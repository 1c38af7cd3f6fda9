"""Second moments of what each convolution reads, gathered picture by picture."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Mapping, Optional, Tuple

import numpy as np

from .graph import Graph
from .patterns import Weighted

PLACES = 256
"""Places of the output that are looked at in one picture."""
WIDEST = 1300
"""Widest patch (channels times kernel) whose moments are gathered."""


@dataclass
class Moments:
    """Moments of the patches x that a convolution reads, and of q, the same after INT8.

    The first axis is that of the convolution's groups.

    Attributes:
        qq: `(g, k, k)` float64, sum of q qᵀ.
        xq: `(g, k, k)` float64, sum of x qᵀ.
        x: `(g, k)` sum of x.
        q: `(g, k)` sum of q.
        count: Patches.
    """

    qq: np.ndarray
    xq: np.ndarray
    x: np.ndarray
    q: np.ndarray
    count: int = 0

    @classmethod
    def empty(cls, groups: int, width: int) -> "Moments":
        """Nothing seen yet."""
        square = (groups, width, width)
        return cls(
            np.zeros(square), np.zeros(square), np.zeros((groups, width)), np.zeros((groups, width))
        )

    def add(self, x: np.ndarray, q: np.ndarray) -> None:
        """See patches `(g, k, n)` float32."""
        turned = q.transpose(0, 2, 1)
        self.qq += q @ turned
        self.xq += x @ turned
        self.x += x.sum(axis=2)
        self.q += q.sum(axis=2)
        self.count += x.shape[2]


def patch_form(graph: Graph, item: Weighted) -> Optional[Tuple[int, int]]:
    """Groups and width of a convolution's patches; None where they are not gathered."""
    weight = graph.constant(item.weight)
    if item.node.op_type != "Conv" or weight is None or weight.ndim != 4:
        return None
    if graph.attribute(item.node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    groups = int(graph.attribute(item.node, "group", 1))
    width = int(np.prod(weight.shape[1:]))
    return (groups, width) if width <= WIDEST else None


def patches(
    graph: Graph, item: Weighted, value: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """What a convolution reads at some places of its output: `(g, k, n)` float32."""
    node, weight = item.node, graph.constant(item.weight)
    assert weight is not None
    groups = int(graph.attribute(node, "group", 1))
    strides = graph.attribute(node, "strides", [1, 1])
    dilations = graph.attribute(node, "dilations", [1, 1])
    top, left, bottom, right = graph.attribute(node, "pads", [0, 0, 0, 0])
    rows, columns = weight.shape[2:]
    batch, channels, height, width = value.shape
    if top or left or bottom or right:
        value = np.pad(value, ((0, 0), (0, 0), (top, bottom), (left, right)))
    high = (height + top + bottom - dilations[0] * (rows - 1) - 1) // strides[0] + 1
    wide = (width + left + right - dilations[1] * (columns - 1) - 1) // strides[1] + 1
    total = batch * high * wide
    if total > PLACES:
        places = random.choice(total, PLACES, replace=False)
    else:
        places = np.arange(total)
    picture, place = np.divmod(places, high * wide)
    y, x = np.divmod(place, wide)
    y, x = y * strides[0], x * strides[1]
    found = np.empty((channels, rows, columns, len(places)), value.dtype)
    for row in range(rows):
        for column in range(columns):
            found[:, row, column] = value[
                picture, :, y + row * dilations[0], x + column * dilations[1]
            ].T
    return found.reshape(groups, -1, len(places))


def gather(
    graph: Graph,
    items: Iterable[Weighted],
    values: Mapping[str, np.ndarray],
    ranges: Mapping[str, float],
    known: Dict[str, Moments],
    random: Any,
) -> None:
    """See one picture's tensors; `known` grows by the name of the convolutions' outputs."""
    for item in items:
        form = patch_form(graph, item)
        if form is None:
            continue
        x = patches(graph, item, values[item.data], random)
        step = np.float32(ranges[item.data] / 127)
        q = np.clip(np.rint(x / step), -127, 127) * step
        output = item.node.output[0]
        if output not in known:
            known[output] = Moments.empty(*form)
        known[output].add(x, q)
