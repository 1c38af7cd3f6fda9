"""Addresses of network cameras: taken apart, and shown without what must stay secret."""

import re
from dataclasses import dataclass
from typing import Optional
from urllib.parse import quote, unquote, urlsplit

from ...core import UsageError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s'\"]*)@")
_SECRET = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:pass|pwd|passwd|password|token|secret|auth|key|user|usr)[\w.-]*)=)"
    r"[^&;\s'\"]*"
)


def mask(text: str) -> str:
    """The text with user, password and secret query values of the addresses in it starred out.

    All between `://` and the last `@` of a word counts as user and password: a password that
    should have been percent-encoded is not shown either.
    """
    return _SECRET.sub(r"\1***", _USERINFO.sub(r"\1***@", text))


@dataclass(frozen=True)
class Address:
    """A camera's address, taken apart.

    Attributes:
        scheme: `rtsp`, `rtsps`, `http` or `https`.
        host: Name or number; IPv6 without brackets.
        port: The port.
        path: From the slash on, with the query that belongs to the camera.
        user: Decoded, or None.
        password: Decoded, or None.
    """

    scheme: str
    host: str
    port: int
    path: str
    user: Optional[str] = None
    password: Optional[str] = None

    @property
    def netloc(self) -> str:
        """`host:port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address without user and password."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def secret_url(self) -> str:
        """The address with user and password, percent-encoded: never to be shown."""
        if self.user is None:
            return self.url
        login = quote(self.user, safe="") + ":" + quote(self.password or "", safe="")
        return f"{self.scheme}://{login}@{self.netloc}{self.path}"

    def __repr__(self) -> str:
        login = "" if self.user is None else "***@"
        return f"Address({self.scheme}://{login}{self.netloc}{mask(self.path)})"


def parse_address(uri: str) -> Address:
    """Take an address apart.

    A password may hold `@`, `:` or `/` as they are, up to the last `@` before the host.

    Raises:
        UsageError: It has no host, or an impossible port.
    """
    scheme, _, rest = uri.partition("://")
    user = password = None
    login, at, place = rest.rpartition("@")
    # An `@` in the path is no login: a login has no slash before it unless there is a colon.
    if at and ("/" not in login or ":" in login.split("/")[0]) and "?" not in login:
        name, colon, word = login.partition(":")
        user, password = unquote(name), unquote(word) if colon else None
        rest = place
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise UsageError(
            f"source {mask(uri)!r} has no host that can be read",
            expected=f"e.g. {scheme}://user:password@192.168.1.20/stream; "
            "special characters of a password percent-encoded (@ is %40)",
        )
    path = parts.path or "/"
    if parts.query:
        path += "?" + parts.query
    return Address(scheme.lower(), host, port or PORTS[scheme.lower()], path, user, password)
