"""Does a model see what it should: pictures to look at, and warnings about its input."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import numpy as np

from ..core import DataError, Detections, ModelCard, UsageError
from ..core.card import METADATA_KEY
from .agreement import judge, try_inputs
from .checkrun import CheckRun, read_picture
from .model import Model, load_model
from .onnx_metadata import read_metadata
from .sources.file import IMAGES, natural

TRIED = 32
"""Pictures at most on which other inputs are tried; spread over the folder."""


def check(
    model: Union[str, Path, Model],
    images: Union[str, Path],
    out: Union[str, Path, None] = None,
    *,
    task: Optional[str] = None,
    progress: Optional[Callable[[int, int], None]] = None,
    **options: Any,
) -> Dict[str, Any]:
    """Run a model over a folder of pictures, draw what it finds and judge its input.

    Args:
        model: Path of the model, or a `Model`.
        images: Folder of pictures, best some that show what the model is to find.
        out: Folder for the drawn pictures, which keep their names; made if missing. None draws
            nothing.
        task: `detect`, or `classify`, see `classify.checking.check_classifier`; `detect` unless
            given.
        progress: Called with the number of pictures done and all.
        options: As for `load_model`: decoder, classes, confidence, nms_iou, input, threads.

    Returns:
        `model`, `decoder`, `input`, `images`, `unreadable` (paths), `detections`, `classes` (how
        many detections of each), `score_histogram` (of ten bins of 0.1), `agreement` (by input,
        the declared one under `declared`), `timing_ms` (medians) and `warnings`.

    Raises:
        DataError: The folder is missing or has no picture that can be read.
        UsageError: The task is none that is checked, or `out` is the folder of pictures.
        StorageError: The drawn pictures cannot be written.
        ModelError, ConfigError, MissingDependency: As `load_model`.
    """
    if task not in (None, "detect", "classify"):
        raise UsageError(
            f"models of the task {task!r} are not checked", expected="detect or classify"
        )
    paths = _paths(Path(images))
    folder = None if out is None else Path(out)
    if task == "classify" and not isinstance(model, Model):
        from .classify.checking import check_classifier

        return check_classifier(str(model), paths, folder, progress=progress, **options)
    own = not isinstance(model, Model)
    detector = model if isinstance(model, Model) else load_model(model, **options)
    try:
        return _check(detector, paths, folder, progress)
    finally:
        if own:
            detector.close()


def task_of(path: Union[str, Path]) -> Optional[str]:
    """The task on a model's card; None where it has none."""
    from .backends.serve import is_engine

    if is_engine(str(path)):
        from .engines import read_passport

        text = read_passport(path).metadata.get(METADATA_KEY)
    else:
        text = read_metadata(path).get(METADATA_KEY)
    return ModelCard.from_json(text).task if text else None


def _check(
    model: Model,
    paths: List[Path],
    out: Optional[Path],
    progress: Optional[Callable[[int, int], None]],
) -> Dict[str, Any]:
    low = model.variant(confidence=min(model.card.confidence, 0.05))
    run = CheckRun(low, paths, out, progress)
    found: List[Detections] = []
    weak: List[np.ndarray] = []
    for path, image, detections in run:
        weak.append(detections.score)
        detections = detections.select(detections.score >= model.card.confidence)
        found.append(detections)
        if out is not None:
            from .overlay import draw_detections

            run.save(path, draw_detections(image.copy(), detections, model.classes))
    readable = [path for path in paths if str(path) not in run.unreadable]
    images = (read_picture(path) for path in _spread(readable, TRIED))
    agreement = try_inputs(model, (image for image in images if image is not None))
    scores = np.concatenate([d.score for d in found])
    ids = np.concatenate([d.class_id for d in found])
    report = run.report(
        confidence=model.card.confidence,
        detections=len(scores),
        classes=_counts(ids, model.classes),
        score_histogram=np.histogram(np.concatenate(weak), 10, (0, 1))[0].tolist(),
        agreement={name: float(np.mean(values)) for name, values in agreement.items()},
    )
    report["warnings"] = judge(agreement, len(scores), report["score_histogram"]) + run.warnings()
    return report


def _paths(folder: Path) -> List[Path]:
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}",
            got="a file" if folder.exists() else None,
            expected="a folder of pictures",
        )
    paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file()]
    if not paths:
        raise DataError(
            f"there are no pictures in {folder}", expected="files that end in " + ", ".join(IMAGES)
        )
    return sorted(paths, key=lambda p: natural(p.name))


def _spread(paths: Sequence[Path], count: int) -> List[Path]:
    if len(paths) <= count:
        return list(paths)
    return [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]


def _counts(ids: np.ndarray, classes: Sequence[str]) -> Dict[str, int]:
    numbers, counts = np.unique(ids, return_counts=True)
    pairs = sorted(zip(numbers.tolist(), counts.tolist()), key=lambda pair: -pair[1])
    return {str(classes[i] if i < len(classes) else f"class_{i}"): n for i, n in pairs}
