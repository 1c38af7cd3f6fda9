"""The files of a release: from a bundle to their place on a device, and put back there."""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator, List

from ..core import ReleaseError, StorageError
from . import manifest as manifests
from .archive import Member
from .bundle import Opened
from .environment import fitting
from .files import Files, make_folder, put, put_chunks, remove_tree, storage
from .layout import COMPLETE, Layout, Release, sha256, sha256_of
from .releases import remove

_SPARE = 16 << 20
_UNPACKED = 4  # times its size that a wheel takes when it is unpacked, and more than that


def release_id(opened: Opened) -> str:
    """The name of a bundle's release: what it is, and what is in it."""
    made = opened.manifest
    return f"{made.name}-{made.version}-{sha256(opened.data)[:12]}"


def stage(layout: Layout, file: BinaryIO, opened: Opened) -> Release:
    """The bundle's files at their final place, synced, without the mark that makes them count."""
    release = Release(layout.releases / release_id(opened))
    if release.folder.exists():
        # It was installed before, and ran until something else was installed or rolled back to.
        try:
            release.check()
            return release
        except ReleaseError:
            remove(layout, release)
    wheels = set(fitting(opened.manifest.wheels))
    needed = sum(m.size for m in opened.members)
    needed += _UNPACKED * sum(m.size for m in opened.members if m.name in wheels)
    _check_space(layout, needed)
    try:
        with storage(f"release {release.id}"):
            _extract(layout.files, file, opened, release.folder)
            layout.files.sync(layout.releases)
    except BaseException:
        discard(layout, release)
        raise
    return release


def repair(layout: Layout, release: Release, file: BinaryIO, opened: Opened) -> List[str]:
    """Put back those files of the release that runs that are not as the bundle has them.

    Each is replaced in one step, so that what runs never meets half a file, and a power cut leaves
    some of them damaged as they were. The environment that was made of its wheels is no file of a
    bundle, and is not looked at.

    Args:
        layout: The device.
        release: The release of this very bundle, see `release_id`.
        file: The bundle.
        opened: What it holds; its signature was verified.

    Returns:
        Paths of what was damaged or missing, the manifest and the mark of completeness among them.

    Raises:
        StorageError: The disk is full or cannot be written.
        ReleaseError: The bundle is not what its manifest says.
    """
    wanted = {f.path: f.sha256 for f in opened.manifest.files}
    mark = sha256(opened.data).encode() + b"\n"
    small = {manifests.NAME: opened.data, COMPLETE: mark}
    damaged = [m for m in opened.members if sha256_of(release.folder / m.name) != wanted[m.name]]
    lost = [name for name in small if sha256_of(release.folder / name) != sha256(small[name])]
    _check_space(layout, sum(m.size for m in damaged))
    with storage(f"release {release.id}"):
        for member in damaged:
            _put_back(
                layout.files, release, member.name, _content(file, member, wanted[member.name])
            )
        for name in lost:
            _put_back(layout.files, release, name, [small[name]])
    return [*(m.name for m in damaged), *lost]


def _put_back(files: Files, release: Release, name: str, content: Iterable[bytes]) -> None:
    """Put a file in its place, whatever stands there now."""
    path = release.folder / name
    if path.is_dir() and not path.is_symlink():
        remove_tree(files, path)
    for folder in path.parents:
        if folder == release.folder:
            break
        if os.path.lexists(str(folder)) and not folder.is_dir():
            files.unlink(folder)
    make_folder(files, path.parent)
    put_chunks(files, path, content)


def _check_space(layout: Layout, needed: int) -> None:
    """Make sure that so many bytes fit, with some to spare."""
    with storage(f"{layout.releases}"):
        free = shutil.disk_usage(str(layout.releases)).free
    if free < needed + _SPARE:
        raise StorageError(
            f"the disk of {layout.releases} is too full for this release",
            got=f"{free / 1e6:.0f} MB free",
            expected=f"{(needed + _SPARE) / 1e6:.0f} MB",
            remedy="free some space",
        )


def _extract(files: Files, file: BinaryIO, opened: Opened, folder: Path) -> None:
    """Write the members below a folder that is new, and sync all of it.

    Names were checked with the manifest, and a file is only ever made, never opened, so nothing
    can be written elsewhere.
    """
    files.mkdir(folder)
    wanted = {f.path: f.sha256 for f in opened.manifest.files}
    folders = {folder}
    put(files, folder / manifests.NAME, opened.data)
    for member in opened.members:
        path = folder / member.name
        make_folder(files, path.parent)
        folders.add(path.parent)
        files.create(path, _content(file, member, wanted[member.name]))
        files.sync(path)
    for place in sorted(folders):
        files.sync(place)


def _content(file: BinaryIO, member: Member, digest: str) -> Iterator[bytes]:
    """A member's bytes.

    Raises:
        ReleaseError: They are not those that were signed.
    """
    made, left = hashlib.sha256(), member.size
    file.seek(member.start)
    while left:
        block = file.read(min(left, 1 << 20))
        if not block:
            break
        made.update(block)
        left -= len(block)
        yield block
    if left or made.hexdigest() != digest:
        raise ReleaseError(f"{member.name} in the bundle is not what its manifest says")


def discard(layout: Layout, release: Release) -> None:
    """Take away what was not completed; what the disk does not let us, the next one sweeps.

    A release that was complete before stays: it may be the one to go back to.
    """
    with contextlib.suppress(StorageError):
        if release.folder.exists() and not release.complete:
            remove(layout, release)
