"""Average precision of detected boxes, as COCO defines it.

Equal to pycocotools (`COCOeval`, bbox): AP over IoU 0.50 to 0.95, 101 recalls, 100 detections a
class and picture, areas of 32² and 96² pixels, crowds taken by any number of detections.
"""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError, Detections
from .dataset import Dataset
from .evaluation import Evaluation
from .matching import match
from .precision import MOST, Matches, mean

SIZES = ("all", "small", "medium", "large")
AREAS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]], float)
"""Least and greatest area in square pixels of each range of size."""


def evaluate_boxes(
    model: Callable[[np.ndarray], Detections],
    dataset: Dataset,
    *,
    classes: Optional[Sequence[str]] = None,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Evaluation:
    """Judge a detector.

    Args:
        model: From a `(h, w, 3)` uint8 BGR picture to detections; a `Model` has its `classes`.
            Its confidence should be low, 0.01, and NMS at 0.65 for published figures.
        dataset: Labelled pictures.
        classes: Names by class id, where the model does not say them. A class is judged by the
            category of the same name; other categories are left aside.
        progress: Called with the number of pictures done and all.

    Returns:
        Scores `AP`, `AP50`, `AP75`, `AP_small`, `AP_medium`, `AP_large` and `AR` (at 100); AP,
        AP50 and AP75 can be redrawn. A range of size without truths has no score.

    Raises:
        DataError: No class is a category, no picture has a label of them, or a picture cannot be
            read.
    """
    names = list(classes or getattr(model, "classes", ()))
    kinds = shared_classes(names, dataset)
    found: List[Detections] = []
    for number, picture in enumerate(dataset.pictures, 1):
        found.append(top(model(picture.read())))
        if progress:
            progress(number, len(dataset))
    return score_boxes(found, dataset, kinds)


def shared_classes(names: Sequence[str], dataset: Dataset) -> Dict[int, int]:
    """Category id by class id, of the classes that are categories by name.

    Raises:
        DataError: None is.
    """
    lower = {name.lower(): number for name, number in dataset.categories.items()}
    kinds = {i: lower[n.lower()] for i, n in enumerate(names) if n.lower() in lower}
    if not kinds:
        raise DataError(
            f"none of the model's classes is a category of {dataset.name}",
            got=", ".join(names[:5]) or "a model that does not name its classes",
            expected=", ".join(list(dataset.categories)[:5]) or "categories in the file",
            remedy="validate on labels of what the model detects, or name its classes on its card",
        )
    return kinds


def top(found: Detections, most: int = MOST) -> Detections:
    """The best detections of a picture, at most so many, best first."""
    return found.select(np.argsort(-found.score, kind="stable")[:most])


def score_boxes(found: Sequence[Detections], dataset: Dataset, kinds: Dict[int, int]) -> Evaluation:
    """Judge detections that are there already.

    Args:
        found: Of each picture of the dataset.
        dataset: Labelled pictures.
        kinds: Category id by class id; detections of other classes are left aside.

    Raises:
        DataError: No picture has a label of these categories.
    """
    categories = sorted(set(kinds.values()))
    matches = Matches(len(dataset), len(categories), SIZES)
    index = {category: k for k, category in enumerate(categories)}
    of_class = {i: index[c] for i, c in kinds.items()}
    for number, (picture, detections) in enumerate(zip(dataset.pictures, found)):
        truth = [a for a in picture.annotations if a.get("bbox") is not None]
        kind = np.array([index.get(int(a["category_id"]), -1) for a in truth], int)
        boxes = np.array([a["bbox"] for a in truth], float).reshape(-1, 4)
        area = np.array([a.get("area", a["bbox"][2] * a["bbox"][3]) for a in truth], float)
        crowd = np.array([bool(a.get("iscrowd", 0)) for a in truth], bool)
        rows = np.array([of_class.get(int(c), -1) for c in detections.class_id], int)
        mine = detections.xyxy.astype(float)
        mine[:, 2:] -= mine[:, :2]
        for k in np.union1d(kind, rows):
            if k < 0:
                continue
            t, d = kind == k, np.flatnonzero(rows == k)
            d = d[np.argsort(-detections.score[d], kind="stable")][:MOST]
            outcome, judged = match_boxes(mine[d], boxes[t], area[t], crowd[t])
            matches.add(number, int(k), detections.score[d], outcome, judged)
    if not matches.truths().any():
        raise DataError(
            f"no picture of {dataset.name} has a label of what the model detects",
            expected=", ".join(n for n, c in dataset.categories.items() if c in categories),
        )
    return Evaluation(
        "AP",
        _scores(matches),
        tuple(str(p.id) for p in dataset.pictures),
        _Redraw(matches),
        dataset.notes(),
        tuple(found),
    )


def match_boxes(
    found: np.ndarray, truth: np.ndarray, area: np.ndarray, crowd: np.ndarray
) -> Tuple[Any, np.ndarray]:
    """Match boxes of one class in one picture in all ranges of size.

    Args:
        found: `(n, 4)` left, top, width, height, best score first.
        truth: `(g, 4)` likewise.
        area: `(g,)` of what the truths are of, which may be less than the box.
        crowd: `(g,)` bool.

    Returns:
        The outcome, and `(s,)` numbers of judged truths.
    """
    low, high = AREAS[:, :1], AREAS[:, 1:]
    unjudged = crowd | (area < low) | (area > high)
    size = found[:, 2] * found[:, 3]
    outside = (size < low) | (size > high)
    outcome = match(overlap(found, truth, crowd), unjudged, crowd, outside)
    return outcome, (~unjudged).sum(axis=1)


def overlap(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """`(n, g)` IoU of boxes as left, top, width, height; over a crowd, the share of the box."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(
        found[:, None, :2] + found[:, None, 2:], truth[None, :, :2] + truth[None, :, 2:]
    )
    shared = np.clip(high - low, 0, None).prod(axis=2)
    mine = found[:, 2:].prod(axis=1)[:, None]
    union = np.where(crowd[None], mine, mine + truth[:, 2:].prod(axis=1)[None] - shared)
    return shared / np.maximum(union, 1e-12)


def _scores(matches: Matches) -> Dict[str, float]:
    curve = matches.curve()
    scores = {name: float(v[0]) for name, v in _precisions(matches, curve.precision).items()}
    scores["AR"] = float(mean(curve.recall)[0])
    for size, name in enumerate(SIZES[1:], 1):
        if matches.truths(size).any():
            scores[f"AP_{name}"] = float(mean(matches.curve(size=size).precision)[0])
    return scores


def _precisions(matches: Matches, precision: np.ndarray) -> Dict[str, np.ndarray]:
    parts = {"AP": precision}
    for step, least in enumerate(matches.thresholds):
        if round(least, 2) in (0.5, 0.75):
            parts[f"AP{round(100 * least)}"] = precision[:, step : step + 1]
    return {name: mean(values) for name, values in parts.items()}


class _Redraw:
    def __init__(self, matches: Matches) -> None:
        self._matches = matches

    def __call__(self, weights: np.ndarray) -> Dict[str, np.ndarray]:
        return _precisions(self._matches, self._matches.curve(weights).precision)
