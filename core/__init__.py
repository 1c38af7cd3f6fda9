"""The few types that every room speaks: no clock, no file, nothing but numpy."""

from .card import InputSpec, ModelCard
from .detections import Detections, Tracks
from .devices import DEVICES, Device, find_device
from .errors import (
    ConfigError,
    DataError,
    EdgelaneError,
    MissingDependency,
    ModelError,
    ReleaseError,
    SourceError,
    StorageError,
    UsageError,
    did_you_mean,
)
from .event import Event
from .frame import Frame
from .pipeline import Observation, Pipeline, Regions

__all__ = [
    "DEVICES",
    "ConfigError",
    "DataError",
    "Detections",
    "Device",
    "EdgelaneError",
    "Event",
    "Frame",
    "InputSpec",
    "MissingDependency",
    "ModelCard",
    "ModelError",
    "Observation",
    "Pipeline",
    "Regions",
    "ReleaseError",
    "SourceError",
    "StorageError",
    "Tracks",
    "UsageError",
    "did_you_mean",
    "find_device",
]
