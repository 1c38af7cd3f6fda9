"""What happened, on disk: an SQLite file in WAL mode with one writer and any number of readers.

A frame is one transaction. `kill -9` loses nothing that `write` returned from; a power cut may
lose the last moments (`synchronous=NORMAL`), never the file.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

from ..core import DataError, Event, StorageError
from .sqlite_errors import explained, transaction

SCHEMA_VERSION = 1
APPLICATION_ID = 0x65646765  # "edge"
_PAGE = 2000
_PROVISIONAL = "provisional "

_SCHEMA = """
CREATE TABLE events (id TEXT PRIMARY KEY, camera TEXT NOT NULL, timestamp REAL NOT NULL,
                     kind TEXT NOT NULL, ordinal INTEGER NOT NULL, payload TEXT NOT NULL);
CREATE TABLE snapshots (camera TEXT PRIMARY KEY, frame INTEGER NOT NULL, timestamp REAL NOT NULL,
                        state BLOB NOT NULL, stats TEXT NOT NULL);
CREATE TABLE positions (camera TEXT PRIMARY KEY, frame INTEGER NOT NULL, timestamp REAL NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE blobs (camera TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
                    PRIMARY KEY (camera, name));
"""


@dataclass(frozen=True)
class Snapshot:
    """The state of a pipeline after a frame.

    Attributes:
        index: The frame's number in its source.
        timestamp: The frame's time in seconds.
        state: What `Pipeline.snapshot` gave.
        stats: What the run loop counted up to here.
    """

    index: int
    timestamp: float
    state: bytes
    stats: Dict[str, Any] = field(default_factory=dict)


class Journal:
    """Events, snapshots and a few facts of a run.

    Used by one thread at a time. Opening creates the file and its folder.

    Args:
        path: The database, e.g. `out/events.db`, on a local disk.
        readonly: Only read, also while another process writes.

    Raises:
        StorageError: Another process writes to it, it is no journal, is damaged, comes from a
            newer version, or the folder cannot be written.
    """

    def __init__(self, path: Union[str, "os.PathLike[str]"], readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self._pending: Dict[str, Tuple[int, float]] = {}
        self._failed = False
        self._lock: Optional[int] = None
        self._db: Optional[sqlite3.Connection] = None
        try:
            if readonly:
                self._open_readonly()
            else:
                self._open_writer()
        except BaseException:
            self._failed = True
            self.close()
            raise

    # Opening

    def _open_readonly(self) -> None:
        if not self.path.is_file():
            raise StorageError(
                f"{self.path} does not exist", remedy="name the folder of a finished or running run"
            )
        uri = self.path.absolute().as_uri()
        # A reader that could write lets SQLite tidy up after a killed writer and after itself;
        # on a read-only medium nobody writes, and nothing beside the file is needed.
        modes = ["mode=rw", "mode=ro", "immutable=1"]
        if not os.access(self.path, os.W_OK) or not os.access(self.path.parent, os.W_OK):
            modes = ["mode=ro", "immutable=1"]
        with self._errors("cannot be read"):
            for mode in modes:
                try:
                    self._db = self._connect(f"{uri}?{mode}")
                    self._db.execute("PRAGMA query_only=1")
                    self._check()
                    return
                except sqlite3.OperationalError:
                    self._close_db()
                    if mode == modes[-1]:
                        raise

    def _open_writer(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise StorageError(
                f"{self.path.parent} cannot be written",
                got=error.strerror,
                remedy="choose another folder with --out, or make this one writable",
            ) from None
        with self._errors("cannot be opened"):
            self._db = self._connect(self.path.absolute().as_uri() + "?mode=rwc")
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables:
                self._check()
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            if not tables:
                self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                self._db.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
                )

    def _connect(self, uri: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=10, check_same_thread=False
        )
        self._db = db
        return db

    def _check(self) -> None:
        """Is it ours, and can this version read it?"""
        (application,) = self._execute("PRAGMA application_id").fetchone()
        (version,) = self._execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise StorageError(
                f"{self.path} is a database, but no journal of edgelane",
                remedy="choose another folder with --out",
            )
        if version != SCHEMA_VERSION:
            raise StorageError(
                f"{self.path} was written by another version of edgelane",
                got=f"schema {version}",
                expected=f"schema {SCHEMA_VERSION}",
                remedy="choose another folder with --out, or use that version",
            )

    def _take_lock(self) -> None:
        # SQLite locks each transaction; this holds for the life of the writer. The kernel lets
        # go of it when the process dies.
        lock = self.path.with_name(self.path.name + ".lock")
        while True:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(handle, 20).decode("ascii", "replace").strip()
                os.close(handle)
                raise StorageError(
                    f"{self.path} is being written by another run"
                    + (f" (process {owner})" if owner else ""),
                    remedy="stop that run, or choose another folder with --out",
                ) from None
            self._lock = handle
            try:
                if os.stat(lock).st_ino == os.fstat(handle).st_ino:
                    break
            except FileNotFoundError:
                pass
            os.close(handle)  # the last owner removed it in the same moment
            self._lock = None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode("ascii"))

    # Writing

    def write(
        self,
        camera: str,
        index: int,
        timestamp: float,
        events: Sequence[Event],
        snapshot: Optional[bytes] = None,
        stats: Optional[Dict[str, Any]] = None,
        provisional: bool = False,
    ) -> None:
        """Journal a frame in one transaction; events whose id is known already are left as is.

        A frame without events and snapshot costs no transaction: its position is written with
        the next one.

        Args:
            camera: Name of the camera.
            index: Number of the frame.
            timestamp: Time of the frame in seconds.
            events: What happened.
            snapshot: State of the pipeline after this frame.
            stats: JSON facts kept beside the snapshot.
            provisional: These events hold only if the run is not gone on with: `retract` takes
                them back.

        Raises:
            StorageError: The disk is full or the file cannot be written. What was journalled
                before stays.
            DataError: A payload is no JSON.
        """
        self._pending[camera] = (int(index), float(timestamp))
        if not events and snapshot is None:
            return
        rows = [
            (e.id, e.camera, float(e.timestamp), e.kind, e.ordinal, _json(e.payload, e.kind))
            for e in events
        ]
        with self._transaction():
            if rows:
                self._db.executemany(  # type: ignore[union-attr]
                    "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)", rows
                )
            if snapshot is not None:
                self._execute(
                    "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)",
                    (camera, int(index), float(timestamp), snapshot, _json(stats or {}, "stats")),
                )
            if provisional:
                self._set(_PROVISIONAL + camera, [row[0] for row in rows])
            self._write_positions()

    def retract(self, camera: str) -> None:
        """Take back the provisional events of a camera, whose run is gone on with."""
        ids = self.get(_PROVISIONAL + camera)
        if ids:
            with self._transaction():
                self._db.executemany(  # type: ignore[union-attr]
                    "DELETE FROM events WHERE id = ?", [(i,) for i in ids]
                )
                self._set(_PROVISIONAL + camera, [])

    def _write_positions(self) -> None:
        for name, (at, seconds) in self._pending.items():
            self._execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", (name, at, seconds))

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        with self._transaction():
            self._set(key, value)

    def _set(self, key: str, value: Any) -> None:
        self._execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, _json(value, f"meta {key}"))
        )

    def set_blob(self, camera: str, name: str, data: bytes) -> None:
        """Keep bytes, e.g. the picture `scene`."""
        with self._transaction():
            self._execute("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)", (camera, name, data))

    # Reading

    def events(
        self, camera: Optional[str] = None, kind: Union[str, Sequence[str], None] = None
    ) -> Iterator[Event]:
        """Events in the order they were journalled, of one camera, kind or kinds if asked.

        Read in pages, so a long reading never holds up the writer.
        """
        clauses = ["rowid > ?"]
        values: List[Any] = []
        kinds = [kind] if isinstance(kind, str) else kind
        for column, wanted in (("camera", None if camera is None else [camera]), ("kind", kinds)):
            if wanted is not None:
                clauses.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values.extend(wanted)
        query = (
            "SELECT rowid, camera, timestamp, kind, ordinal, payload FROM events WHERE "
            + " AND ".join(clauses)
            + f" ORDER BY rowid LIMIT {_PAGE}"
        )
        last = 0
        while True:
            with self._errors("cannot be read"):
                rows = self._execute(query, [last, *values]).fetchall()
            for row, name, timestamp, what, ordinal, payload in rows:
                last = row
                yield Event(name, timestamp, what, json.loads(payload), ordinal)
            if len(rows) < _PAGE:
                return

    def count(self) -> int:
        """How many events are journalled."""
        return self._one("SELECT count(*) FROM events")[0]

    def kinds(self) -> List[Tuple[str, str, int]]:
        """Camera, kind and how many events of it are journalled."""
        with self._errors("cannot be read"):
            return self._execute(
                "SELECT camera, kind, count(*) FROM events GROUP BY camera, kind"
            ).fetchall()

    def counts(self, kind: str, *keys: str) -> List[Tuple[str, Tuple[str, ...], int]]:
        """How many events of a kind there are by camera and values of their payload.

        Args:
            kind: Of the events.
            keys: Of the payload, e.g. `line`; plain words.

        Returns:
            Camera, the values as text, and how many.
        """
        values = [f"CAST(json_extract(payload, '$.{key}') AS TEXT)" for key in keys]
        query = ", ".join(["camera", *values])
        found: Dict[Tuple[str, Tuple[str, ...]], int] = {}
        try:
            rows = self._execute(
                f"SELECT {query}, count(*) FROM events WHERE kind = ? GROUP BY {query}", (kind,)
            ).fetchall()
            for camera, *told, count in rows:
                found[camera, tuple(str(value) for value in told)] = count
        except sqlite3.OperationalError:  # an SQLite that was built without JSON
            for event in self.events(kind=kind):
                key = event.camera, tuple(str(event.payload.get(k)) for k in keys)
                found[key] = found.get(key, 0) + 1
        return [(camera, told, count) for (camera, told), count in sorted(found.items())]

    def after(self, row: int, most: int = 500) -> List[Tuple[int, Event]]:
        """Events that were journalled after a row, in order, with their rows; see `last_row`.

        Those that are provisional are left out until the run has come to its end.
        """
        with self._errors("cannot be read"):
            rows = self._execute(
                "SELECT rowid, camera, timestamp, kind, ordinal, payload, id FROM events "
                "WHERE rowid > ? ORDER BY rowid LIMIT ?",
                (row, most),
            ).fetchall()
        held = self._held() if rows else set()
        return [
            (at, Event(camera, timestamp, kind, json.loads(payload), ordinal))
            for at, camera, timestamp, kind, ordinal, payload, name in rows
            if name not in held
        ]

    def held_before(self, row: int) -> List[Event]:
        """Events up to a row that `after` left out while the run could be gone on with."""
        rows: List[Tuple[Any, ...]] = []
        with self._errors("cannot be read"):
            for name in self._provisional():
                rows += self._execute(
                    "SELECT rowid, camera, timestamp, kind, payload, ordinal FROM events "
                    "WHERE rowid <= ? AND id = ?",
                    (row, name),
                ).fetchall()
        return [Event(c, t, kind, json.loads(text), at) for _, c, t, kind, text, at in sorted(rows)]

    def _held(self) -> Set[str]:
        return set() if self.get("ended") == "end" else self._provisional()

    def _provisional(self) -> Set[str]:
        """Ids of the events that a run which is gone on with takes back."""
        with self._errors("cannot be read"):
            rows = self._execute(
                "SELECT value FROM meta WHERE key LIKE ?", (_PROVISIONAL + "%",)
            ).fetchall()
        return {name for (value,) in rows for name in json.loads(value)}

    def last_row(self) -> int:
        """The row of the last event that stays, see `after`; 0 without any."""
        held = self._held()
        with self._errors("cannot be read"):
            for row, name in self._execute("SELECT rowid, id FROM events ORDER BY rowid DESC"):
                if name not in held:
                    return row
        return 0

    def cameras(self) -> List[str]:
        """Names of the cameras that gave anything, sorted."""
        with self._errors("cannot be read"):
            rows = self._execute(
                "SELECT camera FROM positions UNION SELECT camera FROM events ORDER BY 1"
            ).fetchall()
        return [row[0] for row in rows]

    def snapshot(self, camera: str) -> Optional[Snapshot]:
        """The last snapshot of a camera, or None."""
        row = self._one(
            "SELECT frame, timestamp, state, stats FROM snapshots WHERE camera = ?", camera
        )
        return row and Snapshot(row[0], row[1], bytes(row[2]), json.loads(row[3]))

    def position(self, camera: str) -> Optional[Tuple[int, float]]:
        """Index and timestamp of the last frame journalled, or None.

        After a kill it may lag behind the frames without events, never behind the events.
        """
        if camera in self._pending:
            return self._pending[camera]
        return self._one("SELECT frame, timestamp FROM positions WHERE camera = ?", camera)

    def get(self, key: str, default: Any = None) -> Any:
        """The JSON value kept under a name."""
        row = self._one("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(row[0]) if row else default

    def blob(self, camera: str, name: str) -> Optional[bytes]:
        """Bytes kept under a name, or None."""
        row = self._one("SELECT data FROM blobs WHERE camera = ? AND name = ?", camera, name)
        return bytes(row[0]) if row else None

    def _one(self, query: str, *values: object) -> Any:
        with self._errors("cannot be read"):
            return self._execute(query, values).fetchone()

    # Closing

    def close(self) -> None:
        """Write what is pending and let go of the file.

        Raises:
            StorageError: What was pending could not be written; the file is let go of all the
                same. After an earlier failure nothing more is written and nothing raised.
        """
        try:
            if self._db is not None and self._pending and not self._failed:
                with self._transaction():
                    self._write_positions()
            if self._db is not None and not self.readonly and not self._failed:
                # A reader may keep the write-ahead file from going away; all is in events.db then.
                with contextlib.suppress(sqlite3.Error):
                    self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._pending = {}
            self._close_db()
            if self._lock is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self.path.with_name(self.path.name + ".lock"))
                os.close(self._lock)
                self._lock = None

    def _close_db(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # SQLite's errors, told as ours

    def _execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        if self._db is None:
            raise StorageError(f"{self.path} is closed")
        return self._db.execute(query, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self.readonly:
            raise StorageError(f"{self.path} was opened for reading only")
        if self._db is None:
            raise StorageError(f"{self.path} is closed")
        with self._errors("cannot be written"), transaction(self._db):
            yield

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._failed = True
            raise explained(self.path, what, error) from error


def _json(value: Any, what: str) -> str:
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} holds what JSON cannot say", got=error) from None
