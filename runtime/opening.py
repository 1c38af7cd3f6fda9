"""The models of a config, opened for the pipeline that uses them."""

from typing import Any, Optional

from ..core import ConfigError
from .config import Config


def open_first(
    config: Config,
    pipeline: Any,
    path: str,
    decoder: Optional[str] = None,
    confidence: Optional[float] = None,
) -> Any:
    """The model that looks at whole pictures, with one thread a call.

    Args:
        config: Says what is kept of its answer, and how it is read.
        pipeline: The pipeline's class. Its `task` says what the model does: `detect`, which is
            meant where it says nothing; `classify`; `inspect`, for which the config itself is what
            is opened; or `pose`, which is a detector all the same where the config has a second
            model.
        path: The model's file.
        decoder: Instead of the config's.
        confidence: Instead of the config's.

    Returns:
        What `run_loop` takes as a model, as a context.

    Raises:
        EdgelaneError: The model cannot be opened, or is none for this pipeline.
    """
    if getattr(pipeline, "task", "detect") == "inspect":
        from .inspect.judging.inspector import Inspector

        return Inspector(config)
    if getattr(pipeline, "task", "detect") == "classify":
        return _open_classifier(config, path, decoder, confidence)
    given = {
        "decoder": decoder or config.decoder,
        "confidence": config.confidence if confidence is None else confidence,
        "nms_iou": config.nms_iou,
        "input": config.input,
        "threads": 1,
    }
    if getattr(pipeline, "task", "detect") == "pose" and config.second is None:
        from .pose import load_pose_detector

        return load_pose_detector(path, **given)
    from .model import load_model

    return load_model(path, classes=config.classes, **given)


def open_second(config: Config, pipeline: Any = None, first: Any = None) -> Any:
    """The model that looks at regions, with one thread a call; None without one.

    Args:
        config: Names it as `second`.
        pipeline: The pipeline's class. Its `second_task` says what the model must do, `pose` or
            `classify`; where it says nothing, the model's card does.
        first: What `open_first` gave: it may be asked about regions itself.

    Raises:
        EdgelaneError: The model cannot be opened, or does not look at regions as the pipeline
            wants them looked at.
    """
    from .modelcheck import task_of
    from .registry import resolve_model

    if config.second is None:
        return getattr(first, "second", None)
    path = resolve_model(config.second, config.folder)
    task = getattr(pipeline, "second_task", None) or task_of(path) or "pose"
    if task == "classify":
        from .classify import load_classifier

        return load_classifier(path, threads=1)
    from .pose import load_pose

    return load_pose(path, threads=1)


def _open_classifier(
    config: Config, path: str, decoder: Optional[str], confidence: Optional[float]
) -> Any:
    from .classify import load_classifier
    from .classify.parts import PartsOnly

    cameras = config.cameras.values()
    for name, value, remedy in (
        ("second", config.second, "the classifier is the config's `model`: leave second out"),
        ("confidence", config.confidence, "say with `least` from which score on a class counts"),
    ):
        if value is not None:
            raise ConfigError(f"{name} means nothing to a classification", remedy=remedy)
    model = load_classifier(
        path,
        decoder=decoder or config.decoder,
        classes=config.classes,
        input=config.input,
        maps=any(bool(camera.settings.get("map")) for camera in cameras),
        threads=1,
    )
    parted = any(camera.settings.get("parts") for camera in cameras)
    return PartsOnly(model) if parted else model
