"""Several files that belong together: all of them are put in place, or none."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from ..core import StorageError
from ..runtime.files import write_whole
from .graph import write_model


def write_together(files: Mapping[Path, Any]) -> None:
    """Write models and bytes.

    Args:
        files: A `ModelProto` or bytes by path.

    Raises:
        StorageError: A folder cannot be written or the disk is full. What was there stays, and
            nothing new is left.
    """
    staged: List[Tuple[Path, Path]] = []
    folders: List[Path] = []
    try:
        for path, content in files.items():
            folder = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                folder.mkdir()
                folders.append(folder)
                if isinstance(content, bytes):
                    write_whole(folder / path.name, content)
                else:
                    write_model(content, folder / path.name)
            except StorageError as error:
                raise _unwritten(path, error.got) from None
            except OSError as error:
                raise _unwritten(path, error.strerror) from None
            # Weights that stand beside a large model go into place before it.
            made = sorted(folder.iterdir(), key=lambda p: p.name == path.name)
            staged.extend((file, path.with_name(file.name)) for file in made)
        _place(staged)
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _place(staged: List[Tuple[Path, Path]]) -> None:
    """Move files into place; what was there comes back if one of them cannot be moved."""
    moved: List[Tuple[Path, Optional[Path]]] = []
    try:
        for file, path in staged:
            old: Optional[Path] = None
            try:
                if path.exists():
                    old = file.with_name(file.name + ".old")
                    os.replace(path, old)
                moved.append((path, old))
                os.replace(file, path)
            except OSError as error:
                raise _unwritten(path, error.strerror) from None
    except BaseException:
        for path, old in reversed(moved):
            with contextlib.suppress(OSError):
                if old is not None:
                    os.replace(old, path)
                else:
                    path.unlink()
        raise


def check_places(places: Mapping[str, Union[str, Path]], taken: Mapping[str, Path]) -> None:
    """Refuse, before long work, what could not be written after it.

    Args:
        places: Path by what it is for.
        taken: Paths that are read, by what they are; they may not be written.

    Raises:
        StorageError: A folder is missing or cannot be written, or a path is a folder.
    """
    known: Dict[Path, str] = {path.resolve(): name for name, path in taken.items()}
    for name, place in places.items():
        path = Path(place)
        whole = path.resolve()
        if whole in known:
            raise StorageError(
                f"{name} would be written over {known[whole]}",
                got=str(path),
                remedy="give it another name",
            )
        known[whole] = name
        if path.is_dir():
            raise StorageError(f"{path} is a folder", expected=f"a file for {name}")
        folder = path.parent
        if not folder.is_dir():
            raise StorageError(f"there is no folder {folder}", remedy="make it, or name another")
        if not os.access(folder, os.W_OK):
            raise StorageError(f"{path} cannot be written", remedy="make the folder writable")


def _unwritten(path: Path, got: Any) -> StorageError:
    return StorageError(
        f"{path} cannot be written",
        got=got,
        remedy="make the folder writable, free some space, or choose another one",
    )
