"""Accuracy by budget: the fastest precision that loses no more than is allowed.

INT8 is tried first, then INT8 with the most sensitive layers in float, then FP16, then FP32. Every
attempt is judged on labelled pictures that it was not calibrated with, beside the float model on
the same pictures, and noted in the card.
"""

import dataclasses
import hashlib
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence

from ..calibration.accuracy import Dataset, load_coco
from ..core import StorageError
from .attempts import LADDER, Attempt, BudgetSettings, Choice, PathLike, Progress, stamped
from .exporter import export_model
from .ranking import draw_choice, load_figure
from .search import Search

__all__ = [
    "LADDER",
    "Attempt",
    "BudgetSettings",
    "Choice",
    "export_within_budget",
    "stamped",
    "within_budget",
]


def within_budget(
    model: PathLike,
    dataset: Dataset,
    *,
    images: Optional[PathLike] = None,
    settings: Optional[BudgetSettings] = None,
    names: Optional[Sequence[str]] = None,
    decoder: Optional[str] = None,
    threads: Optional[int] = None,
    progress: Progress = None,
    told: Optional[Callable[[Attempt], None]] = None,
) -> Choice:
    """Find the fastest precision of a float model that stays within an accuracy budget.

    Args:
        model: A float32 ONNX file with a card, or of a family that is recognised.
        dataset: Labelled pictures (`load_coco`).
        images: Folder of other pictures to calibrate with. Where there is none, some of the
            dataset are taken for that, at most half, and the rest judges.
        settings: The budget.
        names: Names of the classes of a model that does not say them.
        decoder: Name of the decoder of a model that does not show it.
        threads: Threads of onnxruntime.
        progress: Called with what is being done, how much of it is done, and of how much.
        told: Called with each attempt.

    Returns:
        The first rung of the ladder that stays within the budget.

    Raises:
        ModelError: None does, the model is quantised already, or it cannot be run.
        DataError: The labels do not fit the model, or the float model finds nothing itself.
    """
    settings = settings or BudgetSettings()
    with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
        search = Search(
            Path(model), dataset, images, settings, names, decoder, threads, progress, told,
            Path(folder),
        )  # fmt: skip
        return search.run()


def export_within_budget(
    model: Any,
    out: PathLike,
    *,
    val: PathLike,
    val_images: PathLike,
    images: Optional[PathLike] = None,
    settings: Optional[BudgetSettings] = None,
    picture: Optional[PathLike] = None,
    names: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
    progress: Progress = None,
    told: Optional[Callable[[Attempt], None]] = None,
    step: Optional[Callable[[str], None]] = None,
    **options: Any,
) -> Dict[str, Any]:
    """Export a model in the fastest precision that stays within an accuracy budget.

    Args:
        model: As for `export_model`.
        out: The ONNX to write; nothing is written where nothing stays within the budget.
        val: COCO JSON of labelled pictures.
        val_images: Folder of its pictures.
        images: Folder of other pictures, to calibrate with and to compare the export on.
        settings: The budget.
        picture: PNG to draw the sensitivity of the layers and the attempts into.
        names: Names of the classes of a model that does not say them.
        threads: Threads of onnxruntime.
        progress: Called with what is being done, how much of it is done, and of how much.
        told: Called with each attempt.
        step: Called with the steps of the export before.
        options: As for `export_model`.

    Returns:
        The report of `export_model` on the float model, with what is shipped under `out`, `bytes`,
        `sha256`, `precision` and `card`, and the search under `budget`.

    Raises:
        ModelError: As `export_model` and `within_budget`.
        DataError: As `load_coco` and `within_budget`.
        StorageError: Something cannot be written.
        MissingDependency: matplotlib is asked for by `picture` and not installed.
    """
    settings = settings or BudgetSettings()
    out = Path(out)
    for path in (out, picture):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise StorageError(
                f"{path} cannot be written", got="no such folder", remedy="make its folder first"
            )
    if picture is not None:
        load_figure()
        settings = dataclasses.replace(settings, rank=True)
    dataset = load_coco(val, val_images)
    with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
        path = Path(folder) / "float.onnx"
        report = export_model(model, path, images=images, progress=step, **options)
        choice = within_budget(
            path,
            dataset,
            images=images,
            settings=settings,
            names=names,
            threads=threads,
            progress=progress,
            told=told,
        )
    choice.write(out)
    if picture is not None:
        draw_choice(choice, picture)
    content = out.read_bytes()
    return {
        **report,
        "model": str(model) if isinstance(model, (str, Path)) else report.get("model"),
        "out": str(out),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "precision": choice.shipped.precision,
        "card": dataclasses.asdict(choice.card),
        "budget": choice.card.extra["budget"],
    }
