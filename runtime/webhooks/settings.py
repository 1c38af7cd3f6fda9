"""The key `webhooks` of a config."""

import re
from typing import List, Optional
from urllib.parse import urlsplit

import msgspec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}\Z")


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One webhook.

    Attributes:
        url: Where events are posted; `https://` or `http://`, or `secret:NAME`.
        events: Kinds of events, e.g. `crossing`; `alert` for cameras that are away and machines
            that are hot; `*` for all.
        cameras: Only events of these; of all unless given.
        secret: Name of the secret that signs each post.
        name: What it is called in logs and metrics; its host unless given.
        queue: So many events wait at most; then the oldest are given up, and counted.
        timeout_s: Seconds that the receiver may take.
        ca: File with the certificates that are trusted, instead of the system's.
    """

    url: str
    events: List[str]
    cameras: Optional[List[str]] = None
    secret: Optional[str] = None
    name: Optional[str] = None
    queue: int = 10_000
    timeout_s: float = 10.0
    ca: Optional[str] = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http", "secret") or not (parts.netloc or parts.path):
            raise ValueError("url must begin with https:// or http://, or be secret:NAME")
        if parts.scheme != "secret" and not parts.hostname:
            raise ValueError("url has no host")
        if not self.events:
            raise ValueError("events must name at least one kind, e.g. [crossing]")
        if self.name is not None and not _NAME.match(self.name):
            raise ValueError("name must be up to 64 letters, digits, spaces and ._-")
        if self.queue < 1:
            raise ValueError("queue must be 1 or more")
        if not 0 < self.timeout_s <= 300:
            raise ValueError("timeout_s must be seconds above 0, at most 300")

    @property
    def title(self) -> str:
        """What it is called."""
        if self.name:
            return self.name
        return urlsplit(self.url).hostname or self.url.replace("secret:", "")
