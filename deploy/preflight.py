"""What a desk knows of a device before it sends anything, and what speaks against sending."""

import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..core import EdgelaneError, ReleaseError, StorageError, UsageError, find_device
from ..runtime.jetson import Machine, detect
from .answers import plain
from .bare.facts import TOLD
from .bare.receive import PYTHON
from .checks import EARLIEST, check_device, check_expiry, check_version, day_of
from .keys import PublicKey
from .manifest import Manifest
from .trust import Trust

OLDEST = (3, 8)
"""The oldest Python that edgelane runs on."""
SPARE = 16 << 20
_CLOCK_S = 86400.0
_UNPACKED = 4  # wheels grow when they are unpacked


class Facts(NamedTuple):
    """A device as it is.

    Attributes:
        host: As the user calls it.
        told: What it tells, as `bare.facts.facts` has it.
        machine: The Jetson that it is, or None.
    """

    host: str
    told: Dict[str, Any]
    machine: Optional[Machine]

    @property
    def release(self) -> Optional[str]:
        """Id of the release that runs, or None."""
        return plain(self.told["release"]) if self.told["release"] is not None else None

    @property
    def trust(self) -> Trust:
        """Whom it trusts."""
        told = self.told["trust"]
        return Trust(dict(told["keys"]), list(told["revoked"]))

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        told, machine = self.told, self.machine
        python = ".".join(str(part) for part in told["python"])
        words: List[str] = []
        if machine is None:
            words.append(f"no Jetson ({told['machine']})")
        else:
            words.append(machine.device.title if machine.device else machine.model)
            if machine.l4t:
                jetpack = f" (JetPack {machine.jetpack.name})" if machine.jetpack else ""
                words.append(f"L4T {machine.l4t}{jetpack}")
        words.append(f"TensorRT {self.tensorrt or 'none'}")
        return plain(", ".join([*words, f"Python {python}", f"{told['free'] / 1e9:.1f} GB free"]))

    @property
    def tensorrt(self) -> Optional[str]:
        """Version of its TensorRT, or None."""
        if self.machine is not None and "tensorrt" in self.machine.packages:
            return self.machine.packages["tensorrt"]
        found = (re.search(r"so\.(\d+\.\d+[\d.]*)", name) for name in self.told["tensorrt"])
        return max((match.group(1) for match in found if match), default=None)


def read_facts(host: str, told: Dict[str, Any]) -> Facts:
    """What a device tells, understood."""
    with tempfile.TemporaryDirectory(prefix="edgelane-facts-") as name:
        root = Path(name)
        # Only these: what comes from elsewhere must not choose where it is written.
        files = {path: told["files"].get(path, "") for path in TOLD}
        files["proc/meminfo"] = told["memory"] + "\n"
        files["var/lib/dpkg/status"] = told["packages"]
        for path, text in files.items():
            if text.strip():
                place = root / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8")
        return Facts(host, told, detect(root))


def whom_to_trust(facts: Facts, first: Optional[PublicKey]) -> Tuple[Trust, bool]:
    """Whom a device trusts, and whether that begins with this flash.

    Args:
        facts: The device.
        first: The key that a device which trusts nobody is given.

    Raises:
        ReleaseError: It trusts nobody and no key is given, or others than the one given.
    """
    if not facts.told["trust"]["there"]:
        if first is None:
            raise ReleaseError(
                f"{facts.host} trusts no key yet",
                remedy="give --trust NAME.pub: it trusts that key from then on",
            )
        return Trust({first.id: first.text}), True
    trust = facts.trust
    if first is not None and first.id not in trust.keys:
        raise ReleaseError(
            f"{facts.host} trusts others than the key {first.id}",
            got=", ".join(sorted(trust.keys)) or "none",
            remedy="--trust is for a device that trusts nobody; keys are rotated by a bundle",
        )
    return trust, False


def check_bundle(
    facts: Facts,
    made: Manifest,
    *,
    device: Optional[str],
    downgrade: bool,
    ignore_expiry: bool,
) -> List[str]:
    """Make sure that a device may take a bundle.

    Returns:
        What a user should know, though nothing is refused for it.

    Raises:
        ReleaseError: It may not.
    """
    told, warnings = facts.told, []
    if device is not None:
        here = find_device(device)
    else:
        here = facts.machine.device if facts.machine is not None else None
    check_device(made, here)
    check_expiry(made, told["clock"], told["seen"], ignore_expiry, facts.host)
    if facts.release is not None and isinstance(told["version"], int):
        check_version(made, told["version"], downgrade)
    off = told["clock"] - time.time()
    if told["clock"] < EARLIEST or abs(off) > _CLOCK_S:
        warnings.append(
            f"the clock of {facts.host} says {day_of(told['clock'])}, so its events will be dated "
            "wrongly: set it there with timedatectl, or see that it reaches a time server"
        )
    if facts.machine is not None and facts.tensorrt is None:
        warnings.append(f"{facts.host} has no TensorRT: the CPU will serve, and slowly")
    if told["probation"] and told["probation"] == facts.release:
        warnings.append(f"{facts.release} is still on probation there")
    return warnings


def check_space(facts: Facts, made: Manifest, size: int, there: int, bootstrap: bool) -> None:
    """Make sure that a device has room.

    Args:
        facts: The device.
        made: What the bundle holds.
        size: Bytes of the bundle.
        there: Bytes of it that are on the device already.
        bootstrap: Whether its wheels are unpacked, too.

    Raises:
        StorageError: It has not.
    """
    needed = size - there + sum(file.size for file in made.files) + SPARE
    if bootstrap:
        # The wheels are unpacked twice: to install, and for good.
        needed += 2 * _UNPACKED * sum(made.file(path).size for path in made.wheels)
        brought = (f.size for f in made.files if f.path.startswith(PYTHON + "/"))
        needed += _UNPACKED * sum(brought)
    free = facts.told["free"]
    if free < needed:
        raise StorageError(
            f"the disk of {facts.host} is too full for this release",
            got=f"{free / 1e6:.0f} MB free",
            expected=f"{needed / 1e6:.0f} MB",
            remedy="free some space there: edgelane rollback --list shows old releases",
        )


def foretell(facts: Facts, release: str, options: Sequence[str]) -> List[str]:
    """What an installation does once the files are there, as sentences.

    Args:
        facts: The device.
        release: Id of the release to be.
        options: Those of `edgelane install`.
    """
    if facts.release == release:
        return ["put back its files that are damaged"]
    steps = []
    if facts.tensorrt is not None and "--no-engine" not in options:
        steps.append("build the engines that are not there yet")
    steps.append("replay the golden clip")
    if facts.told["systemd"] and "--no-cameras" not in options:
        steps.append("look at the cameras")
    steps.append(f"switch to it{f' from {facts.release}' if facts.release else ''}")
    if facts.told["systemd"]:
        told = [options[i + 1] for i, name in enumerate(options) if name == "--probation"]
        if told[-1:] != ["0"]:
            steps.append(
                f"watch it for {told[-1] if told else '10m'}, and go back if it does worse"
            )
    return [*steps, *(f"remove {name}" for name in leaving(facts.told, release))]


def leaving(told: Dict[str, Any], release: str, keep: int = 3) -> List[str]:
    """The old releases that an installation removes, as `releases.prune` does it."""
    others = [name for name in told["complete"] if name != release]
    known = [name for name in told["order"] if name in others]
    found = [*(name for name in others if name not in known), *known, release]
    held = {release}
    held.update(next(([n] for n in reversed(found[:-1]) if n in told["good"]), []))
    for name in reversed(found):
        if len(held) < keep:
            held.add(name)
    return [name for name in found if name not in held]


class Python(NamedTuple):
    """What runs an installation on a device.

    Attributes:
        command: What runs edgelane there.
        interpreter: The interpreter alone; None for a release's own script.
        edgelane: Version of its edgelane, or None where the bundle's is unpacked first.
        version: Of the interpreter.
        machine: As `uname -m` tells it.
    """

    command: List[str]
    interpreter: Optional[List[str]]
    edgelane: Optional[str]
    version: Tuple[int, int]
    machine: str


def candidates(facts: Facts, found: List[Dict[str, Any]]) -> List[Python]:
    """Interpreters there that edgelane runs on, those that have it first.

    Raises:
        EdgelaneError: There is none.
    """
    all_of_them = []
    for one in found:
        if one.get("script"):
            return [Python(one["command"], None, one["edgelane"], OLDEST, "")]
        command, (major, minor) = one["command"], (*one["python"], 0, 0)[:2]
        run = [*command, "-m", "edgelane"]
        all_of_them.append(Python(run, command, one["edgelane"], (major, minor), one["machine"]))
    good = [one for one in all_of_them if one.version >= OLDEST]
    if not good:
        versions = sorted({"{}.{}".format(*one.version) for one in all_of_them})
        raise EdgelaneError(
            f"{facts.host} has no Python that edgelane runs on",
            got=", ".join(versions) or None,
            expected="3.8 or newer",
            remedy="install one there (apt install python3.8), or carry one (bundle --python)",
        )
    return sorted(good, key=lambda one: one.edgelane is None)


def brought(facts: Facts, made: Manifest, root: str) -> Optional[Python]:
    """The Python that a bundle brings for devices whose own is too old, or None."""
    for file in made.files:
        match = re.match(rf"{PYTHON}/python(3)\.(\d+)_", file.path)
        if match:
            version = (int(match.group(1)), int(match.group(2)))
            path = os.path.join(root, "opt/edgelane/python/usr/bin", "python{}.{}".format(*version))
            run = [path, "-m", "edgelane"]
            return Python(run, [path], None, version, facts.told["machine"])
    return None


def check_values(values: Dict[str, str]) -> Dict[str, str]:
    """Values that may be set on a device by name.

    Raises:
        UsageError: One may not.
    """
    from ..runtime.secrets import LONGEST, check_secret_name

    for name, value in values.items():
        check_secret_name(name)
        if not value or len(value) > LONGEST or any(ord(c) < 32 for c in value):
            raise UsageError(
                f"the value of {name} is wrong", expected=f"one line of up to {LONGEST} characters"
            )
    return values
