"""What was measured, line by line on disk, so that a sweep that was cut off can go on."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ...core import StorageError

Line = Dict[str, Any]


class Journal:
    """Lines of JSON that are whole or not there.

    Each is appended in one write and synced. Where that fails, what was written of it is cut off
    again, the line waits in memory, and it is tried again with the next one and by `flush`.

    Args:
        path: The file; None keeps lines in memory alone.

    Attributes:
        problem: Why lines wait, or None.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self.path = path
        self.problem: Optional[str] = None
        self._lines: List[Line] = []
        self._waiting: List[bytes] = []
        self._seen: set = set()
        if path is not None and path.exists():
            for line in _read(path):
                self._remember(line)

    def __iter__(self) -> Iterator[Line]:
        return iter(list(self._lines))

    def of(self, key: str, kind: str) -> List[Line]:
        """The lines of a variant of one kind, in order."""
        return [n for n in self._lines if n.get("key") == key and n.get("kind") == kind]

    def append(self, line: Line) -> bool:
        """Keep a line; False where it is known already."""
        if not self._remember(line):
            return False
        if self.path is not None:
            self._waiting.append(json.dumps(line, sort_keys=True).encode() + b"\n")
            self.flush()
        return True

    def flush(self) -> bool:
        """Write what waits; whether nothing waits any more."""
        if self.path is None:
            return True
        while self._waiting:
            try:
                _append(self.path, self._waiting[0])
            except OSError as error:
                self.problem = error.strerror or str(error)
                return False
            del self._waiting[0]
        self.problem = None
        return True

    def _remember(self, line: Line) -> bool:
        mark = _identity(line)
        if mark is not None and mark in self._seen:
            return False
        if mark is not None:
            self._seen.add(mark)
        self._lines.append(line)
        return True


def _identity(line: Line) -> Optional[Tuple[Any, ...]]:
    """What makes a line the same as another; errors may come again."""
    if line.get("kind") == "round":
        return ("round", line.get("key"), line.get("round"))
    if line.get("kind") == "accuracy":
        return ("accuracy", line.get("key"))
    return None


def _append(path: Path, content: bytes) -> None:
    handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        try:
            written = os.write(handle, content)
            if written != len(content):
                raise OSError(28, "No space left on device")
            os.fsync(handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def _read(path: Path) -> List[Line]:
    """The lines of a file. One that was torn at the end by a power failure is cut off.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read", got=error.strerror, remedy="choose another --out"
        ) from None
    lines = []
    whole = content[: content.rfind(b"\n") + 1]
    for text in whole.splitlines():
        try:
            line = json.loads(text.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    if len(whole) != len(content):
        with contextlib.suppress(OSError):
            os.truncate(str(path), len(whole))
    return lines
