"""The notes inside an ONNX file, read and written without the onnx package.

An ONNX file is one serialised `ModelProto`. Its `metadata_props` are field 14, each a message of
a key (field 1) and a value (field 2), and fields of a protobuf message may stand in any order: a
note is added by appending one, and the graph is neither parsed nor held in memory. Source:
onnx.proto3 and the protobuf encoding.
"""

import os
import shutil
from pathlib import Path
from typing import IO, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..core import ModelError
from .files import whole_file
from .protobuf import FIXED32, FIXED64, LENGTH, VARINT, fields, text, varint, write_field

PathLike = Union[str, "os.PathLike[str]"]

_GRAPH = 7
_METADATA = 14
_TEXT_LIMIT = 64 << 20  # no note is longer; a larger one is a sign of a broken file


class _Field(NamedTuple):
    """A top-level field: its number, and where it, its content and its end lie in the file."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def read_metadata(path: PathLike) -> Dict[str, str]:
    """What an ONNX file says about itself: its `metadata_props`.

    Args:
        path: The file. Only the headers of its top-level fields are read, so size does not matter.

    Returns:
        Values by key; of a key that stands there twice the last.

    Raises:
        ModelError: The file does not exist, cannot be read, is cut off or is no ONNX.
    """
    with _open(path) as file:
        notes = (_note(file, f) for f in _fields(file, path) if _is_note(f))
        return dict(notes)


def check_onnx(path: PathLike) -> None:
    """Make sure that a file is one whole ONNX, as far as its outer structure tells.

    Raises:
        ModelError: As in `read_metadata`.
    """
    read_metadata(path)


def write_metadata(path: PathLike, values: Mapping[str, Optional[str]]) -> None:
    """Set notes in an ONNX file, in one step: readers see the old file or the new one.

    Everything else in the file stays as it is, byte for byte.

    Args:
        path: The file; a link is followed.
        values: Value by key; None takes the key out. Other keys stay.

    Raises:
        ModelError: As in `read_metadata`.
        StorageError: The folder cannot be written or the disk is full; the old file stays.
    """
    target = Path(os.path.realpath(os.fspath(path)))
    with _open(target) as file:
        kept, found = _without(file, path, values)
        wanted = {key: value for key, value in values.items() if value is not None}
        if found == sorted(wanted.items()):
            return
        with whole_file(target, "make its folder writable or free some space") as out:
            for start, end in kept:
                _copy(file, out, start, end)
            for key, value in wanted.items():
                out.write(_encode(key, value))
            shutil.copymode(target, out.name)


def _open(path: PathLike) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise ModelError(f"model {path} does not exist") from None
    except OSError as error:
        raise ModelError(f"model {path} cannot be read", got=error.strerror) from None


def _without(
    file: IO[bytes], path: PathLike, values: Mapping[str, Optional[str]]
) -> Tuple[List[Tuple[int, int]], List[Tuple[str, str]]]:
    """Stretches of the file without the notes of these keys, and those notes, sorted."""
    kept: List[Tuple[int, int]] = []
    found: List[Tuple[str, str]] = []
    for field in _fields(file, path):
        if _is_note(field):
            key, value = _note(file, field)
            if key in values:
                found.append((key, value))
                continue
        if kept and kept[-1][1] == field.start:
            kept[-1] = (kept[-1][0], field.end)
        else:
            kept.append((field.start, field.end))
    return kept, sorted(found)


def _fields(file: IO[bytes], path: PathLike) -> Iterator[_Field]:
    """The top-level fields, in order.

    Raises:
        ModelError: The bytes are no ONNX, or end in the middle of a field.
    """
    size = file.seek(0, os.SEEK_END)
    position = 0
    graph = False
    while position < size:
        start = position
        file.seek(position)
        try:
            head = file.read(20)  # a tag and a length take ten bytes each at most
            tag, used = varint(head, 0)
            number, kind = tag >> 3, tag & 7
            if kind == VARINT:
                content = position + used
                used = varint(head, used)[1]
                position = start + used
            elif kind == LENGTH:
                length, used = varint(head, used)
                content = start + used
                position = content + length
            elif kind in (FIXED64, FIXED32):
                content = start + used
                position = content + (8 if kind == FIXED64 else 4)
            else:
                raise ValueError("no field begins like this")
            if not 0 < number < 1 << 29:
                raise ValueError("no field has this number")
        except ValueError as reason:
            raise _no_onnx(path, f"{reason}, at byte {start:,}") from None
        if position > size:
            if start == 0:
                raise _no_onnx(path, "its first field would be longer than the file")
            raise ModelError(
                f"model {path} is cut off",
                got=f"{size:,} bytes",
                expected=f"at least {position:,}",
                remedy="download or export it again",
            )
        graph = graph or (number == _GRAPH and kind == LENGTH)
        yield _Field(number, kind, start, content, position)
    if not graph:
        raise _no_onnx(path, "there is no graph in it" if size else "an empty file")


def _no_onnx(path: PathLike, got: str) -> ModelError:
    return ModelError(f"{path} is no ONNX file", got=got)


def _is_note(field: _Field) -> bool:
    return field.number == _METADATA and field.kind == LENGTH


def _note(file: IO[bytes], field: _Field) -> Tuple[str, str]:
    """Key and value of a note; what else may be in it is left aside."""
    length = field.end - field.content
    if length > _TEXT_LIMIT:
        raise _no_onnx(getattr(file, "name", "the file"), f"a note of {length:,} bytes")
    file.seek(field.content)
    data = file.read(length)
    texts = {1: "", 2: ""}
    try:
        for number, value in fields(data, 0, length):
            if number in texts and isinstance(value, tuple):
                texts[number] = text(data, value)
    except ValueError as reason:
        name = getattr(file, "name", "the file")
        raise _no_onnx(name, f"{reason}, in a note at byte {field.start:,}") from None
    return texts[1], texts[2]


def _encode(key: str, value: str) -> bytes:
    body = write_field(1, key.encode("utf-8")) + write_field(2, value.encode("utf-8"))
    return write_field(_METADATA, body)


def _copy(file: IO[bytes], out: IO[bytes], start: int, end: int) -> None:
    file.seek(start)
    while start < end:
        data = file.read(min(1 << 20, end - start))
        if not data:
            raise OSError(0, "it became shorter while it was read")
        out.write(data)
        start += len(data)
