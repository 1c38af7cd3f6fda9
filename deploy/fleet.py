"""Many devices from one inventory, in waves, stopping where too many fail."""

import math
import re
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..core import EdgelaneError, UsageError
from .flash import Flashed, PathLike, flash, look
from .inventory import Host, secrets_of

FAILED, LEFT, BACK = "failed", "left", "back"
_AFTER_S = 60.0  # that a device may need beyond its probation

_WAVE = re.compile(r"(\d+(?:\.\d+)?)(%?)\Z")


class Row(NamedTuple):
    """What came of one device.

    Attributes:
        name: In the inventory.
        address: As in the inventory.
        wave: Its number, from 1.
        state: `installed`, `unchanged`, `planned`, `failed`, `back` where it went back by itself,
            or `left` where it was not tried.
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
        return _failures(self.rows)


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
    watch: bool = True,
    poll_s: float = 10.0,
    ssh: Sequence[str] = ("ssh",),
    tell: Callable[[str, str], None] = lambda name, text: None,
    **options: Any,
) -> Rolled:
    """Flash a bundle to many devices.

    A device that has it already is quick, so that the same call goes on where one was stopped.
    Where devices watch a new release for a while, the next wave waits for what comes of it.

    Args:
        hosts: As `read_inventory` gives them.
        bundle: The bundle.
        waves: How far each wave goes; the first devices of the inventory are the first to get it.
        max_failures: Share of the devices up to a wave's end that may fail; beyond it no further
            device is begun.
        parallel: How many are flashed at the same time.
        secrets: The desk's folder of secrets.
        watch: Whether a wave waits for the probation of the one before.
        poll_s: How often devices are asked meanwhile.
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
        for row in work.run(wave, parallel, lambda n=allowed: _failures(rows.values()) <= n):
            rows[row.name] = row
        if watch and number < len(ends) and _failures(rows.values()) <= allowed:
            for row in work.watch([rows[name] for name in wave], poll_s):
                rows[row.name] = row
        failed = _failures(rows.values())
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


def _failures(rows: Iterable[Row]) -> int:
    return sum(row.state in (FAILED, BACK) for row in rows)


def _port(host: Host) -> List[str]:
    return ["-p", str(host.port)] if host.port is not None else []


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

    def watch(self, rows: List[Row], poll_s: float):
        """Wait for the probation of devices, and yield those anew that went back or are gone."""
        waiting = {
            row.name: time.monotonic() + float(row.flashed.installed["probation_s"]) + _AFTER_S
            for row in rows
            if row.flashed is not None and row.flashed.installed.get("probation_s")
        }
        of = {row.name: row for row in rows}
        for name in waiting:
            self._say(name, "is watched before the next wave begins")
        while waiting:
            time.sleep(poll_s)
            for name, deadline in list(waiting.items()):
                error, over = self._went(of[name])
                late = time.monotonic() > deadline
                if over or late:
                    del waiting[name]
                    self._say(name, error or ("has proved itself" if over else "is still watched"))
                    if error:
                        state = BACK if over else FAILED
                        yield of[name]._replace(state=state, error=error)

    def _went(self, row: Row) -> Tuple[str, bool]:
        """What speaks against a device that is watched, and whether its watch is over."""
        assert row.flashed is not None
        host = self.hosts[row.name]
        root = host.root or self.options.get("root") or "/"
        try:
            facts = look(host.address, root, [*self.ssh, *_port(host)])
        except EdgelaneError as error:
            return str(error), False
        if facts.release != row.flashed.release:
            return f"it went back to {facts.release} by itself", True
        return "", facts.told["probation"] != row.flashed.release

    def _one(self, name: str) -> Row:
        host, begun = self.hosts[name], time.monotonic()
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
                ssh=[*self.ssh, *_port(host)],
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
