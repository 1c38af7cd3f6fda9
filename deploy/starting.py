"""What the service starts: the release that runs, with its journal outside of it."""

import json
import time
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

from .files import storage
from .layout import Layout, PathLike
from .manifest import CONFIG
from .releases import running

SOON_S = 600.0
"""Starts within so many seconds are taken as ends by itself."""
FIRST_S, LONGEST_S = 5.0, 60.0

_STARTS = ".starts.json"


class Start(NamedTuple):
    """What is to run.

    Attributes:
        config: The release's config.
        out: The run's folder, the same after every start of this release.
        wait_s: Seconds to wait before, because it has ended several times in a row.
        places: Environment variables that say where secrets and engines lie.
    """

    config: Path
    out: Path
    wait_s: float
    places: Dict[str, str]


def prepare_start(root: PathLike = "/", *, clock: Callable[[], float] = time.time) -> Start:
    """Find the release that runs, whole, and where its journal lies.

    Counts of different releases stay in different folders: a line may have been drawn elsewhere.

    Args:
        root: The device's root.
        clock: Unix time.

    Raises:
        ReleaseError: Nothing is installed, or it is damaged.
        StorageError: The folder of runs cannot be written.
    """
    release = running(root)
    layout = Layout(root)
    places = {"EDGELANE_SECRETS": str(layout.secrets), "EDGELANE_ENGINES": str(layout.engines)}
    now = clock()
    recent = [at for at in _starts(layout.runs) if 0 <= now - at < SOON_S]
    with storage(f"{layout.runs}"):
        layout.runs.mkdir(parents=True, exist_ok=True)
        (layout.runs / _STARTS).write_text(json.dumps([*recent[-9:], now]))
    return Start(release.folder / CONFIG, layout.runs / release.id, pause(len(recent)), places)


def pause(recent: int) -> float:
    """Seconds to wait after so many starts of late: none for two, then longer and longer."""
    return 0.0 if recent < 2 else min(FIRST_S * 2 ** (recent - 2), LONGEST_S)


def _starts(folder: Path) -> List[float]:
    """When it was started of late; a file that is lost costs no more than the pauses."""
    try:
        told = json.loads((folder / _STARTS).read_text())
        return [float(at) for at in told]
    except (OSError, ValueError, TypeError):
        return []
