"""Many devices from one inventory, in waves, stopping where too many fail.

```yaml
# stores.yaml
defaults: {root: /}
hosts:
  kings-road:
    address: edge@10.0.0.11
    values: {door_url: "rtsp://viewer:secret:door@10.0.0.5/stream"}   # for secret:door_url
    secrets: [door]             # taken at the desk from a folder, never from here
  high-street: edge@10.0.0.12
```
"""

import math
import re
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set

import msgspec

from ..core import ConfigError, EdgelaneError, UsageError, did_you_mean
from ..runtime.config import decode, read_yaml
from ..runtime.secrets import read_secret
from .far import check_host
from .flash import Flashed, PathLike, flash
from .preflight import check_values

FAILED, LEFT = "failed", "left"

_WAVE = re.compile(r"(\d+(?:\.\d+)?)(%?)\Z")


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


class Row(NamedTuple):
    """What came of one device.

    Attributes:
        name: In the inventory.
        address: As in the inventory.
        wave: Its number, from 1.
        state: `installed`, `unchanged`, `planned`, `failed`, or `left` where it was not tried.
        flashed: What came of it, or None.
        error: Why it failed, as a sentence; empty otherwise.
        seconds: How long it took.
    """

    name: str
    address: str
    wave: int
    state: str
    flashed: Optional[Flashed]
    error: str
    seconds: float


class Rolled(NamedTuple):
    """What came of a fleet.

    Attributes:
        rows: A row for each device, in the inventory's order.
        stopped: Why devices were left, as a sentence; empty where none was.
    """

    rows: List[Row]
    stopped: str

    @property
    def failed(self) -> int:
        """How many failed."""
        return sum(row.state == FAILED for row in self.rows)


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


def waves_of(text: str, count: int) -> List[int]:
    """How many devices are reached by the end of each wave.

    Args:
        text: Numbers and shares with commas between them, e.g. `1,10%,100%`.
        count: How many devices there are.

    Raises:
        UsageError: It makes no sense.
    """
    ends: List[int] = []
    for part in text.split(","):
        match = _WAVE.match(part.strip())
        share = float(match.group(1)) if match else -1.0
        percent = bool(match and match.group(2))
        if match is None or share <= 0 or (percent and share > 100):
            raise UsageError("--waves makes no sense", got=repr(text), expected="e.g. 1,10%,100%")
        if not percent and share != int(share):
            raise UsageError("--waves makes no sense", got=repr(part), expected="whole devices")
        end = min(math.ceil(count * share / 100) if percent else int(share), count)
        if ends and end < ends[-1]:
            raise UsageError(
                "--waves go back", got=repr(text), expected="each wave beyond the last"
            )
        if not ends or end > ends[-1]:
            ends.append(end)
    return ends


def share_of(text: str) -> float:
    """A share, 0..1, from `20%` or `0.2`.

    Raises:
        UsageError: It is none.
    """
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError("--max-failures is no share", got=repr(text), expected="e.g. 20%")
    return share


def flash_all(
    hosts: Dict[str, Host],
    bundle: PathLike,
    *,
    waves: str = "1,10%,100%",
    max_failures: float = 0.2,
    parallel: int = 8,
    secrets: Optional[PathLike] = None,
    ssh: Sequence[str] = ("ssh",),
    tell: Callable[[str, str], None] = lambda name, text: None,
    **options: Any,
) -> Rolled:
    """Flash a bundle to many devices.

    A device that has it already is quick, so that the same call goes on where one was stopped.

    Args:
        hosts: As `read_inventory` gives them.
        bundle: The bundle.
        waves: How far each wave goes; the first devices of the inventory are the first to get it.
        max_failures: Share of the devices up to a wave's end that may fail; beyond it no further
            device is begun.
        parallel: How many are flashed at the same time.
        secrets: The desk's folder of secrets.
        ssh: The command that reaches them, with its options.
        tell: Is given a device's name and what happens there.
        options: Further ones of `flash`.

    Returns:
        What came of it; devices that fail are rows of it and raise nothing.

    Raises:
        UsageError: `waves` makes no sense.
        ConfigError: A secret is not at hand.
    """
    names = list(hosts)
    ends = waves_of(waves, len(names))
    values = {name: {**h.values, **secrets_of(name, h, secrets)} for name, h in hosts.items()}
    rows: Dict[str, Row] = {}
    stopped, begin = "", 0
    for number, end in enumerate(ends, 1):
        allowed = max_failures * end
        wave, begin = names[begin:end], end
        tell("", f"wave {number} of {len(ends)}: {', '.join(wave)}")
        work = _Wave(hosts, bundle, values, ssh, tell, number, options)
        for row in work.run(wave, parallel, lambda n=allowed: _failures(rows) <= n):
            rows[row.name] = row
        failed = _failures(rows)
        if failed > allowed:
            share = f"{100 * max_failures:g} %"
            stopped = f"{failed} of {len(rows)} devices failed, and {share} may of {end}"
            break
    if not stopped and len(rows) < len(names):
        stopped = f"the waves end after {len(rows)} of {len(names)} devices"
    left = len(ends) + 1
    return Rolled(
        [rows.get(n) or Row(n, hosts[n].address, left, LEFT, None, "", 0.0) for n in names], stopped
    )


def _failures(rows: Dict[str, Row]) -> int:
    return sum(row.state == FAILED for row in rows.values())


class _Wave:
    """The devices that are flashed together."""

    def __init__(
        self,
        hosts: Dict[str, Host],
        bundle: PathLike,
        values: Dict[str, Dict[str, str]],
        ssh: Sequence[str],
        tell: Callable[[str, str], None],
        number: int,
        options: Dict[str, Any],
    ) -> None:
        self.hosts, self.bundle, self.values = hosts, bundle, values
        self.ssh, self.tell, self.number, self.options = ssh, tell, number, options
        self._lock = threading.Lock()

    def run(self, names: List[str], parallel: int, may: Callable[[], bool]):
        """Yield the rows as they come; none is begun any more once `may` says no."""
        waiting = list(names)
        at_work: Set[Future[Row]] = set()
        with ThreadPoolExecutor(max_workers=max(parallel, 1)) as pool:
            while waiting or at_work:
                while waiting and len(at_work) < max(parallel, 1) and may():
                    at_work.add(pool.submit(self._one, waiting.pop(0)))
                if not at_work:
                    return
                done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()

    def _one(self, name: str) -> Row:
        host, begun = self.hosts[name], time.monotonic()
        port = ["-p", str(host.port)] if host.port is not None else []
        last = [""]

        def tell(what: str, done: float, of: Optional[float]) -> None:
            if what != last[0]:  # a stretch of bytes is told once
                last[0] = what
                self._say(name, what)

        own: Dict[str, Any] = {"root": host.root, "device": host.device, "python": host.python}
        own = {key: value for key, value in own.items() if value is not None}
        try:
            flashed = flash(
                host.address,
                self.bundle,
                ssh=[*self.ssh, *port],
                values=self.values[name],
                tell=tell,
                **{**self.options, **own},
            )
        except EdgelaneError as error:
            self._say(name, f"failed: {error}")
            spent = time.monotonic() - begun
            return Row(name, host.address, self.number, FAILED, None, str(error), spent)
        self._say(name, f"{flashed.state}: {flashed.release}")
        spent = time.monotonic() - begun
        return Row(name, host.address, self.number, flashed.state, flashed, "", spent)

    def _say(self, name: str, text: str) -> None:
        with self._lock:
            self.tell(name, text)


def table(rolled: Rolled) -> List[str]:
    """What came of a fleet, as the lines of a table."""
    lines: List[Sequence[str]] = [("device", "wave", "state", "release", "sent", "time", "")]
    for row in rolled.rows:
        done, tried = row.flashed, row.state != LEFT
        lines.append(
            (
                row.name,
                str(row.wave) if tried else "-",
                row.state,
                done.release if done else "-",
                f"{done.sent / 1e6:.1f} MB" if done else "-",
                f"{row.seconds:.1f} s" if tried else "-",
                row.error or "; ".join(done.warnings if done else []),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(6)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths)), line[-1]]).rstrip()
        for line in lines
    ]
