"""Statistics kept from one calibration to the next, so that another method takes seconds."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Union

from ..core import EdgelaneError, StorageError
from ..runtime.registry import cache_folder
from .collect import hash_model
from .store import VERSION, Statistics

MOST = 16
"""Files kept in a folder; the ones longest unused go."""


def kept_folder() -> Path:
    """`calibration` beside the user's downloaded models."""
    return cache_folder().parent / "calibration"


class Kept:
    """A folder of statistics by what they were collected from.

    Args:
        folder: Made when something is kept; None for `kept_folder`, False to keep nothing.

    Attributes:
        reused: How many were found there.
    """

    def __init__(self, folder: Union[None, bool, str, Path] = None) -> None:
        self.folder: Optional[Path] = None
        if folder is not False:
            given = None if folder is None or folder is True else Path(folder)
            self.folder = kept_folder() if given is None else given
        self.own = not isinstance(folder, (str, Path))
        self.reused = 0

    def get(
        self,
        model: Any,
        identity: str,
        collect: Callable[[], Statistics],
        tensors: Optional[Sequence[str]] = None,
    ) -> Statistics:
        """The statistics of a graph on certain inputs, collected if they are not kept.

        Args:
            model: The `ModelProto`.
            identity: Hash of what it is fed with.
            collect: Makes them.
            tensors: What is looked at, if it is not everything.

        Raises:
            StorageError: They cannot be kept in a folder that the caller named. What cannot be
                kept in the user's cache is not.
        """
        if self.folder is None:
            return collect()
        graph = hash_model(model)
        some = "" if tensors is None else "\n".join(sorted(tensors))
        text = f"{VERSION}\0{graph}\0{identity}\0{some}"
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
        if path.is_file():
            with contextlib.suppress(EdgelaneError):  # what is damaged is collected anew
                found = Statistics.load(path)
                if found.model == graph:
                    self.reused += 1
                    with contextlib.suppress(OSError):
                        os.utime(path)
                    return found
        found = collect()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found.save(path)
            self._forget()
        except (EdgelaneError, OSError) as error:
            if not self.own:
                raise StorageError(
                    f"statistics cannot be kept in {self.folder}",
                    got=getattr(error, "strerror", None) or error,
                    remedy="name another folder",
                ) from None
        return found

    def _forget(self) -> None:
        assert self.folder is not None
        with contextlib.suppress(OSError):
            files = sorted(self.folder.glob("*.npz"), key=lambda p: p.stat().st_mtime)
            for path in files[:-MOST]:
                path.unlink()
