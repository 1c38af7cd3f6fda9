"""Files that are whole or not there."""

import contextlib
import os
from pathlib import Path

from ..core import StorageError


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place in one step: readers see the old one or the new one, never half.

    Raises:
        StorageError: The folder cannot be written or the disk is full; the old file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written",
            got=error.strerror,
            remedy="make the folder writable, free some space, or choose another one",
        ) from None
