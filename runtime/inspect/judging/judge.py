"""Pictures judged by a recipe: parts found, each check in turn, one verdict with its reasons."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from ....core import ConfigError, DataError
from ....core.verdict import FAIL, PASS, Reason, Verdict
from ...sources.base import load_cv2
from ..gauges.colour import ciede2000, lab
from ..golden.places import Places
from ..golden.sample import Golden, GoldenSettings, sharpness
from ..golden.verdicts import conditions, score_of
from ..pictures import read_picture
from ..recipe.config import GoldenCheck, LoadedRecipe
from .conditions import is_fixed, moved_camera, picture_problems
from .finding import LONGER, Look, find_parts, in_light, turned_like

TWO_PARTS = 1.6  # times the most that one part covers: more than one part, or one upon another
GATE = 0.04  # share of the picture in which parts are measured, along their way
WAY = 0.12  # the same where nothing is measured: farther looks at a part that travels are not used
DOUBT = 0.8  # of the largest difference that may be: from there on a part is unsure
CLIPPED = 0.2  # share of a part that may be black or white beyond what good parts show
MOST_GOLDEN = 12  # good pictures that show what differences there may be
TOLD = 0.1  # of the largest difference that may be: from there on it is told


@dataclass(frozen=True)
class Judged:
    """One part, judged.

    Attributes:
        verdict: With all reasons, also those that passed.
        xyxy: `(4,)` pixels around the part.
        middle: `(2,)` pixels.
        size: Pixels of its longer side.
        cut: Whether the border cuts it.
        defects: `(n, 4)` float32 pixels: places that are not as good parts are.
        scores: `(n,)` float32 in 0..1, from 0.5 on beyond the limit; what makes a part unsure is
            below.
        far: Whether it is too far from the place to be looked at closely: not judged.
    """

    verdict: Verdict
    xyxy: np.ndarray
    middle: np.ndarray
    size: float
    cut: bool = False
    defects: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    far: bool = False


def part_colour(look: Look) -> np.ndarray:
    """CIE Lab `(3,)` of a part: the median over it."""
    inside = look.image[look.mask > 0]
    if not len(inside):
        inside = look.image.reshape(-1, 3)
    step = max(len(inside) // 2000, 1)
    return np.median(lab(inside[::step]), axis=0)


def part_focus(look: Look) -> float:
    """Sharpness of a part against its own contrast, so that another colour is not out of focus."""
    grey = load_cv2().cvtColor(look.image, load_cv2().COLOR_BGR2GRAY)
    low, high = np.percentile(grey, (5, 95))
    return 1e3 * sharpness(load_cv2(), grey) / max(float(high - low), 10.0) ** 2


def doubt_of(value: float, limit: float) -> float:
    """Uncertainty of a score: from `DOUBT` of the limit on a part is unsure, from the limit on it
    fails."""
    return (1 - DOUBT) * limit if value < limit else 0.0


def shown_from(worst: float, limit: float) -> float:
    """From where on places are shown: those beyond the limit or, of a part that is unsure, those
    that make it so."""
    return limit if worst >= limit else DOUBT * limit


def whole_look(image: np.ndarray) -> Look:
    """The whole picture as one part."""
    height, width = image.shape[:2]
    box = np.array([0, 0, width, height], np.float64)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    warp, level = np.eye(2, 3), image.reshape(-1, 3).mean(axis=0)
    mask = np.full((height, width), 255, np.uint8)
    return Look(box, False, middle, float(max(width, height)), float(min(width, height)),
                float(width * height), 0.0, image, mask, warp, level)  # fmt: skip


def golden_settings(check: GoldenCheck, area: Optional[float] = None) -> GoldenSettings:
    """How pictures are compared by a recipe's check."""
    usual = GoldenSettings()
    return GoldenSettings(
        area=area or usual.area,
        doubt=TOLD,
        slack=usual.slack if check.slack is None else check.slack,
        spread=usual.spread if check.spread is None else check.spread,
        least_tolerance=check.tolerance,
    )


class Judge:
    """What a recipe says about a picture. Safe to use from several threads at once.

    Args:
        recipe: A taught one.
        threads: Of the learnt models.

    Raises:
        ConfigError: The recipe is not taught, or lacks a check.
        DataError: A file of it cannot be used.
        MissingDependency: A library is missing.
    """

    def __init__(self, recipe: LoadedRecipe, threads: int = 1) -> None:
        self.recipe = recipe
        settings = recipe.settings
        self.settings, self.checks, self.taught = settings, settings.checks, settings.taught
        if not settings.version or not self.checks.names:
            raise ConfigError(
                f"{recipe.where or recipe.name} is not taught yet",
                remedy=f"edgelane teach {recipe.where or recipe.name} --good DIR",
            )
        self._closing: List[Any] = []
        self.outlined = settings.part.find == "outline"
        size = settings.part.size
        self.size = (size[0], size[1]) if size else None
        self.golden: Optional[Golden] = None
        self.places: Optional[Places] = None
        self.reference: Optional[np.ndarray] = None
        if self.checks.golden is not None:
            check = self.checks.golden
            pictures = [read_picture(recipe.path(p)) for p in check.pictures or ()]
            if not pictures:
                raise ConfigError("checks.golden lacks its pictures", remedy="edgelane teach")
            self.golden = Golden(pictures[:MOST_GOLDEN], golden_settings(check, check.high))
            self.reference = pictures[0]
            if check.deviation is not None:
                self.places = Places(self.golden, pictures, check.usual)
        elif isinstance(self.taught.get("reference"), str):
            self.reference = read_picture(recipe.path(self.taught["reference"]))
        self.anomaly: Any = None
        if self.checks.anomaly is not None and self.checks.anomaly.model:
            from .anomaly import load_anomaly

            path = recipe.path(self.checks.anomaly.model)
            self.anomaly = load_anomaly(path, threads=threads)
            self._closing.append(self.anomaly)
        self.gauging: Any = None
        if self.checks.gauges is not None:
            from .measuring import Measuring

            self.gauging = Measuring(self.checks.gauges, recipe)
        self.classifier: Any = None
        if self.checks.classifier is not None:
            from .classifying import Classifying

            self.classifier = Classifying(self.checks.classifier, recipe, threads)
            self._closing.append(self.classifier)

    def warm(self) -> None:
        """Judge the part that was taught, so that the first one that comes takes no longer."""
        if self.reference is not None:
            look = whole_look(self.reference)
        else:
            width, height = self.taught.get("picture") or self.size or (256, 256)
            look = whole_look(np.full((int(height), int(width), 3), 128, np.uint8))
        for _ in range(2):
            self._surface(look)

    def close(self) -> None:
        """Let go of the models."""
        while self._closing:
            close = getattr(self._closing.pop(), "close", None)
            if close is not None:
                close()

    def judge(
        self, image: np.ndarray, everywhere: bool = False
    ) -> Tuple[Tuple[Judged, ...], Tuple[Reason, ...]]:
        """The parts of a picture, each judged, and what is wrong with the picture itself.

        Args:
            image: `(h, w, 3)` uint8 BGR.
            everywhere: Also parts that are far from the place where they will be judged.
        """
        problems = picture_problems(image, self.taught)
        if not self.outlined:
            look = whole_look(image)
            if problems:
                return (self._unsure(look, problems),), problems
            return (self._part(look, image, self._gauge(image)),), problems
        try:
            looks = find_parts(image, self.settings.part.least_area, self.size)
        except DataError as error:
            trouble = Reason("ground", None, condition=True, text=str(error))
            return (), problems or (trouble,)
        looks = [look for look in looks if not is_fixed(look, self.taught)]
        problems = problems or moved_camera(image, looks, self.taught)
        near = [everywhere or self._near(look, image) for look in looks]
        close = any(n and not k.cut for n, k in zip(near, looks))
        gauged = self._gauge(image) if close and not problems else None
        found = []
        for look, within in zip(looks, near):
            if not within and not look.cut:
                found.append(Judged(Verdict.of([]), look.xyxy, look.middle, look.length, far=True))
            elif problems:
                found.append(self._unsure(look, problems))
            elif look.cut:
                text = "the border of the picture cuts the part"
                cut = Reason("cut", 1.0, high=0, condition=True, text=text)
                found.append(self._unsure(look, (cut,)))
            else:
                found.append(self._part(look, image, gauged))
        return tuple(found), problems

    def look(self, look: Look, picture: Optional[np.ndarray] = None) -> Judged:
        """The verdict on one part that was found before, e.g. while teaching."""
        gauged = None if picture is None else self._gauge(picture)
        return self._part(look, look.image if picture is None else picture, gauged)

    def single(self, image: np.ndarray) -> Judged:
        """The verdict on a picture that must show the number of parts that the recipe tells."""
        parts, problems = self.judge(image, everywhere=True)
        return combine(parts, problems, self.settings.part.count, image.shape)

    def _near(self, look: Look, image: np.ndarray) -> bool:
        """Whether a part is within the gate around the place where it is judged."""
        trigger = self.settings.trigger
        gate = trigger.gate
        if gate is None:
            gate = GATE if self.gauging is not None else WAY if trigger.travel else 1.0
        if self.settings.by != "arrival" or gate >= 1:
            return True
        size = np.array([image.shape[1], image.shape[0]], float)
        away = np.abs(look.middle - np.array(trigger.place) * size) / size.max()
        if trigger.travel is not None:
            return bool(away["xy".index(trigger.travel)] <= gate)
        return bool(away.min() <= gate)

    def _gauge(self, image: np.ndarray) -> Any:
        return None if self.gauging is None else self.gauging.measure(image)

    def _unsure(self, look: Look, problems: Tuple[Reason, ...]) -> Judged:
        score = None
        measured = all(reason.value is not None for reason in problems)
        if self.anomaly is not None and measured and not self.outlined:
            # It decides nothing, and still tells which of several unsure parts to look at first.
            score = self._anomaly(look)[2]
        verdict = Verdict.of(problems, score)
        return Judged(verdict, look.xyxy, look.middle, look.length, look.cut)

    def _part(self, look: Look, image: np.ndarray, gauged: Any) -> Judged:
        """All checks of one part; what is far off spares the finer ones."""
        reasons: List[Reason] = []
        boxes: List[Tuple[np.ndarray, float]] = []
        score: Optional[float] = None
        if self.outlined and self.taught.get("ground"):
            look = in_light(look, self.taught["ground"])
        if self.outlined or self.golden is None:
            reasons += self._focus(look)
        if any(r.condition and r.outcome != PASS for r in reasons):
            return self._unsure(look, tuple(reasons))
        reasons += self._outline(look)
        if self.checks.colour is not None and self.checks.colour.lab is not None:
            seen = part_colour(look)
            away = float(ciede2000(seen, self.checks.colour.lab))
            text = "CIEDE2000 between the part's colour and that of good parts"
            reasons.append(Reason("colour", away, high=self.checks.colour.high, text=text))
        far = Verdict.of(reasons).verdict == FAIL if reasons else False
        broken = any(r.condition and r.outcome != PASS for r in reasons)
        if gauged is not None and not broken:
            reasons += gauged.reasons_at(look)
        if not far and not broken:
            more, boxes, score = self._surface(look)
            known = {r.name for r in reasons}
            reasons += [r for r in more if r.name not in known]
        verdict = Verdict.of(reasons, score)
        if verdict.verdict == FAIL and (score is None or score < 0.5):
            verdict = Verdict(FAIL, verdict.reasons, 1.0)
        order = sorted(boxes, key=lambda b: -b[1])
        return Judged(
            verdict, look.xyxy, look.middle, look.length, look.cut,
            np.array([b for b, _ in order], np.float32).reshape(-1, 4),
            np.array([s for _, s in order], np.float32),
        )  # fmt: skip

    def _surface(
        self, look: Look
    ) -> Tuple[List[Reason], List[Tuple[np.ndarray, float]], Optional[float]]:
        """What golden sample and models say: reasons, places, and the worst score."""
        reasons: List[Reason] = []
        boxes: List[Tuple[np.ndarray, float]] = []
        scores: List[float] = []
        if self.reference is not None and self.outlined:
            look = turned_like(look, self.reference)
        if self.golden is not None:
            more, places, worst = self._golden(look)
            reasons += more
            boxes += places
            scores.append(worst)
        if self.anomaly is not None:
            more, places, worst = self._anomaly(look)
            reasons += more
            boxes += places
            scores.append(worst)
        if self.classifier is not None:
            more, worst = self.classifier.judge(look.image)
            reasons += more
            scores.append(worst)
        return reasons, boxes, max(scores) if scores else None

    def _outline(self, look: Look) -> List[Reason]:
        check = self.checks.outline
        if check is None:
            return []
        reasons = []
        most = check.area[1] if check.area else None
        if most is not None and look.area > TWO_PARTS * most:
            text = "times the area of one part: two that touch, or another part"
            ratio = look.area / most
            return [Reason("one part", ratio, high=TWO_PARTS, condition=True, text=text)]
        for name in ("length", "width", "area"):
            limits = getattr(check, name)
            if limits is not None:
                unit = "px2" if name == "area" else "px"
                value = float(getattr(look, name))
                reasons.append(Reason(name, value, limits[0], limits[1], unit=unit))
        return reasons

    def _focus(self, look: Look) -> List[Reason]:
        """Focus and exposure where no golden picture tells them."""
        cv2 = load_cv2()
        grey = cv2.cvtColor(look.image, cv2.COLOR_BGR2GRAY)
        inside = grey[look.mask > 0] if (look.mask > 0).any() else grey
        white = float(np.mean(inside >= 253)) - float(self.taught.get("white", 0))
        black = float(np.mean(inside <= 2)) - float(self.taught.get("black", 0))
        reasons = [
            Reason("overexposed", white, high=CLIPPED, condition=True,
                   text="share of the part that is white beyond the good ones'"),
            Reason("underexposed", black, high=CLIPPED, condition=True,
                   text="share of the part that is black beyond the good ones'"),
        ]  # fmt: skip
        focus = self.taught.get("focus")
        if focus:
            reasons.append(
                Reason("focus", part_focus(look) / float(focus), low=0.4, condition=True,
                       text="sharpness over that of the good parts")
            )  # fmt: skip
        return reasons

    def _golden(self, look: Look) -> Tuple[List[Reason], List[Tuple[np.ndarray, float]], float]:
        golden = self.golden
        assert golden is not None
        seen = (look.image.shape[1], look.image.shape[0])
        if seen != golden.size:
            text = (f"the picture is {seen[0]} x {seen[1]} and the golden one "
                    f"{golden.size[0]} x {golden.size[1]}")  # fmt: skip
            return [Reason("size", None, condition=True, text=text)], [], 0.0
        found = golden.compare(look.image)
        limit = golden.settings.area
        worst = max((blob.area for blob in found.blobs), default=0.0)
        reasons = [
            Reason("difference", worst, high=limit, uncertainty=doubt_of(worst, limit), unit="px",
                   text="pixels of full difference from good parts, in the worst place"),
            *(r for r in conditions(golden, look.image, found) if not self._free(r, look)),
        ]  # fmt: skip
        places = [
            (to_picture(look, np.array(blob.xyxy)), score_of(blob.area, limit))
            for blob in found.blobs
            if blob.area >= shown_from(worst, limit)
        ]
        score = score_of(worst, limit)
        check = self.checks.golden
        if self.places is not None and check is not None and check.deviation is not None:
            limit = check.deviation
            away = self.places.compare(found.laid, found.inside, found.registration)
            reasons.insert(1, Reason(
                "deviation", away.score, high=limit, uncertainty=doubt_of(away.score, limit),
                text="times as far from good parts as is usual for them, in the worst place",
            ))  # fmt: skip
            score = max(score, score_of(away.score, limit))
            if not places:
                places = [
                    (to_picture(look, np.array(box)), score_of(much, limit))
                    for box, much in away.boxes(shown_from(away.score, limit), seen)
                ]
        return reasons, places, score

    def _free(self, reason: Reason, look: Look) -> bool:
        """Whether it tells how a part is turned that has no side by which it could lie straight:
        a ring fits as well turned, the corners around it out of view."""
        turns = reason.name in ("turned", "covered")
        return self.outlined and turns and look.length < LONGER * look.width

    def _anomaly(self, look: Look) -> Tuple[List[Reason], List[Tuple[np.ndarray, float]], float]:
        check = self.checks.anomaly
        assert check is not None
        limit = check.high or 1.0
        score, heat = self.anomaly(look.image)
        doubt = float(self.taught.get("anomaly_doubt", 0.0))
        text = "score of the learnt model; its own threshold is 1"
        reasons = [Reason("anomaly", float(score), high=limit, uncertainty=doubt, text=text)]
        places = []
        if score >= limit:
            for place in self.anomaly.boxes(heat):
                box = to_picture(look, np.asarray(place["xyxy"], float))
                places.append((box, score_of(float(place["score"]), limit)))
        return reasons, places, score_of(float(score), limit)


def combine(
    parts: Tuple[Judged, ...], problems: Tuple[Reason, ...], count: int, shape: Tuple[int, ...]
) -> Judged:
    """One verdict for a picture of so many parts: the worst of theirs, unsure for another number.

    Args:
        parts: What the picture shows.
        problems: Of the picture.
        count: How many parts it must show.
        shape: Of the picture.
    """
    box = np.array([0, 0, shape[1], shape[0]], np.float64)
    middle = np.array([shape[1] / 2, shape[0] / 2])
    number = float(len(parts))
    if len(parts) == count == 1 and not problems:
        return parts[0]
    reasons: List[Reason] = list(problems)
    # What is wrong with the picture makes parts that were or were not found mean nothing.
    if len(parts) != count and not problems:
        text = "no part is in view" if not parts else f"{len(parts)} parts are in view"
        reasons.insert(0, Reason("parts", number, count, count, condition=True, text=text))
    if len(parts) == 1:
        box, middle = parts[0].xyxy, parts[0].middle
    for part in parts:
        reasons += part.verdict.reasons if len(parts) == 1 else part.verdict.told
    scores = [p.verdict.score for p in parts if p.verdict.score is not None]
    worst = max(scores) if scores else None
    defects = [p.defects for p in parts if len(p.defects)]
    rated = [p.scores for p in parts if len(p.scores)]
    return Judged(
        Verdict.of(dict.fromkeys(reasons), worst), box, middle,
        max((p.size for p in parts), default=float(max(shape[:2]))),
        any(p.cut for p in parts),
        np.concatenate(defects) if defects else np.zeros((0, 4), np.float32),
        np.concatenate(rated) if rated else np.zeros(0, np.float32),
    )  # fmt: skip


def to_picture(look: Look, box: np.ndarray) -> np.ndarray:
    """A box of the upright part, around in pixels of the picture."""
    left, top, right, bottom = box
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) - 0.5
    there = corners @ look.warp[:, :2].T + look.warp[:, 2] + 0.5
    return np.concatenate((there.min(axis=0), there.max(axis=0)))


def reasons_of(verdict: Verdict) -> List[Mapping[str, Any]]:
    """For JSON: those that decided."""
    return [reason.as_dict() for reason in verdict.told]


def judged_as_dict(image: str, judged: Judged) -> Dict[str, Any]:
    """The line of JSON of a picture."""
    score = judged.verdict.score
    return {
        "image": image,
        "verdict": judged.verdict.verdict,
        "score": None if score is None else round(score, 4),
        "defects": [
            {"xyxy": [round(float(v), 1) for v in box], "score": round(float(s), 4)}
            for box, s in zip(judged.defects, judged.scores)
        ],
        "reasons": reasons_of(judged.verdict),
    }
