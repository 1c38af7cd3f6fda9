"""What waits to be delivered, on disk: `outbox.db` in the run folder.

Events come from the journal, from the row where each webhook was left: putting them in line and
going on to the next row is one transaction. So a kill loses none, and an event that is delivered
and killed before that is noted is delivered again, under the same id.
"""

import contextlib
import json
import sqlite3
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...core import Event, StorageError
from ..journal import Journal
from ..sqlite_errors import transaction

FILE = "outbox.db"
APPLICATION_ID = 0x65646F62  # "edob"
PAGE = 500

_SCHEMA = """
CREATE TABLE hooks (hook TEXT PRIMARY KEY, row INTEGER NOT NULL, delivered INTEGER NOT NULL,
                    failed INTEGER NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE queue (number INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, id TEXT NOT NULL,
                    body BLOB NOT NULL, UNIQUE (hook, id));
"""


class Item(NamedTuple):
    """An event in line: its number in line, its id, and the body to post."""

    number: int
    id: str
    body: bytes


class Tallies(NamedTuple):
    """Counts of one webhook since its beginning, and what is in line now."""

    queued: int = 0
    delivered: int = 0
    failed_tries: int = 0
    dropped: int = 0


class Outbox:
    """Queues of webhooks in one file; safe to call from several threads.

    Args:
        path: The file.

    Raises:
        StorageError: It cannot be written, or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                str(path), isolation_level=None, timeout=10, check_same_thread=False
            )
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (mark,) = self._db.execute("PRAGMA application_id").fetchone()
            if tables and mark != APPLICATION_ID:
                raise sqlite3.DatabaseError("it is another program's")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            if not tables:
                self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        except sqlite3.Error as error:
            raise StorageError(
                f"{path} cannot be opened", got=error, remedy="free some space, or move it away"
            ) from None

    def begin(self, hook: str, row: int) -> None:
        """Make a webhook known; a new one begins after this row of the journal."""
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO hooks VALUES (?, ?, 0, 0, 0)", (hook, row))

    def feed(
        self,
        hook: str,
        journal: Journal,
        kinds: Sequence[str],
        cameras: Optional[Sequence[str]],
        most: int,
        about: Dict[str, Any],
        final: bool = False,
    ) -> Tuple[bool, int]:
        """Put in line what was journalled since.

        Args:
            hook: The webhook.
            journal: Open for reading.
            kinds: Kinds of events, `*` for all.
            cameras: Only of these, or None.
            most: So many may be in line; the oldest go.
            about: What stands in each body beside the event.
            final: The run has come to its end: what was held until then goes out too.

        Returns:
            Whether there may be more, and how many were given up.
        """
        with self._lock:
            (row,) = self._db.execute("SELECT row FROM hooks WHERE hook = ?", (hook,)).fetchone()
        found = journal.after(row, PAGE)
        wanted = [event for _, event in found]
        if final:
            wanted = [*journal.held_before(row), *wanted]
        chosen = [
            event
            for event in wanted
            if (event.kind in kinds or "*" in kinds)
            and (cameras is None or event.camera in cameras)
        ]
        if not found and not chosen:
            return False, 0
        with self._transaction():
            dropped = self._put(hook, chosen, most, about)
            if found:
                self._db.execute("UPDATE hooks SET row = ? WHERE hook = ?", (found[-1][0], hook))
        return len(found) == PAGE, dropped

    def put(self, hook: str, event: Event, most: int, about: Dict[str, Any]) -> int:
        """Put an event in line that is not journalled; gives how many were given up."""
        with self._transaction():
            return self._put(hook, [event], most, about)

    def _put(self, hook: str, events: List[Event], most: int, about: Dict[str, Any]) -> int:
        rows = [(hook, event.id, body_of(event, about)) for event in events]
        self._db.executemany("INSERT OR IGNORE INTO queue (hook, id, body) VALUES (?, ?, ?)", rows)
        (count,) = self._db.execute("SELECT count(*) FROM queue WHERE hook = ?", (hook,)).fetchone()
        over = max(count - most, 0)
        if over:
            self._db.execute(
                "DELETE FROM queue WHERE number IN "
                "(SELECT number FROM queue WHERE hook = ? ORDER BY number LIMIT ?)",
                (hook, over),
            )
            self._count(hook, "dropped", over)
        return over

    def next(self, hook: str, after: int = 0) -> Optional[Item]:
        """The oldest in line behind a number, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT number, id, body FROM queue WHERE hook = ? AND number > ? "
                "ORDER BY number LIMIT 1",
                (hook, after),
            ).fetchone()
        return row and Item(row[0], row[1], bytes(row[2]))

    def done(self, hook: str, number: int, column: str = "delivered") -> None:
        """Take one out of line: it is `delivered`, or `dropped` as the receiver refused it."""
        with self._transaction():
            # Those before it are done too, where the disk was too full to note it.
            self._db.execute("DELETE FROM queue WHERE hook = ? AND number <= ?", (hook, number))
            self._count(hook, column, 1)

    def failed(self, hook: str) -> None:
        """Note a try that failed."""
        with self._transaction():
            self._count(hook, "failed", 1)

    def tallies(self, hook: str) -> Tallies:
        """How a webhook stands."""
        with self._lock:
            row = self._db.execute(
                "SELECT (SELECT count(*) FROM queue WHERE hook = ?), delivered, failed, dropped "
                "FROM hooks WHERE hook = ?",
                (hook, hook),
            ).fetchone()
        return Tallies(*row) if row else Tallies()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _count(self, hook: str, column: str, more: int) -> None:
        self._db.execute(
            f"UPDATE hooks SET {column} = {column} + ? WHERE hook = ?",  # noqa: S608 - our own names
            (more, hook),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, transaction(self._db):
            yield


def body_of(event: Event, about: Dict[str, Any]) -> bytes:
    """What is posted: the event with its id, its time, and where it comes from."""
    told: Dict[str, Any] = {
        "id": event.id,
        "camera": event.camera,
        "kind": event.kind,
        "timestamp": event.timestamp,
        "payload": event.payload,
        **about,
    }
    if event.timestamp > 1e8:
        moment = datetime.fromtimestamp(event.timestamp, timezone.utc)
        told["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
