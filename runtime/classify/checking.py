"""Does a classifier see what it should: pictures to look at, and warnings."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np

from ...core import ModelError
from ..checkrun import CheckRun
from ..overlay import draw_classes, draw_map
from .loading import load_classifier
from .model import Classifier
from .scores import best

UNSURE = 0.5
"""A picture whose best class scores less is told apart from hardly anything."""


def check_classifier(
    model: Union[str, Path, Classifier],
    paths: List[Path],
    out: Optional[Path] = None,
    *,
    progress: Optional[Callable[[int, int], None]] = None,
    **options: Any,
) -> Dict[str, Any]:
    """Run a classifier over pictures, write onto each what it is taken for, and judge that.

    Where the graph has class-activation maps, they are laid over the drawn pictures.

    Args:
        model: Path of the model, or a `Classifier`.
        paths: The pictures.
        out: Folder for the drawn pictures, made if missing; None draws nothing.
        progress: Called with the number of pictures done and all.
        options: As for `load_classifier`: decoder, input, threads.

    Returns:
        `model`, `decoder`, `input`, `images`, `unreadable`, `classes` (how many pictures of
        each), `top` (by picture the best five), `score_histogram` (of the best scores, ten bins),
        `map` (why there are no maps, or None), `timing_ms` and `warnings`.

    Raises:
        DataError: No picture can be read.
        UsageError: `out` is the folder of the pictures.
        StorageError: The drawn pictures cannot be written.
        ModelError, ConfigError, MissingDependency: As `load_classifier`.
    """
    own = not isinstance(model, Classifier)
    reason: Optional[str] = None
    if isinstance(model, Classifier):
        classifier = model
    else:
        classifier, reason = _open(str(model), out is not None, options)
    try:
        return _check(classifier, paths, out, progress, reason)
    finally:
        if own:
            classifier.close()


def _open(path: str, maps: bool, options: Dict[str, Any]) -> Tuple[Classifier, Optional[str]]:
    """A classifier, and why it has no maps; None where it has."""
    if maps:
        try:
            return load_classifier(path, maps=True, **options), None
        except ModelError as error:
            if "class-activation map" not in str(error) and "maps are not made" not in str(error):
                raise
            reason = str(error)
    else:
        reason = "none were asked for"
    return load_classifier(path, **options), reason


def _check(
    model: Classifier,
    paths: List[Path],
    out: Optional[Path],
    progress: Optional[Callable[[int, int], None]],
    reason: Optional[str],
) -> Dict[str, Any]:
    run = CheckRun(model, paths, out, progress)
    tops: Dict[str, List[Any]] = {}
    highest: List[float] = []
    lost = 0
    for path, image, seen in run:
        tops[path.name] = [[n, round(s, 4)] for n, s in best(seen.score, model.classes)]
        if np.isfinite(seen.score).all():
            highest.append(float(seen.score.max()))
        else:
            lost += 1
        if out is not None:
            run.save(path, _drawn(image, seen, tops[path.name][0]))
    counts: Dict[str, int] = {}
    for rows in tops.values():
        counts[rows[0][0]] = counts.get(rows[0][0], 0) + 1
    report = run.report(
        task="classify",
        classes=dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        top=tops,
        score_histogram=np.histogram(highest, 10, (0, 1))[0].tolist(),
        map=reason,
    )
    report["warnings"] = _judge(report, model, highest, lost) + run.warnings()
    return report


def _judge(report: Dict[str, Any], model: Classifier, highest: List[float], lost: int) -> List[str]:
    warnings = []
    if lost:
        warnings.append(
            f"the scores of {lost} pictures are no numbers: a model that was converted to fp16 or "
            "int8 may have lost them"
        )
    unsure = sum(score < UNSURE for score in highest)
    if not model.multi and len(highest) >= 8 and unsure > len(highest) / 2:
        warnings.append(
            f"no class scores {UNSURE:g} or more in {unsure} of {len(highest)} pictures: are "
            "colours, mean and std those that it was trained with?"
        )
    if len(highest) >= 8 and len(report["classes"]) == 1:
        name = next(iter(report["classes"]))
        warnings.append(f"all pictures are taken for {name!r}: do they show several classes?")
    if all(name == f"class_{k}" for k, name in enumerate(model.classes)):
        warnings.append("nothing says what the classes are called: name them with classes")
    return warnings


def _drawn(image: np.ndarray, seen: Any, top: List[Any]) -> np.ndarray:
    drawn = image.copy()
    if seen.map is not None:
        draw_map(drawn, seen.map)
    told = {"box": (0.0, 0.0), "class": top[0], "score": top[1], "certain": top[1] >= UNSURE}
    draw_classes(drawn, {"": told})
    return drawn
