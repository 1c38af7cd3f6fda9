"""The cache of downloaded models: checked, stamped, and remembered."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Callable, Dict, Iterator, NamedTuple, Optional
from urllib.parse import urlsplit

import msgspec

from ...core import ModelError, StorageError, UsageError
from ...core.card import METADATA_KEY
from ..files import cache_path, whole_file, write_whole
from ..onnx_metadata import check_onnx, read_metadata, write_metadata
from .download import LIMIT, Report, download, forget, web_page
from .entries import Entry, PathLike

CACHE_VARIABLE = "EDGELANE_CACHE"
"""Environment variable with the folder of downloaded models."""

_TRUSTED = "trusted.json"


class Record(msgspec.Struct, frozen=True):
    """What is noted beside a model in the cache, as `<name>.json`.

    Attributes:
        address: Where it came from.
        sha256: Of the download.
        stamped_sha256: Of the file as it lies there, with its card.
        size: Of the file, in bytes.
    """

    address: str
    sha256: str
    stamped_sha256: str
    size: int


class Fetched(NamedTuple):
    """A model that was asked for.

    Attributes:
        path: The file.
        sha256: Checksum of what was downloaded, before the card was stamped into it.
        fresh: Whether it was downloaded now; False where it was in the cache.
        trusted: Whether the checksum is one that was seen at a first download, not a published one.
    """

    path: Path
    sha256: str
    fresh: bool
    trusted: bool


def cache_folder(cache: Optional[PathLike] = None) -> Path:
    """The folder of downloaded models.

    It is the argument, or what `EDGELANE_CACHE` says, or `edgelane/models` in the user's cache.
    """
    return cache_path("models", CACHE_VARIABLE, cache)


def cached(entry: Entry, folder: Path) -> Optional[Record]:
    """The record of a model that lies whole in the cache, or None.

    Its length is compared, its checksum is not: that costs a read, see `fetch`.
    """
    try:
        record = msgspec.json.decode((folder / f"{entry.name}.json").read_bytes(), type=Record)
        size = (folder / f"{entry.name}.onnx").stat().st_size
    except (OSError, msgspec.DecodeError):
        return None
    good = record.address == entry.address and record.size == size
    if entry.sha256 is not None and record.sha256 != entry.sha256:
        good = False
    return record if good else None


def begun(entry: Entry, folder: Path) -> int:
    """Bytes of a download that was cut off, 0 where there is none."""
    try:
        return _part(entry, folder).stat().st_size
    except OSError:
        return 0


def fetch(
    entry: Entry,
    folder: Path,
    *,
    trust: bool = False,
    timeout: float = 30.0,
    attempts: int = 5,
    report: Optional[Report] = None,
    sleep: Optional[Callable[[float], None]] = None,
) -> Fetched:
    """Bring a model into the cache, unless it is there.

    Args:
        entry: The model.
        folder: The cache; it is made where it is missing.
        trust: Take a file of which nobody published a checksum, and remember what it was. A
            published checksum holds all the same.
        timeout: See `download`.
        attempts: See `download`.
        report: See `download`.
        sleep: See `download`.

    Raises:
        UsageError: The checksum is not known and trust is not given.
        ModelError: The entry has no address, the download fails, or it is not what it should be.
        StorageError: The cache cannot be written.
    """
    address = entry.address
    if address is None:
        raise ModelError(f"{entry.name} cannot be downloaded", remedy=entry.note)
    record = cached(entry, folder)
    path = folder / f"{entry.name}.onnx"
    remembered = _remembered(folder).get(address)
    vouched = not entry.verifiable
    if record is not None and sha256_of(path) == record.stamped_sha256:
        _restamp(entry, path, folder, record)
        return Fetched(path, record.sha256, False, vouched)
    if vouched and remembered is None and not trust:
        raise UsageError(
            f"nobody published a checksum of {entry.name}",
            remedy=f"if you trust {urlsplit(address).hostname}, say --trust: the checksum of what "
            "comes is then shown and remembered",
        )
    _make(folder)
    with _locked(folder / f".{entry.name}.lock", entry.name):
        part = _part(entry, folder)
        download(
            address,
            part,
            expected=entry.file_size,
            timeout=timeout,
            attempts=attempts,
            report=report,
            sleep=sleep,
        )
        try:
            digest = sha256_of(part)
            expected = entry.sha256 or (remembered if vouched and not trust else None)
            _check_download(entry, part, digest, expected, remembered)
            _install(entry, part, path, folder, digest)
        finally:
            forget(part)
        if vouched and remembered != digest:
            known = {**_remembered(folder), address: digest}
            write_whole(folder / _TRUSTED, json.dumps(known, indent=1, sort_keys=True).encode())
    return Fetched(path, digest, True, vouched)


def copy_to(source: Path, out: PathLike) -> Path:
    """Copy a model to a file or into a folder, in one step; gives the path of the copy.

    Raises:
        StorageError: It cannot be written.
    """
    target = Path(out)
    if target.is_dir() or os.fspath(out).endswith(os.sep):
        target = target / source.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written", got=error.strerror, remedy="choose another --out"
        ) from None
    with open(source, "rb") as model, whole_file(target, "choose another --out") as copy:
        shutil.copyfileobj(model, copy)
    return target


def sha256_of(path: Path) -> str:
    """The checksum of a file; an empty text where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for data in iter(lambda: file.read(1 << 20), b""):
                digest.update(data)
    except OSError:
        return ""
    return digest.hexdigest()


def _part(entry: Entry, folder: Path) -> Path:
    ending = "zip" if entry.member is not None else "onnx"
    return folder / f"{entry.name}.{ending}.part"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "no right to write there")
    except OSError as error:
        raise StorageError(
            f"the cache {folder} cannot be used",
            got="a file in its place"
            if isinstance(error, (FileExistsError, NotADirectoryError))
            else error.strerror,
            remedy=f"choose another folder with --cache or {CACHE_VARIABLE}",
        ) from None


@contextlib.contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Keep a second process from writing to the same partial file."""
    try:
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Its owner may have removed the file between the two calls.
                if os.fstat(handle).st_nlink:
                    break
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
    except BlockingIOError:
        raise StorageError(
            f"{name} is being downloaded by another process", remedy="wait until it is done"
        ) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be written", got=error.strerror) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _check_download(
    entry: Entry, part: Path, digest: str, expected: Optional[str], remembered: Optional[str]
) -> None:
    """Refuse other bytes than those that are known."""
    host = urlsplit(str(entry.address)).hostname or str(entry.address)
    if expected in (None, digest):
        return
    with open(part, "rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        raise web_page(host)
    if entry.sha256 is None and remembered is not None:
        raise ModelError(
            f"{entry.name} at {host} is no longer the file that you trusted",
            got=f"sha256 {digest}",
            expected=remembered,
            remedy="find out why, then say --trust again; what came was removed",
        )
    raise ModelError(
        f"{entry.name} from {host} is not the published file",
        got=f"sha256 {digest}",
        expected=expected,
        remedy="what came was removed; try again, or from another network",
    )


def _install(entry: Entry, part: Path, path: Path, folder: Path, digest: str) -> None:
    """Take the model out of what came, stamp its card into it, and put it in its place."""
    fresh = folder / f".{entry.name}.{os.getpid()}.tmp"
    host = urlsplit(str(entry.address)).hostname or str(entry.address)
    try:
        if entry.member is None:
            os.replace(part, fresh)
        else:
            _extract(entry, part, fresh, host)
        _check_model(fresh, host)
        write_metadata(fresh, {METADATA_KEY: entry.model_card().to_json()})
        record = Record(str(entry.address), digest, sha256_of(fresh), fresh.stat().st_size)
        # Without its record a model counts as absent, so the old record must not meet the new file.
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{entry.name}.json").unlink()
        os.chmod(fresh, stat.S_IMODE(os.stat(fresh).st_mode) | stat.S_IRUSR | stat.S_IWUSR)
        os.replace(fresh, path)
        write_whole(folder / f"{entry.name}.json", msgspec.json.encode(record))
    except OSError as error:
        raise StorageError(f"{path} cannot be written", got=error.strerror) from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def _check_model(path: Path, host: str) -> None:
    try:
        check_onnx(path)
    except ModelError as error:
        with open(path, "rb") as file:
            head = file.read(512).lstrip().lower()
        if head.startswith((b"<!doctype html", b"<html")):
            raise web_page(host) from None
        raise ModelError(
            f"what came from {host} is no ONNX model", got=error.got, remedy="it was removed"
        ) from None


def _extract(entry: Entry, archive: Path, out: Path, host: str) -> None:
    """The one model of a zip, read as a stream: nothing else of it reaches the disk."""
    member = entry.member
    assert member is not None
    try:
        with zipfile.ZipFile(archive) as box:
            found = [i for i in box.infolist() if i.filename.rpartition("/")[2] == member.name]
            if len(found) != 1:
                raise ModelError(
                    f"the archive of {entry.name} does not hold one {member.name}",
                    got=f"{len(found)} of {len(box.infolist())} files",
                )
            if found[0].file_size > LIMIT:
                raise ModelError(
                    f"{member.name} in the archive of {entry.name} is too long",
                    got=f"{found[0].file_size:,} bytes",
                )
            free = shutil.disk_usage(out.parent).free
            if found[0].file_size > free:
                raise StorageError(
                    f"the disk of {out.parent} is too full to unpack {entry.name}",
                    got=f"{free >> 20} MB free",
                    expected=f"{(found[0].file_size >> 20) + 1} MB",
                )
            with box.open(found[0]) as file, open(out, "wb") as target:
                shutil.copyfileobj(file, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        with open(archive, "rb") as file:
            head = file.read(512).lstrip().lower()
        if head.startswith((b"<!doctype html", b"<html")):
            raise web_page(host) from None
        raise ModelError(
            f"what came from {host} is no whole zip", got=str(error), remedy="it was removed"
        ) from None
    digest = sha256_of(out)
    if member.sha256 not in (None, digest):
        raise ModelError(
            f"{member.name} in the archive of {entry.name} is not the published file",
            got=f"sha256 {digest}",
            expected=member.sha256,
            remedy="what came was removed",
        )


def _restamp(entry: Entry, path: Path, folder: Path, record: Record) -> None:
    """Bring the card of a cached model up to date with the registry."""
    card = entry.model_card().to_json()
    if read_metadata(path).get(METADATA_KEY) == card:
        return
    write_metadata(path, {METADATA_KEY: card})
    renewed = msgspec.structs.replace(
        record, stamped_sha256=sha256_of(path), size=path.stat().st_size
    )
    write_whole(folder / f"{entry.name}.json", msgspec.json.encode(renewed))


def _remembered(folder: Path) -> Dict[str, str]:
    """Checksums that were trusted at a first download, by address."""
    try:
        known = json.loads((folder / _TRUSTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in known.items()} if isinstance(known, dict) else {}
