"""Files that are whole or not there, and where those lie that can be made again."""

import contextlib
import os
from pathlib import Path
from typing import IO, Iterator, Optional, Union

from ..core import StorageError

PathLike = Union[str, "os.PathLike[str]"]


def cache_path(name: str, variable: str, folder: Optional[PathLike] = None) -> Path:
    """A folder of what can be fetched or made again.

    Args:
        name: Its name in the user's cache of edgelane.
        variable: Environment variable that says another one.
        folder: The one to take whatever they say.
    """
    if folder is not None:
        return Path(folder)
    named = os.environ.get(variable)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgelane" / name


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
