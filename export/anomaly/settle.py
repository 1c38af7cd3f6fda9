"""From judged candidates to one graph: the best one, its threshold, its map, its parity."""

import dataclasses
import time
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core import ModelCard, ModelError
from .calibrate import threshold
from .features import STRIDE
from .maps import LOW, bounds, spread, top_means, windows
from .methods import Method
from .parts import Parts
from .tape import Ref, Tape, session_of
from .trial import Held, Outcome, Workbench, compare

BEHIND = 0.08
"""Candidates that are this much worse than the best take no part in the ensemble."""

PARITY = 1e-4
"""Largest difference between the reference and onnxruntime, in units of the threshold; beyond it
as a share of the value."""


class Settled(NamedTuple):
    """The model before it is written.

    Attributes:
        best: The candidate.
        cut: Raw score of the threshold.
        low: Raw score of a part somewhat better than the best good one.
        origin: What the threshold rests on.
        tape: The steps.
        score: Step of the score.
        heat: Step of the map.
    """

    best: Outcome
    cut: float
    low: float
    origin: Any
    tape: Tape
    score: Ref
    heat: Ref


def try_all(
    bench: Workbench,
    names: Sequence[str],
    ensemble: bool,
    told: Callable[[float, str], None],
    seen: Optional[Callable[[Method, Sequence[int]], None]] = None,
) -> List[Outcome]:
    """Judge candidates, and those near the best together where an ensemble is wanted."""
    outcomes: List[Outcome] = []
    for number, name in enumerate(names):
        began = time.monotonic()

        def part(share: float, name: str = name, number: int = number) -> None:
            told(0.5 + 0.35 * (number + share) / len(names), f"trying {name}")

        held = bench.judge(name, part, seen)
        outcomes.append(compare(name, held, bench.trial_kind, began, bench.seed))
    mates = _mates(outcomes)
    if ensemble and len(mates) > 1:
        held = together([o.held for o in mates], [o.top for o in mates])
        outcome = compare("ensemble", held, bench.trial_kind, time.monotonic(), bench.seed)
        outcome.report["of"] = [o.name for o in mates]
        outcomes.append(outcome)
    return outcomes


def _mates(outcomes: Sequence[Outcome]) -> List[Outcome]:
    """Those near the best: one that is far behind would only blur it."""
    single = [o for o in outcomes if o.name != "ensemble"]
    best = max(o.figure for o in single)
    return [o for o in single if o.figure > best - BEHIND]


def settle(
    bench: Workbench,
    outcomes: Sequence[Outcome],
    false_reject: float,
    told: Callable[[float, str], None],
) -> Settled:
    """The best candidate learnt from all parts, with thresholds of parts it had not seen."""
    best = max(outcomes, key=lambda o: o.figure)
    used = _mates(outcomes) if best.name == "ensemble" else [best]
    told(0.85, f"learning {best.name} from all parts")
    methods = [bench.learn(o.name) for o in used]
    gains = [scale_of(o.held, o.top) for o in used] if len(used) > 1 else [(1.0, 0.0)]
    raw = top_means(best.held.good, best.top)
    cut, origin = threshold(raw, false_reject)
    low, cut = apart(raw, cut)
    ends = bounds(best.held.good)
    worst = spread(best.held.good, ends).reshape(len(raw), -1).max(axis=1)
    map_low, map_cut = apart(worst, threshold(worst, false_reject)[0])
    tape, features = bench.tape, bench.features
    total = None
    for method, (gain, bias) in zip(methods, gains):
        one = tape.affine(method.add(tape, features), gain / len(gains), bias / len(gains))
        total = one if total is None else tape.add(total, one)
    assert total is not None
    inside = tape.mul(total, features.valid)
    # In padding, far below whatever a part shows.
    outside = tape.affine(features.valid, -LOW, LOW)
    unit = cut - low
    top = tape.top_mean(tape.add(tape.affine(inside, 1 / unit), outside), best.top)
    score = tape.affine(top, 1.0, -low / unit)
    odd = tape.affine(total, 1 / (ends[1] - ends[0]), -ends[0] / (ends[1] - ends[0]))
    odd = tape.mul(tape.relu(odd), features.valid)
    most = tape.clip(odd, 0.0, 1.0)
    area = tape.clip(tape.total(features.valid), 1.0, 1e9)
    views = tape.div(tape.total(most), area)
    sizes = windows(bench.looked[0].valid.shape)
    for number, n in enumerate(sizes):
        share = tape.clip(tape.smooth(features.valid, n), 1e-3, 2.0)
        view = tape.smooth(most if number else odd, n)
        views = tape.add(tape.div(view, share), views)
    unit = map_cut - map_low
    heat = tape.affine(views, 1 / (unit * (len(sizes) + 1)), -map_low / unit)
    heat = tape.enlarge(tape.mul(heat, features.valid), STRIDE)
    return Settled(best, cut, low, origin, tape, score, heat)


def apart(raw: np.ndarray, cut: float) -> Tuple[float, float]:
    """What becomes 0 and what becomes 1: somewhat better than the best good part, and the
    threshold, never so near that noise is a defect."""
    low = float(2 * raw.min() - np.median(raw))
    return low, max(cut, low + 1e-3 * max(abs(cut), 1.0))


def scale_of(held: Held, top: int) -> Tuple[float, float]:
    """Gain and bias that bring a candidate's usual good score to 0 and a high one to 1."""
    scores = top_means(held.good, top)
    low, high = np.quantile(scores, (0.5, 0.95))
    gain = 1.0 / max(float(high - low), 1e-6)
    return gain, -float(low) * gain


def together(helds: Sequence[Held], tops: Sequence[int]) -> Held:
    """The mean of several candidates, each by its own scale."""
    scales = [scale_of(h, t) for h, t in zip(helds, tops)]
    parts = []
    for maps in zip(*helds):
        parts.append(
            np.mean([np.where(m > LOW, m * g + b, LOW) for m, (g, b) in zip(maps, scales)], axis=0)
        )
    return Held(*parts)


def checked(
    tape: Tape, score: int, heat: int, card: ModelCard, *groups: Parts
) -> Tuple[Any, float]:
    """The ONNX with its card, once onnxruntime gives what the reference gives.

    Tried on up to 24 of the parts of each group.

    Raises:
        ModelError: They differ by more than 1e-4.
    """
    session = session_of(tape.to_onnx(score, heat))
    worst, count = 0.0, 0
    for parts in groups:
        step = max(len(parts.images) // 24, 1)
        for image in parts.images[::step][:24]:
            wanted = tape.run(image, [score, heat])
            got = session.run(["score", "map"], {"image": image[None]})
            for one, two in zip(wanted, got):
                gap = (np.abs(one.reshape(two.shape) - two) / np.maximum(np.abs(two), 1)).max()
                worst = max(worst, float(np.nan_to_num(gap, nan=np.inf)))
            count += 1
    if not worst <= PARITY:
        raise ModelError(
            "onnxruntime does not give what the reference gives on these parts",
            got=f"a difference of {worst:.2g} thresholds",
            expected=f"at most {PARITY:g}",
        )
    notes = {**card.extra["anomaly"], "parity": {"difference": worst, "parts": count}}
    card = dataclasses.replace(card, extra={"anomaly": notes})
    return tape.to_onnx(score, heat, card), worst


def card_of(model: Any) -> ModelCard:
    """The card inside a model."""
    return ModelCard.from_json(model.metadata_props[0].value)
