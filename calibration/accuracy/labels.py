"""Top-1 and top-5 accuracy of a classifier on pictures that have one label each."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np

from ...core import DataError
from ...runtime.sources.file import IMAGES, natural
from .boxes import shared_classes
from .dataset import Dataset, Picture
from .evaluation import Confusion, Evaluation

TOP = 5


def class_folders(folder: Union[str, Path]) -> List[Path]:
    """The folders in a folder that hold pictures, by name; empty where there are none."""
    path = Path(folder)
    if not path.is_dir():
        return []
    inner = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [p for p in inner if any(_pictures(p))]


def _pictures(folder: Path) -> List[Path]:
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file())
    return sorted(files, key=lambda p: natural(p.name))


def load_class_folders(folder: Union[str, Path]) -> Dataset:
    """Read a folder that holds a folder of pictures for each class.

    Args:
        folder: Its folders are named as the classes.

    Raises:
        DataError: There is no such folder, or no folder of pictures in it.
    """
    path = Path(folder)
    folders = class_folders(path)
    if not folders:
        raise DataError(
            f"there are no pictures of classes in {path}",
            expected="a folder of pictures for each class, named as the class",
        )
    pictures: List[Picture] = []
    for number, inner in enumerate(folders):
        for file in _pictures(inner):
            pictures.append(Picture(len(pictures), file, None, ({"category_id": number},)))
    categories = {inner.name: number for number, inner in enumerate(folders)}
    return Dataset(str(path), categories, tuple(pictures))


def evaluate_labels(
    model: Callable[[np.ndarray], np.ndarray],
    dataset: Dataset,
    *,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Evaluation:
    """Judge a classifier on pictures whose annotations are all of one category.

    Args:
        model: From a `(h, w, 3)` uint8 BGR picture to `(classes,)` scores, e.g. a
            `runtime.classify.Classifier`; has `classes`.
        dataset: Labelled pictures; a class is the category of the same name. Where the model does
            not name its classes and there are as many categories, they are taken in order.
        progress: Called with the number of pictures done and all.

    Returns:
        The scores `top1`, the share of pictures whose class has the highest score, `top5` where
        there are more classes than five, and `mean_recall`, the mean over the classes of the
        share of their pictures that are found; and `confusion`.

    Raises:
        DataError: No class is a category, or no picture has one label alone.
    """
    names = tuple(str(name) for name in getattr(model, "classes", ()))
    kinds, notes = _matched(names, dataset)
    class_of = {category: k for k, category in kinds.items()}
    ranks: List[int] = []
    pairs: List[Tuple[int, int]] = []
    chosen: List[str] = []
    for number, picture in enumerate(dataset.pictures, 1):
        labels = {int(a["category_id"]) for a in picture.annotations} & set(class_of)
        if len(labels) == 1:
            scores = np.asarray(model(picture.read()), np.float64).reshape(-1)
            scores = np.where(np.isfinite(scores), scores, -np.inf)
            true, best = class_of[labels.pop()], int(np.argmax(scores))
            # Equal scores do not help: all that are as high stand before the true one.
            rank = int((scores > scores[true]).sum() + (scores[:true] == scores[true]).sum())
            ranks.append(rank)
            pairs.append((true, best))
            chosen.append(str(picture.id))
        if progress:
            progress(number, len(dataset))
    if not ranks:
        raise DataError(f"no picture of {dataset.name} has one label that the model knows")
    notes += list(dataset.notes())
    if len(ranks) < len(dataset):
        notes.append(f"{len(dataset) - len(ranks)} pictures have no label or several")
    values = {"top1": np.array(ranks) < 1}
    if len(names) > TOP:
        values["top5"] = np.array(ranks) < TOP
    confusion = _confusion(pairs, names)
    hits, totals = np.diag(confusion.counts), confusion.counts.sum(axis=1)
    recall = (hits[totals > 0] / totals[totals > 0]).mean()
    scores_of = {name: float(right.mean()) for name, right in values.items()}

    def redraw(weights: np.ndarray) -> Dict[str, np.ndarray]:
        total = np.maximum(weights.sum(axis=1), 1e-12)
        return {name: weights @ right.astype(float) / total for name, right in values.items()}

    return Evaluation(
        "top1",
        {**scores_of, "mean_recall": float(recall)},
        tuple(chosen),
        redraw,
        tuple(notes),
        confusion=confusion,
    )


def _matched(names: Tuple[str, ...], dataset: Dataset) -> Tuple[Dict[int, int], List[str]]:
    """Category by class id, and what a reader should know about that."""
    unnamed = all(name == f"class_{k}" for k, name in enumerate(names))
    if unnamed and len(names) == len(dataset.categories) > 0:
        inner = sorted(dataset.categories)
        kinds = {k: dataset.categories[name] for k, name in enumerate(inner)}
        return kinds, [
            f"the model does not name its classes: they are taken to be {', '.join(inner[:4])}"
            + ("… in this order" if len(inner) > 4 else " in this order")
        ]
    kinds = shared_classes(names, dataset)
    lost = [name for name, number in dataset.categories.items() if number not in kinds.values()]
    if not lost:
        return kinds, []
    return kinds, [f"the model has no class {', '.join(lost[:4])}: its pictures are left out"]


def _confusion(pairs: List[Tuple[int, int]], names: Tuple[str, ...]) -> Confusion:
    """Of the classes that are there or were chosen."""
    there = sorted({k for pair in pairs for k in pair})
    at = {k: i for i, k in enumerate(there)}
    counts = np.zeros((len(there), len(there)), np.int64)
    for true, best in pairs:
        counts[at[true], at[best]] += 1
    return Confusion(tuple(names[k] if k < len(names) else str(k) for k in there), counts)


def confusion_dict(evaluation: Any, most: int = 40) -> Optional[Dict[str, Any]]:
    """A confusion for a file: `classes` and `counts`, or with more classes than `most` alone
    `worst`, the mistakes that are made most often."""
    confusion = evaluation.confusion
    if confusion is None:
        return None
    told: Dict[str, Any] = {"worst": [list(pair) for pair in confusion.worst(10)]}
    if len(confusion.classes) <= most:
        told.update(classes=list(confusion.classes), counts=confusion.counts.tolist())
    return told
