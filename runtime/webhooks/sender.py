"""Posts what is in line to one address, from a thread of its own."""

import base64
import contextlib
import http.client
import logging
import random
import socket
import sqlite3
import ssl
import threading
import time
from typing import Any, Dict, Optional
from urllib.parse import unquote, urlsplit

from ...core import ConfigError
from .outbox import Item, Outbox
from .settings import WebhookSettings
from .signing import HEADER, sign

LOG = logging.getLogger("edgelane.webhook")

FIRST_S, MOST_S = 1.0, 300.0
"""Pauses between tries: the first, and the longest."""
MOST_WAIT_S = 3600.0
"""The longest pause that a receiver can ask for."""
REFUSED = (400, 405, 406, 409, 413, 415, 422)
"""Answers to one event that will not change: it is given up, and counted."""
DISK_S = 5.0
"""The pause after the outbox could not be written."""
TELL_S = 60.0
"""A receiver that fails for longer makes the run degraded."""


class Failed(Exception):
    """A try that failed; says why, and for how long the receiver wants to be left alone."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Sender(threading.Thread):
    """Delivers the events of one webhook, oldest first, each until it is taken.

    Attributes:
        key: Its name in the outbox.
        failing: Why the last try failed, or empty.

    Args:
        key: See above.
        settings: The webhook.
        url: Where to post, with its secrets in place: never to be shown.
        secret: Signs the posts, or None.
        outbox: What is in line.

    Raises:
        ConfigError: The file of certificates cannot be read.
    """

    def __init__(
        self, key: str, settings: WebhookSettings, url: str, secret: Optional[str], outbox: Outbox
    ) -> None:
        super().__init__(name=f"webhook {key}", daemon=True)
        self.key, self.settings = key, settings
        self.failing = ""
        self._since = 0.0
        self._url, self._secret, self._outbox = urlsplit(url), secret, outbox
        self._context: Optional[ssl.SSLContext] = None
        if self._url.scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=settings.ca)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"webhooks: ca {settings.ca} holds no certificates that can be read",
                    got=error,
                    expected="a PEM file",
                ) from None
        self._line: Optional[http.client.HTTPConnection] = None
        self._deadline: Optional[float] = None
        self._closing = threading.Event()
        self._work = threading.Event()
        self._sent = 0  # the last number that was delivered, also where that cannot be noted
        self._pause = FIRST_S

    def wake(self) -> None:
        """There is something in line."""
        self._work.set()

    def close(self) -> None:
        """End soon; what is in line stays there."""
        self._closing.set()
        self._work.set()
        self._hang_up()

    def look(self, now: float) -> None:
        """End a try that takes too long in all, however slowly the receiver drips."""
        deadline = self._deadline
        if deadline is not None and now > deadline:
            self._deadline = None
            self._hang_up()

    def note(self, now: float, queued: int) -> Optional[str]:
        """A sentence where it has failed for long, else None."""
        if not self.failing or now - self._since < TELL_S:
            return None
        return f"webhook {self.key} fails ({self.failing}); {queued} events wait"

    def run(self) -> None:
        while not self._closing.is_set():
            self._work.wait(1.0)
            self._work.clear()
            while not self._closing.is_set():
                try:
                    item = self._outbox.next(self.key, self._sent)
                    if item is None:
                        break
                    self._deliver(item)
                except sqlite3.Error as error:
                    if self._closing.is_set():
                        return
                    LOG.warning("webhook %s: the outbox cannot be used: %s", self.key, error)
                    self._closing.wait(DISK_S)

    def _deliver(self, item: Item) -> None:
        """One event, until it is taken or given up."""
        while not self._closing.is_set():
            try:
                status = self._post(item)
            except Failed as failure:
                self._deadline = None
                if self._closing.is_set():
                    return
                self._fail(str(failure))
                pause = max(
                    self._pause * random.uniform(0.8, 1.2), min(failure.wait_s, MOST_WAIT_S)
                )
                self._pause = min(2 * self._pause, MOST_S)
                self._closing.wait(pause)
                newest = self._outbox.next(self.key, self._sent)
                if newest is None or newest.number != item.number:
                    return  # given up meanwhile, as the queue was full
                continue
            self._deadline = None
            self._sent = item.number
            if self.failing:
                LOG.info("webhook %s: delivering again", self.key)
            self.failing, self._pause = "", FIRST_S
            if status in REFUSED:
                LOG.warning("webhook %s: an event was refused with %d", self.key, status)
            self._outbox.done(
                self.key, item.number, "dropped" if status in REFUSED else "delivered"
            )
            return

    def _fail(self, why: str) -> None:
        if not self.failing:
            self._since = time.monotonic()
        self.failing = why
        LOG.warning("webhook %s: %s", self.key, why)
        with contextlib.suppress(sqlite3.Error):
            self._outbox.failed(self.key)

    def _post(self, item: Item) -> int:
        """One try.

        Returns:
            The status: 2xx, or one of `REFUSED`.

        Raises:
            Failed: Anything else came of it.
        """
        reused = self._line is not None
        while True:
            try:
                return self._try(item)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._drop_line()
                late = self._deadline is None or isinstance(error, socket.timeout)
                if late:
                    raise Failed("no answer in time") from None
                # A line that was kept open may have been closed meanwhile: that says nothing.
                if not reused or self._closing.is_set():
                    raise Failed(_why(error)) from None
                reused = False

    def _try(self, item: Item) -> int:
        self._deadline = time.monotonic() + 2 * self.settings.timeout_s
        if self._line is None:
            self._line = self._connect()
        line = self._line
        path = self._url.path or "/"
        if self._url.query:
            path += "?" + self._url.query
        line.request("POST", path, body=item.body, headers=self._headers(item))
        answer = line.getresponse()
        answer.read(1 << 16)
        if not answer.isclosed() or answer.will_close:
            self._drop_line()
        status = answer.status
        if 200 <= status < 300 or status in REFUSED:
            return status
        if 300 <= status < 400:
            raise Failed(f"answered {status}: redirects are not followed")
        wait = answer.getheader("Retry-After", "")
        raise Failed(f"answered {status}", float(wait) if wait.isdigit() else 0.0)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        wait = self.settings.timeout_s
        if self._context is not None:
            return http.client.HTTPSConnection(host, port, timeout=wait, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=wait)

    def _headers(self, item: Item) -> Dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "edgelane",
            "Edgelane-Event-Id": item.id,
        }
        if self._secret is not None:
            headers[HEADER] = sign(item.body, self._secret, time.time())
        if self._url.username is not None:
            login = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        return headers

    def _hang_up(self) -> None:
        line = self._line
        opened: Any = line.sock if line is not None else None
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _drop_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(OSError):
                line.close()


def _why(error: BaseException) -> str:
    """In a few words, without an address in them."""
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no reason'}"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "the line was closed" if isinstance(error, OSError) else type(error).__name__
