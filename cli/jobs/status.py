"""How a run is that goes on elsewhere: from its health endpoint, or from its folder."""

import contextlib
import fcntl
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Optional

from ...core import EdgelaneError, StorageError, UsageError
from ...runtime.health.monitor import STATUS_FILE, STATUS_S
from .folder import JOURNAL, PathLike

FOLDERS = ("runs", "/var/lib/edgelane/runs")
TIMEOUT_S = 3.0
STALE_S = 4 * STATUS_S
LARGEST = 8 << 20


def status(place: Optional[PathLike] = None) -> Dict[str, Any]:
    """How a run is.

    Args:
        place: Its folder, or the address of its health endpoint; the newest run in `runs` or
            `/var/lib/edgelane/runs` unless given.

    Returns:
        What `/health` tells (see `docs/metrics.md`): `state`, `reasons`, `run`, `cameras`,
        `machine` and others; also `from` (`endpoint` or `folder`) and `age_s`. The state of a
        run that ended is `ended`, and that of one that was killed `gone`.

    Raises:
        StorageError: There is no run, or its status cannot be read.
        UsageError: The endpoint does not answer, or what answers is none.
    """
    if place is None:
        folder = newest()
    elif "://" in str(place):
        return {**_asked(str(place)), "from": "endpoint", "age_s": 0.0}
    else:
        folder = Path(place)
    told = _read(folder)
    url = told["run"].get("url")
    if url and told["run"]["state"] == "running" and _alive(folder):
        # A busy machine may not answer in time; the file is at most some seconds old.
        with contextlib.suppress(EdgelaneError):
            return {**_asked(url), "from": "endpoint", "age_s": 0.0}
    age = max(time.time() - os.stat(str(folder / STATUS_FILE)).st_mtime, 0.0)
    told.update({"from": "folder", "age_s": round(age, 1)})
    if told["run"]["state"] != "running":
        told["state"] = "ended"
        told["reasons"] = [_ended(told["run"]["state"])]
    elif not _alive(folder):
        told["state"], told["run"]["state"] = "gone", "gone"
        told["reasons"] = ["the run is not there any more: it was killed, or lost its power"]
    elif age > STALE_S:
        told["state"] = "failed"
        told["reasons"] = [f"the run has told nothing for {age:.0f} s"]
    if told["state"] in ("ended", "gone"):
        for camera in told["cameras"].values():
            camera.update(state="ended", fps=0.0)
    return told


def newest() -> Path:
    """The folder of the run that told something last.

    Raises:
        StorageError: There is none.
    """
    found: List[Path] = []
    for folder in FOLDERS:
        with contextlib.suppress(OSError):
            found += Path(folder).glob(f"*/{STATUS_FILE}")
    if not found:
        raise StorageError(
            "there is no run here: neither runs nor /var/lib/edgelane/runs holds one",
            remedy="edgelane status DIR with the folder of a run, or URL of its health endpoint",
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def _read(folder: Path) -> Dict[str, Any]:
    path = folder / STATUS_FILE
    if not folder.is_dir():
        raise StorageError(
            f"{folder} does not exist", remedy="name the folder of a run, or its health endpoint"
        )
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told["run"]["state"], str) or not isinstance(told["cameras"], dict):
            raise ValueError("no status")
        return told
    except FileNotFoundError:
        raise StorageError(
            f"{folder} holds no run that tells its status",
            got="no " + STATUS_FILE,
            remedy="name the --out folder of edgelane run",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} cannot be read", got=error) from None


def _asked(url: str) -> Dict[str, Any]:
    url = url.rstrip("/")
    if not url.endswith("/health"):
        url += "/health"
    expected = "the address that edgelane run --health listens on"
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "edgelane"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                data = answer.read(LARGEST)
        except urllib.error.HTTPError as error:
            if error.code != 503:  # which a failed run answers with
                raise
            data = error.read(LARGEST)
        told = json.loads(data)
        if not isinstance(told["cameras"], dict) or not isinstance(told["run"]["state"], str):
            raise ValueError("no status")
        return told
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{url} is no health endpoint of edgelane", expected=expected) from None
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise UsageError(
            f"{url} does not answer", got=getattr(reason, "strerror", None) or reason,
            expected=expected,
        ) from None  # fmt: skip


def _alive(folder: Path) -> bool:
    """Whether somebody writes the journal: it is locked for as long."""
    try:
        handle = os.open(str(folder / f"{JOURNAL}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(handle)


def _ended(state: str) -> str:
    return {
        "end": "the run has come to its end",
        "stopped": "the run was stopped",
        "error": "the run ended with an error",
    }.get(state, f"the run ended: {state}")
