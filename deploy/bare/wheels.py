"""Wheels without pip and without a network: which of them fit, and where their files go.

A wheel is a zip file whose content is put below a folder of modules as it is
(https://packaging.python.org/specifications/binary-distribution-format/). Ubuntu takes `ensurepip`
out of its Python, so that pip is what a fresh Jetson most often lacks.
"""

import os
import re
import stat
import zipfile
import zlib
from typing import Any, Dict, Iterable, List, Optional, Tuple

MOST = 60000
LARGEST = 1 << 33

_NAME = re.compile(r"([^-]+)-([^-]+)(?:-(\d[^-]*))?-([^-]+)-([^-]+)-([^-]+)\.whl\Z")
_ABI3 = re.compile(r"cp3(\d+)\Z")
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)\Z")
_DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error)
_OLD = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


class WheelError(Exception):
    """What is wrong with a wheel, as a sentence."""


def fits(
    name: str,
    python: Tuple[int, int] = (3, 8),
    machine: str = "aarch64",
    glibc: Tuple[int, int] = (2, 27),
) -> bool:
    """Whether a wheel is for an interpreter.

    Args:
        name: The wheel's file name.
        python: Version of the CPython.
        machine: As `uname -m` tells it.
        glibc: Version of the C library.
    """
    return _rank(name, python, machine, glibc) is not None


def choose(
    names: Iterable[str], python: Tuple[int, int], machine: str, glibc: Tuple[int, int]
) -> List[str]:
    """Of each project the wheel that fits best, in the order of the projects' names."""
    best: Dict[str, Tuple[Any, str]] = {}
    for name in names:
        rank = _rank(name, python, machine, glibc)
        if rank is None:
            continue
        project = project_of(name)
        if project not in best or rank > best[project][0]:
            best[project] = (rank, name)
    return [best[project][1] for project in sorted(best)]


def project_of(name: str) -> str:
    """The normalised name of a wheel's project."""
    return re.sub(r"[-_.]+", "-", os.path.basename(name).split("-")[0]).lower()


def _rank(
    name: str, python: Tuple[int, int], machine: str, glibc: Tuple[int, int]
) -> Optional[Tuple[Any, ...]]:
    """How well a wheel fits; more is better, None is not at all."""
    match = _NAME.match(os.path.basename(name))
    if match is None:
        return None
    _, version, build, pythons, abis, platforms = match.groups()
    exact = "cp{}{}".format(*python)
    interpreter = 0
    for tag in pythons.split("."):
        for abi in abis.split("."):
            newer = _ABI3.match(tag)
            if tag == exact and abi in (exact, "abi3", "none"):
                interpreter = max(interpreter, 3)
            elif abi == "abi3" and newer and int(newer.group(1)) <= python[1]:
                interpreter = max(interpreter, 2)
            elif abi == "none" and tag in ("py3", "py{}{}".format(*python)):
                interpreter = max(interpreter, 1)
    found = [_platform(tag, machine, glibc) for tag in platforms.split(".")]
    platform = max(found)
    if not interpreter or not platform:
        return None
    numbers = tuple(int(number) for number in re.findall(r"\d+", version))
    return (numbers, interpreter, platform, build or "")


def _platform(tag: str, machine: str, glibc: Tuple[int, int]) -> int:
    if tag == "any":
        return 1
    if tag == "linux_" + machine:
        return 2
    match = _MANYLINUX.match(tag)
    if match:
        needed, where = (int(match.group(1)), int(match.group(2))), match.group(3)
    else:
        old, _, where = tag.partition("_")
        needed = _OLD.get(old, (99, 0))
    return 3 if where == machine and needed <= tuple(glibc) else 0


def unpack(source: Any, site: str, scripts: Optional[str] = None) -> int:
    """Put a wheel's files below a folder of modules.

    Args:
        source: The wheel: its path, or a file that can be read and sought.
        site: The folder of modules, which is there.
        scripts: Where its scripts go; they are left out unless given.

    Returns:
        How many bytes were written.

    Raises:
        WheelError: It is no wheel, or holds what leads elsewhere.
        OSError: The disk cannot be written.
    """
    written = 0
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if len(entries) > MOST or size > LARGEST:
                raise WheelError("holds too much")
            for entry in entries:
                place = _place(entry, site, scripts)
                if place is None:
                    continue
                os.makedirs(os.path.dirname(place), exist_ok=True)
                mode = 0o755 if (entry.external_attr >> 16) & 0o111 else 0o644
                with archive.open(entry) as content:
                    written += _write(place, content, mode, entry.file_size)
    except (*_DAMAGED, EOFError, ValueError, KeyError, RuntimeError) as error:
        raise WheelError(f"is no wheel: {error}") from None
    return written


def _write(place: str, content: Any, mode: int, size: int) -> int:
    # What two wheels hold alike, e.g. the file of a shared namespace, is written once more.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    done = 0
    with os.fdopen(os.open(place, flags, mode), "wb") as file:
        while True:
            block = content.read(1 << 20)
            if not block:
                return done
            done += len(block)
            if done > size:
                raise WheelError("holds more than it says")
            file.write(block)


def _place(entry: Any, site: str, scripts: Optional[str]) -> Optional[str]:
    """Where an entry goes, or None for what is left out."""
    name = entry.filename
    parts = name.split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise WheelError(f"holds a link or device: {name}")
    if name.endswith("/"):
        return None
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise WheelError(f"holds a name that leads elsewhere: {name!r}")
    if parts[0].endswith(".data") and len(parts) > 2:
        if parts[1] in ("purelib", "platlib"):
            parts = parts[2:]
        elif parts[1] == "scripts" and scripts is not None:
            return os.path.join(scripts, *parts[2:])
        else:
            return None
    return os.path.join(site, *parts)
