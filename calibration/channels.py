"""Which channels of a graph's tensors can be scaled together without changing what it computes.

Scaling a channel by 1/s after one convolution and the weights that read it by s changes nothing as
long as everything between is homogeneous: f(x/s) = f(x)/s for s > 0, as for ReLU, pools, Resize and
moves. Each channel of each tensor is given a class; channels of a class have one scale. Class 0
cannot be scaled.
"""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from .graph import Graph
from .patterns import MOVES, Weighted, weighted

FIXED = 0
"""The class of what cannot be scaled."""

HOMOGENEOUS = frozenset(
    (
        "Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool",
        "GlobalMaxPool", "Resize", "Upsample", "Identity", "Neg", "Abs",
    )
)  # fmt: skip


class Classes:
    """The classes of a graph's channels.

    Args:
        graph: The float graph.
        sources: Outputs of Mul nodes by a constant per channel that may be given any factors.

    Attributes:
        arrays: Classes by tensor, as wide as the tensor along the axes on which they differ and 1
            along the others; resolve them by `of`.
        reads: Nodes with weights by the name of their first output.
    """

    def __init__(self, graph: Graph, sources: Tuple[str, ...] = ()) -> None:
        self.graph = graph
        self.arrays: Dict[str, np.ndarray] = {}
        self.reads: Dict[str, Weighted] = {i.node.output[0]: i for i in weighted(graph)}
        self._parent: List[int] = [FIXED]
        self._sources = set(sources)
        uses: Dict[str, int] = {}
        for item in self.reads.values():
            uses[item.weight] = uses.get(item.weight, 0) + 1
        self._shared = {w for w, n in uses.items() if n > 1}
        for name in graph.inputs:
            self._plain(name)
        for node in graph.nodes:
            self._visit(node)
        for name in graph.outputs:
            self._fix(name)

    def of(self, tensor: str, axis: int = 1) -> Optional[np.ndarray]:
        """Classes along an axis, `(c,)`; None if they differ along another or are unknown."""
        array = self.arrays.get(tensor)
        shape = self.graph.shape(tensor)
        if array is None or shape is None or len(shape) != array.ndim or array.ndim <= axis:
            return None
        if any(n != 1 for i, n in enumerate(array.shape) if i != axis):
            return None
        width = shape[axis]
        if width is None:
            return None
        flat = np.broadcast_to(array.reshape(-1), (width,))
        return self._roots(flat)

    @property
    def count(self) -> int:
        """One more than the largest class."""
        return len(self._parent)

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def _roots(self, array: np.ndarray) -> np.ndarray:
        values, where = np.unique(array, return_inverse=True)
        roots = np.array([self._root(int(v)) for v in values], np.int64)
        return roots[where.reshape(-1)].reshape(array.shape)

    def _tie(self, first: np.ndarray, second: np.ndarray) -> None:
        one, two = np.broadcast_arrays(first, second)
        for a, b in set(zip(one.reshape(-1).tolist(), two.reshape(-1).tolist())):
            a, b = self._root(a), self._root(b)
            if a != b:
                self._parent[max(a, b)] = min(a, b)  # so that class 0 stays a root

    def _fix(self, tensor: str) -> None:
        array = self.arrays.get(tensor)
        if array is not None:
            self._tie(array, np.zeros((), np.int64))

    def _new(self, tensor: str, axis: int) -> None:
        shape = self.graph.shape(tensor)
        width = shape[axis] if shape is not None and len(shape) > axis else None
        if shape is None or width is None:
            self._plain(tensor)
            return
        first = len(self._parent)
        self._parent.extend(range(first, first + width))
        form = [1] * len(shape)
        form[axis] = width
        self.arrays[tensor] = np.arange(first, first + width, dtype=np.int64).reshape(form)

    def _plain(self, tensor: str) -> None:
        shape = self.graph.shape(tensor)
        self.arrays[tensor] = np.zeros([1] * len(shape or ()), np.int64)

    def _get(self, tensor: str) -> np.ndarray:
        if tensor not in self.arrays:
            self._plain(tensor)
        return self.arrays[tensor]

    def _full(self, tensor: str) -> Optional[np.ndarray]:
        """Classes as wide as the tensor along every axis."""
        shape = self.graph.shape(tensor)
        array = self._get(tensor)
        if shape is None or array.ndim != len(shape) or any(n is None for n in shape[1:]):
            return None
        return np.broadcast_to(array, [n or 1 for n in shape])

    def _visit(self, node: Any) -> None:
        output = node.output[0]
        item = self.reads.get(output)
        if output in self._sources:
            if self.of(node.input[0]) is None:
                self._fix(node.input[0])
            self._new(output, 1)
        elif item is not None:
            self._weights(item)
        elif self._moved(node) or self._passed(node):
            return
        else:
            for name in node.input:
                self._fix(name)
            for name in node.output:
                if name:
                    self._plain(name)

    def _weights(self, item: Weighted) -> None:
        """A node with weights ends the classes that it reads and begins new ones."""
        node, weight = item.node, self.graph.constant(item.weight)
        assert weight is not None
        axis = 1 if node.op_type.startswith("Conv") else self._get(item.data).ndim - 1
        groups = int(self.graph.attribute(node, "group", 1))
        odd = item.weight in self._shared or (node.op_type == "ConvTranspose" and groups > 1)
        bias = node.input[2] if len(node.input) > 2 else ""
        if bias and node.op_type != "MatMul":
            value = self.graph.constant(bias)
            odd = odd or value is None or len(self.graph.consumers(bias)) > 1
            odd = odd or (node.op_type == "Gemm" and self.graph.attribute(node, "beta", 1.0) != 1.0)
            odd = odd or (value is not None and value.ndim != 1)
        if odd or self.of(item.data, axis) is None:
            self._fix(item.data)
        if odd:
            self._plain(node.output[0])
        else:
            shape = self.graph.shape(node.output[0])
            self._new(node.output[0], 1 if axis == 1 else len(shape or (0, 0)) - 1)

    def _passed(self, node: Any) -> bool:
        """Pass classes on through what is homogeneous."""
        kind, output = node.op_type, node.output[0]
        constants = [self.graph.constant(i) is not None for i in node.input]
        if kind in HOMOGENEOUS:
            if any(o for o in node.output[1:]):
                return False
            array = self._get(node.input[0])
            if array.ndim > 2 and any(n != 1 for n in array.shape[2:]):
                return False
            self.arrays[output] = array
            return True
        if kind == "Pad":
            array = self._get(node.input[0])
            value = self.graph.constant(node.input[2]) if len(node.input) > 2 else np.zeros(1)
            pads = self.graph.constant(node.input[1]) if len(node.input) > 1 else None
            if pads is None or value is None or np.any(value) or len(node.input) > 3:
                return False
            kept = pads.reshape(2, -1)[:, :2]
            if np.any(kept) or any(n != 1 for n in array.shape[2:]):
                return False
            self.arrays[output] = array
            return True
        if kind == "ReduceMean":
            array = self._get(node.input[0])
            axes = self.graph.attribute(node, "axes")
            if axes is None and len(node.input) > 1:
                given = self.graph.constant(node.input[1])
                axes = None if given is None else given.tolist()
            if axes is None or not self.graph.attribute(node, "keepdims", 1):
                return False
            if any(array.shape[a] != 1 or a % array.ndim < 2 for a in axes):
                return False
            self.arrays[output] = array
            return True
        if kind in ("Mul", "Div") and any(constants):
            own = 1 if constants[0] else 0
            if kind == "Div" and own == 1:
                return False
            return self._same(node.input[own], output)
        if kind == "Mul" and len(node.input) == 2:
            arrays = [self._get(i) for i in node.input]
            for own, gate in ((0, 1), (1, 0)):
                if not np.any(self._roots(arrays[gate])):
                    return self._same(node.input[own], output)
            return False
        if kind in ("Add", "Sub", "Sum") and not any(constants) and len(node.input) == 2:
            shapes = [self.graph.shape(i) for i in node.input]
            if shapes[0] is None or shapes[0] != shapes[1]:
                return False
            arrays = [self._get(i) for i in node.input]
            self._tie(*arrays)
            wide = np.broadcast_shapes(arrays[0].shape, arrays[1].shape)
            self.arrays[output] = np.broadcast_to(arrays[0], wide)
            return True
        return False

    def _same(self, source: str, output: str) -> bool:
        array, shape = self._get(source), self.graph.shape(output)
        if shape is None or array.ndim != len(shape):
            return False
        self.arrays[output] = array
        return True

    def _moved(self, node: Any) -> bool:
        """Carry classes around as the node carries numbers."""
        if node.op_type == "Concat":
            return self._joined(node)
        if node.op_type not in MOVES:
            return False
        full = self._full(node.input[0])
        shapes = [self.graph.shape(o) for o in node.output]
        if full is None or any(s is None or any(n is None for n in s[1:]) for s in shapes):
            return False
        sizes = [[n or 1 for n in s] for s in shapes if s is not None]
        results = self._carry(node, full, sizes)
        if results is None or any(list(r.shape) != s for r, s in zip(results, sizes)):
            return False
        for name, result in zip(node.output, results):
            self.arrays[name] = _narrow(result)
        return True

    def _carry(
        self, node: Any, full: np.ndarray, sizes: List[List[int]]
    ) -> Optional[List[np.ndarray]]:
        kind = node.op_type
        attribute = self.graph.attribute
        if kind in ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"):
            if full.size != int(np.prod(sizes[0])):
                return None
            return [full.reshape(sizes[0])]
        if kind == "Transpose":
            return [full.transpose(attribute(node, "perm", range(full.ndim)[::-1]))]
        if kind == "Split":
            axis = attribute(node, "axis", 0)
            ends = np.cumsum([s[axis] for s in sizes])
            return np.split(full, ends[:-1], axis=axis)
        if kind == "Gather":
            index = self.graph.constant(node.input[1])
            return None if index is None else [full.take(index, axis=attribute(node, "axis", 0))]
        if kind == "Slice":
            values = [self.graph.constant(i) if i else None for i in node.input[1:]]
            if any(v is None for v, i in zip(values, node.input[1:]) if i) or len(values) < 2:
                return None
            starts, ends = (np.asarray(v).tolist() for v in values[:2])
            axes = np.asarray(values[2]).tolist() if len(values) > 2 and node.input[3] else None
            steps = np.asarray(values[3]).tolist() if len(values) > 3 and node.input[4] else None
            cut: List[Any] = [slice(None)] * full.ndim
            for place, (start, end) in enumerate(zip(starts, ends)):
                axis, step = (axes or range(full.ndim))[place], (steps or [1] * full.ndim)[place]
                stop = None if step < 0 and end < -full.shape[axis] else end
                cut[axis] = slice(start, stop, step)
            return [full[tuple(cut)]]
        return None

    def _joined(self, node: Any) -> bool:
        axis = int(self.graph.attribute(node, "axis", 0))
        arrays = []
        for name in node.input:
            array, shape = self._get(name), self.graph.shape(name)
            if shape is None or array.ndim != len(shape) or shape[axis] is None:
                return False
            form = list(array.shape)
            form[axis] = shape[axis] or 1
            arrays.append(np.broadcast_to(array, form))
        wide = [max(a.shape[i] for a in arrays) for i in range(arrays[0].ndim)]
        parts = []
        for array in arrays:
            form = list(wide)
            form[axis] = array.shape[axis]
            parts.append(np.broadcast_to(array, form))
        self.arrays[node.output[0]] = _narrow(np.concatenate(parts, axis=axis))
        return True


def _narrow(array: np.ndarray) -> np.ndarray:
    """Drop to width 1 the axes along which nothing differs."""
    for axis in range(array.ndim):
        first = array.take([0], axis=axis)
        if array.shape[axis] > 1 and np.array_equal(np.broadcast_to(first, array.shape), array):
            array = first
    return array
