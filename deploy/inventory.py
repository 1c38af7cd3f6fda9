"""Devices in a file: where each is, and what is set on it beside its release.

```yaml
# fleet.yaml
defaults: {root: /}
hosts:
  kings-road:
    address: edge@10.0.0.11
    values: {door_url: "rtsp://viewer:secret:door@10.0.0.5/stream"}   # for secret:door_url
    secrets: [door]             # taken at the desk from a folder, never from here
  high-street: edge@10.0.0.12
```
"""

import re
from pathlib import Path
from typing import Any, Dict, List, Optional

import msgspec

from ..core import ConfigError, UsageError, did_you_mean
from ..runtime.config import decode, read_yaml
from ..runtime.secrets import read_secret
from .far import check_host
from .layout import PathLike
from .preflight import check_values


class Host(msgspec.Struct, frozen=True):
    """A device of an inventory.

    Attributes:
        address: `user@host`, or a name of the user's ssh configuration.
        port: Of its sshd, or None for ssh's own choice.
        root: Its root, where it is not `/`.
        device: What it is, where it cannot tell.
        python: Python there that has edgelane or is to run it.
        values: What is set there by name, before an installation.
        secrets: Names of what is set there from the desk's folder of secrets.
    """

    address: str
    port: Optional[int] = None
    root: Optional[str] = None
    device: Optional[str] = None
    python: Optional[str] = None
    values: Dict[str, str] = {}
    secrets: List[str] = []


def read_inventory(path: PathLike) -> Dict[str, Host]:
    """The devices of an inventory by name.

    Raises:
        ConfigError: It is missing or no YAML, or a field is wrong or unknown.
    """
    data = read_yaml(Path(path))
    for key in data:
        if key not in ("defaults", "hosts"):
            raise ConfigError(f"{key} is unknown", remedy=did_you_mean(key, ["defaults", "hosts"]))
    hosts, defaults = data.get("hosts"), data.get("defaults") or {}
    if not isinstance(hosts, dict) or not hosts:
        raise ConfigError(f"the inventory {path} has no hosts", expected="hosts: {NAME: address}")
    if not isinstance(defaults, dict) or "address" in defaults:
        raise ConfigError("defaults", expected="what hosts have in common, but no address")
    decode(Host, {"address": "-", **defaults}, "defaults")
    found: Dict[str, Host] = {}
    for name, given in hosts.items():
        if not isinstance(name, str) or not re.match(r"[\w.-]+\Z", name):
            raise ConfigError(f"hosts: the name {name!r} is wrong", expected="letters, digits, ._-")
        own = {"address": given} if isinstance(given, str) else given
        if not isinstance(own, dict):
            raise ConfigError(f"hosts.{name}", expected="an address, or keys and values")
        both: Dict[str, Any] = {**defaults, **own}
        for key in ("values", "secrets"):
            both[key] = _together(defaults.get(key), own.get(key))
            if both[key] is None:
                del both[key]
        host = decode(Host, both, f"hosts.{name}")
        try:
            check_host(host.address)
            check_values(host.values)
        except UsageError as error:
            raise ConfigError(f"hosts.{name}: {error}") from None
        found[name] = host
    _check_twice(found)
    return found


def _together(shared: Any, own: Any) -> Any:
    """What hosts have in common, and what is one's own beside it; it is checked later."""
    if isinstance(shared, dict) and isinstance(own, dict):
        return {**shared, **own}
    if isinstance(shared, list) and isinstance(own, list):
        return [*shared, *own]
    return shared if own is None else own


def _check_twice(hosts: Dict[str, Host]) -> None:
    seen: Dict[tuple, str] = {}
    for name, host in hosts.items():
        place = (host.address, host.port, host.root)
        if place in seen:
            raise ConfigError(f"hosts.{name} is the same device as hosts.{seen[place]}")
        seen[place] = name


def secrets_of(name: str, host: Host, folder: Optional[PathLike]) -> Dict[str, str]:
    """The secrets of a device, from the desk's folder: `HOST/NAME`, or `NAME` for all.

    Raises:
        ConfigError: One is not there, or others can read it.
    """
    found = {}
    for secret in host.secrets:
        if folder is None:
            raise ConfigError(f"{name} needs the secret {secret}", remedy="give --secrets DIR")
        own = Path(folder) / name
        place = own if (own / secret).exists() else Path(folder)
        if not (place / secret).exists():
            raise ConfigError(
                f"{name} needs the secret {secret}",
                got=f"neither {own / secret} nor {place / secret}",
                remedy="write it there, with mode 0600",
            )
        found[secret] = read_secret(secret, place)
    return found
