"""The cache of engines: a build takes minutes, so what was built once is kept, within bounds."""

import contextlib
import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ...core import ModelError
from ..files import cache_path
from .graph import GraphFacts
from .passport import Here, Passport, passport_path, read_engine, read_passport, write_engine
from .plan import BuildPlan

PathLike = Union[str, "os.PathLike[str]"]

FOLDER_VARIABLE = "EDGELANE_ENGINES"
"""Environment variable with the folder of built engines."""

LIMIT = 2 << 30
"""Bytes that engines may take together, unless said otherwise."""


_STALE = 24 * 3600  # seconds after which no writer of a file can still be at work


class Kept(NamedTuple):
    """An engine in the cache: its file and its passport."""

    path: Path
    passport: Passport


def engines_folder(folder: Optional[PathLike] = None) -> Path:
    """The folder of built engines.

    It is the argument, or what `EDGELANE_ENGINES` says, or `edgelane/engines` in the user's cache.
    """
    return cache_path("engines", FOLDER_VARIABLE, folder)


class EngineCache:
    """Engines by what their passports hold.

    Args:
        folder: Where they lie; see `engines_folder`.
        limit: Bytes they may take together; those used longest ago go first.
    """

    def __init__(self, folder: Optional[PathLike] = None, limit: int = LIMIT) -> None:
        self.folder = engines_folder(folder)
        self.limit = limit

    def key(self, graph: GraphFacts, plan: BuildPlan, here: Here) -> str:
        """What an engine is kept under: all that makes it another one."""
        facts: Dict[str, Any] = {
            "onnx": graph.sha256,
            "here": list(here),
            "precision": plan.precision,
            "flags": [*plan.flags, *plan.network_flags],
            "dla": plan.dla_core,
            "calibration": plan.calibration and plan.calibration.sha256,
            "profile": {k: [list(s) for s in v] for k, v in plan.profile.items()},
            "workspace": plan.workspace_mb,
            "level": plan.optimization_level,
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        stem = re.sub(r"[^\w.-]+", "_", Path(graph.path).stem)[:60]
        return f"{stem}-{plan.precision}-{digest[:16]}"

    def path(self, key: str) -> Path:
        """Where the engine of a key lies, or would."""
        return self.folder / f"{key}.engine"

    def find(self, key: str) -> Optional[Kept]:
        """The engine of a key, whole, or None; one that is damaged is thrown away."""
        path = self.path(key)
        if not path.exists():
            return None
        try:
            _, passport = read_engine(path)
        except ModelError:
            self.drop(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it was used now
        return Kept(path, passport)

    def store(self, key: str, data: bytes, passport: Passport) -> Path:
        """Keep an engine, and let go of the oldest ones where there are too many.

        Raises:
            StorageError: The folder cannot be written or the disk is full.
        """
        path = self.path(key)
        write_engine(path, data, passport)
        self.prune(keep=path)
        return path

    def kept(self) -> List[Tuple[float, int, Path]]:
        """Time of the last use, bytes and file of each engine, the one used longest ago first."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*.engine"):
                with contextlib.suppress(OSError):
                    state = path.stat()
                    found.append((state.st_mtime, state.st_size, path))
        return sorted(found)

    def prune(self, keep: Optional[Path] = None) -> List[Path]:
        """Delete the engines used longest ago until the rest fits; gives what was deleted.

        What a build that was cut off by a power cut left half written goes as well.
        """
        self._sweep()
        kept = self.kept()
        total = sum(size for _, size, _ in kept)
        gone = []
        for _, size, path in kept:
            if total <= self.limit:
                break
            if path != keep:
                self.drop(path)
                gone.append(path)
                total -= size
        return gone

    def _sweep(self) -> None:
        with contextlib.suppress(OSError):
            for path in self.folder.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > _STALE:
                        path.unlink()

    def drop(self, path: Path) -> None:
        """Delete an engine and its passport."""
        for file in (passport_path(path), path):
            with contextlib.suppress(OSError):
                file.unlink()

    def newest(self, onnx: PathLike) -> Optional[Path]:
        """The engine built last from this ONNX file, fit for this machine or not, or None.

        Nothing of it is loaded but its passport.
        """
        found = self._of(onnx)
        return found[-1].path if found else None

    def took(self, onnx: PathLike, here: Here) -> Optional[float]:
        """Seconds that the last build from this ONNX file took on this machine, or None."""
        times = [
            passport.seconds for _, passport in self._of(onnx) if not passport.differences(here)
        ]
        return times[-1] if times else None

    def _of(self, onnx: PathLike) -> List[Kept]:
        """The engines built from this ONNX file, the last one last."""
        wanted = os.path.abspath(os.fspath(onnx))
        found: List[Kept] = []
        for _, _, path in self.kept():
            with contextlib.suppress(ModelError):
                passport = read_passport(path)
                if passport.onnx == wanted:
                    found.append(Kept(path, passport))
        return sorted(found, key=lambda kept: kept.passport.built)

    def timing(self, here: Here) -> Path:
        """The timing cache of this release and device, which makes further builds shorter."""
        name = re.sub(r"[^\w.-]+", "_", f"{here.tensorrt}-sm{here.compute_capability}-{here.gpu}")
        return self.folder / f"{name.strip('_-')}.timing"


def cached_engine(onnx: PathLike, folder: Optional[PathLike] = None) -> Optional[Path]:
    """The engine in the cache that was built last from this ONNX file, or None; see `newest`."""
    return EngineCache(folder).newest(onnx)
