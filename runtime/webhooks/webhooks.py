"""All webhooks of a run: one thread puts events in line, one more each delivers them."""

import contextlib
import logging
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ...core import Event, StorageError
from ..journal import Journal
from ..secrets import keep_hidden, read_secret, with_secrets
from . import sender as sending
from .outbox import FILE, Outbox
from .sender import Sender
from .settings import WebhookSettings

LOG = logging.getLogger("edgelane.webhook")

FEED_S = 0.25
SETTLE_S = 2.0
"""The loop tells its sinks before it writes to the journal: so long that is looked at again."""
FLUSH_S = 10.0
"""So long a run that has come to its end waits for what is in line, while it is being taken."""
STOP_S = 0.3
"""So long one that is asked to stop does."""


class Webhooks:
    """Delivers the events of a run, as a context around the run loop.

    As a sink of the loop it costs nothing: it only notes that there is something to look at.

    Args:
        settings: The webhooks.
        folder: The run folder, with its journal; the outbox is made there.

    Raises:
        ConfigError: A secret is not set on this machine.
        StorageError: The outbox cannot be written.
    """

    def __init__(self, settings: Sequence[WebhookSettings], folder: Path) -> None:
        self._folder = folder
        self._about = {"host": socket.gethostname(), "run": folder.resolve().name}
        given = [(s, with_secrets(s.url), s.secret and read_secret(s.secret)) for s in settings]
        for _, url, _ in given:
            _hide_login(url)
        self._outbox = Outbox(folder / FILE)
        self._senders: Dict[str, Sender] = {}
        for each, url, secret in given:
            key, number = each.title, 2
            while key in self._senders:
                key, number = f"{each.title}-{number}", number + 1
            self._senders[key] = Sender(key, each, url, secret or None, self._outbox)
        self._kinds = {kind for each in settings for kind in each.events}
        self._news, self._closing = threading.Event(), threading.Event()
        self._alerts: List[Event] = []
        self._guard = threading.Lock()
        self._feeder = threading.Thread(target=self._feed_on, name="webhooks", daemon=True)
        self._journal: Optional[Journal] = None
        self._told: Optional[Tuple[Dict[str, Any], List[str]]] = None

    def __call__(self, step: Any) -> None:
        if not self._news.is_set() and any(
            event.kind in self._kinds or "*" in self._kinds for event in step.events
        ):
            self._news.set()

    def alert(self, event: Event) -> None:
        """Put an event in line that the journal does not hold; from any thread."""
        with self._guard:
            self._alerts.append(event)
            del self._alerts[:-1000]
        self._news.set()

    def __enter__(self) -> "Webhooks":
        self._journal = Journal(self._folder / "events.db", readonly=True)
        last = self._journal.last_row()
        for key, sender in self._senders.items():
            # One that is new to a run that is gone on with does not get what was before it.
            self._outbox.begin(key, last)
            sender.start()
        self._news.set()
        self._feeder.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._news.set()
        self._feeder.join(2.0)
        ended = False
        with contextlib.suppress(StorageError, sqlite3.Error):
            ended = self._journal is not None and self._journal.get("ended") == "end"
            self._feed(final=ended)
        self._wait(FLUSH_S if ended else STOP_S)
        for sender in self._senders.values():
            sender.close()
        ends = time.monotonic() + 0.4
        for sender in self._senders.values():
            sender.join(max(ends - time.monotonic(), 0.0))
        with contextlib.suppress(sqlite3.Error):
            for key in self._senders:
                left = self._outbox.tallies(key).queued
                if left:
                    later = "" if ended else "; they are when the run goes on"
                    LOG.warning("webhook %s: %d events are not delivered%s", key, left, later)
        self._told = self.told()
        if self._journal is not None:
            self._journal.close()
        self._outbox.close()

    def told(self) -> Tuple[Dict[str, Any], List[str]]:
        """By webhook `queued`, `delivered`, `failed_tries`, `dropped` and, where it fails,
        `error`; and sentences about those that fail for long."""
        if self._told is not None:
            return self._told
        told: Dict[str, Any] = {}
        notes = []
        now = time.monotonic()
        for key, sender in self._senders.items():
            with contextlib.suppress(sqlite3.Error):
                tallies = self._outbox.tallies(key)
                told[key] = tallies._asdict()
                note = sender.note(now, tallies.queued)
                notes += [note] if note else []
                if sender.failing:
                    told[key]["error"] = sender.failing
        return told, notes

    def _feed_on(self) -> None:
        pause, until = FEED_S, 0.0
        while not self._closing.wait(pause):
            now = time.monotonic()
            for sender in self._senders.values():
                sender.look(now)
            if self._news.is_set():
                self._news.clear()
                until = now + SETTLE_S
            if now > until:
                continue
            try:
                self._feed()
                pause = FEED_S
            except (sqlite3.Error, StorageError) as error:
                LOG.warning("webhooks: events cannot be put in line: %s", error)
                self._news.set()
                pause = sending.DISK_S

    def _feed(self, final: bool = False) -> None:
        assert self._journal is not None
        with self._guard:
            alerts, self._alerts = self._alerts, []
        for key, sender in self._senders.items():
            settings = sender.settings
            dropped, more, held = 0, True, final
            while more:
                more, over = self._outbox.feed(
                    key,
                    self._journal,
                    settings.events,
                    settings.cameras,
                    settings.queue,
                    self._about,
                    held,
                )
                dropped += over
                held = False
            for event in alerts:
                named = settings.cameras is None or event.camera in settings.cameras
                if named and ("alert" in settings.events or "*" in settings.events):
                    dropped += self._outbox.put(key, event, settings.queue, self._about)
            if dropped:
                LOG.warning(
                    "webhook %s: the queue of %d events is full: %d of the oldest were given up",
                    *(key, settings.queue, dropped),
                )
            sender.wake()

    def _wait(self, seconds: float) -> None:
        """Until all is delivered, one fails, or the time is over."""
        ends = time.monotonic() + seconds
        with contextlib.suppress(sqlite3.Error):
            while time.monotonic() < ends:
                waiting = [
                    sender
                    for key, sender in self._senders.items()
                    if self._outbox.tallies(key).queued and not sender.failing
                ]
                if not waiting:
                    return
                time.sleep(0.02)


def _hide_login(url: str) -> None:
    """What stands in an address as a password is never logged."""
    from urllib.parse import unquote, urlsplit

    password = urlsplit(url).password
    if password:
        keep_hidden(unquote(password))
