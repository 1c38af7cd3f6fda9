"""Is a model fed what it was trained on? Told by whether it finds things again in the mirror.

A model that is fed the wrong colours or values raises no error anywhere. It sees less, or, where
its units saturate, confident nonsense; so neither the number nor the scores of its detections
tell. What tells is whether a detection is found again in the mirrored picture: a person is, noise
is not. The agreement of a picture is the sum of the scores of detections that are found again
minus that of those that are not; the right input has the highest, and one that others beat by far
is warned about.
"""

import dataclasses
import itertools
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..core import Detections, InputSpec
from .model import Model
from .preprocess import IMAGENET

_VALUES: Dict[str, Dict[str, Any]] = {
    "0..255": {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    "0..1": {"scale": 1 / 255, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    "-1..1": {"scale": 1 / 255, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    "ImageNet mean and std": {key: IMAGENET[key] for key in ("scale", "mean", "std")},
}


def judge(
    agreement: Mapping[str, Sequence[float]], detections: int, histogram: Sequence[int]
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
            + "."
            + (
                ""
                if verdict
                else " Try pictures that show what it was trained on, a lower "
                "confidence, or another decoder."
            )
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


def try_inputs(model: Model, images: Iterable[np.ndarray]) -> Dict[str, List[float]]:
    """The agreement of every `(h, w, 3)` BGR picture under the model's input and under others.

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
    for image in images:
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
