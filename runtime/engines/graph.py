"""What a planner needs to know of an ONNX graph, read without the onnx package.

A Jetson that builds engines need not have onnx. The file is walked field by field (onnx.proto3 and
the protobuf encoding); weights are passed over, so that a graph of gigabytes takes no memory.
"""

import hashlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Set, Tuple, Union

from ...core import ModelCard, ModelError
from ...core.card import METADATA_KEY
from ..onnx_metadata import read_metadata
from ..protobuf import fields, text

PathLike = Union[str, "os.PathLike[str]"]

_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    16: "bfloat16",
}  # fmt: skip
_CONTROL_FLOW = ("If", "Loop", "Scan")


@dataclass(frozen=True)
class GraphInput:
    """An input of a graph.

    Attributes:
        name: Its name.
        shape: One entry an axis; None where it is open.
        dtype: numpy's word for its type.
    """

    name: str
    shape: Tuple[Optional[int], ...]
    dtype: str


@dataclass(frozen=True)
class GraphFacts:
    """What is known of an ONNX file.

    Attributes:
        path: The file.
        sha256: Of the file and of its external weights.
        size: Of the file and of its external weights, in bytes.
        opset: Version of the standard operators.
        inputs: What has to be fed.
        outputs: Names of the outputs.
        operators: Names of the operators it uses, those of other domains as `domain::name`.
        tensors: Names of all activations: inputs and what any node gives.
        quantized: Whether it holds Q/DQ.
        half: Whether it computes in FP16 by itself.
        nodes: Name and operator of each node, in the graph's order.
        float_nodes: Names of nodes that compute in FP32 although the graph is in FP16.
        float_tensors: What those nodes give, and those without a name.
        control_flow: Names of operators of control flow in it.
        external: Names of files that hold its weights.
        card: Its card, or None.
    """

    path: str
    sha256: str
    size: int
    opset: int
    inputs: Tuple[GraphInput, ...]
    outputs: Tuple[str, ...]
    operators: Tuple[str, ...]
    tensors: "frozenset[str]"
    quantized: bool
    half: bool
    nodes: Tuple[Tuple[str, str], ...] = ()
    float_nodes: Tuple[str, ...] = ()
    float_tensors: Tuple[str, ...] = ()
    control_flow: Tuple[str, ...] = ()
    external: Tuple[str, ...] = ()
    card: Optional[ModelCard] = None


def read_graph(path: PathLike) -> GraphFacts:
    """Read what a planner needs of an ONNX file.

    Raises:
        ModelError: The file is missing, cut off, no ONNX, or lacks the weights beside it.
    """
    name = os.fspath(path)
    note = read_metadata(name).get(METADATA_KEY)  # tells what is missing, cut off or no ONNX
    card = ModelCard.from_json(note) if note else None
    with open(name, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(memoryview(data))
        try:
            reader.model()
        except (ValueError, TypeError):  # the latter where a number stands for a message
            raise ModelError(
                f"model {name} is damaged", remedy="download or export it again"
            ) from None
        finally:
            reader.data.release()
    if not reader.nodes:
        raise ModelError(f"model {name} holds no operators", remedy="export it again")
    external = tuple(sorted(reader.external))
    digest, size = _digest(name, external)
    # Weights of older files stand among the inputs, too.
    inputs = tuple(i for i in reader.inputs if i.name not in reader.weights)
    operators = tuple(sorted(reader.operators))
    float_nodes = _float_nodes(reader)
    half = reader.half or any(i.dtype == "float16" for i in inputs)
    return GraphFacts(
        path=name,
        sha256=digest,
        size=size,
        opset=reader.opset,
        inputs=inputs,
        outputs=tuple(reader.outputs),
        operators=operators,
        tensors=frozenset(reader.tensors | {i.name for i in inputs}),
        quantized="QuantizeLinear" in operators or "DequantizeLinear" in operators,
        half=half,
        nodes=tuple((node.name, node.operator) for node in reader.nodes),
        float_nodes=tuple(n.name for n in float_nodes if n.name) if half else (),
        float_tensors=tuple(o for n in float_nodes for o in n.outputs if o) if half else (),
        control_flow=tuple(op for op in operators if op in _CONTROL_FLOW),
        external=external,
        card=card,
    )


def _digest(path: str, external: Tuple[str, ...]) -> Tuple[str, int]:
    """Hash and size of the file with what belongs to it."""
    digest, size = hashlib.sha256(), 0
    for name in (path, *(str(Path(path).parent / e) for e in external)):
        try:
            with open(name, "rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    digest.update(block)
                    size += len(block)
        except OSError as error:
            raise ModelError(
                f"the weights of model {path} are missing",
                got=f"{name}: {error.strerror}",
                remedy="copy the files of weights beside it",
            ) from None
    return digest.hexdigest(), size


class _Node:
    """A node of the graph itself, not of a branch within it."""

    __slots__ = ("name", "operator", "inputs", "outputs", "dtype")

    def __init__(self) -> None:
        self.name = self.operator = ""
        self.inputs: List[str] = []
        self.outputs: List[str] = []
        self.dtype: Optional[str] = None  # of a Cast or a Constant


_FLOATS = ("float16", "float32", "float64", "bfloat16")
_WHOLE = {"Shape": "int64", "Size": "int64", "ArgMax": "int64", "ArgMin": "int64"}


def _float_nodes(reader: "_Reader") -> List[_Node]:
    """Nodes between casts to FP32 and back, by following the types through the graph.

    The type of what a node gives is that of its first floating input, which holds for all
    operators of detectors; what is unknown is not told.
    """
    types = {i.name: i.dtype for i in reader.inputs}
    types.update(reader.weights)
    found = []
    for node in reader.nodes:
        given = [types[name] for name in node.inputs if types.get(name) in _FLOATS]
        dtype = node.dtype or _WHOLE.get(node.operator) or (given[0] if given else "unknown")
        if node.operator == "QuantizeLinear":
            dtype = "int8"
        for name in node.outputs:
            types[name] = dtype
        computes = node.operator not in ("Cast", "Constant", "DequantizeLinear", "Identity")
        if computes and dtype == "float32":
            found.append(node)
    return found


class _Reader:
    """Walks a serialised `ModelProto`.

    Field numbers: ModelProto graph 7, opset_import 8; GraphProto node 1, initializer 5, input 11,
    output 12; NodeProto input 1, output 2, name 3, op_type 4, attribute 5, domain 7; TensorProto
    data_type 2, name 8, external_data 13, data_location 14; ValueInfoProto name 1, type 2.
    """

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.opset = 0
        self.nodes: List[_Node] = []
        self.half = False
        self.inputs: List[GraphInput] = []
        self.outputs: List[str] = []
        self.operators: Set[str] = set()
        self.tensors: Set[str] = set()
        self.weights: Dict[str, str] = {}
        self.external: Set[str] = set()

    def model(self) -> None:
        for number, value in fields(self.data, 0, len(self.data)):
            if number == 7:
                self._graph(*value, top=True)
            elif number == 8:
                found: Dict[int, Any] = dict(fields(self.data, *value))
                domain = text(self.data, found[1]) if 1 in found else ""
                if domain in ("", "ai.onnx"):
                    self.opset = found.get(2, 0)

    def _graph(self, start: int, end: int, top: bool) -> None:
        for number, value in fields(self.data, start, end):
            if number == 1:
                node = self._node(*value)
                if top:
                    self.nodes.append(node)
            elif number == 5:
                self._tensor(*value)
            elif number == 11 and top:
                self.inputs.append(self._value(*value))
            elif number == 12 and top:
                self.outputs.append(self._value(*value).name)

    def _node(self, start: int, end: int) -> _Node:
        node, domain = _Node(), ""
        attributes = []
        for number, value in fields(self.data, start, end):
            if number == 1:
                node.inputs.append(text(self.data, value))
            elif number == 2:
                node.outputs.append(text(self.data, value))
            elif number == 3:
                node.name = text(self.data, value)
            elif number == 4:
                node.operator = text(self.data, value)
            elif number == 5:
                attributes.append(value)
            elif number == 7:
                domain = text(self.data, value)
        self.tensors.update(name for name in node.outputs if name)
        if domain not in ("", "ai.onnx"):
            node.operator = f"{domain}::{node.operator}"
        self.operators.add(node.operator)
        for attribute in attributes:
            self._attribute(node, *attribute)
        return node

    def _attribute(self, node: _Node, start: int, end: int) -> None:
        """AttributeProto: name 1, i 3, t 5, g 6, graphs 11."""
        name, integer = "", 0
        for number, value in fields(self.data, start, end):
            if number == 1:
                name = text(self.data, value)
            elif number == 3:
                integer = value
            elif number == 5:
                node.dtype = self._tensor(*value, named=False)
            elif number in (6, 11):
                self._graph(*value, top=False)
        if node.operator == "Cast" and name == "to":
            node.dtype = _TYPES.get(integer, "unknown")
            self.half = self.half or node.dtype == "float16"

    def _tensor(self, start: int, end: int, named: bool = True) -> str:
        """Note a weight; gives its type."""
        external = False
        name, location, dtype = "", None, "unknown"
        for number, value in fields(self.data, start, end):
            if number == 2:
                dtype = _TYPES.get(value, "unknown")
            elif number == 8:
                name = text(self.data, value)
            elif number == 13:
                entry: Dict[int, Any] = dict(fields(self.data, *value))
                if 1 in entry and 2 in entry and text(self.data, entry[1]) == "location":
                    location = text(self.data, entry[2])
            elif number == 14 and value == 1:
                external = True
        self.half = self.half or dtype == "float16"
        if named:
            self.weights[name] = dtype
        if external and location:
            self.external.add(location)
        return dtype

    def _value(self, start: int, end: int) -> GraphInput:
        """ValueInfoProto > TypeProto.tensor_type 1 > elem_type 1, shape 2 > dim 1 > value 1."""
        name, dtype = "", "unknown"
        shape: List[Optional[int]] = []
        for number, value in fields(self.data, start, end):
            if number == 1:
                name = text(self.data, value)
            elif number == 2:
                for kind, tensor in fields(self.data, *value):
                    if kind != 1:
                        continue
                    for part, inner in fields(self.data, *tensor):
                        if part == 1:
                            dtype = _TYPES.get(inner, "unknown")
                        elif part == 2:
                            for _, axis in fields(self.data, *inner):
                                size = dict(fields(self.data, *axis)).get(1)
                                shape.append(size if isinstance(size, int) and size > 0 else None)
        return GraphInput(name, tuple(shape), dtype)
