"""Well-known models by name: listed, downloaded, checked, stamped with their card, and found."""

from pathlib import Path
from typing import Any, Dict, List, Optional

import msgspec

from ...core import ConfigError, did_you_mean
from ..config import resolve_path
from ..models import SHIPPED
from ..progress import Progress
from .download import Report
from .entries import Entry, PathLike, find_entry, load_entries
from .store import Fetched, begun, cache_folder, cached, copy_to, fetch, sha256_of

__all__ = [
    "Entry",
    "Fetched",
    "cache_folder",
    "fetch_model",
    "find_entry",
    "get_model",
    "list_models",
    "load_entries",
    "resolve_model",
]


def list_models(
    *, registry: Optional[PathLike] = None, cache: Optional[PathLike] = None
) -> List[Dict[str, Any]]:
    """The models of the registry, with what is in the cache.

    Args:
        registry: A registry file of one's own, JSON or YAML, whose entries come on top.
        cache: Folder of downloaded models; see `cache_folder`.

    Returns:
        For each model the fields of its `Entry` as plain types, and `cached` (whether it is
        there), `begun` (bytes of a download that was cut off), `path` (of the file, or None) and
        `verifiable` (whether a published checksum is known).

    Raises:
        ConfigError: The registry file is wrong.
    """
    folder = cache_folder(cache)
    listed = []
    for entry in load_entries(registry).values():
        there = cached(entry, folder) is not None
        listed.append(
            {
                **msgspec.to_builtins(entry),
                "verifiable": entry.verifiable,
                "cached": there,
                "begun": begun(entry, folder),
                "path": str(folder / f"{entry.name}.onnx") if there else None,
            }
        )
    return listed


def fetch_model(
    name: str,
    *,
    trust: bool = False,
    out: Optional[PathLike] = None,
    cache: Optional[PathLike] = None,
    registry: Optional[PathLike] = None,
    progress: bool = False,
    timeout: float = 30.0,
    attempts: int = 5,
) -> Fetched:
    """Download a model into the cache unless it is there, with its card stamped into it.

    A download that is cut off is gone on with, now or by the next call. What does not have the
    published checksum is removed.

    Args:
        name: Of the model, see `list_models`.
        trust: Take a model of which nobody published a checksum; what came is remembered, and
            another file at the same address is refused from then on.
        out: File or folder for a copy.
        cache: As in `list_models`.
        registry: As in `list_models`.
        progress: Tell rate and time left on stderr.
        timeout: Seconds without a byte after which a connection counts as dead.
        attempts: How often in a row it may fail without a new byte.

    Returns:
        Where it is, and how it came.

    Raises:
        UsageError: There is no such model, or its checksum is not known and trust is not given.
        ModelError: It cannot be downloaded, or is not what it should be.
        StorageError: The cache or `out` cannot be written.
    """
    if name in SHIPPED:
        path = SHIPPED[name]
        came = path if out is None else copy_to(path, out)
        return Fetched(came, sha256_of(path), False, False)
    entry = find_entry(name, registry)
    shown = Progress(name, unit="MB") if progress else None
    try:
        got = fetch(
            entry,
            cache_folder(cache),
            trust=trust,
            timeout=timeout,
            attempts=attempts,
            report=_report(shown) if shown is not None else None,
        )
    finally:
        if shown is not None:
            shown.close()
    return got if out is None else got._replace(path=copy_to(got.path, out))


def _report(shown: Progress) -> Report:
    def report(came: int, there: int, whole: Optional[int]) -> None:
        # Tenths of a megabyte: the rate is of what came now, the share of what is there.
        shown.update(int(came / 1e5) / 10, there / whole if whole else None)

    return report


def get_model(name: str, **options: Any) -> Path:
    """As `fetch_model`, which names the options, but gives the path alone."""
    return fetch_model(name, **options).path


def resolve_model(
    name: str,
    folder: PathLike = ".",
    *,
    cache: Optional[PathLike] = None,
    registry: Optional[PathLike] = None,
) -> str:
    """The path that a config means by `model: …`: a file, or a registered name.

    Args:
        name: Path, looked for beside the config first, or the name of a model that ships or is
            in the registry.
        folder: Folder of the config.
        cache: As in `list_models`.
        registry: As in `list_models`.

    Returns:
        The path. Of what looks like a path it is given whether or not the file exists.

    Raises:
        ConfigError: A registered model is not downloaded yet, or a bare name is not registered.
    """
    path = resolve_path(name, Path(folder))
    if Path(path).exists() or "/" in name or "\\" in name or not name:
        return path
    if name in SHIPPED:
        return str(SHIPPED[name])
    entries = load_entries(registry)
    if name in entries:
        there = cache_folder(cache)
        if cached(entries[name], there) is None:
            raise ConfigError(
                f"model {name} is not downloaded yet", remedy=f"run `edgelane models get {name}`"
            )
        return str(there / f"{name}.onnx")
    if Path(name).suffix:
        return path
    raise ConfigError(
        f"model {name!r} is neither a file nor a model of the registry",
        remedy=did_you_mean(name, [*SHIPPED, *entries]),
    )
