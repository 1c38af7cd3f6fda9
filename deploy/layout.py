"""Where things lie on a device, below a root: `/`, or a folder that stands for a whole device.

opt/edgelane/current -> releases/<id>     what runs
opt/edgelane/watcher -> releases/<id>     whose edgelane watches it: that of the one before
opt/edgelane/releases/<id>/               a release; `.complete` in it is written last
var/lib/edgelane/state.json               which releases have proved themselves
var/lib/edgelane/lock                     held while anything is changed
var/lib/edgelane/runs/                    journals; no release ever touches them
var/lib/edgelane/engines/                 engines that were built here, for all releases
etc/edgelane/trust.json                   whose bundles are taken
etc/edgelane/secrets/NAME                 passwords of cameras, 0600
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Union

import msgspec

from ..core import ReleaseError, StorageError
from .files import Files, make_folder, put, storage
from .manifest import NAME, Manifest, decode

PathLike = Union[str, "os.PathLike[str]"]

COMPLETE = ".complete"


class State(msgspec.Struct):
    """What a device remembers of its releases.

    Attributes:
        order: Ids of releases as they were installed, newest last.
        good: Ids of those that have proved themselves.
        probation: The release that is being watched, or None.
        starts: How often it was started while it was watched.
        seen: The latest time that the clock has shown, as Unix time.
        probation_s: For how many seconds it is watched.
        before: Frames a second of each camera before the switch to it.
    """

    order: List[str] = []
    good: List[str] = []
    probation: Optional[str] = None
    starts: int = 0
    seen: float = 0.0
    probation_s: float = 600.0
    before: Dict[str, float] = {}


class Release:
    """A release on a device.

    Attributes:
        folder: Where it lies.
        id: Its name there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @property
    def complete(self) -> bool:
        """Whether its installation came to its end."""
        return (self.folder / COMPLETE).is_file()

    @property
    def manifest(self) -> Manifest:
        """What it holds.

        Raises:
            ReleaseError: It cannot be read.
        """
        return decode(self._read(NAME), f"release {self.id}")

    def check(self) -> Manifest:
        """Make sure that it is whole: every file is there, byte for byte.

        Raises:
            ReleaseError: It is not.
        """
        data = self._read(NAME)
        if self._read(COMPLETE).decode("ascii", "replace").strip() != sha256(data):
            raise self._damaged(COMPLETE)
        manifest = decode(data, f"release {self.id}")
        for file in manifest.files:
            if sha256_of(self.folder / file.path) != file.sha256:
                raise self._damaged(file.path)
        return manifest

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            raise self._damaged(name) from None

    def _damaged(self, name: str) -> ReleaseError:
        return ReleaseError(
            f"release {self.id} is damaged at {name}",
            remedy="install its bundle again, which puts back what is damaged, or go back with "
            "edgelane rollback",
        )


def sha256(data: bytes) -> str:
    """As 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> Optional[str]:
    """Of a file, or None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


class Layout:
    """A device's folders.

    Args:
        root: `/`, or the folder that stands for it.
        files: What changes the disk.
    """

    def __init__(self, root: PathLike = "/", files: Optional[Files] = None) -> None:
        self.root = Path(root)
        self.files = files or Files()
        self.base = self.root / "opt/edgelane"
        self.releases = self.base / "releases"
        self.link = self.base / "current"
        self.watcher = self.base / "watcher"
        self.var = self.root / "var/lib/edgelane"
        self.runs = self.var / "runs"
        self.engines = self.var / "engines"
        self.etc = self.root / "etc/edgelane"
        self.trust = self.etc / "trust.json"
        self.secrets = self.etc / "secrets"

    def current(self) -> Optional[Release]:
        """The release that `current` points to, or None where nothing is installed."""
        try:
            name = os.path.basename(os.readlink(str(self.link)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self.link} cannot be read", got=error.strerror) from None
        return Release(self.releases / name)

    def all(self) -> List[Release]:
        """All releases, also such as are not complete."""
        try:
            names = sorted(os.listdir(str(self.releases)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self.releases} cannot be read", got=error.strerror) from None
        return [Release(self.releases / name) for name in names]

    def read_state(self) -> State:
        """What is remembered; a file that is lost or damaged costs no more than the memory."""
        try:
            return msgspec.json.decode((self.var / "state.json").read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return State()

    def write_state(self, state: State) -> None:
        """Remember it."""
        text = json.dumps(msgspec.to_builtins(state), indent=1) + "\n"
        with storage("the state of the device"):
            put(self.files, self.var / "state.json", text.encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this device, so that two changes cannot meet.

        Raises:
            ReleaseError: Somebody else holds it.
            StorageError: The folders cannot be written.
        """
        with storage(f"{self.root}"):
            for folder in (self.releases, self.runs, self.etc):
                make_folder(self.files, folder)
            handle = os.open(str(self.var / "lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                raise ReleaseError(
                    f"another installation is at work in {self.root}",
                    remedy="wait until it has ended",
                ) from None
            yield
        finally:
            os.close(handle)

    def describe(self) -> List[Dict[str, object]]:
        """The complete releases, oldest first, for a listing."""
        running, state = self.current(), self.read_state()
        known = {name: at for at, name in enumerate(state.order)}
        found = sorted(
            (r for r in self.all() if r.complete), key=lambda r: (known.get(r.id, -1), r.id)
        )
        return [
            {
                "id": r.id,
                "version": r.manifest.version,
                "running": running is not None and r.id == running.id,
                "good": r.id in state.good,
            }
            for r in found
        ]
