"""The clips that are kept: a folder, a table of them and their events, and a budget."""

import contextlib
import os
import re
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from ...core import Event, StorageError
from ..sqlite_errors import transaction

FOLDER = "clips"
INDEX = "clips.db"
PART = ".part-"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (name TEXT PRIMARY KEY, camera TEXT NOT NULL,
    start REAL NOT NULL, end REAL NOT NULL, bytes INTEGER NOT NULL, made REAL NOT NULL,
    pixelated TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clip_events (clip TEXT NOT NULL, event TEXT NOT NULL,
    kind TEXT NOT NULL, timestamp REAL NOT NULL, PRIMARY KEY (clip, event));
CREATE INDEX IF NOT EXISTS by_event ON clip_events (event);
"""


class Clip(NamedTuple):
    """A clip that is kept.

    Attributes:
        path: The file.
        camera: Whose it is.
        start: Time of its first picture in seconds, on the clock of the camera's frames.
        end: Time of its last.
        bytes: Its size.
        pixelated: `people`, `picture` or `off`.
        events: Ids of the events that it shows, as in the journal.
    """

    path: Path
    camera: str
    start: float
    end: float
    bytes: int
    pixelated: str
    events: Tuple[str, ...]


class Library:
    """The clips of a run folder.

    Args:
        folder: The run folder.
        budget: Bytes of all clips together.
        keep_free: Bytes of the disk that clips leave free.
        keep_s: Seconds after which a clip is deleted, or None.
        clock: Unix time in seconds, for tests.

    Raises:
        StorageError: The folder cannot be written, or the table is damaged.
    """

    def __init__(
        self,
        folder: Path,
        budget: float,
        keep_free: float = 0.0,
        keep_s: Optional[float] = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder / FOLDER
        self._budget, self._keep_free, self._keep_s = budget, keep_free, keep_s
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(f"{PART}*"):
                left.unlink()
            self._db = sqlite3.connect(
                str(self.folder / INDEX), isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"{self.folder} cannot be used for clips",
                got=getattr(error, "strerror", None) or error,
                remedy="free some space, make it writable, or move it away",
            ) from None
        with self._lock:
            for (name,) in self._db.execute("SELECT name FROM clips").fetchall():
                if not (self.folder / name).exists():
                    self._forget(name)

    def expire(self) -> None:
        """Delete what is older than clips are kept."""
        if self._keep_s is None:
            return
        oldest = self._clock() - self._keep_s
        with self._lock:
            while self._db.execute("SELECT 1 FROM clips WHERE made < ?", (oldest,)).fetchone():
                self._drop_oldest()

    def room(self) -> bool:
        """Whether the disk has room for one more, after the oldest were deleted for it."""
        while shutil.disk_usage(str(self.folder)).free < self._keep_free:
            with self._lock:
                if not self._drop_oldest():
                    return False
        return True

    def new(self, camera: str, kind: str, moment: float, ending: str) -> Tuple[Path, str]:
        """A file to write into, and the name that the clip will have."""
        if moment > 1e8:
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(moment)) + "Z"
        else:
            stamp = f"{max(moment, 0.0):010.2f}s"
        stem = "-".join([stamp, _plain(camera), _plain(kind)])
        name, number = f"{stem}.{ending}", 2
        while (self.folder / name).exists() or (self.folder / f"{PART}{name}").exists():
            name, number = f"{stem}-{number}.{ending}", number + 1
        return self.folder / f"{PART}{name}", name

    def add(
        self,
        part: Path,
        name: str,
        camera: str,
        span: Tuple[float, float],
        pixelated: str,
        events: Sequence[Event],
    ) -> None:
        """Take in a clip that is written, and delete the oldest where there are too many."""
        size = part.stat().st_size
        with self._lock:
            with transaction(self._db):
                self._db.execute(
                    "INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (name, camera, span[0], span[1], size, self._clock(), pixelated),
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO clip_events VALUES (?, ?, ?, ?)",
                    [(name, e.id, e.kind, float(e.timestamp)) for e in events],
                )
                os.replace(str(part), str(self.folder / name))
            while self._size() > self._budget and self._drop_oldest():
                pass

    def tallies(self) -> Tuple[int, int]:
        """How many clips are kept, and their bytes."""
        with self._lock:
            row = self._db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM clips")
            return tuple(row.fetchone())  # type: ignore[return-value]

    def close(self) -> None:
        """Let go of the table."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _size(self) -> int:
        return self._db.execute("SELECT coalesce(sum(bytes), 0) FROM clips").fetchone()[0]

    def _drop_oldest(self) -> bool:
        row = self._db.execute("SELECT name FROM clips ORDER BY made, name LIMIT 1").fetchone()
        if row is None:
            return False
        with contextlib.suppress(FileNotFoundError):
            (self.folder / row[0]).unlink()
        self._forget(row[0])
        return True

    def _forget(self, name: str) -> None:
        self._db.execute("DELETE FROM clip_events WHERE clip = ?", (name,))
        self._db.execute("DELETE FROM clips WHERE name = ?", (name,))


def read_clips(folder: Union[str, "os.PathLike[str]"]) -> List[Clip]:
    """The clips of a run folder, oldest first, also while it is being written; empty without any.

    Raises:
        StorageError: The table of clips cannot be read.
    """
    place = Path(folder) / FOLDER
    if not (place / INDEX).is_file():
        return []
    try:
        with contextlib.closing(sqlite3.connect(f"{(place / INDEX).absolute().as_uri()}?mode=rw",
                                                uri=True, timeout=10)) as database:  # fmt: skip
            return list(_read(database, place))
    except sqlite3.Error as error:
        raise StorageError(f"{place / INDEX} cannot be read", got=error) from None


def _read(database: Any, place: Path) -> Iterator[Clip]:
    rows = database.execute(
        "SELECT name, camera, start, end, bytes, pixelated FROM clips ORDER BY made, name"
    ).fetchall()
    for name, *facts in rows:
        events = database.execute(
            "SELECT event FROM clip_events WHERE clip = ? ORDER BY timestamp, event", (name,)
        ).fetchall()
        camera, start, end, size, pixelated = facts
        ids = tuple(event for (event,) in events)
        yield Clip(place / name, camera, start, end, size, pixelated, ids)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", text)[:60] or "_"
