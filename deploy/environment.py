"""The virtual environment of a release: made at its final place, from the wheels of the bundle."""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from ..core import ReleaseError
from .bare.wheels import WheelError, choose, project_of, unpack
from .files import Files, put, storage
from .layout import Release
from .manifest import Manifest

VENV = "venv"
SCRIPT = "edgelane"
"""What starts the edgelane of a release, whichever Python that needs."""


def fitting(wheels: Sequence[str]) -> List[str]:
    """Of the wheels of a bundle those for this Python on this machine, one of each project.

    Raises:
        ReleaseError: There are wheels, but edgelane itself is not among those that fit.
    """
    if not wheels:
        return []
    python = (sys.version_info[0], sys.version_info[1])
    found = choose(wheels, python, platform.machine(), glibc())
    if "edgelane" not in {project_of(name) for name in found}:
        raise ReleaseError(
            "no wheel of edgelane in the bundle fits this machine",
            got=f"Python {python[0]}.{python[1]} on {platform.machine()}",
            remedy="carry those that edgelane wheels fetches for it",
        )
    return found


def glibc() -> Tuple[int, int]:
    """The version of this machine's C library; (0, 0) where it is another one."""
    name, version = platform.libc_ver()
    parts = version.split(".")
    if name != "glibc" or len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        return (0, 0)
    return int(parts[0]), int(parts[1])


def make_environment(release: Release, manifest: Manifest, files: Files) -> Path:
    """Give a release its Python.

    Its wheels go into a virtual environment that sees the system's modules: TensorRT and OpenCV
    come with JetPack. A release without wheels is run by the Python that installs it.

    Args:
        release: Staged, and not yet complete.
        manifest: What it holds.
        files: What changes the disk.

    Returns:
        The script that starts the release's own edgelane.

    Raises:
        ReleaseError: The wheels do not fit or are damaged, or Python cannot make environments.
        StorageError: The disk is full or cannot be written.
    """
    wheels = fitting(manifest.wheels)
    python = Path(sys.executable)
    if wheels:
        python = _make(release.folder / VENV, [release.folder / name for name in wheels])
        with storage(f"the environment of release {release.id}"):
            files.settle(release.folder / VENV)
    script = release.folder / SCRIPT
    text = f'#!/bin/sh\nexec {shlex.quote(str(python))} -m edgelane "$@"\n'
    with storage(f"release {release.id}"):
        put(files, script, text.encode(), 0o755)
    return script


def _make(venv: Path, wheels: Sequence[Path]) -> Path:
    """Make the environment; its Python."""
    # Debian keeps pip's own wheels in another package, and nothing here needs them.
    command = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(venv)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env=_plain(), check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise ReleaseError(
            "no virtual environment can be made on this machine",
            got=said[-1] if said else f"exit status {done.returncode}",
            remedy=f"try it: {' '.join(command[:3])} /tmp/try",
        )
    site = venv / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for wheel in wheels:
        with storage(f"the environment {venv}"):
            try:
                unpack(str(wheel), str(site), str(venv / "bin"))
            except WheelError as error:
                raise ReleaseError(f"{wheel.name} in the bundle {error}") from None
    return venv / "bin/python"


def _plain() -> "dict[str, str]":
    """The surroundings without what would lead a Python to other modules."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}


def release_command(script: Optional[Path]) -> List[str]:
    """What runs the edgelane of a release: its script, or this very one where it has none."""
    if script is not None and script.is_file():
        return [str(script)]
    return [sys.executable, "-m", "edgelane"]
