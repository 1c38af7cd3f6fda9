"""Pipelines by name."""

from importlib import import_module
from pathlib import Path
from typing import Any, Optional

from ..core import ConfigError, did_you_mean
from ..runtime.config import CAMERA_KEYS, TOP_KEYS, CameraConfig, decode
from ..runtime.named import load_object

PIPELINES = {
    "classification": ".classification:Classification",
    "counting": ".counting:Counting",
    "detection": ".detection:Detection",
    "inspection": ".inspection:Inspection",
    "pose": ".pose:Pose",
}


def pipeline_class(name: str, folder: Optional[Path] = None) -> Any:
    """The class of a pipeline.

    Args:
        name: A key of `PIPELINES`, or `module:Class` of the user's own.
        folder: Where the user's own module may lie, besides the working directory.

    Raises:
        ConfigError: The name is unknown.
    """
    if name in PIPELINES:
        module, _, attribute = PIPELINES[name].partition(":")
        return getattr(import_module(module, __package__), attribute)
    if ":" in name:
        return load_object(name, "pipeline", folder)
    raise ConfigError(f"pipeline {name!r} is unknown", remedy=did_you_mean(name, PIPELINES))


def camera_settings(pipeline: Any, camera: CameraConfig) -> Any:
    """The pipeline's settings for one camera, checked, in the coordinates of the config.

    Raises:
        ConfigError: A key is wrong or unknown.
    """
    known = CAMERA_KEYS + (() if camera.path else TOP_KEYS)
    return decode(pipeline.Settings, camera.settings, camera.path, known)
