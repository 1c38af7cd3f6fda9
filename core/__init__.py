"""The few types that every room speaks: no clock, no file, nothing but numpy."""

from .card import InputSpec, ModelCard
from .detections import Detections, Tracks
from .errors import (
    ConfigError,
    DataError,
    EdgelaneError,
    MissingDependency,
    ModelError,
    SourceError,
    StorageError,
    UsageError,
    did_you_mean,
)
from .event import Event
from .frame import Frame
from .pipeline import Observation, Pipeline

__all__ = [
    "ConfigError",
    "DataError",
    "Detections",
    "EdgelaneError",
    "Event",
    "Frame",
    "InputSpec",
    "MissingDependency",
    "ModelCard",
    "ModelError",
    "Observation",
    "Pipeline",
    "SourceError",
    "StorageError",
    "Tracks",
    "UsageError",
    "did_you_mean",
]
