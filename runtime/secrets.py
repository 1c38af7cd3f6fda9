"""Passwords by name: a config says `secret:NAME`, and only the device knows what that is.

    source: rtsp://viewer:secret:door@10.0.0.5/stream     # its password
    source: secret:door_url                               # or the whole of it

A secret is a file that only its owner may read, in `/etc/edgelane/secrets` or the folder that
`EDGELANE_SECRETS` names.
"""

import os
import re
import stat
from pathlib import Path
from typing import Optional, Set, Union
from urllib.parse import quote

from ..core import ConfigError, StorageError, UsageError

PathLike = Union[str, "os.PathLike[str]"]

FOLDER = "/etc/edgelane/secrets"
LONGEST = 4096
SHORTEST_HIDDEN = 4
"""A shorter one is not starred out in a text by itself: it would be found in every other word."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_KNOWN: Set[str] = set()
_IN_URI = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*://[^/?#@:]*:)secret:([^/?#@]*)(@.*)\Z", re.S)


def secrets_folder(folder: Optional[PathLike] = None) -> Path:
    """Where secrets lie."""
    return Path(folder or os.environ.get("EDGELANE_SECRETS") or FOLDER)


def check_secret_name(name: str) -> str:
    """A name that a secret may have.

    Raises:
        UsageError: It may not.
    """
    if not _NAME.match(name):
        raise UsageError(
            "the name of a secret is wrong",
            got=repr(name),
            expected="up to 64 letters, digits and ._- beginning with a letter or digit",
        )
    return name


def read_secret(name: str, folder: Optional[PathLike] = None) -> str:
    """A secret.

    Args:
        name: Of the secret.
        folder: As in `secrets_folder`.

    Raises:
        ConfigError: It is not set on this machine, or others can read it.
    """
    path = secrets_folder(folder) / check_secret_name(name)
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                f"the secret {name} can be read by others",
                got=f"{path} with mode {stat.S_IMODE(mode):04o}",
                expected="0600",
                remedy=f"edgelane secret set {name}",
            )
        value = path.read_text(encoding="utf-8").rstrip("\n")
        keep_hidden(value)
        return value
    except FileNotFoundError:
        raise ConfigError(
            f"the secret {name} is not set on this machine", remedy=f"edgelane secret set {name}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the secret {name} cannot be read", got=str(error)) from None


def write_secret(name: str, value: str, folder: Optional[PathLike] = None) -> Path:
    """Set a secret; only its owner may read it.

    Args:
        name: Of the secret.
        value: One line.
        folder: As in `secrets_folder`; made if it is not there.

    Raises:
        UsageError: The name or the value cannot be one.
        StorageError: The folder cannot be written.
    """
    place = secrets_folder(folder)
    path = place / check_secret_name(name)
    if not value or len(value) > LONGEST or any(ord(c) < 32 for c in value):
        raise UsageError(
            f"the secret {name} is wrong", expected=f"one line of up to {LONGEST} characters"
        )
    temporary = place / f".{name}.{os.getpid()}.new"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:
            # The folder is the service's own, who has to read what root sets.
            owner = place.stat()
            os.chown(str(temporary), owner.st_uid, owner.st_gid)
        os.replace(str(temporary), str(path))
    except OSError as error:
        raise StorageError(
            f"the secret {name} cannot be written", got=f"{path}: {error.strerror}"
        ) from None
    return path


def with_secrets(uri: str, folder: Optional[PathLike] = None) -> str:
    """A source as it is opened: its `secret:NAME` in place.

    Args:
        uri: As the config has it.
        folder: As in `secrets_folder`.

    Raises:
        ConfigError: The secret is not set on this machine.
        UsageError: The name cannot be one.
    """
    if uri.startswith("secret:"):
        # The whole of a source may be set on the device, and name its password in turn.
        uri = read_secret(uri[len("secret:") :], folder)
    match = _IN_URI.match(uri)
    if match is None:
        return uri
    before, name, after = match.groups()
    return before + quote(read_secret(name, folder), safe="") + after


def keep_hidden(value: str) -> None:
    """Have a secret starred out by `hide` from now on, by itself and as it stands in an address."""
    if len(value) >= SHORTEST_HIDDEN:
        _KNOWN.update((value, quote(value, safe="")))


def hide(text: str) -> str:
    """A text as it may be logged: without the secrets that this process has read, and without
    what is secret in addresses."""
    from .sources.address import mask

    for value in sorted(_KNOWN, key=len, reverse=True):
        if value in text:
            text = text.replace(value, "***")
    return mask(text)
