"""Passwords stay out of bundles: a config that holds one is refused, field and all."""

import re
from typing import Any, Iterator, Tuple

from ..core import ConfigError

_IN_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@:]*:([^\s/?#@]+)@")
_IN_QUERY = re.compile(r"[?&]([A-Za-z0-9_-]+)=([^&#\s]+)")
_WORDS = ("password", "passwd", "passphrase", "secret", "token", "apikey", "pwd", "credential")


def refuse_passwords(data: Any, text: str = "") -> None:
    """Refuse a config with a password in it.

    Args:
        data: What the config holds.
        text: Its text, so that comments are looked at, too.

    Raises:
        ConfigError: There is one; the field's path is told, the password is not.
    """
    for path, key, value in _strings(data, ""):
        if _is_one(key, value):
            raise ConfigError(
                f"{path} holds a password, and a bundle must not",
                expected="a name for it: rtsp://user:secret:NAME@camera/…, or secret:NAME",
                remedy="set it on the device: edgelane secret set NAME",
            )
    for number, line in enumerate(text.splitlines(), 1):
        if _in_uri(line):
            raise ConfigError(
                f"line {number} of the config holds a password, and a bundle must not",
                remedy="take it out, also from comments",
            )


def _is_one(key: str, value: str) -> bool:
    if value.startswith("secret:") or not value:
        return False
    if _in_uri(value) or _telling(key):
        return True
    return "://" in value and any(
        _telling(name) and not given.startswith("secret:")
        for name, given in _IN_QUERY.findall(value)
    )


def _in_uri(text: str) -> bool:
    return any(not password.startswith("secret:") for password in _IN_URI.findall(text))


def _telling(key: str) -> bool:
    plain = re.sub(r"[^a-z]", "", key.lower())
    return any(word in plain for word in _WORDS)


def _strings(data: Any, path: str, key: str = "") -> Iterator[Tuple[str, str, str]]:
    """Path, last key and value of every text, keys themselves among them."""
    if isinstance(data, str):
        yield path, key, data
    elif isinstance(data, dict):
        for name, value in data.items():
            where = f"{path}.{name}" if path else str(name)
            yield where, "", str(name)
            if isinstance(value, (int, float)) and _telling(str(name)):
                value = str(value)
            yield from _strings(value, where, str(name))
    elif isinstance(data, (list, tuple)):
        for number, value in enumerate(data):
            yield from _strings(value, f"{path}[{number}]", key)
