"""Detections in time become tracks. No clock of its own: time comes from the frames."""

from .given import GivenTracks
from .settings import TrackerSettings
from .tracker import Tracker

__all__ = ["GivenTracks", "Tracker", "TrackerSettings"]
