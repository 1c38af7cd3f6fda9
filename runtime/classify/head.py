"""The end of a classifier's graph: what makes its scores, and of which features they are made.

A class-activation map (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization")
exists where the features are averaged over the picture and the scores are one linear map of the
average: the same linear map of the features before they are averaged tells where a class is seen,
and its average over the picture is the class's score.
"""

from typing import Dict, NamedTuple, Optional, Tuple

from .wire import Graph, Node

ENDS = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "sigmoid",
    "LogSoftmax": "log-softmax",
}
SAME = (
    "Identity", "Cast", "Flatten", "Reshape", "Squeeze", "Dropout", "QuantizeLinear",
    "DequantizeLinear",
)  # fmt: skip
"""Operators that leave the numbers what they are."""


class Head(NamedTuple):
    """How the scores come from features.

    Attributes:
        features: Name of the tensor `(n, channels, h, w)` that is averaged over the picture.
        weight: Name of the linear map's weight; None where the features are the scores' map.
        transposed: Whether the weight is `(channels, classes)`.
        convolution: Whether it is a 1×1 convolution's.
    """

    features: str
    weight: Optional[str] = None
    transposed: bool = False
    convolution: bool = False


class _Walk:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers: Dict[str, Node] = {o: n for n in graph.nodes for o in n.outputs}

    def maker(self, name: str) -> Tuple[Optional[Node], str]:
        """The node that makes a tensor, behind those that leave it as it is; and its name there."""
        for _ in range(32):
            node = self.makers.get(name)
            if node is None or node.operator not in SAME or not node.inputs:
                return node, name
            name = node.inputs[0]
        return None, name

    def constant(self, name: str) -> bool:
        """Whether nothing of the picture is in a tensor."""
        node, name = self.maker(name)
        if node is None or name in self.graph.constants:
            return name in self.graph.constants
        return bool(node.inputs) and all(self.constant(i) for i in node.inputs if i)


def ending(graph: Graph, output: str) -> Optional[str]:
    """What an output's last operator makes of the scores: `softmax`, `sigmoid`, `log-softmax`,
    or `logits` where it is none of these; None where nothing in the graph makes it."""
    node, _ = _Walk(graph).maker(output)
    return None if node is None else ENDS.get(node.operator, "logits")


def find_head(graph: Graph, output: str) -> Tuple[Optional[Head], str]:
    """Where in a graph a class-activation map can be had.

    Returns:
        The head, and an empty reason; or None and why there is none.
    """
    walk = _Walk(graph)
    node, name = walk.maker(output)
    if node is not None and node.operator in ENDS:
        node, name = walk.maker(node.inputs[0])
    if node is not None and node.operator in ("Add", "Mul") and len(node.inputs) == 2:
        bias = [walk.constant(i) for i in node.inputs]
        if node.operator == "Add" and sum(bias) == 1:
            node, name = walk.maker(node.inputs[bias.index(False)])
    if node is None:
        return None, f"nothing in the graph makes {name!r}"
    features = _averaged(walk, node)
    if features is not None:
        return Head(features), ""
    head = _linear(walk, node)
    if head is None:
        return None, f"its scores are made by {node.operator}, which is no linear map"
    inner, inner_name = walk.maker(node.inputs[0])
    features = None if inner is None else _averaged(walk, inner)
    if features is None:
        made = f"by {inner.operator}" if inner is not None else f"of {inner_name!r}"
        return None, f"what its scores are made of is no average over the picture, but made {made}"
    return head._replace(features=features), ""


def _averaged(walk: _Walk, node: Node) -> Optional[str]:
    """The tensor of which a node takes the average over height and width, or None."""
    if node.operator in ("GlobalAveragePool", "AveragePool"):
        return node.inputs[0]  # of the second kind is tried out whether it covers the picture
    if node.operator == "ReduceMean":
        source = node.inputs[0]
        axes: Tuple[int, ...] = node.numbers.get("axes", ())
        if len(node.inputs) > 1:
            constant = walk.graph.constants.get(node.inputs[1])
            axes = constant.values or () if constant is not None else ()
        if sorted(a % 4 for a in axes) == [2, 3]:
            return source
        if tuple(axes) in ((2,), (-1,), (-2,)):  # one axis after the other
            before, _ = walk.maker(source)
            if before is not None and before.operator == "ReduceMean":
                inner = before.numbers.get("axes", ())
                if tuple(inner) in ((3,), (-1,)):
                    return before.inputs[0]
    return None


def _linear(walk: _Walk, node: Node) -> Optional[Head]:
    if len(node.inputs) < 2 or not walk.constant(node.inputs[1]):
        return None
    weight = node.inputs[1]
    if node.operator == "Gemm":
        if node.numbers.get("transA", (0,)) != (0,):
            return None
        return Head("", weight, node.numbers.get("transB", (0,)) == (0,))
    if node.operator == "MatMul":
        return Head("", weight, True)
    if node.operator == "Conv":
        _, name = walk.maker(weight)
        constant = walk.graph.constants.get(name)
        one = constant is not None and constant.shape[2:] == (1, 1)
        if one and node.numbers.get("group", (1,)) in ((1,), ()):
            return Head("", weight, convolution=True)
    return None
