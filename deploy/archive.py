"""The container of a bundle: a plain tar of plain files, and only the one way to write it.

Nothing is compressed: weights hardly shrink, no two versions of a compressor write the same
bytes, and a small file can then never become a large one. `tar tf` lists it. A reader takes
exactly the headers that the writer would have written, so a link, a device, a sparse file, an
odd mode or a second spelling of a number is refused, whatever it means.
"""

import re
from pathlib import Path
from typing import IO, BinaryIO, Iterable, Iterator, NamedTuple, Tuple, Union

from ..core import ReleaseError
from .bare import container
from .bare.container import BLOCK, pad

LARGEST = 1 << 32
"""Bytes of one member."""
MOST = 10_000
"""Members of one bundle."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*\Z")


class Member(NamedTuple):
    """A file in a bundle: its name, and where its content lies."""

    name: str
    start: int
    size: int


def check_name(name: str) -> str:
    """A member's name, if it can only ever mean a file below the folder it is put in.

    Raises:
        ReleaseError: It has a part such as `..`, is absolute, too long or has odd characters.
    """
    if len(name) > 100 or not all(_PART.match(part) for part in name.split("/")):
        raise ReleaseError(
            f"a bundle cannot hold a file called {name[:120]!r}",
            expected="up to 100 letters, digits and ._+- in parts that begin with none of .+-",
        )
    return name


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a member's content.

    Raises:
        ReleaseError: The name cannot be one.
    """
    return container.header(check_name(name), size)


def write_members(out: IO[bytes], members: Iterable[Tuple[str, Union[bytes, Path]]]) -> None:
    """Write a container.

    Args:
        out: Where to.
        members: Names and contents, or the files that hold them, in the order they are to have.
    """
    for name, content in members:
        if isinstance(content, bytes):
            out.write(header(name, len(content)) + content + pad(len(content)))
            continue
        size = content.stat().st_size
        out.write(header(name, size))
        with open(content, "rb") as file:
            left = size
            while left:
                block = file.read(min(left, 1 << 20))
                if not block:
                    raise ReleaseError(f"{content} became shorter while it was read")
                out.write(block)
                left -= len(block)
        out.write(pad(size))
    out.write(bytes(2 * BLOCK))


def read_header(block: bytes) -> Tuple[str, int]:
    """Name and size of a member.

    Raises:
        ReleaseError: The block is not what `header` would have written.
    """
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        size = int(block[124:135], 8)
    except ValueError:
        name, size = "", -1
    if not 0 <= size <= LARGEST or not name or header(name, size) != block:
        raise ReleaseError("the bundle holds what is no plain file", remedy="make it again")
    return name, size


def read_members(file: BinaryIO, size: int) -> Iterator[Member]:
    """The members of a container, in order.

    Args:
        file: The container; its position is moved.
        size: Its length in bytes.

    Raises:
        ReleaseError: It is cut off, holds anything but plain files, a name twice, or more after
            its end.
    """
    at, before, count = 0, "", 0
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise ReleaseError("the bundle is cut off", remedy="copy it again")
        if not any(block):
            break
        name, length = read_header(block)
        # In order, but for the manifest, which comes first: so no name can stand there twice.
        if (count > 1 and name <= before) or count >= MOST:
            raise ReleaseError(f"the bundle holds {name!r} twice or out of order")
        at += BLOCK
        if at + length > size:
            raise ReleaseError("the bundle is cut off", remedy="copy it again")
        yield Member(name, at, length)
        at += length + len(pad(length))
        before, count = name, count + 1
    if file.read(BLOCK + 1) != bytes(BLOCK) or at + 2 * BLOCK != size:
        raise ReleaseError("there is more in the bundle than its list says")
