"""What each check learns from good parts, and how the two ways to judge a surface compare."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError, MissingDependency
from ...pipelines.quality.threshold import Threshold, reach_threshold, upper_threshold
from ...runtime.inspect.gauges.colour import ciede2000
from ...runtime.inspect.recipe.config import AnomalyCheck, LoadedRecipe
from ...runtime.sources.base import load_cv2
from .parts import Sample

LEAST_ANOMALY = 8  # good parts that the learnt model needs
FLAWS = 3  # drawn on each part

Tell = Callable[[float, str], None]


@dataclass
class Learnt:
    """What one way to judge a surface has learnt.

    Attributes:
        name: `golden` or `anomaly`.
        threshold: From scores of good parts that it had not seen.
        scores: `(n,)` of those.
        bad: `(m,)` scores of bad parts or, without any, of good parts with drawn flaws.
        facts: What else is told in the report.
        model: What judges: a `Golden`, or a learnt model.
        skipped: Why it could not learn; the rest is empty then.
        limits: The thresholds of what it measures by name, where that is more than one thing;
            scores are then shares of them.
    """

    name: str
    threshold: Optional[Threshold] = None
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bad: np.ndarray = field(default_factory=lambda: np.zeros(0))
    facts: Dict[str, Any] = field(default_factory=dict)
    model: Any = None
    pictures: List[np.ndarray] = field(default_factory=list)
    skipped: str = ""
    limits: Dict[str, Threshold] = field(default_factory=dict)

    @property
    def caught(self) -> float:
        """Share of the bad that its threshold stops."""
        if self.threshold is None or not len(self.bad):
            return 0.0
        return float(np.mean(self.bad >= self.threshold.value))

    @property
    def auroc(self) -> float:
        """Chance that a bad part scores above a good one."""
        if not len(self.bad) or not len(self.scores):
            return 0.0
        above = self.bad[:, None] > self.scores[None]
        level = self.bad[:, None] == self.scores[None]
        return float(above.mean() + 0.5 * level.mean())


def learn_outline(parts: Sequence[Sample], rate: float) -> Dict[str, Tuple[List[float], Threshold]]:
    """Limits of length, width and area, by name, each with the threshold of its deviation."""
    found = {}
    for name, share, pixels in (("length", 0.01, 0.5), ("width", 0.01, 0.5), ("area", 0.02, 0.0)):
        values = np.array([getattr(p.look, name) for p in parts], float)
        middle = float(np.median(values))
        least = max(share * middle, pixels, 4.0 if name == "area" else 0.0)
        # Lens and place make the same part look larger or smaller by a little everywhere.
        threshold = reach_threshold(values, middle, rate / 3, least=2 * least)
        reach = threshold.value
        found[name] = ([round(middle - reach, 2), round(middle + reach, 2)], threshold)
    return found


def learn_colour(parts: Sequence[Sample], rate: float) -> Tuple[List[float], Threshold]:
    """The colour of good parts, and how far from it they lie."""
    colours = np.array([p.colour for p in parts])
    middle = np.median(colours, axis=0)
    away = ciede2000(colours, middle)
    threshold = upper_threshold(away, rate, least=3.0, logarithmic=True)
    return [round(float(v), 3) for v in middle], threshold


def reference_of(parts: Sequence[Sample]) -> int:
    """The part that is most like all: what others are turned and laid upon."""
    cv2 = load_cv2()
    small = [cv2.resize(p.look.image, (48, 48), interpolation=cv2.INTER_AREA) for p in parts]
    flat = np.stack(small).reshape(len(parts), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
    return int((flat @ flat.T).mean(axis=1).argmax())


def learn_anomaly(
    recipe: LoadedRecipe, parts: Sequence[Sample], check: AnomalyCheck, rate: float,
    labelled: Sequence[Sample], masks: Any, seed: int, tell: Tell,
) -> Learnt:  # fmt: skip
    """A model that has learnt good parts; its threshold by scores of parts it had not seen.

    Raises:
        EdgelaneError: As `export.anomaly.learn` and `wrap` do.
    """
    from ...export.anomaly import learn, wrap

    if len(parts) < LEAST_ANOMALY:
        raise DataError(
            f"a learnt model needs {LEAST_ANOMALY} good parts", got=len(parts),
            remedy="take more pictures",
        )  # fmt: skip
    good = [p.look.image for p in parts]
    bad = [p.look.image for p in labelled]
    if check.backbone is not None:
        tell(0.1, f"what {check.backbone} sees on good parts")
        found = wrap(
            recipe.path(check.backbone), good, layers=check.layers, bad=bad, seed=seed,
            false_reject=rate,
        )  # fmt: skip
    else:
        given: Dict[str, Any] = {"bad": bad, "masks": masks} if bad else {}
        found = learn(
            good, seed=seed, minutes=check.minutes, false_reject=rate, progress=tell, **given
        )
    scores = np.asarray(found.scores, float)
    threshold = upper_threshold(scores, rate, largest=True)
    return Learnt(
        "anomaly", threshold, scores, np.zeros(0),
        {k: found.report.get(k) for k in ("chosen", "candidates", "parity", "warnings")},
        found,
    )  # fmt: skip


def score_anomaly(
    found: Learnt, path: str, parts: Sequence[Sample], rate: float,
    bad: Sequence[Tuple[np.ndarray, str]],
) -> None:  # fmt: skip
    """Scores of the bad by the model as it will run, and its limit raised where it needs to be.

    The scores that were held out come from models that saw fewer parts. Where the last one gives
    the very parts it was taught by more than those, its own scores set the limit.
    """
    from ...runtime.inspect.judging.anomaly import load_anomaly

    assert found.threshold is not None
    with load_anomaly(path, threads=1) as anomaly:
        found.bad = np.array([float(anomaly(image)[0]) for image, _ in bad])
        own = np.array([float(anomaly(p.look.image)[0]) for p in parts])
    raised = upper_threshold(own, rate, largest=True)
    if raised.value > found.threshold.value:
        found.threshold, found.scores = raised, own
        found.facts["limit"] = "of the parts it was taught by: they score above those held out"


def skipped(name: str, error: Exception) -> Learnt:
    """A way that could not learn, and why."""
    why = str(error)
    if isinstance(error, MissingDependency):
        why = f"{error.what}: {error.remedy}"
    return Learnt(name, skipped=why)


def drawn_flaws(parts: Sequence[Sample], seed: int, most: int = 36) -> List[Tuple[np.ndarray, str]]:
    """Good parts with a flaw drawn on each: a scratch, a spot, or a piece from elsewhere.

    What tells these from good parts is no proof of what it makes of real ones, but shows which way
    to judge sees more.

    Returns:
        Pictures and what was drawn.
    """
    cv2 = load_cv2()
    random = np.random.RandomState(seed)
    found = []
    at = np.linspace(0, len(parts) - 1, min(len(parts), most // FLAWS)).round().astype(int)
    for k in at:
        look = parts[k].look
        inside = cv2.erode(look.mask, np.ones((5, 5), np.uint8))
        rows, columns = np.nonzero(inside)
        if len(rows) < 50:
            continue
        side = float(np.sqrt(len(rows)))
        for kind in ("scratch", "spot", "piece")[:FLAWS]:
            image = look.image.copy()
            spot = random.randint(len(rows))
            x, y = float(columns[spot]), float(rows[spot])
            level = float(image[rows, columns].mean())
            ink = random.uniform(0.35, 0.6) if level > 90 else random.uniform(1.5, 2.2)
            mark = np.zeros(look.mask.shape, np.float32)
            if kind == "scratch":
                turn, long = random.uniform(0, 6.283), side * random.uniform(0.25, 0.6)
                end = (int(round(x + long * np.cos(turn))), int(round(y + long * np.sin(turn))))
                wide = max(int(round(side / 35)), 1)
                cv2.line(mark, (int(x), int(y)), end, 1.0, wide, cv2.LINE_AA)
            elif kind == "spot":
                axes = tuple(int(max(side * random.uniform(0.03, 0.06), 2)) for _ in "ab")
                turn = float(random.uniform(0, 180))
                cv2.ellipse(mark, (int(x), int(y)), axes, turn, 0, 360, 1.0, -1, cv2.LINE_AA)
            else:
                half = int(max(side * random.uniform(0.05, 0.1), 2))
                other = random.randint(len(rows))
                _paste(image, (int(columns[other]), int(rows[other])), (int(x), int(y)), half,
                       random.choice((0.65, 1.4)))  # fmt: skip
            mark = np.minimum(cv2.GaussianBlur(mark, (0, 0), 0.7), (look.mask > 0).astype(float))
            changed = image * (1 - mark[..., None]) + np.clip(image * ink, 0, 255) * mark[..., None]
            found.append((np.rint(changed).astype(np.uint8), kind))
    return found


def _paste(
    image: np.ndarray, source: Tuple[int, int], place: Tuple[int, int], half: int, gain: float
) -> None:
    """Copy a square of a picture to another place of it, a little darker or lighter."""
    height, width = image.shape[:2]
    x1, y1 = (min(max(v - half, 0), m - 2 * half - 1) for v, m in zip(source, (width, height)))
    x2, y2 = (min(max(v - half, 0), m - 2 * half - 1) for v, m in zip(place, (width, height)))
    if min(x1, y1, x2, y2) < 0:
        return
    piece = image[y1 : y1 + 2 * half, x1 : x1 + 2 * half].astype(np.float32) * gain
    image[y2 : y2 + 2 * half, x2 : x2 + 2 * half] = np.clip(piece, 0, 255).astype(np.uint8)


def better(found: Sequence[Learnt]) -> Optional[Learnt]:
    """The way whose threshold stops more of the bad; the golden sample where both do as much,
    because it tells where and by how much."""
    able = [one for one in found if one.threshold is not None]
    if not able:
        return None
    return max(able, key=lambda one: (round(one.caught, 3), round(one.auroc, 3), one.name))
