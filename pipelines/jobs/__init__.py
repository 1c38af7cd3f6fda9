"""Whole runs: a config, a source and a model composed into a run folder.

The one place among the pipelines that knows files: it gives pure pipelines to the run loop.
"""

from .composition import replay, run
from .folder import parse_size, read_events

__all__ = ["parse_size", "read_events", "replay", "run"]
