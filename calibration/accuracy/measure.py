"""The accuracy of any model edgelane can run, by the metric of its task."""

import os
from typing import Any, Callable, Dict, Optional, Sequence, Union

from ...core import ModelCard, ModelError, did_you_mean
from ...core.card import METADATA_KEY
from ...runtime.model import Model, load_model
from ...runtime.onnx_metadata import read_metadata
from .boxes import evaluate_boxes
from .dataset import Dataset
from .evaluation import Evaluation

PathLike = Union[str, "os.PathLike[str]"]
Progress = Optional[Callable[[int, int], None]]

CONFIDENCE, NMS_IOU = 0.01, 0.65
"""Thresholds of published average precisions: nearly all detections, sparing suppression."""


def evaluate(
    model: Union[PathLike, Model],
    dataset: Dataset,
    *,
    task: Optional[str] = None,
    threads: Optional[int] = None,
    progress: Progress = None,
    **options: Any,
) -> Evaluation:
    """Judge a model on labelled pictures.

    Args:
        model: ONNX file, or a `Model`.
        dataset: Labelled pictures, as `load_coco` gives them.
        task: `detect`, `pose` or `classify`; the card's if left out, and `detect` without a card.
        threads: Threads for one run.
        progress: Called with the number of pictures done and all.
        options: For a detector as for `load_model`, decoder and input, and `names`, its classes
            where it does not say them itself.

    Returns:
        Box AP of detectors (`boxes`), OKS AP of poses (`oks`), top-1 of classifiers (`labels`).

    Raises:
        ModelError: There is no metric for the task, or the model cannot be loaded.
        DataError: As the metric tells.
    """
    if isinstance(model, Model):
        return _boxes(model, dataset, progress)
    path = os.fspath(model)
    task = task or task_of(path)
    if task not in _METRICS:
        raise ModelError(
            f"there is no measure of accuracy for the task {task!r}",
            remedy=did_you_mean(task, _METRICS),
        )
    return _METRICS[task](path, dataset, threads, progress, options)


def task_of(path: PathLike) -> str:
    """The task on a model's card; `detect` where it has none."""
    text = read_metadata(path).get(METADATA_KEY)
    return ModelCard.from_json(text).task if text else "detect"


def _detector(
    path: str, dataset: Dataset, threads: Optional[int], progress: Progress, options: Dict[str, Any]
) -> Evaluation:
    options = dict(options)
    names = options.pop("names", None)
    with load_model(path, threads=threads, **options) as model:
        return _boxes(model, dataset, progress, names)


def _boxes(
    model: Model, dataset: Dataset, progress: Progress, names: Optional[Sequence[str]] = None
) -> Evaluation:
    nms_iou = None if model.card.nms_iou is None else NMS_IOU
    low = model.variant(confidence=CONFIDENCE, nms_iou=nms_iou)
    return evaluate_boxes(low, dataset, classes=names, progress=progress)


def _classifier(
    path: str, dataset: Dataset, threads: Optional[int], progress: Progress, options: Dict[str, Any]
) -> Evaluation:
    from ...runtime.classify import load_classifier
    from .labels import evaluate_labels

    with load_classifier(path, threads=threads, **options) as model:
        return evaluate_labels(model, dataset, progress=progress)


def _poses(
    path: str, dataset: Dataset, threads: Optional[int], progress: Progress, options: Dict[str, Any]
) -> Evaluation:
    from .poses import evaluate_poses

    return evaluate_poses(path, dataset, threads, progress, options)


_METRICS = {"detect": _detector, "classify": _classifier, "pose": _poses}
