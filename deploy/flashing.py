"""One connection of a flash after another: what the device lacks is sent, and installed there."""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional, Sequence, Union

from ..core import EdgelaneError, ReleaseError
from .answers import Installation, understood
from .bundle import Opened, open_bundle
from .far import Far, Refused
from .keys import PublicKey
from .layout import sha256
from .preflight import (
    Facts,
    Python,
    brought,
    candidates,
    check_bundle,
    check_space,
    foretell,
    read_facts,
    whom_to_trust,
)
from .staging import release_id

PathLike = Union[str, "os.PathLike[str]"]
Tell = Callable[[str, float, Optional[float]], None]
"""Is told what is done, how much of it is, and of how much."""

_PATIENCE_S, _POLL_S = 1800.0, 1.0  # engines of large models take that long on a Nano

INSTALLED, UNCHANGED, PLANNED = "installed", "unchanged", "planned"


class Flashed(NamedTuple):
    """What came of a flash.

    Attributes:
        host: As the user calls it.
        state: `installed`, also where damaged files of a release that ran already were put back;
            `unchanged`, where it ran already; `planned`, where nothing was to be changed.
        release: Id of the release.
        before: Id of the one that ran before, or None.
        device: What the device is, in a few words.
        size: Bytes of the bundle.
        sent: Bytes that went there, all in all.
        seconds: How long it took.
        steps: What was done, or would be, as sentences.
        warnings: What a user should know.
        installed: What `edgelane install --json` told; empty where it did not run.
    """

    host: str
    state: str
    release: str
    before: Optional[str]
    device: str
    size: int
    sent: int
    seconds: float
    steps: List[str]
    warnings: List[str]
    installed: Dict[str, Any]


@dataclass
class Flashing:
    """One flash; it may take several connections.

    Attributes:
        first: The key that a device which trusts nobody yet trusts from now on.
        sent: Bytes that went there, all in all.
        again: Whether an earlier connection was cut.
        before: What came of it before the installation, once that has begun; None until then.

    The others are as in `flash`.
    """

    host: str
    root: str
    ssh: Sequence[str]
    python: Optional[str]
    password: Optional[str]
    first: Optional[PublicKey]
    downgrade: bool
    ignore_expiry: bool
    device: Optional[str]
    values: Dict[str, str]
    options: Sequence[str]
    dry_run: bool
    tell: Tell
    sent: int = 0
    again: bool = False
    before: Optional[Flashed] = None

    def once(
        self, file: BinaryIO, bundle: PathLike, signature: Optional[PathLike], text: str
    ) -> Flashed:
        """One connection from its beginning to its end."""
        self.tell(f"asking {self.host}", 0, None)
        far, facts = self._connect()
        try:
            return self._through(far, facts, file, bundle, signature, text)
        finally:
            self.sent += far.sent
            far.close()

    def _connect(self) -> "tuple[Far, Facts]":
        """A connection that may do what has to be done."""
        far = Far(self.host, self.root, ssh=self.ssh)
        try:
            facts = read_facts(self.host, far.ask("facts"))
            if facts.told["writable"] or self.dry_run:
                return far, facts
            self.sent += far.sent
            far.close()
            try:
                far = Far(self.host, self.root, sudo=["sudo", "-n"], ssh=self.ssh)
            except Refused:
                if self.password is None:
                    raise EdgelaneError(
                        f"{facts.told['user']} may not change {self.root} on {self.host}, and sudo "
                        "asks for a password there",
                        remedy="give --ask-sudo, or flash as root",
                    ) from None
                sudo = ["sudo", "-S", "-p", ""]
                far = Far(self.host, self.root, sudo=sudo, password=self.password, ssh=self.ssh)
            return far, read_facts(self.host, far.ask("facts"))
        except BaseException:
            far.close()
            raise

    def _through(
        self,
        far: Far,
        facts: Facts,
        file: BinaryIO,
        bundle: PathLike,
        signature: Optional[PathLike],
        text: str,
    ) -> Flashed:
        trust, is_first = whom_to_trust(facts, self.first)
        file.seek(0)
        opened = open_bundle(file, trust, signature, os.fspath(bundle))
        made, release = opened.manifest, release_id(opened)
        size = os.fstat(file.fileno()).st_size
        steps: List[str] = []
        result = Flashed(
            self.host, UNCHANGED, release, facts.release, facts.title, size, 0, 0.0, steps, [], {}
        )
        if self.again:
            # What was begun before the cut has gone on without us.
            facts = self._quiet(far, facts)
        if facts.release == release and far.work("check", release=release)["whole"]:
            if self.before is not None and self.before.before != release:
                return self.before._replace(state=INSTALLED)
            return self._values_alone(far, result)
        warnings = check_bundle(
            facts,
            made,
            device=self.device,
            downgrade=self.downgrade or facts.release == release,
            ignore_expiry=self.ignore_expiry,
        )
        if facts.told["busy"]:
            raise ReleaseError(
                f"another {facts.told['busy']} is at work on {self.host}",
                remedy="wait until it has ended",
            )
        python, wheels, bring = self._choose(far, facts, opened)
        if not self.dry_run:
            far.ask("lock")
        plan = far.work("plan", release=release, manifest=opened.data.decode("utf-8"))
        if plan["size"] != size:
            raise ReleaseError(f"{os.fspath(bundle)} is not as a bundle is written")
        spans = _spans(opened, plan["at"], set(plan["local"]))
        needed = sum(end - start for start, end in spans)
        check_space(facts, made, size, plan["at"], bool(wheels))
        changed = far.ask("compare", values=self.values)["changed"] if self.values else []
        if is_first:
            (key,) = trust.keys
            steps.append(f"trust key {key}: the device trusts nobody yet")
        steps += [f"set {name}" for name in changed]
        steps.append(f"send {needed / 1e6:.1f} of {size / 1e6:.1f} MB")
        if bring:
            steps.append("unpack Python {}.{}, which the bundle brings".format(*python.version))
        if wheels:
            steps.append(f"unpack {len(wheels)} wheels, to install with them")
        steps.append(f"install {release} with {' '.join(python.command)}")
        steps += foretell(facts, release, self.options)
        result = result._replace(warnings=warnings)
        if self.dry_run:
            if not facts.told["writable"]:
                warnings.append(f"sudo would be used on {self.host}")
            return result._replace(state=PLANNED)
        if is_first:
            far.ask("trust", keys=trust.keys)
        if changed:
            far.ask("secrets", values=self.values)
        path = self._send(far, file, spans, needed, text)
        command = python.command
        if bring:
            self.tell("unpacking Python", 0, None)
            far.work("bring")
        if wheels:
            self.tell("unpacking wheels", 0, None)
            mark = sha256("\n".join(made.file(w).sha256 for w in sorted(wheels)).encode())[:12]
            numbers = [str(n) for n, f in enumerate(made.files) if f.path in wheels]
            answer = far.work("bootstrap", command=python.interpreter, wheels=numbers, mark=mark)
            command = answer["command"]
        self.before = result
        told = self._install(far, command, path)
        far.ask("sweep")
        state = UNCHANGED if told.get("unchanged") else INSTALLED
        return result._replace(state=state, before=told.get("before"), installed=told)

    def _quiet(self, far: Far, facts: Facts) -> Facts:
        """Wait until nobody is at work on the device."""
        for _ in range(int(_PATIENCE_S / _POLL_S)):
            if not facts.told["busy"]:
                break
            self.tell(f"waiting for the installation on {self.host}", 0, None)
            time.sleep(_POLL_S)
            facts = read_facts(self.host, far.ask("facts"))
        return facts

    def _values_alone(self, far: Far, result: Flashed) -> Flashed:
        """The release runs already; what is set beside it may have changed."""
        steps = result.steps
        changed = far.ask("compare", values=self.values)["changed"] if self.values else []
        steps += [f"set {name}" for name in changed]
        if changed and not self.dry_run:
            far.ask("lock")
            far.ask("secrets", values=self.values)
            if far.work("restart")["restarted"]:
                steps.append("start it anew")
        return result

    def _choose(self, far: Far, facts: Facts, opened: Opened) -> "tuple[Python, List[str], bool]":
        """What runs the installation, the wheels for it, and whether it is brought itself."""
        found = far.ask("python", named=self.python)["pythons"]
        carried = brought(facts, opened.manifest, self.root)
        try:
            good = candidates(facts, found)
        except EdgelaneError:
            if carried is None:
                raise
            good = []
        if good and good[0].edgelane is not None:
            return good[0], [], False
        good += [carried] if carried is not None else []
        names = opened.manifest.wheels
        for python in good:
            chosen = far.ask(
                "choose", names=names, python=list(python.version), machine=python.machine
            )["wheels"]
            if any(path.rpartition("/")[2].startswith("edgelane-") for path in chosen):
                return python, chosen, python is carried
        versions = ", ".join("{}.{}".format(*p.version) for p in good)
        raise ReleaseError(
            f"{self.host} has no edgelane, and the bundle brings none that fits",
            got=f"Python {versions} on {good[0].machine}",
            expected="wheels of edgelane and all that it needs",
            remedy="make the bundle with --wheel for each, or install edgelane there",
        )

    def _send(
        self, far: Far, file: BinaryIO, spans: Sequence[Sequence[int]], needed: int, text: str
    ) -> str:
        """Send what the device lacks; where the bundle lies then."""
        far.begin("receive", signature=text)

        def tell(gone: int) -> None:
            self.tell(f"sending to {self.host}", gone, needed)

        answer = far.send(file, spans, tell)
        return answer["path"]

    def _install(self, far: Far, command: Sequence[str], path: str) -> Dict[str, Any]:
        """Let the device install it, and give what it tells."""
        call = [*command, "install", path, "--root", self.root, "--json"]
        for given, option in (
            (self.downgrade, "--downgrade"),
            (self.ignore_expiry, "--ignore-expiry"),
        ):
            call += [option] if given else []
        call += ["--device", self.device] if self.device is not None else []
        said: List[str] = []

        def says(line: str) -> None:
            said.append(line)
            self.tell(f"{self.host}: {line.strip()}", 0, None)

        self.tell(f"installing on {self.host}", 0, None)
        answer = far.work("install", says, command=[*call, *self.options])
        if answer["code"] != 0:
            raise _failed(self.host, said, answer["code"])
        with contextlib.suppress(ValueError, IndexError):
            told = json.loads(answer["out"].splitlines()[-1])
            if isinstance(told, dict):
                understood(told, Installation, self.host)
                return told
        raise ReleaseError(f"the installation on {self.host} ended without an answer")


def _failed(host: str, said: Sequence[str], code: int) -> ReleaseError:
    errors = [line for line in said if line.startswith("Error: ")]
    lines = [line for line in said if line.strip()]
    last = errors[-1][7:] if errors else lines[-1] if lines else f"exit code {code}"
    return ReleaseError(
        f"the installation on {host} failed, and what ran before still runs", got=last[:2000]
    )


def _spans(opened: Opened, at: int, local: "set[int]") -> "List[tuple[int, int]]":
    """The stretches of a bundle that have to be sent."""
    spans = []
    for index, member in enumerate(opened.members):
        start, end = max(member.start, at), member.start + member.size
        if start < end and index not in local:
            spans.append((start, end))
    return spans
