"""Every change that an installation makes to a disk goes through this seam.

Tests put a recorder in its place: power may fail between any two of these calls, and what was not
synced may be gone.
"""

import contextlib
import os
from pathlib import Path
from typing import Iterable


class Files:
    """Changes to a disk, as small as a power cut can tell apart."""

    def mkdir(self, path: Path) -> None:
        """Make one folder."""
        os.mkdir(str(path), 0o755)

    def create(self, path: Path, chunks: Iterable[bytes], mode: int = 0o644) -> None:
        """Write a file that is not there yet; on the disk only after `sync`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(str(path), flags, mode), "wb") as file:
            for chunk in chunks:
                file.write(chunk)

    def sync(self, path: Path) -> None:
        """Make a file's content, or a folder's list of names, survive a power cut."""
        handle = os.open(str(path), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def settle(self, folder: Path) -> None:
        """Make a whole tree survive a power cut, whoever wrote it."""
        # Thousands of files at once: one by one each would wait for the disk.
        os.sync()

    def replace(self, source: Path, target: Path) -> None:
        """Put a file or link in the place of another, in one step."""
        os.replace(str(source), str(target))

    def symlink(self, content: str, path: Path) -> None:
        """Make a link."""
        os.symlink(content, str(path))

    def unlink(self, path: Path) -> None:
        """Remove a file or link."""
        os.unlink(str(path))

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        os.rmdir(str(path))


def make_folder(files: Files, folder: Path) -> None:
    """Make a folder and those above it, each of them synced."""
    if folder.is_dir():
        return
    make_folder(files, folder.parent)
    with contextlib.suppress(FileExistsError):  # another installation made it at this moment
        files.mkdir(folder)
    files.sync(folder.parent)


def put(files: Files, path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a file in place: the old one or the new one is there at every moment."""
    put_chunks(files, path, [content], mode)


def put_chunks(files: Files, path: Path, chunks: Iterable[bytes], mode: int = 0o644) -> None:
    """As `put`, a piece at a time; where they cannot be made to the end, the old one stays."""
    temporary = path.with_name(f".{path.name}.new")
    if os.path.lexists(str(temporary)):
        files.unlink(temporary)
    files.create(temporary, chunks, mode)
    files.sync(temporary)
    files.replace(temporary, path)
    files.sync(path.parent)


def put_link(files: Files, content: str, path: Path) -> None:
    """Let a link point elsewhere, in one step."""
    temporary = path.with_name(f".{path.name}.new")
    if os.path.lexists(str(temporary)):
        files.unlink(temporary)
    files.symlink(content, temporary)
    files.replace(temporary, path)
    files.sync(path.parent)


def remove_tree(files: Files, folder: Path) -> None:
    """Remove a folder with all that is in it; links are removed, never followed."""
    with os.scandir(str(folder)) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            remove_tree(files, path)
        else:
            files.unlink(path)
    files.rmdir(folder)
