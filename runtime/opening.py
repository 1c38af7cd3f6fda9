"""The models of a config, opened for the pipeline that uses them."""

from typing import Any, Optional

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
            meant where it says nothing, or `pose`, which is a detector all the same where the
            config has a second model.
        path: The model's file.
        decoder: Instead of the config's.
        confidence: Instead of the config's.

    Returns:
        What `run_loop` takes as a model, as a context.

    Raises:
        EdgelaneError: The model cannot be opened, or is none for this pipeline.
    """
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


def open_second(config: Config) -> Any:
    """The model that looks at regions, with one thread a call; None without one.

    Raises:
        EdgelaneError: The model cannot be opened, or does not look at regions.
    """
    from .pose import load_pose
    from .registry import resolve_model

    if config.second is None:
        return None
    return load_pose(resolve_model(config.second, config.folder), threads=1)
