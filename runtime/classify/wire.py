"""An ONNX's nodes and small tensors, read and written without the onnx package.

A device that runs a classifier need not have onnx. The file is walked field by field, and weights
are passed over. What is added is appended as a further graph: a protobuf message that stands there
twice is one message with the fields of both, in order. Source: onnx.proto3 and the protobuf
encoding.
"""

import struct
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..protobuf import fields, text, varint, write_field, write_whole_number

FLOAT, INT64, FLOAT16 = 1, 7, 10


class Node(NamedTuple):
    """A node: its operator, names of what it takes and gives, and its whole-number attributes."""

    operator: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    numbers: Dict[str, Tuple[int, ...]]


class Tensor(NamedTuple):
    """A constant of the graph: its shape, and its values where it is a short list of int64."""

    shape: Tuple[int, ...]
    values: Optional[Tuple[int, ...]] = None
    external: bool = False


class Graph(NamedTuple):
    """What is read of a file.

    Attributes:
        nodes: In the graph's order.
        constants: By name.
        outputs: Names, with rank and element type where the file tells them.
    """

    nodes: Tuple[Node, ...]
    constants: Dict[str, Tensor]
    outputs: Dict[str, Tuple[Optional[int], int]]


def read(data: Any) -> Graph:
    """Read a serialised `ModelProto`.

    Raises:
        ValueError: It is damaged.
    """
    try:
        return _graph(memoryview(data))
    except (TypeError, struct.error):  # a number stands where a message must, or a half one
        raise ValueError("a field is not of its kind") from None


def _graph(view: memoryview) -> Graph:
    nodes: List[Node] = []
    constants: Dict[str, Tensor] = {}
    outputs: Dict[str, Tuple[Optional[int], int]] = {}
    for number, value in fields(view, 0, len(view)):
        if number != 7:
            continue
        for part, span in fields(view, *value):
            if part == 1:
                node, constant = _node(view, *span)
                if constant is not None:
                    constants[node.outputs[0]] = constant
                nodes.append(node)
            elif part == 5:
                name, tensor = _tensor(view, *span)
                constants[name] = tensor
            elif part == 12:
                name, rank, kind = _value(view, *span)
                outputs[name] = (rank, kind)
    return Graph(tuple(nodes), constants, outputs)


def _node(view: memoryview, start: int, end: int) -> Tuple[Node, Optional[Tensor]]:
    """NodeProto: input 1, output 2, op_type 4, attribute 5, domain 7."""
    inputs: List[str] = []
    outputs: List[str] = []
    operator = domain = ""
    numbers: Dict[str, Tuple[int, ...]] = {}
    constant = None
    for number, value in fields(view, start, end):
        if number == 1:
            inputs.append(text(view, value))
        elif number == 2:
            outputs.append(text(view, value))
        elif number == 4:
            operator = text(view, value)
        elif number == 5:
            name, found, tensor = _attribute(view, *value)
            numbers[name] = found
            constant = tensor or constant
        elif number == 7:
            domain = text(view, value)
    if domain not in ("", "ai.onnx"):
        operator = f"{domain}::{operator}"
    node = Node(operator, tuple(inputs), tuple(outputs), numbers)
    return node, constant if operator == "Constant" and outputs else None


def _attribute(view: memoryview, start: int, end: int):
    """AttributeProto: name 1, i 3, t 5, ints 8."""
    name, found, tensor = "", [], None
    for number, value in fields(view, start, end):
        if number == 1:
            name = text(view, value)
        elif number == 3:
            found = [_signed(value)]
        elif number == 5:
            tensor = _tensor(view, *value)[1]
        elif number == 8:
            found += _packed(view, value)
    return name, tuple(found), tensor


def _tensor(view: memoryview, start: int, end: int) -> Tuple[str, Tensor]:
    """TensorProto: dims 1, data_type 2, int64_data 7, name 8, raw_data 9, data_location 14."""
    name, kind, shape, external = "", 0, [], False
    values: List[int] = []
    raw: Optional[Tuple[int, int]] = None
    for number, value in fields(view, start, end):
        if number == 1:
            shape += _packed(view, value)
        elif number == 2:
            kind = value
        elif number == 7:
            values += _packed(view, value)
        elif number == 8:
            name = text(view, value)
        elif number == 9:
            raw = value
        elif number == 14:
            external = value == 1
    if kind == INT64 and raw is not None and raw[1] - raw[0] <= 512:
        values = list(struct.unpack(f"<{(raw[1] - raw[0]) // 8}q", view[raw[0] : raw[1]]))
    return name, Tensor(tuple(shape), tuple(values) if values else None, external)


def _value(view: memoryview, start: int, end: int) -> Tuple[str, Optional[int], int]:
    """ValueInfoProto: name 1, type 2 > tensor_type 1 > elem_type 1, shape 2 > dim 1."""
    name, kind, rank = "", FLOAT, None
    for number, value in fields(view, start, end):
        if number == 1:
            name = text(view, value)
        elif number == 2:
            for which, tensor in fields(view, *value):
                if which != 1:
                    continue
                for part, inner in fields(view, *tensor):
                    if part == 1:
                        kind = inner
                    elif part == 2:
                        rank = sum(1 for _ in fields(view, *inner))
    return name, rank, kind


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _packed(view: memoryview, value: Any) -> List[int]:
    """Whole numbers, packed into one field or one a field."""
    if isinstance(value, int):
        return [_signed(value)]
    position, end = value
    found = []
    while position < end:
        number, position = varint(view, position)
        found.append(_signed(number))
    return found


def addition(
    nodes: Sequence[Node],
    constants: Dict[str, Sequence[int]],
    output: str,
    rank: int,
    kind: int = FLOAT,
) -> bytes:
    """Bytes that add nodes, lists of int64 and one output to the ONNX that they are appended to.

    Args:
        nodes: Each of one output, with attributes that are lists of numbers or, by the names
            `to`, `group` and `allowzero`, single ones.
        constants: By name.
        output: Name of the output.
        rank: Of it; the axes are left open.
        kind: Its element type.
    """
    body = b"".join(write_field(1, _write_node(node)) for node in nodes)
    for name, values in constants.items():
        raw = struct.pack(f"<{len(values)}q", *values)
        tensor = (
            write_whole_number(1, len(values))
            + write_whole_number(2, INT64)
            + write_field(8, name.encode())
        )
        body += write_field(5, tensor + write_field(9, raw))
    axes = b"".join(write_field(1, write_field(2, f"{output}_{i}".encode())) for i in range(rank))
    told = write_field(2, write_field(1, write_whole_number(1, kind) + write_field(2, axes)))
    return write_field(7, body + write_field(12, write_field(1, output.encode()) + told))


def _write_node(node: Node) -> bytes:
    body = b"".join(write_field(1, name.encode()) for name in node.inputs)
    body += b"".join(write_field(2, name.encode()) for name in node.outputs)
    body += write_field(3, node.outputs[0].encode()) + write_field(4, node.operator.encode())
    for name, values in node.numbers.items():
        if name in ("to", "group", "allowzero"):
            found = write_whole_number(3, values[0]) + write_whole_number(20, 2)
        else:
            found = b"".join(write_whole_number(8, v) for v in values) + write_whole_number(20, 7)
        body += write_field(5, write_field(1, name.encode()) + found)
    return body
