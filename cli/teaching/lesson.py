"""`teach`: what is learnt, put together and written as the next version of the recipe."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Union

import msgspec
import numpy as np

from ...core import DataError, EdgelaneError, UsageError
from ...pipelines.quality.threshold import Threshold, wanted_parts
from ...runtime.inspect.recipe.config import AnomalyCheck, GoldenCheck, LoadedRecipe, load_recipe
from .checks import (
    Learnt,
    better,
    drawn_flaws,
    learn_anomaly,
    learn_colour,
    learn_outline,
    reference_of,
    score_anomaly,
    skipped,
)
from .conditions import (
    drifts,
    learn_conditions,
    refuse_few,
    refuse_other_sizes,
    refuse_strangers,
)
from .golden import learn_golden
from .masters import Masters, read_masters
from .parts import Sample, in_one_light, of_size, one_size, samples, turned, upright_size
from .writing import NewVersion

Tell = Callable[[float, str], None]
FAINT_MASK = 100
WEAK = 0.5
"""Share of flaws stopped below which a recipe's maker is told."""


@dataclass
class Lesson:
    """What was taught.

    Attributes:
        recipe: The recipe that was written.
        report: The page about it.
        version: Its number.
        good: Good parts.
        bad: Bad parts that were shown.
        false_rejects: The wanted share of good parts that are rejected, over all checks.
        thresholds: By check.
        surface: The ways to judge the surface that were tried; the chosen one is first.
        missed: Names of bad parts that the new recipe passes.
        warnings: Sentences that a user should see.
        judged: Verdicts of the bad parts by name.
        masters: What gauges must add by parts of known size: offset and doubt (95 %) by gauge.
    """

    recipe: Path
    report: Path
    version: int
    good: int
    bad: int
    false_rejects: float
    thresholds: Dict[str, Threshold]
    surface: List[Learnt]
    missed: List[str] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    judged: Dict[str, str] = field(default_factory=dict)
    masters: Dict[str, Dict[str, float]] = field(default_factory=dict)

    @property
    def more_parts(self) -> int:
        """How many more good parts would prove the wanted rate."""
        return max(wanted_parts(self.false_rejects) - self.good, 0)

    @property
    def proved(self) -> float:
        """Share of good parts that may be rejected all the same, with 95 % confidence."""
        return 1.0 - 0.05 ** (1.0 / self.good)

    def as_dict(self) -> Dict[str, Any]:
        """For JSON."""
        return {
            "recipe": str(self.recipe),
            "report": str(self.report),
            "version": self.version,
            "good": self.good,
            "bad": self.bad,
            "false_rejects": {
                "wanted": self.false_rejects,
                "at_most": round(self.proved, 4),
                "more_parts": self.more_parts,
            },
            "thresholds": {name: t.as_dict() for name, t in self.thresholds.items()},
            "surface": [
                {
                    "name": one.name,
                    "chosen": k == 0 and not one.skipped,
                    "caught": None if one.skipped else round(one.caught, 4),
                    "auroc": None if one.skipped else round(one.auroc, 4),
                    **({"skipped": one.skipped} if one.skipped else {}),
                    **one.facts,
                }
                for k, one in enumerate(self.surface)
            ],
            **({"masters": self.masters} if self.masters else {}),
            "missed": self.missed,
            "warnings": self.warnings,
        }


def teach(
    recipe: Union[str, Path],
    good: str,
    bad: Optional[str] = None,
    *,
    false_rejects: float = 0.01,
    minutes: Optional[float] = None,
    seed: int = 0,
    masters: Optional[Union[str, Path]] = None,
    progress: Optional[Tell] = None,
) -> Lesson:
    """Teach a recipe by good parts, and write its next version beside it.

    What runs is never changed: `washer.yaml` becomes `washer.v1.yaml`, then `washer.v2.yaml`, each
    with a folder of that name for what it has learnt.

    Args:
        recipe: Path of a recipe, taught before or not.
        good: A folder of pictures of good parts, or a source that shows them, e.g. a video.
        bad: Bad parts, likewise; they choose between the ways to judge a surface, and show what
            would be missed. Masks of their defects may lie in a folder `masks` in it, by name.
        false_rejects: Share of good parts that may be rejected.
        minutes: Most that the learnt model may take.
        seed: Of what is drawn by chance.
        masters: A CSV of parts whose sizes are known, image, gauge and value, with their pictures
            beside it: what gauges must add is learnt from them.
        progress: Told how far it is.

    Raises:
        UsageError: A folder or the rate is wrong.
        DataError: The pictures cannot teach: too few, too unlike each other, without a part.
        StorageError: The folder of the recipe cannot be written.
    """
    if not 0 < false_rejects <= 0.2:
        raise UsageError(
            "the share of false rejects is wrong", got=false_rejects, expected="above 0 to 0.2"
        )
    tell: Tell = progress or (lambda done, text: None)
    loaded = load_recipe(recipe)
    known = None if masters is None else read_masters(masters)
    if known is not None and loaded.settings.checks.gauges is None:
        raise UsageError(
            "masters are for gauges, and the recipe has none",
            remedy="add `checks: {gauges: {}}`, or leave the masters out",
        )
    parts = samples(loaded, good, lambda done, text: tell(0.15 * done, f"good parts: {text}"))
    refuse_few(parts)
    outlined = loaded.settings.part.find == "outline"
    warnings = drifts(parts)
    usual = learn_conditions(parts)
    parts = in_one_light(parts) if outlined else parts
    refuse_strangers(parts, outlined)
    shown = [] if bad is None else _bad(loaded, bad, tell)
    masks = None if bad is None or not shown else masks_of(bad, shown)
    size = upright_size(parts)
    if one_size(parts):
        refuse_other_sizes(parts, shown)
        parts = [of_size(p, size) for p in parts]
    else:
        warnings.append(
            "The good pictures differ in size: size is no condition of this recipe, and a picture "
            "from another camera is judged like any other."
        )
    reference = reference_of(parts)
    if outlined:
        image = parts[reference].look.image
        parts = [p if k == reference else turned(p, image) for k, p in enumerate(parts)]
        shown = [turned(of_size(p, size), image) for p in _as_light(shown, usual)]
    with NewVersion(loaded) as new:
        lesson = _learn(loaded, new, parts, reference, shown, masks, usual, false_rejects, minutes,
                        seed, warnings, tell, known)  # fmt: skip
        _judge_bad(lesson, new, shown)
        from .report import write_lesson

        write_lesson(new.folder / "report.html", lesson, parts, new)
        new.keep()
    lesson.recipe, lesson.report = new.path, new.final / "report.html"
    return lesson


def _learn(
    loaded: LoadedRecipe, new: NewVersion, parts: List[Sample], reference: int,
    shown: List[Sample], masks: Any, usual: Dict[str, Any], rate: float,
    minutes: Optional[float], seed: int, warnings: List[str], tell: Tell,
    masters: Optional[Masters] = None,
) -> Lesson:  # fmt: skip
    settings = loaded.settings
    asked = settings.checks
    everything = not asked.names
    outlined = settings.part.find == "outline"
    surface = everything or asked.surface is not None
    wanted = [
        name for name in ("outline", "colour", "golden", "anomaly", "gauges", "classifier")
        if getattr(asked, name) is not None
        or (everything and outlined and name in ("outline", "colour"))
    ]  # fmt: skip
    if asked.outline is not None and not outlined:
        raise UsageError("checks.outline needs part: {find: outline}")
    # Every check may reject a good part: together no more than is wanted. Half of it is for the
    # surface, whose limit is the nearest to good parts; the others keep a least distance anyway.
    looked = sum(name in ("golden", "anomaly") for name in wanted) or int(surface)
    others = len([name for name in wanted if name not in ("golden", "anomaly")])
    own = rate / max(others, 1) * (0.5 if looked else 1)
    of_surface = rate / max(looked, 1) * (0.5 if others else 1)
    thresholds: Dict[str, Threshold] = {}
    checks: Dict[str, Any] = {}
    if "outline" in wanted:
        given = asked.outline
        limits: Dict[str, Any] = {}
        for name, (pair, threshold) in learn_outline(parts, own).items():
            fixed = getattr(given, name) if given is not None else None
            limits[name] = fixed or pair
            if not fixed:
                thresholds[name] = threshold
        checks["outline"] = limits
    if "colour" in wanted:
        lab, threshold = learn_colour(parts, own)
        given_colour = asked.colour
        checks["colour"] = {
            "lab": (given_colour and given_colour.lab) or lab,
            "high": (given_colour and given_colour.high) or round(threshold.value, 3),
        }
        thresholds["colour"] = threshold
    flaws = [(p.look.image, p.name) for p in shown] or drawn_flaws(parts, seed)
    tried: List[Learnt] = []
    for name in ("golden", "anomaly"):
        explicit = getattr(asked, name) is not None
        if not explicit and not surface:
            continue
        try:
            if name == "golden":
                check = asked.golden or GoldenCheck()
                found = learn_golden(parts, reference, check, of_surface, flaws,
                                     lambda done, text: tell(0.15 + 0.2 * done, text))  # fmt: skip
            else:
                model = asked.anomaly or AnomalyCheck()
                if minutes is not None:
                    model = msgspec.structs.replace(model, minutes=minutes)
                found = learn_anomaly(loaded, parts, model, of_surface, shown, masks, seed,
                                      lambda done, text: tell(0.35 + 0.5 * done, text))  # fmt: skip
                path = new.folder / "anomaly.onnx"
                found.model.save(path)
                score_anomaly(found, str(path), parts, of_surface, flaws)
        except (EdgelaneError, ImportError) as error:
            if explicit:
                raise
            found = skipped(name, error)
        tried.append(found)
    if surface:
        chosen = better(tried)
        if chosen is None:
            raise DataError(
                "no way to judge the surface could learn from these pictures",
                got="; ".join(f"{one.name}: {one.skipped}" for one in tried),
            )
        tried.sort(key=lambda one: one is not chosen)
        kept = [chosen]
    else:
        kept = [one for one in tried if not one.skipped]
    for one in kept:
        assert one.threshold is not None
        thresholds.update(one.limits or {one.name: one.threshold})
        if one.name == "golden":
            names = new.write_pictures("golden", one.pictures)
            base = asked.golden or GoldenCheck()
            checks["golden"] = {
                "pictures": names,
                "high": base.high or one.facts["high"],
                "slack": one.facts["slack"], "spread": one.facts["spread"],
            }  # fmt: skip
            if "deviation" in one.facts:
                checks["golden"]["deviation"] = base.deviation or one.facts["deviation"]
                checks["golden"]["usual"] = one.facts["usual"]
            if "odd" in one.facts:
                name, most, next_one = one.facts["odd"]
                warnings.append(
                    f"{name} is less like the other good parts than any ({most:g} times what is "
                    f"usual, the next one {next_one:g}) and was left out of the limit: see that it "
                    "is good, and if so, show more like it."
                )
            if base.tolerance != GoldenCheck().tolerance:
                checks["golden"]["tolerance"] = base.tolerance
        else:
            checks["anomaly"] = {
                "model": new.name("anomaly.onnx"), "high": round(one.threshold.value, 5)
            }  # fmt: skip
            own_net = asked.anomaly or AnomalyCheck()
            if own_net.backbone is not None:  # not needed to judge, but to teach again
                checks["anomaly"]["backbone"] = own_net.backbone
                if own_net.layers is not None:
                    checks["anomaly"]["layers"] = list(own_net.layers)
    if "anomaly" not in checks:
        new.drop("anomaly.onnx")
    warnings += weaknesses(kept, bool(shown), rate)
    if asked.gauges is not None:
        from .gauges import learn_gauges

        checks["gauges"], told, more = learn_gauges(loaded, asked.gauges, parts, own, masters)
        thresholds.update(told)
        warnings += more
    if asked.classifier is not None:
        from .classes import learn_classifier

        checks["classifier"], threshold = learn_classifier(loaded, asked.classifier, parts, own)
        thresholds["classifier"] = threshold
    taught: Dict[str, Any] = {
        **usual, "good": len(parts), "bad": len(shown), "false_rejects": rate,
    }  # fmt: skip
    if outlined and "golden" not in checks:
        taught["reference"] = new.write_pictures("reference", [parts[reference].look.image])[0]
    part: Dict[str, Any] = {}
    if outlined:
        image = parts[0].look.image
        part = {"size": [int(image.shape[1]), int(image.shape[0])]}
    lesson = Lesson(new.path, new.final / "report.html", new.version, len(parts), len(shown), rate,
                    thresholds, tried, warnings=warnings)  # fmt: skip
    if masters is not None:
        known = {name for values in masters.known for name in values}
        lesson.masters = {
            name: {key: float(gauge[key]) for key in ("offset", "doubt")}
            for name, gauge in checks["gauges"]["gauges"].items() if name in known
        }  # fmt: skip
    taught["at_most"] = round(lesson.proved, 4)
    if lesson.more_parts:
        warnings.append(
            f"{len(parts)} good parts cannot prove that at most {rate:.2%} are rejected, only that "
            f"at most {lesson.proved:.1%} are (95 % confidence): {lesson.more_parts} more good "
            "parts would."
        )
    new.write(part, checks, taught, next((p.travel for p in parts if p.travel), None))
    return lesson


def weaknesses(kept: List[Learnt], shown: bool, rate: float) -> List[str]:
    """A sentence where the checks of the surface let most flaws pass."""
    caught = max((one.caught for one in kept), default=1.0)
    if caught >= WEAK:
        return []
    remedy = "allow more false rejects (--false-rejects)"
    if not shown:
        remedy = f"show parts with known defects (--bad DIR), or {remedy}"
    return [
        f"At a limit for {rate:.2%} of false rejects the surface's check stops only {caught:.0%} "
        f"of the flaws it was tried on: {remedy}."
    ]


def _as_light(shown: List[Sample], usual: Dict[str, Any]) -> List[Sample]:
    from ...runtime.inspect.judging.finding import in_light

    return [replace(p, look=in_light(p.look, usual["ground"])) for p in shown]


def _bad(loaded: LoadedRecipe, place: str, tell: Tell) -> List[Sample]:
    return samples(loaded, place, lambda done, text: tell(0.15, f"bad parts: {text}"))


def masks_of(place: str, shown: List[Sample]) -> Optional[List[Optional[np.ndarray]]]:
    """Masks of the defects, aligned with bad parts, from a folder `masks` beside their pictures, or
    of the pictures' own names: `X.png` beside `X.jpg`. One that marks nothing is taken as unknown.

    Raises:
        DataError: There are masks, and they do not match the pictures.
    """
    from ...runtime.inspect.pictures import KINDS, masks_beside, read_picture

    folder = Path(place) / "masks"
    if folder.is_dir():
        files = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in KINDS}
    else:
        folder = Path(place)
        files = masks_beside(folder) if folder.is_dir() else {}
        if not files:
            return None
    masks: List[Optional[np.ndarray]] = []
    empty: List[str] = []
    for part in shown:
        stem = Path(part.name).stem
        path = files.pop(stem, files.pop(f"{stem}_mask", None))
        if path is None:
            masks.append(None)
            continue
        mask = read_picture(path).max(axis=2)
        if (mask.shape[1], mask.shape[0]) != part.size:
            raise DataError(
                f"mask {path.name} does not match its picture",
                got=f"{mask.shape[1]} x {mask.shape[0]}",
                expected=f"{part.size[0]} x {part.size[1]}",
            )
        # A mask that was saved as JPEG once has faint edges; one may also count classes from 1.
        mask = (mask > (FAINT_MASK if mask.max() > FAINT_MASK else 0)).astype(np.uint8) * 255
        if not mask.any():
            empty.append(path.name)
            masks.append(None)
            continue
        warp = part.look.warp
        if not np.allclose(warp, np.eye(2, 3)):
            from ...runtime.sources.base import load_cv2

            cv2 = load_cv2()
            size = part.look.image.shape[1::-1]
            mask = cv2.warpAffine(mask, warp, size, flags=cv2.WARP_INVERSE_MAP)
        masks.append(mask)
    if files:
        raise DataError(
            f"{len(files)} masks belong to no picture of a bad part",
            got=", ".join(p.name for p in list(files.values())[:5]),
            expected="the picture's name, or that with _mask",
        )
    if empty and all(mask is None for mask in masks):
        raise DataError(
            f"mask {empty[0]} marks nothing, and no other mask does",
            remedy="mark the defects, or leave the masks out",
        )
    if all(mask is None for mask in masks):
        raise DataError(f"no mask in {folder} has the name of a bad part")
    return masks


def _judge_bad(lesson: Lesson, new: NewVersion, shown: List[Sample]) -> None:
    """What the new recipe says of the bad parts."""
    if not shown:
        return
    from ...runtime.inspect.judging.judge import Judge

    judge = Judge(new.load())
    try:
        for part in shown:
            verdict = judge.look(part.look, part.picture).verdict.verdict
            lesson.judged[part.name] = verdict
            if verdict == "pass":
                lesson.missed.append(part.name)
    finally:
        judge.close()
    if lesson.missed:
        from ...pipelines.quality import Rate

        rate = Rate(len(lesson.missed), len(shown))
        low, high = rate.exact or (0.0, 1.0)
        named = ", ".join(lesson.missed[:5]) + (" …" if len(lesson.missed) > 5 else "")
        lesson.warnings.append(
            f"{rate.count} of {rate.total} bad parts pass (95 %: {low:.0%} to {high:.0%} of such): "
            f"{named}."
        )
