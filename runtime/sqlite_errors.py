"""SQLite: transactions, and its errors told as ours, what is wrong and what to do about it."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Iterator

from ..core import StorageError


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """What is written in the block is written whole, or not at all where it fails.

    Args:
        db: Opened with `isolation_level=None`.

    Raises:
        sqlite3.Error: It cannot be written.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def explained(path: Path, what: str, error: sqlite3.Error) -> StorageError:
    """An error of SQLite as one of ours.

    Args:
        path: The database.
        what: What failed, e.g. `cannot be written`.
        error: SQLite's.
    """
    text = str(error)
    if "full" in text or "disk I/O" in text:
        remedy = "free some space, or choose another folder with --out; what was journalled is kept"
    elif "not a database" in text or "malformed" in text:
        return StorageError(
            f"{path} is no journal, or is damaged",
            got=text,
            remedy="move it away, or choose another folder with --out",
        )
    elif "locked" in text:
        remedy = "another program holds it; a journal belongs on a local disk, not a share"
    else:
        remedy = "make the folder and the file writable, or choose another folder with --out"
    return StorageError(f"{path} {what}", got=text, remedy=remedy)
