"""What a config says about watching a run: `health`, `log`, `timezone`."""

from typing import Any, NamedTuple, Optional, Tuple

import msgspec

from ...core import ConfigError

LISTEN = "127.0.0.1:9100"
FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")


class HealthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key `health`.

    Attributes:
        listen: Address and port of the health endpoint; port 0 takes one that is free. Other
            machines reach it only where the address is not that of this machine alone.
        hot_c: Degrees Celsius from which the machine counts as hot; by its own limits unless
            given.
        disk_mb: Megabytes of free disk below which the run counts as degraded.
    """

    listen: str = LISTEN
    hot_c: Optional[float] = None
    disk_mb: float = 500.0

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        if self.hot_c is not None and not 0 < self.hot_c < 200:
            raise ValueError("hot_c must be degrees Celsius above 0")
        if not 0 <= self.disk_mb < 1e9:
            raise ValueError("disk_mb must be megabytes from 0")


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key `log`; `log: json` alone sets the format.

    Attributes:
        format: `text` for people, `json` for programs: one object a line.
        level: The least level that is logged: `debug`, `info`, `warning` or `error`.
        burst: So many messages of a kind are logged at once; more of them are counted.
        every_s: Seconds after which that number is told and the kind is heard again.
    """

    format: str = "text"
    level: str = "info"
    burst: int = 5
    every_s: float = 60.0

    def __post_init__(self) -> None:
        for name, value, known in (("format", self.format, FORMATS), ("level", self.level, LEVELS)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if self.burst < 1:
            raise ValueError("burst must be 1 or more")
        if not 0 < self.every_s <= 86400:
            raise ValueError("every_s must be seconds above 0, at most a day")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As a browser takes it."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Address:
    """`127.0.0.1:9100`, `[::1]:9100`, `:9100` or `9100` taken apart; this machine unless named.

    Raises:
        ValueError: It is none of these.
    """
    host, _, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"listen must be an address and a port such as {LISTEN}, got {text!r}")
    return Address(host or "127.0.0.1", int(port))


def plain_health(value: Any) -> Any:
    """`health: true` and `health: 127.0.0.1:9100` as they are written in full."""
    if value is True:
        return {}
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return {"listen": str(value)}
    return None if value is False else value


def plain_log(value: Any) -> Any:
    """`log: json` as it is written in full."""
    return {"format": value} if isinstance(value, str) else value


def given_listen(text: str) -> Tuple[str, int]:
    """As `parse_listen`, for what stands on the command line.

    Raises:
        ConfigError: It is no address.
    """
    try:
        return parse_listen(text)
    except ValueError as error:
        raise ConfigError(f"--health: {error}") from None
