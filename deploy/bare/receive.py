"""A bundle that is put together again where it is needed, of what is there and what is sent.

Every byte of a bundle follows from its manifest and its members, and releases on the device hold
members of older bundles. The file grows from its beginning to its end, so that after a cut its
length tells where to go on. Nothing here is believed: `install` verifies the whole by its
signature.
"""

import hashlib
import json
import os
import shutil
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .container import BLOCK, header, pad
from .facts import Places

MANIFEST = "manifest.json"
PYTHON = "python"
"""The folder of a bundle that holds a Python, as Debian packages."""
_PART = ".part"
_CHUNK = 1 << 18


class Torn(Exception):
    """What lies on the disk is not what was written there; it is taken away and sent again."""


class Piece(NamedTuple):
    """A stretch of a bundle: bytes that are known, or a member of this SHA-256 and number."""

    start: int
    size: int
    data: Optional[bytes]
    sha256: str
    index: int


def pieces(manifest: bytes) -> List[Piece]:
    """The stretches of a bundle in order, from its manifest."""
    found: List[Piece] = []
    at = 0

    def add(size: int, data: Optional[bytes], sha256: str = "", index: int = -1) -> None:
        nonlocal at
        found.append(Piece(at, size, data, sha256, index))
        at += size

    data = header(MANIFEST, len(manifest)) + manifest + pad(len(manifest))
    for index, file in enumerate(json.loads(manifest.decode("utf-8"))["files"]):
        data += header(file["path"], file["size"])
        add(len(data), data)
        add(file["size"], None, file["sha256"], index)
        data = pad(file["size"])
    data += bytes(2 * BLOCK)
    add(len(data), data)
    return found


class Incoming:
    """A bundle on its way to a device.

    Args:
        places: The device's folders.
        release: Id of the release that it is to become.
        manifest: The bundle's manifest.
    """

    def __init__(self, places: Places, release: str, manifest: bytes) -> None:
        if os.path.basename(release) != release or release.startswith("."):
            raise ValueError(release)
        self.places = places
        self.pieces = pieces(manifest)
        self.names = [file["path"] for file in json.loads(manifest.decode("utf-8"))["files"]]
        self.path = os.path.join(places.incoming, release + ".edgelane")
        self.part = self.path + _PART
        self.size = self.pieces[-1].start + self.pieces[-1].size
        self.at = 0
        self.local: Dict[int, str] = {}

    def plan(self) -> Dict[str, Any]:
        """What is there already; nothing is changed.

        Returns:
            `at`: where the sending begins; `local`: numbers of the members that need not be sent.
        """
        self.local = self._found()
        self.at = self._kept()
        return {"at": self.at, "local": sorted(self.local), "size": self.size}

    def _found(self) -> Dict[int, str]:
        """Members that lie in a release, byte for byte; by number."""
        wanted: Dict[str, Tuple[int, List[int]]] = {}
        for piece in self.pieces:
            if piece.data is None:
                wanted.setdefault(piece.sha256, (piece.size, []))[1].append(piece.index)
        local: Dict[int, str] = {}
        for path, sha256 in self._members():
            size, numbers = wanted.get(sha256, (-1, []))
            if not numbers or numbers[0] in local:
                continue
            try:
                if os.path.getsize(path) == size and sha256_of(path) == sha256:
                    local.update((number, path) for number in numbers)
            except OSError:
                continue
        return local

    def _members(self) -> Iterator[Tuple[str, str]]:
        """Paths and SHA-256 of what releases say that they hold."""
        try:
            names = sorted(os.listdir(self.places.releases))
        except OSError:
            return
        for name in names:
            folder = self.places.release(name)
            try:
                with open(os.path.join(folder, MANIFEST), "rb") as file:
                    listed = json.loads(file.read().decode("utf-8"))["files"]
                for item in listed:
                    path = os.path.join(folder, item["path"])
                    if not os.path.islink(path):
                        yield path, item["sha256"]
            except (OSError, ValueError, KeyError, TypeError):
                continue

    def _kept(self) -> int:
        """How much of what came before a cut is as it must be."""
        try:
            path = self.path if os.path.exists(self.path) else self.part
            size = os.path.getsize(path)
            with open(path, "rb") as file:
                for piece in self.pieces:
                    if piece.start + piece.size > size:
                        half = piece.data is None and piece.index not in self.local
                        return size if half else piece.start
                    if not self._same(file, piece):
                        return piece.start
        except OSError:
            return 0
        return self.size

    @staticmethod
    def _same(file: Any, piece: Piece) -> bool:
        if piece.data is not None:
            return file.read(piece.size) == piece.data
        digest = hashlib.sha256()
        for block in _blocks(file, piece.size):
            digest.update(block)
        return digest.hexdigest() == piece.sha256

    def receive(self, stream: Any) -> str:
        """Put the bundle together.

        Args:
            stream: Gives the bytes of the members that are not here, from `at` on.

        Returns:
            Where it lies.

        Raises:
            Torn: A member is not what it should be; what is wrong has been taken away.
            OSError: The disk cannot be written.
            EOFError: The stream ended.
        """
        os.makedirs(self.places.incoming, exist_ok=True)
        os.chmod(self.places.incoming, 0o700)
        for name in os.listdir(self.places.incoming):  # of other bundles
            if name not in (os.path.basename(self.path), os.path.basename(self.part)):
                remove(os.path.join(self.places.incoming, name))
        if os.path.exists(self.path):
            os.replace(self.path, self.part)
        handle = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "r+b") as file:
            file.truncate(self.at)
            for piece in self.pieces:
                if piece.start + piece.size > self.at or piece.size == 0:
                    self._piece(file, piece, stream)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.part, self.path)
        return self.path

    def _piece(self, file: Any, piece: Piece, stream: Any) -> None:
        if piece.data is not None:
            file.seek(piece.start)
            file.write(piece.data)
            return
        digest = hashlib.sha256()
        done = max(self.at - piece.start, 0)
        file.seek(piece.start)
        for block in _blocks(file, done):
            digest.update(block)
        file.seek(piece.start + done)
        if piece.index in self.local:
            with open(self.local[piece.index], "rb") as source:
                for block in _blocks(source, piece.size):
                    digest.update(block)
                    file.write(block)
        else:
            left = piece.size - done
            while left:
                block = stream.read1(min(left, _CHUNK))
                if not block:
                    file.flush()
                    raise EOFError
                digest.update(block)
                file.write(block)
                left -= len(block)
        if digest.hexdigest() != piece.sha256:
            file.truncate(piece.start)
            raise Torn(piece.sha256)


def _blocks(file: Any, size: int) -> Iterator[bytes]:
    while size > 0:
        block = file.read(min(size, 1 << 20))
        if not block:
            return
        size -= len(block)
        yield block


def sha256_of(path: str) -> str:
    """Of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def whole(places: Places, release: str) -> bool:
    """Whether a release is there, complete, and holds what its manifest says."""
    folder = places.release(os.path.basename(release))
    try:
        with open(os.path.join(folder, MANIFEST), "rb") as file:
            manifest = file.read()
        with open(os.path.join(folder, ".complete"), "rb") as file:
            if file.read().decode("ascii", "replace").strip() != (
                hashlib.sha256(manifest).hexdigest()
            ):
                return False
        return all(
            sha256_of(os.path.join(folder, item["path"])) == item["sha256"]
            for item in json.loads(manifest.decode("utf-8"))["files"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def remove(path: str) -> None:
    """Remove a file or a folder, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)
