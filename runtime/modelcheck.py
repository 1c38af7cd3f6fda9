"""Does a model see what it should: pictures to look at, and warnings about its input.

A model that is fed the wrong colours or values raises no error anywhere. It sees less, or, where
its units saturate, confident nonsense; so neither the number nor the scores of its detections
tell. What tells is whether a detection is found again in the mirrored picture: a person is, noise
is not. The agreement of a picture is the sum of the scores of detections that are found again
minus that of those that are not; the right input has the highest, and one that others beat by far
is warned about.
"""

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..core import DataError, Detections, InputSpec, StorageError
from .model import Model, load_model
from .sources.base import load_cv2
from .sources.file import IMAGES, natural

_VALUES: Dict[str, Dict[str, Any]] = {
    "0..255": {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    "0..1": {"scale": 1 / 255, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    "-1..1": {"scale": 1 / 255, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    "ImageNet mean and std": {
        "scale": 1 / 255,
        "mean": (0.485, 0.456, 0.406),  # of red, green, blue
        "std": (0.229, 0.224, 0.225),
    },
}

TRIED = 32
"""Pictures at most on which other inputs are tried; spread over the folder."""


def check(
    model: Union[str, Path, Model],
    images: Union[str, Path],
    out: Union[str, Path, None] = None,
    *,
    progress: Optional[Callable[[int, int], None]] = None,
    **options: Any,
) -> Dict[str, Any]:
    """Run a detector over a folder of pictures, draw what it finds and judge its input.

    Args:
        model: Path of the model, or a `Model`.
        images: Folder of pictures, best some that show what the model is to find.
        out: Folder for the drawn pictures, which keep their names; made if missing. None draws
            nothing.
        progress: Called with the number of pictures done and all.
        options: As for `load_model`: decoder, classes, confidence, nms_iou, input, threads.

    Returns:
        `model`, `decoder`, `input`, `images`, `unreadable` (paths), `detections`, `classes` (how
        many detections of each), `score_histogram` (of ten bins of 0.1), `agreement` (by input,
        the declared one under `declared`), `timing_ms` (medians) and `warnings`.

    Raises:
        DataError: The folder is missing or has no picture that can be read.
        StorageError: The drawn pictures cannot be written.
        ModelError, ConfigError, MissingDependency: As `load_model`.
    """
    paths = _paths(Path(images))
    own = not isinstance(model, Model)
    detector = model if isinstance(model, Model) else load_model(model, **options)
    try:
        return _check(detector, paths, None if out is None else Path(out), progress)
    finally:
        if own:
            detector.close()


def _check(
    model: Model,
    paths: List[Path],
    out: Optional[Path],
    progress: Optional[Callable[[int, int], None]],
) -> Dict[str, Any]:
    if out is not None:
        _make(out)
    low = model.variant(confidence=min(model.card.confidence, 0.05))
    unreadable: List[str] = []
    found: List[Detections] = []
    weak: List[np.ndarray] = []
    times: List[np.ndarray] = []
    for number, path in enumerate(paths, 1):
        image = _read(path)
        if image is None:
            unreadable.append(str(path))
            continue
        detections, spent = _timed(low, image)
        times.append(spent)
        weak.append(detections.score)
        detections = detections.select(detections.score >= model.card.confidence)
        found.append(detections)
        if out is not None:
            _draw(out / path.name, image, detections, model.classes)
        if progress is not None:
            progress(number, len(paths))
    if not found:
        raise DataError(
            f"no picture in {paths[0].parent} can be read",
            got=", ".join(path.name for path in paths[:3]),
            remedy="check that the files are whole",
        )
    readable = [path for path in paths if str(path) not in set(unreadable)]
    agreement = try_inputs(model, _spread(readable, TRIED))
    scores = np.concatenate([d.score for d in found])
    ids = np.concatenate([d.class_id for d in found])
    report: Dict[str, Any] = {
        "model": model.where,
        "decoder": model.card.decoder,
        "input": dataclasses.asdict(model.card.input),
        "confidence": model.card.confidence,
        "images": len(found),
        "unreadable": unreadable,
        "detections": len(scores),
        "classes": _counts(ids, model.classes),
        "score_histogram": np.histogram(np.concatenate(weak), 10, (0, 1))[0].tolist(),
        "agreement": {name: float(np.mean(values)) for name, values in agreement.items()},
        "timing_ms": dict(
            zip(("preprocess", "infer", "postprocess"), np.median(times, axis=0).tolist())
        ),
        "out": None if out is None else str(out),
    }
    report["warnings"] = judge(agreement, len(scores), report["score_histogram"])
    if unreadable:
        report["warnings"].append(
            f"{len(unreadable)} of {len(paths)} pictures cannot be read: "
            + ", ".join(Path(p).name for p in unreadable[:3])
        )
    return report


def judge(
    agreement: Dict[str, Sequence[float]], detections: int, histogram: Sequence[int]
) -> List[str]:
    """Warnings about the input, from the agreement of each picture under each input.

    Args:
        agreement: Agreement of each picture, by input; the model's own under `declared`.
        detections: Number of detections in all pictures.
        histogram: Scores of the weaker ones too, in ten bins.
    """
    warnings = []
    declared = np.asarray(agreement["declared"])
    others = {name: np.asarray(v) for name, v in agreement.items() if name != "declared"}
    best = max(others, key=lambda name: float(others[name].mean())) if others else ""
    verdict = _beats(others[best], declared) if best else None
    if verdict:
        warnings.append(
            f"the input {verdict} wrong: fed {best}, the model finds more of its detections "
            f"again in mirrored pictures (agreement {others[best].mean():.2f} a picture, as it "
            f"is now {declared.mean():.2f}). Try it in the config: {_yaml(best)}"
        )
    if not detections:
        weak = int(sum(histogram))
        warnings.append(
            "the model finds nothing in any picture"
            + (f", but for {weak} boxes below the confidence" if weak else "")
            + ". Try pictures that show what it was trained on"
            + ("" if verdict else ", a lower confidence, or another decoder")
            + "."
        )
    elif declared.mean() < 0 and not verdict:
        warnings.append(
            "most detections are not found again in the mirrored picture: they look like noise. "
            "Look at the drawn pictures; the decoder or the model may be wrong."
        )
    return warnings


def _beats(other: np.ndarray, declared: np.ndarray) -> Optional[str]:
    """How surely another input is better: `is`, `may be` or None.

    Swapped colours cost a detector a fifth of its agreement and less; wrong values nearly all.
    """
    gain = other - declared
    count = len(gain)
    if other.mean() <= 0 or gain.mean() <= 0:
        return None
    # Of paired differences: how many standard errors the mean gain is above none.
    error = gain.std(ddof=1) / np.sqrt(count) if count > 1 else 0.0
    certainty = gain.mean() / error if error > 0 else np.inf
    ratio = other.mean() / max(declared.mean(), 1e-9)
    if ratio > 2 and (count < 4 or certainty > 2):
        return "is"
    return "may be" if count >= 8 and ratio > 1.25 and certainty > 2.4 else None


def _yaml(name: str) -> str:
    """The config line of an input that `try_inputs` names."""
    colour, _, values = name.partition(" values of ")
    if not values:
        return f"input: {{colour: {name.split()[0]}}}"
    fields = _fields(colour, values)
    numbers = {key: [round(v, 6) for v in fields[key]] for key in ("mean", "std")}
    return (
        f"input: {{colour: {colour}, scale: {fields['scale']:.8g}, mean: {numbers['mean']}, "
        f"std: {numbers['std']}}}"
    )


def _fields(colour: str, values: str) -> Dict[str, Any]:
    fields = {"colour": colour, **_VALUES[values]}
    if colour == "bgr":
        fields["mean"], fields["std"] = fields["mean"][::-1], fields["std"][::-1]
    return fields


def try_inputs(model: Model, paths: Sequence[Path]) -> Dict[str, List[float]]:
    """The agreement of every picture under the model's input and under others.

    Returns:
        Lists in the order of the pictures, by a description of the input; `declared` is first.
    """
    variants = {"declared": model.card.input}
    variants.update(_other_inputs(model.card.input, model.takes_pixels))
    confidence = min(max(model.card.confidence, 0.2), 0.5)
    models = {
        name: model.variant(input=spec, confidence=confidence) for name, spec in variants.items()
    }
    result: Dict[str, List[float]] = {name: [] for name in models}
    for path in paths:
        image = _read(path)
        if image is None:
            continue
        mirrored = np.ascontiguousarray(image[:, ::-1])
        for name, variant in models.items():
            result[name].append(agreement(variant(image), variant(mirrored), image.shape[1]))
    return result


def agreement(found: Detections, mirrored: Detections, width: int) -> float:
    """Scores found again in the mirrored picture minus those not, as of one of the two.

    Args:
        found: In the picture.
        mirrored: In the mirrored picture, in its own pixels.
        width: Of the picture in pixels.
    """
    total = float(found.score.sum() + mirrored.score.sum())
    if not len(found) or not len(mirrored):
        return -total / 2
    boxes = mirrored.xyxy.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    low = np.maximum(found.xyxy[:, None, :2], boxes[None, :, :2])
    high = np.minimum(found.xyxy[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (found.xyxy, boxes)]
    overlap = shared / np.maximum(area[0][:, None] + area[1][None] - shared, 1e-9)
    overlap *= found.class_id[:, None] == mirrored.class_id[None]
    again = 0.0
    for row in np.argsort(-found.score, kind="stable"):
        column = int(overlap[row].argmax())
        if overlap[row, column] >= 0.6:
            again += 2 * min(float(found.score[row]), float(mirrored.score[column]))
            overlap[:, column] = 0
    return (2 * again - total) / 2


def _other_inputs(spec: InputSpec, pixels: bool) -> Iterator[Tuple[str, InputSpec]]:
    """Inputs that the declared one may have been taken for, by what they are called."""
    for colour, values in itertools.product(("bgr", "rgb"), _VALUES):
        other = dataclasses.replace(spec, **_fields(colour, values))
        if pixels:
            other = dataclasses.replace(spec, colour=colour)
        if not _alike(other, spec):
            yield (f"{colour} pixels" if pixels else f"{colour} values of {values}"), other


def _alike(one: InputSpec, two: InputSpec) -> bool:
    """Whether two inputs give nearly the same values: mean and std are written in two ways."""
    if one.colour != two.colour:
        return False
    ends = [
        (np.array([[0.0], [255.0]]) * s.scale - np.array(s.mean)) / np.array(s.std)
        for s in (one, two)
    ]
    return bool(np.abs(ends[0] - ends[1]).max() < 0.05 * np.ptp(ends[1]))


def _timed(model: Model, image: np.ndarray) -> Tuple[Detections, np.ndarray]:
    clock = [time.perf_counter()]
    tensor, transform = model.preprocess(image)
    clock.append(time.perf_counter())
    outputs = model.infer(tensor)
    clock.append(time.perf_counter())
    detections = model.postprocess(outputs, transform)
    clock.append(time.perf_counter())
    return detections, np.diff(clock) * 1e3


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


def _read(path: Path) -> Optional[np.ndarray]:
    cv2 = load_cv2()
    return cv2.imread(str(path), cv2.IMREAD_COLOR)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out} cannot be made", got=error.strerror) from None


def _draw(path: Path, image: np.ndarray, detections: Detections, classes: Sequence[str]) -> None:
    from .overlay import draw_detections

    cv2 = load_cv2()
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        path = path.with_suffix(path.suffix + ".png")
    drawn = draw_detections(image.copy(), detections, classes)
    good, data = cv2.imencode(path.suffix, drawn)
    try:
        if not good:
            raise OSError(0, "it cannot be encoded")
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written",
            got=error.strerror,
            remedy="choose another folder with --out, or make room",
        ) from None


def _counts(ids: np.ndarray, classes: Sequence[str]) -> Dict[str, int]:
    numbers, counts = np.unique(ids, return_counts=True)
    names = [classes[i] if i < len(classes) else f"class_{i}" for i in numbers.tolist()]
    return dict(sorted(zip(names, counts.tolist()), key=lambda pair: -pair[1]))
