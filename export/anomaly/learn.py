"""A model of good parts, learnt from their pictures: candidates tried, the best one kept."""

import importlib.util
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError, MissingDependency, ModelCard, UsageError, did_you_mean
from ...runtime.files import write_whole
from .calibrate import check_false_reject
from .maps import top_means
from .parts import (
    LEAST,
    Picture,
    check_alike,
    choose_input,
    hash_of,
    placed,
    read_masks,
    read_parts,
)
from .settle import card_of, checked, settle, try_all
from .trial import Workbench, coloured

CANDIDATES = ("statistics", "discriminator", "network", "ensemble")
NETWORK_MINUTES = 10.0
"""Below this a network has learnt too little to be worth trying."""

DOUBTFUL = 0.7
"""AUROC below which a warning is given."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Learnt:
    """A learnt model and how it came about.

    Attributes:
        onnx: The `ModelProto`, its card inside: `image` `(1, h, w, 3)` uint8 BGR in, `score`
            `(1,)` and `map` `(1, h, w)` out, 1.0 being the threshold in both.
        card: The card.
        report: `chosen`, `candidates` with how well each told good from bad on parts that it had
            not learnt from, `threshold` and what it rests on, `parity`, `warnings`, whether
            parts lie `still`, and counts; fit for JSON.
        scores: `(n,)` score of each good part by a model that had not learnt from it.
        bad_scores: `(b,)` the same of the defective parts.
    """

    onnx: Any
    card: ModelCard
    report: Dict[str, Any]
    scores: np.ndarray
    bad_scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    def save(self, path: Any) -> None:
        """Write the ONNX, whole or not at all.

        Raises:
            StorageError: The folder cannot be written or the disk is full.
        """
        write_whole(Path(path), self.onnx.SerializeToString())


def learn(
    good: Sequence[Picture],
    *,
    size: Optional[Tuple[int, int]] = None,
    bad: Optional[Sequence[Picture]] = None,
    masks: Optional[Sequence[Any]] = None,
    seed: int = 0,
    minutes: float = 5.0,
    false_reject: float = 0.01,
    candidates: Optional[Sequence[str]] = None,
    progress: Optional[Progress] = None,
) -> Learnt:
    """Learn what good parts look like, from scratch.

    Candidates are judged by cross-validation: each good part is scored by a model that has not
    seen it, against made-up defects on parts that the model has not seen either, and against the
    known defective parts where there are some.

    Args:
        good: Pictures of good parts: paths, or arrays `(h, w, 3)` BGR or `(h, w)` of uint8.
        size: `(width, height)` of the model's input, each dividing by 32; None for the ratio of
            the pictures at about 256 × 256 pixels.
        bad: Pictures of defective parts.
        masks: Of the defective parts, in their order: a path, an array `(h, w)` or None each.
            What is not zero (in a file: bright) is the defect.
        seed: Decides everything that is left to chance.
        minutes: Time that training may take, roughly; candidates that need more are left out.
        false_reject: Wanted share of good parts above the threshold.
        candidates: Names of those to try; all that can be tried here by default.
        progress: Called with the share that is done, 0 to 1, and a line.

    Raises:
        UsageError: The size, a candidate's name, or a number makes no sense.
        DataError: Fewer than 8 good parts, one that cannot be read or shows nothing, good parts
            that differ too much, masks that do not match.
        ModelError: onnxruntime does not give what the reference gives, by more than 1e-4.
        MissingDependency: onnx or onnxruntime is not installed.
    """
    started = time.monotonic()
    false_reject = check_false_reject(false_reject)
    names = _names(candidates)
    told = progress or (lambda share, text: None)
    if masks is not None and not bad:
        raise UsageError("masks were given without the defective parts that they belong to")
    if len(good) < LEAST:
        raise DataError(
            "too few good parts to learn from",
            got=len(good),
            expected=f"at least {LEAST}, better 30 or more",
            remedy="take more pictures of good parts",
        )
    good_names, good_images = read_parts(good, "good")
    bad_names, bad_images = read_parts(bad or [], "defective")
    spec = choose_input(good_images, size)
    parts = placed(good_names, good_images, spec)
    others = placed(bad_names, bad_images, spec)
    defects, warnings = read_masks(masks, others, spec)
    warnings = check_alike(parts) + warnings
    bench = Workbench(
        parts, others, defects, spec.resize != "stretch", coloured(parts), seed, told, minutes
    )
    single, skipped = _possible([n for n in names if n != "ensemble"], minutes, candidates)
    outcomes = try_all(bench, single, "ensemble" in names, told)
    made = settle(bench, outcomes, false_reject, told)
    best, origin = made.best, made.origin
    notes = {
        "candidate": best.name,
        "good": len(parts.images),
        "bad": len(others.images),
        "pictures": hash_of(good_images + bad_images),
        "seed": seed,
        "threshold": {**origin, "raw": made.cut, "raw_zero": made.low},
        "auroc": best.report["auroc"],
    }
    card = ModelCard(
        task="anomaly",
        decoder="anomaly",
        input=spec,
        classes=("good", "anomalous"),
        confidence=1.0,
        nms_iou=None,
        source=f"learnt by edgelane from {len(parts.images)} good and "
        f"{len(others.images)} defective parts",
        extra={"anomaly": notes},
    )
    if best.figure < DOUBTFUL:
        warnings.append(
            f"good parts are hardly told from defects: AUROC {best.figure:.2f} on parts that were "
            "not learnt from; more good parts, or some known defects with masks, may help"
        )
    model, difference = checked(made.tape, made.score, made.heat, card, parts, others)
    told(1.0, "exported and compared with onnxruntime")
    report = {
        "chosen": best.name,
        "candidates": [o.report for o in outcomes] + skipped,
        "judged_by": "known and made-up defects" if len(others.images) else "made-up defects",
        "threshold": origin,
        "parity": difference,
        "warnings": warnings,
        "good": len(parts.images),
        "bad": len(others.images),
        "size": list(spec.size),
        "still": bench.still,
        "seconds": round(time.monotonic() - started, 1),
    }
    return Learnt(
        model,
        card_of(model),
        report,
        (top_means(best.held.good, best.top) - made.low) / (made.cut - made.low),
        (top_means(best.held.bad, best.top) - made.low) / (made.cut - made.low),
    )


def _names(candidates: Optional[Sequence[str]]) -> List[str]:
    for name in candidates or ():
        if name not in CANDIDATES:
            raise UsageError(
                f"there is no candidate {name!r}", remedy=did_you_mean(str(name), CANDIDATES)
            )
    names = [n for n in CANDIDATES if candidates is None or n in candidates]
    if not [n for n in names if n != "ensemble"]:
        raise UsageError(
            "an ensemble needs candidates that it is made of",
            got=", ".join(names) or "none",
            remedy="name some of " + ", ".join(CANDIDATES),
        )
    return names


def _possible(
    names: List[str], minutes: float, asked: Optional[Sequence[str]]
) -> Tuple[List[str], List[Dict[str, Any]]]:
    """Candidates that can be tried here, and why others are left out."""
    if "network" not in names:
        return names, []
    why = None
    if importlib.util.find_spec("torch") is None:
        why = "torch is not installed: pip install 'edgelane[export]'"
    elif minutes < NETWORK_MINUTES and asked is None:
        why = f"it needs at least {NETWORK_MINUTES:g} minutes"
    if why is None:
        return names, []
    if asked is not None and names == ["network"]:
        raise MissingDependency(
            "the network is learnt with torch, which is not installed",
            remedy="run: pip install 'edgelane[export]'",
        )
    return [n for n in names if n != "network"], [{"name": "network", "skipped": why}]
