"""The service that runs a device's release: systemd's, and what it is told."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from ..core import ReleaseError
from .files import make_folder, put, storage
from .layout import Layout

UNITS = ("edgelane.service", "edgelane-probation.service")
USER = "edgelane"
GROUPS = ("video", "render", "gpio", "i2c")
"""Groups that may use cameras, the GPU and digital outputs, where a system has them."""

Run = Callable[[Sequence[str]], Tuple[int, str]]
"""Runs a command: exit status, and what it said."""


class State(NamedTuple):
    """How a service is.

    Attributes:
        alive: Whether it runs, or is about to.
        restarts: How often it was started again because it had ended by itself.
    """

    alive: bool
    restarts: int


class Service:
    """What starts and stops the release of a device; this one does neither.

    It stands for a folder that is no running system, and for systems without systemd.
    """

    there = False

    def prepare(self, layout: Layout) -> None:
        """Make the user and the units, before the first release runs."""

    def restart(self) -> None:
        """Let the release that `current` points to run."""

    def watch(self) -> None:
        """Begin the probation of a new release."""

    def state(self) -> Optional[State]:
        """How it is; None where nobody knows."""
        return None


class Systemd(Service):
    """The service of a machine that runs systemd.

    Args:
        run: Runs a command.
    """

    there = True

    def __init__(self, run: Optional[Run] = None) -> None:
        self._run = run or _run

    def prepare(self, layout: Layout) -> None:
        if self._run(["getent", "passwd", USER])[0]:
            command = ["useradd", "--system", "--user-group", "--no-create-home"]
            command += ["--home-dir", str(layout.var), "--shell", "/bin/false", USER]
            self._must(command)
        known = [group for group in GROUPS if not self._run(["getent", "group", group])[0]]
        if known:
            self._must(["usermod", "-aG", ",".join(known), USER])
        for folder in (layout.runs, layout.engines, layout.secrets):
            with storage(str(folder)):
                folder.mkdir(parents=True, exist_ok=True)
            self._must(["chown", "-R", f"{USER}:{USER}", str(folder)])
        with storage(f"{layout.secrets}"):
            os.chmod(str(layout.secrets), 0o700)
        changed = False
        for name in UNITS:
            text = (Path(__file__).parent / "units" / name).read_bytes()
            place = layout.root / "etc/systemd/system" / name
            if not place.is_file() or place.read_bytes() != text:
                with storage(str(place)):
                    make_folder(layout.files, place.parent)
                    put(layout.files, place, text)
                changed = True
        if changed:
            self._must(["systemctl", "daemon-reload"])
            self._must(["systemctl", "enable", "--quiet", *UNITS])

    def restart(self) -> None:
        self._must(["systemctl", "reset-failed", UNITS[0]], may_fail=True)
        # What follows is watched, so that nobody waits for the cameras here.
        self._must(["systemctl", "restart", "--no-block", UNITS[0]])

    def watch(self) -> None:
        self._must(["systemctl", "restart", "--no-block", UNITS[1]])

    def state(self) -> Optional[State]:
        code, said = self._run(["systemctl", "show", UNITS[0], "--property=ActiveState,NRestarts"])
        told = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        if code or "ActiveState" not in told:
            return None
        restarts = told.get("NRestarts", "0")
        alive = told["ActiveState"] in ("active", "activating", "reloading")
        return State(alive, int(restarts) if restarts.isdigit() else 0)

    def _must(self, command: List[str], may_fail: bool = False) -> None:
        code, said = self._run(command)
        if code and not may_fail:
            raise ReleaseError(
                f"{' '.join(command[:2])} failed",
                got=said.strip().splitlines()[-1] if said.strip() else f"exit status {code}",
                remedy="run the installation as root",
            )


def this_service(root: Path) -> Service:
    """What runs the release of a root: systemd where the root is that of a machine it runs."""
    if str(root) == "/" and os.path.isdir("/run/systemd/system") and shutil.which("systemctl"):
        return Systemd()
    return Service()


def _run(command: Sequence[str]) -> Tuple[int, str]:
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace")
