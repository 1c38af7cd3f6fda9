"""Changes to a disk, and how one that fails is told."""

import contextlib
from typing import Iterator

from ..core import StorageError
from .bare.disk import Files, make_folder, put, put_chunks, put_link, remove_tree

__all__ = ["Files", "make_folder", "put", "put_chunks", "put_link", "remove_tree", "storage"]


@contextlib.contextmanager
def storage(what: str) -> Iterator[None]:
    """Tell a failing disk in one sentence.

    Raises:
        StorageError: In place of any OSError.
    """
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        remedies = {
            "PermissionError": "run it as the owner of that folder, e.g. with sudo",
        }
        remedy = remedies.get(type(error).__name__, "free some space or repair the disk")
        raise StorageError(
            f"{what} cannot be written{where}", got=error.strerror or str(error), remedy=remedy
        ) from None
