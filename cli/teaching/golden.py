"""What a golden sample learns from good parts: what differences there are, and how much each place
varies."""

from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import msgspec
import numpy as np

from ...core import DataError
from ...pipelines.quality.threshold import Threshold, upper_threshold
from ...runtime.inspect.golden.places import BANDS, LEAST, MOST, Places
from ...runtime.inspect.golden.sample import Difference, Golden, GoldenSettings
from ...runtime.inspect.golden.verdicts import LIKENESS
from ...runtime.inspect.judging.judge import DOUBT, MOST_GOLDEN, golden_settings
from ...runtime.inspect.recipe.config import GoldenCheck
from .checks import Learnt, Tell
from .parts import Sample, one_size

FOLDS = 5
# Of the smallest difference that rejects: for parts of so many pixels, and it grows slowly.
LEAST_AREA, AREA_OF, AREA_GROWS, SMALLEST_AREA = 12.0, 640.0 * 640.0, 0.3, 3.0
SLACKS, SPREADS = (1, 0), (4.0, 2.0, 1.0)
FAINT = 1.0  # area of full contrast in which differences are counted while teaching
ALIKE = 0.75  # of the golden picture's: how alike parts must be to be compared place by place
SHARE = 0.75  # of the false rejects for places: differences are rare among good parts
# Times what is usual: a limit nearer than that is the luck of few parts.
LEAST_DEVIATION = 1.5
ODD = 2.0  # times the next one: a good part so much less like the others sets no limit, and is told


class Varied(NamedTuple):
    """How much each place of good parts varies.

    Attributes:
        usual: `(4,)` what is usual in the worst place of a good part that was not learnt from.
        scores: `(n,)` of such parts, the reference left out.
        threshold: Of those.
        model: Taught by all.
    """

    usual: np.ndarray
    scores: np.ndarray
    threshold: Threshold
    model: Places


def golden_score(golden: Golden, image: np.ndarray) -> float:
    """Largest difference of a picture, in pixels of full contrast."""
    return _largest(golden.compare(image))


def _largest(found: Difference) -> float:
    return max((blob.area for blob in found.blobs), default=0.0)


def learn_golden(
    parts: Sequence[Sample], reference: int, check: GoldenCheck, rate: float,
    bad: Sequence[Tuple[np.ndarray, str]], tell: Tell,
) -> Learnt:  # fmt: skip
    """A golden sample, its limits by parts that were left out of it in turn.

    How much edges and grey levels may wander is tried: what stops most of the bad, each at the
    limit that its good parts set. Scores are shares of the limits: 1 is where a part stops to pass.

    Raises:
        DataError: Good parts are too unlike each other.
    """
    images = [p.look.image for p in parts]
    if not one_size(parts):
        raise DataError("good parts of several sizes cannot be compared place by place")
    alone = Golden([images[reference]], golden_settings(check, FAINT))
    if alone.blank:
        raise DataError("good parts show no detail that could be compared", got="an even picture")
    laid = _alike(alone, parts, reference)
    others = [k for k in range(len(parts)) if k != reference]
    varied = _varied(alone, laid, reference, SHARE * rate)
    own = rate if varied is None else (1 - SHARE) * rate
    area = float(np.median([(p.look.mask > 0).sum() for p in parts]))
    least = float(np.clip(LEAST_AREA * (area / AREA_OF) ** AREA_GROWS, SMALLEST_AREA, LEAST_AREA))
    slacks = SLACKS if check.slack is None else (check.slack,)
    spreads = SPREADS if check.spread is None else (check.spread,)
    tries = [(slack, spread) for slack in slacks for spread in spreads]
    # Neither edges nor levels given any room is for drawings, not for parts.
    tries = [t for t in tries if t != (SLACKS[-1], SPREADS[0])] or tries
    chosen = [reference, *_spread(others, MOST_GOLDEN - 1)]
    kept = chosen
    away_held, away_bad = np.zeros(len(others)), np.zeros(len(bad))
    limits: Dict[str, Threshold] = {}
    facts: Dict[str, Any] = {}
    if varied is not None:
        limits["deviation"] = varied.threshold
        # What the recipe says holds; what good parts rarely reach is doubtful, not yet a fault.
        limit = check.deviation * DOUBT if check.deviation else varied.threshold.value
        away_held = varied.scores / limit
        away_bad = np.array([_score(varied.model, alone.compare(image)) for image, _ in bad])
        away_bad /= limit
        rest = _spread([k for k in others if k not in chosen], MOST - len(chosen))
        kept = [*chosen, *rest]
        facts.update(deviation=round(varied.threshold.value / DOUBT, 4),
                     usual=[round(float(v), 4) for v in varied.usual])  # fmt: skip
        facts.update(_odd(parts, others, varied.scores))
    best: Optional[Learnt] = None
    for number, (slack, spread) in enumerate(tries):
        tried = msgspec.structs.replace(check, slack=slack, spread=spread)
        held = _held_out(images, reference, others, golden_settings(tried, FAINT))
        threshold = upper_threshold(held, own, least=least, logarithmic=True)
        limit = check.high * DOUBT if check.high else threshold.value
        golden = Golden([images[k] for k in chosen], golden_settings(tried, FAINT))
        caught = np.array([golden_score(golden, image) for image, _ in bad]) / limit
        scores = np.maximum(held / limit, away_held)
        both = replace(threshold, value=1.0, above=int((scores > 1).sum()))
        told = {"pictures": len(kept), "slack": slack, "spread": spread, **facts,
                "high": round(threshold.value / DOUBT, 3)}  # fmt: skip
        found = Learnt("golden", both, scores, np.maximum(caught, away_bad), told, golden,
                       [images[k] for k in kept], "",
                       {"difference": threshold, **limits})  # fmt: skip
        # A narrower setting must stop clearly more, or it is the chance of these few flaws.
        if best is None or found.caught > best.caught + 0.03:
            best = found
        tell((number + 1) / len(tries), f"golden sample, setting {number + 1} of {len(tries)}")
    assert best is not None
    return best


def _alike(alone: Golden, parts: Sequence[Sample], reference: int) -> List[Difference]:
    """All parts laid upon the one that is most like all.

    Raises:
        DataError: Some do not look like it.
    """
    laid = [alone.compare(p.look.image) for p in parts]
    likeness = [one.registration.likeness for one in laid]
    unlike = [k for k, value in enumerate(likeness)
              if value < max(ALIKE, LIKENESS) and k != reference]  # fmt: skip
    if unlike:
        named = ", ".join(f"{parts[k].name} ({likeness[k]:.2f})" for k in unlike[:5])
        raise DataError(
            f"{len(unlike)} of {len(parts)} good parts do not look like {parts[reference].name}",
            got=f"likeness of {named}",
            expected=f"at least {ALIKE}",
            remedy="leave them out, teach them as another part, or judge them by a learnt model "
            "(checks: {anomaly: {}})",
        )
    return laid


def _varied(
    golden: Golden, laid: Sequence[Difference], reference: int, rate: float
) -> Optional[Varied]:
    """How much places vary, judged by parts that were left out; None with too few parts.

    Those left out lie beside each other in time: light that drifts on is new to them, as it will be
    to parts that come later.
    """
    n = len(laid)
    if n - -(-n // FOLDS) < LEAST:
        return None
    shown = [(one.laid, one.inside) for one in laid]
    worst = np.zeros((n, BANDS))
    for out in np.array_split(np.arange(n), FOLDS):
        kept = _spread([k for k in range(n) if k not in out], MOST)
        model = Places.of_laid(golden, [shown[k] for k in kept])
        for k in out:
            one = laid[k]
            worst[k] = model.compare(one.laid, one.inside, one.registration).worst
    usual = np.median(worst, axis=0)
    # The reference is laid upon itself: nothing in it is new.
    scores = np.delete((worst / usual).max(axis=1), reference)
    usually = np.sort(scores)
    if usually[-1] >= ODD * usually[-2]:
        # One part that is so unlike the others says nothing of how they vary; it is told.
        usually = usually[:-1]
    threshold = upper_threshold(usually, rate, least=LEAST_DEVIATION, largest=True)
    threshold = replace(threshold, above=int((scores > threshold.value).sum()))
    model = Places.of_laid(golden, [shown[k] for k in _spread(list(range(n)), MOST)], usual)
    return Varied(usual, scores, threshold, model)


def _score(places: Places, found: Difference) -> float:
    return places.compare(found.laid, found.inside, found.registration).score


def _odd(
    parts: Sequence[Sample], others: Sequence[int], scores: np.ndarray
) -> Dict[str, List[Any]]:
    """The good part that is unlike all others, where there is one."""
    order = np.argsort(scores)
    if len(order) < 2 or scores[order[-1]] < ODD * scores[order[-2]]:
        return {}
    name = parts[others[int(order[-1])]].name
    return {"odd": [name, round(float(scores[order[-1]]), 2), round(float(scores[order[-2]]), 2)]}


def _held_out(
    images: Sequence[np.ndarray], reference: int, others: Sequence[int], settings: GoldenSettings
) -> np.ndarray:
    """Scores of all but the reference, which others are laid upon: nothing in it is new."""
    scores = np.zeros(len(images))
    for left in np.array_split(np.array(others), min(FOLDS, len(others))):
        kept = _spread([k for k in others if k not in left], MOST_GOLDEN - 1)
        golden = Golden([images[reference], *(images[k] for k in kept)], settings)
        for k in left:
            scores[k] = golden_score(golden, images[k])
    return np.delete(scores, reference)


def _spread(indices: Sequence[int], most: int) -> List[int]:
    """At most so many, evenly over all."""
    if len(indices) <= most:
        return list(indices)
    at = np.linspace(0, len(indices) - 1, most).round().astype(int)
    return [indices[k] for k in at]
