"""edgelane: from a trained vision model to a camera that can be trusted.

>>> import edgelane
>>> summary, folder = edgelane.run("store.yaml", out="runs/today")    # doctest: +SKIP
>>> edgelane.write_report(folder)                                     # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# What a user needs first, imported when it is asked for: `import edgelane` loads nothing heavy.
_PUBLIC = {
    "demo": ".cli.jobs",
    "run": ".cli.jobs",
    "replay": ".cli.jobs",
    "read_events": ".cli.jobs",
    "totals": ".cli.jobs",
    "status": ".cli.jobs",
    "read_clips": ".runtime.clips.library",
    "load_config": ".runtime.config",
    "load_model": ".runtime.model",
    "check": ".runtime.modelcheck",
    "examine": ".runtime.doctor",
    "soak": ".benchmarks.soak.run",
    "write_report": ".dashboard",
}

if TYPE_CHECKING:
    from .benchmarks.soak.run import soak
    from .cli.jobs import demo, read_events, replay, run, status, totals
    from .dashboard import write_report
    from .runtime.clips.library import read_clips
    from .runtime.config import load_config
    from .runtime.doctor import examine
    from .runtime.model import load_model
    from .runtime.modelcheck import check

__all__ = [
    "check",
    "demo",
    "examine",
    "load_config",
    "load_model",
    "read_clips",
    "read_events",
    "replay",
    "run",
    "soak",
    "status",
    "totals",
    "write_report",
]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
