"""Protobuf's encoding, as far as ONNX files need it: fields, whole numbers and texts.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from typing import Any, Iterator, Tuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""How a field is written, the last three bits of its tag."""


def fields(data: Any, position: int, end: int) -> Iterator[Tuple[int, Any]]:
    """Number and value of each field of a message.

    Args:
        data: Bytes, a memoryview or a map of a file.
        position: Where the message begins in it.
        end: Where it ends.

    Returns:
        Of what is a whole number that number, unsigned; of what has a length its start and end in
        `data`. Fields of a fixed size are passed over.

    Raises:
        ValueError: It is damaged.
    """
    while position < end:
        tag, position = varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, position = varint(data, position)
            yield number, value
        elif kind == LENGTH:
            size, position = varint(data, position)
            if position + size > end:
                raise ValueError("a field is longer than what holds it")
            yield number, (position, position + size)
            position += size
        elif kind in (FIXED64, FIXED32):
            position += 8 if kind == FIXED64 else 4
        else:
            raise ValueError("no field begins like this")
    if position > end:
        raise ValueError("a field is longer than what holds it")


def varint(data: Any, position: int) -> Tuple[int, int]:
    """The whole number at a position, and the position after it.

    Raises:
        ValueError: It does not end.
    """
    value = shift = 0
    try:
        while shift <= 63:
            byte = data[position]
            value |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                return value, position
            shift += 7
    except IndexError:
        pass
    raise ValueError("a number does not end")


def text(data: Any, span: Tuple[int, int]) -> str:
    """The text between start and end; what is no UTF-8 is replaced."""
    return bytes(data[span[0] : span[1]]).decode("utf-8", "replace")


def write_field(number: int, content: bytes) -> bytes:
    """A field that has a length: a text, a message or packed numbers."""
    return write_number(number << 3 | LENGTH) + write_number(len(content)) + content


def write_whole_number(number: int, value: int) -> bytes:
    """A field that is a whole number of 64 bits."""
    return write_number(number << 3 | VARINT) + write_number(value & (1 << 64) - 1)


def write_number(value: int) -> bytes:
    """A whole number from 0 on as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
