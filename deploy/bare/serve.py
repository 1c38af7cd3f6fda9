"""The far side of a flash: answers what a desk asks over ssh, line by line in JSON.

It holds the device's flash lock from `lock` to its end, so that no two desks meet. It ends when the
desk is gone or silent. An installation that has begun goes on without it, and keeps the lock.
"""

import contextlib
import errno
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from . import facts as far
from .disk import Files, make_folder, put
from .receive import PYTHON, Incoming, Torn, remove, whole
from .wheels import WheelError, choose, unpack

SILENCE_S = 120
"""How long a desk may say nothing."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class Refused(Exception):
    """What cannot be done, as a sentence."""


class Desk:
    """The line to the desk."""

    def __init__(self) -> None:
        self._in: Any = sys.stdin.buffer
        self._out = sys.stdout.buffer

    def hear(self) -> Optional[Dict[str, Any]]:
        """What it asks next, or None where it is gone."""
        signal.alarm(SILENCE_S)
        line = self._in.readline()
        signal.alarm(0)
        return json.loads(line.decode("utf-8")) if line.endswith(b"\n") else None

    def read1(self, size: int) -> bytes:
        """Bytes as they come."""
        signal.alarm(SILENCE_S)
        block = self._in.read1(size)
        signal.alarm(0)
        return block

    def say(self, **answer: Any) -> None:
        """Answer it."""
        self._out.write(json.dumps(answer).encode("utf-8") + b"\n")
        self._out.flush()


class Device:
    """What a desk may ask of a device.

    Args:
        root: The device's root.
        desk: Who asks.
        files: What changes the disk.
    """

    def __init__(self, root: str, desk: Desk, files: Optional[Files] = None) -> None:
        self.root = root
        self.places = far.Places(root)
        self.desk = desk
        self.files = files or Files()
        self.incoming: Optional[Incoming] = None
        self._lock = -1

    def facts(self) -> Dict[str, Any]:
        """As `facts.facts`."""
        return far.facts(self.root)

    def check(self, release: str) -> Dict[str, Any]:
        """Whether a release is whole."""
        return {"whole": whole(self.places, release)}

    def lock(self) -> Dict[str, Any]:
        """Keep other desks away."""
        make_folder(self.files, Path(self.places.var))
        self._lock = os.open(self.places.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise Refused("another flash is at work") from None
        return {}

    def trust(self, keys: Dict[str, str]) -> Dict[str, Any]:
        """Trust keys, where nobody is trusted yet."""
        if os.path.lexists(self.places.trust):
            raise Refused("this device trusts somebody already")
        make_folder(self.files, Path(self.places.etc))
        text = json.dumps({"keys": keys, "revoked": []}, indent=1, sort_keys=True) + "\n"
        put(self.files, Path(self.places.trust), text.encode("ascii"))
        return {}

    def secrets(self, values: Dict[str, str]) -> Dict[str, Any]:
        """Set secrets that are not set so yet; only their owner may read them."""
        folder = Path(self.places.secrets)
        changed = self._changed(values)
        if changed:
            make_folder(self.files, folder.parent)
            if not folder.is_dir():
                self.files.mkdir(folder)
                os.chmod(str(folder), 0o700)
                self.files.sync(folder.parent)
        owner = folder.stat() if changed else None
        for name in changed:
            place = folder / name
            before = place.stat() if place.is_file() else owner
            put(self.files, place, values[name].encode("utf-8") + b"\n", 0o600)
            if os.geteuid() == 0 and before is not None:
                # Who runs edgelane must be able to read it, as before.
                os.chown(str(place), before.st_uid, before.st_gid)
        return {"changed": changed}

    def _changed(self, values: Dict[str, str]) -> List[str]:
        changed = []
        for name in sorted(values):
            if not _SECRET.match(name):
                raise Refused(f"{name!r} is no name of a secret")
            try:
                with open(os.path.join(self.places.secrets, name), "rb") as file:
                    same = file.read() == values[name].encode("utf-8") + b"\n"
            except OSError:
                same = False
            if not same:
                changed.append(name)
        return changed

    def compare(self, values: Dict[str, str]) -> Dict[str, Any]:
        """Which secrets are set otherwise; nothing is changed."""
        return {"changed": self._changed(values)}

    def plan(self, release: str, manifest: str) -> Dict[str, Any]:
        """As `Incoming.plan`."""
        self.incoming = Incoming(self.places, release, manifest.encode("utf-8"))
        return self.incoming.plan()

    def receive(self, signature: str) -> Dict[str, Any]:
        """Take the members that are not here."""
        assert self.incoming is not None
        make_folder(self.files, Path(self.places.var))
        path = self.incoming.receive(self.desk)
        with open(path + ".minisig", "wb") as file:
            file.write(signature.encode("utf-8"))
        return {"path": path}

    def python(self, named: Optional[str]) -> Dict[str, Any]:
        """Interpreters that may run an installation: the release's own, or else all there are."""
        own = far.script(os.path.join(self.places.link, "edgelane"))
        if own:
            return {"pythons": [own]}
        found = []
        for path in far.pythons(named, self.places.python):
            known = far.about([path])
            if known:
                found.append(known)
                if known["edgelane"]:
                    break
        return {"pythons": found, "glibc": far.glibc()}

    def bring(self) -> Dict[str, Any]:
        """Unpack the Python that the bundle brings, beside the releases."""
        assert self.incoming is not None
        new = self.places.python + ".new"
        remove(new)
        os.makedirs(new)
        package = os.path.join(self.places.var, "python.deb")
        with open(self.incoming.path, "rb") as bundle:
            for piece in self.incoming.pieces:
                name = "" if piece.data is not None else self.incoming.names[piece.index]
                if not (name.startswith(PYTHON + "/") and name.endswith(".deb")):
                    continue
                with open(package, "wb") as file:
                    shutil.copyfileobj(Slice(bundle, piece.start, piece.size), file, 1 << 20)
                code = subprocess.call(["dpkg", "-x", package, new], stdin=subprocess.DEVNULL)
                if code != 0:
                    raise Refused("dpkg cannot unpack " + name)
        remove(package)
        os.sync()
        remove(self.places.python)
        os.rename(new, self.places.python)
        self.files.sync(Path(self.places.base))
        return {}

    def bootstrap(self, command: List[str], wheels: List[str], mark: str) -> Dict[str, Any]:
        """Unpack the bundle's wheels beside the releases, so that they can verify it."""
        assert self.incoming is not None and re.match(r"[0-9a-f]{12}\Z", mark)
        folder = os.path.join(self.places.bootstrap, mark)
        site = os.path.join(folder, "site")
        if not os.path.isdir(folder):
            new = os.path.join(self.places.bootstrap, ".new")
            remove(new)
            os.makedirs(os.path.join(new, "site"))
            with open(self.incoming.path, "rb") as bundle:
                for piece in self.incoming.pieces:
                    if piece.data is None and str(piece.index) in wheels:
                        unpack(Slice(bundle, piece.start, piece.size), os.path.join(new, "site"))
            os.sync()  # thousands of small files: once for all of them
            os.rename(new, folder)
            self.files.sync(Path(self.places.bootstrap))
        run = ["env", "PYTHONPATH=" + site, *command]
        known = far.about(run)
        if not known or not known["edgelane"]:
            lacks = known["lacks"] if known else "it does not run"
            raise Refused("the bundle's wheels do not make an edgelane: " + lacks)
        return {"command": [*run, "-m", "edgelane"]}

    def choose(self, names: List[str], python: List[int], machine: str) -> Dict[str, Any]:
        """Which wheels are for an interpreter here."""
        major, minor = far.glibc()
        return {"wheels": choose(names, (python[0], python[1]), machine, (major, minor))}

    def install(self, command: List[str]) -> Dict[str, Any]:
        """Run an installation; what it says on its way is passed on."""
        with open(self.places.log, "wb") as log, open(self.places.log + ".out", "wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,  # it ends what it has begun, also when the line is cut
                pass_fds=[self._lock] if self._lock >= 0 else [],
                cwd="/",
            )
        with open(self.places.log, "rb") as log:
            while True:
                code = process.poll()
                for line in log.read().splitlines():
                    self.desk.say(says=line.decode("utf-8", "replace"))
                if code is not None:
                    break
                time.sleep(0.05)
        with open(self.places.log + ".out", "rb") as out:
            text = out.read().decode("utf-8", "replace")
        remove(self.places.log + ".out")
        return {"code": code, "out": text}

    def restart(self) -> Dict[str, Any]:
        """Let what runs read its secrets anew."""
        if os.path.realpath(self.root) != "/" or not os.path.isdir("/run/systemd/system"):
            return {"restarted": False}
        code = subprocess.call(
            ["systemctl", "try-restart", "edgelane.service"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return {"restarted": code == 0}

    def sweep(self) -> Dict[str, Any]:
        """Take away what only the way here needed."""
        remove(self.places.incoming)
        if os.path.isdir(os.path.join(self.places.link, "venv")):
            remove(self.places.bootstrap)  # what runs has its own
            return {}
        kept = sorted(glob.glob(os.path.join(self.places.bootstrap, "*")), key=os.path.getmtime)
        for path in kept[:-1]:
            remove(path)
        remove(os.path.join(self.places.bootstrap, ".new"))
        return {}


class Slice:
    """A part of a file as a file of its own, to be read.

    Args:
        file: The whole.
        start: Where the part begins.
        size: Its bytes.
    """

    def __init__(self, file: Any, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def read(self, size: int = -1) -> bytes:
        """Bytes from where it stands."""
        left = max(self._size - self._at, 0)
        size = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere in it."""
        base = (0, self._at, self._size)[whence]
        if base + offset < 0:
            raise ValueError(offset)
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def seekable(self) -> bool:
        """It can be sought in."""
        return True


ASKED = (
    "facts", "check", "lock", "trust", "secrets", "compare", "plan", "receive", "python", "choose",
    "bring", "bootstrap", "install", "restart", "sweep",
)  # fmt: skip


def main(root: str) -> int:
    """Answer until the desk is gone."""
    desk = Desk()
    device = Device(root, desk)
    desk.say(edgelane=1)
    with contextlib.suppress(BrokenPipeError):
        while True:
            asked = desk.hear()
            if asked is None:
                return 0
            what = asked.pop("do")
            if what not in ASKED:
                desk.say(error=f"it does not know {what!r}")
                return 1
            try:
                desk.say(**getattr(device, what)(**asked))
            except EOFError:
                return 0
            except (Refused, WheelError) as error:
                desk.say(error=str(error), kind="refused")
                return 1
            except Torn:
                desk.say(error="a member came otherwise than it is", kind="torn")
                return 1
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                desk.say(
                    error=os.strerror(error.errno) if error.errno else str(error),
                    kind="full" if error.errno in _FULL else "disk",
                    where=str(error.filename or ""),
                )
                return 1
    return 0
