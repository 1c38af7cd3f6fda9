"""Files that are whole or not there."""

import contextlib
import os
from pathlib import Path
from typing import IO, Iterator

from ..core import StorageError


@contextlib.contextmanager
def whole_file(
    path: Path, remedy: str = "make the folder writable, free some space, or choose another one"
) -> Iterator[IO[bytes]]:
    """A file to write into, put in place in one step at the end.

    Readers see the old file or the new one, never half; after an error the old one stays.

    Args:
        path: The file; its folder must exist.
        remedy: What the reader of an error can do.

    Raises:
        StorageError: The folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written", got=error.strerror or str(error), remedy=remedy
        ) from None


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place in one step; raises as `whole_file`."""
    with whole_file(path) as file:
        file.write(content)
