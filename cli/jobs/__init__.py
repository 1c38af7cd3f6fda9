"""Whole runs: config, sources, model and pipeline composed into a run folder.

What a command does, one of these functions does; `import edgelane` offers them.
"""

from .composition import replay, run
from .demo import demo
from .folder import parse_size, read_events
from .status import status
from .totals import totals

__all__ = ["demo", "parse_size", "read_events", "replay", "run", "status", "totals"]
