"""All wheels that a device needs, fetched at a desk, so that the device needs no network."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from ..core import EdgelaneError, UsageError, did_you_mean

PathLike = Union[str, "os.PathLike[str]"]


class Target(NamedTuple):
    """What wheels must fit.

    Attributes:
        python: Version of the Python, e.g. `(3, 8)`.
        glibc: Version of the C library, e.g. `(2, 31)`.
        machine: `aarch64` or `x86_64`.
        opencv: Whether the system's own OpenCV serves; with it NumPy stays below 2, which it was
            built for.
    """

    python: Tuple[int, int]
    glibc: Tuple[int, int]
    machine: str = "aarch64"
    opencv: bool = False


TARGETS: Dict[str, Target] = {
    # JetPack 4's own Python is 3.6; see deploy/jetpack4/build.sh.
    "jetpack4": Target((3, 8), (2, 27)),
    "jetpack5": Target((3, 8), (2, 31), opencv=True),
    "jetpack6": Target((3, 10), (2, 35), opencv=True),
    "jetpack7": Target((3, 12), (2, 39), opencv=True),
}

_PLAIN = re.compile(r"cp(?P<major>3)(?P<minor>\d+)-(?P<machine>aarch64|x86_64)")
_LEFT_OUT = shutil.ignore_patterns(
    ".*", "build", "dist", "runs", "tests", "docs", "__pycache__", "*.egg-info"
)


def find_target(name: str) -> Target:
    """A JetPack, e.g. `jetpack6`, or any Linux with a Python, e.g. `cp311-aarch64`.

    Raises:
        UsageError: It is neither.
    """
    wanted = name.lower().replace(" ", "")
    if wanted in TARGETS:
        return TARGETS[wanted]
    match = _PLAIN.fullmatch(wanted)
    if match:
        return Target((3, int(match.group("minor"))), (2, 28), match.group("machine"))
    raise UsageError(
        f"no target is called {name!r}",
        expected=f"{', '.join(TARGETS)}, or a Python and machine like cp311-aarch64",
        remedy=did_you_mean(wanted, TARGETS),
    )


def fetch_wheels(
    target: Union[str, Target], out: PathLike, *, edgelane: Optional[PathLike] = None
) -> List[Path]:
    """Fetch edgelane and all that it needs to serve, with the CPU as the last resort.

    Args:
        target: What they must fit.
        out: The folder for them; what is there already and fits is not fetched again.
        edgelane: The wheel of edgelane; made from the checkout that this is, unless given.

    Returns:
        The wheels, by name.

    Raises:
        UsageError: There is no such target, or this is no checkout and no wheel was given.
        EdgelaneError: pip found no wheels that fit, or the folder cannot be written.
    """
    wanted = find_target(target) if isinstance(target, str) else target
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgelaneError(f"{folder} cannot be written", got=error.strerror) from None
    with tempfile.TemporaryDirectory(prefix="edgelane-wheels-") as scratch:
        fetched = Path(scratch) / "wheels"
        fetched.mkdir()
        own = Path(edgelane) if edgelane is not None else _make_own(Path(scratch))
        if own.suffix != ".whl" or not own.is_file():
            raise UsageError(f"{own} is no wheel", expected="a .whl file")
        _pip(download_arguments(wanted, fetched, folder))
        shutil.copyfile(str(own), str(fetched / own.name))
        names = sorted(path.name for path in fetched.iterdir())
        try:
            for name in names:
                shutil.move(str(fetched / name), str(folder / name))
        except OSError as error:
            raise EdgelaneError(f"{folder} cannot be written", got=error.strerror) from None
    return [folder / name for name in names]


def short_name(name: str) -> str:
    """A wheel's file name with the most general of its platforms alone, which says all of them.

    Bundles hold names of up to 100 letters, and `manylinux` tags of the same wheel add up.
    """
    stem, _, platforms = name[: -len(".whl")].rpartition("-")
    return f"{stem}-{min(platforms.split('.'), key=_glibc)}.whl"


def _glibc(tag: str) -> Tuple[int, str]:
    """A platform tag by the C library that it needs, the oldest first."""
    match = re.match(r"manylinux_2_(\d+)_", tag)
    if match:
        return int(match.group(1)), tag
    older = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
    return older.get(tag.split("_")[0], 0), tag


def requirements(target: Target) -> List[str]:
    """What pip is asked for: what the base needs, onnxruntime, and what verifies signatures."""
    base = [r for r in importlib.metadata.requires("edgelane") or [] if "extra ==" not in r]
    more = ["onnxruntime>=1.15", "PyNaCl>=1.5"]
    more += ["numpy<2"] if target.opencv else ["opencv-python-headless>=4.5"]
    return [r.split(";")[0].strip() for r in base] + more


def download_arguments(target: Target, out: Path, known: Path) -> List[str]:
    """What `pip download` is told.

    Args:
        target: What the wheels must fit.
        out: The folder for them.
        known: A folder with wheels that need not be fetched again.
    """
    major, minor = target.python
    arguments = ["download", "--quiet", "--only-binary=:all:", "--dest", str(out)]
    arguments += ["--find-links", str(known), "--implementation", "cp"]
    arguments += ["--python-version", f"{major}.{minor}", "--abi", f"cp{major}{minor}"]
    for glibc in range(target.glibc[1], 16, -1):
        arguments += ["--platform", f"manylinux_2_{glibc}_{target.machine}"]
    arguments += ["--platform", f"manylinux2014_{target.machine}"]
    return arguments + requirements(target)


def _make_own(scratch: Path) -> Path:
    """The wheel of the edgelane that runs, made from its checkout."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / "pyproject.toml").is_file():
        raise UsageError(
            "the edgelane that runs is no checkout that a wheel could be made from",
            got=str(checkout),
            remedy="give the wheel with --edgelane",
        )
    # Made from a copy: setuptools leaves its traces where it builds.
    shutil.copytree(str(checkout), str(scratch / "edgelane"), ignore=_LEFT_OUT)
    _pip(["wheel", "--quiet", "--no-deps", "-w", str(scratch / "own"), str(scratch / "edgelane")])
    return next((scratch / "own").glob("edgelane-*.whl"))


def _pip(arguments: List[str]) -> None:
    # The same sources give the same wheel; 1980 is the earliest day that zip files know.
    env = {**os.environ, "SOURCE_DATE_EPOCH": "315532800", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        told = done.stdout.decode("utf-8", "replace").strip().splitlines()
        errors = [line for line in told if line.startswith("ERROR")] or told[-1:]
        raise EdgelaneError(
            f"pip {arguments[0]} failed",
            got="; ".join(line.replace("ERROR: ", "") for line in errors[:2]) or "no word",
            remedy="check the network, or the folder of wheels that pip is configured with",
        )
